import COpenSSL
import TLSTestSupport
import TestSupport
import Testing

@testable import TLSEngine

struct PeerVerificationTests {
    /// Lets the two meet; their failures, the client's after it has heard the server's verdict.
    private func meet(
        client: TLSContext, server: TLSContext, now: Int64 = testNow
    ) throws -> (client: TLSFailure?, server: TLSFailure?, story: String) {
        let server = try TestPeer(server, now: now)
        let client = try TestPeer(client, now: now)
        converse(client, server)
        let failures = (
            client.progress.failure ?? client.lastRead.failure,
            server.progress.failure ?? server.lastRead.failure
        )
        let story = failures.1.map(server.session.explain) ?? failures.0.map(client.session.explain) ?? ""
        return (failures.0, failures.1, story)
    }

    @Test("A required client certificate must come", arguments: [true, false])
    func missing(isTLS12: Bool) throws {
        let mesh = try TestMesh()
        let server = try mesh.server { if isTLS12 { $0.versionMax = .tls12 } }
        let result = try meet(client: try mesh.client { $0.identity = nil }, server: server)
        #expect(result.server?.reason == .noPeerCertificate)
        #expect(result.client?.alert == (isTLS12 ? 40 : 116))
    }

    @Test("An optional client certificate may be absent, but not bad")
    func optional() throws {
        let mesh = try TestMesh()
        let context = try mesh.server { $0.clientCertificate = .optional }
        let server = try TestPeer(context)
        let client = try TestPeer(try mesh.client { $0.identity = nil })
        converse(client, server)
        #expect(server.progress == .done && client.lastRead == .wantsInput)
        #expect(!server.session.hasPeer && server.session.peer == nil)
        let stranger = try TestAuthority("other").issue()
        let result = try meet(client: try mesh.client { $0.identity = stranger.settings }, server: context)
        #expect(result.server?.reason == .untrustedIssuer)
    }

    @Test("A chain from another root is refused by either end")
    func wrongRoot() throws {
        let mesh = try TestMesh()
        let other = try TestMesh()
        let toServer = try meet(
            client: try other.client { $0.trust = .bundle(mesh.root.bundle) }, server: try mesh.server())
        #expect(toServer.server?.reason == .untrustedIssuer && toServer.client?.reason == .peerAlert)
        let toClient = try meet(client: try other.client(), server: try mesh.server())
        #expect(toClient.client?.reason == .untrustedIssuer && toClient.server?.reason == .peerAlert)
        #expect(toClient.client?.text.hasPrefix("the peer's certificate is not trusted: ") == true)
    }

    @Test("Certificates are judged by the transport's clock")
    func clock() throws {
        let mesh = try TestMesh()
        let (client, server) = (try mesh.client(), try mesh.server())
        #expect(try meet(client: client, server: server, now: testNow + 3599).client == nil)
        #expect(try meet(client: client, server: server, now: testNow + 3600).client?.reason == .expired)
        #expect(try meet(client: client, server: server, now: testNow - 101).client?.reason == .notYetValid)
        #expect(try meet(client: client, server: server, now: 0).client?.reason == .notYetValid)
        let late = try meet(
            client: try mesh.client { $0.trust = .anyCertificate }, server: server, now: testNow + 3601)
        #expect(late.server?.reason == .expired && late.client?.alert == 45)
    }

