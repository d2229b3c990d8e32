import HTTP1Codec
import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Reactor
import TLSEngine
import Telemetry
import TrafficPolicy

typealias ConnectionPlace = Place<Connection>

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

    // Thousands of idle ones are kept: what is of eight bytes comes first, what is shorter behind what leaves room for
    // it, and the flags at the end.

    var tls: TLSSession?
    var session: Unowned<HTTP2Session>?
    /// HTTP/2: when the peer is asked again whether it is there, and by when it has to say so.
    var pingAt = MonotonicInstant.distantFuture
    var pongBy = MonotonicInstant.distantFuture
    var peer: SocketAddress
    var local: SocketAddress
    var opened: MonotonicInstant
    var lastUsed: MonotonicInstant
    var timerAt = MonotonicInstant.distantFuture
    /// Downstream: its peer knows that it ends then; `distantFuture` as long as it does not.
    var drainEnd = MonotonicInstant.distantFuture
    /// Bytes that the socket took since the attempt under way began.
    var sentInAttempt = 0
    /// Downstream: among all of the process.
    var number: UInt64 = 0
    /// Downstream: `chain`.
    var chainRecord: Reference<ChainRecord>?
    /// Upstream: where it holds a place among the cluster's connections.
    var limits: Unowned<ClusterLimits>?
    /// Bytes that were read and not yet taken: part of a head, or what came while paused.
    var remainder = PooledBuffer.none
    let descriptor: Descriptor
    /// Ciphertext likewise.
    var cipherRemainder = PooledBuffer.none
    /// Requests that it has carried, the one under way included.
    var requests: UInt32 = 0
    /// HTTP/1: the exchange under way.
    @Kept var exchange: ExchangePlace?
    /// HTTP/2: streams with an exchange.
    var streams: Int32 = 0
    /// A tunnel's other end.
    @Kept var tunnelPeer: ConnectionPlace?
    /// Bytes before those of `pending`, in a pipe of the worker (see Splicing.swift).
    var piped: Int32 = 0
    /// Upstream: its neighbours among the idle ones.
    @Kept var previous: ConnectionPlace?
    /// The slot of its cluster; of a tunnel's downstream side too.
    var cluster: Int32 = -1
    @Kept var next: ConnectionPlace?
    /// Upstream: the place of its endpoint in its cluster.
    var endpoint: Int32 = -1
    /// Bytes (ciphertext, if TLS) that the socket had no room for.
    var pending = ByteQueue()
    var pipe: Int32 = -1
    var timer = TimerID.none
    /// Downstream: what the log of its `tcp_proxy` will tell.
    var tunnelRecord = SlabID.none
    /// Downstream: in the snapshot that it was last brought up to, which is the one of this index on the worker's shelf.
    var listener: Int32 = -1
    var chain: Int32 = -1
    var snapshot: Int32 = -1
    /// Downstream: index into the worker's table of peer identities; -1 for none.
    var identity: Int32 = -1
    /// Downstream: its own rate limits, in the worker's list; -1 for none.
    var limitsFirst: Int32 = -1
    /// Upstream: bytes of an unfinished head that were looked at.
    var headSeen: Int32 = 0
    var progress = HeadProgress()

    let side: Side
    var phase: Phase
    var codec = Codec.undecided
    /// A tunnel's large reads in a row, which a pipe would carry for less.
    var largeReads: UInt8 = 0
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
    /// Downstream: `local` is where it was going before it was redirected here.
    var isRedirected = false
    /// Downstream: settled by the handshake.
    var tlsVersion = RecordedTLSVersion.none
    /// Downstream: close it once the answer under way is written.
    var closesAfterAnswer = false
    /// Downstream: it is counted among its connection manager's.
    var isCountedHTTP = false
    var isIdle = false
    /// Upstream: its answer is complete; it goes to the pool once all that was read is looked at.
    var isReleased = false
    /// Upstream: it is counted among those being made.
    var isConnecting = false
    /// Upstream: `local` has been asked for, since a log shows it.
    var knowsLocal = false
    /// It carries a tunnel's bytes and no requests.
    var isTunnelOnly = false
    /// It takes no more requests, but those it has go on.
    var isDraining = false

    init(
        descriptor: Descriptor, side: Side, phase: Phase, peer: SocketAddress, local: SocketAddress,
        at now: MonotonicInstant
    ) {
        (self.descriptor, self.side, self.phase) = (descriptor, side, phase)
        (self.peer, self.local) = (peer, local)
        (opened, lastUsed) = (now, now)
    }
}

