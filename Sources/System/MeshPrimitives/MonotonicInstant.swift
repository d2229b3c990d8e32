/// A reading of the monotonic clock in nanoseconds. Its zero means nothing outside one process.
public struct MonotonicInstant: Comparable, Hashable, Sendable, BitwiseCopyable {
    public var nanoseconds: Int64

    @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    @inlinable public static var zero: MonotonicInstant { MonotonicInstant(nanoseconds: 0) }
    /// Later than every instant that a clock gives.
    @inlinable public static var distantFuture: MonotonicInstant { MonotonicInstant(nanoseconds: .max) }

    @inlinable public static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    /// Saturates at `distantFuture`.
    @inlinable public func advanced(byNanoseconds step: Int64) -> MonotonicInstant {
        let (sum, isOverflow) = nanoseconds.addingReportingOverflow(step)
        return MonotonicInstant(nanoseconds: isOverflow ? .max : sum)
    }

    public func advanced(by step: Duration) -> MonotonicInstant { advanced(byNanoseconds: step.nanoseconds) }

    /// Nanoseconds from `earlier` to here; negative if `earlier` is later.
    @inlinable public func nanoseconds(since earlier: MonotonicInstant) -> Int64 {
        nanoseconds &- earlier.nanoseconds
    }

    public func duration(since earlier: MonotonicInstant) -> Duration {
        .nanoseconds(nanoseconds(since: earlier))
    }
}

extension Duration {
    /// Whole nanoseconds, saturating: `Duration` counts in 128 bits, which no path of a request can afford.
    public var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, isOverflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if isOverflow { return seconds < 0 ? .min : .max }
        let (sum, sumOverflows) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
        return sumOverflows ? (seconds < 0 ? .min : .max) : sum
    }
}
