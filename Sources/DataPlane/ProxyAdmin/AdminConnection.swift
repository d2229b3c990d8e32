import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Reactor
import XDSClient

/// One client of an `AdminServer`: one request at a time, each answered before the next is read.
///
///     reading --request read--> answering --keep-alive--> reading
///        |                          '-------close-------> lingering --> closed
///        '--refused: answering, then lingering
final class AdminConnection {
    private enum Stage { case reading, answering, lingering, closed }

    /// What a connection does before others have their turn.
    private static let stepsPerTurnMax = 64

    private let descriptor: Descriptor
    private let number: UInt64
    private unowned let server: AdminServer
    private var registration: ControlLoop.Registration?
    private var timer: ControlLoop.Timer?
    private var stage = Stage.reading
    /// When the last request was read, or bytes of an answer were taken. Bytes that trickle in do not count.
    private(set) var lastProgress: MonotonicInstant
    private var mayRead = false
    private var mayWrite = true
    private var isScheduled = false
    private var lingeringBytes = 0

    // The request that is being read.
    private var received: [UInt8] = []
    private var head = MessageHead()
    private var progress = HeadProgress()
    private var body: BodyDecoder?
    /// Where the body's bytes are: behind those of the head, which its places point to.
    private var bodyStart = 0
    private var bodyBytes = 0
    private var keepsAlive = true

    // The answer that is being written.
    private var output: [UInt8] = []
    private var written = 0
    private var nextPart: (() -> [UInt8]?)?
    private var isChunked = false
    private var afterwards: (() -> Void)?

    init(_ descriptor: Descriptor, _ number: UInt64, server: AdminServer) {
        (self.descriptor, self.number, self.server) = (descriptor, number, server)
        lastProgress = server.loop.now
    }

    private var kernel: Kernel { server.loop.kernel }

    /// False if it cannot be watched.
    func start() -> Bool {
        arm(server.limits.requestTime)
        registration = try? server.loop.register(descriptor) { [weak self] in self?.ready($0) }
        return registration != nil
    }

    func close() {
        guard stage != .closed else { return }
        stage = .closed
        if let timer { server.loop.cancel(timer) }
        if let registration { server.loop.cancel(registration) }
        kernel.close(descriptor)
        server.waitingBytes -= output.count
        (output, received, nextPart) = ([], [], nil)
        let last = afterwards
        afterwards = nil
        last?()
        server.closed(number)
    }

    // MARK: Events

    private func ready(_ readiness: Readiness) {
        if !readiness.isDisjoint(with: [.readable, .endOfStream]) { mayRead = true }
        if readiness.contains(.writable) { mayWrite = true }
        if !readiness.isDisjoint(with: [.error, .hangup]) { return close() }
        advance()
    }

    private func arm(_ time: Duration) {
        if let timer { server.loop.cancel(timer) }
        timer = server.loop.after(time) { [weak self] in self?.close() }
    }

    private func advance() {
        for _ in 0..<Self.stepsPerTurnMax {
            switch stage {
            case .reading: if !read() { return }
            case .answering: if !write() { return }
            case .lingering: if !linger() { return }
            case .closed: return
            }
        }
        guard !isScheduled else { return }
        isScheduled = true
        server.loop.atEndOfTurn { [weak self] in
            self?.isScheduled = false
            self?.advance()
        }
    }

    /// False when nothing more can be done now.
    private func receive() -> Bool {
        guard mayRead else { return false }
        switch server.receive(descriptor, into: &received) {
        case .bytes: return true
        case .wouldBlock:
            mayRead = false
            return false
        case .closed, .failed:
            close()
            return false
        }
    }

    // MARK: Requests

    private func read() -> Bool {
        if received.isEmpty {
            guard receive() else { return false }
            arm(server.limits.requestTime)
        }
        if body != nil { return readBody() }
        let limits = HTTP1Limits(headBytesMax: server.limits.headBytesMax, acceptsHTTP10: true)
        let result = received.withByteView { bytes in
            HTTP1Parser.parseRequest(bytes, into: &head, progress: &progress, limits: limits)
        }
        switch result {
        case .needsMore:
            return receive()
        case .invalid(let error):
            refuse(error.status, "\(error.detail)")
        case .complete:
            keepsAlive = head.keepsAlive
            if head.expectsContinue, head.body != .none {
                // The answer does not depend on the body: there is no use in sending it.
                keepsAlive = false
            } else if head.body != .none {
                body = BodyDecoder(head.body)
                bodyBytes = 0
                bodyStart = Int(head.length)
                return true
            }
            answer()
        }
        return true
    }

