import ConfigCompiler
import MeshPrimitives
import TrafficPolicy
import XDSMessages

/// Who has which share of which mesh-wide limit: what sidecars report goes in, what they are to be told comes out. A
/// value, without clock and sockets.
///
/// Each bucket has an allocator of its own. A sidecar is a member of a bucket from its first report; it is told its share
/// at once, and again whenever that changes by more than a hundredth or half of its time is over. One that goes keeps its
/// share until that has expired, since it may be using it still; then the others have it.
struct QuotaLedger {
    typealias Reports = Envoy_Service_RateLimitQuota_V3_RateLimitQuotaUsageReports
    typealias Response = Envoy_Service_RateLimitQuota_V3_RateLimitQuotaResponse
    typealias StreamID = UInt64

    /// Of one service: callers make buckets where a key is open. Beyond that the service's own fallback holds for them.
    static let bucketsMax = 10_000
    /// Nanoseconds for which a share holds. Envoy reports every 5 s, whatever it is asked for: that is no silence.
    static let lifetime = 10 * Nanoseconds.perSecond

    private struct BucketID: Hashable {
        let domain: String
        let values: [String: String]

        var message: Envoy_Service_RateLimitQuota_V3_BucketId { .with { $0.bucket = values } }
    }

    private struct Told {
        var perSecond: Double
        var at: MonotonicInstant
    }

    private struct Bucket {
        var allocator: QuotaAllocator
        /// By member.
        var told: [String: Told] = [:]
    }

    private struct LimitID: Hashable {
        let scope: String
        let name: String
    }

    /// Requests a second, by domain.
    private var limits: [String: [LimitID: Double]] = [:]
    private var buckets: [BucketID: Bucket] = [:]
    private var bucketCounts: [String: Int] = [:]
    private var names: [StreamID: String] = [:]
    /// A member that comes back before its old stream has ended is the same member.
    private var streams: [String: StreamID] = [:]
    /// Reports of buckets that there was no room for.
    private(set) var refusedCount = 0

    init() {}

    var bucketCount: Int { buckets.count }
    var memberCount: Int { streams.count }

    // MARK: Limits

    /// `limits` by domain. Answers what members of buckets must hear that are limited no more.
    mutating func setLimits(_ limits: [String: [QuotaLimit]]) -> [StreamID: Response] {
        self.limits = limits.mapValues { list in
            Dictionary(
                list.map { (LimitID(scope: $0.scope, name: $0.name), $0.perSecond) },
                uniquingKeysWith: { first, _ in first })
        }
        var responses: [StreamID: Response] = [:]
        for (id, bucket) in buckets {
            if let limit = limit(of: id) {
                buckets[id]?.allocator.settings.limit = limit
                continue
            }
            for name in bucket.told.keys {
                guard let stream = streams[name] else { continue }
                responses[stream, default: Response()].bucketAction.append(Self.abandon(id))
            }
            remove(id)
        }
        return responses
    }

    private func limit(of id: BucketID) -> Double? {
        guard let scope = id.values[QuotaLimit.scopeKey], let name = id.values[QuotaLimit.limitKey] else {
            return nil
        }
        return limits[id.domain]?[LimitID(scope: scope, name: name)]
    }

    private mutating func remove(_ id: BucketID) {
        buckets[id] = nil
        bucketCounts[id.domain, default: 1] -= 1
    }

    // MARK: Members

    /// `name` tells one sidecar from the others, and is the same when it comes back.
    mutating func joined(_ name: String, on stream: StreamID) {
        names[stream] = name
        streams[name] = stream
    }

    /// Its shares go back to the others once they have expired.
    mutating func left(_ stream: StreamID) {
        guard let name = names.removeValue(forKey: stream), streams[name] == stream else { return }
        streams[name] = nil
        for id in buckets.keys {
            guard buckets[id]?.told.removeValue(forKey: name) != nil else { continue }
            buckets[id]?.allocator.left(name)
        }
    }

    /// Answers the first share of every bucket that the sidecar has not spoken of before, or that nothing limits it.
    mutating func received(
        _ reports: Reports, domain: String, on stream: StreamID, at now: MonotonicInstant
    ) -> Response? {
        guard let name = names[stream] else { return nil }
        var response = Response()
        for usage in reports.bucketQuotaUsages {
            let id = BucketID(domain: domain, values: usage.bucketID.bucket)
            guard let limit = limit(of: id), makeRoom(id, limit) else {
                response.bucketAction.append(Self.abandon(id))
                continue
            }
            let length = usage.timeElapsed
            let used = QuotaUsage(
                allowed: usage.numRequestsAllowed, denied: usage.numRequestsDenied,
                elapsed: max(0, length.seconds.clamped) * Nanoseconds.perSecond + max(0, Int64(length.nanos)))
            buckets[id]?.allocator.reported(name, used, at: now)
            guard buckets[id]?.told[name] == nil else { continue }
            for (member, assignment) in buckets[id]?.allocator.allocate(at: now) ?? [] where member == name {
                buckets[id]?.told[name] = Told(perSecond: assignment.perSecond, at: now)
                response.bucketAction.append(Self.action(id, assignment))
            }
        }
        return response.bucketAction.isEmpty ? nil : response
    }

    /// false if there is no room for another bucket.
    private mutating func makeRoom(_ id: BucketID, _ limit: Double) -> Bool {
        if buckets[id] != nil { return true }
        guard bucketCounts[id.domain, default: 0] < Self.bucketsMax else {
            refusedCount += 1
            return false
        }
        var settings = QuotaAllocator.Settings(limit: limit)
        settings.lifetime = Self.lifetime
        buckets[id] = Bucket(allocator: QuotaAllocator(settings))
        bucketCounts[id.domain, default: 0] += 1
        return true
    }

    // MARK: Shares

    /// Divides every limit anew, and answers what each stream must be told.
    mutating func allocate(at now: MonotonicInstant) -> [StreamID: Response] {
        var responses: [StreamID: Response] = [:]
        for id in Array(buckets.keys) {
            for (name, assignment) in buckets[id]?.allocator.allocate(at: now) ?? [] {
                guard let stream = streams[name], isNews(assignment, buckets[id]?.told[name], now) else {
                    continue
                }
                buckets[id]?.told[name] = Told(perSecond: assignment.perSecond, at: now)
                responses[stream, default: Response()].bucketAction.append(Self.action(id, assignment))
            }
            if buckets[id]?.allocator.memberCount == 0 { remove(id) }
        }
        return responses
    }

    private func isNews(_ assignment: QuotaAssignment, _ told: Told?, _ now: MonotonicInstant) -> Bool {
        guard let told else { return true }
        let change = abs(assignment.perSecond - told.perSecond)
        return change > told.perSecond / 100
            || now.nanoseconds - told.at.nanoseconds >= Self.lifetime / 2
    }

    private static func action(_ id: BucketID, _ assignment: QuotaAssignment) -> Response.BucketAction {
        .with {
            $0.bucketID = id.message
            $0.quotaAssignmentAction.rateLimitStrategy = .init(perSecond: assignment.perSecond)
            $0.quotaAssignmentAction.assignmentTimeToLive.seconds =
                assignment.lifetime / Nanoseconds.perSecond
        }
    }

    private static func abandon(_ id: BucketID) -> Response.BucketAction {
        .with {
            $0.bucketID = id.message
            $0.abandonAction = .init()
        }
    }
}

extension Int64 {
    /// Seconds of a report: nobody has counted for longer than a day.
    fileprivate var clamped: Int64 { Swift.min(self, 86_400) }
}
