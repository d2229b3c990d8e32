import Foundation
import TestSupport
import Testing

/// A request that two readers could understand differently.
struct AmbiguousRequest: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let bytes: String

    init(_ what: String, _ bytes: String) { (testDescription, self.bytes) = (what, bytes) }

    /// A POST with these fields and this body.
    init(_ what: String, fields: String, body: String = "") {
        self.init(what, "POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\n\(body)")
    }

    static let hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

    static let heads: [AmbiguousRequest] = [
        .init(
            "both lengths", fields: "Content-Length: 5\r\nTransfer-Encoding: chunked",
            body: "0\r\n\r\n" + hidden),
        .init(
            "both lengths, the other way", fields: "Transfer-Encoding: chunked\r\nContent-Length: 5",
            body: "0\r\n\r\n"),
        .init("two lengths", fields: "Content-Length: 5\r\nContent-Length: 6", body: "abcdef"),
        .init("one length twice", fields: "Content-Length: 5\r\nContent-Length: 5", body: "abcde"),
        .init("a list of lengths", fields: "Content-Length: 5, 5", body: "abcde"),
        .init("a signed length", fields: "Content-Length: +5", body: "abcde"),
        .init("a negative length", fields: "Content-Length: -5", body: "abcde"),
        .init("a hexadecimal length", fields: "Content-Length: 0x5", body: "abcde"),
        .init("a length beyond 64 bits", fields: "Content-Length: 99999999999999999999", body: "abcde"),
        .init("an empty length", fields: "Content-Length: ", body: "abcde"),
        .init("an unknown coding", fields: "Transfer-Encoding: xchunked", body: "0\r\n\r\n"),
        .init("a coding twice", fields: "Transfer-Encoding: chunked, chunked", body: "0\r\n\r\n"),
        .init("chunked in the middle", fields: "Transfer-Encoding: chunked, gzip", body: "0\r\n\r\n"),
        .init("identity", fields: "Transfer-Encoding: identity\r\nContent-Length: 1", body: "a"),
        .init(
            "a control character before chunked", fields: "Transfer-Encoding: \u{0b}chunked",
            body: "0\r\n\r\n"),
        .init("a space before the colon", fields: "Content-Length : 5", body: "abcde"),
        .init("a space before the name", fields: "X-First: 1\r\n Content-Length: 5", body: "abcde"),
        .init("a folded value", fields: "X-Long: a\r\n b", body: ""),
        .init("a bare line feed", "GET / HTTP/1.1\nHost: a\n\n"),
        .init("a bare line feed in the fields", fields: "X: a\nContent-Length: 5", body: "abcde"),
        .init("a bare carriage return", fields: "X: a\rContent-Length: 5", body: "abcde"),
        .init("a NUL in a value", fields: "X: a\u{0}b"),
        .init("a control character in a value", fields: "X: a\u{1}b"),
        .init("a name with a bracket", fields: "X[0]: a"),
        .init("no name", fields: ": a"),
        .init("no colon", fields: "Nonsense"),
        .init("no host", "GET / HTTP/1.1\r\nX: 1\r\n\r\n"),
        .init("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        .init("one host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        .init("a host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        .init("a host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        .init("a fragment in the target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        .init("a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        .init("two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
        .init("a target without a slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
        .init("a control character in the target", "GET /\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n"),
        .init("a method with a brace", "GE{T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        .init("a space before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ]

    static let bodies: [AmbiguousRequest] = [
        .init(
            "a chunk size that is no number", fields: "Transfer-Encoding: chunked",
            body: "G\r\nabc\r\n0\r\n\r\n"),
        .init(
            "a chunk size with a prefix", fields: "Transfer-Encoding: chunked",
            body: "0x3\r\nabc\r\n0\r\n\r\n"),
        .init("a signed chunk size", fields: "Transfer-Encoding: chunked", body: "+3\r\nabc\r\n0\r\n\r\n"),
        .init("a negative chunk size", fields: "Transfer-Encoding: chunked", body: "-3\r\nabc\r\n0\r\n\r\n"),
        .init(
            "a chunk size beyond 64 bits", fields: "Transfer-Encoding: chunked",
            body: "10000000000000003\r\nabc\r\n0\r\n\r\n"),
        .init("no chunk size", fields: "Transfer-Encoding: chunked", body: "\r\nabc\r\n0\r\n\r\n"),
        .init("bytes behind a chunk", fields: "Transfer-Encoding: chunked", body: "3\r\nabcX\r\n0\r\n\r\n"),
        .init(
            "a bare line feed behind a chunk size", fields: "Transfer-Encoding: chunked",
            body: "3\nabc\r\n0\r\n\r\n"),
        .init(
            "a bare line feed behind a chunk", fields: "Transfer-Encoding: chunked",
            body: "3\r\nabc\n0\r\n\r\n"),
    ]
}

extension SystemTests {
    @Suite("Requests that could be smuggled")
    struct SmugglingTests {
        /// One proxy for the whole table: a refusal must leave nothing behind.
        struct Fixture {
            let peer: HTTPPeer
            let proxy: ProxyUnderTest
            init() throws {
                peer = try HTTPPeer(body: "hello")
                proxy = try ProxyUnderTest(Bootstrap(peer.port), workers: 1)
            }

            func expectRefusal(of request: AmbiguousRequest) throws {
                let stream = try proxy.connect()
                try stream.send(request.bytes)
                let answer: HTTPMessage
                do {
                    answer = try stream.readAnswer()
                } catch {
                    Issue.record(
                        "\(request.testDescription): 400 was expected, but \(error)\n\(proxy.process.logTail)"
                    )
                    return
                }
                #expect(
                    answer.status == 400,
                    "\(request.testDescription): \(answer.firstLine)\n\(proxy.process.logTail)")
                #expect(stream.isEnded(within: 3), "\(request.testDescription): the connection must end")
                #expect(stream.pending.isEmpty, "\(request.testDescription): a second answer")
            }
        }

        @Test("An ambiguous head is a 400 and the end of the connection, and nothing goes upstream")
        func heads() throws {
            let fixture = try Fixture()
            for request in AmbiguousRequest.heads { try fixture.expectRefusal(of: request) }
            #expect(fixture.peer.requests.map(\.message.target) == [])
        }

        @Test("An ambiguous body is a 400 and the end of the connection, and hides no request")
        func bodies() throws {
            let fixture = try Fixture()
            for request in AmbiguousRequest.bodies { try fixture.expectRefusal(of: request) }
            #expect(!fixture.peer.requests.contains { $0.message.target == "/smuggled" })
            #expect(try fixture.proxy.fetch().text == "hello")
        }

        @Test("Heads beyond 60 KiB or 100 fields are 431")
        func tooLarge() throws {
            let fixture = try Fixture()
            let long = [("x-long", String(repeating: "a", count: 61 << 10))]
            let many = (0..<101).map { ("x-\($0)", "1") }
            for (name, fields) in [("long", long), ("many", many)] {
                let stream = try fixture.proxy.connect()
                try stream.sendRequest(fields: fields)
                let answer = try fixture.proxy.explaining { try stream.readAnswer() }
                #expect(answer.status == 431, "\(name): \(answer.firstLine)")
                #expect(stream.isEnded(within: 3), "\(name): the connection must end")
            }
            let nearly = try fixture.proxy.fetch(fields: [("x-long", String(repeating: "a", count: 55 << 10))]
            )
            #expect(nearly.status == 200)
            #expect(fixture.peer.requests.count == 1)
        }

        @Test("Of a second request behind a refused one nothing happens")
        func nothingAfterRefusal() throws {
            let fixture = try Fixture()
            let stream = try fixture.proxy.connect()
            try stream.send(
                "GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /bad HTTP/1.1\r\nHost : a\r\n\r\n"
                    + AmbiguousRequest.hidden)
            #expect(try fixture.proxy.explaining { try stream.readAnswer() }.status == 200)
            #expect(try fixture.proxy.explaining { try stream.readAnswer() }.status == 400)
            #expect(stream.isEnded(within: 3))
            #expect(fixture.peer.requests.map(\.message.target) == ["/first"])
        }
    }
}
