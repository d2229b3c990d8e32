import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Reactor
import TLSEngine
import Telemetry
import TrafficPolicy

/// Connections to endpoints: from the handshake to the pool, and the answers that come as HTTP/1.1.
extension Worker {
    // MARK: Opening

    mutating func beginHandshake(_ id: SlabID, _ session: TLSSession) {
        flushStaged()
        transport.clearInput()
        let progress = session.handshake()
        sendCipher(id)
        switch progress {
        case .wantsInput: if connections[id].mayRead { enqueue(id) }
        case .failed(let failure): handshakeFailed(id, failure)
        case .done: handshakeDone(id)
        }
    }

    /// The connection can carry requests: those that wait for it get it.
    mutating func upstreamOpen(_ id: SlabID) {
        connections[id].phase = .open
        connections[id].lastUsed = now
        let (slot, host) = (Int(connections[id].cluster), Int(connections[id].endpoint))
        clusters[slot].hosts[host].connecting -= 1
        connections[id].isConnecting = false
        let wanted = clusters[slot].record?.value.upstreamProtocol ?? .http1
        let agreed = connections[id].tls?.applicationProtocol
        let isHTTP2 = wanted == .http2 || (wanted == .auto && agreed == .http2)
        if connections[id].isTunnelOnly { return tunnelOpen(id) }
        clusters[slot].hosts[host].spoken = isHTTP2 ? .http2 : .http1
        if isHTTP2 {
            counters.add(clusterScope(id), .upstreamCxHttp2Total)
            startHTTP2Upstream(id)
        } else {
            counters.add(clusterScope(id), .upstreamCxHttp1Total)
            connections[id].codec = .http1
            offer(id)
        }
        // The others wait for connections of their own, if this one does not take them all.
        connectIfNeeded(slot, host, priority: 0)
        if connections[id].mayRead { enqueue(id) }
    }

    /// A free HTTP/1.1 connection: for the request that has waited longest, else into the pool.
    mutating func offer(_ id: SlabID) {
        let (slot, host) = (Int(connections[id].cluster), Int(connections[id].endpoint))
        let waiting = clusters[slot].hosts[host].pendingFirst
        if !waiting.isNone {
            leavePending(waiting)
            return attach(waiting, id)
        }
        guard clusters[slot].hosts[host].isCurrent, clusters[slot].record != nil else {
            counters.add(clusterScope(id), .upstreamCxDestroyLocal)
            return close(id)
        }
        pushIdle(id)
        connections[id].lastUsed = now
        let idle = clusters[slot].record?.value.idleTimeout ?? 0
        if idle > 0, connections[id].timerAt == .distantFuture {
            setTimer(id, at: now.advanced(byNanoseconds: idle))
        }
        if clusters[slot].process.with({ $0.isStarved }) { relieveOthers() }
    }

    /// After an answer: whether the connection can carry another request decides where it goes.
    mutating func releaseHTTP1Upstream(_ id: SlabID, isReusable: Bool) {
        guard connections.contains(id), connections[id].phase != .closed else { return }
        connections[id].exchange = .none
        connections[id].isPaused = false
        let record = clusters[Int(connections[id].cluster)].record?.value
        var closes =
            !isReusable || connections[id].isDraining || connections[id].readEnded
            || connections[id].writeFailed
        if !connections[id].remainder.isEmpty { closes = true }
        if let most = record?.maxRequests, most > 0, connections[id].requests >= UInt32(most) {
            counters.add(clusterScope(id), .upstreamCxMaxRequests)
            closes = true
        }
        if let longest = record?.maxConnectionDuration, longest > 0,
            now.nanoseconds(since: connections[id].opened) >= longest
        {
            counters.add(clusterScope(id), .upstreamCxMaxDurationReached)
            closes = true
        }
        if closes
            || stopping != .no
                && clusters[Int(connections[id].cluster)].hosts[Int(connections[id].endpoint)].pendingCount
                    == 0
        {
            counters.add(clusterScope(id), .upstreamCxDestroyLocal)
            if let session = connections[id].tls, connections[id].phase == .open {
                flushStaged()
                session.shutdown()
                sendCipher(id)
            }
            return close(id)
        }
        offer(id)
    }

