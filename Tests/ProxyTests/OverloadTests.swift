import MeshModel
import MeshPrimitives
import Telemetry
import TestSupport
import Testing
import TrafficPolicy

@testable import Proxy

@Suite("Services in trouble are left alone, and policies in shadow mode only watch")
struct OverloadTests {
    private func answers(_ proxy: ProxyFixture, _ count: Int, fields: [(String, String)] = []) throws
        -> [HTTPMessage]
    {
        let client = try proxy.client()
        return try (0..<count).map { _ in
            try client.sendRequest(fields: fields)
            return try client.readAnswer()
        }
    }

    private static func breaker(failures: UInt32 = 3, open: Int64 = 60) -> CircuitBreakerSettings {
        var settings = CircuitBreakerSettings(consecutiveFailuresMax: failures)
        settings.openDuration = open * Nanoseconds.perSecond
        return settings
    }

    // MARK: Breakers

    @Test("An open breaker answers for the service, which gets no more requests")
    func opens() throws {
        let peer = try HTTPPeer(503, body: "bad")
        let proxy = try ProxyFixture([peer]) { manager, cluster, _ in
            manager.sendsProxyStatus = true
            cluster.breaker = Self.breaker()
        }
        let answers = try answers(proxy, 6)
        #expect(answers.map(\.status) == [503, 503, 503, 503, 503, 503])
        #expect(answers[2].text == "bad" && answers[3].text.hasSuffix("reset reason: overflow"))
        #expect(answers[3]["x-envoy-overloaded"] == "true" && answers[2]["x-envoy-overloaded"] == nil)
        #expect(answers[3]["x-martlet-retry"] == "exhausted")
        #expect(answers[3]["proxy-status"]?.contains("circuit_breaker_open") == true)
        #expect(peer.requests.count == 3)
        try proxy.expect(.breakerOpened, 1)
        try proxy.expect(.breakerRejected, 3)
        #expect(proxy.server.process.breakerStates().first?.state == .open)
    }

    @Test("After its time a probe is let through, and a good one closes the breaker")
    func closes() throws {
        let peer = try HTTPPeer { $0.number < 2 ? .answer(500) : .answer(200, body: "ok") }
        let proxy = try ProxyFixture([peer]) { _, cluster, _ in
            var settings = Self.breaker(failures: 2)
            settings.openDuration = 50 * Nanoseconds.perMillisecond
            cluster.breaker = settings
        }
        #expect(try answers(proxy, 3).map(\.status) == [500, 500, 503])
        try eventually("an answer") { try answers(proxy, 1)[0].status == 200 ? true : nil }
        try proxy.expect(.breakerHalfOpened, 1)
        try proxy.expect(.breakerClosed, 1)
        #expect(try answers(proxy, 2).map(\.status) == [200, 200])
    }

    @Test("Refused connections count, and each attempt of a request asks the breaker")
    func connections() throws {
        let gone = try HTTPPeer()
        gone.stop()
        let proxy = try ProxyFixture([gone]) { _, cluster, forward in
            cluster.breaker = Self.breaker(failures: 2)
            var policy = RetryPolicy(retryOn: ["connect-failure"])
            (policy.attempts, policy.backoffMin, policy.backoffMax) = (5, .milliseconds(1), .milliseconds(1))
            forward.retryPolicy = policy
        }
        let answer = try answers(proxy, 1)[0]
        #expect(answer.status == 503 && answer["x-envoy-overloaded"] == "true")
        try proxy.expect(.upstreamCxConnectFail, 2)
        try proxy.expect(.breakerRejected, 1)
    }

    @Test("A caller that goes away says nothing about the service")
    func abandoned() throws {
        let peer = try HTTPPeer(200, body: "ok")
        let proxy = try ProxyFixture([peer]) { _, cluster, _ in cluster.breaker = Self.breaker(failures: 1) }
        let client = try proxy.client()
        // Not all of it: a whole one would be answered although its caller says no more.
        try client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc")
        try proxy.expect(.upstreamRqActive, 1)
        client.close()
        try proxy.expect(.upstreamRqCancelled, 1)
        #expect(try answers(proxy, 1)[0].status == 200)
        #expect(proxy.count(.breakerOpened) == 0)
    }

    @Test("gRPC statuses in the head of an answer count like the errors that they stand for")
    func grpc() throws {
        let peer = try HTTPPeer { _ in .answer(200, fields: [("grpc-status", "14")]) }
        let proxy = try ProxyFixture([peer]) { _, cluster, _ in cluster.breaker = Self.breaker(failures: 2) }
        #expect(try answers(proxy, 4).map(\.status) == [200, 200, 503, 503])
    }

