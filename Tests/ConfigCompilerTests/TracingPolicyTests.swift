import MeshConfig
import Testing
import XDSMessages

@testable import ConfigCompiler

@Suite struct TracingPolicyTests {
    private static let collector = "tracing: {sampling: 5%, otlp: {address: 'otel.example:4317'}}"

    private func bench(_ policy: String) throws -> Bench {
        try Bench(Bench.service("portal") + Bench.service("orders") + policy)
    }

    private func manager(_ name: String, in bench: Bench) throws -> ConnectionManager {
        let filter = try #require(
            try bench.listener(name, for: Bench.node()).filterChains.first?.filters.first)
        return try ConnectionManager(serializedBytes: filter.typedConfig.value)
    }

    @Test("A collector is a cluster, and every connection manager sends spans through it")
    func collector() throws {
        let bench = try bench(Bench.policy("TelemetryPolicy", "kind: Mesh", Self.collector))
        let snapshot = bench.snapshot(for: try Bench.node())
        let name = "otlp|otel.example|4317|grpc"
        #expect(snapshot[.clusters].list.map(\.name).contains(name))
        for listener in ["outbound", "inbound|8080"] {
            let tracing = try manager(listener, in: bench).tracing
            let exporter = try Envoy_Config_Trace_V3_OpenTelemetryConfig(
                serializedBytes: tracing.provider.typedConfig.value)
            #expect(exporter.grpcService.envoyGrpc.clusterName == name)
            #expect(exporter.serviceName == "default/portal")
            #expect(tracing.randomSampling.value == 5)
        }
        #expect(try bench.listener("outbound", for: Bench.node()).trafficDirection == .outbound)
        #expect(try bench.listener("inbound|8080", for: Bench.node()).trafficDirection != .outbound)
    }

    @Test("In shadow mode lines and samples are counted by our own proxies, beside what is in force")
    func shadow() throws {
        let bench = try bench(
            Bench.policy(
                "TelemetryPolicy", "kind: Mesh",
                "mode: shadow, tracing: {sampling: 20%}, accessLog: {filter: {statusMin: 500}}"))
        for listener in ["outbound", "inbound|8080"] {
            let manager = try manager(listener, in: bench)
            #expect(manager.accessLog.map(\.name) == ["martlet.access_loggers.counted"])
            #expect(manager.accessLog[0].filter.statusCodeFilter.comparison.value.defaultValue == 500)
            let filter = try #require(manager.httpFilters.first { $0.name == "martlet.policy" })
            let context = try Martlet_V1_Policy(unpackingAny: filter.typedConfig).traceContext
            #expect(context.shadowSampled.numerator == 200_000 && context.sampled.numerator == 10_000)
        }
        let foreign = try bench.manager("outbound", for: Bench.node(isMartlet: false))
        #expect(foreign.accessLog.isEmpty)
        let twice = try self.bench(
            Bench.policy("TelemetryPolicy", "kind: Mesh", "accessLog: {enabled: true}")
                + Bench.policy(
                    "TelemetryPolicy", "kind: Namespace", "mode: shadow, accessLog: {enabled: true}"
                )
                .replacing("name: telemetrypolicy", with: "name: other"))
        #expect(try manager("outbound", in: twice).accessLog.map(\.name) == ["envoy.access_loggers.file"])
    }

    @Test("A filter of the access log asks for any of its conditions, and leaves health checks out")
    func logFilter() throws {
        func filter(_ text: String) throws -> LogFilter? {
            let bench = try bench(
                Bench.policy("TelemetryPolicy", "kind: Mesh", "accessLog: {filter: \(text)}"))
            let log = try #require(try manager("outbound", in: bench).accessLog.first)
            return log.hasFilter ? log.filter : nil
        }
        let status = try #require(try filter("{statusMin: 500}")).statusCodeFilter.comparison
        #expect(status.op == .ge && status.value.defaultValue == 500 && !status.value.runtimeKey.isEmpty)
        let some = try #require(try filter("{slowerThan: 2s, flags: [UF, URX], healthChecks: false}"))
        #expect(some.andFilter.filters.count == 2)
        let any = try #require(some.andFilter.filters.first).orFilter.filters
        #expect(any[0].durationFilter.comparison.value.defaultValue == 2000)
        #expect(any[1].responseFlagFilter.flags == ["UF", "URX"])
        #expect(try #require(try filter("{healthChecks: false}")).notHealthCheckFilter == .init())
        #expect(try filter("{healthChecks: true}") == nil)
    }

    @Test("Over HTTP the path may be said; without a collector nothing is traced here")
    func http() throws {
        let bench = try bench(
            Bench.policy(
                "TelemetryPolicy", "kind: Mesh",
                "tracing: {otlp: {address: 'otel:4318', protocol: http, path: /spans}}"))
        let tracing = try manager("outbound", in: bench).tracing
        let exporter = try Envoy_Config_Trace_V3_OpenTelemetryConfig(
            serializedBytes: tracing.provider.typedConfig.value)
        #expect(exporter.httpService.httpUri.uri == "http://otel:4318/spans")
        #expect(exporter.httpService.httpUri.cluster == "otlp|otel|4318|http")
        let without = try self.bench("")
        #expect(try !manager("outbound", in: without).hasTracing)
    }
}
