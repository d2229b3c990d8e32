import Glibc
import MeshPrimitives
import Synchronization

/// The smoothed latency of one endpoint over all workers, in one word: the average (single precision, milliseconds) in
/// the upper half, the time of the last sample in the lower one. Time is counted in steps of 65.5 µs that wrap after 78
/// hours: an endpoint that is not called for so long is taken to have been called lately.
public struct LatencyAverage: ~Copyable, Sendable {
    private static let stepShift: Int64 = 16
    /// 0: there was no sample.
    private let word = Atomic<UInt64>(0)

    public init() {}

    /// A request was answered after `latency` nanoseconds.
    public func add(_ latency: Int64, at now: MonotonicInstant, _ settings: PeakEWMASettings) {
        let sample = Double(max(latency, 1)) / Double(Nanoseconds.perMillisecond)
        let step = Self.step(now)
        var old = word.load(ordering: .relaxed)
        while true {
            var average = sample
            if old != 0 {
                let previous = Self.average(old)
                if !(settings.jumpsToPeaks && sample > previous) {
                    average += (previous - sample) * Self.weight(of: old, at: step, settings)
                }
            }
            let new = UInt64(Float(average).bitPattern) << 32 | UInt64(step)
            let (done, seen) = word.weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
            if done { return }
            old = seen
        }
    }

    /// Milliseconds; 0: there was no sample.
    public var milliseconds: Double { Self.average(word.load(ordering: .relaxed)) }

    /// What a further request would cost there, in milliseconds times requests.
    public func cost(requestsActive: Int, at now: MonotonicInstant, _ settings: PeakEWMASettings) -> Double {
        let word = word.load(ordering: .relaxed)
        if word == 0 {
            if requestsActive > 0 { return settings.penalty + Double(requestsActive) }
            return Double(settings.latencyDefault) / Double(Nanoseconds.perMillisecond)
        }
        var average = Self.average(word)
        // An endpoint that is avoided gives no samples: its peak fades, or it would be avoided for ever.
        if settings.jumpsToPeaks { average *= Self.weight(of: word, at: Self.step(now), settings) }
        return average * Double(requestsActive + 1)
    }

    private static func step(_ now: MonotonicInstant) -> UInt32 {
        UInt32(truncatingIfNeeded: now.nanoseconds >> stepShift)
    }

    private static func average(_ word: UInt64) -> Double {
        Double(Float(bitPattern: UInt32(truncatingIfNeeded: word >> 32)))
    }

    /// What is left of the weight of the past. A worker whose clock reading is older counts as being at the same time.
    private static func weight(of word: UInt64, at step: UInt32, _ settings: PeakEWMASettings) -> Double {
        let age = Int64(Int32(bitPattern: step &- UInt32(truncatingIfNeeded: word)))
        // Two samples within one step are half a step apart.
        let nanoseconds = age > 0 ? age << stepShift : 1 << (stepShift - 1)
        return exp(-Double(nanoseconds) / Double(settings.decayTime))
    }
}