    @Test("A breaker in shadow mode opens, is counted, and refuses nothing")
    func shadowBreaker() throws {
        let peer = try HTTPPeer(503)
        let proxy = try ProxyFixture([peer]) { _, cluster, _ in cluster.shadowBreaker = Self.breaker() }
        _ = try answers(proxy, 6)
        #expect(peer.requests.count == 6)
        try proxy.expect(.shadowBreakerOpened, 1)
        try proxy.expect(.shadowBreakerRejected, 3)
        #expect(proxy.count(.breakerRejected) == 0)
    }

    @Test("A new configuration leaves a breaker as open as it is")
    func reconfigured() throws {
        let peer = try HTTPPeer(503, body: "bad")
        var configuration = ProxyFixture.configuration(endpoints: [peer.port])
        configuration.clusters[0].breaker = Self.breaker()
        let proxy = try ProxyFixture(configuration)
        _ = try answers(proxy, 3)
        configuration.clusters[0].connectTimeout = .seconds(3)
        try proxy.server.apply(configuration)
        #expect(try answers(proxy, 1)[0]["x-envoy-overloaded"] == "true")
        #expect(peer.requests.count == 3)
    }

    // MARK: Limits

    @Test("An endpoint gets no more connections than it may have; requests wait for one")
    func perHost() throws {
        let peer = try HTTPPeer { _ in .delayed(0.1, .answer(200, body: "ok")) }
        let proxy = try ProxyFixture([peer]) { _, cluster, _ in cluster.perHostConnectionsMax = 1 }
        let clients = try (0..<3).map { _ in try proxy.client() }
        for client in clients { try client.sendRequest() }
        for client in clients { #expect(try client.readAnswer().status == 200) }
        #expect(Set(peer.requests.map(\.connection)) == [0])
        #expect(proxy.count(.upstreamCxOverflow) > 0)
    }

    @Test("Limits in shadow mode are counted, and refuse nothing")
    func shadowLimits() throws {
        let peer = try HTTPPeer { _ in .delayed(0.1, .answer(200, body: "ok")) }
        let proxy = try ProxyFixture([peer]) { _, cluster, _ in
            var limits = ShadowLimits()
            (limits.requests, limits.connections, limits.pending) = (1, 1, 1)
            cluster.shadowLimits = limits
        }
        let clients = try (0..<3).map { _ in try proxy.client() }
        for client in clients { try client.sendRequest() }
        for client in clients { #expect(try client.readAnswer().status == 200) }
        try proxy.expect(.shadowRqOverflow, 2)
        try proxy.expect(.shadowCxOverflow, 2)
    }

    // MARK: Filters

    @Test(
        "A limit that follows latency refuses what is beyond it, unless it only watches",
        arguments: [false, true])
    func concurrency(isShadow: Bool) throws {
        let peer = try HTTPPeer { _ in .delayed(0.2, .answer(200)) }
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            var settings = AdaptiveConcurrencySettings(
                updateInterval: Nanoseconds.perSecond, minRTTInterval: 60 * Nanoseconds.perSecond)
            settings.limitMin = 1
            var filter = AdaptiveConcurrencyFilter(settings)
            filter.status = 529
            filter.mode = isShadow ? .shadow : .enforce
            manager.filters = [.adaptiveConcurrency(filter)]
        }
        let clients = try (0..<2).map { _ in try proxy.client() }
        try clients[0].sendRequest()
        try eventually("the request") { peer.requests.count == 1 ? true : nil }
        try clients[1].sendRequest()
        let second = try clients[1].readAnswer()
        #expect(second.status == (isShadow ? 200 : 529))
        if !isShadow { #expect(second.text == "reached concurrency limit") }
        #expect(try clients[0].readAnswer().status == 200)
        try proxy.expect(
            isShadow ? HTTPCounter.adaptiveConcurrencyShadowRqBlocked : .adaptiveConcurrencyRqBlocked, 1)
        // The place is free again.
        try clients[1].sendRequest()
        #expect(try clients[1].readAnswer().status == 200)
    }

    @Test(
        "Admission control refuses more as fewer succeed, unless it only watches", arguments: [false, true])
    func admission(isShadow: Bool) throws {
        let peer = try HTTPPeer(503, body: "bad")
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            var filter = AdmissionControlFilter()
            filter.settings.rejectionProbabilityMax = 100
            filter.mode = isShadow ? .shadow : .enforce
            manager.filters = [.admissionControl(filter)]
        }
        let answers = try answers(proxy, 200)
        let refused = answers.count { $0.text != "bad" }
        if isShadow {
            #expect(refused == 0 && peer.requests.count == 200)
            #expect(proxy.count(HTTPCounter.admissionControlShadowRqRejected) > 100)
        } else {
            #expect(refused > 100 && peer.requests.count == 200 - refused)
            try proxy.expect(HTTPCounter.admissionControlRqRejected, refused)
            try proxy.expect(HTTPCounter.admissionControlRqFailure, 200 - refused)
        }
    }
}
