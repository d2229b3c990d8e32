import HTTP1Codec
import HTTPModel
import MeshModel
import MeshPrimitives
import Reactor
import TrafficPolicy
import XDSClient

/// Asks by HTTP/1.1, one request at a time; by HTTP/2 where TLS has settled on it.
final class HTTP1Probe: HealthProbe, ClientConnectionOwner {
    /// Of one answer, head and body: an endpoint that says more is taken to be broken.
    static let answerBytesMax = 1 << 20

    private let loop: ControlLoop
    private let resolver: NameResolver
    private let target: ClientTarget
    private let check: HTTPCheck
    private let fields: CheckRequest
    private let request: [UInt8]
    /// Once the endpoint has chosen HTTP/2.
    private var successor: HTTP2Probe?
    private let method: Method
    private var connection: ClientConnection?
    private var completion: ((ProbeAnswer) -> Void)?
    private var unsent: [UInt8] = []

    // The answer.
    private var received: [UInt8] = []
    private var head = MessageHead()
    private var progress = HeadProgress()
    private var body: BodyDecoder?
    private var answer: ProbeAnswer?
    private var bytesTotal = 0

    init(
        _ loop: ControlLoop, _ resolver: NameResolver, _ target: ClientTarget, _ check: HTTPCheck,
        _ request: CheckRequest
    ) {
        (self.loop, self.resolver, self.target, self.check) = (loop, resolver, target, check)
        fields = request
        self.request = request.bytes
        method = check.method == "HEAD" ? .head : .get
    }

    func ask(_ completion: @escaping (ProbeAnswer) -> Void) {
        if let successor { return successor.ask(completion) }
        self.completion = completion
        (received, bytesTotal, body, answer) = ([], 0, nil, nil)
        progress = HeadProgress()
        head.reset()
        if let connection, connection.isOpen { return write(request) }
        let made = ClientConnection(loop: loop, resolver: resolver, target: target, owner: self)
        connection = made
        made.start()
    }

    func close() {
        completion = nil
        connection?.close()
        connection = nil
        successor?.close()
    }

    private func write(_ bytes: [UInt8]) {
        let count = bytes.withByteView { connection?.send($0) ?? 0 }
        unsent = Array(bytes[count...])
    }

    private func tell(_ answer: ProbeAnswer) {
        let completion = completion
        self.completion = nil
        completion?(answer)
    }

    func connectionOpened() {
        guard connection?.applicationProtocol == .http2, let completion else { return write(request) }
        // The cluster's TLS settings offer it for its traffic.
        connection?.close()
        connection = nil
        self.completion = nil
        let made = HTTP2Probe(loop, resolver, target, check, fields)
        successor = made
        made.ask(completion)
    }

    func connectionDrained() { write(unsent) }

    func connectionReceived(_ bytes: ByteView) {
        bytesTotal += bytes.count
        guard completion != nil else {
            // Nobody has asked.
            connection?.close()
            connection = nil
            return
        }
        guard bytesTotal <= Self.answerBytesMax else {
            return tell(ProbeAnswer(.failed(.active), reason: "an answer that is too long"))
        }
        received += bytes.bytes
        read(ended: false)
    }

    func connectionFailed(_ failure: ConnectionFailure) {
        connection = nil
        guard completion != nil else { return }
        if body != nil, read(ended: true) { return }
        tell(ProbeAnswer(.failed(.network), reason: failure.description))
    }

    /// True if that was the end of the answer.
    @discardableResult private func read(ended: Bool) -> Bool {
        if body == nil, !readHead() { return false }
        guard var decoder = body else { return false }
        var consumed = 0
        var isOver = false
        received.withByteView { bytes in
            while true {
                let (count, event) = decoder.next(bytes.dropFirst(consumed))
                consumed += count
                switch event {
                case .data, .trailers: continue
                case .needsMore:
                    if ended, case .end = decoder.connectionEnded() { isOver = true }
                    return
                case .end:
                    isOver = true
                    return
                case .invalid:
                    answer = ProbeAnswer(.failed(.active), reason: "a body that is not HTTP")
                    isOver = true
                    return
                }
            }
        }
        received.removeFirst(consumed)
        body = decoder
        guard isOver, var answer else { return false }
        answer.keepsProbe =
            head.keepsAlive && !ended && received.isEmpty && answer.result != .failed(.network)
        tell(answer)
        return true
    }

    /// True when the final head is there.
    private func readHead() -> Bool {
        while true {
            let result = received.withByteView { bytes in
                HTTP1Parser.parseResponse(
                    bytes, to: method, into: &head, progress: &progress, limits: HTTP1Limits())
            }
            switch result {
            case .needsMore: return false
            case .invalid(let error):
                tell(ProbeAnswer(.failed(.active), reason: "an answer that is not HTTP: \(error)"))
                return false
            case .complete: break
            }
            let length = Int(head.length)
            if head.status >= 200 || head.status == 101 {
                answer = received.withByteView { ProbeAnswer(head, $0, judge: check.statuses) }
                body = BodyDecoder(head.body)
                received.removeFirst(length)
                return true
            }
            // Interim.
            received.removeFirst(length)
            progress = HeadProgress()
            head.reset()
        }
    }
}
