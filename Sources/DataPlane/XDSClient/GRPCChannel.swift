import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Reactor

/// gRPC calls over one HTTP/2 connection. Used once: when the connection is over, so is the channel. Calls may be
/// started before it is open; they wait.
public final class GRPCChannel {
    /// Calls that wait for the connection, or for the server to allow more streams.
    public static let waitingMax = 100
    /// Also of the whole connection: there are few streams, and what comes is taken at once.
    private static let windowBytes = 4 << 20

    let loop: ControlLoop
    private let authority: String
    private let target: ClientTarget
    private let onClosed: (GRPCFailure) -> Void
    private var connection: ClientConnection?
    private var session: HTTP2Session?
    private var streams: [StreamID: GRPCStream] = [:]
    private var waiting: [GRPCStream] = []
    private var isHandlingEvents = false
    private var goAway: HTTP2ErrorCode?

    private var pingTimer: ControlLoop.Timer?
    private var isPingOpen = false
    private var hasHeard = false
    private var pingCount: UInt64 = 0

    /// Begins to connect. `authority`: what calls name as `:authority`. `onClosed` is told once, in a later turn, and
    /// not after `close`; every call has been told of it by then.
    public init(
        loop: ControlLoop, resolver: NameResolver, target: ClientTarget, authority: String,
        firstHost: Int = 0,
        onClosed: @escaping (GRPCFailure) -> Void
    ) {
        (self.loop, self.target, self.authority, self.onClosed) = (loop, target, authority, onClosed)
        let connection = ClientConnection(
            loop: loop, resolver: resolver, target: target, firstHost: firstHost, owner: self)
        self.connection = connection
        connection.start()
    }

    public var isOpen: Bool { session != nil }
    public var peer: SocketAddress? { connection?.peer }
    /// The server has closed the channel because of too many pings; ask for fewer the next time.
    public var wasPingedTooOften: Bool { goAway == .enhanceYourCalm }

    /// Starts a call, now or when there is room for it.
    public func start(_ stream: GRPCStream) {
        precondition(stream.state == .waiting && stream.channel == nil, "a call is used once")
        guard connection != nil, goAway == nil, waiting.count < Self.waitingMax else {
            return loop.atEndOfTurn { stream.end(.connection("no connection")) }
        }
        stream.channel = self
        stream.startDeadline(on: loop)
        waiting.append(stream)
        startWaiting()
    }

    /// One message there, one back. `completion` is told once, in a later turn unless the server has answered.
    public func call(
        path: String, message: [UInt8], deadline: Duration,
        _ completion: @escaping (Result<[UInt8], GRPCFailure>) -> Void
    ) {
        var answer: [UInt8]?
        let stream = GRPCStream(path: path, deadline: deadline) { event in
            switch event {
            case .message(let message): answer = answer ?? message
            case .ended(.some(let failure)): completion(.failure(failure))
            case .ended(.none):
                completion(answer.map(Result.success) ?? .failure(.notGRPC("an answer without a message")))
            }
        }
        start(stream)
        stream.send(message)
        stream.finish()
    }

    /// Ends all calls and the connection; nobody is told.
    public func close() {
        guard let connection else { return }
        for stream in streams.values.sorted(by: { ($0.id?.rawValue ?? 0) < ($1.id?.rawValue ?? 0) }) {
            stream.cancel()
        }
        for stream in waiting { stream.cancel() }
        session?.goAway(.now(.noError))
        flush()
        release()
        connection.close()
    }

    // MARK: For streams

    func advance(_ stream: GRPCStream) {
        guard let session, let id = stream.id, stream.state == .open else { return }
        let rest = stream.outgoing.count - stream.sentBytes
        if rest > 0 {
            let count = stream.outgoing.withByteView { bytes in
                session.send(id, bytes.dropFirst(stream.sentBytes), endsStream: stream.isFinishing)
            }
            stream.sent(count)
        } else if stream.isFinishing {
            session.finish(id)
        }
        flush()
    }

    func consume(_ stream: GRPCStream, _ count: Int) {
        guard let session, let id = stream.id else { return }
        session.consumed(id, count)
        flush()
    }

    func cancel(_ stream: GRPCStream) {
        waiting.removeAll { $0 === stream }
        guard let session, let id = stream.id, streams[id] != nil else { return }
        session.reset(id, .cancel)
        flush()
    }

    // MARK: Streams

    private func startWaiting() {
        guard let session else { return }
        while !waiting.isEmpty, session.canOpenStream {
            let stream = waiting.removeFirst()
            guard stream.state == .waiting else { continue }
            guard let id = session.submitRequest(fields(of: stream), endsStream: false) else {
                stream.end(.notGRPC("the call's metadata are too large"))
                continue
            }
            streams[id] = stream
            stream.opened(on: self, id: id)
            advance(stream)
        }
        flush()
    }

    private func fields(of stream: GRPCStream) -> HTTP2FieldList {
        var fields = HTTP2FieldList()
        let scheme = target.tls == nil ? ByteView("http") : ByteView("https")
        authority.withByteView { authority in
            stream.path.withByteView { path in
                fields.startRequest(
                    method: ByteView("POST"), scheme: scheme, authority: authority, path: path)
            }
        }
        fields.append(.te, value: ByteView("trailers"))
        fields.append(.contentType, value: ByteView("application/grpc"))
        fields.append(.userAgent, value: ByteView("martlet"))
        if let deadline = stream.deadline {
            Self.timeoutText(deadline).withByteView {
                fields.append(name: ByteView("grpc-timeout"), value: $0)
            }
        }
        for (name, value) in stream.metadata {
            name.withByteView { name in value.withByteView { fields.append(name: name, value: $0) } }
        }
        return fields
    }

