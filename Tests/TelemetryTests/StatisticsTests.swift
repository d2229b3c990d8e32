import Dispatch
import Foundation
import MeshPrimitives
import Synchronization
import Testing

@testable import Telemetry

@Suite struct StatisticsTests {
    @Test(
        "Names are Envoy's: every counter's, once, in lower case with dots and underscores",
        arguments: ScopeKind.allCases)
    func names(kind: ScopeKind) {
        let names = (0..<kind.counterCount).map { kind.counterName($0).description }
        #expect(Set(names).count == names.count && !names.contains(""))
        for name in names where !name.hasPrefix("ssl.versions.") {
            #expect(name.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "_" || $0 == "." })
        }
        #expect(ClusterCounter.upstreamRqPendingOverflow.name.description == "upstream_rq_pending_overflow")
        #expect(
            ClusterCounter.circuitBreakersDefaultRqOpen.name.description == "circuit_breakers.default.rq_open"
        )
    }

    @Test("Numbers of all threads are added up, also while they are being written")
    func aggregation() {
        let registry = StatisticsRegistry()
        let cluster = registry.cluster("orders")
        let blocks = (0..<4).map { _ in registry.makeBlock() }
        let isDone = Atomic<Bool>(false)
        var last: UInt64 = 0
        DispatchQueue.concurrentPerform(iterations: 5) { thread in
            if thread == 4 {
                var seen: UInt64 = 0
                while !isDone.load(ordering: .acquiring) {
                    let now = registry.snapshot().value("orders", .upstreamRqTotal) ?? 0
                    if now < seen { Issue.record("a counter went back from \(seen) to \(now)") }
                    seen = now
                    if now == 80_000 { isDone.store(true, ordering: .releasing) }
                }
                return
            }
            let writer = blocks[thread].writer
            for _ in 0..<20_000 {
                writer.add(cluster, .upstreamRqTotal)
                writer.add(cluster, .upstreamRqActive)
                writer.add(cluster, .upstreamRqActive, -1)
                writer.countAnswer(cluster, status: 418)
            }
        }
        let snapshot = registry.snapshot()
        last = snapshot.value("orders", .upstreamRqTotal) ?? 0
        #expect(last == 80_000)
        #expect(snapshot.value("orders", .upstreamRqActive) == 0)
        #expect(snapshot.value("orders", .upstreamRq4xx) == 80_000)
        #expect(
            String(decoding: snapshot.text(), as: UTF8.self).contains(
                "cluster.orders.upstream_rq_418: 80000\n"))
    }

    @Test("A gauge that one thread raised and another lowered is right")
    func gauges() {
        let registry = StatisticsRegistry()
        let http = registry.http("ingress")
        let (first, second) = (registry.makeBlock().writer, registry.makeBlock().writer)
        first.add(http, .downstreamCxActive, 3)
        second.add(http, .downstreamCxActive, -2)
        #expect(registry.snapshot().value(http: "ingress", .downstreamCxActive) == 1)
        second.add(http, .downstreamCxActive, -2)
        #expect(
            registry.snapshot().value(http: "ingress", .downstreamCxActive) == 0, "never shown below zero")
    }

    @Test("A name has one place; a place that was given up starts again from zero under another name")
    func places() {
        let registry = StatisticsRegistry(pagesMax: 64)
        let writer = registry.makeBlock().writer
        let first = registry.cluster("a:80")
        #expect(registry.cluster("a:80") == first)
        writer.add(first, .upstreamRqTotal, 7)
        writer.record(first, .upstreamRqTime, nanoseconds: 5_000_000)
        #expect(registry.snapshot().value("a_80", .upstreamRqTotal) == 7)
        registry.retire(.cluster, "a:80")
        #expect(registry.snapshot().value("a_80", .upstreamRqTotal) == nil)
        var last = registry.cluster("b")
        for number in 0..<40 where last != first { last = registry.cluster("c\(number)") }
        #expect(last == first, "with all places taken the one that was given up is used")
        guard let name = registry.snapshot().scopes.last(where: { $0.kind == .cluster })?.name else {
            Issue.record("no cluster")
            return
        }
        writer.add(last, .upstreamRqTotal, 2)
        let names = registry.snapshot().scopes.filter { $0.kind == .cluster }.map(\.name)
        #expect(names.contains(name))
        let totals = names.compactMap { registry.snapshot().value($0, .upstreamRqTotal) }
        #expect(totals.reduce(0, +) == 2)
        #expect(names.allSatisfy { registry.snapshot().histogram($0, .upstreamRqTime)?.count == 0 })
    }

    @Test("Beyond the bound names share a place, and are counted")
    func overflow() {
        let registry = StatisticsRegistry(pagesMax: 64)
        let writer = registry.makeBlock().writer
        let scopes = (0..<30).map { registry.cluster("c\($0)") }
        for scope in scopes { writer.add(scope, .upstreamRqTotal) }
        let snapshot = registry.snapshot()
        let shared = snapshot.value("overflow", .upstreamRqTotal) ?? 0
        #expect(shared > 15 && snapshot.value(.serverStatisticsOverflow) == shared)
        let own = (0..<30).compactMap { snapshot.value("c\($0)", .upstreamRqTotal) }
        #expect(own.allSatisfy { $0 == 1 } && UInt64(own.count) + shared == 30)
    }

    @Test("Text is sorted, and shows what was used if asked")
    func text() {
        let registry = StatisticsRegistry()
        let writer = registry.makeBlock().writer
        writer.add(registry.cluster("b"), .upstreamRqTotal, 2)
        writer.add(registry.cluster("a.x"), .upstreamCxTotal)
        writer.add(registry.listener("127.0.0.1:80"), .downstreamCxTotal, 4)
        writer.add(registry.rateLimit("lim"), .enabled, 5)
        writer.set(registry.server, .serverUptime, to: 9)
        let used = String(decoding: registry.snapshot().text(usedOnly: true), as: UTF8.self)
        #expect(
            used == """
                cluster.a.x.upstream_cx_total: 1
                cluster.b.upstream_rq_total: 2
                lim.http_local_rate_limit.enabled: 5
                listener.127.0.0.1_80.downstream_cx_total: 4
                server.uptime: 9

                """)
        let some = registry.snapshot().text { $0.hasSuffix("upstream_cx_total") }
        #expect(
            String(decoding: some, as: UTF8.self)
                == "cluster.a.x.upstream_cx_total: 1\ncluster.b.upstream_cx_total: 0\n")
    }

    @Test("Prometheus output has Envoy's names and labels")
    func prometheusNames() {
        let registry = StatisticsRegistry()
        let writer = registry.makeBlock().writer
        let cluster = registry.cluster("fo\"o.bar")
        writer.add(cluster, .upstreamRqTotal, 3)
        writer.countAnswer(cluster, status: 200)
        writer.countAnswer(cluster, status: 503)
        writer.countAnswer(registry.http("ingress"), status: 200)
        writer.add(registry.listener("0.0.0.0:80"), .sslVersionsTLS13)
        writer.add(registry.rateLimit("lim"), .rateLimited)
        writer.set(cluster, .circuitBreakersDefaultRqOpen, to: 1)
        let text = String(decoding: registry.snapshot().prometheus(usedOnly: true), as: UTF8.self)
        for line in [
            "# TYPE envoy_cluster_upstream_rq_total counter",
            #"envoy_cluster_upstream_rq_total{envoy_cluster_name="fo\"o.bar"} 3"#,
            #"envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="fo\"o.bar"} 1"#,
            #"envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="fo\"o.bar"} 1"#,
            #"envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="ingress"} 1"#,
            #"envoy_listener_ssl_versions{envoy_ssl_version="TLSv1.3",envoy_listener_address="0.0.0.0_80"} 1"#,
            #"envoy_http_local_rate_limit_rate_limited{envoy_local_http_ratelimit_prefix="lim"} 1"#,
            "# TYPE envoy_cluster_circuit_breakers_default_rq_open gauge",
        ] {
            #expect(text.split(separator: "\n").contains(Substring(line)), "\(line)")
        }
    }

    @Test("Prometheus output is lines of names, labels and numbers, each family in one piece under its type")
    func prometheusGrammar() throws {
        let registry = StatisticsRegistry()
        let writer = registry.makeBlock().writer
        for name in ["a", "b"] {
            writer.record(registry.cluster(name), .upstreamRqTime, nanoseconds: 3_000_000)
            writer.countAnswer(registry.cluster(name), status: 404)
        }
        let sample = try Regex(#"^([a-z_0-9]+)(\{([a-z_]+="[^"]*")(,[a-z_]+="[^"]*")*\})? -?[0-9.]+$"#)
        var finished: Set<String> = []
        var family = ""
        for line in String(decoding: registry.snapshot().prometheus(), as: UTF8.self).split(separator: "\n") {
            if line.hasPrefix("# TYPE ") {
                family = String(line.split(separator: " ")[2])
                #expect(finished.insert(family).inserted, "\(family) comes twice")
                continue
            }
            guard let match = line.firstMatch(of: sample), let name = match.output[1].substring else {
                Issue.record("\(line)")
                continue
            }
            #expect(
                ["", "_bucket", "_sum", "_count"].contains(name.dropFirst(family.count))
                    && name.hasPrefix(family))
        }
        #expect(finished.count > 100)
    }

    @Test("JSON output is JSON, with Envoy's shape")
    func json() throws {
        let registry = StatisticsRegistry()
        let writer = registry.makeBlock().writer
        let cluster = registry.cluster("a\"b")
        writer.add(cluster, .upstreamRqTotal, 3)
        writer.record(cluster, .upstreamRqTime, nanoseconds: 3_000_000)
        let data = Data(registry.snapshot().json(usedOnly: true))
        let object = try JSONSerialization.jsonObject(with: data) as? [String: [[String: Any]]]
        let stats = try #require(object?["stats"])
        #expect(
            stats.first?["name"] as? String == "cluster.a\"b.upstream_rq_total"
                && stats.first?["value"] as? Int == 3)
        let histograms = try #require(stats.last?["histograms"] as? [String: Any])
        #expect((histograms["supported_quantiles"] as? [Double])?.count == 10)
    }
}

