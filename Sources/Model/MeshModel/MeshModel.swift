// MeshModel: one complete configuration of a proxy as checked values: listeners, routes, clusters, endpoints and
// secrets. Discovery produces it (from a bootstrap or over xDS), the data plane compiles it into what its workers
// look at. Nothing here refers to protobuf, files or sockets, and every value is already valid: ranges were checked
// and names resolved by whoever made it. Absent means that Envoy's default was put in, unless a comment says else.

import MeshPrimitives
import TrafficPolicy

/// Everything that a proxy is configured with at one moment.
public struct Configuration: Sendable, Equatable {
    public var listeners: [Listener]
    public var clusters: [Cluster]
    /// Process-wide values of runtime keys, from static layers.
    public var runtime: [String: RuntimeValue]
    /// The cluster that this proxy is an endpoint of, for zone-aware balancing; empty for none.
    public var localCluster = ""
    /// `node.cluster`
    public var nodeCluster = ""
    /// `node.id`
    public var nodeID = ""
    /// Where this proxy is.
    public var locality = LocalityName()
    /// Names of clusters whose endpoints are only asked for their health yet: to requests they are not there.
    public var warmingClusters: Set<String> = []

    public init(listeners: [Listener] = [], clusters: [Cluster] = [], runtime: [String: RuntimeValue] = [:]) {
        (self.listeners, self.clusters, self.runtime) = (listeners, clusters, runtime)
    }
}

public enum RuntimeValue: Sendable, Equatable {
    case number(Double)
    case text(String)
    case bool(Bool)
    case fraction(Fraction)
}

/// A share of requests: `numerator` of `denominator` (100, 10 000 or 1 000 000).
public struct Fraction: Sendable, Equatable, Hashable {
    public var numerator: UInt32
    public var denominator: UInt32
    /// A runtime key that replaces the value if it is set; nil for none.
    public var runtimeKey: String?

    public init(numerator: UInt32, denominator: UInt32, runtimeKey: String? = nil) {
        (self.numerator, self.denominator, self.runtimeKey) = (numerator, denominator, runtimeKey)
    }

    public static let all = Fraction(numerator: 100, denominator: 100)
    public static let none = Fraction(numerator: 0, denominator: 100)
}
