import AdminAPI
import ArgumentParser

/// `martlet status`: the store, and every proxy with what it was sent and what it holds.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Shows the proxies: versions sent and acknowledged, and the last refusal.")

    @OptionGroup var control: ControlOptions

    @Option(name: [.customShort("o"), .long], help: "table, json or yaml.")
    var output = OutputFormat.table

    private struct Report: Codable {
        var store: StoreStatus
        var proxies: [ProxyStatus]
        var quotas: QuotaList
    }

    func run() async throws {
        let client = try control.client()
        let report = Report(
            store: try client.get("/api/v1/status", as: StoreStatus.self),
            proxies: try client.get("/api/v1/proxies", as: ProxyList.self).proxies,
            quotas: try client.get("/api/v1/quotas", as: QuotaList.self))
        Output.line(try Output.encoded(report, as: output) ?? table(report))
    }

    private func table(_ report: Report) -> String {
        let store = report.store
        var lines = ["revision \(store.revision) since \(store.loadedAt), \(store.resources) resources"]
        if let refused = store.refused {
            lines.append("REFUSED at \(refused.time), the revision above stays in force:")
            lines += refused.errors.map { "  \($0)" }
        }
        guard !report.proxies.isEmpty else { return (lines + ["no proxies"]).joined(separator: "\n") }
        let rows = report.proxies.map { proxy in
            let lag = proxy.lagMilliseconds.map { "\(Int($0.rounded())) ms" } ?? "-"
            let refusals = proxy.types.filter { $0.lastRefusal != nil }
            let state: String
            if !refusals.isEmpty {
                state = "refused " + refusals.map(\.type).joined(separator: ",")
            } else {
                state = proxy.revisionAcknowledged >= store.revision ? "in step" : "behind"
            }
            return [
                proxy.id, proxy.userAgent, "\(proxy.revisionSent)", "\(proxy.revisionAcknowledged)", lag,
                state,
            ]
        }
        lines.append(Output.table(["PROXY", "AGENT", "SENT", "ACKNOWLEDGED", "LAG", "STATE"], rows))
        for proxy in report.proxies {
            for type in proxy.types {
                guard let refusal = type.lastRefusal else { continue }
                lines.append(
                    "\(proxy.id) refused \(type.type) \(refusal.version) at \(refusal.time): \(refusal.message)"
                )
            }
        }
        return (lines + quotas(report.quotas)).joined(separator: "\n")
    }

    /// Shares of mesh-wide limits, in requests a second.
    private func quotas(_ quotas: QuotaList) -> [String] {
        guard !quotas.items.isEmpty else { return [] }
        func number(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
        let rows = quotas.items.flatMap { quota in
            quota.shares.map { share in
                [
                    quota.domain, quota.name, number(quota.limitPerSecond), share.proxy,
                    number(share.perSecond), number(share.allowedPerSecond), number(share.deniedPerSecond),
                    share.reportAgeSeconds.map { "\(number($0)) s" } ?? "-",
                ]
            }
        }
        let heads = ["SERVICE", "QUOTA", "LIMIT", "PROXY", "SHARE", "ALLOWED", "DENIED", "REPORTED"]
        var lines = ["", Output.table(heads, rows)]
        if quotas.bucketCount > quotas.items.count {
            lines.append("\(quotas.bucketCount - quotas.items.count) more quotas have less use")
        }
        return lines
    }
}
