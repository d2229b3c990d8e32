import MeshModel
import MeshPrimitives
import Proxy
import Reactor
import XDSClient

/// All quota services of the process (envoy.service.rate_limit_quota.v3.RateLimitQuotaService). Confined to the thread
/// of its loop.
public final class QuotaReporter {
    /// How soon a bucket's first request is told, and how exact intervals are.
    private static let lookInterval = Duration.milliseconds(100)

    struct Key: Hashable {
        let cluster: String
        let domain: String
    }

    public typealias Target = () -> Result<ClientTarget, TargetProblem>

    let loop: ControlLoop
    let resolver: NameResolver
    let table: QuotaTable
    let log: LogSink
    private let control: Target?
    private var clusters: [String: Cluster] = [:]
    private var streams: [Key: QuotaStream] = [:]
    private var timer: ControlLoop.Timer?
    private var hasFilters = false

    /// `control`: where the cluster `martlet:control` leads, in a mesh.
    public init(
        loop: ControlLoop, resolver: NameResolver, table: QuotaTable, control: Target?, log: @escaping LogSink
    ) {
        (self.loop, self.resolver, self.table) = (loop, resolver, table)
        (self.control, self.log) = (control, log)
    }

    /// What is in force from now on.
    public func update(_ configuration: Configuration) {
        clusters = Dictionary(configuration.clusters.map { ($0.name, $0) }) { first, _ in first }
        for stream in streams.values { stream.clustersChanged() }
        hasFilters = configuration.hasQuotas
        if timer == nil, hasFilters { arm() }
    }

    public func stop() {
        if let timer { loop.cancel(timer) }
        timer = nil
        for stream in streams.values { stream.stop() }
        streams = [:]
    }

    private func arm() {
        timer = loop.after(Self.lookInterval) { [weak self] in
            guard let self else { return }
            self.timer = nil
            self.look()
            // Without a filter there is nothing to look at until the next configuration.
            if self.hasFilters || !self.streams.isEmpty { self.arm() }
        }
    }

    private func look() {
        var byStream: [Key: [QuotaEntry]] = [:]
        for entry in table.entries {
            byStream[Key(cluster: entry.service.cluster, domain: entry.domain), default: []].append(entry)
        }
        for key in streams.keys.filter({ byStream[$0] == nil }) {
            streams.removeValue(forKey: key)?.stop()
        }
        for (key, entries) in byStream {
            let stream = streams[key] ?? QuotaStream(self, key, entries[0].service)
            streams[key] = stream
            stream.look(entries)
        }
    }

    func target(of cluster: String) -> Result<ClientTarget, TargetProblem> {
        if cluster == MeshClient.controlCluster, let control { return control() }
        guard let found = clusters[cluster] else {
            return .failure(TargetProblem(description: "there is no cluster '\(cluster)'"))
        }
        do throws(TargetProblem) { return .success(try ClientTarget(found)) } catch { return .failure(error) }
    }
}

extension Configuration {
    fileprivate var hasQuotas: Bool {
        listeners.contains { listener in
            (listener.filterChains + (listener.defaultFilterChain.map { [$0] } ?? [])).contains { chain in
                guard case .http(let manager) = chain.network else { return false }
                return manager.filters.contains { if case .quota = $0 { true } else { false } }
            }
        }
    }
}
