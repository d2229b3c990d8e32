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
            shelf.put(snapshot)
            adoptClusters(snapshot)
            adoptListeners(snapshot)
            moveIdleConnections()
            process.reportAdopted(worker: index, snapshot.generation)
        }
        if stopping == .no, process.isDraining.load(ordering: .relaxed) { beginDrain() }
    }

    /// Listening sockets of addresses that are still there go on; those of others are emptied and closed.
    private mutating func adoptListeners(_ snapshot: Snapshot) {
        for index in listeners.indices where !listeners[index].isClosed {
            let address = listeners[index].address
            if let found = snapshot.listeners.indices.first(where: {
                snapshot.listeners[$0].address == address
            }) {
                listeners[index].listener = Int32(found)
            } else {
                closeListener(index)
            }
        }
        for index in snapshot.listeners.indices {
            let address = snapshot.listeners[index].address
            if listeners.contains(where: { !$0.isClosed && $0.address == address }) { continue }
            guard let descriptor = process.sockets.descriptor(address, worker: self.index) else { continue }
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
        acceptConnections(index)
        kernel.close(listeners[index].descriptor)
        listeners[index].isClosed = true
        listeners[index].listener = -1
        process.sockets.closed(listeners[index].address, worker: self.index)
    }

    /// Connections between requests go over to the new configuration, or end if their listener has changed, so that no
    /// idle one keeps an old configuration alive.
    private mutating func moveIdleConnections() {
        for index in 0..<connections.indexEnd {
            guard let id = connections.id(at: index), connections[id].side == .downstream,
                connections[id].snapshot >= 0,
                connections[id].phase == .open
            else { continue }
            let isIdle =
                connections[id].codec == .http2
                ? connections[id].streams == 0 : connections[id].exchange.isNone
            if connections[id].codec == .tunnel || !isIdle { continue }
            refreshChain(id)
            if connections[id].closesAfterAnswer {
                counters.add(connectionChain(id).value.http.scope, .downstreamCxDrainClose)
                if connections[id].codec == .http2 { endHTTP2(id) } else { closeGracefully(id) }
            }
        }
    }

    /// The next request of a connection is treated by the newest configuration, if that has the listener unchanged; else
    /// the connection ends with it.
    mutating func refreshChain(_ id: SlabID) {
        guard connections[id].snapshot != shelf.current, connections[id].snapshot >= 0,
            let newest = shelf.newest
        else { return }
        let old = shelf[connections[id].snapshot]
        let record = old.listeners[Int(connections[id].listener)]
        for index in newest.listeners.indices {
            let candidate = newest.listeners[index]
            guard candidate.address == record.address else { continue }
            guard candidate.fingerprint == record.fingerprint,
                Int(connections[id].chain) < candidate.chains.count
            else { break }
            shelf.use(shelf.current)
            shelf.release(connections[id].snapshot)
            connections[id].snapshot = shelf.current
            connections[id].listener = Int32(index)
            connections[id].chainRecord = candidate.chains.reference(Int(connections[id].chain))
            return
        }
        connections[id].closesAfterAnswer = true
    }

    // MARK: Stopping

    /// Listeners close, idle connections too; the others after their answers.
    private mutating func beginDrain() {
        stopping = .draining
        for index in listeners.indices where !listeners[index].isClosed { closeListener(index) }
        for index in 0..<connections.indexEnd {
            guard let id = connections.id(at: index), connections[id].side == .downstream else { continue }
            switch connections[id].phase {
            case .inspecting, .handshaking: close(id)
            case .open:
                switch connections[id].codec {
                case .undecided: close(id)
                case .tunnel: break
                case .http2: endHTTP2(id)
                case .http1:
                    connections[id].closesAfterAnswer = true
                    let exchange = connections[id].exchange
                    if exchange.isNone || exchanges[exchange].phase == .reading {
                        if !exchange.isNone { abandonReading(exchange) }
                        closeGracefully(id)
                    }
                }
            case .connecting, .closing, .lingering, .closed: break
            }
        }
    }

    /// Nothing is in flight any more.
    var isDrained: Bool {
        guard stopping != .no, exchanges.count == 0 else { return false }
        for index in 0..<connections.indexEnd {
            guard let id = connections.id(at: index), connections[id].side == .downstream else { continue }
            // Of a lingering one everything is written, and our FIN; the wait for the peer's is a courtesy.
            if connections[id].phase != .lingering { return false }
        }
        return true
    }

    // MARK: What happens to a connection

    mutating func connectionTimerFired(_ id: SlabID) {
        guard connections.contains(id), connections[id].phase != .closed else { return }
        connections[id].timer = .none
        connections[id].timerAt = .distantFuture
        if connections[id].side == .upstream { return upstreamTimerFired(id) }
        if connections[id].codec == .tunnel, connections[id].phase == .open { return tunnelTimerFired(id) }
        downstreamTimerFired(id)
    }

    /// The peer's FIN, or an error.
    mutating func connectionEnded(_ id: SlabID, cause: EndCause) {
        guard connections.contains(id), connections[id].phase != .closed else { return }
        if cause == .finished { connections[id].readEnded = true }
        if connections[id].side == .upstream { return upstreamEnded(id, cause: cause) }
        switch connections[id].phase {
        case .inspecting, .connecting, .lingering: return close(id)
        case .handshaking:
            let scope = shelf[connections[id].snapshot].listeners[Int(connections[id].listener)].scope
            counters.add(scope, .sslConnectionError)
            return close(id)
        case .closing:
            if cause == .reset { close(id) }
            return
        case .closed: return
        case .open: break
        }
        switch connections[id].codec {
        case .undecided: closeGracefully(id)
        case .tunnel: tunnelEnded(id, cause: cause)
        case .http2:
            endStreams(of: id)
            close(id)
        case .http1: callerEnded(id, cause: cause)
        }
    }

    private mutating func callerEnded(_ id: SlabID, cause: EndCause) {
        let exchange = connections[id].exchange
        guard !exchange.isNone, exchanges.contains(exchange) else {
            return cause == .reset ? close(id) : closeGracefully(id)
        }
        if exchanges[exchange].phase == .reading {
            abandonReading(exchange)
            return closeGracefully(id)
        }
        // A caller that has said all may close its side and still wants the answer (RFC 9112 section 9.6).
        if cause == .finished, exchanges[exchange].requestEnded {
            connections[id].closesAfterAnswer = true
            return
        }
        connections[id].exchange = .none
        abandon(exchange)
        close(id)
    }

    /// The socket is closed; what was counted for it is counted back.
    mutating func connectionClosed(_ id: SlabID) {
        switch connections[id].side {
        case .downstream: downstreamClosed(id)
        case .upstream: upstreamClosed(id)
        }
    }

    private mutating func downstreamClosed(_ id: SlabID) {
        let exchange = connections[id].exchange
        if !exchange.isNone, exchanges.contains(exchange), exchanges[exchange].phase != .ended {
            connections[id].exchange = .none
            abandon(exchange)
        }
        counters.add(process.serverScope, .serverTotalConnections, -1)
        let index = connections[id].snapshot >= 0 ? connections[id].snapshot : shelf.current
        guard index >= 0, Int(connections[id].listener) < shelf[index].listeners.count else { return }
        let listener = shelf[index].listeners[Int(connections[id].listener)]
        counters.add(listener.scope, .downstreamCxActive, -1)
        counters.add(listener.scope, .downstreamCxDestroy)
        counters.record(
            listener.scope, .downstreamCxLengthMs, nanoseconds: now.nanoseconds(since: connections[id].opened)
        )
        guard connections[id].snapshot >= 0 else { return }
        if connections[id].isCountedHTTP {
            let scope = listener.chains[Int(connections[id].chain)].http.scope
            counters.add(scope, .downstreamCxActive, -1)
            counters.add(scope, .downstreamCxDestroy)
            if connections[id].tls != nil { counters.add(scope, .downstreamCxSslActive, -1) }
            if connections[id].session != nil { counters.add(scope, .downstreamCxHttp2Active, -1) }
        }
        let other = connections[id].tunnelPeer
        if !other.isNone, connections.contains(other), connections[other].phase != .closed { close(other) }
        shelf.release(connections[id].snapshot)
        connections[id].snapshot = -1
    }

    private mutating func upstreamClosed(_ id: SlabID) {
        let (slot, host) = (Int(connections[id].cluster), Int(connections[id].endpoint))
        leaveIdle(id)
        if connections[id].session != nil { clusters[slot].hosts[host].shared.removeAll { $0 == id } }
        if connections[id].isConnecting { clusters[slot].hosts[host].connecting -= 1 }
        clusters[slot].connectionCount -= 1
        clusters[slot].hosts[host].connections -= 1
        clusters[slot].hosts[host].unowned.with {
            _ = $0.connectionsActive.wrappingSubtract(1, ordering: .relaxed)
        }
        counters.add(clusters[slot].scope, .upstreamCxActive, -1)
        counters.record(
            clusters[slot].scope, .upstreamCxLengthMs,
            nanoseconds: now.nanoseconds(since: connections[id].opened))
        if let limits = connections[id].limits {
            connections[id].limits = nil
            releasePlace(slot, limits)
        }
        // Whoever waits may now have a connection of its own.
        for waiting in clusters[slot].hosts.indices where clusters[slot].hosts[waiting].pendingCount > 0 {
            connectIfNeeded(slot, waiting, priority: 0)
        }
        let other = connections[id].tunnelPeer
        if !other.isNone, connections.contains(other), connections[other].phase != .closed { close(other) }
    }
}
