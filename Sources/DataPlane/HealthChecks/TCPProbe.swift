import MeshModel
import MeshPrimitives
import Reactor
import TrafficPolicy
import XDSClient

/// Asks by a connection, or by bytes that are sent and others that are to come.
final class TCPProbe: HealthProbe, ClientConnectionOwner {
    /// Of one answer that does not hold what is waited for.
    static let answerBytesMax = 1 << 20

    private let loop: ControlLoop
    private let resolver: NameResolver
    private let target: ClientTarget
    private let check: TCPCheck
    private var connection: ClientConnection?
    private var completion: ((ProbeAnswer) -> Void)?
    private var unsent: [UInt8] = []
    private var received: [UInt8] = []

    init(_ loop: ControlLoop, _ resolver: NameResolver, _ target: ClientTarget, _ check: TCPCheck) {
        (self.loop, self.resolver, self.target, self.check) = (loop, resolver, target, check)
    }

    func ask(_ completion: @escaping (ProbeAnswer) -> Void) {
        self.completion = completion
        received = []
        if let connection, connection.isOpen { return write(check.send) }
        let made = ClientConnection(loop: loop, resolver: resolver, target: target, owner: self)
        connection = made
        made.start()
    }

    func close() {
        completion = nil
        connection?.close()
        connection = nil
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
        write(check.send)
        // With nothing to wait for the connection is the answer, and ends with it.
        if check.receive.isEmpty { tell(ProbeAnswer(.passed(isDegraded: false))) }
    }

    func connectionDrained() { write(unsent) }

    func connectionReceived(_ bytes: ByteView) {
        guard completion != nil else { return }
        received += bytes.bytes
        if Self.holds(received, inOrder: check.receive) {
            return tell(ProbeAnswer(.passed(isDegraded: false), keepsProbe: true))
        }
        if received.count > Self.answerBytesMax {
            tell(ProbeAnswer(.failed(.active), reason: "another answer than the one that is wanted"))
        }
    }

    func connectionFailed(_ failure: ConnectionFailure) {
        connection = nil
        tell(ProbeAnswer(.failed(.network), reason: failure.description))
    }

    /// Each of the parts behind the one before it.
    static func holds(_ bytes: [UInt8], inOrder parts: [[UInt8]]) -> Bool {
        var start = 0
        for part in parts {
            var found: Int?
            var position = start
            while position + part.count <= bytes.count {
                if bytes[position..<position + part.count].elementsEqual(part) {
                    found = position
                    break
                }
                position += 1
            }
            guard let found else { return false }
            start = found + part.count
        }
        return true
    }
}
