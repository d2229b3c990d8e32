import TLSTestSupport
import TestSupport
import Testing

@testable import TLSEngine

struct TLSResumptionTests {
    private func connect(
        _ clientContext: TLSContext, _ serverContext: TLSContext, _ cache: TLSSessionCache,
        now: Int64 = testNow
    ) throws -> (client: TestPeer, server: TestPeer) {
        let server = try TestPeer(serverContext, now: now)
        let client = try TestPeer(clientContext, now: now, resumptionKey: 7, cache: cache)
        converse(client, server)
        return (client, server)
    }

    @Test("A second connection resumes, and still knows its peer", arguments: [true, false], [true, false])
    func resumes(isTLS12: Bool, saysGoodbye: Bool) throws {
        let mesh = try TestMesh()
        let serverContext = try mesh.server { if isTLS12 { $0.versionMax = .tls12 } }
        let clientContext = try mesh.client { $0.serverName = "orders.test" }
        let cache = TLSSessionCache()
        for round in 0..<4 {
            let (client, server) = try connect(clientContext, serverContext, cache)
            #expect(client.progress == .done && server.progress == .done)
            #expect(client.isResumed == (round > 0) && server.isResumed == (round > 0))
            #expect(server.session.peer?.spiffeID == "spiffe://mesh.test/ns/shop/sa/web")
            #expect(client.session.peer?.spiffeID == "spiffe://mesh.test/ns/shop/sa/orders")
            #expect(server.session.serverName == "orders.test")
            _ = client.write([1, 2, 3])
            server.inbox += client.takeOutput()
            _ = server.drive()
            #expect(server.plaintext == [1, 2, 3])
            if saysGoodbye { client.session.shutdown() }
            _ = client.takeOutput()
        }
        #expect(cache.count == 1)
    }

