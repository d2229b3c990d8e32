import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Testing

/// A session with everything that it reported, as text.
final class Peer {
    let session: HTTP2Session
    let fields = FieldListBox()
    var log: [String] = []
    var heads: [StreamID: MessageHead] = [:]
    var bodies: [StreamID: [UInt8]] = [:]
    var now = MonotonicInstant.zero
    var failure: HTTP2ConnectionError?
    /// Passes on what it receives at once, so that windows open again.
    var consumes = true
    var onEvent: (Peer, HTTP2Event) -> Void = { _, _ in }

    init(_ role: HTTP2Session.Role, _ settings: HTTP2Settings = HTTP2Settings()) throws {
        session = try #require(HTTP2Session(role: role, settings: settings))
    }

    func receive(_ bytes: [UInt8]) {
        let result = bytes.withByteView { view in
            let result = session.receive(view, now: now)
            takeEvents()
            return result
        }
        if case .failed(let error) = result { failure = error }
    }

    func takeEvents() {
        while let event = session.nextEvent() {
            record(event)
            onEvent(self, event)
        }
    }

    func takeOutput() -> [UInt8] {
        var bytes: [UInt8] = []
        while let view = session.nextOutput() {
            bytes += view.bytes
            takeEvents()
        }
        return bytes
    }

    private func record(_ event: HTTP2Event) {
        switch event {
        case .head(let stream, let length, let endsStream):
            log.append("head \(stream.rawValue) \(head(stream, length))\(endsStream ? " end" : "")")
        case .headTooLarge(let stream, let endsStream):
            log.append("headTooLarge \(stream.rawValue)\(endsStream ? " end" : "")")
        case .informational(let stream, let length):
            log.append("informational \(stream.rawValue) \(head(stream, length))")
        case .trailers(let stream, let length):
            log.append("trailers \(stream.rawValue) \(head(stream, length))")
        case .data(let stream, let bytes, let endsStream):
            bodies[stream, default: []] += bytes.bytes
            recordData(stream, bytes)
            if endsStream { log.append("ended \(stream.rawValue)") }
            if consumes { session.consumed(stream, bytes.count) }
        case .ended(let stream): log.append("ended \(stream.rawValue)")
        case .reset(let stream, let code, let byPeer):
            log.append("reset \(stream.rawValue) \(code.rawValue) by \(byPeer ? "peer" : "us")")
        case .closed(let stream): log.append("closed \(stream.rawValue)")
        case .windowOpened(let stream): log.append("windowOpened \(stream.rawValue)")
        case .settings(let streamsMax): log.append("settings \(streamsMax)")
        case .goAway(let last, let code): log.append("goAway \(last.rawValue) \(code.rawValue)")
        case .pingAcknowledged(let number): log.append("pong \(number)")
        }
    }

    /// Pieces of one body are one line, wherever the bytes were split.
    private func recordData(_ stream: StreamID, _ bytes: ByteView) {
        let start = "data \(stream.rawValue) "
        let text = bytes.count > 64 ? String(repeating: ".", count: bytes.count) : bytes.text
        if let last = log.last, last.hasPrefix(start) {
            log[log.count - 1] = last + text
        } else {
            log.append(start + text)
        }
    }

    private func head(_ stream: StreamID, _ length: Int) -> String {
        var head = MessageHead()
        guard let bytes = session.readHead(into: &head) else { return "NO HEAD" }
        #expect(bytes.count == length && Int(head.length) == length && head.version == 20)
        checkIndex(head, bytes)
        heads[stream] = head
        return bytes.text.replacing("\r\n", with: "|")
    }

    /// The index must describe exactly the lines that are there.
    private func checkIndex(_ head: MessageHead, _ bytes: ByteView) {
        var position = Int(head.fieldsStart)
        for index in 0..<head.count {
            let field = head[index]
            #expect(Int(field.nameStart) == position)
            let line = head.name(index, in: bytes).text + ": " + head.value(index, in: bytes).text + "\r\n"
            #expect(bytes[position..<Int(field.lineEnd)].text == line)
            position = Int(field.lineEnd)
        }
        #expect(bytes[position..<bytes.count].text == "\r\n")
    }
}

/// A field list as a class, so that tests can keep it.
final class FieldListBox {
    private var list = HTTP2FieldList()

    func request(
        _ method: String = "GET", _ path: String = "/", authority: String = "a.test",
        _ fields: [(String, String)] = []
    ) -> FieldListBox {
        method.withByteView { method in
            path.withByteView { path in
                authority.withByteView { authority in
                    list.startRequest(
                        method: method, scheme: ByteView("http"), authority: authority, path: path)
                }
            }
        }
        return append(fields)
    }

    func response(_ status: Int = 200, _ fields: [(String, String)] = []) -> FieldListBox {
        list.startResponse(status: status)
        return append(fields)
    }

