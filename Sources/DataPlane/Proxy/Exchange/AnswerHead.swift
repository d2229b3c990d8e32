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
    mutating func sendAnswerHead(_ exchange: SlabID, _ bytes: ByteView) {
        edits.reset(dropping: answerDropMask)
        scratch.removeAll()
        let waited = now.nanoseconds(since: exchanges[exchange].attemptStarted)
        edits.add(.xEnvoyUpstreamServiceTime, scratch.store(decimal: Int(waited / 1_000_000)))
        editAnswer(exchange)
        if exchanges[exchange].hasRoute {
            let weighted = exchanges[exchange].weighted
            let index =
                weighted >= 0
                ? exchanges[exchange].route.value.clusters[Int(weighted)].answerEdits
                : exchanges[exchange].route.value.answerEdits
            if index >= 0 {
                let snapshot = shelf[exchanges[exchange].snapshot]
                applyEdits(snapshot.edits[Int(index)], of: snapshot, exchange, .answer(bytes))
            }
        }
        writeAnswerHead(exchange, bytes)
    }

    /// What every answer gets.
    private mutating func editAnswer(_ exchange: SlabID) {
        switch exchanges[exchange].chain.value.http.serverHeader {
        case .overwrite:
            edits.drop(.server)
            edits.add(.server, exchanges[exchange].chain.value.http.serverName)
        case .appendIfAbsent:
            if !answer.contains(.server) {
                edits.add(.server, exchanges[exchange].chain.value.http.serverName)
            }
        case .passThrough: break
        }
        if !answer.contains(.date) { edits.add(.date, dateText()) }
        if !exchanges[exchange].chain.value.http.via.isEmpty {
            edits.add(.via, exchanges[exchange].chain.value.http.via)
        }
        if exchanges[exchange].marksExhausted, exchanges[exchange].chain.value.http.isMesh {
            edits.add(.xMartletRetry, ByteView("exhausted"))
        }
        if exchanges[exchange].attempts > 0,
            exchanges[exchange].chain.value.http.routes.hosts[Int(exchanges[exchange].host)]
                .attemptCountInResponse
        {
            edits.drop(.xEnvoyAttemptCount)
            edits.add(.xEnvoyAttemptCount, scratch.store(decimal: Int(exchanges[exchange].attempts)))
        }
        if exchanges[exchange].chain.value.http.setsRequestIDInResponse { addRequestID(exchange) }
        editRateLimit(exchange)
    }

    private mutating func addRequestID(_ exchange: SlabID) {
        edits.drop(.xRequestID)
        if !exchanges[exchange].record.requestID.isNone {
            let start = scratch.count
            _ = exchanges[exchange].record.requestID.append(to: &scratch)
            edits.add(.xRequestID, scratch.view.dropFirst(start))
        } else if let value = heads[exchange].value(
            of: .xRequestID, in: exchanges[exchange].headBytes.view)
        {
            edits.add(.xRequestID, value)
        }
    }

    /// `x-ratelimit-*` in the form of draft 03 of RateLimit Fields, as Envoy writes them, and `retry-after`.
    private mutating func editRateLimit(_ exchange: SlabID) {
        guard exchanges[exchange].rateLimitRecord >= 0 else { return }
        let snapshot = shelf[exchanges[exchange].snapshot]
        let record = snapshot.rateLimits.reference(Int(exchanges[exchange].rateLimitRecord))
        if let decision = exchanges[exchange].rateLimit {
            if record.value.sendsHeaders {
                edits.add(.xRatelimitLimit, scratch.store(decimal: Int(decision.limit)))
                edits.add(.xRatelimitRemaining, scratch.store(decimal: Int(decision.remaining)))
                edits.add(.xRatelimitReset, scratch.store(decimal: Int(decision.resetSeconds)))
            }
            if record.value.sendsRetryAfter, exchanges[exchange].isRateLimited {
                edits.add(.retryAfter, scratch.store(decimal: Int(decision.retryAfterSeconds)))
            }
        }
        if exchanges[exchange].isRateLimited, record.value.answerEdits >= 0 {
            applyEdits(
                snapshot.edits[Int(record.value.answerEdits)], of: snapshot, exchange, .answer(ByteView("")))
        }
    }

    // MARK: Of our own

    /// Answers without an upstream, or in its place. Whatever the attempt held has been given back before.
    mutating func answerLocally(_ exchange: SlabID, _ local: LocalAnswer) {
        guard exchanges[exchange].phase != .ended else { return }
        exchanges[exchange].record.flags.formUnion(local.flag)
        exchanges[exchange].record.details = local.details
        exchanges[exchange].record.upstreamReset = local.reset
        exchanges[exchange].status = local.status
        exchanges[exchange].phase = .answering
        if !exchanges[exchange].requestEnded { exchanges[exchange].closesDownstream = true }
        scratch.removeAll()
        let body = localBody(local)
        edits.reset(dropping: 0)
        answer.reset()
        answer.status = local.status
        if let grpc = grpcStatus(exchange, local) { return answerGRPC(exchange, grpc, body) }
        answer.body = .bytes(Int64(body.count))
        let isRedirect = !exchanges[exchange].location.isEmpty
        if isRedirect { edits.add(.location, exchanges[exchange].location.view) }
        if !body.isEmpty {
            edits.add(.contentType, ByteView("text/plain"))
        }
        if local.status >= 200, local.status != 204, local.status != 304 {
            edits.add(.contentLength, scratch.store(decimal: body.count))
        }
        if local.isOverload { edits.add(.xEnvoyOverloaded, ByteView("true")) }
        if local.status == 426 {
            edits.add(.upgrade, ByteView("HTTP/1.1"))
        }
        editAnswer(exchange)
        if exchanges[exchange].chain.value.http.sendsProxyStatus, !local.proxyStatus.view.isEmpty {
            addProxyStatus(exchange, local)
        }
        if exchanges[exchange].hasRoute, exchanges[exchange].route.value.answerEdits >= 0 {
            let snapshot = shelf[exchanges[exchange].snapshot]
            applyEdits(
                snapshot.edits[Int(exchanges[exchange].route.value.answerEdits)], of: snapshot, exchange,
                .answer(ByteView("")))
        }
        writeAnswerHead(exchange, ByteView(""))
        if !body.isEmpty, exchanges[exchange].framing != .none { writeAnswerBody(exchange, body) }
        finishLocally(exchange)
    }

    private mutating func finishLocally(_ exchange: SlabID) {
        guard exchanges.contains(exchange), exchanges[exchange].phase != .ended else { return }
        exchanges[exchange].answerEnded = true
        if exchanges[exchange].framing == .stream {
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
    private mutating func addProxyStatus(_ exchange: SlabID, _ local: LocalAnswer) {
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
    private func grpcStatus(_ exchange: SlabID, _ local: LocalAnswer) -> Int? {
        let bytes = exchanges[exchange].headBytes.view
        guard let type = heads[exchange].value(of: .contentType, in: bytes),
            type.equals("application/grpc") || type.hasPrefix("application/grpc+")
                || type.hasPrefix("application/grpc;")
        else { return nil }
        switch local.status {
        case 400: return 13
        case 401: return 16
        case 403: return 7
        case 404: return 12
        case 429: return exchanges[exchange].isRateLimited && rateLimitIsResourceExhausted(exchange) ? 8 : 14
        case 502, 503, 504: return 14
        default: return 2
        }
    }

    private func rateLimitIsResourceExhausted(_ exchange: SlabID) -> Bool {
        let index = exchanges[exchange].rateLimitRecord
        return index >= 0 && shelf[exchanges[exchange].snapshot].rateLimits[Int(index)].asResourceExhausted
    }

    private mutating func answerGRPC(
        _ exchange: SlabID, _ status: Int, _ message: ByteView
    ) {
        answer.status = 200
        answer.body = .bytes(0)
        exchanges[exchange].status = 200
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
        if exchanges[exchange].record.upstreamReset == .overflow {
            edits.add(.xEnvoyOverloaded, ByteView("true"))
        }
        exchanges[exchange].record.grpcStatus = Int8(status)
        if exchanges[exchange].downstreamStream == 0 { edits.add(.contentLength, ByteView("0")) }
        editAnswer(exchange)
        writeAnswerHead(exchange, ByteView(""))
        finishLocally(exchange)
    }

    private static func hexadecimal(_ nibble: UInt8) -> UInt8 { nibble < 10 ? nibble + 0x30 : nibble + 0x37 }

    mutating func redirect(_ exchange: SlabID) {
        counters.add(exchanges[exchange].chain.value.http.scope, .rqRedirect)
        let record = shelf[exchanges[exchange].snapshot].redirects[
            Int(exchanges[exchange].route.value.redirect)]
        let bytes = exchanges[exchange].headBytes.view
        let isTLS = connections[exchanges[exchange].downstream].tls != nil
        var location = pool.take(BufferPool.sizes.large)
        _ = location.append(record.scheme.isEmpty ? ByteView(isTLS ? "https" : "http") : record.scheme)
        _ = location.append("://")
        var authority = bytes[heads[exchange].authority.range]
        if !record.host.isEmpty { authority = record.host }
        if record.port > 0 || (!record.scheme.isEmpty && record.host.isEmpty) {
            authority = authority.prefix(RouteTable.portColon(authority) ?? authority.count)
        }
        _ = location.append(authority)
        if record.port > 0 {
            _ = location.append(":")
            _ = location.append(decimal: Int(record.port))
        }
        let target = bytes[heads[exchange].path.range]
        let mark = target.firstIndex(of: UInt8(ascii: "?")) ?? target.count
        if record.hasPath {
            _ = location.append(record.path)
        } else if record.hasPrefix {
            _ = location.append(record.prefix)
            _ = location.append(target.prefix(mark).dropFirst(exchanges[exchange].route.value.path.count))
        } else {
            _ = location.append(target.prefix(mark))
        }
        let hasOwnQuery = record.hasPath && record.path.firstIndex(of: UInt8(ascii: "?")) != nil
        if !record.stripsQuery, !hasOwnQuery { _ = location.append(target.dropFirst(mark)) }
        exchanges[exchange].location = location
        answerLocally(exchange, LocalAnswer(exchanges[exchange].route.value.status, details: .directResponse))
    }

    // MARK: Writing

    /// Puts a head out in the caller's protocol, and settles how the body is marked off.
    private mutating func writeAnswerHead(_ exchange: SlabID, _ bytes: ByteView) {
        exchanges[exchange].record.responseSendStarted = now.nanoseconds(since: exchanges[exchange].started)
        exchanges[exchange].record.responseHeadBytes = UInt32(answer.length)
        let id = exchanges[exchange].downstream
        if connections[id].codec == .http2 {
            exchanges[exchange].framing = .stream
            return sendStreamAnswer(exchange, bytes)
        }
        let status = answer.status
        let hasNoBody = heads[exchange].method == .head || status == 204 || status == 304
        if hasNoBody {
            exchanges[exchange].framing = .none
        } else {
            switch answer.body {
            case .none:
                exchanges[exchange].framing = .none
                // An HTTP/2 stream that ended with its head says nothing of a length.
                if !answer.contains(.contentLength), !edits.addsField(FieldName.contentLength.text) {
                    edits.add(.contentLength, ByteView("0"))
                }
            case .bytes: exchanges[exchange].framing = .length
            case .chunked, .untilClose, .untilStreamEnd:
                if heads[exchange].version == 10 {
                    exchanges[exchange].framing = .untilClose
                    exchanges[exchange].closesDownstream = true
                } else {
                    exchanges[exchange].framing = .chunked
                    edits.drop(.contentLength)
                    edits.add(.transferEncoding, ByteView("chunked"))
                }
            }
        }
        if process.isDraining.load(ordering: .relaxed) || process.isHealthFailed.load(ordering: .relaxed)
            || connections[id].closesAfterAnswer
            || connections[id].readEnded
        {
            exchanges[exchange].closesDownstream = true
        }
        if exchanges[exchange].closesDownstream {
            edits.add(.connection, ByteView(answer.status == 426 ? "upgrade, close" : "close"))
        } else if heads[exchange].version == 10 {
            edits.add(.connection, ByteView("keep-alive"))
        }
        stage(for: id)
        if stageBuffer.room < 4 << 10 + bytes.count {
            flushStaged()
            stage(for: id)
        }
        var isWhole = HTTP1Writer.appendStatusLine(answer.status, to: &stageBuffer)
        isWhole =
            stageBuffer.append(
                answer, bytes, editedBy: edits, keepsCase: exchanges[exchange].chain.value.http.keepsCase)
            && isWhole
        if !isWhole {
            // What was added does not fit in 64 KiB: the caller gets nothing it could misread.
            stageBuffer.removeAll()
            exchanges[exchange].closesDownstream = true
            cutAnswer(exchange)
        }
    }

    /// An interim answer: passed on, but for the 100 that we have given already.
    mutating func informational(_ exchange: SlabID, _ bytes: ByteView) {
        exchanges[exchange].lastMoved = now
        guard answer.status != 100, heads[exchange].version != 10 else { return }
        edits.reset(dropping: answerDropMask)
        let id = exchanges[exchange].downstream
        if connections[id].codec == .http2 { return sendStreamInformational(exchange, bytes) }
        stage(for: id)
        _ = HTTP1Writer.appendStatusLine(answer.status, to: &stageBuffer)
        _ = stageBuffer.append(
            answer, bytes, editedBy: edits, keepsCase: exchanges[exchange].chain.value.http.keepsCase)
    }

    /// `Expect: 100-continue` is answered by us (RFC 9110 section 10.1.1).
    mutating func sendContinue(_ exchange: SlabID) {
        let id = exchanges[exchange].downstream
        if connections[id].codec == .http2 { return sendStreamContinue(exchange) }
        write(id, ByteView("HTTP/1.1 100 Continue\r\n\r\n"))
        flushStaged()
    }

    /// The date of an answer (RFC 9110 section 5.6.7), made once a second.
    private mutating func dateText() -> ByteView {
        date.refresh(loop.wallClock)
        return scratch.store(date.text)
    }
}
