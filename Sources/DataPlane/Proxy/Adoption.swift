import HTTPModel
import MeshModel
import MeshPrimitives
import Reactor
import TLSEngine
import Telemetry
import TrafficPolicy

/// How a worker takes up a new configuration, and what happens to a connection from outside its protocol.
extension Worker {
    // MARK: Snapshots

    mutating func adoptSnapshot() {
        if process.newestGeneration != shelf.generation, let snapshot = process.newest {
            closeListeners(missingFrom: snapshot)
            shelf.put(snapshot)
            quotasKept.removeAll()
            adoptClusters(snapshot)
            adoptListeners(snapshot)
            moveIdleConnections()
            settle()
            process.reportAdopted(worker: index, snapshot.generation)
        }
        if stopping == .no, process.isDraining.load(ordering: .relaxed) { beginDrain() }
    }

    /// While the configuration that has them is still in force: what is queued there belongs to it.
    private mutating func closeListeners(missingFrom snapshot: Snapshot) {
        for index in listeners.indices where !listeners[index].isClosed {
            let address = listeners[index].address
            let isThere = snapshot.listeners.indices.contains {
                snapshot.listeners[$0].address == address && snapshot.listeners[$0].isBound
            }
            if !isThere {
                closeListener(index)
            }
        }
    }

    /// Listening sockets of addresses that are still there go on.
    private mutating func adoptListeners(_ snapshot: Snapshot) {
        for index in listeners.indices where !listeners[index].isClosed {
            let address = listeners[index].address
            let found = snapshot.listeners.indices.first {
                snapshot.listeners[$0].address == address && snapshot.listeners[$0].isBound
            }
            if let found { listeners[index].listener = Int32(found) }
        }
        for index in snapshot.listeners.indices where snapshot.listeners[index].isBound {
            let address = snapshot.listeners[index].address
            if listeners.contains(where: { !$0.isClosed && $0.address == address }) { continue }
            guard let descriptor = process.sockets.descriptor(address, worker: self.index, kernel) else {
                continue
            }
            let socket = ListenerSocket(descriptor: descriptor, address: address, listener: Int32(index))
            let place = listeners.firstIndex(where: \.isClosed) ?? listeners.count
            if place == listeners.count { listeners.append(socket) } else { listeners[place] = socket }
            do throws(SystemErrno) {
                try loop.watchReadable(descriptor, .listener(place))
            } catch {
                process.log.note(
                    .error, "cannot watch a listener", detail: "\(address): \(error)", peer: nil, local: nil)
            }
        }
    }

    /// What is queued is accepted first: closing a socket resets its queue.
    private mutating func closeListener(_ index: Int) {
        acceptConnections(index, isLast: true)
        kernel.close(listeners[index].descriptor)
        listeners[index].isClosed = true
        listeners[index].listener = -1
        process.sockets.closed(listeners[index].address, worker: self.index)
    }

    /// Connections between requests go over to the new configuration, or end if their listener has changed, so that no
    /// idle one keeps an old configuration alive.
    private mutating func moveIdleConnections() {
        for index in 0..<connections.indexEnd {
            guard let connection = connections.place(at: index), connection.value.side == .downstream,
                connection.value.snapshot >= 0,
                connection.value.phase == .open
            else { continue }
            let isIdle =
                connection.value.codec == .http2
                ? connection.value.streams == 0 : connection.value.exchange == nil
            if connection.value.codec == .tunnel { continue }
            let isDraining = connection.value.drainEnd != .distantFuture
            refreshChain(connection)
            guard isIdle || connection.value.codec == .http2, connection.value.snapshot != shelf.current,
                !isDraining
            else { continue }
            counters.add(connection.chain.http.scope, .downstreamCxDrainClose)
            startDrain(connection, waitMin: connection.chain.http.drainTimeout)
        }
    }

    /// The next request of a connection is treated by the newest configuration, if that has the listener unchanged; else
    /// the connection ends with it.
    mutating func refreshChain(_ connection: ConnectionPlace) {
        guard connection.value.snapshot != shelf.current, connection.value.snapshot >= 0,
            let newest = shelf.newest
        else { return }
        let old = shelf[connection.value.snapshot]
        let record = old.listeners[Int(connection.value.listener)]
        for index in newest.listeners.indices {
            let candidate = newest.listeners[index]
            guard candidate.address == record.address else { continue }
            guard candidate.fingerprint == record.fingerprint,
                Int(connection.value.chain) < candidate.chains.count
            else { break }
            shelf.use(shelf.current)
            shelf.release(connection.value.snapshot)
            connection.value.snapshot = shelf.current
            connection.value.listener = Int32(index)
            connection.value.chainRecord = candidate.chains.reference(Int(connection.value.chain))
            return
        }
        if connection.value.codec == .http2 { return startDrain(connection, waitMin: Self.drainMin) }
        connection.value.closesAfterAnswer = true
    }

