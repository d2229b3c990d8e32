import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct OutlierDetectorTests {
    private let second = Nanoseconds.perSecond

    /// A cluster with its detector, and what the shell would do.
    private struct Cluster {
        let detector: OutlierDetector
        let monitors: [OutlierMonitor]
        var random = SeededRandom(seed: 7)
        var now = MonotonicInstant.zero

        init(_ count: Int, _ settings: OutlierSettings) {
            detector = OutlierDetector(settings)
            monitors = (0..<count).map { _ in OutlierMonitor() }
            for monitor in monitors { detector.add(monitor) }
        }

        mutating func report(_ index: Int, _ result: OutlierResult, times: Int = 1)
            -> [OutlierDecision.Kind]
        {
            var kinds: [OutlierDecision.Kind] = []
            for _ in 0..<times {
                let reasons = detector.record(monitors[index], result)
                if reasons.isEmpty { continue }
                kinds += detector.suspect(monitors[index], reasons, at: now, random: &random).map(\.kind)
            }
            return kinds
        }

        mutating func interval(after seconds: Int64) -> [OutlierDecision.Kind] {
            now = now.advanced(byNanoseconds: seconds * Nanoseconds.perSecond)
            return detector.intervalEnded(at: now, random: &random).map(\.kind)
        }

        var ejected: [Int] { monitors.indices.filter { monitors[$0].isEjected } }
    }

    private func settings(_ change: (inout OutlierSettings) -> Void = { _ in }) -> OutlierSettings {
        var settings = OutlierSettings.envoyDefault
        change(&settings)
        return settings
    }

    private func ejection(_ reason: OutlierReason, _ number: UInt32 = 1, _ seconds: Int64 = 30)
        -> OutlierDecision.Kind
    {
        .ejected(reason, ejections: number, longest: seconds * Nanoseconds.perSecond)
    }

    @Test("Five failures in a row put an endpoint aside, and a success in between starts anew")
    func consecutive() {
        var cluster = Cluster(10, settings())
        #expect(cluster.report(0, .answered(status: 500), times: 4).isEmpty)
        #expect(cluster.report(0, .answered(status: 404)).isEmpty)
        #expect(cluster.report(0, .answered(status: 500), times: 4).isEmpty)
        #expect(cluster.report(0, .answered(status: 500)) == [ejection(.consecutive5xx)])
        #expect(cluster.report(0, .answered(status: 500), times: 50).isEmpty, "it is aside already")
    }

    @Test("Gateway failures count apart, and by default are only detected")
    func gateway() {
        var cluster = Cluster(10, settings { $0.consecutive5xx = 100 })
        #expect(cluster.report(0, .answered(status: 503), times: 4).isEmpty)
        #expect(cluster.report(0, .answered(status: 500)).isEmpty)
        #expect(
            cluster.report(0, .answered(status: 503), times: 5) == [.notEnforced(.consecutiveGatewayFailure)])
        #expect(
            cluster.report(0, .answered(status: 504), times: 10).count == 2,
            "and detected again after each five")
        var enforcing = Cluster(10, settings { $0.enforcingConsecutiveGatewayFailure = 100 })
        #expect(
            enforcing.report(0, .answered(status: 502), times: 5) == [ejection(.consecutiveGatewayFailure)])
    }

    @Test("What our own side sees counts as 5xx, or apart where that is asked for")
    func localOrigin() {
        var joined = Cluster(10, settings())
        #expect(joined.report(0, .connectFailed, times: 3).isEmpty && joined.report(0, .connected).isEmpty)
        #expect(
            joined.report(0, .timedOut, times: 2)
                == [.notEnforced(.consecutiveGatewayFailure), ejection(.consecutive5xx)])
        var split = Cluster(10, settings { $0.splitsLocalOriginErrors = true })
        #expect(split.report(0, .connectFailed, times: 4).isEmpty)
        #expect(split.report(0, .answered(status: 500), times: 4).isEmpty)
        #expect(split.report(0, .connected).isEmpty)
        #expect(split.report(0, .connectFailed, times: 4).isEmpty)
        #expect(split.report(0, .timedOut) == [ejection(.consecutiveLocalOriginFailure)])
    }

    @Test(
        "At most the percentage is aside at once, to the last digit",
        arguments: [
            (10, 10, OutlierSettings.Bound.percent, 1), (5, 10, .percent, 0), (9, 10, .percent, 0),
            (10, 20, .percent, 2), (3, 100, .percent, 3), (3, 67, .percent, 2), (3, 66, .percent, 1),
            (5, 10, .percentOrOne, 1), (1, 10, .percentOrOne, 1), (5, 10, .percentOrOneNeverTheLast, 1),
            (1, 10, .percentOrOneNeverTheLast, 0), (2, 10, .percentOrOneNeverTheLast, 1),
            (3, 100, .percentOrOneNeverTheLast, 2),
        ])
    func bounds(count: Int, percent: UInt32, bound: OutlierSettings.Bound, expected: Int) {
        var cluster = Cluster(
            count,
            settings {
                $0.ejectionPercentMax = percent
                $0.bound = bound
                $0.consecutiveGatewayFailure = 0
            })
        var overflows = 0
        for index in 0..<count {
            overflows += cluster.report(index, .answered(status: 500), times: 5)
                .count { $0 == .overflowed(.consecutive5xx) }
        }
        #expect(cluster.ejected.count == expected && overflows == count - expected)
        #expect(cluster.detector.ejectedCount == expected)
    }

    @Test(
        "Each ejection takes a base time longer than the last, up to the cap, and quiet intervals shorten it again"
    )
    func backoff() {
        var cluster = Cluster(10, settings { $0.maxEjectionTime = 90 * Nanoseconds.perSecond })
        var lengths: [Int64] = []
        for _ in 0..<6 {
            _ = cluster.report(0, .answered(status: 500), times: 5)
            var waited: Int64 = 0
            while cluster.monitors[0].isEjected {
                _ = cluster.interval(after: 10)
                waited += 10
            }
            lengths.append(waited)
        }
        #expect(lengths == [30, 60, 90, 90, 90, 90])
        // The factor stands at 4: the cap and one more. Each of these takes one away.
        for _ in 0..<3 { #expect(cluster.interval(after: 10).isEmpty) }
        #expect(cluster.report(0, .answered(status: 500), times: 5) == [ejection(.consecutive5xx, 7, 60)])
    }

    @Test("Jitter lengthens an ejection, by less than its bound", arguments: UInt64(0)..<20)
    func jitter(seed: UInt64) {
        var cluster = Cluster(10, settings { $0.maxEjectionTimeJitter = 20 * Nanoseconds.perSecond })
        cluster.random = SeededRandom(seed: seed)
        _ = cluster.report(0, .answered(status: 500), times: 5)
        #expect(cluster.interval(after: 29).isEmpty)
        #expect(cluster.interval(after: 22) == [.returned])
    }

    @Test("A health check that passes ends an ejection, unless that is switched off")
    func check() {
        for ends in [true, false] {
            var cluster = Cluster(10, settings { $0.checkEndsEjection = ends })
            _ = cluster.report(3, .answered(status: 500), times: 5)
            let decision = cluster.detector.checkPassed(cluster.monitors[3], at: cluster.now)
            #expect((decision?.kind == .returned) == ends && cluster.monitors[3].isEjected == !ends)
            #expect(cluster.detector.checkPassed(cluster.monitors[4], at: cluster.now) == nil)
        }
    }

    @Test("Success rates: one endpoint far below the others goes, by 1.9 standard deviations")
    func successRate() {
        var cluster = Cluster(10, settings { $0.consecutive5xx = 0 })
        for index in 0..<10 {
            for number in 0..<100 {
                let isFailure = index == 4 ? number < 50 : number == 0
                _ = cluster.report(index, .answered(status: isFailure ? 500 : 200))
            }
        }
        #expect(cluster.interval(after: 10) == [ejection(.successRate)] && cluster.ejected == [4])
        let (average, threshold) = cluster.detector.successRates
        #expect(abs(average - 94.1) < 1e-9 && abs(threshold - (94.1 - 1.9 * 14.7)) < 1e-9)
        #expect(cluster.monitors[4].successRate == 50 && cluster.monitors[0].successRate == 99)
        #expect(cluster.interval(after: 10).isEmpty && cluster.monitors[0].successRate == -1)
    }

    @Test("Too few endpoints or too few requests say nothing about rates")
    func volumes() {
        var few = Cluster(
            4,
            settings {
                $0.consecutive5xx = 0; $0.consecutiveGatewayFailure = 0
            })
        for index in 0..<4 { _ = few.report(index, .answered(status: index == 0 ? 500 : 200), times: 200) }
        #expect(few.interval(after: 10).isEmpty)
        var rare = Cluster(
            6,
            settings {
                $0.consecutive5xx = 0; $0.consecutiveGatewayFailure = 0
            })
        for index in 0..<6 { _ = rare.report(index, .answered(status: index == 0 ? 500 : 200), times: 49) }
        #expect(rare.interval(after: 10).isEmpty)
    }

    @Test("Failure percentages are compared with a fixed threshold")
    func failurePercentage() {
        var cluster = Cluster(
            10,
            settings {
                $0.consecutive5xx = 0
                $0.enforcingSuccessRate = 0
                $0.enforcingFailurePercentage = 100
                $0.ejectionPercentMax = 50
            })
        for index in 0..<10 {
            for number in 0..<100 {
                let percent = [85, 84, 100, 0, 0, 0, 0, 0, 0, 0][index]
                _ = cluster.report(index, .answered(status: number < percent ? 500 : 200))
            }
        }
        _ = cluster.interval(after: 10)
        #expect(cluster.ejected == [0, 2])
    }

    @Test("Bounds hold and books balance, whatever comes", arguments: UInt64(0)..<40)
    func invariant(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let count = 1 + Int(random.below(12))
        let percent = UInt32(random.below(101))
        let bound = [OutlierSettings.Bound.percent, .percentOrOne, .percentOrOneNeverTheLast][
            Int(random.below(3))]
        var cluster = Cluster(
            count,
            settings {
                $0.ejectionPercentMax = percent
                $0.bound = bound
                $0.successRateRequestVolume = 10
                $0.failurePercentageRequestVolume = 10
                $0.enforcingFailurePercentage = 50
                $0.splitsLocalOriginErrors = seed % 2 == 0
            })
        for _ in 0..<3_000 {
            let index = Int(random.below(UInt64(count)))
            switch random.below(8) {
            case 0...2: _ = cluster.report(index, .answered(status: 200))
            case 3: _ = cluster.report(index, .answered(status: UInt16(500 + random.below(6))), times: 3)
            case 4: _ = cluster.report(index, .connectFailed, times: 2)
            case 5: _ = cluster.report(index, .timedOut)
            case 6: _ = cluster.detector.checkPassed(cluster.monitors[index], at: cluster.now)
            default: if random.below(10) == 0 { _ = cluster.interval(after: 10) }
            }
            // Never more aside than the bound says, and the count is the number of those marked.
            let ejected = cluster.ejected.count
            let share = 100.0 * Double(ejected) / Double(count)
            #expect(ejected == cluster.detector.ejectedCount)
            switch bound {
            case .percent: #expect(share <= Double(percent))
            case .percentOrOne: #expect(ejected <= 1 || share <= Double(percent))
            case .percentOrOneNeverTheLast:
                #expect(ejected < count && (ejected <= 1 || share <= Double(percent)))
            }
        }
        for monitor in cluster.monitors { cluster.detector.remove(monitor) }
        #expect(cluster.detector.ejectedCount == 0)
    }
}
