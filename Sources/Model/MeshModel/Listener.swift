import MeshPrimitives
import TrafficPolicy

/// envoy.config.listener.v3.Listener
public struct Listener: Sendable, Equatable {
    public var name: String
    public var address: SocketAddress
    public var filterChains: [FilterChain]
    public var defaultFilterChain: FilterChain?
    /// The `tls_inspector` listener filter is there: the first bytes are looked at before a chain is chosen.
    public var inspectsTLS: Bool
    public var bufferLimit: Int
    /// The `original_dst` listener filter is there: where a connection was going before it was redirected here counts as
    /// its local address.
    public var readsOriginalDestination = false
    /// The listener of that address takes the connection, if there is one (`use_original_dst`).
    public var handsOffRedirected = false
    /// false: connections come by other listeners only (`bind_to_port`).
    public var isBound = true

    public init(
        name: String, address: SocketAddress, filterChains: [FilterChain],
        defaultFilterChain: FilterChain? = nil, inspectsTLS: Bool = false, bufferLimit: Int = 1 << 20
    ) {
        self.name = name
        self.address = address
        self.filterChains = filterChains
        self.defaultFilterChain = defaultFilterChain
        self.inspectsTLS = inspectsTLS
        self.bufferLimit = bufferLimit
    }
}

public struct AddressRange: Sendable, Equatable {
    /// The port is 0.
    public var address: SocketAddress
    public var prefixLength: Int

    public init(address: SocketAddress, prefixLength: Int) {
        (self.address, self.prefixLength) = (address, prefixLength)
    }
}

/// envoy.config.listener.v3.FilterChainMatch; empty lists and nil match everything.
public struct FilterChainMatch: Sendable, Equatable {
    public enum TransportProtocol: String, Sendable { case tls, rawBuffer = "raw_buffer" }

    public var destinationPort: UInt16?
    public var destinationRanges: [AddressRange] = []
    /// Exact names and `*.suffix`.
    public var serverNames: [String] = []
    public var transportProtocol: TransportProtocol?
    public var applicationProtocols: [String] = []
    public var sourceRanges: [AddressRange] = []

    public init() {}
}

public struct FilterChain: Sendable, Equatable {
    public var name: String
    public var match: FilterChainMatch
    /// nil: plain text.
    public var tls: DownstreamTLS?
    /// martlet.v1.PlainText: a policy in shadow mode would refuse what comes here in the clear.
    public var isRefusedInShadow = false
    public var network: NetworkFilter
    /// Before it, in order: connections beyond any of them are closed.
    public var connectionLimits: [ConnectionRateLimit] = []

    public init(
        name: String = "", match: FilterChainMatch = FilterChainMatch(), tls: DownstreamTLS? = nil,
        network: NetworkFilter
    ) {
        (self.name, self.match, self.tls, self.network) = (name, match, tls, network)
    }
}

/// What ends a filter chain.
public enum NetworkFilter: Sendable, Equatable {
    case http(HTTPConnectionManager)
    case tcp(TCPProxy)
}

/// envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
public struct TCPProxy: Sendable, Equatable {
    public var statPrefix: String
    public var clusters: [WeightedCluster]
    /// nil: no limit.
    public var idleTimeout: Duration? = .seconds(3600)
    public var maxConnectAttempts: Int = 1
    /// `max_downstream_connection_duration`; nil: no limit.
    public var durationMax: Duration?
    /// The caller's address places the connection, in a cluster that hashes.
    public var hashesSourceAddress = false
    public var accessLogs: [AccessLog] = []

    public init(statPrefix: String, clusters: [WeightedCluster]) {
        (self.statPrefix, self.clusters) = (statPrefix, clusters)
    }
}

/// envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager. A nil duration is no limit.
public struct HTTPConnectionManager: Sendable, Equatable {
    public enum Codec: Sendable, BitwiseCopyable { case auto, http1, http2 }
    public enum ServerHeader: Sendable, BitwiseCopyable { case overwrite, appendIfAbsent, passThrough }
    public enum ForwardClientCertificate: Sendable, BitwiseCopyable {
        case sanitize, forwardOnly, appendForward, sanitizeSet, alwaysForwardOnly
    }
    public enum HeaderKeyFormat: Sendable { case lowercase, preserveCase, properCase }
    public enum EscapedSlashes: Sendable, BitwiseCopyable {
        case keep, reject, unescapeAndRedirect, unescapeAndForward
    }

    public var statPrefix: String
    public var codec: Codec = .auto
    public var routes: RouteSource
    public var filters: [HTTPFilter] = []
    public var accessLogs: [AccessLog] = []
    /// The `tracing` block; nil leaves trace headers as they came.
    public var tracing: Tracing?
    /// Set by the `martlet.policy` filter: contexts are continued or started without an exporter.
    public var traceContext: TraceContextSettings?

    public var serverName = "envoy"
    public var serverHeader = ServerHeader.overwrite
    public var usesRemoteAddress = false
    public var trustedHops = 0
    public var skipsXFFAppend = false
    public var appendsForwardedPort = false
    /// Without `usesRemoteAddress`: the caller's address is what `x-forwarded-for` says. A mesh has nobody at its edge
    /// who would have checked that.
    public var believesForwardedFor = true
    /// The router adds no `x-envoy-*` fields (`suppress_envoy_headers`).
    public var suppressesEnvoyHeaders = false
    public var via: String?
    public var internalRanges: [AddressRange]?
    public var generatesRequestID = true
    public var preservesExternalRequestID = false
    public var setsRequestIDInResponse = false
    public var forwardClientCertificate = ForwardClientCertificate.sanitize
    public var currentClientCertificate = CurrentClientCertificate()
    public var proxies100Continue = false
    public var acceptsHTTP10 = false
    public var defaultHostForHTTP10: String?
    public var enablesTrailers = false
    public var headerKeyFormat = HeaderKeyFormat.lowercase
    public var http2 = HTTP2Options()
    public var upgrades: [String] = []
    /// Unknown `Upgrade` values are dropped instead of answered with 403 (mesh).
    public var ignoresUnknownUpgrades = false
    public var normalizesPath = false
    public var mergesSlashes = false
    public var escapedSlashes = EscapedSlashes.keep
    public var stripsAnyPort = false
    public var underscoresInHeaders = UnderscoreAction.allow
    public var headBytesMax = 60 << 10
    public var fieldsMax = 100
    /// Mesh: `x-envoy-*` request controls of the local application count, whatever its address.
    public var trustsLocalControls = false
    /// `proxy_status_config`, or the mesh: local answers carry `Proxy-Status`.
    public var sendsProxyStatus = false
    /// `respect_expected_rq_timeout` of the router: a proxy before this one is believed about time.
    public var respectsExpectedTimeout = false

    public var idleTimeout: Duration? = .seconds(3600)
    public var streamIdleTimeout: Duration? = .seconds(300)
    public var requestTimeout: Duration?
    public var requestHeadersTimeout: Duration?
    public var drainTimeout: Duration = .seconds(5)
    public var delayedCloseTimeout: Duration? = .seconds(1)
    public var maxConnectionDuration: Duration?
    public var maxStreamDuration: Duration?
    public var maxRequestsPerConnection: Int?

    public init(statPrefix: String, routes: RouteSource) {
        (self.statPrefix, self.routes) = (statPrefix, routes)
    }
}

public enum UnderscoreAction: Sendable, BitwiseCopyable { case allow, rejectRequest, dropHeader }

public enum RouteSource: Sendable, Equatable {
    /// The routes themselves; discovery has put in what came by RDS.
    case routes(RouteConfiguration)
}

public struct CurrentClientCertificate: Sendable, Equatable {
    public var subject = false
    public var certificate = false
    public var dns = false
    public var uri = false

    public init() {}
}