    // MARK: Stopping

    /// Listeners close, idle connections too; the others after their answers.
    private mutating func beginDrain() {
        stopping = .draining
        for index in listeners.indices where !listeners[index].isClosed { closeListener(index) }
        for index in 0..<connections.indexEnd {
            guard let connection = connections.place(at: index), connection.value.side == .downstream else {
                continue
            }
            connection.value.closesAfterAnswer = true
            switch connection.value.phase {
            case .inspecting, .handshaking:
                setTimer(connection, at: now.advanced(byNanoseconds: Self.lingerMax))
            case .open: drain(connection)
            case .connecting, .closing, .lingering, .closed: break
            }
        }
        settle()
    }

    private mutating func drain(_ connection: ConnectionPlace) {
        if connection.value.codec == .undecided || connection.value.codec == .http1 {
            // What has arrived already is still answered; what may come is not waited for.
            connection.value.mayRead = true
            pump(connection)
        }
        guard connection.value.phase == .open else { return }
        switch connection.value.codec {
        case .tunnel: return
        case .http2: return endHTTP2(connection)
        case .undecided: break
        case .http1:
            if let exchange = connection.value.exchange {
                guard exchange.value.phase == .reading else { return }
                abandonReading(exchange)
            }
        }
        // Nobody waits for anything here, so there is nothing to linger for.
        connection.value.readEnded = true
        closeGracefully(connection)
    }

    /// Nothing is in flight any more.
    var isDrained: Bool {
        guard stopping != .no, exchanges.count == 0 else { return false }
        for index in 0..<connections.indexEnd {
            guard let connection = connections.place(at: index), connection.value.side == .downstream else {
                continue
            }
            // Of a lingering one everything is written, and our FIN; the wait for the peer's is a courtesy.
            if connection.value.phase != .lingering { return false }
        }
        return true
    }

    /// Closes everything, whatever is in flight.
    mutating func shutDown() {
        stopping = .stopped
        for index in listeners.indices where !listeners[index].isClosed { closeListener(index) }
        // Callers first: their requests let go of the connections to endpoints.
        for side in [Connection.Side.downstream, .upstream] {
            for index in 0..<connections.indexEnd {
                guard let connection = connections.place(at: index), connection.value.side == side else {
                    continue
                }
                if connection.value.codec == .http2, side == .downstream { endStreams(of: connection) }
                close(connection)
            }
            settle()
        }
        pipes.closeKept(kernel)
    }

    // MARK: What happens to a connection

    mutating func connectionTimerFired(_ connection: ConnectionPlace) {
        guard connection.isInUse, connection.value.phase != .closed else { return }
        connection.value.timer = .none
        connection.value.timerAt = .distantFuture
        if connection.value.codec == .http2, connection.value.phase == .open, !keepsAlive(connection) {
            return
        }
        if connection.value.side == .upstream { return upstreamTimerFired(connection) }
        if connection.value.codec == .tunnel, connection.value.phase == .open {
            return tunnelTimerFired(connection)
        }
        downstreamTimerFired(connection)
    }

    /// The peer's FIN, or an error.
    mutating func connectionEnded(_ connection: ConnectionPlace, cause: EndCause) {
        guard connection.isInUse, connection.value.phase != .closed else { return }
        if cause == .finished { connection.value.readEnded = true }
        if connection.value.side == .upstream { return upstreamEnded(connection, cause: cause) }
        switch connection.value.phase {
        case .inspecting, .connecting, .lingering: return close(connection)
        case .handshaking:
            let scope = shelf[connection.value.snapshot].listeners[Int(connection.value.listener)].scope
            counters.add(scope, .sslConnectionError)
            return close(connection)
        case .closing:
            if cause == .reset { close(connection) }
            return
        case .closed: return
        case .open: break
        }
        switch connection.value.codec {
        case .undecided: closeGracefully(connection)
        case .tunnel: tunnelEnded(connection, cause: cause)
        case .http2:
            endStreams(of: connection)
            close(connection)
        case .http1: callerEnded(connection, cause: cause)
        }
    }

    private mutating func callerEnded(_ connection: ConnectionPlace, cause: EndCause) {
        guard let exchange = connection.value.exchange, exchange.isInUse else {
            return cause == .reset ? close(connection) : closeGracefully(connection)
        }
        if exchange.value.phase == .reading {
            abandonReading(exchange)
            return closeGracefully(connection)
        }
        if cause == .finished, exchange.value.isTunnel { return requestBodyEnded(exchange) }
        // A caller that has said all may close its side and still wants the answer (RFC 9112 section 9.6).
        if cause == .finished, exchange.value.requestEnded, !connection.value.writeFailed {
            connection.value.closesAfterAnswer = true
            return
        }
        connection.value.exchange = .none
        abandon(exchange)
        close(connection)
    }

