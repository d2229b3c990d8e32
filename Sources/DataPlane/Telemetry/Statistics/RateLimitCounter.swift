/// Statistics of one local rate limiter, `PREFIX.http_local_rate_limit.`.
public enum RateLimitCounter: UInt16, Sendable, BitwiseCopyable, CaseIterable {
    case enabled
    case enforced
    case rateLimited
    case ok
    case shadowMode

    /// Envoy's name, behind that of the scope.
    public var name: StaticString {
        switch self {
        case .enabled: "enabled"
        case .enforced: "enforced"
        case .rateLimited: "rate_limited"
        case .ok: "ok"
        case .shadowMode: "shadow_mode"
        }
    }

    /// Goes up and down; the others only grow.
    public var isGauge: Bool {
        false
    }
}
