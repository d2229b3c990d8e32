import HTTP1Codec
import HTTP2Codec
import HTTPModel
import MeshModel
import MeshPrimitives
import Reactor
import Telemetry
import TrafficPolicy

/// The head of an answer on its way to the caller, whether an endpoint's or our own.
extension Worker {
    static func answerDropMask() -> UInt64 {
        EditList.mask([
            .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade, .te,
            .xEnvoyUpstreamServiceTime, .xMartletRetry,
        ])
    }

    // MARK: From an endpoint

    /// The head in `answer`, edited and sent on.
    @inline(__always)
    mutating func sendAnswerHead(_ exchange: ExchangePlace, _ bytes: ByteView) {
        edits.reset(dropping: answerDropMask)
        scratch.removeAll()
        let waited = now.nanoseconds(since: exchange.value.attemptStarted)
        exchange.value.record.upstreamServiceTime = waited
        if !exchange.chain.http.suppressesEnvoyHeaders {
            edits.add(.xEnvoyUpstreamServiceTime, scratch.store(decimal: Int(waited / 1_000_000)))
        }
        countAttempts(exchange)
        exchange.value.record.status = exchange.value.status
        if exchange.value.madeCookies != 0 { addMadeCookies(exchange) }
        applyRouteEdits(exchange, .answer(bytes))
        editRateLimit(exchange)
        applyFilterEdits(exchange, .answer(bytes))
        editAnswer(exchange, bytes)
        writeAnswerHead(exchange, bytes)
    }

    /// The changes that the route says, those of the chosen cluster included.
    private mutating func applyRouteEdits(_ exchange: ExchangePlace, _ head: EditedHead) {
        guard exchange.value.hasRoute else { return }
        let weighted = exchange.value.weighted
        let index =
            weighted >= 0
            ? exchange.route.clusters[Int(weighted)].answerEdits
            : exchange.route.answerEdits
        guard index >= 0 else { return }
        applyEdits(index, exchange, head)
        answerIsEdited = true
    }

    private mutating func countAttempts(_ exchange: ExchangePlace) {
        guard exchange.value.attempts > 0,
            exchange.chain.http.routes.hosts[Int(exchange.value.host)]
                .attemptCountInResponse
        else { return }
        edits.drop(.xEnvoyAttemptCount)
        edits.add(.xEnvoyAttemptCount, scratch.store(decimal: Int(exchange.value.attempts)))
    }

    /// What every answer gets, whatever the route's changes were.
    private mutating func editAnswer(_ exchange: ExchangePlace, _ bytes: ByteView) {
        switch exchange.chain.http.serverHeader {
        case .overwrite:
            edits.drop(.server)
            if answerIsEdited { edits.removeAdditions(FieldName.server.text) }
            edits.add(.server, exchange.chain.http.serverName)
        case .appendIfAbsent:
            if !answer.contains(.server), !answerIsEdited || !edits.adds(.server) {
                edits.add(.server, exchange.chain.http.serverName)
            }
        case .passThrough: break
        }
        if !answer.contains(.date), !answerIsEdited || !edits.adds(.date) {
            edits.add(.date, dateText())
        }
        answerIsEdited = false
        if !exchange.chain.http.via.isEmpty {
            edits.add(.via, exchange.chain.http.via)
        }
        if exchange.value.marksExhausted, exchange.chain.http.isMesh {
            edits.add(.xMartletRetry, ByteView("exhausted"))
        }
        if exchange.chain.http.setsRequestIDInResponse || exchange.value.tellsRequestID {
            addRequestID(exchange)
        }
        if exchange.chain.http.decoration != .none { decorateAnswer(exchange, bytes) }
    }

    private mutating func addRequestID(_ exchange: ExchangePlace) {
        edits.drop(.xRequestID)
        if exchange.value.setsRequestID {
            let start = scratch.count
            _ = exchange.value.record.requestID.append(to: &scratch)
            edits.add(.xRequestID, scratch.view.dropFirst(start))
        } else if let value = exchange.head.value(
            of: .xRequestID, in: exchange.value.headBytes.view)
        {
            edits.add(.xRequestID, value)
        }
    }

