import MeshModel
import MeshPrimitives
import Telemetry
import TestSupport
import Testing

@testable import Proxy

@Suite("Limits hold, exactly, over all workers")
struct LimitTests {
    private func expectOverload(_ answer: HTTPMessage) {
        #expect(answer.status == 503)
        #expect(answer["x-envoy-overloaded"] == "true")
        #expect(
            answer.text == "upstream connect error or disconnect/reset before headers. reset reason: overflow"
        )
    }

    @Test("Requests beyond the limit are refused", arguments: [1, 2])
    func requests(workers: Int) throws {
        let peer = try HTTPPeer { request in request.message.target == "/hang" ? .hang : .answer(200) }
        let proxy = try ProxyFixture([peer], workers: workers) { _, cluster, _ in
            cluster.normalLimits.requests = 3
        }
        var held: [TCPStream] = []
        for index in 0..<3 {
            let client = try proxy.client()
            try client.sendRequest("GET", "/hang")
            held.append(client)
            try eventually("the request") { peer.requests.count == index + 1 ? true : nil }
        }
        for _ in 0..<4 {
            let client = try proxy.client()
            try client.sendRequest()
            expectOverload(try client.readAnswer())
        }
        held[0].reset()
        try proxy.expect(.upstreamRqActive, 2)
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().status == 200)
    }

    @Test("Requests that wait for a connection count as pending")
    func pending() throws {
        let peer = try HTTPPeer()
        let proxy = try ProxyFixture([peer]) { _, cluster, _ in cluster.normalLimits.pending = 0 }
        let client = try proxy.client()
        try client.sendRequest()
        expectOverload(try client.readAnswer())
        try proxy.expect(.upstreamRqPendingOverflow, 1)
    }

    @Test("Requests share the connections that there may be", arguments: [1, 2])
    func connections(workers: Int) throws {
        let peer = try HTTPPeer { _ in .delayed(0.002, .answer(200, body: "ok")) }
        let proxy = try ProxyFixture([peer], workers: workers) { _, cluster, _ in
            cluster.normalLimits.connections = 2
        }
        let clients = try (0..<8).map { _ in try proxy.client() }
        for _ in 0..<10 {
            for client in clients { try client.sendRequest() }
            for client in clients { #expect(try client.readAnswer().text == "ok") }
            try eventually("two connections at most") { peer.openConnectionCount <= 2 ? true : nil }
        }
    }

    @Test("A worker without a connection gets the place of another's idle one")
    func starved() throws {
        let peer = try HTTPPeer(200, body: "ok")
        let proxy = try ProxyFixture([peer], workers: 2) { _, cluster, _ in
            cluster.normalLimits.connections = 1
        }
        // By their ports some of them belong to either worker.
        let clients = try (0..<12).map { _ in try proxy.client() }
        for _ in 0..<3 {
            for client in clients {
                try client.sendRequest()
                #expect(try client.readAnswer().text == "ok")
            }
        }
        // The peer may learn a moment later that its connection has gone.
        try eventually("one connection") { peer.openConnectionCount == 1 ? true : nil }
        for client in clients { try client.sendRequest() }
        for client in clients { #expect(try client.readAnswer().text == "ok") }
        try proxy.expect(.upstreamCxActive, 1)
    }

    @Test("With one place, an idle connection to one endpoint makes room for another's")
    func otherEndpoint() throws {
        let peers = [try HTTPPeer(200, body: "a"), try HTTPPeer(200, body: "b")]
        let proxy = try ProxyFixture(peers) { _, cluster, _ in cluster.normalLimits.connections = 1 }
        let client = try proxy.client()
        var seen: Set<String> = []
        for _ in 0..<6 {
            try client.sendRequest()
            seen.insert(try client.readAnswer().text)
        }
        #expect(seen == ["a", "b"])
    }

    @Test("A local rate limit refuses with 429, and says how much is left")
    func rateLimit() throws {
        let peer = try HTTPPeer()
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            var limit = LocalRateLimit(statPrefix: "limit")
            limit.bucket = TokenBucket(tokensMax: 2, tokensPerFill: 2, fillInterval: .seconds(60))
            (limit.enabled, limit.enforced) = (.all, .all)
            (limit.sendsRateLimitHeaders, limit.sendsRetryAfter) = (true, true)
            limit.responseHeaders = [
                .set(name: "x-local", value: "yes", action: .appendOrAdd, keepsEmpty: false)
            ]
            manager.filters = [.localRateLimit(limit, name: "limit")]
        }
        let client = try proxy.client()
        var remaining: [String?] = []
        for _ in 0..<2 {
            try client.sendRequest()
            let answer = try client.readAnswer()
            #expect(answer.status == 200 && answer["x-ratelimit-limit"] == "2")
            remaining.append(answer["x-ratelimit-remaining"])
        }
        #expect(remaining == ["1", "0"])
        try client.sendRequest()
        let refused = try client.readAnswer()
        #expect(refused.status == 429 && refused.text == "local_rate_limited")
        #expect(refused["x-ratelimit-remaining"] == "0" && refused["x-local"] == "yes")
        let wait = try #require(refused["retry-after"].flatMap { Int($0) })
        #expect((1...60).contains(wait))
        #expect(peer.requests.count == 2)
    }
}

