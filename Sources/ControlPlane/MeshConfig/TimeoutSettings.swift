/// `TimeoutPolicy`: how long each thing may take. Zero means without end where a kind of time-out allows it. Inbound: how
/// long the service's own sidecar waits for its application, whatever callers allow.
public struct TimeoutSettings: PolicySettings {
    public var connect: Duration?
    /// The whole request with all its attempts and the response body.
    public var request: Duration?
    public var perTry: Duration?
    /// A connection without requests.
    public var idle: Duration?
    /// A request on which nothing moves.
    public var stream: Duration?
    /// A connection to an endpoint, however busy.
    public var connection: Duration?
    public var propagatesDeadline: Bool?

    public init() {}

    public static var kind: ResourceKind { .timeoutPolicy }
    public static var targetKinds: [PolicyTarget.Kind] {
        [.mesh, .namespace, .service, .httpRoute, .grpcRoute]
    }
    public static var directions: [PolicyDirection] { [.outbound, .inbound] }
    public static var runsInShadow: Bool { true }

    public static func directionDefault(for target: PolicyTarget.Kind) -> PolicyDirection? { .outbound }

    public static func policy(in specification: Resource.Specification) -> Policy<TimeoutSettings>? {
        guard case .timeoutPolicy(let policy) = specification else { return nil }
        return policy
    }

    public func filled(from broader: TimeoutSettings) -> TimeoutSettings {
        var result = self
        result.connect = connect ?? broader.connect
        result.request = request ?? broader.request
        result.perTry = perTry ?? broader.perTry
        result.idle = idle ?? broader.idle
        result.stream = stream ?? broader.stream
        result.connection = connection ?? broader.connection
        result.propagatesDeadline = propagatesDeadline ?? broader.propagatesDeadline
        return result
    }

    static func read(_ fields: Fields) -> TimeoutSettings {
        let day = Duration.seconds(24 * 3600)
        var settings = TimeoutSettings()
        settings.connect = fields.duration("connect", in: .milliseconds(1)...Duration.seconds(600))
        settings.request = fields.duration("request", in: .zero...day)
        settings.perTry = fields.duration("perTry", in: .milliseconds(1)...day)
        settings.idle = fields.duration("idle", in: .zero...day)
        settings.stream = fields.duration("stream", in: .zero...day)
        settings.connection = fields.duration("connection", in: .seconds(1)...day)
        settings.propagatesDeadline = fields.boolean("deadlinePropagation")
        if let request = settings.request, let perTry = settings.perTry, request > .zero, perTry > request {
            fields.report(
                "perTry", "\(Syntax.text(perTry)) is longer than the whole request",
                "make it at most \(Syntax.text(request))")
        }
        return settings
    }
}
