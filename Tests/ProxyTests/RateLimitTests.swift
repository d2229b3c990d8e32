import MeshModel
import MeshPrimitives
import Telemetry
import TestSupport
import Testing

@testable import Proxy

@Suite("Local rate limits tell requests apart by their descriptors")
struct RateLimitTests {
    private let peer: HTTPPeer

    init() throws { peer = try HTTPPeer() }

    private typealias Descriptor = LocalRateLimit.Descriptor

    private static func bucket(_ tokens: UInt32) -> TokenBucket {
        TokenBucket(tokensMax: tokens, tokensPerFill: 1, fillInterval: .seconds(3600))
    }

    private static func descriptor(_ entries: [(String, String)], _ tokens: UInt32) -> Descriptor {
        Descriptor(entries: entries.map { .init(key: $0.0, value: $0.1) }, bucket: bucket(tokens))
    }

    private static func limit(_ descriptors: [Descriptor], common: UInt32? = nil) -> LocalRateLimit {
        var limit = LocalRateLimit(statPrefix: "limit")
        limit.bucket = common.map { bucket($0) }
        limit.descriptors = descriptors
        (limit.enabled, limit.enforced) = (.all, .all)
        return limit
    }

    /// Its route makes descriptors by `rules`.
    private func proxy(
        _ limit: LocalRateLimit, rules: [RateLimitRule], workers: Int = 1,
        change: (inout Route, inout VirtualHost) -> Void = { _, _ in }
    ) throws -> ProxyFixture {
        var configuration = ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, _ in
            manager.filters = [.localRateLimit(limit, name: "limit")]
        }
        var route = Route.forward("all", .prefix("/")) { _, forward in
            if !rules.isEmpty { forward.rateLimits = rules }
        }
        var host = VirtualHost(name: "all", domains: ["*"], routes: [])
        change(&route, &host)
        host.routes = [route]
        configuration.setHosts([host])
        configuration.nodeCluster = "here"
        return try ProxyFixture(configuration, workers: workers)
    }

    private func statuses(
        _ proxy: ProxyFixture, _ requests: [(path: String, headers: [(String, String)])]
    ) throws -> [Int] {
        let client = try proxy.client()
        return try requests.map { request in
            try client.sendRequest("GET", request.path, fields: request.headers)
            return try client.readAnswer().status
        }
    }

    @Test("A descriptor takes as many tokens as its rule says, all of them or none")
    func hits() throws {
        var rule = RateLimitRule(actions: [.header(name: "x-user", key: "user", skipsIfAbsent: false)])
        rule.hits = 3
        let proxy = try proxy(Self.limit([Self.descriptor([("user", "")], 7)]), rules: [rule])
        let requests = ["a", "a", "a", "b"].map { ("/", [("x-user", $0)]) }
        #expect(try statuses(proxy, requests) == [200, 200, 429, 200])
    }

    @Test("A text of the route's metadata makes a descriptor, or what stands in for it")
    func metadata() throws {
        let place = MetadataPath(["limits", "tier", "name"])
        func action(_ path: MetadataPath?, _ fallback: String, skips: Bool = false) -> RateLimitRule.Action {
            .metadata(key: "tier", path: path, fallback: fallback, skipsIfAbsent: skips)
        }
        let other = MetadataPath(["limits", "tier"])
        for (action, wanted) in [
            (action(place, ""), 429), (action(other, "gold"), 429), (action(nil, "gold"), 429),
            (action(other, ""), 200), (action(place, "iron"), 429), (action(other, "iron"), 200),
            (action(other, "", skips: true), 200),
        ] {
            let limit = Self.limit([Self.descriptor([("tier", "gold")], 1)])
            let proxy = try proxy(limit, rules: [RateLimitRule(actions: [action])]) { route, _ in
                route.metadata = [place: "gold"]
            }
            #expect(try statuses(proxy, [("/", []), ("/", [])]) == [200, wanted])
        }
    }

    @Test("Each of several limits tells what it has left, the last one first")
    func several() throws {
        let limits = [(100, true), (50, false), (2, true)].map { tokens, isTold in
            var limit = Self.limit([], common: UInt32(tokens))
            limit.statPrefix = "limit\(tokens)"
            limit.sendsRateLimitHeaders = isTold
            return limit
        }
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            manager.filters = limits.map { .localRateLimit($0, name: $0.statPrefix) }
        }
        let client = try proxy.client()
        for (status, remaining) in [(200, ["1", "99"]), (200, ["0", "98"]), (429, ["0", "97"])] {
            try client.sendRequest()
            let answer = try client.readAnswer()
            #expect(answer.status == status)
            #expect(answer.values(of: "x-ratelimit-limit") == ["2", "100"])
            #expect(answer.values(of: "x-ratelimit-remaining") == remaining)
            #expect(answer.values(of: "x-ratelimit-reset").count == 2)
        }
    }

    @Test("A value of a field has a bucket, another one has not, and one that may be any has its own")
    func fields() throws {
        let rule = RateLimitRule(actions: [.header(name: "x-user", key: "user", skipsIfAbsent: false)])
        let limit = Self.limit([Self.descriptor([("user", "alice")], 1), Self.descriptor([("user", "")], 2)])
        let proxy = try proxy(limit, rules: [rule])
        let users = ["alice", "alice", "bob", "bob", "bob", "carol", "carol", "carol"]
        #expect(
            try statuses(proxy, users.map { ("/", [("x-user", $0)]) })
                == [200, 429, 200, 200, 429, 200, 200, 429])
        // Without the field there is no descriptor, and nothing else limits.
        #expect(try statuses(proxy, [("/", []), ("/", []), ("/", [])]) == [200, 200, 200])
    }

    @Test("Every kind of action makes the value that its descriptor waits for")
    func actions() throws {
        let rule = RateLimitRule(actions: [
            .sourceCluster, .destinationCluster, .remoteAddress,
            .maskedRemoteAddress(v4Bits: 8, v6Bits: 64), .literal(key: "kind", value: "test"),
            .header(name: ":path", key: "path", skipsIfAbsent: false),
            .header(name: "x-none", key: "none", skipsIfAbsent: true),
            .parameter(name: "q", key: "q", skipsIfAbsent: false),
            .headerMatch(
                key: "match", value: "get", isExpected: true,
                [HeaderMatch(name: ":method", test: .string(StringMatch(.exact("GET"))))]),
            .parameterMatch(
                key: "other", value: "no r", isExpected: false, [QueryMatch(name: "r", test: .present(true))]),
        ])
        let entries = [
            ("source_cluster", "here"), ("destination_cluster", "peer"), ("remote_address", "127.0.0.1"),
            ("masked_remote_address", "127.0.0.0/8"), ("kind", "test"), ("path", "/a?q=%41b"), ("q", "Ab"),
            ("match", "get"), ("other", "no r"),
        ]
        let proxy = try proxy(Self.limit([Self.descriptor(entries, 1)]), rules: [rule])
        #expect(
            try statuses(
                proxy, [("/a?q=%41b", []), ("/a?q=%41b", []), ("/a?q=x", []), ("/a?r=1&q=%41b", [])])
                == [200, 429, 200, 200])
    }

    @Test("Rules of the virtual host count where the route has none, or says so")
    func hosts() throws {
        let hostRule = RateLimitRule(actions: [.literal(key: "of", value: "host")])
        let routeRule = RateLimitRule(actions: [.literal(key: "of", value: "route")])
        let other = RateLimitRule(stage: 1, actions: [.literal(key: "of", value: "host")])
        let limit = Self.limit([Self.descriptor([("of", "host")], 1)])
        for (rules, includes, refuses) in [
            ([], false, true), ([routeRule], false, false), ([routeRule], true, true),
            ([other], false, false),
        ] {
            let proxy = try proxy(limit, rules: rules) { route, host in
                host.rateLimits = [hostRule]
                guard case .forward(var forward) = route.action else { return }
                forward.includesHostRateLimits = includes
                route.action = .forward(forward)
            }
            #expect(try statuses(proxy, [("/", []), ("/", [])]) == [200, refuses ? 429 : 200])
        }
    }

    @Test("A route's own limit goes before the filter's, and says how much is left of its bucket")
    func ofRoute() throws {
        var own = Self.limit([], common: 1)
        own.sendsRateLimitHeaders = true
        own.status = 503
        let proxy = try proxy(Self.limit([], common: 100), rules: []) { route, _ in
            route.filters = [RouteFilter(name: "limit", settings: .localRateLimit(own))]
        }
        let client = try proxy.client()
        try client.sendRequest()
        let first = try client.readAnswer()
        #expect(first.status == 200 && first["x-ratelimit-limit"] == "1")
        #expect(first["x-ratelimit-remaining"] == "0")
        try client.sendRequest()
        #expect(try client.readAnswer().status == 503)
    }

    @Test("Each connection has its own bucket where the filter says so")
    func perConnection() throws {
        var limit = Self.limit([Self.descriptor([("a", "b")], 2)], common: 3)
        limit.isPerConnection = true
        let rule = RateLimitRule(actions: [.literal(key: "a", value: "b")])
        let proxy = try proxy(limit, rules: [rule])
        for _ in 0..<3 {
            #expect(try statuses(proxy, [("/", []), ("/", []), ("/", [])]) == [200, 200, 429])
        }
    }

    @Test("All workers take from one bucket of a descriptor", arguments: [1, 2])
    func workers(count: Int) throws {
        let rule = RateLimitRule(actions: [.header(name: "x-user", key: "user", skipsIfAbsent: false)])
        let proxy = try proxy(
            Self.limit([Self.descriptor([("user", "a")], 10), Self.descriptor([("user", "")], 5)]),
            rules: [rule], workers: count)
        var passed = ["a": 0, "b": 0]
        for _ in 0..<16 {
            let client = try proxy.client()
            for user in ["a", "b"] {
                try client.sendRequest("GET", "/", fields: [("x-user", user)])
                if try client.readAnswer().status == 200 { passed[user, default: 0] += 1 }
            }
        }
        #expect(passed == ["a": 10, "b": 5])
    }

    @Test("A limit that is not enforced marks the request, and the recorder has it")
    func notEnforced() throws {
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            var limit = Self.limit([], common: 1)
            limit.enforced = .none
            limit.requestHeadersWhenNotEnforced = [
                .set(name: "x-over", value: "yes", action: .appendOrAdd, keepsEmpty: false)
            ]
            manager.filters = [.localRateLimit(limit, name: "limit")]
        }
        #expect(try statuses(proxy, [("/", []), ("/", [])]) == [200, 200])
        let seen = peer.requests.map { $0.message["x-over"] }
        #expect(seen == [nil, "yes"])
        #expect(proxy.lastRecord?.shadows == .rateLimit)
    }

    @Test("A gRPC caller gets RESOURCE_EXHAUSTED where the filter says so", arguments: [false, true])
    func grpc(exhausted: Bool) throws {
        var limit = Self.limit([], common: 1)
        limit.asResourceExhausted = exhausted
        let proxy = try proxy(limit, rules: [])
        let client = try proxy.client()
        let headers = [("content-type", "application/grpc")]
        try client.sendRequest("GET", "/", fields: headers)
        #expect(try client.readAnswer().status == 200)
        try client.sendRequest("GET", "/", fields: headers)
        let refused = try client.readAnswer()
        #expect(refused.status == 200 && refused["grpc-status"] == (exhausted ? "8" : "14"))
        #expect(refused["grpc-message"] == "local_rate_limited" && refused.text.isEmpty)
    }

    @Test("Connections beyond the limit of their chain are closed and counted")
    func connections() throws {
        var configuration = ProxyFixture.configuration(endpoints: [peer.port])
        configuration.listeners[0].filterChains[0].connectionLimits = [
            ConnectionRateLimit(statPrefix: "front", bucket: Self.bucket(2))
        ]
        let proxy = try ProxyFixture(configuration)
        let clients = try (0..<4).map { _ in try proxy.client() }
        for client in clients.prefix(2) {
            try client.sendRequest()
            #expect(try client.readAnswer().status == 200)
        }
        for client in clients.dropFirst(2) {
            try? client.sendRequest()
            #expect(throws: (any Error).self) { try client.readAnswer() }
        }
        try eventually("two refused") {
            proxy.server.process.registry.snapshot().value(connectionLimit: "front", .rateLimited) == 2
                ? true : nil
        }
    }

    @Test("A limit keeps its tokens over a change elsewhere, and starts anew when it changes itself")
    func changes() throws {
        func configuration(_ tokens: UInt32, _ name: String) -> Configuration {
            ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, _ in
                manager.serverName = name
                manager.filters = [.localRateLimit(Self.limit([], common: tokens), name: "limit")]
            }
        }
        let proxy = try ProxyFixture(configuration(2, "a"))
        #expect(try statuses(proxy, [("/", [])]) == [200])
        var next = configuration(2, "b")
        next.listeners[0].address.port = proxy.port
        try proxy.server.apply(next)
        #expect(try statuses(proxy, [("/", []), ("/", [])]) == [200, 429])
        next = configuration(1, "b")
        next.listeners[0].address.port = proxy.port
        try proxy.server.apply(next)
        #expect(try statuses(proxy, [("/", []), ("/", [])]) == [200, 429])
    }
}
