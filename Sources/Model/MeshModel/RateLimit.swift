/// envoy.config.route.v3.RateLimit: makes one descriptor of a request, or none if an action has nothing to say.
public struct RateLimitRule: Sendable, Equatable {
    public enum Action: Sendable, Equatable {
        /// The proxy's own service.
        case sourceCluster
        /// The one that the route has chosen.
        case destinationCluster
        case header(name: String, key: String, skipsIfAbsent: Bool)
        case parameter(name: String, key: String, skipsIfAbsent: Bool)
        /// The caller's, trusted proxies passed over.
        case remoteAddress
        /// Bits of the address that count, at most 32 and 128.
        case maskedRemoteAddress(v4Bits: Int, v6Bits: Int)
        case literal(key: String, value: String)
        case headerMatch(key: String, value: String, isExpected: Bool, [HeaderMatch])
        case parameterMatch(key: String, value: String, isExpected: Bool, [QueryMatch])
        /// A text of the route's metadata; nil: of the request's, which has none.
        case metadata(key: String, path: MetadataPath?, fallback: String, skipsIfAbsent: Bool)
        /// martlet.v1.CallerIdentity: the SPIFFE URI of the caller's certificate.
        case callerIdentity(key: String)
    }

    public var stage: Int
    /// The rule is on for the share of requests that the runtime key `ratelimit.KEY.http_filter_enabled` says.
    public var disableKey: String
    public var actions: [Action]
    /// How much its descriptor counts for; nil: once, or what the service makes of it.
    public var hits: UInt32?

    public init(stage: Int = 0, disableKey: String = "", actions: [Action]) {
        (self.stage, self.disableKey, self.actions) = (stage, disableKey, actions)
    }
}

/// A place in metadata, as one text: the namespace and the keys below it, each with a zero byte behind it.
public struct MetadataPath: Sendable, Hashable {
    public let text: String

    public init(_ keys: [String]) { text = keys.map { $0 + "\0" }.joined() }
}

/// Whether a virtual host's rules count beside those of its routes (`vh_rate_limits`).
public enum HostRateLimits: UInt8, Sendable, BitwiseCopyable {
    /// Only for routes that have none.
    case whereRouteHasNone
    case too
    case never
}

/// envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
public struct LocalRateLimit: Sendable, Equatable {
    /// Requests with just this descriptor have a bucket of their own.
    public struct Descriptor: Sendable, Equatable {
        public struct Entry: Sendable, Equatable {
            public var key: String
            /// Empty: any, and each value has a bucket.
            public var value: String

            public init(key: String, value: String) { (self.key, self.value) = (key, value) }
        }

        public var entries: [Entry]
        public var bucket: TokenBucket

        public init(entries: [Entry], bucket: TokenBucket) { (self.entries, self.bucket) = (entries, bucket) }
    }

    public var statPrefix: String
    /// nil: no limit here (a route may have one).
    public var bucket: TokenBucket?
    public var descriptors: [Descriptor] = []
    /// Requests that have a descriptor's bucket take from `bucket` too.
    public var alwaysTakesCommon = true
    /// Buckets of values that may be any.
    public var openValuesMax = 20
    /// Rules of this stage count.
    public var stage = 0
    public var hostRules = HostRateLimits.whereRouteHasNone
    /// In place of those of route and virtual host, if there are any.
    public var rules: [RateLimitRule] = []
    public var status = 429
    public var enabled = Fraction.none
    public var enforced = Fraction.none
    public var responseHeaders: [HeaderEdit] = []
    public var requestHeadersWhenNotEnforced: [HeaderEdit] = []
    public var sendsRateLimitHeaders = false
    /// Mesh: `retry-after` on the refusal.
    public var sendsRetryAfter = false
    public var isPerConnection = false
    public var asResourceExhausted = false

    public init(statPrefix: String) { self.statPrefix = statPrefix }
}

public struct TokenBucket: Sendable, Equatable {
    public var tokensMax: UInt32
    public var tokensPerFill: UInt32
    public var fillInterval: Duration

    public init(tokensMax: UInt32, tokensPerFill: UInt32, fillInterval: Duration) {
        (self.tokensMax, self.tokensPerFill, self.fillInterval) = (tokensMax, tokensPerFill, fillInterval)
    }
}

/// envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit: how many connections a filter chain takes.
public struct ConnectionRateLimit: Sendable, Equatable {
    public var statPrefix: String
    public var bucket: TokenBucket
    public var isEnabled = true
    public var runtimeKey = ""

    public init(statPrefix: String, bucket: TokenBucket) {
        (self.statPrefix, self.bucket) = (statPrefix, bucket)
    }
}

/// envoy.extensions.filters.http.ratelimit.v3.RateLimit: a service elsewhere decides.
public struct GlobalRateLimit: Sendable, Equatable {
    public enum Requests: UInt8, Sendable, BitwiseCopyable { case all, internalOnes, externalOnes }

    /// Where the service is, as a cluster that speaks HTTP/2.
    public struct Service: Sendable, Equatable {
        public var cluster: String
        /// Empty: the cluster's name.
        public var authority = ""
        public var metadata: [(name: String, value: String)] = []

        public init(cluster: String) { self.cluster = cluster }

        public static func == (left: Self, right: Self) -> Bool {
            left.cluster == right.cluster && left.authority == right.authority
                && left.metadata.elementsEqual(right.metadata, by: ==)
        }
    }

    public var service: Service
    public var domain: String
    public var stage = 0
    public var hostRules = HostRateLimits.whereRouteHasNone
    /// In place of those of route and virtual host, if there are any.
    public var rules: [RateLimitRule] = []
    public var requests = Requests.all
    /// Of one question; nil: as long as the request may take.
    public var timeout: Duration? = .milliseconds(20)
    /// Of the requests that the service does not answer for, those that are refused.
    public var deniedWithoutAnswer = Fraction.none
    public var status = 429
    public var statusOnError = 500
    public var asResourceExhausted = false
    public var sendsRateLimitHeaders = false
    /// `x-envoy-ratelimited` on refusals.
    public var marksRefusals = true
    public var responseHeaders: [HeaderEdit] = []
    public var enabled = Fraction.all
    public var enforced = Fraction.all

    public init(service: Service, domain: String) { (self.service, self.domain) = (service, domain) }
}

/// envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute
public struct GlobalRateLimitOverride: Sendable, Equatable {
    public var hostRules = HostRateLimits.whereRouteHasNone
    public var rules: [RateLimitRule] = []
    /// Empty: the filter's.
    public var domain = ""

    public init() {}
}
