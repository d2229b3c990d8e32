import COpenSSL

/// One `SSL_CTX`: what of a context OpenSSL holds.
@safe final class TLSContextCore: @unchecked Sendable {
    /// All that goes into it. Two cores with the same traits are interchangeable.
    struct Traits: Hashable {
        let role: TLSSettings.Role
        let identity: TLSSettings.Identity?
        let trust: TLSSettings.Trust
        let clientCertificate: TLSSettings.ClientCertificate
        /// Whether a server has any use for a client's certificate.
        let asksForCertificate: Bool
        let versionMin: TLSSettings.ProtocolVersion
        let versionMax: TLSSettings.ProtocolVersion
        let applicationProtocols: [String]
        let cipherSuites: [String]
        let sessions: TLSServerSessions?
        let ticketLifetimeMax: Int64

        init(_ settings: TLSSettings) {
            role = settings.role
            identity = settings.identity
            trust = settings.trust
            clientCertificate = settings.clientCertificate
            asksForCertificate =
                settings.trust != .anyCertificate || settings.clientCertificate == .required
                || !settings.peerCertificateHashes.isEmpty
            (versionMin, versionMax) = (settings.versionMin, settings.versionMax)
            applicationProtocols = settings.applicationProtocols
            cipherSuites = settings.cipherSuites
            sessions = settings.sessions
            ticketLifetimeMax = max(1, settings.ticketLifetimeMax.components.seconds)
        }
    }

    let traits: Traits
    let certificate: CertificateInfo?
    /// Of the trust bundle's content; for chains that were verified before.
    let trustDigest: Digest
    /// Of everything that a session may not be resumed without.
    let conditions: Digest
    /// In the form of RFC 7301: each name behind its length.
    let protocolList: [UInt8]
    /// A server's, that may be resumed.
    let sessions: TLSServerSessions
    private let handle: ContextHandle

    var ssl: OpaquePointer { unsafe handle.raw }

    init(_ traits: Traits) throws(TLSSettingsError) {
        guard traits.role == .client || traits.identity != nil else { throw .serverWithoutCertificate }
        guard traits.versionMin <= traits.versionMax else { throw .badVersionRange }
        let handle = try ContextHandle()
        try handle.setVersionsAndCiphers(traits)
        let (trusted, trustDigest) = try handle.setTrust(traits.trust)
        var certificate: CertificateInfo?
        if let identity = traits.identity { certificate = try handle.setIdentity(identity) }
        protocolList = try Self.protocolList(traits.applicationProtocols)
        let parts = "\(traits.role) \(traits.clientCertificate) \(trusted) \(certificate?.sha256 ?? "") "
        guard let conditions = Digest(of: Array(parts.utf8) + trustDigest.bytes) else {
            throw .libraryFailure("no SHA-256")
        }
        try handle.setResumption(traits, conditions: conditions)
        handle.setVerification(traits)
        try handle.setProtocols(traits.role, protocolList)
        (self.traits, self.certificate) = (traits, certificate)
        sessions = traits.sessions ?? TLSServerSessions()
        (self.trustDigest, self.conditions) = (trustDigest, conditions)
        self.handle = handle
    }

    private static func protocolList(_ names: [String]) throws(TLSSettingsError) -> [UInt8] {
        var list: [UInt8] = []
        for name in names {
            guard (1...255).contains(name.utf8.count), list.count < 4096 else {
                throw .badApplicationProtocol(name)
            }
            list.append(UInt8(name.utf8.count))
            list += name.utf8
        }
        return list
    }
}

/// Owns an `SSL_CTX` while it is set up.
@safe private struct ContextHandle: ~Copyable {
    let raw: OpaquePointer

    init() throws(TLSSettingsError) {
        _ = martlet_openssl_init()
        ErrorQueue.clear()
        guard let raw = unsafe SSL_CTX_new(TLS_method()) else {
            throw .libraryFailure(ErrorQueue.takeReason())
        }
        unsafe self.raw = raw
        unsafe martlet_ssl_ctx_set_defaults(raw)
    }

    deinit { unsafe SSL_CTX_free(raw) }

    /// AEAD suites with ephemeral keys only. AES with the short key comes first: it is the fastest where the
    /// processor helps, which is everywhere that a mesh runs.
    func setVersionsAndCiphers(_ traits: TLSContextCore.Traits) throws(TLSSettingsError) {
        let (versionMin, versionMax) = (CInt(traits.versionMin.rawValue), CInt(traits.versionMax.rawValue))
        guard unsafe martlet_ssl_ctx_set_versions(raw, versionMin, versionMax) == 1,
            unsafe martlet_ssl_ctx_set_groups(raw, "X25519:P-256:P-384") == 1
        else { throw .libraryFailure(ErrorQueue.takeReason()) }
        let chosen13 = traits.cipherSuites.filter { $0.hasPrefix("TLS_") }
        let chosen12 = traits.cipherSuites.filter { !$0.hasPrefix("TLS_") }
        let suites13 =
            chosen13.isEmpty
            ? "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
            : chosen13.joined(separator: ":")
        let suites12 =
            chosen12.isEmpty
            ? "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
                + "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
            : chosen12.joined(separator: ":")
        guard unsafe SSL_CTX_set_ciphersuites(raw, suites13) == 1,
            unsafe SSL_CTX_set_cipher_list(raw, suites12) == 1
        else {
            ErrorQueue.clear()
            throw .badCipherSuites(traits.cipherSuites.joined(separator: ":"))
        }
    }

