import MeshPrimitives
import Reactor

/// A server program that answers well, badly, late or not at all. It notes how often it has seen each request's head,
/// since from then on it may have acted on it.
final class Origin {
    private struct Visitor {
        var wire: Wire
        var seenHead = false
        /// When the reply to the request at hand is due.
        var reply: (at: MonotonicInstant, number: Int, isPost: Bool)?
        var isClosing = false
    }

    private static let listenerToken = Token(rawValue: 1 << 60)

    /// By the request's number.
    private(set) var seen: [Int: Int] = [:]
    private(set) var problems: [String] = []
    private var loop: EventLoop
    private let listener: Descriptor
    private var visitors: [UInt64: Visitor] = [:]
    private var order: [UInt64] = []
    private var nextName: UInt64 = 1
    private var random: SeededRandom
    private var pool = BufferPool()
    private var buffer: PooledBuffer
    /// While set, every answer is a good one.
    var isKind = false

    init(_ kernel: Kernel, at address: SocketAddress, seed: UInt64) throws {
        loop = try EventLoop(kernel: kernel)
        listener = try kernel.listen(address, reusePort: false)
        random = SeededRandom(seed: seed)
        buffer = pool.take(BufferPool.sizes.large)
        try loop.watchReadable(listener, Self.listenerToken)
    }

    deinit {
        loop.kernel.close(listener)
        for visitor in visitors.values { loop.kernel.close(visitor.wire.descriptor) }
        pool.give(&buffer)
    }

    func turn() {
        let count = loop.wait(until: order.compactMap { visitors[$0]?.reply?.at }.min())
        for index in 0..<count {
            let event = loop.event(at: index)
            switch event.token {
            case Self.listenerToken: accept()
            case .waker: break
            case let token:
                visitors[token.rawValue]?.wire.advance(event.readiness, loop.kernel, &buffer)
                look(token.rawValue)
            }
        }
        for name in order {
            if let reply = visitors[name]?.reply, loop.now >= reply.at {
                answer(name, reply.number, reply.isPost)
            }
        }
        order.removeAll { visitors[$0] == nil }
    }

    private func accept() {
        while case .accepted(let descriptor, _) = loop.kernel.accept(listener) {
            visitors[nextName] = Visitor(wire: Wire(descriptor, isConnected: true))
            order.append(nextName)
            do throws(SystemErrno) {
                try loop.watch(descriptor, Token(rawValue: nextName))
            } catch {
                problems.append("watch: \(error)")
            }
            nextName += 1
        }
    }

    private func look(_ name: UInt64) {
        guard let visitor = visitors[name] else { return }
        if visitor.reply == nil, WireMessage.hasHead(visitor.wire.input) {
            noteHead(name, visitor.wire.input)
            switch WireMessage.read(visitor.wire.input) {
            case .needsMore: break
            case .broken(let reason): problems.append(reason)
            case .complete(let message, let count):
                visitors[name]?.wire.input.removeFirst(count)
                visitors[name]?.seenHead = false
                receive(name, message)
            }
        }
        if visitors[name]?.wire.ending != nil { leave(name, byReset: false) }
    }

    private func noteHead(_ name: UInt64, _ bytes: [UInt8]) {
        guard visitors[name]?.seenHead == false else { return }
        visitors[name]?.seenHead = true
        let line = String(decoding: bytes.prefix { $0 != 13 }, as: UTF8.self).split(separator: " ")
        guard line.count == 3, let number = Int(line[1].dropFirst()) else {
            return problems.append("request line: \(line)")
        }
        seen[number, default: 0] += 1
    }

    private func receive(_ name: UInt64, _ message: WireMessage) {
        let parts = message.firstLine.split(separator: " ")
        guard parts.count == 3, let number = Int(parts[1].dropFirst()) else { return }
        if !message.body.allSatisfy({ $0 == UInt8(ascii: "b") }) {
            problems.append("request \(number): its body")
        }
        let delay = random.below(20) == 0 ? 3_000_000_000 : random.below(50_000_000)
        visitors[name]?.reply = (loop.now.advanced(byNanoseconds: Int64(delay)), number, parts[0] == "POST")
    }

    private func answer(_ name: UInt64, _ number: Int, _ isPost: Bool) {
        visitors[name]?.reply = nil
        let body = "\(number)\n" + String(repeating: "a", count: Int(random.below(30_000)))
        let chance = isKind ? 99 : random.below(100)
        switch chance {
        case 0..<5: return leave(name, byReset: false)
        case 5..<10: return leave(name, byReset: true)
        case 10..<15:
            visitors[name]?.wire.send(
                "HTTP/1.1 200 OK\r\nx-origin: 1\r\ncontent-length: 50000\r\n\r\n\(number)\n")
            visitors[name]?.wire.flush(loop.kernel)
            return leave(name, byReset: false)
        case 15..<25:
            visitors[name]?.wire.send(
                "HTTP/1.1 503 No\r\nx-origin: 1\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
        case 25..<40:
            let size = String(body.utf8.count, radix: 16)
            visitors[name]?.wire.send(
                "HTTP/1.1 200 OK\r\nx-origin: 1\r\ntransfer-encoding: chunked\r\n\r\n\(size)\r\n\(body)\r\n0\r\n\r\n"
            )
        default:
            visitors[name]?.wire.send(
                "HTTP/1.1 200 OK\r\nx-origin: 1\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
        }
        visitors[name]?.wire.flush(loop.kernel)
        look(name)
    }

    private func leave(_ name: UInt64, byReset: Bool) {
        guard let visitor = visitors.removeValue(forKey: name) else { return }
        if byReset {
            loop.kernel.reset(visitor.wire.descriptor)
        } else {
            loop.kernel.close(visitor.wire.descriptor)
        }
    }
}
