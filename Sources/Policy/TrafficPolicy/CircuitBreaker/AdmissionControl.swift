import Glibc
import MeshPrimitives

/// Envoy's `AdmissionControl`. Percent.
public struct AdmissionControlSettings: Equatable, Sendable, BitwiseCopyable {
    /// Seconds over which requests are counted, at least 1.
    public var samplingWindow: Int64 = 30
    /// At least 1: how steeply refusals grow as the success rate falls.
    public var aggression: Double = 1
    /// Above this success rate nothing is refused. Above 0.
    public var successRateThreshold: Double = 95
    /// Below this many requests a second nothing is refused.
    public var requestRateThreshold: UInt32 = 0
    public var rejectionProbabilityMax: Double = 80

    public init() {}
}

/// Refuses requests at random as the success rate of the last ones falls (client-side throttling, Site Reliability
/// Engineering, chapter 21, with Envoy's exponent): ((n - s / threshold) / (n + 1)) ^ (1 / aggression). One worker's own,
/// as in Envoy.
public struct AdmissionControl: ~Copyable {
    private struct Sample: BitwiseCopyable {
        var start: Int64 = .min
        var requests: UInt32 = 0
        var successes: UInt32 = 0
    }

    public let settings: AdmissionControlSettings
    /// A sample for each second, the oldest at `first`.
    private var samples = OwnedList<Sample>()
    private var first = 0
    private var count = 0
    private var requests: UInt64 = 0
    private var successes: UInt64 = 0

    public init(_ settings: AdmissionControlSettings) {
        precondition(settings.samplingWindow >= 1 && settings.samplingWindow <= 3600)
        precondition(settings.successRateThreshold > 0)
        self.settings = settings
        for _ in 0...settings.samplingWindow { samples.append(Sample()) }
    }

    /// Whether a request is let through.
    public mutating func admit(at now: MonotonicInstant, random: inout SeededRandom) -> Bool {
        forget(now)
        guard requests > 0, averageRate(now) >= UInt64(settings.requestRateThreshold) else { return true }
        let threshold = min(settings.successRateThreshold, 100) / 100
        let excess = Double(requests) - Double(successes) / threshold
        guard excess > 0 else { return true }
        return Double(random.below(10_000)) >= 10_000 * probability(excess)
    }

    /// A request that was let through has been answered.
    public mutating func answered(isSuccess: Bool, at now: MonotonicInstant) {
        forget(now)
        if count == 0 || now.nanoseconds - samples[newest].start >= Nanoseconds.perSecond {
            if count == samples.count { dropOldest() }
            count += 1
            samples[newest] = Sample(start: now.nanoseconds)
        }
        samples[newest].requests += 1
        requests += 1
        if isSuccess {
            samples[newest].successes += 1
            successes += 1
        }
    }

    /// What the next request meets, 0...1.
    public mutating func rejectionProbability(at now: MonotonicInstant) -> Double {
        forget(now)
        guard averageRate(now) >= UInt64(settings.requestRateThreshold) else { return 0 }
        let threshold = min(settings.successRateThreshold, 100) / 100
        let excess = Double(requests) - Double(successes) / threshold
        return excess > 0 ? probability(excess) : 0
    }

    private func probability(_ excess: Double) -> Double {
        let plain = excess / Double(requests + 1)
        let aggression = max(1, settings.aggression)
        return min(
            aggression == 1 ? plain : pow(plain, 1 / aggression), settings.rejectionProbabilityMax / 100)
    }

    private var newest: Int { (first + count - 1) % samples.count }

    private func averageRate(_ now: MonotonicInstant) -> UInt64 {
        guard count > 0 else { return 0 }
        let age = (now.nanoseconds - samples[first].start) / Nanoseconds.perSecond
        return requests / UInt64(max(settings.samplingWindow, age))
    }

    private mutating func forget(_ now: MonotonicInstant) {
        let length = settings.samplingWindow * Nanoseconds.perSecond
        while count > 0, now.nanoseconds - samples[first].start >= length { dropOldest() }
    }

    private mutating func dropOldest() {
        requests -= UInt64(samples[first].requests)
        successes -= UInt64(samples[first].successes)
        first = (first + 1) % samples.count
        count -= 1
    }
}
