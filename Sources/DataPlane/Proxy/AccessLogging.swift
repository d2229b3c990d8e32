import HTTPModel
import MeshModel
import MeshPrimitives
import Reactor
import TLSEngine
import Telemetry
import TrafficPolicy

/// One access log of a configuration, ready to be written.
final class AccessLogSink: Sendable {
    let format: AccessLogFormat
    let filter: Telemetry.AccessLogFilter?
    /// nil: lines are counted only.
    let file: AccessLogFile?

    init(_ log: AccessLog, files: AccessLogFiles) throws(FormatError) {
        switch log.format {
        case .standard: format = try AccessLogFormat(text: AccessLogFormat.defaultText)
        case .text(let text): format = try AccessLogFormat(text: text)
        case .json(let json):
            guard case .object(let members) = json else {
                throw FormatError(description: "json_format: must be an object")
            }
            format = try AccessLogFormat(json: members.map { ($0.key, JSONTemplate($0.value)) })
        }
        filter = log.filter.map { Telemetry.AccessLogFilter(AccessLogFilterTree($0)) }
        file = log.isWritten ? files.file(for: log.destination) : nil
    }
}

extension JSONTemplate {
    init(_ format: JSONFormat) {
        switch format {
        case .object(let members): self = .object(members.map { ($0.key, JSONTemplate($0.value)) })
        case .list(let values): self = .list(values.map { JSONTemplate($0) })
        case .format(let text): self = .string(text)
        case .number(let number): self = .number(number)
        case .bool(let isTrue): self = .bool(isTrue)
        case .null: self = .null
        }
    }
}

extension AccessLogFilterTree {
    init(_ filter: MeshModel.AccessLogFilter) {
        switch filter {
        case .status(let comparison, let value): self = .statusCode(Comparison(comparison), value)
        case .duration(let comparison, let value): self = .duration(Comparison(comparison), value)
        case .notHealthCheck: self = .notHealthCheck
        case .header(let match): self = .header(FieldMatch(match))
        case .responseFlags(let names):
            self = .responseFlags(names.reduce(into: []) { $0.formUnion(ResponseFlags(letters: $1) ?? []) })
        case .all(let filters): self = .and(filters.map { AccessLogFilterTree($0) })
        case .any(let filters): self = .or(filters.map { AccessLogFilterTree($0) })
        }
    }
}

extension AccessLogFilterTree.Comparison {
    init(_ comparison: MeshModel.AccessLogFilter.Comparison) {
        switch comparison {
        case .equal: self = .equal
        case .greaterOrEqual: self = .greaterOrEqual
        case .lessOrEqual: self = .lessOrEqual
        case .notEqual: self = .notEqual
        }
    }
}

extension FieldMatch {
    init(_ match: HeaderMatch) {
        switch match.test {
        case .present(let isThere): self.init(name: match.name, isThere ? .present : .absent)
        case .range: self.init(name: match.name, .present)
        case .string(let string):
            switch string.pattern {
            case .exact(let text): self.init(name: match.name, .exact, text)
            case .prefix(let text): self.init(name: match.name, .prefix, text)
            case .suffix(let text): self.init(name: match.name, .suffix, text)
            case .contains(let text), .regex(let text): self.init(name: match.name, .contains, text)
            }
            ignoresCase = string.ignoresCase
        }
        isInverted = match.isInverted
    }
}

extension TraceSettings {
    init(_ settings: TraceContextSettings) {
        let denominator: FractionalPercent.Denominator =
            switch settings.sampled.denominator {
            case 10_000: .tenThousand
            case 1_000_000: .million
            default: .hundred
            }
        self.init(isOn: true, sampling: FractionalPercent(settings.sampled.numerator, of: denominator))
        if settings.startsB3 { added.insert(.b3Multi) }
    }
}

