import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Reactor

/// One call on a `GRPCChannel`, in both directions: messages out, events in. Used once.
public final class GRPCStream {
    public enum Event {
        /// The server's messages in their order.
        case message([UInt8])
        /// The end, always the last event and told once; nil: the server says that all went well.
        case ended(GRPCFailure?)
    }

    /// Bytes of messages that may wait for the server to read.
    public static let waitingBytesMax = 64 << 20

    enum State { case waiting, open, ended }

    let path: String
    let metadata: [(name: String, value: String)]
    let deadline: Duration?
    private let handler: (Event) -> Void
    private var decoder: GRPCMessageDecoder
    /// Framed messages that were not sent yet.
    private(set) var outgoing: [UInt8] = []
    private(set) var sentBytes = 0
    private(set) var isFinishing = false
    private(set) var state = State.waiting
    private(set) var isPaused = false
    /// Received while paused: the server may not send more until it is consumed.
    private(set) var unconsumed = 0
    private var received: [[UInt8]] = []
    private var hasResponseHead = false
    private var timer: ControlLoop.Timer?
    /// The call is on its way: the connection is there, and messages go out.
    public var onOpen: (() -> Void)?
    weak var channel: GRPCChannel?
    var id: StreamID?

    /// `path`: "/package.Service/Method". `deadline`: for the whole call, told to the server too. Messages above
    /// `messageMax` bytes end the call.
    public init(
        path: String, metadata: [(name: String, value: String)] = [], deadline: Duration? = nil,
        messageMax: Int = 64 << 20, _ handler: @escaping (Event) -> Void
    ) {
        (self.path, self.metadata, self.deadline, self.handler) = (path, metadata, deadline, handler)
        decoder = GRPCMessageDecoder(messageMax: messageMax)
    }

    // MARK: Out

    /// False if the call is over, or too much waits already; the message is not sent then.
    @discardableResult public func send(_ message: [UInt8]) -> Bool {
        let waiting = outgoing.count - sentBytes + message.count + GRPCFraming.prefixLength
        guard state != .ended, !isFinishing, waiting <= Self.waitingBytesMax else { return false }
        if sentBytes == outgoing.count { (outgoing, sentBytes) = ([], 0) }
        outgoing += GRPCFraming.frame(message)
        channel?.advance(self)
        return true
    }

    /// No message follows.
    public func finish() {
        guard state != .ended, !isFinishing else { return }
        isFinishing = true
        channel?.advance(self)
    }

    /// Ends the call at once; no event follows.
    public func cancel() {
        guard state != .ended else { return }
        markEnded()
        channel?.cancel(self)
    }

    func sent(_ count: Int) { sentBytes += count }

    // MARK: In

    /// Lets the server send no more than its window, and tells no messages until `resume`.
    public func pause() { isPaused = true }

    public func resume() {
        guard isPaused else { return }
        isPaused = false
        deliver()
        guard state != .ended, !isPaused, unconsumed > 0 else { return }
        let count = unconsumed
        unconsumed = 0
        channel?.consume(self, count)
    }

    func opened(on channel: GRPCChannel, id: StreamID) {
        (self.channel, self.id, state) = (channel, id, .open)
        onOpen?()
    }

    func startDeadline(on loop: ControlLoop) {
        guard let deadline else { return }
        timer = loop.after(deadline) { [weak self] in
            guard let self, self.state != .ended else { return }
            let channel = self.channel
            self.end(.deadlineExceeded)
            channel?.cancel(self)
        }
    }

    /// Returns how many of the bytes the server may send again.
    func receivedData(_ bytes: ByteView) -> Int {
        guard state == .open else { return bytes.count }
        guard hasResponseHead else {
            fail(.notGRPC("data before the head of the response"))
            return bytes.count
        }
        decoder.append(bytes)
        do throws(GRPCFramingError) {
            while let message = try decoder.next() { received.append(message) }
        } catch {
            fail(.notGRPC("a message that cannot be read: \(error)"))
            return bytes.count
        }
        deliver()
        guard isPaused else { return bytes.count }
        unconsumed += bytes.count
        return 0
    }

    func receivedHead(_ head: borrowing MessageHead, _ bytes: ByteView, endsStream: Bool) {
        guard state == .open else { return }
        hasResponseHead = true
        if let status = GRPCStatus(head, bytes) { return received(status) }
        guard head.status == 200 else { return fail(.notGRPC("HTTP status \(head.status) instead of gRPC")) }
        let type = head.value(of: .contentType, in: bytes)
        guard let type, type.hasPrefix("application/grpc") else {
            return fail(.notGRPC("content-type '\(type?.prefix(100).text ?? "")' instead of gRPC"))
        }
        if endsStream { fail(.notGRPC("a response without grpc-status")) }
    }

    func receivedTrailers(_ head: borrowing MessageHead, _ bytes: ByteView) {
        guard let status = GRPCStatus(head, bytes) else {
            return fail(.notGRPC("a response without grpc-status"))
        }
        received(status)
    }

    func receivedEnd() { fail(.notGRPC("a response without grpc-status")) }

    private func received(_ status: GRPCStatus) {
        if status.code == .ok, !decoder.isBetweenMessages {
            return fail(.notGRPC("the stream ends within a message"))
        }
        isPaused = false
        deliver()
        let channel = self.channel
        end(status.code == .ok ? nil : .status(status))
        // Our side may be open still.
        channel?.cancel(self)
    }

    private func deliver() {
        while !isPaused, state != .ended, !received.isEmpty {
            handler(.message(received.removeFirst()))
        }
    }

    /// The server broke the rules: it is told to stop.
    private func fail(_ failure: GRPCFailure) {
        let channel = self.channel
        end(failure)
        channel?.cancel(self)
    }

    func end(_ failure: GRPCFailure?) {
        guard state != .ended else { return }
        markEnded()
        handler(.ended(failure))
    }

    private func markEnded() {
        state = .ended
        if let timer { channel?.loop.cancel(timer) }
        timer = nil
        (outgoing, sentBytes, received) = ([], 0, [])
    }
}
