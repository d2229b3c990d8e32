/// Statistics of the rate limit of a filter chain's connections, `local_rate_limit.PREFIX.`.
public enum ConnectionLimitCounter: UInt16, Sendable, BitwiseCopyable, CaseIterable {
    case rateLimited

    /// Envoy's name, behind that of the scope.
    public var name: StaticString {
        switch self {
        case .rateLimited: "rate_limited"
        }
    }
}
