import CLinux
import Glibc

/// Signals as readable events of a loop, instead of handlers. To be made first of all, on the main thread: threads
/// started before would still be killed by what is blocked here.
public struct SignalSource: ~Copyable {
    public enum Signal: CaseIterable, Sendable {
        case terminate, interrupt, hangup, user1, user2

        public var number: Int32 {
            switch self {
            case .terminate: SIGTERM
            case .interrupt: SIGINT
            case .hangup: SIGHUP
            case .user1: SIGUSR1
            case .user2: SIGUSR2
            }
        }
    }

    /// For `EventLoop.watchReadable`. Owned by the source.
    public let descriptor: Descriptor

    /// Blocks the signals in this thread and those that it will start, and has the process ignore SIGPIPE.
    public init(_ signals: [Signal] = Signal.allCases) throws(SystemErrno) {
        let set = signals.reduce(into: UInt64(0)) { set, signal in set |= 1 << UInt64(signal.number) }
        martlet_ignore_sigpipe()
        let blocked = martlet_block_signals(set)
        if blocked < 0 { throw SystemErrno(negated: blocked) }
        let result = martlet_signalfd(set)
        if result < 0 { throw SystemErrno(negated: result) }
        descriptor = Descriptor(rawValue: Int32(result))
    }

    deinit { _ = Glibc.close(descriptor.rawValue) }

    /// The next signal that has come, until nil: there is one edge for all of them. The same signal twice may be one.
    public func next() -> Signal? {
        let number = martlet_signalfd_read(descriptor.rawValue)
        return Signal.allCases.first { Int($0.number) == number }
    }
}
