import MeshModel
import MeshPrimitives
import TestSupport
import Testing

@testable import Proxy

@Suite("Attempts are repeated where the policy says so, and never where harm could come of it")
struct RetryTests {
    /// Fails so many times, then answers "ok".
    private func peer(failing count: Int, _ reply: PeerReply) throws -> HTTPPeer {
        try HTTPPeer { request in request.number < count ? reply : .answer(200, body: "ok") }
    }

    private func proxy(
        _ peers: [HTTPPeer], _ words: String..., workers: Int = 1,
        change: (inout RetryPolicy, inout Cluster, inout Forward) -> Void = { _, _, _ in }
    ) throws -> ProxyFixture {
        try ProxyFixture(peers, workers: workers) { manager, cluster, forward in
            // As in the mesh, where answers tell that retries are spent.
            manager.sendsProxyStatus = true
            var policy = RetryPolicy(retryOn: words)
            policy.backoffMin = .milliseconds(1)
            policy.backoffMax = .milliseconds(2)
            change(&policy, &cluster, &forward)
            forward.retryPolicy = policy
        }
    }

    @Test(
        "Each condition repeats its outcome and no other",
        arguments: [
            ("5xx", 503, true), ("5xx", 500, true), ("5xx", 404, false), ("gateway-error", 502, true),
            ("gateway-error", 500, false), ("retriable-status-codes", 418, true),
            ("retriable-status-codes", 503, false), ("retriable-4xx", 409, true), ("reset", 503, false),
        ])
    func statuses(word: String, status: Int, isRepeated: Bool) throws {
        let peer = try peer(failing: 1, .answer(status, body: "bad"))
        let proxy = try proxy([peer], word) { policy, _, _ in policy.retriableStatusCodes = [418] }
        let client = try proxy.client()
        try client.sendRequest("POST", body: "abc")
        #expect(try client.readAnswer().status == (isRepeated ? 200 : status))
        #expect(peer.requests.count == (isRepeated ? 2 : 1))
        #expect(peer.requests.allSatisfy { $0.message.text == "abc" })
        if isRepeated {
            try proxy.expect(.upstreamRqRetry, 1)
            try proxy.expect(.upstreamRqRetrySuccess, 1)
        }
    }

