import Dispatch
import MeshPrimitives
import Synchronization
import Testing
import TrafficPolicy

/// The same with an identity: a value that cannot be copied cannot be named in an expectation.
private final class Breaker: Sendable {
    private let value: CircuitBreaker

    init(_ settings: CircuitBreakerSettings) { value = CircuitBreaker(settings) }

    var state: CircuitBreaker.State { value.state }
    func admit(at now: MonotonicInstant) -> (
        admission: CircuitBreaker.Admission, change: CircuitBreaker.Change?
    ) {
        value.admit(at: now)
    }
    func finished(
        _ ticket: CircuitBreaker.Ticket, _ outcome: CircuitBreaker.Outcome, latency: Int64,
        at now: MonotonicInstant
    ) -> CircuitBreaker.Change? { value.finished(ticket, outcome, latency: latency, at: now) }
    func counts(at now: MonotonicInstant) -> (calls: Int, failures: Int, slow: Int) { value.counts(at: now) }
}

private final class Admission {
    private var value: AdmissionControl

    init(_ settings: AdmissionControlSettings) { value = AdmissionControl(settings) }

    func admit(at now: MonotonicInstant, random: inout SeededRandom) -> Bool {
        value.admit(at: now, random: &random)
    }
    func answered(isSuccess: Bool, at now: MonotonicInstant) { value.answered(isSuccess: isSuccess, at: now) }
    func rejectionProbability(at now: MonotonicInstant) -> Double { value.rejectionProbability(at: now) }
}

@Suite struct CircuitBreakerTests {
    private static let second = Nanoseconds.perSecond

    private func at(_ seconds: Double) -> MonotonicInstant {
        MonotonicInstant(nanoseconds: Int64(seconds * Double(Self.second)))
    }

    private func ticket(_ admission: CircuitBreaker.Admission) -> CircuitBreaker.Ticket? {
        switch admission {
        case .allowed(let ticket), .probe(let ticket): ticket
        case .rejected: nil
        }
    }

    /// One call; true if it was let through.
    @discardableResult
    private func call(
        _ breaker: Breaker, _ outcome: CircuitBreaker.Outcome, at now: MonotonicInstant,
        latency: Int64 = 0
    ) -> Bool {
        guard let ticket = ticket(breaker.admit(at: now).admission) else { return false }
        _ = breaker.finished(ticket, outcome, latency: latency, at: now)
        return true
    }

    @Test("Failures in a row open it, a success in between starts anew, and what says nothing does not count")
    func consecutive() {
        let breaker = Breaker(CircuitBreakerSettings(consecutiveFailuresMax: 3))
        for outcome in [CircuitBreaker.Outcome.failure, .failure, .success, .failure, .unknown, .failure] {
            #expect(call(breaker, outcome, at: .zero) && breaker.state == .closed)
        }
        #expect(call(breaker, .failure, at: .zero) && breaker.state == .open)
        #expect(!call(breaker, .success, at: at(4.9)))
        #expect(breaker.admit(at: at(4)).admission == .rejected(retryAfter: Self.second))
    }

    @Test("A failure rate opens it, of enough calls, within the window")
    func rate() {
        var settings = CircuitBreakerSettings(failureRateMax: 50)
        settings.callsMin = 10
        let breaker = Breaker(settings)
        for number in 0..<9 { call(breaker, number % 2 == 0 ? .failure : .success, at: at(1)) }
        #expect(breaker.state == .closed, "nine calls are too few")
        call(breaker, .failure, at: at(1))
        #expect(breaker.state == .open)
        let later = Breaker(settings)
        for _ in 0..<9 { call(later, .failure, at: at(1)) }
        call(later, .failure, at: at(20))
        #expect(later.state == .closed, "the old ones have left the window")
        #expect(later.counts(at: at(20)).calls == 1)
    }

    @Test("Slow calls open it by their rate, although they succeed")
    func slow() {
        var settings = CircuitBreakerSettings()
        (settings.slowCallDuration, settings.slowCallRateMax, settings.callsMin) = (Self.second, 40, 5)
        let breaker = Breaker(settings)
        for number in 0..<5 {
            call(breaker, .success, at: at(1), latency: number < 3 ? 0 : Self.second)
        }
        #expect(breaker.state == .open)
        #expect(call(breaker, .success, at: at(7), latency: Self.second) && breaker.state == .open)
        #expect(call(breaker, .success, at: at(13)) && breaker.state == .closed)
    }

