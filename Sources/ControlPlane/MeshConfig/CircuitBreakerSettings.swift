/// `CircuitBreakerPolicy`: upper bounds on what one proxy has open towards one service, and when it stops calling it.
/// Inbound: what the service's own sidecar has open towards its application.
public struct CircuitBreakerSettings: PolicySettings {
    public var connections: Int?
    public var pending: Int?
    public var requests: Int?
    public var retries: Int?
    /// `nil`: nobody is put aside.
    public var outliers: OutlierDetectionSettings?
    /// Connections of one proxy to one endpoint.
    public var connectionsPerEndpoint: Int?
    /// `nil`: there is none.
    public var breaker: BreakerSettings?

    public init() {}

    public static var kind: ResourceKind { .circuitBreakerPolicy }
    public static var targetKinds: [PolicyTarget.Kind] { [.mesh, .namespace, .service] }
    public static var directions: [PolicyDirection] { [.outbound, .inbound] }
    public static var runsInShadow: Bool { true }

    public static func directionDefault(for target: PolicyTarget.Kind) -> PolicyDirection? { .outbound }

    public static func policy(in specification: Resource.Specification) -> Policy<CircuitBreakerSettings>? {
        guard case .circuitBreakerPolicy(let policy) = specification else { return nil }
        return policy
    }

    public func filled(from broader: CircuitBreakerSettings) -> CircuitBreakerSettings {
        var result = self
        result.connections = connections ?? broader.connections
        result.pending = pending ?? broader.pending
        result.requests = requests ?? broader.requests
        result.retries = retries ?? broader.retries
        if let theirs = broader.outliers {
            result.outliers = outliers?.filled(from: theirs) ?? theirs
        }
        result.connectionsPerEndpoint = connectionsPerEndpoint ?? broader.connectionsPerEndpoint
        if let theirs = broader.breaker { result.breaker = breaker?.filled(from: theirs) ?? theirs }
        return result
    }

    static func read(_ fields: Fields) -> CircuitBreakerSettings {
        var settings = CircuitBreakerSettings()
        fields.mapping("limits") { fields -> Bool? in
            settings.connections = fields.integer("connections", in: 1...1_000_000)
            settings.pending = fields.integer("pending", in: 0...1_000_000)
            settings.requests = fields.integer("requests", in: 1...1_000_000)
            settings.retries = fields.integer("retries", in: 0...1_000_000)
            settings.connectionsPerEndpoint = fields.integer("connectionsPerEndpoint", in: 1...1_000_000)
            return true
        }
        settings.outliers = fields.mapping("outlierDetection") { OutlierDetectionSettings.read($0) }
        settings.breaker = fields.mapping("breaker") { BreakerSettings.read($0) }
        return settings
    }
}
