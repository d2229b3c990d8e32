import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Reactor
import Synchronization
import Telemetry
import TrafficPolicy

/// Bytes that pass both ways without being looked at: after a 101, and for `tcp_proxy`.
extension Worker {
    // MARK: After an upgrade

    /// The endpoint agreed to switch protocols; false if the answer cannot be used.
    mutating func startTunnel(_ exchange: SlabID, _ bytes: ByteView) -> Bool {
        let (id, upstream) = (exchanges[exchange].downstream, exchanges[exchange].upstream)
        guard exchanges[exchange].isUpgrade, connections[id].codec == .http1,
            connections[upstream].codec == .http1
        else {
            attemptFailed(exchange, .protocolError)
            return false
        }
        counters.add(exchanges[exchange].chain.value.http.scope, .downstreamCxUpgradesTotal)
        edits.reset(dropping: EditList.mask([.connection, .keepAlive, .proxyConnection, .transferEncoding]))
        edits.add(.connection, ByteView("upgrade"))
        stage(for: id)
        _ = HTTP1Writer.appendStatusLine(101, to: &stageBuffer)
        _ = stageBuffer.append(
            answer, bytes, editedBy: edits, keepsCase: exchanges[exchange].chain.value.http.keepsCase)
        flushStaged()
        exchanges[exchange].phase = .tunnelling
        exchanges[exchange].tryDeadline = .distantFuture
        exchanges[exchange].deadline = .distantFuture
        joinTunnel(id, upstream)
        return true
    }

    private mutating func joinTunnel(_ id: SlabID, _ upstream: SlabID) {
        for (end, other) in [(id, upstream), (upstream, id)] {
            connections[end].codec = .tunnel
            connections[end].tunnelPeer = other
            connections[end].isPaused = false
            enqueue(end)
        }
    }

    // MARK: tcp_proxy

    /// A connection whose filter chain ends in `tcp_proxy`: another one is made to an endpoint.
    mutating func openTunnel(_ id: SlabID) {
        connections[id].codec = .tunnel
        connections[id].isPaused = true
        let tcp = connectionChain(id).value.tcp
        if tcp.idleTimeout > 0 { setTimer(id, at: now.advanced(byNanoseconds: tcp.idleTimeout)) }
        var index = 0
        if tcp.clusters.count > 1 {
            let point = random.below(tcp.clusters[tcp.clusters.count - 1].weightEnd)
            while tcp.clusters[index].weightEnd <= point { index += 1 }
        }
        guard tcp.clusters[index].cluster >= 0 else { return close(id) }
        let slot = Int(shelf[connections[id].snapshot].clusters[Int(tcp.clusters[index].cluster)].slot)
        connections[id].cluster = Int32(slot)
        connectTunnel(id, slot)
    }

    private mutating func connectTunnel(_ id: SlabID, _ slot: Int) {
        connections[id].requests += 1
        guard let set = clusters[slot].set,
            let member = clusters[slot].balancer.pick(from: set, random: &random)
        else {
            counters.add(clusterScope(slot: Int32(slot)), .upstreamCxNoneHealthy)
            return close(id)
        }
        let limits = clusters[slot].limits(0)
        guard limits.with({ $0.connections.tryAcquire() }) else {
            counters.add(clusterScope(slot: Int32(slot)), .upstreamCxOverflow)
            return close(id)
        }
        guard let upstream = connect(slot, Int(clusters[slot].order[member]), limits) else {
            return tunnelConnectFailed(id)
        }
        connections[upstream].isTunnelOnly = true
        connections[upstream].tunnelPeer = id
        connections[id].tunnelPeer = upstream
    }

