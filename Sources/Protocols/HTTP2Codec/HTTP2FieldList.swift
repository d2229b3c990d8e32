import CNGHTTP2
import Glibc
import HTTPModel
import MeshPrimitives

/// The fields of a head that is going out, in order, copied in; made once and filled again for each message, so that
/// it stops allocating. Pseudo fields come first: use the `start…` functions for them.
@safe public struct HTTP2FieldList: ~Copyable {
    /// More than these are refused: `isTooLarge` is set and the list cannot be submitted. Somewhat more than heads
    /// that were received can have, since the proxy adds to them.
    public static let bytesMax = 80 << 10
    public static let fieldsMax = 160

    private var bytes: UnsafeMutablePointer<UInt8>
    private var bytesCapacity = 4 << 10
    private var bytesCount = 0
    /// Of all fields, copied or not.
    private var fieldBytes = 0
    private let pairs: UnsafeMutablePointer<nghttp2_nv>
    public private(set) var count = 0
    /// Something was left out because of a bound.
    public private(set) var isTooLarge = false
    /// For sessions: what the request asks decides whether its response can have a body.
    private(set) var requestIsHead = false
    private(set) var requestIsConnect = false

    public init() {
        unsafe bytes = .allocate(capacity: bytesCapacity)
        unsafe pairs = .allocate(capacity: Self.fieldsMax)
    }

    deinit {
        unsafe bytes.deallocate()
        unsafe pairs.deallocate()
    }

    @unsafe var start: UnsafePointer<nghttp2_nv> { unsafe UnsafePointer(pairs) }

    public mutating func removeAll() {
        bytesCount = 0
        fieldBytes = 0
        count = 0
        isTooLarge = false
        requestIsHead = false
        requestIsConnect = false
    }

    /// Begins a request. CONNECT takes neither scheme nor path: see `startConnect`.
    public mutating func startRequest(method: ByteView, scheme: ByteView, authority: ByteView, path: ByteView)
    {
        removeAll()
        requestIsHead = method.equals("HEAD")
        append(name: ByteView(":method"), value: method)
        append(name: ByteView(":scheme"), value: scheme)
        if !authority.isEmpty { append(name: ByteView(":authority"), value: authority) }
        append(name: ByteView(":path"), value: path)
    }

    /// The same without copies: everything must stay as it is until the list has been submitted.
    public mutating func startRequest(
        uncopied method: ByteView, scheme: ByteView, authority: ByteView, path: ByteView
    ) {
        removeAll()
        requestIsHead = method.equals("HEAD")
        append(pseudo: ByteView(":method"), uncopied: method)
        append(pseudo: ByteView(":scheme"), uncopied: scheme)
        if !authority.isEmpty { append(pseudo: ByteView(":authority"), uncopied: authority) }
        append(pseudo: ByteView(":path"), uncopied: path)
    }

    private mutating func append(pseudo name: ByteView, uncopied value: ByteView) {
        guard unsafe reserve(0, of: name.count + value.count) != nil else { return }
        unsafe add(name.pointer, name.count, value.pointer, value.count, flags: 0)
    }

    /// Begins a CONNECT (RFC 9113 section 8.5).
    public mutating func startConnect(authority: ByteView) {
        removeAll()
        requestIsConnect = true
        append(name: ByteView(":method"), value: ByteView("CONNECT"))
        append(name: ByteView(":authority"), value: authority)
    }

    /// Begins what HTTP/1.1 writes as a request with an upgrade (RFC 8441); if the peer's settings allow it.
    public mutating func startExtendedConnect(
        protocol token: ByteView, scheme: ByteView, authority: ByteView, path: ByteView
    ) {
        removeAll()
        requestIsConnect = true
        append(name: ByteView(":method"), value: ByteView("CONNECT"))
        append(name: ByteView(":protocol"), value: token)
        append(name: ByteView(":scheme"), value: scheme)
        append(name: ByteView(":authority"), value: authority)
        append(name: ByteView(":path"), value: path)
    }

    /// Begins a response; `status` has three digits.
    public mutating func startResponse(status: Int) {
        precondition(status >= 100 && status <= 999)
        removeAll()
        let digits: [3 of UInt8] = [
            0x30 + UInt8(status / 100), 0x30 + UInt8(status / 10 % 10), 0x30 + UInt8(status % 10),
        ]
        guard let place = unsafe reserve(7 + 3) else { return }
        unsafe memcpy(place, ByteView(":status").pointer, 7)
        for index in digits.indices { unsafe place[7 + index] = digits[index] }
        unsafe add(place, 7, 3, flags: 0)
    }

    /// Begins a trailer section.
    public mutating func startTrailers() { removeAll() }

    /// Adds a field; letters of the name become lower-case.
    public mutating func append(name: ByteView, value: ByteView) {
        guard let place = unsafe reserve(name.count + value.count) else { return }
        unsafe martlet_h2_copy_lowercased(place, name.pointer, name.count)
        unsafe memcpy(place + name.count, value.pointer, value.count)
        unsafe add(place, name.count, value.count, flags: 0)
    }

