import Glibc

/// What became of one read or write.
public enum IOResult: Equatable, Sendable, BitwiseCopyable {
    /// This many moved, at least 1.
    case bytes(Int)
    /// Nothing now; an event will follow.
    case wouldBlock
    /// Reading: the peer's FIN, and nothing before it. Writing never gives it.
    case closed
    case failed(SystemErrno)

    /// From the result of a read: 0 is the end.
    @inlinable init(read result: Int) {
        if result > 0 {
            self = .bytes(result)
        } else if result == 0 {
            self = .closed
        } else {
            self = IOResult(error: result)
        }
    }

    /// From the result of a write: 0 moved nothing, as when the socket is full.
    @inlinable init(written result: Int) {
        if result > 0 {
            self = .bytes(result)
        } else if result == 0 {
            self = .wouldBlock
        } else {
            self = IOResult(error: result)
        }
    }

    @inlinable init(error result: Int) {
        self = result == -Int(EAGAIN) ? .wouldBlock : .failed(SystemErrno(negated: result))
    }
}
