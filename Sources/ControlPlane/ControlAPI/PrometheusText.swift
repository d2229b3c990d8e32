import AdminAPI

/// The control plane's own numbers in Prometheus' text format.
enum PrometheusText {
    static func make(
        revision: Int, resources: Int, isRefused: Bool, workloads: Int,
        counts: (sent: Int, acknowledged: Int, refused: Int, proxies: Int), proxies: [ProxyStatus]
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
            "# HELP \(metric.name) \(metric.help)\n# TYPE \(metric.name) \(metric.type)\n\(metric.name) \(metric.value)\n"
        }.joined()
    }
}
