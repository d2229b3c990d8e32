import HTTP1Codec
import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Reactor
import TLSEngine
import TrafficPolicy

/// One socket to a caller or to an endpoint: plain data in a worker's slab. An idle one holds no buffer.
struct Connection: BitwiseCopyable {
    enum Side: UInt8, BitwiseCopyable { case downstream, upstream }

    /// ```
    /// inspecting ─▶ handshaking ─▶ open ─▶ closing ─▶ lingering ─▶ closed
    /// connecting ─▶ handshaking ─▶ open ─────────────────────────▶ closed
    /// ```
    enum Phase: UInt8, BitwiseCopyable {
        /// Downstream: the first bytes decide which filter chain it is.
        case inspecting
        case connecting
        case handshaking
        case open
        /// Nothing more is read; what waits is still written.
        case closing
        /// Everything is written and our FIN sent; bytes are read and dropped, so that no reset overtakes them.
        case lingering
        case closed
    }

    enum Codec: UInt8, BitwiseCopyable { case undecided, http1, http2, tunnel }

    let descriptor: Descriptor
    let side: Side
    var phase: Phase
    var codec = Codec.undecided
    /// An edge said readable, and no short read has emptied the socket since.
    var mayRead = false
    /// The last edge carried a FIN or an error: read until it shows.
    var sawEnd = false
    /// The peer's FIN was read.
    var readEnded = false
    /// Whoever takes the bytes wants none for now.
    var isPaused = false
    /// The socket took everything so far.
    var canWrite = false
    /// A write failed; reading tells why.
    var writeFailed = false
    /// It is in the list of those to be looked at again this turn.
    var isQueued = false
    /// Likewise, to write its session's frames.
    var isFlushQueued = false
    var tls: TLSSession?
    /// Bytes that were read and not yet taken: part of a head, or what came while paused.
    var remainder = PooledBuffer.none
    /// Ciphertext likewise.
    var cipherRemainder = PooledBuffer.none
    /// Bytes (ciphertext, if TLS) that the socket had no room for.
    var pending = ByteQueue()
    var session: Unowned<HTTP2Session>?
    /// HTTP/1: the exchange under way.
    var exchange = SlabID.none
    /// HTTP/2: streams with an exchange.
    var streams: Int32 = 0
    /// A tunnel's other end.
    var tunnelPeer = SlabID.none
    var progress = HeadProgress()

    var peer: SocketAddress
    var local: SocketAddress
    var opened: MonotonicInstant
    var lastUsed: MonotonicInstant
    var timer = TimerID.none
    var timerAt = MonotonicInstant.distantFuture
    /// Requests that it has carried, the one under way included.
    var requests: UInt32 = 0
    /// Bytes that the socket took since the attempt under way began.
    var sentInAttempt = 0

    // Downstream.
    var listener: Int32 = -1
    var chain: Int32 = -1
    var chainRecord: Reference<ChainRecord>?
    var snapshot: Int32 = -1
    /// Index into the worker's table of peer identities; -1 for none.
    var identity: Int32 = -1
    /// Close it once the answer under way is written.
    var closesAfterAnswer = false

    // Upstream.
    var cluster: Int32 = -1
    var endpoint: Int32 = -1
    var previous = SlabID.none
    var next = SlabID.none
    var isIdle = false
    /// It is counted among those being made.
    var isConnecting = false
    /// Downstream: it is counted among its connection manager's.
    var isCountedHTTP = false
    /// It carries a tunnel's bytes and no requests.
    var isTunnelOnly = false
    /// It takes no more requests, but those it has go on.
    var isDraining = false
    /// Where it holds a place among the cluster's connections.
    var limits: Unowned<ClusterLimits>?

    init(
        descriptor: Descriptor, side: Side, phase: Phase, peer: SocketAddress, local: SocketAddress,
        at now: MonotonicInstant
    ) {
        (self.descriptor, self.side, self.phase) = (descriptor, side, phase)
        (self.peer, self.local) = (peer, local)
        (opened, lastUsed) = (now, now)
    }
}

