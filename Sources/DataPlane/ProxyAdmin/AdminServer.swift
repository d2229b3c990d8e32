import HTTPModel
import MeshPrimitives
import Reactor
import Telemetry
import XDSClient

/// A small HTTP/1.1 server on the control loop: one port, one function that answers. Everything has a bound, and where
/// all places are taken the connection that has moved nothing for longest gives up its own, so that no number of slow
/// clients keeps a health check out.
public final class AdminServer {
    public struct Limits: Sendable {
        public var connectionsMax = 64
        public var headBytesMax = 16 << 10
        /// Bodies of requests mean nothing here; they are read and dropped.
        public var bodyBytesMax = 64 << 10
        /// Bytes of answers that wait for their readers, over all connections.
        public var waitingBytesMax = 64 << 20
        /// For a request, from its first byte on.
        public var requestTime = Duration.seconds(10)
        /// Between requests.
        public var idleTime = Duration.seconds(120)
        /// For taking an answer.
        public var answerTime = Duration.seconds(120)
        /// After a refusal, for the client to notice.
        public var lingerTime = Duration.seconds(1)

        public init() {}
    }

    let loop: ControlLoop
    let limits: Limits
    let answer: (AdminRequest) -> AdminAnswer
    private let dateFormat = TimeFormat("%a, %d %b %Y %H:%M:%S GMT")
    private var pool = BufferPool()
    private var listener: (descriptor: Descriptor, registration: ControlLoop.Registration)?
    private var retry: ControlLoop.Timer?
    private var connections: [UInt64: AdminConnection] = [:]
    private var connectionNumber: UInt64 = 0
    /// Bytes of answers that wait, over all connections.
    var waitingBytes = 0

    public init(loop: ControlLoop, limits: Limits = Limits(), answer: @escaping (AdminRequest) -> AdminAnswer)
    {
        (self.loop, self.limits, self.answer) = (loop, limits, answer)
    }

    public var connectionCount: Int { connections.count }

    /// Begins to listen; port 0 takes a free one. The address that was bound.
    public func listen(_ address: SocketAddress) throws(SystemErrno) -> SocketAddress {
        precondition(listener == nil)
        let kernel = loop.kernel
        let descriptor = try kernel.listen(address, reusePort: false, backlog: 128)
        do throws(SystemErrno) {
            let bound = try kernel.localAddress(descriptor)
            let registration = try loop.register(descriptor, readableOnly: true) { [weak self] _ in
                self?.accept()
            }
            listener = (descriptor, registration)
            return bound
        } catch {
            kernel.close(descriptor)
            throw error
        }
    }

    /// Closes everything at once.
    public func stop() {
        if let listener {
            loop.cancel(listener.registration)
            loop.kernel.close(listener.descriptor)
        }
        listener = nil
        if let retry { loop.cancel(retry) }
        for connection in connections.values { connection.close() }
    }

    private func accept() {
        guard let listener else { return }
        while true {
            switch loop.kernel.accept(listener.descriptor) {
            case .accepted(let descriptor, peer: _): open(descriptor)
            case .wouldBlock: return
            case .failed:
                // Out of descriptors, most likely: no edge will tell when there are some again.
                if retry == nil {
                    retry = loop.after(.milliseconds(100)) { [weak self] in
                        self?.retry = nil
                        self?.accept()
                    }
                }
                return
            }
        }
    }

    private func open(_ descriptor: Descriptor) {
        if connections.count >= limits.connectionsMax {
            // Of those that have stood still as long, the oldest.
            let slowest = connections.min {
                ($0.value.lastProgress, $0.key) < ($1.value.lastProgress, $1.key)
            }
            slowest?.value.close()
        }
        connectionNumber += 1
        let number = connectionNumber
        let connection = AdminConnection(descriptor, number, server: self)
        connections[number] = connection
        if !connection.start() { connection.close() }
    }

    func closed(_ number: UInt64) { connections[number] = nil }

    /// Appends what has come, at most a block of it.
    func receive(_ descriptor: Descriptor, into bytes: inout [UInt8]) -> IOResult {
        var block = pool.take(BufferPool.sizes.medium)
        defer { pool.give(&block) }
        let result = loop.kernel.receive(descriptor, into: &block)
        if case .bytes = result { unsafe block.view.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) } }
        return result
    }

    /// The time as a `date` field has it (RFC 9110 section 5.6.7).
    var date: [UInt8] {
        var text: [UInt8] = []
        dateFormat?.append(loop.wallClock.nanoseconds, to: &text)
        return text
    }
}
