import MeshPrimitives

/// What a line needs of a request that its record has only as a number, or that the proxy itself put into the messages:
/// views into what the caller keeps. Empty: there is none.
public struct ExchangeTexts: Sendable, BitwiseCopyable {
    public var cluster = ByteView("")
    public var route = ByteView("")
    public var virtualHost = ByteView("")
    public var downstreamPeerURI = ByteView("")
    public var downstreamLocalURI = ByteView("")
    public var downstreamPeerSubject = ByteView("")
    public var requestedServerName = ByteView("")
    /// Spaces are shown as underscores.
    public var upstreamFailure = ByteView("")
    public var localReplyBody = ByteView("")
    public var hostname = ByteView("")
    /// Fields that the proxy gave the request: shown instead of those that came.
    public var requestID = ByteView("")
    public var forwardedFor = ByteView("")
    public var forwardedProto = ByteView("")
    public var traceparent = ByteView("")
    /// Where the route changed them: path and host as they went upstream, and the path that came.
    public var sentPath = ByteView("")
    public var sentAuthority = ByteView("")
    public var originalPath = ByteView("")

    public init() {}
}
