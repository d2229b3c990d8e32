import HTTP1Codec
import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Reactor
import Telemetry
import TrafficPolicy

/// Exchanges whose caller, or whose endpoint, speaks HTTP/2: events of a session become the same calls that the
/// HTTP/1.1 side makes.
extension Worker {
    // MARK: Sessions

    mutating func startHTTP2(_ id: SlabID) {
        let chain = connectionChain(id)
        var settings = HTTP2Settings()
        settings.streamsMax = Int(min(chain.value.http.http2MaxStreams, 1024))
        settings.streamWindow = Int(chain.value.http.http2StreamWindow)
        settings.connectionWindow = Int(chain.value.http.http2ConnectionWindow)
        guard let session = HTTP2Session(role: .server, settings: settings) else { return close(id) }
        connections[id].session = sessions.insert(session)
        connections[id].codec = .http2
        counters.add(chain.value.http.scope, .downstreamCxHttp2Total)
        counters.add(chain.value.http.scope, .downstreamCxHttp2Active)
        enqueueFlush(id)
    }

    mutating func startHTTP2Upstream(_ id: SlabID) {
        let (slot, host) = (Int(connections[id].cluster), Int(connections[id].endpoint))
        var settings = HTTP2Settings()
        settings.streamsMax = 1024
        if let record = clusters[slot].record?.value {
            settings.streamWindow = Int(record.http2StreamWindow)
            settings.connectionWindow = Int(record.http2ConnectionWindow)
        }
        guard let session = HTTP2Session(role: .client, settings: settings) else {
            return connectEnded(id, .connectFailed)
        }
        connections[id].session = sessions.insert(session)
        connections[id].codec = .http2
        clusters[slot].hosts[host].shared.append(id)
        enqueueFlush(id)
        servePending(slot, host)
    }

    /// Waiting requests take the streams that there are.
    private mutating func servePending(_ slot: Int, _ host: Int) {
        while true {
            let waiting = clusters[slot].hosts[host].pendingFirst
            guard !waiting.isNone,
                let id = clusters[slot].hosts[host].shared.first(where: { canOpenStream($0) })
            else {
                return
            }
            leavePending(waiting)
            attach(waiting, id)
        }
    }

    func canOpenStream(_ id: SlabID) -> Bool {
        guard connections.contains(id), connections[id].phase == .open, !connections[id].isDraining else {
            return false
        }
        return connections[id].session?.with { $0.canOpenStream } ?? false
    }

    mutating func takeFrames(_ id: SlabID, _ bytes: ByteView) -> Int {
        guard let session = connections[id].session else { return bytes.count }
        let result = session.with { $0.receive(bytes, now: now) }
        takeEvents(id, session)
        flushSession(id)
        if case .failed = result {
            if connections[id].side == .upstream {
                counters.add(clusterScope(id), .upstreamCxProtocolError)
            } else {
                counters.add(connectionChain(id).value.http.scope, .downstreamCxProtocolError)
            }
            failSession(id)
            return bytes.count
        }
        if connections[id].phase == .open, session.with({ $0.isFinished }) { failSession(id) }
        if connections[id].pending.count >= Self.queuedHigh { connections[id].isPaused = true }
        return bytes.count
    }

    private mutating func takeEvents(_ id: SlabID, _ session: Unowned<HTTP2Session>) {
        while connections[id].phase == .open || connections[id].phase == .closing,
            let event = session.with({ $0.nextEvent() })
        {
            let exchange = Self.exchange(session.with { $0.eventTag })
            if connections[id].side == .downstream {
                downstreamEvent(id, session, event, exchange)
            } else {
                upstreamEvent(id, session, event, exchange)
            }
        }
    }

    private static func tag(_ exchange: SlabID) -> UInt64 {
        UInt64(exchange.generation) << 32 | UInt64(exchange.index)
    }

    private static func exchange(_ tag: UInt64) -> SlabID {
        SlabID(index: UInt32(truncatingIfNeeded: tag), generation: UInt32(truncatingIfNeeded: tag >> 32))
    }

    private func isLive(_ exchange: SlabID) -> Bool {
        exchanges.contains(exchange) && exchanges[exchange].phase != .ended
    }

    /// Frames leave together at the end of what is done now.
    mutating func enqueueFlush(_ id: SlabID) {
        guard !connections[id].isFlushQueued else { return }
        connections[id].isFlushQueued = true
        flushes.append(id)
    }

