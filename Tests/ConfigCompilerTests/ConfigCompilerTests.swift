import Foundation
import MeshConfig
import Testing
import XDSMessages

@testable import ConfigCompiler

/// A mesh of one folder's text, and a node in it.
struct Bench {
    let specification: MeshSpecification
    var workloads: [Workload] = []

    init(_ text: String) throws {
        specification = try MeshSpecification.read([.init(name: "mesh.yaml", bytes: Array(text.utf8))])
    }

    static func service(_ name: String, _ ports: String = "{port: 80, targetPort: 8080}", _ more: String = "")
        -> String
    {
        "---\napiVersion: martlet.mesh/v1\nkind: Service\nmetadata: {name: \(name)}\n"
            + "spec: {ports: [\(ports)]\(more)}\n"
    }

    static func policy(_ kind: String, _ target: String, _ fields: String) -> String {
        "---\napiVersion: martlet.mesh/v1\nkind: \(kind)\nmetadata: {name: \(kind.lowercased())}\n"
            + "spec: {targetRef: {\(target)}, \(fields)}\n"
    }

    static func route(_ parent: String, _ rules: String) -> String {
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: \(parent)}\n"
            + "spec:\n  parentRefs: [{group: \"\", kind: Service, name: \(parent)}]\n  rules: [\(rules)]\n"
    }

    static func node(
        _ service: String = "portal", port: UInt32 = 40_001, isMartlet: Bool = true, tls: Bool = false
    ) throws -> ProxyNode {
        func object(_ fields: [String: Google_Protobuf_Value]) -> Google_Protobuf_Value {
            .with { $0.structValue.fields = fields }
        }
        func list(_ values: [Google_Protobuf_Value]) -> Google_Protobuf_Value {
            .with { $0.listValue.values = values }
        }
        var martlet: [String: Google_Protobuf_Value] = [
            "address": .init(stringValue: "10.0.0.5"), "outbound": .init(stringValue: "127.0.0.1:40010"),
            "app": list([
                object([
                    "port": .init(numberValue: 8080), "protocol": .init(stringValue: "http"),
                    "listen": .init(stringValue: "0.0.0.0:\(port)"),
                ])
            ]),
            "upstreams": list([
                object([
                    "service": .init(stringValue: "default/orders"), "port": .init(numberValue: 80),
                    "listen": .init(stringValue: "127.0.0.1:40011"),
                ])
            ]),
        ]
        if isMartlet { martlet["capabilities"] = list([.init(stringValue: "martlet.v1")]) }
        if tls {
            martlet["tls"] = object([
                "certificate_chain": .init(stringValue: "/c"), "private_key": .init(stringValue: "/k"),
                "trust_bundle": .init(stringValue: "/b"),
            ])
        }
        return try ProxyNode(
            .with {
                $0.id = "default/\(service)~0000000\(port % 10)"
                $0.cluster = "default/\(service)"
                $0.userAgentName = isMartlet ? "martlet" : "envoy"
                $0.metadata.fields["martlet"] = object(martlet)
            })
    }

    func snapshot(for node: ProxyNode) -> ProxySnapshot {
        let compiler = ConfigCompiler(
            specification: specification, policies: PolicyIndex(specification), workloads: workloads,
            trustBundlePEM: "BUNDLE")
        return compiler.snapshot(for: node, compiler.common(for: node.proxyClass))
    }

    func cluster(_ name: String, for node: ProxyNode) throws -> Cluster {
        try Cluster(unpackingAny: #require(snapshot(for: node)[.clusters][name]).message)
    }

    func listener(_ name: String, for node: ProxyNode) throws -> Listener {
        try Listener(unpackingAny: #require(snapshot(for: node)[.listeners][name]).message)
    }

    func manager(_ listener: String, for node: ProxyNode) throws -> ConnectionManager {
        let filter = try #require(try self.listener(listener, for: node).filterChains.first?.filters.first)
        return try ConnectionManager(unpackingAny: filter.typedConfig)
    }

    func virtualHosts(for node: ProxyNode) throws -> [VirtualHost] {
        try RouteConfiguration(unpackingAny: #require(snapshot(for: node)[.routes]["outbound"]).message)
            .virtualHosts
    }

    func routes(_ service: String, for node: ProxyNode) throws -> [Route] {
        try #require(try virtualHosts(for: node).first { $0.name == "outbound|80|default/\(service)" }).routes
    }
}

@Suite struct ConfigCompilerTests {
    private let two = Bench.service("portal") + Bench.service("orders")

    @Test("The same mesh and node give the same bytes, every time")
    func deterministic() throws {
        let bench = try Bench(
            two
                + Bench.policy(
                    "TelemetryPolicy", "kind: Mesh", "accessLog: {json: {a: x, b: x, c: x, d: x, e: x}}"))
        let first = bench.snapshot(for: try Bench.node())
        for _ in 0..<20 { #expect(bench.snapshot(for: try Bench.node()) == first) }
    }

    @Test("A sidecar's listeners stand where it has bound them")
    func listeners() throws {
        let bench = try Bench(two)
        let snapshot = bench.snapshot(for: try Bench.node())
        #expect(
            snapshot[.listeners].list.map(\.name)
                == ["inbound|8080", "outbound", "upstream|default/orders|80"])
        #expect(
            try bench.listener("inbound|8080", for: Bench.node()).address.socketAddress.portValue == 40_001)
        #expect(try bench.listener("outbound", for: Bench.node()).address.socketAddress.portValue == 40_010)
    }

    @Test(
        "A health check reaches both kinds of proxies; who is asked for by name is asked for as its TTL says")
    func healthChecks() throws {
        let policy = Bench.policy(
            "HealthCheckPolicy", "kind: Service, name: orders",
            "http: {path: /health, statuses: [\"200\", \"204-206\"]}, interval: 500ms, unhealthyThreshold: 5")
        let bench = try Bench(
            Bench.service("portal")
                + Bench.service(
                    "orders", "{port: 80, targetPort: 8080}", ", endpoints: {dns: {host: orders.test}}")
                + policy)
        for isMartlet in [true, false] {
            let cluster = try bench.cluster(
                "outbound|80|default/orders", for: Bench.node(isMartlet: isMartlet))
            let check = try #require(cluster.healthChecks.first)
            #expect(cluster.healthChecks.count == 1 && check.httpHealthCheck.path == "/health")
            #expect(
                check.httpHealthCheck.expectedStatuses.map { [$0.start, $0.end] } == [
                    [200, 201], [204, 207],
                ])
            #expect(check.interval.nanos == 500_000_000 && check.timeout.nanos == 500_000_000)
            #expect(check.unhealthyThreshold.value == 5 && check.healthyThreshold.value == 2)
            #expect(check.noTrafficInterval.seconds == 60 && check.intervalJitterPercent == 10)
            #expect(cluster.type == .strictDns && cluster.respectDnsTtl)
        }
        #expect(
            try bench.cluster("outbound|80|default/portal", for: Bench.node()).healthChecks.isEmpty)
    }

    @Test("Mutual TLS inbound: strict takes only TLS, permissive both, disabled only plain text")
    func inboundTLS() throws {
        func chains(_ mode: String) throws -> [String] {
            let bench = try Bench(two + Bench.policy("TLSPolicy", "kind: Mesh", "mtls: \(mode)"))
            return try bench.listener("inbound|8080", for: Bench.node()).filterChains.map {
                "\($0.filterChainMatch.transportProtocol)/\($0.transportSocket.name)"
            }
        }
        #expect(try chains("strict") == ["/envoy.transport_sockets.tls"])
        #expect(try chains("permissive") == ["tls/envoy.transport_sockets.tls", "raw_buffer/"])
        #expect(try chains("disabled") == ["/"])
    }

    @Test("In shadow mode strict changes nothing, and marks plain text for our own proxies")
    func shadowTLS() throws {
        let watched = Bench.policy("TLSPolicy", "kind: Service, name: portal", "mode: shadow, mtls: strict")
        func sockets(_ more: String, _ node: ProxyNode) throws -> [String] {
            try Bench(two + watched + more).listener("inbound|8080", for: node).filterChains.map {
                String($0.transportSocket.name.split(separator: ".").last ?? "")
            }
        }
        func mesh(_ mode: String) -> String {
            Bench.policy("TLSPolicy", "kind: Mesh", "mtls: \(mode)").replacing("name: tls", with: "name: a")
        }
        #expect(try sockets("", Bench.node()) == ["tls", "plain_text"])
        #expect(try sockets(mesh("disabled"), Bench.node()) == ["plain_text"])
        #expect(try sockets(mesh("strict"), Bench.node()) == ["tls"])
        #expect(try sockets("", Bench.node("orders")) == ["tls", ""])
        #expect(try sockets("", Bench.node(isMartlet: false, tls: true)) == ["tls", ""])
        let cluster = try Bench(two + watched).cluster(
            "outbound|80|default/portal", for: Bench.node("orders"))
        #expect(cluster.transportSocketMatches.count == 2)
    }

    @Test("Ciphers of TLS 1.2 hold on both sides; a port whose application encrypts is bytes to the mesh")
    func ciphers() throws {
        let bench = try Bench(
            Bench.service("portal") + Bench.service("orders", "{port: 443, appProtocol: tls}")
                + Bench.policy(
                    "TLSPolicy", "kind: Mesh",
                    "mtls: strict, minimumVersion: \"1.2\", ciphers: [ECDHE-ECDSA-AES256-GCM-SHA384]"))
        let listener = try bench.listener("inbound|8080", for: Bench.node())
        let inbound = try Envoy_Extensions_TransportSockets_Tls_V3_DownstreamTlsContext(
            unpackingAny: #require(listener.filterChains.first).transportSocket.typedConfig)
        let cluster = try bench.cluster("outbound|443|default/orders", for: Bench.node())
        let outbound = try Envoy_Extensions_TransportSockets_Tls_V3_UpstreamTlsContext(
            unpackingAny: cluster.transportSocket.typedConfig)
        for parameters in [inbound.commonTlsContext.tlsParams, outbound.commonTlsContext.tlsParams] {
            #expect(parameters.cipherSuites == ["ECDHE-ECDSA-AES256-GCM-SHA384"])
            #expect(parameters.tlsMinimumProtocolVersion == .tlsv12)
        }
        #expect(outbound.commonTlsContext.alpnProtocols.isEmpty)
        #expect(try bench.virtualHosts(for: Bench.node()).map(\.name) == ["outbound|80|default/portal"])
    }

    @Test("Towards a strict service there is TLS always, towards a permissive one where a sidecar answers")
    func outboundTLS() throws {
        var bench = try Bench(two + Bench.policy("TLSPolicy", "kind: Service, name: orders", "mtls: strict"))
        bench.workloads = [try #require(Workload(Bench.node("portal", port: 40_002)))]
        let strict = try bench.cluster("outbound|80|default/orders", for: Bench.node())
        #expect(strict.transportSocket.name == "envoy.transport_sockets.tls")
        let context = try Envoy_Extensions_TransportSockets_Tls_V3_UpstreamTlsContext(
            unpackingAny: strict.transportSocket.typedConfig)
        #expect(context.sni == "outbound.80.orders.default")
        #expect(
            context.commonTlsContext.combinedValidationContext.defaultValidationContext
                .matchTypedSubjectAltNames
                .map(\.matcher.exact) == ["spiffe://mesh.local/ns/default/sa/orders"])
        #expect(context.commonTlsContext.tlsCertificateSdsSecretConfigs.map(\.name) == ["martlet:identity"])
        let permissive = try bench.cluster("outbound|80|default/portal", for: Bench.node())
        #expect(!permissive.hasTransportSocket)
        #expect(permissive.transportSocketMatches.map(\.name) == ["mtls", "plain"])
        let assignment = try LoadAssignment(
            unpackingAny: #require(
                bench.snapshot(for: Bench.node())[.endpoints]["outbound|80|default/portal"]
            ).message)
        let endpoint = try #require(assignment.endpoints.first?.lbEndpoints.first)
        #expect(endpoint.endpoint.address.socketAddress.portValue == 40_002)
        #expect(
            endpoint.metadata.filterMetadata["envoy.transport_socket_match"]?.fields["martlet.tls"]?
                .stringValue
                == "true")
    }

    @Test("The built-in defaults are written out")
    func defaults() throws {
        let bench = try Bench(two)
        let route = try #require(try bench.routes("orders", for: Bench.node()).first)
        #expect(route.route.timeout.seconds == 15)
        #expect(route.route.retryPolicy.retryOn == "connect-failure,refused-stream")
        #expect(route.route.retryPolicy.numRetries.value == 2)
        let own = try Martlet_V1_Route(unpackingAny: #require(route.typedPerFilterConfig["martlet.route"]))
        #expect(own.retry.provablySafe && own.retry.methods == .idempotent && own.propagateDeadline)
        let cluster = try bench.cluster("outbound|80|default/orders", for: Bench.node())
        let limits = try #require(cluster.circuitBreakers.thresholds.first)
        #expect(limits.maxConnections.value == 1024 && limits.maxRetries.value == 3 && !limits.hasRetryBudget)
        let budget = try Martlet_V1_Cluster(
            unpackingAny: #require(cluster.typedExtensionProtocolOptions["martlet.cluster"]))
        #expect(budget.retryBudget.percent == 20 && budget.retryBudget.retriesMin == 3)
        #expect(cluster.connectTimeout.seconds == 5)
    }

    @Test("Policies arrive in the messages that they are about")
    func policies() throws {
        let bench = try Bench(
            two
                + Bench.policy(
                    "RetryPolicy", "kind: Service, name: orders", "retryOn: [5xx], attempts: 4, methods: any")
                + Bench.policy(
                    "CircuitBreakerPolicy", "kind: Service, name: orders", "limits: {requests: 7, pending: 0}"
                )
                + Bench.policy("TimeoutPolicy", "kind: Mesh", "connect: 250ms, request: 2s")
                + Bench.policy(
                    "RateLimitPolicy", "kind: Service, name: portal",
                    "local: {requests: 5, per: 1s, burst: 9}"))
        let route = try #require(try bench.routes("orders", for: Bench.node()).first)
        #expect(route.route.retryPolicy.retryOn == "5xx")
        #expect(route.route.timeout.seconds == 2)
        let cluster = try bench.cluster("outbound|80|default/orders", for: Bench.node())
        #expect(cluster.connectTimeout.nanos == 250_000_000)
        #expect(cluster.circuitBreakers.thresholds.first?.maxRequests.value == 7)
        #expect(cluster.circuitBreakers.thresholds.first?.maxPendingRequests.value == 0)
        let filters = try bench.manager("inbound|8080", for: Bench.node()).httpFilters
        #expect(
            filters.map(\.name) == [
                "envoy.filters.http.local_ratelimit", "martlet.policy", "envoy.filters.http.router",
            ])
        let limit = try Envoy_Extensions_Filters_Http_LocalRatelimit_V3_LocalRateLimit(
            unpackingAny: filters[0].typedConfig)
        #expect(limit.tokenBucket.maxTokens == 9 && limit.tokenBucket.tokensPerFill.value == 5)
        #expect(try bench.manager("outbound", for: Bench.node()).httpFilters.count == 2)
    }

    @Test("A foreign proxy gets no message of ours, and the nearest safe retries")
    func foreign() throws {
        let bench = try Bench(
            two + Bench.policy("RetryPolicy", "kind: Service, name: orders", "retryOn: [5xx, gateway-error]"))
        let node = try Bench.node(isMartlet: false, tls: true)
        let snapshot = bench.snapshot(for: node)
        let bytes = ResourceType.allCases.flatMap { snapshot[$0].list }.map(\.message.value)
        #expect(bytes.allSatisfy { $0.range(of: Data("martlet.v1".utf8)) == nil })
        #expect(snapshot[.secrets].list.isEmpty)
        let route = try #require(try bench.routes("orders", for: node).first)
        #expect(route.route.retryPolicy.retryOn == "connect-failure,refused-stream")
        #expect(route.typedPerFilterConfig.isEmpty)
        let cluster = try bench.cluster("outbound|80|default/orders", for: node)
        #expect(cluster.circuitBreakers.thresholds.first?.retryBudget.budgetPercent.value == 20)
        let context = try Envoy_Extensions_TransportSockets_Tls_V3_UpstreamTlsContext(
            unpackingAny: #require(cluster.transportSocketMatches.first).transportSocket.typedConfig)
        #expect(context.commonTlsContext.tlsCertificates.first?.privateKey.filename == "/k")
    }

    @Test("A foreign proxy without certificate speaks plain text")
    func foreignPlain() throws {
        let bench = try Bench(two + Bench.policy("TLSPolicy", "kind: Mesh", "mtls: strict"))
        let node = try Bench.node(isMartlet: false)
        let cluster = try bench.cluster("outbound|80|default/orders", for: node)
        #expect(!cluster.hasTransportSocket && cluster.transportSocketMatches.isEmpty)
        #expect(
            try bench.listener("inbound|8080", for: node).filterChains.map(\.hasTransportSocket) == [false])
    }

    @Test("Static, declared and named endpoints become endpoints; a name becomes a DNS cluster")
    func endpoints() throws {
        let bench = try Bench(
            Bench.service(
                "a", "{port: 80}",
                ", endpoints: {static: [{address: 10.1.1.1, port: 9}, {address: 10.0.0.1}]}")
                + Bench.service("b", "{port: 80}", ", endpoints: {dns: {host: b.example}}")
                + Bench.service("c", "{port: 80}", ", endpoints: {selector: {labels: {app: c}}}")
                    + """
                    ---
                    apiVersion: martlet.mesh/v1
                    kind: Workload
                    metadata: {name: c-1, labels: {app: c}}
                    spec: {service: a, address: 10.2.2.2, ports: [{port: 80, advertisedPort: 8081}], meshed: true}
                    """)
        let snapshot = bench.snapshot(for: try Bench.node())
        func addresses(_ name: String) throws -> [String] {
            try LoadAssignment(
                unpackingAny: #require(snapshot[.endpoints]["outbound|80|default/\(name)"]).message
            )
            .endpoints.flatMap(\.lbEndpoints).map {
                "\($0.endpoint.address.socketAddress.address):\($0.endpoint.address.socketAddress.portValue)"
            }
        }
        #expect(try addresses("a") == ["10.0.0.1:80", "10.1.1.1:9"])
        #expect(try addresses("c") == ["10.2.2.2:8081"])
        #expect(snapshot[.endpoints]["outbound|80|default/b"] == nil)
        #expect(try bench.cluster("outbound|80|default/b", for: Bench.node()).type == .strictDns)
        // A workload that is selected shows the identity of its own service.
        let match = try #require(
            try bench.cluster("outbound|80|default/c", for: Bench.node()).transportSocketMatches.first)
        let context = try Envoy_Extensions_TransportSockets_Tls_V3_UpstreamTlsContext(
            unpackingAny: match.transportSocket.typedConfig)
        #expect(
            context.commonTlsContext.combinedValidationContext.defaultValidationContext
                .matchTypedSubjectAltNames
                .map(\.matcher.exact)
                == ["spiffe://mesh.local/ns/default/sa/a", "spiffe://mesh.local/ns/default/sa/c"])
    }
}
