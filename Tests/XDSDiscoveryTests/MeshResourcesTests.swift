import MeshModel
import MeshPrimitives
import Testing
import XDSSchema

@testable import XDSDiscovery

/// Resources as the mesh's control plane writes them.
@Suite("Resources of the mesh")
struct MeshResourcesTests {
    static let identity = SecretValue.identity(
        KeyMaterial(certificateChainPEM: Array("chain".utf8), privateKeyPEM: Array("key".utf8)))

    private static let own = surroundings(secrets: ["martlet:identity": identity])

    private static func common(_ names: String) -> String {
        """
        {tls_params: {tls_minimum_protocol_version: TLSv1_3}, alpn_protocols: [h2, http/1.1], \
        tls_certificate_sds_secret_configs: [{name: "martlet:identity", sds_config: {ads: {}, resource_api_version: V3}}], \
        combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: [{san_type: URI, matcher: \(names)}]}, \
        validation_context_sds_secret_config: {name: "martlet:bundle", sds_config: {ads: {}}}}}
        """
    }

    private static let cluster = """
        name: outbound|80|default/orders
        type: EDS
        eds_cluster_config: {eds_config: {ads: {}}}
        connect_timeout: 5s
        circuit_breakers: {thresholds: [{max_connections: 10, max_requests: 4294967295}]}
        transport_socket_matches:
        - name: mtls
          match: {martlet.tls: "true"}
          transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
              sni: outbound.80.orders.default
              common_tls_context: \(common("{exact: \"spiffe://td/ns/default/sa/orders\"}"))
        - name: plain
          match: {}
          transport_socket:
            name: envoy.transport_sockets.raw_buffer
            typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}
        typed_extension_protocol_options:
          envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
            "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
            common_http_protocol_options: {idle_timeout: 3600s}
            auto_config:
              http2_protocol_options: {}
              http_protocol_options:
                enable_trailers: true
                header_key_format:
                  stateful_formatter:
                    name: preserve_case
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig}
          martlet.cluster:
            "@type": type.googleapis.com/martlet.v1.Cluster
            retry_budget: {percent: 20, window: 10s, retries_min: 3}
        """

    private static let endpoints = """
        cluster_name: outbound|80|default/orders
        endpoints:
        - locality: {zone: a}
          lb_endpoints:
          - endpoint: {address: {socket_address: {address: 10.0.0.5, port_value: 40001}}}
            metadata: {filter_metadata: {envoy.transport_socket_match: {martlet.tls: "true"}}}
          - endpoint: {address: {socket_address: {address: 10.0.0.6, port_value: 8080}}}
        """

    private static let inbound = """
        name: inbound|8080
        address: {socket_address: {address: 127.0.0.1, port_value: 40001}}
        listener_filters:
        - name: envoy.filters.listener.tls_inspector
          typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}
        filter_chains:
        - filter_chain_match: {transport_protocol: tls}
          transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              require_client_certificate: true
              common_tls_context: \(common("{prefix: \"spiffe://td/\"}"))
          filters: [\(manager)]
        - filter_chain_match: {transport_protocol: raw_buffer}
          filters: [\(manager)]
        """

    private static let manager = """
        {name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, \
        stat_prefix: inbound_8080, server_name: martlet, forward_client_cert_details: SANITIZE_SET, set_current_client_cert_details: {uri: true}, \
        upgrade_configs: [{upgrade_type: websocket}], \
        route_config: {name: "inbound|8080", virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: "outbound|80|default/orders", timeout: 0s}, \
        typed_per_filter_config: {martlet.route: {"@type": type.googleapis.com/martlet.v1.Route, retry: {provably_safe: true, methods: IDEMPOTENT, idempotency_header: Idempotency-Key}, propagate_deadline: true}}}]}]}, \
        http_filters: [{name: l, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, stat_prefix: l, token_bucket: {max_tokens: 5, fill_interval: 1s}}}, \
        {name: martlet.policy, typed_config: {"@type": type.googleapis.com/martlet.v1.Policy, trace_context: {sampled: {numerator: 1}, start_w3c: true}, ignore_unknown_upgrades: true, \
        send_proxy_status: true, send_retry_after: true, trusts_local_controls: true}}, \
        {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}
        """

