/// Statistics of the quotas of one domain, `rate_limit_quota.DOMAIN.`.
public enum QuotaCounter: UInt16, Sendable, BitwiseCopyable, CaseIterable {
    case allowed
    case denied
    case enforced

    /// What stands behind the scope.
    public var name: StaticString {
        switch self {
        case .allowed: "allowed"
        case .denied: "denied"
        case .enforced: "enforced"
        }
    }
}
