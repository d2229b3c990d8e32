import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Reactor
import Telemetry
import XDSClient

/// By HTTP/1.1: POST of binary protobuf, one batch at a time.
final class HTTPCollector: CollectorClient, ClientConnectionOwner {
    /// Of an answer, head and body.
    private static let answerBytesMax = 1 << 20

    private let loop: ControlLoop
    private let resolver: NameResolver
    private let target: ClientTarget
    private let head: [UInt8]
    private let timeout: Int64
    private var connection: ClientConnection?
    private var completion: ((DeliveryOutcome) -> Void)?
    private var request: [UInt8] = []
    private var sent = 0
    private var timer: ControlLoop.Timer?
    private var hosts = 0
    /// The connection has carried a batch before: it may have been closed meanwhile.
    private var isReused = false

    // The answer.
    private var received: [UInt8] = []
    private var answer = MessageHead()
    private var progress = HeadProgress()
    private var body: BodyDecoder?
    private var bytesTotal = 0

    init(
        _ loop: ControlLoop, _ resolver: NameResolver, _ target: ClientTarget, _ collector: TraceCollector,
        host: String, path: String
    ) {
        (self.loop, self.resolver, self.target) = (loop, resolver, target)
        timeout = collector.timeout
        var lines = "POST \(path) HTTP/1.1\r\nhost: \(host)\r\ncontent-type: application/x-protobuf\r\n"
        for field in collector.fields where field.name != "host" && field.name != "content-length" {
            lines += "\(field.name): \(field.value)\r\n"
        }
        head = Array(lines.utf8)
    }

    func send(_ request: [UInt8], _ completion: @escaping (DeliveryOutcome) -> Void) {
        self.completion = completion
        self.request = head + Array("content-length: \(request.count)\r\n\r\n".utf8) + request
        begin()
        timer = loop.after(timeout) { [weak self] in
            guard let self else { return }
            self.drop()
            self.tell(.failed("no answer in time"))
        }
    }

    func close() {
        if let timer { loop.cancel(timer) }
        completion = nil
        drop()
    }

    private func begin() {
        (sent, received, bytesTotal, body) = (0, [], 0, nil)
        progress = HeadProgress()
        answer.reset()
        if let connection, connection.isOpen {
            isReused = true
            return write()
        }
        isReused = false
        let made = ClientConnection(
            loop: loop, resolver: resolver, target: target, firstHost: hosts, owner: self)
        connection = made
        made.start()
    }

    private func drop() {
        connection?.close()
        connection = nil
    }

    private func write() {
        guard let connection, completion != nil else { return }
        sent += request.withByteView { connection.send($0.dropFirst(sent)) }
    }

    private func tell(_ outcome: DeliveryOutcome) {
        if let timer { loop.cancel(timer) }
        timer = nil
        guard let completion else { return }
        self.completion = nil
        request = []
        completion(outcome)
    }

    func connectionOpened() { write() }
    func connectionDrained() { write() }

    func connectionReceived(_ bytes: ByteView) {
        bytesTotal += bytes.count
        guard completion != nil, bytesTotal <= Self.answerBytesMax else {
            drop()
            return tell(.failed("an answer that is too long"))
        }
        received += bytes.bytes
        if let isOver = read(ended: false) { finish(isOver) }
    }

    func connectionFailed(_ failure: ConnectionFailure) {
        connection = nil
        guard completion != nil else { return }
        if body != nil, let outcome = read(ended: true) { return finish(outcome) }
        // A kept connection that was closed meanwhile says nothing about the collector.
        if isReused, bytesTotal == 0 { return begin() }
        hosts += 1
        tell(.failed(failure.description))
    }

    private func finish(_ outcome: DeliveryOutcome) {
        if !answer.keepsAlive || !received.isEmpty { drop() }
        tell(outcome)
    }

    /// nil: there is more to come.
    private func read(ended: Bool) -> DeliveryOutcome? {
        if body == nil {
            switch readHead() {
            case .some(let outcome): return outcome
            case nil: if body == nil { return nil }
            }
        }
        guard var decoder = body else { return nil }
        var consumed = 0
        var outcome: DeliveryOutcome?
        received.withByteView { bytes in
            while true {
                let (count, event) = decoder.next(bytes.dropFirst(consumed))
                consumed += count
                switch event {
                case .data, .trailers: continue
                case .needsMore:
                    if ended, case .end = decoder.connectionEnded() { outcome = self.outcome }
                    return
                case .end:
                    outcome = self.outcome
                    return
                case .invalid:
                    outcome = .failed("a body that is not HTTP")
                    return
                }
            }
        }
        received.removeFirst(consumed)
        body = decoder
        return outcome
    }

    /// OTLP's specification: 429, 502, 503 and 504 may be tried again.
    private var outcome: DeliveryOutcome {
        switch answer.status {
        case 200..<300: .delivered
        case 408, 429, 502, 503, 504: .failed("status \(answer.status)")
        default: .refused("status \(answer.status)")
        }
    }

    private func readHead() -> DeliveryOutcome? {
        while true {
            let result = received.withByteView { bytes in
                HTTP1Parser.parseResponse(
                    bytes, to: .post, into: &answer, progress: &progress, limits: HTTP1Limits())
            }
            switch result {
            case .needsMore: return nil
            case .invalid(let error): return .failed("an answer that is not HTTP: \(error)")
            case .complete: break
            }
            received.removeFirst(Int(answer.length))
            if answer.status >= 200 {
                body = BodyDecoder(answer.body)
                return nil
            }
            // Interim.
            progress = HeadProgress()
            answer.reset()
        }
    }
}
