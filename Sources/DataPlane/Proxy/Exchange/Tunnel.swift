import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Reactor
import Synchronization
import Telemetry
import TrafficPolicy

/// Bytes that pass both ways without being looked at: after a 101, and for `tcp_proxy`.
extension Worker {
    // MARK: After an upgrade or a CONNECT

    /// What comes behind the head is for whoever the tunnel leads to, and there is none yet. (Over HTTP/1.1 a request
    /// with an upgrade may have a body of its own, and that goes.)
    func holdsBack(_ exchange: ExchangePlace, _ upstream: ConnectionPlace) -> Bool {
        if exchange.value.isTunnel { return false }
        return exchange.value.downstreamStream != 0 || exchange.head.method == .connect
            || upstream.value.codec == .http2
    }

    /// All that the caller has to say was handed on. true: that needs nothing more here.
    mutating func finishesTunnel(_ exchange: ExchangePlace, _ upstream: ConnectionPlace) -> Bool {
        if !exchange.value.isTunnel {
            guard holdsBack(exchange, upstream) else { return false }
            // Over HTTP/2 the stream has to stay open for the tunnel.
            exchange.value.requestSent = upstream.value.codec != .http2
            return true
        }
        guard upstream.value.codec == .http1 else { return false }
        flushStaged()
        if upstream.hasUnsent {
            // Asked again when it is written.
            exchange.value.requestSent = false
        } else {
            if let session = upstream.value.tls {
                session.shutdown()
                sendCipher(upstream)
            }
            kernel.shutdownWrite(upstream.value.descriptor)
        }
        return true
    }

    /// The answer in `answer` is what opens a tunnel where there is no 101: to a CONNECT (RFC 9110 section 9.3.6), or over
    /// HTTP/2 (RFC 8441 section 5).
    func opensTunnel(_ exchange: ExchangePlace) -> Bool {
        guard (200..<300).contains(answer.status) else { return false }
        return exchange.head.method == .connect || exchange.value.upstream?.value.codec == .http2
    }

    /// The endpoint agreed: from here on bytes pass both ways. false if the answer cannot be used.
    mutating func startTunnel(_ exchange: ExchangePlace, _ bytes: ByteView) -> Bool {
        let connection = exchange.value.downstream
        guard let upstream = exchange.value.upstream, exchange.value.isUpgrade else {
            attemptFailed(exchange, .protocolError)
            return false
        }
        counters.add(exchange.chain.http.scope, .downstreamCxUpgradesTotal)
        (exchange.value.tryDeadline, exchange.value.deadline) = (.distantFuture, .distantFuture)
        exchange.value.isTunnel = true
        exchange.value.phase = .answering
        if connection.value.codec == .http1, exchange.head.method != .connect {
            sendSwitch(exchange, connection, bytes)
        } else {
            // HTTP/2 has no 101.
            if answer.status == 101 { answer.status = 200 }
            exchange.value.status = answer.status
            answer.body = .untilStreamEnd
            sendAnswerHead(exchange, bytes)
            guard exchange.isInUse, exchange.value.phase == .answering else { return false }
        }
        flushStaged()
        if connection.value.codec == .http1, upstream.value.codec == .http1 {
            exchange.value.phase = .tunnelling
            joinTunnel(connection, upstream)
        } else {
            streamTunnel(exchange, connection, upstream)
        }
        return true
    }

    private mutating func sendSwitch(
        _ exchange: ExchangePlace, _ connection: ConnectionPlace, _ bytes: ByteView
    ) {
        exchange.value.status = 101
        edits.reset(
            dropping: EditList.mask([
                .connection, .keepAlive, .proxyConnection, .transferEncoding, .contentLength,
            ]))
        edits.add(.connection, ByteView("upgrade"))
        // `Connection` names it, so that it goes with the other fields about one connection.
        edits.drop(.upgrade)
        let asked = exchange.head.value(of: .upgrade, in: exchange.value.headBytes.view)
        edits.add(.upgrade, answer.value(of: .upgrade, in: bytes) ?? asked ?? ByteView("websocket"))
        keepForLog(exchange, bytes)
        stage(for: connection)
        _ = HTTP1Writer.appendStatusLine(101, to: &stageBuffer)
        _ = stageBuffer.append(
            answer, bytes, editedBy: edits, names: answerNames(exchange))
    }

    /// One side is a stream of HTTP/2: bytes pass as bodies do, with its flow control.
    private mutating func streamTunnel(
        _ exchange: ExchangePlace, _ connection: ConnectionPlace, _ upstream: ConnectionPlace
    ) {
        exchange.value.upstreamKeepsAlive = false
        exchange.value.requestSent = false
        if upstream.value.codec == .http1 { exchange.value.answerDecoder = BodyDecoder(.untilClose) }
        if connection.value.codec == .http1 {
            exchange.value.requestDecoder = BodyDecoder(.untilClose)
            exchange.value.requestEnded = false
            exchange.value.framing = .untilClose
            exchange.value.closesDownstream = true
            resume(connection)
            enqueue(connection)
        }
        sendBody(exchange)
    }