extension Worker {
    /// Reads of one connection in one turn, so that a busy peer cannot starve the others.
    static var readsPerTurn: Int { 4 }
    /// Whoever fills a queue pauses above the first and goes on below the second.
    static var queuedHigh: Int { 128 << 10 }
    static var queuedLow: Int { 32 << 10 }

    // MARK: Events

    mutating func connectionReady(_ id: SlabID, _ readiness: Readiness) {
        guard connections.contains(id), connections[id].phase != .closed else { return }
        if connections[id].phase == .connecting { return finishConnecting(id, readiness) }
        if readiness.contains(.writable), !connections[id].canWrite {
            connections[id].canWrite = true
            writePending(id)
        }
        if !readiness.isDisjoint(with: [.readable, .readClosed, .hangup, .error]) {
            connections[id].mayRead = true
            if !readiness.isDisjoint(with: .endOfStream) { connections[id].sawEnd = true }
            pump(id)
        }
        if !readiness.isDisjoint(with: [.hangup, .error]) { peerGone(id) }
    }

    /// Both directions are over, and a paused connection would not read it.
    private mutating func peerGone(_ id: SlabID) {
        guard connections.contains(id), connections[id].phase != .closed, connections[id].isPaused else {
            return
        }
        connectionEnded(id, cause: .reset)
    }

    /// Looks at the connection again before the turn ends: it may have bytes to take, or be closed.
    mutating func enqueue(_ id: SlabID) {
        guard connections.contains(id), !connections[id].isQueued else { return }
        connections[id].isQueued = true
        queued.append(id)
    }

    mutating func resume(_ id: SlabID) {
        guard connections.contains(id), connections[id].isPaused else { return }
        connections[id].isPaused = false
        enqueue(id)
    }

    // MARK: Reading

    /// Takes bytes as long as there are some, somebody wants them, and the turn's budget lasts.
    mutating func pump(_ id: SlabID) {
        if connections[id].phase == .lingering { return discardInput(id) }
        if !connections[id].remainder.isEmpty || connections[id].tls != nil { takeRemainder(id) }
        var reads = 0
        while isReadable(id) {
            guard reads < Self.readsPerTurn else { return enqueue(id) }
            reads += 1
            if connections[id].tls == nil { readPlain(id) } else { readCipher(id) }
        }
    }

    private func isReadable(_ id: SlabID) -> Bool {
        guard connections.contains(id) else { return false }
        return connections[id].mayRead && !connections[id].isPaused && connections[id].phase != .closed
            && connections[id].phase != .closing && connections[id].phase != .lingering
    }

    private mutating func readPlain(_ id: SlabID) {
        if connections[id].remainder.isEmpty {
            readBuffer.removeAll()
            let result = kernel.receive(connections[id].descriptor, into: &readBuffer)
            guard noteRead(id, result, room: BufferPool.sizes.large) else { return }
            let taken = take(id, readBuffer.view)
            keep(id, readBuffer.view.dropFirst(taken))
        } else {
            guard makeRoom(id) else { return }
            let room = connections[id].remainder.room
            let descriptor = connections[id].descriptor
            let result = kernel.receive(descriptor, into: &connections[id].remainder)
            guard noteRead(id, result, room: room) else { return }
            takeRemainder(id)
        }
    }

    /// Whether bytes came; sees to everything else that a read can say.
    private mutating func noteRead(_ id: SlabID, _ result: IOResult, room: Int) -> Bool {
        switch result {
        case .bytes(let count):
            if count < room, !connections[id].sawEnd { connections[id].mayRead = false }
            return true
        case .wouldBlock:
            connections[id].mayRead = false
            if connections[id].writeFailed { connectionEnded(id, cause: .reset) }
            return false
        case .closed:
            connections[id].mayRead = false
            connections[id].readEnded = true
            connectionEnded(id, cause: .finished)
            return false
        case .failed:
            connections[id].mayRead = false
            connectionEnded(id, cause: .reset)
            return false
        }
    }

