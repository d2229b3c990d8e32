import HTTP1Codec
import HTTPModel
import MeshModel
import MeshPrimitives
import RegularExpressions
import TLSEngine
import Telemetry
import TrafficPolicy

/// One complete configuration, compiled: plain data in one arena, and the few objects that it refers to. Immutable;
/// workers share it, and it goes when the last of them (and of their exchanges) has moved on.
public final class Snapshot: @unchecked Sendable {
    /// What it was compiled from, for `/config_dump`, `/clusters` and `/listeners`.
    public let configuration: Configuration
    public let generation: UInt64

    let arena: Arena
    let listeners: Table<ListenerRecord>
    let clusters: Table<ClusterRecord>
    let edits: Table<EditTable>
    let rateLimits: Table<RateLimitRecord>
    let redirects: Table<RedirectRecord>
    let clusterNames: DomainTable
    let filters: FilterTables
    /// The objects that records name by index.
    let tlsContexts: [TLSContext]
    /// Keeps alive what values of fields are rendered with.
    let formats: [AccessLogFormat]
    /// Keeps alive what routes match with.
    let expressions: [RegularExpression]
    let accessLogs: [AccessLogSink]
    /// Of all access logs and values of fields.
    let logNeeds: LogNeeds
    /// Keeps alive what records refer to.
    let clusterStates: [ProcessCluster]
    let limiters: [RateLimiter]
    let quotas: [QuotaEntry]
    let quotaMakers: [QuotaMaker]
    let breakers: [ServiceBreaker]
    let concurrency: [AdaptiveConcurrency]
    let faults: [ActiveFaults]
    let healthCaches: [HealthCheckCache]
    /// In the order of `clusters`.
    let targets: [ClusterTargets]
    /// What routes say of subsets, by index.
    let criteria: [[String: MetadataValue]]
    let contextKeys: [String: Int32]

    init(
        configuration: Configuration, generation: UInt64, arena: Arena, listeners: Table<ListenerRecord>,
        clusters: Table<ClusterRecord>, edits: Table<EditTable>, rateLimits: Table<RateLimitRecord>,
        redirects: Table<RedirectRecord>, clusterNames: DomainTable, filters: FilterTables,
        objects: SnapshotObjects
    ) {
        self.configuration = configuration
        self.generation = generation
        self.arena = arena
        self.listeners = listeners
        self.clusters = clusters
        self.edits = edits
        self.rateLimits = rateLimits
        self.redirects = redirects
        self.clusterNames = clusterNames
        self.filters = filters
        tlsContexts = objects.tlsContexts
        formats = objects.formats
        expressions = objects.expressions
        accessLogs = objects.accessLogs
        logNeeds = (objects.accessLogs.map(\.format) + objects.formats).reduce(into: []) {
            $0.formUnion($1.needs)
        }
        clusterStates = objects.clusters
        limiters = objects.limiters
        (quotas, quotaMakers) = (objects.quotas, objects.quotaMakers)
        targets = objects.targets
        criteria = objects.criteria
        (breakers, concurrency) = (objects.breakers, objects.concurrency)
        (faults, healthCaches) = (objects.faults, objects.healthCaches)
        contextKeys = objects.contextKeys
    }
}

extension Snapshot {
    /// Index of the listener of that address, else of that port and any address.
    func listener(at wanted: SocketAddress) -> Int? {
        if let exact = listeners.indices.first(where: { listeners[$0].address == wanted }) { return exact }
        return listeners.indices.first { index in
            let address = listeners[index].address
            return address.port == wanted.port && address.family == wanted.family
                && address.high == 0 && address.low == 0
        }
    }

    /// Names a session that can be resumed: one context, one endpoint.
    func tlsKey(_ context: Int32, _ address: SocketAddress, _ name: String) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(ObjectIdentifier(tlsContexts[Int(context)]))
        hasher.combine(address)
        hasher.combine(name)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }
}

/// The tables of a snapshot that requests look at; dead once the snapshot is.
struct SnapshotTables: BitwiseCopyable {
    let clusters: Table<ClusterRecord>
    let rateLimits: Table<RateLimitRecord>
    let clusterNames: DomainTable
    let filters: FilterTables
    let edits: Table<EditTable>

