import COpenSSL

@testable import TLSEngine

/// Seconds since 1970 at which the tests happen.
let testNow: Int64 = 1_800_000_000

struct TestFailure: Error {
    let text: String
    init(_ text: String) { self.text = text }
}

/// A certificate, or the chain that leads to it, and its key.
struct TestIdentity {
    var chain: [UInt8]
    var key: [UInt8]

    var settings: TLSSettings.Identity { TLSSettings.Identity(certificateChain: chain, privateKey: key) }
    var fingerprint: String { get throws { try CertificateInfo.parse(pem: chain)[0].sha256 } }
}

/// Issues certificates for tests.
final class TestAuthority {
    private let key: OpaquePointer
    private let certificate: OpaquePointer
    /// Of an intermediate: what its leaves carry behind them.
    private let above: [UInt8]
    private var serial = 1

    init(_ name: String = "test root") throws {
        key = try Self.makeKey()
        above = []
        certificate = try Self.make(
            subject: name, issuer: nil, key: key, signer: key, serial: 1,
            validity: (testNow - 1000, testNow + 1_000_000),
            extensions: [
                (NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign"),
            ])
    }

    /// An intermediate of `root`.
    init(_ name: String, under root: TestAuthority, notAfter: Int64 = testNow + 500_000) throws {
        key = try Self.makeKey()
        certificate = try Self.make(
            subject: name, issuer: root.certificate, key: key, signer: root.key, serial: 77,
            validity: (testNow - 1000, notAfter),
            extensions: [
                (NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign"),
            ])
        above = Self.pem(certificate)
    }

    deinit {
        X509_free(certificate)
        EVP_PKEY_free(key)
    }

    var bundle: [UInt8] { Self.pem(certificate) }
    var keyPEM: [UInt8] { get throws { try Self.pem(key: key) } }

    func issue(
        _ names: String = "URI:spiffe://mesh.test/ns/shop/sa/orders", subject: String = "orders",
        notBefore: Int64 = testNow - 100, notAfter: Int64 = testNow + 3600,
        usage: String = "serverAuth,clientAuth"
    ) throws -> TestIdentity {
        let leafKey = try Self.makeKey()
        defer { EVP_PKEY_free(leafKey) }
        serial += 1
        var extensions = [(NID_ext_key_usage, usage)]
        if !names.isEmpty { extensions.append((NID_subject_alt_name, names)) }
        let leaf = try Self.make(
            subject: subject, issuer: certificate, key: leafKey, signer: key, serial: serial,
            validity: (notBefore, notAfter), extensions: extensions)
        defer { X509_free(leaf) }
        return TestIdentity(chain: Self.pem(leaf) + above, key: try Self.pem(key: leafKey))
    }

    /// Of a request in DER: a certificate with the names that it asks for.
    func sign(request der: [UInt8]) throws -> [UInt8] {
        var start: UnsafePointer<UInt8>?
        return try der.withUnsafeBufferPointer { buffer in
            start = buffer.baseAddress
            guard let request = d2i_X509_REQ(nil, &start, buffer.count) else {
                throw TestFailure("not a request")
            }
            defer { X509_REQ_free(request) }
            guard let key = X509_REQ_get0_pubkey(request), X509_REQ_verify(request, key) == 1 else {
                throw TestFailure("the request's signature is wrong")
            }
            guard let leaf = X509_new() else { throw TestFailure("no memory") }
            defer { X509_free(leaf) }
            X509_set_version(leaf, 2)
            X509_set_pubkey(leaf, key)
            X509_set_issuer_name(leaf, X509_get_subject_name(certificate))
            ASN1_INTEGER_set(X509_get_serialNumber(leaf), 99)
            ASN1_TIME_set(X509_getm_notBefore(leaf), Int(testNow) - 10)
            ASN1_TIME_set(X509_getm_notAfter(leaf), Int(testNow) + 1000)
            let extensions = X509_REQ_get_extensions(request)
            defer { martlet_extensions_free(extensions) }
            guard let extensions, let first = X509v3_get_ext(extensions, 0),
                X509_add_ext(leaf, first, -1) == 1,
                X509_sign(leaf, self.key, EVP_sha256()) > 0
            else { throw TestFailure("cannot sign") }
            return Self.pem(leaf)
        }
    }

    private static func makeKey() throws -> OpaquePointer {
        guard let key = martlet_generate_p256() else { throw TestFailure("no key") }
        return key
    }

    private static func make(
        subject: String, issuer: OpaquePointer?, key: OpaquePointer, signer: OpaquePointer, serial: Int,
        validity: (Int64, Int64), extensions: [(CInt, String)]
    ) throws -> OpaquePointer {
        guard let certificate = X509_new(), let name = X509_NAME_new() else { throw TestFailure("no memory") }
        defer { X509_NAME_free(name) }
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, "Martlet", -1, -1, 0)
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, subject, -1, -1, 0)
        X509_set_version(certificate, 2)
        X509_set_subject_name(certificate, name)
        X509_set_issuer_name(certificate, issuer.map { X509_get_subject_name($0) } ?? name)
        X509_set_pubkey(certificate, key)
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial)
        ASN1_TIME_set(X509_getm_notBefore(certificate), Int(validity.0))
        ASN1_TIME_set(X509_getm_notAfter(certificate), Int(validity.1))
        for (kind, value) in extensions {
            guard let item = X509V3_EXT_conf_nid(nil, nil, kind, value) else {
                throw TestFailure("bad \(value)")
            }
            X509_add_ext(certificate, item, -1)
            X509_EXTENSION_free(item)
        }
        guard X509_sign(certificate, signer, EVP_sha256()) > 0 else { throw TestFailure("cannot sign") }
        return certificate
    }

    private static func pem(key: OpaquePointer) throws -> [UInt8] {
        guard let output = MemoryBIO() else { throw TestFailure("no memory") }
        guard PEM_write_bio_PKCS8PrivateKey(output.bio, key, nil, nil, 0, nil, nil) == 1 else {
            throw TestFailure("no key text")
        }
        return output.bytes
    }

    private static func pem(_ certificate: OpaquePointer) -> [UInt8] {
        guard let output = MemoryBIO() else { return [] }
        PEM_write_bio_X509(output.bio, certificate)
        return output.bytes
    }
}
