import HTTP1Codec
import HTTPModel
import MeshPrimitives

/// What a connection's bytes mean, as text: two traces are equal if and only if the codec saw the same messages.
/// This is also the fuzz entry point: it takes any bytes, in any pieces, and must neither trap nor depend on them.
struct ConnectionTrace {
    enum Role { case server, client(Method) }
    enum TrailerUse { case read, drop }

    var role = Role.server
    var limits = HTTP1Limits(acceptsHTTP10: true)
    var trailerUse = TrailerUse.read

    private(set) var lines: [String] = []
    private var pending: [UInt8] = []
    private var stage = Stage.head
    private var head = MessageHead()
    private var trailers = MessageHead()
    private var progress = HeadProgress()
    private var decoder = BodyDecoder(.none)
    private var content: [UInt8] = []

    private enum Stage { case head, body, trailers, closed }

    init(role: Role = .server, trailerUse: TrailerUse = .read) {
        self.role = role
        self.trailerUse = trailerUse
    }

    /// Feeds all of `bytes`, cut at the given places, then the end of the connection.
    static func of(
        _ bytes: [UInt8], role: Role = .server, trailerUse: TrailerUse = .read, cuts: [Int] = [],
        limits: HTTP1Limits = HTTP1Limits(acceptsHTTP10: true)
    ) -> [String] {
        var trace = ConnectionTrace(role: role, trailerUse: trailerUse)
        trace.limits = limits
        var start = 0
        for cut in cuts.sorted() + [bytes.count] where cut > start && cut <= bytes.count {
            trace.receive(Array(bytes[start..<cut]))
            start = cut
        }
        trace.receiveEnd()
        return trace.lines
    }

    mutating func receive(_ bytes: [UInt8]) {
        pending += bytes
        while stage != .closed {
            let before = (stage, pending.count)
            step()
            if stage == before.0 && pending.count == before.1 { return }
        }
    }

    mutating func receiveEnd() {
        guard stage == .body || stage == .trailers else { return }
        switch decoder.connectionEnded() {
        case .end: finishMessage()
        case .invalid(let error): fail(error)
        case .data, .trailers, .needsMore: lines.append("unexpected event at the end")
        }
    }

    private mutating func step() {
        switch stage {
        case .head: readHead()
        case .body: readBody()
        case .trailers: readTrailers()
        case .closed: break
        }
    }

    private mutating func readHead() {
        guard !pending.isEmpty else { return }
        let result = pending.withByteView { view in
            switch role {
            case .server: HTTP1Parser.parseRequest(view, into: &head, progress: &progress, limits: limits)
            case .client(let method):
                HTTP1Parser.parseResponse(view, to: method, into: &head, progress: &progress, limits: limits)
            }
        }
        switch result {
        case .needsMore: break
        case .invalid(let error): fail(error)
        case .complete:
            lines.append(pending.withByteView { describe(head, $0) })
            pending.removeFirst(Int(head.length))
            decoder = BodyDecoder(head.body)
            stage = .body
        }
    }

    private mutating func readBody() {
        let (consumed, event) = pending.withByteView { decoder.next($0) }
        if case .data(let range) = event { content += pending[range] }
        if event == .needsMore, consumed != pending.count { lines.append("left bytes behind") }
        pending.removeFirst(consumed)
        switch event {
        case .data, .needsMore: break
        case .trailers:
            guard trailerUse == .read else { return readBody() }
            stage = .trailers
            progress = HeadProgress()
        case .end: finishMessage()
        case .invalid(let error): fail(error)
        }
    }

    private mutating func readTrailers() {
        let result = pending.withByteView {
            HTTP1Parser.parseTrailers($0, into: &trailers, progress: &progress)
        }
        switch result {
        case .needsMore: break
        case .invalid(let error): fail(error)
        case .complete:
            lines.append("trailers" + pending.withByteView { fields(of: trailers, $0) })
            pending.removeFirst(Int(trailers.length))
            decoder.trailersRead()
            stage = .body
        }
    }

    private mutating func finishMessage() {
        lines.append("body \(text(content))")
        content = []
        progress = HeadProgress()
        stage = .head
        if case .client = role, head.status >= 200 || head.status == 101 { stage = .closed }
    }

    private mutating func fail(_ error: HTTP1Error) {
        lines.append("body \(text(content)), then \(error)")
        stage = .closed
    }
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

/// Everything that a head says.
func describe(_ head: MessageHead, _ bytes: ByteView) -> String {
    func part(_ range: ByteRange) -> String { bytes[range.range].text }
    var line = "\(head.method) [\(part(head.methodToken))] [\(part(head.target))] path [\(part(head.path))]"
    line += " authority [\(part(head.authority))] status \(head.status) [\(part(head.reason))]"
    line += " version \(head.version) \(head.body) length \(head.length)/\(head.fieldsStart)"
    if head.keepsAlive { line += " keepsAlive" }
    if head.expectsContinue { line += " expectsContinue" }
    if head.hasUpgrade { line += " hasUpgrade" }
    if head.acceptsTrailers { line += " acceptsTrailers" }
    return line + fields(of: head, bytes)
}

func fields(of head: MessageHead, _ bytes: ByteView) -> String {
    var lines = ""
    for index in 0..<head.count {
        let field = head.field(index)
        lines +=
            "\n  \(head.name(index, in: bytes).text)=[\(head.value(index, in: bytes).text)] \(field.name)"
        lines += " ..<\(field.lineEnd)"
        if field.isConnectionOption { lines += " marked" }
    }
    return lines
}

extension String {
    var octets: [UInt8] { Array(utf8) }
}
