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

    mutating func startHTTP2(_ connection: ConnectionPlace) {
        var settings = HTTP2Settings()
        settings.streamsMax = Int(min(connection.chain.http.http2MaxStreams, 1024))
        settings.allowsExtendedConnect = connection.chain.http.http2AllowsConnect
        settings.streamWindow = Int(connection.chain.http.http2StreamWindow)
        settings.connectionWindow = Int(connection.chain.http.http2ConnectionWindow)
        guard let session = HTTP2Session(role: .server, settings: settings, memory: http2Memory)
        else { return close(connection) }
        connection.value.session = sessions.insert(session)
        connection.value.codec = .http2
        counters.add(connection.chain.http.scope, .downstreamCxHttp2Total)
        counters.add(connection.chain.http.scope, .downstreamCxHttp2Active)
        startKeepalive(connection)
        if connection.value.drainEnd != .distantFuture {
            connection.value.closesAfterAnswer = false
            session.goAway(.notice)
        }
        enqueueFlush(connection)
    }

    mutating func startHTTP2Upstream(_ connection: ConnectionPlace) {
        let (slot, host) = (Int(connection.value.cluster), Int(connection.value.endpoint))
        var settings = HTTP2Settings()
        settings.streamsMax = 1024
        if let record = clusters[slot].record?.value {
            settings.streamWindow = Int(record.http2StreamWindow)
            settings.connectionWindow = Int(record.http2ConnectionWindow)
        }
        guard let session = HTTP2Session(role: .client, settings: settings, memory: http2Memory) else {
            return connectEnded(connection, .connectFailed)
        }
        connection.value.session = sessions.insert(session)
        connection.value.codec = .http2
        clusters[slot].hosts[host].shared.append(connection)
        startKeepalive(connection)
        enqueueFlush(connection)
        servePending(slot, host)
    }

    /// Waiting requests take the streams that there are.
    private mutating func servePending(_ slot: Int, _ host: Int) {
        while let waiting = clusters[slot].hosts[host].pendingFirst,
            let connection = clusters[slot].hosts[host].shared.first(where: { canOpenStream($0) })
        {
            leavePending(waiting)
            attach(waiting, connection)
        }
    }

    func canOpenStream(_ connection: ConnectionPlace) -> Bool {
        guard connection.isInUse, connection.value.phase == .open, !connection.value.isDraining else {
            return false
        }
        // What the peer allows, and `max_concurrent_streams` of the cluster.
        guard let record = clusters[Int(connection.value.cluster)].record,
            connection.value.streams < record.value.http2StreamsMax
        else { return false }
        return connection.value.session?.with { $0.canOpenStream } ?? false
    }

    mutating func takeFrames(_ connection: ConnectionPlace, _ bytes: ByteView) -> Int {
        guard let session = connection.value.session else { return bytes.count }
        let result = session.with { $0.receive(bytes, now: now) }
        takeEvents(connection, session)
        if case .failed = result {
            flushSession(connection)
            if connection.value.side == .upstream {
                counters.add(clusterScope(connection), .upstreamCxProtocolError)
            } else {
                counters.add(connection.chain.http.scope, .downstreamCxProtocolError)
            }
            failSession(connection, .protocolError)
            return bytes.count
        }
        enqueueFlush(connection)
        if connection.value.pending.count >= Self.queuedHigh { connection.value.isPaused = true }
        return bytes.count
    }

    private mutating func takeEvents(_ connection: ConnectionPlace, _ session: Unowned<HTTP2Session>) {
        while connection.value.phase == .open || connection.value.phase == .closing,
            let event = session.with({ $0.nextEvent() })
        {
            let exchange = exchanges.place(Self.name(session.with { $0.eventTag }))
            if connection.value.side == .downstream {
                downstreamEvent(connection, session, event, exchange)
            } else {
                upstreamEvent(connection, session, event, exchange)
            }
        }
    }

    static func tag(_ name: SlabID) -> UInt64 {
        UInt64(name.generation) << 32 | UInt64(name.index)
    }

    private static func name(_ tag: UInt64) -> SlabID {
        SlabID(index: UInt32(truncatingIfNeeded: tag), generation: UInt32(truncatingIfNeeded: tag >> 32))
    }

    private func isLive(_ exchange: ExchangePlace) -> Bool {
        exchange.isInUse && exchange.value.phase != .ended
    }

    /// Frames leave together at the end of what is done now.
    mutating func enqueueFlush(_ connection: ConnectionPlace) {
        guard !connection.value.isFlushQueued else { return }
        connection.value.isFlushQueued = true
        flushes.append(connection)
    }

    @inline(__always)
    mutating func flushSessions() {
        while let connection = flushes.popLast() {
            guard connection.isInUse else { continue }
            connection.value.isFlushQueued = false
            if connection.value.phase == .open || connection.value.phase == .closing {
                flushSession(connection)
                endIfFinished(connection)
            }
        }
    }

    /// The session has said everything and expects nothing: a GOAWAY went one way or the other.
    private mutating func endIfFinished(_ connection: ConnectionPlace) {
        guard connection.isInUse, connection.value.phase == .open, let session = connection.value.session,
            session.with({ $0.isFinished })
        else { return }
        failSession(connection)
    }

    mutating func flushSession(_ connection: ConnectionPlace) {
        guard let session = connection.value.session else { return }
        takeEvents(connection, session)
        while connection.value.phase == .open || connection.value.phase == .closing,
            connection.value.pending.count < Self.queuedHigh, !connection.value.writeFailed
        {
            // The view dies with the next call on the session: it is written at once.
            guard let output = session.with({ $0.nextOutput() }) else { break }
            write(connection, output)
            flushStaged()
            takeEvents(connection, session)
        }
    }

    /// The socket has room again.
    mutating func sessionDrained(_ connection: ConnectionPlace) {
        flushSession(connection)
        guard connection.isInUse else { return }
        resume(connection)
    }

    /// The session cannot go on: its streams end, and the connection with what is still to be written.
    private mutating func failSession(_ connection: ConnectionPlace, _ outcome: AttemptOutcome? = nil) {
        if connection.value.side == .upstream { return upstreamSessionEnded(connection, outcome) }
        endStreams(of: connection)
        closeGracefully(connection)
    }

    /// No more requests on this connection.
    mutating func endHTTP2(_ connection: ConnectionPlace) {
        connection.value.session?.with { $0.goAway(.last(.noError)) }
        flushSession(connection)
        connection.value.closesAfterAnswer = true
        if connection.value.streams == 0 { closeGracefully(connection) }
    }

    // MARK: Callers

    private mutating func downstreamEvent(
        _ connection: ConnectionPlace, _ session: Unowned<HTTP2Session>, _ event: HTTP2Event,
        _ exchange: ExchangePlace?
    ) {
        switch event {
        case .head(let stream, let length, let endsStream):
            startStream(connection, session, stream, length, endsStream)
        case .headTooLarge(let stream, _):
            counters.add(connection.chain.http.scope, .downstreamRqTooLarge)
            fields.startResponse(status: 431)
            session.with {
                _ = $0.submitResponse(stream, fields, endsStream: true)
                $0.reset(stream, .noError)
            }
        case .data(let stream, let bytes, let endsStream):
            guard let exchange, isLive(exchange) else {
                return session.with { $0.consumed(stream, bytes.count) }
            }
            if !bytes.isEmpty {
                requestBody(exchange, bytes)
                if isLive(exchange), exchange.value.hasPausedDownstream {
                    exchange.value.heldBackRequest += bytes.count
                } else {
                    session.with { $0.consumed(stream, bytes.count) }
                }
            }
            if endsStream { requestBodyEnded(exchange) }
        case .trailers:
            guard let exchange, isLive(exchange) else { return }
            var head = MessageHead()
            if let bytes = session.with({ $0.readHead(into: &head) }) {
                exchange.value.trailers = pool.take(bytes.count)
                Self.appendTrailers(head, bytes, to: &exchange.value.trailers)
            }
            requestBodyEnded(exchange)
        case .ended: if let exchange { requestBodyEnded(exchange) }
        case .reset:
            if let exchange, isLive(exchange) { abandon(exchange) }
        case .windowOpened:
            if let exchange, isLive(exchange) { continueStreamAnswer(exchange) }
        case .closed, .informational, .settings, .goAway: break
        case .pingAcknowledged: connection.value.pongBy = .distantFuture
        }
    }

    private mutating func startStream(
        _ connection: ConnectionPlace, _ session: Unowned<HTTP2Session>, _ stream: StreamID, _ length: Int,
        _ endsStream: Bool
    ) {
        refreshChain(connection)
        guard let exchange = insertExchange(connection, stream: stream.rawValue) else {
            return session.with { $0.reset(stream, .refusedStream) }
        }
        exchange.value.requestEnded = endsStream
        connection.value.streams += 1
        connection.value.requests &+= 1
        connection.value.lastUsed = now
        session.with { $0.setTag(stream, Self.tag(exchange.id)) }
        var bytes = pool.take(length)
        let isWhole = session.with { $0.takeHead(into: &exchange.head, bytes: &bytes) }
        exchange.value.headBytes = bytes
        precondition(isWhole)
        begin(exchange)
    }

    /// A stream's exchange has ended.
    mutating func streamEnded(_ connection: ConnectionPlace) {
        connection.value.streams -= 1
        connection.value.lastUsed = now
        if connection.value.closesAfterAnswer, connection.value.streams == 0 {
            flushSession(connection)
            closeGracefully(connection)
        }
    }

    mutating func endStreams(of connection: ConnectionPlace) {
        for index in 0..<exchanges.indexEnd {
            guard let exchange = exchanges.place(at: index), exchange.value.downstream == connection else {
                continue
            }
            abandon(exchange)
        }
    }

    private func stream(_ exchange: ExchangePlace) -> StreamID {
        StreamID(rawValue: exchange.value.downstreamStream)
    }

    mutating func sendStreamAnswer(_ exchange: ExchangePlace, _ bytes: ByteView) {
        let connection = exchange.value.downstream
        guard let session = connection.value.session else { return }
        fields.startResponse(status: Int(answer.status))
        Self.appendFields(answer, bytes, editedBy: edits, to: &fields)
        // gRPC tells an answer without messages by a head that ends the stream.
        let isFromStream = exchange.value.record.upstreamProtocol == .http2
        let endsStream = answer.body == .none || (answer.body == .bytes(0) && !isFromStream)
        let isSent = session.with { $0.submitResponse(stream(exchange), fields, endsStream: endsStream) }
        if !isSent { session.with { $0.reset(stream(exchange), .internalError) } }
        enqueueFlush(connection)
    }

    mutating func sendStreamInformational(_ exchange: ExchangePlace, _ bytes: ByteView) {
        let connection = exchange.value.downstream
        fields.startResponse(status: Int(answer.status))
        Self.appendFields(answer, bytes, editedBy: edits, to: &fields)
        connection.value.session?.with { _ = $0.submitInformational(stream(exchange), fields) }
        enqueueFlush(connection)
    }

    mutating func sendStreamContinue(_ exchange: ExchangePlace) {
        let connection = exchange.value.downstream
        fields.startResponse(status: 100)
        connection.value.session?.with { _ = $0.submitInformational(stream(exchange), fields) }
        enqueueFlush(connection)
    }

    mutating func writeStreamBody(_ exchange: ExchangePlace, _ bytes: ByteView) {
        let connection = exchange.value.downstream
        var accepted = 0
        if exchange.value.answerQueue.isEmpty, let session = connection.value.session {
            accepted = session.with { $0.send(stream(exchange), bytes) }
        }
        if accepted < bytes.count {
            queues.append(bytes.dropFirst(accepted), to: &exchange.value.answerQueue, pool: &pool)
        }
        enqueueFlush(connection)
    }

    /// Flow control let go: what waited goes out.
    private mutating func continueStreamAnswer(_ exchange: ExchangePlace) {
        let connection = exchange.value.downstream
        guard let session = connection.value.session else { return }
        while !exchange.value.answerQueue.isEmpty {
            let view = queues.front(of: exchange.value.answerQueue)
            let accepted = session.with { $0.send(stream(exchange), view) }
            queues.consume(accepted, from: &exchange.value.answerQueue, pool: &pool)
            if accepted < view.count { break }
        }
        enqueueFlush(connection)
        if exchange.value.answerEnded {
            if exchange.value.answerQueue.isEmpty {
                finishStreamAnswer(exchange, trailers: exchange.value.answerTrailers.view)
            }
        } else if exchange.value.answerQueue.count < Self.queuedLow {
            releaseAnswer(exchange)
        }
    }

    mutating func finishStreamAnswer(_ exchange: ExchangePlace, trailers: ByteView) {
        let connection = exchange.value.downstream
        guard let session = connection.value.session else { return end(exchange) }
        if !exchange.value.answerQueue.isEmpty {
            if !trailers.isEmpty, !exchange.value.answerTrailers.isAllocated {
                exchange.value.answerTrailers = pool.take(trailers.count)
                _ = exchange.value.answerTrailers.append(trailers)
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
        if !exchange.value.requestEnded { session.with { $0.reset(stream(exchange), .noError) } }
        enqueueFlush(connection)
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

    mutating func resetStream(_ exchange: ExchangePlace) {
        let connection = exchange.value.downstream
        connection.value.session?.with { $0.reset(stream(exchange), .internalError) }
        enqueueFlush(connection)
    }

    mutating func releaseStreamWindow(_ exchange: ExchangePlace) {
        let connection = exchange.value.downstream
        let count = exchange.value.heldBackRequest
        exchange.value.heldBackRequest = 0
        connection.value.session?.with { $0.consumed(stream(exchange), count) }
        enqueueFlush(connection)
    }

    // MARK: Endpoints

    mutating func sendStreamRequest(_ exchange: ExchangePlace, _ connection: ConnectionPlace) {
        guard let session = connection.value.session else { return attemptFailed(exchange, .refusedStream) }
        fillStreamRequest(exchange, scheme: ByteView(connection.value.tls == nil ? "http" : "https"))
        let endsStream =
            exchange.value.requestEnded && exchange.value.body.isEmpty
            && exchange.value.trailers.isEmpty && !exchange.value.isUpgrade
        connection.value.streams += 1
        let opened = session.with {
            $0.submitRequest(fields, endsStream: endsStream, tag: Self.tag(exchange.id))
        }
        enqueueFlush(connection)
        guard let opened else { return attemptFailed(exchange, .refusedStream) }
        exchange.value.upstreamStream = opened.rawValue
        if endsStream { exchange.value.requestSent = true }
    }

    mutating func writeStreamRequestBody(
        _ exchange: ExchangePlace, _ connection: ConnectionPlace, _ bytes: ByteView
    ) -> Int {
        let stream = StreamID(rawValue: exchange.value.upstreamStream)
        enqueueFlush(connection)
        return connection.value.session?.with { $0.send(stream, bytes) } ?? 0
    }

    mutating func finishStreamRequest(_ exchange: ExchangePlace, _ connection: ConnectionPlace) {
        let stream = StreamID(rawValue: exchange.value.upstreamStream)
        if exchange.value.trailers.isEmpty {
            connection.value.session?.with { _ = $0.finish(stream) }
        } else {
            fillTrailers(exchange.value.trailers.view)
            connection.value.session?.with { _ = $0.submitTrailers(stream, fields) }
        }
        enqueueFlush(connection)
    }

    mutating func leaveStream(_ exchange: ExchangePlace, _ connection: ConnectionPlace, isFinished: Bool) {
        let stream = StreamID(rawValue: exchange.value.upstreamStream)
        exchange.value.upstreamStream = 0
        guard connection.value.phase == .open else { return }
        if stream.rawValue > 0 {
            if !isFinished || !exchange.value.requestSent {
                connection.value.session?.with { $0.reset(stream, .cancel) }
            }
            connection.value.session?.with { $0.setTag(stream, 0) }
        }
        connection.value.streams -= 1
        connection.value.lastUsed = now
        enqueueFlush(connection)
        if connection.value.isDraining, connection.value.streams == 0 {
            flushSession(connection)
            return close(connection)
        }
        let idle = clusters[Int(connection.value.cluster)].record?.value.idleTimeout ?? 0
        if connection.value.streams == 0, idle > 0, connection.value.timerAt == .distantFuture {
            setTimer(connection, at: now.advanced(byNanoseconds: idle))
        }
    }

    private mutating func upstreamEvent(
        _ connection: ConnectionPlace, _ session: Unowned<HTTP2Session>, _ event: HTTP2Event,
        _ exchange: ExchangePlace?
    ) {
        switch event {
        case .head(_, _, let endsStream):
            guard var exchange, isLive(exchange), exchange.value.upstream == connection else { return }
            answer.reset()
            guard let bytes = session.with({ $0.readHead(into: &answer) }) else { return }
            if exchange.value.isHedged {
                guard let chosen = hearRival(exchange, bytes, isComplete: endsStream, keepsAlive: true) else {
                    return
                }
                exchange = chosen
            }
            exchange.value.upstreamKeepsAlive = true
            if answerHead(exchange, bytes, isComplete: endsStream) == .passed, endsStream, isLive(exchange) {
                answerEnded(exchange, trailers: ByteView(""))
            }
        case .informational:
            guard let exchange, isLive(exchange) else { return }
            answer.reset()
            if let bytes = session.with({ $0.readHead(into: &answer) }) { informational(exchange, bytes) }
        case .data(let stream, let bytes, let endsStream):
            guard let exchange, isLive(exchange), exchange.value.upstream == connection else {
                return session.with { $0.consumed(stream, bytes.count) }
            }
            if !bytes.isEmpty { answerBody(exchange, bytes) }
            if isLive(exchange), exchange.value.hasPausedUpstream {
                exchange.value.heldBackAnswer += bytes.count
            } else {
                session.with { $0.consumed(stream, bytes.count) }
            }
            if endsStream, isLive(exchange) { answerEnded(exchange, trailers: ByteView("")) }
        case .trailers:
            guard let exchange, isLive(exchange) else { return }
            var head = MessageHead()
            var lines = PooledBuffer.none
            if let bytes = session.with({ $0.readHead(into: &head) }) {
                lines = pool.take(bytes.count)
                if let status = head.value(of: .grpcStatus, in: bytes)?.decimal {
                    exchange.value.record.grpcStatus = Int8(clamping: status)
                }
                Self.appendTrailers(head, bytes, to: &lines)
            }
            answerEnded(exchange, trailers: lines.view)
            pool.give(&lines)
        case .ended:
            if let exchange, isLive(exchange) { answerEnded(exchange, trailers: ByteView("")) }
        case .reset(_, let code, _):
            guard let exchange, isLive(exchange), exchange.value.upstream == connection else { return }
            // The stream is gone already.
            exchange.value.upstreamStream = 0
            if exchange.value.phase == .answering {
                attemptFailed(exchange, .resetMidAnswer)
            } else if code == .refusedStream {
                attemptFailed(exchange, .refusedStream)
            } else if code == .protocolError {
                attemptFailed(exchange, .protocolError)
            } else {
                attemptFailed(exchange, .resetBeforeAnswer(sent: .sent, wasReused: false))
            }
        case .windowOpened:
            if let exchange, isLive(exchange) { requestMoved(exchange) }
        case .settings, .closed:
            servePending(Int(connection.value.cluster), Int(connection.value.endpoint))
        case .goAway:
            drainShared(connection)
        case .headTooLarge:
            if let exchange, isLive(exchange) { attemptFailed(exchange, .protocolError) }
        case .pingAcknowledged: connection.value.pongBy = .distantFuture
        }
    }

    /// The endpoint wants no more streams on this connection.
    private mutating func drainShared(_ connection: ConnectionPlace) {
        counters.add(clusterScope(connection), .upstreamCxCloseNotify)
        retireShared(connection)
    }

    /// It takes no more streams, and ends with those that it has.
    mutating func retireShared(_ connection: ConnectionPlace) {
        let (slot, host) = (Int(connection.value.cluster), Int(connection.value.endpoint))
        connection.value.isDraining = true
        clusters[slot].hosts[host].shared.removeAll { $0 == connection }
        connectIfNeeded(slot, host)
        if connection.value.streams == 0 { enqueue(connection) }
    }

    mutating func releaseUpstreamWindow(_ exchange: ExchangePlace) {
        guard let connection = exchange.value.upstream else { return }
        let count = exchange.value.heldBackAnswer
        exchange.value.heldBackAnswer = 0
        let stream = StreamID(rawValue: exchange.value.upstreamStream)
        connection.value.session?.with { $0.consumed(stream, count) }
        enqueueFlush(connection)
    }

    /// The connection under many streams is gone.
    /// `outcome`: of requests without an answer; nil: the endpoint has gone away.
    mutating func upstreamSessionEnded(_ connection: ConnectionPlace, _ outcome: AttemptOutcome? = nil) {
        close(connection)
        for index in 0..<exchanges.indexEnd {
            guard let exchange = exchanges.place(at: index), exchange.value.upstream == connection,
                isLive(exchange)
            else {
                continue
            }
            // Again, where the attempt beside it was on the same connection and has taken its place.
            while isLive(exchange), exchange.value.upstream == connection {
                exchange.value.upstreamStream = 0
                let wasReused = exchange.value.usesReusedConnection
                attemptFailed(
                    exchange,
                    exchange.value.phase == .answering
                        ? .resetMidAnswer
                        : outcome ?? .resetBeforeAnswer(sent: .sent, wasReused: wasReused))
            }
        }
    }
}