@Suite struct HistogramTests {
    @Test("A value falls into the bucket whose bounds enclose it", arguments: UInt64(0)..<200)
    func buckets(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let value = random.next() >> random.below(64)
        let index = HistogramBuckets.index(microseconds: value)
        if index < HistogramBuckets.count - 1 { #expect(value <= HistogramBuckets.bounds[index]) }
        if index > 0 { #expect(value > HistogramBuckets.bounds[index - 1]) }
    }

    @Test("Bounds ascend, and contain those that are shown to Prometheus")
    func bounds() {
        for index in 1..<(HistogramBuckets.count - 1) {
            #expect(HistogramBuckets.bounds[index] > HistogramBuckets.bounds[index - 1])
        }
        for bound in HistogramSnapshot.prometheusBounds {
            let micros = UInt64(bound * 1_000)
            #expect((0..<(HistogramBuckets.count - 1)).contains { HistogramBuckets.bounds[$0] == micros })
        }
    }

    @Test("Quantiles are right to the width of a bucket", arguments: UInt64(0)..<30)
    func quantiles(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let registry = StatisticsRegistry()
        let (first, second) = (registry.makeBlock().writer, registry.makeBlock().writer)
        let cluster = registry.cluster("a")
        var values: [Double] = []
        for number in 0..<2_000 {
            let micros = 100 + random.below(1 << (8 + random.below(16)))
            values.append(Double(micros) / 1_000)
            (number % 2 == 0 ? first : second).record(
                cluster, .upstreamRqTime, nanoseconds: Int64(micros) * 1_000 + 500)
        }
        values.sort()
        let histogram = try #require(registry.snapshot().histogram("a", .upstreamRqTime))
        #expect(histogram.count == 2_000 && abs(histogram.sum - values.reduce(0, +)) < 1)
        for percent in [1.0, 25, 50, 75, 90, 99] {
            let exact = values[Int(Double(values.count) * percent / 100)]
            let shown = try #require(histogram.value(atPercent: percent))
            #expect(abs(shown - exact) <= exact * 0.3, "P\(percent): \(shown), not \(exact)")
        }
        #expect(histogram.count(upTo: 5) == UInt64(values.count { $0 <= 5 }))
        #expect(histogram.count(upTo: 0.5) == UInt64(values.count { $0 <= 0.5 }))
    }

    @Test("The proxy's own time is shown in microseconds, to a tenth of one")
    func overhead() throws {
        let registry = StatisticsRegistry()
        let writer = registry.makeBlock().writer
        for nanoseconds in [90, 700, 4_900, 5_000, 12_000, 7_000_000] as [Int64] {
            writer.record(registry.server, .overhead, nanoseconds: nanoseconds)
        }
        let snapshot = registry.snapshot()
        let histogram = try #require(snapshot.histogram(.overhead))
        #expect(histogram.count == 6 && abs(histogram.sum - 7_022.69) < 0.001)
        #expect(histogram.count(upTo: 5) == 4)
        let text = String(decoding: snapshot.text(), as: UTF8.self)
        #expect(text.contains("martlet.overhead_us: P0("))
        let lines = String(decoding: snapshot.prometheus(), as: UTF8.self).split(separator: "\n")
        #expect(lines.contains("# TYPE martlet_overhead_us histogram"))
        #expect(lines.contains("martlet_overhead_us_bucket{le=\"5\"} 4"))
        #expect(lines.contains("martlet_overhead_us_count 6"))
    }
}