    /// A CONNECT that ends here: the endpoint gets a connection of its own, whose bytes are the tunnel's.
    mutating func connectForTunnel(_ exchange: ExchangePlace, _ slot: Int, _ host: Int) {
        guard let limits = exchange.value.limits, limits.with({ $0.connections.tryAcquire() }) else {
            counters.add(clusterScope(slot: Int32(slot)), .upstreamCxOverflow)
            return attemptFailed(exchange, .overflowed)
        }
        guard let upstream = connect(slot, host, limits) else {
            return attemptFailed(exchange, .connectFailed)
        }
        upstream.value.isTunnelOnly = true
        upstream.value.exchange = exchange
        exchange.value.upstream = upstream
    }

    /// It is there: that is the answer.
    private mutating func tunnelOpen(_ exchange: ExchangePlace, _ upstream: ConnectionPlace) {
        guard exchange.isInUse, exchange.value.phase == .waiting, exchange.value.upstream == upstream else {
            return close(upstream)
        }
        exchange.value.phase = .sent
        exchange.value.headSent = true
        upstream.value.codec = .http1
        upstream.value.requests = 1
        clusters[Int(exchange.value.cluster)].hosts[Int(exchange.value.endpoint)].unowned.with {
            $0.requestStarted()
        }
        exchange.value.isActiveUpstream = true
        counters.add(clusterScope(upstream), .upstreamRqTotal)
        counters.add(clusterScope(upstream), .upstreamRqActive)
        exchange.value.record.upstreamProtocol = .tcp
        answer.reset()
        answer.status = 200
        _ = answerHead(exchange, ByteView(""), isComplete: false)
        if upstream.isInUse, upstream.value.mayRead { enqueue(upstream) }
    }

    private mutating func joinTunnel(_ connection: ConnectionPlace, _ upstream: ConnectionPlace) {
        for (end, other) in [(connection, upstream), (upstream, connection)] {
            end.value.codec = .tunnel
            end.value.tunnelPeer = other
            end.value.isPaused = false
            enqueue(end)
        }
    }

    // MARK: tcp_proxy

    /// A connection whose filter chain ends in `tcp_proxy`: another one is made to an endpoint.
    mutating func openTunnel(_ connection: ConnectionPlace) {
        connection.value.codec = .tunnel
        connection.value.isPaused = true
        let tcp = connection.chain.tcp
        beginTunnelRecord(connection)
        if tcp.durationMax > 0 {
            setTimer(connection, at: connection.value.opened.advanced(byNanoseconds: tcp.durationMax))
        }
        if tcp.idleTimeout > 0 { setTimer(connection, at: now.advanced(byNanoseconds: tcp.idleTimeout)) }
        var index = 0
        if tcp.clusters.count > 1 {
            let point = random.below(tcp.clusters[tcp.clusters.count - 1].weightEnd)
            while tcp.clusters[index].weightEnd <= point { index += 1 }
        }
        guard tcp.clusters[index].cluster >= 0 else {
            count(.downstreamCxNoRoute, of: connection)
            flagTunnel(connection, .noClusterFound)
            return close(connection)
        }
        let slot = Int(shelf[connection.value.snapshot].clusters[Int(tcp.clusters[index].cluster)].slot)
        connection.value.cluster = Int32(slot)
        noteTunnelCluster(connection, slot)
        connectTunnel(connection, slot)
    }

    private mutating func connectTunnel(_ connection: ConnectionPlace, _ slot: Int) {
        connection.value.requests += 1
        guard let host = pickForTunnel(connection, slot) else {
            counters.add(clusterScope(slot: Int32(slot)), .upstreamCxNoneHealthy)
            flagTunnel(connection, .noHealthyUpstream)
            return close(connection)
        }
        let limits = clusters[slot].limits(0)
        guard limits.with({ $0.connections.tryAcquire() }) else {
            counters.add(clusterScope(slot: Int32(slot)), .upstreamCxOverflow)
            flagTunnel(connection, .upstreamOverflow)
            return close(connection)
        }
        noteTunnelAttempt(connection, slot, host)
        guard let upstream = connect(slot, host, limits) else {
            return tunnelConnectFailed(connection)
        }
        upstream.value.isTunnelOnly = true
        upstream.value.tunnelPeer = connection
        connection.value.tunnelPeer = upstream
    }

    /// The endpoint did not answer: another try, if the configuration allows one.
    mutating func tunnelConnectFailed(_ connection: ConnectionPlace) {
        guard connection.isInUse, connection.value.phase == .open else { return }
        connection.value.tunnelPeer = .none
        flagTunnel(connection, .upstreamConnectionFailure)
        if Int32(connection.value.requests) < connection.chain.tcp.connectAttemptsMax,
            !connection.value.readEnded
        {
            return connectTunnel(connection, Int(connection.value.cluster))
        }
        counters.add(clusterScope(slot: connection.value.cluster), .upstreamCxConnectAttemptsExceeded)
        flagTunnel(connection, .upstreamRetryLimitExceeded)
        close(connection)
    }