extension Place<Connection> {
    /// Something that was written has not reached the socket.
    var hasUnsent: Bool { !value.pending.isEmpty || value.piped > 0 }

    /// Of a downstream connection: its chain, in the snapshot that it was last brought up to.
    var chain: ChainRecord {
        unsafeAddress {
            guard let chain = value.chainRecord else {
                preconditionFailure("an open connection has its chain")
            }
            return unsafe chain.address
        }
    }
}

extension Worker {
    /// Reads of one connection in one turn, so that a busy peer cannot starve the others.
    static var readsPerTurn: Int { 4 }
    /// Whoever fills a queue pauses above the first and goes on below the second.
    static var queuedHigh: Int { 128 << 10 }
    static var queuedLow: Int { 32 << 10 }

    // MARK: Events

    @inline(__always)
    mutating func connectionReady(_ connection: ConnectionPlace, _ readiness: Readiness) {
        guard connection.isInUse, connection.value.phase != .closed else { return }
        if connection.value.phase == .connecting { return finishConnecting(connection, readiness) }
        if readiness.contains(.writable), !connection.value.canWrite {
            connection.value.canWrite = true
            writePending(connection)
        }
        if !readiness.isDisjoint(with: [.readable, .readClosed, .hangup, .error]) {
            connection.value.mayRead = true
            if !readiness.isDisjoint(with: .endOfStream) { connection.value.sawEnd = true }
            pump(connection)
        }
        if !readiness.isDisjoint(with: [.hangup, .error]) { peerGone(connection, readiness) }
    }

    /// Both directions are over, and reading does not tell it: nobody reads a paused connection, and behind a FIN the
    /// socket gives the end of the stream for ever, whether or not a RST came after it.
    private mutating func peerGone(_ connection: ConnectionPlace, _ readiness: Readiness) {
        guard connection.isInUse, connection.value.phase != .closed,
            connection.value.isPaused || (connection.value.readEnded && readiness.contains(.error))
        else { return }
        connectionEnded(connection, cause: .reset)
    }

    /// Looks at the connection again before the turn ends: it may have bytes to take, or be closed.
    mutating func enqueue(_ connection: ConnectionPlace) {
        guard connection.isInUse, !connection.value.isQueued else { return }
        connection.value.isQueued = true
        queued.append(connection)
    }

    mutating func resume(_ connection: ConnectionPlace) {
        guard connection.isInUse, connection.value.isPaused else { return }
        connection.value.isPaused = false
        enqueue(connection)
    }

    // MARK: Reading

    /// Takes bytes as long as there are some, somebody wants them, and the turn's budget lasts.
    mutating func pump(_ connection: ConnectionPlace) {
        if connection.value.phase == .lingering { return discardInput(connection) }
        if !connection.value.remainder.isEmpty || connection.value.tls != nil { takeRemainder(connection) }
        var reads = 0
        while isReadable(connection) {
            guard reads < Self.readsPerTurn else { return enqueue(connection) }
            reads += 1
            if connection.value.tls == nil { readPlain(connection) } else { readCipher(connection) }
        }
    }

    private func isReadable(_ connection: ConnectionPlace) -> Bool {
        guard connection.isInUse else { return false }
        return connection.value.mayRead && !connection.value.isPaused && connection.value.phase != .closed
            && connection.value.phase != .closing && connection.value.phase != .lingering
    }

