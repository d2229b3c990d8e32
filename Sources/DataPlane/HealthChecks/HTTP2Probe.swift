import HTTP2Codec
import HTTPModel
import MeshModel
import MeshPrimitives
import Reactor
import TrafficPolicy
import XDSClient

/// Asks by HTTP/2, one stream at a time.
final class HTTP2Probe: HealthProbe, ClientConnectionOwner {
    private let loop: ControlLoop
    private let resolver: NameResolver
    private let target: ClientTarget
    private let check: HTTPCheck
    private let request: CheckRequest
    private var connection: ClientConnection?
    private var session: HTTP2Session?
    private var stream: StreamID?
    private var answer: ProbeAnswer?
    private var completion: ((ProbeAnswer) -> Void)?
    private var isHandlingEvents = false

    init(
        _ loop: ControlLoop, _ resolver: NameResolver, _ target: ClientTarget, _ check: HTTPCheck,
        _ request: CheckRequest
    ) {
        (self.loop, self.resolver, self.target) = (loop, resolver, target)
        (self.check, self.request) = (check, request)
    }

    func ask(_ completion: @escaping (ProbeAnswer) -> Void) {
        self.completion = completion
        answer = nil
        if session != nil, connection?.isOpen == true { return submit() }
        (session, stream) = (nil, nil)
        let made = ClientConnection(loop: loop, resolver: resolver, target: target, owner: self)
        connection = made
        made.start()
    }

    func close() {
        completion = nil
        (session, stream) = (nil, nil)
        connection?.close()
        connection = nil
    }

    private func submit() {
        guard let session else { return }
        var fields = HTTP2FieldList()
        request.method.withByteView { method in
            request.scheme.withByteView { scheme in
                request.host.withByteView { host in
                    request.path.withByteView { path in
                        fields.startRequest(method: method, scheme: scheme, authority: host, path: path)
                    }
                }
            }
        }
        for field in request.fields {
            field.name.withByteView { name in
                field.value.withByteView { fields.append(name: name, value: $0) }
            }
        }
        stream = session.submitRequest(fields, endsStream: true)
        if stream == nil { return fail("the request is too large") }
        flush()
    }

    /// Told at the end of the turn: the session may be in the midst of its events.
    private func finish(_ answer: ProbeAnswer) {
        guard let completion else { return }
        self.completion = nil
        stream = nil
        loop.atEndOfTurn { completion(answer) }
    }

    private func fail(_ reason: String) { finish(ProbeAnswer(.failed(.network), reason: reason)) }

    private func handle(_ event: HTTP2Event, _ session: HTTP2Session) {
        switch event {
        case .head(let id, _, let endsStream):
            var head = MessageHead()
            guard let bytes = session.readHead(into: &head), id == stream else { return }
            answer = ProbeAnswer(head, bytes, judge: check.statuses)
            if endsStream { ended(session) }
        case .data(let id, let bytes, let endsStream):
            session.consumed(id, bytes.count)
            if endsStream, id == stream { ended(session) }
        case .trailers(let id, _):
            var head = MessageHead()
            _ = session.readHead(into: &head)
            if id == stream { ended(session) }
        case .ended(let id): if id == stream { ended(session) }
        case .headTooLarge(let id, _):
            if id == stream { finish(ProbeAnswer(.failed(.active), reason: "too many fields")) }
        case .reset(let id, let code, _):
            if id == stream { fail("the stream was reset (\(code.rawValue))") }
        case .closed(let id): if id == stream { fail("the stream was closed") }
        case .goAway(let last, _):
            if let stream, stream > last { fail("the endpoint takes no more requests") }
        case .informational:
            var head = MessageHead()
            _ = session.readHead(into: &head)
        case .settings, .pingAcknowledged, .windowOpened: break
        }
    }

    private func ended(_ session: HTTP2Session) {
        guard var answer else { return }
        answer.keepsProbe = !session.goAwayReceived
        finish(answer)
    }

    private func handleEvents() {
        guard !isHandlingEvents, let session else { return }
        isHandlingEvents = true
        defer { isHandlingEvents = false }
        while let event = session.nextEvent() { handle(event, session) }
    }

    private func flush() {
        guard let session, let connection else { return }
        while connection.isOpen {
            let output = session.output
            if output.isEmpty { break }
            let count = connection.send(output)
            if count == 0 { break }
            session.outputWritten(count)
            handleEvents()
        }
    }

    func connectionOpened() {
        guard let made = HTTP2Session(role: .client, settings: HTTP2Settings()) else {
            return fail("out of memory")
        }
        session = made
        submit()
    }

    func connectionReceived(_ bytes: ByteView) {
        guard let session else { return }
        let result = session.receive(bytes, now: loop.now)
        handleEvents()
        flush()
        if case .failed(let error) = result {
            fail("the endpoint broke the HTTP/2 protocol (\(error.reason))")
            self.session = nil
            connection?.close()
            connection = nil
        }
    }

    func connectionDrained() { flush() }

    func connectionFailed(_ failure: ConnectionFailure) {
        (connection, session) = (nil, nil)
        fail(failure.description)
    }
}
