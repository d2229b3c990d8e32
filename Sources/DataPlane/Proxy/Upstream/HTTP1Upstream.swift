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

    mutating func beginHandshake(_ connection: ConnectionPlace, _ session: TLSSession) {
        flushStaged()
        transport.clearInput()
        let progress = session.handshake()
        sendCipher(connection)
        switch progress {
        case .wantsInput: if connection.value.mayRead { enqueue(connection) }
        case .failed(let failure): handshakeFailed(connection, failure)
        case .done: handshakeDone(connection)
        }
    }

    /// The connection can carry requests: those that wait for it get it.
    mutating func upstreamOpen(_ connection: ConnectionPlace) {
        connection.value.phase = .open
        connection.value.lastUsed = now
        let (slot, host) = (Int(connection.value.cluster), Int(connection.value.endpoint))
        clusters[slot].hosts[host].connecting -= 1
        connection.value.isConnecting = false
        let wanted = clusters[slot].record?.value.upstreamProtocol ?? .http1
        let agreed = connection.value.tls?.applicationProtocol
        let isHTTP2 = wanted == .http2 || (wanted == .auto && agreed == .http2)
        if connection.value.isTunnelOnly {
            tunnelOpen(connection)
            // Requests of the same cluster may have taken it for theirs.
            return connectIfNeeded(slot, host)
        }
        clusters[slot].hosts[host].spoken = isHTTP2 ? .http2 : .http1
        if isHTTP2 {
            counters.add(clusterScope(connection), .upstreamCxHttp2Total)
            startHTTP2Upstream(connection)
        } else {
            counters.add(clusterScope(connection), .upstreamCxHttp1Total)
            connection.value.codec = .http1
            offer(connection)
        }
        // The others wait for connections of their own, if this one does not take them all.
        connectIfNeeded(slot, host)
        if connection.value.mayRead { enqueue(connection) }
    }

    /// A free HTTP/1.1 connection: for the request that has waited longest, else into the pool.
    mutating func offer(_ connection: ConnectionPlace) {
        let (slot, host) = (Int(connection.value.cluster), Int(connection.value.endpoint))
        let isWanted = clusters[slot].process.with { $0.isStarved(besides: index) }
        if isWanted, connection.value.requests & 15 == 0 {
            // Another worker has none and asks: after a few requests it is its turn.
            return close(connection)
        }
        if let waiting = clusters[slot].hosts[host].pendingFirst {
            leavePending(waiting)
            return attach(waiting, connection)
        }
        guard clusters[slot].hosts[host].isCurrent, clusters[slot].record != nil else {
            return close(connection)
        }
        pushIdle(connection)
        connection.value.lastUsed = now
        let idle = clusters[slot].record?.value.idleTimeout ?? 0
        if connection.value.tls != nil {
            setTimer(connection, at: now.advanced(byNanoseconds: Self.quietMax))
        } else if idle > 0, connection.value.timerAt == .distantFuture {
            setTimer(connection, at: now.advanced(byNanoseconds: idle))
        }
        let learnt = learntIdleMax(connection)
        if learnt < .max { setTimer(connection, at: now.advanced(byNanoseconds: learnt)) }
        if let longest = clusters[slot].record?.value.maxConnectionDuration, longest > 0 {
            setTimer(connection, at: connection.value.opened.advanced(byNanoseconds: longest))
        }
        if isWanted { relieveOthers() }
    }

    /// How long the endpoint is known to leave a connection open that carries nothing; `.max` if it is not.
    @inline(__always)
    func learntIdleMax(_ connection: ConnectionPlace) -> Int64 {
        let (slot, host) = (Int(connection.value.cluster), Int(connection.value.endpoint))
        return clusters[slot].hosts[host].unowned.with { $0.idleClose.idleMax(at: now) }
    }

    /// The endpoint has closed a connection that lay in the pool.
    mutating func learnIdleClose(_ connection: ConnectionPlace) {
        guard connection.value.requests > 0 else { return }
        let (slot, host) = (Int(connection.value.cluster), Int(connection.value.endpoint))
        let idle = now.nanoseconds(since: connection.value.lastUsed)
        clusters[slot].hosts[host].unowned.with { $0.idleClose.closedByPeer(afterIdle: idle, at: now) }
    }

    /// `Keep-Alive: timeout=5`: the endpoint says it itself.
    @inline(never)
    mutating func learnKeepAlive(_ exchange: ExchangePlace, _ bytes: ByteView) {
        guard exchange.value.endpoint >= 0, let value = answer.value(of: .keepAlive, in: bytes) else {
            return
        }
        let mark = ByteView("timeout=")
        for start in 0..<max(value.count - mark.count, 0)
        where value[start..<(start + mark.count)].equalsIgnoringCase(mark) {
            let rest = value.dropFirst(start + mark.count)
            let end = rest.firstIndex(of: UInt8(ascii: ",")) ?? rest.count
            guard let seconds = rest.prefix(end).trimmed.decimal, seconds > 0, seconds < 86_400 else {
                return
            }
            let host = Int(exchange.value.endpoint)
            clusters[Int(exchange.value.cluster)].hosts[host].unowned.with {
                $0.idleClose.announced(Int64(seconds) * Nanoseconds.perSecond, at: now)
            }
            return
        }
    }

    /// After an answer: whether the connection can carry another request decides where it goes.
    @inline(__always)
    mutating func releaseHTTP1Upstream(_ connection: ConnectionPlace, isReusable: Bool) {
        guard connection.isInUse, connection.value.phase != .closed else { return }
        connection.value.exchange = .none
        connection.value.isPaused = false
        connection.value.headSeen = 0
        let record = clusters[Int(connection.value.cluster)].record
        var closes =
            !isReusable || connection.value.isDraining || connection.value.readEnded
            || connection.value.writeFailed
        if let most = record?.value.maxRequests, most > 0, connection.value.requests >= UInt32(most) {
            counters.add(clusterScope(connection), .upstreamCxMaxRequests)
            closes = true
        }
        if let longest = record?.value.maxConnectionDuration, longest > 0,
            now.nanoseconds(since: connection.value.opened) >= longest
        {
            counters.add(clusterScope(connection), .upstreamCxMaxDurationReached)
            closes = true
        }
        if closes
            || stopping != .no
                && clusters[Int(connection.value.cluster)].hosts[Int(connection.value.endpoint)].pendingCount
                    == 0
        {
            if let session = connection.value.tls, connection.value.phase == .open {
                flushStaged()
                session.shutdown()
                sendCipher(connection)
            }
            return close(connection)
        }
        if beingRead == connection {
            // Whether anything follows the answer shows when all that was read has been looked at.
            connection.value.isReleased = true
        } else {
            offer(connection)
        }
    }

    // MARK: Reading answers

    @inline(__always)
    mutating func takeAnswers(_ connection: ConnectionPlace, _ bytes: ByteView) -> Int {
        beingRead = connection
        let taken = takeAnswer(connection, bytes)
        beingRead = nil
        guard connection.value.isReleased, connection.value.phase == .open else { return taken }
        connection.value.isReleased = false
        guard taken == bytes.count else {
            // Nobody asked for more: what comes cannot be an answer to the next request.
            counters.add(clusterScope(connection), .upstreamCxProtocolError)
            close(connection)
            return bytes.count
        }
        offer(connection)
        return taken
    }

    @inline(__always)
    private mutating func takeAnswer(_ connection: ConnectionPlace, _ bytes: ByteView) -> Int {
        var taken = 0
        while connection.value.phase == .open, !connection.value.isPaused, connection.value.codec == .http1 {
            let rest = bytes.dropFirst(taken)
            if rest.isEmpty { break }
            guard let exchange = connection.value.exchange else {
                if connection.value.isReleased { break }
                // Nobody asked for anything: what comes cannot be an answer to the next request.
                counters.add(clusterScope(connection), .upstreamCxProtocolError)
                close(connection)
                return bytes.count
            }
            if exchange.value.phase == .sent {
                guard let count = takeAnswerHead(connection, exchange, rest) else { break }
                taken += count
            } else {
                let (count, goesOn) = takeAnswerBody(connection, exchange, rest)
                taken += count
                if !goesOn { break }
            }
        }
        if connection.value.codec == .tunnel, connection.value.phase == .open, taken < bytes.count {
            taken += takeTunnelled(connection, bytes.dropFirst(taken))
        }
        return taken
    }

    private static var answerLimits: HTTP1Limits { HTTP1Limits() }

    @inline(__always)
    private mutating func takeAnswerHead(
        _ connection: ConnectionPlace, _ exchange: ExchangePlace, _ bytes: ByteView
    ) -> Int? {
        // Connections share `answer`, so a head that comes in pieces is read from its beginning each time: not before its
        // end has come, or somebody who sends byte by byte would make that costly.
        guard mayHoldHead(connection, bytes) else { return nil }
        var progress = HeadProgress()
        let result = HTTP1Parser.parseResponse(
            bytes, to: exchange.head.method, into: &answer, progress: &progress,
            limits: Self.answerLimits)
        switch result {
        case .needsMore:
            connection.value.headSeen = Int32(bytes.count)
            return nil
        case .invalid:
            counters.add(clusterScope(connection), .upstreamCxProtocolError)
            attemptFailed(exchange, .protocolError)
            return nil
        case .complete: connection.value.headSeen = 0
        }
        let length = Int(answer.length)
        let head = bytes.prefix(length)
        if answer.status < 200, answer.status != 101 {
            informational(exchange, head)
            return length
        }
        let decoder = BodyDecoder(answer.body)
        let after = bytes.dropFirst(length)
        var isComplete = decoder.isFinished
        var whole = length
        if case .bytes(let count) = answer.body, Int64(after.count) >= count {
            isComplete = true
            whole += Int(count)
        }
        var exchange = exchange
        if exchange.value.isHedged {
            guard
                let chosen = hearRival(
                    exchange, head, isComplete: isComplete, keepsAlive: answer.keepsAlive)
            else { return isComplete ? whole : length }
            exchange = chosen
        }
        exchange.value.answerDecoder = decoder
        exchange.value.upstreamKeepsAlive = answer.keepsAlive
        switch answerHead(exchange, head, isComplete: isComplete) {
        case .passed:
            if exchange.isInUse, exchange.value.phase == .answering,
                exchange.value.answerDecoder.isFinished
            {
                answerEnded(exchange, trailers: ByteView(""))
            }
            return length
        case .skipped: return isComplete ? whole : length
        }
    }

    /// Whether what came since the last look can end the head (or makes it too long).
    private func mayHoldHead(_ connection: ConnectionPlace, _ bytes: ByteView) -> Bool {
        let seen = Int(connection.value.headSeen)
        if seen == 0 || seen >= bytes.count || bytes.count >= MessageHead.bytesMax { return true }
        var start = max(seen - 3, 0)
        while let feed = bytes.firstIndex(of: 0x0a, from: start) {
            if feed >= 2, bytes[feed - 1] == 0x0d ? bytes[feed - 2] == 0x0a : true { return true }
            start = feed + 1
        }
        return false
    }

    @inline(__always)
    private mutating func takeAnswerBody(
        _ connection: ConnectionPlace, _ exchange: ExchangePlace, _ bytes: ByteView
    ) -> (taken: Int, goesOn: Bool) {
        if exchange.value.answerHasTrailers { return takeAnswerTrailers(exchange, bytes) }
        let (count, event) = exchange.value.answerDecoder.next(bytes)
        switch event {
        case .data(let range):
            answerBody(exchange, bytes[range])
            if exchange.isInUse, exchange.value.phase == .answering,
                exchange.value.answerDecoder.isFinished
            {
                answerEnded(exchange, trailers: ByteView(""))
            }
        case .trailers:
            if clusters[Int(connection.value.cluster)].record?.value.enablesTrailers ?? false {
                exchange.value.answerHasTrailers = true
            }
        case .end: answerEnded(exchange, trailers: ByteView(""))
        case .needsMore: return (count, false)
        case .invalid:
            counters.add(clusterScope(connection), .upstreamCxProtocolError)
            attemptFailed(exchange, .protocolError)
            return (count, false)
        }
        return (count, true)
    }

    private mutating func takeAnswerTrailers(_ exchange: ExchangePlace, _ bytes: ByteView) -> (
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
            exchange.value.answerDecoder.trailersRead()
            exchange.value.answerHasTrailers = false
            let section = bytes.prefix(Int(head.length))
            if let status = head.value(of: .grpcStatus, in: section)?.decimal {
                exchange.value.record.grpcStatus = Int8(clamping: status)
            }
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
    mutating func upstreamEnded(_ connection: ConnectionPlace, cause: EndCause) {
        switch connection.value.phase {
        case .connecting, .handshaking: return connectEnded(connection, .connectFailed)
        case .open: break
        case .inspecting, .closing, .lingering, .closed: return close(connection)
        }
        switch connection.value.codec {
        case .http2: return upstreamSessionEnded(connection)
        case .tunnel: return tunnelEnded(connection, cause: cause)
        case .http1, .undecided: break
        }
        guard let exchange = connection.value.exchange else { return close(connection) }
        if exchange.value.phase == .answering, cause == .finished,
            case .end = exchange.value.answerDecoder.connectionEnded()
        {
            exchange.value.upstreamKeepsAlive = false
            return answerEnded(exchange, trailers: ByteView(""))
        }
        if exchange.value.phase == .answering, cause == .finished {
            exchange.value.record.flags.insert(.upstreamProtocolError)
        }
        attemptFailed(
            exchange,
            exchange.value.phase == .answering
                ? .resetMidAnswer
                : .resetBeforeAnswer(
                    sent: exchange.value.delivery(sentBytes: connection.value.sentInAttempt),
                    wasReused: exchange.value.usesReusedConnection))
    }

    mutating func upstreamTimerFired(_ connection: ConnectionPlace) {
        switch connection.value.phase {
        case .connecting, .handshaking: connectEnded(connection, .connectTimedOut)
        case .inspecting, .closing, .lingering: close(connection)
        case .closed: break
        case .open:
            var idle = clusters[Int(connection.value.cluster)].record?.value.idleTimeout ?? 0
            let isIdle =
                connection.value.isIdle || (connection.value.codec == .http2 && connection.value.streams == 0)
            if endsForAge(connection, isIdle: isIdle) { return }
            let learnt = connection.value.codec == .http1 ? learntIdleMax(connection) : .max
            let isLearnt = learnt < .max && (idle == 0 || learnt < idle)
            if isLearnt { idle = learnt }
            if isIdle, let session = connection.value.tls {
                let quiet = connection.value.lastUsed.advanced(byNanoseconds: Self.quietMax)
                if now < quiet { return setTimer(connection, at: quiet) }
                session.releaseBuffers()
            }
            guard idle > 0 else { return }
            let limit = connection.value.lastUsed.advanced(byNanoseconds: idle)
            if !isIdle || now < limit {
                return setTimer(connection, at: isIdle ? limit : now.advanced(byNanoseconds: idle))
            }
            counters.add(
                clusterScope(connection), isLearnt ? .upstreamCxRetiredIdle : .upstreamCxIdleTimeout)
            close(connection)
        }
    }

    /// true: the connection has had its time, and is closed or takes no more requests.
    private mutating func endsForAge(_ connection: ConnectionPlace, isIdle: Bool) -> Bool {
        guard let longest = clusters[Int(connection.value.cluster)].record?.value.maxConnectionDuration,
            longest > 0, connection.value.codec != .tunnel
        else { return false }
        let end = connection.value.opened.advanced(byNanoseconds: longest)
        guard now >= end else {
            setTimer(connection, at: end)
            return false
        }
        // A busy one is looked at when it is given back.
        guard isIdle || connection.value.codec == .http2, !connection.value.isDraining else { return false }
        counters.add(clusterScope(connection), .upstreamCxMaxDurationReached)
        if connection.value.codec == .http2 {
            retireShared(connection)
        } else {
            close(connection)
        }
        return true
    }
}

/// How a connection's reading side ended.
enum EndCause: Equatable { case finished, reset }
