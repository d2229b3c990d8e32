import MeshModel
import MeshPrimitives
import Testing
import XDSSchema

@testable import XDSDiscovery

@Suite("Health checks and names of clusters")
struct EndpointSettingsTests {
    private func cluster(_ yaml: String) -> (Cluster, [String]) {
        var compiler = ResourceCompiler(surroundings: surroundings())
        let compiled = compiler.cluster(
            ConfigNode(message("name: c\n" + yaml, XDS.Cluster.messageType), root: "c"))
        return (compiled.cluster, compiler.problems.list.map(\.description))
    }

    @Test("A check has all that the API says of it, and Envoy's values for what it leaves out")
    func http() throws {
        let (cluster, problems) = cluster(
            """
            common_lb_config: {ignore_new_hosts_until_first_hc: true}
            health_checks:
            - timeout: 1s
              interval: 5s
              unhealthy_threshold: 3
              healthy_threshold: 2
              unhealthy_interval: 7s
              interval_jitter_percent: 10
              reuse_connection: false
              always_log_health_check_failures: true
              http_health_check:
                path: /health
                host: h
                method: HEAD
                codec_client_type: HTTP2
                expected_statuses: [{start: 200, end: 300}]
                retriable_statuses: [{start: 500, end: 501}]
                request_headers_to_add: [{header: {key: X-A, value: b}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
            """)
        #expect(problems == [])
        let check = try #require(cluster.healthCheck)
        #expect(check.settings.timeout == 1_000_000_000 && check.settings.interval == 5_000_000_000)
        #expect(check.settings.unhealthyThreshold == 3 && check.settings.healthyThreshold == 2)
        #expect(check.settings.noTrafficInterval == 60_000_000_000)
        #expect(check.settings.unhealthyInterval == 7_000_000_000 && check.settings.ignoresNewHosts)
        #expect(check.settings.alwaysLogsFailures && !check.reusesConnections)
        guard case .http(let http) = check.kind else { return #expect(Bool(false)) }
        #expect(http.path == "/health" && http.host == "h" && http.method == "HEAD" && http.usesHTTP2)
        #expect(http.headers == [HTTPCheck.Header(name: "x-a", value: "b", appends: false)])
        #expect(http.statuses.judge(204, isDegraded: false) == .passed(isDegraded: false))
        #expect(http.statuses.judge(500, isDegraded: false) == .failed(.retriable))
    }

    @Test("Payloads are pairs of hexadecimal digits, and what makes no sense is refused by its path")
    func refusals() throws {
        let tcp = cluster(
            """
            health_checks:
            - {timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1,
               tcp_health_check: {send: {text: "50494E47"}, receive: [{text: "504f"}]}}
            """)
        #expect(tcp.1 == [])
        guard case .tcp(let check) = tcp.0.healthCheck?.kind else { return #expect(Bool(false)) }
        #expect(check.send == Array("PING".utf8) && check.receive == [Array("PO".utf8)])
        let base = "timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1"
        for (kind, path) in [
            ("tcp_health_check: {send: {text: \"5x\"}}", "tcp_health_check.send.text"),
            ("http_health_check: {path: /, method: CONNECT}", "http_health_check.method"),
            (
                "http_health_check: {path: /, expected_statuses: [{start: 300, end: 200}]}",
                "expected_statuses[0]"
            ),
            (
                "http_health_check: {path: /, request_headers_to_add: [{header: {key: a, value: \"%PROTOCOL%\"}}]}",
                "request_headers_to_add[0]"
            ),
        ] {
            let (_, problems) = cluster("health_checks: [{\(base), \(kind)}]")
            #expect(problems.count == 1 && problems.first?.contains(path) == true, "\(problems)")
        }
    }

    @Test("Names are looked up as the API says; ORIGINAL_DST and CLUSTER_PROVIDED need each other")
    func names() throws {
        let (strict, problems) = cluster(
            """
            type: STRICT_DNS
            dns_refresh_rate: 2s
            dns_failure_refresh_rate: {base_interval: 1s}
            dns_jitter: 0.5s
            respect_dns_ttl: true
            dns_lookup_family: V4_PREFERRED
            typed_dns_resolver_config:
              name: r
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
                resolvers: [{socket_address: {address: "::1", port_value: 53}}]
                dns_resolver_options: {use_tcp_for_dns_lookups: true}
            """)
        #expect(problems == [])
        let lookup = strict.nameLookup
        #expect(lookup.refresh == .seconds(2) && lookup.jitter == .milliseconds(500) && lookup.respectsTTL)
        #expect(lookup.failure == .init(base: .seconds(1), max: .seconds(10)))
        #expect(lookup.family == .v4Preferred && lookup.resolver.usesTCP && lookup.resolver.searchesDomains)
        #expect(lookup.resolver.servers.map(\.description) == ["[::1]:53"])
        let (original, none) = cluster(
            "type: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED\n"
                + "original_dst_lb_config: {use_http_header: true, upstream_port_override: 80}")
        #expect(none == [] && original.discovery == .originalDestination)
        #expect(original.originalDestination.headerName == "x-envoy-original-dst-host")
        #expect(original.originalDestination.portOverride == 80)
        #expect(cluster("type: ORIGINAL_DST").1.count == 1)
        #expect(cluster("lb_policy: CLUSTER_PROVIDED").1.count == 1)
    }
}
