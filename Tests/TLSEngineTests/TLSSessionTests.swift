import COpenSSL
import MeshPrimitives
import TLSTestSupport
import TestSupport
import Testing

@testable import TLSEngine

struct TLSSessionTests {
    @Test(
        "Both ends know each other after a handshake", arguments: [TLSSettings.ProtocolVersion.tls12, .tls13])
    func handshake(version: TLSSettings.ProtocolVersion) throws {
        let mesh = try TestMesh()
        let server = try TestPeer(try mesh.server { $0.versionMax = version })
        let client = try TestPeer(try mesh.client())
        converse(client, server)
        #expect(client.progress == .done && server.progress == .done)
        #expect(client.session.isEstablished && server.session.isEstablished)
        #expect(server.session.hasPeer && server.session.peer?.isVerified == true)
        #expect(server.session.peer?.spiffeID == "spiffe://mesh.test/ns/shop/sa/web")
        #expect(server.session.peer?.subject == "CN=web,O=Martlet")
        #expect(server.session.peer?.notAfter == testNow + 3600)
        #expect(server.session.peer?.fingerprint == (try mesh.clientIdentity.fingerprint))
        #expect(server.session.peer?.fingerprint.count == 64)
        #expect(client.session.peer?.dnsSANs == ["orders.shop.mesh.test"])
        #expect(client.session.peer?.serial == "02")
        #expect(client.session.version == (version == .tls13 ? "TLSv1.3" : "TLSv1.2"))
        #expect(
            client.session.cipherSuite
                == (version == .tls13 ? "TLS_AES_128_GCM_SHA256" : "ECDHE-ECDSA-AES128-GCM-SHA256"))
        #expect(!client.session.isResumed)
        #expect(client.session.applicationProtocol == .none && server.session.serverName == nil)
    }

    @Test("Any split of the stream gives the same bytes", arguments: [1, 2, 3, 7, 100, 1000], [false, true])
    func splits(step: Int, isTLS12: Bool) throws {
        let mesh = try TestMesh()
        let server = try TestPeer(try mesh.server { if isTLS12 { $0.versionMax = .tls12 } })
        let client = try TestPeer(try mesh.client())
        converse(client, server, step: step)
        let request = Self.pattern(700)
        let answer = Self.pattern(1300)
        #expect(client.write(request) == .accepted(700))
        server.inbox += client.takeOutput()
        converse(client, server, step: step)
        #expect(server.plaintext == request)
        #expect(server.write(answer) == .accepted(1300))
        client.inbox += server.takeOutput()
        converse(client, server, step: step)
        #expect(client.plaintext == answer)
    }

    @Test("Much data passes through little room, and through a full output", arguments: [true, false])
    func bulk(isBelowRecord: Bool) throws {
        let mesh = try TestMesh()
        let server = try TestPeer(try mesh.server())
        let client = try TestPeer(try mesh.client())
        server.room = isBelowRecord ? 2 << 10 : 64 << 10
        converse(client, server)
        let data = Self.pattern(1_500_000)
        var position = 0
        while position < data.count {
            guard case .accepted(let count) = client.write(Array(data[position...])) else {
                Issue.record("refused")
                return
            }
            #expect(count > 0 && client.transport.output.count < TLSTransport.outputMax + (17 << 10))
            position += count
            server.inbox += client.takeOutput()
            _ = server.drive()
        }
        #expect(server.plaintext == data && server.inbox.isEmpty)
    }

    @Test("A read that is out of room leaves its input and can go on")
    func outOfRoom() throws {
        let mesh = try TestMesh()
        let server = try TestPeer(try mesh.server())
        let client = try TestPeer(try mesh.client())
        converse(client, server)
        server.isReading = false
        let data = Self.pattern(40_000)
        _ = client.write(data)
        let ciphertext = client.takeOutput()
        var pool = BufferPool()
        var buffer = pool.take(2 << 10)
        defer { pool.give(&buffer) }
        var received: [UInt8] = []
        ciphertext.withByteView { view in
            server.transport.setInput(view)
            #expect(server.session.read(into: &buffer) == .bytes(2048))
            #expect(server.session.read(into: &buffer) == .bytes(0))
            #expect(server.session.hasPendingPlaintext)
            #expect(server.transport.remainingInput.count > 20_000)
            repeat {
                received += buffer.view.bytes
                buffer.removeAll()
            } while server.session.read(into: &buffer).isProgress
            #expect(server.transport.remainingInput.isEmpty && !server.session.hasPendingPlaintext)
        }
        #expect(received == data)
    }

    @Test(
        "A goodbye arrives behind the last bytes, and the other direction stays open",
        arguments: [true, false])
    func closeNotify(isTLS12: Bool) throws {
        let mesh = try TestMesh()
        let server = try TestPeer(try mesh.server { if isTLS12 { $0.versionMax = .tls12 } })
        let client = try TestPeer(try mesh.client())
        converse(client, server)
        _ = client.write(Array("last words".utf8))
        client.session.shutdown()
        client.session.shutdown()
        server.inbox += client.takeOutput()
        _ = server.drive()
        #expect(server.plaintext == Array("last words".utf8))
        #expect(server.lastRead == .closed && server.session.hasReceivedCloseNotify)
        _ = server.drive()
        #expect(server.lastRead == .closed)
        #expect(server.write(Array("still here".utf8)) == .accepted(10))
        client.inbox += server.takeOutput()
        _ = client.drive()
        #expect(client.plaintext == Array("still here".utf8))
        #expect(client.lastRead == .wantsInput)
        guard case .failed = client.write([1]) else {
            Issue.record("wrote behind the goodbye")
            return
        }
    }

    @Test(
        "A server prefers its own protocols, and lives without a match",
        arguments: [
            (["h2", "http/1.1"], ["http/1.1", "h2"], ApplicationProtocol.http2, "h2"),
            (["http/1.1", "h2"], ["h2", "http/1.1"], .http11, "http/1.1"),
            (["istio"], ["h2", "istio"], .other, "istio"), (["h2"], ["http/1.1"], .none, ""),
            ([], ["h2"], .none, ""), (["h2"], [], .none, ""),
        ])
    func alpn(server: [String], client: [String], chosen: ApplicationProtocol, name: String) throws {
        let mesh = try TestMesh()
        let server = try TestPeer(try mesh.server { $0.applicationProtocols = server })
        let client = try TestPeer(try mesh.client { $0.applicationProtocols = client })
        converse(client, server)
        #expect(client.progress == .done && server.progress == .done)
        #expect(client.session.applicationProtocol == chosen && server.session.applicationProtocol == chosen)
        #expect(
            client.session.applicationProtocolName == name && server.session.applicationProtocolName == name)
    }

    @Test("The server sees the name of the session, else of the context", arguments: [true, false])
    func serverName(isTLS12: Bool) throws {
        let mesh = try TestMesh()
        let serverContext = try mesh.server { if isTLS12 { $0.versionMax = .tls12 } }
        let clientContext = try mesh.client { $0.serverName = "default.test" }
        for (override, expected) in [(nil, "default.test"), ("other.test", "other.test")] {
            let server = try TestPeer(serverContext)
            let client = try TestPeer(clientContext, serverName: override)
            converse(client, server)
            #expect(server.session.serverName == expected)
        }
    }

    @Test("Versions and suites without overlap end in an alert")
    func nothingInCommon() throws {
        let mesh = try TestMesh()
        let server = try TestPeer(try mesh.server { $0.versionMin = .tls13 })
        let client = try TestPeer(try mesh.client { $0.versionMax = .tls12 })
        converse(client, server)
        #expect(server.progress.failure?.reason == .protocolError)
        #expect(client.progress.failure?.reason == .peerAlert)
        #expect(client.progress.failure?.alert == 70)
        #expect(client.progress.failure?.text == "the peer refused: protocol version (alert 70)")
    }

    @Test("Two sessions of one worker share a transport")
    func sharedTransport() throws {
        let mesh = try TestMesh()
        let transport = TLSTransport()
        let serverContext = try mesh.server()
        let clientContext = try mesh.client()
        let servers = try (0..<3).map { _ in try TestPeer(serverContext, transport: transport) }
        let clients = try (0..<3).map { _ in try TestPeer(clientContext) }
        for _ in 0..<4 {
            for (client, server) in zip(clients, servers) {
                server.inbox += client.drive(atMost: 500)
                client.inbox += server.drive(atMost: 500)
            }
        }
        for (client, server) in zip(clients, servers) {
            converse(client, server)
            _ = client.write(Array("hello".utf8))
        }
        for (client, server) in zip(clients, servers) {
            server.inbox += client.takeOutput()
            _ = server.drive()
            #expect(server.plaintext == Array("hello".utf8))
        }
    }

    @Test("Output that was not taken in time waits for its session")
    func heldOutput() throws {
        let mesh = try TestMesh()
        let transport = TLSTransport()
        let (serverContext, clientContext) = (try mesh.server(), try mesh.client())
        let servers = [try TestPeer(serverContext), try TestPeer(serverContext)]
        let clients = [
            try TestPeer(clientContext, transport: transport),
            try TestPeer(clientContext, transport: transport),
        ]
        for (client, server) in zip(clients, servers) { converse(client, server) }
        for text in ["one ", "two ", "three"] {
            for client in clients { _ = client.write(Array(text.utf8)) }
        }
        let untaken = transport.output.bytes
        servers[1].inbox = untaken
        clients[0].session.flush()
        servers[0].inbox = clients[0].takeOutput()
        for server in servers {
            _ = server.drive()
            #expect(server.plaintext == Array("one two three".utf8))
        }
        clients[1].session.flush()
        #expect(transport.output.bytes == untaken)
    }

    @Test("A key update is answered, in either direction, and buffers given back are no loss")
    func keyUpdate() throws {
        let mesh = try TestMesh()
        let server = try TestPeer(try mesh.server())
        let client = try TestPeer(try mesh.client())
        converse(client, server)
        for round in 1...3 {
            for (left, right) in [(client, server), (server, client)] {
                left.session.releaseBuffers()
                #expect(SSL_key_update(left.session.record.pointee.ssl, SSL_KEY_UPDATE_REQUESTED) == 1)
                #expect(left.write(Array("after".utf8)) == .accepted(5))
                right.inbox += left.takeOutput()
                _ = right.drive()
                // The answer travels with what the other end says next.
                #expect(right.write(Array("and again".utf8)) == .accepted(9))
                left.inbox += right.takeOutput()
                #expect(left.drive().isEmpty && left.lastRead == .wantsInput)
                #expect(
                    left.plaintext.count + right.plaintext.count == 14
                        * (left === client ? 2 * round - 1 : 2 * round))
            }
        }
    }

    @Test("Threads share a context")
    func threads() async throws {
        let mesh = try TestMesh()
        let (serverContext, clientContext) = (try mesh.server(), try mesh.client())
        let results = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let cache = TLSSessionCache()
                    var isGood = true
                    for round in 0..<6 {
                        let server = try TestPeer(serverContext)
                        let client = try TestPeer(clientContext, resumptionKey: 1, cache: cache)
                        converse(client, server)
                        isGood = isGood && client.progress == .done && client.isResumed == (round > 0)
                    }
                    return isGood
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results == [Bool](repeating: true, count: 8))
    }

    @Test("Nothing can be written before the handshake is done")
    func earlyWrite() throws {
        let client = try TestPeer(try TestMesh().client())
        #expect(client.write([1, 2, 3]) == .accepted(0))
        client.session.shutdown()
        #expect(client.takeOutput().isEmpty)
    }

    @Test("Plain text and noise are failures, and never more than that", arguments: UInt64(0)..<60)
    func noise(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let mesh = try TestMesh()
        let server = try TestPeer(try mesh.server())
        let client = try TestPeer(try mesh.client())
        switch seed % 4 {
        case 0: server.inbox = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        case 1: server.inbox = (0..<3000).map { _ in UInt8.random(in: 0...255, using: &random) }
        case 2:
            // A true beginning, then bytes turned over at random.
            var hello = client.drive()
            for _ in 0..<4 {
                hello[Int.random(in: 0..<hello.count, using: &random)] ^= UInt8.random(
                    in: 1...255, using: &random)
            }
            server.inbox = hello + (0..<200).map { _ in UInt8.random(in: 0...255, using: &random) }
        default:
            converse(client, server)
            _ = client.write(Self.pattern(3000))
            var ciphertext = client.takeOutput()
            ciphertext[Int.random(in: 0..<ciphertext.count, using: &random)] ^= 0x40
            server.inbox = ciphertext + ciphertext
        }
        _ = server.drive(atMost: Int.random(in: 1...500, using: &random))
        _ = server.drive()
        if seed % 4 != 2 {
            let failure = server.progress.failure ?? server.lastRead.failure
            if seed % 4 == 0 { #expect(failure?.reason == .protocolError) }
            if let failure { #expect(!server.session.explain(failure).isEmpty) }
        }
        // Once over, always over.
        if let failure = server.progress.failure ?? server.lastRead.failure {
            #expect(server.session.handshake() == .failed(failure))
            #expect(server.write([1]) == .failed(failure))
        }
        server.session.shutdown()
    }

    static func pattern(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    }
}