    mutating func flushSessions() {
        while let id = flushes.popLast() {
            guard connections.contains(id) else { continue }
            connections[id].isFlushQueued = false
            if connections[id].phase == .open || connections[id].phase == .closing { flushSession(id) }
        }
    }

    mutating func flushSession(_ id: SlabID) {
        guard let session = connections[id].session else { return }
        while connections[id].phase == .open || connections[id].phase == .closing,
            connections[id].pending.count < Self.queuedHigh, !connections[id].writeFailed
        {
            // The view dies with the next call on the session: it is written at once.
            guard let output = session.with({ $0.nextOutput() }) else { break }
            write(id, output)
            flushStaged()
            takeEvents(id, session)
        }
    }

    /// The socket has room again.
    mutating func sessionDrained(_ id: SlabID) {
        flushSession(id)
        guard connections.contains(id) else { return }
        resume(id)
    }

    /// The session cannot go on: its streams end, and the connection with what is still to be written.
    private mutating func failSession(_ id: SlabID) {
        if connections[id].side == .upstream { return upstreamSessionEnded(id) }
        endStreams(of: id)
        closeGracefully(id)
    }

    /// No more requests on this connection.
    mutating func endHTTP2(_ id: SlabID) {
        connections[id].session?.with { $0.goAway(.last(.noError)) }
        flushSession(id)
        connections[id].closesAfterAnswer = true
        if connections[id].streams == 0 { closeGracefully(id) }
    }

    // MARK: Callers

    private mutating func downstreamEvent(
        _ id: SlabID, _ session: Unowned<HTTP2Session>, _ event: HTTP2Event, _ exchange: SlabID
    ) {
        switch event {
        case .head(let stream, let length, let endsStream):
            startStream(id, session, stream, length, endsStream)
        case .headTooLarge(let stream, _):
            counters.add(connectionChain(id).value.http.scope, .downstreamRqTooLarge)
            fields.startResponse(status: 431)
            session.with {
                _ = $0.submitResponse(stream, fields, endsStream: true)
                $0.reset(stream, .noError)
            }
        case .data(let stream, let bytes, let endsStream):
            guard isLive(exchange) else { return session.with { $0.consumed(stream, bytes.count) } }
            if !bytes.isEmpty {
                requestBody(exchange, bytes)
                if isLive(exchange), exchanges[exchange].hasPausedDownstream {
                    exchanges[exchange].heldBackRequest += bytes.count
                } else {
                    session.with { $0.consumed(stream, bytes.count) }
                }
            }
            if endsStream { requestBodyEnded(exchange) }
        case .trailers:
            guard isLive(exchange) else { return }
            var head = MessageHead()
            if let bytes = session.with({ $0.readHead(into: &head) }) {
                exchanges[exchange].trailers = pool.take(bytes.count)
                Self.appendTrailers(head, bytes, to: &exchanges[exchange].trailers)
            }
            requestBodyEnded(exchange)
        case .ended: requestBodyEnded(exchange)
        case .reset:
            if isLive(exchange) { abandon(exchange) }
        case .windowOpened:
            if isLive(exchange) { continueStreamAnswer(exchange) }
        case .closed, .informational, .settings, .goAway, .pingAcknowledged: break
        }
    }

    private mutating func startStream(
        _ id: SlabID, _ session: Unowned<HTTP2Session>, _ stream: StreamID, _ length: Int, _ endsStream: Bool
    ) {
        refreshChain(id)
        let snapshot = connections[id].snapshot
        var exchange = Exchange(
            downstream: id, stream: stream.rawValue, snapshot: snapshot, chain: connectionChain(id), at: now)
        exchange.requestEnded = endsStream
        guard let new = insertExchange(exchange) else {
            return session.with { $0.reset(stream, .refusedStream) }
        }
        shelf.use(snapshot)
        connections[id].streams += 1
        connections[id].requests &+= 1
        connections[id].lastUsed = now
        session.with { $0.setTag(stream, Self.tag(new)) }
        var bytes = pool.take(length)
        let isWhole = session.with { $0.takeHead(into: &heads[new], bytes: &bytes) }
        exchanges[new].headBytes = bytes
        precondition(isWhole)
        begin(new)
    }

