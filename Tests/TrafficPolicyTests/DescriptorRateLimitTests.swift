import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct DescriptorRateLimitTests {
    private let second = Nanoseconds.perSecond

    private func bucket(_ tokens: UInt32, perSecond: UInt32 = 1) -> TokenBucketSettings {
        TokenBucketSettings(maxTokens: tokens, tokensPerFill: perSecond, fillInterval: second)
    }

    /// Takes for a request whose descriptors are those pairs of key number and value.
    private func take(
        _ limit: DescriptorRateLimit, _ requests: [[(UInt32, String)]], at now: MonotonicInstant = .zero
    ) -> RateLimitDecision? {
        var matches = DescriptorMatches()
        for request in requests {
            let texts = request.map { Array($0.1.utf8) }
            var descriptor = RequestDescriptor(for: limit.table)
            // The bytes must stay where they are until the descriptor has been looked up.
            func fill(_ entry: Int) {
                if entry == request.count { return matches.add(descriptor, in: limit) }
                texts[entry].withByteView { value in
                    _ = descriptor.append(request[entry].0, value)
                    fill(entry + 1)
                }
            }
            fill(0)
        }
        return limit.take(matches, at: now)
    }

    @Test("A descriptor that is configured has a bucket of its own, others share the common one")
    func descriptors() {
        let limit = DescriptorRateLimit(
            common: bucket(10),
            descriptors: [
                ([.init(0, "gold")], bucket(5)), ([.init(0, "gold"), .init(1, "/pay")], bucket(2)),
                ([.init(1, "/pay"), .init(0, "gold")], bucket(1)),
            ], at: .zero, seed: 77)
        #expect(take(limit, [[(0, "gold")]])?.limit == 5)
        #expect(take(limit, [[(0, "gold"), (1, "/pay")]])?.limit == 2)
        #expect(take(limit, [[(1, "/pay"), (0, "gold")]])?.limit == 1, "order is part of it")
        #expect(take(limit, [[(1, "gold")]])?.limit == 10 && take(limit, [[(0, "golden")]])?.limit == 10)
        #expect(take(limit, [[(0, "gold"), (1, "/pay")]])?.isAllowed == true)
        #expect(take(limit, [[(0, "gold"), (1, "/pay")]])?.isAllowed == false)
    }

    @Test("All descriptors that match must agree, the slowest first, and then the common bucket")
    func several() {
        let limit = DescriptorRateLimit(
            common: bucket(4),
            descriptors: [
                ([.init(0, "a")], bucket(3, perSecond: 9)), ([.init(1, "b")], bucket(9, perSecond: 1)),
            ],
            at: .zero, seed: 1)
        let both: [[(UInt32, String)]] = [[(0, "a")], [(1, "b")]]
        #expect((0..<3).map { _ in take(limit, both)?.limit } == [9, 9, 9], "the slower one is shown")
        #expect(
            take(limit, both) == RateLimitDecision(isAllowed: false, limit: 3, remaining: 0, resetSeconds: 1))
        #expect(take(limit, [])?.isAllowed == true, "three were taken from the common one")
        let refused = take(limit, [[(1, "b")]])
        #expect(refused?.limit == 4 && refused?.isAllowed == false)
        let apart = DescriptorRateLimit(
            common: bucket(1), descriptors: [([.init(0, "a")], bucket(3))], alwaysTakesCommon: false,
            at: .zero,
            seed: 1)
        #expect((0..<3).allSatisfy { _ in take(apart, [[(0, "a")]])?.isAllowed == true })
        #expect(take(apart, [])?.isAllowed == true)
    }

    @Test("An open value gives each value its bucket, up to a bound")
    func openValues() {
        let limit = DescriptorRateLimit(
            common: nil, descriptors: [([.init(0, "user"), .init(1, nil)], bucket(1))], openValuesMax: 2,
            at: .zero, seed: 5)
        func user(_ name: String, _ seconds: Int64 = 0) -> Bool? {
            take(limit, [[(0, "user"), (1, name)]], at: MonotonicInstant(nanoseconds: seconds))?.isAllowed
        }
        #expect(user("ann", 1) == true && user("ann", 2) == false && user("bob", 3) == true)
        #expect(user("eve", 4) == true, "ann, longest unused, has made room")
        #expect(user("bob", 5) == false && user("ann", 6) == true)
        #expect(take(limit, [[(0, "robot"), (1, "ann")]]) == nil && take(limit, []) == nil)
    }

    @Test("A table finds just what a dictionary finds", arguments: UInt64(0)..<30)
    func table(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        func text() -> String {
            String((0..<random.below(3)).map { _ in "ab".randomElement(using: &random) ?? "a" })
        }
        func entries() -> [DescriptorTable.Entry] {
            (0..<(1 + random.below(3))).map { _ in .init(UInt32(random.below(3)), text()) }
        }
        let configured = (0..<40).map { _ in entries() }
        let table = DescriptorTable(configured, seed: seed)
        for _ in 0..<300 {
            let wanted = random.below(2) == 0 ? entries() : configured[Int(random.below(40))]
            let texts = wanted.map { Array(($0.value ?? "").utf8) }
            var descriptor = RequestDescriptor(for: table)
            var found: Int?
            func fill(_ place: Int) {
                if place == texts.count {
                    found = table.index(of: descriptor)
                } else {
                    texts[place].withByteView { value in
                        _ = descriptor.append(wanted[place].key, value)
                        fill(place + 1)
                    }
                }
            }
            fill(0)
            #expect(found == configured.firstIndex(of: wanted))
        }
    }

    @Test("A connection's bucket says what a bucket of the process would say", arguments: UInt64(0)..<30)
    func connection(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let settings = TokenBucketSettings(
            maxTokens: 1 + UInt32(random.below(9)), tokensPerFill: 1 + UInt32(random.below(9)),
            fillInterval: 1_000 + Int64(random.below(1_000_000_000)))
        let start = MonotonicInstant(nanoseconds: Int64(random.below(1 << 40)))
        let process = TokenBucket(settings, at: start)
        let limit = ConnectionTokenBucket.Limit(settings)
        var connection = ConnectionTokenBucket()
        var now = start
        for _ in 0..<300 {
            now = now.advanced(byNanoseconds: Int64(random.below(UInt64(settings.fillInterval))))
            #expect(connection.take(limit, since: start, at: now) == process.take(at: now))
        }
    }

    @Test("The fields of draft 03 show the limit with the least left and list them all")
    func fields() {
        let values = RateLimitFields.values([
            RateLimitStatus(requestsPerUnit: 10, unitSeconds: 1, remaining: 4, resetSeconds: 1, name: "fast"),
            RateLimitStatus(requestsPerUnit: 100, unitSeconds: 60, remaining: 2, resetSeconds: 31),
            RateLimitStatus(requestsPerUnit: 1, unitSeconds: 0, remaining: 0, resetSeconds: 0),
        ])
        #expect(values?.limit == "100, 10;w=1;name=\"fast\", 100;w=60")
        #expect(values?.remaining == "2" && values?.reset == "31")
        #expect(RateLimitFields.values([]) == nil)
    }
}
