import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Reactor
import Simulation
import TLSEngine
import XDSSchema

@testable import XDSClient
@testable import XDSDiscovery

/// A gRPC server on a loop of its own, in the hands of a test.
final class FakeServer {
    /// One call of a client.
    final class Call {
        let path: String
        let headers: [String: String]
        /// The client's identity, if it showed one.
        let peer: String?
        fileprivate weak var connection: Connection?
        fileprivate let id: StreamID
        fileprivate var decoder = GRPCMessageDecoder()
        fileprivate var outgoing: [UInt8] = []
        fileprivate var hasHead = false
        var received: [[UInt8]] = []
        /// The client has said its last message.
        var isFinished = false
        var isReset = false

        fileprivate init(path: String, headers: [String: String], connection: Connection, id: StreamID) {
            (self.path, self.headers, self.connection, self.id) = (path, headers, connection, id)
            peer = connection.peer
        }

        func send(_ message: [UInt8]) {
            head()
            outgoing += GRPCFraming.frame(message)
            advance()
        }

        func end(_ status: GRPCStatus) {
            var fields = HTTP2FieldList()
            if hasHead { fields.startTrailers() } else { fields.startResponse(status: 200) }
            if !hasHead { fields.append(.contentType, value: ByteView("application/grpc")) }
            "\(status.code.rawValue)".withByteView { fields.append(.grpcStatus, value: $0) }
            GRPCStatus.encodeMessage(status.message).withByteView { fields.append(.grpcMessage, value: $0) }
            if hasHead {
                _ = connection?.session.submitTrailers(id, fields)
            } else {
                _ = connection?.session.submitResponse(id, fields, endsStream: true)
            }
            connection?.flush()
        }

        /// A response that is not gRPC.
        func answer(status: Int, contentType: String) {
            var fields = HTTP2FieldList()
            fields.startResponse(status: status)
            contentType.withByteView { fields.append(.contentType, value: $0) }
            _ = connection?.session.submitResponse(id, fields, endsStream: true)
            connection?.flush()
        }

        func goAway(_ code: HTTP2ErrorCode) {
            connection?.session.goAway(.last(code))
            connection?.flush()
        }

        private func head() {
            guard !hasHead else { return }
            hasHead = true
            var fields = HTTP2FieldList()
            fields.startResponse(status: 200)
            fields.append(.contentType, value: ByteView("application/grpc"))
            _ = connection?.session.submitResponse(id, fields, endsStream: false)
        }

        fileprivate func advance() {
            guard !outgoing.isEmpty, let connection else { return }
            let count = outgoing.withByteView { connection.session.send(id, $0) }
            outgoing.removeFirst(count)
            connection.flush()
        }
    }

    fileprivate final class Connection {
        unowned let server: FakeServer
        let loop: ControlLoop
        let descriptor: Descriptor
        var registration: ControlLoop.Registration?
        var session: HTTP2Session
        var tls: TLSSession?
        let transport = TLSTransport()
        var calls: [StreamID: Call] = [:]
        var pool = BufferPool()
        var peer: String?
        var isHandlingEvents = false

        init?(server: FakeServer, descriptor: Descriptor) {
            guard let session = HTTP2Session(role: .server, settings: HTTP2Settings()) else { return nil }
            (self.server, self.descriptor, self.session) = (server, descriptor, session)
            loop = server.loop
            if let context = server.tls {
                transport.wallClockSeconds = server.loop.wallClock.seconds
                tls = TLSSession.make(context: context, transport: transport)
            }
        }

        func ready() {
            var buffer = pool.take(BufferPool.sizes.large)
            defer { pool.give(&buffer) }
            flush()
            while registration != nil {
                buffer.removeAll()
                switch loop.kernel.receive(descriptor, into: &buffer) {
                case .bytes: tls == nil ? take(buffer.view) : decrypt(buffer.view)
                case .wouldBlock: return
                case .closed, .failed:
                    server.connections.removeAll { $0 === self }
                    return close()
                }
            }
        }

        func decrypt(_ bytes: ByteView) {
            guard let tls else { return }
            transport.setInput(bytes)
            defer { transport.clearInput() }
            if !tls.isEstablished {
                let progress = tls.handshake()
                sendCiphertext()
                guard case .done = progress else {
                    if case .failed(let failure) = progress {
                        server.tlsFailures.append(tls.explain(failure))
                    }
                    return
                }
                peer = tls.peer?.spiffeID
            }
            var plain = pool.take(BufferPool.sizes.large)
            defer { pool.give(&plain) }
            while true {
                plain.removeAll()
                guard case .bytes = tls.read(into: &plain) else { return sendCiphertext() }
                take(plain.view)
            }
        }

        func take(_ bytes: ByteView) {
            _ = session.receive(bytes, now: loop.now)
            handleEvents()
            flush()
        }

        func handleEvents() {
            guard !isHandlingEvents else { return }
            isHandlingEvents = true
            defer { isHandlingEvents = false }
            while let event = session.nextEvent() {
                switch event {
                case .head(let id, _, let endsStream):
                    var head = MessageHead()
                    guard let bytes = session.readHead(into: &head) else { continue }
                    var headers: [String: String] = [:]
                    for index in 0..<head.count {
                        headers[head.name(index, in: bytes).text] = head.value(index, in: bytes).text
                    }
                    let call = Call(
                        path: bytes[head.path.range].text, headers: headers, connection: self, id: id)
                    calls[id] = call
                    server.calls.append(call)
                    if endsStream { call.isFinished = true }
                case .data(let id, let bytes, let endsStream):
                    guard let call = calls[id] else { continue }
                    session.consumed(id, bytes.count)
                    call.decoder.append(bytes)
                    while let message = try? call.decoder.next() {
                        call.received.append(message)
                        server.onMessage?(call, message)
                    }
                    if endsStream { call.isFinished = true }
                case .ended(let id), .trailers(let id, _): calls[id]?.isFinished = true
                case .windowOpened(let id): calls[id]?.advance()
                case .reset(let id, _, _): calls[id]?.isReset = true
                default: break
                }
            }
        }

        func flush() {
            if tls != nil { sendCiphertext() }
            while registration != nil {
                let output = session.output
                if output.isEmpty { break }
                var count = 0
                if let tls {
                    guard tls.isEstablished, case .accepted(let accepted) = tls.write(output) else { break }
                    count = accepted
                    sendCiphertext()
                } else if case .bytes(let sent) = loop.kernel.send(descriptor, output) {
                    count = sent
                }
                if count == 0 { break }
                session.outputWritten(count)
                handleEvents()
            }
        }

        func sendCiphertext() {
            while !transport.output.isEmpty {
                guard case .bytes(let count) = loop.kernel.send(descriptor, transport.output) else {
                    return
                }
                transport.discardOutput(count)
            }
        }

        func close() {
            if let registration { loop.cancel(registration) }
            registration = nil
            tls?.free()
            tls = nil
            loop.kernel.close(descriptor)
        }
    }

