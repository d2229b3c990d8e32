import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Reactor
import Telemetry
import XDSClient

/// By HTTP/1.1: POST of binary protobuf, one batch at a time.
final class HTTPCollector: CollectorClient, ClientConnectionOwner {
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
    private var answer = AnswerReader(to: .post)

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
        sent = 0
        answer = AnswerReader(to: .post)
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
        guard completion != nil else { return drop() }
        finish(answer.take(bytes) { _, _ in })
    }

    func connectionFailed(_ failure: ConnectionFailure) {
        connection = nil
        guard completion != nil else { return }
        if answer.connectionEnded() == .ended { return tell(outcome) }
        // A kept connection that was closed meanwhile says nothing about the collector.
        if isReused, answer.isEmpty { return begin() }
        hosts += 1
        tell(.failed(failure.description))
    }

    private func finish(_ progress: AnswerReader.Progress) {
        switch progress {
        case .needsMore: break
        case .ended:
            if !answer.keepsConnection { drop() }
            tell(outcome)
        case .invalid(let reason):
            drop()
            tell(.failed(reason))
        }
    }

    /// OTLP's specification: 429, 502, 503 and 504 may be tried again.
    private var outcome: DeliveryOutcome {
        switch answer.head.status {
        case 200..<300: .delivered
        case 408, 429, 502, 503, 504: .failed("status \(answer.head.status)")
        default: .refused("status \(answer.head.status)")
        }
    }
}
