import MeshModel
import MeshPrimitives
import TestSupport
import Testing

@testable import Proxy

@Suite("A try that takes too long is joined by another, and one answer is taken")
struct HedgingTests {
    private func proxy(
        _ peers: [HTTPPeer],
        change: (inout RetryPolicy, inout Cluster, inout Forward) -> Void = { _, _, _ in }
    ) throws -> ProxyFixture {
        try ProxyFixture(peers) { manager, cluster, forward in
            manager.sendsProxyStatus = true
            var policy = RetryPolicy(retryOn: ["5xx"])
            (policy.backoffMin, policy.backoffMax) = (.milliseconds(1), .milliseconds(1))
            policy.perTryTimeout = .milliseconds(50)
            forward.hedges = true
            change(&policy, &cluster, &forward)
            forward.retryPolicy = policy
        }
    }

    /// What each request in turn is answered with.
    private func peer(_ replies: PeerReply...) throws -> HTTPPeer {
        try HTTPPeer { replies[min($0.number, replies.count - 1)] }
    }

    @Test("The second attempt's answer is taken when it is the first to come")
    func secondWins() throws {
        let peer = try peer(.hang, .answer(200, body: "second"))
        let proxy = try proxy([peer])
        let client = try proxy.client()
        try client.sendRequest("POST", body: "abc")
        #expect(try client.readAnswer().text == "second")
        #expect(peer.requests.map(\.message.text) == ["abc", "abc"])
        // A try may take as long as the request.
        #expect(peer.requests.first?.message["x-envoy-expected-rq-timeout-ms"] == "15000")
        let record = try eventually("a record") { proxy.lastRecord }
        #expect(record.attemptCount == 2)
        #expect(record.attempt(0).end == .abandoned && record.attempt(1).end == .answered)
        #expect(record.attempt(1).cause == .hedged)
        // As in Envoy, a time-out that ends nothing is not counted as one.
        #expect(proxy.count(.upstreamRqPerTryTimeout) == 0)
        try proxy.expect(.upstreamRqRetry, 1)
        try proxy.expect(.upstreamRqActive, 0)
        try client.sendRequest()
        #expect(try client.readAnswer().text == "second")
    }

