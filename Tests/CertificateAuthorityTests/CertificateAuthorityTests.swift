import Crypto
import Foundation
import SwiftASN1
import Testing
import X509

@testable import CertificateAuthority

/// A data directory that goes away with the test.
final class TemporaryDirectory: Sendable {
    let path = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)").path

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func mode(_ name: String) throws -> Int? {
        let attributes = try FileManager.default.attributesOfItem(
            atPath: name.isEmpty ? path : "\(path)/\(name)")
        return attributes[.posixPermissions] as? Int
    }
}

@Suite struct CertificateAuthorityTests {
    let directory = TemporaryDirectory()
    let now = Date(timeIntervalSince1970: 1_800_000_000)
    let orders = WorkloadIdentity(trustDomain: "brokerage.example", namespace: "shop", service: "orders")

    private func requestDER(
        _ key: Certificate.PrivateKey = .init(P256.Signing.PrivateKey()), name: String = "whoever"
    ) throws -> [UInt8] {
        let request = try CertificateSigningRequest(
            version: .v1, subject: try DistinguishedName { CommonName(name) }, privateKey: key,
            attributes: .init([
                .init(
                    ExtensionRequest(
                        extensions: try Certificate.Extensions {
                            SubjectAlternativeNames([
                                .uniformResourceIdentifier("spiffe://evil/ns/martlet/sa/control")
                            ])
                        }))
            ]))
        var serializer = DER.Serializer()
        try serializer.serialize(request)
        return serializer.serializedBytes
    }

    private func leaf(_ authority: CertificateAuthority, lifetime: Duration = .seconds(86_400)) throws
        -> Certificate
    {
        let issued = try authority.issue(
            try authority.check(requestDER: try requestDER()), to: orders, lifetime: lifetime, now: now)
        return try Certificate(pemEncoded: issued.chainPEM[0])
    }

    @Test("A leaf has the identity of its owner and nothing of what the request asked for")
    func leafContents() throws {
        let authority = try CertificateAuthority(in: DataDirectory(directory.path), now: now)
        let leaf = try leaf(authority)
        #expect(WorkloadIdentity(leaf) == orders)
        #expect(leaf.subject.isEmpty)
        #expect(leaf.extensions[oid: .X509ExtensionID.subjectAlternativeName]?.critical == true)
        #expect(leaf.notValidAfter == now.addingTimeInterval(86_400))
        #expect(leaf.notValidBefore < now)
        #expect(try leaf.extensions.basicConstraints == .notCertificateAuthority)
        #expect(try leaf.extensions.keyUsage == KeyUsage(digitalSignature: true))
        let usages = try #require(try leaf.extensions.extendedKeyUsage)
        #expect(Set(usages) == [.serverAuth, .clientAuth])
    }

