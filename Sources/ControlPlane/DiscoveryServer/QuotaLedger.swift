import AdminAPI
import ConfigCompiler
import MeshPrimitives
import TrafficPolicy
import XDSMessages

/// Who has which share of which mesh-wide limit: what sidecars report goes in, what they are to be told comes out. A
/// value, without clock and sockets.
///
/// Each bucket has an allocator of its own. A sidecar is a member of a bucket from its first report; it is told its share
/// at once, and again whenever that changes by more than a hundredth or half of its time is over. A report of another use
/// than was known makes the bucket urgent. A sidecar that goes keeps its share until that has expired, since it may be
/// using it still; then the others have it.
struct QuotaLedger {
    typealias Reports = Envoy_Service_RateLimitQuota_V3_RateLimitQuotaUsageReports
    typealias Response = Envoy_Service_RateLimitQuota_V3_RateLimitQuotaResponse
    typealias StreamID = StreamAdmission.StreamID

    /// Of one service: callers make buckets where a key is open. Beyond that the service's own fallback holds for them.
    static let bucketsMax = 10_000
    /// Nanoseconds for which a share holds. Envoy reports every 5 s, whatever it is asked for: that is no silence.
    static let lifetime = 10 * Nanoseconds.perSecond
    /// Members of a bucket beyond which it is never urgent: each of them is told.
    static let hurriedMax = 1000
    /// Buckets, and shares of one of them, that operators are shown: those with the most use.
    static let shownMax = 100

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
        var uses: [String: Use] = [:]
    }

    /// The last report.
    private struct Use {
        var usage: QuotaUsage
        var at: MonotonicInstant

        func perSecond(_ count: UInt64) -> Double {
            usage.elapsed > 0 ? Double(count) * Double(Nanoseconds.perSecond) / Double(usage.elapsed) : 0
        }
    }

    private struct LimitID: Hashable {
        let scope: String
        let name: String
    }

    private struct Limit {
        /// Requests.
        var perSecond: Double
        /// Over all reports since it has been there.
        var allowed: UInt64 = 0
        var denied: UInt64 = 0
    }

    /// By domain.
    private var limits: [String: [LimitID: Limit]] = [:]
    private var buckets: [BucketID: Bucket] = [:]
    private var bucketCounts: [String: Int] = [:]
    private var urgent: Set<BucketID> = []
    private var names: [StreamID: String] = [:]
    private var shownNames: [String: String] = [:]
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
        var next: [String: [LimitID: Limit]] = [:]
        for (domain, list) in limits {
            for limit in list {
                let id = LimitID(scope: limit.scope, name: limit.name)
                var known = self.limits[domain]?[id] ?? Limit(perSecond: 0)
                known.perSecond = limit.perSecond
                next[domain, default: [:]][id] = known
            }
        }
        self.limits = next
        var responses: [StreamID: Response] = [:]
        for (id, bucket) in buckets {
            if let limit = limit(of: id)?.perSecond {
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

    private func limit(of id: BucketID) -> Limit? {
        Self.limitID(of: id).flatMap { limits[id.domain]?[$0] }
    }

    private static func limitID(of id: BucketID) -> LimitID? {
        guard let scope = id.values[QuotaLimit.scopeKey], let name = id.values[QuotaLimit.limitKey] else {
            return nil
        }
        return LimitID(scope: scope, name: name)
    }

    private mutating func remove(_ id: BucketID) {
        buckets[id] = nil
        urgent.remove(id)
        bucketCounts[id.domain, default: 1] -= 1
    }

    // MARK: Members

    /// `name` tells one sidecar from the others, and is the same when it comes back; operators see `shown`.
    mutating func joined(_ name: String, shownAs shown: String, on stream: StreamID) {
        names[stream] = name
        streams[name] = stream
        shownNames[name] = shown
    }

    /// Its shares go back to the others once they have expired.
    mutating func left(_ stream: StreamID) {
        guard let name = names.removeValue(forKey: stream), streams[name] == stream else { return }
        (streams[name], shownNames[name]) = (nil, nil)
        for id in buckets.keys {
            buckets[id]?.uses[name] = nil
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
            guard let limitID = Self.limitID(of: id), let limit = limit(of: id)?.perSecond,
                makeRoom(id, limit)
            else {
                response.bucketAction.append(Self.abandon(id))
                continue
            }
            let length = usage.timeElapsed
            let used = QuotaUsage(
                allowed: usage.numRequestsAllowed, denied: usage.numRequestsDenied,
                elapsed: max(0, length.seconds.clamped) * Nanoseconds.perSecond + max(0, Int64(length.nanos)))
            let isMoved = buckets[id]?.allocator.reported(name, used, at: now) ?? false
            buckets[id]?.uses[name] = Use(usage: used, at: now)
            limits[domain]?[limitID]?.allowed &+= used.allowed
            limits[domain]?[limitID]?.denied &+= used.denied
            let isNew = buckets[id]?.told[name] == nil
            if isMoved || isNew, (buckets[id]?.allocator.memberCount ?? 0) <= Self.hurriedMax {
                urgent.insert(id)
            }
            guard isNew else { continue }
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
        urgent = []
        return allocate(Array(buckets.keys), at: now)
    }

    /// Something is used otherwise than it was when its limit was divided.
    var hasUrgent: Bool { !urgent.isEmpty }

    mutating func allocateUrgent(at now: MonotonicInstant) -> [StreamID: Response] {
        let ids = Array(urgent)
        urgent = []
        return allocate(ids, at: now)
    }

    private mutating func allocate(_ ids: [BucketID], at now: MonotonicInstant) -> [StreamID: Response] {
        var responses: [StreamID: Response] = [:]
        for id in ids {
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

    // MARK: What operators see

    func status(at now: MonotonicInstant) -> QuotaList {
        func seconds(since instant: MonotonicInstant) -> Double {
            Double(now.nanoseconds - instant.nanoseconds) / Double(Nanoseconds.perSecond)
        }
        func isBefore(_ left: (Double, String), _ right: (Double, String)) -> Bool {
            left.0 != right.0 ? left.0 > right.0 : left.1 < right.1
        }
        let all = buckets.compactMap { id, bucket -> QuotaStatus? in
            guard let limit = limit(of: id)?.perSecond else { return nil }
            let shares = bucket.told.map { name, told in
                let use = bucket.uses[name]
                return QuotaStatus.Share(
                    proxy: shownNames[name] ?? name, perSecond: told.perSecond,
                    allowedPerSecond: use.map { $0.perSecond($0.usage.allowed) } ?? 0,
                    deniedPerSecond: use.map { $0.perSecond($0.usage.denied) } ?? 0,
                    ageSeconds: seconds(since: told.at), reportAgeSeconds: use.map { seconds(since: $0.at) })
            }
            return QuotaStatus(
                domain: id.domain, bucketID: id.values, limitPerSecond: limit,
                allowedPerSecond: shares.reduce(0) { $0 + $1.allowedPerSecond },
                deniedPerSecond: shares.reduce(0) { $0 + $1.deniedPerSecond }, shareCount: shares.count,
                shares: Array(
                    shares.sorted { isBefore(($0.perSecond, $0.proxy), ($1.perSecond, $1.proxy)) }.prefix(
                        Self.shownMax)))
        }
        let busiest = all.sorted {
            isBefore(($0.allowedPerSecond, $0.name), ($1.allowedPerSecond, $1.name))
        }
        let limits = limits.flatMap { domain, limits in
            limits.map { id, limit in
                QuotaList.Limit(
                    domain: domain, scope: id.scope, limit: id.name, perSecond: limit.perSecond,
                    allowed: limit.allowed, denied: limit.denied)
            }
        }
        return QuotaList(
            bucketCount: all.count,
            limits: limits.sorted { ($0.domain, $0.scope, $0.limit) < ($1.domain, $1.scope, $1.limit) },
            items: Array(busiest.prefix(Self.shownMax)))
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
