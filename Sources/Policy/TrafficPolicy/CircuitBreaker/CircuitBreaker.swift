import MeshPrimitives
import Synchronization

/// Stops calling a service that keeps failing, waits, then lets a set number of probes through: one state for the whole
/// process, on atomic words.
///
///     closed -- failures in a row, failure rate or slow-call rate --> open
///     open -- its time is over, and a call comes --> half-open
///     half-open -- all probes succeed --> closed
///     half-open -- a probe fails or is slow --> open, for longer
///     half-open -- probes are out for as long as it was open --> half-open anew, with new probes
///
/// Each change begins a generation, and results of calls that were let through in an earlier one are ignored.
public struct CircuitBreaker: ~Copyable, Sendable {
    public enum State: UInt8, Sendable, BitwiseCopyable { case closed = 0, open = 1, halfOpen = 2 }

    /// Ties an outcome to the state in which its call was let through.
    public struct Ticket: Equatable, Sendable, BitwiseCopyable {
        fileprivate let generation: UInt32
    }

    public enum Admission: Equatable, Sendable, BitwiseCopyable {
        case allowed(Ticket)
        case probe(Ticket)
        /// Refused; nanoseconds until it would be looked at again.
        case rejected(retryAfter: Int64)
    }

    public enum Outcome: Sendable, BitwiseCopyable {
        case success
        case failure
        /// It says nothing about the service: the caller went away, a limit of our own refused.
        case unknown
    }

    public enum Reason: UInt8, Sendable, BitwiseCopyable {
        case consecutiveFailures, failureRate, slowCallRate, probeFailed
    }

    /// A change of state, for the log and the counters; whoever causes it hears of it, once.
    public enum Change: Equatable, Sendable, BitwiseCopyable {
        case opened(Reason, for: Int64)
        case halfOpened
        case closed
    }

    /// The word: generation (32 bits), state (2), openings in a row (6), probes let through (12), probes succeeded (12).
    private struct Word: BitwiseCopyable {
        var raw: UInt64

        var generation: UInt64 { raw >> 32 }
        var state: State { State(rawValue: UInt8(raw >> 30 & 3)) ?? .closed }
        var openings: UInt64 { raw >> 24 & 63 }
        var issued: UInt64 { raw >> 12 & 0xfff }
        var succeeded: UInt64 { raw & 0xfff }

        init(raw: UInt64) { self.raw = raw }

        init(after word: Word, _ state: State, openings: UInt64, issued: UInt64 = 0) {
            let generation = (word.generation + 1) & 0xffff_ffff
            raw = generation << 32 | UInt64(state.rawValue) << 30 | min(openings, 63) << 24 | issued << 12
        }
    }

    public let settings: CircuitBreakerSettings
    private let word = Atomic<UInt64>(0)
    /// When the open state ends, or the half-open one gives its probes up, for generations of either parity: written
    /// before the word that makes it count.
    private let evenUntil = Atomic<Int64>(0)
    private let oddUntil = Atomic<Int64>(0)
    /// Generation (32 bits), failures in a row.
    private let failuresInARow = Atomic<UInt64>(0)
    private let window: CallWindow

    public init(_ settings: CircuitBreakerSettings) {
        precondition(settings.isValid)
        self.settings = settings
        window = CallWindow(length: settings.window)
    }

    public var state: State { Word(raw: word.load(ordering: .acquiring)).state }

    /// Asks for one call. Whoever is let through reports its outcome once.
    public func admit(at now: MonotonicInstant) -> (admission: Admission, change: Change?) {
        let current = Word(raw: word.load(ordering: .acquiring))
        if current.state == .closed { return (.allowed(ticket(current)), nil) }
        return admitUnlessClosed(at: now)
    }

    @inline(never)
    private func admitUnlessClosed(at now: MonotonicInstant) -> (admission: Admission, change: Change?) {
        while true {
            let current = Word(raw: word.load(ordering: .acquiring))
            let left = until(current.generation) - now.nanoseconds
            let next: Word
            let change: Change?
            switch current.state {
            case .closed: return (.allowed(ticket(current)), nil)
            case .open:
                if left > 0 { return (.rejected(retryAfter: left), nil) }
                next = Word(after: current, .halfOpen, openings: current.openings, issued: 1)
                change = .halfOpened
            case .halfOpen where current.issued < settings.probes:
                next = Word(raw: current.raw + 1 << 12)
                change = nil
            case .halfOpen:
                if left > 0 { return (.rejected(retryAfter: left), nil) }
                next = Word(after: current, .halfOpen, openings: current.openings, issued: 1)
                change = .halfOpened
            }
            if change != nil {
                setUntil(
                    next.generation,
                    now.nanoseconds + settings.openDuration(openings: current.openings))
            }
            if replace(current, by: next) { return (.probe(ticket(next)), change) }
        }
    }

