import MeshModel
import MeshPrimitives
import Testing
import XDSSchema

@testable import XDSDiscovery

@Suite("Connection managers become values of the model")
struct ConnectionManagerCompilerTests {
    private let router =
        "http_filters: [{name: r, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]"

    private func compile(_ yaml: String) -> (HTTPConnectionManager, [String]) {
        var compiler = ResourceCompiler(surroundings: surroundings())
        let text = "stat_prefix: test\nroute_config: {name: r}\n\(router)\n\(yaml)"
        let node = ConfigNode(message(text, XDS.HttpConnectionManager.messageType), root: "")
        let (manager, _) = compiler.connectionManager(node)
        return (manager, compiler.problems.list.map(\.description))
    }

    @Test("Whose word counts about callers, and how connections end, arrives")
    func callers() {
        let (manager, problems) = compile(
            """
            use_remote_address: true
            xff_num_trusted_hops: 2
            skip_xff_append: true
            append_x_forwarded_port: true
            internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}
            proxy_100_continue: true
            drain_timeout: 7s
            delayed_close_timeout: 0s
            set_current_client_cert_details: {cert: true}
            """)
        #expect(problems == [])
        #expect(manager.usesRemoteAddress && manager.trustedHops == 2 && manager.skipsXFFAppend)
        #expect(manager.appendsForwardedPort && manager.internalRanges?.count == 1)
        #expect(manager.proxies100Continue && manager.drainTimeout == .seconds(7))
        #expect(manager.delayedCloseTimeout == nil && manager.currentClientCertificate.certificate)
        #expect(manager.believesForwardedFor)
    }

    @Test(
        "What a head's index does not hold, and what would have no effect, is refused by its path",
        arguments: [
            ("max_request_headers_kb: 60", nil),
            ("max_request_headers_kb: 61", "max_request_headers_kb: is more than 60"),
            ("common_http_protocol_options: {max_headers_count: 100}", nil),
            (
                "common_http_protocol_options: {max_headers_count: 101}",
                "common_http_protocol_options.max_headers_count: is more than 100"
            ),
        ] as [(String, String?)])
    func bounds(yaml: String, problem: String?) {
        let (_, problems) = compile(yaml)
        #expect(problems.count == (problem == nil ? 0 : 1), "\(problems)")
        if let problem { #expect(problems.first?.contains(problem) == true, "\(problems)") }
    }

    @Test("What a descriptor counts for is a matter of filters; texts of metadata lie where their keys say")
    func limits() throws {
        var compiler = ResourceCompiler(surroundings: surroundings())
        let routes = ConfigNode(
            message(
                """
                virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /},
                  metadata: {filter_metadata: {a: {b: {c: x}, d: 1}}},
                  route: {cluster: c, rate_limits: [{hits_addend: {number: 2}, actions: [{metadata: {
                    descriptor_key: k, source: ROUTE_ENTRY, metadata_key: {key: a, path: [{key: b}, {key: c}]}}}]}]}}]}]
                """, XDS.RouteConfiguration.messageType), root: "")
        let configuration = compiler.routeConfiguration(routes, validatesClusters: false)
        #expect(compiler.problems.list.count == 1)
        #expect(
            compiler.problems.list.first?.description.contains("rate_limits[0].hits_addend: has an effect")
                == true)
        let route = try #require(configuration.virtualHosts.first?.routes.first)
        #expect(route.metadata == [MetadataPath(["a", "b", "c"]): "x"])
        guard case .forward(let forward) = route.action, let rule = forward.rateLimits?.first else {
            Issue.record("no rule")
            return
        }
        let path = MetadataPath(["a", "b", "c"])
        #expect(rule.actions == [.metadata(key: "k", path: path, fallback: "", skipsIfAbsent: false)])
    }
}