    /// The socket is closed; what was counted for it is counted back.
    mutating func connectionClosed(_ connection: ConnectionPlace) {
        switch connection.value.side {
        case .downstream: downstreamClosed(connection)
        case .upstream: upstreamClosed(connection)
        }
    }

    private mutating func downstreamClosed(_ connection: ConnectionPlace) {
        if let exchange = connection.value.exchange, exchange.isInUse, exchange.value.phase != .ended {
            connection.value.exchange = .none
            abandon(exchange)
        }
        counters.add(process.serverScope, .serverTotalConnections, -1)
        let index = connection.value.snapshot >= 0 ? connection.value.snapshot : shelf.current
        guard index >= 0, Int(connection.value.listener) < shelf[index].listeners.count else { return }
        let listener = shelf[index].listeners[Int(connection.value.listener)]
        counters.add(listener.scope, .downstreamCxActive, -1)
        counters.add(listener.scope, .downstreamCxDestroy)
        counters.record(
            listener.scope, .downstreamCxLengthMs,
            nanoseconds: now.nanoseconds(since: connection.value.opened)
        )
        guard connection.value.snapshot >= 0 else { return }
        if connection.value.isCountedHTTP {
            let scope = listener.chains[Int(connection.value.chain)].http.scope
            counters.add(scope, .downstreamCxActive, -1)
            counters.add(scope, .downstreamCxDestroy)
            if connection.value.tls != nil { counters.add(scope, .downstreamCxSslActive, -1) }
            if connection.value.session != nil { counters.add(scope, .downstreamCxHttp2Active, -1) }
        }
        logTunnel(connection)
        closeTunnelPeer(of: connection)
        shelf.release(connection.value.snapshot)
        connection.value.snapshot = -1
    }

    private mutating func upstreamClosed(_ connection: ConnectionPlace) {
        let (slot, host) = (Int(connection.value.cluster), Int(connection.value.endpoint))
        leaveIdle(connection)
        if connection.value.session != nil {
            clusters[slot].hosts[host].shared.removeAll { $0 == connection }
        }
        if connection.value.isConnecting { clusters[slot].hosts[host].connecting -= 1 }
        clusters[slot].connectionCount -= 1
        clusters[slot].hosts[host].connections -= 1
        clusters[slot].hosts[host].unowned.with {
            _ = $0.connectionsActive.wrappingSubtract(1, ordering: .relaxed)
        }
        counters.add(clusters[slot].scope, .upstreamCxActive, -1)
        countDestroyed(connection, clusters[slot].scope)
        counters.record(
            clusters[slot].scope, .upstreamCxLengthMs,
            nanoseconds: now.nanoseconds(since: connection.value.opened))
        if let limits = connection.value.limits {
            connection.value.limits = nil
            let isWanted = clusters[slot].process.with { $0.isStarved(besides: index) }
            releasePlace(slot, limits)
            if isWanted, clusters[slot].hosts.contains(where: { $0.pendingCount > 0 }) {
                // Theirs first, or a busy worker would take every place that it frees.
                clusters[slot].isStarved = true
                process.starved(clusters[slot].process, worker: index, asksOthers: false)
                return closeTunnelPeer(of: connection)
            }
        }
        // Whoever waits may now have a connection of its own; a connection that did not come ends those who waited.
        if !connection.value.isConnecting {
            for waiting in clusters[slot].hosts.indices where clusters[slot].hosts[waiting].pendingCount > 0 {
                connectIfNeeded(slot, waiting)
            }
        }
        closeTunnelPeer(of: connection)
    }

    /// Who ended it: the endpoint if its FIN or reset was seen.
    private func countDestroyed(_ connection: ConnectionPlace, _ scope: ClusterScope) {
        let isRemote = connection.value.readEnded || connection.value.sawEnd
        let isActive = connection.value.exchange != nil || connection.value.streams > 0
        counters.add(scope, .upstreamCxDestroy)
        counters.add(scope, isRemote ? .upstreamCxDestroyRemote : .upstreamCxDestroyLocal)
        guard isActive else { return }
        counters.add(scope, .upstreamCxDestroyWithActiveRq)
        counters.add(
            scope, isRemote ? .upstreamCxDestroyRemoteWithActiveRq : .upstreamCxDestroyLocalWithActiveRq)
    }

    private mutating func closeTunnelPeer(of connection: ConnectionPlace) {
        if let other = connection.value.tunnelPeer, other.isInUse, other.value.phase != .closed {
            close(other)
        }
    }
}
