import MeshPrimitives
import TrafficPolicy

/// envoy.config.route.v3.RouteConfiguration
public struct RouteConfiguration: Sendable, Equatable {
    public var name: String
    public var virtualHosts: [VirtualHost]
    public var requestHeaders: [HeaderEdit] = []
    public var responseHeaders: [HeaderEdit] = []
    public var mostSpecificHeaderMutationsWin = false
    public var ignoresPortInHost = false

    public init(name: String, virtualHosts: [VirtualHost]) {
        (self.name, self.virtualHosts) = (name, virtualHosts)
    }
}

public struct VirtualHost: Sendable, Equatable {
    public var name: String
    /// Exact names (with or without port), `*.suffix`, `prefix.*`, `*`; lower case.
    public var domains: [String]
    public var routes: [Route]
    public var requestHeaders: [HeaderEdit] = []
    public var responseHeaders: [HeaderEdit] = []
    @Rare public var retryPolicy: RetryPolicy? = nil
    public var includesAttemptCountInRequest = false
    public var includesAttemptCountInResponse = false
    /// Bytes of a request's body that are kept to repeat it; nil: the listener's limit.
    @Rare public var bufferLimit: Int? = nil
    /// Of its routes too, as they say.
    @Rare public var rateLimits: [RateLimitRule]? = nil
    public var filters: [RouteFilter] = []
    /// For routes that say nothing of it.
    public var hedges = false
    /// For routes that name no mirrors of their own.
    public var mirrors: [Mirror] = []
    /// Requests that did not come over TLS are redirected (`require_tls: ALL`).
    public var requiresTLS = false

    public init(name: String, domains: [String], routes: [Route]) {
        (self.name, self.domains, self.routes) = (name, domains, routes)
    }
}

public struct Route: Sendable, Equatable {
    public enum Action: Sendable, Equatable {
        case forward(Forward)
        case redirect(Redirect)
        case direct(status: Int, body: [UInt8])
    }

    public var name: String
    public var match: RouteMatch
    public var action: Action
    public var requestHeaders: [HeaderEdit] = []
    public var responseHeaders: [HeaderEdit] = []
    public var filters: [RouteFilter] = []
    /// nil: as the connection manager says.
    @Rare public var tracing: RouteTracing? = nil
    /// What its spans are called (`decorator`); empty for none.
    public var operation = ""
    /// The proxy on the other side is told.
    public var propagatesOperation = true
    /// The texts of its `metadata`.
    public var metadata: [MetadataPath: String] = [:]

    public init(name: String = "", match: RouteMatch, action: Action) {
        (self.name, self.match, self.action) = (name, match, action)
    }
}

public struct RouteMatch: Sendable, Equatable {
    public enum Path: Sendable, Equatable {
        case prefix(String)
        case exact(String)
        /// `path_separated_prefix`: the prefix itself, or followed by `/`.
        case separatedPrefix(String)
        /// The whole path, in RE2's syntax.
        case regex(String)
        case connect

        /// What a route without a name is called.
        public var text: String {
            switch self {
            case .prefix(let text): "prefix \(text)"
            case .exact(let text): "path \(text)"
            case .separatedPrefix(let text): "path or prefix \(text)/"
            case .regex(let text): "regex \(text)"
            case .connect: "CONNECT"
            }
        }
    }

    public var path: Path
    public var isCaseSensitive = true
    public var headers: [HeaderMatch] = []
    public var query: [QueryMatch] = []
    public var isGRPC = false
    @Rare public var fraction: Fraction? = nil

    public init(path: Path) { self.path = path }
}

public struct StringMatch: Sendable, Equatable {
    public enum Pattern: Sendable, Equatable {
        case exact(String)
        case prefix(String)
        case suffix(String)
        case contains(String)
        /// The whole value, in RE2's syntax.
        case regex(String)
    }

    public var pattern: Pattern
    public var ignoresCase: Bool

    public init(_ pattern: Pattern, ignoresCase: Bool = false) {
        (self.pattern, self.ignoresCase) = (pattern, ignoresCase)
    }
}

