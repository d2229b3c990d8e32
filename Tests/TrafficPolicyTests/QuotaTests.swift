import Glibc
import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct QuotaBucketTests {
    private let second = Nanoseconds.perSecond

    private func at(_ seconds: Double) -> MonotonicInstant {
        MonotonicInstant(nanoseconds: Int64(seconds * Double(second)))
    }

    private func admitted(_ bucket: QuotaBucket, from start: Double, seconds: Double) -> Int {
        (0..<Int(seconds * 1_000)).count { bucket.admit(at: at(start + Double($0) / 1_000)) }
    }

    @Test("An assignment is kept to, counted, and reported once")
    func assigned() {
        let bucket = QuotaBucket(QuotaBucket.Settings(), at: .zero)
        #expect(!bucket.admit(at: .zero) && bucket.situation(at: .zero) == .unassigned)
        bucket.assign(QuotaAssignment(perSecond: 100, lifetime: 60 * second), at: .zero)
        let count = admitted(bucket, from: 0, seconds: 10)
        #expect(abs(count - 1_000) <= 11)
        let usage = bucket.takeUsage(at: at(10))
        #expect(
            usage == QuotaUsage(allowed: UInt64(count), denied: UInt64(10_001 - count), elapsed: 10 * second))
        #expect(bucket.takeUsage(at: at(11)) == QuotaUsage(allowed: 0, denied: 0, elapsed: second))
    }

    @Test(
        "What happens without the control plane is what the settings say",
        arguments: [
            (QuotaFallback.keepLast, 100), (.denyAll, 0), (.allowAll, 1_000), (.limited(perSecond: 50), 50),
        ])
    func away(expired: QuotaFallback, perSecond: Int) {
        let bucket = QuotaBucket(
            QuotaBucket.Settings(withoutAssignment: .limited(perSecond: 10), expired: expired), at: .zero)
        #expect(abs(admitted(bucket, from: 0, seconds: 4) - 40) <= 5)
        bucket.assign(QuotaAssignment(perSecond: 100, lifetime: second), at: at(4))
        #expect(abs(admitted(bucket, from: 4, seconds: 1) - 100) <= 11)
        #expect(bucket.situation(at: at(5)) == .expired)
        #expect(abs(admitted(bucket, from: 5, seconds: 4) - 4 * perSecond) <= 11)
        bucket.abandon()
        #expect(bucket.situation(at: at(9)) == .unassigned)
    }

    @Test(
        "A small share lets a few through at once, as far as half a second of it goes",
        arguments: [(2.0, 1), (8, 4), (20, 5), (200, 20), (0.5, 1)])
    func few(perSecond: Double, expected: Int) {
        let bucket = QuotaBucket(QuotaBucket.Settings(), at: .zero)
        bucket.assign(QuotaAssignment(perSecond: perSecond, lifetime: 0), at: .zero)
        #expect((0..<100).count { _ in bucket.admit(at: at(100)) } == expected)
        // Over time it is the share all the same.
        let count = (1...100).reduce(0) { sum, second in
            sum + (0..<50).count { _ in bucket.admit(at: at(100 + Double(second))) }
        }
        #expect(Double(count) <= perSecond * 100 && count <= max(expected, 1) * 100)
    }

    @Test("An expired assignment is forgotten after its time")
    func forgotten() {
        var settings = QuotaBucket.Settings(withoutAssignment: .allowAll, expired: .denyAll)
        settings.expiredFor = 2 * second
        let bucket = QuotaBucket(settings, at: .zero)
        bucket.assign(QuotaAssignment(perSecond: 0, lifetime: second), at: .zero)
        #expect(!bucket.admit(at: at(0.5)) && !bucket.admit(at: at(2)) && bucket.admit(at: at(3)))
        bucket.assign(QuotaAssignment(perSecond: .infinity, lifetime: 0), at: at(4))
        #expect(bucket.admit(at: at(1_000)) && bucket.situation(at: at(1_000)) == .assigned)
    }
}

@Suite struct QuotaAllocatorTests {
    private let second = Nanoseconds.perSecond

    private func report(_ allocator: inout QuotaAllocator, _ demands: [Double], at now: MonotonicInstant) {
        for (index, demand) in demands.enumerated() {
            allocator.reported(
                "proxy-\(index)", QuotaUsage(allowed: UInt64(demand), denied: 0, elapsed: second), at: now)
        }
    }