    /// A stream's exchange has ended.
    mutating func streamEnded(_ id: SlabID) {
        connections[id].streams -= 1
        connections[id].lastUsed = now
        if connections[id].closesAfterAnswer, connections[id].streams == 0 {
            flushSession(id)
            closeGracefully(id)
        }
    }

    mutating func endStreams(of id: SlabID) {
        for index in 0..<exchanges.indexEnd {
            guard let exchange = exchanges.id(at: index), exchanges[exchange].downstream == id else {
                continue
            }
            abandon(exchange)
        }
    }

    private func stream(_ exchange: SlabID) -> StreamID {
        StreamID(rawValue: exchanges[exchange].downstreamStream)
    }

    mutating func sendStreamAnswer(_ exchange: SlabID, _ bytes: ByteView) {
        let id = exchanges[exchange].downstream
        guard let session = connections[id].session else { return }
        fields.startResponse(status: Int(answer.status))
        Self.appendFields(answer, bytes, editedBy: edits, to: &fields)
        let isSent = session.with { $0.submitResponse(stream(exchange), fields, endsStream: false) }
        if !isSent { session.with { $0.reset(stream(exchange), .internalError) } }
        enqueueFlush(id)
    }

    mutating func sendStreamInformational(_ exchange: SlabID, _ bytes: ByteView) {
        let id = exchanges[exchange].downstream
        fields.startResponse(status: Int(answer.status))
        Self.appendFields(answer, bytes, editedBy: edits, to: &fields)
        connections[id].session?.with { _ = $0.submitInformational(stream(exchange), fields) }
        enqueueFlush(id)
    }

    mutating func sendStreamContinue(_ exchange: SlabID) {
        let id = exchanges[exchange].downstream
        fields.startResponse(status: 100)
        connections[id].session?.with { _ = $0.submitInformational(stream(exchange), fields) }
        enqueueFlush(id)
    }

    mutating func writeStreamBody(_ exchange: SlabID, _ bytes: ByteView) {
        let id = exchanges[exchange].downstream
        var accepted = 0
        if exchanges[exchange].answerQueue.isEmpty, let session = connections[id].session {
            accepted = session.with { $0.send(stream(exchange), bytes) }
        }
        if accepted < bytes.count {
            queues.append(bytes.dropFirst(accepted), to: &exchanges[exchange].answerQueue, pool: &pool)
        }
        enqueueFlush(id)
    }

    /// Flow control let go: what waited goes out.
    private mutating func continueStreamAnswer(_ exchange: SlabID) {
        let id = exchanges[exchange].downstream
        guard let session = connections[id].session else { return }
        while !exchanges[exchange].answerQueue.isEmpty {
            let view = queues.front(of: exchanges[exchange].answerQueue)
            let accepted = session.with { $0.send(stream(exchange), view) }
            queues.consume(accepted, from: &exchanges[exchange].answerQueue, pool: &pool)
            if accepted < view.count { break }
        }
        enqueueFlush(id)
        if exchanges[exchange].answerEnded {
            if exchanges[exchange].answerQueue.isEmpty {
                finishStreamAnswer(exchange, trailers: exchanges[exchange].answerTrailers.view)
            }
        } else if exchanges[exchange].answerQueue.count < Self.queuedLow {
            releaseAnswer(exchange)
        }
    }

    mutating func finishStreamAnswer(_ exchange: SlabID, trailers: ByteView) {
        let id = exchanges[exchange].downstream
        guard let session = connections[id].session else { return end(exchange) }
        if !exchanges[exchange].answerQueue.isEmpty {
            if !trailers.isEmpty, !exchanges[exchange].answerTrailers.isAllocated {
                exchanges[exchange].answerTrailers = pool.take(trailers.count)
                _ = exchanges[exchange].answerTrailers.append(trailers)
            }
            return
        }
        if trailers.isEmpty {
            session.with { _ = $0.finish(stream(exchange)) }
        } else {
            fillTrailers(trailers)
            session.with { _ = $0.submitTrailers(stream(exchange), fields) }
        }
        // The caller need not say the rest of a request that has its answer (RFC 9113 section 8.1).
        if !exchanges[exchange].requestEnded { session.with { $0.reset(stream(exchange), .noError) } }
        enqueueFlush(id)
        end(exchange)
    }

