import COpenSSL
import TestSupport

/// Seconds since 1970 at which tests happen that need no real time.
public let testNow: Int64 = 1_800_000_000

/// A certificate, or the chain that leads to it, and its key, in PEM.
public struct TestIdentity: Sendable {
    public var chain: [UInt8]
    public var key: [UInt8]
}

/// Issues certificates for tests.
public final class TestAuthority {
    /// Seconds since 1970 around which its certificates are valid.
    public let now: Int64
    private let key: OpaquePointer
    private let certificate: OpaquePointer
    /// Of an intermediate: what its leaves carry behind them.
    private let above: [UInt8]
    private var serial = 1

    public init(_ name: String = "test root", now: Int64 = testNow) throws {
        self.now = now
        key = try Self.makeKey()
        above = []
        certificate = try Self.make(
            subject: name, issuer: nil, key: key, signer: key, serial: 1,
            validity: (now - 1000, now + 1_000_000), extensions: Self.ofAuthority)
    }

    /// An intermediate of `root`.
    public init(_ name: String, under root: TestAuthority, notAfter: Int64 = testNow + 500_000) throws {
        now = root.now
        key = try Self.makeKey()
        certificate = try Self.make(
            subject: name, issuer: root.certificate, key: key, signer: root.key, serial: 77,
            validity: (now - 1000, notAfter), extensions: Self.ofAuthority)
        above = Self.pem(certificate)
    }

    deinit {
        X509_free(certificate)
        EVP_PKEY_free(key)
    }

    /// Its certificate, in PEM.
    public var bundle: [UInt8] { Self.pem(certificate) }
    public var keyPEM: [UInt8] { get throws { try Self.pem(key: key) } }

    public func issue(
        _ names: String = "URI:spiffe://mesh.test/ns/shop/sa/orders", subject: String = "orders",
        notBefore: Int64? = nil, notAfter: Int64? = nil, usage: String = "serverAuth,clientAuth"
    ) throws -> TestIdentity {
        let leafKey = try Self.makeKey()
        defer { EVP_PKEY_free(leafKey) }
        let chain = try leaf(
            for: leafKey, names, subject: subject, from: notBefore ?? now - 100, to: notAfter ?? now + 3600,
            usage: usage)
        return TestIdentity(chain: chain, key: try Self.pem(key: leafKey))
    }

    /// The certificate for a request in DER; with `names` for these, whatever it asks for.
    public func sign(
        request der: [UInt8], as names: String? = nil, notBefore: Int64? = nil, notAfter: Int64? = nil
    ) throws -> [UInt8] {
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
            let (from, to) = (notBefore ?? now - 10, notAfter ?? now + 1000)
            if let names { return try leaf(for: key, names, subject: "leaf", from: from, to: to) }
            return try leaf(for: key, "", subject: "leaf", from: from, to: to) { leaf in
                let extensions = X509_REQ_get_extensions(request)
                defer { martlet_extensions_free(extensions) }
                guard let extensions, let first = X509v3_get_ext(extensions, 0),
                    X509_add_ext(leaf, first, -1) == 1
                else { throw TestFailure("the request has no extension") }
            }
        }
    }

    // MARK: Certificates

    private static let ofAuthority: [(CInt, String)] = [
        (NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign"),
    ]

    private func leaf(
        for leafKey: OpaquePointer, _ names: String, subject: String, from: Int64, to: Int64,
        usage: String = "serverAuth,clientAuth", _ extend: (OpaquePointer) throws -> Void = { _ in }
    ) throws -> [UInt8] {
        serial += 1
        var extensions = [(NID_ext_key_usage, usage)]
        if !names.isEmpty { extensions.append((NID_subject_alt_name, names)) }
        let leaf = try Self.make(
            subject: subject, issuer: certificate, key: leafKey, signer: key, serial: serial,
            validity: (from, to), extensions: extensions, extend)
        defer { X509_free(leaf) }
        return Self.pem(leaf) + above
    }

    private static func makeKey() throws -> OpaquePointer {
        guard let key = martlet_generate_p256() else { throw TestFailure("no key") }
        return key
    }

    private static func make(
        subject: String, issuer: OpaquePointer?, key: OpaquePointer, signer: OpaquePointer, serial: Int,
        validity: (Int64, Int64), extensions: [(CInt, String)],
        _ extend: (OpaquePointer) throws -> Void = { _ in }
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
        try extend(certificate)
        guard X509_sign(certificate, signer, EVP_sha256()) > 0 else { throw TestFailure("cannot sign") }
        return certificate
    }

    // MARK: PEM

    private static func pem(key: OpaquePointer) throws -> [UInt8] {
        try text { PEM_write_bio_PKCS8PrivateKey($0, key, nil, nil, 0, nil, nil) }
    }

    private static func pem(_ certificate: OpaquePointer) -> [UInt8] {
        (try? text { PEM_write_bio_X509($0, certificate) }) ?? []
    }

    private static func text(_ write: (OpaquePointer) -> CInt) throws -> [UInt8] {
        guard let output = BIO_new(BIO_s_mem()) else { throw TestFailure("no memory") }
        defer { BIO_free(output) }
        guard write(output) == 1 else { throw TestFailure("cannot be written as PEM") }
        var bytes = [UInt8](repeating: 0, count: BIO_ctrl_pending(output))
        let count = bytes.withUnsafeMutableBytes { BIO_read(output, $0.baseAddress, CInt($0.count)) }
        guard Int(count) == bytes.count else { throw TestFailure("PEM cannot be read back") }
        return bytes
    }
}
