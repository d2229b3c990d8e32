import Dispatch
import MeshPrimitives
import Synchronization
import Testing
import TrafficPolicy

private final class Limited: Sendable {
    let limit = ConcurrencyLimit(max: 7)
    let inside = Atomic<Int>(0)
    let most = Atomic<Int>(0)
    let entered = Atomic<Int>(0)
}

@Suite struct ConcurrencyLimitTests {
    @Test("A limit of zero refuses, and a full one refuses until a place is given back")
    func bounds() {
        let none = ConcurrencyLimit(max: 0)
        #expect(!none.tryAcquire() && none.isOpen && none.remaining == 0)
        let two = ConcurrencyLimit(max: 2)
        #expect(two.tryAcquire() && two.tryAcquire() && !two.tryAcquire())
        #expect(two.isOpen && two.current == 2)
        two.release()
        #expect(!two.isOpen && two.remaining == 1 && two.tryAcquire())
    }

    @Test("A lower bound refuses until enough was given back")
    func lowered() {
        let limit = ConcurrencyLimit(max: 3)
        #expect(limit.tryAcquire() && limit.tryAcquire() && limit.tryAcquire())
        limit.setMax(1)
        limit.release()
        limit.release()
        #expect(limit.tryAcquire() == false)
        limit.release()
        #expect(limit.tryAcquire() == true)
    }

    @Test("Whatever threads do, no more than the bound are inside, and all places come back")
    func threads() {
        let shared = Limited()
        DispatchQueue.concurrentPerform(iterations: 6) { thread in
            var random = SeededRandom(seed: UInt64(thread))
            var held = 0
            for _ in 0..<20_000 {
                if random.below(2) == 0, shared.limit.tryAcquire() {
                    held += 1
                    let inside = shared.inside.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
                    shared.most.max(inside, ordering: .relaxed)
                    shared.entered.wrappingAdd(1, ordering: .relaxed)
                } else if held > 0 {
                    held -= 1
                    shared.inside.wrappingSubtract(1, ordering: .sequentiallyConsistent)
                    shared.limit.release()
                }
            }
            for _ in 0..<held {
                shared.inside.wrappingSubtract(1, ordering: .sequentiallyConsistent)
                shared.limit.release()
            }
        }
        #expect(shared.most.load(ordering: .relaxed) <= 7)
        #expect(shared.entered.load(ordering: .relaxed) > 100)
        #expect(shared.limit.current == 0)
    }
}
