import MeshModel
import MeshPrimitives
import Telemetry
import TestSupport
import Testing
import TrafficPolicy

@testable import Proxy

@Suite("Shares of a mesh-wide limit are kept without asking anybody")
struct QuotaTests {
    private let peer: HTTPPeer
    private static let service = GlobalRateLimit.Service(cluster: "quotas")

    init() throws { peer = try HTTPPeer() }

    private func proxy(
        _ filters: [HTTPFilter] = [], change: (inout QuotaFilter) -> Void
    ) throws -> ProxyFixture {
        var quota = QuotaFilter(service: Self.service, domain: "test")
        change(&quota)
        return try ProxyFixture([peer]) { manager, _, _ in manager.filters = filters + [.quota(quota)] }
    }

    private static func bucket(
        _ id: [String: QuotaFilter.Bucket.Value], without fallback: QuotaFallback = .denyAll
    ) -> QuotaFilter.Bucket {
        var bucket = QuotaFilter.Bucket()
        (bucket.id, bucket.withoutAssignment) = (id, fallback)
        return bucket
    }

    private func statuses(_ proxy: ProxyFixture, _ requests: [[(String, String)]]) throws -> [Int] {
        let client = try proxy.client()
        return try requests.map { fields in
            try client.sendRequest("GET", "/", fields: fields)
            return try client.readAnswer().status
        }
    }

    private func entry(_ proxy: ProxyFixture, _ id: [String: String]) throws -> QuotaEntry {
        try #require(proxy.server.process.quotas.entry(of: "quotas", "test", id))
    }

    @Test("Before there is a share requests go by what the bucket says, and what they use is counted")
    func withoutShare() throws {
        for (fallback, expected) in [
            (QuotaFallback.allowAll, [200, 200]), (.denyAll, [429, 429]),
            (.limited(perSecond: 0.001), [200, 429]),
        ] {
            let proxy = try proxy { $0.rest = Self.bucket(["name": .literal("all")], without: fallback) }
            #expect(try statuses(proxy, [[], []]) == expected)
            let bucket = try entry(proxy, ["name": "all"]).bucket
            let usage = bucket.takeUsage(at: .zero)
            #expect(Int(usage.allowed) == expected.count { $0 == 200 })
            #expect(Int(usage.denied) == expected.count { $0 == 429 })
            #expect(!bucket.hasUsage)
        }
    }

    @Test("A share that is assigned holds at once, in all workers")
    func assigned() throws {
        let proxy = try proxy { $0.rest = Self.bucket(["name": .literal("all")]) }
        #expect(try statuses(proxy, [[]]) == [429])
        let bucket = try entry(proxy, ["name": "all"]).bucket
        bucket.assign(QuotaAssignment(perSecond: .infinity, lifetime: 0), at: .zero)
        #expect(try statuses(proxy, [[], [], []]) == [200, 200, 200])
        bucket.assign(QuotaAssignment(perSecond: 0, lifetime: 0), at: .zero)
        #expect(try statuses(proxy, [[]]) == [429])
        bucket.abandon()
        #expect(bucket.situation(at: .zero) == .unassigned)
    }