    @Test("Clusters, endpoints and listeners of the mesh arrive whole; the identity is never asked for")
    func wholeMesh() throws {
        var h = Harness(surroundings: Self.own)
        _ = h.open()
        #expect(
            h.send(.cluster, "1", [Self.cluster]) == [
                SeenRequest(.endpoints, names: ["outbound|80|default/orders"]),
                SeenRequest(.secret, names: ["martlet:bundle"]),
            ])
        _ = h.send(.endpoints, "1", [Self.endpoints])
        _ = h.send(.secret, "1", [Sample.bundle("martlet:bundle")])
        let requests = h.send(.listener, "1", [Self.inbound])
        #expect(requests == [SeenRequest(.listener, version: "1", nonce: "4")])
        let configuration = h.client.configuration
        let cluster = try #require(configuration.clusters.last)
        #expect(cluster.windowBudget == WindowBudget())
        #expect(cluster.enablesTrailers && cluster.headerKeyFormat == .preserveCase && cluster.tls == nil)
        #expect(cluster.normalLimits.requests == UInt32.max && cluster.normalLimits.connections == 10)
        #expect(cluster.transportMatches.map(\.name) == ["mtls", "plain"])
        let tls = try #require(cluster.transportMatches[0].tls)
        #expect(cluster.transportMatches[0].labels == ["martlet.tls": "true"])
        #expect(cluster.transportMatches[1].tls == nil)
        #expect(tls.sni == "outbound.80.orders.default" && tls.settings.identity != nil)
        #expect(tls.settings.versionMin == .tls13 && tls.settings.versionMax == .tls13)
        #expect(tls.settings.trustBundlePEM != nil)
        #expect(
            tls.settings.subjectNames == [
                SubjectNameMatch(kind: .uri, match: StringMatch(.exact("spiffe://td/ns/default/sa/orders")))
            ])
        #expect(
            cluster.localities.first?.endpoints.map(\.transportLabels) == [["martlet.tls": "true"], [:]])
        try check(try #require(configuration.listeners.first))
    }

    private func check(_ listener: Listener) throws {
        #expect(
            listener.inspectsTLS
                && listener.filterChains.map(\.match.transportProtocol) == [.tls, .rawBuffer])
        let tls = try #require(listener.filterChains[0].tls)
        #expect(tls.requiresClientCertificate && tls.settings.alpn == ["h2", "http/1.1"])
        #expect(tls.settings.identity != nil && tls.settings.trustBundlePEM != nil)
        #expect(listener.filterChains[1].tls == nil)
        guard case .http(let manager) = listener.filterChains[0].network,
            case .routes(let routes) = manager.routes,
            case .localRateLimit(let limit, _) = manager.filters.first,
            case .forward(let forward) = routes.virtualHosts[0].routes[0].action
        else {
            Issue.record("no connection manager")
            return
        }
        #expect(limit.sendsRetryAfter && limit.enabled == .none)
        #expect(manager.ignoresUnknownUpgrades && manager.sendsProxyStatus && manager.trustsLocalControls)
        #expect(manager.traceContext?.sampled == Fraction(numerator: 1, denominator: 100))
        #expect(manager.traceContext?.startsW3C == true && manager.traceContext?.startsB3 == false)
        #expect(manager.forwardClientCertificate == .sanitizeSet && manager.currentClientCertificate.uri)
        var policy = RetryPolicy(retryOn: [])
        policy.provablySafe = true
        policy.methods = .idempotent
        policy.idempotencyHeader = "idempotency-key"
        #expect(forward.retryPolicy == policy && forward.propagatesDeadline && forward.timeout == nil)
    }

    @Test(
        "Any change of any byte of a response is applied or refused, never a trap", arguments: UInt64(0)..<60)
    func mutations(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let kinds: [(ResourceKind, String)] = [
            (.cluster, Self.cluster), (.endpoints, Self.endpoints),
            (.secret, Sample.bundle("martlet:bundle")), (.listener, Self.inbound),
        ]
        var h = Harness(surroundings: Self.own)
        _ = h.open()
        for (kind, text) in kinds {
            var response = ConfigMessage(XDS.DiscoveryResponse.messageType)
            response.set(XDS.DiscoveryResponse.typeUrl, .text(kind.typeURL))
            response.set(XDS.DiscoveryResponse.resources, .list([.message(message(text, kind.messageType))]))
            let original = WireWriter.write(response)
            for _ in 0..<10 {
                var bytes = original
                for _ in 0..<Int.random(in: 1...3, using: &random) {
                    let place = Int.random(in: 0..<bytes.count, using: &random)
                    if Bool.random(using: &random) {
                        bytes[place] = UInt8.random(in: 0...255, using: &random)
                    } else {
                        bytes.remove(at: place)
                    }
                }
                let output = h.client.responseReceived(bytes, at: h.now)
                #expect(output.closesStream != nil || !output.notes.isEmpty)
                _ = h.client.configuration
            }
            _ = h.client.responseReceived(original, at: h.now)
        }
        let isReady = h.client.isReady
        #expect(isReady)
    }

    @Test("An upstream context without versions stops at 1.2, as Envoy's do; a server's goes to 1.3")
    func versions() {
        var compiler = ResourceCompiler(surroundings: surroundings())
        func context(_ name: String, _ common: String) -> ConfigNode {
            let text =
                "{name: t, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.\(name), "
                + "common_tls_context: {\(common)}}}"
            return ConfigNode(message(text, XDS.TransportSocket.messageType), root: "")
        }
        let silent = compiler.upstreamTLS(context("UpstreamTlsContext", ""))
        #expect(silent?.settings.versionMax == .tls12)
        let minimum = "tls_params: {tls_minimum_protocol_version: TLSv1_3}"
        let modern = compiler.upstreamTLS(context("UpstreamTlsContext", minimum))
        #expect(modern?.settings.versionMax == .tls13)
        let files =
            "tls_certificates: [{certificate_chain: {filename: /etc/martlet/chain.pem}, private_key: {filename: /etc/martlet/key.pem}}]"
        let server = compiler.downstreamTLS(context("DownstreamTlsContext", files))
        #expect(server?.settings.versionMin == .tls12 && server?.settings.versionMax == .tls13)
        #expect(compiler.problems.isEmpty)
        _ = compiler.downstreamTLS(context("DownstreamTlsContext", ""))
        #expect(compiler.problems.list.map(\.text) == ["a server needs a certificate"])
    }
}
