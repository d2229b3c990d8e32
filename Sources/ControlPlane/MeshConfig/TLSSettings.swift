/// `TLSPolicy`: what a sidecar asks of callers. In shadow mode: who of those who come in the clear `strict` would refuse.
public struct TLSSettings: PolicySettings {
    public enum Mutual: String, Sendable, CaseIterable { case strict, permissive, disabled }

    public enum Version: String, Sendable, CaseIterable {
        case v12 = "1.2"
        case v13 = "1.3"
    }

    /// Of TLS 1.2, by the names of OpenSSL; workloads have ECDSA keys.
    public enum Cipher: String, Sendable, CaseIterable {
        case aes128 = "ECDHE-ECDSA-AES128-GCM-SHA256"
        case aes256 = "ECDHE-ECDSA-AES256-GCM-SHA384"
        case chacha20 = "ECDHE-ECDSA-CHACHA20-POLY1305"
    }

    public struct PortMode: Sendable, Equatable {
        /// The service's port, not the application's.
        public var port: Int
        public var mutual: Mutual
    }

    public var mutual: Mutual?
    public var ports: [PortMode]?
    public var minimumVersion: Version?
    /// In the order in which they are preferred; of TLS 1.3 all are taken.
    public var ciphers: [Cipher]?

    public init() {}

    public static var kind: ResourceKind { .tlsPolicy }
    public static var targetKinds: [PolicyTarget.Kind] { [.mesh, .namespace, .service] }
    public static var directions: [PolicyDirection] { [.inbound] }
    public static var runsInShadow: Bool { true }

    public static func policy(in specification: Resource.Specification) -> Policy<TLSSettings>? {
        guard case .tlsPolicy(let policy) = specification else { return nil }
        return policy
    }

    public func filled(from broader: TLSSettings) -> TLSSettings {
        var result = self
        // What this policy says about all ports is narrower than what a broader one says about one of them.
        if mutual == nil { result.ports = (ports ?? []) + (broader.ports ?? []) }
        result.mutual = mutual ?? broader.mutual
        result.minimumVersion = minimumVersion ?? broader.minimumVersion
        result.ciphers = ciphers ?? broader.ciphers
        return result
    }

    /// What holds for one port of a service; `permissive` unless somebody says otherwise.
    public func mutual(port: Int) -> Mutual {
        ports?.first { $0.port == port }?.mutual ?? mutual ?? .permissive
    }

    static func read(_ fields: Fields) -> TLSSettings {
        var settings = TLSSettings()
        settings.mutual = fields.choice("mtls", Mutual.self)
        settings.ports = fields.list("ports", countMax: 64) { fields in
            let port = fields.integer("port", isRequired: true, in: 1...65_535)
            let mutual = fields.choice("mtls", isRequired: true, Mutual.self)
            guard let port, let mutual else { return nil }
            return PortMode(port: port, mutual: mutual)
        }
        settings.minimumVersion = fields.choice("minimumVersion", Version.self)
        settings.ciphers = fields.scalars("ciphers", countMax: Cipher.allCases.count) { node, path in
            fields.reader.choice(node, path, Cipher.self)
        }
        fields.refuseEmpty("ciphers", "name a cipher, or remove it")
        if settings.ciphers != nil, settings.minimumVersion != .v12 {
            fields.report(
                "ciphers", "has an effect on TLS 1.2 only", "add minimumVersion: \"1.2\", or remove it")
        }
        fields.notYet("externalTrust")
        return settings
    }
}
