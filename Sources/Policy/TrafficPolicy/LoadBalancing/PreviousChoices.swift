import MeshPrimitives

/// Endpoints that earlier attempts of a request went to. Remembers the last eight.
public struct PreviousEndpoints: Sendable, BitwiseCopyable {
    private var addresses = InlineArray<8, SocketAddress>(
        repeating: SocketAddress(family: .ipv4, high: 0, low: 0, port: 0))
    private var added = 0

    public init() {}

    public mutating func add(_ address: SocketAddress) {
        addresses[added & 7] = address
        added += 1
    }

    public func contains(_ address: SocketAddress) -> Bool {
        for index in 0..<min(added, 8) where addresses[index] == address { return true }
        return false
    }
}

/// Priorities that earlier attempts of a request went to (`envoy.retry_priorities.previous_priorities`): after each
/// `updateFrequency` attempts those are passed over, until nobody is left and all count again. The first 64 priorities.
public struct PreviousPriorities: Sendable, BitwiseCopyable {
    public let updateFrequency: UInt32
    private var attempts: UInt32 = 0
    private var attempted: UInt64 = 0
    /// Bit n: priority n, counted among those that there are.
    public private(set) var passedOver: UInt64 = 0

    public init(updateFrequency: UInt32) {
        precondition(updateFrequency > 0)
        self.updateFrequency = updateFrequency
    }

    /// An attempt went to that priority (`LoadBalancer.lastPriority`).
    public mutating func add(_ priority: Int) {
        attempts += 1
        if priority < 64 { attempted |= 1 << UInt64(priority) }
        if attempts % updateFrequency == 0 { passedOver |= attempted }
    }

    mutating func startAnew() { (attempted, passedOver) = (0, 0) }
}

/// Endpoints that an attempt should not go to (`retry_host_predicate`).
public struct HostPredicates: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// `envoy.retry_host_predicates.previous_hosts`.
    public static let previousHosts = HostPredicates(rawValue: 1 << 0)
    /// `envoy.retry_host_predicates.omit_canary_hosts`.
    public static let canaries = HostPredicates(rawValue: 1 << 1)
    /// `envoy.retry_host_predicates.omit_host_metadata`.
    public static let metadata = HostPredicates(rawValue: 1 << 2)
}
