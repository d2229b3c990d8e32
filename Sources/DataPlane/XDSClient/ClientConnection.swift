import MeshPrimitives
import Reactor
import TLSEngine

/// Why a connection could not be made, or ended.
public struct ConnectionFailure: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

/// Who uses a `ClientConnection`. None of these is called from within a call of the connection's own functions.
public protocol ClientConnectionOwner: AnyObject {
    func connectionOpened()
    /// `bytes` are valid during the call.
    func connectionReceived(_ bytes: ByteView)
    /// `send` accepted less than it was given; now it may accept more.
    func connectionDrained()
    /// Once, unless the owner closed it. Nothing else follows.
    func connectionFailed(_ failure: ConnectionFailure)
}

/// One connection to the first host of a target that takes it: name lookup, TCP, TLS if wanted. Used once.
public final class ClientConnection {
    private enum State { case idle, looking, connecting, handshaking, open, closed }

    /// Of 64 KiB: what is read in one go before others have their turn.
    private static let readsMax = 32
    /// Failures of single addresses that the whole failure tells.
    private static let reasonsMax = 4

    private let loop: ControlLoop
    private let resolver: NameResolver
    private let target: ClientTarget
    private weak var owner: (any ClientConnectionOwner)?
    private var state = State.idle
    private var hosts: [ClientTarget.Host]
    private var addresses: [SocketAddress] = []
    private var reasons: [String] = []
    private var descriptor = Descriptor.none
    private var registration: ControlLoop.Registration?
    private var timer: ControlLoop.Timer?
    private var transport: TLSTransport?
    private var session: TLSSession?
    private var isReading = false
    private var owesDrained = false

    /// The address that is tried, or was reached.
    public private(set) var peer: SocketAddress?

    /// `firstHost`: where in the target's hosts to begin, so that a bad one does not come first every time.
    public init(
        loop: ControlLoop, resolver: NameResolver, target: ClientTarget, firstHost: Int = 0,
        owner: any ClientConnectionOwner
    ) {
        (self.loop, self.resolver, self.target, self.owner) = (loop, resolver, target, owner)
        let first = target.hosts.isEmpty ? 0 : firstHost % target.hosts.count
        hosts = Array(target.hosts[first...] + target.hosts[..<first])
    }

    deinit {
        if state != .closed { release() }
    }

    public var isOpen: Bool { state == .open }

    /// After TLS: what ALPN settled.
    public var applicationProtocol: ApplicationProtocol { session?.applicationProtocol ?? .none }

    /// Begins; what comes of it is told in a later turn.
    public func start() {
        precondition(state == .idle, "a connection is used once")
        state = .looking
        loop.atEndOfTurn { [weak self] in self?.tryNext() }
    }

    /// Ends it at once: the owner hears nothing any more.
    public func close() {
        guard state != .closed else { return }
        if state == .open, let session {
            session.shutdown()
            _ = flushCiphertext()
        }
        release()
    }

    // MARK: Making it

    private func tryNext() {
        while state == .looking {
            if !addresses.isEmpty {
                connect(addresses.removeFirst())
            } else if hosts.isEmpty {
                let text =
                    reasons.isEmpty ? "there is no host to connect to" : reasons.joined(separator: "; ")
                fail(text)
            } else {
                let host = hosts.removeFirst()
                resolver.resolve(host.name, port: host.port) { [weak self] answer in
                    guard let self, self.state == .looking else { return }
                    switch answer {
                    case .success(let found): self.addresses = found
                    case .failure(let failure): self.note("\(failure)")
                    }
                    self.tryNext()
                }
                return
            }
        }
    }

    private func connect(_ address: SocketAddress) {
        peer = address
        switch loop.kernel.connect(address) {
        case .failed(let error): note("\(address): \(error.lowercased)")
        case .connected(let descriptor), .inProgress(let descriptor):
            self.descriptor = descriptor
            state = .connecting
            timer = loop.after(target.connectTimeout) { [weak self] in
                guard let self else { return }
                self.giveUpAddress("no answer within \(self.target.connectTimeout)")
            }
            do throws(SystemErrno) {
                registration = try loop.register(descriptor) { [weak self] in self?.ready($0) }
            } catch {
                giveUpAddress(error.lowercased)
            }
        }
    }

    private func note(_ reason: String) {
        if reasons.count < Self.reasonsMax { reasons.append(reason) }
    }

    /// This address did not work out: the next one.
    private func giveUpAddress(_ reason: String) {
        note("\(peer.map(\.description) ?? "?"): \(reason)")
        releaseSocket()
        state = .looking
        tryNext()
    }

    private func connected() {
        if target.pings == nil {
            // Only refused for a socket that is gone, which is noticed anyway.
            try? loop.kernel.setKeepalive(descriptor, idleSeconds: 30, intervalSeconds: 10, probes: 3)
        }
        guard let context = target.tls else { return opened() }
        let transport = TLSTransport()
        transport.wallClockSeconds = loop.wallClock.seconds
        guard
            let made = TLSSession.make(context: context, transport: transport, serverName: target.serverName)
        else { return giveUpAddress("TLS: out of memory") }
        (self.transport, session) = (transport, made)
        state = .handshaking
        proceedWithHandshake()
    }

    private func proceedWithHandshake() {
        guard let session else { return }
        let progress = session.handshake()
        _ = flushCiphertext()
        switch progress {
        case .wantsInput: break
        case .failed(let failure): giveUpAddress("TLS: \(session.explain(failure))")
        case .done: opened()
        }
    }