    @Test("Half-open lets just so many probes through; all must succeed")
    func probes() {
        var settings = CircuitBreakerSettings(consecutiveFailuresMax: 1)
        settings.probes = 3
        let breaker = Breaker(settings)
        call(breaker, .failure, at: .zero)
        let first = breaker.admit(at: at(5))
        #expect(first.change == .halfOpened)
        let probes = [first] + (0..<2).map { _ in breaker.admit(at: at(5)) }
        #expect(probes.allSatisfy { if case .probe = $0.admission { true } else { false } })
        #expect(breaker.admit(at: at(5)).admission == .rejected(retryAfter: 5 * Self.second))
        let tickets = probes.compactMap { ticket($0.admission) }
        #expect(breaker.finished(tickets[0], .success, latency: 0, at: at(6)) == nil)
        #expect(breaker.finished(tickets[1], .unknown, latency: 0, at: at(6)) == nil)
        guard let fourth = ticket(breaker.admit(at: at(6)).admission) else {
            Issue.record("the place of a probe without a verdict is free again")
            return
        }
        #expect(breaker.finished(tickets[2], .success, latency: 0, at: at(6)) == nil)
        #expect(breaker.finished(fourth, .success, latency: 0, at: at(6)) == .closed)
        #expect(breaker.state == .closed)
    }

    @Test("Failed probes open it for longer each time, up to the bound, and closing forgets that")
    func growth() {
        var settings = CircuitBreakerSettings(consecutiveFailuresMax: 1)
        (settings.openDurationGrowth, settings.openDurationMax) = (2, 30 * Self.second)
        let breaker = Breaker(settings)
        var now = MonotonicInstant.zero
        var lengths: [Int64] = []
        for _ in 0..<5 {
            guard let ticket = ticket(breaker.admit(at: now).admission),
                case .opened(_, let length) = breaker.finished(ticket, .failure, latency: 0, at: now)
            else {
                Issue.record("it did not open")
                return
            }
            lengths.append(length / Self.second)
            now = now.advanced(byNanoseconds: length)
        }
        #expect(lengths == [5, 10, 20, 30, 30])
        call(breaker, .success, at: now)
        #expect(breaker.state == .closed)
        call(breaker, .failure, at: now)
        #expect(breaker.admit(at: now).admission == .rejected(retryAfter: 5 * Self.second))
    }

    @Test("Results of earlier states are ignored")
    func lateResults() {
        let breaker = Breaker(CircuitBreakerSettings(consecutiveFailuresMax: 2))
        let old = (0..<5).compactMap { _ in ticket(breaker.admit(at: .zero).admission) }
        for index in 0..<2 { _ = breaker.finished(old[index], .failure, latency: 0, at: .zero) }
        #expect(breaker.state == .open)
        guard let probe = ticket(breaker.admit(at: at(5)).admission) else {
            Issue.record("no probe")
            return
        }
        #expect(
            breaker.finished(old[2], .failure, latency: 0, at: at(5)) == nil && breaker.state == .halfOpen)
        #expect(
            breaker.finished(old[3], .success, latency: 0, at: at(5)) == nil && breaker.state == .halfOpen)
        #expect(breaker.finished(probe, .success, latency: 0, at: at(5)) == .closed)
        #expect(breaker.finished(old[4], .failure, latency: 0, at: at(5)) == nil)
        #expect(breaker.finished(probe, .failure, latency: 0, at: at(5)) == nil && breaker.state == .closed)
    }

    @Test("Probes that never come back do not hold it half-open for ever")
    func lostProbe() {
        let breaker = Breaker(CircuitBreakerSettings(consecutiveFailuresMax: 1))
        call(breaker, .failure, at: .zero)
        _ = breaker.admit(at: at(5))
        #expect(!call(breaker, .success, at: at(9)))
        #expect(call(breaker, .success, at: at(10)) && breaker.state == .closed)
    }

    @Test(
        "Half-open never has more probes out than it may; open never lets anything through",
        arguments: UInt64(0)..<60)
    func invariant(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var settings = CircuitBreakerSettings(
            consecutiveFailuresMax: UInt32(random.below(4)), failureRateMax: Double(random.below(80)))
        settings.probes = 1 + UInt32(random.below(4))
        settings.callsMin = 1 + UInt32(random.below(10))
        let breaker = Breaker(settings)
        var now = MonotonicInstant.zero
        var out: [(ticket: CircuitBreaker.Ticket, isProbe: Bool)] = []
        var openUntil = MonotonicInstant.zero
        for _ in 0..<2_000 {
            now = now.advanced(byNanoseconds: Int64(random.below(UInt64(Self.second / 2))))
            if random.below(2) == 0 || out.isEmpty {
                let (admission, change) = breaker.admit(at: now)
                if change == .halfOpened { out.removeAll { $0.isProbe } }
                switch admission {
                case .allowed(let ticket):
                    #expect(breaker.state == .closed)
                    out.append((ticket, false))
                case .probe(let ticket):
                    #expect(now >= openUntil && breaker.state == .halfOpen)
                    out.append((ticket, true))
                    #expect(out.count { $0.isProbe } <= Int(settings.probes))
                case .rejected(let wait):
                    #expect(wait > 0 && breaker.state != .closed)
                }
            } else {
                let call = out.remove(at: Int(random.below(UInt64(out.count))))
                let outcome = [CircuitBreaker.Outcome.success, .failure, .unknown][Int(random.below(3))]
                switch breaker.finished(call.ticket, outcome, latency: 0, at: now) {
                case .opened(_, let length):
                    #expect(outcome == .failure)
                    openUntil = now.advanced(byNanoseconds: length)
                    out.removeAll { $0.isProbe }
                case .closed:
                    #expect(call.isProbe && outcome == .success)
                    out.removeAll { $0.isProbe }
                case .halfOpened: Issue.record("a result does not half-open")
                case nil: break
                }
            }
        }
    }

    @Test("Threads agree on one state: of many failures one opens it, and one probe goes out")
    func threads() {
        for _ in 0..<20 {
            let breaker = Breaker(CircuitBreakerSettings(consecutiveFailuresMax: 50))
            let opened = Atomic<Int>(0)
            let probes = Atomic<Int>(0)
            DispatchQueue.concurrentPerform(iterations: 4) { _ in
                for _ in 0..<50 {
                    if let ticket = ticket(breaker.admit(at: .zero).admission),
                        case .opened = breaker.finished(ticket, .failure, latency: 0, at: .zero)
                    {
                        opened.wrappingAdd(1, ordering: .relaxed)
                    }
                }
            }
            DispatchQueue.concurrentPerform(iterations: 4) { _ in
                for _ in 0..<20 {
                    if case .probe = breaker.admit(at: at(6)).admission {
                        probes.wrappingAdd(1, ordering: .relaxed)
                    }
                }
            }
            #expect(opened.load(ordering: .relaxed) == 1 && probes.load(ordering: .relaxed) == 1)
        }
    }
}

