/// envoy.type.v3.RateLimitUnit: the time in which so many requests may come.
public enum RateLimitUnit: Int32, Sendable {
    case second = 1
    case minute = 2
    case hour = 3
    case day = 4
    /// Of 30 days.
    case month = 5
    /// Of 365 days.
    case year = 6

    /// A unit that nothing is known of counts as a second, as the unknown one (0) does.
    public init(number: Int32) { self = RateLimitUnit(rawValue: number) ?? .second }

    public var seconds: Double {
        switch self {
        case .second: 1
        case .minute: 60
        case .hour: 3600
        case .day: 86_400
        case .month: 30 * 86_400
        case .year: 365 * 86_400
        }
    }
}
