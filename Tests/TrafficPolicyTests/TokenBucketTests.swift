import Dispatch
import MeshPrimitives
import Synchronization
import Testing
import TrafficPolicy

@Suite struct TokenBucketTests {
    private let second = Nanoseconds.perSecond

    @Test("A new bucket is full, and tokens come back one by one, not in steps")
    func refill() {
        let bucket = TokenBucket(
            TokenBucketSettings(maxTokens: 10, tokensPerFill: 10, fillInterval: second), at: .zero)
        #expect((0..<20).count { _ in bucket.take(at: .zero).isAllowed } == 10)
        let soon = MonotonicInstant(nanoseconds: second / 10)
        #expect(!bucket.take(at: MonotonicInstant(nanoseconds: second / 10 - 1_000)).isAllowed)
        #expect(bucket.take(at: soon).isAllowed && !bucket.take(at: soon).isAllowed)
        #expect(
            (0..<99).count { _ in bucket.take(at: MonotonicInstant(nanoseconds: 100 * second)).isAllowed }
                == 10)
    }

    @Test("The numbers for the answer's fields: what is left, and when to come back")
    func numbers() {
        let bucket = TokenBucket(
            TokenBucketSettings(maxTokens: 4, tokensPerFill: 2, fillInterval: 60 * second), at: .zero)
        func taken(_ nanoseconds: Int64) -> [UInt32] {
            let decision = bucket.take(at: MonotonicInstant(nanoseconds: nanoseconds))
            #expect(decision.limit == 4)
            return [decision.isAllowed ? 1 : 0, decision.remaining, decision.resetSeconds]
        }
        #expect(taken(0) == [1, 3, 0] && taken(0) == [1, 2, 0] && taken(0) == [1, 1, 0])
        #expect(taken(0) == [1, 0, 30])
        #expect(taken(29 * second + 1) == [0, 0, 1])
        #expect(bucket.look(at: MonotonicInstant(nanoseconds: 5)).retryAfterSeconds == 30)
        #expect(bucket.look(at: MonotonicInstant(nanoseconds: 30 * second)).isAllowed)
        #expect(bucket.look(at: MonotonicInstant(nanoseconds: 30 * second)).remaining == 1)
    }

    @Test(
        "Each token comes at its microsecond, also where the rate does not divide a second",
        arguments: [1, 3, 7, 10, 61, 999, 7_919, 16_381, 50_000] as [UInt32])
    func exactness(perFill: UInt32) {
        let bucket = TokenBucket(
            TokenBucketSettings(maxTokens: 3, tokensPerFill: perFill, fillInterval: second), at: .zero)
        for _ in 0..<3 { #expect(bucket.take(at: .zero).isAllowed) }
        for number in 1...Int64(5_000) {
            let micros = (number * 1_000_000 - 1) / Int64(perFill) + 1
            let early = MonotonicInstant(nanoseconds: (micros - 1) * 1_000)
            #expect(!bucket.take(at: early).isAllowed, "token \(number) is early")
            #expect(
                bucket.take(at: MonotonicInstant(nanoseconds: micros * 1_000)).isAllowed, "\(number) is late")
        }
    }

    @Test("Over any span no more pass than the burst and what came back", arguments: UInt64(0)..<40)
    func anySpan(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let settings = TokenBucketSettings(
            maxTokens: 1 + UInt32(random.below(20)), tokensPerFill: 1 + UInt32(random.below(30)),
            fillInterval: 50_000_000 + Int64(random.below(1_000_000_000)))
        let bucket = TokenBucket(settings, at: .zero)
        var now = Int64(0)
        var passed: [Int64] = []
        for _ in 0..<2_000 {
            now += Int64(random.below(UInt64(settings.fillInterval / Int64(settings.tokensPerFill)) * 2))
            if random.below(50) == 0 { now += settings.fillInterval * 3 }
            if bucket.take(at: MonotonicInstant(nanoseconds: now)).isAllowed { passed.append(now) }
        }
        for start in stride(from: 0, to: passed.count, by: 7) {
            for end in stride(from: start, to: min(start + 200, passed.count), by: 3) {
                let span = Double(passed[end] - passed[start] + 1_000)
                let fills = span * Double(settings.tokensPerFill) / Double(settings.fillInterval)
                #expect(Double(end - start + 1) <= Double(settings.maxTokens) + fills + 1e-6)
            }
        }
    }

    @Test("Threads share one bucket exactly")
    func threads() {
        for round in 0..<10 {
            let bucket = TokenBucket(
                TokenBucketSettings(maxTokens: 1_000, tokensPerFill: 1, fillInterval: 3600 * second),
                at: .zero)
            let passed = Atomic<Int>(0)
            DispatchQueue.concurrentPerform(iterations: 4) { _ in
                for _ in 0..<600 where bucket.take(at: MonotonicInstant(nanoseconds: Int64(round))).isAllowed
                {
                    passed.wrappingAdd(1, ordering: .relaxed)
                }
            }
            #expect(passed.load(ordering: .relaxed) == 1_000)
        }
    }

    @Test("Settings at the ends of their ranges neither trap nor let too much through")
    func extremes() {
        let slow = TokenBucket(
            TokenBucketSettings(maxTokens: .max, tokensPerFill: 1, fillInterval: .max), at: .zero)
        #expect(slow.take(at: .distantFuture).limit == .max)
        let fast = TokenBucket(
            TokenBucketSettings(maxTokens: 5, tokensPerFill: .max, fillInterval: 1_000), at: .zero)
        #expect((0..<9).count { _ in fast.take(at: .zero).isAllowed } == 5)
        let backwards = TokenBucket(
            TokenBucketSettings(maxTokens: 1, fillInterval: second),
            at: MonotonicInstant(nanoseconds: 5 * second))
        #expect(backwards.take(at: .zero).isAllowed && !backwards.take(at: .zero).isAllowed)
    }
}