@Suite struct AdmissionControlTests {
    private func control(_ change: (inout AdmissionControlSettings) -> Void = { _ in }) -> Admission {
        var settings = AdmissionControlSettings()
        change(&settings)
        return Admission(settings)
    }

    @Test(
        "The probability of a refusal follows Envoy's formula",
        arguments: [
            (100, 1, 95, 80, 0), (95, 1, 95, 80, 0), (50, 1, 95, 80, 0.46899), (0, 1, 95, 80, 0.8),
            (0, 1, 95, 100, 0.990099), (50, 2, 95, 80, 0.68483), (50, 1, 50, 80, 0), (25, 1, 50, 80, 0.49505),
            (50, 0.5, 95, 80, 0.46899),
        ] as [(Int, Double, Double, Double, Double)])
    func formula(successes: Int, aggression: Double, threshold: Double, most: Double, expected: Double) {
        let control = control {
            $0.aggression = aggression
            $0.successRateThreshold = threshold
            $0.rejectionProbabilityMax = most
        }
        for number in 0..<100 { control.answered(isSuccess: number < successes, at: .zero) }
        let probability = control.rejectionProbability(at: .zero)
        #expect(abs(probability - expected) < 1e-4)
        var random = SeededRandom(seed: 5)
        var counts = [0, 0]
        for _ in 0..<20_000 { counts[control.admit(at: .zero, random: &random) ? 1 : 0] += 1 }
        #expect(isPlausible(counts, [probability, 1 - probability]), "\(counts)")
    }

    @Test("Requests leave the window after its length, and few requests a second are never refused")
    func window() {
        let control = control()
        for _ in 0..<90 { control.answered(isSuccess: false, at: .zero) }
        let soon = MonotonicInstant(nanoseconds: 29 * Nanoseconds.perSecond)
        #expect(control.rejectionProbability(at: soon) == 0.8)
        #expect(control.rejectionProbability(at: soon.advanced(byNanoseconds: Nanoseconds.perSecond)) == 0)
        let few = self.control { $0.requestRateThreshold = 4 }
        for _ in 0..<119 { few.answered(isSuccess: false, at: .zero) }
        #expect(few.rejectionProbability(at: .zero) == 0)
        few.answered(isSuccess: false, at: .zero)
        #expect(few.rejectionProbability(at: .zero) == 0.8, "120 in 30 seconds are four a second")
    }

    @Test("What is counted is what came within the window, to a second", arguments: UInt64(0)..<30)
    func invariant(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let control = control {
            $0.rejectionProbabilityMax = 100; $0.samplingWindow = 5
        }
        var events: [(Int64, Bool)] = []
        var now: Int64 = 0
        for _ in 0..<500 {
            now += Int64(random.below(UInt64(Nanoseconds.perSecond / 4)))
            let isSuccess = random.below(3) == 0
            events.append((now, isSuccess))
            let instant = MonotonicInstant(nanoseconds: now)
            control.answered(isSuccess: isSuccess, at: instant)
            func bounds(_ length: Int64) -> (Int, Int) {
                let inside = events.filter { now - $0.0 < length }
                return (inside.count, inside.count { $0.1 })
            }
            let (all, some) = (bounds(5 * Nanoseconds.perSecond), bounds(4 * Nanoseconds.perSecond))
            let probability = control.rejectionProbability(at: instant)
            let candidates = (some.0...all.0).flatMap { n in (some.1...all.1).map { s in (n, s) } }
            #expect(
                candidates.contains { n, s in
                    abs(max(0, (Double(n) - Double(s) / 0.95) / Double(n + 1)) - probability) < 1e-9
                })
        }
    }
}
