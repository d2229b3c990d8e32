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
    mutating func takeRequests(_ id: SlabID, _ bytes: ByteView) -> Int {
        var taken = 0
        while connections[id].phase == .open, !connections[id].isPaused, connections[id].codec == .http1 {
            let rest = bytes.dropFirst(taken)
            let exchange = connections[id].exchange
            if exchange.isNone || exchanges[exchange].phase == .reading {
                if rest.isEmpty { break }
                guard let count = takeHead(id, rest) else { break }
                taken += count
            } else if exchanges[exchange].requestEnded {
                if rest.isEmpty { break }
                connections[id].isPaused = true
            } else {
                let (count, goesOn) = takeBody(id, exchange, rest)
                taken += count
                if !goesOn { break }
            }
        }
        if connections[id].codec == .tunnel, connections[id].phase == .open, taken < bytes.count {
            taken += takeTunnelled(id, bytes.dropFirst(taken))
        }
        return taken
    }

    /// Bytes of the head, or nil if it is not all there yet or is refused.
    private mutating func takeHead(_ id: SlabID, _ bytes: ByteView) -> Int? {
        var exchange = connections[id].exchange
        if exchange.isNone {
            refreshChain(id)
            let snapshot = connections[id].snapshot
            guard
                let new = insertExchange(
                    Exchange(
                        downstream: id, stream: 0, snapshot: snapshot,
                        chain: connectionChain(id), at: now))
            else {
                closeGracefully(id)
                return nil
            }
            shelf.use(snapshot)
            exchange = new
            connections[id].exchange = new
            connections[id].progress = HeadProgress()
            let wait = exchanges[exchange].chain.value.http.requestHeadersTimeout
            if wait > 0 { setTimer(id, at: now.advanced(byNanoseconds: wait)) }
        }
        let limits = exchanges[exchange].chain.value.http.limits
        let result = HTTP1Parser.parseRequest(
            bytes, into: &heads[exchange], progress: &connections[id].progress, limits: limits)
        switch result {
        case .needsMore: return nil
        case .invalid(let error):
            refuseHead(id, exchange, error)
            return nil
        case .complete: break
        }
        let length = Int(heads[exchange].length)
        exchanges[exchange].headBytes = pool.take(length)
        let fits = exchanges[exchange].headBytes.append(bytes.prefix(length))
        precondition(fits)
        connections[id].requests &+= 1
        connections[id].lastUsed = now
        exchanges[exchange].requestDecoder = BodyDecoder(heads[exchange].body)
        exchanges[exchange].requestEnded = exchanges[exchange].requestDecoder.isFinished
        begin(exchange)
        return length
    }

    private mutating func refuseHead(_ id: SlabID, _ exchange: SlabID, _ error: HTTP1Error) {
        let scope = exchanges[exchange].chain.value.http.scope
        counters.add(scope, .downstreamCxProtocolError)
        if error.status == 431 { counters.add(scope, .downstreamRqTooLarge) }
        heads[exchange].reset()
        exchanges[exchange].requestEnded = true
        exchanges[exchange].closesDownstream = true
        startRecord(exchange)
        answerLocally(exchange, LocalAnswer(refusing: error))
    }

    private mutating func takeBody(_ id: SlabID, _ exchange: SlabID, _ bytes: ByteView) -> (
        taken: Int, goesOn: Bool
    ) {
        if exchanges[exchange].trailersComing { return takeTrailers(exchange, bytes) }
        let (count, event) = exchanges[exchange].requestDecoder.next(bytes)
        switch event {
        case .data(let range):
            requestBody(exchange, bytes[range])
            if exchanges.contains(exchange), exchanges[exchange].requestDecoder.isFinished {
                requestBodyEnded(exchange)
            }
        case .trailers:
            // Whoever does not want them lets the decoder check and drop them.
            if exchanges[exchange].chain.value.http.enablesTrailers {
                exchanges[exchange].trailersComing = true
                connections[id].progress = HeadProgress()
                answer.reset()
            }
        case .end: requestBodyEnded(exchange)
        case .needsMore: return (count, false)
        case .invalid(let error):
            counters.add(exchanges[exchange].chain.value.http.scope, .downstreamCxProtocolError)
            requestBroken(exchange, error)
            return (count, false)
        }
        return (count, true)
    }

    private mutating func takeTrailers(_ exchange: SlabID, _ bytes: ByteView) -> (taken: Int, goesOn: Bool) {
        // Trailers are short and rare: they are read anew with each piece.
        var head = MessageHead()
        var progress = HeadProgress()
        switch HTTP1Parser.parseTrailers(bytes, into: &head, progress: &progress) {
        case .needsMore: return (0, false)
        case .invalid(let error):
            requestBroken(exchange, error)
            return (0, false)
        case .complete:
            exchanges[exchange].requestDecoder.trailersRead()
            exchanges[exchange].trailersComing = false
            let section = bytes.prefix(Int(head.length))
            exchanges[exchange].trailers = pool.take(section.count)
            Self.appendTrailers(head, section, to: &exchanges[exchange].trailers)
            requestBodyEnded(exchange)
            return (section.count, true)
        }
    }

    // MARK: Answers

    /// Bytes of the answer's body, marked off as its head said.
    mutating func writeAnswerBody(_ exchange: SlabID, _ bytes: ByteView) {
        let id = exchanges[exchange].downstream
        switch exchanges[exchange].framing {
        case .none: return
        case .length, .untilClose: write(id, bytes)
        case .chunked:
            stage(for: id)
            if stageBuffer.room < HTTP1Writer.chunkHeaderBytesMax + 2 {
                flushStaged()
                stage(for: id)
            }
            _ = HTTP1Writer.appendChunkHeader(size: bytes.count, to: &stageBuffer)
            write(id, bytes)
            write(id, ByteView("\r\n"))
        case .stream: writeStreamBody(exchange, bytes)
        }
        exchanges[exchange].record.bytesSent &+= UInt64(bytes.count)
    }

    /// The end of an answer over HTTP/1.1; the connection goes on with the next request or closes.
    mutating func finishHTTP1Answer(_ exchange: SlabID, trailers: ByteView) {
        let id = exchanges[exchange].downstream
        if exchanges[exchange].framing == .chunked {
            if trailers.isEmpty {
                write(id, ByteView("0\r\n\r\n"))
            } else {
                write(id, ByteView("0\r\n"))
                write(id, trailers)
                write(id, ByteView("\r\n"))
            }
        }
        if exchanges[exchange].framing == .untilClose || !exchanges[exchange].requestEnded {
            exchanges[exchange].closesDownstream = true
        }
    }

    /// The connection is free for its next request.
    mutating func releaseHTTP1Downstream(_ id: SlabID, closes: Bool) {
        guard connections[id].phase == .open else { return }
        connections[id].exchange = .none
        if closes || connections[id].closesAfterAnswer
            || (connections[id].readEnded && connections[id].remainder.isEmpty)
        {
            return closeGracefully(id)
        }
        connections[id].progress = HeadProgress()
        connections[id].lastUsed = now
        let chain = connectionChain(id)
        let idle = chain.value.http.idleTimeout
        if idle > 0, connections[id].timerAt == .distantFuture {
            setTimer(id, at: now.advanced(byNanoseconds: idle))
        }
        resume(id)
    }

    // MARK: The connection's own time

    mutating func downstreamTimerFired(_ id: SlabID) {
        if connections[id].phase == .lingering || connections[id].phase == .closing
            || connections[id].phase == .inspecting || connections[id].phase == .handshaking
        {
            if connections[id].phase == .inspecting, connections[id].listener >= 0,
                let snapshot = shelf.newest
            {
                let listener = Int(connections[id].listener)
                if listener < snapshot.listeners.count {
                    counters.add(snapshot.listeners[listener].scope, .downstreamPreCxTimeout)
                }
            }
            return close(id)
        }
        guard connections[id].phase == .open, connections[id].codec != .tunnel else { return }
        let chain = connectionChain(id)
        let exchange = connections[id].exchange
        if !exchange.isNone, exchanges[exchange].phase == .reading, chain.value.http.requestHeadersTimeout > 0
        {
            let limit = exchanges[exchange].started.advanced(
                byNanoseconds: chain.value.http.requestHeadersTimeout)
            if now < limit { return setTimer(id, at: limit) }
            counters.add(chain.value.http.scope, .downstreamRqHeaderTimeout)
            heads[exchange].reset()
            exchanges[exchange].closesDownstream = true
            exchanges[exchange].requestEnded = true
            startRecord(exchange)
            return answerLocally(exchange, .headNotInTime)
        }
        let isIdle =
            connections[id].codec == .http2
            ? connections[id].streams == 0 : exchange.isNone || exchanges[exchange].phase == .reading
        guard chain.value.http.idleTimeout > 0 else { return }
        let limit = connections[id].lastUsed.advanced(byNanoseconds: chain.value.http.idleTimeout)
        if !isIdle || now < limit {
            return setTimer(
                id, at: isIdle ? limit : now.advanced(byNanoseconds: chain.value.http.idleTimeout))
        }
        counters.add(chain.value.http.scope, .downstreamCxIdleTimeout)
        if !exchange.isNone { abandonReading(exchange) }
        if connections[id].codec == .http2 { return endHTTP2(id) }
        closeGracefully(id)
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
