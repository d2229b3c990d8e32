import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct LocalityBalancingTests {
    private func set(
        _ sizes: [(zone: String, weight: UInt32, count: Int)], _ locality: LocalityBalancing,
        panicThreshold: UInt32 = 50
    ) -> EndpointSet {
        var members: [EndpointSet.Member] = []
        for (index, size) in sizes.enumerated() {
            for _ in 0..<size.count {
                let address = SocketAddress(ipv4: 10, 0, UInt8(index), UInt8(members.count), port: 80)
                members.append(EndpointSet.Member(EndpointState(address: address), locality: index))
            }
        }
        return EndpointSet(
            members, panicThreshold: panicThreshold,
            localities: sizes.map {
                EndpointSet.Locality(LocalityName(zone: $0.zone), weight: $0.weight)
            }, balancing: BalancingSettings(locality: locality))
    }

    /// How often each locality was chosen.
    private func counts(
        _ set: EndpointSet, picks: Int, policy: LoadBalancingPolicy = .roundRobin, seed: UInt64 = 3
    ) -> [Int] {
        var balancer = LoadBalancer(policy)
        var random = SeededRandom(seed: seed)
        var counts = [Int](repeating: 0, count: set.localities.count)
        for _ in 0..<picks {
            if let index = balancer.pick(from: set, random: &random) {
                counts[set.members[index].locality] += 1
            }
        }
        return counts
    }

    @Test("Localities get traffic by their weights, whatever the number of their endpoints")
    func weights() {
        let set = set([("a", 1, 5), ("b", 3, 1), ("c", 0, 4)], .weighted)
        let counts = counts(set, picks: 4_000)
        #expect(abs(counts[0] - 1_000) <= 1 && abs(counts[1] - 3_000) <= 1 && counts[2] == 0, "\(counts)")
    }

    @Test("A locality's weight shrinks only when more than the overprovisioned share of it is gone")
    func effectiveWeights() {
        let set = set([("a", 1, 10), ("b", 1, 10)], .weighted)
        for index in 0..<2 { set.mark(index, adding: .ejected) }
        #expect(abs(counts(set, picks: 4_000)[0] - 2_000) <= 1, "8 of 10 times 1.4 is enough")
        for index in 2..<5 { set.mark(index, adding: .ejected) }
        // 5 of 10 times 1.4: 0.7 against 1.
        let share = Double(counts(set, picks: 17_000)[0]) / 17_000
        #expect(abs(share - 0.7 / 1.7) < 0.001, "\(share)")
    }

    private func zones(
        _ local: [(String, Int)], own: String = "a", _ change: (inout ZoneAwareSettings) -> Void = { _ in }
    ) -> LocalityBalancing {
        var settings = ZoneAwareSettings(
            ownLocality: LocalityName(zone: own),
            localCluster: local.map {
                ZoneAwareSettings.LocalZone(LocalityName(zone: $0.0), all: $0.1, healthy: $0.1)
            })
        change(&settings)
        return .zoneAware(settings)
    }

    @Test("Where the own zone has its share of endpoints, everything stays in it")
    func direct() {
        let set = set([("b", 0, 3), ("a", 0, 3)], zones([("a", 1), ("b", 1)]))
        #expect(counts(set, picks: 1_000) == [0, 1_000])
    }

    @Test("Where it has less, as much stays as fits, and the rest goes where there is room")
    func residual() {
        // Callers 40/40/20 percent, endpoints 25/50/25: stays 62.5 %; room 10 and 5 for the others.
        let set = set([("a", 0, 2), ("b", 0, 4), ("c", 0, 2)], zones([("a", 4), ("b", 4), ("c", 2)]))
        let counts = counts(set, picks: 60_000)
        #expect(isPlausible(counts, [0.625, 0.25, 0.125]), "\(counts)")
    }

    @Test("A proxy whose zone has no endpoint sends everything where there is room")
    func foreign() {
        let set = set([("b", 0, 4), ("c", 0, 4)], zones([("a", 1), ("b", 1), ("c", 2)]))
        // Callers: b 25, c 50 percent; endpoints 50 and 50: only b has room.
        #expect(counts(set, picks: 1_000) == [1_000, 0])
    }

    @Test("All proxies together load every endpoint alike", arguments: UInt64(0)..<20)
    func fairness(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let callers = (0..<3).map { _ in 1 + Int(random.below(9)) }
        let endpoints = (0..<3).map { _ in 2 + Int(random.below(9)) }
        let names = ["a", "b", "c"]
        var load = [Double](repeating: 0, count: 3)
        for (zone, name) in names.enumerated() {
            let set = set(
                zip(names, endpoints).map { ($0, 0, $1) },
                zones(Array(zip(names, callers)), own: name) { $0.clusterSizeMin = 1 })
            let counts = counts(set, picks: 20_000, seed: seed)
            for index in 0..<3 { load[index] += Double(callers[zone] * counts[index]) / 20_000 }
        }
        let total = Double(callers.reduce(0, +))
        for index in 0..<3 {
            let expected = Double(endpoints[index]) / Double(endpoints.reduce(0, +))
            #expect(abs(load[index] / total - expected) < 0.02, "\(callers) \(endpoints) \(load)")
        }
    }

    @Test(
        "Zones are not looked at for small clusters, few zones, a share of requests, or a local cluster in panic"
    )
    func notLookedAt() {
        let even = [1_000.0 / 3 / 1_000, 2_000.0 / 3 / 1_000]
        func spread(_ locality: LocalityBalancing, _ sizes: [(String, UInt32, Int)]) -> [Int] {
            counts(set(sizes, locality), picks: 3_000)
        }
        let small = spread(zones([("a", 1), ("b", 1)]), [("a", 0, 1), ("b", 0, 2)])
        #expect(isPlausible(small, even), "\(small)")
        let oneZone = spread(zones([("a", 1)]), [("a", 0, 3), ("b", 0, 6)])
        #expect(isPlausible(oneZone, even), "\(oneZone)")
        let forced = spread(zones([("a", 1)]) { $0.forcesOwnLocality = true }, [("a", 0, 3), ("b", 0, 6)])
        #expect(forced == [3_000, 0])
        let part = spread(
            zones([("a", 1), ("b", 9)]) { $0.routingEnabled = 50 }, [("a", 0, 3), ("b", 0, 3)])
        #expect(isPlausible(part, [0.75, 0.25]), "\(part)")
        var settings = ZoneAwareSettings(
            ownLocality: LocalityName(zone: "a"),
            localCluster: [
                .init(LocalityName(zone: "a"), all: 4, healthy: 1),
                .init(LocalityName(zone: "b"), all: 4, healthy: 1),
            ])
        let panic = spread(.zoneAware(settings), [("a", 0, 4), ("b", 0, 4)])
        #expect(abs(panic[0] - 1_500) <= 1, "\(panic)")
        settings.failsTrafficOnPanic = true
        #expect(spread(.zoneAware(settings), [("a", 0, 4), ("b", 0, 4)]) == [0, 0])
    }
}

