import MeshPrimitives
import Testing
import TrafficPolicy

private func endpoints(
    _ weights: [UInt32], priorities: [UInt32]? = nil, panicThreshold: UInt32 = 50
) -> EndpointSet {
    let members = weights.enumerated().map { index, weight in
        EndpointSet.Member(
            EndpointState(
                address: SocketAddress(ipv4: 10, 0, UInt8(index >> 8), UInt8(index & 255), port: 80)),
            weight: weight, priority: priorities?[index] ?? 0)
    }
    return EndpointSet(members, panicThreshold: panicThreshold)
}

@Suite struct LoadBalancerTests {
    private func counts(
        _ policy: LoadBalancingPolicy, _ set: EndpointSet, picks: Int, seed: UInt64 = 7
    ) -> [Int] {
        var balancer = LoadBalancer(policy)
        var random = SeededRandom(seed: seed)
        var counts = [Int](repeating: 0, count: set.count)
        for _ in 0..<picks {
            if let index = balancer.pick(from: set, random: &random) { counts[index] += 1 }
        }
        return counts
    }

    @Test("Round robin gives each endpoint its turn", arguments: 1...7)
    func roundRobin(count: Int) {
        let set = endpoints([UInt32](repeating: 1, count: count))
        #expect(counts(.roundRobin, set, picks: 10 * count) == [Int](repeating: 10, count: count))
    }

    @Test("Weighted round robin is exact over every cycle to one turn", arguments: UInt64(0)..<30)
    func weighted(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let weights = (0..<(2 + random.below(6))).map { _ in UInt32(1 + random.below(9)) }
        let set = endpoints(weights)
        let cycle = Int(weights.reduce(0, +))
        var balancer = LoadBalancer(.roundRobin)
        let picks = (0..<(3 * cycle)).compactMap { _ in balancer.pick(from: set, random: &random) }
        for start in stride(from: 0, to: 2 * cycle, by: 1) {
            let window = picks[start..<(start + cycle)]
            for (index, weight) in weights.enumerated() {
                #expect(abs(window.count { $0 == index } - Int(weight)) <= 1)
            }
        }
    }

    @Test(
        "Unequal weights take their turns by earliest deadline, from a fresh start and from every later one")
    func deadlines() {
        let set = endpoints([1, 2, 3])
        var random = SeededRandom(seed: 1)
        for _ in 0..<20 {
            var balancer = LoadBalancer(.roundRobin)
            let picks = (0..<60).compactMap { _ in balancer.pick(from: set, random: &random) }
            // One cycle of Envoy's schedule over weights 1, 2, 3 and its rotations.
            let text = picks.map(String.init).joined()
            let cycle = text.prefix(6)
            #expect(cycle.filter { $0 == "0" }.count == 1 && cycle.filter { $0 == "2" }.count == 3, "\(text)")
            #expect(!text.contains("222") && !text.contains("11"), "\(text)")
        }
    }

    @Test("Random treats all alike, whatever their weight")
    func random() {
        let counts = counts(.random, endpoints([1, 1, 7, 1, 3]), picks: 50_000)
        #expect(isPlausible(counts, [0.2, 0.2, 0.2, 0.2, 0.2]), "\(counts)")
    }

    @Test("Of two endpoints the busy one still gets a quarter under least request")
    func leastRequest() {
        let set = endpoints([1, 1])
        for _ in 0..<10 { set.requestStarted(0) }
        let counts = counts(.leastRequest(choices: 2), set, picks: 40_000)
        #expect(isPlausible(counts, [0.25, 0.75]), "\(counts)")
    }

