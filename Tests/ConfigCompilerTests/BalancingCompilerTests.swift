import MeshConfig
import Testing
import XDSMessages

@testable import ConfigCompiler

@Suite("How a service's traffic is spread becomes Envoy's messages, for our proxies and for others")
struct BalancingCompilerTests {
    private static let name = "outbound|80|default/orders"

    private func bench(_ policies: String) throws -> Bench {
        try Bench(Bench.service("portal") + Bench.service("orders") + policies)
    }

    private func balancer(_ fields: String) throws -> Bench {
        try bench(Bench.policy("LoadBalancerPolicy", "kind: Service, name: orders", fields))
    }

    private func own(_ cluster: Cluster) throws -> Martlet_V1_Cluster {
        try Martlet_V1_Cluster(
            unpackingAny: #require(cluster.typedExtensionProtocolOptions["martlet.cluster"]))
    }

    @Test("Without a policy endpoints take turns, and nobody is put aside")
    func defaults() throws {
        let cluster = try bench("").cluster(Self.name, for: Bench.node())
        #expect(cluster.lbPolicy == .roundRobin && !cluster.hasOutlierDetection)
    }

    @Test("Algorithms become lb_policy with their parameters")
    func algorithms() throws {
        let ring = try balancer(
            "algorithm: ringHash, ringHash: {minSize: 64, maxSize: 128, function: murmur2}, panicThreshold: 20%"
        ).cluster(Self.name, for: Bench.node())
        #expect(ring.lbPolicy == .ringHash && ring.ringHashLbConfig.minimumRingSize.value == 64)
        #expect(ring.ringHashLbConfig.maximumRingSize.value == 128)
        #expect(ring.ringHashLbConfig.hashFunction == .murmurHash2)
        #expect(ring.commonLbConfig.healthyPanicThreshold.value == 20)
        let least = try balancer(
            "algorithm: leastRequest, leastRequest: {choices: 4}, slowStart: {window: 30s, minWeight: 5%}"
        ).cluster(Self.name, for: Bench.node())
        #expect(least.lbPolicy == .leastRequest && least.leastRequestLbConfig.choiceCount.value == 4)
        #expect(least.leastRequestLbConfig.slowStartConfig.slowStartWindow.seconds == 30)
        #expect(least.leastRequestLbConfig.slowStartConfig.minWeightPercent.value == 5)
        let maglev = try balancer("algorithm: maglev, maglev: {tableSize: 1009}")
            .cluster(Self.name, for: Bench.node())
        #expect(maglev.lbPolicy == .maglev && maglev.maglevLbConfig.tableSize.value == 1009)
    }

    @Test("Latency is for our own proxies; others get least request")
    func latency() throws {
        let bench = try balancer("algorithm: peakEWMA, peakEWMA: {decay: 5s}")
        let ours = try bench.cluster(Self.name, for: Bench.node())
        #expect(try own(ours).peakEwma.decayTime.seconds == 5)
        #expect(try bench.cluster(Self.name, for: Bench.node(isMartlet: false)).lbPolicy == .leastRequest)
    }

    @Test("Hash keys stand on the routes that lead to the service")
    func hashKeys() throws {
        let bench = try balancer(
            "algorithm: maglev, hashKeys: [{header: x-user, terminal: true}, {cookie: {name: sid, ttl: 1h}}]")
        let routes = try #require(bench.snapshot(for: Bench.node())[.routes]["outbound"]?.message)
        let hosts = try RouteConfiguration(unpackingAny: routes).virtualHosts
        let host = try #require(hosts.first { $0.name == Self.name })
        let policies = try #require(host.routes.first).route.hashPolicy
        #expect(policies.map(\.terminal) == [true, false])
        #expect(policies.first?.header.headerName == "x-user")
        #expect(policies.last?.cookie.name == "sid" && policies.last?.cookie.ttl.seconds == 3600)
    }

    @Test("Outlier detection keeps the last endpoint unless it says otherwise")
    func outliers() throws {
        let bench = try bench(
            Bench.policy(
                "CircuitBreakerPolicy", "kind: Service, name: orders",
                "outlierDetection: {consecutive5xx: 3, interval: 2s, maxEjectionPercent: 30}"))
        let cluster = try bench.cluster(Self.name, for: Bench.node())
        #expect(cluster.outlierDetection.consecutive5Xx.value == 3)
        #expect(cluster.outlierDetection.interval.seconds == 2)
        #expect(cluster.outlierDetection.maxEjectionPercent.value == 30)
        #expect(try own(cluster).outliers.keepLast)
        let other = try bench.cluster(Self.name, for: Bench.node(isMartlet: false))
        #expect(other.outlierDetection.alwaysEjectOneHost.value)
    }

    @Test("What cannot be meant is refused")
    func refused() {
        let texts = [
            "algorithm: random, ringHash: {minSize: 4}", "algorithm: maglev, maglev: {tableSize: 1000}",
            "algorithm: roundRobin, hashKeys: [{header: x}]", "algorithm: maglev, hashKeys: [{}]",
            "algorithm: ringHash, ringHash: {minSize: 10, maxSize: 5}",
        ]
        for text in texts { #expect(throws: ConfigErrors.self) { try balancer(text) } }
    }
}