    /// `x-ratelimit-*` in the form of draft 03 of RateLimit Fields, as Envoy writes them, and `retry-after`.
    @inline(__always)
    private mutating func editRateLimit(_ exchange: ExchangePlace) {
        guard exchange.value.rateLimitRecord >= 0 else { return }
        let record = shelf.tables(exchange.value.snapshot).rateLimits.reference(
            Int(exchange.value.rateLimitRecord))
        if let decision = exchange.value.rateLimit {
            if record.value.sendsHeaders {
                edits.add(.xRatelimitLimit, scratch.store(decimal: Int(decision.limit)))
                edits.add(.xRatelimitRemaining, scratch.store(decimal: Int(decision.remaining)))
                edits.add(.xRatelimitReset, scratch.store(decimal: Int(decision.resetSeconds)))
            }
            if record.value.sendsRetryAfter, exchange.value.isRateLimited {
                edits.add(.retryAfter, scratch.store(decimal: Int(decision.retryAfterSeconds)))
            }
        }
        if exchange.value.earlierLimits.isAllocated { addEarlierLimits(exchange) }
        if exchange.value.isRateLimited, record.value.answerEdits >= 0 {
            applyEdits(record.value.answerEdits, exchange, .answer(ByteView("")))
            answerIsEdited = true
        }
    }

    /// What limits before the last one have said, the first one last, as filters see an answer.
    @inline(never)
    private mutating func addEarlierLimits(_ exchange: ExchangePlace) {
        let text = exchange.value.earlierLimits.view
        var end = text.count
        let names: InlineArray<3, FieldName> = [.xRatelimitReset, .xRatelimitRemaining, .xRatelimitLimit]
        var index = 0
        while end > 0 {
            var start = end - 1
            while start > 0, text[start - 1] != UInt8(ascii: " ") { start -= 1 }
            edits.add(names[index % names.count], text[start..<(end - 1)])
            index += 1
            end = start
        }
    }

    // MARK: Of our own

    /// Answers without an upstream, or in its place. Whatever the attempt held has been given back before.
    mutating func answerLocally(_ exchange: ExchangePlace, _ local: LocalAnswer) {
        guard exchange.value.phase != .ended else { return }
        if exchange.value.isMirror { return endMirror(exchange) }
        if exchange.value.isHedged {
            if exchange.value.rivalled != nil, isOutlived(exchange) { return }
            dropRivals(exchange)
        }
        exchange.value.record.flags.formUnion(local.flag)
        exchange.value.record.details = local.details
        exchange.value.record.upstreamReset = local.reset
        exchange.value.status = local.status
        exchange.value.phase = .answering
        if !exchange.value.requestEnded { exchange.value.closesDownstream = true }
        scratch.removeAll()
        let body = localBody(local)
        keepLocalBody(exchange, body)
        edits.reset(dropping: 0)
        answer.reset()
        answer.status = local.status
        if let grpc = grpcStatus(exchange, local) { return answerGRPC(exchange, local, grpc, body) }
        answer.body = .bytes(Int64(body.count))
        let isRedirect = !exchange.value.location.isEmpty
        if isRedirect { edits.add(.location, exchange.value.location.view) }
        if !body.isEmpty {
            edits.add(.contentType, ByteView("text/plain"))
        }
        if local.status >= 200, local.status != 204, local.status != 304 {
            edits.add(.contentLength, scratch.store(decimal: body.count))
        }
        if !exchange.chain.http.suppressesEnvoyHeaders {
            if local.details == .dropOverload {
                edits.add(ByteView("x-envoy-drop-overload"), ByteView("true"))
            } else if local.details == .unconditionalDropOverload {
                edits.add(ByteView("x-envoy-unconditional-drop-overload"), ByteView("true"))
            }
        }
        if local.isOverload { edits.add(.xEnvoyOverloaded, ByteView("true")) }
        if local.status == 426 {
            edits.add(.upgrade, ByteView("HTTP/1.1"))
        }
        countAttempts(exchange)
        if !local.skipsRouteEdits { applyRouteEdits(exchange, .answer(ByteView(""))) }
        editRateLimit(exchange)
        applyFilterEdits(exchange, .answer(ByteView("")))
        editAnswer(exchange, ByteView(""))
        if exchange.chain.http.sendsProxyStatus, !local.proxyStatus.view.isEmpty {
            addProxyStatus(exchange, local)
        }
        writeAnswerHead(exchange, ByteView(""))
        if !body.isEmpty, exchange.value.framing != .none { writeAnswerBody(exchange, body) }
        finishLocally(exchange)
    }