    @Test("Idle endpoints share by their number or their weights under least request")
    func leastRequestIdle() {
        let equal = counts(.leastRequest(choices: 2), endpoints([1, 1, 1, 1]), picks: 40_000)
        #expect(isPlausible(equal, [0.25, 0.25, 0.25, 0.25]), "\(equal)")
        let unequal = counts(.leastRequest(choices: 2), endpoints([1, 3]), picks: 40_000)
        #expect(abs(unequal[0] - 10_000) <= 1, "\(unequal)")
        let drawn = counts(
            .leastLoaded(LeastRequestSettings(drawsByWeight: true)), endpoints([1, 3]), picks: 40_000)
        #expect(drawn[1] > 3 * drawn[0], "\(drawn)")
    }

    @Test(
        "Under a schedule an endpoint with requests in flight weighs less when its turn comes",
        arguments: [0.0, 0.5, 1, 2])
    func bias(bias: Double) {
        let set = endpoints([1, 2])
        for _ in 0..<3 { set.requestStarted(1) }
        let policy = LoadBalancingPolicy.leastLoaded(LeastRequestSettings(activeRequestBias: bias))
        let counts = counts(policy, set, picks: 10_000)
        // 2 / 4^bias against 1.
        let weights: [Double: Double] = [0: 2, 0.5: 1, 1: 0.5, 2: 0.125]
        let weight = weights[bias] ?? 0
        let expected = 10_000 * weight / (1 + weight)
        #expect(abs(Double(counts[1]) - expected) <= 3, "\(counts)")
    }

    @Test("A full scan finds the least loaded, and equals share")
    func fullScan() {
        let set = endpoints([1, 1, 1, 1, 1])
        set.requestStarted(0)
        set.requestStarted(3)
        let counts = counts(.leastLoaded(LeastRequestSettings(scansAll: true)), set, picks: 30_000)
        #expect(counts[0] == 0 && counts[3] == 0)
        #expect(isPlausible([counts[1], counts[2], counts[4]], [1.0 / 3, 1.0 / 3, 1.0 / 3]), "\(counts)")
    }

    @Test("With more choices the least loaded one wins nearly always")
    func choices() {
        let set = endpoints([1, 1, 1, 1])
        for index in 1..<4 { set.requestStarted(index) }
        #expect(counts(.leastRequest(choices: 16), set, picks: 1_000)[0] > 970)
        for index in 1..<4 { set.requestEnded(index, isSuccess: index > 1) }
        #expect(set.requestsActive(1) == 0 && set[1].requestsFailed.load(ordering: .relaxed) == 1)
    }

    @Test("An unhealthy endpoint gets nothing until it is well again")
    func health() {
        let set = endpoints([1, 1, 1])
        var balancer = LoadBalancer(.roundRobin)
        var random = SeededRandom(seed: 3)
        set.mark(1, adding: .ejected)
        let without = (0..<30).compactMap { _ in balancer.pick(from: set, random: &random) }
        #expect(without.count == 30 && !without.contains(1) && !balancer.isPanicking)
        set.mark(1, adding: .checkFailed)
        set.mark(1, removing: .ejected)
        #expect(!(0..<30).contains { _ in balancer.pick(from: set, random: &random) == 1 })
        set.mark(1, removing: .checkFailed)
        #expect((0..<30).count { _ in balancer.pick(from: set, random: &random) == 1 } == 10)
    }

    @Test("Below the panic threshold health is ignored, also when everything is ejected")
    func panic() {
        let set = endpoints([1, 1, 1, 1])
        var balancer = LoadBalancer(.roundRobin)
        var random = SeededRandom(seed: 3)
        for index in 0..<3 { set.mark(index, adding: .ejected) }
        #expect(Set((0..<8).compactMap { _ in balancer.pick(from: set, random: &random) }).count == 4)
        let isPanicking = balancer.isPanicking
        #expect(isPanicking)
        set.mark(3, adding: .ejected)
        #expect(Set((0..<8).compactMap { _ in balancer.pick(from: set, random: &random) }).count == 4)
        set.mark(0, removing: .ejected)
        set.mark(1, removing: .ejected)
        #expect(Set((0..<8).compactMap { _ in balancer.pick(from: set, random: &random) }) == [0, 1])
    }