    let loop: ControlLoop
    var tls: TLSContext?
    private(set) var address: SocketAddress
    private var listener = Descriptor.none
    private var registration: ControlLoop.Registration?
    fileprivate var connections: [Connection] = []
    /// Every call so far.
    fileprivate(set) var calls: [Call] = []
    fileprivate(set) var tlsFailures: [String] = []
    private(set) var acceptedCount = 0
    var onMessage: ((Call, [UInt8]) -> Void)?

    init(kernel: Kernel, at address: SocketAddress, tls: TLSContext? = nil) throws {
        loop = try ControlLoop(kernel: kernel)
        (self.tls, self.address) = (tls, address)
        try listen()
    }

    deinit { stop() }

    func listen() throws {
        listener = try loop.kernel.listen(address, reusePort: false)
        address = try loop.kernel.localAddress(listener)
        registration = try loop.register(listener, readableOnly: true) { [unowned self] _ in self.accept() }
    }

    var connectionCount: Int { connections.count }

    /// Nobody listens any more, and all connections are gone.
    func stop() {
        if let registration { loop.cancel(registration) }
        registration = nil
        if !listener.isNone { loop.kernel.close(listener) }
        listener = .none
        for connection in connections { connection.close() }
        connections = []
    }

    private func accept() {
        while case .accepted(let descriptor, _) = loop.kernel.accept(listener) {
            acceptedCount += 1
            guard let connection = Connection(server: self, descriptor: descriptor) else { continue }
            connections.append(connection)
            connection.registration = try? loop.register(descriptor) { [weak connection] _ in
                connection?.ready()
            }
        }
    }
}

/// A program under test and a server on two simulated hosts, and the clock of both.
final class SimulatedPair {
    static let serverAddress = SocketAddress(ipv4: 10, 0, 0, 1, port: 15010)
    static let clientAddress = SocketAddress(ipv4: 10, 0, 0, 2, port: 0)

    let network: SimulatedNetwork
    let loop: ControlLoop
    let server: FakeServer
    let resolver: NameResolver

    init(seed: UInt64) throws {
        network = SimulatedNetwork(seed: seed)
        loop = try ControlLoop(kernel: network.kernel(host: Self.clientAddress))
        server = try FakeServer(kernel: network.kernel(host: Self.serverAddress), at: Self.serverAddress)
        resolver = NameResolver(loop: loop)
    }

    var target: ClientTarget {
        ClientTarget(hosts: [.init(name: Self.serverAddress.host, port: Self.serverAddress.port)])
    }

    /// Until `condition` no longer holds, or for `duration`; true if it no longer does.
    @discardableResult func run(_ duration: Duration = .seconds(60), while condition: () -> Bool = { true })
        -> Bool
    {
        let end = network.run(until: network.now.advanced(by: duration), while: condition) {
            loop.turn(until: nil)
            server.loop.turn(until: nil)
        }
        return end == .done
    }
}

/// The same on real sockets of the loopback address, for TLS.
final class LoopbackPair {
    let loop: ControlLoop
    let server: FakeServer
    let resolver: NameResolver

    init(tls: TLSContext? = nil) throws {
        let kernel = LinuxKernel.make()
        loop = try ControlLoop(kernel: kernel)
        server = try FakeServer(kernel: kernel, at: SocketAddress(ipv4: 127, 0, 0, 1, port: 0), tls: tls)
        resolver = NameResolver(loop: loop)
    }

    /// Until `condition` no longer holds; false if that takes more than ten seconds.
    func run(while condition: () -> Bool) -> Bool {
        let limit = LinuxKernel.make().now().advanced(by: .seconds(10))
        while condition() {
            guard LinuxKernel.make().now() < limit else { return false }
            loop.turn(until: .zero)
            server.loop.turn(until: LinuxKernel.make().now().advanced(by: .milliseconds(1)))
        }
        return true
    }
}