    /// Room behind the remainder for at least a small read; false if there is none, which pauses the connection.
    private mutating func makeRoom(_ id: SlabID) -> Bool {
        if connections[id].remainder.room >= BufferPool.sizes.small { return true }
        let count = connections[id].remainder.count
        if count + BufferPool.sizes.small <= connections[id].remainder.capacity {
            connections[id].remainder.compact()
            return true
        }
        guard count < BufferPool.sizes.huge - BufferPool.sizes.small else {
            connections[id].isPaused = true
            return false
        }
        pool.grow(&connections[id].remainder, to: min(count * 4, BufferPool.sizes.huge))
        return true
    }

    /// Offers what was kept.
    private mutating func takeRemainder(_ id: SlabID) {
        if !connections[id].remainder.isEmpty, !connections[id].isPaused {
            let taken = take(id, connections[id].remainder.view)
            guard connections.contains(id) else { return }
            connections[id].remainder.consume(taken)
            if connections[id].remainder.isEmpty { pool.give(&connections[id].remainder) }
        }
        guard connections[id].tls != nil, !connections[id].isPaused else { return }
        takeCipherRemainder(id)
    }

    mutating func keep(_ id: SlabID, _ bytes: ByteView) {
        guard !bytes.isEmpty, connections[id].phase != .closed else { return }
        if connections[id].phase == .handshaking, connections[id].cipherRemainder.isEmpty {
            // What was inspected in the clear has turned out to be the first bytes of a TLS session.
            connections[id].cipherRemainder = pool.take(bytes.count)
            let fits = connections[id].cipherRemainder.append(bytes)
            return precondition(fits)
        }
        if !connections[id].remainder.isAllocated { connections[id].remainder = pool.take(bytes.count) }
        if connections[id].remainder.room < bytes.count {
            pool.grow(
                &connections[id].remainder,
                to: min(connections[id].remainder.count + bytes.count, BufferPool.sizes.huge))
        }
        let fits = connections[id].remainder.append(bytes)
        precondition(fits, "a paused connection is not read")
    }

    /// Gives bytes to whoever speaks the connection's protocol; how many were taken.
    private mutating func take(_ id: SlabID, _ bytes: ByteView) -> Int {
        switch connections[id].phase {
        case .inspecting: return inspect(id, bytes)
        case .open: break
        case .connecting, .handshaking, .closing, .lingering, .closed: return bytes.count
        }
        switch (connections[id].codec, connections[id].side) {
        case (.undecided, .downstream): return decideCodec(id, bytes)
        case (.undecided, .upstream): return bytes.count
        case (.http1, .downstream): return takeRequests(id, bytes)
        case (.http1, .upstream): return takeAnswers(id, bytes)
        case (.http2, _): return takeFrames(id, bytes)
        case (.tunnel, _): return takeTunnelled(id, bytes)
        }
    }

    // MARK: TLS

    private mutating func readCipher(_ id: SlabID) {
        cipherBuffer.removeAll()
        let result = kernel.receive(connections[id].descriptor, into: &cipherBuffer)
        guard noteRead(id, result, room: BufferPool.sizes.large) else { return }
        decrypt(id, cipherBuffer.view)
    }

    private mutating func takeCipherRemainder(_ id: SlabID) {
        guard let session = connections[id].tls else { return }
        if !connections[id].cipherRemainder.isEmpty {
            var kept = connections[id].cipherRemainder
            connections[id].cipherRemainder = .none
            decrypt(id, kept.view)
            pool.give(&kept)
        } else if connections[id].phase == .open, session.hasPendingPlaintext {
            decrypt(id, ByteView(""))
        }
    }

