import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct HealthCheckTests {
    private let second = Nanoseconds.perSecond

    private func settings(_ change: (inout HealthCheckSettings) -> Void = { _ in }) -> HealthCheckSettings {
        var settings = HealthCheckSettings(
            timeout: second, interval: 10 * second, unhealthyThreshold: 3, healthyThreshold: 2)
        change(&settings)
        return settings
    }

    /// p passed, d passed but degraded, a active, r retriable, n network, t time-out; gives H or U after each.
    private func healths(_ events: String, _ settings: HealthCheckSettings) -> String {
        var state = HealthCheckState(settings)
        var random = SeededRandom(seed: 1)
        return String(
            events.map { event -> Character in
                let result: HealthCheckResult =
                    switch event {
                    case "p": .passed(isDegraded: false)
                    case "d": .passed(isDegraded: true)
                    case "a": .failed(.active)
                    case "r": .failed(.retriable)
                    case "n": .failed(.network)
                    default: .failed(.timeout)
                    }
                let decision = state.checked(result, settings, hasTraffic: true, random: &random)
                #expect(decision.marks == state.marks)
                return state.isHealthy ? "H" : "U"
            })
    }

    @Test(
        "Thresholds, with the first check deciding at once and an answer that says so too",
        arguments: [
            ("p", "H"), ("n", "U"), ("nnnp", "UUUU"), ("nppp", "UUHH"), ("npnpp", "UUUUH"), ("pnnn", "HHHU"),
            ("pnnpnnn", "HHHHHHU"), ("pa", "HU"), ("prrr", "HHHU"), ("ptnt", "HHHU"), ("papp", "HUUH"),
            ("d", "H"), ("pd", "HH"),
        ])
    func thresholds(events: String, expected: String) { #expect(healths(events, settings()) == expected) }

    @Test("The time to the next check, in every situation")
    func intervals() {
        let settings = settings {
            $0.noTrafficInterval = 60 * second
            $0.noTrafficHealthyInterval = 90 * second
            $0.unhealthyInterval = 20 * second
            $0.unhealthyEdgeInterval = 5 * second
            $0.healthyEdgeInterval = 7 * second
        }
        var state = HealthCheckState(settings)
        var random = SeededRandom(seed: 1)
        func next(_ isPassed: Bool, hasTraffic: Bool = true) -> Int64 {
            let result = isPassed ? HealthCheckResult.passed(isDegraded: false) : .failed(.network)
            return (state.checked(result, settings, hasTraffic: hasTraffic, random: &random).nextCheck ?? 0)
                / second
        }
        #expect([next(false), next(true), next(true), next(true)] == [20, 7, 10, 10])
        #expect([next(false), next(false), next(false), next(false)] == [5, 5, 20, 20])
        #expect(next(false, hasTraffic: false) == 60 && next(true, hasTraffic: false) == 60)
        #expect(next(true, hasTraffic: false) == 90)
        let plain = HealthCheckSettings(
            timeout: second, interval: 10 * second, unhealthyThreshold: 2, healthyThreshold: 2)
        var other = HealthCheckState(plain)
        #expect(
            other.checked(.failed(.network), plain, hasTraffic: true, random: &random).nextCheck == 10
                * second)
        #expect(
            other.checked(.failed(.network), plain, hasTraffic: false, random: &random).nextCheck == 60
                * second)
    }

    @Test(
        "Jitter is added in whole milliseconds and below its bounds, and no wait is nothing",
        arguments: UInt64(0)..<50)
    func jitter(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let settings = settings {
            $0.intervalJitter = second
            $0.intervalJitterPercent = 20
            $0.initialJitter = 3 * second
        }
        var state = HealthCheckState(settings)
        let wait =
            state.checked(.passed(isDegraded: false), settings, hasTraffic: true, random: &random).nextCheck
            ?? 0
        #expect(wait >= 10 * second && wait < 13 * second && wait % Nanoseconds.perMillisecond == 0)
        let first = HealthCheckState.firstCheck(settings, random: &random)
        #expect(first >= Nanoseconds.perMillisecond && first < 3 * second)
        #expect(HealthCheckState.firstCheck(self.settings(), random: &random) == 0)
    }

    @Test("An immediate failure leaves the endpoint out until it is healthy again")
    func immediate() {
        let settings = settings()
        var state = HealthCheckState(settings, startsHealthy: true)
        var random = SeededRandom(seed: 1)
        let decision = state.immediateFailure(settings, isCheck: false)
        #expect(decision.transition == .changed && decision.nextCheck == nil)
        #expect(decision.marks.isExcluded && decision.marks.health == .unhealthy)
        #expect(decision.events.contains(.ejectUnhealthy))
        #expect(state.immediateFailure(settings, isCheck: false).events.isEmpty)
        _ = state.checked(.passed(isDegraded: false), settings, hasTraffic: true, random: &random)
        #expect(state.marks.isExcluded)
        let last = state.checked(.passed(isDegraded: false), settings, hasTraffic: true, random: &random)
        #expect(!last.marks.isExcluded && last.marks.health == .healthy && last.becameHealthy)
    }

    @Test("New endpoints can be left out until their first check, and time-outs are told apart")
    func marks() {
        let settings = settings { $0.ignoresNewHosts = true }
        var state = HealthCheckState(settings)
        var random = SeededRandom(seed: 1)
        #expect(state.marks == [.checkFailed, .checkPending] && state.marks.isExcluded)
        let first = state.checked(.failed(.timeout), settings, hasTraffic: true, random: &random)
        #expect(first.marks == [.checkFailed, .checkTimedOut] && first.transition == .changed)
        #expect(first.events == .failure && first.isFirstCheck)
        let second = state.checked(.failed(.network), settings, hasTraffic: true, random: &random)
        #expect(second.marks == .checkFailed && second.events.isEmpty && !second.isFirstCheck)
    }

    @Test("Degraded comes and goes with the answers")
    func degraded() {
        let settings = settings()
        var state = HealthCheckState(settings)
        var random = SeededRandom(seed: 1)
        let one = state.checked(.passed(isDegraded: true), settings, hasTraffic: true, random: &random)
        #expect(one.marks.health == .degraded && one.events == [.addHealthy, .degraded])
        let two = state.checked(.passed(isDegraded: false), settings, hasTraffic: true, random: &random)
        #expect(two.marks.health == .healthy && two.events == .noLongerDegraded && two.transition == .changed)
    }

    @Test(
        "Statuses: 200 alone unless said, others count at once unless retriable",
        arguments: [
            (200, HealthCheckResult.passed(isDegraded: false)), (201, .failed(.active)),
            (503, .failed(.active)),
        ] as [(UInt16, HealthCheckResult)])
    func statuses(status: UInt16, expected: HealthCheckResult) {
        #expect(HTTPHealthStatuses().judge(status, isDegraded: false) == expected)
        var wide = HTTPHealthStatuses()
        (wide.expected, wide.retriable) = ([200..<202], [500..<600])
        #expect(wide.judge(201, isDegraded: true) == .passed(isDegraded: true))
        #expect(wide.judge(503, isDegraded: false) == .failed(.retriable))
    }

    @Test(
        "Health changes only after as many results in a row as the thresholds say", arguments: UInt64(0)..<50)
    func invariant(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let settings = settings {
            $0.unhealthyThreshold = 1 + UInt32(random.below(4))
            $0.healthyThreshold = 1 + UInt32(random.below(4))
        }
        var state = HealthCheckState(settings)
        var (inARow, lastPassed, isFirst) = (UInt32(0), false, true)
        for _ in 0..<500 {
            let isPassed = random.below(2) == 0
            inARow = isPassed == lastPassed ? inARow + 1 : 1
            lastPassed = isPassed
            let before = state.isHealthy
            let decision = state.checked(
                isPassed ? .passed(isDegraded: false) : .failed(.network), settings, hasTraffic: true,
                random: &random)
            let needed = isPassed ? settings.healthyThreshold : settings.unhealthyThreshold
            if before != state.isHealthy {
                #expect(state.isHealthy == isPassed && (isFirst || inARow >= needed))
            }
            if inARow >= needed { #expect(state.isHealthy == isPassed) }
            #expect((decision.transition == .changed) == (before != state.isHealthy))
            #expect((decision.transition == .pending) == (isPassed != state.isHealthy))
            isFirst = false
        }
    }
}