    @Test("Equal contexts with the same sessions resume each other's; others do not")
    func sharedSessions() throws {
        let mesh = try TestMesh()
        let sessions = TLSServerSessions()
        let clientContext = try mesh.client()
        let cache = TLSSessionCache()
        _ = try connect(clientContext, try mesh.server { $0.sessions = sessions }, cache)
        #expect(
            try connect(clientContext, try mesh.server { $0.sessions = sessions }, cache).client.isResumed)
        let (client, _) = try connect(clientContext, try mesh.server(), cache)
        #expect(client.progress == .done && !client.isResumed)
    }

    @Test(
        "A server with another bundle or leaf wants a full handshake, even with the same sessions",
        arguments: [true, false])
    func serverChanged(isTLS12: Bool) throws {
        let mesh = try TestMesh()
        let sessions = TLSServerSessions()
        let clientContext = try mesh.client { if isTLS12 { $0.versionMax = .tls12 } }
        let cache = TLSSessionCache()
        _ = try connect(clientContext, try mesh.server { $0.sessions = sessions }, cache)
        let added = try TestAuthority("new")
        let wider = try mesh.server {
            $0.sessions = sessions
            $0.trust = .bundle(mesh.root.bundle + added.bundle)
        }
        let widened = try connect(clientContext, wider, cache)
        #expect(widened.client.progress == .done && !widened.client.isResumed)
        #expect(try connect(clientContext, wider, cache).client.isResumed)
        let identity = try mesh.root.issue()
        let renewed = try mesh.server {
            $0.sessions = sessions
            $0.identity = identity.settings
        }
        #expect(try connect(clientContext, renewed, cache).client.isResumed == false)
    }

    @Test("A client does not offer a session of another bundle or leaf")
    func clientChanged() throws {
        let mesh = try TestMesh()
        let serverContext = try mesh.server()
        let cache = TLSSessionCache()
        _ = try connect(try mesh.client(), serverContext, cache)
        let identity = try mesh.root.issue("URI:spiffe://mesh.test/ns/shop/sa/web")
        let renewed = try connect(try mesh.client { $0.identity = identity.settings }, serverContext, cache)
        #expect(renewed.client.progress == .done && !renewed.client.isResumed)
        let added = try TestAuthority("new")
        let wider = try mesh.client { $0.trust = .bundle(mesh.root.bundle + added.bundle) }
        #expect(try connect(wider, serverContext, cache).client.isResumed == false)
    }

    @Test("Names are matched again on resumption, by either end")
    func namesMatchedAgain() throws {
        let mesh = try TestMesh()
        let sessions = TLSServerSessions()
        let cache = TLSSessionCache()
        let serverContext = try mesh.server { $0.sessions = sessions }
        let clientContext = try mesh.client()
        _ = try connect(clientContext, serverContext, cache)
        let pickyServer = try mesh.server {
            $0.sessions = sessions
            $0.peerNames = [SANMatcher(.uri, .exact("spiffe://mesh.test/ns/shop/sa/admin"))]
        }
        #expect(
            try connect(clientContext, pickyServer, cache).server.progress.failure?.reason == .wrongIdentity)
        let pickyClient = try mesh.client { $0.peerNames = [SANMatcher(.dns, .exact("elsewhere.test"))] }
        #expect(
            try connect(pickyClient, serverContext, cache).client.progress.failure?.reason == .wrongIdentity)
    }

    @Test("A ticket dies with the peer's certificate")
    func expiry() throws {
        let mesh = try TestMesh()
        let short = try mesh.root.issue("URI:spiffe://mesh.test/ns/shop/sa/web", notAfter: testNow + 60)
        let cache = TLSSessionCache()
        let serverContext = try mesh.server()
        let clientContext = try mesh.client { $0.identity = short.settings }
        _ = try connect(clientContext, serverContext, cache)
        #expect(try connect(clientContext, serverContext, cache, now: testNow + 59).client.isResumed)
        let late = try connect(clientContext, serverContext, cache, now: testNow + 60)
        #expect(late.server.progress.failure?.reason == .expired)
    }

    @Test("A required certificate is not got round by the ticket of a context that did not require one")
    func requirementChanged() throws {
        let mesh = try TestMesh()
        let sessions = TLSServerSessions()
        let cache = TLSSessionCache()
        let clientContext = try mesh.client { $0.identity = nil }
        let lax = try mesh.server {
            $0.sessions = sessions
            $0.clientCertificate = .optional
        }
        _ = try connect(clientContext, lax, cache)
        #expect(try connect(clientContext, lax, cache).server.isResumed)
        let strict = try mesh.server { $0.sessions = sessions }
        #expect(
            try connect(clientContext, strict, cache).server.progress.failure?.reason == .noPeerCertificate)
    }

    @Test("A server keeps so many sessions, and drops those of the peer that has been away longest")
    func serverBound() throws {
        let mesh = try TestMesh()
        let sessions = TLSServerSessions(countMax: 3)
        let serverContext = try mesh.server { $0.sessions = sessions }
        let cache = TLSSessionCache()
        let clients = try (0..<4).map { number in
            let identity = try mesh.root.issue("URI:spiffe://mesh.test/ns/shop/sa/web\(number)")
            return try mesh.client { $0.identity = identity.settings }
        }
        for (number, context) in clients.enumerated() {
            let client = try TestPeer(context, resumptionKey: UInt64(number), cache: cache)
            converse(client, try TestPeer(serverContext))
            #expect(client.progress == .done)
        }
        #expect(sessions.count == 3)
        for (number, isResumed) in [(3, true), (0, false)] {
            let client = try TestPeer(clients[number], resumptionKey: UInt64(number), cache: cache)
            converse(client, try TestPeer(serverContext))
            #expect(client.isResumed == isResumed, "caller \(number)")
        }
    }

    @Test("The cache is bounded, and keeps the newest session of each key")
    func bound() throws {
        let mesh = try TestMesh()
        let (clientContext, serverContext) = (try mesh.client(), try mesh.server())
        let cache = TLSSessionCache(countMax: 2)
        for key: UInt64 in [1, 2, 2, 3] {
            let server = try TestPeer(serverContext)
            let client = try TestPeer(clientContext, resumptionKey: key, cache: cache)
            converse(client, server)
        }
        #expect(cache.count == 2)
        for (key, isResumed): (UInt64, Bool) in [(2, true), (3, true), (1, false)] {
            let server = try TestPeer(serverContext)
            let client = try TestPeer(clientContext, resumptionKey: key, cache: cache)
            converse(client, server)
            #expect(client.isResumed == isResumed)
        }
    }
}
