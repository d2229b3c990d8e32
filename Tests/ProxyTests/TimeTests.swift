import MeshModel
import MeshPrimitives
import Telemetry
import TestSupport
import Testing
import TrafficPolicy

@testable import Proxy

@Suite("Everything has its time")
struct TimeTests {
    @Test("A try on which nothing moves is repeated")
    func idleTry() throws {
        let peer = try HTTPPeer { $0.number == 0 ? .hang : .answer(200, body: "ok") }
        let proxy = try ProxyFixture([peer]) { _, _, forward in
            var policy = RetryPolicy(retryOn: ["5xx"])
            policy.perTryIdleTimeout = .milliseconds(50)
            forward.retryPolicy = policy
        }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().text == "ok")
        try proxy.expect(.upstreamRqPerTryIdleTimeout, 1)
    }

    @Test("An answer on which nothing moves is cut")
    func idleAnswer() throws {
        let peer = try HTTPPeer { _ in .raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc") }
        let proxy = try ProxyFixture([peer]) { _, _, forward in
            var policy = RetryPolicy(retryOn: ["5xx"])
            policy.perTryIdleTimeout = .milliseconds(50)
            forward.retryPolicy = policy
        }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(throws: (any Error).self) { try client.readAnswer() }
        #expect(peer.requests.count == 1)
    }

    @Test("Work whose deadline has passed is refused at once")
    func over() throws {
        let peer = try HTTPPeer(200)
        let proxy = try ProxyFixture([peer]) { _, _, forward in forward.propagatesDeadline = true }
        let client = try proxy.client()
        try client.sendRequest(
            "POST", fields: [("grpc-timeout", "0m"), ("content-type", "application/grpc")])
        let answer = try client.readAnswer()
        #expect(answer.status == 200 && answer["grpc-status"] == "4")
        #expect(peer.requests.isEmpty)
        try proxy.expect(.upstreamRqDeadlinePassed, 1)
    }

    @Test("A caller's deadline counts while its request is still coming, and travels on shortened")
    func callersDeadline() throws {
        let peer = try HTTPPeer(200)
        let proxy = try ProxyFixture([peer]) { _, _, forward in
            forward.propagatesDeadline = true
            forward.timeout = nil
        }
        let client = try proxy.client()
        try client.sendRequest(fields: [("x-envoy-expected-rq-timeout-ms", "5000")])
        #expect(try client.readAnswer().status == 200)
        let told = peer.requests.first?.message["x-envoy-expected-rq-timeout-ms"].flatMap { Int($0) }
        #expect((1000...5000).contains(told ?? 0))
        try client.send(
            "POST / HTTP/1.1\r\nhost: a\r\nx-envoy-expected-rq-timeout-ms: 100\r\ncontent-length: 5\r\n\r\nab"
        )
        #expect(try client.readAnswer().status == 504)
    }

    @Test("A connection that has had its time takes no more requests", arguments: [false, true])
    func connectionDuration(isBusy: Bool) throws {
        let peer = try HTTPPeer { _ in isBusy ? .delayed(0.3, .answer(200)) : .answer(200) }
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            manager.maxConnectionDuration = .milliseconds(100)
            manager.drainTimeout = .milliseconds(20)
        }
        let client = try proxy.client()
        try client.sendRequest()
        let answer = try client.readAnswer()
        #expect(answer.status == 200)
        if isBusy { #expect(answer["connection"] == "close") }
        #expect(try client.readToEnd().isEmpty)
        try proxy.expect(.downstreamCxMaxDurationReached, 1)
    }

    @Test("A pooled connection that has had its time is closed")
    func upstreamDuration() throws {
        let peer = try HTTPPeer(200)
        let proxy = try ProxyFixture([peer]) { _, cluster, _ in
            cluster.maxConnectionDuration = .milliseconds(100)
        }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().status == 200)
        try proxy.expect(.upstreamCxMaxDurationReached, 1)
        try proxy.expect(.upstreamCxActive, 0)
    }

    @Test("A pooled connection is retired before the endpoint closes it, once that has said when")
    func keepAlive() throws {
        let peer = try HTTPPeer { _ in .answer(200, fields: [("keep-alive", "timeout=1, max=100")]) }
        let proxy = try ProxyFixture([peer])
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().status == 200)
        try proxy.expect(.upstreamCxRetiredIdle, 1)
        #expect(proxy.count(.upstreamCxDestroyRemote) == 0)
        try client.sendRequest()
        #expect(try client.readAnswer().status == 200)
    }

    @Test("Time-outs in shadow mode are counted when the answer comes too late")
    func shadow() throws {
        let peer = try HTTPPeer { _ in .delayed(0.1, .answer(200)) }
        let proxy = try ProxyFixture([peer]) { _, _, forward in
            forward.shadowTimeout = .milliseconds(50)
            forward.shadowPerTryTimeout = .milliseconds(40)
        }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().status == 200)
        try proxy.expect(.shadowRqTimeout, 1)
        try proxy.expect(.shadowRqPerTryTimeout, 1)
    }
}
