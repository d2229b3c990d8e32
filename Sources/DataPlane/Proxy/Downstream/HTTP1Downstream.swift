import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Reactor
import Telemetry
import TrafficPolicy

/// Requests that come as HTTP/1.1, and the answers to them.
extension Worker {
    // MARK: Requests

    /// How many bytes were taken. One request is under way at a time; what is pipelined behind it waits.
    mutating func takeRequests(_ connection: ConnectionPlace, _ bytes: ByteView) -> Int {
        var taken = 0
        while connection.value.phase == .open, !connection.value.isPaused, connection.value.codec == .http1 {
            let rest = bytes.dropFirst(taken)
            let exchange = connection.value.exchange
            guard let exchange, exchange.value.phase != .reading else {
                if rest.isEmpty { break }
                guard let count = takeHead(connection, rest) else { break }
                taken += count
                continue
            }
            if exchange.value.requestEnded {
                if rest.isEmpty { break }
                connection.value.isPaused = true
            } else {
                let (count, goesOn) = takeBody(connection, exchange, rest)
                taken += count
                if !goesOn { break }
            }
        }
        if connection.value.codec == .tunnel, connection.value.phase == .open, taken < bytes.count {
            taken += takeTunnelled(connection, bytes.dropFirst(taken))
        }
        return taken
    }

    /// Bytes of the head, or nil if it is not all there yet or is refused.
    @inline(__always)
    private mutating func takeHead(_ connection: ConnectionPlace, _ bytes: ByteView) -> Int? {
        guard let exchange = connection.value.exchange ?? startReading(connection) else {
            closeGracefully(connection)
            return nil
        }
        let limits = exchange.chain.http.limits
        let result = HTTP1Parser.parseRequest(
            bytes, into: &exchange.head, progress: &connection.value.progress, limits: limits)
        switch result {
        case .needsMore: return nil
        case .invalid(let error):
            refuseHead(connection, exchange, error)
            return nil
        case .complete: break
        }
        adoptNewest(exchange, connection)
        let length = Int(exchange.head.length)
        exchange.value.headBytes = pool.take(length)
        let fits = exchange.value.headBytes.append(bytes.prefix(length))
        precondition(fits)
        connection.value.requests &+= 1
        connection.value.lastUsed = now
        exchange.value.requestDecoder = BodyDecoder(exchange.head.body)
        exchange.value.requestEnded = exchange.value.requestDecoder.isFinished
        begin(exchange)
        return length
    }

    /// The exchange of the connection's next request; nil if there is no place for one.
    @inline(__always)
    private mutating func startReading(_ connection: ConnectionPlace) -> ExchangePlace? {
        refreshChain(connection)
        guard let exchange = insertExchange(connection) else { return nil }
        connection.value.exchange = exchange
        connection.value.progress = HeadProgress()
        let wait = connection.chain.http.requestHeadersTimeout
        if wait > 0 { setTimer(connection, at: now.advanced(byNanoseconds: wait)) }
        return exchange
    }

    /// A head that took its time is routed by the configuration that is in force now that it is complete.
    @inline(__always)
    private mutating func adoptNewest(_ exchange: ExchangePlace, _ connection: ConnectionPlace) {
        guard exchange.value.snapshot != shelf.current else { return }
        refreshChain(connection)
        guard exchange.value.snapshot != connection.value.snapshot,
            let chain = connection.value.chainRecord
        else { return }
        shelf.use(connection.value.snapshot)
        shelf.release(exchange.value.snapshot)
        exchange.value.snapshot = connection.value.snapshot
        exchange.value.chain = chain
    }

    private mutating func refuseHead(
        _ connection: ConnectionPlace, _ exchange: ExchangePlace, _ error: HTTP1Error
    ) {
        let scope = exchange.chain.http.scope
        counters.add(scope, .downstreamCxProtocolError)
        if error.status == 431 { counters.add(scope, .downstreamRqTooLarge) }
        exchange.head.reset()
        exchange.value.requestEnded = true
        exchange.value.closesDownstream = true
        startRecord(exchange)
        answerLocally(exchange, LocalAnswer(refusing: error))
    }

    private mutating func takeBody(
        _ connection: ConnectionPlace, _ exchange: ExchangePlace, _ bytes: ByteView
    ) -> (
        taken: Int, goesOn: Bool
    ) {
        if exchange.value.trailersComing { return takeTrailers(exchange, bytes) }
        let (count, event) = exchange.value.requestDecoder.next(bytes)
        switch event {
        case .data(let range):
            requestBody(exchange, bytes[range])
            if exchange.isInUse, exchange.value.requestDecoder.isFinished {
                requestBodyEnded(exchange)
            }
        case .trailers:
            // Whoever does not want them lets the decoder check and drop them.
            if exchange.chain.http.enablesTrailers {
                exchange.value.trailersComing = true
                connection.value.progress = HeadProgress()
                answer.reset()
            }
        case .end: requestBodyEnded(exchange)
        case .needsMore: return (count, false)
        case .invalid(let error):
            counters.add(exchange.chain.http.scope, .downstreamCxProtocolError)
            requestBroken(exchange, error)
            return (count, false)
        }
        return (count, true)
    }

