import Glibc
import MeshPrimitives
import Reactor

/// One end of a connection, as Linux's TCP shows it to a program: what recv, send and poll say follows `tcp_recvmsg`,
/// `tcp_sendmsg`, `tcp_poll` and `tcp_reset` of Linux 6.
///
///     connecting --> established --> dead (reset, refused, timed out)
///         |               |
///         +---------------+--> orphaned (closed by its program; what is left is between the two machines)
final class SimulatedStream: Watchable {
    private enum State { case connecting, established, dead }

    /// SYNs that get no answer are sent again after 1, 2, 4 … 64 s; then the connection has failed (tcp_syn_retries 6).
    private static let firstRetry: Int64 = 1_000_000_000
    private static let retriesMax = 7

    private let core: NetworkCore
    private let host: SimulatedHost
    let local, remote: SocketAddress
    /// Where the connection was going, if it was redirected.
    private(set) var original: SocketAddress?
    private var state: State
    private(set) var isOrphaned = false
    private var pendingError: Int32 = 0
    private var received: [UInt8] = []
    private var receivedHead = 0
    private var finReceived = false
    private var finSent = false
    /// Bytes written and not yet read by the peer's program.
    private var unread = 0
    /// A write was cut short: an edge follows once there is room again.
    private var wantsRoom = false
    /// A write was cut short for no reason but the seed's.
    private var isSqueezed = false
    private var outgoing: Pipe?
    private var incoming: Pipe?
    /// Where this end waits for its handshake to end, on the accepting side.
    private var listener: SimulatedListener?

    private init(
        _ host: SimulatedHost, _ state: State, local: SocketAddress, remote: SocketAddress,
        listener: SimulatedListener?
    ) {
        (core, self.host, self.state, self.listener) = (host.core, host, state, listener)
        (self.local, self.remote) = (local, remote)
    }

    // MARK: The handshake

    /// Begins a connection to `target`; nil stands for a host that is not there.
    static func connect(
        _ host: SimulatedHost, to target: SimulatedHost?, local: SocketAddress, remote: SocketAddress
    ) -> SimulatedStream {
        let stream = SimulatedStream(host, .connecting, local: local, remote: remote, listener: nil)
        host.core.note("connect", local, remote, 0)
        if let target {
            stream.synchronize(target, attempt: 0)
        } else {
            // No answer to ARP: the kernel gives up after three seconds.
            host.core.schedule(after: 3_000_000_000) { stream.fail(EHOSTUNREACH) }
        }
        return stream
    }

    private func synchronize(_ target: SimulatedHost, attempt: Int) {
        guard state == .connecting, !isOrphaned, outgoing == nil else { return }
        guard attempt < Self.retriesMax else { return fail(ETIMEDOUT) }
        let link = core.link(from: host, to: target)
        let isRefused = core.happens(link.settings.refusalChance)
        core.schedule(after: core.delay(link.settings.latencyMin, link.settings.latencyMax)) {
            if !link.settings.isDown { self.synchronizeArrived(target, isRefused: isRefused) }
        }
        core.schedule(after: Self.firstRetry << Int64(attempt)) {
            self.synchronize(target, attempt: attempt + 1)
        }
    }

    /// At the other machine. What happens from here on goes through pipes, and so is not lost.
    private func synchronizeArrived(_ target: SimulatedHost, isRefused: Bool) {
        guard state == .connecting, !isOrphaned, outgoing == nil else { return }
        let forth = core.link(from: host, to: target)
        let back = core.link(from: target, to: host)
        let place = target.redirected(remote)
        guard !isRefused, let listener = target.listener(for: place) else {
            core.schedule(after: core.delay(back.settings.latencyMin, back.settings.latencyMax)) {
                if !back.settings.isDown { self.fail(ECONNREFUSED) }
            }
            return
        }
        // A full queue drops the SYN (tcp_abort_on_overflow is off): the next one may find a place.
        guard listener.admit() else { return }
        let peer = SimulatedStream(target, .established, local: place, remote: local, listener: listener)
        if place != remote { peer.original = remote }
        outgoing = Pipe(core: core, link: forth, sender: self, receiver: peer)
        incoming = Pipe(core: core, link: back, sender: peer, receiver: self)
        (peer.outgoing, peer.incoming) = (incoming, outgoing)
        peer.outgoing?.send(.synchronizeAcknowledged)
    }

    private func fail(_ code: Int32) {
        guard state == .connecting, !isOrphaned else { return }
        core.note("connect failed", remote, local, Int(code))
        (state, pendingError) = (.dead, code)
        notify()
    }

    // MARK: What arrives

    func arrived(_ segment: Pipe.Segment) {
        if isOrphaned { return arrivedTooLate(segment) }
        switch segment {
        case .synchronizeAcknowledged:
            guard state == .connecting else { return }
            core.note("connected", remote, local, 0)
            state = .established
            outgoing?.send(.acknowledged)
            announce()
        case .acknowledged:
            guard let listener else { return }
            guard !listener.isClosed else { return close(byReset: true) }
            self.listener = nil
            listener.established(self)
        case .bytes(let bytes):
            guard state == .established else { return }
            core.note("bytes", remote, local, bytes.count)
            received += bytes
            announce()
        case .fin:
            guard state == .established else { return }
            core.note("fin", remote, local, 0)
            finReceived = true
            announce()
        case .reset:
            core.note("reset", remote, local, 0)
            _ = breakDown()
        case .credit(let count):
            unread -= count
            if wantsRoom, hasRoom {
                wantsRoom = false
                announce()
            }
        }
    }

