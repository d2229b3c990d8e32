import MeshPrimitives
import Testing

@testable import TrafficPolicy

@Suite struct HashBalancingTests {
    private func state(_ number: Int) -> EndpointState {
        EndpointState(
            address: SocketAddress(ipv4: 10, 0, UInt8(number >> 8), UInt8(number & 255), port: 80))
    }

    private func set(
        _ states: [EndpointState], weights: [UInt32]? = nil, _ hashing: HashingSettings
    ) -> EndpointSet {
        EndpointSet(
            states.enumerated().map { EndpointSet.Member($1, weight: weights?[$0] ?? 1) },
            balancing: BalancingSettings(hashing: hashing))
    }

    private func picks(_ set: EndpointSet, _ hashes: [UInt64]) -> [Int] {
        var balancer = LoadBalancer(.hashed)
        var random = SeededRandom(seed: 1)
        return hashes.compactMap { balancer.pick(from: set, hash: $0, random: &random) }
    }

    private func hashes(_ count: Int, seed: UInt64 = 3) -> [UInt64] {
        var random = SeededRandom(seed: seed)
        return (0..<count).map { _ in random.next() }
    }

    private static let both: [HashingSettings] = [.ring(), .maglev()]

    @Test(
        "Keys go where an independent implementation of the same tables sends them",
        arguments: [
            (HashingSettings.ring(), "2424011234342434222432434414014002124242"),
            (HashingSettings.maglev(), "2440111242424242144424444224013222141023"),
        ])
    func reference(hashing: HashingSettings, expected: String) {
        let set = set((0..<5).map(state), weights: [1, 2, 3, 1, 5], hashing)
        let keys = (0..<40).map { "key\($0)".withByteView { StableHash.xxHash64($0) } }
        #expect(picks(set, keys).map(String.init).joined() == expected)
    }

    @Test("The same hash goes to the same endpoint, whichever worker asks", arguments: both)
    func stickiness(hashing: HashingSettings) {
        let set = set((0..<9).map(state), hashing)
        let hashes = hashes(500)
        #expect(picks(set, hashes) == picks(set, hashes))
    }

    @Test("Shares follow the weights", arguments: [HashingSettings.ring(sizeMin: 200_000), .maglev()])
    func shares(hashing: HashingSettings) {
        let weights: [UInt32] = [1, 2, 3, 4, 10]
        let set = set((0..<5).map(state), weights: weights, hashing)
        var counts = [Int](repeating: 0, count: 5)
        for index in picks(set, hashes(100_000)) { counts[index] += 1 }
        for (count, weight) in zip(counts, weights) {
            let share = Double(count) / 100_000
            // Ring: 10,000 points of the lightest vary by 1 %; tables are exact; three deviations of the sample.
            #expect(abs(share - Double(weight) / 20) < 0.03 * Double(weight) / 20 + 0.003, "\(counts)")
        }
    }

    @Test("A ring moves only the keys of the endpoint that goes", arguments: UInt64(0)..<10)
    func ringDisruption(seed: UInt64) {
        let states = (0..<20).map(state)
        let hashes = hashes(5_000, seed: seed)
        let before = picks(set(states, .ring(sizeMin: 20 * 64)), hashes)
        let gone = Int(seed % 20)
        var rest = states
        rest.remove(at: gone)
        // 64 points for each endpoint of both rings.
        let after = picks(set(rest, .ring(sizeMin: 19 * 64)), hashes)
        for (old, new) in zip(before, after) where old != gone {
            #expect(new == (old > gone ? old - 1 : old))
        }
    }

    @Test("Maglev moves little more than the keys of the endpoint that goes", arguments: UInt64(0)..<5)
    func maglevDisruption(seed: UInt64) {
        let states = (0..<20).map(state)
        let hashes = hashes(5_000, seed: seed)
        let before = picks(set(states, .maglev()), hashes)
        let gone = Int(seed * 3 % 20)
        var rest = states
        rest.remove(at: gone)
        let after = picks(set(rest, .maglev()), hashes)
        let moved = zip(before, after).count { $0 != gone && $1 != ($0 > gone ? $0 - 1 : $0) }
        // The paper's figure 12: below 5 % of further keys at this size; ideal is none.
        #expect(moved < 5_000 * 5 / 100, "\(moved)")
    }

    @Test("An endpoint that is ejected is left out, its keys spread, and all come back", arguments: both)
    func ejection(hashing: HashingSettings) {
        let set = set((0..<10).map(state), hashing)
        let hashes = hashes(2_000)
        let before = picks(set, hashes)
        set.mark(4, adding: .ejected)
        let during = picks(set, hashes)
        #expect(!during.contains(4))
        #expect(Set(zip(before, during).filter { $0.0 == 4 }.map(\.1)).count > 3)
        set.mark(4, removing: .ejected)
        #expect(picks(set, hashes) == before)
    }