extension Worker {
    /// Writes the lines that the configuration asks for, and the flight recorder's.
    @inline(__always)
    mutating func logAccess(_ exchange: ExchangePlace) {
        exchange.value.record.configurationVersion = exchange.chain.http.generation
        exchange.value.record.listener = exchange.chain.http.name
        exchange.value.record.route = exchange.route.nameID
        exchange.value.record.virtualHost = exchange.route.hostID
        recorder.append(inPlace: &exchange.value.record)
        if exchange.value.record.isSampled, exchange.chain.http.hasTracing { exportSpan(exchange) }
        let logs = exchange.chain.http.logs
        if logs.isEmpty { return }
        let snapshot = shelf[exchange.value.snapshot]
        var texts = logTexts(exchange)
        if !snapshot.logNeeds.isEmpty {
            clearPeerTexts()
            addRareTexts(exchange, snapshot, snapshot.logNeeds, &texts)
        }
        var answer = MessageHead()
        var answerBytes = ByteView("")
        let kept = exchange.value.loggedAnswer
        if !kept.isNone {
            if loggedHeads[kept].localBody.isAllocated {
                texts.localReplyBody = loggedHeads[kept].localBody.view
            }
            if loggedHeads[kept].bytes.isAllocated {
                answer = loggedHeads[kept].head
                answerBytes = loggedHeads[kept].bytes.view
            }
        }
        writeLines(
            logs, snapshot, exchange.value.record, exchange.head, exchange.value.headBytes.view, answer,
            answerBytes, texts, exchange.chain.http.scope)
    }

    /// - Parameter scope: counts lines that are not written.
    mutating func writeLines(
        _ logs: Table<Int32>, _ snapshot: Snapshot, _ record: borrowing ExchangeRecord,
        _ request: borrowing @_addressable MessageHead, _ bytes: ByteView,
        _ answer: borrowing @_addressable MessageHead, _ answerBytes: ByteView, _ texts: ExchangeTexts,
        _ scope: HTTPScope? = nil
    ) {
        var output: [UInt8] = []
        swap(&output, &line)
        var dice = random
        for index in logs.indices {
            let sink = snapshot.accessLogs[Int(logs[index])]
            if let filter = sink.filter, !filter.wants(record, request: request, bytes, random: &dice) {
                continue
            }
            guard let file = sink.file else {
                if let scope { counters.add(scope, .shadowAccessLogLines) }
                continue
            }
            output.removeAll(keepingCapacity: true)
            sink.format.append(
                record, request: request, bytes, response: answer, answerBytes, texts, to: &output)
            file.append(output)
        }
        random = dice
        swap(&output, &line)
    }

    /// Keeps what the logs show of an answer's fields, as they go to the caller.
    @inline(__always)
    mutating func keepForLog(_ exchange: ExchangePlace, _ bytes: ByteView) {
        if !exchange.chain.http.loggedAnswerNames.isEmpty { keepAnswerFields(exchange, bytes) }
    }

    @inline(never)
    private mutating func keepAnswerFields(_ exchange: ExchangePlace, _ bytes: ByteView) {
        let names = exchange.chain.http.loggedAnswerNames
        // No field has more than the lines that it is from.
        let room = min(bytes.count + edits.addedBytes, BufferPool.sizes.huge)
        var logged = LoggedHead(head: MessageHead(), bytes: pool.take(room))
        for index in names.indices {
            let (name, known) = (names[index], FieldName(names[index]))
            guard let value = edits.value(named: name, known, in: answer, bytes) else { continue }
            let start = logged.bytes.count
            guard logged.bytes.append(name), logged.bytes.append(value),
                logged.head.append(
                    Field(
                        nameStart: start, nameCount: name.count, valueStart: start + name.count,
                        valueCount: value.count, lineEnd: logged.bytes.count, name: known))
            else { break }
            logged.head.length = UInt16(logged.bytes.count)
        }
        let kept = exchange.value.loggedAnswer
        if !kept.isNone {
            if loggedHeads[kept].bytes.isAllocated { pool.give(&loggedHeads[kept].bytes) }
            (loggedHeads[kept].head, loggedHeads[kept].bytes) = (logged.head, logged.bytes)
        } else if let kept = loggedHeads.insert(logged) {
            exchange.value.loggedAnswer = kept
        } else {
            pool.give(&logged.bytes)
        }
    }

