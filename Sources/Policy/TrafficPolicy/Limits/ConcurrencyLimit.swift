import Synchronization

/// How many of something may exist at once in this process: a count that never passes its bound, whichever threads
/// ask; at most 2^32 - 1, as in the API. The bound may change while places are taken; a lower one refuses until enough were given back.
public struct ConcurrencyLimit: ~Copyable, Sendable {
    private let taken = Atomic<UInt32>(0)
    private let bound: Atomic<UInt32>

    public init(max: Int) {
        precondition(max >= 0)
        bound = Atomic(UInt32(clamping: max))
    }

    /// Takes a place if there is one; whoever got it gives it back once, with `release`.
    public func tryAcquire() -> Bool { tryAcquire(below: bound.load(ordering: .relaxed)) }

    /// The same under another bound than its own.
    public func tryAcquire(max: Int) -> Bool { tryAcquire(below: UInt32(clamping: max)) }

    @inline(__always) private func tryAcquire(below max: UInt32) -> Bool {
        var current = taken.load(ordering: .relaxed)
        while current < max {
            let (done, seen) = taken.weakCompareExchange(
                expected: current, desired: current &+ 1, ordering: .acquiringAndReleasing)
            if done { return true }
            current = seen
        }
        return false
    }

    /// Takes a place even beyond the bound: for what must be counted and cannot be refused (a worker's first
    /// connection to a cluster, say).
    public func acquireAlways() { taken.wrappingAdd(1, ordering: .acquiringAndReleasing) }

    public func release() {
        let before = taken.wrappingSubtract(1, ordering: .acquiringAndReleasing).oldValue
        precondition(before > 0)
    }

    /// Places taken now.
    public var current: Int { Int(taken.load(ordering: .relaxed)) }
    public var max: Int { Int(bound.load(ordering: .relaxed)) }
    /// Places left; Envoy's `remaining_*` gauges.
    public var remaining: Int { Swift.max(0, max - current) }
    /// A request for a place would be refused now: what Envoy's `*_open` gauges show.
    public var isOpen: Bool { current >= max }

    public func setMax(_ max: Int) {
        precondition(max >= 0)
        bound.store(UInt32(clamping: max), ordering: .relaxed)
    }
}