    init(_ snapshot: Snapshot) {
        (clusters, rateLimits, clusterNames) = (
            snapshot.clusters, snapshot.rateLimits, snapshot.clusterNames
        )
        filters = snapshot.filters
        edits = snapshot.edits
    }
}

/// Settings of filters, by kind.
struct FilterTables: BitwiseCopyable {
    var cors = Table<CORSRecord>()
    var faults = Table<FaultRecord>()
    var mutations = Table<MutationRecord>()
    var concurrency = Table<ConcurrencyRecord>()
    var admission = Table<AdmissionRecord>()
    var health = Table<HealthFilterRecord>()
    var globalLimits = Table<GlobalLimitRecord>()
    var quotas = Table<QuotaRecord>()
}

/// Objects collected while a snapshot is compiled.
struct SnapshotObjects {
    var tlsContexts: [TLSContext] = []
    var formats: [AccessLogFormat] = []
    var expressions: [RegularExpression] = []
    var targets: [ClusterTargets] = []
    var criteria: [[String: MetadataValue]] = []
    var contextKeys: [String: Int32] = [:]
    var accessLogs: [AccessLogSink] = []
    var clusters: [ProcessCluster] = []
    var limiters: [RateLimiter] = []
    var quotas: [QuotaEntry] = []
    var quotaMakers: [QuotaMaker] = []
    var breakers: [ServiceBreaker] = []
    var concurrency: [AdaptiveConcurrency] = []
    var faults: [ActiveFaults] = []
    var healthCaches: [HealthCheckCache] = []
}

struct ListenerRecord: BitwiseCopyable {
    var name: ByteView
    var address: SocketAddress
    /// Of all that makes a connection of this listener what it is.
    var fingerprint: UInt64
    var inspectsTLS: Bool
    var needsInspection: Bool
    /// Where a connection was going before it was redirected here counts as its local address, and with `handsOff` the
    /// listener of that address takes it.
    var readsOriginal = false
    var handsOff = false
    /// false: connections come by other listeners only.
    var isBound = true
    var chains: Table<ChainRecord>
    /// In `chains`; -1 if there is none.
    var defaultChain: Int32
    var scope: ListenerScope
}

struct ChainMatchRecord: BitwiseCopyable {
    enum Transport: UInt8, BitwiseCopyable { case any, tls, plain }

    var destinationPort: UInt16 = 0
    var transport = Transport.any
    var destinations = Table<RangeRecord>()
    var sources = Table<RangeRecord>()
    /// Lower case; a suffix begins with ".".
    var serverNames = Table<ByteView>()
    var protocols = Table<ByteView>()
}

struct RangeRecord: BitwiseCopyable {
    var address: SocketAddress
    var prefixLength: Int32

    func contains(_ other: SocketAddress) -> Bool {
        guard other.family == address.family else { return false }
        let bits = Int(prefixLength)
        if address.family == .ipv4 {
            return bits == 0 || (address.low ^ other.low) >> UInt64(32 - min(bits, 32)) == 0
        }
        let highBits = min(bits, 64)
        let lowBits = max(bits - 64, 0)
        return (highBits == 0 || (address.high ^ other.high) >> UInt64(64 - highBits) == 0)
            && (lowBits == 0 || (address.low ^ other.low) >> UInt64(64 - min(lowBits, 64)) == 0)
    }
}

struct ChainRecord: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable { case http, tcp }

    var match = ChainMatchRecord()
    var kind = Kind.http
    /// Index of the TLS context; -1 for plain text.
    var tls: Int32 = -1
    /// A policy in shadow mode would refuse plain text.
    var isRefusedInShadow = false
    var http: HTTPChainRecord
    var tcp = TCPChainRecord()
    var connectionLimits = Table<ConnectionLimitRecord>()
    var bufferLimit: Int32 = 1 << 20
}

struct TCPChainRecord: BitwiseCopyable {
    var clusters = Table<WeightedClusterRecord>()
    /// Nanoseconds; 0 for none.
    var idleTimeout: Int64 = 0
    var connectAttemptsMax: Int32 = 1
    /// Nanoseconds; 0 for none.
    var durationMax: Int64 = 0
    var hashesSourceAddress = false
    var logs = Table<Int32>()
    /// Of every chain that ends in `tcp_proxy`.
    var scope: TCPScope?
}