    // MARK: Reading answers

    mutating func takeAnswers(_ id: SlabID, _ bytes: ByteView) -> Int {
        var taken = 0
        while connections[id].phase == .open, !connections[id].isPaused, connections[id].codec == .http1 {
            let rest = bytes.dropFirst(taken)
            if rest.isEmpty { break }
            let exchange = connections[id].exchange
            guard !exchange.isNone else {
                // Nobody asked for anything: what comes cannot be an answer to the next request.
                counters.add(clusterScope(id), .upstreamCxProtocolError)
                counters.add(clusterScope(id), .upstreamCxDestroyLocal)
                close(id)
                return bytes.count
            }
            if exchanges[exchange].phase == .sent {
                guard let count = takeAnswerHead(id, exchange, rest) else { break }
                taken += count
            } else {
                let (count, goesOn) = takeAnswerBody(id, exchange, rest)
                taken += count
                if !goesOn { break }
            }
        }
        if connections[id].codec == .tunnel, connections[id].phase == .open, taken < bytes.count {
            taken += takeTunnelled(id, bytes.dropFirst(taken))
        }
        return taken
    }

    private static var answerLimits: HTTP1Limits { HTTP1Limits() }

    private mutating func takeAnswerHead(_ id: SlabID, _ exchange: SlabID, _ bytes: ByteView) -> Int? {
        // The progress refers to the head as it was read so far; several connections share `answer`, so a head
        // that comes in pieces is read from its beginning.
        answer.reset()
        var progress = HeadProgress()
        let result = HTTP1Parser.parseResponse(
            bytes, to: heads[exchange].method, into: &answer, progress: &progress,
            limits: Self.answerLimits)
        switch result {
        case .needsMore: return nil
        case .invalid:
            counters.add(clusterScope(id), .upstreamCxProtocolError)
            attemptFailed(exchange, .protocolError)
            return nil
        case .complete: break
        }
        let length = Int(answer.length)
        let head = bytes.prefix(length)
        if answer.status < 200, answer.status != 101 {
            informational(exchange, head)
            return length
        }
        exchanges[exchange].answerDecoder = BodyDecoder(answer.body)
        exchanges[exchange].upstreamKeepsAlive = answer.keepsAlive
        let after = bytes.dropFirst(length)
        var isComplete = exchanges[exchange].answerDecoder.isFinished
        var whole = length
        if case .bytes(let count) = answer.body, Int64(after.count) >= count {
            isComplete = true
            whole += Int(count)
        }
        switch answerHead(exchange, head, isComplete: isComplete) {
        case .passed:
            if exchanges.contains(exchange), exchanges[exchange].phase == .answering,
                exchanges[exchange].answerDecoder.isFinished
            {
                answerEnded(exchange, trailers: ByteView(""))
            }
            return length
        case .skipped: return isComplete ? whole : length
        }
    }

    private mutating func takeAnswerBody(
        _ id: SlabID, _ exchange: SlabID, _ bytes: ByteView
    ) -> (taken: Int, goesOn: Bool) {
        if exchanges[exchange].answerHasTrailers { return takeAnswerTrailers(exchange, bytes) }
        let (count, event) = exchanges[exchange].answerDecoder.next(bytes)
        switch event {
        case .data(let range):
            answerBody(exchange, bytes[range])
            if exchanges.contains(exchange), exchanges[exchange].phase == .answering,
                exchanges[exchange].answerDecoder.isFinished
            {
                answerEnded(exchange, trailers: ByteView(""))
            }
        case .trailers:
            if exchanges[exchange].framing == .stream || exchanges[exchange].chain.value.http.enablesTrailers
            {
                exchanges[exchange].answerHasTrailers = true
            }
        case .end: answerEnded(exchange, trailers: ByteView(""))
        case .needsMore: return (count, false)
        case .invalid:
            counters.add(clusterScope(id), .upstreamCxProtocolError)
            attemptFailed(exchange, .protocolError)
            return (count, false)
        }
        return (count, true)
    }