@Suite("Limits on time hold")
struct TimeLimitTests {
    @Test("A request beyond the route's time is a 504, and its connection is not used again")
    func routeTimeout() throws {
        let peer = try HTTPPeer { request in request.number == 0 ? .hang : .answer(200, body: "ok") }
        let proxy = try ProxyFixture([peer]) { _, _, forward in forward.timeout = .milliseconds(50) }
        let client = try proxy.client()
        try client.sendRequest("POST", body: "abc")
        let answer = try client.readAnswer()
        #expect(answer.status == 504 && answer.text == "upstream request timeout")
        try client.sendRequest()
        #expect(try client.readAnswer().text == "ok")
        try proxy.expect(.upstreamRqTimeout, 1)
        try proxy.expect(.upstreamCxActive, 1)
    }

    @Test("The route's time covers the body of the answer, which is cut")
    func cutBody() throws {
        let peer = try HTTPPeer { _ in .raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc") }
        let proxy = try ProxyFixture([peer]) { _, _, forward in forward.timeout = .milliseconds(50) }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readHead()?.status == 200)
        #expect(try client.readToEnd() == Array("abc".utf8))
    }

    @Test("A body that stops coming is a 408, one of the answer's is cut")
    func streamIdle() throws {
        let peer = try HTTPPeer { _ in
            .raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        }
        let proxy = try ProxyFixture([peer]) { manager, _, _ in manager.streamIdleTimeout = .milliseconds(50)
        }
        let client = try proxy.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        let answer = try client.readAnswer()
        #expect(answer.status == 408 && answer.text == "stream timeout")
        let second = try proxy.client()
        try second.sendRequest()
        #expect(try second.readHead()?.status == 200)
        #expect(try second.readToEnd() == Array("3\r\nabc\r\n".utf8))
    }

    @Test("A head that does not come to its end is a 408, a connection without one is closed")
    func requestHeaders() throws {
        let peer = try HTTPPeer()
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            manager.requestHeadersTimeout = .milliseconds(60)
            manager.idleTimeout = .milliseconds(120)
            manager.drainTimeout = .milliseconds(50)
        }
        let client = try proxy.client()
        try client.send("GET / HTTP/1.1\r\nHos")
        #expect(try client.readAnswer().status == 408)
        #expect(client.isEnded(within: 5))
        let silent = try proxy.client()
        #expect(try silent.readToEnd().isEmpty)
        try proxy.expect(.downstreamCxIdleTimeout, 1)
        let idle = try proxy.client()
        try idle.sendRequest()
        #expect(try idle.readAnswer().status == 200)
        #expect(try idle.readToEnd().isEmpty)
        try proxy.expect(.downstreamCxIdleTimeout, 2)
        try proxy.expect(.downstreamCxActive as ListenerCounter, 0)
    }

    @Test("A request that is not all there in time is a 408")
    func requestTimeout() throws {
        let peer = try HTTPPeer()
        let proxy = try ProxyFixture([peer]) { manager, _, _ in manager.requestTimeout = .milliseconds(50) }
        let client = try proxy.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        let answer = try client.readAnswer()
        #expect(answer.status == 408 && answer.text == "request timeout")
    }

    @Test("Idle connections to endpoints close after their time")
    func upstreamIdle() throws {
        let peer = try HTTPPeer()
        let proxy = try ProxyFixture([peer]) { _, cluster, _ in cluster.idleTimeout = .milliseconds(50) }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().status == 200)
        try eventually("the end of the connection") { peer.openConnectionCount == 0 ? true : nil }
        try proxy.expect(.upstreamCxIdleTimeout, 1)
    }

    @Test("Connections end after the requests that they may carry")
    func requestsPerConnection() throws {
        let peer = try HTTPPeer()
        let proxy = try ProxyFixture([peer]) { manager, cluster, _ in
            manager.maxRequestsPerConnection = 4
            cluster.maxRequestsPerConnection = 2
        }
        let client = try proxy.client()
        for index in 1...4 {
            try client.sendRequest()
            #expect(try client.readAnswer()["connection"] == (index == 4 ? "close" : nil))
        }
        #expect(try client.readToEnd().isEmpty)
        #expect(peer.connectionCount == 2)
    }
}
