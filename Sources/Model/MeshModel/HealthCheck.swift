import MeshPrimitives
import TrafficPolicy

/// envoy.config.core.v3.HealthCheck: how the endpoints of a cluster are asked whether they are well.
public struct HealthCheck: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
        case http(HTTPCheck)
        case tcp(TCPCheck)
        case grpc(GRPCCheck)
    }

    public var settings: HealthCheckSettings
    public var kind: Kind
    /// One connection serves many checks.
    public var reusesConnections = true
    /// Files that get a line of JSON for each event.
    public var eventLogPaths: [String] = []
    /// martlet.v1.Cluster.health_check_mode: in shadow mode what comes of it is counted and shown only.
    public var mode = PolicyMode.enforce

    public init(settings: HealthCheckSettings, kind: Kind) { (self.settings, self.kind) = (settings, kind) }
}

public struct HTTPCheck: Sendable, Equatable {
    /// Empty: the endpoint's host name, else the cluster's name.
    public var host = ""
    public var path: String
    public var method = "GET"
    /// In lower case, with their values; a name that is there already is replaced unless `appends`.
    public var headers: [Header] = []
    public var headersRemoved: [String] = []
    public var statuses = HTTPHealthStatuses()
    public var usesHTTP2 = false

    public struct Header: Sendable, Equatable {
        public var name: String
        public var value: String
        public var appends: Bool

        public init(name: String, value: String, appends: Bool = true) {
            (self.name, self.value, self.appends) = (name, value, appends)
        }
    }

    public init(path: String) { self.path = path }
}

public struct TCPCheck: Sendable, Equatable {
    /// Empty: the connection alone is the check, unless `receive` has something.
    public var send: [UInt8] = []
    /// Found in the answer in this order, with anything between them.
    public var receive: [[UInt8]] = []

    public init() {}
}

/// grpc.health.v1.Health/Check
public struct GRPCCheck: Sendable, Equatable {
    public var serviceName = ""
    /// Empty: the endpoint's host name, else the cluster's name.
    public var authority = ""
    public var metadata: [HTTPCheck.Header] = []

    public init() {}
}

/// What a check of one endpoint does otherwise (envoy.config.endpoint.v3.Endpoint.HealthCheckConfig).
public struct EndpointCheck: Sendable, Equatable {
    /// 0: that of the endpoint.
    public var port: UInt16 = 0
    public var hostname = ""
    public var isDisabled = false

    public init() {}
}

/// envoy.extensions.filters.http.health_check.v3.HealthCheck: requests that match are answered here, or passed on.
public struct HealthCheckFilter: Sendable, Equatable {
    public struct ClusterMin: Sendable, Equatable {
        public var cluster: String
        /// Of its endpoints that are healthy or degraded.
        public var percent: Double

        public init(cluster: String, percent: Double) { (self.cluster, self.percent) = (cluster, percent) }
    }

    /// All of them.
    public var headers: [HeaderMatch] = []
    /// Each of them, or the answer is 503.
    public var clustersHealthyMin: [ClusterMin] = []
    /// Requests that match go upstream as long as the proxy itself is well.
    public var passesThrough = false
    /// With `passesThrough`: an answer is given again for so long; nil: never.
    public var cacheTime: Duration?

    public init() {}
}

/// How the names of STRICT_DNS and LOGICAL_DNS clusters are looked up.
public struct NameLookup: Sendable, Equatable {
    public enum Family: Sendable, Equatable { case auto, v4Only, v6Only, v4Preferred, all }

    public var family = Family.auto
    public var refresh = Duration.seconds(5)
    /// After a failure: a random part of `failureBase`, doubled with each further one up to `failureMax`; nil: `refresh`.
    public var failure: Failure?
    /// A random part of it is added to every interval.
    public var jitter = Duration.zero
    /// Answers are looked up again when their TTL has passed, not after `refresh`.
    public var respectsTTL = false
    public var resolver = Resolver()

    public struct Failure: Sendable, Equatable {
        public var base: Duration
        public var max: Duration

        public init(base: Duration, max: Duration) { (self.base, self.max) = (base, max) }
    }

    /// Lookups with equal ones share sockets.
    public struct Resolver: Sendable, Hashable {
        /// Empty: those of the machine.
        public var servers: [SocketAddress] = []
        public var usesTCP = false
        public var searchesDomains = true
        /// Of one query to one server.
        public var queryTimeout = Duration.seconds(5)
        public var tries = 4

        public init() {}
    }

    public init() {}
}

/// An ORIGINAL_DST cluster: each request's own destination is its endpoint.
public struct OriginalDestination: Sendable, Equatable {
    /// Names the field that says where to, lower case; nil: where the connection was going.
    public var headerName: String?
    /// 0: none.
    public var portOverride: UInt16 = 0
    /// Endpoints that nothing has used for so long are forgotten.
    public var cleanupInterval = Duration.seconds(5)

    public init() {}
}