    @Test("One of the expected names must be there")
    func names() throws {
        let mesh = try TestMesh()
        let client = try mesh.client()
        let wanted = try mesh.server {
            $0.peerNames = [
                SANMatcher(.uri, .exact("spiffe://mesh.test/ns/a/sa/b")),
                SANMatcher(.uri, .prefix("spiffe://mesh.test/ns/shop/")),
            ]
        }
        #expect(try meet(client: client, server: wanted).server == nil)
        let refusing = try mesh.server {
            $0.peerNames = [SANMatcher(.uri, .exact("spiffe://mesh.test/ns/a/sa/b"))]
        }
        let result = try meet(client: client, server: refusing)
        #expect(result.server?.reason == .wrongIdentity && result.client?.alert == 42)
        #expect(
            result.story
                == "the peer's certificate has none of the expected names; it has spiffe://mesh.test/ns/shop/sa/web"
        )
    }

    @Test("The expected DNS name must be there")
    func dnsName() throws {
        let mesh = try TestMesh()
        let server = try mesh.server()
        let good = try mesh.client { $0.peerDNSName = "Orders.shop.mesh.test" }
        #expect(try meet(client: good, server: server).client == nil)
        let bad = try mesh.client { $0.peerDNSName = "orders" }
        #expect(try meet(client: bad, server: server).client?.reason == .wrongIdentity)
    }

    @Test("The hash of the certificate must be expected, when hashes are")
    func hashes() throws {
        let mesh = try TestMesh()
        let server = try mesh.server()
        let fingerprint = try mesh.serverIdentity.fingerprint
        let good = try mesh.client {
            $0.trust = .anyCertificate
            $0.peerCertificateHashes = [String(repeating: "0", count: 64), fingerprint.uppercased()]
        }
        #expect(try meet(client: good, server: server).client == nil)
        let bad = try mesh.client { $0.peerCertificateHashes = [String(repeating: "0a:", count: 31) + "0A"] }
        #expect(try meet(client: bad, server: server).client?.reason == .wrongCertificateHash)
    }

    @Test("Without a bundle any certificate passes, and is not called verified")
    func anyCertificate() throws {
        let mesh = try TestMesh()
        let server = try TestPeer(try mesh.server { $0.trust = .anyCertificate })
        let client = try TestPeer(
            try TestMesh().client { $0.trust = .anyCertificate }, now: testNow + 1_000_000)
        converse(client, server)
        #expect(client.progress == .done && server.progress == .done)
        #expect(client.session.peer?.isVerified == false && server.session.peer?.isVerified == false)
    }

    @Test("A certificate for clients only is no server's")
    func purpose() throws {
        let mesh = try TestMesh()
        let identity = try mesh.root.issue(usage: "clientAuth")
        let result = try meet(
            client: try mesh.client(), server: try mesh.server { $0.identity = identity.settings })
        #expect(result.client?.reason == .invalidCertificate)
        #expect(result.client?.text.contains("purpose") == true)
    }

    @Test("Intermediates come with the leaf, or from the bundle")
    func intermediates() throws {
        let mesh = try TestMesh()
        let middle = try TestAuthority("middle", under: mesh.root)
        let identity = try middle.issue()
        let server = try mesh.server { $0.identity = identity.settings }
        #expect(try meet(client: try mesh.client(), server: server).client == nil)
        let anchored = try mesh.client { $0.trust = .bundle(middle.bundle) }
        #expect(try meet(client: anchored, server: server).client == nil)
        let other = try TestAuthority("x")
        let both = try mesh.client { $0.trust = .bundle(other.bundle + mesh.root.bundle) }
        #expect(try meet(client: both, server: server).client == nil)
    }

    @Test("A chain is verified once, its names every time, until its first certificate expires")
    func memory() throws {
        let mesh = try TestMesh()
        let middle = try TestAuthority("middle", under: mesh.root, notAfter: testNow + 50)
        let identity = try middle.issue()
        let server = try mesh.server { $0.identity = identity.settings }
        let transport = TLSTransport()
        func connect(_ context: TLSContext, now: Int64 = testNow) throws -> TLSProgress {
            let server = try TestPeer(server, now: now)
            let client = try TestPeer(context, transport: transport, now: now)
            converse(client, server)
            return client.progress
        }
        let plain = try mesh.client()
        for _ in 0..<5 { #expect(try connect(plain) == .done) }
        #expect(transport.verifiedChainMisses == 1 && transport.verifiedChainHits == 4)
        let picky = try mesh.client { $0.peerNames = [SANMatcher(.uri, .exact("spiffe://other"))] }
        #expect(try connect(picky).failure?.reason == .wrongIdentity)
        #expect(transport.verifiedChainHits == 5)
        let other = try TestAuthority()
        let elsewhere = try mesh.client { $0.trust = .bundle(other.bundle) }
        #expect(try connect(elsewhere).failure?.reason == .untrustedIssuer)
        #expect(transport.verifiedChainMisses == 2 && transport.verifiedChains.count == 1)
        #expect(try connect(plain, now: testNow + 51).failure?.reason == .expired)
    }

    @Test("Sessions with one peer hold its certificate once, and know it by it", arguments: [true, false])
    func sharedCertificates(ofClient: Bool) throws {
        let mesh = try TestMesh()
        let (serverContext, clientContext) = (try mesh.server(), try mesh.client())
        let (serverSide, clientSide) = (TLSTransport(), TLSTransport())
        var ends: [(client: TestPeer, server: TestPeer)] = []
        for _ in 0..<3 {
            let server = try TestPeer(serverContext, transport: serverSide)
            let client = try TestPeer(clientContext, transport: clientSide)
            converse(client, server)
            #expect(client.progress == .done && server.progress == .done)
            ends.append((client, server))
        }
        let peers = ends.map { ofClient ? $0.server : $0.client }
        let certificates = peers.map { SSL_get0_peer_certificate($0.session.record.pointee.ssl) }
        #expect(certificates[0] != nil && Set(certificates).count == 1)
        #expect((ofClient ? serverSide : clientSide).verifiedChains.certificatesCount == 1)
        let names = Set(peers.map { $0.session.peer?.spiffeID })
        #expect(names.count == 1 && names.first != .some(nil))
        // One that ends leaves it to the others.
        ends.removeFirst()
        #expect(ends[0].server.session.peer?.spiffeID == "spiffe://mesh.test/ns/shop/sa/web")
    }

    @Test("The memory of chains is bounded, and the oldest goes first")
    func bound() throws {
        var chains = VerifiedChains()
        let digests = try (0..<(VerifiedChains.countMax + 10)).map { number in
            guard let digest = Digest(of: Array("\(number)".utf8)) else { throw TestFailure("no digest") }
            return digest
        }
        for digest in digests { chains.insert(digest, Validity(notBefore: 0, notAfter: 100)) }
        #expect(chains.count == VerifiedChains.countMax)
        #expect(chains.validity(of: digests[9], at: 50) == nil)
        #expect(chains.validity(of: digests[10], at: 50)?.notAfter == 100)
        #expect(chains.validity(of: digests[10], at: 101) == nil)
    }
}
