import COpenSSL
import Reactor
import XDSSchema

@testable import TLSEngine
@testable import XDSClient

struct TestFailure: Error {
    let text: String

    init(_ text: String) { self.text = text }
}

/// Issues certificates for tests; a control plane's `Certificates/Sign` too.
final class TestAuthority {
    static let controlName = "spiffe://mesh.test/ns/martlet/sa/control"

    private let key: OpaquePointer
    private let certificate: OpaquePointer
    private var serial = 1
    let now = LinuxKernel.make().wallClock().seconds

    init() throws {
        guard let key = martlet_generate_p256() else { throw TestFailure("no key") }
        self.key = key
        certificate = try Self.make(
            subjectKey: key, issuer: nil, signer: key, serial: 1, names: nil, from: now - 1000,
            to: now + 1_000_000)
    }

    deinit {
        X509_free(certificate)
        EVP_PKEY_free(key)
    }

    var bundle: [UInt8] { Self.pem(certificate) }

    /// A signature by the root's own key.
    func signature(over bytes: [UInt8]) throws -> [UInt8] {
        guard let output = MemoryBIO() else { throw TestFailure("no memory") }
        guard PEM_write_bio_PKCS8PrivateKey(output.bio, key, nil, nil, 0, nil, nil) == 1 else {
            throw TestFailure("no key text")
        }
        return try WorkloadKey(pem: output.bytes).sign(bytes)
    }

    /// A server of the control plane; with `name`, somebody else.
    func serverContext(requiresClients: Bool, name: String = controlName) throws -> TLSContext {
        let leafKey = try WorkloadKey()
        let chain = try sign(leafKey.certificateRequest(uriSAN: name), as: name, seconds: 3600)
        let trust: TLSSettings.Trust = requiresClients ? .bundle(bundle) : .anyCertificate
        var settings = TLSSettings(
            role: .server, identity: .init(certificateChain: chain, privateKey: try leafKey.pem()),
            trust: trust)
        settings.clientCertificate = requiresClients ? .required : .optional
        settings.applicationProtocols = ["h2"]
        return try TLSContext(settings)
    }

    /// The leaf for a request in DER, whatever name it asks for.
    func sign(_ der: [UInt8], as name: String, seconds: Int64) throws -> [UInt8] {
        var start: UnsafePointer<UInt8>?
        return try der.withUnsafeBufferPointer { buffer in
            start = buffer.baseAddress
            guard let request = d2i_X509_REQ(nil, &start, buffer.count) else {
                throw TestFailure("not a request")
            }
            defer { X509_REQ_free(request) }
            guard let subjectKey = X509_REQ_get0_pubkey(request), X509_REQ_verify(request, subjectKey) == 1
            else {
                throw TestFailure("the request's signature is wrong")
            }
            serial += 1
            let leaf = try Self.make(
                subjectKey: subjectKey, issuer: certificate, signer: key, serial: serial,
                names: "URI:\(name)",
                from: now - 300, to: LinuxKernel.make().wallClock().seconds + seconds)
            defer { X509_free(leaf) }
            return Self.pem(leaf)
        }
    }

    private static func make(
        subjectKey: OpaquePointer, issuer: OpaquePointer?, signer: OpaquePointer, serial: Int, names: String?,
        from: Int64, to: Int64
    ) throws -> OpaquePointer {
        guard let certificate = X509_new(), let name = X509_NAME_new() else { throw TestFailure("no memory") }
        defer { X509_NAME_free(name) }
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, names == nil ? "root" : "leaf", -1, -1, 0)
        X509_set_version(certificate, 2)
        X509_set_subject_name(certificate, name)
        X509_set_issuer_name(certificate, issuer.map { X509_get_subject_name($0) } ?? name)
        X509_set_pubkey(certificate, subjectKey)
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial)
        ASN1_TIME_set(X509_getm_notBefore(certificate), Int(from))
        ASN1_TIME_set(X509_getm_notAfter(certificate), Int(to))
        let extensions: [(CInt, String)] =
            names.map { [(NID_ext_key_usage, "serverAuth,clientAuth"), (NID_subject_alt_name, $0)] }
            ?? [(NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign")]
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

    private static func pem(_ certificate: OpaquePointer) -> [UInt8] {
        guard let output = MemoryBIO() else { return [] }
        PEM_write_bio_X509(output.bio, certificate)
        return output.bytes
    }
}