    @Test("A retry is led elsewhere, and always to the same place", arguments: both)
    func attempts(hashing: HashingSettings) {
        let set = set((0..<10).map(state), hashing)
        var random = SeededRandom(seed: 1)
        var elsewhere = 0
        for hash in hashes(500) {
            var balancer = LoadBalancer(.hashed)
            guard let first = balancer.pick(from: set, hash: hash, random: &random) else { continue }
            var previous = PreviousEndpoints()
            previous.add(set.address(first))
            func again() -> Int? {
                var balancer = LoadBalancer(.hashed)
                return balancer.pick(
                    from: set, hash: hash, random: &random, avoiding: previous, drawsMax: 5)
            }
            let second = again()
            #expect(second == again())
            if second != first { elsewhere += 1 }
        }
        #expect(elsewhere > 495)
    }

    @Test("A key of its own decides an endpoint's place, and not its address")
    func hashKeys() {
        let first = (0..<6).map { EndpointSet.Member(state($0), hashKey: "name-\($0)") }
        let moved = (0..<6).map { EndpointSet.Member(state($0 + 100), hashKey: "name-\($0)") }
        for hashing in Self.both {
            let balancing = BalancingSettings(hashing: hashing)
            #expect(
                picks(EndpointSet(first, balancing: balancing), hashes(300))
                    == picks(EndpointSet(moved, balancing: balancing), hashes(300)))
        }
    }

    @Test("A ring has at most as many points as allowed, and murmur2 makes another ring than xxHash64")
    func bounds() {
        let states = (0..<4).map(state)
        let small = picks(set(states, .ring(sizeMin: 1, sizeMax: 6)), hashes(2_000))
        #expect(Set(small).count >= 3)
        let murmur = picks(set(states, .ring(function: .murmur2)), hashes(500))
        #expect(murmur != picks(set(states, .ring()), hashes(500)))
        #expect(picks(set([], .ring()), [1]).isEmpty && picks(set([], .maglev()), [1]).isEmpty)
    }

    @Test("Without a hash the choice is a random one")
    func noHash() {
        let set = set((0..<4).map(state), .maglev())
        var balancer = LoadBalancer(.hashed)
        var random = SeededRandom(seed: 9)
        var counts = [Int](repeating: 0, count: 4)
        for _ in 0..<20_000 { if let pick = balancer.pick(from: set, random: &random) { counts[pick] += 1 } }
        #expect(isPlausible(counts, [1, 1, 1, 1]), "\(counts)")
    }

    @Test("The sequence that places what is left over is MT19937")
    func sequence() {
        // The values that the authors publish for the seed 5489: the first, and the 10000th.
        var twister = MersenneTwister(seed: 5489)
        #expect(twister.draw() == 3_499_211_612)
        for _ in 0..<9_998 { _ = twister.draw() }
        #expect(twister.draw() == 4_123_659_995)
    }

    @Test(
        "With bounded loads no endpoint has more than its part, and who is not full gets what is placed there",
        arguments: both)
    func bounded(hashing: HashingSettings) {
        var settings = BalancingSettings(hashing: hashing)
        settings.hashBalanceFactor = 125
        let weights: [UInt32] = [1, 2, 3, 4]
        let set = EndpointSet(
            weights.enumerated().map { EndpointSet.Member(state($0), weight: $1) }, balancing: settings)
        var free = settings
        free.hashBalanceFactor = 0
        let unbounded = EndpointSet(
            weights.enumerated().map { EndpointSet.Member(state($0), weight: $1) }, balancing: free)
        var balancer = LoadBalancer(.hashed)
        var other = LoadBalancer(.hashed)
        var random = SeededRandom(seed: 1)
        // A few hashes are all there is, so that endpoints fill up.
        let few = hashes(3, seed: 9)
        var inFlight: [Int] = []
        for step in 0..<2_000 {
            let hash = few[Int(random.below(3))]
            let wanted = other.pick(from: unbounded, hash: hash, random: &random) ?? -1
            let slots = (inFlight.count + 1) * 125 + 99
            let isFull = { (member: Int) -> Bool in
                let own = max((Double(slots / 100) * Double(weights[member]) / 10).rounded(.up), 1)
                return Double(set.requestsActive(member)) > own
            }
            guard let member = balancer.pick(from: set, hash: hash, random: &random) else {
                Issue.record("nobody")
                return
            }
            if !isFull(wanted) { #expect(member == wanted, "step \(step)") }
            #expect(!isFull(member), "step \(step)")
            set.requestStarted(member)
            inFlight.append(member)
            if inFlight.count > 100 {
                let gone = inFlight.remove(at: Int(random.below(UInt64(inFlight.count))))
                set.requestEnded(gone, isSuccess: true)
            }
        }
    }

    @Test("The same hash goes to the same second choice as long as loads are the same")
    func secondChoice() {
        var settings = BalancingSettings(hashing: .maglev())
        settings.hashBalanceFactor = 100
        let set = EndpointSet((0..<8).map { EndpointSet.Member(state($0)) }, balancing: settings)
        var balancer = LoadBalancer(.hashed)
        var other = LoadBalancer(.hashed)
        var random = SeededRandom(seed: 1)
        let hash = hashes(1)[0]
        let first = balancer.pick(from: set, hash: hash, random: &random) ?? 0
        for _ in 0..<5 { set.requestStarted(first) }
        let second = balancer.pick(from: set, hash: hash, random: &random)
        #expect(second != first)
        #expect(other.pick(from: set, hash: hash, random: &random) == second)
    }
}
