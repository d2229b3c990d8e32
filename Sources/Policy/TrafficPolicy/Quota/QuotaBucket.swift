import MeshPrimitives
import Synchronization

/// What a quota bucket does where it has no assignment in force.
public enum QuotaFallback: Equatable, Sendable, BitwiseCopyable {
    case allowAll
    case denyAll
    /// So many requests a second of its own.
    case limited(perSecond: Double)
    /// The last assignment goes on: shares of one limit never add up to more than it. Before the first one: all refused.
    case keepLast
}

/// A share of a limit, as the control plane has assigned it.
public struct QuotaAssignment: Equatable, Sendable, BitwiseCopyable {
    /// Requests a second; infinite: all are let through.
    public var perSecond: Double
    /// Nanoseconds from now for which it holds; 0: until the next one.
    public var lifetime: Int64

    public init(perSecond: Double, lifetime: Int64) {
        precondition(perSecond >= 0 && lifetime >= 0)
        (self.perSecond, self.lifetime) = (perSecond, lifetime)
    }
}

/// What one proxy has used of a bucket since its last report (`RateLimitQuotaUsageReports.BucketQuotaUsage`).
public struct QuotaUsage: Equatable, Sendable, BitwiseCopyable {
    public var allowed: UInt64
    public var denied: UInt64
    /// Nanoseconds.
    public var elapsed: Int64

    public init(allowed: UInt64, denied: UInt64, elapsed: Int64) {
        (self.allowed, self.denied, self.elapsed) = (allowed, denied, elapsed)
    }
}

/// One bucket of a mesh-wide limit in this process (Envoy's rate-limit quota filter): decides without asking anybody, on
/// atomic words, and says from time to time what it has used.
///
///     no assignment yet -- one comes --> assigned -- its lifetime is over --> expired -- one comes --> assigned
///     expired -- `expiredFor` is over --> as if none had ever come
public final class QuotaBucket: Sendable {
    public struct Settings: Equatable, Sendable, BitwiseCopyable {
        public var withoutAssignment: QuotaFallback
        public var expired: QuotaFallback
        /// Nanoseconds for which `expired` holds; 0: until an assignment comes.
        public var expiredFor: Int64 = 0
        /// Nanoseconds between reports.
        public var reportInterval: Int64 = Nanoseconds.perSecond
        /// How much of a second's share may come at once; of a small share more than that (`burstMin`).
        public var burstSeconds: Double = 0.1

        public init(withoutAssignment: QuotaFallback = .denyAll, expired: QuotaFallback = .keepLast) {
            (self.withoutAssignment, self.expired) = (withoutAssignment, expired)
        }
    }

    public enum Situation: UInt8, Sendable, BitwiseCopyable { case unassigned, assigned, expired }

    /// Requests that a small share lets through at once, as far as half a second of it goes: callers seldom come one by one.
    private static let burstMin: Int64 = 5
    private static let unlimited: Int64 = 0
    private static let refused: Int64 = -1

    public let settings: Settings
    /// Nanoseconds for a token; `unlimited` or `refused`.
    private let tokenLength = Atomic<Int64>(refused)
    private let fallbackLength = Atomic<Int64>(refused)
    /// Nanoseconds; `.min`: there was no assignment.
    private let expiresAt = Atomic<Int64>(.min)
    private let forgottenAt = Atomic<Int64>(.max)
    private let emptyAt = Atomic<Int64>(.min / 4)
    private let allowedCount = Atomic<UInt64>(0)
    private let deniedCount = Atomic<UInt64>(0)
    private let reportedAt: Atomic<Int64>

    public init(_ settings: Settings, at now: MonotonicInstant) {
        precondition(settings.reportInterval > 0 && settings.burstSeconds > 0)
        self.settings = settings
        reportedAt = Atomic(now.nanoseconds)
    }

    public func situation(at now: MonotonicInstant) -> Situation {
        let expires = expiresAt.load(ordering: .acquiring)
        if expires == .min { return .unassigned }
        if now.nanoseconds < expires { return .assigned }
        return now.nanoseconds < forgottenAt.load(ordering: .relaxed) ? .expired : .unassigned
    }

    /// Whether a request is let through. Counted either way.
    public func admit(at now: MonotonicInstant) -> Bool {
        let length = length(at: now)
        let isAllowed = length == Self.unlimited || (length > 0 && take(length, at: now))
        if isAllowed {
            allowedCount.wrappingAdd(1, ordering: .relaxed)
        } else {
            deniedCount.wrappingAdd(1, ordering: .relaxed)
        }
        return isAllowed
    }