    public mutating func append(_ name: FieldName, value: ByteView) {
        let text = name.text
        guard let place = unsafe reserve(text.count + value.count) else { return }
        unsafe memcpy(place, text.pointer, text.count)
        unsafe memcpy(place + text.count, value.pointer, value.count)
        unsafe add(place, text.count, value.count, flags: Self.flags(of: name))
    }

    /// The same without a copy of the value, which must stay as it is until the list has been submitted.
    public mutating func append(name: ByteView, uncopied value: ByteView) {
        guard let place = unsafe reserve(name.count, of: name.count + value.count) else { return }
        unsafe martlet_h2_copy_lowercased(place, name.pointer, name.count)
        bytesCount += name.count
        unsafe add(place, name.count, value.pointer, value.count, flags: 0)
    }

    public mutating func append(_ name: FieldName, uncopied value: ByteView) {
        let text = name.text
        guard unsafe reserve(0, of: text.count + value.count) != nil else { return }
        unsafe add(text.pointer, text.count, value.pointer, value.count, flags: Self.flags(of: name))
    }

    /// Values that differ from message to message would only push useful ones out of the compression table.
    private static func flags(of name: FieldName) -> UInt8 {
        switch name {
        case .xRequestID, .traceparent, .xB3Traceid, .xB3Spanid, .xB3Parentspanid, .b3,
            .xEnvoyUpstreamServiceTime, .proxyAuthorization, .authorization:
            UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue)
        default: 0
        }
    }

    private mutating func reserve(_ length: Int) -> UnsafeMutablePointer<UInt8>? {
        unsafe reserve(length, of: length)
    }

    /// Room for the `copied` bytes of a field that has `length`.
    private mutating func reserve(_ copied: Int, of length: Int) -> UnsafeMutablePointer<UInt8>? {
        guard count < Self.fieldsMax, fieldBytes + length <= Self.bytesMax else {
            isTooLarge = true
            return nil
        }
        if bytesCount + copied > bytesCapacity { grow(to: bytesCount + copied) }
        return unsafe bytes + bytesCount
    }

    /// Of a field that was copied.
    private mutating func add(
        _ place: UnsafeMutablePointer<UInt8>, _ nameCount: Int, _ valueCount: Int, flags: UInt8
    ) {
        unsafe add(place, nameCount, place + nameCount, valueCount, flags: flags)
        bytesCount += nameCount + valueCount
    }

    private mutating func add(
        _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int,
        flags: UInt8
    ) {
        // The bytes stay where they are until the head is written, in the call that submits it; nghttp2 only reads them.
        let noCopy = UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue)
        unsafe pairs[count] = nghttp2_nv(
            name: UnsafeMutablePointer(mutating: name), value: UnsafeMutablePointer(mutating: value),
            namelen: nameCount, valuelen: valueCount, flags: noCopy | flags)
        count += 1
        fieldBytes += nameCount + valueCount
    }

    private mutating func grow(to needed: Int) {
        let capacity = min(max(needed, bytesCapacity * 2), Self.bytesMax)
        let grown = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        unsafe memcpy(grown, bytes, bytesCount)
        let old = unsafe UnsafePointer(bytes)..<UnsafePointer(bytes + bytesCapacity)
        for index in 0..<count {
            // What was not copied stays where it is.
            if unsafe old.contains(pairs[index].name) {
                unsafe pairs[index].name = grown + (pairs[index].name - bytes)
            }
            if unsafe old.contains(pairs[index].value) {
                unsafe pairs[index].value = grown + (pairs[index].value - bytes)
            }
        }
        unsafe bytes.deallocate()
        unsafe bytes = grown
        bytesCapacity = capacity
    }
}

// From heads as they are.
extension HTTP2FieldList {
    /// A request from its head: what concerns its connection only is left out, an upgrade with it, and `Host` becomes
    /// `:authority`. `bytes` are the head's.
    public mutating func startRequest(_ head: borrowing MessageHead, _ bytes: ByteView, scheme: ByteView) {
        let authority = bytes[head.authority.range]
        if head.method == .connect {
            startConnect(authority: authority)
        } else {
            let root = head.method == .options ? ByteView("*") : ByteView("/")
            let path = head.path.isEmpty ? root : bytes[head.path.range]
            startRequest(
                method: bytes[head.methodToken.range], scheme: scheme, authority: authority, path: path)
        }
        if head.acceptsTrailers { append(.te, value: ByteView("trailers")) }
        appendFields(head, bytes)
    }

    /// A response, final or interim, from its head.
    public mutating func startResponse(_ head: borrowing MessageHead, _ bytes: ByteView) {
        startResponse(status: Int(head.status))
        appendFields(head, bytes)
    }

    public mutating func startTrailers(_ head: borrowing MessageHead, _ bytes: ByteView) {
        startTrailers()
        appendFields(head, bytes)
    }

    /// All fields that may be forwarded: not `Host`, not what concerns one connection only.
    public mutating func appendFields(_ head: borrowing MessageHead, _ bytes: ByteView) {
        for index in 0..<head.count {
            let field = head[index]
            if field.name == .host || field.name.isHopByHop || field.isConnectionOption { continue }
            let value = head.value(index, in: bytes)
            if field.name == .other {
                append(name: head.name(index, in: bytes), value: value)
            } else {
                append(field.name, value: value)
            }
        }
    }
}
