import MeshPrimitives
import Synchronization

/// A token bucket for the whole process in one word of memory, exact over any number of threads.
///
/// Tokens come back continuously, `tokensPerFill / fillInterval`, not in steps: so do Envoy's local limiters since
/// they share an atomic bucket (1.31). A new bucket is full. The word is the instant at which the bucket was (or would
/// have been) empty; taking a token moves it on by the time that a token takes to come back (GCRA).
///
/// That instant is kept in fractions of a microsecond small enough that one token takes a whole number of them, so
/// that nothing is lost to rounding: with 3 tokens a second exactly 3 come in a second. Where the settings would need
/// fractions below 1/16384 µs, a token takes up to that much longer: the rate is then too low by less than one part in
/// a thousand up to ten million tokens a second, and never too high.
public struct TokenBucket: ~Copyable, Sendable {
    private static let unitsMax: UInt64 = 1 << 14

    public let settings: TokenBucketSettings
    private let origin: MonotonicInstant
    /// Units in a microsecond.
    private let scale: Int64
    /// Units until one token has come back.
    private let tokenLength: Int64
    /// Units until an empty bucket is full.
    private let fullLength: Int64
    /// Units from `origin`.
    private let emptyAt: Atomic<Int64>

    public init(_ settings: TokenBucketSettings, at now: MonotonicInstant) {
        self.settings = settings
        origin = now
        let perMicrosecond = Nanoseconds.perMicrosecond
        let interval = UInt64((settings.fillInterval - 1) / perMicrosecond + 1)
        let tokens = UInt64(settings.tokensPerFill)
        let divisor = Self.greatestCommonDivisor(interval, tokens)
        if tokens / divisor <= Self.unitsMax {
            scale = Int64(tokens / divisor)
            tokenLength = Int64(interval / divisor)
        } else {
            scale = Int64(Self.unitsMax)
            let (high, low) = interval.multipliedFullWidth(by: Self.unitsMax)
            let rounded =
                high >= tokens ? UInt64(Int64.max) : tokens.dividingFullWidth((high, low)).quotient + 1
            tokenLength = Int64(min(rounded, UInt64(Int64.max)))
        }
        let (length, isOverflow) = tokenLength.multipliedReportingOverflow(by: Int64(settings.maxTokens))
        // A bucket that takes longer to fill than a clock counts never fills; a quarter leaves room for sums.
        fullLength = isOverflow ? .max / 4 : min(length, .max / 4)
        emptyAt = Atomic(-fullLength)
    }

    /// Takes a token if there is one.
    public func take(at now: MonotonicInstant) -> RateLimitDecision {
        let instant = units(now)
        var empty = emptyAt.load(ordering: .relaxed)
        while true {
            let start = max(empty, instant - fullLength)
            guard instant - start >= tokenLength else {
                return decision(isAllowed: false, emptySince: instant - start)
            }
            let next = start + tokenLength
            let (done, seen) = emptyAt.weakCompareExchange(
                expected: empty, desired: next, ordering: .acquiringAndReleasing)
            if done { return decision(isAllowed: true, emptySince: instant - next) }
            empty = seen
        }
    }

    /// What a request would meet, without taking a token.
    public func look(at now: MonotonicInstant) -> RateLimitDecision {
        let instant = units(now)
        let since = instant - max(emptyAt.load(ordering: .relaxed), instant - fullLength)
        return decision(isAllowed: since >= tokenLength, emptySince: since)
    }

    /// `since` is negative for a worker whose clock reading is older than another one's.
    private func decision(isAllowed: Bool, emptySince since: Int64) -> RateLimitDecision {
        let filled = max(0, since)
        let perSecond = scale * (Nanoseconds.perSecond / Nanoseconds.perMicrosecond)
        return RateLimitDecision(
            isAllowed: isAllowed, limit: settings.maxTokens,
            remaining: UInt32(clamping: filled / tokenLength),
            resetSeconds: filled >= tokenLength
                ? 0 : UInt32(clamping: Self.roundingUp(tokenLength - filled, perSecond)))
    }

    private func units(_ now: MonotonicInstant) -> Int64 {
        let micros = max(0, now.nanoseconds(since: origin)) / Nanoseconds.perMicrosecond
        // At the finest scale this holds for 17 years of one process.
        return micros &* scale
    }

    private static func roundingUp(_ value: Int64, _ divisor: Int64) -> Int64 {
        value <= 0 ? 0 : (value - 1) / divisor + 1
    }

    private static func greatestCommonDivisor(_ left: UInt64, _ right: UInt64) -> UInt64 {
        var (a, b) = (left, right)
        while b != 0 { (a, b) = (b, a % b) }
        return a
    }
}
