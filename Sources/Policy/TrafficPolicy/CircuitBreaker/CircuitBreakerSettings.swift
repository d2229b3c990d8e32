/// When a circuit breaker opens, and how it closes again. Times in nanoseconds, rates in percent.
public struct CircuitBreakerSettings: Equatable, Sendable, BitwiseCopyable {
    /// Opens after so many failures in a row; 0: does not count them.
    public var consecutiveFailuresMax: UInt32
    /// Opens when this share of the calls of the window failed; 0: does not look.
    public var failureRateMax: Double
    /// A call that took this long is slow; 0: none is.
    public var slowCallDuration: Int64 = 0
    /// Opens when this share of the calls of the window were slow; 0: does not look.
    public var slowCallRateMax: Double = 0
    /// Over how long rates are taken; counted in ten slots.
    public var window: Int64 = 10 * Nanoseconds.perSecond
    /// Fewer calls in the window say nothing.
    public var callsMin: UInt32 = 20
    public var openDuration: Int64 = 5 * Nanoseconds.perSecond
    /// Each time that probes fail, open for this many times as long, at least 1...
    public var openDurationGrowth: Double = 1
    /// ...up to this; 0: no bound.
    public var openDurationMax: Int64 = 0
    /// Calls that are let through half-open. All of them must succeed, and one that fails opens the breaker again.
    public var probes: UInt32 = 1

    public init(consecutiveFailuresMax: UInt32 = 0, failureRateMax: Double = 0) {
        (self.consecutiveFailuresMax, self.failureRateMax) = (consecutiveFailuresMax, failureRateMax)
    }

    var isValid: Bool {
        window >= 10 * Nanoseconds.perMicrosecond && openDuration > 0 && openDurationGrowth >= 1
            && probes > 0 && probes < 1 << 12 && callsMin > 0
    }

    /// `openings`: how often in a row the breaker has opened, from 1.
    func openDuration(openings: UInt64) -> Int64 {
        var length = Double(openDuration)
        for _ in 1..<max(openings, 1) where length < Double(Int64.max / 4) { length *= openDurationGrowth }
        let bound = openDurationMax > 0 ? max(openDurationMax, openDuration) : Int64.max / 4
        return length < Double(bound) ? Int64(length) : bound
    }
}