    @inline(__always)
    private mutating func readPlain(_ connection: ConnectionPlace) {
        if connection.value.codec == .tunnel, spliceTunnel(connection) { return }
        if connection.value.remainder.isEmpty {
            readBuffer.removeAll()
            let result = kernel.receive(connection.value.descriptor, into: &readBuffer)
            guard noteRead(connection, result, room: BufferPool.sizes.large) else { return }
            let taken = take(connection, readBuffer.view)
            if taken < readBuffer.count { keep(connection, readBuffer.view.dropFirst(taken)) }
        } else {
            guard makeRoom(connection) else { return }
            let room = connection.value.remainder.room
            let descriptor = connection.value.descriptor
            let result = kernel.receive(descriptor, into: &connection.value.remainder)
            guard noteRead(connection, result, room: room) else { return }
            takeRemainder(connection)
        }
    }

    /// Whether bytes came; sees to everything else that a read can say.
    @inline(__always)
    mutating func noteRead(_ connection: ConnectionPlace, _ result: IOResult, room: Int) -> Bool {
        switch result {
        case .bytes(let count):
            if count < room, !connection.value.sawEnd { connection.value.mayRead = false }
            return true
        case .wouldBlock:
            connection.value.mayRead = false
            if connection.value.writeFailed { connectionEnded(connection, cause: .reset) }
            return false
        case .closed:
            connection.value.mayRead = false
            connection.value.readEnded = true
            connectionEnded(connection, cause: .finished)
            return false
        case .failed:
            connection.value.mayRead = false
            connectionEnded(connection, cause: .reset)
            return false
        }
    }

    /// Room behind the remainder for at least a small read; false if there is none, which pauses the connection.
    private mutating func makeRoom(_ connection: ConnectionPlace) -> Bool {
        if connection.value.remainder.room >= BufferPool.sizes.small { return true }
        let count = connection.value.remainder.count
        if count + BufferPool.sizes.small <= connection.value.remainder.capacity {
            connection.value.remainder.compact()
            return true
        }
        guard count < BufferPool.sizes.huge - BufferPool.sizes.small else {
            connection.value.isPaused = true
            return false
        }
        pool.grow(&connection.value.remainder, to: min(count * 4, BufferPool.sizes.huge))
        return true
    }

    /// Offers what was kept.
    private mutating func takeRemainder(_ connection: ConnectionPlace) {
        takePlainRemainder(connection)
        guard connection.value.tls != nil, !connection.value.isPaused else { return }
        takeCipherRemainder(connection)
    }

    private mutating func takePlainRemainder(_ connection: ConnectionPlace) {
        guard !connection.value.remainder.isEmpty, !connection.value.isPaused else { return }
        let taken = take(connection, connection.value.remainder.view)
        connection.value.remainder.consume(taken)
        if connection.value.remainder.isEmpty { pool.give(&connection.value.remainder) }
    }

    @inline(__always)
    mutating func keep(_ connection: ConnectionPlace, _ bytes: ByteView) {
        guard !bytes.isEmpty, connection.value.phase != .closed else { return }
        if connection.value.phase == .handshaking, connection.value.cipherRemainder.isEmpty {
            // What was inspected in the clear has turned out to be the first bytes of a TLS session.
            connection.value.cipherRemainder = pool.take(bytes.count)
            let fits = connection.value.cipherRemainder.append(bytes)
            return precondition(fits)
        }
        if !connection.value.remainder.isAllocated { connection.value.remainder = pool.take(bytes.count) }
        if connection.value.remainder.room < bytes.count {
            pool.grow(
                &connection.value.remainder,
                to: min(connection.value.remainder.count + bytes.count, BufferPool.sizes.huge))
        }
        let fits = connection.value.remainder.append(bytes)
        precondition(fits, "a paused connection is not read")
    }

    /// Gives bytes to whoever speaks the connection's protocol; how many were taken.
    private mutating func take(_ connection: ConnectionPlace, _ bytes: ByteView) -> Int {
        switch connection.value.phase {
        case .inspecting: return inspect(connection, bytes)
        case .open: break
        case .connecting, .handshaking, .closing, .lingering, .closed: return bytes.count
        }
        switch (connection.value.codec, connection.value.side) {
        case (.undecided, .downstream): return decideCodec(connection, bytes)
        case (.undecided, .upstream): return bytes.count
        case (.http1, .downstream): return takeRequests(connection, bytes)
        case (.http1, .upstream): return takeAnswers(connection, bytes)
        case (.http2, _): return takeFrames(connection, bytes)
        case (.tunnel, _): return takeTunnelled(connection, bytes)
        }
    }

