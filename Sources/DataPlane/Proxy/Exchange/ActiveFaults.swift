import Synchronization

/// How many requests the process is injecting faults into, for `max_active_faults`.
final class ActiveFaults: Sendable {
    private let count = Atomic<Int>(0)

    /// false: there are `most` already.
    func begin(most: Int) -> Bool {
        if count.add(1, ordering: .relaxed).newValue <= most { return true }
        end()
        return false
    }

    func end() { count.subtract(1, ordering: .relaxed) }
}