    /// Lines of trailers as HTTP/1.1 writes them, into `fields`.
    private mutating func fillTrailers(_ lines: ByteView) {
        fields.startTrailers()
        var rest = lines
        while let end = rest.firstIndex(of: 0x0d) {
            let line = rest.prefix(end)
            if let colon = line.firstIndex(of: UInt8(ascii: ":")) {
                fields.append(name: line.prefix(colon), value: line.dropFirst(colon + 1).trimmed)
            }
            rest = rest.dropFirst(end + 2)
        }
    }

    mutating func resetStream(_ exchange: SlabID) {
        let id = exchanges[exchange].downstream
        connections[id].session?.with { $0.reset(stream(exchange), .internalError) }
        enqueueFlush(id)
    }

    mutating func releaseStreamWindow(_ exchange: SlabID) {
        let id = exchanges[exchange].downstream
        let count = exchanges[exchange].heldBackRequest
        exchanges[exchange].heldBackRequest = 0
        connections[id].session?.with { $0.consumed(stream(exchange), count) }
        enqueueFlush(id)
    }

    // MARK: Endpoints

    mutating func sendStreamRequest(_ exchange: SlabID, _ id: SlabID) {
        guard let session = connections[id].session else { return attemptFailed(exchange, .refusedStream) }
        fillStreamRequest(exchange, scheme: ByteView(connections[id].tls == nil ? "http" : "https"))
        let endsStream =
            exchanges[exchange].requestEnded && exchanges[exchange].body.isEmpty
            && exchanges[exchange].trailers.isEmpty
        connections[id].streams += 1
        let opened = session.with {
            $0.submitRequest(fields, endsStream: endsStream, tag: Self.tag(exchange))
        }
        enqueueFlush(id)
        guard let opened else { return attemptFailed(exchange, .refusedStream) }
        exchanges[exchange].upstreamStream = opened.rawValue
        if endsStream { exchanges[exchange].requestSent = true }
    }

    mutating func writeStreamRequestBody(_ exchange: SlabID, _ id: SlabID, _ bytes: ByteView) -> Int {
        let stream = StreamID(rawValue: exchanges[exchange].upstreamStream)
        enqueueFlush(id)
        return connections[id].session?.with { $0.send(stream, bytes) } ?? 0
    }

    mutating func finishStreamRequest(_ exchange: SlabID, _ id: SlabID) {
        let stream = StreamID(rawValue: exchanges[exchange].upstreamStream)
        if exchanges[exchange].trailers.isEmpty {
            connections[id].session?.with { _ = $0.finish(stream) }
        } else {
            fillTrailers(exchanges[exchange].trailers.view)
            connections[id].session?.with { _ = $0.submitTrailers(stream, fields) }
        }
        enqueueFlush(id)
    }

    mutating func leaveStream(_ exchange: SlabID, _ id: SlabID, isFinished: Bool) {
        let stream = StreamID(rawValue: exchanges[exchange].upstreamStream)
        exchanges[exchange].upstreamStream = 0
        guard connections[id].phase == .open else { return }
        if stream.rawValue > 0 {
            if !isFinished || !exchanges[exchange].requestSent {
                connections[id].session?.with { $0.reset(stream, .cancel) }
            }
            connections[id].session?.with { $0.setTag(stream, 0) }
        }
        connections[id].streams -= 1
        connections[id].lastUsed = now
        enqueueFlush(id)
        if connections[id].isDraining, connections[id].streams == 0 {
            flushSession(id)
            counters.add(clusterScope(id), .upstreamCxDestroyLocal)
            return close(id)
        }
        let idle = clusters[Int(connections[id].cluster)].record?.value.idleTimeout ?? 0
        if connections[id].streams == 0, idle > 0, connections[id].timerAt == .distantFuture {
            setTimer(id, at: now.advanced(byNanoseconds: idle))
        }
    }

