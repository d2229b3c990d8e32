import HTTP1Codec
import HTTPModel
import MeshModel
import MeshPrimitives
import Reactor
import TrafficPolicy
import XDSClient

/// Asks by HTTP/1.1, one request at a time; by HTTP/2 where TLS has settled on it.
final class HTTP1Probe: HealthProbe, ClientConnectionOwner {
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
    private var reader: AnswerReader
    /// Once the head is there.
    private var answer: ProbeAnswer?

    init(
        _ loop: ControlLoop, _ resolver: NameResolver, _ target: ClientTarget, _ check: HTTPCheck,
        _ request: CheckRequest
    ) {
        (self.loop, self.resolver, self.target, self.check) = (loop, resolver, target, check)
        fields = request
        self.request = request.bytes
        method = check.method == "HEAD" ? .head : .get
        reader = AnswerReader(to: method)
    }

    func ask(_ completion: @escaping (ProbeAnswer) -> Void) {
        if let successor { return successor.ask(completion) }
        self.completion = completion
        answer = nil
        reader = AnswerReader(to: method)
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
        guard completion != nil else {
            // Nobody has asked.
            connection?.close()
            connection = nil
            return
        }
        let statuses = check.statuses
        var judged: ProbeAnswer?
        let progress = reader.take(bytes) { judged = ProbeAnswer($0, $1, judge: statuses) }
        answer = judged ?? answer
        switch progress {
        case .needsMore: break
        case .ended: finish(keepsProbe: reader.keepsConnection)
        case .invalid(let reason): tell(ProbeAnswer(.failed(.active), reason: reason))
        }
    }

    func connectionFailed(_ failure: ConnectionFailure) {
        connection = nil
        guard completion != nil else { return }
        if reader.connectionEnded() == .ended { return finish(keepsProbe: false) }
        tell(ProbeAnswer(.failed(.network), reason: failure.description))
    }

    private func finish(keepsProbe: Bool) {
        guard var answer else { return }
        answer.keepsProbe = keepsProbe && answer.result != .failed(.network)
        tell(answer)
    }
}
