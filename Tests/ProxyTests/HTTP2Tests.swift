import MeshModel
import MeshPrimitives
import Telemetry
import TestSupport
import Testing

@testable import Proxy

@Suite("HTTP/2 on either side")
struct HTTP2Tests {
    /// A proxy in front of another one, HTTP/2 in the clear between them.
    private func pair(
        _ endpoints: [UInt16],
        change: (inout HTTPConnectionManager, inout Cluster, inout Forward) -> Void = { _, _, _ in }
    ) throws -> (first: ProxyFixture, second: ProxyFixture) {
        let second = try ProxyFixture(ProxyFixture.configuration(endpoints: endpoints))
        let first = try ProxyFixture(
            ProxyFixture.configuration(endpoints: [second.port]) { manager, cluster, forward in
                cluster.upstreamProtocol = .http2
                change(&manager, &cluster, &forward)
            })
        return (first, second)
    }

    @Test("Callers with prior knowledge are served: curl, nghttp and h2load")
    func clients() throws {
        let peer = try HTTPPeer { request in .answer(200, body: "got \(request.message.bodyCount)") }
        let proxy = try ProxyFixture([peer])
        let url = "http://127.0.0.1:\(proxy.port)/"
        #expect(try curl("--http2-prior-knowledge", url).body == "got 0|2")
        #expect(try curl("--http2-prior-knowledge", "-d", "abc", url).body == "got 3|2")
        #expect(try curl("--http2-prior-knowledge", "-I", url).status == 200)
        let nghttp = try runTool("nghttp", ["-v", "-H", "x-a: b", url])
        #expect(nghttp.status == 0 && nghttp.output.contains(":status: 200"))
        let load = try runTool("h2load", ["-n", "5000", "-c", "10", "-m", "20", url])
        #expect(load.output.contains("5000 succeeded, 0 failed"))
        try proxy.expect(.downstreamRqActive, 0)
        try proxy.expect(.downstreamCxActive as ListenerCounter, 0)
        try proxy.expect(.upstreamRqActive, 0)
    }

    @Test("Long bodies pass under flow control both ways")
    func flowControl() throws {
        let size = 3_000_000
        let peer = try HTTPPeer { request in
            request.message.method == "GET" ? .long(size) : .answer(200, body: "\(request.message.bodyCount)")
        }
        let (first, second) = try pair([peer.port])
        defer { second.server.stop() }
        let url = "http://127.0.0.1:\(first.port)/"
        let directory = try TemporaryDirectory()
        let body = try directory.write(String(repeating: "x", count: size), to: "body")
        #expect(try curl("--http2-prior-knowledge", "--data-binary", "@\(body)", url).body == "\(size)|2")
        let got = try runTool("curl", ["-sS", "--http2-prior-knowledge", "-o", directory.path("out"), url])
        #expect(got.status == 0)
        #expect(directory.read("out")?.utf8.count == size)
        // A window of 64 KiB, and reading at a measured pace.
        let slow = try runTool("nghttp", ["-n", "-w", "16", "-W", "16", url, "-s"])
        #expect(slow.status == 0 && slow.output.contains("200"))
    }

