/// The kinds of `RESOURCES.md` that this version carries out.
public enum ResourceKind: String, Sendable, CaseIterable, Codable {
    case mesh = "Mesh"
    case service = "Service"
    case workload = "Workload"
    case httpRoute = "HTTPRoute"
    case grpcRoute = "GRPCRoute"
    case tlsPolicy = "TLSPolicy"
    case retryPolicy = "RetryPolicy"
    case timeoutPolicy = "TimeoutPolicy"
    case circuitBreakerPolicy = "CircuitBreakerPolicy"
    case loadBalancerPolicy = "LoadBalancerPolicy"
    case healthCheckPolicy = "HealthCheckPolicy"
    case rateLimitPolicy = "RateLimitPolicy"
    case faultPolicy = "FaultPolicy"
    case telemetryPolicy = "TelemetryPolicy"

    /// Kinds that are described and not carried out yet: refused, never ignored.
    static let later = [
        "TCPRoute", "TLSRoute", "AuthorizationPolicy", "AuthenticationPolicy",
        "Export",
    ]

    public var apiVersion: String {
        switch self {
        case .httpRoute, .grpcRoute: return "gateway.networking.k8s.io/v1"
        case .mesh, .service, .workload, .tlsPolicy, .retryPolicy, .timeoutPolicy, .circuitBreakerPolicy,
            .healthCheckPolicy, .loadBalancerPolicy, .rateLimitPolicy, .faultPolicy, .telemetryPolicy:
            return "martlet.mesh/v1"
        }
    }

    /// The kind by name, in any case and with or without a plural `s`, as operators type it.
    public init?(typed text: String) {
        let name = text.lowercased()
        let found = Self.allCases.first { kind in
            let word = kind.rawValue.lowercased()
            return name == word || name == word + "s" || name == word + "es"
                || (word.hasSuffix("y") && name == word.dropLast() + "ies")
        }
        guard let found else { return nil }
        self = found
    }
}

/// What makes a resource unique.
public struct ResourceID: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let kind: ResourceKind
    public let namespace: String
    public let name: String

    public init(kind: ResourceKind, namespace: String, name: String) {
        (self.kind, self.namespace, self.name) = (kind, namespace, name)
    }

    public var description: String { "\(kind.rawValue)/\(namespace)/\(name)" }

    public static func < (left: ResourceID, right: ResourceID) -> Bool {
        (left.kind.rawValue, left.namespace, left.name) < (right.kind.rawValue, right.namespace, right.name)
    }
}

/// A service of the mesh by name.
public struct ServiceID: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let namespace: String
    public let name: String

    public init(namespace: String, name: String) { (self.namespace, self.name) = (namespace, name) }

    /// From `NAMESPACE/NAME`, both RFC 1123 labels.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, parts.allSatisfy({ Syntax.label($0) == nil }) else { return nil }
        self.init(namespace: parts[0], name: parts[1])
    }

    public var description: String { "\(namespace)/\(name)" }

    public static func < (left: ServiceID, right: ServiceID) -> Bool {
        (left.namespace, left.name) < (right.namespace, right.name)
    }
}

/// One document, read and checked for itself.
public struct Resource: Sendable, Equatable {
    public enum Specification: Sendable, Equatable {
        case mesh(MeshSettings)
        case service(ServiceSpecification)
        case workload(WorkloadSpecification)
        case httpRoute(HTTPRouteSpecification)
        case grpcRoute(HTTPRouteSpecification)
        case tlsPolicy(Policy<TLSSettings>)
        case retryPolicy(Policy<RetrySettings>)
        case timeoutPolicy(Policy<TimeoutSettings>)
        case circuitBreakerPolicy(Policy<CircuitBreakerSettings>)
        case loadBalancerPolicy(Policy<LoadBalancerSettings>)
        case healthCheckPolicy(Policy<HealthCheckSettings>)
        case rateLimitPolicy(Policy<RateLimitSettings>)
        case faultPolicy(Policy<FaultSettings>)
        case telemetryPolicy(Policy<TelemetrySettings>)
    }

    public let id: ResourceID
    public let labels: [String: String]
    public let specification: Specification
    /// The document as it was written, for `get` and for telling whether it changed.
    public let document: YAMLNode
    public let location: ConfigLocation
    let positions: [String: YAMLNode.Position]

    /// What an `HTTPRoute` or a `GRPCRoute` says.
    public var route: HTTPRouteSpecification? {
        switch specification {
        case .httpRoute(let route), .grpcRoute(let route): route
        default: nil
        }
    }

    /// A route that is about this port. Calls of gRPC come on ports that speak HTTP/2.
    public func isAttached(to id: ServiceID, _ port: ServiceSpecification.Port) -> Bool {
        guard let route, self.id.kind == .grpcRoute ? port.appProtocol.isHTTP2 : port.appProtocol.isHTTP
        else {
            return false
        }
        return route.parents.contains { $0.service == id && $0.includes(port) }
    }

    /// Where a field stands; the document's begin if the field was not written.
    public func location(of path: String) -> ConfigLocation {
        guard let position = positions[path] else { return location }
        return ConfigLocation(file: location.file, line: position.line, column: position.column)
    }

    /// Equal if they say the same; the place does not matter.
    public static func == (left: Resource, right: Resource) -> Bool {
        left.id == right.id && left.document == right.document
    }
}
