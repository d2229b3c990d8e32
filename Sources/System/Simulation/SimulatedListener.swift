import MeshPrimitives
import Reactor

/// A bound socket, listening unless it only probes.
final class SimulatedListener: Watchable {
    let address: SocketAddress
    let sharesPort: Bool
    let isListening: Bool
    private let backlog: Int
    /// Handshakes under way, and connections that wait to be accepted.
    private var pending = 0
    private(set) var queue: [SimulatedStream] = []
    private(set) var isClosed = false

    init(_ address: SocketAddress, sharesPort: Bool, backlog: Int32) {
        (self.address, self.sharesPort, isListening) = (address, sharesPort, backlog >= 0)
        self.backlog = max(1, Int(backlog))
    }

    override var readiness: Readiness { queue.isEmpty ? [] : .readable }

    /// A new connection counts from its first segment; false if there is no place.
    func admit() -> Bool {
        guard pending < backlog else { return false }
        pending += 1
        return true
    }

    func abandon() { pending -= 1 }

    func established(_ stream: SimulatedStream) {
        queue.append(stream)
        notify()
    }

    /// What nobody will accept any more is reset.
    func close() {
        isClosed = true
        while let waiting = accept() { waiting.close(byReset: true) }
    }

    func accept() -> SimulatedStream? {
        guard !queue.isEmpty else { return nil }
        pending -= 1
        return queue.removeFirst()
    }
}
