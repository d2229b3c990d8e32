/// An entry of `typed_per_filter_config`.
public struct RouteFilter: Sendable, Equatable {
    public enum Settings: Sendable, Equatable {
        case cors(CORSPolicy)
        case fault(Fault)
        case headerMutation(HeaderMutation)
        case localRateLimit(LocalRateLimit)
        case globalRateLimit(GlobalRateLimitOverride)
    }

    /// Of the filter in the connection manager.
    public var name: String
    public var settings: Settings

    public init(name: String, settings: Settings) { (self.name, self.settings) = (name, settings) }
}

/// envoy.extensions.filters.http.cors.v3.CorsPolicy. What is nil or empty is looked for in the virtual host's.
public struct CORSPolicy: Sendable, Equatable {
    public var origins: [StringMatch] = []
    public var methods = ""
    public var headers = ""
    public var exposedHeaders = ""
    public var maxAge = ""
    public var allowsCredentials: Bool?
    public var enabled: Fraction?
    public var shadowEnabled: Fraction?
    /// Preflight requests from elsewhere go upstream.
    public var forwardsOthers: Bool?

    public init() {}
}

/// envoy.extensions.filters.http.fault.v3.HTTPFault
public struct Fault: Sendable, Equatable {
    public enum Delay: Sendable, Equatable {
        case fixed(Duration)
        /// `x-envoy-fault-delay-request` says how many milliseconds.
        case header
    }
    public enum Abort: Sendable, Equatable {
        case http(Int)
        case grpc(Int)
        /// `x-envoy-fault-abort-request`, or `x-envoy-fault-abort-grpc-request`, says with which status.
        case header
    }

    public enum Rate: Sendable, Equatable {
        /// KiB a second, at most 2^30.
        case fixed(Int)
        /// `x-envoy-fault-throughput-response` says how many KiB a second.
        case header
    }

    public var delay: Delay?
    public var delayShare = Fraction.none
    public var abort: Abort?
    public var abortShare = Fraction.none
    /// Of the body of an endpoint's answer.
    public var rate: Rate?
    public var rateShare = Fraction.none
    /// Requests with a fault at once, of the connection managers of one `stat_prefix`; nil: any.
    public var activeMax: UInt32?
    /// Only requests to this cluster; empty for all.
    public var cluster = ""
    public var headers: [HeaderMatch] = []
    /// Only requests whose `x-envoy-downstream-service-node` is one of these; empty for all.
    public var nodes: [String] = []
    /// Mesh: drawn, counted and recorded, and nothing fails.
    public var isShadow = false

    public init() {}
}

/// envoy.extensions.filters.http.header_mutation.v3: changes that are made one after the other.
public struct HeaderMutation: Sendable, Equatable {
    public var request: [HeaderEdit] = []
    public var response: [HeaderEdit] = []
    public var mostSpecificWins = false

    public init() {}
}
