import MeshPrimitives
import Reactor

/// A client program: some connections to a proxy, each with one request at a time. Requests have numbers; what became
/// of each is noted once.
final class Caller {
    enum Outcome: Equatable {
        /// With the number that the answer's body names; nil if the proxy answered by itself.
        case answered(status: Int, by: Int?)
        /// The connection ended before the answer did.
        case cut
        /// The caller itself left.
        case left
    }

    struct Request {
        var isPost: Bool
        /// Under an idempotency key it may be repeated, but never sent twice at once.
        var hasKey: Bool
        var body: Int
        var outcome: Outcome?
    }

    private struct Lane {
        var wire: Wire?
        var generation: UInt64 = 0
        var request: Int?
        var left: Int
        var nextAt: MonotonicInstant
        var leavesAt = MonotonicInstant.distantFuture
    }

    private(set) var requests: [Request] = []
    private(set) var problems: [String] = []
    private var loop: EventLoop
    private let target: SocketAddress
    private var lanes: [Lane]
    private var random: SeededRandom
    private var pool = BufferPool()
    private var buffer: PooledBuffer

    init(_ kernel: Kernel, to target: SocketAddress, lanes count: Int, requests: Int, seed: UInt64) throws {
        loop = try EventLoop(kernel: kernel)
        self.target = target
        random = SeededRandom(seed: seed)
        let now = loop.now
        lanes = (0..<count).map { _ in Lane(left: requests, nextAt: now) }
        buffer = pool.take(BufferPool.sizes.large)
    }

    deinit {
        for lane in lanes { if let wire = lane.wire { loop.kernel.close(wire.descriptor) } }
        pool.give(&buffer)
    }

    var isDone: Bool { lanes.allSatisfy { $0.left == 0 && $0.request == nil } }

    /// `wakeAt`: when the scene wants a turn of everybody, whatever happens.
    func turn(wakeAt: MonotonicInstant) {
        let deadlines = lanes.map { $0.request == nil && $0.left > 0 ? $0.nextAt : $0.leavesAt }
        let deadline = deadlines.reduce(wakeAt) { min($0, $1) }
        let count = loop.wait(until: deadline == .distantFuture ? nil : deadline)
        for index in 0..<count {
            let event = loop.event(at: index)
            if event.token == .waker { continue }
            let lane = Int(event.token.rawValue & 0xffff)
            guard lanes[lane].generation == event.token.rawValue >> 16 else { continue }
            lanes[lane].wire?.advance(event.readiness, loop.kernel, &buffer)
            look(lane)
        }
        for lane in lanes.indices {
            if lanes[lane].request != nil, loop.now >= lanes[lane].leavesAt { leave(lane) }
            if lanes[lane].request == nil, lanes[lane].left > 0, loop.now >= lanes[lane].nextAt {
                start(lane)
            }
        }
    }

    private func start(_ lane: Int) {
        let number = requests.count
        let isPost = random.below(2) == 0
        let body = isPost ? Int(random.below(20_000)) : 0
        let hasKey = isPost && random.below(3) == 0
        requests.append(Request(isPost: isPost, hasKey: hasKey, body: body))
        lanes[lane].request = number
        lanes[lane].left -= 1
        lanes[lane].leavesAt =
            random.below(12) == 0
            ? loop.now.advanced(byNanoseconds: Int64(random.below(200_000_000))) : .distantFuture
        if lanes[lane].wire == nil { connect(lane) }
        let text =
            "\(isPost ? "POST" : "GET") /\(number) HTTP/1.1\r\nhost: origin\r\n"
            + (hasKey ? "idempotency-key: \(number)\r\n" : "")
            + (isPost ? "content-length: \(body)\r\n\r\n" + String(repeating: "b", count: body) : "\r\n")
        lanes[lane].wire?.send(text)
        lanes[lane].wire?.flush(loop.kernel)
    }

    private func connect(_ lane: Int) {
        lanes[lane].generation += 1
        let descriptor: Descriptor
        switch loop.kernel.connect(target) {
        case .connected(let new), .inProgress(let new): descriptor = new
        case .failed(let error): return problems.append("connect: \(error)")
        }
        lanes[lane].wire = Wire(descriptor, isConnected: false)
        do throws(SystemErrno) {
            try loop.watch(descriptor, Token(rawValue: lanes[lane].generation << 16 | UInt64(lane)))
        } catch {
            problems.append("watch: \(error)")
        }
    }

    private func look(_ lane: Int) {
        guard let wire = lanes[lane].wire else { return }
        if let number = lanes[lane].request {
            switch WireMessage.read(wire.input) {
            case .needsMore: break
            case .broken(let reason): problems.append("request \(number): \(reason)")
            case .complete(let message, let count):
                lanes[lane].wire?.input.removeFirst(count)
                let parts = message.firstLine.split(separator: " ")
                let status = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
                let text = String(decoding: message.body.prefix { $0 != 10 }, as: UTF8.self)
                finish(
                    lane, .answered(status: status, by: message.fields["x-origin"] == nil ? nil : Int(text)))
                if message.fields["connection"] == "close" { close(lane) }
            }
        }
        guard let wire = lanes[lane].wire else { return }
        if lanes[lane].request == nil, !wire.input.isEmpty {
            problems.append(
                "bytes that nobody asked for: \(String(decoding: wire.input.prefix(60), as: UTF8.self))")
            close(lane)
        } else if wire.ending != nil {
            if lanes[lane].request != nil { finish(lane, .cut) }
            close(lane)
        }
    }

    private func leave(_ lane: Int) {
        if let wire = lanes[lane].wire {
            lanes[lane].wire = nil
            if random.below(2) == 0 {
                loop.kernel.reset(wire.descriptor)
            } else {
                loop.kernel.close(wire.descriptor)
            }
        }
        finish(lane, .left)
    }

    private func finish(_ lane: Int, _ outcome: Outcome) {
        guard let number = lanes[lane].request else { return }
        if requests[number].outcome != nil { problems.append("request \(number) ended twice") }
        requests[number].outcome = outcome
        lanes[lane].request = nil
        lanes[lane].leavesAt = .distantFuture
        lanes[lane].nextAt = loop.now.advanced(byNanoseconds: Int64(random.below(100_000_000)))
    }

    private func close(_ lane: Int) {
        guard let wire = lanes[lane].wire else { return }
        loop.kernel.close(wire.descriptor)
        lanes[lane].wire = nil
    }
}
