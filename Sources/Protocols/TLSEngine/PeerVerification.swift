import COpenSSL

/// Decides whether a peer is who it must be: by its chain when it shows one, and again, by what is remembered
/// of the chain, when it resumes.
enum PeerVerification {
    static func verify(_ store: OpaquePointer, for record: inout SessionRecord) -> Bool {
        guard let leaf = unsafe X509_STORE_CTX_get0_cert(store) else {
            record.fail(TLSFailure(.noPeerCertificate))
            unsafe X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED)
            return false
        }
        var digest: Digest?
        if record.context.core.traits.trust != .anyCertificate {
            digest = unsafe chainDigest(store, leaf, record.context.core)
            guard let validity = unsafe chainValidity(store, digest, record) else {
                let result = unsafe X509_STORE_CTX_get_error(store)
                record.fail(TLSFailure(verification: result))
                if result == X509_V_OK { unsafe X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED) }
                ErrorQueue.clear()
                return false
            }
            record.peerValidity = validity
        }
        if let complaint = unsafe record.context.complaint(about: leaf, for: record.peerName) {
            record.fail(complaint.failure, complaint.detail)
            // Leads to the alert `bad_certificate`.
            unsafe X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH)
            return false
        }
        unsafe X509_STORE_CTX_set_error(store, X509_V_OK)
        // Last, since it may free the leaf: the list is the one from which OpenSSL takes what the session keeps.
        if let digest, let list = unsafe X509_STORE_CTX_get0_untrusted(store) {
            unsafe record.transport.verifiedChains.share(digest, list)
        }
        return true
    }

    /// When the whole chain is valid, if it is sound now; else nil, and the reason is in the store.
    private static func chainValidity(
        _ store: OpaquePointer, _ digest: Digest?, _ record: SessionRecord
    ) -> Validity? {
        let now = record.now
        if let digest, let validity = record.transport.verifiedChains.validity(of: digest, at: now) {
            return validity
        }
        unsafe X509_STORE_CTX_set_time(store, 0, time_t(now))
        guard unsafe X509_verify_cert(store) == 1, let chain = unsafe X509_STORE_CTX_get0_chain(store) else {
            return nil
        }
        var validity = Validity.always
        for index in 0..<(unsafe martlet_certificates_count(chain)) {
            guard let certificate = unsafe martlet_certificates_at(chain, index) else { return nil }
            validity = unsafe validity.intersected(with: Validity(of: certificate))
        }
        if let digest { record.transport.verifiedChains.insert(digest, validity) }
        return validity
    }

    /// Of the certificates as they were sent, the trust that they are held against, and the purpose.
    private static func chainDigest(_ store: OpaquePointer, _ leaf: OpaquePointer, _ core: TLSContextCore)
        -> Digest?
    {
        guard let leafDigest = unsafe Digest(of: leaf) else { return nil }
        var input = core.trustDigest.bytes + leafDigest.bytes
        input.append(core.traits.role == .client ? 0 : 1)
        if let others = unsafe X509_STORE_CTX_get0_untrusted(store) {
            for index in 0..<(unsafe martlet_certificates_count(others)) {
                guard let other = unsafe martlet_certificates_at(others, index),
                    let digest = unsafe Digest(of: other)
                else { return nil }
                input += digest.bytes
            }
        }
        return Digest(of: input)
    }

    /// Whether the peer of an earlier session would be let in now, its chain being sound.
    static func isAcceptable(
        _ session: OpaquePointer, to context: TLSContext, named name: String? = nil
    ) -> Bool {
        guard let leaf = unsafe SSL_SESSION_get0_peer(session) else {
            return context.role == .server && context.core.traits.clientCertificate == .optional
        }
        return unsafe context.complaint(about: leaf, for: name) == nil
    }
}
