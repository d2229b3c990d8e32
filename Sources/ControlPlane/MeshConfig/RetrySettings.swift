/// `RetryPolicy`: which failed attempts are made again. Without one only what provably was not processed is.
public struct RetrySettings: PolicySettings {
    public enum Condition: String, Sendable, CaseIterable {
        case fiveHundreds = "5xx"
        case gatewayError = "gateway-error"
        case connectFailure = "connect-failure"
        case reset
        case refusedStream = "refused-stream"
        case retriableStatusCodes = "retriable-status-codes"
        case resetBeforeRequest = "reset-before-request"
        case retriable4xx = "retriable-4xx"
        case envoyRatelimited = "envoy-ratelimited"
        case retriableHeaders = "retriable-headers"
        case grpcCancelled = "cancelled"
        case grpcDeadlineExceeded = "deadline-exceeded"
        case grpcInternal = "internal"
        case grpcResourceExhausted = "resource-exhausted"
        case grpcUnavailable = "unavailable"
    }

    /// Which requests may be sent again although they may have been processed.
    public enum Methods: String, Sendable, CaseIterable { case safe, idempotent, any }

    public var conditions: [Condition]?
    public var statusCodes: [Int]?
    /// Names of fields of an answer, lower case.
    public var headers: [String]?
    /// Attempts beyond the first.
    public var attempts: Int?
    public var perTryTimeout: Duration?
    public var perTryIdleTimeout: Duration?
    public var backOffMin: Duration?
    public var backOffMax: Duration?
    /// An answer's `retry-after` is believed up to this.
    public var retryAfterMax: Duration?
    /// Endpoints that were tried before are passed over, as far as there are others.
    public var avoidsTriedEndpoints: Bool?
    public var budgetPercent: Double?
    public var budgetWindow: Duration?
    /// Retries that are always allowed, whatever the share.
    public var budgetMin: Int?
    public var methods: Methods?
    public var idempotencyKey: String?
    /// A try that passes its time-out goes on, and another one joins it; the first good answer is taken.
    public var hedges: Bool?

    public init() {}

    public static var kind: ResourceKind { .retryPolicy }
    public static var targetKinds: [PolicyTarget.Kind] {
        [.mesh, .namespace, .service, .httpRoute, .grpcRoute]
    }
    public static var directions: [PolicyDirection] { [.outbound] }
    public static var runsInShadow: Bool { true }

    public static func policy(in specification: Resource.Specification) -> Policy<RetrySettings>? {
        guard case .retryPolicy(let policy) = specification else { return nil }
        return policy
    }

    public func filled(from broader: RetrySettings) -> RetrySettings {
        var result = self
        result.conditions = conditions ?? broader.conditions
        result.statusCodes = statusCodes ?? broader.statusCodes
        result.headers = headers ?? broader.headers
        result.perTryIdleTimeout = perTryIdleTimeout ?? broader.perTryIdleTimeout
        result.retryAfterMax = retryAfterMax ?? broader.retryAfterMax
        result.avoidsTriedEndpoints = avoidsTriedEndpoints ?? broader.avoidsTriedEndpoints
        result.attempts = attempts ?? broader.attempts
        result.perTryTimeout = perTryTimeout ?? broader.perTryTimeout
        result.backOffMin = backOffMin ?? broader.backOffMin
        result.backOffMax = backOffMax ?? broader.backOffMax
        result.budgetPercent = budgetPercent ?? broader.budgetPercent
        result.budgetWindow = budgetWindow ?? broader.budgetWindow
        result.budgetMin = budgetMin ?? broader.budgetMin
        result.methods = methods ?? broader.methods
        result.idempotencyKey = idempotencyKey ?? broader.idempotencyKey
        result.hedges = hedges ?? broader.hedges
        return result
    }

    static func read(_ fields: Fields) -> RetrySettings {
        var settings = RetrySettings()
        settings.conditions = fields.scalars("retryOn", countMax: 16) { node, path in
            fields.reader.choice(node, path, Condition.self)
        }
        settings.statusCodes = fields.scalars("retriableStatusCodes", countMax: 64) { node, path in
            fields.reader.integer(node, path, in: 100...599)
        }
        if settings.statusCodes != nil, settings.conditions?.contains(.retriableStatusCodes) == false {
            fields.report(
                "retriableStatusCodes", "has no effect", "add retriable-status-codes to retryOn")
        }
        if settings.conditions?.contains(.retriableStatusCodes) == true, settings.statusCodes?.isEmpty ?? true
        {
            fields.report(
                "retryOn", "retriable-status-codes needs codes", "add retriableStatusCodes: [503]")
        }
        settings.headers = fields.scalars("retriableHeaders", countMax: 16) { node, path in
            fields.reader.checked(node, path, Syntax.headerName)
        }
        if settings.conditions?.contains(.retriableHeaders) == true, settings.headers?.isEmpty ?? true {
            fields.report("retryOn", "retriable-headers needs names", "add retriableHeaders: [x-again]")
        }
        settings.attempts = fields.integer("attempts", in: 0...10)
        settings.perTryIdleTimeout = fields.duration(
            "perTryIdleTimeout", in: .milliseconds(1)...Duration.seconds(3600))
        settings.avoidsTriedEndpoints = fields.boolean("otherEndpoints")
        settings.perTryTimeout = fields.duration(
            "perTryTimeout", in: .milliseconds(1)...Duration.seconds(3600))
        fields.mapping("backOff") { fields -> Bool? in
            settings.backOffMin = fields.duration("base", in: .milliseconds(1)...Duration.seconds(60))
            settings.backOffMax = fields.duration("max", in: .milliseconds(1)...Duration.seconds(600))
            settings.retryAfterMax = fields.duration(
                "retryAfterMax", in: .milliseconds(1)...Duration.seconds(3600))
            if let base = settings.backOffMin, let max = settings.backOffMax, max < base {
                fields.report("max", "is shorter than base", "make it at least \(Syntax.text(base))")
            }
            return true
        }
        fields.mapping("budget") { fields -> Bool? in
            settings.budgetPercent = fields.percent("ratio")
            settings.budgetWindow = fields.duration("window", in: .seconds(1)...Duration.seconds(600))
            settings.budgetMin = fields.integer("min", in: 0...10_000)
            return true
        }
        settings.methods = fields.choice("methods", Methods.self)
        settings.hedges = fields.boolean("hedge")
        settings.idempotencyKey = fields.checked("idempotencyKey", Syntax.headerName)
        return settings
    }
}
