import HTTP1Codec
import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Reactor
import Synchronization
import TLSEngine
import Telemetry
import TrafficPolicy

/// One event loop and everything that it owns: connections, exchanges, pools, buffers, timers, counters. Nothing of it
/// is shared with another thread but what `ProcessState` holds. Its owner calls `turn` over and over.
///
/// A turn: adopt a new snapshot if there is one, wait for events, look first at pooled connections whose peer hung up,
/// then at the rest, then at timers. Whatever an event sets off on other connections is put in `queued` and done
/// before the next event, so that nothing is ever re-entered; what was closed stays in place until then.
struct Worker: ~Copyable {
    /// A value with an atomic in it has a fixed address, so the compiler passes this large one by its address to methods
    /// that only read it, instead of copying it for each call.
    private let pin = Atomic<UInt8>(0)
    let index: Int
    let kernel: Kernel
    let process: ProcessState
    var loop: EventLoop
    var timers: TimerWheel
    var pool = BufferPool()
    var queues = ByteQueueStore()
    var pipes = PipePool()
    var random: SeededRandom
    let counters: CounterWriter
    let serverScope: ServerScope
    let recorder: FlightRecorder
    let spans: SpanRing

    var connections: Slab<Connection>
    var exchanges: Slab<Exchange>
    /// The heads of their requests.
    var heads: Slab<MessageHead>
    var sessions = SessionTable()
    let http2Memory = HTTP2Memory()
    var queued = PlainList<ConnectionPlace>()
    /// Those of the round under way; its memory and that of `queued` change places.
    private var round = PlainList<ConnectionPlace>()
    var flushes = PlainList<ConnectionPlace>()
    var graveyard = PlainList<ConnectionPlace>()
    var endedExchanges = PlainList<ExchangePlace>()
    var overhead = OverheadMeter()

    /// What was just read, in the clear.
    var readBuffer: PooledBuffer
    /// What was just read, encrypted.
    var cipherBuffer: PooledBuffer
    /// Small writes on their way to `staged`.
    var stageBuffer: PooledBuffer
    var staged: ConnectionPlace?
    /// For names in lower case, numbers and the like.
    var scratch: PooledBuffer
    let transport = TLSTransport()
    let tlsSessions = TLSSessionCache()
    var identities = IdentityTable()
    var connectionLimits = ConnectionLimits()
    /// Buckets of open values that were asked for here, by a hash with a secret.
    var quotasKept: [UInt64: QuotaEntry] = [:]

    /// The connection whose answer is being taken.
    var beingRead: ConnectionPlace?
    /// The head of an answer while it is looked at.
    var answer = MessageHead()
    var edits = EditList()
    /// What was done to a request, while its answer is edited and asks.
    var requestEdits = EditList()
    var decidedEdits = PlainList<DecidedEdit>()
    /// The operator's changes of the answer at hand may have added anything.
    var answerIsEdited = false
    /// Set while those hear of it whom a failure of TLS with an endpoint concerns.
    var transportFailure = NameID.none
    var failureTexts = FailureTexts()
    /// Callers' connections since the start.
    var connectionCount: UInt64 = 0
    /// What copies of requests have in place of a caller; made for the first one.
    var nobody: ConnectionPlace?
    var mirrorsUnderWay = 0
    /// A path that a route has rewritten.
    var sentPath = PooledBuffer.none
    /// Names of a peer, for values of fields.
    var peerTexts = PooledBuffer.none
    /// Some cluster has a `header_key_format`.
    var namesByCluster = false
    let requestDropMask = Worker.requestDropMask()
    let answerDropMask = Worker.answerDropMask()
    var date = HTTPDate()
    var loggedHeads: Slab<LoggedHead>
    var tunnelRecords: Slab<ExchangeRecord>
    /// A line of an access log while it is made.
    var line: [UInt8] = []
    var fields = HTTP2FieldList()

    var shelf = SnapshotShelf()
    var listeners: [ListenerSocket] = []
    var clusters = OwnedList<ClusterState>()
    var acceptLimit = AcceptLimit()
    /// The worker's own states of admission controls, by slot.
    var admissions = OwnedList<AdmissionControl>()
    var nextConcurrencyLook = MonotonicInstant.zero
    /// Requests whose question was answered during the event at hand: they go on once it is done.
    var answered: [SlabID] = []
    var inquiriesUnderWay = 0

