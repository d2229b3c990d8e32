import MeshPrimitives

/// The arithmetic of a token bucket (GCRA), apart from where its one number is kept.
///
/// The number is the instant at which the bucket was, or would have been, empty. It is kept in fractions of a microsecond
/// small enough that one token takes a whole number of them, so that nothing is lost to rounding: with 3 tokens a second
/// exactly 3 come in a second. Where the settings would need fractions below 1/16384 µs, a token takes up to that much
/// longer: the rate is then too low by less than one part in a thousand up to ten million tokens a second, and never too
/// high.
struct TokenBucketScale: Sendable, BitwiseCopyable {
    private static let unitsMax: UInt64 = 1 << 14

    let maxTokens: UInt32
    /// Units in a microsecond.
    private let scale: Int64
    /// Units until one token has come back.
    let tokenLength: Int64
    /// Units until an empty bucket is full.
    let fullLength: Int64

    init(_ settings: TokenBucketSettings) {
        maxTokens = settings.maxTokens
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
    }

    /// Units from `origin`. At the finest scale this holds for 17 years of one process.
    func units(_ now: MonotonicInstant, since origin: MonotonicInstant) -> Int64 {
        max(0, now.nanoseconds(since: origin)) / Nanoseconds.perMicrosecond &* scale
    }

    /// The number after a token was taken; nil if there is none.
    func taken(emptyAt: Int64, at instant: Int64) -> Int64? {
        let start = max(emptyAt, instant - fullLength)
        return instant - start >= tokenLength ? start + tokenLength : nil
    }

    /// The same for so many tokens at once: all of them, or none.
    func taken(_ count: UInt32, emptyAt: Int64, at instant: Int64) -> Int64? {
        if count == 1 { return taken(emptyAt: emptyAt, at: instant) }
        let (length, isOverflow) = tokenLength.multipliedReportingOverflow(by: Int64(count))
        let start = max(emptyAt, instant - fullLength)
        return !isOverflow && instant - start >= length ? start + length : nil
    }

    /// `since` is negative for a worker whose clock reading is older than another one's.
    func decision(isAllowed: Bool, emptySince since: Int64) -> RateLimitDecision {
        let filled = max(0, since)
        let perSecond = scale * (Nanoseconds.perSecond / Nanoseconds.perMicrosecond)
        return RateLimitDecision(
            isAllowed: isAllowed, limit: maxTokens, remaining: UInt32(clamping: filled / tokenLength),
            resetSeconds: filled >= tokenLength
                ? 0 : UInt32(clamping: Self.roundingUp(tokenLength - filled, perSecond)))
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