    /// Likewise the body of an answer of our own, where a log shows it.
    mutating func keepLocalBody(_ exchange: ExchangePlace, _ body: ByteView) {
        guard !exchange.chain.http.logs.isEmpty, !body.isEmpty, exchange.value.loggedAnswer.isNone,
            shelf[exchange.value.snapshot].logNeeds.contains(.localReplyBody)
        else { return }
        var copy = pool.take(body.count)
        guard copy.append(body),
            let kept = loggedHeads.insert(LoggedHead(head: MessageHead(), bytes: .none, localBody: copy))
        else { return pool.give(&copy) }
        exchange.value.loggedAnswer = kept
    }

    @inline(__always)
    mutating func forgetLogged(_ exchange: ExchangePlace) {
        if !exchange.value.loggedAnswer.isNone { dropLogged(exchange) }
    }

    @inline(never)
    private mutating func dropLogged(_ exchange: ExchangePlace) {
        let kept = exchange.value.loggedAnswer
        if loggedHeads[kept].bytes.isAllocated { pool.give(&loggedHeads[kept].bytes) }
        if loggedHeads[kept].localBody.isAllocated { pool.give(&loggedHeads[kept].localBody) }
        loggedHeads.remove(kept)
        exchange.value.loggedAnswer = .none
    }

    private mutating func logTexts(_ exchange: ExchangePlace) -> ExchangeTexts {
        var texts = ExchangeTexts()
        if exchange.value.cluster >= 0, let record = clusters[Int(exchange.value.cluster)].record {
            texts.cluster = record.value.name
        }
        texts.route = exchange.route.name
        if exchange.value.host >= 0 {
            texts.virtualHost =
                exchange.chain.http.routes.hosts[Int(exchange.value.host)].name
        }
        scratch.removeAll()
        if exchange.value.attempts > 0, exchange.route.rewrites { addSentTexts(exchange, &texts) }
        if exchange.value.setsRequestID {
            let start = scratch.count
            _ = exchange.value.record.requestID.append(to: &scratch)
            texts.requestID = scratch.view.dropFirst(start)
        }
        addPeerTexts(exchange.value.downstream, &texts)
        return texts
    }

    /// In `scratch`.
    mutating func addPeerTexts(_ connection: ConnectionPlace, _ texts: inout ExchangeTexts) {
        guard let peer = identities[connection.value.identity] else { return }
        texts.downstreamPeerURI = Self.store(names: peer.uriSANs, in: &scratch)
        texts.downstreamPeerSubject = peer.subject.withByteView { scratch.store($0) }
    }

    /// With commas between.
    static func store(names: [String], in buffer: inout PooledBuffer) -> ByteView {
        let start = buffer.count
        for (index, name) in names.enumerated() {
            if index > 0 { _ = buffer.append(UInt8(ascii: ",")) }
            _ = name.withByteView { buffer.append($0) }
        }
        return buffer.view.dropFirst(start)
    }
}

extension Worker {
    mutating func clearPeerTexts() {
        if !peerTexts.isAllocated { peerTexts = pool.take(BufferPool.sizes.large) }
        peerTexts.removeAll()
    }

    /// What few formats ask for, in `peerTexts`.
    mutating func addRareTexts(
        _ exchange: ExchangePlace, _ snapshot: Snapshot, _ needs: LogNeeds, _ texts: inout ExchangeTexts
    ) {
        addRareTexts(
            exchange.value.downstream, tls: exchange.chain.tls,
            failure: exchange.value.record.upstreamFailure, snapshot, needs, &texts)
    }

