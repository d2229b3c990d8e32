import MeshPrimitives

/// One header field: places in the bytes of its head, and the number of its name if it is known.
public struct Field: BitwiseCopyable, Sendable {
    public var nameStart: UInt16
    public var nameCount: UInt16
    public var valueStart: UInt16
    /// Without white space at either end.
    public var valueCount: UInt16
    /// Where the next line begins; the line is `nameStart..<lineEnd`, its CRLF included.
    public var lineEnd: UInt16
    public var name: FieldName
    /// Named by this message's `Connection` field, so not to be forwarded.
    public var isConnectionOption = false

    @inlinable public init(
        nameStart: Int, nameCount: Int, valueStart: Int, valueCount: Int, lineEnd: Int, name: FieldName
    ) {
        // The end is behind everything else, so one check will do.
        self.lineEnd = UInt16(lineEnd)
        self.nameStart = UInt16(truncatingIfNeeded: nameStart)
        self.nameCount = UInt16(truncatingIfNeeded: nameCount)
        self.valueStart = UInt16(truncatingIfNeeded: valueStart)
        self.valueCount = UInt16(truncatingIfNeeded: valueCount)
        self.name = name
    }
}

/// A place in the bytes of a head.
public struct ByteRange: BitwiseCopyable, Sendable, Equatable {
    public var start: UInt16
    public var count: UInt16

    @inlinable public static var empty: ByteRange { ByteRange(start: 0, count: 0) }

    @inlinable public init(start: Int, count: Int) {
        (self.start, self.count) = (UInt16(start), UInt16(count))
    }

    @inlinable public var isEmpty: Bool { count == 0 }
    @inlinable public var range: Range<Int> { Int(start)..<(Int(start) + Int(count)) }
}

/// How a body ends (RFC 9112 section 6.3).
public enum BodyLength: Equatable, Sendable, BitwiseCopyable {
    case none
    case bytes(Int64)
    case chunked
    /// HTTP/1 responses only.
    case untilClose
    /// Ends with its HTTP/2 stream; no length was said.
    case untilStreamEnd
}

/// The head of a request or response, or a trailer section: an index into bytes that its owner keeps.
///
/// The bytes begin with the start line as HTTP/1.1 writes it, then one line per field, each ended by CRLF, then an
/// empty line; `length` counts all of them. HTTP/2 heads are written in the same form, names in lower case,
/// `:authority` as the first field, `host`. A trailer section has no start line.
///
/// It is 1.2 KiB: a function that takes one by value, or borrows one, is given a copy. Pass it `inout`, also to read
/// from it. The methods here take its address instead (`@_addressableSelf`), or each read of a field would copy all.
public struct MessageHead: BitwiseCopyable, Sendable {
    /// More fields than this are refused (431).
    @inlinable public static var fieldsMax: Int { 100 }
    /// More bytes than this are refused (431): 60 KiB.
    @inlinable public static var bytesMax: Int { 60 << 10 }

    /// Bytes of the whole head, the empty line included.
    public var length: UInt16 = 0
    /// End of the start line, where the first field begins.
    public var fieldsStart: UInt16 = 0
    @inlinable public var fieldCount: UInt8 { fieldCountStored }
    @usableFromInline var fieldCountStored: UInt8 = 0

    // Requests.
    public var method = Method.other
    public var methodToken = ByteRange.empty
    /// The request target as it came (origin, absolute, authority or asterisk form).
    public var target = ByteRange.empty
    /// Path and query, from the target; empty for CONNECT in authority form. `*` for the asterisk form.
    public var path = ByteRange.empty
    /// From the absolute form, else from `Host` (RFC 9112 section 3.2.2). Empty if there is none.
    public var authority = ByteRange.empty

    // Responses.
    /// 100 to 999; 0 in a request.
    public var status: UInt16 = 0
    public var reason = ByteRange.empty

    /// 10, 11 or 20.
    public var version: UInt8 = 11
    public var body = BodyLength.none
    /// The connection can carry another message after this one (HTTP/1 only).
    public var keepsAlive = true
    public var expectsContinue = false
    /// An `Upgrade` field that `Connection` names.
    public var hasUpgrade = false
    /// `TE: trailers` was there.
    public var acceptsTrailers = false