    private mutating func takeAnswerTrailers(_ exchange: SlabID, _ bytes: ByteView) -> (
        taken: Int, goesOn: Bool
    ) {
        var head = MessageHead()
        var progress = HeadProgress()
        switch HTTP1Parser.parseTrailers(bytes, into: &head, progress: &progress) {
        case .needsMore: return (0, false)
        case .invalid:
            attemptFailed(exchange, .protocolError)
            return (0, false)
        case .complete:
            exchanges[exchange].answerDecoder.trailersRead()
            exchanges[exchange].answerHasTrailers = false
            let section = bytes.prefix(Int(head.length))
            var kept = pool.take(section.count)
            Self.appendTrailers(head, section, to: &kept)
            answerEnded(exchange, trailers: kept.view)
            pool.give(&kept)
            return (section.count, true)
        }
    }

    /// The lines of a trailer section that may be forwarded, without the empty line.
    static func appendTrailers(
        _ head: borrowing @_addressable MessageHead, _ bytes: ByteView, to buffer: inout PooledBuffer
    ) {
        for index in 0..<head.count {
            let field = head.field(index)
            if field.isConnectionOption || field.name.isHopByHop { continue }
            _ = buffer.append(bytes[Int(field.nameStart)..<Int(field.lineEnd)])
        }
    }

    // MARK: Ending

    /// The peer's FIN, or an error, on a connection to an endpoint.
    mutating func upstreamEnded(_ id: SlabID, cause: EndCause) {
        switch connections[id].phase {
        case .connecting, .handshaking: return connectEnded(id, .connectFailed)
        case .open: break
        case .inspecting, .closing, .lingering, .closed: return close(id)
        }
        switch connections[id].codec {
        case .http2: return upstreamSessionEnded(id)
        case .tunnel: return tunnelEnded(id, cause: cause)
        case .http1, .undecided: break
        }
        let exchange = connections[id].exchange
        counters.add(clusterScope(id), .upstreamCxDestroy)
        counters.add(clusterScope(id), .upstreamCxDestroyRemote)
        guard !exchange.isNone else { return close(id) }
        counters.add(clusterScope(id), .upstreamCxDestroyWithActiveRq)
        counters.add(clusterScope(id), .upstreamCxDestroyRemoteWithActiveRq)
        if exchanges[exchange].phase == .answering, cause == .finished,
            case .end = exchanges[exchange].answerDecoder.connectionEnded()
        {
            exchanges[exchange].upstreamKeepsAlive = false
            return answerEnded(exchange, trailers: ByteView(""))
        }
        if exchanges[exchange].phase == .answering, cause == .finished {
            exchanges[exchange].record.flags.insert(.upstreamProtocolError)
        }
        attemptFailed(
            exchange,
            exchanges[exchange].phase == .answering
                ? .resetMidAnswer
                : .resetBeforeAnswer(
                    sent: exchanges[exchange].delivery(sentBytes: connections[id].sentInAttempt),
                    wasReused: exchanges[exchange].usesReusedConnection))
    }

    mutating func upstreamTimerFired(_ id: SlabID) {
        switch connections[id].phase {
        case .connecting, .handshaking: connectEnded(id, .connectTimedOut)
        case .inspecting, .closing, .lingering: close(id)
        case .closed: break
        case .open:
            let idle = clusters[Int(connections[id].cluster)].record?.value.idleTimeout ?? 0
            guard idle > 0 else { return }
            let isIdle =
                connections[id].isIdle || (connections[id].codec == .http2 && connections[id].streams == 0)
            let limit = connections[id].lastUsed.advanced(byNanoseconds: idle)
            if !isIdle || now < limit {
                return setTimer(id, at: isIdle ? limit : now.advanced(byNanoseconds: idle))
            }
            counters.add(clusterScope(id), .upstreamCxIdleTimeout)
            counters.add(clusterScope(id), .upstreamCxDestroyLocal)
            close(id)
        }
    }
}

/// How a connection's reading side ended.
enum EndCause: Equatable { case finished, reset }
