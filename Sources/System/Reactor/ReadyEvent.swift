/// What epoll says of a descriptor: its bits (epoll_ctl(2)).
public struct Readiness: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt32

    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// EPOLLIN
    @inlinable public static var readable: Readiness { Readiness(rawValue: 0x1) }
    /// EPOLLOUT
    @inlinable public static var writable: Readiness { Readiness(rawValue: 0x4) }
    /// EPOLLERR
    @inlinable public static var error: Readiness { Readiness(rawValue: 0x8) }
    /// EPOLLHUP: both directions are over.
    @inlinable public static var hangup: Readiness { Readiness(rawValue: 0x10) }
    /// EPOLLRDHUP: the peer has sent its FIN; there may be bytes before it.
    @inlinable public static var readClosed: Readiness { Readiness(rawValue: 0x2000) }

    /// A short read does not mean "drained" when one of these came along: read on until `closed` or an error, since
    /// no further edge will come for the FIN.
    @inlinable public static var endOfStream: Readiness { Readiness(rawValue: 0x2000 | 0x10 | 0x8) }
}

/// What an event carries back to whoever registered it. The loop looks at `waker` only.
public struct Token: Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The loop's own: its waker was used. Nobody else may register it.
    @inlinable public static var waker: Token { Token(rawValue: .max) }
}

/// An event of one turn.
public struct ReadyEvent: Hashable, Sendable, BitwiseCopyable {
    public let token: Token
    public let readiness: Readiness

    @inlinable public init(token: Token, readiness: Readiness) {
        (self.token, self.readiness) = (token, readiness)
    }
}