    @Test("Without a panic threshold nobody is chosen when nobody is healthy, and an empty set has nobody")
    func nobody() {
        var balancer = LoadBalancer(.random)
        var random = SeededRandom(seed: 3)
        let set = endpoints([1, 1], panicThreshold: 0)
        for index in 0..<2 { set.mark(index, adding: .discoveredUnhealthy) }
        #expect(balancer.pick(from: set, random: &random) == nil)
        #expect(balancer.pick(from: endpoints([]), random: &random) == nil)
        #expect(balancer.pick(from: endpoints([1]), random: &random) == 0)
    }

    @Test("A lower priority helps out as far as the higher one cannot")
    func priorities() {
        let set = endpoints([UInt32](repeating: 1, count: 20), priorities: (0..<20).map { $0 < 10 ? 0 : 3 })
        #expect(counts(.roundRobin, set, picks: 100)[10...].allSatisfy { $0 == 0 })
        for index in 0..<5 { set.mark(index, adding: .ejected) }
        let spilled = counts(.roundRobin, set, picks: 100_000)
        let high = spilled[..<10].reduce(0, +)
        #expect(abs(high - 70_000) < 700, "5 of 10 healthy: 70 %")
        #expect(spilled[..<5].allSatisfy { $0 == 0 })
    }

    @Test("A retry avoids the endpoints that were tried, as far as its draws go", arguments: UInt64(0)..<20)
    func previous(seed: UInt64) {
        let set = endpoints([1, 1, 1])
        var balancer = LoadBalancer(.roundRobin)
        var random = SeededRandom(seed: seed)
        var previous = PreviousEndpoints()
        var picked: [Int] = []
        for _ in 0..<3 {
            guard let index = balancer.pick(from: set, random: &random, avoiding: previous, drawsMax: 5)
            else {
                Issue.record("nobody was chosen")
                return
            }
            picked.append(index)
            previous.add(set.address(index))
        }
        #expect(Set(picked).count == 3)
        #expect(balancer.pick(from: set, random: &random, avoiding: previous, drawsMax: 5) != nil)
    }

    @Test("Canaries are passed over where a predicate says so")
    func canaries() {
        let states = (0..<3).map { EndpointState(address: SocketAddress(ipv4: 10, 0, 0, $0, port: 80)) }
        let set = EndpointSet(states.enumerated().map { EndpointSet.Member($1, isCanary: $0 != 1) })
        var balancer = LoadBalancer(.roundRobin)
        var random = SeededRandom(seed: 5)
        for _ in 0..<20 {
            let index = balancer.pick(
                from: set, random: &random, avoiding: PreviousEndpoints(), drawsMax: 3, predicates: .canaries)
            #expect(index == 1)
        }
    }

    @Test("A retry passes over the priorities that were tried, until none is left")
    func previousPriorities() {
        let set = endpoints([1, 1, 1], priorities: [0, 1, 2])
        var balancer = LoadBalancer(.roundRobin)
        var random = SeededRandom(seed: 5)
        var passed = PreviousPriorities(updateFrequency: 1)
        var order: [Int] = []
        for _ in 0..<5 {
            guard
                let index = balancer.pick(
                    from: set, random: &random, avoiding: PreviousEndpoints(), drawsMax: 1,
                    priorities: &passed)
            else {
                Issue.record("nobody was chosen")
                return
            }
            order.append(index)
            passed.add(balancer.lastPriority)
        }
        #expect(order == [0, 1, 2, 0, 1])
        #expect(balancer.pick(from: set, random: &random) == 0, "other requests are not concerned")
    }

