import TrafficPolicy

/// How a cluster's traffic is spread over its endpoints: `lb_policy`, `load_balancing_policy`, `common_lb_config` and
/// `lb_subset_config`, put together.
public struct ClusterBalancing: Sendable, Equatable {
    /// What localities mean. Zones are looked at only where the bootstrap names the local cluster.
    public enum Localities: Sendable, Equatable {
        case ignored
        case weighted
        case zoneAware(ZoneAware)
    }

    public struct ZoneAware: Sendable, Equatable {
        /// Percent of the requests, 0...100.
        public var share: UInt32 = 100
        public var clusterSizeMin = 6
        public var failsTrafficOnPanic = false
        public var forcesOwnLocality = false

        public init() {}
    }

    public var policy = LoadBalancingPolicy.roundRobin
    /// With `policy == .hashed` only.
    public var hashing: HashingSettings?
    /// An endpoint's host name, if it has one, stands for it on the ring.
    public var hashesHostnames = false
    /// With `hashing`: percent of the average of requests in flight that one endpoint may have; 0: any (`hash_balance_factor`).
    public var hashBalanceFactor: UInt32 = 0
    public var localities = Localities.zoneAware(ZoneAware())
    public var slowStart: SlowStartSettings?
    public var subsets: SubsetSettings?

    public init() {}
}
