import MeshPrimitives
import TLSTestSupport
import TestSupport

@testable import TLSEngine

/// One end of a connection in memory, with what an owner does around a session: it keeps the input that was
/// not consumed, drives the session, takes the output.
final class TestPeer {
    let transport: TLSTransport
    let session: TLSSession
    /// Ciphertext from the other end that was not consumed yet.
    var inbox: [UInt8] = []
    private(set) var progress = TLSProgress.wantsInput
    private(set) var lastRead = TLSReadResult.wantsInput
    private(set) var plaintext: [UInt8] = []
    /// How much room a read finds.
    var room = 2 << 10
    /// While false, nothing is read once the handshake is done.
    var isReading = true
    private var pool = BufferPool()

    init(
        _ context: TLSContext, transport: TLSTransport = TLSTransport(), now: Int64 = testNow,
        serverName: String? = nil,
        resumptionKey: UInt64 = 0, cache: TLSSessionCache? = nil
    ) throws {
        transport.wallClockSeconds = now
        guard
            let session = TLSSession.make(
                context: context, transport: transport, serverName: serverName, resumptionKey: resumptionKey,
                cache: cache)
        else { throw TestFailure("no session") }
        (self.transport, self.session) = (transport, session)
    }

    deinit { session.free() }

    /// Lets the session have `count` bytes of the inbox at the most; gives what it wants to send.
    func drive(atMost count: Int = .max) -> [UInt8] {
        let piece = Array(inbox.prefix(count))
        let left = piece.withByteView { view in
            transport.setInput(view)
            run()
            return transport.remainingInput.count
        }
        transport.clearInput()
        inbox.removeFirst(piece.count - left)
        return takeOutput()
    }

    func takeOutput() -> [UInt8] {
        let output = transport.output.bytes
        transport.discardOutput(output.count)
        return output
    }

    /// Of the session, which goes with the last reference to this end.
    var isResumed: Bool { withExtendedLifetime(self) { session.isResumed } }

    func write(_ bytes: [UInt8]) -> TLSWriteResult { bytes.withByteView { session.write($0) } }

    private func run() {
        if progress == .wantsInput { progress = session.handshake() }
        guard progress == .done, isReading else { return }
        var buffer = pool.take(room)
        defer { pool.give(&buffer) }
        repeat {
            lastRead = session.read(into: &buffer)
            plaintext += buffer.view.bytes
            buffer.removeAll()
        } while lastRead.isProgress
    }
}

extension TLSReadResult {
    var isProgress: Bool { if case .bytes = self { true } else { false } }
    var failure: TLSFailure? { if case .failed(let failure) = self { failure } else { nil } }
}

extension TLSProgress {
    var failure: TLSFailure? { if case .failed(let failure) = self { failure } else { nil } }
}

/// Carries bytes between two ends, `step` at a time, until neither has more to say.
func converse(_ client: TestPeer, _ server: TestPeer, step: Int = .max) {
    var quiet = 0
    while quiet < 2 {
        let before = client.inbox.count + server.inbox.count
        let fromClient = client.drive(atMost: step)
        server.inbox += fromClient
        let fromServer = server.drive(atMost: step)
        client.inbox += fromServer
        let isStuck =
            fromClient.isEmpty && fromServer.isEmpty && client.inbox.count + server.inbox.count == before
        quiet = isStuck ? quiet + 1 : 0
    }
}

/// A root, a server and a client of one mesh.
struct TestMesh {
    let root: TestAuthority
    let serverIdentity: TestIdentity
    let clientIdentity: TestIdentity

    init() throws {
        root = try TestAuthority()
        serverIdentity = try root.issue("URI:spiffe://mesh.test/ns/shop/sa/orders,DNS:orders.shop.mesh.test")
        clientIdentity = try root.issue("URI:spiffe://mesh.test/ns/shop/sa/web", subject: "web")
    }

    func server(_ change: (inout TLSSettings) -> Void = { _ in }) throws -> TLSContext {
        var settings = TLSSettings(
            role: .server, identity: serverIdentity.settings, trust: .bundle(root.bundle))
        change(&settings)
        return try TLSContext(settings)
    }

    func client(_ change: (inout TLSSettings) -> Void = { _ in }) throws -> TLSContext {
        var settings = TLSSettings(
            role: .client, identity: clientIdentity.settings, trust: .bundle(root.bundle))
        change(&settings)
        return try TLSContext(settings)
    }
}