    @Test(
        "Nobody gets less than the smaller of his demand and an equal part, and all of it is given",
        arguments: [
            ([10.0, 10, 10], [33.3, 33.3, 33.3]), ([100, 100], [50, 50]), ([10, 200, 200], [10, 45, 45]),
            ([0, 300], [1, 99]), ([0, 0], [50, 50]), ([30, 20], [59.6, 40.4]),
        ])
    func shares(demands: [Double], expected: [Double]) {
        var allocator = QuotaAllocator(QuotaAllocator.Settings(limit: 100))
        report(&allocator, demands, at: .zero)
        let shares = allocator.allocate(at: .zero).map(\.assignment.perSecond)
        #expect(abs(shares.reduce(0, +) - 100) < 1e-9)
        for (share, wanted) in zip(shares, expected) { #expect(abs(share - wanted) < 0.7, "\(shares)") }
    }

    @Test("A silent proxy's share counts until it has expired, and is never given twice")
    func silence() {
        var allocator = QuotaAllocator(QuotaAllocator.Settings(limit: 100))
        report(&allocator, [100, 100], at: .zero)
        _ = allocator.allocate(at: .zero)
        func at(_ seconds: Int64) -> MonotonicInstant { MonotonicInstant(nanoseconds: seconds * second) }
        for time in Int64(1)...12 {
            report(&allocator, [100], at: at(time))
            let shares = allocator.allocate(at: at(time))
            let sum = shares.reduce(0) { $0 + $1.assignment.perSecond }
            // Heard until 5, held until 9.
            let held = time < 5 ? 0.0 : time < 9 ? 50 : 0
            #expect(shares.count == (time < 5 ? 2 : 1))
            #expect(abs(sum - (100 - held)) < 1, "\(time) \(sum)")
        }
        #expect(allocator.memberCount == 1)
    }

    /// A mesh: proxies with buckets of their own report once a second, at different moments, and hear of their shares
    /// with some delay.
    private func run(
        proxies: Int, limit: Double, seconds: Int, seed: UInt64,
        demand: (Int, Int, inout SeededRandom) -> Double
    ) -> (admitted: [Int], wanted: [Double]) {
        var random = SeededRandom(seed: seed)
        var allocator = QuotaAllocator(QuotaAllocator.Settings(limit: limit))
        var settings = QuotaBucket.Settings(withoutAssignment: .denyAll, expired: .keepLast)
        settings.burstSeconds = 0.1
        let buckets = (0..<proxies).map { _ in QuotaBucket(settings, at: .zero) }
        let phases = (0..<proxies).map { _ in Int(random.below(100)) }
        var credit = [Double](repeating: 0, count: proxies)
        var demands = [Double](repeating: 0, count: proxies)
        var deliveries: [(at: Int, proxy: Int, assignment: QuotaAssignment)] = []
        var (admitted, wanted) = ([Int](), [Double]())
        for time in 0..<seconds {
            for proxy in 0..<proxies { demands[proxy] = demand(proxy, time, &random) }
            wanted.append(min(limit, demands.reduce(0, +)))
            var count = 0
            // Hundredths of a second.
            for step in (time * 100)..<(time * 100 + 100) {
                let now = MonotonicInstant(nanoseconds: Int64(step) * second / 100)
                for delivery in deliveries where delivery.at == step {
                    buckets[delivery.proxy].assign(delivery.assignment, at: now)
                }
                deliveries.removeAll { $0.at <= step }
                for proxy in 0..<proxies {
                    credit[proxy] += demands[proxy] / 100
                    while credit[proxy] >= 1 {
                        credit[proxy] -= 1
                        if buckets[proxy].admit(at: now) { count += 1 }
                    }
                    if step % 100 == phases[proxy] {
                        allocator.reported("proxy-\(proxy)", buckets[proxy].takeUsage(at: now), at: now)
                    }
                }
                if step % 50 == 49 {
                    for (name, assignment) in allocator.allocate(at: now) {
                        guard let proxy = Int(name.dropFirst("proxy-".count)) else { continue }
                        deliveries.append((step + 1 + Int(random.below(5)), proxy, assignment))
                    }
                }
            }
            admitted.append(count)
        }
        return (admitted, wanted)
    }

    private func check(_ result: (admitted: [Int], wanted: [Double]), limit: Double) {
        // The first seconds are for learning.
        let (admitted, wanted) = (result.admitted.dropFirst(3), result.wanted.dropFirst(3))
        let share = Double(admitted.reduce(0, +)) / wanted.reduce(0, +)
        #expect(share > 0.95 && share < 1.05, "\(share)")
        for start in stride(from: admitted.startIndex, to: admitted.endIndex - 10, by: 5) {
            #expect(Double(admitted[start..<(start + 10)].reduce(0, +)) <= limit * 10 * 1.05)
        }
    }

    @Test("Skewed load meets the limit within 5 %", arguments: UInt64(0)..<4)
    func skewed(seed: UInt64) {
        // Zipf: the first proxy has most of it; together twice the limit.
        let sum = (1...20).reduce(0.0) { $0 + 1 / Double($1) }
        let result = run(proxies: 20, limit: 2_000, seconds: 40, seed: seed) { proxy, _, _ in
            4_000 / Double(proxy + 1) / sum
        }
        check(result, limit: 2_000)
    }

    @Test("Shifting load does, above the limit and below it", arguments: UInt64(0)..<4)
    func shifting(seed: UInt64) {
        for total in [1_200.0, 3_000] {
            // A wave that goes round the proxies in a minute, with noise.
            let result = run(proxies: 10, limit: 1_500, seconds: 90, seed: seed) { proxy, time, random in
                let angle = 2 * Double.pi * (Double(time) / 60 - Double(proxy) / 10)
                let noise = 0.8 + 0.4 * Double(random.below(1_000)) / 1_000
                return total / 10 * (1 + 0.9 * sin(angle)) * noise
            }
            check(result, limit: 1_500)
        }
    }

    @Test("Load that jumps from one proxy to another does, once every half minute")
    func jumping() {
        let result = run(proxies: 5, limit: 1_000, seconds: 150, seed: 3) { proxy, time, _ in
            proxy == time / 30 % 5 ? 1_500 : 20
        }
        check(result, limit: 1_000)
    }
}

@Suite struct QuotaDemandTests {
    private func usage(_ allowed: UInt64, _ denied: UInt64 = 0, milliseconds: Int64) -> QuotaUsage {
        QuotaUsage(allowed: allowed, denied: denied, elapsed: milliseconds * 1_000_000)
    }

