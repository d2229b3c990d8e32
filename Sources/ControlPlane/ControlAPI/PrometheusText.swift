import AdminAPI

/// The control plane's own numbers in Prometheus' text format.
enum PrometheusText {
    /// Series of one metric about quotas.
    static let quotaSeriesMax = 1000

    static func make(
        revision: Int, resources: Int, isRefused: Bool, workloads: Int,
        counts: (sent: Int, acknowledged: Int, refused: Int, proxies: Int), proxies: [ProxyStatus],
        quotas: QuotaList
    ) -> String {
        let inStep = proxies.count { $0.revisionAcknowledged >= revision }
        let lags = proxies.compactMap(\.lagMilliseconds)
        let metrics: [(name: String, type: String, help: String, value: String)] = [
            ("martlet_control_revision", "gauge", "The revision in force.", "\(revision)"),
            ("martlet_control_resources", "gauge", "Resources in force.", "\(resources)"),
            (
                "martlet_control_store_refused", "gauge", "1 while what lies in the store is refused.",
                isRefused ? "1" : "0"
            ),
            ("martlet_control_workloads", "gauge", "Workloads registered by sidecars.", "\(workloads)"),
            ("martlet_control_proxies", "gauge", "Connected proxies.", "\(counts.proxies)"),
            (
                "martlet_control_proxies_in_step", "gauge", "Proxies that hold everything of the revision.",
                "\(inStep)"
            ),
            (
                "martlet_control_revision_lag_seconds_max", "gauge",
                "The longest time that the last revision took to a connected proxy.",
                "\((lags.max() ?? 0) / 1000)"
            ),
            (
                "martlet_control_responses_sent_total", "counter", "Discovery responses sent.",
                "\(counts.sent)"
            ),
            (
                "martlet_control_responses_acknowledged_total", "counter",
                "Discovery responses acknowledged.",
                "\(counts.acknowledged)"
            ),
            (
                "martlet_control_responses_refused_total", "counter", "Discovery responses refused.",
                "\(counts.refused)"
            ),
        ]
        return metrics.map { metric in
            head(metric.name, metric.type, metric.help) + "\(metric.name) \(metric.value)\n"
        }.joined() + self.quotas(quotas)
    }

    private static func head(_ name: String, _ type: String, _ help: String) -> String {
        "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    private static func quotas(_ quotas: QuotaList) -> String {
        typealias Labels = [(String, String)]
        func family(
            _ name: String, _ type: String, _ help: String, _ series: some Sequence<(Labels, String)>
        ) -> String {
            let lines = series.prefix(quotaSeriesMax).map { labels, value in
                let text = labels.map { "\($0.0)=\"\(escaped($0.1))\"" }.joined(separator: ",")
                return "\(name){\(text)} \(value)\n"
            }
            return lines.isEmpty ? "" : head(name, type, help) + lines.joined()
        }
        let limits = quotas.limits.map { limit -> (limit: QuotaList.Limit, labels: Labels) in
            (limit, [("service", limit.domain), ("scope", limit.scope), ("limit", limit.limit)])
        }
        let shares = quotas.items.flatMap { item in
            item.shares.map { share -> (share: QuotaStatus.Share, labels: Labels) in
                (share, [("service", item.domain), ("bucket", item.name), ("proxy", share.proxy)])
            }
        }
        return family(
            "martlet_control_quota_limit", "gauge", "A mesh-wide limit, requests a second.",
            limits.map { ($0.labels, "\($0.limit.perSecond)") })
            + family(
                "martlet_control_quota_requests_total", "counter", "Requests that proxies have reported.",
                limits.flatMap {
                    [
                        ($0.labels + [("result", "allowed")], "\($0.limit.allowed)"),
                        ($0.labels + [("result", "denied")], "\($0.limit.denied)"),
                    ]
                })
            + family(
                "martlet_control_quota_share", "gauge", "What a proxy may let through, requests a second.",
                shares.map { ($0.labels, "\($0.share.perSecond)") })
            + family(
                "martlet_control_quota_report_age_seconds", "gauge", "Since the proxy's last report.",
                shares.compactMap { entry in entry.share.reportAgeSeconds.map { (entry.labels, "\($0)") } })
            + head("martlet_control_quota_buckets", "gauge", "Buckets of mesh-wide limits.")
            + "martlet_control_quota_buckets \(quotas.bucketCount)\n"
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