    private func readBody() -> Bool {
        guard var decoder = body else { return false }
        while true {
            let (consumed, event) = received.withByteView { decoder.next($0.dropFirst(bodyStart)) }
            received.removeSubrange(bodyStart..<(bodyStart + consumed))
            body = decoder
            switch event {
            case .data(let range):
                bodyBytes += range.count
                if bodyBytes > server.limits.bodyBytesMax {
                    refuse(413, "a body of more than \(server.limits.bodyBytesMax) bytes")
                    return true
                }
            case .trailers: break
            case .needsMore: return receive()
            case .invalid(let error):
                refuse(error.status, "\(error.detail)")
                return true
            case .end:
                answer()
                return true
            }
        }
    }

    private func answer() {
        let method = head.method
        let target = received.withByteView { bytes in bytes[head.path.range].text }
        if body == nil { bodyStart = Int(head.length) }
        received.removeSubrange(..<bodyStart)
        (body, bodyStart, progress) = (nil, 0, HeadProgress())
        let version = head.version
        guard let request = AdminRequest(method: method, target: target) else {
            return begin(.text("the target is not valid\n", status: 400), isHead: false, version: version)
        }
        begin(server.answer(request), isHead: method == .head, version: version)
    }

    private func refuse(_ status: UInt16, _ reason: String) {
        keepsAlive = false
        received = []
        begin(.text(reason + "\n", status: status), isHead: false, version: 11)
    }

    // MARK: Answers

    private func begin(_ answer: AdminAnswer, isHead: Bool, version: UInt8) {
        var answer = answer
        if case .bytes(let bytes) = answer.body,
            server.waitingBytes + bytes.count > server.limits.waitingBytesMax
        {
            answer.body = .bytes(Array("too much waits to be read; try again\n".utf8))
            (answer.status, answer.contentType) = (503, "text/plain; charset=UTF-8")
        }
        var text = Array("HTTP/1.1 \(answer.status) \(HTTP1Writer.reason(answer.status))\r\n".utf8)
        text += Array("content-type: \(answer.contentType)\r\ncache-control: no-cache, max-age=0\r\n".utf8)
        text += Array("x-content-type-options: nosniff\r\nserver: martlet\r\ndate: ".utf8) + server.date
        text += Array("\r\n".utf8)
        if let allowed = answer.allowed { text += Array("allow: \(allowed)\r\n".utf8) }
        var content: [UInt8] = []
        switch answer.body {
        case .bytes(let bytes):
            text += Array("content-length: \(bytes.count)\r\n".utf8)
            if !isHead { content = bytes }
        case .parts(let next):
            // HTTP/1.0 knows no chunks: there the end of the connection is the end of the body.
            isChunked = version > 10
            if isChunked { text += Array("transfer-encoding: chunked\r\n".utf8) } else { keepsAlive = false }
            if !isHead { nextPart = next }
        }
        if !keepsAlive {
            text += Array("connection: close\r\n".utf8)
        } else if version == 10 {
            text += Array("connection: keep-alive\r\n".utf8)
        }
        text += Array("\r\n".utf8)
        stage = .answering
        afterwards = answer.afterwards
        lastProgress = server.loop.now
        arm(server.limits.answerTime)
        setOutput(text + content)
    }

    private func setOutput(_ bytes: [UInt8]) {
        server.waitingBytes += bytes.count - output.count
        output = bytes
        written = 0
    }

    private func write() -> Bool {
        if written == output.count {
            guard let part = nextPart else {
                answered()
                return true
            }
            refill(part)
            return true
        }
        guard mayWrite else { return false }
        switch output.withByteView({ kernel.send(descriptor, $0.dropFirst(written)) }) {
        case .bytes(let count):
            written += count
            lastProgress = server.loop.now
            return true
        case .wouldBlock:
            mayWrite = false
            return false
        case .closed, .failed:
            close()
            return false
        }
    }

    private func refill(_ next: () -> [UInt8]?) {
        guard let part = next() else {
            nextPart = nil
            return setOutput(isChunked ? Array("0\r\n\r\n".utf8) : [])
        }
        if part.isEmpty { return }
        guard isChunked else { return setOutput(part) }
        setOutput(Array("\(String(part.count, radix: 16))\r\n".utf8) + part + [0x0d, 0x0a])
    }

    private func answered() {
        setOutput([])
        let last = afterwards
        afterwards = nil
        if keepsAlive {
            stage = .reading
            arm(received.isEmpty ? server.limits.idleTime : server.limits.requestTime)
        } else {
            stage = .lingering
            kernel.shutdownWrite(descriptor)
            arm(server.limits.lingerTime)
        }
        last?()
    }

    /// Reads what still comes until the client has noticed: closing at once would reset the connection, and the answer
    /// might be lost (RFC 9112 section 9.6).
    private func linger() -> Bool {
        lingeringBytes += received.count
        received.removeAll()
        if lingeringBytes > 1 << 20 {
            close()
            return false
        }
        return receive()
    }
}