    private mutating func upstreamEvent(
        _ id: SlabID, _ session: Unowned<HTTP2Session>, _ event: HTTP2Event, _ exchange: SlabID
    ) {
        switch event {
        case .head(_, _, let endsStream):
            guard isLive(exchange), exchanges[exchange].upstream == id else { return }
            answer.reset()
            guard let bytes = session.with({ $0.readHead(into: &answer) }) else { return }
            exchanges[exchange].upstreamKeepsAlive = true
            if answerHead(exchange, bytes, isComplete: endsStream) == .passed, endsStream, isLive(exchange) {
                answerEnded(exchange, trailers: ByteView(""))
            }
        case .informational:
            guard isLive(exchange) else { return }
            answer.reset()
            if let bytes = session.with({ $0.readHead(into: &answer) }) { informational(exchange, bytes) }
        case .data(let stream, let bytes, let endsStream):
            guard isLive(exchange), exchanges[exchange].upstream == id else {
                return session.with { $0.consumed(stream, bytes.count) }
            }
            if !bytes.isEmpty { answerBody(exchange, bytes) }
            if isLive(exchange), exchanges[exchange].hasPausedUpstream {
                exchanges[exchange].heldBackAnswer += bytes.count
            } else {
                session.with { $0.consumed(stream, bytes.count) }
            }
            if endsStream, isLive(exchange) { answerEnded(exchange, trailers: ByteView("")) }
        case .trailers:
            guard isLive(exchange) else { return }
            var head = MessageHead()
            var lines = PooledBuffer.none
            if let bytes = session.with({ $0.readHead(into: &head) }) {
                lines = pool.take(bytes.count)
                if let status = head.value(of: .grpcStatus, in: bytes)?.decimal {
                    exchanges[exchange].record.grpcStatus = Int8(clamping: status)
                }
                Self.appendTrailers(head, bytes, to: &lines)
            }
            answerEnded(exchange, trailers: lines.view)
            pool.give(&lines)
        case .ended:
            if isLive(exchange) { answerEnded(exchange, trailers: ByteView("")) }
        case .reset(_, let code, _):
            guard isLive(exchange), exchanges[exchange].upstream == id else { return }
            // The stream is gone already.
            exchanges[exchange].upstreamStream = 0
            if exchanges[exchange].phase == .answering {
                attemptFailed(exchange, .resetMidAnswer)
            } else if code == .refusedStream {
                attemptFailed(exchange, .refusedStream)
            } else if code == .protocolError {
                attemptFailed(exchange, .protocolError)
            } else {
                attemptFailed(exchange, .resetBeforeAnswer(sent: .sent, wasReused: false))
            }
        case .windowOpened:
            if isLive(exchange) { requestMoved(exchange) }
        case .settings, .closed:
            servePending(Int(connections[id].cluster), Int(connections[id].endpoint))
        case .goAway:
            drainShared(id)
        case .headTooLarge:
            if isLive(exchange) { attemptFailed(exchange, .protocolError) }
        case .pingAcknowledged: break
        }
    }

    /// The endpoint wants no more streams on this connection.
    private mutating func drainShared(_ id: SlabID) {
        let (slot, host) = (Int(connections[id].cluster), Int(connections[id].endpoint))
        connections[id].isDraining = true
        counters.add(clusterScope(id), .upstreamCxCloseNotify)
        clusters[slot].hosts[host].shared.removeAll { $0 == id }
        connectIfNeeded(slot, host, priority: 0)
        if connections[id].streams == 0 { enqueue(id) }
    }

    mutating func releaseUpstreamWindow(_ exchange: SlabID) {
        let id = exchanges[exchange].upstream
        let count = exchanges[exchange].heldBackAnswer
        exchanges[exchange].heldBackAnswer = 0
        let stream = StreamID(rawValue: exchanges[exchange].upstreamStream)
        connections[id].session?.with { $0.consumed(stream, count) }
        enqueueFlush(id)
    }

    /// The connection under many streams is gone.
    mutating func upstreamSessionEnded(_ id: SlabID) {
        counters.add(clusterScope(id), .upstreamCxDestroy)
        counters.add(clusterScope(id), .upstreamCxDestroyRemote)
        if connections[id].streams > 0 { counters.add(clusterScope(id), .upstreamCxDestroyWithActiveRq) }
        close(id)
        for index in 0..<exchanges.indexEnd {
            guard let exchange = exchanges.id(at: index), exchanges[exchange].upstream == id, isLive(exchange)
            else {
                continue
            }
            exchanges[exchange].upstreamStream = 0
            let wasReused = exchanges[exchange].usesReusedConnection
            attemptFailed(
                exchange,
                exchanges[exchange].phase == .answering
                    ? .resetMidAnswer : .resetBeforeAnswer(sent: .sent, wasReused: wasReused))
        }
    }
}
