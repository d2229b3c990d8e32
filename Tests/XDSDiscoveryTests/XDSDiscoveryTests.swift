import Foundation
import MeshModel
import MeshPrimitives
import Testing
import XDSSchema

@testable import XDSDiscovery

/// Files that tests have; what is there is enough to pass for PEM.
func surroundings(_ files: [String: String] = [:], secrets: [String: SecretValue] = [:]) -> ConfigSurroundings
{
    let standard = [
        "/etc/martlet/chain.pem": pem("CERTIFICATE"), "/etc/martlet/key.pem": pem("EC PRIVATE KEY"),
        "/etc/martlet/bundle.pem": pem("CERTIFICATE"),
    ]
    let all = standard.merging(files) { $1 }
    return ConfigSurroundings(
        readFile: { path in
            all[path].map { .success(Array($0.utf8)) }
                ?? .failure(ConfigSurroundings.FileProblem("no such file"))
        },
        environment: { $0 == "CA" ? pem("CERTIFICATE") : nil }, secrets: secrets)
}

func pem(_ label: String) -> String { "-----BEGIN \(label)-----\nAAAA\n-----END \(label)-----\n" }

/// A message from YAML; its problems are issues of the test.
func message(_ yaml: String, _ type: MessageType) -> ConfigMessage {
    var problems = ConfigProblems()
    let message = TextReader.read(Array(yaml.utf8), as: type, file: "yaml", problems: &problems)
    for problem in problems.list { Issue.record("\(problem)") }
    return message ?? ConfigMessage(type)
}

func bootstrap(_ yaml: String, _ surroundings: ConfigSurroundings = surroundings()) -> (Bootstrap?, [String])
{
    var problems = ConfigProblems()
    let result = Bootstrap.read(
        [(name: "b.yaml", bytes: Array(yaml.utf8))], surroundings: surroundings, problems: &problems)
    return (result, problems.list.map(\.description))
}

