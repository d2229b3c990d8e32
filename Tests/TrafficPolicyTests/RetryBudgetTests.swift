import Dispatch
import MeshPrimitives
import Synchronization
import Testing
import TrafficPolicy

@Suite struct RetryBudgetTests {
    private let second = Nanoseconds.perSecond

    private func at(_ seconds: Double) -> MonotonicInstant {
        MonotonicInstant(nanoseconds: 1_000 * second + Int64(seconds * Double(second)))
    }

    @Test("An idle cluster may be tried again three times in ten seconds, and not a fourth time")
    func minimum() {
        let budget = SlidingRetryBudget(percent: 20, window: 10 * second, retriesMin: 3)
        #expect([0, 1, 2].allSatisfy { budget.admitRetry(at: at($0)) })
        #expect(!budget.admitRetry(at: at(3)) && !budget.admitRetry(at: at(9.9)))
        #expect(budget.sums(at: at(9.9)).retries == 3, "a refusal takes nothing")
        #expect(budget.admitRetry(at: at(11.5)) == true)
    }

    @Test("A fifth of the requests of the window may be tried again")
    func share() {
        let budget = SlidingRetryBudget(percent: 20, window: 10 * second, retriesMin: 3)
        for _ in 0..<1_000 { budget.requestStarted(at: at(0.5)) }
        let admitted = (0..<1_000).count { _ in budget.admitRetry(at: at(1)) }
        #expect(admitted == 200)
        #expect(budget.admitRetry(at: at(20)) == true, "an empty window has its minimum again")
    }

    @Test(
        "Whichever ten seconds are looked at, retries stay within the share of their requests",
        arguments: UInt64(0)..<30)
    func anyWindow(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let budget = SlidingRetryBudget(percent: 20, window: 10 * second, retriesMin: 3)
        var now = at(0)
        var requests: [Int64] = []
        var retries: [(Int64, Int)] = []
        for _ in 0..<3_000 {
            now = now.advanced(byNanoseconds: Int64(random.below(UInt64(second / 20))))
            if random.below(3) > 0 {
                budget.requestStarted(at: now)
                requests.append(now.nanoseconds)
            } else if budget.admitRetry(at: now) {
                let inWindow = requests.count { $0 > now.nanoseconds - 10 * second }
                let retried = retries.count { $0.0 > now.nanoseconds - 10 * second } + 1
                #expect(retried <= max(3, inWindow / 5), "at \(now.nanoseconds)")
                retries.append((now.nanoseconds, inWindow))
            }
        }
        #expect(retries.count > requests.count / 10, "a budget that refuses too much is none")
    }

    @Test("Threads that ask at once never get more than the budget has")
    func threads() {
        for round in 0..<20 {
            let budget = SlidingRetryBudget(percent: 20, window: 10 * second, retriesMin: 3)
            let admitted = Atomic<Int>(0)
            DispatchQueue.concurrentPerform(iterations: 4) { _ in
                for _ in 0..<250 { budget.requestStarted(at: at(Double(round))) }
                for _ in 0..<500 where budget.admitRetry(at: at(Double(round) + 0.1)) {
                    admitted.wrappingAdd(1, ordering: .relaxed)
                }
            }
            let count = admitted.load(ordering: .relaxed)
            #expect(count <= 200 && count >= 190)
            #expect(budget.sums(at: at(Double(round) + 0.1)).requests == 1_000)
            #expect(budget.sums(at: at(Double(round) + 0.1)).retries == count)
        }
    }
}
