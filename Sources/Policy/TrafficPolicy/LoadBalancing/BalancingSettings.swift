/// How an endpoint is chosen among those that may be.
public enum LoadBalancingPolicy: Equatable, Sendable, BitwiseCopyable {
    /// In turn, as often as the weights say: equal ones in order, unequal ones by earliest deadline first.
    case roundRobin
    case leastLoaded(LeastRequestSettings)
    /// Each with the same probability, whatever its weight, as Envoy has it.
    case random
    /// By the request's hash, over the tables that the set's `BalancingSettings.hashing` names; at random without hash.
    case hashed
    case peakEWMA(PeakEWMASettings)

    /// What it goes by, if that is latency: then it is to be measured.
    public var latency: PeakEWMASettings? {
        if case .peakEWMA(let settings) = self { settings } else { nil }
    }

    /// Envoy's least request with its defaults otherwise.
    public static func leastRequest(choices: UInt32) -> LoadBalancingPolicy {
        .leastLoaded(LeastRequestSettings(choices: choices))
    }
}

/// Envoy's `LeastRequest`.
public struct LeastRequestSettings: Equatable, Sendable, BitwiseCopyable {
    /// How many are drawn, with replacement (of two endpoints the busy one still gets a quarter). At least 1.
    public var choices: UInt32
    /// Where weights differ, turns are scheduled with weight / (requests + 1)^bias; 0: the requests do not matter.
    public var activeRequestBias: Double
    /// All are looked at instead of `choices` (`FULL_SCAN`); those that are equally good get it with equal chance.
    public var scansAll: Bool
    /// Ours: with unequal weights too the better one of `choices` is taken, drawn by weight and compared by requests per
    /// weight. A schedule sees the load of an endpoint only when its turn comes; this sees it now.
    public var drawsByWeight: Bool

    public init(
        choices: UInt32 = 2, activeRequestBias: Double = 1, scansAll: Bool = false,
        drawsByWeight: Bool = false
    ) {
        precondition(choices > 0 && activeRequestBias >= 0)
        (self.choices, self.activeRequestBias) = (choices, activeRequestBias)
        (self.scansAll, self.drawsByWeight) = (scansAll, drawsByWeight)
    }
}

/// Choices by latency: of two endpoints drawn at random the one with the smaller product of smoothed latency and
/// requests in flight plus one. Nanoseconds.
public struct PeakEWMASettings: Equatable, Sendable, BitwiseCopyable {
    /// After this long an old sample weighs 1/e.
    public var decayTime: Int64
    /// What an endpoint that was never called is taken to need.
    public var latencyDefault: Int64
    /// What is added for one that has requests in flight and has never answered: it probably fails. Milliseconds
    /// times requests, as in Envoy.
    public var penalty: Double
    /// A latency above the average takes its place at once (Finagle's peak); without it samples of both sides are
    /// smoothed alike, as in Envoy.
    public var jumpsToPeaks: Bool

    public init(
        decayTime: Int64 = 10 * Nanoseconds.perSecond,
        latencyDefault: Int64 = 10 * Nanoseconds.perMillisecond,
        penalty: Double = 1_000_000, jumpsToPeaks: Bool = true
    ) {
        precondition(decayTime > 0 && latencyDefault > 0)
        (self.decayTime, self.latencyDefault) = (decayTime, latencyDefault)
        (self.penalty, self.jumpsToPeaks) = (penalty, jumpsToPeaks)
    }
}

/// The table behind a hashing policy.
public enum HashingSettings: Equatable, Sendable {
    public enum Function: Equatable, Sendable { case xxHash64, murmur2 }

    /// Envoy's `RingHash`: at least `sizeMin` entries, scaled up so that the lightest endpoint gets whole ones, at most
    /// `sizeMax` (whose own bound is 8 Mi).
    case ring(sizeMin: UInt32 = 1024, sizeMax: UInt32 = 8 << 20, function: Function = .xxHash64)
    /// Envoy's `Maglev`; the size must be prime (and is 65537 unless said).
    case maglev(tableSize: UInt32 = 65537)
}

/// What localities mean to the choice.
public enum LocalityBalancing: Equatable, Sendable {
    case ignored
    /// By the weights of the localities, each scaled by how much of it is usable.
    case weighted
    case zoneAware(ZoneAwareSettings)
}

/// Envoy's `ZoneAwareLbConfig`, and what is known of the cluster that this proxy belongs to.
public struct ZoneAwareSettings: Equatable, Sendable {
    /// One locality of the cluster that this proxy belongs to.
    public struct LocalZone: Equatable, Sendable {
        public var name: LocalityName
        public var all, healthy, degraded: Int

        public init(_ name: LocalityName, all: Int, healthy: Int, degraded: Int = 0) {
            (self.name, self.all, self.healthy, self.degraded) = (name, all, healthy, degraded)
        }
    }

    /// Where this proxy is.
    public var ownLocality: LocalityName
    /// The local cluster (`local_cluster_name`); empty: there is none, and zones are not looked at.
    public var localCluster: [LocalZone]
    /// Below so many healthy endpoints zones are not looked at.
    public var clusterSizeMin = 6
    /// Percent of the requests for which zones are looked at, 0...100.
    public var routingEnabled: UInt32 = 100
    /// A panicking priority refuses instead of using all of its endpoints.
    public var failsTrafficOnPanic = false
    /// The own zone gets everything while anyone in it is healthy.
    public var forcesOwnLocality = false

    public init(ownLocality: LocalityName, localCluster: [LocalZone]) {
        (self.ownLocality, self.localCluster) = (ownLocality, localCluster)
    }
}

/// Envoy's `SlowStartConfig`: an endpoint that has just become healthy gets its share step by step.
public struct SlowStartSettings: Equatable, Sendable, BitwiseCopyable {
    /// Nanoseconds, above 0.
    public var window: Int64
    /// 1: the share grows evenly; above: quickly at first; below: slowly at first. Above 0.
    public var aggression: Double
    /// Of its weight, at the start: 0...1.
    public var weightMin: Double

    public init(window: Int64, aggression: Double = 1, weightMin: Double = 0.1) {
        precondition(window > 0 && aggression > 0 && weightMin >= 0 && weightMin <= 1)
        (self.window, self.aggression, self.weightMin) = (window, aggression, weightMin)
    }
}

/// What a set is prepared for, besides its members.
public struct BalancingSettings: Equatable, Sendable {
    /// Built where health changes, shared by all workers; nil: no hashing.
    public var hashing: HashingSettings?
    public var locality = LocalityBalancing.ignored
    public var slowStart: SlowStartSettings?
    /// Consistent hashing with bounded loads: percent of the average of requests in flight that one endpoint may have; 0:
    /// any.
    public var hashBalanceFactor: UInt32 = 0
    /// Health is a share of weights and not of endpoints (`weighted_priority_health`).
    public var weighsHealth = false

    public init(
        hashing: HashingSettings? = nil, locality: LocalityBalancing = .ignored,
        slowStart: SlowStartSettings? = nil
    ) {
        (self.hashing, self.locality, self.slowStart) = (hashing, locality, slowStart)
    }
}

/// Region, zone and sub-zone, in the order in which they are compared.
public struct LocalityName: Hashable, Comparable, Sendable {
    public var region, zone, subZone: String

    public init(region: String = "", zone: String = "", subZone: String = "") {
        (self.region, self.zone, self.subZone) = (region, zone, subZone)
    }

    public static func < (left: Self, right: Self) -> Bool {
        (left.region, left.zone, left.subZone) < (right.region, right.zone, right.subZone)
    }
}