    private mutating func takeTrailers(_ exchange: ExchangePlace, _ bytes: ByteView) -> (
        taken: Int, goesOn: Bool
    ) {
        // Trailers are short and rare: they are read anew with each piece.
        var head = MessageHead()
        var progress = HeadProgress()
        switch HTTP1Parser.parseTrailers(bytes, into: &head, progress: &progress) {
        case .needsMore: return (0, false)
        case .invalid(let error):
            requestBroken(exchange, error)
            return (0, false)
        case .complete:
            exchange.value.requestDecoder.trailersRead()
            exchange.value.trailersComing = false
            let section = bytes.prefix(Int(head.length))
            exchange.value.trailers = pool.take(section.count)
            Self.appendTrailers(head, section, to: &exchange.value.trailers)
            requestBodyEnded(exchange)
            return (section.count, true)
        }
    }

    // MARK: Answers

    /// Bytes of the answer's body, marked off as its head said.
    @inline(__always)
    mutating func writeAnswerBody(_ exchange: ExchangePlace, _ bytes: ByteView) {
        let connection = exchange.value.downstream
        switch exchange.value.framing {
        case .none: return exchange.value.isInquiry ? keepInquiryBody(exchange, bytes) : ()
        case .length, .untilClose: write(connection, bytes)
        case .chunked: writeChunk(connection, bytes)
        case .stream: writeStreamBody(exchange, bytes)
        }
        exchange.value.record.bytesSent &+= UInt64(bytes.count)
    }

    /// One chunk (RFC 9112 section 7.1) of a body to either side.
    mutating func writeChunk(_ connection: ConnectionPlace, _ bytes: ByteView) {
        stage(for: connection)
        if stageBuffer.room < HTTP1Writer.chunkHeaderBytesMax + 2 {
            flushStaged()
            stage(for: connection)
        }
        _ = HTTP1Writer.appendChunkHeader(size: bytes.count, to: &stageBuffer)
        write(connection, bytes)
        write(connection, ByteView("\r\n"))
    }

    /// The end of an answer over HTTP/1.1; the connection goes on with the next request or closes.
    @inline(__always)
    mutating func finishHTTP1Answer(_ exchange: ExchangePlace, trailers: ByteView) {
        let connection = exchange.value.downstream
        if exchange.value.framing == .chunked {
            if trailers.isEmpty || !exchange.chain.http.enablesTrailers {
                write(connection, ByteView("0\r\n\r\n"))
            } else {
                write(connection, ByteView("0\r\n"))
                write(connection, trailers)
                write(connection, ByteView("\r\n"))
            }
        }
        if exchange.value.framing == .untilClose || !exchange.value.requestEnded {
            exchange.value.closesDownstream = true
        }
    }

    /// The connection is free for its next request.
    @inline(__always)
    mutating func releaseHTTP1Downstream(_ connection: ConnectionPlace, closes: Bool) {
        guard connection.value.phase == .open else { return }
        connection.value.exchange = .none
        if closes || connection.value.closesAfterAnswer
            || (connection.value.readEnded && connection.value.remainder.isEmpty)
        {
            return closeGracefully(connection)
        }
        connection.value.progress = HeadProgress()
        connection.value.lastUsed = now
        let idle = connection.chain.http.idleTimeout
        if connection.value.tls != nil {
            setTimer(connection, at: now.advanced(byNanoseconds: Self.quietMax))
        } else if idle > 0, connection.value.timerAt == .distantFuture {
            setTimer(connection, at: now.advanced(byNanoseconds: idle))
        }
        resume(connection)
    }

    // MARK: The connection's own time