    @Test("Requests of many callers share one connection, up to the streams that it has")
    func streams() throws {
        let peer = try HTTPPeer { _ in .delayed(0.01, .answer(200, body: "ok")) }
        let (first, second) = try pair([peer.port])
        let clients = try (0..<30).map { _ in try first.client() }
        for _ in 0..<3 {
            for client in clients { try client.sendRequest("POST", body: "abc") }
            for client in clients { #expect(try client.readAnswer().text == "ok") }
        }
        #expect(first.count(.upstreamCxTotal) == 1)
        #expect(second.count(.downstreamCxTotal as ListenerCounter) == 1)
        try second.expect(.downstreamRqActive, 0)
    }

    @Test("A caller that leaves resets its stream only")
    func streamReset() throws {
        let peer = try HTTPPeer { request in
            request.message.target == "/hang" ? .hang : .answer(200, body: "ok")
        }
        let (first, second) = try pair([peer.port])
        let (staying, leaving) = (try first.client(), try first.client())
        try leaving.sendRequest("GET", "/hang")
        try eventually("the request") { peer.requests.count == 1 ? true : nil }
        leaving.reset()
        try second.expect(.downstreamRqActive, 0)
        try eventually("the end upstream") { peer.openConnectionCount == 0 ? true : nil }
        try staying.sendRequest()
        #expect(try staying.readAnswer().text == "ok")
        #expect(first.count(.upstreamCxTotal) == 1)
    }

    @Test("An answer that breaks off resets the stream, and the HTTP/1.1 caller's connection")
    func brokenAnswer() throws {
        let peer = try HTTPPeer { _ in .rawThenClose("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc") }
        let (first, second) = try pair([peer.port])
        let client = try first.client()
        try client.sendRequest()
        #expect(try client.readHead()?.status == 200)
        #expect(try client.readToEnd() == Array("abc".utf8))
        try first.expect(.upstreamRqActive, 0)
        try second.expect(.downstreamRqActive, 0)
        let result = try runTool(
            "curl", ["-sS", "--http2-prior-knowledge", "http://127.0.0.1:\(second.port)/"])
        #expect(result.status == 92)
    }

    @Test("An endpoint that does not speak HTTP/2 is a 502")
    func otherProtocol() throws {
        let peer = try RawPeer { stream in
            _ = try stream.read(24)
            try stream.send("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            _ = try stream.readToEnd()
        }
        let proxy = try ProxyFixture(
            ProxyFixture.configuration(endpoints: [peer.port]) { _, cluster, _ in
                cluster.upstreamProtocol = .http2
            })
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().status == 502)
        #expect(try eventually("a record") { proxy.lastRecord }.flags == .upstreamProtocolError)
        try proxy.expect(.upstreamCxProtocolError, 1)
    }

    @Test("An endpoint that drains lets its streams end, and gets no new ones")
    func goAway() throws {
        let peer = try HTTPPeer { request in
            request.message.target == "/slow"
                ? .delayed(0.1, .answer(200, body: "slow")) : .answer(200, body: "ok")
        }
        let (first, second) = try pair([peer.port])
        let client = try first.client()
        try client.sendRequest("GET", "/slow")
        try eventually("the request") { peer.requests.count == 1 ? true : nil }
        second.server.beginDrain()
        #expect(try client.readAnswer().text == "slow")
        try eventually("the drain") { second.server.isDrained ? true : nil }
        try client.sendRequest()
        #expect(try client.readAnswer().status == 503)
        try first.expect(.upstreamCxActive, 0)
        try first.expect(.upstreamCxCloseNotify, 1)
    }

    @Test("gRPC callers get errors as a status in the head")
    func grpc() throws {
        let proxy = try ProxyFixture(ProxyFixture.configuration(endpoints: []))
        let result = try runTool(
            "nghttp",
            [
                "-v", "-H", ":method: POST", "-H", "content-type: application/grpc",
                "http://127.0.0.1:\(proxy.port)/s/m",
            ])
        #expect(result.output.contains("grpc-status: 14"))
        #expect(result.output.contains("grpc-message: no healthy upstream"))
        #expect(result.output.contains("END_STREAM"))
        #expect(!result.output.contains("recv DATA"))
    }

    @Test("Trailers and interim answers cross from one protocol to the other")
    func bridging() throws {
        let peer = try HTTPPeer { _ in
            .raw(
                "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                    + "3\r\nabc\r\n0\r\nx-t: v\r\n\r\n")
        }
        let proxy = try ProxyFixture([peer]) { _, cluster, _ in cluster.enablesTrailers = true }
        let result = try runTool("nghttp", ["-v", "http://127.0.0.1:\(proxy.port)/"])
        #expect(result.output.contains(":status: 103"))
        #expect(result.output.contains("x-t: v"))
        #expect(!result.output.contains("transfer-encoding"))
    }

    @Test("A peer that does not answer when it is asked whether it is there is given up")
    func keepalive() throws {
        // It takes what comes, and says nothing but the settings that HTTP/2 begins with.
        let peer = try RawPeer { stream in
            try stream.send([0, 0, 0, 4, 0, 0, 0, 0, 0])
            while try stream.read(1) != nil {}
        }
        let proxy = try ProxyFixture(
            ProxyFixture.configuration(endpoints: [peer.port]) { _, cluster, forward in
                cluster.upstreamProtocol = .http2
                cluster.http2.keepaliveInterval = .milliseconds(50)
                cluster.http2.keepaliveTimeout = .milliseconds(50)
                forward.timeout = .seconds(20)
            })
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().status == 503)
        try proxy.expect(.upstreamCxActive, 0)
    }

    @Test("One that answers is left alone, and so is a caller")
    func keptAlive() throws {
        let peer = try HTTPPeer { _ in .delayed(0.5, .answer(200, body: "ok")) }
        let second = try ProxyFixture([peer]) { manager, _, _ in
            manager.http2.keepaliveInterval = .milliseconds(20)
            manager.http2.keepaliveTimeout = .milliseconds(300)
        }
        let first = try ProxyFixture(
            ProxyFixture.configuration(endpoints: [second.port]) { _, cluster, _ in
                cluster.upstreamProtocol = .http2
                cluster.http2.keepaliveInterval = .milliseconds(20)
                cluster.http2.keepaliveTimeout = .milliseconds(300)
            })
        let client = try first.client()
        try client.sendRequest()
        #expect(try client.readAnswer().text == "ok")
    }
}
