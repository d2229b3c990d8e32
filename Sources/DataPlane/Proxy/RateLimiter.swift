import MeshPrimitives
import TrafficPolicy

/// One local rate limit of the process; what it has given out outlives configurations that leave it as it is.
final class RateLimiter: Sendable {
    struct Descriptor: Equatable {
        var entries: [DescriptorTable.Entry]
        var bucket: TokenBucketSettings
    }

    struct Settings: Equatable {
        var common: TokenBucketSettings?
        var descriptors: [Descriptor] = []
        var alwaysTakesCommon = true
        var openValuesMax = 20
    }

    let settings: Settings
    let limit: DescriptorRateLimit

    init(_ settings: Settings, at now: MonotonicInstant, seed: UInt64) {
        self.settings = settings
        limit = Self.limit(settings, at: now, seed: seed)
    }

    /// The same limit with buckets of its own, for one connection.
    func copy(at now: MonotonicInstant) -> DescriptorRateLimit {
        Self.limit(settings, at: now, seed: limit.table.secret)
    }

    private static func limit(_ settings: Settings, at now: MonotonicInstant, seed: UInt64)
        -> DescriptorRateLimit
    {
        DescriptorRateLimit(
            common: settings.common, descriptors: settings.descriptors.map { ($0.entries, $0.bucket) },
            alwaysTakesCommon: settings.alwaysTakesCommon, openValuesMax: settings.openValuesMax, at: now,
            seed: seed)
    }
}

/// The limits of a worker's connections (`local_rate_limit_per_downstream_connection`): made when a connection first
/// needs one, gone with it.
struct ConnectionLimits {
    /// Limits of one connection; beyond it the one that was made first starts anew.
    private static let ofOneMax = 8

    private struct Entry {
        /// Kept, so that nothing else can come to be at its address.
        let limiter: RateLimiter
        let limit: DescriptorRateLimit
        /// Of the same connection; -1 for none.
        var next: Int32
    }

    private var entries: [Entry?] = []
    private var vacant: [Int32] = []

    /// `first`: where the connection's list begins, -1 if it has none.
    mutating func limit(_ limiter: Unowned<RateLimiter>, first: inout Int32, at now: MonotonicInstant)
        -> DescriptorRateLimit
    {
        var (place, count, last) = (first, 0, Int32(-1))
        while place >= 0, let entry = entries[Int(place)] {
            if ObjectIdentifier(entry.limiter) == limiter.identity { return entry.limit }
            count += 1
            if entry.next < 0 || count == Self.ofOneMax { last = place }
            place = entry.next
        }
        if count >= Self.ofOneMax { drop(last, after: &first) }
        let made = limiter.with { Entry(limiter: $0, limit: $0.copy(at: now), next: first) }
        let index = vacant.popLast() ?? Int32(entries.count)
        if Int(index) == entries.count { entries.append(made) } else { entries[Int(index)] = made }
        first = index
        return made.limit
    }

    private mutating func drop(_ place: Int32, after first: inout Int32) {
        var before = first
        while before >= 0, let entry = entries[Int(before)], entry.next != place { before = entry.next }
        if before >= 0 { entries[Int(before)]?.next = -1 } else { first = -1 }
        entries[Int(place)] = nil
        vacant.append(place)
    }

    /// The connection has ended.
    mutating func release(_ first: Int32) {
        var place = first
        while place >= 0, let entry = entries[Int(place)] {
            entries[Int(place)] = nil
            vacant.append(place)
            place = entry.next
        }
    }
}