    /// Nanoseconds until the next request could be let through, as things are; 0: nobody can tell.
    public func wait(at now: MonotonicInstant) -> Int64 {
        let length = length(at: now)
        guard length > 0 else { return 0 }
        let start = max(emptyAt.load(ordering: .relaxed), now.nanoseconds - burst(length))
        return max(1, start + length - now.nanoseconds)
    }

    /// Nanoseconds for a token; `unlimited` or `refused`.
    private func length(at now: MonotonicInstant) -> Int64 {
        switch situation(at: now) {
        case .assigned: tokenLength.load(ordering: .relaxed)
        case .expired: length(settings.expired)
        case .unassigned: length(settings.withoutAssignment, hasLast: false)
        }
    }

    /// The control plane has assigned a share. What is left in the bucket stays.
    public func assign(_ assignment: QuotaAssignment, at now: MonotonicInstant) {
        tokenLength.store(Self.length(assignment.perSecond), ordering: .relaxed)
        let expires =
            assignment.lifetime > 0 ? now.advanced(byNanoseconds: assignment.lifetime).nanoseconds : .max
        let forgotten =
            settings.expiredFor > 0 ? expires.addingReportingOverflow(settings.expiredFor) : (.max, false)
        forgottenAt.store(forgotten.1 ? .max : forgotten.0, ordering: .relaxed)
        expiresAt.store(expires, ordering: .releasing)
    }

    /// The control plane has given the bucket up (`AbandonAction`): as if none had ever been assigned.
    public func abandon() { expiresAt.store(.min, ordering: .releasing) }

    /// Something was used since the last report.
    public var hasUsage: Bool {
        allowedCount.load(ordering: .relaxed) > 0 || deniedCount.load(ordering: .relaxed) > 0
    }

    /// What was used since the last report.
    public func usage(at now: MonotonicInstant) -> QuotaUsage {
        QuotaUsage(
            allowed: allowedCount.load(ordering: .relaxed), denied: deniedCount.load(ordering: .relaxed),
            elapsed: max(0, now.nanoseconds - reportedAt.load(ordering: .relaxed)))
    }

    /// Nothing has been used so far: the time of the first report begins now.
    public func startReporting(at now: MonotonicInstant) {
        reportedAt.store(now.nanoseconds, ordering: .relaxed)
    }

    /// What was used since the last report, for the next one.
    public func takeUsage(at now: MonotonicInstant) -> QuotaUsage {
        let last = reportedAt.exchange(now.nanoseconds, ordering: .relaxed)
        return QuotaUsage(
            allowed: allowedCount.exchange(0, ordering: .relaxed),
            denied: deniedCount.exchange(0, ordering: .relaxed), elapsed: max(0, now.nanoseconds - last))
    }

    private func length(_ fallback: QuotaFallback, hasLast: Bool = true) -> Int64 {
        switch fallback {
        case .allowAll: Self.unlimited
        case .denyAll: Self.refused
        case .limited(let perSecond): Self.length(perSecond)
        case .keepLast: hasLast ? tokenLength.load(ordering: .relaxed) : Self.refused
        }
    }

    /// Nanoseconds: at least one token, or a share below one a burst would get nothing.
    private func burst(_ length: Int64) -> Int64 {
        let few = length < Nanoseconds.perSecond ? min(length * Self.burstMin, Nanoseconds.perSecond / 2) : 0
        return max(length, few, Int64(settings.burstSeconds * Double(Nanoseconds.perSecond)))
    }

    private func take(_ length: Int64, at now: MonotonicInstant) -> Bool {
        let burst = burst(length)
        var empty = emptyAt.load(ordering: .relaxed)
        while true {
            let start = max(empty, now.nanoseconds - burst)
            guard now.nanoseconds - start >= length else { return false }
            let (done, seen) = emptyAt.weakCompareExchange(
                expected: empty, desired: start + length, ordering: .acquiringAndReleasing)
            if done { return true }
            empty = seen
        }
    }

    private static func length(_ perSecond: Double) -> Int64 {
        if perSecond == .infinity { return unlimited }
        if perSecond <= 0 { return refused }
        let length = (Double(Nanoseconds.perSecond) / perSecond).rounded(.up)
        return length < 1e17 ? max(1, Int64(length)) : refused
    }
}
