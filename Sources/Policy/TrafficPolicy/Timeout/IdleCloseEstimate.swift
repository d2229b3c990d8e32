import MeshPrimitives
import Synchronization

/// How long an endpoint leaves an idle connection open, learnt from the connections that it closed, over all workers: a
/// pooled connection is retired before, so that no request meets its FIN.
///
/// One close proves nothing (an endpoint that restarts closes all of them): two that agree within a tenth make an
/// estimate, and a shorter pair replaces it. An estimate is forgotten after an hour, for endpoints change; what the
/// endpoint says itself (`keep-alive: timeout=5`) counts at once.
public struct IdleCloseEstimate: ~Copyable, Sendable {
    private static let lifetime: Int64 = 3600 * Nanoseconds.perSecond
    /// Shorter ones are not time-outs.
    private static let idleMin: Int64 = 100 * Nanoseconds.perMillisecond

    /// Milliseconds: the estimate in the upper half, a close that waits for another one in the lower one; 0: none.
    @usableFromInline let word = Atomic<UInt64>(0)
    private let learntAt = Atomic<Int64>(0)

    public init() {}

    /// The endpoint closed a connection that had been idle for so long, without an error and without a request.
    public func closedByPeer(afterIdle idle: Int64, at now: MonotonicInstant) {
        guard idle >= Self.idleMin else { return }
        let seen = Self.milliseconds(idle)
        var old = word.load(ordering: .relaxed)
        while true {
            let estimate = isFresh(now) ? old >> 32 : 0
            let candidate = old & 0xffff_ffff
            let agrees = candidate > 0 && Self.agree(candidate, seen)
            var new = estimate << 32 | seen
            if agrees, estimate == 0 || min(candidate, seen) < estimate {
                new = min(candidate, seen) << 32 | seen
            }
            let (done, found) = word.weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
            if done {
                if new >> 32 != estimate { learntAt.store(now.nanoseconds, ordering: .relaxed) }
                return
            }
            old = found
        }
    }

    /// The endpoint says how long it waits.
    public func announced(_ timeout: Int64, at now: MonotonicInstant) {
        guard timeout > 0 else { return }
        let said = Self.milliseconds(timeout)
        word.store(said << 32 | said, ordering: .relaxed)
        learntAt.store(now.nanoseconds, ordering: .relaxed)
    }

    /// Nanoseconds for which a connection may lie idle and be used again: a tenth less than the endpoint waits, and at
    /// most a second less; `.max` if nothing is known.
    @inlinable @inline(__always) public func idleMax(at now: MonotonicInstant) -> Int64 {
        let estimate = word.load(ordering: .relaxed) >> 32
        return estimate == 0 ? .max : idleMax(estimate, at: now)
    }

    @usableFromInline func idleMax(_ estimate: UInt64, at now: MonotonicInstant) -> Int64 {
        guard isFresh(now) else { return .max }
        let length = Int64(estimate) * Nanoseconds.perMillisecond
        return length - min(length / 10, Nanoseconds.perSecond)
    }

    private func isFresh(_ now: MonotonicInstant) -> Bool {
        now.nanoseconds - learntAt.load(ordering: .relaxed) < Self.lifetime
    }

    private static func milliseconds(_ length: Int64) -> UInt64 {
        UInt64(min(max(1, length / Nanoseconds.perMillisecond), 0xffff_ffff))
    }

    private static func agree(_ left: UInt64, _ right: UInt64) -> Bool {
        let (low, high) = (min(left, right), max(left, right))
        return (high - low) * 10 <= high
    }
}
