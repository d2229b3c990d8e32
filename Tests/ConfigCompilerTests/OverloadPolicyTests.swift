import MeshConfig
import Testing
import XDSMessages

@testable import ConfigCompiler

@Suite("Breakers, fields of retries, and policies in shadow mode reach the proxies")
struct OverloadPolicyTests {
    private let two = Bench.service("orders") + Bench.service("portal")

    private func own(_ bench: Bench) throws -> Martlet_V1_Cluster {
        let cluster = try bench.cluster("outbound|80|default/orders", for: Bench.node())
        return try Martlet_V1_Cluster(
            unpackingAny: #require(cluster.typedExtensionProtocolOptions["martlet.cluster"]))
    }

    private func shadow(_ bench: Bench) throws -> Martlet_V1_Route {
        let route = try #require(try bench.routes("orders", for: Bench.node()).first)
        return try Martlet_V1_Route(unpackingAny: #require(route.typedPerFilterConfig["martlet.route"]))
    }

    @Test("A breaker arrives with all that it says, field by field from the narrower policy")
    func breaker() throws {
        let bench = try Bench(
            two
                + "---\napiVersion: martlet.mesh/v1\nkind: CircuitBreakerPolicy\nmetadata: {name: all}\n"
                + "spec: {targetRef: {kind: Mesh}, breaker: {probes: 3, consecutiveFailures: 9}}\n"
                + Bench.policy(
                    "CircuitBreakerPolicy", "kind: Service, name: orders",
                    "limits: {connectionsPerEndpoint: 4}, breaker: {consecutiveFailures: 5, failureRate: 50%, "
                        + "slowCalls: {longerThan: 1s, rate: 80%}, window: 20s, minimumCalls: 10, "
                        + "open: {duration: 2s, growth: 2, max: 1m}}"))
        let breaker = try own(bench).breaker
        #expect(breaker.consecutiveFailures == 5 && breaker.failureRate == 50 && breaker.probes == 3)
        #expect(breaker.slowCallDuration.seconds == 1 && breaker.slowCallRate == 80)
        #expect(breaker.window.seconds == 20 && breaker.callsMin == 10)
        #expect(breaker.openDuration.seconds == 2 && breaker.openDurationGrowth == 2)
        #expect(breaker.openDurationMax.seconds == 60)
        let cluster = try bench.cluster("outbound|80|default/orders", for: Bench.node())
        #expect(cluster.circuitBreakers.perHostThresholds.first?.maxConnections.value == 4)
    }

    @Test("Inbound policies bound what a sidecar does to its own application, and nothing else")
    func inbound() throws {
        let bench = try Bench(
            two
                + Bench.policy(
                    "CircuitBreakerPolicy", "kind: Service, name: orders",
                    "direction: inbound, limits: {connections: 5, requests: 7}, breaker: {consecutiveFailures: 3}"
                )
                + Bench.policy(
                    "TimeoutPolicy", "kind: Service, name: orders",
                    "direction: inbound, connect: 250ms, request: 3s, stream: 9s"))
        let node = try Bench.node("orders")
        let cluster = try bench.cluster("inbound|8080", for: node)
        let threshold = try #require(cluster.circuitBreakers.thresholds.first)
        #expect(threshold.maxConnections.value == 5 && threshold.maxRequests.value == 7)
        #expect(threshold.maxPendingRequests.value == .max && cluster.connectTimeout.nanos == 250_000_000)
        let own = try Martlet_V1_Cluster(
            unpackingAny: #require(cluster.typedExtensionProtocolOptions["martlet.cluster"]))
        #expect(own.breaker.consecutiveFailures == 3)
        let manager = try bench.manager("inbound|8080", for: node)
        #expect(manager.routeConfig.virtualHosts[0].routes[0].route.timeout.seconds == 3)
        #expect(manager.streamIdleTimeout.seconds == 9)
        #expect(try !self.own(bench).hasBreaker)
        let other = try bench.cluster("inbound|8080", for: Bench.node("portal"))
        #expect(other.circuitBreakers.thresholds.first?.maxRequests.value == .max)
        #expect(other.typedExtensionProtocolOptions["martlet.cluster"] == nil)
        let route = try #require(try bench.routes("orders", for: node).first)
        #expect(route.route.timeout.seconds == 15)
    }

    @Test("Policies in shadow mode change nothing that is in force, and stand beside it")
    func shadows() throws {
        let bench = try Bench(
            two
                + Bench.policy(
                    "CircuitBreakerPolicy", "kind: Service, name: orders",
                    "mode: shadow, limits: {requests: 7}, breaker: {consecutiveFailures: 5}")
                + Bench.policy("TimeoutPolicy", "kind: Mesh", "mode: shadow, request: 2s")
                + Bench.policy(
                    "RetryPolicy", "kind: Service, name: orders", "mode: shadow, retryOn: [5xx], attempts: 4")
        )
        let (cluster, route) = (try own(bench), try shadow(bench))
        #expect(!cluster.hasBreaker && cluster.shadowBreaker.consecutiveFailures == 5)
        #expect(cluster.shadowLimits.requests == 7 && cluster.shadowLimits.connections == 0)
        #expect(route.shadow.timeout.seconds == 2 && !route.shadow.hasPerTryTimeout)
        #expect(route.shadow.retryOn == "5xx" && route.shadow.numRetries == 4)
        let inForce = try #require(try bench.routes("orders", for: Bench.node()).first)
        #expect(inForce.route.timeout.seconds == 15)
        #expect(inForce.route.retryPolicy.retryOn == "connect-failure,refused-stream")
        let limits = try bench.cluster("outbound|80|default/orders", for: Bench.node()).circuitBreakers
        #expect(limits.thresholds.first?.maxRequests.value == 1024)
    }

    @Test("Health checks in shadow mode are made by our own proxies where none is in force, by Envoy never")
    func shadowChecks() throws {
        let watched = Bench.policy("HealthCheckPolicy", "kind: Mesh", "mode: shadow, http: {path: /shadow}")
        let bench = try Bench(two + watched)
        let cluster = try bench.cluster("outbound|80|default/orders", for: Bench.node())
        #expect(cluster.healthChecks.map(\.httpHealthCheck.path) == ["/shadow"])
        #expect(try own(bench).healthCheckMode == .shadow)
        let foreign = try bench.cluster("outbound|80|default/orders", for: Bench.node(isMartlet: false))
        #expect(
            foreign.healthChecks.isEmpty && foreign.typedExtensionProtocolOptions["martlet.cluster"] == nil)

        let enforced = watched.replacing("mode: shadow", with: "mode: enforce").replacing(
            "/shadow", with: "/now"
        )
        .replacing("name: healthcheckpolicy", with: "name: now")
        let both = try Bench(two + watched + enforced)
        let asked = try both.cluster("outbound|80|default/orders", for: Bench.node())
        #expect(asked.healthChecks.map(\.httpHealthCheck.path) == ["/now"])
        #expect(try own(both).healthCheckMode == .enforce)
    }

    @Test("What would choose endpoints in shadow mode is told to our own proxies, beside what does")
    func shadowBalancing() throws {
        let bench = try Bench(
            two + Bench.policy("LoadBalancerPolicy", "kind: Mesh", "mode: shadow, algorithm: peakEWMA"))
        #expect(try own(bench).shadowBalancing.algorithm == .peakEwma)
        #expect(try bench.cluster("outbound|80|default/orders", for: Bench.node()).lbPolicy == .roundRobin)
        let foreign = try bench.cluster("outbound|80|default/orders", for: Bench.node(isMartlet: false))
        #expect(foreign.typedExtensionProtocolOptions["martlet.cluster"] == nil)
    }

    @Test("A time-out in shadow mode stands beside the one that a sidecar has for its own application")
    func shadowInbound() throws {
        let bench = try Bench(
            two
                + Bench.policy(
                    "TimeoutPolicy", "kind: Service, name: orders",
                    "direction: inbound, mode: shadow, request: 3s"))
        func route(_ node: ProxyNode) throws -> Route {
            try bench.manager("inbound|8080", for: node).routeConfig.virtualHosts[0].routes[0]
        }
        let inForce = try route(Bench.node("orders"))
        let own = try Martlet_V1_Route(unpackingAny: #require(inForce.typedPerFilterConfig["martlet.route"]))
        #expect(own.shadow.timeout.seconds == 3 && inForce.route.timeout.seconds == 0)
        #expect(try route(Bench.node("portal")).typedPerFilterConfig.isEmpty)
        #expect(try route(Bench.node("orders", isMartlet: false)).typedPerFilterConfig.isEmpty)
        #expect(try shadow(bench).shadow == Martlet_V1_Route.Shadow(), "callers have theirs")
    }

    @Test("Everything about retries arrives")
    func retries() throws {
        let bench = try Bench(
            two
                + Bench.policy(
                    "RetryPolicy", "kind: Service, name: orders",
                    "retryOn: [unavailable, retriable-headers], retriableHeaders: [x-again], "
                        + "perTryIdleTimeout: 2s, otherEndpoints: true, backOff: {retryAfterMax: 30s}")
                + Bench.policy("TimeoutPolicy", "kind: Mesh", "connection: 10m"))
        let policy = try #require(try bench.routes("orders", for: Bench.node()).first).route.retryPolicy
        #expect(policy.retryOn == "unavailable,retriable-headers")
        #expect(policy.retriableHeaders.map(\.name) == ["x-again"] && policy.perTryIdleTimeout.seconds == 2)
        #expect(policy.retryHostPredicate.count == 1)
        #expect(policy.rateLimitedRetryBackOff.maxInterval.seconds == 30)
    }
}