    mutating func downstreamTimerFired(_ connection: ConnectionPlace) {
        if connection.value.phase == .lingering || connection.value.phase == .closing {
            return closingTimerFired(connection)
        }
        if connection.value.phase == .inspecting || connection.value.phase == .handshaking {
            if connection.value.phase == .inspecting {
                let listeners = shelf[connection.value.snapshot].listeners
                counters.add(listeners[Int(connection.value.listener)].scope, .downstreamPreCxTimeout)
            }
            return close(connection)
        }
        guard connection.value.phase == .open, connection.value.codec != .tunnel else { return }
        if let exchange = connection.value.exchange, exchange.value.phase != .reading {
            exchangeTimerFired(exchange)
            guard connection.isInUse, connection.value.phase == .open, connection.value.codec != .tunnel
            else {
                return
            }
        }
        let exchange = connection.value.exchange
        if let exchange, exchange.value.phase == .reading, connection.chain.http.requestHeadersTimeout > 0 {
            let limit = exchange.value.started.advanced(
                byNanoseconds: connection.chain.http.requestHeadersTimeout)
            if now < limit { return setTimer(connection, at: limit) }
            counters.add(connection.chain.http.scope, .downstreamRqHeaderTimeout)
            exchange.head.reset()
            exchange.value.closesDownstream = true
            exchange.value.requestEnded = true
            startRecord(exchange)
            return answerLocally(exchange, .headNotInTime)
        }
        let isIdle =
            connection.value.codec == .http2
            ? connection.value.streams == 0 : exchange.map { $0.value.phase == .reading } ?? true
        if connection.value.drainEnd != .distantFuture { return drainTimerFired(connection) }
        if connection.chain.http.maxConnectionDuration > 0, endsForAge(connection) { return }
        if isIdle, let session = connection.value.tls {
            let quiet = connection.value.lastUsed.advanced(byNanoseconds: Self.quietMax)
            if now < quiet { return setTimer(connection, at: quiet) }
            session.releaseBuffers()
        }
        guard connection.chain.http.idleTimeout > 0 else { return }
        let limit = connection.value.lastUsed.advanced(byNanoseconds: connection.chain.http.idleTimeout)
        if !isIdle || now < limit {
            return setTimer(
                connection,
                at: isIdle ? limit : now.advanced(byNanoseconds: connection.chain.http.idleTimeout))
        }
        counters.add(connection.chain.http.scope, .downstreamCxIdleTimeout)
        startDrain(connection)
    }

    /// A connection that has had its time takes no more requests; those under way end first. true: it has.
    private mutating func endsForAge(_ connection: ConnectionPlace) -> Bool {
        let end = connection.value.opened.advanced(
            byNanoseconds: connection.chain.http.maxConnectionDuration)
        guard now >= end else {
            setTimer(connection, at: end)
            return false
        }
        counters.add(connection.chain.http.scope, .downstreamCxMaxDurationReached)
        startDrain(connection)
        return true
    }

    // MARK: Draining

    /// Where the request under way is to be answered at any rate.
    static var drainMin: Int64 { 1_000_000 }

    /// The connection ends, but not before its peer has had a moment to learn of it, so that requests which crossed the
    /// news are still answered (`drain_timeout`): HTTP/2 is told by a first GOAWAY, HTTP/1.1 by the next answer.
    mutating func startDrain(_ connection: ConnectionPlace, waitMin: Int64 = 0) {
        guard connection.value.phase == .open, connection.value.drainEnd == .distantFuture else { return }
        // Nothing has come on it yet: there is nobody to be told, but a first request may be on its way.
        let isSilent = connection.value.codec == .undecided
        let wait = isSilent ? waitMin : max(connection.chain.http.drainTimeout, waitMin)
        connection.value.drainEnd = now.advanced(byNanoseconds: wait)
        if connection.value.codec != .http2 { connection.value.closesAfterAnswer = true }
        guard wait > 0 else { return endDrained(connection) }
        setTimer(connection, at: connection.value.drainEnd)
        guard connection.value.codec == .http2 else { return }
        connection.value.session?.with { $0.goAway(.notice) }
        enqueueFlush(connection)
    }

    private mutating func drainTimerFired(_ connection: ConnectionPlace) {
        if now < connection.value.drainEnd { return setTimer(connection, at: connection.value.drainEnd) }
        endDrained(connection)
    }

    private mutating func endDrained(_ connection: ConnectionPlace) {
        if connection.value.codec == .http2 {
            // Said once, it holds until the last stream has ended.
            return connection.value.closesAfterAnswer ? () : endHTTP2(connection)
        }
        if let exchange = connection.value.exchange {
            guard exchange.value.phase == .reading else { return }
            // Part of a head may be there: nobody has promised to answer it.
            abandonReading(exchange)
        }
        closeGracefully(connection)
    }

    /// The timer may have been set for something earlier than the end of the closing.
    private mutating func closingTimerFired(_ connection: ConnectionPlace) {
        let length =
            connection.value.phase == .lingering ? lingerMax(connection) : closingMax(connection)
        let limit = connection.value.lastUsed.advanced(byNanoseconds: length)
        if now < limit { return setTimer(connection, at: limit) }
        if let chain = connection.value.chainRecord, chain.value.kind == .http {
            counters.add(chain.value.http.scope, .downstreamCxDelayedCloseTimeout)
        }
        close(connection)
    }
}

extension LocalAnswer {
    /// A request that is not HTTP as we take it.
    init(refusing error: HTTP1Error) {
        let body: StaticString =
            switch error.status {
            case 426: "Upgrade Required"
            case 431: "Request Header Fields Too Large"
            case 417: "Expectation Failed"
            case 501: "Not Implemented"
            case 505: "HTTP Version Not Supported"
            default: "Bad Request"
            }
        let details: ResponseDetails =
            switch error {
            case .headTooLarge, .tooManyFields: .requestHeadersTooLarge
            case .lowVersion: .lowVersion
            case .missingHost: .missingHostHeader
            default: .downstreamCodecError
            }
        self.init(
            error.status, body, flag: .downstreamProtocolError, details: details,
            proxyStatus: "http_request_error")
    }
}