    @Test("An answer that is not passed on is skipped with its body, and its connection used again")
    func skipped() throws {
        let peer = try peer(failing: 1, .answer(503, body: String(repeating: "x", count: 3000)))
        let proxy = try proxy([peer], "5xx")
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().text == "ok")
        try client.sendRequest()
        #expect(try client.readAnswer().text == "ok")
        #expect(peer.requests.count == 3)
    }

    @Test("When retries are spent the last answer passes, marked")
    func exhausted() throws {
        let peer = try peer(failing: 100, .answer(503, body: "bad"))
        let proxy = try proxy([peer], "5xx") { policy, _, _ in policy.attempts = 2 }
        let client = try proxy.client()
        try client.sendRequest()
        let answer = try client.readAnswer()
        #expect(answer.status == 503 && answer.text == "bad")
        #expect(answer["x-martlet-retry"] == "exhausted")
        #expect(peer.requests.count == 3)
        try proxy.expect(.upstreamRqRetry, 2)
        try proxy.expect(.upstreamRqRetryLimitExceeded, 1)
    }

    @Test("What a proxy nearer to the failure has given up is not tried again")
    func exhaustedNearer() throws {
        let peer = try peer(failing: 1, .answer(503, fields: [("x-martlet-retry", "exhausted")]))
        let proxy = try proxy([peer], "5xx")
        let client = try proxy.client()
        try client.sendRequest()
        let answer = try client.readAnswer()
        #expect(answer.status == 503 && answer["x-martlet-retry"] == "exhausted")
        #expect(peer.requests.count == 1)
    }

    @Test("A refused connection goes to another endpoint", arguments: ["connect-failure", "5xx", "safe"])
    func refused(word: String) throws {
        let (gone, peer) = (try HTTPPeer(), try HTTPPeer(200, body: "ok"))
        gone.stop()
        let proxy = try ProxyFixture([gone, peer]) { _, _, forward in
            var policy = RetryPolicy(retryOn: word == "safe" ? [] : [word])
            policy.provablySafe = word == "safe"
            policy.avoidsPreviousHosts = true
            policy.hostSelectionAttempts = 5
            forward.retryPolicy = policy
        }
        for _ in 0..<4 {
            let client = try proxy.client()
            try client.sendRequest("POST", body: "abc")
            #expect(try client.readAnswer().text == "ok")
        }
        #expect(peer.requests.count == 4)
    }

    @Test("A reset before the answer is repeated on `reset` only", arguments: [true, false])
    func reset(isAsked: Bool) throws {
        let peer = try peer(failing: 1, .reset)
        let proxy = try proxy([peer], isAsked ? "reset" : "connect-failure")
        let client = try proxy.client()
        try client.sendRequest("POST", body: "abc")
        let answer = try client.readAnswer()
        #expect(answer.status == (isAsked ? 200 : 503))
        if !isAsked { #expect(answer.text.hasSuffix("reset reason: connection termination")) }
        #expect(peer.requests.count == (isAsked ? 2 : 1))
    }

    @Test("Methods that may not be repeated are not", arguments: ["GET", "PUT", "POST"])
    func methods(method: String) throws {
        let peer = try peer(failing: 1, .close)
        let proxy = try proxy([peer], "reset") { policy, _, _ in policy.methods = .idempotent }
        let client = try proxy.client()
        try client.sendRequest(method, body: method == "GET" ? nil : "abc")
        #expect(try client.readAnswer().status == (method == "POST" ? 503 : 200))
        #expect(peer.requests.count == (method == "POST" ? 1 : 2))
    }

    @Test("An idempotency key lets a POST be repeated")
    func keyed() throws {
        let peer = try peer(failing: 1, .close)
        let proxy = try proxy([peer], "reset") { policy, _, _ in
            policy.methods = .idempotent
            policy.idempotencyHeader = "idempotency-key"
        }
        let client = try proxy.client()
        try client.sendRequest("POST", fields: [("Idempotency-Key", "1")], body: "abc")
        #expect(try client.readAnswer().status == 200)
    }

    @Test(
        "Long bodies are repeated up to the bound, and those beyond it are not",
        arguments: [50_000, 3_000_000])
    func bodies(size: Int) throws {
        let peer = try peer(failing: 1, .answer(503))
        let proxy = try proxy([peer], "5xx")
        let client = try proxy.client()
        try client.sendRequest("POST", body: String(repeating: "x", count: size))
        #expect(try client.readAnswer().status == (size < 1 << 20 ? 200 : 503))
        #expect(peer.requests.allSatisfy { $0.message.bodyCount == size })
    }

    @Test("A chunked body is repeated with its trailers")
    func chunkedBody() throws {
        let peer = try peer(failing: 1, .answer(503))
        let proxy = try ProxyFixture([peer]) { manager, cluster, forward in
            (manager.enablesTrailers, cluster.enablesTrailers) = (true, true)
            forward.retryPolicy = RetryPolicy(retryOn: ["5xx"])
        }
        let client = try proxy.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        try client.send("3\r\nabc\r\n3\r\ndef\r\n0\r\nx-t: v\r\n\r\n")
        #expect(try client.readAnswer().status == 200)
        #expect(peer.requests.map(\.message.text) == ["abcdef", "abcdef"])
        #expect(peer.requests.map { $0.message.trailers.first?.value } == ["v", "v"])
    }

    @Test("An attempt that takes too long is repeated")
    func perTryTimeout() throws {
        let peer = try peer(failing: 1, .hang)
        let proxy = try proxy([peer], "gateway-error") { policy, _, _ in
            policy.perTryTimeout = .milliseconds(50)
        }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().text == "ok")
        try proxy.expect(.upstreamRqPerTryTimeout, 1)
        let told = peer.requests.first?.message["x-envoy-expected-rq-timeout-ms"].flatMap { Int($0) }
        #expect((1...50).contains(told ?? 0))
    }

    @Test("The number of the attempt travels along")
    func attemptCount() throws {
        let peer = try peer(failing: 2, .answer(503))
        var configuration = ProxyFixture.configuration(endpoints: [peer.port])
        var policy = RetryPolicy(retryOn: ["5xx"])
        policy.attempts = 5
        var host = VirtualHost(
            name: "a", domains: ["*"],
            routes: [.forward("", .prefix("/")) { _, forward in forward.retryPolicy = policy }])
        host.includesAttemptCountInRequest = true
        host.includesAttemptCountInResponse = true
        configuration.setHosts([host])
        let proxy = try ProxyFixture(configuration)
        let client = try proxy.client()
        try client.sendRequest(fields: [("x-envoy-attempt-count", "77")])
        #expect(try client.readAnswer()["x-envoy-attempt-count"] == "3")
        #expect(
            peer.requests.map { $0.message.values(of: "x-envoy-attempt-count") } == [["1"], ["2"], ["3"]])
    }

    @Test("Without a place among the retries the answer at hand passes")
    func budget() throws {
        let peer = try peer(failing: 100, .answer(503, body: "bad"))
        let proxy = try proxy([peer], "5xx") { _, cluster, _ in cluster.normalLimits.retries = 0 }
        let client = try proxy.client()
        try client.sendRequest()
        let answer = try client.readAnswer()
        #expect(answer.status == 503 && answer["x-martlet-retry"] == "exhausted" && answer.text == "bad")
        #expect(peer.requests.count == 1)
        try proxy.expect(.upstreamRqRetryOverflow, 1)
    }

    @Test("A pooled connection that the endpoint has closed is never used, and no request repeated")
    func staleConnection() throws {
        let closed = Tally()
        let peer = try RawPeer { stream in
            guard var head = try stream.readHead() else { return }
            try stream.readBody(of: &head, untilEnd: false)
            try stream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            stream.close()
            closed.add()
        }
        let proxy = try ProxyFixture(ProxyFixture.configuration(endpoints: [peer.port]))
        for index in 1...20 {
            let client = try proxy.client()
            try client.sendRequest("POST", body: "abc")
            #expect(try client.readAnswer().text == "ok")
            try eventually("the end") { closed.count == index ? true : nil }
        }
        #expect(proxy.count(.upstreamRqTotal) == 20)
        #expect(proxy.count(.upstreamCxDestroyRemote) >= 19)
    }

    @Test("On a reused connection that closes a GET is repeated, a POST is not", arguments: ["GET", "POST"])
    func reusedConnection(method: String) throws {
        let peer = try peer(failing: 0, .close)
        let proxy = try proxy([peer]) { policy, _, _ in policy.provablySafe = true }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().status == 200)
        // Read, and then closed without an answer.
        peer.isDropping = true
        try client.sendRequest(method, body: method == "GET" ? nil : "abc")
        try eventually("the request") { peer.requests.count >= 2 ? true : nil }
        peer.isDropping = false
        let answer = try client.readAnswer()
        let count = peer.requests.filter { $0.message.method == method }.count
        if method == "POST" {
            #expect(answer.status == 503 && count == 1)
        } else {
            #expect(answer.status == 200 || proxy.count(.upstreamRqRetry) == 1)
        }
    }

    @Test("Request controls count from trusted callers only", arguments: [false, true])
    func controls(isTrusted: Bool) throws {
        let peer = try peer(failing: 1, .answer(503))
        let proxy = try ProxyFixture([peer]) { manager, _, _ in manager.trustsLocalControls = isTrusted }
        let client = try proxy.client()
        try client.sendRequest(fields: [("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "2")])
        #expect(try client.readAnswer().status == (isTrusted ? 200 : 503))
        #expect(peer.requests.first?.message["x-envoy-retry-on"] == nil)
    }

    @Test("Fields of an answer, and a caller that is trusted, may ask for another attempt")
    func retriableFields() throws {
        let peer = try HTTPPeer { request in
            request.number % 2 == 0 ? .answer(200, fields: [("x-again", "1")]) : .answer(200, body: "ok")
        }
        let proxy = try proxy([peer], "retriable-headers") { policy, _, _ in
            policy.retriableHeaders = [HeaderMatch(name: "x-again", test: .present(true))]
        }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().text == "ok")
        #expect(peer.requests.count == 2)
    }

    @Test("An endpoint that says when to come back is believed, up to a bound")
    func resetFields() throws {
        let peer = try peer(failing: 1, .answer(503, fields: [("retry-after", "1")]))
        let proxy = try proxy([peer], "5xx") { policy, _, _ in
            policy.resetHeaders = [.init(name: "retry-after", format: .seconds)]
        }
        let client = try proxy.client()
        let start = ContinuousClock.now
        try client.sendRequest()
        #expect(try client.readAnswer().text == "ok")
        #expect(ContinuousClock.now - start >= .seconds(1))
        try proxy.expect(.upstreamRqRetryBackoffRatelimited, 1)
    }

    @Test("Each retry and each refusal has its reason in the record")
    func reasons() throws {
        let peer = try HTTPPeer { $0.number == 0 ? .answer(503) : .close }
        let proxy = try proxy([peer], "5xx") { policy, _, _ in policy.attempts = 5 }
        let client = try proxy.client()
        try client.sendRequest("GET")
        #expect(try client.readAnswer().status == 503)
        let record = try eventually("a record") { proxy.lastRecord }
        #expect(record.attempt(1).cause == .status5xx && record.attempt(2).cause == .reset)
        #expect(record.retryRefusal == .limitExceeded)
    }

    @Test("A POST that may have been read is not repeated, and why is counted and recorded")
    func refusedMethod() throws {
        let peer = try HTTPPeer { _ in .close }
        let proxy = try proxy([peer], "reset") { policy, _, _ in policy.methods = .idempotent }
        let client = try proxy.client()
        try client.sendRequest("POST", body: "abc")
        #expect(try client.readAnswer().status == 503)
        #expect(peer.requests.count == 1)
        try proxy.expect(.retryRefusedMethod, 1)
        let record = try eventually("a record") { proxy.lastRecord }
        #expect(record.retryRefusal == .methodNotRepeatable)
    }

    @Test("A retry policy in shadow mode is decided and counted, and repeats nothing")
    func shadow() throws {
        let peer = try peer(failing: 100, .answer(503))
        let proxy = try ProxyFixture([peer]) { _, _, forward in
            forward.shadowRetryPolicy = RetryPolicy(retryOn: ["5xx"])
        }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().status == 503)
        #expect(peer.requests.count == 1)
        try proxy.expect(.shadowRqRetry, 1)
        #expect(proxy.count(.upstreamRqRetry) == 0)
        let record = try eventually("a record") { proxy.lastRecord }
        #expect(record.shadows == .retry)
    }

    @Test("Retries pass over the priorities of earlier attempts")
    func priorities() throws {
        let (near, far) = (try HTTPPeer(503, body: "near"), try HTTPPeer(200, body: "far"))
        var configuration = ProxyFixture.configuration(endpoints: [near.port]) { _, cluster, forward in
            var other = LocalityEndpoints(endpoints: [ProxyFixture.endpoint(far.port)])
            other.priority = 1
            cluster.localities.append(other)
            var policy = RetryPolicy(retryOn: ["5xx"])
            policy.prioritiesUpdateFrequency = 1
            (policy.backoffMin, policy.backoffMax) = (.milliseconds(1), .milliseconds(1))
            forward.retryPolicy = policy
        }
        configuration.clusters[0].localities.swapAt(0, 1)
        let proxy = try ProxyFixture(configuration)
        let client = try proxy.client()
        for _ in 0..<3 {
            try client.sendRequest()
            #expect(try client.readAnswer().text == "far")
        }
        #expect(near.requests.count == 3)
    }
}