@Suite("Bootstrap")
struct BootstrapTests {
    private func example(_ name: String) throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try String(
            contentsOf: root.appendingPathComponent("mesh-config/bootstrap/\(name).yaml"), encoding: .utf8)
    }

    private func configuration(_ yaml: String) throws -> Configuration {
        let (result, problems) = bootstrap(yaml)
        #expect(problems == [])
        var client = ADSClient(bootstrap: try #require(result), surroundings: surroundings())
        let output = client.start(at: .zero)
        #expect(output.isChanged && output.requests.isEmpty && output.notes == [.ready])
        #expect(client.isReady && client.deadline == nil)
        return client.configuration
    }

    @Test("The static example is one listener, route and cluster with Envoy's defaults")
    func staticExample() throws {
        let configuration = try configuration(try example("static"))
        #expect(configuration.clusters.map(\.name) == ["application"])
        let listener = try #require(configuration.listeners.first)
        #expect(listener.address == SocketAddress(ipv4: 0, 0, 0, 0, port: 15006))
        guard case .http(let manager) = listener.filterChains.first?.network,
            case .routes(let routes) = manager.routes
        else {
            Issue.record("no connection manager")
            return
        }
        var expected = HTTPConnectionManager(statPrefix: "inbound", routes: .routes(routes))
        expected.serverName = "envoy"
        #expect(manager == expected)
        let route = try #require(routes.virtualHosts.first?.routes.first)
        #expect(route.match == RouteMatch(path: .prefix("/")))
        #expect(
            route.action == .forward(Forward(target: .clusters([WeightedCluster(cluster: "application")]))))
        var cluster = Cluster(name: "application")
        cluster.connectTimeout = .seconds(1)
        cluster.localities = [
            LocalityEndpoints(endpoints: [
                Endpoint(address: .numeric(SocketAddress(ipv4: 127, 0, 0, 1, port: 8080)))
            ])
        ]
        #expect(configuration.clusters.first == cluster)
    }

    @Test("The example of features arrives in the model, value for value")
    func featuresExample() throws {
        let configuration = try configuration(try example("features"))
        #expect(configuration.runtime["limit.enforced"] == .number(100))
        #expect(configuration.listeners.map(\.name) == ["outbound", "inbound"])
        guard case .http(let manager) = configuration.listeners[0].filterChains[0].network,
            case .routes(let routes) = manager.routes,
            case .localRateLimit(let limit, _) = manager.filters.first
        else {
            Issue.record("no connection manager")
            return
        }
        #expect(manager.headBytesMax == 32 << 10 && manager.fieldsMax == 64 && manager.acceptsHTTP10)
        #expect(manager.underscoresInHeaders == .rejectRequest && manager.idleTimeout == .seconds(600))
        #expect(manager.upgrades == ["websocket"] && manager.http2.maxConcurrentStreams == 100)
        #expect(
            manager.accessLogs.first?.filter
                == .any([.status(.greaterOrEqual, 500), .responseFlags(["UF", "UO"])]))
        #expect(
            limit.bucket == TokenBucket(tokensMax: 1000, tokensPerFill: 100, fillInterval: .milliseconds(100))
        )
        #expect(limit.enforced == Fraction(numerator: 100, denominator: 100, runtimeKey: "limit.enforced"))
        #expect(limit.sendsRateLimitHeaders && limit.status == 429)
        let host = try #require(routes.virtualHosts.first)
        #expect(host.retryPolicy?.retryOn == ["gateway-error", "reset", "retriable-status-codes"])
        #expect(host.retryPolicy?.attempts == 2 && host.retryPolicy?.retriableStatusCodes == [429, 409])
        #expect(host.routes[1].action == .direct(status: 200, body: Array("ok\n".utf8)))
        var redirect = Redirect()
        (redirect.path, redirect.status) = (.replace("/new"), 308)
        #expect(host.routes[0].action == .redirect(redirect))
        guard case .forward(let split) = host.routes[2].action,
            case .forward(let last) = host.routes[3].action
        else {
            Issue.record("no forward")
            return
        }
        #expect(
            split.target
                == .clusters([
                    WeightedCluster(cluster: "quotes-v1", weight: 90),
                    WeightedCluster(cluster: "quotes-v2", weight: 10),
                ]))
        #expect(
            last.timeout == nil && last.idleTimeout == .seconds(60)
                && last.maxStreamDuration == .seconds(3600))
        let inbound = configuration.listeners[1]
        #expect(inbound.inspectsTLS && inbound.filterChains[0].match.serverNames == ["*.example"])
        #expect(inbound.filterChains[0].tls?.settings.versionMin == .tls13)
        #expect(inbound.filterChains[0].tls?.settings.identity != nil)
        let quotes = configuration.clusters[0]
        #expect(quotes.balancing.policy == .leastRequest(choices: 3) && quotes.upstreamProtocol == .auto)
        #expect(quotes.normalLimits.retryBudget == Limits.RetryBudget(percent: 25.5, concurrencyMin: 5))
        #expect(quotes.highLimits.connections == 1000 && quotes.highLimits.pending == 1024)
        #expect(quotes.localities[0].endpoints.map(\.health) == [.unknown, .unhealthy])
        #expect(
            configuration.clusters[1].localities[0].endpoints[0].address == .name("localhost", port: 8083))
    }

    @Test("The ADS example names its stream")
    func adsExample() throws {
        let (result, problems) = bootstrap(try example("ads"))
        #expect(problems == [])
        let value = try #require(result)
        #expect(value.ads == ADSSettings(clusterName: "control", sendsNodeOnce: true))
        #expect(value.clusterFetchTimeout == .seconds(15) && value.listenerFetchTimeout == .seconds(15))
        #expect(value.adsCluster?.upstreamProtocol == .http2)
    }

    @Test(
        "What cannot be carried out is refused with its path",
        arguments: [
            ("clusters: [{name: a, type: EDS}]", "clusters[0].eds_cluster_config: 'type: EDS' needs it"),
            (
                "clusters: [{name: a, type: EDS, eds_cluster_config: {eds_config: {ads: {}}}}]",
                "dynamic_resources.ads_config: is needed by resources that are fetched with 'ads'"
            ),
            (
                "clusters: [{name: a, load_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: host, port_value: 1}}}}]}]}}]",
                "lb_endpoints[0].endpoint.address.socket_address.address: 'host' is not a numeric address"
            ),
            ("clusters: [{name: a}, {name: a}]", "clusters[1].name: a second cluster 'a'"),
            (
                "clusters: [{name: a, least_request_lb_config: {choice_count: 2}}]",
                "clusters[0].least_request_lb_config: needs 'lb_policy: LEAST_REQUEST'"
            ),
            (
                "clusters: [{name: a, circuit_breakers: {per_host_thresholds: [{max_requests: 3}]}}]",
                "per_host_thresholds[0].max_requests: not supported per host"
            ),
            (
                "clusters: [{name: a, transport_socket: {name: t, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext}}}]",
                "transport_socket.typed_config: the type 'envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext' is not supported here"
            ),
            (
                "clusters: [{name: a, transport_socket: {name: t, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, common_tls_context: {validation_context: {trusted_ca: {filename: /no}}}}}}]",
                "trusted_ca.filename: cannot read '/no': no such file"
            ),
            (
                "listeners: [{name: l, address: {socket_address: {address: 1.2.3.4, port_value: 1}}}]",
                "listeners[0].filter_chains: needs at least one element"
            ),
        ])
    func refusals(resources: String, expected: String) {
        let (result, problems) = bootstrap("static_resources: {\(resources)}")
        #expect(result == nil)
        #expect(problems.contains { $0.contains(expected) }, "\(problems)")
        #expect(
            problems.allSatisfy { $0.hasPrefix("b.yaml:1:") || $0.hasPrefix("dynamic_resources") },
            "\(problems)")
    }

    @Test("A static route to an unknown cluster is refused unless validate_clusters is false")
    func unknownCluster() {
        func text(_ extra: String) -> String {
            """
            static_resources:
              listeners:
              - name: l
                address: {socket_address: {address: 127.0.0.1, port_value: 1}}
                filter_chains:
                - filters:
                  - name: h
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                      stat_prefix: h
                      route_config:
                        \(extra)
                        virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: gone}}]}]
                      http_filters:
                      - name: r
                        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
            """
        }
        let path =
            "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0].routes[0].route.cluster"
        #expect(
            bootstrap(text("name: r")).1
                == [
                    "b.yaml:13:93: \(path): there is no cluster 'gone'; add it, or set 'validate_clusters: false'"
                ])
        #expect(bootstrap(text("validate_clusters: false")).1 == [])
    }

    @Test("Texts are merged in their order")
    func mergedTexts() throws {
        var problems = ConfigProblems()
        let result = Bootstrap.read(
            [
                (name: "a", bytes: Array("node: {id: a, cluster: c}".utf8)),
                (name: "--config-yaml", bytes: Array("node: {id: b}".utf8)),
            ], surroundings: surroundings(), problems: &problems)
        #expect(problems.isEmpty)
        #expect(result?.node == message("{id: b, cluster: c}", XDS.Node.messageType))
    }

    @Test("Runtime layers win over those before them, with dotted keys")
    func runtime() {
        let (result, problems) = bootstrap(
            "layered_runtime: {layers: [{name: a, static_layer: {x: 1, y: {z: text}}}, {name: b, static_layer: {x: true}}]}"
        )
        #expect(problems == [])
        #expect(result?.runtime == ["x": .bool(true), "y.z": .text("text")])
    }
}

@Suite("Format strings")
struct FormatStringTests {
    @Test(
        "Operators that no access log has are refused where they stand",
        arguments: [
            ("", nil), ("100 %% sure", nil), ("%RESPONSE_CODE% %REQ(A?B):3% %START_TIME(%s)%", nil),
            ("50%", "value: %: an operator is not finished; write '%%' for a percent sign"),
            ("%NOPE%", "value: unknown operator %NOPE%; write '%%' for a percent sign"),
        ] as [(String, String?)])
    func operators(text: String, problem: String?) {
        let node = ConfigNode(
            message("{key: k, value: \"\(text)\"}", XDS.HeaderValue.messageType), root: "")
        var compiler = ResourceCompiler(surroundings: surroundings())
        compiler.checkFormat(text, at: node, XDS.HeaderValue.value)
        #expect(compiler.problems.list.first.map { "\($0.path): \($0.text)" } == problem)
    }
}
