import Glibc
import MeshPrimitives
import Reactor
import TLSEngine
import TLSTestSupport
import TestSupport
import Testing

@testable import XDSClient

@Suite("WorkloadIdentity")
struct WorkloadIdentityTests {
    @Test("A join token becomes a certificate for a key that only its owner can read")
    func firstCertificate() throws {
        let fixture = try MeshFixture()
        let identity = try fixture.identity()
        var credentials: [WorkloadIdentity.Credentials] = []
        identity.identityChanged = { credentials.append($0) }
        identity.start()
        #expect(identity.state == "waiting for a certificate")
        #expect(fixture.run { credentials.isEmpty })
        #expect(
            credentials.first?.spiffeID == fixture.name && identity.state == "certificate of \(fixture.name)")
        #expect(
            fixture.signed.count == 1 && fixture.signed[0].token == "good" && fixture.signed[0].peer == nil)
        #expect(fixture.mode("cache") == 0o700 && fixture.mode("cache/identity.pem") == 0o600)
        let secrets = "\(credentials) \(fixture.log) \(String(reflecting: credentials))"
        #expect(!secrets.contains("PRIVATE") && !secrets.contains("good"))
    }

    @Test("A restart uses the certificate that was kept, and asks nobody")
    func restart() throws {
        let fixture = try MeshFixture()
        let before = try fixture.identity()
        before.start()
        #expect(fixture.run { before.current == nil })
        before.stop()
        let after = try fixture.identity()
        var isTold = false
        after.identityChanged = { _ in isTold = true }
        after.start()
        #expect(fixture.run { !isTold })
        #expect(after.current == before.current && fixture.signed.count == 1)
    }

    @Test("A renewal shows the certificate instead of a token, and makes a new key")
    func renewal() throws {
        let fixture = try MeshFixture()
        let identity = try fixture.identity()
        identity.start()
        #expect(fixture.run { identity.current == nil })
        let first = identity.current
        identity.renew()
        #expect(fixture.run { identity.current == first })
        #expect(fixture.signed.map(\.token) == ["good", ""] && fixture.signed[1].peer == fixture.name)
        #expect(identity.current?.privateKeyPEM != first?.privateKeyPEM)
        let saved = try fixture.identity()
        saved.start()
        #expect(saved.current == identity.current)
    }

    @Test("Renewal comes by itself at half of what is left of the life, give or take a tenth of that")
    func renewalTime() throws {
        var random = SeededRandom(seed: 3)
        for _ in 0..<200 {
            let delay = WorkloadIdentity.renewalDelay(life: .seconds(1000), using: &random)
            #expect(delay >= .seconds(450) && delay <= .seconds(550))
        }
        #expect(WorkloadIdentity.renewalDelay(life: .seconds(-5), using: &random) == .seconds(1))
        let fixture = try MeshFixture()
        fixture.lifetime = 3
        let identity = try fixture.identity()
        var count = 0
        identity.identityChanged = { _ in
            count += 1
            fixture.lifetime = 3600
        }
        identity.start()
        #expect(fixture.run { count < 2 })
        #expect(fixture.signed.map(\.token) == ["good", ""])
    }

    @Test("What the control plane refuses is told, and tried again with the token that lies there then")
    func refusal() throws {
        let fixture = try MeshFixture()
        try fixture.writeToken("wrong")
        let identity = try fixture.identity()
        identity.start()
        #expect(fixture.run { identity.lastFailure == nil })
        #expect(identity.state == "no certificate: grpc-status 7: the token is not known")
        try fixture.writeToken("good")
        #expect(fixture.run { identity.current == nil })
        #expect(identity.lastFailure == nil)
        #expect(!fixture.log.joined().contains("wrong"))
    }

    @Test("A server with another name, or of another authority, gets no token")
    func wrongServer() throws {
        let fixture = try MeshFixture()
        fixture.first.tls = try fixture.authority.serverContext(
            requiresClients: false, name: "spiffe://mesh.test/ns/default/sa/orders")
        let identity = try fixture.identity()
        identity.start()
        #expect(fixture.run { identity.lastFailure == nil })
        #expect(
            identity.lastFailure?.contains("TLS: the peer's certificate has none of the expected names")
                == true)
        identity.stop()
        fixture.first.tls = try TestAuthority.ofToday().serverContext(requiresClients: false)
        let other = try fixture.identity()
        other.start()
        #expect(fixture.run { other.lastFailure == nil })
        #expect(other.lastFailure?.contains("TLS: the peer's certificate is not trusted") == true)
        #expect(fixture.signed.isEmpty)
    }

    @Test("A renewal that fails keeps the last certificate, and near its end that is an alarm")
    func failedRenewal() throws {
        let fixture = try MeshFixture()
        let identity = try fixture.identity()
        identity.start()
        #expect(fixture.run { identity.current == nil })
        let first = identity.current
        fixture.mutual.stop()
        identity.renew()
        #expect(fixture.run { identity.lastFailure == nil })
        #expect(identity.current == first)
        #expect(identity.state.hasPrefix("certificate not renewed: 127.0.0.1:"))
        #expect(
            identity.state.hasSuffix("connection refused") && !fixture.log.contains { $0.hasPrefix("error") })
        identity.stop()
        fixture.lifetime = 2
        fixture.tokens = ["good"]
        unlink("\(fixture.folder)/cache/identity.pem")
        let brief = try fixture.identity()
        brief.start()
        #expect(fixture.run { brief.current == nil })
        try fixture.writeToken("spent")
        #expect(fixture.run { !fixture.log.contains { $0.hasPrefix("error the certificate") } })
    }

    @Test("Certificates are taken out of a text, and nothing else")
    func blocks() {
        let text = "-----BEGIN PRIVATE KEY-----\nS\n-----END PRIVATE KEY-----\n"
        let certificate = "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"
        let both = Array("\(text)\(certificate)noise\n\(certificate)".utf8)
        #expect(PEMBlocks.certificates(of: both) == Array("\(certificate)\(certificate)".utf8))
    }
}
