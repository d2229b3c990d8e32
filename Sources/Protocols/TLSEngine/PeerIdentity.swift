/// Who is at the other end, by the certificate that it proved to hold the key of. Made once per connection.
public struct PeerIdentity: Equatable, Sendable {
    public let certificate: CertificateInfo
    /// False when nothing but the possession of its key stands behind the certificate: its names are claims.
    public let isVerified: Bool

    init(certificate: CertificateInfo, isVerified: Bool) {
        (self.certificate, self.isVerified) = (certificate, isVerified)
    }

    /// The first URI name of the form `spiffe://…`.
    public var spiffeID: String? { certificate.spiffeID }
    public var uriSANs: [String] { certificate.uriSANs }
    public var dnsSANs: [String] { certificate.dnsSANs }
    /// RFC 2253.
    public var subject: String { certificate.subject }
    /// SHA-256 of the certificate's DER form, 64 hexadecimal digits in lower case.
    public var fingerprint: String { certificate.sha256 }
    /// Seconds since 1970.
    public var notAfter: Int64 { certificate.notAfter }
    /// Hexadecimal, lower case.
    public var serial: String { certificate.serial }
}

/// SHA-256 of a peer's certificate in DER form: names it at little cost.
public struct PeerFingerprint: Hashable, Sendable {
    let digest: Digest
}

/// What the handshake settled by ALPN (RFC 7301).
public enum ApplicationProtocol: UInt8, Sendable, BitwiseCopyable {
    /// One side did not ask, or nothing was in common.
    case none
    case http11
    case http2
    /// One that has no meaning here; `TLSSession.applicationProtocolName` has it.
    case other
}