    // MARK: TLS

    private mutating func readCipher(_ connection: ConnectionPlace) {
        cipherBuffer.removeAll()
        let result = kernel.receive(connection.value.descriptor, into: &cipherBuffer)
        guard noteRead(connection, result, room: BufferPool.sizes.large) else { return }
        decrypt(connection, cipherBuffer.view)
    }

    private mutating func takeCipherRemainder(_ connection: ConnectionPlace) {
        guard let session = connection.value.tls else { return }
        if !connection.value.cipherRemainder.isEmpty {
            var kept = connection.value.cipherRemainder
            connection.value.cipherRemainder = .none
            decrypt(connection, kept.view)
            pool.give(&kept)
        } else if connection.value.phase == .open, session.hasPendingPlaintext {
            decrypt(connection, ByteView(""))
        }
    }

    private mutating func decrypt(_ connection: ConnectionPlace, _ bytes: ByteView) {
        guard let session = connection.value.tls else { return }
        flushStaged()
        transport.setInput(bytes)
        if connection.value.phase == .handshaking {
            let progress = session.handshake()
            sendCipher(connection)
            switch progress {
            case .wantsInput: return
            case .failed(let failure): return handshakeFailed(connection, failure)
            case .done: handshakeDone(connection)
            }
        }
        while connection.value.phase == .open {
            if connection.value.isPaused { break }
            readBuffer.removeAll()
            let result = session.read(into: &readBuffer)
            switch result {
            case .bytes:
                // What the engine has not looked at must outlive other sessions' use of the transport.
                let rest = transport.remainingInput
                sendCipher(connection)
                let plain = readBuffer.view
                if connection.value.remainder.isEmpty {
                    let taken = take(connection, plain)
                    keep(connection, plain.dropFirst(taken))
                } else {
                    keep(connection, plain)
                    takePlainRemainder(connection)
                }
                flushStaged()
                guard connection.value.phase == .open else { return }
                transport.setInput(rest)
            case .wantsInput:
                transport.clearInput()
                sendCipher(connection)
                return
            case .closed:
                sendCipher(connection)
                connection.value.readEnded = true
                connection.value.mayRead = false
                return connectionEnded(connection, cause: .finished)
            case .failed(let failure):
                sendCipher(connection)
                transport.clearInput()
                return sessionFailed(connection, failure)
            }
        }
        let rest = transport.remainingInput
        if connection.value.phase == .open, !rest.isEmpty {
            connection.value.cipherRemainder = pool.take(max(rest.count, BufferPool.sizes.small))
            let fits = connection.value.cipherRemainder.append(rest)
            precondition(fits)
        }
        transport.clearInput()
    }

    /// Sends what the engine put out for this connection.
    mutating func sendCipher(_ connection: ConnectionPlace) {
        while !transport.output.isEmpty {
            let output = transport.output
            sendOrQueue(connection, output, ByteView(""))
            transport.discardOutput(output.count)
        }
    }

    private mutating func encrypt(_ connection: ConnectionPlace, _ session: TLSSession, _ bytes: ByteView) {
        var rest = bytes
        while !rest.isEmpty {
            switch session.write(rest) {
            case .accepted(let count):
                rest = rest.dropFirst(count)
                if !rest.isEmpty {
                    guard !transport.output.isEmpty || count > 0 else { return }
                    sendCipher(connection)
                }
            case .failed:
                sendCipher(connection)
                connection.value.writeFailed = true
                return enqueue(connection)
            }
        }
    }

    // MARK: Writing