    @Test("The first rule whose predicate holds has the request")
    func predicates() throws {
        func field(_ name: String, _ value: String) -> QuotaFilter.Predicate {
            .field(name: name, StringMatch(.exact(value)))
        }
        let proxy = try proxy {
            $0.rules = [
                .init(
                    .all([field(":method", "GET"), .any([field("a", "1"), field("b", "2")])]),
                    Self.bucket(["name": .literal("first")])),
                .init(.not(field("c", "3")), Self.bucket(["name": .literal("second")], without: .allowAll)),
            ]
        }
        #expect(
            try statuses(
                proxy, [[("a", "1")], [("b", "2")], [("a", "2"), ("b", "1")], [("c", "3")], [("c", "4")]])
                == [429, 429, 200, 200, 200])
        #expect(try entry(proxy, ["name": "first"]).bucket.takeUsage(at: .zero).denied == 2)
        #expect(try entry(proxy, ["name": "second"]).bucket.takeUsage(at: .zero).allowed == 2)
        #expect(proxy.server.process.registry.snapshot().value(quota: "test", .denied) == 2)
    }

    @Test("Each value of a field has a bucket, made when it comes, and again when it was forgotten")
    func openValues() throws {
        let proxy = try proxy {
            $0.rest = Self.bucket(
                ["name": .literal("user"), "user": .field("x-user")], without: .limited(perSecond: 0.001))
        }
        let users = ["a", "a", "b", "b", "c"].map { [("x-user", $0)] }
        #expect(try statuses(proxy, users + [[]]) == [200, 429, 200, 429, 200, 200])
        let first = try entry(proxy, ["name": "user", "user": "a"])
        #expect(first.isOpen && proxy.server.process.quotas.entries.count == 3)
        proxy.server.process.quotas.retire(first)
        #expect(proxy.server.process.quotas.entries.count == 2)
        #expect(try statuses(proxy, [users[0]]) == [200])
        #expect(try entry(proxy, ["name": "user", "user": "a"]) !== first)
    }

    @Test("A filter before it may say what the request is told apart by, whatever the caller has written")
    func afterMutation() throws {
        var mutation = HeaderMutation()
        mutation.request = [
            .remove(name: "x-who"),
            .set(name: "x-who", value: "known", action: .overwriteOrAdd, keepsEmpty: false),
        ]
        let proxy = try proxy([.headerMutation(mutation, name: "m")]) {
            $0.rules = [
                .init(
                    .field(name: "x-who", StringMatch(.regex(".+"))),
                    Self.bucket(["who": .field("x-who")], without: .allowAll))
            ]
        }
        #expect(try statuses(proxy, [[("x-who", "liar")], []]) == [200, 200])
        #expect(try entry(proxy, ["who": "known"]).bucket.takeUsage(at: .zero).allowed == 2)
        #expect(proxy.server.process.quotas.entries.count == 1)
    }

    @Test("A refusal is what the bucket says, for gRPC too")
    func refusal() throws {
        let proxy = try proxy {
            var bucket = Self.bucket(["name": .literal("all")])
            bucket.status = 503
            bucket.body = Array("too much".utf8)
            bucket.grpcStatus = 8
            bucket.responseHeaders = [
                .set(name: "x-limit", value: "mesh", action: .appendOrAdd, keepsEmpty: false)
            ]
            $0.rest = bucket
        }
        let client = try proxy.client()
        try client.sendRequest()
        let refused = try client.readAnswer()
        #expect(refused.status == 503 && refused.text == "too much" && refused["x-limit"] == "mesh")
        #expect(proxy.lastRecord?.flags == .rateLimited)
        try client.sendRequest(fields: [("content-type", "application/grpc")])
        let grpc = try client.readAnswer()
        #expect(grpc.status == 200 && grpc["grpc-status"] == "8" && grpc["grpc-message"] == "too much")
    }

    @Test("In the mesh a refusal says when to come again, if the share tells that")
    func retryAfter() throws {
        for (fallback, sends, expected) in [
            (QuotaFallback.limited(perSecond: 0.01), true, "100"), (.limited(perSecond: 0.01), false, nil),
            (.denyAll, true, nil), (.limited(perSecond: 0.6), true, "2"),
        ] {
            let proxy = try proxy {
                $0.rest = Self.bucket(["name": .literal("all")], without: fallback)
                $0.sendsRetryAfter = sends
            }
            let client = try proxy.client()
            var answers: [HTTPMessage] = []
            for _ in 0..<2 {
                try client.sendRequest("GET", "/")
                answers.append(try client.readAnswer())
            }
            let refused = try #require(answers.last)
            #expect(refused.status == 429 && refused["retry-after"] == expected, "\(refused)")
            #expect(fallback == .denyAll || answers[0]["retry-after"] == nil)
        }
    }

    @Test("Where it is not enforced requests go on, marked")
    func notEnforced() throws {
        let proxy = try proxy {
            $0.rest = Self.bucket(["name": .literal("all")])
            $0.enforced = .none
            $0.requestHeadersWhenNotEnforced = [
                .set(name: "x-over", value: "yes", action: .appendOrAdd, keepsEmpty: false)
            ]
        }
        #expect(try statuses(proxy, [[]]) == [200])
        #expect(peer.requests.last?.message["x-over"] == "yes")
        #expect(proxy.lastRecord?.shadows == .rateLimit)
    }

    @Test("A bucket keeps its share over a change elsewhere, and is forgotten when nothing names it")
    func changes() throws {
        var quota = QuotaFilter(service: Self.service, domain: "test")
        quota.rest = Self.bucket(["name": .literal("all")])
        func configuration(_ name: String, _ quota: QuotaFilter) -> Configuration {
            ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, _ in
                manager.serverName = name
                manager.filters = [.quota(quota)]
            }
        }
        let proxy = try ProxyFixture(configuration("a", quota))
        let first = try entry(proxy, ["name": "all"])
        first.bucket.assign(QuotaAssignment(perSecond: .infinity, lifetime: 0), at: .zero)
        var next = configuration("b", quota)
        next.listeners[0].address.port = proxy.port
        try proxy.server.apply(next)
        #expect(try entry(proxy, ["name": "all"]) === first)
        #expect(try statuses(proxy, [[]]) == [200])
        quota.rest = Self.bucket(["name": .literal("other")])
        next = configuration("b", quota)
        next.listeners[0].address.port = proxy.port
        try proxy.server.apply(next)
        #expect(proxy.server.process.quotas.entries.map(\.id) == [["name": "other"]])
    }
}
