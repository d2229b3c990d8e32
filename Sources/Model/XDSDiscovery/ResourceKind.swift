import XDSSchema

/// The kinds of resources that a discovery stream carries, in the order in which they are asked for.
public enum ResourceKind: Int, CaseIterable, Sendable {
    case cluster, endpoints, listener, routes, secret, manifest

    public var messageType: MessageType {
        switch self {
        case .cluster: XDS.Cluster.messageType
        case .endpoints: XDS.ClusterLoadAssignment.messageType
        case .listener: XDS.Listener.messageType
        case .routes: XDS.RouteConfiguration.messageType
        case .secret: XDS.Secret.messageType
        case .manifest: XDS.MartletSignedManifest.messageType
        }
    }

    public var typeURL: String { messageType.typeURL }

    public init?(typeURL: String) {
        guard let kind = Self.allCases.first(where: { $0.typeURL == typeURL }) else { return nil }
        self = kind
    }

    /// A response holds all resources of the kind: what it does not hold is gone. The other kinds are asked
    /// for by name.
    public var isWholeState: Bool { self == .cluster || self == .listener }

    /// For messages: "cluster 'orders'".
    public var word: String {
        switch self {
        case .cluster: "cluster"
        case .endpoints: "endpoints"
        case .listener: "listener"
        case .routes: "route configuration"
        case .secret: "secret"
        case .manifest: "manifest"
        }
    }
}

/// A resource as it is held, for `/config_dump`.
public struct HeldResource: Sendable {
    public var kind: ResourceKind
    public var name: String
    /// The version of the response that it came with; empty for a static one.
    public var version: String
    /// The message, binary; empty for a static one, which the bootstrap holds.
    public var bytes: [UInt8]
    /// It waits for something, and is not in force yet.
    public var isWarming: Bool
    public var isStatic: Bool
}
