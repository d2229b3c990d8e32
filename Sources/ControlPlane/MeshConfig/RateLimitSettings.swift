/// `RateLimitPolicy`: how much a service takes from its callers together, per sidecar.
public struct RateLimitSettings: PolicySettings {
    /// So many requests in so much time.
    public struct Rate: Sendable, Equatable {
        public var requests: Int
        public var interval: Duration
    }

    public var rate: Rate?
    /// How many requests may come at once; as many as the rate says unless set.
    public var burst: Int?
    public var status: Int?
    /// Answers carry `x-ratelimit-limit`, `-remaining` and `-reset`.
    public var sendsHeaders: Bool?

    public init() {}

    public static var kind: ResourceKind { .rateLimitPolicy }
    public static var targetKinds: [PolicyTarget.Kind] { [.mesh, .namespace, .service] }
    public static var directions: [PolicyDirection] { [.inbound] }

    public static func policy(in specification: Resource.Specification) -> Policy<RateLimitSettings>? {
        guard case .rateLimitPolicy(let policy) = specification else { return nil }
        return policy
    }

    public func filled(from broader: RateLimitSettings) -> RateLimitSettings {
        var result = self
        result.rate = rate ?? broader.rate
        result.burst = burst ?? (rate == nil ? broader.burst : nil)
        result.status = status ?? broader.status
        result.sendsHeaders = sendsHeaders ?? broader.sendsHeaders
        return result
    }

    static func read(_ fields: Fields) -> RateLimitSettings {
        var settings = RateLimitSettings()
        fields.mapping("local") { fields -> Bool? in
            let requests = fields.integer("requests", isRequired: true, in: 1...100_000_000)
            let interval = fields.duration("per", in: .milliseconds(50)...Duration.seconds(24 * 3600))
            settings.rate = requests.map { Rate(requests: $0, interval: interval ?? .seconds(1)) }
            settings.burst = fields.integer("burst", in: 1...100_000_000)
            return true
        }
        fields.mapping("answer") { fields -> Bool? in
            settings.status = fields.integer("status", in: 400...599)
            settings.sendsHeaders = fields.boolean("headers")
            return true
        }
        fields.notYet("global", "keys", "onFailure")
        return settings
    }
}
