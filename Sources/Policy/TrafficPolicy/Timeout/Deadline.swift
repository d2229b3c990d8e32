import MeshPrimitives

/// The instant at which a request must be over. Plain arithmetic that saturates.
public struct Deadline: Equatable, Sendable, BitwiseCopyable {
    public var instant: MonotonicInstant

    /// `timeout` nanoseconds from `start`; 0 for never.
    public init(timeout: Int64, from start: MonotonicInstant) {
        instant = timeout > 0 ? start.advanced(byNanoseconds: timeout) : .distantFuture
    }

    public init(at instant: MonotonicInstant) { self.instant = instant }

    public static let never = Deadline(at: .distantFuture)

    public var isNever: Bool { instant == .distantFuture }

    public func hasPassed(at now: MonotonicInstant) -> Bool { now >= instant }

    /// Nanoseconds left: 0 if it has passed, `.max` if there is none.
    public func remaining(at now: MonotonicInstant) -> Int64 {
        isNever ? .max : max(0, instant.nanoseconds(since: now))
    }

    public func earlier(_ other: Deadline) -> Deadline { Deadline(at: min(instant, other.instant)) }

    /// Nanoseconds that one try may take: `perTry` (0: no bound of its own), but no longer than what is left. 0 for
    /// no bound at all; a deadline that has passed leaves 1.
    public func tryTimeout(perTry: Int64, at now: MonotonicInstant) -> Int64 {
        let left = remaining(at: now)
        if left == .max { return max(0, perTry) }
        return max(1, perTry > 0 ? min(perTry, left) : left)
    }

    /// The value of `x-envoy-expected-rq-timeout-ms`: what one try may take, in whole milliseconds (at least 1);
    /// nil where nothing bounds it, and the field is absent.
    public func expectedMilliseconds(perTry: Int64, at now: MonotonicInstant) -> Int64? {
        let nanoseconds = tryTimeout(perTry: perTry, at: now)
        return nanoseconds == 0 ? nil : max(1, nanoseconds / Nanoseconds.perMillisecond)
    }
}