    @usableFromInline var known: UInt64 = 0
    @usableFromInline var storage = InlineArray<100, Field>(
        repeating: Field(nameStart: 0, nameCount: 0, valueStart: 0, valueCount: 0, lineEnd: 0, name: .other))

    public init() {}

    /// Empties the head for the next message; cheaper than a new one, since the fields' places are left as they are.
    public mutating func reset() {
        length = 0
        fieldsStart = 0
        fieldCountStored = 0
        method = .other
        methodToken = .empty
        target = .empty
        path = .empty
        authority = .empty
        status = 0
        reason = .empty
        version = 11
        body = .none
        keepsAlive = true
        expectsContinue = false
        hasUpgrade = false
        acceptsTrailers = false
        known = 0
    }

    @inlinable @inline(__always) public var count: Int { Int(fieldCountStored) }

    @inlinable public subscript(_ index: Int) -> Field {
        @_addressableSelf get { field(index) }
    }

    @inlinable @_addressableSelf public func field(_ index: Int) -> Field {
        precondition(index < count)
        return storage[index]
    }

    /// false if there are `fieldsMax` already.
    @inlinable @inline(__always) public mutating func append(_ field: Field) -> Bool {
        guard count < Self.fieldsMax else { return false }
        storage[count] = field
        fieldCountStored &+= 1
        known |= 1 &<< UInt64(field.name.rawValue)
        return true
    }

    @inlinable @inline(__always) public mutating func markConnectionOption(_ index: Int) {
        precondition(index < count)
        storage[index].isConnectionOption = true
    }

    /// Fields of these known names (as bits) are forwarded, whatever `Connection` says.
    public mutating func unmarkConnectionOptions(named names: UInt64) {
        for index in 0..<count where storage[index].name.bit & names != 0 {
            storage[index].isConnectionOption = false
        }
    }

    @inlinable public var isRequest: Bool { status == 0 }

    @inlinable @inline(__always) public func contains(_ name: FieldName) -> Bool {
        known & (1 &<< UInt64(name.rawValue)) != 0
    }

    /// `names` as bits; see `FieldName.bit`.
    @inlinable @_addressableSelf public func containsAny(of names: UInt64) -> Bool { known & names != 0 }

    /// Index of the first field of that known name, at or after `start`.
    @inlinable @inline(__always) @_addressableSelf
    public func firstIndex(of name: FieldName, from start: Int = 0) -> Int? {
        contains(name) ? search(name, from: start) : nil
    }

    @usableFromInline @_addressableSelf func search(_ name: FieldName, from start: Int) -> Int? {
        for index in start..<max(count, start) where storage[index].name == name { return index }
        return nil
    }

    /// The value of the first field of that known name.
    @inlinable @inline(__always) @_addressableSelf
    public func value(of name: FieldName, in bytes: ByteView) -> ByteView? {
        guard let index = firstIndex(of: name) else { return nil }
        return value(index, in: bytes)
    }

    @inlinable @_addressableSelf public func value(_ index: Int, in bytes: ByteView) -> ByteView {
        let field = field(index)
        return bytes[Int(field.valueStart)..<(Int(field.valueStart) + Int(field.valueCount))]
    }

    @inlinable @_addressableSelf public func name(_ index: Int, in bytes: ByteView) -> ByteView {
        let field = field(index)
        return bytes[Int(field.nameStart)..<(Int(field.nameStart) + Int(field.nameCount))]
    }

    /// The first field of any name, letters in either case.
    @inlinable @_addressableSelf public func value(named name: ByteView, in bytes: ByteView) -> ByteView? {
        let known = FieldName(name)
        if known != .other { return value(of: known, in: bytes) }
        for index in 0..<count where storage[index].name == .other {
            if self.name(index, in: bytes).equalsIgnoringCase(name) { return value(index, in: bytes) }
        }
        return nil
    }
}