    @Test("A new set is looked at, and the states of those who stay are the same")
    func newSet() {
        var balancer = LoadBalancer(.roundRobin)
        var random = SeededRandom(seed: 1)
        let first = endpoints([1, 1, 1, 1, 1])
        for _ in 0..<9 { _ = balancer.pick(from: first, random: &random) }
        first.requestStarted(2)
        let second = EndpointSet([first.members[2]])
        #expect(balancer.pick(from: second, random: &random) == 0)
        #expect(second.requestsActive(0) == 1)
    }
}

@Suite struct PriorityLoadsTests {
    private typealias Counts = PriorityLoads.Counts

    @Test(
        "Loads as Envoy documents them for two priorities",
        arguments: [
            (100, 100, 100, 0), (72, 100, 100, 0), (71, 100, 99, 1), (50, 100, 70, 30), (25, 100, 35, 65),
            (0, 100, 0, 100), (25, 25, 50, 50),
        ])
    func documented(first: Int, second: Int, firstLoad: Int, secondLoad: Int) {
        let loads = PriorityLoads([Counts(all: 100, healthy: first), Counts(all: 100, healthy: second)])
        #expect(loads.healthy == [firstLoad, secondLoad])
        #expect(loads.isPanicking == [first + second < 72 && first < 50, first + second < 72 && second < 50])
    }

    @Test("If every priority panics, the loads follow the numbers of endpoints")
    func totalPanic() {
        let loads = PriorityLoads([Counts(all: 20, healthy: 2), Counts(all: 10, healthy: 4)])
        #expect(loads.healthy == [67, 33] && loads.isPanicking == [true, true])
        let beside = PriorityLoads([Counts(all: 20, healthy: 2), Counts(all: 0, healthy: 0)])
        #expect(beside.healthy == [100, 0] && beside.isPanicking == [true, true])
        #expect(PriorityLoads([Counts(all: 4, healthy: 0)], panicThreshold: 0).healthy == [0])
    }

    @Test("The example of three priorities, healthy 10/20/10 and degraded 20/10/0 percent")
    func scaled() {
        let loads = PriorityLoads(
            [
                Counts(all: 10, healthy: 1, degraded: 2), Counts(all: 10, healthy: 2, degraded: 1),
                Counts(all: 10, healthy: 1),
            ], overprovisioningFactor: 100, panicThreshold: 0)

        #expect(loads.healthy == [16, 28, 14] && loads.degraded == [28, 14, 0])
    }

    @Test("Those left out do not count, and weights can stand for numbers")
    func excluded() {
        let loads = PriorityLoads([Counts(all: 5, healthy: 5, excluded: 5), Counts(all: 1, healthy: 1)])
        #expect(loads.healthy == [100, 0])
        var heavy = Counts(all: 2, healthy: 1)
        heavy.weights = (10, 9, 0)
        #expect(PriorityLoads([heavy, Counts(all: 1, healthy: 1)]).healthy == [100, 0])
    }

    @Test("Degraded endpoints take what healthy ones cannot")
    func degraded() {
        let loads = PriorityLoads([Counts(all: 100, healthy: 50, degraded: 50)])
        #expect(loads.healthy == [70] && loads.degraded == [30])
        #expect(loads.isPanicking == [false])
    }

    @Test("All loads make a hundred, whatever the counts", arguments: UInt64(0)..<200)
    func whole(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let counts = (0...random.below(4)).map { _ in
            let all = Int(random.below(30))
            let healthy = Int(random.below(UInt64(all + 1)))
            return Counts(all: all, healthy: healthy, degraded: Int(random.below(UInt64(all - healthy + 1))))
        }
        let loads = PriorityLoads(counts)
        let total = (loads.healthy + loads.degraded).reduce(0, +)
        #expect(total == (counts.allSatisfy { $0.all == 0 } ? 0 : 100), "\(counts) \(loads)")
        for (index, count) in counts.enumerated() where !loads.isPanicking[index] {
            if count.healthy == 0 { #expect(loads.healthy[index] == 0) }
            if count.degraded == 0 { #expect(loads.degraded[index] == 0) }
        }
    }
}