public struct HeaderMatch: Sendable, Equatable {
    public enum Test: Sendable, Equatable {
        case present(Bool)
        case string(StringMatch)
        /// A decimal number in `start ..< end`.
        case range(start: Int64, end: Int64)
    }

    /// Lower case; `:method`, `:path`, `:authority` name those.
    public var name: String
    public var test: Test
    public var isInverted = false
    public var treatsMissingAsEmpty = false

    public init(name: String, test: Test) { (self.name, self.test) = (name, test) }
}

public struct QueryMatch: Sendable, Equatable {
    public enum Test: Sendable, Equatable {
        case present(Bool)
        case string(StringMatch)
    }

    public var name: String
    public var test: Test

    public init(name: String, test: Test) { (self.name, self.test) = (name, test) }
}

public struct WeightedCluster: Sendable, Equatable {
    public var cluster: String
    public var weight: UInt32
    public var requestHeaders: [HeaderEdit] = []
    public var responseHeaders: [HeaderEdit] = []
    /// Besides the route's; these win.
    public var subset: [String: MetadataValue] = [:]
    /// Before the route's.
    public var filters: [RouteFilter] = []

    public init(cluster: String, weight: UInt32 = 1) { (self.cluster, self.weight) = (cluster, weight) }
}

/// envoy.config.route.v3.RouteAction. A nil duration is no limit unless said otherwise.
public struct Forward: Sendable, Equatable {
    public enum Target: Sendable, Equatable {
        /// One or more; the sum of the weights is above zero.
        case clusters([WeightedCluster])
        /// The request's header of this name says which.
        case header(String)
    }
    public enum HostRewrite: Sendable, Equatable {
        case literal(String)
        case header(String)
        case automatic
        case pathRegex(pattern: String, substitution: String)
    }
    public enum PathRewrite: Sendable, Equatable {
        case prefix(String)
        case regex(pattern: String, substitution: String)
    }
    public enum Priority: UInt8, Sendable { case normal, high }

    public var target: Target
    public var clusterNotFoundStatus = 503
    @Rare public var pathRewrite: PathRewrite? = nil
    @Rare public var hostRewrite: HostRewrite? = nil
    public var appendsForwardedHost = false
    public var timeout: Duration? = .seconds(15)
    /// nil: the connection manager's stream idle time-out; `.zero`: none.
    @Rare public var idleTimeout: Duration? = nil
    @Rare public var maxStreamDuration: Duration? = nil
    /// What `grpc-timeout` may ask for, in place of `maxStreamDuration`; `.zero`: anything; nil: it is not looked at.
    @Rare public var grpcTimeoutMax: Duration? = nil
    /// Taken off what `grpc-timeout` asks for.
    public var grpcTimeoutOffset: Duration = .zero
    @Rare public var retryPolicy: RetryPolicy? = nil
    /// `hedge_on_per_try_timeout`: a try that passes its time-out goes on, and another one joins it; nil: as the virtual
    /// host says.
    public var hedges: Bool?
    public var priority = Priority.normal
    /// Protocols by name, lower case: whether this route takes an upgrade to them, whatever the connection manager says.
    public var upgrades: [String: Bool] = [:]
    /// A CONNECT ends here: its bytes go to the endpoint as they are (`connect_config`).
    public var endsConnect = false
    public var mirrors: [Mirror] = []
    @Rare public var internalRedirects: InternalRedirects? = nil
    @Rare public var rateLimits: [RateLimitRule]? = nil
    /// The virtual host's count too, whatever the filter says (`include_vh_rate_limits`).
    public var includesHostRateLimits = false
    public var hashing: [HashPolicy] = []
    /// `metadata_match` of `envoy.lb`: which endpoints of a cluster that has subsets.
    public var subset: [String: MetadataValue] = [:]
    /// martlet.v1.Route: the remaining time is passed on, and work whose deadline has passed is refused.
    public var propagatesDeadline = false
    /// martlet.v1.Route: what policies in shadow mode say.
    @Rare public var shadowRetryPolicy: RetryPolicy? = nil
    @Rare public var shadowTimeout: Duration? = nil
    @Rare public var shadowPerTryTimeout: Duration? = nil

    public init(target: Target) { self.target = target }
}