@Suite struct SlowStartTests {
    private func counts(_ settings: SlowStartSettings, age: Int64, policy: LoadBalancingPolicy = .roundRobin)
        -> [Int]
    {
        let states = (0..<2).map { EndpointState(address: SocketAddress(ipv4: 10, 0, 0, $0, port: 80)) }
        let set = EndpointSet(
            states.map { EndpointSet.Member($0) }, balancing: BalancingSettings(slowStart: settings))
        let now = MonotonicInstant(nanoseconds: 1_000 * Nanoseconds.perSecond)
        states[0].becameHealthy(at: .zero)
        states[1].becameHealthy(at: now.advanced(byNanoseconds: -age))
        var balancer = LoadBalancer(policy)
        var random = SeededRandom(seed: 1)
        var counts = [0, 0]
        for _ in 0..<11_000 {
            if let pick = balancer.pick(from: set, at: now, random: &random) { counts[pick] += 1 }
        }
        return counts
    }

    @Test(
        "The share of a new endpoint grows with its age, by the aggression, from its minimum",
        arguments: [
            (1.0, 0.1, Int64(0), 0.1), (1, 0.1, 50, 0.5), (1, 0.1, 5, 0.1), (2, 0, 25, 0.5),
            (0.5, 0, 50, 0.25),
            (1, 0.1, 100, 1), (1, 0.1, 500, 1),
        ])
    func shares(aggression: Double, weightMin: Double, percent: Int64, weight: Double) {
        let settings = SlowStartSettings(
            window: 10 * Nanoseconds.perSecond, aggression: aggression, weightMin: weightMin)
        for policy in [LoadBalancingPolicy.roundRobin, .leastRequest(choices: 2)]
        where percent <= 100 || policy == .roundRobin {
            let counts = counts(settings, age: percent * 100 * Nanoseconds.perMillisecond, policy: policy)
            let expected = 11_000 * weight / (1 + weight)
            #expect(abs(Double(counts[1]) - expected) <= 3, "\(counts)")
        }
    }
}

