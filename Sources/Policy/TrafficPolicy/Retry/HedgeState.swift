/// The attempts of one request that run beside each other. At most eight; a ninth is refused.
///
/// The first good answer wins, and the others are given up. An answer that the retry policy would repeat is thrown away
/// while others are still running; the last one is judged as if it had been alone. So the caller gets exactly one answer.
public struct HedgeState: Equatable, Sendable, BitwiseCopyable {
    public enum Verdict: Equatable, Sendable, BitwiseCopyable {
        /// Nobody else is running: decide as without hedging.
        case alone
        /// Throw it away and wait for the others.
        case wait
        /// It is the answer; give up the attempts of these bits.
        case win(givingUp: UInt8)
        /// Another one has won, or it has ended before: nothing is to be done.
        case late
    }

    private var running: UInt8 = 0
    private var isDecided = false

    public init() {}

    public var runningCount: Int { running.nonzeroBitCount }

    /// The number of a new attempt, below 8; nil if there is no room, or the answer is there already.
    public mutating func started() -> UInt8? {
        guard !isDecided, running != .max else { return nil }
        let number = UInt8((~running).trailingZeroBitCount)
        running |= 1 << number
        return number
    }

    /// The head of an answer came. `isWanted`: the retry policy would not repeat it.
    public mutating func answered(_ attempt: UInt8, isWanted: Bool) -> Verdict {
        guard !isDecided, running & 1 << attempt != 0 else { return .late }
        let others = running & ~(1 << attempt)
        if isWanted {
            (isDecided, running) = (true, 1 << attempt)
            return others == 0 ? .alone : .win(givingUp: others)
        }
        running = others
        return others == 0 ? .alone : .wait
    }

    /// An attempt ended without an answer.
    public mutating func failed(_ attempt: UInt8) -> Verdict {
        guard !isDecided, running & 1 << attempt != 0 else { return .late }
        running &= ~(1 << attempt)
        return running == 0 ? .alone : .wait
    }
}
