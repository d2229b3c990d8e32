import MeshPrimitives
import Reactor

/// One measurement: connections, the schedule, and what came back.
struct LoadRun: ~Copyable {
    /// After the end, how long answers to requests at a fixed rate are still waited for.
    private static let graceMax: Int64 = 2_000_000_000
    /// Between attempts to connect again.
    private static let reconnectPause: Int64 = 50_000_000
    /// Connecting at the start may take so long.
    private static let connectMax: Int64 = 5_000_000_000

    struct Connection: BitwiseCopyable {
        enum State: BitwiseCopyable { case connecting, idle, busy }

        let descriptor: Descriptor
        var state = State.connecting
        var scanner = AnswerScanner()
        /// An unfinished line of an answer.
        var remainder = PooledBuffer.none
        /// When its request should have gone out.
        var intended = MonotonicInstant.zero
        var sent = 0
    }

    private let options: LoadOptions
    private let request: [UInt8]
    private var loop: EventLoop
    private let kernel: Kernel
    private var pool = BufferPool()
    private var input: PooledBuffer
    private var connections: Slab<Connection>
    /// Connections without a request, the longest idle one first. Those that have ended meanwhile are skipped.
    private var idle = IdleQueue()
    /// Connections to open again, and not before when.
    private var missing = 0
    private var reopenAt = MonotonicInstant.zero

    private var report = LoadReport()
    private var start = MonotonicInstant.zero
    private var measureFrom = MonotonicInstant.zero
    private var end = MonotonicInstant.distantFuture
    private var isSending = false
    /// Requests begun, and those ended one way or the other.
    private var begun = 0
    private var ended = 0

    init(_ options: LoadOptions) throws(LoadError) {
        self.options = options
        kernel = LinuxKernel.make()
        do throws(SystemErrno) { loop = try EventLoop(kernel: kernel) } catch {
            throw LoadError("epoll", error)
        }
        request = Array(options.head.utf8) + [UInt8](repeating: 0x78, count: options.bodyBytes)
        input = pool.take(BufferPool.sizes.huge)
        connections = Slab(capacity: options.connections)
    }

    mutating func run() throws(LoadError) -> LoadReport {
        try connectAll()
        start = kernel.now()
        measureFrom = start.advanced(byNanoseconds: options.warmup)
        if options.requests == nil { end = measureFrom.advanced(byNanoseconds: options.duration) }
        isSending = true
        if options.rate == nil { while let id = idle.next() { begin(id, intended: start) } }
        var stop = end
        while kernel.now() < stop && !isFinished {
            beginDue()
            turn(until: min(stop, nextDue, missing > 0 ? reopenAt : .distantFuture))
            if isSending && loop.now >= end {
                isSending = false
                if options.rate != nil { stop = end.advanced(byNanoseconds: Self.graceMax) }
            }
        }
        let now = min(kernel.now(), end)
        report.seconds = Double(now.nanoseconds(since: measureFrom)) / 1e9
        if options.rate != nil { report.unanswered = max(0, due(at: end) - ended) }
        return report
    }

    private var isFinished: Bool {
        if let requests = options.requests { return ended >= requests }
        return !isSending && options.rate != nil && ended >= due(at: end)
    }

    private mutating func connectAll() throws(LoadError) {
        let deadline = kernel.now().advanced(byNanoseconds: Self.connectMax)
        for _ in 0..<options.connections { open() }
        while idle.count < options.connections {
            guard kernel.now() < deadline, report.connectFailures < options.connections else {
                throw LoadError(
                    "only \(idle.count) of \(options.connections) connections to \(options.target)")
            }
            turn(until: missing > 0 ? min(deadline, reopenAt) : deadline)
        }
        report.connectFailures = 0
    }

    // MARK: - The schedule

    /// When request number `begun` is due at a fixed rate; never in a closed loop.
    private var nextDue: MonotonicInstant {
        guard let rate = options.rate, !idle.isEmpty else { return .distantFuture }
        let instant = start.advanced(byNanoseconds: Int64(begun) * 1_000_000_000 / Int64(rate))
        // One that is due before the end goes out, however late.
        return instant < end && mayBegin ? instant : .distantFuture
    }

    /// How many requests are due before `instant`, at a fixed rate.
    private func due(at instant: MonotonicInstant) -> Int {
        guard let rate = options.rate, instant != .distantFuture else { return options.requests ?? 0 }
        return Int((instant.nanoseconds(since: start) * Int64(rate) + 999_999_999) / 1_000_000_000)
    }

    private mutating func beginDue() {
        guard options.rate != nil else { return }
        let now = kernel.now()
        while case let intended = nextDue, intended <= now, let id = idle.next() {
            begin(id, intended: intended)
        }
    }

    private var mayBegin: Bool { (isSending || options.rate != nil) && begun < options.requests ?? .max }

    private mutating func begin(_ id: SlabID, intended: MonotonicInstant) {
        guard connections.contains(id), mayBegin else { return }
        begun += 1
        connections[id].state = .busy
        connections[id].intended = intended
        connections[id].sent = 0
        send(id)
    }

    // MARK: - Connections

    private mutating func open() {
        switch kernel.connect(options.target) {
        case .failed: failedToConnect()
        case .connected(let descriptor): adopt(descriptor, isConnected: true)
        case .inProgress(let descriptor): adopt(descriptor, isConnected: false)
        }
    }

