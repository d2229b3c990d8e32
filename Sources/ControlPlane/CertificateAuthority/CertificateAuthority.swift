// CertificateAuthority: who a workload is, and the certificate that says so.
//
// The root key lives in the data directory and never leaves it. A certificate is made from a request that proves the
// possession of its key; the names in the request are ignored, because who asks is known from a join token or from
// the certificate that the asker holds. Transport, and the decision who may ask, belong to `DiscoveryServer`.

import Crypto
import Foundation
import SwiftASN1
import X509

/// The mesh's own authority: an ECDSA P-256 root that signs leaves directly.
public struct CertificateAuthority: Sendable {
    /// Why a certificate request is refused; nothing of it was trusted.
    public enum RequestRefused: Error, Sendable, Equatable, CustomStringConvertible {
        case tooLarge(bytes: Int)
        case malformed
        case keyNotSupported
        case signatureInvalid

        public var description: String {
            switch self {
            case .tooLarge(let bytes):
                return "the certificate request has \(bytes) bytes, more than \(requestBytesMax)"
            case .malformed: return "the certificate request is not PKCS#10 in DER"
            case .keyNotSupported: return "the key of the certificate request is not ECDSA P-256 or P-384"
            case .signatureInvalid: return "the certificate request is not signed by its own key"
            }
        }
    }

    /// The root on disk cannot be used; an operator has to look.
    public struct RootUnusable: Error, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// A request whose signature was checked.
    public struct CheckedRequest: Sendable {
        let publicKey: Certificate.PublicKey
    }

    public struct Issued: Sendable, Equatable {
        /// The leaf first; the root is in the bundle, not here.
        public let chainPEM: [String]
        public let notBefore: Date
        public let notAfter: Date
    }

    /// A certificate with its key, for the control plane's own servers.
    public struct ServerIdentity: Sendable {
        public let chainDER: [[UInt8]]
        public let keyDER: [UInt8]
        public let notBefore: Date
        public let notAfter: Date

        /// When to replace it: after half of its life.
        public var renewal: Date {
            notBefore.addingTimeInterval(notAfter.timeIntervalSince(notBefore) / 2)
        }
    }

    static let requestBytesMax = 8 << 10
    static let rootLifetime: TimeInterval = 10 * 365 * 86_400
    /// Clocks of workloads may be behind ours by this much.
    static let clockSkewMax: TimeInterval = 300

    private let key: P256.Signing.PrivateKey
    private let root: Certificate
    /// The root alone; a roll-over will add a second one.
    public let trustBundlePEM: String

    /// Loads the root from the data directory; makes one if there is none.
    public init(in directory: DataDirectory, now: Date) throws {
        let keyPEM = try directory.read("ca-key.pem")
        let rootPEM = try directory.read("ca-certificate.pem")
        if let keyPEM {
            key = try Self.parse("\(directory.path)/ca-key.pem") {
                try P256.Signing.PrivateKey(pemRepresentation: String(decoding: keyPEM, as: UTF8.self))
            }
        } else {
            guard rootPEM == nil else {
                throw RootUnusable(
                    description: "\(directory.path)/ca-key.pem is missing; "
                        + "restore it, or remove ca-certificate.pem to start anew")
            }
            key = P256.Signing.PrivateKey()
            try directory.write("ca-key.pem", Data(key.pemRepresentation.utf8))
        }
        if let rootPEM {
            root = try Self.parse("\(directory.path)/ca-certificate.pem") {
                try Certificate(pemEncoded: String(decoding: rootPEM, as: UTF8.self))
            }
        } else {
            // A first start, or one that ended between the two files: the key is what counts.
            root = try Self.makeRoot(key, now: now)
            try directory.write("ca-certificate.pem", Data(root.serializeAsPEM().pemString.utf8), mode: 0o644)
        }
        guard root.publicKey == Certificate.PublicKey(key.publicKey) else {
            throw RootUnusable(
                description: "\(directory.path): ca-key.pem and ca-certificate.pem do not belong together; "
                    + "restore both from one backup")
        }
        guard root.notValidAfter > now else {
            throw RootUnusable(
                description: "\(directory.path)/ca-certificate.pem has expired; replace the root")
        }
        trustBundlePEM = try root.serializeAsPEM().pemString + "\n"
        try directory.write("trust-bundle.pem", Data(trustBundlePEM.utf8), mode: 0o644)
    }