/// envoy.config.route.v3.RouteAction.RequestMirrorPolicy: requests are copied there, and the answers thrown away.
public struct Mirror: Sendable, Equatable {
    public enum Target: Sendable, Equatable {
        case cluster(String)
        /// The request's header of this name says which; lower case.
        case header(String)
    }

    public var target: Target
    public var share = Fraction.all
    /// The copy's host ends in `-shadow`.
    public var marksHost = true

    public init(target: Target) { self.target = target }
}

/// envoy.config.route.v3.InternalRedirectPolicy: an answer of these statuses whose `Location` names a route of ours is
/// followed here.
public struct InternalRedirects: Sendable, Equatable {
    /// Of one request.
    public var most = 1
    /// Of 301, 302, 303, 307 and 308.
    public var statuses: [Int] = [302]

    public init() {}
}

public struct Redirect: Sendable, Equatable {
    public enum Path: Sendable, Equatable {
        /// Path, with a query of its own if it has one.
        case replace(String)
        case prefix(String)
        case regex(pattern: String, substitution: String)
    }

    public var scheme: String?
    public var host: String?
    public var port: UInt16?
    public var path: Path?
    public var stripsQuery = false
    public var status = 301

    public init() {}
}

/// envoy.config.route.v3.RetryPolicy and what martlet.v1.Route adds to it.
public struct RetryPolicy: Sendable, Equatable {
    public enum Methods: Sendable { case any, idempotent, safe }

    /// Words of `retry_on`, lower case, all known. May be empty (then only `provablySafe` acts).
    public var retryOn: [String]
    public var attempts: Int = 1
    public var perTryTimeout: Duration?
    public var backoffMin: Duration = .milliseconds(25)
    public var backoffMax: Duration = .milliseconds(250)
    /// Nothing came of the answer for so long.
    public var perTryIdleTimeout: Duration?
    public var retriableStatusCodes: [Int] = []
    /// Of answers; for `retriable-headers`.
    public var retriableHeaders: [HeaderMatch] = []
    /// Of requests: where there are some, one of them must match for anything to be repeated.
    public var retriableRequestHeaders: [HeaderMatch] = []
    /// Fields of an answer that say when to come back, in order (`rate_limited_retry_back_off`).
    public var resetHeaders: [ResetHeader] = []
    /// A longer wait that a reset header asks for is not looked at.
    public var rateLimitedBackoffMax: Duration = .seconds(300)
    /// `envoy.retry_host_predicates.previous_hosts`
    public var avoidsPreviousHosts = false
    /// `envoy.retry_host_predicates.omit_canary_hosts`
    public var avoidsCanaries = false
    /// `envoy.retry_host_predicates.omit_host_metadata`: endpoints whose metadata of `envoy.lb` have all of these.
    public var omittedMetadata: [String: MetadataValue] = [:]
    /// `envoy.retry_priorities.previous_priorities`: after so many attempts their priorities are passed over.
    public var prioritiesUpdateFrequency: Int?
    public var hostSelectionAttempts = 1
    /// Which methods `retryOn` may repeat. Envoy: any.
    public var methods = Methods.any
    /// Martlet's default: repeats what provably was not processed (RESOURCES.md), whatever `retryOn` says.
    public var provablySafe = false
    /// A request with this header counts as idempotent; lower case.
    public var idempotencyHeader: String?

    public struct ResetHeader: Sendable, Equatable {
        /// Lower case.
        public var name: String
        public var format: ResetField.Format

        public init(name: String, format: ResetField.Format) { (self.name, self.format) = (name, format) }
    }

    public init(retryOn: [String]) { self.retryOn = retryOn }
}

/// One change of header fields, in the order in which it is applied.
public enum HeaderEdit: Sendable, Equatable {
    public enum AppendAction: Sendable { case appendOrAdd, addIfAbsent, overwriteOrAdd, overwriteIfExists }

    /// The value is a format string (`%REQ(x)%`, …).
    case set(name: String, value: String, action: AppendAction, keepsEmpty: Bool)
    case remove(name: String)
    /// Every field whose name, in lower case, matches.
    case removeMatching(StringMatch)
}
