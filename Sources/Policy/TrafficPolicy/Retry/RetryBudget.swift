import MeshPrimitives
import Synchronization

/// What holds the retries of a cluster back when many requests fail at once.
public enum RetryBudgetSettings: Equatable, Sendable, BitwiseCopyable {
    /// No budget: the cluster's limit of retries in flight holds.
    case none
    /// Envoy's: retries in flight (their back-off included) up to `percent` of the requests that are active or
    /// pending now, and at least `concurrencyMin`.
    case concurrent(percent: Double, concurrencyMin: Int)
    /// Ours: retries of the last `window` nanoseconds up to `percent` of the requests of that time, and at least
    /// `retriesMin`. A retry counts from the moment it is decided, so those that wait in back-off count.
    case windowed(percent: Double, window: Int64, retriesMin: Int)

    public static let envoyDefault = RetryBudgetSettings.concurrent(percent: 20, concurrencyMin: 3)
    public static let meshDefault = RetryBudgetSettings.windowed(
        percent: 20, window: 10 * Nanoseconds.perSecond, retriesMin: 3)
}

/// Requests and retries of a sliding window, for the whole process. Lock-free: a slot of a tenth of the window is one
/// word; a retry is entered first and taken back if the sum is too high, so that two workers that ask at once
/// can both be refused the last place, but never both get it.
///
/// Retries are summed over the slot that runs and the ten before, requests over the nine before: whichever way a
/// window of ten slots is laid, its retries stay within the share of its requests.
public struct SlidingRetryBudget: ~Copyable, Sendable {
    private static let slotsPerWindow: Int64 = 10

    private let slotLength: Int64
    private let ratio: Double
    private let retriesMin: Int
    /// Slot number (24 bits), requests (24 bits), retries (16 bits).
    private let slots: InlineArray<16, Atomic<UInt64>>

    public init(percent: Double, window: Int64, retriesMin: Int) {
        precondition(window >= Self.slotsPerWindow && percent >= 0 && retriesMin >= 0)
        slotLength = window / Self.slotsPerWindow
        ratio = percent / 100
        self.retriesMin = retriesMin
        slots = InlineArray { _ in Atomic<UInt64>(0) }
    }

    /// A first attempt was made.
    public func requestStarted(at now: MonotonicInstant) { _ = add(requests: 1, retries: 0, at: number(now)) }

    /// Enters a retry if there is room for it.
    public func admitRetry(at now: MonotonicInstant) -> Bool {
        let current = number(now)
        guard add(requests: 0, retries: 1, at: current) else { return false }
        let (requests, retries) = sums(at: current)
        if retries <= allowance(requests: requests) { return true }
        takeBackRetry(at: current)
        return false
    }

    /// Retries that may stand beside so many requests.
    public func allowance(requests: Int) -> Int { max(retriesMin, Int(Double(requests) * ratio)) }

    /// Requests and retries that count at `now`.
    public func sums(at now: MonotonicInstant) -> (requests: Int, retries: Int) { sums(at: number(now)) }

    private func number(_ now: MonotonicInstant) -> Int64 { now.nanoseconds / slotLength }

    private func sums(at current: Int64) -> (requests: Int, retries: Int) {
        var (requests, retries) = (0, 0)
        for age in 0...Self.slotsPerWindow {
            let word = slots[Int((current - age) & 15)].load(ordering: .sequentiallyConsistent)
            guard word >> 40 == Self.tag(current - age) else { continue }
            if age < Self.slotsPerWindow { requests += Int(word >> 16 & 0xff_ffff) }
            retries += Int(word & 0xffff)
        }
        return (requests, retries)
    }

    /// false if a counter of the slot is full.
    private func add(requests: UInt64, retries: UInt64, at current: Int64) -> Bool {
        let slot = Int(current & 15)
        let tag = Self.tag(current)
        var word = slots[slot].load(ordering: .relaxed)
        while true {
            // A slot that is ahead belongs to a worker whose clock is: its count is as good as ours.
            let isCurrent = word >> 40 == tag || word >> 40 == tag &+ 16 & 0xff_ffff
            var next = isCurrent ? word : tag << 40
            guard next >> 16 & 0xff_ffff < 0xff_ffff || requests == 0 else { return false }
            guard next & 0xffff < 0xffff || retries == 0 else { return false }
            next += requests << 16 | retries
            let (done, seen) = slots[slot].weakCompareExchange(
                expected: word, desired: next, ordering: .sequentiallyConsistent)
            if done { return true }
            word = seen
        }
    }

    private func takeBackRetry(at current: Int64) {
        let slot = Int(current & 15)
        var word = slots[slot].load(ordering: .relaxed)
        while word >> 40 == Self.tag(current), word & 0xffff > 0 {
            let (done, seen) = slots[slot].weakCompareExchange(
                expected: word, desired: word - 1, ordering: .sequentiallyConsistent)
            if done { return }
            word = seen
        }
    }

    /// Distinct for all slots of half a year, and at start not that of a slot that was never used.
    private static func tag(_ number: Int64) -> UInt64 { UInt64(bitPattern: number + 16) & 0xff_ffff }
}