    @Test("The first attempt's answer is taken if it comes before that of the second")
    func firstWins() throws {
        let peer = try peer(.delayed(0.3, .answer(200, body: "first")), .hang)
        let proxy = try proxy([peer])
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().text == "first")
        #expect(peer.requests.count == 2)
        let record = try eventually("a record") { proxy.lastRecord }
        #expect(record.attempt(0).end == .answered && record.attempt(1).end == .abandoned)
        try proxy.expect(.upstreamRqActive, 0)
        try proxy.expect(.upstreamCxActive, 1)
    }

    @Test("A bad answer is thrown away while another attempt is running", arguments: [true, false])
    func badAnswer(isOfFirst: Bool) throws {
        let (bad, good) = (
            PeerReply.delayed(0.2, .answer(503, body: "bad")),
            PeerReply.delayed(0.5, .answer(200, body: "good"))
        )
        let peer = isOfFirst ? try peer(bad, good) : try peer(good, bad)
        let proxy = try proxy([peer])
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().text == "good")
        #expect(peer.requests.count == 2)
        try proxy.expect(.upstreamRqActive, 0)
    }

    @Test("When all answers are bad the last one passes")
    func allBad() throws {
        let peer = try peer(
            .delayed(0.2, .answer(503, body: "one")), .delayed(0.4, .answer(502, body: "two")))
        let proxy = try proxy([peer])
        let client = try proxy.client()
        try client.sendRequest()
        let answer = try client.readAnswer()
        #expect(answer.text == "two" && answer["x-martlet-retry"] == "exhausted")
        #expect(peer.requests.count == 2)
    }

    @Test("An attempt that fails leaves the other one going", arguments: [true, false])
    func failing(isFirst: Bool) throws {
        let (bad, good) = (
            PeerReply.delayed(0.2, .reset), PeerReply.delayed(0.5, .answer(200, body: "good"))
        )
        let peer = isFirst ? try peer(bad, good) : try peer(good, bad)
        let proxy = try proxy([peer])
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().text == "good")
        #expect(peer.requests.count == 2)
        try proxy.expect(.upstreamRqActive, 0)
    }

    @Test("A further try that takes too long is joined as well, as far as retries are left")
    func many() throws {
        let peer = try peer(.hang, .hang, .hang, .answer(200, body: "fourth"))
        let proxy = try proxy([peer]) { policy, _, _ in policy.attempts = 3 }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().text == "fourth")
        try proxy.expect(.upstreamRqRetry, 3)
        try proxy.expect(.upstreamCxActive, 1)
    }

    @Test("What may not be sent twice goes on alone, and why is recorded", arguments: ["key", "method"])
    func unrepeatable(why: String) throws {
        let peer = try peer(.delayed(0.3, .answer(200, body: "first")), .answer(200, body: "second"))
        let proxy = try proxy([peer]) { policy, _, _ in
            policy.methods = why == "key" ? .any : .idempotent
            policy.idempotencyHeader = "idempotency-key"
        }
        let client = try proxy.client()
        try client.sendRequest("POST", fields: why == "key" ? [("idempotency-key", "1")] : [], body: "abc")
        #expect(try client.readAnswer().text == "first")
        #expect(peer.requests.count == 1)
        let record = try eventually("a record") { proxy.lastRecord }
        #expect(record.retryRefusal == .methodNotRepeatable)
    }

    @Test("Without a place among the retries a try goes on alone")
    func budget() throws {
        let peer = try peer(.delayed(0.3, .answer(200, body: "first")), .answer(200, body: "second"))
        let proxy = try proxy([peer]) { _, cluster, _ in cluster.normalLimits.retries = 0 }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().text == "first")
        #expect(peer.requests.count == 1)
        try proxy.expect(.upstreamRqRetryOverflow, 1)
    }

    @Test("The request's time-out ends all of its attempts")
    func timeout() throws {
        let peer = try peer(.hang)
        let proxy = try proxy([peer]) { policy, cluster, forward in
            policy.attempts = 5
            cluster.normalLimits.retries = 10
            forward.timeout = .milliseconds(400)
        }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().status == 504)
        #expect(peer.requests.count == 6)
        try proxy.expect(.upstreamCxActive, 0)
        try proxy.expect(.upstreamRqActive, 0)
    }

    @Test("A caller that leaves ends all of its attempts")
    func leaving() throws {
        let peer = try peer(.hang)
        let proxy = try proxy([peer])
        let client = try proxy.client()
        try client.sendRequest()
        try eventually("both attempts") { peer.requests.count == 2 ? true : nil }
        client.reset()
        try proxy.expect(.upstreamCxActive, 0)
        try proxy.expect(.downstreamRqActive, 0)
    }

    @Test("A trusted caller may ask for it, or ask not to have it", arguments: ["true", "false"])
    func asked(word: String) throws {
        let peer = try peer(.delayed(0.3, .answer(200, body: "first")), .answer(200, body: "second"))
        let proxy = try ProxyFixture([peer]) { manager, _, forward in
            manager.trustsLocalControls = true
            var policy = RetryPolicy(retryOn: ["connect-failure"])
            policy.perTryTimeout = .milliseconds(50)
            forward.retryPolicy = policy
            forward.hedges = word == "false"
        }
        let client = try proxy.client()
        try client.sendRequest(fields: [
            ("x-envoy-hedge-on-per-try-timeout", word), ("x-envoy-max-retries", "1"),
        ])
        #expect(try client.readAnswer().text == (word == "true" ? "second" : "upstream request timeout"))
        #expect(peer.requests.first?.message["x-envoy-hedge-on-per-try-timeout"] == nil)
    }
}
