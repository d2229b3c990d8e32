import MeshPrimitives
import Synchronization

/// A token bucket for the whole process in one word of memory, exact over any number of threads; also for connections
/// that a listener accepts.
///
/// Tokens come back continuously, `tokensPerFill / fillInterval`, not in steps: so do Envoy's local limiters since
/// they share an atomic bucket (1.31). A new bucket is full. The word is the instant at which the bucket was (or would
/// have been) empty; taking a token moves it on by the time that a token takes to come back (GCRA).
public struct TokenBucket: ~Copyable, Sendable {
    public let settings: TokenBucketSettings
    private let scale: TokenBucketScale
    private let origin: MonotonicInstant
    /// Units from `origin`.
    private let emptyAt: Atomic<Int64>

    public init(_ settings: TokenBucketSettings, at now: MonotonicInstant) {
        self.settings = settings
        origin = now
        scale = TokenBucketScale(settings)
        emptyAt = Atomic(-scale.fullLength)
    }

    /// Takes a token if there is one, or as many as that if they are all there.
    public func take(_ count: UInt32 = 1, at now: MonotonicInstant) -> RateLimitDecision {
        let instant = scale.units(now, since: origin)
        var empty = emptyAt.load(ordering: .relaxed)
        while true {
            guard let next = scale.taken(count, emptyAt: empty, at: instant) else {
                return scale.decision(isAllowed: false, emptySince: instant - empty)
            }
            let (done, seen) = emptyAt.weakCompareExchange(
                expected: empty, desired: next, ordering: .acquiringAndReleasing)
            if done { return scale.decision(isAllowed: true, emptySince: instant - next) }
            empty = seen
        }
    }

    /// What a request would meet, without taking a token.
    public func look(at now: MonotonicInstant) -> RateLimitDecision {
        let instant = scale.units(now, since: origin)
        let since = instant - max(emptyAt.load(ordering: .relaxed), instant - scale.fullLength)
        return scale.decision(isAllowed: since >= scale.tokenLength, emptySince: since)
    }
}

/// The bucket of one connection (`local_rate_limit_per_downstream_connection`): eight bytes in the connection's record,
/// and the same arithmetic. The settings are the route's, and their scale is computed once.
public struct ConnectionTokenBucket: Sendable, BitwiseCopyable {
    /// What is the same for all connections of a limit.
    public struct Limit: Sendable, BitwiseCopyable {
        fileprivate let scale: TokenBucketScale

        public init(_ settings: TokenBucketSettings) { scale = TokenBucketScale(settings) }
    }

    /// Units since the connection began.
    private var emptyAt: Int64 = .min / 4

    public init() {}

    /// Takes a token if there is one, or as many as that if they are all there.
    ///
    /// - Parameter start: when the connection began, always the same.
    public mutating func take(
        _ limit: Limit, since start: MonotonicInstant, at now: MonotonicInstant, count: UInt32 = 1
    ) -> RateLimitDecision {
        let instant = limit.scale.units(now, since: start)
        guard let next = limit.scale.taken(count, emptyAt: emptyAt, at: instant) else {
            return limit.scale.decision(isAllowed: false, emptySince: instant - emptyAt)
        }
        emptyAt = next
        return limit.scale.decision(isAllowed: true, emptySince: instant - next)
    }
}