@Suite struct PeakEWMATests {
    @Test("The faster endpoint is chosen, and a slow one is tried again when its peak has faded")
    func latencies() {
        let settings = PeakEWMASettings(decayTime: Nanoseconds.perSecond)
        let set = EndpointSet(
            (0..<2).map {
                EndpointSet.Member(EndpointState(address: SocketAddress(ipv4: 10, 0, 0, $0, port: 80)))
            })
        var balancer = LoadBalancer(.peakEWMA(settings))
        var random = SeededRandom(seed: 1)
        var now = MonotonicInstant.zero
        set.answered(0, latency: 5 * Nanoseconds.perMillisecond, at: now, settings)
        set.answered(1, latency: 50 * Nanoseconds.perMillisecond, at: now, settings)
        #expect((0..<50).allSatisfy { _ in balancer.pick(from: set, at: now, random: &random) == 0 })
        for _ in 0..<10 { set.requestStarted(0) }
        #expect(balancer.pick(from: set, at: now, random: &random) == 1, "5 ms times 11 against 50 ms")
        for _ in 0..<10 { set.requestEnded(0, isSuccess: true) }
        for _ in 0..<30 {
            now = now.advanced(byNanoseconds: Nanoseconds.perSecond / 10)
            set.answered(0, latency: 5 * Nanoseconds.perMillisecond, at: now, settings)
        }
        #expect(balancer.pick(from: set, at: now, random: &random) == 1, "50 ms have faded to 2.5")
    }

    @Test("Samples are smoothed by their age, and peaks count at once")
    func smoothing() {
        let smooth = PeakEWMASettings(decayTime: Nanoseconds.perSecond, jumpsToPeaks: false)
        let state = EndpointState(address: SocketAddress(ipv4: 10, 0, 0, 1, port: 80))
        #expect(state.latency.cost(requestsActive: 0, at: .zero, smooth) == 10)
        #expect(state.latency.cost(requestsActive: 2, at: .zero, smooth) == 1_000_002)
        state.latency.add(10 * Nanoseconds.perMillisecond, at: .zero, smooth)
        let later = MonotonicInstant(nanoseconds: Nanoseconds.perSecond)
        state.latency.add(20 * Nanoseconds.perMillisecond, at: later, smooth)
        // 20 - 10 / e.
        #expect(abs(state.latency.milliseconds - 16.321) < 0.01)
        #expect(abs(state.latency.cost(requestsActive: 1, at: later, smooth) - 32.642) < 0.02)
        state.latency.add(100 * Nanoseconds.perMillisecond, at: later, PeakEWMASettings())
        #expect(state.latency.milliseconds == 100)
    }
}
