import MeshPrimitives

/// Number of a stream: odd, counted up by the client.
public struct StreamID: Hashable, Comparable, Sendable, BitwiseCopyable {
    public let rawValue: Int32

    @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }

    @inlinable public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// An error code (RFC 9113 section 7). Peers may send numbers without a name.
public struct HTTP2ErrorCode: Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt32

    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let noError = HTTP2ErrorCode(rawValue: 0)
    public static let protocolError = HTTP2ErrorCode(rawValue: 1)
    public static let internalError = HTTP2ErrorCode(rawValue: 2)
    public static let flowControlError = HTTP2ErrorCode(rawValue: 3)
    public static let settingsTimeout = HTTP2ErrorCode(rawValue: 4)
    public static let streamClosed = HTTP2ErrorCode(rawValue: 5)
    public static let frameSizeError = HTTP2ErrorCode(rawValue: 6)
    public static let refusedStream = HTTP2ErrorCode(rawValue: 7)
    public static let cancel = HTTP2ErrorCode(rawValue: 8)
    public static let compressionError = HTTP2ErrorCode(rawValue: 9)
    public static let connectError = HTTP2ErrorCode(rawValue: 10)
    public static let enhanceYourCalm = HTTP2ErrorCode(rawValue: 11)
    public static let inadequateSecurity = HTTP2ErrorCode(rawValue: 12)
    public static let http11Required = HTTP2ErrorCode(rawValue: 13)
}

/// Why a connection cannot go on. Its GOAWAY is in the output already.
public struct HTTP2ConnectionError: Error, Equatable, Sendable, BitwiseCopyable {
    public enum Reason: Sendable, BitwiseCopyable {
        /// The peer broke the protocol.
        case violation
        /// Too many streams opened and reset, or broken by their messages.
        case resetFlood
        /// Too many PING, SETTINGS, PRIORITY, WINDOW_UPDATE or empty DATA frames for the work done.
        case frameFlood
        /// A header block of too many frames, too many fields or too many bytes once decompressed.
        case headerFlood
        /// The peer sends, but does not read.
        case outputFull
        /// A mistake of ours, or no memory.
        case internalFailure
    }

    public let code: HTTP2ErrorCode
    public let reason: Reason

    public init(code: HTTP2ErrorCode, reason: Reason) {
        self.code = code
        self.reason = reason
    }
}

/// What the peer did, in the order in which it did it.
///
/// For one stream: `head` (or `headTooLarge`; before it, for clients, any number of `informational`), then `data`, then
/// the end, which is `endsStream` of one of these, `ended` or `trailers`. `reset` can come at any time, and `closed` is
/// always the last. A message that broke the rules before its head was delivered is reset without any event to a
/// server.
public enum HTTP2Event: Sendable, BitwiseCopyable {
    /// `head(of:into:)` and `takeHead` give it; `length` bytes in the form of HTTP/1.1.
    case head(stream: StreamID, length: Int, endsStream: Bool)
    /// More than `MessageHead.bytesMax` or `MessageHead.fieldsMax`: a server answers 431 and resets the stream.
    case headTooLarge(stream: StreamID, endsStream: Bool)
    /// An interim response, 100 to 199 but not 101.
    case informational(stream: StreamID, length: Int)
    /// Bytes inside those given to `receive`, so valid as long as these are.
    case data(stream: StreamID, bytes: ByteView, endsStream: Bool)
    /// The trailer section, and with it the end.
    case trailers(stream: StreamID, length: Int)
    case ended(stream: StreamID)
    /// By the peer, or by this session because the peer broke the stream's rules. Not after the caller's own `reset`.
    case reset(stream: StreamID, code: HTTP2ErrorCode, byPeer: Bool)
    /// Both sides are done; the stream and its tag are forgotten after this.
    case closed(stream: StreamID)
    /// `send` accepted less than it was given; now it may accept more.
    case windowOpened(stream: StreamID)
    /// The peer's settings arrived.
    case settings(streamsMax: Int)
    /// Streams above `lastStream` were not and will not be looked at, and may be replayed elsewhere.
    case goAway(lastStream: StreamID, code: HTTP2ErrorCode)
    /// The answer to `ping`.
    case pingAcknowledged(UInt64)
}
