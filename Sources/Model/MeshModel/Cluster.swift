import MeshPrimitives
import TrafficPolicy

/// envoy.config.cluster.v3.Cluster, its endpoints included (whether they came with it or by EDS). Its values are in one
/// place, however many have a copy of it, and copied when one of those changes something: a proxy has thousands of
/// clusters, and each of them in several places.
@dynamicMemberLookup public struct Cluster: Sendable, Equatable {
    public typealias Discovery = ClusterValues.Discovery
    public typealias UpstreamProtocol = ClusterValues.UpstreamProtocol

    /// Changed only by its one owner.
    @usableFromInline final class Box: @unchecked Sendable {
        @usableFromInline var values: ClusterValues

        @usableFromInline init(_ values: ClusterValues) { self.values = values }
    }

    @usableFromInline var box: Box

    public init(_ values: ClusterValues) { box = Box(values) }
    public init(name: String) { self.init(ClusterValues(name: name)) }

    @inlinable
    public subscript<Value>(
        dynamicMember path: WritableKeyPath<ClusterValues, Value>
    ) -> Value {
        get { box.values[keyPath: path] }
        _modify {
            if !isKnownUniquelyReferenced(&box) { box = Box(box.values) }
            yield &box.values[keyPath: path]
        }
    }

    public static func == (left: Self, right: Self) -> Bool {
        left.box === right.box || left.box.values == right.box.values
    }
}

/// What a `Cluster` says.
public struct ClusterValues: Sendable, Equatable {
    public enum Discovery: Sendable, Equatable { case fixed, eds, strictDNS, logicalDNS, originalDestination }
    public enum UpstreamProtocol: Sendable, Equatable {
        case http1
        case http2
        /// What the TLS handshake agrees on, else HTTP/1.1.
        case auto
        /// The downstream request's protocol.
        case sameAsDownstream
    }

    public var name: String
    public var discovery = Discovery.fixed
    /// Empty: the cluster's name.
    public var edsServiceName = ""
    public var localities: [LocalityEndpoints] = []
    @Usual public var balancing = ClusterBalancing()
    public var connectTimeout: Duration = .seconds(5)
    public var normalLimits = Limits()
    @Usual public var highLimits = Limits()
    public var perHostConnectionsMax: UInt32?
    @Rare public var tls: UpstreamTLS? = nil
    /// In order; the first whose labels are all in the endpoint's `envoy.transport_socket_match` metadata is used, an
    /// endpoint that matches none uses `tls`.
    public var transportMatches: [TransportMatch] = []
    public var upstreamProtocol = UpstreamProtocol.http1
    @Usual public var http2 = HTTP2Options()
    public var idleTimeout: Duration? = .seconds(3600)
    @Rare public var maxConnectionDuration: Duration? = nil
    public var maxRequestsPerConnection: Int?
    public var enablesTrailers = false
    public var headerKeyFormat = HTTPConnectionManager.HeaderKeyFormat.lowercase
    /// `auto_sni` and `auto_san_validation`.
    public var setsSNIFromHost = false
    public var validatesSANFromHost = false
    public var panicThreshold = 50.0
    public var overprovisioningFactor: UInt32 = 140
    /// Of requests, refused for the sake of the service (`drop_overloads`).
    @Usual public var dropShare = Fraction.none
    /// Priorities are as healthy as the weights of their healthy endpoints say, not their number.
    public var weighsHealth = false
    /// nil: nobody is put aside.
    @Rare public var outliers: OutlierSettings? = nil
    /// martlet.v1.Cluster.Outliers: shadow puts nobody aside either, but counts and logs.
    public var outliersMode = PolicyMode.enforce
    /// nil: nobody asks.
    @Rare public var healthCheck: HealthCheck? = nil
    @Usual public var nameLookup = NameLookup()
    @Usual public var originalDestination = OriginalDestination()
    /// martlet.v1.Cluster: retries within a share of requests over a window; replaces `retries` and `retryBudget`.
    @Rare public var windowBudget: WindowBudget? = nil
    /// martlet.v1.Cluster.
    @Rare public var breaker: CircuitBreakerSettings? = nil
    /// martlet.v1.Cluster: what policies in shadow mode say.
    @Rare public var shadowBreaker: CircuitBreakerSettings? = nil
    @Rare public var shadowLimits: ShadowLimits? = nil
    @Rare public var shadowBalancing: LoadBalancingPolicy? = nil

    public init(name: String) { self.name = name }
}

/// envoy.config.cluster.v3.CircuitBreakers.Thresholds; of the whole process.
public struct Limits: Sendable, Equatable {
    public var connections: UInt32 = 1024
    public var pending: UInt32 = 1024
    public var requests: UInt32 = 1024
    public var retries: UInt32 = 3
    /// Percent of active and pending requests, and the least that is always allowed.
    public var retryBudget: RetryBudget?
    public var tracksRemaining = false

    public struct RetryBudget: Sendable, Equatable {
        public var percent: Double
        public var concurrencyMin: UInt32

        public init(percent: Double = 20, concurrencyMin: UInt32 = 3) {
            (self.percent, self.concurrencyMin) = (percent, concurrencyMin)
        }
    }

    public init() {}
}

/// Bounds that are only watched; nil: none.
public struct ShadowLimits: Sendable, Equatable {
    public var connections: UInt32?
    public var pending: UInt32?
    public var requests: UInt32?
    public var retries: UInt32?

    public init() {}
}

public struct WindowBudget: Sendable, Equatable {
    public var percent: Double
    public var window: Duration
    public var retriesMin: UInt32

    public init(percent: Double = 20, window: Duration = .seconds(10), retriesMin: UInt32 = 3) {
        (self.percent, self.window, self.retriesMin) = (percent, window, retriesMin)
    }
}

public struct TransportMatch: Sendable, Equatable {
    public var name: String
    public var labels: [String: String]
    /// nil: plain text.
    public var tls: UpstreamTLS?

    public init(name: String, labels: [String: String], tls: UpstreamTLS?) {
        (self.name, self.labels, self.tls) = (name, labels, tls)
    }
}

public struct LocalityEndpoints: Sendable, Equatable {
    public var region = ""
    public var zone = ""
    public var subZone = ""
    public var weight: UInt32?
    public var priority: UInt32 = 0
    public var endpoints: [Endpoint]

    public init(endpoints: [Endpoint]) { self.endpoints = endpoints }
}

public struct Endpoint: Sendable, Equatable {
    public enum Health: Sendable { case unknown, healthy, unhealthy, draining, timeout, degraded }
    public enum Address: Sendable, Equatable {
        case numeric(SocketAddress)
        /// STRICT_DNS and LOGICAL_DNS.
        case name(String, port: UInt16)
    }

    public var address: Address
    /// `endpoint.hostname`
    public var hostname = ""
    public var health = Health.unknown
    @Usual public var check = EndpointCheck()
    public var weight: UInt32 = 1
    /// Metadata of `envoy.transport_socket_match`.
    public var transportLabels: [String: String] = [:]
    /// Metadata of `envoy.lb`.
    public var metadata: [String: MetadataValue] = [:]

    public init(address: Address) { self.address = address }
}