    private mutating func decrypt(_ id: SlabID, _ bytes: ByteView) {
        guard let session = connections[id].tls else { return }
        flushStaged()
        transport.setInput(bytes)
        if connections[id].phase == .handshaking {
            let progress = session.handshake()
            sendCipher(id)
            switch progress {
            case .wantsInput: return
            case .failed(let failure): return handshakeFailed(id, failure)
            case .done: handshakeDone(id)
            }
        }
        while connections[id].phase == .open {
            if connections[id].isPaused { break }
            readBuffer.removeAll()
            let result = session.read(into: &readBuffer)
            switch result {
            case .bytes:
                // What the engine has not looked at must outlive other sessions' use of the transport.
                let rest = transport.remainingInput
                sendCipher(id)
                let plain = readBuffer.view
                let taken = take(id, plain)
                keep(id, plain.dropFirst(taken))
                flushStaged()
                guard connections[id].phase == .open else { return }
                transport.setInput(rest)
            case .wantsInput:
                transport.clearInput()
                sendCipher(id)
                return
            case .closed:
                sendCipher(id)
                connections[id].readEnded = true
                connections[id].mayRead = false
                return connectionEnded(id, cause: .finished)
            case .failed(let failure):
                sendCipher(id)
                transport.clearInput()
                return sessionFailed(id, failure)
            }
        }
        let rest = transport.remainingInput
        if connections[id].phase == .open, !rest.isEmpty {
            connections[id].cipherRemainder = pool.take(max(rest.count, BufferPool.sizes.small))
            let fits = connections[id].cipherRemainder.append(rest)
            precondition(fits)
        }
        transport.clearInput()
    }

    /// Sends what the engine put out for this connection.
    mutating func sendCipher(_ id: SlabID) {
        while !transport.output.isEmpty {
            let output = transport.output
            sendOrQueue(id, output, ByteView(""))
            transport.discardOutput(output.count)
        }
    }

    private mutating func encrypt(_ id: SlabID, _ session: TLSSession, _ bytes: ByteView) {
        var rest = bytes
        while !rest.isEmpty {
            switch session.write(rest) {
            case .accepted(let count):
                rest = rest.dropFirst(count)
                if !rest.isEmpty {
                    guard !transport.output.isEmpty || count > 0 else { return }
                    sendCipher(id)
                }
            case .failed:
                sendCipher(id)
                connections[id].writeFailed = true
                return enqueue(id)
            }
        }
    }

    // MARK: Writing

    /// Writes in order. Small pieces are gathered until `flushStaged`, so that head and body leave in one call.
    mutating func write(_ id: SlabID, _ bytes: ByteView) {
        if staged != id { stage(for: id) }
        if bytes.count >= 4 << 10 || bytes.count > stageBuffer.room {
            transmit(id, stageBuffer.view, bytes)
            stageBuffer.removeAll()
        } else {
            _ = stageBuffer.append(bytes)
        }
    }

    /// What is appended to `stageBuffer` from now on is written to that connection.
    mutating func stage(for id: SlabID) {
        if staged == id { return }
        flushStaged()
        staged = id
    }

    mutating func flushStaged() {
        guard !staged.isNone else { return }
        let id = staged
        staged = .none
        if !stageBuffer.isEmpty {
            if connections.contains(id) { transmit(id, stageBuffer.view, ByteView("")) }
            stageBuffer.removeAll()
        }
    }

    private mutating func transmit(_ id: SlabID, _ first: ByteView, _ second: ByteView) {
        guard connections[id].phase != .closed, !connections[id].writeFailed else { return }
        if let session = connections[id].tls {
            encrypt(id, session, first)
            encrypt(id, session, second)
            sendCipher(id)
        } else {
            sendOrQueue(id, first, second)
        }
    }

    private mutating func sendOrQueue(_ id: SlabID, _ first: ByteView, _ second: ByteView) {
        var sent = 0
        if connections[id].canWrite, connections[id].pending.isEmpty {
            let descriptor = connections[id].descriptor
            let result =
                second.isEmpty
                ? kernel.send(descriptor, first)
                : first.isEmpty ? kernel.send(descriptor, second) : kernel.send(descriptor, first, second)
            switch result {
            case .bytes(let count):
                sent = count
                connections[id].sentInAttempt &+= count
                if count < first.count + second.count { connections[id].canWrite = false }
            case .wouldBlock: connections[id].canWrite = false
            case .closed, .failed: return writingFailed(id)
            }
        }
        let firstRest = first.dropFirst(sent)
        if !firstRest.isEmpty { queues.append(firstRest, to: &connections[id].pending, pool: &pool) }
        let secondRest = second.dropFirst(max(sent - first.count, 0))
        if !secondRest.isEmpty { queues.append(secondRest, to: &connections[id].pending, pool: &pool) }
    }

