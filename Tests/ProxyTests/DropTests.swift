import MeshModel
import MeshPrimitives
import TestSupport
import Testing
import TrafficPolicy

@testable import Proxy

@Suite("Requests that a cluster, a filter or a predicate turns away")
struct DropTests {
    @Test("A cluster may have a share of its requests refused", arguments: [true, false])
    func dropOverload(isAll: Bool) throws {
        let peer = try HTTPPeer()
        let proxy = try ProxyFixture([peer]) { _, cluster, _ in
            cluster.dropShare = isAll ? .all : Fraction(numerator: 999_999, denominator: 1_000_000)
        }
        let client = try proxy.client()
        try client.sendRequest()
        let answer = try client.readAnswer()
        #expect(answer.status == 503)
        #expect(answer.text == (isAll ? "unconditional drop overload" : "drop overload"))
        #expect(answer["x-envoy-\(isAll ? "unconditional-" : "")drop-overload"] == "true")
        #expect(peer.requests.isEmpty)
        let record = try eventually("a record") { proxy.lastRecord }
        #expect(record.flags == (isAll ? .unconditionalDropOverload : .dropOverload))
        #expect(proxy.count(.upstreamRqTotal) == 0)
    }

    @Test("No more requests have a fault at once than may")
    func activeFaults() throws {
        let peer = try HTTPPeer(200, body: "ok")
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            var fault = Fault()
            fault.delay = .fixed(.milliseconds(400))
            fault.delayShare = .all
            fault.activeMax = 1
            manager.filters = [.fault(fault, name: "fault")]
        }
        let (first, second) = (try proxy.client(), try proxy.client())
        try first.sendRequest()
        try proxy.expect(.faultActiveFaults, 1)
        try second.sendRequest()
        #expect(try second.readAnswer().text == "ok")
        #expect(proxy.count(.faultDelaysInjected) == 1)
        #expect(try first.readAnswer().text == "ok")
        try proxy.expect(.faultActiveFaults, 0)
        try proxy.expect(.faultOverflow, 1)
        try second.sendRequest()
        try proxy.expect(.faultDelaysInjected, 2)
    }

    @Test("A weighted cluster has settings of its own for filters")
    func weightedFilters() throws {
        let peer = try HTTPPeer(200, body: "ok")
        var fault = Fault()
        (fault.abort, fault.abortShare) = (.http(418), .all)
        var configuration = ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, forward in
            manager.filters = [.fault(Fault(), name: "fault")]
            var aborted = WeightedCluster(cluster: "other", weight: 1)
            aborted.filters = [RouteFilter(name: "fault", settings: .fault(fault))]
            forward.target = .clusters([WeightedCluster(cluster: "peer", weight: 1), aborted])
        }
        configuration.clusters.append(ProxyFixture.cluster("other", [peer.port]))
        let proxy = try ProxyFixture(configuration)
        let client = try proxy.client()
        var statuses: [Int: Int] = [:]
        for _ in 0..<200 {
            try client.sendRequest()
            statuses[try client.readAnswer().status, default: 0] += 1
        }
        #expect(Set(statuses.keys) == [200, 418])
        #expect(peer.requests.count == statuses[200])
        #expect((60...140).contains(statuses[200] ?? 0), "\(statuses)")
    }

    @Test("A check that is passed on says whose it is, and its answer is given again for a while")
    func passThrough() throws {
        let peer = try HTTPPeer { request in .answer(request.number == 0 ? 200 : 503, body: "of the endpoint")
        }
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            var filter = HealthCheckFilter()
            filter.headers = [HeaderMatch(name: ":path", test: .string(StringMatch(.exact("/check"))))]
            (filter.passesThrough, filter.cacheTime) = (true, .seconds(3600))
            manager.filters = [.healthCheck(filter)]
        }
        let client = try proxy.client()
        try client.sendRequest("GET", "/check")
        let answer = try client.readAnswer()
        #expect(answer.text == "of the endpoint" && answer["x-envoy-upstream-healthchecked-cluster"] != nil)
        try client.sendRequest("GET", "/check")
        let cached = try client.readAnswer()
        #expect(cached.status == 200 && cached.text.isEmpty)
        #expect(peer.requests.count == 1)
        try proxy.expect(.healthCheckCachedResponse, 1)
        proxy.server.process.isHealthFailed.store(true, ordering: .relaxed)
        try client.sendRequest("GET", "/check")
        #expect(try client.readAnswer().status == 503)
        #expect(peer.requests.count == 1)
    }

    @Test("A retry goes to no endpoint with such metadata")
    func omittedMetadata() throws {
        let (bad, old, new) = (
            try HTTPPeer(503), try HTTPPeer(200, body: "old"), try HTTPPeer(200, body: "new")
        )
        let proxy = try ProxyFixture([bad, old, new]) { _, cluster, forward in
            cluster.localities[0].endpoints[0].metadata = ["stage": .string("bad"), "v": .number(1)]
            cluster.localities[0].endpoints[1].metadata = ["stage": .list([.string("bad"), .string("old")])]
            cluster.localities[0].endpoints[2].metadata = ["v": .number(1)]
            var policy = RetryPolicy(retryOn: ["5xx"])
            policy.omittedMetadata = ["stage": .string("bad")]
            policy.hostSelectionAttempts = 5
            (policy.backoffMin, policy.backoffMax) = (.milliseconds(1), .milliseconds(1))
            forward.retryPolicy = policy
        }
        let client = try proxy.client()
        for _ in 0..<30 {
            try client.sendRequest()
            #expect(try client.readAnswer().status == 200)
        }
        // Each takes the turns of all three, from when the first one has met the bad one.
        #expect(bad.requests.count >= 28 && old.requests.count <= 1 && new.requests.count >= 29)
    }
}
