/// What zone-aware routing came to for a request.
public enum ZoneChoice: UInt8, Sendable, BitwiseCopyable {
    /// Zones did not matter.
    case none
    /// Everything stays in the own zone (`lb_zone_routing_all_directly`).
    case own
    /// A part stays in the own zone; this one did (`lb_zone_routing_sampled`).
    case ownSampled
    /// It went to another zone (`lb_zone_routing_cross_zone`).
    case crossed
    /// No zone has room left; one was taken at random (`lb_zone_no_capacity_left`).
    case crossedWithoutRoom
}

/// Envoy's zone-aware routing, for the first priority: as much as possible stays in the own zone, as long as no zone
/// gets more than its share of endpoints. Shares are in hundredths of a percent.
///
/// If the own zone holds at least the share of upstream endpoints that it holds of callers, everything stays. Else
/// upstream share / callers' share of it stays, and the rest goes to other zones in proportion to the share of endpoints
/// that each has beyond its share of callers.
struct ZoneRoute: Equatable, Sendable {
    var staysInOwn = false
    /// Of 10,000.
    var ownShare: UInt64 = 0
    /// Sums of the room up to and with each zone.
    var room: [UInt64] = []

    /// nil: zones are not looked at.
    ///
    /// - Parameter zones: the localities that have endpoints, the own one first if it is among them (`hasOwn`).
    init?(_ zones: [(name: LocalityName, healthy: Int)], hasOwn: Bool, _ settings: ZoneAwareSettings) {
        guard zones.count >= 2 else { return nil }
        let local = settings.localCluster.filter { $0.all > 0 }
        guard local.count >= 2 || settings.forcesOwnLocality else { return nil }
        guard local.contains(where: { $0.name == settings.ownLocality }) else { return nil }
        let upstream = zones.reduce(0) { $0 + $1.healthy }
        guard upstream >= settings.clusterSizeMin else { return nil }
        let callers = local.reduce(0) { $0 + $1.healthy }
        let shares = zones.map { zone -> (callers: UInt64, upstream: UInt64) in
            guard zone.healthy > 0 else { return (0, 0) }
            let healthy = local.first { $0.name == zone.name }?.healthy ?? 0
            return (
                callers > 0 ? UInt64(10_000 * healthy / callers) : 0,
                upstream > 0 ? UInt64(10_000 * zone.healthy / upstream) : 0
            )
        }
        if hasOwn {
            let own = shares[0]
            if settings.forcesOwnLocality || (own.upstream > 0 && own.upstream >= own.callers) {
                staysInOwn = true
                return
            }
            if own.callers > 0 { ownShare = own.upstream * 10_000 / own.callers }
        }
        var sum: UInt64 = 0
        for (index, share) in shares.enumerated() {
            if !(index == 0 && hasOwn), share.upstream > share.callers {
                sum += share.upstream - share.callers
            }
            room.append(sum)
        }
    }

    /// The callers' own cluster panics: nothing can be said about its zones.
    static func isLocalClusterPanicking(_ settings: ZoneAwareSettings, threshold: UInt32) -> Bool {
        let (all, usable) = settings.localCluster.reduce((0, 0)) { sums, zone in
            (sums.0 + zone.all, sums.1 + zone.healthy + zone.degraded)
        }
        return all == 0 ? threshold > 0 : usable * 100 < Int(threshold) * all
    }
}
