/// What a policy is about. A policy's target lies in the policy's own namespace.
public struct PolicyTarget: Sendable, Hashable {
    public enum Kind: String, Sendable, CaseIterable {
        case mesh = "Mesh"
        case namespace = "Namespace"
        case service = "Service"
        case httpRoute = "HTTPRoute"
        case grpcRoute = "GRPCRoute"
        case tcpRoute = "TCPRoute"

        /// Callers' sidecars know it, by requests.
        public var isRoute: Bool { self == .httpRoute || self == .grpcRoute }

        /// nil for what is no kind of route that there is.
        init?(route kind: ResourceKind) {
            switch kind {
            case .httpRoute: self = .httpRoute
            case .grpcRoute: self = .grpcRoute
            default: return nil
            }
        }
    }

    public var kind: Kind
    /// Empty for the mesh.
    public var namespace: String
    /// Empty for the mesh and for a namespace.
    public var name: String
    /// A port of a service by name, or a rule of a route.
    public var sectionName: String?
}

public enum PolicyDirection: String, Sendable, CaseIterable { case inbound, outbound }

/// Whether a policy acts. `shadow` decides, counts and records, and carries nothing out.
public enum PolicyMode: String, Sendable, CaseIterable { case enforce, shadow, off }

/// The settings of one kind of policy: every field may be left to a broader policy.
public protocol PolicySettings: Sendable, Equatable {
    static var kind: ResourceKind { get }
    static var targetKinds: [PolicyTarget.Kind] { get }
    /// Whose sidecar applies it; empty: both.
    static var directions: [PolicyDirection] { get }
    /// Whose sidecar applies a policy about such a target that does not say; `nil`: every one in `directions`.
    static func directionDefault(for target: PolicyTarget.Kind) -> PolicyDirection?
    /// The proxies can decide such a policy without carrying it out.
    static var runsInShadow: Bool { get }
    /// Nothing said.
    init()
    static func policy(in specification: Resource.Specification) -> Policy<Self>?
    /// This, with the fields that it leaves open taken from a broader policy.
    func filled(from broader: Self) -> Self
}

extension PolicySettings {
    public static var runsInShadow: Bool { false }

    public static func directionDefault(for target: PolicyTarget.Kind) -> PolicyDirection? { nil }
}

public struct Policy<Settings: PolicySettings>: Sendable, Equatable {
    public var target: PolicyTarget
    /// `nil`: every direction that the kind has.
    public var direction: PolicyDirection?
    public var mode: PolicyMode
    public var settings: Settings

    static func read(_ fields: Fields, namespace: String, _ readSettings: (Fields) -> Settings) -> Policy? {
        let target = fields.mapping("targetRef", isRequired: true) {
            readTarget($0, namespace: namespace)
        }
        let direction = fields.choice("direction", PolicyDirection.self)
        if let direction, !Settings.directions.isEmpty, !Settings.directions.contains(direction) {
            fields.report(
                "direction",
                "a \(Settings.kind.rawValue) with direction \(direction.rawValue) is not supported yet",
                "remove it, or write \(Settings.directions[0].rawValue)")
        }
        if direction == .inbound, target?.kind.isRoute == true {
            fields.report("direction", "only callers know routes", "write outbound, or name the Service")
        }
        let mode = fields.choice("mode", PolicyMode.self) ?? .enforce
        if mode == .shadow, !Settings.runsInShadow {
            fields.report(
                "mode", "the proxies cannot run a \(Settings.kind.rawValue) in shadow yet",
                "write enforce or off")
        }
        fields.notYet("rollout")
        let settings = readSettings(fields)
        return target.map { target in
            Policy(
                target: target, direction: direction ?? Settings.directionDefault(for: target.kind),
                mode: mode, settings: settings)
        }
    }

    private static func readTarget(_ fields: Fields, namespace: String) -> PolicyTarget? {
        let groups = ["", "martlet.mesh", "gateway.networking.k8s.io"]
        if let node = fields.node("group"), let group = fields.reader.string(node, fields.path(of: "group")),
            !groups.contains(group)
        {
            fields.report("group", "'\(group.clipped)' has no kind that a policy can be about", "remove it")
        }
        let kind = fields.choice("kind", isRequired: true, PolicyTarget.Kind.self)
        let name = fields.checked(
            "name", isRequired: kind == .service || kind?.isRoute == true, Syntax.subdomain)
        let section = fields.checked("sectionName", Syntax.subdomain)
        guard let kind else { return nil }
        guard Settings.targetKinds.contains(kind) else {
            let known = Settings.targetKinds.map(\.rawValue).joined(separator: ", ")
            fields.report(
                "kind", "a \(Settings.kind.rawValue) about a \(kind.rawValue) is not supported yet",
                "write one of \(known)")
            return nil
        }
        switch kind {
        case .mesh, .namespace:
            if section != nil {
                fields.report("sectionName", "a \(kind.rawValue) has no sections", "remove it")
            }
            if kind == .namespace, let name, name != namespace {
                fields.report(
                    "name", "the policy lies in namespace '\(namespace)', not in '\(name)'",
                    "set metadata.namespace to '\(name)'")
            }
            return PolicyTarget(kind: kind, namespace: kind == .mesh ? "" : namespace, name: "")
        case .service, .httpRoute, .grpcRoute, .tcpRoute:
            return name.map { PolicyTarget(kind: kind, namespace: namespace, name: $0, sectionName: section) }
        }
    }
}
