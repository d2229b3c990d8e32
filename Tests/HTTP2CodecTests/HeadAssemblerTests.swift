import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Testing

@Suite struct HeadAssemblerTests {
    private static func with(_ more: [(String, String)]) -> [(String, String)] { Frame.get + more }

    /// The same without `:authority`.
    private static func without(_ more: [(String, String)]) -> [(String, String)] {
        Frame.get.dropLast() + more
    }

    private static let post = [
        (":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a.test"),
    ]

    private static let badRequests: [[(String, String)]] = [
        [], [(":method", "GET")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a.test")],
        [(":method", "GET"), (":path", "/"), (":authority", "a.test")],
        [(":scheme", "http"), (":path", "/"), (":authority", "a.test")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/")],
        [(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "a.test")],
        [(":method", "GET"), (":scheme", "http"), (":path", "x"), (":authority", "a.test")],
        [(":method", "GET"), (":scheme", "http"), (":path", "*"), (":authority", "a.test")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/a b"), (":authority", "a.test")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/\u{1}"), (":authority", "a.test")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/a#b"), (":authority", "a.test")],
        [(":method", "G T"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")],
        [(":method", ""), (":scheme", "http"), (":path", "/"), (":authority", "a.test")],
        [(":method", "GET"), (":scheme", "ftp"), (":path", "/"), (":authority", "a.test")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "u@a.test")],
        [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a/b")],
        with([(":method", "GET")]), with([(":path", "/x")]), with([(":status", "200")]),
        with([(":protocol", "websocket")]), with([(":unknown", "x")]),
        with([(":", "x")]),
        with([("a", "b"), (":authority", "a.test")]),
        [("a", "b"), (":method", "GET")],
        with([("Upper", "x")]), with([("", "x")]), with([("a b", "x")]),
        with([("a:b", "x")]), with([("n\u{e9}", "x")]),
        with([("a", "x\r\ny: z")]), with([("a", "x\ny")]), with([("a", "x\0")]),
        with([("a", " x")]), with([("a", "x ")]), with([("a", "\tx")]),
        with([("a", "\u{7f}")]), with([("a", "\u{1b}")]),
        with([("connection", "close")]), with([("keep-alive", "1")]),
        with([("proxy-connection", "x")]), with([("transfer-encoding", "chunked")]),
        with([("upgrade", "x")]), with([("te", "gzip")]),
        with([("te", "trailers, gzip")]),
        with([("host", "b.test")]),
        without([("host", "a.test"), ("host", "a.test")]),
        without([("host", "")]), without([("host", "a b")]),
        with([("content-length", "1")]), with([("content-length", "x")]),
        with([("content-length", "-1")]), with([("content-length", "99999999999999999999")]),
        with([("content-length", "0"), ("content-length", "0")]),
        [(":method", "CONNECT"), (":scheme", "http"), (":path", "/"), (":authority", "a.test:1")],
        [(":method", "CONNECT")], [(":method", "CONNECT"), (":authority", "")],
    ]

    private static let oddRequests: [([(String, String)], String)] = [
        (
            with([("host", "A.TEST"), ("x", ""), ("obs", "\u{e9}\u{7ff}"), ("tab", "a\tb")]),
            "GET / HTTP/1.1|host: a.test|x: |obs: \u{e9}\u{7ff}|tab: a\tb||"
        ),
        (
            without([("x", "1"), ("host", "a.test:80")]),
            "GET / HTTP/1.1|x: 1|host: a.test:80||"
        ),
        (
            with([("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c")]),
            "GET / HTTP/1.1|host: a.test|x: y|cookie: a=1; b=2; c||"
        ),
        (
            [(":authority", "[::1]:8080"), (":path", "*"), (":method", "OPTIONS"), (":scheme", "https")],
            "OPTIONS * HTTP/1.1|host: [::1]:8080||"
        ),
        (
            with([("te", "Trailers"), ("content-length", "0")]),
            "GET / HTTP/1.1|host: a.test|te: Trailers|content-length: 0||"
        ),
        (
            [(":method", "m-search"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")],
            "m-search / HTTP/1.1|host: a.test||"
        ),
    ]

    private static let trailerCases: [([(String, String)], String, Bool, Bool)] = [
        ([("x", "1")], "0", true, true), ([("x", "1")], "0", false, false),
        ([(":path", "/")], "0", true, false),
        ([("connection", "x")], "0", true, false), ([("x", "1")], "4", true, false),
        ([], "0", true, true),
    ]

    private static let badResponses: [([(String, String)], Bool)] = [
        ([], true), ([("x", "y")], true), ([(":status", "20")], true), ([(":status", "099")], true),
        ([(":status", "2 0")], true), ([(":status", "101")], false), ([(":status", "100")], true),
        ([(":status", "200"), (":status", "200")], true), ([(":status", "200"), (":path", "/")], true),
        ([(":status", "200"), ("content-length", "3")], true),
        ([(":status", "200"), ("Upper", "x")], true),
        ([(":status", "200"), ("transfer-encoding", "chunked")], false),
    ]

    private func openServer(_ settings: HTTP2Settings = HTTP2Settings()) throws -> Peer {
        let server = try Peer(.server, settings)
        server.receive(Frame.preface + Frame.settings)
        _ = server.takeOutput()
        server.log = []
        return server
    }

    /// A client with one request under way, and its server's first words received.
    private func openClient(_ method: String = "GET") throws -> Peer {
        let client = try Peer(.client)
        try client.request(method)
        client.receive(Frame.settings)
        _ = client.takeOutput()
        client.log = []
        return client
    }

    private func resets(_ peer: Peer) -> [[UInt8]] {
        Frame.parse(peer.takeOutput()).filter { $0.type == 3 }.map { [UInt8($0.stream)] + $0.payload }
    }

    @Test(
        "A malformed request costs its stream, not the connection, and the caller never hears of it",
        arguments: Self.badRequests)
    func malformedRequests(fields: [(String, String)]) throws {
        let server = try openServer()
        server.receive(Frame.headers(1, fields))
        #expect(resets(server) == [[1, 0, 0, 0, 1]])
        #expect(server.log == [] && server.session.malformedCount == 1)
        server.receive(Frame.data(1, "late") + Frame.headers(3, Frame.get))
        #expect(server.failure == nil && server.session.openStreamCount == 1)
        #expect(server.log == ["head 3 GET / HTTP/1.1|host: a.test|| end"])
    }

    @Test(
        "What looks odd but is allowed is written as HTTP/1.1 has it",
        arguments: Self.oddRequests)
    func wellFormed(fields: [(String, String)], text: String) throws {
        let server = try openServer()
        server.receive(Frame.headers(1, fields))
        #expect(server.log == ["head 1 \(text) end"])
        let head = try #require(server.heads[StreamID(rawValue: 1)])
        #expect(!head.authority.isEmpty)
    }

    @Test("A body must be as long as was said", arguments: ["12", "1234"])
    func contentLength(body: String) throws {
        for streamEnds in [true, false] {
            let server = try openServer()
            server.receive(Frame.headers(1, Self.post + [("content-length", "3")], endsStream: false))
            #expect(server.heads[StreamID(rawValue: 1)]?.body == .bytes(3))
            server.receive(
                Frame.data(1, body, endsStream: streamEnds)
                    + (streamEnds ? [] : Frame.data(1, "", endsStream: true)))
            #expect(server.log.filter { $0.hasPrefix("ended") }.isEmpty)
            #expect(server.log.contains("reset 1 1 by us") && resets(server) == [[1, 0, 0, 0, 1]])
        }
    }

    @Test(
        "Trailers end the stream, have no pseudo fields, and come after all of the body",
        arguments: Self.trailerCases)
    func trailers(fields: [(String, String)], length: String, endsStream: Bool, isFine: Bool) throws {
        let server = try openServer()
        server.receive(Frame.headers(1, Self.post + [("content-length", length)], endsStream: false))
        server.receive(Frame.headers(1, fields, endsStream: endsStream))
        #expect(resets(server).isEmpty == isFine && server.failure == nil)
        #expect(server.log.contains("reset 1 1 by us") != isFine)
        #expect(server.log.contains { $0.hasPrefix("trailers") } == isFine)
    }

    @Test(
        "A malformed response resets its stream and tells the caller",
        arguments: Self.badResponses)
    func malformedResponses(fields: [(String, String)], endsStream: Bool) throws {
        let client = try openClient()
        client.receive(Frame.headers(1, fields, endsStream: endsStream))
        #expect(client.log == ["reset 1 1 by us", "closed 1"])
        #expect(resets(client) == [[1, 0, 0, 0, 1]])
        #expect(client.failure == nil && client.session.openStreamCount == 0)
    }

    @Test("Data before the response's head, and a body where none can be, reset the stream")
    func unexpectedData() throws {
        let early = try openClient()
        early.receive(Frame.headers(1, [(":status", "103")], endsStream: false) + Frame.data(1, "x"))
        #expect(early.log == ["informational 1 HTTP/1.1 103 ||", "reset 1 1 by us", "closed 1"])
        let head = try openClient("HEAD")
        head.receive(Frame.headers(1, [(":status", "200")], endsStream: false) + Frame.data(1, "x"))
        #expect(head.log == ["head 1 HTTP/1.1 200 ||", "reset 1 1 by us", "closed 1"])
    }

    @Test(
        "A head of too many fields or bytes is reported as such, and the stream can be answered",
        arguments: [(101, 1), (3, 25_000), (100, 620)])
    func tooLarge(count: Int, valueLength: Int) throws {
        let value = String(repeating: "v", count: valueLength)
        let block = Frame.block(Frame.get + (0..<count).map { ("x-\($0)", value) })
        let server = try openServer()
        for (number, chunk) in stride(from: 0, to: block.count, by: 16_384).enumerated() {
            let payload = Array(block[chunk..<min(chunk + 16_384, block.count)])
            let flags =
                (number == 0 ? Frame.endStream : 0) | (chunk + 16_384 >= block.count ? Frame.endHeaders : 0)
            server.receive(Frame.frame(type: number == 0 ? 1 : 9, flags: flags, stream: 1, payload))
        }
        #expect(server.failure == nil && server.log == ["headTooLarge 1 end"])
        #expect(server.respond(StreamID(rawValue: 1), 431))
        server.receive(Frame.headers(3, Frame.get))
        #expect(server.log.contains("head 3 GET / HTTP/1.1|host: a.test|| end"))
    }

    @Test("A hundred fields and nearly sixty kibibytes are taken")
    func large() throws {
        let server = try Peer(.server)
        let client = try Peer(.client)
        let value = String(repeating: "v", count: 580)
        let stream = try client.request("GET", "/", (0..<99).map { ("x-\($0)", value) })
        server.receive(client.takeOutput())
        #expect(server.heads[stream]?.count == 100)
    }
}
