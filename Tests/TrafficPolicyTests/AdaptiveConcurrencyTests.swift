import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct AdaptiveConcurrencyTests {
    private let millisecond = Nanoseconds.perMillisecond

    private func settings(_ change: (inout AdaptiveConcurrencySettings) -> Void = { _ in })
        -> AdaptiveConcurrencySettings
    {
        var settings = AdaptiveConcurrencySettings(
            updateInterval: 100 * Nanoseconds.perMillisecond, minRTTInterval: 60 * Nanoseconds.perSecond)
        settings.jitterPercent = 0
        change(&settings)
        return settings
    }

    /// Serves `count` requests of that latency, one after the other.
    private func serve(
        _ control: AdaptiveConcurrency, _ count: Int, _ latency: Int64, _ now: inout MonotonicInstant
    ) {
        var random = SeededRandom(seed: 1)
        for _ in 0..<count {
            let start = now
            #expect(control.admit())
            now = now.advanced(byNanoseconds: latency)
            control.finished(startedAt: start, at: now, random: &random)
        }
    }

    private func window(_ control: AdaptiveConcurrency, _ now: inout MonotonicInstant) {
        now = now.advanced(byNanoseconds: 100 * millisecond)
        control.timerFired(at: now)
    }

    @Test("It measures the least latency first, with few requests at once")
    func measuring() {
        var now = MonotonicInstant.zero
        let control = AdaptiveConcurrency(settings(), at: now)
        #expect(control.isMeasuring && control.limit == 3)
        #expect((0..<5).count { _ in control.admit() } == 3)
        for _ in 0..<3 { control.cancelled() }
        serve(control, 49, 10 * millisecond, &now)
        #expect(control.isMeasuring)
        serve(control, 1, 10 * millisecond, &now)
        #expect(!control.isMeasuring && abs(control.minRTT - 10_000) < 500)
    }

    @Test("The limit grows while latency is low, and falls when it rises")
    func gradient() {
        var now = MonotonicInstant.zero
        let control = AdaptiveConcurrency(settings(), at: now)
        serve(control, 50, 10 * millisecond, &now)
        var limits: [UInt32] = []
        for _ in 0..<12 {
            serve(control, 20, 10 * millisecond, &now)
            window(control, &now)
            limits.append(control.limit)
        }
        #expect(zip(limits, limits.dropFirst()).allSatisfy { $0 < $1 || $1 == 1000 }, "\(limits)")
        let high = control.limit
        serve(control, 20, 50 * millisecond, &now)
        window(control, &now)
        // Gradient 0.5 is the steepest: half, and its square root for bursts.
        let half = Double(high) / 2
        #expect(control.limit == UInt32(half + half.squareRoot()))
    }

    @Test("Five windows at the least limit, or the interval, measure anew")
    func again() {
        var now = MonotonicInstant.zero
        let control = AdaptiveConcurrency(settings(), at: now)
        serve(control, 50, 10 * millisecond, &now)
        var windows = 0
        while !control.isMeasuring, windows < 30 {
            serve(control, 5, 200 * millisecond, &now)
            window(control, &now)
            control.timerFired(at: now)
            windows += 1
        }
        #expect(control.isMeasuring && windows >= 5 && windows < 10)
        serve(control, 50, 10 * millisecond, &now)
        #expect(!control.isMeasuring)
        now = now.advanced(byNanoseconds: 60 * Nanoseconds.perSecond)
        control.timerFired(at: now)
        #expect(control.isMeasuring && control.limit == 3)
    }

    @Test("Requests from before the measuring do not count, and a window without requests changes nothing")
    func epochs() {
        var now = MonotonicInstant.zero
        var random = SeededRandom(seed: 1)
        let control = AdaptiveConcurrency(
            settings { $0.minRTTRequests = 1 }, at: MonotonicInstant(nanoseconds: 5))
        #expect(control.admit())
        now = now.advanced(byNanoseconds: millisecond)
        control.finished(startedAt: .zero, at: now, random: &random)
        #expect(control.isMeasuring)
        serve(control, 1, millisecond, &now)
        #expect(!control.isMeasuring)
        let limit = control.limit
        window(control, &now)
        #expect(control.limit == limit && control.nextTimer > now)
    }

    @Test("No more are in flight than the limit, which stays within its bounds", arguments: UInt64(0)..<20)
    func invariant(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let settings = settings {
            $0.limitMax = 40
            $0.minRTTInterval = 2 * Nanoseconds.perSecond
            $0.jitterPercent = 15
        }
        var now = MonotonicInstant.zero
        let control = AdaptiveConcurrency(settings, at: now)
        var out: [(MonotonicInstant, MonotonicInstant)] = []
        for _ in 0..<5_000 {
            now = now.advanced(byNanoseconds: Int64(random.below(UInt64(2 * millisecond))))
            if control.nextTimer <= now { control.timerFired(at: now) }
            let before = control.requestsInFlight
            if control.admit() {
                #expect(before < Int(control.limit))
                let length = (1 + Int64(random.below(5))) * millisecond * Int64(1 + out.count / 8)
                out.append((now, now.advanced(byNanoseconds: length)))
            }
            while let index = out.firstIndex(where: { $0.1 <= now }) {
                control.finished(startedAt: out[index].0, at: now, random: &random)
                out.remove(at: index)
            }
            #expect(control.limit >= 3 && control.limit <= 40 && control.requestsInFlight == out.count)
        }
    }
}
