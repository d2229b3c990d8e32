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

    @Test("A session of a route is a cookie that is hashed, and the cluster of its backend goes by it")
    func sessions() throws {
        let rules = """
            {matches: [{path: {value: /cart}}], sessionPersistence: {sessionName: cart, absoluteTimeout: 1h,
             cookieConfig: {lifetimeType: Permanent}}, backendRefs: [{name: orders, port: 80}]},
            {matches: [{path: {value: /}}], sessionPersistence: {}, backendRefs: [{name: portal, port: 80}]}
            """
        let bench = try bench(Bench.route("orders", rules))
        let routes = try bench.routes("orders", for: Bench.node())
        let cookies = routes.map { $0.route.hashPolicy.map(\.cookie) }
        #expect(cookies.map { $0.map(\.name) } == [["cart"], ["martlet-session"]])
        #expect(cookies[0][0].ttl.seconds == 3600 && cookies[0][0].path == "/")
        #expect(cookies[1][0].hasTtl && cookies[1][0].ttl.seconds == 0)
        #expect(try bench.cluster(Self.name, for: Bench.node()).lbPolicy == .maglev)
        // A policy that hashes already says how.
        let ring = try self.bench(
            Bench.route("orders", rules)
                + Bench.policy("LoadBalancerPolicy", "kind: Service, name: orders", "algorithm: ringHash"))
        #expect(try ring.cluster(Self.name, for: Bench.node()).lbPolicy == .ringHash)
    }

    @Test("Labels that a policy asks for are on endpoints, in the cluster's selectors, and on the route")
    func subsets() throws {
        var bench = try self.bench(
            Bench.route(
                "orders",
                "{name: new, matches: [{path: {value: /new}}], backendRefs: [{name: orders, port: 80}]}, "
                    + "{backendRefs: [{name: orders, port: 80}]}")
                + Bench.policy(
                    "LoadBalancerPolicy", "kind: HTTPRoute, name: orders, sectionName: new",
                    "subsets: {labels: {version: v2}}")
                + "---\napiVersion: martlet.mesh/v1\nkind: LoadBalancerPolicy\nmetadata: {name: all}\n"
                + "spec: {targetRef: {kind: Service, name: orders}, subsets: {fallback: any}}\n"
                + "---\napiVersion: martlet.mesh/v1\nkind: Workload\nmetadata: {name: a, labels: {version: v2, zone: x}}\n"
                + "spec: {service: orders, address: 10.0.0.7, ports: [{port: 8080}]}\n")
        bench.workloads = [try #require(try Workload(Bench.node("orders")))]
        let cluster = try bench.cluster(Self.name, for: Bench.node())
        #expect(cluster.lbSubsetConfig.fallbackPolicy == .anyEndpoint)
        #expect(cluster.lbSubsetConfig.subsetSelectors.map(\.keys) == [["version"]])
        #expect(cluster.lbSubsetConfig.subsetSelectors.map(\.fallbackPolicy) == [.anyEndpoint])
        let other = try bench.cluster("outbound|80|default/portal", for: Bench.node())
        #expect(other.lbSubsetConfig.subsetSelectors.map(\.fallbackPolicy) == [.noFallback])
        let routes = try bench.routes("orders", for: Bench.node())
        let wanted = routes.map {
            $0.route.metadataMatch.filterMetadata["envoy.lb"]?.fields["version"]?.stringValue
        }
        #expect(wanted == ["v2", nil])
        let assignment = try LoadAssignment(
            unpackingAny: #require(bench.snapshot(for: Bench.node())[.endpoints][Self.name]).message)
        let labels = assignment.endpoints.flatMap(\.lbEndpoints).map {
            $0.metadata.filterMetadata["envoy.lb"]?.fields.mapValues(\.stringValue)
        }
        #expect(labels == [nil, ["version": "v2"]])
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
            "algorithm: ringHash, ringHash: {minSize: 10, maxSize: 5}", "subsets: {}",
            "subsets: {labels: {a b: c}}", "subsets: {labels: {a: b}, fallback: all}",
        ]
        for text in texts { #expect(throws: ConfigErrors.self) { try balancer(text) } }
    }
}