/// A connection manager. Times in nanoseconds, 0 for none.
struct HTTPChainRecord: BitwiseCopyable {
    var codec = HTTPConnectionManager.Codec.auto
    var routes = RouteTable()
    var filters = Table<FilterRecord>()
    /// Some of the filters change heads.
    var filtersEdit = false
    var logs = Table<Int32>()
    /// Fields of answers that they show.
    var loggedAnswerNames = Table<ByteView>()
    var serverName = ByteView("envoy")
    var serverHeader = HTTPConnectionManager.ServerHeader.overwrite
    var via = ByteView("")
    var usesRemoteAddress = false
    var skipsXFFAppend = false
    /// What `x-forwarded-for` says of a peer on this host; nil: that peer's own address.
    var ownAddress: SocketAddress?
    var trustedHops: UInt32 = 0
    var appendsForwardedPort = false
    var believesForwardedFor = true
    /// Something is said of every request's caller.
    var settlesCaller = false
    var suppressesEnvoyHeaders = false
    var internalRanges = Table<RangeRecord>()
    var generatesRequestID = true
    var preservesExternalRequestID = false
    var setsRequestIDInResponse = false
    var forwardClientCertificate = HTTPConnectionManager.ForwardClientCertificate.sanitize
    var certificateSubject = false
    var certificateWhole = false
    var certificateURI = false
    var certificateDNS = false
    var proxies100Continue = false
    var limits = HTTP1Limits()
    var defaultHostForHTTP10 = ByteView("")
    var enablesTrailers = false
    /// Names of requests go on as they came.
    var keepsRequestNames = false
    /// Of answers whose cluster says nothing of it.
    var answerNames = NameCase.lower
    var http2MaxStreams: UInt32 = 100
    var http2AllowsConnect = false
    var keepalive = KeepaliveRecord()
    var http2StreamWindow: Int32 = 1 << 16
    var http2ConnectionWindow: Int32 = 1 << 20
    /// Protocols that may be upgraded to, lower case.
    var upgrades = Table<ByteView>()
    var ignoresUnknownUpgrades = false
    var stripsAnyPort = false
    var paths = PathNormalization()
    /// There is something to be changed of every head before it is looked at.
    var normalizesHeads = false
    var underscores = UnderscoreAction.allow
    var sendsProxyStatus = false
    /// The `martlet.policy` filter is there: the configuration is a mesh's.
    var isMesh = false
    var trustsLocalControls = false
    var respectsExpectedTimeout = false
    var idleTimeout: Int64 = 0
    var streamIdleTimeout: Int64 = 0
    var requestTimeout: Int64 = 0
    var requestHeadersTimeout: Int64 = 0
    var maxConnectionDuration: Int64 = 0
    var maxStreamDuration: Int64 = 0
    var maxRequests: Int32 = 0
    /// Between the news that a connection ends and its end.
    var drainTimeout: Int64 = 0
    /// For the peer's FIN once everything is written; 0: nobody waits for it.
    var delayedClose: Int64 = 0
    /// Of the snapshot; with the names below for the flight recorder.
    var generation: UInt32 = 0
    var name = NameID.none
    /// There is a `tracing` block; `tracing` has one entry then.
    var hasTracing = false
    var spawnsUpstreamSpan = false
    var decoration = Decoration.none
    var tracing = Table<TracingRecord>()
    var hasTraceContext = false
    var traceContext = TraceSettings.off
    /// What a policy in shadow mode says of traces that begin here.
    var shadowSampling: FractionRecord?
    var scope: HTTPScope
    /// What an exchange refers to before it has a route.
    let noRoute: Reference<RouteRecord>
}

