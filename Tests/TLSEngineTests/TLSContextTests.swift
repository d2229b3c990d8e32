import TLSTestSupport
import TestSupport
import Testing

@testable import TLSEngine

struct TLSContextTests {
    private func failure(_ change: (inout TLSSettings) -> Void) throws -> TLSSettingsError? {
        let mesh = try TestMesh()
        do {
            _ = try mesh.server(change)
            return nil
        } catch let error as TLSSettingsError {
            return error
        }
    }

    @Test("Settings that cannot work are refused with the reason")
    func refusals() throws {
        let mesh = try TestMesh()
        let (good, other) = (mesh.serverIdentity, mesh.clientIdentity)
        #expect(try failure { $0.identity = nil } == .serverWithoutCertificate)
        #expect(try failure { $0.trust = .bundle([]) } == .emptyTrustBundle)
        #expect(try failure { $0.trust = .bundle(Array(" \n".utf8)) } == .emptyTrustBundle)
        #expect(
            try failure { $0.trust = .bundle(Array("hello".utf8)) } == .badTrustBundle("no certificate in it")
        )
        #expect(
            try failure {
                $0.identity = TLSSettings.Identity(certificateChain: good.chain, privateKey: other.key)
            } == .privateKeyDoesNotMatchCertificate)
        guard
            case .badCertificate = try failure({
                $0.identity = .init(certificateChain: [1], privateKey: good.key)
            }),
            case .badPrivateKey = try failure({
                $0.identity = .init(certificateChain: good.chain, privateKey: [1])
            }),
            case .badTrustBundle = try failure({
                $0.trust = .bundle(Array(mesh.root.bundle.dropLast(60)))
            }),
            case .badCipherSuites = try failure({ $0.cipherSuites = ["NONSENSE"] })
        else {
            Issue.record("another error")
            return
        }
        #expect(try failure { ($0.versionMin, $0.versionMax) = (.tls13, .tls12) } == .badVersionRange)
        #expect(try failure { $0.applicationProtocols = [""] } == .badApplicationProtocol(""))
        #expect(try failure { $0.peerCertificateHashes = ["abc"] } == .badCertificateHash("abc"))
        #expect(try failure { $0.serverName = ".test" } == .badServerName(".test"))
    }

    @Test("A key under a password is refused, without asking anyone")
    func encryptedKey() throws {
        let mesh = try TestMesh()
        let text = """
            -----BEGIN ENCRYPTED PRIVATE KEY-----
            MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiIHgy+oWHrBgICCAAw
            DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEENFqaUQ6xSRXw5Pw3nLWeWcEQHkU
            -----END ENCRYPTED PRIVATE KEY-----
            """
        #expect(throws: TLSSettingsError.self) {
            try mesh.server {
                $0.identity = .init(certificateChain: mesh.serverIdentity.chain, privateKey: Array(text.utf8))
            }
        }
    }

    @Test("Secrets are not printed")
    func secrets() throws {
        let mesh = try TestMesh()
        var settings = TLSSettings(
            role: .server, identity: mesh.serverIdentity.settings, trust: .anyCertificate)
        settings.sessions = TLSServerSessions()
        var text = ""
        dump(settings, to: &text)
        text += "\(settings) \(String(reflecting: settings)) \(try WorkloadKey())"
        dump(try WorkloadKey(), to: &text)
        #expect(!text.contains("UInt8") && !text.contains("45, 45, 45") && text.contains("hidden"))
    }

    @Test("Contexts that differ in the peers that they accept share memory, and still tell peers apart")
    func sharing() throws {
        let mesh = try TestMesh()
        let first = try mesh.client()
        var settings = TLSSettings(
            role: .client, identity: mesh.clientIdentity.settings, trust: .bundle(mesh.root.bundle))
        settings.peerNames = [SANMatcher(.dns, .exact("elsewhere"))]
        let second = try TLSContext(settings, sharingWith: first)
        #expect(first.core === second.core)
        settings.applicationProtocols = ["h2"]
        #expect(try TLSContext(settings, sharingWith: first).core !== first.core)
        let serverContext = try mesh.server()
        for (context, isWelcome) in [(first, true), (second, false)] {
            let server = try TestPeer(serverContext)
            let client = try TestPeer(context)
            converse(client, server)
            #expect((client.progress == .done) == isWelcome)
        }
    }

    @Test("A context tells its own certificate")
    func ownCertificate() throws {
        let mesh = try TestMesh()
        let context = try mesh.server()
        #expect(context.certificate?.spiffeID == "spiffe://mesh.test/ns/shop/sa/orders")
        #expect(context.certificate?.issuer == "CN=test root,O=Martlet")
        #expect(try mesh.client { $0.identity = nil }.certificate == nil)
    }

    @Test("Sessions outlive the last other reference to their context")
    func lifetime() throws {
        let mesh = try TestMesh()
        let server = try TestPeer(try mesh.server { $0.applicationProtocols = ["h2"] })
        let client = try TestPeer(try mesh.client { $0.applicationProtocols = ["h2"] })
        converse(client, server)
        #expect(client.session.applicationProtocol == .http2)
    }
}