    private static func parse<Value>(_ path: String, _ body: () throws -> Value) throws -> Value {
        do {
            return try body()
        } catch {
            throw RootUnusable(description: "\(path) cannot be read: \(error); restore it from a backup")
        }
    }

    /// Checks form, key and signature of a PKCS#10 request. The names that it asks for do not matter.
    public func check(requestDER: [UInt8]) throws(RequestRefused) -> CheckedRequest {
        guard requestDER.count <= Self.requestBytesMax else { throw .tooLarge(bytes: requestDER.count) }
        guard let request = try? CertificateSigningRequest(derEncoded: requestDER) else { throw .malformed }
        let isSupported =
            P256.Signing.PublicKey(request.publicKey) != nil
            || P384.Signing.PublicKey(request.publicKey) != nil
        guard isSupported else { throw .keyNotSupported }
        guard request.publicKey.isValidSignature(request.signature, for: request) else {
            throw .signatureInvalid
        }
        return CheckedRequest(publicKey: request.publicKey)
    }

    /// A leaf for the identity, valid from a little before `now`. It never outlives the root.
    public func issue(
        _ request: CheckedRequest, to identity: WorkloadIdentity, lifetime: Duration, now: Date
    ) throws -> Issued {
        let leaf = try makeLeaf(request.publicKey, identity, lifetime: lifetime, now: now)
        return Issued(
            chainPEM: [try leaf.serializeAsPEM().pemString + "\n"], notBefore: now,
            notAfter: leaf.notValidAfter)
    }

    /// A new key with its certificate for the control plane's own TLS servers. Proxies know it by its identity; the
    /// DNS name is for gRPC clients that cannot do without one.
    public func makeServerIdentity(
        _ identity: WorkloadIdentity, lifetime: Duration, now: Date
    ) throws -> ServerIdentity {
        let key = P256.Signing.PrivateKey()
        let leaf = try makeLeaf(
            .init(key.publicKey), identity, dnsNames: [identity.dnsName], lifetime: lifetime, now: now)
        var serializer = DER.Serializer()
        try leaf.serialize(into: &serializer)
        return ServerIdentity(
            chainDER: [serializer.serializedBytes], keyDER: [UInt8](key.derRepresentation), notBefore: now,
            notAfter: leaf.notValidAfter)
    }

    /// An ECDSA signature (SHA-256, DER) by the root's key, over configuration that proxies keep for a restart.
    public func signature(over bytes: some DataProtocol) throws -> [UInt8] {
        [UInt8](try key.signature(for: bytes).derRepresentation)
    }

    private static func makeRoot(_ key: P256.Signing.PrivateKey, now: Date) throws -> Certificate {
        let name = try DistinguishedName {
            OrganizationName("Martlet")
            CommonName("Martlet mesh root")
        }
        let publicKey = Certificate.PublicKey(key.publicKey)
        return try Certificate(
            version: .v3, serialNumber: .init(), publicKey: publicKey,
            notValidBefore: now.addingTimeInterval(-clockSkewMax),
            notValidAfter: now.addingTimeInterval(rootLifetime), issuer: name, subject: name,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                SubjectKeyIdentifier(hash: publicKey)
            },
            issuerPrivateKey: .init(key))
    }

    /// An X.509-SVID (SPIFFE X509-SVID, 4): one URI name, not a CA. The subject is empty, so the name is critical
    /// (RFC 5280, 4.2.1.6).
    private func makeLeaf(
        _ publicKey: Certificate.PublicKey, _ identity: WorkloadIdentity, dnsNames: [String] = [],
        lifetime: Duration, now: Date
    ) throws -> Certificate {
        let names = [.uniformResourceIdentifier(identity.uri)] + dnsNames.map(GeneralName.dnsName)
        let end = now.addingTimeInterval(TimeInterval(lifetime.components.seconds))
        return try Certificate(
            version: .v3, serialNumber: .init(), publicKey: publicKey,
            notValidBefore: max(now.addingTimeInterval(-Self.clockSkewMax), root.notValidBefore),
            notValidAfter: min(end, root.notValidAfter), issuer: root.subject, subject: DistinguishedName(),
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth, .clientAuth])
                SubjectKeyIdentifier(hash: publicKey)
                AuthorityKeyIdentifier(
                    keyIdentifier: SubjectKeyIdentifier(hash: root.publicKey).keyIdentifier)
                Critical(SubjectAlternativeNames(names))
            },
            issuerPrivateKey: .init(key))
    }
}
