import MeshPrimitives
import Reactor

/// One connection of an echo peer, driven by edges as the proxy's are.
struct EchoConnection {
    let descriptor: Descriptor
    var isConnected: Bool
    var canRead = false
    var canWrite = false
    /// An event said that the stream ends: a short read is not the last one.
    var endComes = false
    var readClosed = false
    var failure: SystemErrno?

    mutating func note(_ readiness: Readiness) {
        if !readiness.isDisjoint(with: [.readable, .readClosed, .hangup, .error]) { canRead = true }
        if !readiness.isDisjoint(with: [.writable, .hangup, .error]) { canWrite = true }
        if !readiness.isDisjoint(with: .endOfStream) { endComes = true }
    }

    mutating func read(into buffer: inout PooledBuffer, _ kernel: Kernel) {
        while canRead, !readClosed, failure == nil, buffer.room > 0 {
            let room = buffer.room
            switch kernel.receive(descriptor, into: &buffer) {
            case .bytes(let count): if count < room && !endComes { canRead = false }
            case .wouldBlock: canRead = false
            case .closed: readClosed = true
            case .failed(let code): failure = code
            }
        }
    }

    mutating func write(_ bytes: ByteView, _ kernel: Kernel) -> Int {
        guard canWrite, failure == nil, !bytes.isEmpty else { return 0 }
        let half = bytes.count / 2
        switch kernel.send(descriptor, bytes.prefix(half), bytes.dropFirst(half)) {
        case .bytes(let count):
            if count < bytes.count { canWrite = false }
            return count
        case .wouldBlock: canWrite = false
        case .closed: break
        case .failed(let code): failure = code
        }
        return 0
    }
}

/// Sends back what it gets, and its FIN after the peer's.
final class EchoServer {
    private static let listenerToken = Token(rawValue: 1 << 32)

    let address: SocketAddress
    private(set) var accepted = 0
    private(set) var failures: [SystemErrno] = []
    private(set) var finished = 0
    private(set) var wakeUps = 0
    private(set) var loop: EventLoop
    private var pool = BufferPool()
    private let listener: Descriptor
    private var connections: [UInt64: (EchoConnection, PooledBuffer)] = [:]

    init(_ kernel: Kernel, at address: SocketAddress) throws {
        loop = try EventLoop(kernel: kernel)
        listener = try kernel.listen(address, reusePort: false)
        self.address = try kernel.localAddress(listener)
        try loop.watchReadable(listener, Self.listenerToken)
    }

    deinit {
        let kernel = loop.kernel
        kernel.close(listener)
        for (connection, _) in connections.values { kernel.close(connection.descriptor) }
    }

    var openConnections: Int { connections.count }
    var waker: Waker { loop.waker }

    /// A turn of the loop; the number of its events.
    @discardableResult func turn(until deadline: MonotonicInstant?) throws -> Int {
        let count = loop.wait(until: deadline)
        for index in 0..<count {
            let event = loop.event(at: index)
            switch event.token {
            case Self.listenerToken: try accept()
            case .waker: wakeUps += 1
            case let token: advance(token.rawValue, event.readiness)
            }
        }
        return count
    }

    private func accept() throws {
        while case .accepted(let descriptor, _) = loop.kernel.accept(listener) {
            accepted += 1
            let name = UInt64(accepted)
            connections[name] = (EchoConnection(descriptor: descriptor, isConnected: true), pool.take(2048))
            try loop.watch(descriptor, Token(rawValue: name))
        }
    }

    private func advance(_ name: UInt64, _ readiness: Readiness) {
        guard var (connection, buffer) = connections[name] else { return }
        let kernel = loop.kernel
        connection.note(readiness)
        var isMoving = true
        while isMoving, connection.failure == nil {
            let before = (buffer.count, connection.readClosed)
            buffer.compact()
            connection.read(into: &buffer, kernel)
            let count = connection.write(buffer.view, kernel)
            buffer.consume(count)
            isMoving = count > 0 || before != (buffer.count, connection.readClosed)
        }
        if let failure = connection.failure { failures.append(failure) }
        if connection.failure != nil || connection.readClosed && buffer.isEmpty {
            finished += 1
            kernel.close(connection.descriptor)
            pool.give(&buffer)
            connections[name] = nil
        } else {
            connections[name] = (connection, buffer)
        }
    }
}

/// Sends bytes from a seed, then its FIN, and checks what comes back.
final class EchoClient {
    enum Outcome: Equatable { case running, complete, failed(SystemErrno), wrongBytes, cutShort }

    private(set) var outcome = Outcome.running
    private(set) var received = 0
    private let total: Int
    private(set) var loop: EventLoop
    private var pool = BufferPool()
    private var connection: EchoConnection
    private var output: PooledBuffer
    private var input: PooledBuffer
    private let seed: UInt64
    private var made = 0
    private var finSent = false

    init(_ kernel: Kernel, to address: SocketAddress, bytes: Int, seed: UInt64) throws {
        loop = try EventLoop(kernel: kernel)
        (output, input) = (pool.take(16 << 10), pool.take(2048))
        (self.seed, total) = (seed, bytes)
        switch kernel.connect(address) {
        case .connected(let descriptor):
            connection = EchoConnection(descriptor: descriptor, isConnected: true)
        case .inProgress(let descriptor):
            connection = EchoConnection(descriptor: descriptor, isConnected: false)
        case .failed(let code):
            connection = EchoConnection(descriptor: .none, isConnected: false)
            outcome = .failed(code)
            return
        }
        try loop.watch(connection.descriptor, Token(rawValue: 5))
    }

    deinit { end(outcome) }

    func turn(until deadline: MonotonicInstant?) {
        let count = loop.wait(until: deadline)
        guard outcome == .running else { return }
        for index in 0..<count where loop.event(at: index).token == Token(rawValue: 5) {
            connection.note(loop.event(at: index).readiness)
        }
        if count > 0 { advance() }
    }

    /// No two stretches of the stream are alike.
    private func byte(at position: Int) -> UInt8 {
        let mixed = (UInt64(position) &+ seed) &* 0x9e37_79b9_7f4a_7c15
        return UInt8(truncatingIfNeeded: mixed >> 56)
    }

    private func advance() {
        let kernel = loop.kernel
        if !connection.isConnected {
            guard connection.canWrite else { return }
            if let code = kernel.connectResult(connection.descriptor) { return end(.failed(code)) }
            connection.isConnected = true
        }
        var isMoving = true
        while isMoving {
            output.compact()
            while made < total, output.room > 0 {
                _ = output.append(byte(at: made))
                made += 1
            }
            let sent = connection.write(output.view, kernel)
            output.consume(sent)
            if made == total, output.isEmpty, !finSent {
                kernel.shutdownWrite(connection.descriptor)
                finSent = true
            }
            connection.read(into: &input, kernel)
            let got = input.count
            let view = input.view
            for index in 0..<got where view[index] != byte(at: received + index) { return end(.wrongBytes) }
            received += got
            input.removeAll()
            if let code = connection.failure { return end(.failed(code)) }
            if connection.readClosed { return end(received == total ? .complete : .cutShort) }
            isMoving = sent > 0 || got > 0
        }
    }

    private func end(_ outcome: Outcome) {
        self.outcome = outcome
        if !connection.descriptor.isNone { loop.kernel.close(connection.descriptor) }
        connection = EchoConnection(descriptor: .none, isConnected: false)
        pool.give(&output)
        pool.give(&input)
    }
}
