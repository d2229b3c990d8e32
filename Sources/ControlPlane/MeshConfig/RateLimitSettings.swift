/// `RateLimitPolicy`: how much a service takes from its callers, by each of its sidecars alone (`local`) and by all of
/// them together (`global`). Outbound: how much each sidecar of a caller sends it.
public struct RateLimitSettings: PolicySettings {
    /// So many requests in so much time.
    public struct Rate: Sendable, Equatable {
        public var requests: Int
        public var interval: Duration

        public init(requests: Int, interval: Duration) {
            (self.requests, self.interval) = (requests, interval)
        }

        public var perSecond: Double {
            let (seconds, attoseconds) = interval.components
            return Double(requests) / (Double(seconds) + Double(attoseconds) * 1e-18)
        }
    }

    /// A bucket for requests that have something in common; with open values one for each of them.
    public struct KeyedRate: Sendable, Equatable {
        public var key: RateLimitKey
        public var rate: Rate
        /// How many requests may come at once; as many as the rate says unless set. Not of a quota.
        public var burst: Int?
    }

    /// What a sidecar does without word from the control plane.
    public enum Failure: String, Sendable, CaseIterable {
        /// All pass.
        case open
        /// None pass.
        case closed
        /// The last share goes on: the shares of one limit never add up to more than it.
        case lastShare
    }

    public static let keysMax = 64

    public var rate: Rate?
    /// How many requests may come at once; as many as the rate says unless set.
    public var burst: Int?
    /// Every connection has buckets of its own.
    public var isPerConnection: Bool?
    public var keys: [KeyedRate]?
    /// Over all sidecars of the service.
    public var globalRate: Rate?
    public var globalKeys: [KeyedRate]?
    public var failure: Failure?
    public var status: Int?
    /// Answers carry `x-ratelimit-limit`, `-remaining` and `-reset`.
    public var sendsHeaders: Bool?
    /// Added to answers that refuse.
    public var responseHeaders: [String: String]?

    public init() {}

    public static var kind: ResourceKind { .rateLimitPolicy }
    public static var targetKinds: [PolicyTarget.Kind] {
        [.mesh, .namespace, .service, .httpRoute, .grpcRoute]
    }
    public static var directions: [PolicyDirection] { [.inbound, .outbound] }
    public static var runsInShadow: Bool { true }

    /// The service's own sidecar; of a route, which only callers know, the caller's.
    public static func directionDefault(for target: PolicyTarget.Kind) -> PolicyDirection? {
        target.isRoute ? .outbound : .inbound
    }

    public static func policy(in specification: Resource.Specification) -> Policy<RateLimitSettings>? {
        guard case .rateLimitPolicy(let policy) = specification else { return nil }
        return policy
    }

    public func filled(from broader: RateLimitSettings) -> RateLimitSettings {
        var result = self
        result.rate = rate ?? broader.rate
        result.burst = burst ?? (rate == nil ? broader.burst : nil)
        result.isPerConnection = isPerConnection ?? broader.isPerConnection
        result.keys = keys ?? broader.keys
        result.globalRate = globalRate ?? broader.globalRate
        result.globalKeys = globalKeys ?? broader.globalKeys
        result.failure = failure ?? broader.failure
        result.status = status ?? broader.status
        result.sendsHeaders = sendsHeaders ?? broader.sendsHeaders
        result.responseHeaders = responseHeaders ?? broader.responseHeaders
        return result
    }

    /// Something is limited by each sidecar alone.
    public var hasLocal: Bool { rate != nil || keys?.isEmpty == false }

    /// Something is limited over all sidecars.
    public var hasGlobal: Bool { globalRate != nil || globalKeys?.isEmpty == false }

    static func read(_ fields: Fields) -> RateLimitSettings {
        var settings = RateLimitSettings()
        fields.mapping("local") { fields -> Bool? in
            settings.rate = readRate(fields, isRequired: !fields.has("keys"))
            settings.burst = fields.integer("burst", in: requestsRange)
            settings.isPerConnection = fields.boolean("perConnection")
            settings.keys = readKeys(fields, withBurst: true)
            if settings.burst != nil, !fields.has("requests") {
                fields.report("burst", "has no effect without requests", "add requests, or remove it")
            }
            return true
        }
        fields.mapping("global") { fields -> Bool? in
            settings.globalRate = readRate(fields, isRequired: !fields.has("keys"))
            settings.globalKeys = readKeys(fields, withBurst: false)
            settings.failure = fields.choice("onFailure", Failure.self)
            return true
        }
        fields.mapping("answer") { fields -> Bool? in
            settings.status = fields.integer("status", in: 400...599)
            settings.sendsHeaders = fields.boolean("headers")
            settings.responseHeaders = readResponseHeaders(fields)
            return true
        }
        return settings
    }

    private static let requestsRange = 1...100_000_000

    /// `nil` if there is none, or with a report.
    private static func readRate(_ fields: Fields, isRequired: Bool) -> Rate? {
        let requests = fields.integer("requests", isRequired: isRequired, in: requestsRange)
        let interval = fields.duration("per", in: .milliseconds(50)...Duration.seconds(24 * 3600))
        if interval != nil, !isRequired, !fields.has("requests") {
            fields.report("per", "has no effect without requests", "add requests, or remove it")
        }
        return requests.map { Rate(requests: $0, interval: interval ?? .seconds(1)) }
    }

    private static func readKeys(_ fields: Fields, withBurst: Bool) -> [KeyedRate]? {
        fields.refuseEmpty("keys", "name what requests have in common, or remove it")
        var seen: Set<RateLimitKey> = []
        return fields.list("keys", countMax: keysMax) { fields -> KeyedRate? in
            let key = RateLimitKey.read(fields)
            let rate = readRate(fields, isRequired: true)
            let burst = withBurst ? fields.integer("burst", in: requestsRange) : nil
            guard let key, let rate else { return nil }
            if !withBurst, key.usesAddress {
                fields.report(
                    "address", "a quota cannot tell addresses apart", "use it in local, or remove it")
            }
            guard seen.insert(key).inserted else {
                fields.reader.report(
                    fields.position, fields.path, "the same key is there twice", "remove one of the two")
                return nil
            }
            return KeyedRate(key: key, rate: rate, burst: burst)
        }
    }

    private static func readResponseHeaders(_ fields: Fields) -> [String: String]? {
        guard let headers = fields.texts("responseHeaders", checkKey: Syntax.headerName) else { return nil }
        if headers.count > 10 {
            fields.report("responseHeaders", "has more than 10 fields", "remove some")
        }
        for (name, value) in headers.sorted(by: { $0.key < $1.key }) {
            guard let fault = Syntax.headerValue(value) else { continue }
            fields.report("responseHeaders", "\(name): \(fault.problem)", fault.remedy)
        }
        return headers
    }
}
