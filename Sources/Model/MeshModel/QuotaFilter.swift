import TrafficPolicy

/// envoy.extensions.filters.http.rate_limit_quota.v3.RateLimitQuotaFilterConfig: shares of a limit that many proxies have
/// together.
public struct QuotaFilter: Sendable, Equatable {
    public indirect enum Predicate: Sendable, Equatable {
        case field(name: String, StringMatch)
        case all([Predicate])
        case any([Predicate])
        case not(Predicate)
    }

    public struct Rule: Sendable, Equatable {
        public var predicate: Predicate
        public var bucket: Bucket

        public init(_ predicate: Predicate, _ bucket: Bucket) {
            (self.predicate, self.bucket) = (predicate, bucket)
        }
    }

    public struct Bucket: Sendable, Equatable {
        public enum Value: Sendable, Equatable {
            case literal(String)
            /// Of this field of the request.
            case field(String)
        }

        /// By key.
        public var id: [String: Value] = [:]
        public var reportInterval = Duration.seconds(1)
        public var status = 429
        public var body: [UInt8] = []
        /// For callers that speak gRPC; nil: what the status stands for.
        public var grpcStatus: Int?
        public var responseHeaders: [HeaderEdit] = []
        public var withoutAssignment = QuotaFallback.allowAll
        public var expired = QuotaFallback.keepLast
        /// nil: until an assignment comes.
        public var expiredFor: Duration?

        public init() {}
    }

    public var service: GlobalRateLimit.Service
    public var domain: String
    /// The first whose predicate holds.
    public var rules: [Rule] = []
    /// For requests that no rule takes; nil: they are not limited.
    public var rest: Bucket?
    public var enabled = Fraction.all
    public var enforced = Fraction.all
    public var requestHeadersWhenNotEnforced: [HeaderEdit] = []
    /// Mesh: `retry-after` on the refusal, where the share tells it.
    public var sendsRetryAfter = false

    public init(service: GlobalRateLimit.Service, domain: String) {
        (self.service, self.domain) = (service, domain)
    }
}