    private mutating func finishLocally(_ exchange: ExchangePlace) {
        guard exchange.isInUse, exchange.value.phase != .ended else { return }
        exchange.value.answerEnded = true
        if exchange.value.framing == .stream {
            finishStreamAnswer(exchange, trailers: ByteView(""))
        } else {
            finishHTTP1Answer(exchange, trailers: ByteView(""))
            end(exchange)
        }
    }

    private mutating func localBody(_ local: LocalAnswer) -> ByteView {
        guard local.reset != .none else { return local.body.view }
        let start = scratch.count
        _ = scratch.append("upstream connect error or disconnect/reset before headers. ")
        _ = scratch.append(local.isRetried ? "retried and the latest reset reason: " : "reset reason: ")
        _ = scratch.append(local.reset.words)
        return scratch.view.dropFirst(start)
    }

    /// RFC 9209: who answered, and why.
    private mutating func addProxyStatus(_ exchange: ExchangePlace, _ local: LocalAnswer) {
        let start = scratch.count
        _ = scratch.append("martlet; error=")
        _ = scratch.append(local.proxyStatus.view)
        _ = scratch.append("; details=\"")
        _ = scratch.append(local.details.text)
        if local.reset != .none {
            _ = scratch.append("{")
            _ = scratch.append(local.reset.text)
            _ = scratch.append("}")
        }
        _ = scratch.append("\"")
        edits.add(.proxyStatus, scratch.view.dropFirst(start))
    }

    /// A caller that speaks gRPC gets a gRPC status: 200, no body (grpc/grpc doc http-grpc-status-mapping).
    private func grpcStatus(_ exchange: ExchangePlace, _ local: LocalAnswer) -> Int? {
        guard RouteRecord.isGRPC(exchange.head, exchange.value.headBytes.view) else { return nil }
        if local.grpcStatus >= 0 { return Int(local.grpcStatus) }
        if exchange.value.isRateLimited, rateLimitIsResourceExhausted(exchange) { return 8 }
        switch local.status {
        case 400: return 13
        case 401: return 16
        case 403: return 7
        case 404: return 12
        case 429, 502, 503, 504: return 14
        default: return 2
        }
    }

    private func rateLimitIsResourceExhausted(_ exchange: ExchangePlace) -> Bool {
        let index = exchange.value.rateLimitRecord
        return index >= 0 && shelf.tables(exchange.value.snapshot).rateLimits[Int(index)].asResourceExhausted
    }

    private mutating func answerGRPC(
        _ exchange: ExchangePlace, _ local: LocalAnswer, _ status: Int, _ message: ByteView
    ) {
        answer.status = 200
        answer.body = .bytes(0)
        exchange.value.status = 200
        edits.add(.contentType, ByteView("application/grpc"))
        edits.add(.grpcStatus, scratch.store(decimal: status))
        if !message.isEmpty {
            let start = scratch.count
            // Percent-encoded (gRPC over HTTP/2, Status-Message): everything outside 0x20 to 0x7e, and the percent sign.
            for index in message.indices {
                let byte = message[index]
                if byte >= 0x20, byte <= 0x7e, byte != UInt8(ascii: "%") {
                    _ = scratch.append(byte)
                } else {
                    _ = scratch.append("%")
                    _ = scratch.append(Self.hexadecimal(byte >> 4))
                    _ = scratch.append(Self.hexadecimal(byte & 15))
                }
            }
            edits.add(.grpcMessage, scratch.view.dropFirst(start))
        }
        if exchange.value.record.upstreamReset == .overflow {
            edits.add(.xEnvoyOverloaded, ByteView("true"))
        }
        exchange.value.record.grpcStatus = Int8(status)
        if exchange.value.downstreamStream == 0 { edits.add(.contentLength, ByteView("0")) }
        countAttempts(exchange)
        if !local.skipsRouteEdits { applyRouteEdits(exchange, .answer(ByteView(""))) }
        editRateLimit(exchange)
        applyFilterEdits(exchange, .answer(ByteView("")))
        editAnswer(exchange, ByteView(""))
        writeAnswerHead(exchange, ByteView(""))
        finishLocally(exchange)
    }

    private static func hexadecimal(_ nibble: UInt8) -> UInt8 { nibble < 10 ? nibble + 0x30 : nibble + 0x37 }

    // MARK: Writing