struct ClusterRecord: BitwiseCopyable {
    var name: ByteView
    /// Names the worker's state of this cluster, whatever snapshot it is in.
    var slot: Int32
    var process: Unowned<ProcessCluster>
    var endpoints: Table<EndpointRecord>
    var policy = LoadBalancingPolicy.roundRobin
    /// Hashing, subsets, zones, latency or slow start: a choice is more than a turn.
    var looksAtRequest = false
    /// What a policy in shadow mode says.
    var shadowPolicy: LoadBalancingPolicy?
    /// Nanoseconds.
    var connectTimeout: Int64
    var idleTimeout: Int64
    var maxConnectionDuration: Int64 = 0
    var maxRequests: Int32 = 0
    var upstreamProtocol = UpstreamProtocol.http1
    var enablesTrailers = false
    /// On one connection.
    var http2StreamsMax = Int32.max
    var http2StreamWindow: Int32
    var http2ConnectionWindow: Int32
    var setsSNIFromHost = false
    var validatesSANFromHost = false
    /// Of requests to its endpoints over HTTP/1.1, and of their answers.
    var requestNames = NameCase.lower
    var keepsAnswerNames = false
    /// Endpoints are checked: their answers may say that they are to be left out.
    var isChecked = false
    var original = OriginalDestinationRecord()
    var breaker: Unowned<ServiceBreaker>?
    var shadowBreaker: Unowned<ServiceBreaker>?
    /// There is a breaker in either mode.
    var hasBreaker = false
    var hasShadowLimits = false
    /// Bounds that are only watched; `Int.max` for none.
    var shadowConnectionsMax = Int.max
    var shadowPendingMax = Int.max
    var shadowRequestsMax = Int.max
    var shadowRetriesMax = Int.max
    var keepalive = KeepaliveRecord()
    /// Its endpoints are only asked for their health yet.
    var isWarming = false
    /// Of requests, refused for the sake of the service.
    var dropShare = FractionRecord(numerator: 0, denominator: 100)
    /// Of the process, to one endpoint; 0 for no bound.
    var perHostConnectionsMax: Int32 = 0

    /// Requests to different host names share no connections.
    var hasNamedHosts: Bool { setsSNIFromHost || validatesSANFromHost }

    enum UpstreamProtocol: UInt8, BitwiseCopyable { case http1, http2, auto, sameAsDownstream }
}

/// What makes a cluster's endpoints of requests' own destinations.
struct OriginalDestinationRecord: BitwiseCopyable {
    var isUsed = false
    /// Lower case; empty: where the connection was going.
    var header = ByteView("")
    /// 0: none.
    var port: UInt16 = 0
    /// Nanoseconds.
    var cleanupInterval: Int64 = 0
    /// Of all endpoints.
    var tls: Int32 = -1
    var sni = ByteView("")
}

struct EndpointRecord: BitwiseCopyable {
    var address: SocketAddress
    var hostname: ByteView
    var weight: UInt32
    var priority: UInt32
    /// Index of the TLS context; -1 for plain text.
    var tls: Int32
    var sni: ByteView
    /// "host:port", for logs.
    var text: ByteView
}

/// Changes of fields, level after level: what one level looks at is what those before it have left.
struct EditTable: BitwiseCopyable {
    var records = Table<EditRecord>()
    /// A value asks for a field of the request.
    var readsRequest = false
    /// Literals that are added, whatever is there: no level looks at another.
    var isPlain = false
}

/// One change of a field. The value is a literal, or rendered. Within a level removals come
/// first.
struct EditRecord: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable {
        case append, addIfAbsent, overwrite, overwriteIfExists, remove, removeMatching
    }

    var kind: Kind
    var level: Int32
    var name: ByteView
    var known: FieldName
    /// Of names, for `removeMatching`.
    var nameMatch = TextMatchRecord()
    var value = ByteView("")
    var format: HeaderValueFormat?
    var keepsEmpty = false

    /// Its literal is empty, and so it says nothing.
    var isOmitted: Bool { format == nil && value.isEmpty && !keepsEmpty }
}

/// Where to; what becomes of the path stands in the route.
struct RedirectRecord: BitwiseCopyable {
    var scheme = ByteView("")
    var host = ByteView("")
    var port: UInt16 = 0
    /// In place of the path; empty for none.
    var path = ByteView("")
    var stripsQuery = false
    /// The host goes with its port, whatever that is.
    var keepsPort = false
}

struct FractionRecord: BitwiseCopyable {
    var numerator: UInt32
    var denominator: UInt32

    func contains(_ random: inout SeededRandom) -> Bool {
        numerator >= denominator || (numerator > 0 && random.below(UInt64(denominator)) < UInt64(numerator))
    }
}