    /// How many anchors there are, and the digest of them all.
    func setTrust(_ trust: TLSSettings.Trust) throws(TLSSettingsError) -> (count: Int, digest: Digest) {
        var digests: [UInt8] = []
        var count = 0
        if case .bundle(let pem) = trust {
            guard pem.contains(where: { $0 > 0x20 }) else { throw .emptyTrustBundle }
            let list: CertificateList
            do throws(PEMFailure) {
                list = try CertificateList(pem: pem, max: CertificateList.bundleMax)
            } catch {
                throw .badTrustBundle(error.reason)
            }
            guard let store = unsafe SSL_CTX_get_cert_store(raw) else {
                throw .libraryFailure("no certificate store")
            }
            for index in 0..<list.count {
                guard unsafe X509_STORE_add_cert(store, list[index]) == 1,
                    let digest = unsafe Digest(of: list[index])
                else { throw .badTrustBundle(ErrorQueue.takeReason()) }
                digests += digest.bytes
            }
            count = list.count
            // Whoever puts an intermediate into the bundle trusts it, root or no root.
            guard unsafe X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN)) == 1 else {
                throw .libraryFailure("partial chains cannot be allowed")
            }
        }
        guard let digest = Digest(of: digests) else { throw .libraryFailure("no SHA-256") }
        return (count, digest)
    }

    func setIdentity(_ identity: TLSSettings.Identity) throws(TLSSettingsError) -> CertificateInfo {
        let chain: CertificateList
        let key: PrivateKey
        do throws(PEMFailure) {
            chain = try CertificateList(pem: identity.certificateChain, max: CertificateList.chainMax)
        } catch {
            throw .badCertificate(error.reason)
        }
        do throws(PEMFailure) {
            key = try PrivateKey(pem: identity.privateKey)
        } catch {
            throw .badPrivateKey(error.reason)
        }
        guard unsafe key.matches(chain[0]) else { throw .privateKeyDoesNotMatchCertificate }
        guard unsafe SSL_CTX_use_certificate(raw, chain[0]) == 1 else {
            throw .badCertificate(ErrorQueue.takeReason())
        }
        guard unsafe SSL_CTX_use_PrivateKey(raw, key.key) == 1 else {
            throw .badPrivateKey(ErrorQueue.takeReason())
        }
        for index in 1..<max(1, chain.count) {
            guard unsafe martlet_ssl_ctx_add_chain_certificate(raw, chain[index]) == 1 else {
                throw .badCertificate(ErrorQueue.takeReason())
            }
        }
        return unsafe CertificateInfo(chain[0])
    }

    /// Sessions are kept by us: a client's in its worker's cache, a server's in `TLSServerSessions`.
    func setResumption(_ traits: TLSContextCore.Traits, conditions: Digest) throws(TLSSettingsError) {
        let id = conditions.bytes
        guard unsafe SSL_CTX_set_session_id_context(raw, id, UInt32(id.count)) == 1 else {
            throw .libraryFailure(ErrorQueue.takeReason())
        }
        unsafe martlet_ssl_ctx_set_session_cache(raw, traits.role == .client ? 1 : 0)
        unsafe SSL_CTX_sess_set_new_cb(raw, SessionCallbacks.sessionMade)
        if traits.role == .client { return }
        unsafe SSL_CTX_sess_set_get_cb(raw, SessionCallbacks.sessionNamed)
        guard unsafe SSL_CTX_set_num_tickets(raw, 1) == 1,
            unsafe SSL_CTX_set_session_ticket_cb(raw, SessionCallbacks.ticketWanted, nil, nil) == 1
        else { throw .libraryFailure(ErrorQueue.takeReason()) }
        unsafe SSL_CTX_set_timeout(raw, Int(traits.ticketLifetimeMax))
    }

    func setVerification(_ traits: TLSContextCore.Traits) {
        var mode = SSL_VERIFY_PEER
        if traits.role == .server {
            if !traits.asksForCertificate { mode = SSL_VERIFY_NONE }
            if traits.clientCertificate == .required { mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT }
        }
        unsafe SSL_CTX_set_verify(raw, mode, nil)
        unsafe SSL_CTX_set_cert_verify_callback(raw, SessionCallbacks.certificateReceived, nil)
    }

    func setProtocols(_ role: TLSSettings.Role, _ list: [UInt8]) throws(TLSSettingsError) {
        switch role {
        case .client:
            // Unlike its neighbours this one returns zero when it worked.
            guard unsafe list.isEmpty || SSL_CTX_set_alpn_protos(raw, list, UInt32(list.count)) == 0 else {
                throw .libraryFailure(ErrorQueue.takeReason())
            }
        case .server:
            unsafe martlet_ssl_ctx_accept_server_names(raw, SessionCallbacks.serverNamed)
            if !list.isEmpty {
                unsafe SSL_CTX_set_alpn_select_cb(raw, SessionCallbacks.protocolsOffered, nil)
            }
        }
    }
}
