/// Envoy's `HealthCheck` as far as it decides when to check and what a result means. Times in nanoseconds; 0 stands for
/// the value that Envoy takes where the field is absent.
public struct HealthCheckSettings: Equatable, Sendable, BitwiseCopyable {
    public var timeout: Int64
    public var interval: Int64
    public var unhealthyThreshold: UInt32
    public var healthyThreshold: UInt32
    /// While the cluster has never had a connection.
    public var noTrafficInterval: Int64 = 60 * Nanoseconds.perSecond
    /// The same for a healthy endpoint; 0: `noTrafficInterval`.
    public var noTrafficHealthyInterval: Int64 = 0
    /// 0: `interval`.
    public var unhealthyInterval: Int64 = 0
    /// After a failed check that does not yet count; 0: `unhealthyInterval`.
    public var unhealthyEdgeInterval: Int64 = 0
    /// After a passed check that does not yet count; 0: `interval`.
    public var healthyEdgeInterval: Int64 = 0
    /// Before the first check: a random part of it.
    public var initialJitter: Int64 = 0
    public var intervalJitter: Int64 = 0
    /// Percent of the interval.
    public var intervalJitterPercent: UInt32 = 0
    /// An endpoint is left out until its first check has come back (`ignore_new_hosts_until_first_hc`).
    public var ignoresNewHosts = false
    public var alwaysLogsFailures = false
    public var alwaysLogsSuccesses = false

    public init(timeout: Int64, interval: Int64, unhealthyThreshold: UInt32, healthyThreshold: UInt32) {
        precondition(timeout > 0 && interval > 0)
        (self.timeout, self.interval) = (timeout, interval)
        (self.unhealthyThreshold, self.healthyThreshold) = (unhealthyThreshold, healthyThreshold)
    }

    /// Nanoseconds from the end of one check to the next one, before jitter.
    func interval(isHealthy: Bool, isPending: Bool, hasTraffic: Bool) -> Int64 {
        func or(_ value: Int64, _ other: Int64) -> Int64 { value > 0 ? value : other }
        guard hasTraffic else {
            return isHealthy && !isPending
                ? or(noTrafficHealthyInterval, noTrafficInterval) : noTrafficInterval
        }
        if isHealthy { return isPending ? or(healthyEdgeInterval, interval) : interval }
        let unhealthy = or(unhealthyInterval, interval)
        return isPending ? or(unhealthyEdgeInterval, unhealthy) : unhealthy
    }
}

/// Which statuses of an HTTP check are a success, and which only count towards the threshold.
public struct HTTPHealthStatuses: Equatable, Sendable {
    /// Half-open, as in the API; 200 alone unless said.
    public var expected: [Range<UInt16>] = [200..<201]
    /// A failure of any other status counts at once.
    public var retriable: [Range<UInt16>] = []

    public init() {}

    /// - Parameter isDegraded: the answer carried `x-envoy-degraded`.
    public func judge(_ status: UInt16, isDegraded: Bool) -> HealthCheckResult {
        if expected.contains(where: { $0.contains(status) }) { return .passed(isDegraded: isDegraded) }
        return .failed(retriable.contains { $0.contains(status) } ? .retriable : .active)
    }
}

/// What a check, or something that stands for one, came to.
public enum HealthCheckResult: Equatable, Sendable, BitwiseCopyable {
    public enum Failure: UInt8, Sendable, BitwiseCopyable {
        /// It answered, and the answer says that it is not well: counts at once.
        case active
        /// The same with a status that counts towards the threshold.
        case retriable
        /// No connection, or cut: counts towards the threshold.
        case network
        case timeout
    }

    case passed(isDegraded: Bool)
    case failed(Failure)
}
