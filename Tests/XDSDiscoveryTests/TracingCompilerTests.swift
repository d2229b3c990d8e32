import MeshModel
import Testing
import XDSSchema

@testable import XDSDiscovery

@Suite("Tracing becomes values of the model")
struct TracingCompilerTests {
    private func compile(_ yaml: String) -> (Tracing, [String]) {
        var around = surroundings()
        around.environment = { $0 == "ZONE" ? "eu" : nil }
        var compiler = ResourceCompiler(surroundings: around)
        let node = ConfigNode(message(yaml, XDS.HttpConnectionManagerTracing.messageType), root: "tracing")
        let tracing = compiler.tracing(node)
        return (tracing, compiler.problems.list.map(\.description))
    }

    private static func provider(_ config: String) -> String {
        """
        provider: {name: o, typed_config: {
          "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig, \(config)}}
        """
    }

    @Test("Shares, tags and the collector arrive; a tag whose variable is not set is left out")
    func whole() throws {
        let (tracing, problems) = compile(
            """
            client_sampling: {value: 50}
            random_sampling: {value: 0.5}
            max_path_tag_length: 64
            spawn_upstream_span: true
            custom_tags:
            - {tag: a, literal: {value: b}}
            - {tag: c, request_header: {name: X-User, default_value: nobody}}
            - {tag: zone, environment: {name: ZONE}}
            - {tag: gone, environment: {name: GONE}}
            - {tag: given, environment: {name: GONE, default_value: d}}
            \(Self.provider("service_name: s, grpc_service: {envoy_grpc: {cluster_name: otlp}, timeout: 2s}"))
            """)
        #expect(problems == [])
        #expect(tracing.sampling.client == Fraction(numerator: 5000, denominator: 10_000))
        #expect(tracing.sampling.random == Fraction(numerator: 50, denominator: 10_000))
        #expect(tracing.sampling.overall == .all)
        #expect(tracing.pathLengthMax == 64 && tracing.spawnsUpstreamSpan)
        #expect(
            tracing.tags == [
                TraceTag(name: "a", value: "b"), TraceTag(name: "c", value: "nobody", field: "x-user"),
                TraceTag(name: "zone", value: "eu"), TraceTag(name: "given", value: "d"),
            ])
        let exporter = try #require(tracing.exporter)
        #expect(exporter.cluster == "otlp" && exporter.serviceName == "s" && exporter.timeout == .seconds(2))
        #expect(exporter.transport == .grpc(authority: "otlp"))
    }

    @Test("Over HTTP the URL gives host and path")
    func http() throws {
        let (tracing, problems) = compile(
            Self.provider(
                """
                http_service: {http_uri: {uri: "https://c.example:4318/v1/traces", cluster: otlp, timeout: 1s},
                  request_headers_to_add: [{header: {key: X-Key, value: k}}]}
                """))
        #expect(problems == [])
        let exporter = try #require(tracing.exporter)
        #expect(exporter.transport == .http(host: "c.example:4318", path: "/v1/traces"))
        #expect(exporter.fields == [.init(name: "x-key", value: "k")])
        #expect(exporter.serviceName == "unknown_service:envoy")
    }

    @Test("A collector that is none, and other tracers, are refused by their path")
    func refused() {
        for config in [
            "service_name: s", "service_name: s, http_service: {http_uri: {uri: x, cluster: c, timeout: 1s}}",
        ] {
            let (_, problems) = compile(Self.provider(config))
            #expect(
                problems.count == 1 && problems[0].contains("tracing.provider.typed_config"), "\(problems)")
        }
    }
}
