import MeshPrimitives
import Synchronization

/// Calls, failures and slow calls of a sliding window, for the whole process, on atomic words: ten slots and the one that
/// runs. Counts belong to a generation, so that a change of state empties the window without touching it. A slot counts
/// up to a million calls; more of them in a tenth of the window leave its rates as they are.
struct CallWindow: ~Copyable, Sendable {
    private static let slotsPerWindow: Int64 = 10
    private static let countMask: UInt64 = 0xf_ffff

    private let slotLength: Int64
    /// Tag (24 bits), calls, failures (20 bits each).
    private let calls: InlineArray<16, Atomic<UInt64>>
    /// Tag (24 bits), slow calls (20 bits).
    private let slow: InlineArray<16, Atomic<UInt64>>

    init(length: Int64) {
        slotLength = max(1, length / Self.slotsPerWindow)
        calls = InlineArray { _ in Atomic<UInt64>(0) }
        slow = InlineArray { _ in Atomic<UInt64>(0) }
    }

    func add(isFailure: Bool, isSlow: Bool, generation: UInt64, at now: MonotonicInstant) {
        let number = now.nanoseconds / slotLength
        let tag = Self.tag(number, generation)
        add(1 << 20 | (isFailure ? 1 : 0), calls[Int(number & 15)], tag)
        if isSlow { add(1, slow[Int(number & 15)], tag) }
    }

    func sums(generation: UInt64, at now: MonotonicInstant) -> (calls: Int, failures: Int, slow: Int) {
        let current = now.nanoseconds / slotLength
        var sums = (calls: 0, failures: 0, slow: 0)
        for age in 0...Self.slotsPerWindow {
            let number = current - age
            let tag = Self.tag(number, generation)
            let word = calls[Int(number & 15)].load(ordering: .relaxed)
            if word >> 40 == tag {
                sums.calls += Int(word >> 20 & Self.countMask)
                sums.failures += Int(word & Self.countMask)
            }
            let slowWord = slow[Int(number & 15)].load(ordering: .relaxed)
            if slowWord >> 40 == tag { sums.slow += Int(slowWord & Self.countMask) }
        }
        return sums
    }

    private func add(_ amount: UInt64, _ slot: borrowing Atomic<UInt64>, _ tag: UInt64) {
        var word = slot.load(ordering: .relaxed)
        while true {
            let base = word >> 40 == tag ? word : tag << 40
            if base >> 20 & Self.countMask == Self.countMask || base & Self.countMask == Self.countMask {
                return
            }
            let (done, seen) = slot.weakCompareExchange(
                expected: word, desired: base + amount, ordering: .relaxed)
            if done { return }
            word = seen
        }
    }

    /// Another one for each slot of a million, and for each of 15 generations; never that of a slot that was not used.
    private static func tag(_ number: Int64, _ generation: UInt64) -> UInt64 {
        UInt64(bitPattern: number) & 0xf_ffff | (generation % 15 + 1) << 20
    }
}
