import COpenSSL
import Glibc

/// Why signed bytes are not to be believed.
public enum SignatureFailure: Error, Equatable, Sendable, CustomStringConvertible {
    case badCertificate(String)
    case badTrustBundle(String)
    /// The signer's chain does not hold: whom the bundle does not know, or not at this time.
    case untrustedSigner(String)
    /// The signature was made by another key, or over other bytes.
    case wrongSignature

    public var description: String {
        switch self {
        case .badCertificate(let reason): "the signer's certificate cannot be read: \(reason)"
        case .badTrustBundle(let reason): "the trust bundle cannot be read: \(reason)"
        case .untrustedSigner(let reason): "the signer is not trusted: \(reason)"
        case .wrongSignature: "the signature does not match"
        }
    }
}

/// Checks a detached signature (ECDSA in DER, or RSA PKCS#1; over SHA-256 of `bytes`) against the first
/// certificate of `chainPEM`, whose chain must end in the bundle and be valid `now` (seconds since 1970).
/// Returns the signer: whether that one may sign such a thing is for the caller to say.
public func verifySignature(
    of bytes: [UInt8], signature: [UInt8], chainPEM: [UInt8], trustBundlePEM: [UInt8], now: Int64
) throws(SignatureFailure) -> CertificateInfo {
    _ = martlet_openssl_init()
    defer { ErrorQueue.clear() }
    let chain: CertificateList
    let anchors: CertificateList
    do throws(PEMFailure) {
        chain = try CertificateList(pem: chainPEM, max: CertificateList.chainMax)
    } catch {
        throw .badCertificate(error.reason)
    }
    do throws(PEMFailure) {
        anchors = try CertificateList(pem: trustBundlePEM, max: CertificateList.bundleMax)
    } catch {
        throw .badTrustBundle(error.reason)
    }
    if let reason = complaint(aboutChain: chain, anchors: anchors, now: now) {
        throw .untrustedSigner(reason)
    }
    guard let operation = unsafe EVP_MD_CTX_new() else { throw .wrongSignature }
    defer { unsafe EVP_MD_CTX_free(operation) }
    ErrorQueue.clear()
    guard unsafe EVP_DigestVerifyInit(operation, nil, EVP_sha256(), nil, X509_get0_pubkey(chain[0])) == 1,
        unsafe EVP_DigestVerify(operation, signature, signature.count, bytes, bytes.count) == 1
    else { throw .wrongSignature }
    return unsafe CertificateInfo(chain[0])
}

private func complaint(
    aboutChain chain: borrowing CertificateList, anchors: borrowing CertificateList, now: Int64
) -> String? {
    guard let store = unsafe X509_STORE_new(), let check = unsafe X509_STORE_CTX_new() else {
        return "out of memory"
    }
    defer {
        unsafe X509_STORE_CTX_free(check)
        unsafe X509_STORE_free(store)
    }
    for index in 0..<anchors.count {
        guard unsafe X509_STORE_add_cert(store, anchors[index]) == 1 else {
            return "the bundle cannot be used"
        }
    }
    guard unsafe X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN)) == 1,
        unsafe X509_STORE_CTX_init(check, store, chain[0], chain.stack) == 1
    else { return "the chain cannot be checked" }
    unsafe X509_STORE_CTX_set_time(check, 0, time_t(now))
    if unsafe X509_verify_cert(check) == 1 { return nil }
    return TLSFailure(verification: unsafe X509_STORE_CTX_get_error(check)).text
}
