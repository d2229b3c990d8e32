/// All numbers at one time, as Envoy's admin page shows them.
public struct StatisticsSnapshot: Sendable {
    public struct Scope: Sendable {
        public let kind: ScopeKind
        public let name: String
        var values: [UInt64]
        let histograms: [HistogramSnapshot]
        /// By status code less 100.
        let statuses: [UInt64]
    }

    /// By kind, then by name.
    public private(set) var scopes: [Scope]

    init(scopes: [Scope]) { self.scopes = scopes }

    /// Numbers that no worker counts (limits, membership, memory) are put in before rendering.
    public mutating func set(_ cluster: String, _ counter: ClusterCounter, to value: UInt64) {
        guard let index = index(.cluster, cluster) else { return }
        scopes[index].values[Int(counter.rawValue)] = value
    }

    public mutating func set(_ counter: ServerCounter, to value: UInt64) {
        guard let index = index(.server, "") else { return }
        scopes[index].values[Int(counter.rawValue)] = value
    }

    public func value(_ cluster: String, _ counter: ClusterCounter) -> UInt64? {
        index(.cluster, cluster).map { scopes[$0].values[Int(counter.rawValue)] }
    }

    public func value(http prefix: String, _ counter: HTTPCounter) -> UInt64? {
        index(.http, prefix).map { scopes[$0].values[Int(counter.rawValue)] }
    }

    public func value(listener address: String, _ counter: ListenerCounter) -> UInt64? {
        index(.listener, address).map { scopes[$0].values[Int(counter.rawValue)] }
    }

    public func value(rateLimit prefix: String, _ counter: RateLimitCounter) -> UInt64? {
        index(.rateLimit, prefix).map { scopes[$0].values[Int(counter.rawValue)] }
    }

    public func value(quota domain: String, _ counter: QuotaCounter) -> UInt64? {
        index(.quota, domain).map { scopes[$0].values[Int(counter.rawValue)] }
    }

    public func value(connectionLimit prefix: String, _ counter: ConnectionLimitCounter) -> UInt64? {
        index(.connectionLimit, prefix).map { scopes[$0].values[Int(counter.rawValue)] }
    }

    public func value(tcp prefix: String, _ counter: TCPCounter) -> UInt64? {
        index(.tcp, prefix).map { scopes[$0].values[Int(counter.rawValue)] }
    }

    public func value(_ counter: ServerCounter) -> UInt64? {
        index(.server, "").map { scopes[$0].values[Int(counter.rawValue)] }
    }

    public func histogram(_ cluster: String, _ histogram: ClusterHistogram) -> HistogramSnapshot? {
        index(.cluster, cluster).map { scopes[$0].histograms[Int(histogram.rawValue)] }
    }

    public func histogram(_ histogram: ServerHistogram) -> HistogramSnapshot? {
        index(.server, "").map { scopes[$0].histograms[Int(histogram.rawValue)] }
    }

    private func index(_ kind: ScopeKind, _ name: String) -> Int? {
        let key = (kind.rawValue, name)
        var (low, high) = (0, scopes.count)
        while low < high {
            let middle = (low + high) / 2
            if (scopes[middle].kind.rawValue, scopes[middle].name) < key {
                low = middle + 1
            } else {
                high = middle
            }
        }
        guard low < scopes.count, scopes[low].kind == kind, scopes[low].name == name else { return nil }
        return low
    }

    /// One statistic under its full name.
    public enum Value: Sendable {
        case number(UInt64)
        case histogram(HistogramSnapshot)

        var isUsed: Bool {
            switch self {
            case .number(let number): number != 0
            case .histogram(let histogram): histogram.count != 0
            }
        }
    }

    /// All of them, numbers first, each part sorted by name.
    public func entries(usedOnly: Bool = false) -> [(name: String, value: Value)] {
        var numbers: [(name: String, value: Value)] = []
        var histograms: [(name: String, value: Value)] = []
        for scope in scopes {
            let prefix = scope.prefix
            for (index, value) in scope.values.enumerated() where !scope.isHidden(index) {
                numbers.append((prefix + scope.kind.counterName(index).description, .number(value)))
            }
            for (index, value) in scope.statuses.enumerated() where value > 0 {
                numbers.append((prefix + "upstream_rq_\(index + 100)", .number(value)))
            }
            for (name, histogram) in zip(scope.kind.histogramNames, scope.histograms) {
                histograms.append((prefix + name.description, .histogram(histogram)))
            }
        }
        numbers.sort { $0.name < $1.name }
        histograms.sort { $0.name < $1.name }
        return (numbers + histograms).filter { !usedOnly || $0.value.isUsed }
    }
}

extension StatisticsSnapshot.Scope {
    /// What stands before a statistic's name.
    var prefix: String {
        switch kind {
        case .server: ""
        case .listener: "listener.\(name)."
        case .http: "http.\(name)."
        case .cluster: "cluster.\(name)."
        case .rateLimit: "\(name).http_local_rate_limit."
        case .connectionLimit: "local_rate_limit.\(name)."
        case .quota: "rate_limit_quota.\(name)."
        case .tcp: "tcp.\(name)."
        }
    }

    /// A cluster's classes of answers are there when the first one came, as Envoy's are.
    func isHidden(_ index: Int) -> Bool {
        guard kind == .cluster, values[index] == 0, let counter = ClusterCounter(rawValue: UInt16(index))
        else {
            return false
        }
        switch counter {
        case .upstreamRqCompleted, .upstreamRq1xx, .upstreamRq2xx, .upstreamRq3xx, .upstreamRq4xx,
            .upstreamRq5xx, .ratelimitOk, .ratelimitError, .ratelimitOverLimit, .ratelimitFailureModeAllowed:
            return true
        default: return false
        }
    }
}
