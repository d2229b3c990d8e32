import COpenSSL
import Glibc

/// Why signed bytes are not to be believed.
public enum SignatureFailure: Error, Equatable, Sendable, CustomStringConvertible {
    case badTrustBundle(String)
    /// The signature was made by a key that the bundle does not hold, or over other bytes.
    case wrongSignature
    /// The key is in the bundle, but its certificate is not valid at this time.
    case outdatedSigner(String)

    public var description: String {
        switch self {
        case .badTrustBundle(let reason): "the trust bundle cannot be read: \(reason)"
        case .wrongSignature: "the signature is not of an authority in the trust bundle"
        case .outdatedSigner(let subject): "the authority \(subject) is not valid at this time"
        }
    }
}

/// Checks a detached signature (ECDSA in DER, or RSA PKCS#1; over SHA-256 of `bytes`), which must be by an authority of
/// the bundle itself that is valid `now` (seconds since 1970). Certificates that those have issued do not count:
/// every workload holds one.
public func verifySignature(
    of bytes: [UInt8], signature: [UInt8], trustBundlePEM: [UInt8], now: Int64
) throws(SignatureFailure) {
    _ = martlet_openssl_init()
    defer { ErrorQueue.clear() }
    let anchors: CertificateList
    do throws(PEMFailure) {
        anchors = try CertificateList(pem: trustBundlePEM, max: CertificateList.bundleMax)
    } catch {
        throw .badTrustBundle(error.reason)
    }
    for index in 0..<anchors.count {
        guard let operation = unsafe EVP_MD_CTX_new() else { throw .wrongSignature }
        defer { unsafe EVP_MD_CTX_free(operation) }
        let key = unsafe X509_get0_pubkey(anchors[index])
        guard unsafe EVP_DigestVerifyInit(operation, nil, EVP_sha256(), nil, key) == 1,
            unsafe EVP_DigestVerify(operation, signature, signature.count, bytes, bytes.count) == 1
        else { continue }
        let signer = unsafe CertificateInfo(anchors[index])
        guard Validity(notBefore: signer.notBefore, notAfter: signer.notAfter).contains(now) else {
            throw .outdatedSigner(signer.subject)
        }
        return
    }
    throw .wrongSignature
}

/// SHA-256: 32 bytes; empty if the library cannot.
public func sha256(_ bytes: [UInt8]) -> [UInt8] {
    _ = martlet_openssl_init()
    return Digest(of: bytes)?.bytes ?? []
}