    private mutating func adopt(_ descriptor: Descriptor, isConnected: Bool) {
        guard let id = connections.insert(Connection(descriptor: descriptor)) else {
            return kernel.close(descriptor)
        }
        do throws(SystemErrno) {
            try loop.watch(descriptor, Token(rawValue: UInt64(id.index) << 32 | UInt64(id.generation)))
        } catch {
            close(id)
            return failedToConnect()
        }
        if isConnected { becomeIdle(id) }
    }

    private mutating func failedToConnect() {
        report.connectFailures += 1
        missing += 1
        reopenAt = loop.now.advanced(byNanoseconds: Self.reconnectPause)
    }

    private mutating func close(_ id: SlabID) {
        kernel.close(connections[id].descriptor)
        pool.give(&connections[id].remainder)
        connections.remove(id)
    }

    /// The connection ended; an answer was due unless it was idle.
    private mutating func broke(_ id: SlabID) {
        let state = connections[id].state
        close(id)
        switch state {
        case .connecting: failedToConnect()
        case .idle: open()
        case .busy:
            ended += 1
            if loop.now >= measureFrom { report.broken += 1 }
            open()
        }
    }

    private mutating func becomeIdle(_ id: SlabID) {
        connections[id].state = .idle
        if options.rate == nil && isSending { begin(id, intended: kernel.now()) } else { idle.append(id) }
    }

    // MARK: - Events

    private mutating func turn(until deadline: MonotonicInstant) {
        let count = loop.wait(until: deadline)
        for index in 0..<count { handle(loop.event(at: index)) }
        if missing > 0 && loop.now >= reopenAt {
            let count = missing
            missing = 0
            for _ in 0..<count { open() }
        }
    }

    private mutating func handle(_ event: ReadyEvent) {
        let raw = event.token.rawValue
        let id = SlabID(index: UInt32(raw >> 32), generation: UInt32(truncatingIfNeeded: raw))
        guard connections.contains(id) else { return }
        if connections[id].state == .connecting {
            guard !event.readiness.isDisjoint(with: [.writable, .error, .hangup]) else { return }
            if kernel.connectResult(connections[id].descriptor) != nil { return broke(id) }
            return becomeIdle(id)
        }
        if event.readiness.contains(.writable) && connections[id].state == .busy { send(id) }
        let isOver = !event.readiness.isDisjoint(with: .endOfStream)
        if isOver || event.readiness.contains(.readable) { receive(id, untilEnd: isOver) }
    }

    private mutating func send(_ id: SlabID) {
        while connections.contains(id), connections[id].sent < request.count {
            let (descriptor, sent) = (connections[id].descriptor, connections[id].sent)
            let kernel = kernel
            switch request.withByteView({ kernel.send(descriptor, $0.dropFirst(sent)) }) {
            case .bytes(let count): connections[id].sent += count
            case .wouldBlock: return
            case .closed, .failed: return broke(id)
            }
        }
    }

    private mutating func receive(_ id: SlabID, untilEnd: Bool) {
        while connections.contains(id) {
            input.removeAll()
            switch kernel.receive(connections[id].descriptor, into: &input) {
            case .bytes(let count):
                guard take(id) else { return broke(id) }
                if count < BufferPool.sizes.huge && !untilEnd { return }
            case .wouldBlock: return
            case .closed, .failed: return broke(id)
            }
        }
    }

    /// Looks through what came; false if it makes no sense.
    private mutating func take(_ id: SlabID) -> Bool {
        var bytes = input.view
        if connections[id].remainder.isAllocated {
            pool.grow(
                &connections[id].remainder,
                to: min(BufferPool.sizes.huge, connections[id].remainder.count + bytes.count))
            guard connections[id].remainder.append(bytes) else { return false }
            bytes = connections[id].remainder.view
        }
        var used = 0
        while used < bytes.count {
            guard connections[id].state == .busy else { return false }
            switch connections[id].scanner.scan(bytes, used: &used) {
            case .malformed: return false
            case .incomplete:
                keep(bytes.dropFirst(used), of: id)
                return true
            case .complete:
                answered(id)
                guard connections.contains(id) else { return true }
            }
        }
        pool.give(&connections[id].remainder)
        return true
    }

    private mutating func keep(_ rest: ByteView, of id: SlabID) {
        var kept = rest.isEmpty ? PooledBuffer.none : pool.take(rest.count)
        _ = kept.append(rest)
        pool.give(&connections[id].remainder)
        connections[id].remainder = kept
    }

    private mutating func answered(_ id: SlabID) {
        let now = kernel.now()
        let (intended, status) = (connections[id].intended, connections[id].scanner.status)
        ended += 1
        if intended >= measureFrom && (now < end || options.rate != nil) {
            report.answers += 1
            report.classes[min(9, status / 100)] += 1
            report.latency.record(nanoseconds: now.nanoseconds(since: intended))
        }
        if connections[id].scanner.closes {
            close(id)
            open()
        } else {
            becomeIdle(id)
        }
    }
}

/// First in, first out, without moving what is inside.
struct IdleQueue {
    private var items: [SlabID] = []
    private var first = 0

    var count: Int { items.count - first }
    var isEmpty: Bool { first == items.count }

    mutating func append(_ id: SlabID) {
        if first > 4096 && first * 2 > items.count {
            items.removeFirst(first)
            first = 0
        }
        items.append(id)
    }

    mutating func next() -> SlabID? {
        guard first < items.count else { return nil }
        first += 1
        return items[first - 1]
    }
}
