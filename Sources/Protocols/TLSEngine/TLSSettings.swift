/// What a `TLSContext` is made from.
public struct TLSSettings: Sendable {
    public enum Role: Hashable, Sendable { case client, server }

    public enum ProtocolVersion: Int, Comparable, Hashable, Sendable {
        case tls12 = 0x0303
        case tls13 = 0x0304

        public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    /// How the peer's certificate is judged before its names and hash are.
    public enum Trust: Hashable, Sendable {
        /// Its chain must end at one of these certificates (PEM; any certificate of the bundle is an anchor).
        case bundle([UInt8])
        /// Any certificate will do, an expired one too. A server that does not require one does not ask for
        /// one.
        case anyCertificate
    }

    /// A client certificate that a server sees: demanded, or welcome.
    public enum ClientCertificate: Hashable, Sendable { case required, optional }

    /// Our own certificate, its intermediates behind it, and its key, all in PEM. Never printed.
    public struct Identity: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
        let certificateChain: [UInt8]
        let privateKey: [UInt8]

        public init(certificateChain: [UInt8], privateKey: [UInt8]) {
            (self.certificateChain, self.privateKey) = (certificateChain, privateKey)
        }

        public var description: String { "Identity(hidden)" }
        public var customMirror: Mirror { Mirror(self, children: []) }
    }

    public var role: Role
    /// A server must have one.
    public var identity: Identity?
    public var trust: Trust
    /// Read by servers only.
    public var clientCertificate = ClientCertificate.required
    /// The peer's certificate must satisfy one of these, unless there are none.
    public var peerNames: [SANMatcher] = []
    /// SHA-256 of the peer's certificate, 64 hexadecimal digits (colons allowed): it must be one of these,
    /// unless there are none.
    public var peerCertificateHashes: [String] = []
    /// The peer's certificate must be valid for this DNS name (RFC 6125, without the common name).
    public var peerDNSName: String?
    public var versionMin = ProtocolVersion.tls12
    public var versionMax = ProtocolVersion.tls13
    /// In order of preference: a server's decides. A peer with none of them gets a connection without ALPN.
    public var applicationProtocols: [String] = []
    /// OpenSSL's names, for TLS 1.2 or (`TLS_…`) 1.3; empty for our own choice of each.
    public var cipherSuites: [String] = []
    /// What a client asks for (SNI) unless its session names another.
    public var serverName: String?
    /// A server's, that may be resumed: contexts that were given the same ones, and have the same certificate and trust
    /// bundle, resume each other's. Each context has its own unless given.
    public var sessions: TLSServerSessions?
    /// A ticket lives no longer than this, nor than the peer's certificate.
    public var ticketLifetimeMax = Duration.seconds(4 * 3600)

    public init(role: Role, identity: Identity?, trust: Trust) {
        (self.role, self.identity, self.trust) = (role, identity, trust)
    }
}

/// Why a `TLSContext`, a key or a list of certificates could not be made. No case carries secret bytes.
public enum TLSSettingsError: Error, Equatable, Sendable, CustomStringConvertible {
    case badCertificate(String)
    case badPrivateKey(String)
    case privateKeyDoesNotMatchCertificate
    case serverWithoutCertificate
    case badTrustBundle(String)
    case emptyTrustBundle
    case badCertificateHash(String)
    case badCipherSuites(String)
    case badVersionRange
    case badApplicationProtocol(String)
    case badServerName(String)
    case badName(String)
    /// OpenSSL could not do what it does with any input: no memory, no randomness.
    case libraryFailure(String)

    public var description: String {
        switch self {
        case .badCertificate(let reason): "the certificate chain cannot be read: \(reason)"
        case .badPrivateKey(let reason): "the private key cannot be read: \(reason)"
        case .privateKeyDoesNotMatchCertificate: "the private key does not belong to the certificate"
        case .serverWithoutCertificate: "a TLS server needs a certificate and a private key"
        case .badTrustBundle(let reason): "the trust bundle cannot be read: \(reason)"
        case .emptyTrustBundle: "the trust bundle holds no certificate"
        case .badCertificateHash(let text): "not a SHA-256 hash of 64 hexadecimal digits: \(text)"
        case .badCipherSuites(let list): "no usable cipher suite in: \(list)"
        case .badVersionRange: "the minimum TLS version is above the maximum"
        case .badApplicationProtocol(let name): "not an ALPN protocol name of 1 to 255 bytes: \(name)"
        case .badServerName(let name): "not a server name of 1 to 255 bytes: \(name)"
        case .badName(let name): "not usable as a subject alternative name: \(name)"
        case .libraryFailure(let reason): "OpenSSL: \(reason)"
        }
    }
}