    /// What the peer sent before it hung up may still be worth reading (an early answer); reading then tells the end.
    private mutating func writingFailed(_ id: SlabID) {
        connections[id].writeFailed = true
        connections[id].sawEnd = true
        connections[id].mayRead = true
        queues.removeAll(from: &connections[id].pending, pool: &pool)
        enqueue(id)
    }

    private mutating func writePending(_ id: SlabID) {
        while !connections[id].pending.isEmpty {
            let first = queues.front(of: connections[id].pending)
            let second = queues.second(of: connections[id].pending)
            let result = kernel.send(connections[id].descriptor, first, second)
            switch result {
            case .bytes(let count):
                connections[id].sentInAttempt &+= count
                queues.consume(count, from: &connections[id].pending, pool: &pool)
                if count < first.count + second.count { connections[id].canWrite = false }
            case .wouldBlock: connections[id].canWrite = false
            case .closed, .failed: return writingFailed(id)
            }
            if !connections[id].canWrite { break }
        }
        if connections[id].pending.count <= Self.queuedLow { drained(id) }
    }

    // MARK: Ending

    /// No more requests, everything written, then our FIN; the peer has a moment to read it.
    mutating func closeGracefully(_ id: SlabID) {
        if staged == id { flushStaged() }
        guard connections[id].phase != .closed, connections[id].phase != .closing,
            connections[id].phase != .lingering
        else { return }
        connections[id].phase = .closing
        if connections[id].pending.isEmpty || connections[id].writeFailed { finishClosing(id) }
    }

    mutating func finishClosing(_ id: SlabID) {
        if let session = connections[id].tls {
            flushStaged()
            session.shutdown()
            sendCipher(id)
        }
        if connections[id].readEnded || connections[id].writeFailed { return close(id) }
        connections[id].phase = .lingering
        kernel.shutdownWrite(connections[id].descriptor)
        setTimer(id, at: now.advanced(byNanoseconds: Self.lingerMax))
        if connections[id].mayRead { enqueue(id) }
    }

    static var lingerMax: Int64 { 1_000_000_000 }

    private mutating func discardInput(_ id: SlabID) {
        for _ in 0..<Self.readsPerTurn {
            readBuffer.removeAll()
            switch kernel.receive(connections[id].descriptor, into: &readBuffer) {
            case .bytes: continue
            case .wouldBlock:
                connections[id].mayRead = false
                return
            case .closed, .failed: return close(id)
            }
        }
        enqueue(id)
    }

    /// Closes the socket now. The record stays until the event at hand is done, since somebody may look at it.
    mutating func close(_ id: SlabID) {
        guard connections.contains(id), connections[id].phase != .closed else { return }
        if staged == id {
            staged = .none
            stageBuffer.removeAll()
        }
        connections[id].phase = .closed
        kernel.close(connections[id].descriptor)
        timers.cancel(connections[id].timer)
        connectionClosed(id)
        graveyard.append(id)
    }

    /// Gives back what closed connections held.
    mutating func buryConnections() {
        while let id = graveyard.popLast() {
            pool.give(&connections[id].remainder)
            pool.give(&connections[id].cipherRemainder)
            queues.removeAll(from: &connections[id].pending, pool: &pool)
            if let session = connections[id].tls { session.free() }
            if let session = connections[id].session { sessions.remove(session) }
            connections.remove(id)
        }
    }

    // MARK: Timers

    /// One timer a connection. A later deadline is found when the earlier one fires, so that busy connections never
    /// touch the wheel.
    mutating func setTimer(_ id: SlabID, at instant: MonotonicInstant) {
        if connections[id].timerAt <= instant { return }
        timers.cancel(connections[id].timer)
        connections[id].timerAt = instant
        connections[id].timer = timers.schedule(at: instant, token: .connection(id, isTimer: true))
    }
}