    /// The endpoint did not answer: another try, if the configuration allows one.
    mutating func tunnelConnectFailed(_ id: SlabID) {
        guard connections.contains(id), connections[id].phase == .open else { return }
        connections[id].tunnelPeer = .none
        if Int32(connections[id].requests) < connectionChain(id).value.tcp.connectAttemptsMax,
            !connections[id].readEnded
        {
            return connectTunnel(id, Int(connections[id].cluster))
        }
        counters.add(clusterScope(slot: connections[id].cluster), .upstreamCxConnectAttemptsExceeded)
        close(id)
    }

    mutating func tunnelOpen(_ upstream: SlabID) {
        let id = connections[upstream].tunnelPeer
        guard connections.contains(id), connections[id].phase == .open else { return close(upstream) }
        joinTunnel(id, upstream)
    }

    // MARK: Bytes

    mutating func takeTunnelled(_ id: SlabID, _ bytes: ByteView) -> Int {
        let other = connections[id].tunnelPeer
        guard connections.contains(other), connections[other].phase == .open,
            connections[other].codec == .tunnel
        else {
            // Not joined yet.
            connections[id].isPaused = true
            return 0
        }
        connections[id].lastUsed = now
        let exchange =
            connections[id].side == .downstream ? connections[id].exchange : connections[other].exchange
        if !exchange.isNone, exchanges.contains(exchange) {
            exchanges[exchange].lastMoved = now
            if connections[id].side == .downstream {
                exchanges[exchange].record.bytesReceived &+= UInt64(bytes.count)
            } else {
                exchanges[exchange].record.bytesSent &+= UInt64(bytes.count)
            }
        }
        write(other, bytes)
        flushStaged()
        if connections[other].pending.count >= Self.queuedHigh { connections[id].isPaused = true }
        return bytes.count
    }

    mutating func tunnelDrained(_ id: SlabID) {
        let other = connections[id].tunnelPeer
        guard connections.contains(other) else { return }
        if connections[other].readEnded, connections[id].pending.isEmpty { finishTunnelWrite(id) }
        resume(other)
    }

    /// One direction is over; the other may go on.
    mutating func tunnelEnded(_ id: SlabID, cause: EndCause) {
        let other = connections[id].tunnelPeer
        guard cause == .finished, connections.contains(other), connections[other].phase == .open,
            connections[other].codec == .tunnel
        else { return closeTunnel(id, other) }
        flushStaged()
        if connections[other].pending.isEmpty { finishTunnelWrite(other) }
        if connections[other].readEnded, connections[other].pending.isEmpty, connections[id].pending.isEmpty {
            closeTunnel(id, other)
        }
    }

    private mutating func finishTunnelWrite(_ id: SlabID) {
        if let session = connections[id].tls {
            session.shutdown()
            sendCipher(id)
        }
        kernel.shutdownWrite(connections[id].descriptor)
        let other = connections[id].tunnelPeer
        if connections[id].readEnded, connections.contains(other), connections[other].pending.isEmpty {
            closeTunnel(id, other)
        }
    }

    private mutating func closeTunnel(_ id: SlabID, _ other: SlabID) {
        for end in [id, other] where connections.contains(end) && connections[end].side == .downstream {
            let exchange = connections[end].exchange
            if !exchange.isNone, exchanges.contains(exchange), exchanges[exchange].phase == .tunnelling {
                exchanges[exchange].answerEnded = true
                exchanges[exchange].closesDownstream = true
                exchanges[exchange].upstreamKeepsAlive = false
                leaveUpstream(exchange, isReusable: false)
                connections[end].exchange = .none
                self.end(exchange)
            }
        }
        close(id)
        close(other)
    }

    mutating func tunnelTimerFired(_ id: SlabID) {
        let idle = connectionChain(id).value.tcp.idleTimeout
        guard idle > 0, connectionChain(id).value.kind == .tcp else { return }
        let other = connections[id].tunnelPeer
        var last = connections[id].lastUsed
        if connections.contains(other) { last = max(last, connections[other].lastUsed) }
        let limit = last.advanced(byNanoseconds: idle)
        if now < limit { return setTimer(id, at: limit) }
        closeTunnel(id, other)
    }
}