public struct HTTP2Options: Sendable, Equatable {
    public var maxConcurrentStreams: UInt32 = 1024
    public var initialStreamWindow: Int32 = 16 << 20
    public var initialConnectionWindow: Int32 = 24 << 20
    public var allowsConnect = false
    public var keepaliveInterval: Duration?
    public var keepaliveTimeout: Duration = .seconds(20)

    public init() {}
}

/// HTTP filters before the router, in order.
public enum HTTPFilter: Sendable, Equatable {
    case localRateLimit(LocalRateLimit, name: String)
    case globalRateLimit(GlobalRateLimit, name: String)
    case quota(QuotaFilter)
    case cors(name: String)
    case fault(Fault, name: String)
    case headerMutation(HeaderMutation, name: String)
    case healthCheck(HealthCheckFilter)
    case adaptiveConcurrency(AdaptiveConcurrencyFilter)
    case admissionControl(AdmissionControlFilter)
}

/// envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency
public struct AdaptiveConcurrencyFilter: Sendable, Equatable {
    public var settings: AdaptiveConcurrencySettings
    public var isEnabled = true
    public var runtimeKey = ""
    public var status = 503
    public var mode = PolicyMode.enforce

    public init(_ settings: AdaptiveConcurrencySettings) { self.settings = settings }
}

/// envoy.extensions.filters.http.admission_control.v3.AdmissionControl
public struct AdmissionControlFilter: Sendable, Equatable {
    public var settings = AdmissionControlSettings()
    public var isEnabled = true
    public var runtimeKey = ""
    /// Statuses that are successes, each range without its end.
    public var statuses = [Range<Int>](arrayLiteral: 100..<500)
    /// Bit n: gRPC's status n is a success.
    public var grpcStatuses = Self.standardGRPC
    public var mode = PolicyMode.enforce

    /// What Envoy takes where nothing is said: all but those that tell of an endpoint in trouble (DEADLINE_EXCEEDED,
    /// RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNAVAILABLE, DATA_LOSS).
    public static let standardGRPC: UInt32 = {
        var set: UInt32 = (1 << 17) - 1
        for status: UInt32 in [4, 8, 10, 13, 14, 15] { set &= ~(1 << status) }
        return set
    }()

    public init() {}
}

/// martlet.v1.Policy.TraceContext: what happens to trace headers where no spans are exported.
public struct TraceContextSettings: Sendable, Equatable {
    /// Share of started traces that get the sampled flag.
    public var sampled = Fraction(numerator: 1, denominator: 100)
    public var startsW3C = true
    public var startsB3 = false
    /// Decided beside `sampled`, counted and recorded.
    public var shadowSampled: Fraction?

    public init() {}
}

public struct AccessLog: Sendable, Equatable {
    public enum Destination: Sendable, Equatable {
        case file(String)
        case stdout
        case stderr
    }
    public enum Format: Sendable, Equatable {
        /// Envoy's default line.
        case standard
        /// One line per request; the operator gives the line's end.
        case text(String)
        case json(JSONFormat)
    }

    public var destination: Destination
    public var format = Format.standard
    public var filter: AccessLogFilter?
    /// false: martlet.v1.CountedLog, lines are counted, and not written.
    public var isWritten = true

    public init(destination: Destination) { self.destination = destination }
}

/// `json_format`: keys in the operator's order, values are format strings or constants.
public indirect enum JSONFormat: Sendable, Equatable {
    case object([Member])
    case list([JSONFormat])
    case format(String)
    case number(Double)
    case bool(Bool)
    case null

    public struct Member: Sendable, Equatable {
        public var key: String
        public var value: JSONFormat

        public init(key: String, value: JSONFormat) { (self.key, self.value) = (key, value) }
    }
}

public indirect enum AccessLogFilter: Sendable, Equatable {
    public enum Comparison: Sendable { case equal, greaterOrEqual, lessOrEqual, notEqual }

    case status(Comparison, UInt32)
    /// Milliseconds.
    case duration(Comparison, UInt32)
    case notHealthCheck
    case header(HeaderMatch)
    /// Empty: any flag.
    case responseFlags([String])
    case all([AccessLogFilter])
    case any([AccessLogFilter])
}