    /// For a socket that its program has closed, or whose listener has gone.
    private func arrivedTooLate(_ segment: Pipe.Segment) {
        switch segment {
        case .bytes, .synchronizeAcknowledged, .acknowledged: outgoing?.send(.reset)
        case .fin, .reset, .credit: break
        }
    }

    /// As a reset does (tcp_reset): what was received can still be read. False if there was nothing to break.
    func breakDown() -> Bool {
        guard state != .dead, !isOrphaned else { return false }
        if listener != nil {
            // Nobody has seen it yet.
            close(byReset: true)
            return true
        }
        pendingError = state == .connecting ? ECONNREFUSED : finReceived ? EPIPE : ECONNRESET
        state = .dead
        notify()
        return true
    }

    /// An edge, and by chance another one later.
    private func announce() {
        notify()
        if core.happens(core.quirks.spuriousEventChance) {
            core.schedule(after: core.delay(.zero, .milliseconds(2))) { self.notify() }
        }
    }

    // MARK: What the program sees

    private var isDead: Bool { state == .dead }
    private var room: Int { core.quirks.bufferBytes - unread }
    /// sk_stream_is_writeable: a third of the buffer is free.
    private var hasRoom: Bool { room * 3 >= core.quirks.bufferBytes }

    override var readiness: Readiness {
        var readiness = Readiness()
        if isDead || finSent && finReceived { readiness.insert(.hangup) }
        if isDead || finReceived { readiness.formUnion([.readable, .readClosed]) }
        if state != .connecting {
            if receivedHead < received.count { readiness.insert(.readable) }
            if finSent || isDead || hasRoom && !isSqueezed { readiness.insert(.writable) }
        }
        if pendingError != 0 { readiness.insert(.error) }
        return readiness
    }

    var isConnected: Bool { state == .established }

    /// SO_ERROR: reading it clears it.
    func takeError() -> Int32 {
        defer { pendingError = 0 }
        return pendingError
    }

    /// Up to `max` of the bytes that are there, after which `consume` takes them; or the negative errno, or 0.
    func read<T>(_ max: Int, _ body: (ArraySlice<UInt8>) -> T) -> Result<T, NothingToRead> {
        if receivedHead < received.count {
            return .success(body(received[receivedHead..<min(received.count, receivedHead + max)]))
        }
        // Behind a FIN Linux says nothing of a RST to who reads; the event and the next write do.
        if finReceived { return .failure(NothingToRead(result: 0)) }
        if pendingError != 0 { return .failure(NothingToRead(result: -Int(takeError()))) }
        if isDead { return .failure(NothingToRead(result: 0)) }
        return .failure(NothingToRead(result: -Int(EAGAIN)))
    }

    struct NothingToRead: Error { let result: Int }

    func consume(_ count: Int) {
        receivedHead += count
        if receivedHead == received.count {
            received.removeAll(keepingCapacity: true)
            receivedHead = 0
        } else if receivedHead > core.quirks.bufferBytes {
            received.removeFirst(receivedHead)
            receivedHead = 0
        }
        if !isDead { outgoing?.send(.credit(count)) }
    }

    func write(_ bytes: ArraySlice<UInt8>) -> Int {
        if pendingError != 0 { return -Int(takeError()) }
        if finSent || isDead { return -Int(EPIPE) }
        if bytes.isEmpty { return 0 }
        guard state == .established, !isSqueezed, room > 0 else {
            wantsRoom = true
            return -Int(EAGAIN)
        }
        var count = min(bytes.count, room)
        if core.happens(core.quirks.shortWriteChance) {
            count = min(count, Int(core.random.below(UInt64(bytes.count))))
            isSqueezed = true
            core.schedule(after: core.delay(.microseconds(1), .milliseconds(2))) {
                self.isSqueezed = false
                self.notify()
            }
        }
        if count < bytes.count { wantsRoom = true }
        unread += count
        var rest = bytes.prefix(count)
        while !rest.isEmpty {
            var size = min(rest.count, 16 << 10)
            if core.happens(core.quirks.splitChance) { size = 1 + Int(core.random.below(UInt64(size))) }
            outgoing?.send(.bytes(Array(rest.prefix(size))))
            rest = rest.dropFirst(size)
        }
        return count > 0 ? count : -Int(EAGAIN)
    }

    func shutdownWrite() -> Int {
        guard state == .established else { return -Int(ENOTCONN) }
        if !finSent {
            finSent = true
            outgoing?.send(.fin)
        }
        notify()
        return 0
    }

    /// By close(2): a FIN, or a reset if bytes are left unread (RFC 2525, 2.17) or `byReset` asks for it.
    func close(byReset: Bool) {
        guard !isOrphaned else { return }
        if state == .established {
            if byReset || receivedHead < received.count {
                outgoing?.send(.reset)
            } else if !finSent {
                finSent = true
                outgoing?.send(.fin)
            }
        }
        if let listener { listener.abandon() }
        listener = nil
        isOrphaned = true
        unwatchAll()
        received.removeAll()
        receivedHead = 0
        // With nobody on either side, what is still under way reaches nobody.
        guard let outgoing, let incoming else { return }
        if outgoing.receiver?.isOrphaned ?? true {
            outgoing.cut()
            incoming.cut()
        }
    }
}
