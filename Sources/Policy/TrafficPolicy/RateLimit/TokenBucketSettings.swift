/// Envoy's `TokenBucket`: `maxTokens` at once, `tokensPerFill` every `fillInterval`.
public struct TokenBucketSettings: Equatable, Hashable, Sendable, BitwiseCopyable {
    /// At least 1.
    public var maxTokens: UInt32
    /// At least 1.
    public var tokensPerFill: UInt32
    /// Nanoseconds, at least 1 µs.
    public var fillInterval: Int64

    public init(maxTokens: UInt32, tokensPerFill: UInt32 = 1, fillInterval: Int64) {
        precondition(maxTokens > 0 && tokensPerFill > 0 && fillInterval >= Nanoseconds.perMicrosecond)
        (self.maxTokens, self.tokensPerFill, self.fillInterval) = (maxTokens, tokensPerFill, fillInterval)
    }
}

/// What a limiter said, with the numbers for the answer's fields.
public struct RateLimitDecision: Equatable, Sendable, BitwiseCopyable {
    public var isAllowed: Bool
    /// `x-ratelimit-limit`: the bucket's `maxTokens`.
    public var limit: UInt32
    /// `x-ratelimit-remaining`: whole tokens left after this decision.
    public var remaining: UInt32
    /// `x-ratelimit-reset`: whole seconds until a token is there, rounded up; 0 if one is there now.
    public var resetSeconds: UInt32

    public init(isAllowed: Bool, limit: UInt32, remaining: UInt32, resetSeconds: UInt32) {
        (self.isAllowed, self.limit, self.remaining) = (isAllowed, limit, remaining)
        self.resetSeconds = resetSeconds
    }

    /// `retry-after` of a refusal: never 0.
    public var retryAfterSeconds: UInt32 { max(1, resetSeconds) }
}
