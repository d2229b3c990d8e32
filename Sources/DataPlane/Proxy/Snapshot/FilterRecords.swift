import MeshPrimitives
import TrafficPolicy

/// A filter before the router, in the operator's order.
struct FilterRecord: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable {
        case rateLimit, globalRateLimit, quota, cors, fault, headerMutation, healthCheck, adaptiveConcurrency,
            admissionControl

        /// Whatever became of the request.
        var editsHeads: Bool {
            switch self {
            case .globalRateLimit, .quota, .cors, .headerMutation, .healthCheck: true
            case .rateLimit, .fault, .adaptiveConcurrency, .admissionControl: false
            }
        }
    }

    var kind: Kind
    /// Index of its settings among those of its kind, for routes that say nothing; -1 for none.
    var settings: Int32 = -1
}

/// envoy.extensions.filters.http.adaptive_concurrency.v3
struct ConcurrencyRecord: BitwiseCopyable {
    var controller: Unowned<AdaptiveConcurrency>
    var status: UInt16
    var isShadow: Bool
}

/// envoy.extensions.filters.http.admission_control.v3
struct AdmissionRecord: BitwiseCopyable {
    /// Of the worker's own state.
    var slot: Int32
    var settings: AdmissionControlSettings
    var statuses: StatusCodeSet
    var grpcStatuses: UInt32
    var isShadow: Bool
}

/// A field of an answer that says when to come back.
struct ResetFieldRecord: BitwiseCopyable {
    var name: ByteView
    var format: ResetField.Format
}

/// What a route's policies in shadow mode say. Times in nanoseconds, 0 for none.
struct ShadowRecord: BitwiseCopyable {
    var retry = RetrySettings.none
    /// Lower case, empty for none.
    var idempotencyHeader = ByteView("")
    var timeout: Int64 = 0
    var perTryTimeout: Int64 = 0
}

/// What a route and its host say together (envoy.extensions.filters.http.cors.v3.CorsPolicy).
struct CORSRecord: BitwiseCopyable {
    var origins = Table<TextMatchRecord>()
    var methods = ByteView("")
    var headers = ByteView("")
    var exposedHeaders = ByteView("")
    var maxAge = ByteView("")
    var allowsCredentials = false
    var enabled = FractionRecord(numerator: 1, denominator: 1)
    /// Of requests that it is not carried out for: those whose origin is judged and counted all the same.
    var shadowEnabled = FractionRecord(numerator: 0, denominator: 1)
    var forwardsOthers = true
}

struct FaultRecord: BitwiseCopyable {
    var active: Unowned<ActiveFaults>
    var isShadow: Bool
    var activeMax = Int.max
    /// Nanoseconds; 0 for none.
    var delay: Int64 = 0
    var readsDelay = false
    var delayShare = FractionRecord(numerator: 0, denominator: 100)
    /// 0 for none.
    var abortStatus: UInt16 = 0
    /// -1 for none.
    var abortGRPC: Int16 = -1
    var readsAbort = false
    var abortShare = FractionRecord(numerator: 0, denominator: 100)
    /// Of answers' bodies, in bytes a second; 0 for any.
    var rate: Int64 = 0
    var readsRate = false
    var rateShare = FractionRecord(numerator: 0, denominator: 100)
    /// Empty for all.
    var cluster = ByteView("")
    var headers = Table<HeaderMatchRecord>()
    var nodes = Table<ByteView>()
}

/// Indices into the snapshot's edit lists; -1 for none.
struct MutationRecord: BitwiseCopyable {
    var requestEdits: Int32 = -1
    var answerEdits: Int32 = -1
}

/// envoy.extensions.filters.http.health_check.v3.HealthCheck
struct HealthFilterRecord: BitwiseCopyable {
    var headers = Table<HeaderMatchRecord>()
    var clusters = Table<HealthFilterCluster>()
    /// Of the proxy's node, told with the answer.
    var nodeCluster = ByteView("")
    /// Requests go on, unless an answer of before is still good.
    var passesThrough = false
    var cache: Unowned<HealthCheckCache>?
}

struct HealthFilterCluster: BitwiseCopyable {
    /// Index into the snapshot's clusters; -1 if there is none.
    var cluster: Int32
    var percentMin: Double
}

struct MirrorRecord: BitwiseCopyable {
    /// Index into the snapshot's clusters; -1 if there is none, or a header names it.
    var cluster: Int32 = -1
    /// Lower case; empty for none.
    var clusterHeader = ByteView("")
    var share: FractionRecord
    var marksHost = true
}

/// Which answers are followed here instead of passed on.
struct InternalRedirectRecord: BitwiseCopyable {
    /// Of one request; 0 for none.
    var most: UInt8 = 0
    /// Bit 0 for 300, and so on.
    var statuses: UInt16 = 0

    func takes(_ status: UInt16) -> Bool {
        status >= 300 && status < 316 && statuses & 1 << (status - 300) != 0
    }
}
