/// `HealthCheckPolicy`: how callers' sidecars ask the endpoints of a service whether they are well. Without one nobody
/// asks; endpoints are put aside by what their answers show (`CircuitBreakerPolicy.outlierDetection`).
/// In shadow mode they ask, and balancing takes no notice; where a check is in force, only that one is made.
public struct HealthCheckSettings: PolicySettings {
    public enum Check: Sendable, Equatable {
        /// `host`: nil for the service's own name.
        case http(path: String, host: String?, statuses: [ClosedRange<Int>])
        /// grpc.health.v1.Health/Check; empty: the whole server.
        case grpc(service: String)
        /// A connection is enough.
        case tcp
    }

    public var check: Check?
    public var interval: Duration?
    public var timeout: Duration?
    public var unhealthyThreshold: Int?
    public var healthyThreshold: Int?
    /// While the caller has never called the service.
    public var idleInterval: Duration?
    /// While an endpoint is not well.
    public var unhealthyInterval: Duration?
    /// Percent of the interval, drawn anew each time.
    public var jitter: Double?

    public init() {}

    public static var kind: ResourceKind { .healthCheckPolicy }
    public static var targetKinds: [PolicyTarget.Kind] { [.mesh, .namespace, .service] }
    public static var directions: [PolicyDirection] { [.outbound] }
    public static var runsInShadow: Bool { true }

    public static func policy(in specification: Resource.Specification) -> Policy<HealthCheckSettings>? {
        guard case .healthCheckPolicy(let policy) = specification else { return nil }
        return policy
    }

    public func filled(from broader: HealthCheckSettings) -> HealthCheckSettings {
        var result = self
        result.check = check ?? broader.check
        result.interval = interval ?? broader.interval
        result.timeout = timeout ?? broader.timeout
        result.unhealthyThreshold = unhealthyThreshold ?? broader.unhealthyThreshold
        result.healthyThreshold = healthyThreshold ?? broader.healthyThreshold
        result.idleInterval = idleInterval ?? broader.idleInterval
        result.unhealthyInterval = unhealthyInterval ?? broader.unhealthyInterval
        result.jitter = jitter ?? broader.jitter
        return result
    }

    static func read(_ fields: Fields) -> HealthCheckSettings {
        var settings = HealthCheckSettings()
        let http = fields.mapping("http", readHTTP)
        let grpc = fields.mapping("grpc") { fields -> Check? in
            .grpc(service: fields.string("service") ?? "")
        }
        let tcp = fields.mapping("tcp") { _ -> Check? in .tcp }
        settings.check = http ?? grpc ?? tcp
        if ["http", "grpc", "tcp"].count(where: fields.has) > 1 {
            fields.report(
                fields.has("http") && fields.has("grpc") ? "grpc" : "tcp",
                "an endpoint is asked in one way only",
                "keep one of http, grpc and tcp")
        }
        let hour = Duration.seconds(3600)
        settings.interval = fields.duration("interval", in: .milliseconds(100)...hour)
        settings.timeout = fields.duration("timeout", in: .milliseconds(10)...hour)
        settings.unhealthyThreshold = fields.integer("unhealthyThreshold", in: 1...1000)
        settings.healthyThreshold = fields.integer("healthyThreshold", in: 1...1000)
        settings.idleInterval = fields.duration("idleInterval", in: .milliseconds(100)...hour)
        settings.unhealthyInterval = fields.duration("unhealthyInterval", in: .milliseconds(100)...hour)
        settings.jitter = fields.percent("jitter")
        return settings
    }

    private static func readHTTP(_ fields: Fields) -> Check? {
        let path = fields.string("path") ?? "/"
        if !path.hasPrefix("/") || path.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) {
            fields.report("path", "'\(path.clipped)' is not a path", "begin it with / and leave out spaces")
        }
        let statuses = fields.scalars("statuses") { node, path -> ClosedRange<Int>? in
            guard let text = fields.reader.string(node, path) else { return nil }
            let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
            if let low = ends.first ?? nil, let high = ends.last ?? nil, ends.count <= 2, low >= 100,
                low <= high,
                high < 600
            {
                return low...high
            }
            fields.reader.report(
                node.position, path, "'\(text.clipped)' is not a status or a range of them",
                "write one such as \"200\" or \"200-299\"")
            return nil
        }
        return .http(
            path: path, host: fields.checked("host", Syntax.hostName), statuses: statuses ?? [200...200])
    }
}
