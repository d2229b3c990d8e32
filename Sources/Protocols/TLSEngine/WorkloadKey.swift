import COpenSSL

/// The private key of a workload: ECDSA on P-256. It leaves this type only as PEM text, for the owner's file
/// and for `TLSSettings.Identity`; it is never printed.
@safe public final class WorkloadKey: @unchecked Sendable, CustomStringConvertible, CustomReflectable {
    private let key: PrivateKey

    /// A fresh key.
    public init() throws(TLSSettingsError) {
        _ = martlet_openssl_init()
        ErrorQueue.clear()
        guard let raw = unsafe martlet_generate_p256() else { throw .libraryFailure(ErrorQueue.takeReason()) }
        key = unsafe PrivateKey(adopting: raw)
    }

    /// A key from PEM, without a password; of any kind that OpenSSL knows.
    public init(pem: [UInt8]) throws(TLSSettingsError) {
        _ = martlet_openssl_init()
        do throws(PEMFailure) {
            key = try PrivateKey(pem: pem)
        } catch {
            throw .badPrivateKey(error.reason)
        }
    }

    public var description: String { "WorkloadKey(hidden)" }
    public var customMirror: Mirror { Mirror(self, children: []) }

    /// PKCS#8. Secret.
    public func pem() throws(TLSSettingsError) -> [UInt8] {
        ErrorQueue.clear()
        guard let output = MemoryBIO() else { throw .libraryFailure("out of memory") }
        guard unsafe PEM_write_bio_PKCS8PrivateKey(output.bio, key.key, nil, nil, 0, nil, nil) == 1 else {
            throw .libraryFailure(ErrorQueue.takeReason())
        }
        return output.bytes
    }

    /// Whether the first certificate of a PEM text is for this key.
    public func matches(certificatePEM: [UInt8]) throws(TLSSettingsError) -> Bool {
        do throws(PEMFailure) {
            let chain = try CertificateList(pem: certificatePEM, max: CertificateList.bundleMax)
            return unsafe key.matches(chain[0])
        } catch {
            throw .badCertificate(error.reason)
        }
    }

    /// A request for a certificate with this URI (PKCS#10, DER; RFC 2986). The subject is empty: the URI is
    /// the name.
    public func certificateRequest(uriSAN: String) throws(TLSSettingsError) -> [UInt8] {
        guard (1...SubjectNames.bytesMax).contains(uriSAN.utf8.count),
            uriSAN.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { throw .badName(uriSAN) }
        ErrorQueue.clear()
        guard let request = unsafe X509_REQ_new(), let names = unsafe GENERAL_NAMES_new() else {
            throw .libraryFailure("out of memory")
        }
        defer {
            unsafe X509_REQ_free(request)
            unsafe GENERAL_NAMES_free(names)
        }
        let name = Array(uriSAN.utf8)
        guard unsafe X509_REQ_set_version(request, 0) == 1, unsafe X509_REQ_set_pubkey(request, key.key) == 1,
            unsafe martlet_names_add(names, GEN_URI, name, CInt(name.count)) == 1,
            unsafe martlet_request_add_names(request, names) == 1,
            unsafe X509_REQ_sign(request, key.key, EVP_sha256()) > 0
        else { throw .libraryFailure(ErrorQueue.takeReason()) }
        var der: UnsafeMutablePointer<UInt8>?
        let count = unsafe i2d_X509_REQ(request, &der)
        guard let start = unsafe der, count > 0 else { throw .libraryFailure(ErrorQueue.takeReason()) }
        defer { unsafe martlet_openssl_free(start) }
        return unsafe [UInt8](UnsafeBufferPointer(start: start, count: Int(count)))
    }

    /// A detached signature over SHA-256 of `bytes`, in DER.
    public func sign(_ bytes: [UInt8]) throws(TLSSettingsError) -> [UInt8] {
        ErrorQueue.clear()
        guard let operation = unsafe EVP_MD_CTX_new() else { throw .libraryFailure("out of memory") }
        defer { unsafe EVP_MD_CTX_free(operation) }
        guard unsafe EVP_DigestSignInit(operation, nil, EVP_sha256(), nil, key.key) == 1 else {
            throw .libraryFailure(ErrorQueue.takeReason())
        }
        var count = 0
        guard unsafe EVP_DigestSign(operation, nil, &count, bytes, bytes.count) == 1, count <= 4096 else {
            throw .libraryFailure(ErrorQueue.takeReason())
        }
        var signature = [UInt8](repeating: 0, count: count)
        guard unsafe EVP_DigestSign(operation, &signature, &count, bytes, bytes.count) == 1 else {
            throw .libraryFailure(ErrorQueue.takeReason())
        }
        return Array(signature.prefix(count))
    }
}