    /// Writes in order. Small pieces are gathered until `flushStaged`, so that head and body leave in one call.
    mutating func write(_ connection: ConnectionPlace, _ bytes: ByteView) {
        if staged != connection { stage(for: connection) }
        if bytes.count >= 4 << 10 || bytes.count > stageBuffer.room {
            transmit(connection, stageBuffer.view, bytes)
            stageBuffer.removeAll()
        } else {
            _ = stageBuffer.append(bytes)
        }
    }

    /// What is appended to `stageBuffer` from now on is written to that connection.
    @inline(__always)
    mutating func stage(for connection: ConnectionPlace) {
        if staged == connection { return }
        flushStaged()
        staged = connection
    }

    @inline(__always)
    mutating func flushStaged() {
        if let connection = staged { sendStaged(to: connection) }
    }

    private mutating func sendStaged(to connection: ConnectionPlace) {
        staged = nil
        if !stageBuffer.isEmpty {
            if connection.isInUse { transmit(connection, stageBuffer.view, ByteView("")) }
            stageBuffer.removeAll()
        }
    }

    private mutating func transmit(_ connection: ConnectionPlace, _ first: ByteView, _ second: ByteView) {
        guard connection.value.phase != .closed, !connection.value.writeFailed else { return }
        if let session = connection.value.tls {
            encrypt(connection, session, first)
            encrypt(connection, session, second)
            sendCipher(connection)
        } else {
            sendOrQueue(connection, first, second)
        }
    }

    @inline(__always)
    private mutating func sendOrQueue(_ connection: ConnectionPlace, _ first: ByteView, _ second: ByteView) {
        var sent = 0
        if connection.value.canWrite, connection.value.pending.isEmpty, connection.value.piped == 0 {
            let descriptor = connection.value.descriptor
            let result =
                second.isEmpty
                ? kernel.send(descriptor, first)
                : first.isEmpty ? kernel.send(descriptor, second) : kernel.send(descriptor, first, second)
            switch result {
            case .bytes(let count):
                sent = count
                connection.value.sentInAttempt &+= count
                if count < first.count + second.count { connection.value.canWrite = false }
            case .wouldBlock: connection.value.canWrite = false
            case .closed, .failed: return writingFailed(connection)
            }
        }
        let firstRest = first.dropFirst(sent)
        if !firstRest.isEmpty { queues.append(firstRest, to: &connection.value.pending, pool: &pool) }
        let secondRest = second.dropFirst(max(sent - first.count, 0))
        if !secondRest.isEmpty { queues.append(secondRest, to: &connection.value.pending, pool: &pool) }
    }

    /// What the peer sent before it hung up may still be worth reading (an early answer); reading then tells the end.
    mutating func writingFailed(_ connection: ConnectionPlace) {
        connection.value.writeFailed = true
        connection.value.sawEnd = true
        connection.value.mayRead = true
        queues.removeAll(from: &connection.value.pending, pool: &pool)
        dropPipe(connection)
        if connection.value.phase == .closing { return close(connection) }
        enqueue(connection)
    }

    private mutating func writePending(_ connection: ConnectionPlace) {
        if connection.value.piped > 0, !writePiped(connection) { return }
        while !connection.value.pending.isEmpty {
            let first = queues.front(of: connection.value.pending)
            let second = queues.second(of: connection.value.pending)
            let result = kernel.send(connection.value.descriptor, first, second)
            switch result {
            case .bytes(let count):
                connection.value.sentInAttempt &+= count
                queues.consume(count, from: &connection.value.pending, pool: &pool)
                if connection.value.phase == .closing { connection.value.lastUsed = now }
                if count < first.count + second.count { connection.value.canWrite = false }
            case .wouldBlock: connection.value.canWrite = false
            case .closed, .failed: return writingFailed(connection)
            }
            if !connection.value.canWrite { break }
        }
        if connection.value.pending.count <= Self.queuedLow { drained(connection) }
    }

    // MARK: Ending

