import COpenSSL
import TLSTestSupport
import TestSupport
import Testing

@testable import TLSEngine

struct WorkloadKeyTests {
    private let name = "spiffe://mesh.test/ns/shop/sa/cart"

    @Test("A request becomes a certificate that works with the key")
    func request() throws {
        let mesh = try TestMesh()
        let key = try WorkloadKey()
        let certificate = try mesh.root.sign(request: try key.certificateRequest(uriSAN: name))
        #expect(try CertificateInfo.parse(pem: certificate).first?.uriSANs == [name])
        #expect(try key.matches(certificatePEM: certificate))
        #expect(try !WorkloadKey().matches(certificatePEM: certificate))
        let reread = try WorkloadKey(pem: try key.pem())
        #expect(try reread.matches(certificatePEM: certificate) && reread.pem() == key.pem())
        let identity = TLSSettings.Identity(certificateChain: certificate, privateKey: try key.pem())
        let server = try TestPeer(try mesh.server())
        let client = try TestPeer(try mesh.client { $0.identity = identity })
        converse(client, server)
        #expect(server.session.peer?.spiffeID == name)
    }

    @Test("A request with a changed bit is no request any more")
    func tampered() throws {
        let root = try TestAuthority()
        var request = try WorkloadKey().certificateRequest(uriSAN: name)
        guard let position = request.lastIndex(of: UInt8(ascii: "c")) else { throw TestFailure("no name") }
        request[position] = UInt8(ascii: "k")
        #expect(throws: TestFailure.self) { try root.sign(request: request) }
    }

    @Test("Names that no URI has are refused", arguments: ["", "spiffe://a b", "spiffe://ä", "a\u{0}b"])
    func badNames(name: String) throws {
        #expect(throws: TLSSettingsError.badName(name)) { try WorkloadKey().certificateRequest(uriSAN: name) }
    }

    @Test("Keys and certificates that cannot be read are errors")
    func unreadable() throws {
        #expect(throws: TLSSettingsError.self) { try WorkloadKey(pem: Array("no key".utf8)) }
        #expect(throws: TLSSettingsError.self) { try CertificateInfo.parse(pem: []) }
        #expect(throws: TLSSettingsError.self) { try WorkloadKey().matches(certificatePEM: [0, 1]) }
    }

    @Test("Certificates of a chain are told in order")
    func parse() throws {
        let root = try TestAuthority()
        let middle = try TestAuthority("middle", under: root)
        let infos = try CertificateInfo.parse(pem: try middle.issue(notAfter: testNow + 5).chain)
        #expect(infos.map(\.subject) == ["CN=orders,O=Martlet", "CN=middle,O=Martlet"])
        #expect(infos.map(\.issuer) == ["CN=middle,O=Martlet", "CN=test root,O=Martlet"])
        #expect(infos.first?.notBefore == testNow - 100 && infos.first?.notAfter == testNow + 5)
        #expect(infos.last?.serial == "4d")
    }

    @Test("A signature holds for its bytes, an authority of the bundle and its time")
    func signatures() throws {
        let (root, stranger) = (try TestAuthority(), try TestAuthority("stranger"))
        let bytes = Array("configuration".utf8)
        let signature = try WorkloadKey(pem: root.keyPEM).sign(bytes)
        func check(
            _ bytes: [UInt8], _ signature: [UInt8], trust: [UInt8], now: Int64 = testNow
        ) throws(SignatureFailure) {
            try verifySignature(of: bytes, signature: signature, trustBundlePEM: trust, now: now)
        }
        try check(bytes, signature, trust: root.bundle)
        try check(bytes, signature, trust: stranger.bundle + root.bundle)
        #expect(throws: SignatureFailure.wrongSignature) {
            try check(bytes + [0], signature, trust: root.bundle)
        }
        #expect(throws: SignatureFailure.wrongSignature) { try check(bytes, [], trust: root.bundle) }
        #expect(throws: SignatureFailure.wrongSignature) {
            try check(bytes, signature, trust: stranger.bundle)
        }
        #expect(throws: SignatureFailure.self) { try check(bytes, signature, trust: []) }
        #expect(throws: SignatureFailure.outdatedSigner("CN=test root,O=Martlet")) {
            try check(bytes, signature, trust: root.bundle, now: testNow + 1_000_001)
        }
    }

    @Test("The signature of a workload does not count, although the authority vouches for its name")
    func workloadSignature() throws {
        let root = try TestAuthority()
        let bytes = Array("configuration".utf8)
        let forged = try WorkloadKey(pem: root.issue().key).sign(bytes)
        #expect(throws: SignatureFailure.wrongSignature) {
            try verifySignature(of: bytes, signature: forged, trustBundlePEM: root.bundle, now: testNow)
        }
    }

    @Test("SHA-256 of a known text")
    func digest() {
        // FIPS 180-2, B.1.
        #expect(sha256(Array("abc".utf8)).prefix(4) == [0xba, 0x78, 0x16, 0xbf])
        #expect(sha256([]).count == 32)
    }
}
