import MeshPrimitives

/// What a line needs of a request that its record has only as a number, or that the proxy itself put into the messages:
/// views into what the caller keeps. Empty: there is none.
public struct ExchangeTexts: Sendable, BitwiseCopyable {
    public var cluster = ByteView("")
    public var route = ByteView("")
    public var virtualHost = ByteView("")
    /// Names, with commas between.
    public var downstreamPeerURI = ByteView("")
    public var downstreamPeerDNS = ByteView("")
    public var downstreamPeerSubject = ByteView("")
    public var downstreamPeerIssuer = ByteView("")
    public var downstreamPeerSerial = ByteView("")
    public var downstreamPeerFingerprint = ByteView("")
    /// PEM, percent-encoded.
    public var downstreamPeerCertificate = ByteView("")
    /// Seconds since 1970; nil without a certificate.
    public var downstreamPeerValidFrom: Int64?
    public var downstreamPeerValidUntil: Int64?
    public var downstreamLocalURI = ByteView("")
    public var downstreamLocalDNS = ByteView("")
    public var downstreamLocalSubject = ByteView("")
    public var downstreamCipher = ByteView("")
    /// Hexadecimal.
    public var downstreamTLSSessionID = ByteView("")
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

extension ExchangeTexts {
    /// What an operator about certificates and sessions shows.
    func ofTLS(_ kind: OperatorKind) -> ByteView {
        switch kind {
        case .peerURISAN: downstreamPeerURI
        case .peerDNSSAN: downstreamPeerDNS
        case .peerSubject: downstreamPeerSubject
        case .peerIssuer: downstreamPeerIssuer
        case .peerSerial: downstreamPeerSerial
        case .peerFingerprint: downstreamPeerFingerprint
        case .peerCertificate: downstreamPeerCertificate
        case .localURISAN: downstreamLocalURI
        case .localDNSSAN: downstreamLocalDNS
        case .localSubject: downstreamLocalSubject
        case .tlsCipher: downstreamCipher
        case .tlsSessionID: downstreamTLSSessionID
        default: ByteView("")
        }
    }
}
