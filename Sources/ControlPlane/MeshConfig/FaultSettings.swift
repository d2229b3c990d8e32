/// `FaultPolicy`: delays and answers that are made up, so that a mesh can be tried out before it has to hold.
public struct FaultSettings: PolicySettings {
    public struct Delay: Sendable, Equatable {
        public var duration: Duration
        /// Of the requests, in percent.
        public var percent: Double
    }

    public enum Answer: Sendable, Equatable {
        case http(Int)
        /// `grpc-status`; other than gRPC requests get the HTTP status that goes with it.
        case grpc(Int)
    }

    public struct Abort: Sendable, Equatable {
        public var answer: Answer
        /// Of the requests, in percent.
        public var percent: Double
    }

    public var delay: Delay?
    public var abort: Abort?
    /// Only requests that have all of these; `nil`: every request.
    public var headers: [HTTPRouteSpecification.ValueMatch]?

    public init() {}

    public static var kind: ResourceKind { .faultPolicy }
    public static var targetKinds: [PolicyTarget.Kind] {
        [.mesh, .namespace, .service, .httpRoute, .grpcRoute]
    }
    public static var directions: [PolicyDirection] { [.inbound, .outbound] }
    public static var runsInShadow: Bool { true }

    /// The service's own sidecar; of a route, which only callers know, the caller's.
    public static func directionDefault(for target: PolicyTarget.Kind) -> PolicyDirection? {
        target.isRoute ? .outbound : .inbound
    }

    public static func policy(in specification: Resource.Specification) -> Policy<FaultSettings>? {
        guard case .faultPolicy(let policy) = specification else { return nil }
        return policy
    }

    public func filled(from broader: FaultSettings) -> FaultSettings {
        var result = self
        result.delay = delay ?? broader.delay
        result.abort = abort ?? broader.abort
        result.headers = headers ?? broader.headers
        return result
    }

    static func read(_ fields: Fields) -> FaultSettings {
        var settings = FaultSettings()
        settings.delay = fields.mapping("delay") { fields -> Delay? in
            let duration = fields.duration(
                "duration", isRequired: true, in: .milliseconds(1)...Duration.seconds(3600))
            let percent = fields.percent("percentage") ?? 100
            return duration.map { Delay(duration: $0, percent: percent) }
        }
        settings.abort = fields.mapping("abort") { fields -> Abort? in
            let grpc = fields.integer("grpcStatus", in: 0...16)
            let status = fields.integer("status", isRequired: !fields.has("grpcStatus"), in: 200...599)
            if status != nil, grpc != nil {
                fields.report("grpcStatus", "status is there too", "keep one of the two")
            }
            let percent = fields.percent("percentage") ?? 100
            let answer = grpc.map { Answer.grpc($0) } ?? status.map { .http($0) }
            return answer.map { Abort(answer: $0, percent: percent) }
        }
        settings.headers = fields.list("headers", countMax: 16) {
            HTTPRouteSpecification.readValueMatch($0, Syntax.headerName)
        }
        if fields.has("targetRef"), settings.delay == nil, settings.abort == nil, settings.headers == nil,
            !fields.has("delay"), !fields.has("abort")
        {
            fields.report("targetRef", "nothing is made to fail", "add delay or abort")
        }
        return settings
    }
}
