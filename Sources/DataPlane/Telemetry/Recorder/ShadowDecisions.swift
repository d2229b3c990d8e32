/// What policies in shadow mode would have done with one request, had they been in force.
public struct ShadowDecisions: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let retry = ShadowDecisions(rawValue: 1 << 0)
    public static let retryRefused = ShadowDecisions(rawValue: 1 << 1)
    public static let timeout = ShadowDecisions(rawValue: 1 << 2)
    public static let perTryTimeout = ShadowDecisions(rawValue: 1 << 3)
    public static let breaker = ShadowDecisions(rawValue: 1 << 4)
    public static let limits = ShadowDecisions(rawValue: 1 << 5)
    public static let concurrency = ShadowDecisions(rawValue: 1 << 6)
    public static let admission = ShadowDecisions(rawValue: 1 << 7)
    public static let rateLimit = ShadowDecisions(rawValue: 1 << 8)
    public static let delay = ShadowDecisions(rawValue: 1 << 9)
    public static let abort = ShadowDecisions(rawValue: 1 << 10)

    /// The request came in the clear.
    public static let plainText = ShadowDecisions(rawValue: 1 << 11)

    public static let sampled = ShadowDecisions(rawValue: 1 << 12)

    /// Another endpoint would have been chosen.
    public static let balancing = ShadowDecisions(rawValue: 1 << 13)

    public static let bitCount = 14

    /// In access logs and the flight recorder.
    public static func word(bit: Int) -> StaticString {
        switch bit {
        case 0: "retry"
        case 1: "retry_refused"
        case 2: "timeout"
        case 3: "per_try_timeout"
        case 4: "breaker"
        case 5: "limits"
        case 6: "concurrency"
        case 7: "admission"
        case 8: "rate_limit"
        case 9: "delay"
        case 10: "abort"
        case 11: "plain_text"
        case 12: "sampled"
        default: "balancing"
        }
    }
}
