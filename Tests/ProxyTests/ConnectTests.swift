import MeshModel
import MeshPrimitives
import Telemetry
import TestSupport
import Testing

@testable import Proxy

@Suite("CONNECT, and upgrades over HTTP/2")
struct ConnectTests {
    /// Gives back what it gets, until that ends.
    private func echo() throws -> RawPeer {
        try RawPeer { stream in
            while let byte = try stream.read(1) { try stream.send(byte) }
        }
    }

    private func proxy(
        to port: UInt16, ends: Bool,
        change: (inout HTTPConnectionManager, inout Cluster) -> Void = { _, _ in }
    ) throws -> ProxyFixture {
        var configuration = ProxyFixture.configuration(endpoints: [port]) { manager, cluster, _ in
            manager.upgrades = ["connect", "websocket"]
            manager.http2.allowsConnect = true
            change(&manager, &cluster)
        }
        let connect = Route.forward("connect", .connect) { _, forward in forward.endsConnect = ends }
        configuration.setHosts([
            VirtualHost(name: "all", domains: ["*"], routes: [connect, .forward("other", .prefix("/"))])
        ])
        return try ProxyFixture(configuration)
    }

    private func expectEcho(_ client: TCPStream) throws {
        try client.send("ping")
        #expect(try client.read(4) == Array("ping".utf8))
        let long = String(repeating: "x", count: 200_000)
        try client.send(long)
        #expect(try client.discard(200_000) == 200_000)
        client.finishSending()
        #expect(try client.readToEnd().isEmpty)
    }

    private func connect(_ proxy: ProxyFixture) throws -> (client: TCPStream, head: HTTPMessage) {
        let client = try proxy.client()
        try client.send("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")
        return (client, try #require(try client.readHead()))
    }

    @Test("A CONNECT that ends here gets a connection of its own to the endpoint")
    func ending() throws {
        let peer = try echo()
        let proxy = try proxy(to: peer.port, ends: true)
        let (client, head) = try connect(proxy)
        #expect(head.status == 200)
        #expect(head["content-length"] == nil && head["transfer-encoding"] == nil)
        try expectEcho(client)
        try proxy.expect(.upstreamCxActive, 0)
        try proxy.expect(.upstreamRqActive, 0)
        try proxy.expect(.downstreamRqActive, 0)
    }

    @Test("Without the endpoint it is 503, where it is not allowed 403, and without a route 404")
    func refused() throws {
        let gone = try HTTPPeer()
        gone.stop()
        let missing = try proxy(to: gone.port, ends: true)
        #expect(try connect(missing).head.status == 503)
        try missing.expect(.upstreamCxActive, 0)
        let strict = try proxy(to: gone.port, ends: true) { manager, _ in manager.upgrades = [] }
        #expect(try connect(strict).head.status == 403)
        let routeless = try ProxyFixture([gone]) { manager, _, _ in manager.upgrades = ["websocket"] }
        #expect(try connect(routeless).head.status == 404)
    }

    @Test("A CONNECT that is passed on opens a tunnel when the next proxy says so, and only then")
    func passing() throws {
        let peer = try RawPeer { stream in
            guard let head = try stream.readHead(), head.firstLine == "CONNECT example.org:443 HTTP/1.1"
            else {
                return
            }
            try stream.send("HTTP/1.1 200 Fine\r\n\r\nfirst")
            while let byte = try stream.read(1) { try stream.send(byte) }
        }
        let proxy = try proxy(to: peer.port, ends: false)
        let (client, head) = try connect(proxy)
        #expect(head.status == 200)
        #expect(try client.read(5) == Array("first".utf8))
        try expectEcho(client)
        let other = try HTTPPeer { _ in .answer(407, body: "who are you") }
        let refusing = try self.proxy(to: other.port, ends: false)
        let caller = try refusing.client()
        try caller.send("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")
        let answer = try caller.readAnswer()
        #expect(answer.status == 407 && answer.text == "who are you")
    }

    @Test("It passes over HTTP/2 between two proxies")
    func overHTTP2() throws {
        let peer = try echo()
        let second = try proxy(to: peer.port, ends: true)
        let first = try proxy(to: second.port, ends: false) { _, cluster in cluster.upstreamProtocol = .http2
        }
        let (client, head) = try connect(first)
        #expect(head.status == 200)
        try expectEcho(client)
        for proxy in [first, second] {
            try proxy.expect(.upstreamRqActive, 0)
            try proxy.expect(.downstreamRqActive, 0)
        }
    }

    @Test("A WebSocket passes over HTTP/2 between two proxies as an extended CONNECT")
    func webSocket() throws {
        let peer = try RawPeer { stream in
            guard let head = try stream.readHead(), head["upgrade"] == "websocket", head.method == "GET"
            else {
                return try stream.send("HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n")
            }
            try stream.send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Accept: x\r\n\r\nfirst")
            while let byte = try stream.read(1) { try stream.send(byte) }
        }
        let second = try proxy(to: peer.port, ends: false)
        let first = try proxy(to: second.port, ends: false) { _, cluster in cluster.upstreamProtocol = .http2
        }
        let client = try first.client()
        try client.sendRequest(
            "GET", "/chat", fields: [("Upgrade", "websocket"), ("Connection", "Upgrade")])
        let head = try #require(try client.readHead())
        #expect(head.status == 101 && head["upgrade"] == "websocket" && head["sec-websocket-accept"] == "x")
        #expect(try client.read(5) == Array("first".utf8))
        try expectEcho(client)
        for proxy in [first, second] { try proxy.expect(.upstreamRqActive, 0) }
    }
}