    /// Puts a head out in the caller's protocol, and settles how the body is marked off.
    private mutating func writeAnswerHead(_ exchange: ExchangePlace, _ bytes: ByteView) {
        exchange.value.record.responseSendStarted = now.nanoseconds(since: exchange.value.started)
        exchange.value.record.responseHeadBytes = UInt32(answer.length)
        keepForLog(exchange, bytes)
        let connection = exchange.value.downstream
        if connection.value.codec == .http2 {
            exchange.value.framing = .stream
            return sendStreamAnswer(exchange, bytes)
        }
        let status = answer.status
        let hasNoBody =
            exchange.head.method == .head || status == 204 || status == 304 || exchange.value.isTunnel
        if hasNoBody {
            exchange.value.framing = .none
        } else {
            switch answer.body {
            case .none:
                exchange.value.framing = .none
                // An HTTP/2 stream that ended with its head says nothing of a length.
                if !answer.contains(.contentLength), !edits.adds(.contentLength) {
                    edits.add(.contentLength, ByteView("0"))
                }
            case .bytes: exchange.value.framing = .length
            case .chunked, .untilClose, .untilStreamEnd:
                if exchange.head.version == 10 {
                    exchange.value.framing = .untilClose
                    exchange.value.closesDownstream = true
                } else {
                    exchange.value.framing = .chunked
                    edits.drop(.contentLength)
                    edits.add(.transferEncoding, ByteView("chunked"))
                }
            }
        }
        if process.isDraining.load(ordering: .relaxed) || process.isHealthFailed.load(ordering: .relaxed)
            || connection.value.closesAfterAnswer
            || connection.value.readEnded
        {
            exchange.value.closesDownstream = true
        }
        if exchange.value.closesDownstream, !exchange.value.isTunnel {
            edits.add(.connection, ByteView(answer.status == 426 ? "upgrade, close" : "close"))
        } else if exchange.head.version == 10 {
            edits.add(.connection, ByteView("keep-alive"))
        }
        stage(for: connection)
        if stageBuffer.room < 4 << 10 + bytes.count {
            flushStaged()
            stage(for: connection)
        }
        var isWhole = HTTP1Writer.appendStatusLine(answer.status, to: &stageBuffer)
        isWhole =
            stageBuffer.append(
                answer, bytes, editedBy: edits, names: answerNames(exchange))
            && isWhole
        if !isWhole {
            // What was added does not fit in 64 KiB: the caller gets nothing it could misread.
            stageBuffer.removeAll()
            exchange.value.closesDownstream = true
            cutAnswer(exchange)
        }
    }

    /// An endpoint's cluster decides whether names are kept, the connection manager what becomes of others.
    @inline(__always)
    func answerNames(_ exchange: ExchangePlace) -> NameCase {
        // Of our own answers none came with a name.
        if namesByCluster, exchange.value.upstream != nil, exchange.value.cluster >= 0,
            clusters[Int(exchange.value.cluster)].record?.value.keepsAnswerNames ?? false
        {
            return .kept
        }
        return exchange.chain.http.answerNames
    }

    /// An interim answer: passed on, but for a 100 that we have given already.
    mutating func informational(_ exchange: ExchangePlace, _ bytes: ByteView) {
        exchange.value.lastMoved = now
        // Of attempts beside each other none has been chosen yet.
        guard answer.status != 100 || exchange.chain.http.proxies100Continue, exchange.head.version != 10,
            !exchange.value.isHedged
        else { return }
        edits.reset(dropping: answerDropMask)
        let connection = exchange.value.downstream
        if connection.value.codec == .http2 { return sendStreamInformational(exchange, bytes) }
        stage(for: connection)
        _ = HTTP1Writer.appendStatusLine(answer.status, to: &stageBuffer)
        _ = stageBuffer.append(
            answer, bytes, editedBy: edits, names: answerNames(exchange))
    }

    /// `Expect: 100-continue` is answered by us (RFC 9110 section 10.1.1).
    mutating func sendContinue(_ exchange: ExchangePlace) {
        let connection = exchange.value.downstream
        if connection.value.codec == .http2 { return sendStreamContinue(exchange) }
        write(connection, ByteView("HTTP/1.1 100 Continue\r\n\r\n"))
        flushStaged()
    }

    /// The date of an answer (RFC 9110 section 5.6.7), made once a second.
    private mutating func dateText() -> ByteView {
        date.refresh(loop.wallClock)
        return date.text
    }
}
