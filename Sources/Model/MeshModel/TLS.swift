/// Where a private key and a trust bundle come from is settled before: these are the bytes. Equality compares
/// the bytes, so that a renewed certificate is a change. Never printed: see `description`.
public struct KeyMaterial: Sendable, Equatable, CustomStringConvertible {
    public var certificateChainPEM: [UInt8]
    public var privateKeyPEM: [UInt8]

    public init(certificateChainPEM: [UInt8], privateKeyPEM: [UInt8]) {
        (self.certificateChainPEM, self.privateKeyPEM) = (certificateChainPEM, privateKeyPEM)
    }

    public var description: String {
        "KeyMaterial(certificate: \(certificateChainPEM.count) bytes, key: redacted)"
    }
}

public enum TLSVersion: Int, Sendable, Comparable {
    case tls12 = 12
    case tls13 = 13

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

public struct SubjectNameMatch: Sendable, Equatable {
    public enum Kind: Sendable { case uri, dns }

    public var kind: Kind
    public var match: StringMatch

    public init(kind: Kind, match: StringMatch) { (self.kind, self.match) = (kind, match) }
}

/// envoy.extensions.transport_sockets.tls.v3.CommonTlsContext, resolved.
public struct TLSSettings: Sendable, Equatable {
    /// nil: none is shown.
    public var identity: KeyMaterial?
    /// nil: the peer's certificate is not verified.
    public var trustBundlePEM: [UInt8]?
    /// Any of them suffices; empty accepts every name.
    public var subjectNames: [SubjectNameMatch] = []
    /// SHA-256 of the certificate, lower-case hex.
    public var certificateHashes: [String] = []
    public var versionMin = TLSVersion.tls12
    public var versionMax = TLSVersion.tls13
    public var cipherSuites: [String] = []
    public var alpn: [String] = []
    /// SDS names, for `/config_dump` and `/certs`; empty where the bytes were given directly.
    public var identityName = ""
    public var bundleName = ""

    public init() {}
}

public struct DownstreamTLS: Sendable, Equatable {
    public var settings: TLSSettings
    public var requiresClientCertificate: Bool

    public init(settings: TLSSettings, requiresClientCertificate: Bool = false) {
        (self.settings, self.requiresClientCertificate) = (settings, requiresClientCertificate)
    }
}

public struct UpstreamTLS: Sendable, Equatable {
    public var settings: TLSSettings
    /// Empty: no server name is sent.
    public var sni: String

    public init(settings: TLSSettings, sni: String = "") { (self.settings, self.sni) = (settings, sni) }
}