    mutating func tunnelOpen(_ upstream: ConnectionPlace) {
        if let exchange = upstream.value.exchange { return tunnelOpen(exchange, upstream) }
        guard let connection = upstream.value.tunnelPeer, connection.isInUse, connection.value.phase == .open
        else { return close(upstream) }
        let slot = Int(upstream.value.cluster)
        if clusters[slot].detector != nil {
            note(slot, Int(upstream.value.endpoint), .connectedFinally)
        }
        if upstream.value.knowsLocal, !connection.value.tunnelRecord.isNone {
            tunnelRecords[connection.value.tunnelRecord].upstreamLocal = upstream.value.local
        }
        joinTunnel(connection, upstream)
    }

    // MARK: Bytes

    mutating func takeTunnelled(_ connection: ConnectionPlace, _ bytes: ByteView) -> Int {
        guard let other = connection.value.tunnelPeer, other.isInUse, other.value.phase == .open,
            other.value.codec == .tunnel
        else {
            // Not joined yet.
            connection.value.isPaused = true
            return 0
        }
        tunnelMoved(connection, other, bytes.count)
        if bytes.count >= Self.largeRead {
            connection.value.largeReads = min(connection.value.largeReads + 1, .max - 1)
        } else {
            connection.value.largeReads = 0
        }
        write(other, bytes)
        flushStaged()
        if other.value.pending.count >= Self.queuedHigh { connection.value.isPaused = true }
        return bytes.count
    }

    /// Bytes of `connection` have gone on to the tunnel's `other` end.
    mutating func tunnelMoved(_ connection: ConnectionPlace, _ other: ConnectionPlace, _ count: Int) {
        connection.value.lastUsed = now
        let isCaller = connection.value.side == .downstream
        let caller = isCaller ? connection : other
        guard let exchange = caller.value.exchange, exchange.isInUse else {
            return noteTunnelled(caller, fromCaller: isCaller, count)
        }
        exchange.value.lastMoved = now
        if connection.value.side == .downstream {
            exchange.value.record.bytesReceived &+= UInt64(count)
        } else {
            exchange.value.record.bytesSent &+= UInt64(count)
        }
    }

    mutating func tunnelDrained(_ connection: ConnectionPlace) {
        guard let other = connection.value.tunnelPeer, other.isInUse else { return }
        if other.value.readEnded, !connection.hasUnsent { finishTunnelWrite(connection) }
        resume(other)
    }

    /// One direction is over; the other may go on.
    mutating func tunnelEnded(_ connection: ConnectionPlace, cause: EndCause) {
        let other = connection.value.tunnelPeer
        // Whoever takes no more bytes is gone, even if its last sign looks like a FIN.
        guard cause == .finished, !connection.value.writeFailed, let other, other.isInUse,
            other.value.phase == .open, other.value.codec == .tunnel
        else { return closeTunnel(connection, other) }
        flushStaged()
        if !other.hasUnsent { finishTunnelWrite(other) }
        if other.value.readEnded, !other.hasUnsent, !connection.hasUnsent {
            closeTunnel(connection, other)
        }
    }

    private mutating func finishTunnelWrite(_ connection: ConnectionPlace) {
        if let session = connection.value.tls {
            session.shutdown()
            sendCipher(connection)
        }
        kernel.shutdownWrite(connection.value.descriptor)
        if connection.value.readEnded, let other = connection.value.tunnelPeer, other.isInUse,
            !other.hasUnsent
        {
            closeTunnel(connection, other)
        }
    }

    private mutating func closeTunnel(_ connection: ConnectionPlace, _ other: ConnectionPlace?) {
        for end in [connection, other] {
            guard let end, end.isInUse, end.value.side == .downstream else { continue }
            if let exchange = end.value.exchange, exchange.isInUse, exchange.value.phase == .tunnelling {
                exchange.value.answerEnded = true
                exchange.value.closesDownstream = true
                exchange.value.upstreamKeepsAlive = false
                end.value.exchange = .none
                leaveUpstream(exchange, isReusable: false)
                self.end(exchange)
            }
        }
        close(connection)
        if let other { close(other) }
    }

    mutating func tunnelTimerFired(_ connection: ConnectionPlace) {
        if let exchange = connection.value.exchange { return exchangeTimerFired(exchange) }
        guard connection.chain.kind == .tcp else { return }
        let other = connection.value.tunnelPeer
        let longest = connection.chain.tcp.durationMax
        if longest > 0 {
            let end = connection.value.opened.advanced(byNanoseconds: longest)
            if now >= end {
                count(.maxDownstreamConnectionDuration, of: connection)
                flagTunnel(connection, .durationTimeout)
                return closeTunnel(connection, other)
            }
            setTimer(connection, at: end)
        }
        let idle = connection.chain.tcp.idleTimeout
        guard idle > 0 else { return }
        var last = connection.value.lastUsed
        if let other, other.isInUse { last = max(last, other.value.lastUsed) }
        let limit = last.advanced(byNanoseconds: idle)
        if now < limit { return setTimer(connection, at: limit) }
        count(.idleTimeout, of: connection)
        closeTunnel(connection, other)
    }
}
