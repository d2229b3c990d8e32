import MeshPrimitives
import Telemetry

/// envoy.extensions.filters.http.rate_limit_quota.v3
struct QuotaRecord: BitwiseCopyable {
    var scope: QuotaScope
    var rules = Table<QuotaRuleRecord>()
    var buckets = Table<QuotaBucketRecord>()
    /// In `buckets`; -1: requests that no rule takes are not limited.
    var rest: Int32 = -1
    /// Filters before it change fields that it asks for.
    var readsEdits: Bool
    var sendsRetryAfter: Bool
    var enabled: FractionRecord
    var enforced: FractionRecord
    var requestEdits: Int32
}

struct QuotaRuleRecord: BitwiseCopyable {
    /// In postfix order.
    var steps: Table<QuotaStepRecord>
    /// In the filter's buckets.
    var bucket: Int32
}

/// A step of a predicate: puts a truth on a stack, or joins those on top of it.
struct QuotaStepRecord: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable { case test, all, any, not }

    var kind: Kind
    var field = QuotaFieldRecord()
    var text = TextMatchRecord()
    /// How many `all` and `any` join.
    var count: UInt8 = 0
}

struct QuotaFieldRecord: BitwiseCopyable {
    var name = ByteView("")
    var subject = HeaderMatchRecord.Subject.field
}

struct QuotaBucketRecord: BitwiseCopyable {
    /// The bucket; of open values the one that is shared where there is no room for another.
    var entry: Unowned<QuotaEntry>
    var maker: Unowned<QuotaMaker>?
    /// Whose values are part of the id.
    var fields = Table<QuotaFieldRecord>()
    var secret: UInt64
    var status: UInt16
    var body: ByteView
    /// -1: what the status stands for.
    var grpcStatus: Int16
    var answerEdits: Int32
}