    @Test("A leaf is signed by the root of the trust bundle, and names it")
    func chain() throws {
        let authority = try CertificateAuthority(in: DataDirectory(directory.path), now: now)
        let root = try Certificate(pemEncoded: authority.trustBundlePEM)
        let leaf = try leaf(authority)
        #expect(root.publicKey.isValidSignature(leaf.signature, for: leaf))
        #expect(
            try leaf.extensions.authorityKeyIdentifier?.keyIdentifier
                == root.extensions.subjectKeyIdentifier?.keyIdentifier)
        #expect(try root.extensions.basicConstraints == .isCertificateAuthority(maxPathLength: 0))
    }

    @Test("A leaf never outlives the root")
    func clamped() throws {
        let authority = try CertificateAuthority(in: DataDirectory(directory.path), now: now)
        let root = try Certificate(pemEncoded: authority.trustBundlePEM)
        #expect(
            try leaf(authority, lifetime: .seconds(100 * 365 * 86_400)).notValidAfter == root.notValidAfter)
    }

    @Test("The root survives a restart, and its files belong to the owner alone")
    func persistence() throws {
        let first = try CertificateAuthority(in: DataDirectory(directory.path), now: now).trustBundlePEM
        let second = try CertificateAuthority(in: DataDirectory(directory.path), now: now).trustBundlePEM
        #expect(first == second)
        #expect(try directory.mode("") == 0o700)
        #expect(try directory.mode("ca-key.pem") == 0o600)
        #expect(try directory.mode("trust-bundle.pem") == 0o644)
    }

    @Test("A root whose key is gone is not replaced in silence")
    func keyMissing() throws {
        _ = try CertificateAuthority(in: DataDirectory(directory.path), now: now)
        try FileManager.default.removeItem(atPath: "\(directory.path)/ca-key.pem")
        #expect(throws: CertificateAuthority.RootUnusable.self) {
            try CertificateAuthority(in: DataDirectory(directory.path), now: now)
        }
    }

    @Test("An expired root is not used")
    func rootExpired() throws {
        _ = try CertificateAuthority(in: DataDirectory(directory.path), now: now)
        #expect(throws: CertificateAuthority.RootUnusable.self) {
            try CertificateAuthority(
                in: DataDirectory(directory.path), now: now.addingTimeInterval(11 * 365 * 86_400))
        }
    }

    @Test("A request with a bad signature, a weak kind of key or no sense is refused")
    func badRequests() throws {
        let authority = try CertificateAuthority(in: DataDirectory(directory.path), now: now)
        var forged = try requestDER()
        forged[forged.count - 1] ^= 1
        #expect(throws: CertificateAuthority.RequestRefused.self) { try authority.check(requestDER: forged) }
        let edwards = try requestDER(.init(Curve25519.Signing.PrivateKey()))
        #expect(throws: CertificateAuthority.RequestRefused.keyNotSupported) {
            try authority.check(requestDER: edwards)
        }
        #expect(throws: CertificateAuthority.RequestRefused.malformed) {
            try authority.check(requestDER: [0x30, 0])
        }
        #expect(throws: CertificateAuthority.RequestRefused.tooLarge(bytes: 9000)) {
            try authority.check(requestDER: Array(repeating: 0x30, count: 9000))
        }
    }

    @Test("Every mutilation of a request is refused or checked, never a crash")
    func mutilatedRequests() throws {
        let authority = try CertificateAuthority(in: DataDirectory(directory.path), now: now)
        let request = try requestDER()
        for index in request.indices {
            var mutilated = request
            mutilated[index] ^= 0xff
            #expect(throws: CertificateAuthority.RequestRefused.self) {
                try authority.check(requestDER: mutilated)
            }
        }
    }

    @Test("The control plane's own certificate is renewed after half of its life")
    func serverIdentity() throws {
        let authority = try CertificateAuthority(in: DataDirectory(directory.path), now: now)
        let server = try authority.makeServerIdentity(
            .control(trustDomain: "a.example"), lifetime: .seconds(1000), now: now)
        #expect(server.renewal == now.addingTimeInterval(500))
        let leaf = try Certificate(derEncoded: server.chainDER[0])
        #expect(WorkloadIdentity(leaf)?.uri == "spiffe://a.example/ns/martlet/sa/control")
    }

    @Test("A data directory has one user at a time")
    func exclusive() throws {
        let held = try DataDirectory(directory.path)
        #expect(throws: DataDirectory.Failed.self) { try DataDirectory(directory.path) }
        withExtendedLifetime(held) {}
    }

    @Test("A configuration is signed so that the root's certificate can check it")
    func signature() throws {
        let authority = try CertificateAuthority(in: DataDirectory(directory.path), now: now)
        let root = try Certificate(pemEncoded: authority.trustBundlePEM)
        let key = try #require(P256.Signing.PublicKey(root.publicKey))
        let bytes = Data("configuration".utf8)
        let signature = try P256.Signing.ECDSASignature(derRepresentation: authority.signature(over: bytes))
        #expect(key.isValidSignature(signature, for: bytes))
    }

    @Test(
        "What is not an identity of this mesh's shape is none",
        arguments: [
            "", "spiffe://a", "spiffe://a/ns/b/sa/", "spiffe://a/ns//sa/c", "http://a/ns/b/sa/c",
            "spiffe://a/ns/b/sa/c/d", "spiffe://a/xx/b/sa/c", "spiffe:///ns/b/sa/c",
        ])
    func notIdentities(uri: String) {
        #expect(WorkloadIdentity(uri: uri) == nil)
    }
}
