/// What a session tells its peer, and what it allows itself.
public struct HTTP2Settings: Sendable, BitwiseCopyable {
    /// Servers: streams that the peer may have open at a time (Envoy's default is 2^31-1; ours bounds memory).
    /// Clients: streams that we open at a time, if the peer allows as many.
    public var streamsMax = 100
    /// Bytes that the peer may send on one stream before some are `consumed`. 65,535 to 2^31-1.
    public var streamWindow = 256 << 10
    /// The same over all streams: the most that the caller ever has to keep for one connection.
    public var connectionWindow = 1 << 20
    /// Servers: allow CONNECT with `:protocol` (RFC 8441), as WebSockets use it.
    public var allowsExtendedConnect = false
    /// Bytes of output that may wait before `send` accepts no more.
    public var outputMax = 64 << 10

    public init() {}
}