    /// No more requests, everything written, then our FIN; the peer has a moment to read it.
    mutating func closeGracefully(_ connection: ConnectionPlace) {
        if staged == connection { flushStaged() }
        guard connection.value.phase != .closed, connection.value.phase != .closing,
            connection.value.phase != .lingering
        else { return }
        connection.value.phase = .closing
        if !connection.hasUnsent || connection.value.writeFailed {
            return finishClosing(connection)
        }
        connection.value.lastUsed = now
        setTimer(connection, at: now.advanced(byNanoseconds: closingMax(connection)))
    }

    /// A peer that takes nothing of what is still to be written for so long has gone: `delayed_close_timeout`. Where
    /// that says 0 the connection would wait for ever in Envoy; here there is a bound.
    func closingMax(_ connection: ConnectionPlace) -> Int64 {
        delayedClose(connection).flatMap { $0 > 0 ? $0 : nil } ?? Self.closingMax
    }

    /// It has so long to read the end and to say so.
    func lingerMax(_ connection: ConnectionPlace) -> Int64 { delayedClose(connection) ?? Self.lingerMax }

    /// nil: it is none of a connection manager's.
    private func delayedClose(_ connection: ConnectionPlace) -> Int64? {
        guard connection.value.side == .downstream, let chain = connection.value.chainRecord,
            chain.value.kind == .http
        else { return nil }
        return chain.value.http.delayedClose
    }

    private static var closingMax: Int64 { 10_000_000_000 }

    mutating func finishClosing(_ connection: ConnectionPlace) {
        if let session = connection.value.tls {
            flushStaged()
            session.shutdown()
            sendCipher(connection)
        }
        let wait = lingerMax(connection)
        if connection.value.readEnded || connection.value.writeFailed || wait == 0 {
            return close(connection)
        }
        connection.value.phase = .lingering
        connection.value.lastUsed = now
        kernel.shutdownWrite(connection.value.descriptor)
        setTimer(connection, at: now.advanced(byNanoseconds: wait))
        if connection.value.mayRead { enqueue(connection) }
    }

    static var lingerMax: Int64 { 1_000_000_000 }
    /// After so long without a request a TLS session gives back the buffers that OpenSSL keeps.
    static var quietMax: Int64 { 1_000_000_000 }

    private mutating func discardInput(_ connection: ConnectionPlace) {
        for _ in 0..<Self.readsPerTurn {
            readBuffer.removeAll()
            switch kernel.receive(connection.value.descriptor, into: &readBuffer) {
            case .bytes: continue
            case .wouldBlock:
                connection.value.mayRead = false
                return
            case .closed, .failed: return close(connection)
            }
        }
        enqueue(connection)
    }

    /// Closes the socket now. The record stays until the event at hand is done, since somebody may look at it.
    mutating func close(_ connection: ConnectionPlace) {
        guard connection.isInUse, connection.value.phase != .closed else { return }
        if staged == connection {
            staged = .none
            stageBuffer.removeAll()
        }
        connection.value.phase = .closed
        kernel.close(connection.value.descriptor)
        timers.cancel(connection.value.timer)
        connectionClosed(connection)
        graveyard.append(connection)
    }

    /// Gives back what closed connections held.
    mutating func buryConnections() {
        while let connection = graveyard.popLast() {
            pool.give(&connection.value.remainder)
            pool.give(&connection.value.cipherRemainder)
            queues.removeAll(from: &connection.value.pending, pool: &pool)
            dropPipe(connection)
            identities.release(connection.value.identity)
            if connection.value.limitsFirst >= 0 { connectionLimits.release(connection.value.limitsFirst) }
            if let session = connection.value.tls { session.free() }
            if let session = connection.value.session { sessions.remove(session) }
            connections.remove(connection)
        }
    }

    // MARK: Timers

    /// One timer a connection. A later deadline is found when the earlier one fires, so that busy connections never
    /// touch the wheel.
    mutating func setTimer(_ connection: ConnectionPlace, at instant: MonotonicInstant) {
        if connection.value.timerAt <= instant { return }
        timers.cancel(connection.value.timer)
        connection.value.timerAt = instant
        connection.value.timer = timers.schedule(
            at: instant, token: .connection(connection.id, isTimer: true))
    }
}