    private func opened() {
        if let timer { loop.cancel(timer) }
        timer = nil
        state = .open
        owner?.connectionOpened()
    }

    // MARK: Moving bytes

    /// Takes as many bytes as it can; after fewer than all, `connectionDrained` follows.
    public func send(_ bytes: ByteView) -> Int {
        guard state == .open, !bytes.isEmpty else { return 0 }
        let count = session == nil ? sendPlain(bytes) : sendEncrypted(bytes)
        if count < bytes.count { owesDrained = true }
        return count
    }

    private func sendPlain(_ bytes: ByteView) -> Int {
        var rest = bytes
        while !rest.isEmpty {
            switch loop.kernel.send(descriptor, rest) {
            case .bytes(let count): rest = rest.dropFirst(count)
            case .wouldBlock, .closed: return bytes.count - rest.count
            case .failed(let error):
                failLater("\(error.lowercased)")
                return bytes.count - rest.count
            }
        }
        return bytes.count
    }

    private func sendEncrypted(_ bytes: ByteView) -> Int {
        guard let session, let transport else { return 0 }
        transport.wallClockSeconds = loop.wallClock.seconds
        var total = 0
        while total < bytes.count, flushCiphertext() {
            switch session.write(bytes.dropFirst(total)) {
            case .accepted(let count):
                total += count
                if count == 0 { return total }
            case .failed(let failure):
                failLater("TLS: \(session.explain(failure))")
                return total
            }
        }
        _ = flushCiphertext()
        return total
    }

    /// True when nothing is left.
    private func flushCiphertext() -> Bool {
        guard let transport else { return true }
        while !transport.output.isEmpty {
            switch loop.kernel.send(descriptor, transport.output) {
            case .bytes(let count): transport.discardOutput(count)
            case .wouldBlock, .closed: return false
            case .failed(let error):
                failLater("\(error.lowercased)")
                return false
            }
        }
        return true
    }

    private func ready(_ readiness: Readiness) {
        if state == .connecting {
            if let error = loop.kernel.connectResult(descriptor) { return giveUpAddress(error.lowercased) }
            guard !readiness.isDisjoint(with: [.writable, .readable]) else { return }
            connected()
        }
        if readiness.contains(.writable), flushCiphertext(), owesDrained, state == .open {
            owesDrained = false
            owner?.connectionDrained()
        }
        if !readiness.isDisjoint(with: [.readable, .readClosed, .hangup, .error]) { read() }
    }

    private func read() {
        guard !isReading else { return }
        isReading = true
        var buffer = loop.takeReadBuffer()
        defer {
            loop.giveBack(&buffer)
            isReading = false
        }
        for _ in 0..<Self.readsMax {
            guard state == .open || state == .handshaking else { return }
            buffer.removeAll()
            switch loop.kernel.receive(descriptor, into: &buffer) {
            case .bytes: session == nil ? owner?.connectionReceived(buffer.view) : decrypt(buffer.view)
            case .wouldBlock: return
            case .closed:
                return state == .handshaking
                    ? giveUpAddress("TLS: the peer closed during the handshake")
                    : fail("\(peer.map(\.description) ?? ""): closed by the peer")
            case .failed(let error):
                return state == .handshaking
                    ? giveUpAddress(error.lowercased)
                    : fail("\(peer.map(\.description) ?? ""): \(error.lowercased)")
            }
        }
        loop.atEndOfTurn { [weak self] in self?.read() }
    }

    private func decrypt(_ bytes: ByteView) {
        guard let session, let transport else { return }
        transport.wallClockSeconds = loop.wallClock.seconds
        transport.setInput(bytes)
        defer { transport.clearInput() }
        if state == .handshaking { proceedWithHandshake() }
        guard state == .open else { return }
        var plain = loop.takeReadBuffer()
        defer { loop.giveBack(&plain) }
        while state == .open {
            plain.removeAll()
            let result = session.read(into: &plain)
            _ = flushCiphertext()
            switch result {
            case .bytes: owner?.connectionReceived(plain.view)
            case .wantsInput: return
            case .closed: return fail("\(peer.map(\.description) ?? ""): closed by the peer")
            case .failed(let failure):
                return fail("\(peer.map(\.description) ?? ""): TLS: \(session.explain(failure))")
            }
        }
    }

    // MARK: The end

    private func failLater(_ reason: String) {
        let text = "\(peer.map(\.description) ?? ""): \(reason)"
        loop.atEndOfTurn { [weak self] in self?.fail(text) }
    }

    private func fail(_ text: String) {
        guard state != .closed else { return }
        release()
        owner?.connectionFailed(ConnectionFailure(text))
    }

    private func release() {
        state = .closed
        releaseSocket()
    }

    private func releaseSocket() {
        if let timer { loop.cancel(timer) }
        if let registration { loop.cancel(registration) }
        (timer, registration) = (nil, nil)
        session?.free()
        (session, transport) = (nil, nil)
        if !descriptor.isNone { loop.kernel.close(descriptor) }
        descriptor = .none
        owesDrained = false
    }
}

extension SystemErrno {
    /// "connection refused": for the middle of a sentence.
    var lowercased: String {
        let text = description
        return text.prefix(1).lowercased() + text.dropFirst()
    }
}
