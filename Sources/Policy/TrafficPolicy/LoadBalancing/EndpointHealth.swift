/// What an endpoint is worth to a load balancer.
public enum EndpointHealth: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case healthy
    /// Takes traffic where healthy ones do not suffice.
    case degraded
    case unhealthy
}

/// What speaks against an endpoint, each said by someone else; together they make its health.
public struct EndpointMarks: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Discovery said UNHEALTHY or TIMEOUT.
    public static let discoveredUnhealthy = EndpointMarks(rawValue: 1 << 0)
    /// Discovery said DEGRADED.
    public static let discoveredDegraded = EndpointMarks(rawValue: 1 << 1)
    /// Our own checks fail.
    public static let checkFailed = EndpointMarks(rawValue: 1 << 2)
    /// Our own checks say that it is degraded.
    public static let checkDegraded = EndpointMarks(rawValue: 1 << 3)
    /// Put aside by outlier detection.
    public static let ejected = EndpointMarks(rawValue: 1 << 4)
    /// It asked to be left out (`x-envoy-immediate-health-check-fail`): it does not count among those that there are,
    /// so that a planned stop does not look like an outage.
    public static let excluded = EndpointMarks(rawValue: 1 << 5)
    /// Its first check has not come back (`ignore_new_hosts_until_first_hc`); it does not count either.
    public static let checkPending = EndpointMarks(rawValue: 1 << 6)
    /// The last check that failed did so by time-out; for the health that is shown.
    public static let checkTimedOut = EndpointMarks(rawValue: 1 << 7)

    /// Discovery said DRAINING: its end is planned, and it does not count among those that there are.
    public static let discoveredDraining = EndpointMarks(rawValue: 1 << 8)

    /// All that discovery says.
    public static let discovered: EndpointMarks = [
        .discoveredUnhealthy, .discoveredDegraded, .discoveredDraining,
    ]

    /// What checks in shadow mode say of it: to be shown, and worth nothing to a load balancer.
    public var inShadow: EndpointMarks {
        EndpointMarks(rawValue: intersection(HealthCheckState.marksOfChecks).rawValue << 16)
    }

    /// What `inShadow` was made of.
    public var fromShadow: EndpointMarks {
        EndpointMarks(rawValue: rawValue >> 16).intersection(HealthCheckState.marksOfChecks)
    }

    public var health: EndpointHealth {
        let against: EndpointMarks = [
            .discoveredUnhealthy, .discoveredDraining, .checkFailed, .ejected, .excluded, .checkPending,
        ]
        if !isDisjoint(with: against) {
            return .unhealthy
        }
        return isDisjoint(with: [.discoveredDegraded, .checkDegraded]) ? .healthy : .degraded
    }

    /// Left out where endpoints are counted.
    public var isExcluded: Bool { !isDisjoint(with: [.excluded, .checkPending, .discoveredDraining]) }
}
