import MeshModel
import MeshPrimitives
import Telemetry
import TestSupport
import Testing

@testable import Proxy

@Suite("Bytes pass through tunnels")
struct TunnelTests {
    private func tcp(_ port: UInt16, change: (inout TCPProxy) -> Void = { _ in }) throws -> ProxyFixture {
        var proxy = TCPProxy(statPrefix: "tcp", clusters: [WeightedCluster(cluster: "peer")])
        change(&proxy)
        let listener = Listener(
            name: "front", address: SocketAddress(ipv4: 127, 0, 0, 1, port: 0),
            filterChains: [FilterChain(network: .tcp(proxy))])
        return try ProxyFixture(
            Configuration(listeners: [listener], clusters: [ProxyFixture.cluster("peer", [port])]))
    }

    @Test("tcp_proxy: either side may end first, the other goes on")
    func halfClosed() throws {
        let peer = try RawPeer { stream in
            let said = try stream.readToEnd()
            try stream.send(said + Array(" back".utf8))
        }
        let proxy = try tcp(peer.port)
        let client = try proxy.client()
        try client.send("hello")
        client.finishSending()
        #expect(try client.readToEnd() == Array("hello back".utf8))

        let first = try RawPeer { stream in
            try stream.send("I am first")
            stream.finishSending()
            guard try stream.readToEnd() == Array("and I second".utf8) else { stream.reset(); return }
        }
        let second = try tcp(first.port)
        let caller = try second.client()
        #expect(try caller.readToEnd() == Array("I am first".utf8))
        try caller.send("and I second")
        caller.finishSending()
        try second.expect(.downstreamCxActive as ListenerCounter, 0)
        try second.expect(.upstreamCxActive, 0)
    }

    @Test("tcp_proxy: megabytes pass both ways at once")
    func long() throws {
        let peer = try RawPeer { stream in
            while let piece = try stream.read(100_000) { try stream.send(piece) }
        }
        let proxy = try tcp(peer.port)
        let client = try proxy.client()
        let piece = [UInt8](repeating: 7, count: 100_000)
        for _ in 0..<50 { try client.send(piece) }
        #expect(try client.discard(5_000_000) == 5_000_000)
    }

