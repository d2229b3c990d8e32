import Glibc
import MeshPrimitives
import Synchronization

/// Envoy's `GradientControllerConfig`. Nanoseconds and percent.
public struct AdaptiveConcurrencySettings: Equatable, Sendable, BitwiseCopyable {
    /// Of the latencies of a window, which counts.
    public var samplePercentile: Double = 50
    public var limitMax: UInt32 = 1000
    /// How often the limit is computed.
    public var updateInterval: Int64
    /// How often the latency without load is measured.
    public var minRTTInterval: Int64
    public var minRTTRequests: UInt32 = 50
    public var jitterPercent: Double = 15
    /// The limit while it is measured, and the least one.
    public var limitMin: UInt32 = 3
    /// Latency may rise by so much before the limit falls.
    public var bufferPercent: Double = 25

    public init(updateInterval: Int64, minRTTInterval: Int64) {
        precondition(updateInterval > 0 && minRTTInterval > 0)
        (self.updateInterval, self.minRTTInterval) = (updateInterval, minRTTInterval)
    }
}

/// A limit of requests in flight that follows the latency (Envoy's gradient controller), for the whole process: asked and
/// told about each request without a lock, computed under one when a window ends.
///
/// gradient = (least latency + buffer) / sampled latency, between 0.5 and 2; limit = limit * gradient + its square root.
/// From time to time, and when the limit has been at its least for five windows, the least latency is measured anew while
/// only `limitMin` requests are let through.
public final class AdaptiveConcurrency: Sendable {
    private struct State {
        var minRTT: Int64 = 0
        var sampleRTT: Int64 = 0
        /// The limit to go back to after measuring; 0: not measuring.
        var deferredLimit: UInt32 = 0
        var windowsAtLeast = 0
        var nextMeasuring = MonotonicInstant.distantFuture
        var nextUpdate: MonotonicInstant
    }

    public let settings: AdaptiveConcurrencySettings
    private let limitWord: Atomic<UInt32>
    private let inFlight = Atomic<Int>(0)
    private let isMeasuringWord = Atomic<Bool>(true)
    /// Requests that began before do not count. Nanoseconds.
    private let epoch: Atomic<Int64>
    private let samples = LatencyHistogram()
    private let state: Mutex<State>

    public init(_ settings: AdaptiveConcurrencySettings, at now: MonotonicInstant) {
        self.settings = settings
        limitWord = Atomic(settings.limitMin)
        epoch = Atomic(now.nanoseconds)
        state = Mutex(
            State(
                deferredLimit: settings.limitMin,
                nextUpdate: now.advanced(byNanoseconds: settings.updateInterval)))
    }

    public var limit: UInt32 { limitWord.load(ordering: .relaxed) }
    public var requestsInFlight: Int { inFlight.load(ordering: .relaxed) }
    public var isMeasuring: Bool { isMeasuringWord.load(ordering: .relaxed) }
    /// Microseconds.
    public var minRTT: Int64 { state.withLock(\.minRTT) }
    public var sampleRTT: Int64 { state.withLock(\.sampleRTT) }
    /// When `timerFired` wants to be called.
    public var nextTimer: MonotonicInstant {
        state.withLock { min($0.nextMeasuring, $0.deferredLimit == 0 ? $0.nextUpdate : .distantFuture) }
    }

    /// Lets a request through if there is room; whoever is let through calls `finished` or `cancelled` once. (Envoy may
    /// let one more through for each worker.)
    public func admit() -> Bool {
        var current = inFlight.load(ordering: .relaxed)
        while current < Int(limit) {
            let (done, seen) = inFlight.weakCompareExchange(
                expected: current, desired: current + 1, ordering: .acquiringAndReleasing)
            if done { return true }
            current = seen
        }
        return false
    }

    /// In shadow mode: counted although it was refused.
    public func admitAlways() { inFlight.wrappingAdd(1, ordering: .relaxed) }

    /// A request that began at `start` has been answered.
    public func finished(
        startedAt start: MonotonicInstant, at now: MonotonicInstant, random: inout SeededRandom
    ) {
        cancelled()
        if start.nanoseconds < epoch.load(ordering: .relaxed) { return }
        let micros = now.nanoseconds(since: start) / Nanoseconds.perMicrosecond
        let count = samples.add(microseconds: micros)
        if isMeasuring, count >= Int(settings.minRTTRequests) { measured(at: now, &random) }
    }

    /// It ended without saying anything about latency.
    public func cancelled() {
        let left = inFlight.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
        precondition(left >= 0)
    }

    /// To be called at `nextTimer`, or later.
    public func timerFired(at now: MonotonicInstant) {
        state.withLock { state in
            if now >= state.nextMeasuring { startMeasuring(&state, now) }
            guard state.deferredLimit == 0, now >= state.nextUpdate else { return }
            if samples.count > 0 {
                state.sampleRTT = max(1, samples.takeQuantile(settings.samplePercentile / 100))
                setLimit(
                    Self.limit(after: limit, minRTT: state.minRTT, state.sampleRTT, settings), &state, now)
            }
            state.nextUpdate = now.advanced(byNanoseconds: settings.updateInterval)
        }
    }

    private func startMeasuring(_ state: inout State, _ now: MonotonicInstant) {
        state.nextMeasuring = .distantFuture
        guard state.deferredLimit == 0 else { return }
        state.deferredLimit = limit
        isMeasuringWord.store(true, ordering: .relaxed)
        setLimit(settings.limitMin, &state, now)
        _ = samples.takeQuantile(0)
        epoch.store(now.nanoseconds, ordering: .relaxed)
    }

    private func measured(at now: MonotonicInstant, _ random: inout SeededRandom) {
        state.withLock { state in
            guard state.deferredLimit > 0 else { return }
            state.minRTT = samples.takeQuantile(settings.samplePercentile / 100)
            setLimit(state.deferredLimit, &state, now)
            state.deferredLimit = 0
            isMeasuringWord.store(false, ordering: .relaxed)
            var wait = settings.minRTTInterval
            let milliseconds = Double(wait / Nanoseconds.perMillisecond)
            let range = UInt64((milliseconds * settings.jitterPercent / 100).rounded(.up))
            if range > 0 { wait += Int64(random.below(range)) * Nanoseconds.perMillisecond }
            state.nextMeasuring = min(state.nextMeasuring, now.advanced(byNanoseconds: wait))
            state.nextUpdate = now.advanced(byNanoseconds: settings.updateInterval)
        }
    }

    private func setLimit(_ new: UInt32, _ state: inout State, _ now: MonotonicInstant) {
        let old = limitWord.exchange(new, ordering: .relaxed)
        if state.deferredLimit == 0, old == settings.limitMin, new == settings.limitMin {
            state.windowsAtLeast += 1
        } else {
            state.windowsAtLeast = 0
        }
        // The least latency is probably wrong, and the limit is where measuring needs it already.
        if state.windowsAtLeast >= 5 { state.nextMeasuring = now }
    }

    static func limit(
        after limit: UInt32, minRTT: Int64, _ sampleRTT: Int64, _ settings: AdaptiveConcurrencySettings
    ) -> UInt32 {
        let buffered = Double(minRTT) + Double(minRTT) * settings.bufferPercent / 100
        let gradient = max(0.5, min(2, buffered / Double(sampleRTT)))
        let scaled = Double(limit) * gradient
        let headroom = scaled.squareRoot()
        return max(settings.limitMin, min(settings.limitMax, UInt32(scaled + headroom)))
    }
}
