import COpenSSL

/// What sessions of one kind have in common: role, certificate, trust, whom to accept. Immutable and shared
/// by all threads; its memory goes with the last session that uses it.
@safe public final class TLSContext: Sendable {
    let core: TLSContextCore
    private let peerNames: [SANMatcher]
    private let peerCertificateHashes: Set<Digest>
    private let peerDNSName: String?
    let serverName: String?

    /// With `sibling`, a context that differs only in the peers that it accepts and the server that it names
    /// shares the sibling's memory (tens of KB, and the parsed trust bundle); any other sibling is ignored.
    public init(_ settings: TLSSettings, sharingWith sibling: TLSContext? = nil) throws(TLSSettingsError) {
        for name in [settings.serverName, settings.peerDNSName].compactMap({ $0 }) {
            guard (1...255).contains(name.utf8.count), !name.hasPrefix("."), !name.utf8.contains(0) else {
                throw .badServerName(name)
            }
        }
        var hashes: Set<Digest> = []
        for text in settings.peerCertificateHashes {
            guard let hash = Digest(hexadecimal: text) else { throw .badCertificateHash(text) }
            hashes.insert(hash)
        }
        peerNames = settings.peerNames
        peerCertificateHashes = hashes
        peerDNSName = settings.peerDNSName
        serverName = settings.serverName
        let traits = TLSContextCore.Traits(settings)
        if let sibling, sibling.core.traits == traits {
            core = sibling.core
        } else {
            core = try TLSContextCore(traits)
        }
    }

    public var role: TLSSettings.Role { core.traits.role }

    /// Our own certificate.
    public var certificate: CertificateInfo? { core.certificate }

    /// Whether something stands behind the certificates that are let through.
    var verifiesPeers: Bool { core.traits.trust != .anyCertificate || !peerCertificateHashes.isEmpty }

    /// What is wrong with the peer's certificate, apart from its chain. It must be for `wanted` too, where there is a
    /// chain that speaks for its names.
    func complaint(about leaf: OpaquePointer, for wanted: String? = nil) -> (
        failure: TLSFailure, detail: String
    )? {
        if !peerCertificateHashes.isEmpty {
            guard let hash = unsafe Digest(of: leaf), peerCertificateHashes.contains(hash) else {
                return (TLSFailure(.wrongCertificateHash), "")
            }
        }
        let wanted = verifiesPeers ? wanted : nil
        if peerNames.isEmpty && peerDNSName == nil && wanted == nil { return nil }
        let names = unsafe SubjectNames(of: leaf)
        let isNamed = peerNames.isEmpty || peerNames.contains { $0.accepts(names) }
        if isNamed, unsafe isFor(peerDNSName, leaf), unsafe isFor(wanted, leaf) { return nil }
        let found = (names.uris + names.dnsNames).prefix(4).joined(separator: ", ")
        let failure = TLSFailure(.wrongIdentity)
        return (failure, "\(failure.text); it has \(found.isEmpty ? "none at all" : found)")
    }

    /// A DNS name, or an address in text; nil is fine with any certificate.
    private func isFor(_ name: String?, _ leaf: OpaquePointer) -> Bool {
        guard let name else { return true }
        defer { ErrorQueue.clear() }
        let flags = UInt32(X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)
        return unsafe X509_check_host(leaf, name, name.utf8.count, flags, nil) == 1
            || X509_check_ip_asc(leaf, name, 0) == 1
    }
}
