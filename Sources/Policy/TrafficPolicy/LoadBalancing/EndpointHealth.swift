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

    /// Discovery said UNHEALTHY, DRAINING or TIMEOUT.
    public static let discoveredUnhealthy = EndpointMarks(rawValue: 1 << 0)
    /// Discovery said DEGRADED.
    public static let discoveredDegraded = EndpointMarks(rawValue: 1 << 1)
    /// Our own checks fail.
    public static let checkFailed = EndpointMarks(rawValue: 1 << 2)
    /// Our own checks say that it is degraded.
    public static let checkDegraded = EndpointMarks(rawValue: 1 << 3)
    /// Put aside by outlier detection.
    public static let ejected = EndpointMarks(rawValue: 1 << 4)

    public var health: EndpointHealth {
        if !isDisjoint(with: [.discoveredUnhealthy, .checkFailed, .ejected]) { return .unhealthy }
        return isDisjoint(with: [.discoveredDegraded, .checkDegraded]) ? .healthy : .degraded
    }
}
