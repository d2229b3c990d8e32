import MeshPrimitives
import Synchronization

/// The local rate limit of a listener, a virtual host or a route, for the whole process (Envoy's `LocalRateLimit`): a
/// bucket for each configured descriptor, and one for all requests.
///
/// Every descriptor of a request that has a bucket must get a token from it, those with the lower rates first; then the
/// common bucket must give one. The first that refuses ends it, and what was taken before stays taken, as in Envoy.
@safe public final class DescriptorRateLimit: @unchecked Sendable {
    public let table: DescriptorTable
    private let settings: [TokenBucketSettings]
    private let buckets: UnsafeMutablePointer<TokenBucket>
    private let common: TokenBucket
    private let hasCommon: Bool
    private let alwaysTakesCommon: Bool
    private let openValues: Mutex<OpenBuckets>

    /// - Parameters:
    ///   - common: nil: requests without a descriptor of their own are not limited.
    ///   - descriptors: with a bucket each.
    ///   - alwaysTakesCommon: requests with a descriptor of their own take from the common bucket too
    ///     (`always_consume_default_token_bucket`).
    ///   - openValuesMax: buckets for values that may be any; beyond that the one longest unused starts anew
    ///     (`max_dynamic_descriptors`).
    public init(
        common: TokenBucketSettings?,
        descriptors: [(entries: [DescriptorTable.Entry], bucket: TokenBucketSettings)] = [],
        alwaysTakesCommon: Bool = true, openValuesMax: Int = 20, at now: MonotonicInstant, seed: UInt64
    ) {
        precondition(openValuesMax > 0)
        table = DescriptorTable(descriptors.map(\.entries), seed: seed)
        settings = descriptors.map(\.bucket)
        hasCommon = common != nil
        self.common = TokenBucket(
            common ?? TokenBucketSettings(maxTokens: 1, fillInterval: Nanoseconds.perSecond), at: now)
        self.alwaysTakesCommon = alwaysTakesCommon
        openValues = Mutex(OpenBuckets(countMax: openValuesMax))
        unsafe buckets = .allocate(capacity: max(descriptors.count, 1))
        for (index, descriptor) in descriptors.enumerated() {
            unsafe (buckets + index).initialize(to: TokenBucket(descriptor.bucket, at: now))
        }
    }

    deinit {
        unsafe buckets.deinitialize(count: settings.count)
        unsafe buckets.deallocate()
    }

    /// For a request without descriptors. nil: nothing limits it.
    public func take(at now: MonotonicInstant) -> RateLimitDecision? {
        hasCommon ? common.take(at: now) : nil
    }

    /// For a request with these descriptors.
    public func take(_ found: borrowing @_addressable DescriptorMatches, at now: MonotonicInstant)
        -> RateLimitDecision?
    {
        if found.count == 0 { return take(at: now) }
        var first: RateLimitDecision?
        for place in 0..<found.count {
            let match = found.matches[place]
            let index = Int(match.index)
            let decision =
                match.isOpen
                ? takeOpen(index, match.identity, match.hits, at: now)
                : takeFromBucket(index, match.hits, at: now)
            if !decision.isAllowed { return decision }
            // A later descriptor may have taken from the same bucket.
            let leading = found.matches[0]
            if place == 0 || (match.index == leading.index && match.identity == leading.identity) {
                first = decision
            }
        }
        if hasCommon, alwaysTakesCommon {
            let decision = common.take(at: now)
            if !decision.isAllowed { return decision }
        }
        return first
    }

    func tokensPerNanosecond(_ index: Int) -> Double {
        precondition(index < settings.count)
        let settings = unsafe buckets[index].settings
        return Double(settings.tokensPerFill) / Double(settings.fillInterval)
    }

    private func takeFromBucket(_ index: Int, _ count: UInt32, at now: MonotonicInstant)
        -> RateLimitDecision
    {
        precondition(index < settings.count)
        return unsafe buckets[index].take(count, at: now)
    }

    private func takeOpen(_ index: Int, _ hash: UInt64, _ count: UInt32, at now: MonotonicInstant)
        -> RateLimitDecision
    {
        let identity = hash ^ UInt64(index) &* 0x9e37_79b1_85eb_ca87
        return openValues.withLock { $0.take(identity, settings[index], count, at: now) }
    }

    /// Buckets that are made as values come. Values are told apart by 64 secret bits of hash.
    private struct OpenBuckets {
        private struct Slot {
            var identity: UInt64 = 0
            var bucket = ConnectionTokenBucket()
            var start = MonotonicInstant.zero
            var usedAt = MonotonicInstant.zero
        }

        private var slots: [Slot] = []
        private var places: [UInt64: Int] = [:]
        private let countMax: Int

        init(countMax: Int) { self.countMax = countMax }

        mutating func take(
            _ identity: UInt64, _ settings: TokenBucketSettings, _ count: UInt32, at now: MonotonicInstant
        ) -> RateLimitDecision {
            let place = places[identity] ?? make(identity, at: now)
            slots[place].usedAt = now
            return slots[place].bucket.take(
                ConnectionTokenBucket.Limit(settings), since: slots[place].start, at: now, count: count)
        }

        private mutating func make(_ identity: UInt64, at now: MonotonicInstant) -> Int {
            let slot = Slot(identity: identity, start: now, usedAt: now)
            if slots.count < countMax {
                slots.append(slot)
                places[identity] = slots.count - 1
                return slots.count - 1
            }
            let oldest = slots.indices.min { slots[$0].usedAt < slots[$1].usedAt } ?? 0
            places[slots[oldest].identity] = nil
            slots[oldest] = slot
            places[identity] = oldest
            return oldest
        }
    }
}