    var stopping = Stopping.no
    enum Stopping { case no, draining, stopped }

    init(index: Int, kernel: Kernel, process: ProcessState) throws(SystemErrno) {
        self.index = index
        self.kernel = kernel
        self.process = process
        loop = try EventLoop(kernel: kernel)
        timers = TimerWheel(capacity: 1 << 21, now: loop.now)
        random = SeededRandom(seed: kernel.randomSeed())
        counters = process.counters[index].writer
        serverScope = process.serverScope
        recorder = process.recorders[index]
        spans = process.spanRings[index]
        connections = Slab(capacity: process.connectionsMax)
        exchanges = Slab(capacity: process.exchangesMax)
        heads = Slab(capacity: process.exchangesMax, filledWith: MessageHead())
        loggedHeads = Slab(capacity: process.exchangesMax)
        tunnelRecords = Slab(capacity: process.connectionsMax)
        readBuffer = pool.take(BufferPool.sizes.large)
        cipherBuffer = pool.take(BufferPool.sizes.large)
        stageBuffer = pool.take(BufferPool.sizes.large)
        scratch = pool.take(BufferPool.sizes.large)
    }

    var now: MonotonicInstant { loop.now }

    /// One turn; waits up to `deadline` at the most (nil: as long as nothing happens). Returns what the clock said at its
    /// end, if it was looked at; `readAt` is that of the turn before, if this one follows at once.
    @discardableResult
    mutating func turn(
        until deadline: MonotonicInstant? = nil, readAt: MonotonicInstant? = nil
    ) -> MonotonicInstant? {
        let generation = shelf.generation
        adoptSnapshot()
        // To take up a snapshot takes a while.
        let readAt = shelf.generation == generation ? readAt : nil
        var wakeAt = deadline
        if let next = timers.nextDeadline { wakeAt = wakeAt.map { min($0, next) } ?? next }
        if !queued.isEmpty { wakeAt = now }
        let count = loop.wait(until: wakeAt, readAt: readAt)
        transport.wallClockSeconds = loop.wallClock.seconds
        settle()
        for index in 0..<count { dropIdleIfEnded(loop.event(at: index)) }
        for index in 0..<count {
            handle(loop.event(at: index))
            let flushes = index % Self.eventsPerFlush == Self.eventsPerFlush - 1
            settle(flushes: flushes)
            if flushes { _ = lookAtClock() }
        }
        settle()
        while let token = timers.popExpired(now: now) {
            timerFired(token)
            settle()
        }
        return lookAtClock()
    }

    /// Frames for one connection that many events make leave together, in one record of TLS and one call; so many events
    /// at the most wait for each other.
    private static var eventsPerFlush: Int { 32 }

    /// Does what the last event set off, once for each connection concerned; what wants another turn waits for it. Unless
    /// it `flushes`, HTTP/2 sessions keep their frames for a later call.
    mutating func settle(flushes: Bool = true) {
        if !answered.isEmpty { resumeAnswered() }
        if flushes { flushSessions() }
        flushStaged()
        var rounds = 0
        while !queued.isEmpty, rounds < 8 {
            rounds += 1
            swap(&queued, &round)
            for index in round.indices where round[index].isInUse {
                let connection = round[index]
                connection.value.isQueued = false
                if connection.value.phase == .closed { continue }
                pump(connection)
                if flushes { flushSessions() }
                flushStaged()
            }
            round.removeAll()
        }
        if !answered.isEmpty {
            resumeAnswered()
            if flushes { flushSessions() }
        }
        flushStaged()
        buryExchanges()
        if !graveyard.isEmpty { buryConnections() }
    }

    @inline(__always)
    private mutating func handle(_ event: ReadyEvent) {
        switch event.token.kind {
        case .listener: acceptConnections(Int(event.token.id.index))
        case .connection:
            if let connection = connections.place(event.token.id) {
                connectionReady(connection, event.readiness)
            }
        case .waker: relieveOthers()
        case .connectionTimer, .exchangeTimer, .worker: break
        }
    }