    @Test(
        "tcp_proxy: what moves fast, through a pipe, arrives whole and in order, then small pieces, then the end"
    )
    func spliced() throws {
        let amount = 12_000_000
        let pattern = (0..<amount).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 11) }
        let peer = try RawPeer { stream in
            try stream.send(pattern)
            let word = try stream.read(5)
            try stream.send(word ?? [])
            stream.finishSending()
        }
        let proxy = try tcp(peer.port)
        let client = try proxy.client()
        // A few kilobytes at a time at first, so that sockets, pipe and queues fill up.
        var got: [UInt8] = []
        while got.count < 400_000 { got += try client.read(4000) ?? [] }
        got += try client.read(amount - got.count) ?? []
        #expect(got == pattern)
        try client.send("hello")
        client.finishSending()
        #expect(try client.readToEnd() == Array("hello".utf8))
        try proxy.expect(.upstreamCxActive, 0)
    }

    @Test("tcp_proxy: a caller that goes away while much waits for it takes nothing else with it")
    func splicedAndGone() throws {
        let peer = try RawPeer { stream in
            let piece = [UInt8](repeating: 1, count: 1 << 20)
            for _ in 0..<64 { try stream.send(piece) }
        }
        let proxy = try tcp(peer.port)
        for _ in 0..<3 {
            let client = try proxy.client()
            _ = try client.read(1_000_000)
            client.reset()
        }
        try proxy.expect(.upstreamCxActive, 0)
        let last = try proxy.client()
        #expect(try last.discard(64 << 20) == 64 << 20)
    }

    @Test("tcp_proxy: an endpoint that is not there ends the connection; a reset passes on")
    func refused() throws {
        let gone = try HTTPPeer()
        gone.stop()
        let proxy = try tcp(gone.port) { $0.maxConnectAttempts = 3 }
        let client = try proxy.client()
        #expect(client.isEnded(within: 5))
        try proxy.expect(.upstreamCxConnectFail, 3)
        let peer = try RawPeer { stream in
            _ = try stream.read(1)
            stream.reset()
        }
        let other = try tcp(peer.port)
        let caller = try other.client()
        try caller.send("x")
        #expect(caller.isEnded(within: 5))
        try other.expect(.downstreamCxActive as ListenerCounter, 0)
    }

    @Test("tcp_proxy: each connection has its lines in the logs, and its numbers")
    func logged() throws {
        let directory = try TemporaryDirectory()
        let peer = try RawPeer { stream in
            let word = try stream.read(5) ?? []
            try stream.send(word + word)
            stream.finishSending()
        }
        let gone = try HTTPPeer()
        gone.stop()
        var log = AccessLog(destination: .file(directory.path("log")))
        log.format = .text(
            "%PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% "
                + "%UPSTREAM_HOST% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %REQ(:METHOD)% "
                + "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\n")
        func line(_ proxy: ProxyFixture) throws -> String {
            try eventually("a line") { () -> String? in
                proxy.server.flushLogs()
                return directory.read("log").flatMap { $0.isEmpty ? nil : $0 }
            }
        }
        let proxy = try tcp(peer.port) { $0.accessLogs = [log] }
        let client = try proxy.client()
        try client.send("hello")
        client.finishSending()
        #expect(try client.readToEnd() == Array("hellohello".utf8))
        #expect(try line(proxy) == "- 0 - 5 10 peer 127.0.0.1:\(peer.port) 1 - 127.0.0.1\n")
        let numbers = proxy.server.process.registry.snapshot()
        #expect(numbers.value(tcp: "tcp", .downstreamCxTotal) == 1)
        #expect(numbers.value(tcp: "tcp", .downstreamCxRxBytesTotal) == 5)
        #expect(numbers.value(tcp: "tcp", .downstreamCxTxBytesTotal) == 10)
        _ = try directory.write("", to: "log")
        let other = try tcp(gone.port) { proxy in
            proxy.accessLogs = [log]
            proxy.maxConnectAttempts = 2
        }
        #expect(try other.client().isEnded(within: 5))
        let failed = try line(other)
        #expect(failed.contains("URX") && failed.contains("UF"))
        #expect(failed.contains(" 0 0 peer 127.0.0.1:\(gone.port) 2 - 127.0.0.1\n"), "\(failed)")
    }

    @Test("tcp_proxy: a quiet tunnel ends after its time")
    func idle() throws {
        let peer = try RawPeer { stream in _ = try stream.readToEnd() }
        let proxy = try tcp(peer.port) { $0.idleTimeout = .milliseconds(50) }
        let client = try proxy.client()
        #expect(try client.readToEnd().isEmpty)
    }

    @Test("tcp_proxy: a tunnel ends after its time, however busy it is")
    func durationMax() throws {
        let peer = try RawPeer { stream in
            while true { try stream.send("x") }
        }
        let proxy = try tcp(peer.port) { $0.durationMax = .milliseconds(100) }
        let client = try proxy.client()
        while let byte = try client.read(1) { #expect(byte == Array("x".utf8)) }
        try proxy.expect(.upstreamCxActive, 0)
    }

    @Test("A WebSocket is passed on where it is allowed, and its bytes with it")
    func webSocket() throws {
        let peer = try RawPeer { stream in
            guard let head = try stream.readHead() else { return }
            guard head["upgrade"] == "websocket", head["connection"]?.lowercased() == "upgrade" else {
                return try stream.send("HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n")
            }
            try stream.send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Accept: x\r\n\r\nfirst")
            while let byte = try stream.read(4) { try stream.send(byte) }
        }
        let proxy = try ProxyFixture(
            ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, _ in
                manager.upgrades = ["websocket"]
            })
        let client = try proxy.client()
        try client.sendRequest(fields: [("Upgrade", "websocket"), ("Connection", "Upgrade")])
        let head = try #require(try client.readHead())
        #expect(head.status == 101 && head["upgrade"] == "websocket")
        #expect(head["connection"]?.lowercased() == "upgrade")
        #expect(try client.read(5) == Array("first".utf8))
        try client.send("ping")
        #expect(try client.read(4) == Array("ping".utf8))
        client.finishSending()
        #expect(try client.readToEnd().isEmpty)
        try proxy.expect(.downstreamRqActive, 0)
        try proxy.expect(.upstreamCxActive, 0)
    }

    @Test("An upgrade that is not allowed is 403, or ignored in the mesh; h2c is always ignored")
    func refusedUpgrade() throws {
        let peer = try HTTPPeer()
        let strict = try ProxyFixture([peer])
        let fields = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        let client = try strict.client()
        try client.sendRequest(fields: fields)
        #expect(try client.readAnswer().status == 403)
        #expect(try client.readToEnd().isEmpty)
        let other = try strict.client()
        try other.sendRequest(fields: [
            ("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", ""),
        ])
        #expect(try other.readAnswer().status == 200)
        #expect(peer.requests.last?.message["upgrade"] == nil)
        let mesh = try ProxyFixture([peer]) { manager, _, _ in manager.ignoresUnknownUpgrades = true }
        let second = try mesh.client()
        try second.sendRequest(fields: fields)
        #expect(try second.readAnswer().status == 200)
        #expect(peer.requests.last?.message["upgrade"] == nil)
    }
}
