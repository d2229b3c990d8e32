import MeshPrimitives
import Synchronization

/// What an endpoint answered to a check that was passed on to it, for the checks up to the end of the period
/// (`cache_time`). As in Envoy periods follow each other from the filter's begin, and not from an answer.
final class HealthCheckCache: Sendable {
    private let period: Int64
    private let begin: MonotonicInstant
    /// The period's number times 1024, plus the status; 0 for none.
    private let answer = Atomic<Int64>(0)

    /// `period` in nanoseconds, above 0.
    init(period: Int64, at now: MonotonicInstant) { (self.period, begin) = (period, now) }

    /// nil: there is none of this period.
    func status(at now: MonotonicInstant) -> UInt16? {
        let word = answer.load(ordering: .relaxed)
        return word >> 10 == number(now) ? UInt16(word & 1023) : nil
    }

    func keep(_ status: UInt16, at now: MonotonicInstant) {
        answer.store(number(now) << 10 | Int64(status & 1023), ordering: .relaxed)
    }

    /// From 1.
    private func number(_ now: MonotonicInstant) -> Int64 { now.nanoseconds(since: begin) / period + 1 }
}
