/// `TLSPolicy`: what a sidecar asks of callers.
public struct TLSSettings: PolicySettings {
    public enum Mutual: String, Sendable, CaseIterable { case strict, permissive, disabled }

    public enum Version: String, Sendable, CaseIterable {
        case v12 = "1.2"
        case v13 = "1.3"
    }

    public struct PortMode: Sendable, Equatable {
        /// The service's port, not the application's.
        public var port: Int
        public var mutual: Mutual
    }

    public var mutual: Mutual?
    public var ports: [PortMode]?
    public var minimumVersion: Version?

    public init() {}

    public static var kind: ResourceKind { .tlsPolicy }
    public static var targetKinds: [PolicyTarget.Kind] { [.mesh, .namespace, .service] }
    public static var directions: [PolicyDirection] { [.inbound] }

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
        fields.notYet("ciphers", "externalTrust")
        return settings
    }
}
