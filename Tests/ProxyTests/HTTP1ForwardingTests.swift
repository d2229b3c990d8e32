import MeshModel
import MeshPrimitives
import Reactor
import TestSupport
import Testing

@testable import Proxy

@Suite("Requests over HTTP/1.1 are forwarded")
struct HTTP1ForwardingTests {
    @Test("A request and its answer pass, with the fields that the proxy adds")
    func simple() throws {
        let peer = try HTTPPeer(200, body: "hello")
        defer { peer.stop() }
        let proxy = try ProxyFixture(ProxyFixture.configuration(endpoints: [peer.port]))
        let client = try TCPStream(port: proxy.port)
        try client.send("GET /a?b=c HTTP/1.1\r\nHost: example\r\nX-Own: 1\r\n\r\n")
        let answer = try client.readAnswer()
        #expect(answer.status == 200)
        #expect(answer.text == "hello")
        #expect(answer["server"] == "envoy")
        #expect(answer["x-envoy-upstream-service-time"] != nil)
        let seen = try #require(peer.requests.first?.message)
        #expect(seen.firstLine == "GET /a?b=c HTTP/1.1")
        #expect(seen["host"] == "example")
        #expect(seen["x-own"] == "1")
        #expect(seen["x-request-id"]?.count == 36)
        #expect(seen["x-forwarded-proto"] == "http")
        #expect(seen["x-envoy-expected-rq-timeout-ms"] == "15000")
    }

    @Test("Connections to the endpoint are used again")
    func keepAlive() throws {
        let peer = try HTTPPeer(200, body: "hello")
        defer { peer.stop() }
        let proxy = try ProxyFixture(ProxyFixture.configuration(endpoints: [peer.port]))
        let client = try TCPStream(port: proxy.port)
        for _ in 0..<20 {
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readAnswer().text == "hello")
        }
        #expect(peer.connectionCount == 1)
        #expect(peer.requests.count == 20)
    }

    @Test("Pipelined requests are answered in their order")
    func pipelined() throws {
        let peer = try HTTPPeer { request in .answer(200, body: request.message.target) }
        defer { peer.stop() }
        let proxy = try ProxyFixture(ProxyFixture.configuration(endpoints: [peer.port]))
        let client = try TCPStream(port: proxy.port)
        try client.send((0..<10).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
        for index in 0..<10 { #expect(try client.readAnswer().text == "/\(index)") }
    }

    @Test("Bodies pass both ways", arguments: [1, 100, 5_000, 70_000, 3_000_000])
    func bodies(size: Int) throws {
        let peer = try HTTPPeer { request in
            .answer(200, body: String(repeating: "y", count: request.message.bodyCount))
        }
        defer { peer.stop() }
        let proxy = try ProxyFixture(ProxyFixture.configuration(endpoints: [peer.port]))
        let client = try TCPStream(port: proxy.port)
        try client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n"
                + String(repeating: "x", count: size))
        let answer = try client.readAnswer()
        #expect(answer.status == 200)
        #expect(answer.bodyCount == size)
    }

    @Test("A broken request is a 400, and the connection closes")
    func broken() throws {
        let peer = try HTTPPeer(200, body: "hello")
        defer { peer.stop() }
        let proxy = try ProxyFixture(ProxyFixture.configuration(endpoints: [peer.port]))
        let client = try TCPStream(port: proxy.port)
        try client.send("GET / HTTP/1.1\r\nHost : a\r\n\r\n")
        let answer = try client.readAnswer()
        #expect(answer.status == 400)
        #expect(answer["connection"] == "close")
        #expect(try client.readToEnd().isEmpty)
        #expect(peer.requests.isEmpty)
    }

    @Test("An endpoint that refuses connections is a 503")
    func refused() throws {
        let peer = try HTTPPeer(200, body: "hello")
        peer.stop()
        let proxy = try ProxyFixture(ProxyFixture.configuration(endpoints: [peer.port]))
        let client = try TCPStream(port: proxy.port)
        try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        let answer = try client.readAnswer()
        #expect(answer.status == 503)
        #expect(answer.text.hasPrefix("upstream connect error"))
    }
}