    func trailers(_ fields: [(String, String)]) -> FieldListBox {
        list.startTrailers()
        return append(fields)
    }

    func with<T>(_ body: (borrowing HTTP2FieldList) -> T) -> T { body(list) }

    func edit(_ body: (inout HTTP2FieldList) -> Void) { body(&list) }

    private func append(_ fields: [(String, String)]) -> FieldListBox {
        for (name, value) in fields {
            name.withByteView { name in value.withByteView { list.append(name: name, value: $0) } }
        }
        return self
    }
}

extension Peer {
    @discardableResult
    func request(
        _ method: String = "GET", _ path: String = "/", _ fields: [(String, String)] = [],
        endsStream: Bool = true,
        tag: UInt64 = 0
    ) throws -> StreamID {
        try #require(
            self.fields.request(method, path, fields).with {
                session.submitRequest($0, endsStream: endsStream, tag: tag)
            })
    }

    @discardableResult
    func respond(
        _ stream: StreamID, _ status: Int = 200, _ fields: [(String, String)] = [], endsStream: Bool = true
    ) -> Bool {
        self.fields.response(status, fields).with {
            session.submitResponse(stream, $0, endsStream: endsStream)
        }
    }

    func send(_ stream: StreamID, _ text: String, endsStream: Bool = false) -> Int {
        text.withByteView { session.send(stream, $0, endsStream: endsStream) }
    }

    func send(_ stream: StreamID, _ bytes: ArraySlice<UInt8>, endsStream: Bool = false) -> Int {
        Array(bytes).withByteView { session.send(stream, $0, endsStream: endsStream) }
    }
}

/// Carries bytes both ways until nobody has anything to say. The bound is there to end a quarrel.
func exchange(_ left: Peer, _ right: Peer, rounds: Int = 10_000) {
    for _ in 0..<rounds {
        left.takeEvents()
        right.takeEvents()
        let (toRight, toLeft) = (left.takeOutput(), right.takeOutput())
        if toRight.isEmpty && toLeft.isEmpty { return }
        if !toRight.isEmpty { right.receive(toRight) }
        if !toLeft.isEmpty { left.receive(toLeft) }
    }
    Issue.record("the peers never came to rest")
}

/// Frames written by hand, to say what a proper peer would not.
enum Frame {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    static let settings = frame(type: 4, flags: 0, stream: 0, [])
    static let settingsAck = frame(type: 4, flags: 1, stream: 0, [])
    static let endStream: UInt8 = 1
    static let endHeaders: UInt8 = 4

    static func frame(type: UInt8, flags: UInt8, stream: Int32, _ payload: [UInt8]) -> [UInt8] {
        let (length, id) = (UInt32(payload.count), UInt32(bitPattern: stream))
        return [UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags]
            + word(id) + payload
    }

    static func word(_ value: UInt32) -> [UInt8] {
        [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)]
    }

    /// Literals that are not put into the table, without Huffman (RFC 7541 section 6.2.2).
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { name, value in [0] + string(name) + string(value) }
    }

    static func string(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        return integer(bytes.count, prefixBits: 7) + bytes
    }

    static func integer(_ value: Int, prefixBits: Int) -> [UInt8] {
        let limit = (1 << prefixBits) - 1
        if value < limit { return [UInt8(value)] }
        var (rest, bytes) = (value - limit, [UInt8(limit)])
        while rest >= 128 {
            bytes.append(UInt8(rest & 127 | 128))
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    static func headers(_ stream: Int32, _ fields: [(String, String)], endsStream: Bool = true) -> [UInt8] {
        frame(type: 1, flags: endHeaders | (endsStream ? endStream : 0), stream: stream, block(fields))
    }

    static func data(_ stream: Int32, _ text: String, endsStream: Bool = false) -> [UInt8] {
        frame(type: 0, flags: endsStream ? endStream : 0, stream: stream, Array(text.utf8))
    }

    static func reset(_ stream: Int32, _ code: UInt32 = 8) -> [UInt8] {
        frame(type: 3, flags: 0, stream: stream, word(code))
    }

    static let get = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")]

    /// Type, flags, stream and payload of each whole frame.
    static func parse(_ bytes: [UInt8]) -> [(type: UInt8, flags: UInt8, stream: Int, payload: [UInt8])] {
        var (frames, rest) = ([(type: UInt8, flags: UInt8, stream: Int, payload: [UInt8])](), bytes[...])
        while rest.count >= 9 {
            let header = Array(rest.prefix(9))
            let length = Int(header[0]) << 16 | Int(header[1]) << 8 | Int(header[2])
            let stream = Int(header[5]) << 24 | Int(header[6]) << 16 | Int(header[7]) << 8 | Int(header[8])
            frames.append((header[3], header[4], stream, Array(rest.dropFirst(9).prefix(length))))
            rest = rest.dropFirst(9 + length)
        }
        return frames
    }
}
