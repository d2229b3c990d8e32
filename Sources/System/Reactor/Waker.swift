import Synchronization

/// Ends the wait of a loop from any thread or signal handler. Until the loop has taken notice, further calls cost one
/// atomic operation. Outlives its loop safely.
public struct Waker: Sendable {
    private let signal: WakeSignal

    init(_ signal: WakeSignal) { self.signal = signal }

    /// What was written before this call is seen by the loop's thread after the wait that it ends.
    public func wake() { signal.raise() }
}

/// An eventfd and the flag that spares most writes to it.
final class WakeSignal: Sendable {
    private let kernel: Kernel
    let descriptor: Descriptor
    private let isRaised = Atomic<Bool>(false)

    init(kernel: Kernel) throws(SystemErrno) {
        self.kernel = kernel
        descriptor = try kernel.makeWaker()
    }

    deinit { kernel.close(descriptor) }

    func raise() {
        if !isRaised.exchange(true, ordering: .acquiringAndReleasing) { kernel.wake(descriptor) }
    }

    /// At the top of a turn, before the loop's owner looks at what it may have been woken for: a call of `raise` after
    /// this one writes again, one before it has its message seen now. The eventfd keeps its count, since each write is
    /// an edge of its own, and the count has no end that can be reached.
    func lower() {
        if isRaised.load(ordering: .relaxed) {
            _ = isRaised.exchange(false, ordering: .acquiringAndReleasing)
        }
    }
}