    mutating func addRareTexts(
        _ connection: ConnectionPlace, tls context: Int32, failure: NameID, _ snapshot: Snapshot,
        _ needs: LogNeeds, _ texts: inout ExchangeTexts
    ) {
        if needs.contains(.hostname) {
            texts.hostname = process.hostname.withByteView { peerTexts.store($0) }
        }
        if needs.contains(.upstreamFailure),
            let reason = failureTexts[failure]
        {
            texts.upstreamFailure = reason.withByteView { peerTexts.store($0) }
        }
        guard let session = connection.value.tls else { return }
        if needs.contains(.serverName), let name = session.serverName {
            texts.requestedServerName = name.withByteView { peerTexts.store($0) }
        }
        if needs.contains(.ownCertificate), context >= 0,
            let own = snapshot.tlsContexts[Int(context)].certificate
        {
            texts.downstreamLocalURI = Self.store(names: own.uriSANs, in: &peerTexts)
            texts.downstreamLocalDNS = Self.store(names: own.dnsSANs, in: &peerTexts)
            texts.downstreamLocalSubject = own.subject.withByteView { peerTexts.store($0) }
        }
        if needs.contains(.session) {
            texts.downstreamCipher = session.cipherSuite.withByteView { peerTexts.store($0) }
            texts.downstreamTLSSessionID = session.sessionID.withByteView { peerTexts.store($0) }
        }
        if needs.contains(.peerDetails), let peer = identities[connection.value.identity] {
            let certificate = peer.certificate
            texts.downstreamPeerDNS = Self.store(names: certificate.dnsSANs, in: &peerTexts)
            texts.downstreamPeerIssuer = certificate.issuer.withByteView { peerTexts.store($0) }
            texts.downstreamPeerSerial = certificate.serial.withByteView { peerTexts.store($0) }
            texts.downstreamPeerFingerprint = certificate.sha256.withByteView { peerTexts.store($0) }
            texts.downstreamPeerValidFrom = certificate.notBefore
            texts.downstreamPeerValidUntil = certificate.notAfter
        }
        if needs.contains(.peerCertificate) {
            let pem = identities.certificate(connection.value.identity, of: session)
            texts.downstreamPeerCertificate = pem.withByteView { peerTexts.store($0) }
        }
    }

    /// Path and host as the route made them. The texts live until the next request is looked at.
    private mutating func addSentTexts(_ exchange: ExchangePlace, _ texts: inout ExchangeTexts) {
        recallRequest(exchange)
        let bytes = exchange.value.headBytes.view
        if !sentPath.isEmpty {
            texts.sentPath = sentPath.view
            if !exchange.chain.http.suppressesEnvoyHeaders {
                texts.originalPath = bytes[exchange.head.path.range]
            }
        }
        if let host = requestEdits.value(named: FieldName.host.text, .host, in: exchange.head, bytes) {
            texts.sentAuthority = host
        }
    }
}

/// What logs show of an answer, kept until its request is logged.
struct LoggedHead: BitwiseCopyable {
    /// Of those fields only; their names and values, one behind the other.
    var head: MessageHead
    var bytes: PooledBuffer
    /// The body of an answer of our own.
    var localBody = PooledBuffer.none
}

extension TraceDecision {
    /// Puts the trace fields among a request's edits.
    func apply(to edits: inout EditList, scratch: inout PooledBuffer) {
        guard let context else { return }
        if self.edits.contains(.setTraceparent) {
            edits.drop(.traceparent)
            edits.add(.traceparent, scratch.store(context))
        }
        if self.edits.contains(.removeTracestate) { edits.drop(.tracestate) }
        if self.edits.contains(.setB3Single) {
            edits.drop(.b3)
            edits.add(.b3, scratch.store(B3.singleText(context)))
        }
        if self.edits.contains(.setB3Multi) {
            edits.drop(.xB3Traceid)
            edits.drop(.xB3Spanid)
            edits.drop(.xB3Parentspanid)
            edits.drop(.xB3Sampled)
            edits.drop(.xB3Flags)
            edits.add(.xB3Traceid, scratch.store(B3.traceText(context)))
            edits.add(.xB3Spanid, scratch.store(B3.spanText(context)))
            edits.add(.xB3Sampled, ByteView(context.isSampled ? "1" : "0"))
        }
    }
}

extension PooledBuffer {
    /// The value of a `traceparent` field.
    mutating func store(_ context: TraceContext) -> ByteView {
        let start = self.count
        return Traceparent.append(context, to: &self) ? view.dropFirst(start) : ByteView("")
    }

    /// Copies a short text of fixed length in.
    mutating func store<let count: Int>(_ text: InlineArray<count, UInt8>) -> ByteView {
        let start = self.count
        return append(text) ? view.dropFirst(start) : ByteView("")
    }
}