    /// At most eight digits and a unit (gRPC over HTTP/2, "Timeout").
    static func timeoutText(_ timeout: Duration) -> String {
        let milliseconds = max(1, timeout.nanoseconds / 1_000_000)
        return milliseconds < 100_000_000
            ? "\(milliseconds)m" : "\(min(milliseconds / 1000, 99_999_999))S"
    }

    private func handleEvents() {
        guard !isHandlingEvents, let session else { return }
        isHandlingEvents = true
        defer { isHandlingEvents = false }
        while let event = session.nextEvent() { handle(event, session) }
    }

    private func handle(_ event: HTTP2Event, _ session: HTTP2Session) {
        switch event {
        case .head(let id, _, let endsStream):
            var head = MessageHead()
            guard let bytes = session.readHead(into: &head) else { return }
            streams[id]?.receivedHead(head, bytes, endsStream: endsStream)
        case .trailers(let id, _):
            var head = MessageHead()
            guard let bytes = session.readHead(into: &head) else { return }
            streams[id]?.receivedTrailers(head, bytes)
        case .data(let id, let bytes, let endsStream):
            let stream = streams[id]
            let count = stream?.receivedData(bytes) ?? bytes.count
            if count > 0 { session.consumed(id, count) }
            if endsStream { stream?.receivedEnd() }
        case .ended(let id): streams[id]?.receivedEnd()
        case .headTooLarge(let id, _): streams[id]?.end(.notGRPC("a response with too many fields"))
        case .reset(let id, let code, _):
            streams[id]?.end(.connection("the server reset the stream (HTTP/2 error \(code.rawValue))"))
        case .closed(let id):
            streams.removeValue(forKey: id)?.end(.connection("the stream was closed"))
        case .windowOpened(let id): if let stream = streams[id] { advance(stream) }
        case .settings: startWaiting()
        case .goAway(let last, let code): received(goAway: code, last)
        case .pingAcknowledged: pingAnswered()
        case .informational: break
        }
    }

    private func received(goAway code: HTTP2ErrorCode, _ last: StreamID) {
        goAway = code
        let failure = GRPCFailure.connection(
            "the server takes no more calls (GOAWAY, HTTP/2 error \(code.rawValue))")
        for stream in waiting { stream.end(failure) }
        waiting = []
        for id in streams.keys.sorted() where id > last { streams[id]?.end(failure) }
    }

    // MARK: Bytes

    /// Hands over what the session has to say, as far as the connection takes it.
    private func flush() {
        guard let session, let connection else { return }
        while connection.isOpen {
            let output = session.output
            if output.isEmpty { break }
            let count = connection.send(output)
            if count == 0 { break }
            session.outputWritten(count)
            // Inside of an event the loop around it takes those that this has made.
            handleEvents()
        }
    }

    /// Closes what nobody needs any more: the server's goodbye was said, and its last call is over.
    private func closeIfFinished() {
        guard let session, connection != nil else { return }
        if goAway != nil, streams.isEmpty || session.isFinished {
            fail(
                .connection(
                    "the server closed the connection (GOAWAY, HTTP/2 error \(goAway?.rawValue ?? 0))"))
        }
    }

    private func fail(_ failure: GRPCFailure) {
        guard let connection else { return }
        let open = streams.keys.sorted().compactMap { streams[$0] } + waiting
        release()
        connection.close()
        for stream in open { stream.end(failure) }
        onClosed(failure)
    }

    private func release() {
        if let pingTimer { loop.cancel(pingTimer) }
        (pingTimer, connection, session) = (nil, nil, nil)
        (streams, waiting) = ([:], [])
    }

    // MARK: Pings

    private func armPing(_ delay: Duration) {
        pingTimer = loop.after(delay) { [weak self] in self?.pingDue() }
    }

    private func pingDue() {
        guard let session, let pings = target.pings else { return }
        if isPingOpen {
            let peer = connection?.peer.map(\.description) ?? ""
            return fail(.connection("\(peer): no answer to a ping within \(pings.timeout)"))
        }
        guard !hasHeard else {
            hasHeard = false
            return armPing(pings.interval)
        }
        isPingOpen = true
        pingCount += 1
        session.ping(pingCount)
        flush()
        armPing(pings.timeout)
    }

    private func pingAnswered() {
        guard isPingOpen, let pings = target.pings else { return }
        (isPingOpen, hasHeard) = (false, false)
        if let pingTimer { loop.cancel(pingTimer) }
        armPing(pings.interval)
    }
}

extension GRPCChannel: ClientConnectionOwner {
    public func connectionOpened() {
        var settings = HTTP2Settings()
        settings.streamWindow = Self.windowBytes
        settings.connectionWindow = Self.windowBytes
        guard let made = HTTP2Session(role: .client, settings: settings) else {
            return fail(.connection("out of memory"))
        }
        session = made
        if let pings = target.pings { armPing(pings.interval) }
        startWaiting()
        flush()
    }

    public func connectionReceived(_ bytes: ByteView) {
        guard let session else { return }
        hasHeard = true
        let result = session.receive(bytes, now: loop.now)
        handleEvents()
        flush()
        switch result {
        case .accepted: closeIfFinished()
        case .failed(let error):
            fail(
                .connection(
                    "the server broke the HTTP/2 protocol (error \(error.code.rawValue), \(error.reason))"))
        }
    }

    public func connectionDrained() { flush() }

    public func connectionFailed(_ failure: ConnectionFailure) { fail(.connection(failure.description)) }
}
