import HTTPModel
import MeshModel
import MeshPrimitives
import Telemetry

/// envoy.extensions.filters.http.local_ratelimit.v3
struct RateLimitRecord: BitwiseCopyable {
    /// For the flight recorder.
    var place: NameID
    var limiter: Unowned<RateLimiter>
    var scope: RateLimitScope
    /// Only then rules are looked at.
    var hasDescriptors: Bool
    var isPerConnection: Bool
    var stage: UInt8
    var hostRules: HostRateLimits
    /// The filter's own; with any, route and virtual host are not asked.
    var rules = Table<RateLimitRuleRecord>()
    var status: UInt16
    var enabled: FractionRecord
    var enforced: FractionRecord
    var answerEdits: Int32
    var requestEdits: Int32
    var sendsHeaders: Bool
    var sendsRetryAfter: Bool
    var asResourceExhausted: Bool
}

/// envoy.extensions.filters.network.local_ratelimit.v3
struct ConnectionLimitRecord: BitwiseCopyable {
    var limiter: Unowned<RateLimiter>
    var scope: ConnectionLimitScope
}

/// What makes one descriptor of a request.
struct RateLimitRuleRecord: BitwiseCopyable {
    var stage: UInt8
    /// Local limits leave a rule out that could be switched off, as Envoy's do.
    var hasDisableKey: Bool
    var enabled: FractionRecord
    /// What its descriptor counts for; -1: nothing is said.
    var hits: Int64
    var actions: Table<RateLimitActionRecord>
}

struct RateLimitActionRecord: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable {
        /// `value`, always.
        case literal
        /// The field or pseudo-field `name`.
        case header
        case parameter
        case remoteAddress, maskedRemoteAddress
        /// `value`, if the request matches.
        case headerMatch, parameterMatch
        case destinationCluster
        case callerIdentity
        /// What the route's metadata have at the place `name`, else `value`.
        case metadata
    }

    var kind: Kind
    /// The process's number of it, and its text.
    var key: UInt32
    var keyText: ByteView
    var name = ByteView("")
    var subject = HeaderMatchRecord.Subject.field
    var value = ByteView("")
    var headers = Table<HeaderMatchRecord>()
    var parameters = Table<QueryMatchRecord>()
    var isExpected = true
    var skipsIfAbsent = false
    var v4Bits: UInt8 = 32
    var v6Bits: UInt8 = 128
}

/// A text of a route's metadata, at a place as `MetadataPath` has it.
struct MetadataRecord: BitwiseCopyable {
    var place: ByteView
    var value: ByteView
}

/// envoy.extensions.filters.http.ratelimit.v3
struct GlobalLimitRecord: BitwiseCopyable {
    /// Index into the snapshot's clusters of the service's; -1 if there is none.
    var service: Int32
    /// The head of a question, in HTTP/1.1's form.
    var head: ByteView
    var domain: ByteView
    var stage: UInt8
    var hostRules: HostRateLimits
    var rules = Table<RateLimitRuleRecord>()
    var requests: GlobalRateLimit.Requests
    /// Nanoseconds; 0 for none.
    var timeout: Int64
    var deniedWithoutAnswer: FractionRecord
    var status: UInt16
    var statusOnError: UInt16
    var asResourceExhausted: Bool
    var sendsHeaders: Bool
    var marksRefusals: Bool
    /// Of refusals.
    var answerEdits: Int32
    var enabled: FractionRecord
    var enforced: FractionRecord
}