    /// A call that was let through has ended, after `latency` nanoseconds.
    public func finished(_ ticket: Ticket, _ outcome: Outcome, latency: Int64, at now: MonotonicInstant)
        -> Change?
    {
        let current = Word(raw: word.load(ordering: .acquiring))
        guard current.generation == UInt64(ticket.generation) else { return nil }
        switch current.state {
        case .open: return nil
        case .halfOpen: return probeFinished(ticket, outcome, isSlow: isSlow(latency), at: now)
        case .closed: break
        }
        if outcome == .unknown { return nil }
        let (isFailure, isSlow) = (outcome == .failure, isSlow(latency))
        if settings.failureRateMax > 0 || settings.slowCallRateMax > 0 {
            window.add(
                isFailure: isFailure, isSlow: isSlow, generation: current.generation, at: now)
        }
        if settings.consecutiveFailuresMax > 0 {
            let count = countInARow(isFailure: isFailure, current.generation)
            if isFailure, count >= UInt64(settings.consecutiveFailuresMax) {
                return open(current, .consecutiveFailures, at: now)
            }
        }
        // A rate only grows with a call of its kind.
        guard isFailure || isSlow else { return nil }
        return rateReason(current.generation, at: now).flatMap { open(current, $0, at: now) }
    }

    /// Calls, failures and slow calls of the window, for the pages that show them.
    public func counts(at now: MonotonicInstant) -> (calls: Int, failures: Int, slow: Int) {
        window.sums(generation: Word(raw: word.load(ordering: .acquiring)).generation, at: now)
    }

    // MARK: Rules

    private func isSlow(_ latency: Int64) -> Bool {
        settings.slowCallDuration > 0 && latency >= settings.slowCallDuration
    }

    private func rateReason(_ generation: UInt64, at now: MonotonicInstant) -> Reason? {
        guard settings.failureRateMax > 0 || settings.slowCallRateMax > 0 else { return nil }
        let sums = window.sums(generation: generation, at: now)
        guard sums.calls >= Int(settings.callsMin) else { return nil }
        let calls = Double(sums.calls)
        if settings.failureRateMax > 0, Double(sums.failures) * 100 >= settings.failureRateMax * calls {
            return .failureRate
        }
        if settings.slowCallRateMax > 0, Double(sums.slow) * 100 >= settings.slowCallRateMax * calls {
            return .slowCallRate
        }
        return nil
    }

    private func probeFinished(
        _ ticket: Ticket, _ outcome: Outcome, isSlow: Bool, at now: MonotonicInstant
    ) -> Change? {
        while true {
            let current = Word(raw: word.load(ordering: .acquiring))
            guard current.generation == UInt64(ticket.generation), current.state == .halfOpen else {
                return nil
            }
            switch outcome {
            case .unknown:
                // Its place goes to another probe.
                guard current.issued > current.succeeded else { return nil }
                if replace(current, by: Word(raw: current.raw - 1 << 12)) { return nil }
            case .failure: return open(current, .probeFailed, at: now)
            case .success where isSlow: return open(current, .probeFailed, at: now)
            case .success:
                if current.succeeded + 1 < UInt64(settings.probes) {
                    if replace(current, by: Word(raw: current.raw + 1)) { return nil }
                } else if replace(current, by: Word(after: current, .closed, openings: 0)) {
                    return .closed
                }
            }
        }
    }

    /// nil: somebody else has changed the state.
    private func open(_ seen: Word, _ reason: Reason, at now: MonotonicInstant) -> Change? {
        var current = seen
        while current.generation == seen.generation, current.state != .open {
            let next = Word(after: current, .open, openings: current.openings + 1)
            let length = settings.openDuration(openings: next.openings)
            setUntil(next.generation, now.nanoseconds + length)
            if replace(current, by: next) { return .opened(reason, for: length) }
            current = Word(raw: word.load(ordering: .acquiring))
        }
        return nil
    }

    private func countInARow(isFailure: Bool, _ generation: UInt64) -> UInt64 {
        var old = failuresInARow.load(ordering: .relaxed)
        while true {
            let count = isFailure ? (old >> 32 == generation ? old & 0xffff_ffff : 0) + 1 : 0
            let new = generation << 32 | min(count, 0xffff_ffff)
            if new == old { return count }
            let (done, seen) = failuresInARow.weakCompareExchange(
                expected: old, desired: new, ordering: .relaxed)
            if done { return count }
            old = seen
        }
    }

    private func ticket(_ word: Word) -> Ticket { Ticket(generation: UInt32(word.generation)) }

    private func replace(_ old: Word, by new: Word) -> Bool {
        word.compareExchange(expected: old.raw, desired: new.raw, ordering: .acquiringAndReleasing).exchanged
    }

    private func until(_ generation: UInt64) -> Int64 {
        generation & 1 == 0 ? evenUntil.load(ordering: .acquiring) : oddUntil.load(ordering: .acquiring)
    }

    private func setUntil(_ generation: UInt64, _ instant: Int64) {
        if generation & 1 == 0 {
            evenUntil.store(instant, ordering: .releasing)
        } else {
            oddUntil.store(instant, ordering: .releasing)
        }
    }
}