    private mutating func timerFired(_ token: Token) {
        switch token.kind {
        case .connectionTimer:
            if let connection = connections.place(token.id) { connectionTimerFired(connection) }
        case .exchangeTimer: if let exchange = exchanges.place(token.id) { exchangeTimerFired(exchange) }
        case .worker: resumeAccepting()
        case .listener, .connection, .waker: break
        }
    }

    /// A pooled connection whose FIN has come is gone before any request of this turn could pick it.
    @inline(__always)
    private mutating func dropIdleIfEnded(_ event: ReadyEvent) {
        guard event.token.isConnection, !event.readiness.isDisjoint(with: .endOfStream),
            let connection = connections.place(event.token.id), connection.value.side == .upstream
        else { return }
        if connection.value.codec == .http2 { connection.value.isDraining = true }
        guard connection.value.isIdle, connection.value.codec == .http1 else { return }
        connection.value.readEnded = true
        learnIdleClose(connection)
        close(connection)
    }
}

/// What a token of a worker's loop or wheel names: a kind in the lowest bits, then index and generation.
extension Token {
    enum Kind: UInt64 { case connection, connectionTimer, exchangeTimer, listener, worker, waker }

    var isConnection: Bool { rawValue & 7 == Kind.connection.rawValue }

    static func connection(_ id: SlabID, isTimer: Bool = false) -> Token {
        make(isTimer ? .connectionTimer : .connection, id)
    }

    static func exchangeTimer(_ id: SlabID) -> Token { make(.exchangeTimer, id) }
    static func listener(_ index: Int) -> Token {
        make(.listener, SlabID(index: UInt32(index), generation: 0))
    }
    static var worker: Token { make(.worker, SlabID(index: 0, generation: 0)) }

    /// 3 bits of kind, 29 of index, 32 of generation.
    private static func make(_ kind: Kind, _ id: SlabID) -> Token {
        Token(rawValue: UInt64(id.generation) << 32 | UInt64(id.index & 0x1fff_ffff) << 3 | kind.rawValue)
    }

    var kind: Kind { Kind(rawValue: rawValue & 7) ?? .waker }

    var id: SlabID {
        SlabID(
            index: UInt32(truncatingIfNeeded: rawValue >> 3) & 0x1fff_ffff,
            generation: UInt32(truncatingIfNeeded: rawValue >> 32))
    }
}

/// Snapshots that connections or exchanges of one worker still use, and the newest one.
struct SnapshotShelf: ~Copyable {
    private var snapshots: [Snapshot?] = []
    private var tables: [SnapshotTables] = []
    private var uses = PlainList<Int>()
    /// Index of the newest; -1 before the first.
    private(set) var current: Int32 = -1
    private(set) var generation: UInt64 = 0

    subscript(_ index: Int32) -> Snapshot {
        guard let snapshot = snapshots[Int(index)] else { fatalError("a snapshot in use is on the shelf") }
        return snapshot
    }

    /// Its tables, without a reference to the snapshot being counted.
    func tables(_ index: Int32) -> SnapshotTables { tables[Int(index)] }

    var newest: Snapshot? { current < 0 ? nil : snapshots[Int(current)] }
    /// Snapshots that are kept.
    var count: Int { snapshots.count { $0 != nil } }

    mutating func put(_ snapshot: Snapshot) {
        let previous = current
        if let free = snapshots.firstIndex(where: { $0 == nil }) {
            snapshots[free] = snapshot
            tables[free] = SnapshotTables(snapshot)
            uses[free] = 0
            current = Int32(free)
        } else {
            snapshots.append(snapshot)
            tables.append(SnapshotTables(snapshot))
            uses.append(0)
            current = Int32(snapshots.count - 1)
        }
        generation = snapshot.generation
        if previous >= 0 { dropIfUnused(previous) }
    }

    mutating func use(_ index: Int32) { uses[Int(index)] &+= 1 }

    mutating func release(_ index: Int32) {
        uses[Int(index)] &-= 1
        precondition(uses[Int(index)] >= 0)
        if index != current { dropIfUnused(index) }
    }

    @inline(never)
    private mutating func dropIfUnused(_ index: Int32) {
        if uses[Int(index)] == 0 { snapshots[Int(index)] = nil }
    }
}