    @Test("The first report counts, growth counts with the time that it has lasted, small falls are smoothed")
    func estimate() {
        var demand = QuotaDemand()
        demand.reported(usage(4, milliseconds: 100))
        #expect(abs(demand.perSecond - 40) < 1e-9)
        demand.reported(usage(20, 20, milliseconds: 100))
        #expect(abs(demand.perSecond - 112) < 1e-9)
        demand.reported(usage(200, 200, milliseconds: 1000))
        #expect(abs(demand.perSecond - 400) < 1e-9)
        demand.reported(usage(300, milliseconds: 1000))
        #expect(abs(demand.perSecond - 330) < 1e-9)
        demand.reported(usage(30, milliseconds: 300))
        #expect(abs(demand.perSecond - 100) < 1e-9)
        demand.reported(usage(0, milliseconds: 0))
        #expect(abs(demand.perSecond - 100) < 1e-9)
    }

    @Test(
        "A report is due at once where requests are refused beyond what is believed, or much of a share lies idle"
    )
    func outdated() {
        var demand = QuotaDemand()
        #expect(!demand.isOutdated(by: usage(9, milliseconds: 50)), "nothing was refused")
        #expect(demand.isOutdated(by: usage(4, 5, milliseconds: 50)))
        #expect(!demand.isOutdated(by: usage(1, 3, milliseconds: 50)), "few")
        demand.reported(usage(100, milliseconds: 1000))
        #expect(!demand.isOutdated(by: usage(10, 4, milliseconds: 100)))
        #expect(demand.isOutdated(by: usage(10, 5, milliseconds: 100)))
        #expect(!demand.isOutdated(by: usage(50, 60, milliseconds: 1000)), "a tenth more is none")
        #expect(!demand.isOutdated(by: usage(0, milliseconds: 200)), "too soon to tell")
        #expect(demand.isOutdated(by: usage(14, milliseconds: 300)))
        #expect(!demand.isOutdated(by: usage(15, milliseconds: 300)))
        demand.reported(usage(20, milliseconds: 1000))
        #expect(!demand.isOutdated(by: usage(0, milliseconds: 400)), "little was expected")
    }
}
