import HTTPModel
import MeshModel
import MeshPrimitives
import Reactor
import TLSEngine
import Telemetry

/// A worker's listening socket. It outlives configurations: as long as some snapshot has a listener at its address.
struct ListenerSocket {
    var descriptor: Descriptor
    var address: SocketAddress
    /// Index of the listener in the current snapshot; -1 once it has none.
    var listener: Int32
    var isWatched = false
    var isClosed = false
}

/// Accepting stops for a moment when the process is out of descriptors.
struct AcceptLimit {
    var isPaused = false
}

extension Worker {
    /// Accepts of one turn and listener.
    private static var acceptsPerTurn: Int { 64 }
    private static var acceptPause: Int64 { 100_000_000 }

    /// `isLast`: the socket closes afterwards, so nothing may be left in its queue.
    mutating func acceptConnections(_ index: Int, isLast: Bool = false) {
        guard index < listeners.count, !listeners[index].isClosed else { return }
        var (left, failuresLeft) = (isLast ? Int.max : Self.acceptsPerTurn, Self.acceptsPerTurn)
        while left > 0, failuresLeft > 0 {
            left -= 1
            switch kernel.accept(listeners[index].descriptor) {
            case .accepted(let descriptor, let peer): accepted(descriptor, peer, on: index)
            case .wouldBlock: return
            case .failed(let error):
                failuresLeft -= 1
                // A caller that gave up while it was queued is no reason to stop; anything else would only come again.
                if error == .connectionAborted { continue }
                acceptLimit.isPaused = true
                _ = timers.schedule(at: now.advanced(byNanoseconds: Self.acceptPause), token: .worker)
                return
            }
        }
        if isLast { return }
        // More may wait, and no edge will tell.
        acceptLimit.isPaused = true
        _ = timers.schedule(at: now, token: .worker)
    }

    mutating func resumeAccepting() {
        acceptLimit.isPaused = false
        for index in listeners.indices where !listeners[index].isClosed { acceptConnections(index) }
    }

    private mutating func accepted(_ descriptor: Descriptor, _ peer: SocketAddress, on index: Int) {
        var listener = listeners[index].listener
        guard listener >= 0, let snapshot = shelf.newest else { return kernel.close(descriptor) }
        var local = (try? kernel.localAddress(descriptor)) ?? listeners[index].address
        var isRedirected = false
        let first = snapshot.listeners.reference(Int(listener))
        if first.value.readsOriginal, let wanted = try? kernel.originalDestination(descriptor),
            wanted != local
        {
            (local, isRedirected) = (wanted, true)
            if first.value.handsOff, let other = snapshot.listener(at: wanted) { listener = Int32(other) }
        }
        var connection = Connection(
            descriptor: descriptor, side: .downstream, phase: .inspecting, peer: peer, local: local, at: now)
        connection.listener = listener
        connection.isRedirected = isRedirected
        connectionCount &+= 1
        connection.number = connectionCount &* 64 &+ UInt64(self.index)
        connection.canWrite = true
        connection.mayRead = true
        let scope = snapshot.listeners[Int(listener)].scope
        guard let connection = connections.insertPlace(connection) else {
            counters.add(scope, .downstreamCxOverflow)
            return kernel.close(descriptor)
        }
        do throws(SystemErrno) {
            try loop.watch(descriptor, .connection(connection.id))
        } catch {
            kernel.close(descriptor)
            return connections.remove(connection)
        }
        connection.value.snapshot = shelf.current
        shelf.use(shelf.current)
        counters.add(scope, .downstreamCxTotal)
        counters.add(scope, .downstreamCxActive)
        counters.add(process.serverScope, .serverTotalConnections)
        if !snapshot.listeners[Int(listener)].needsInspection {
            chooseChain(connection, isTLS: false, serverName: "", protocols: [])
        } else {
            setTimer(connection, at: now.advanced(byNanoseconds: Self.inspectionMax))
        }
    }

    /// `listener_filters_timeout`: Envoy's default.
    private static var inspectionMax: Int64 { 15_000_000_000 }

    /// The first bytes of a connection whose listener has several kinds of filter chains. Takes none of them.
    mutating func inspect(_ connection: ConnectionPlace, _ bytes: ByteView) -> Int {
        switch ClientHelloInspector.inspect(bytes) {
        case .needMore:
            return 0
        case .notTLS:
            chooseChain(connection, isTLS: false, serverName: "", protocols: [])
        case .hello(let serverName, let protocols):
            chooseChain(connection, isTLS: true, serverName: serverName ?? "", protocols: protocols)
            if connection.value.phase == .handshaking {
                // They are ciphertext, and wait as such.
                connection.value.cipherRemainder = pool.take(bytes.count)
                let fits = connection.value.cipherRemainder.append(bytes)
                precondition(fits)
                enqueue(connection)
                return bytes.count
            }
        }
        // The bytes are looked at again by whoever comes next.
        enqueue(connection)
        return 0
    }

    private mutating func chooseChain(
        _ connection: ConnectionPlace, isTLS: Bool, serverName: String, protocols: [String]
    ) {
        let snapshot = shelf[connection.value.snapshot]
        let listener = snapshot.listeners[Int(connection.value.listener)]
        let subject = FilterChainMatcher.Subject(
            destination: connection.value.local, source: connection.value.peer, isTLS: isTLS,
            serverName: serverName, protocols: protocols)
        guard let chain = FilterChainMatcher.choose(listener, subject) else {
            counters.add(listener.scope, .noFilterChainMatch)
            return close(connection)
        }
        connection.value.chain = Int32(chain)
        connection.value.chainRecord = listener.chains.reference(chain)
        let record = listener.chains[chain]
        if !record.connectionLimits.isEmpty, !passConnectionLimits(record.connectionLimits) {
            return close(connection)
        }
        if record.tls >= 0 {
            guard
                let session = TLSSession.make(
                    context: snapshot.tlsContexts[Int(record.tls)], transport: transport)
            else { return close(connection) }
            connection.value.tls = session
            connection.value.phase = .handshaking
            setTimer(connection, at: now.advanced(byNanoseconds: Self.handshakeMax))
        } else {
            if record.isRefusedInShadow { counters.add(listener.scope, .shadowPlainTextRefused) }
            downstreamOpen(connection)
        }
    }

    /// Envoy has no limit of its own here; a handshake that takes longer is an attack or a dead peer.
    private static var handshakeMax: Int64 { 15_000_000_000 }

    /// The connection can carry requests (or a tunnel's bytes).
    mutating func downstreamOpen(_ connection: ConnectionPlace) {
        connection.value.phase = .open
        switch connection.chain.kind {
        case .tcp: openTunnel(connection)
        case .http:
            let scope = connection.chain.http.scope
            counters.add(scope, .downstreamCxTotal)
            counters.add(scope, .downstreamCxActive)
            connection.value.isCountedHTTP = true
            if let session = connection.value.tls {
                counters.add(scope, .downstreamCxSslTotal)
                counters.add(scope, .downstreamCxSslActive)
                if connection.chain.http.codec != .http1, session.applicationProtocol == .http2 {
                    startHTTP2(connection)
                } else if session.applicationProtocol == .http11 {
                    connection.value.codec = .http1
                }
            }
            if connection.value.codec == .undecided {
                switch connection.chain.http.codec {
                case .http1: connection.value.codec = .http1
                case .http2: startHTTP2(connection)
                case .auto: break
                }
            }
            let wait = connection.chain.http.requestHeadersTimeout
            let idle = connection.chain.http.idleTimeout
            let first = wait > 0 ? (idle > 0 ? min(wait, idle) : wait) : idle
            if first > 0 { setTimer(connection, at: now.advanced(byNanoseconds: first)) }
            let longest = connection.chain.http.maxConnectionDuration
            if longest > 0 {
                setTimer(connection, at: connection.value.opened.advanced(byNanoseconds: longest))
            }
        }
    }

    /// The first bytes in the clear: HTTP/2 announces itself (RFC 9113 section 3.4).
    mutating func decideCodec(_ connection: ConnectionPlace, _ bytes: ByteView) -> Int {
        let preface = ByteView("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        let seen = min(bytes.count, preface.count)
        if bytes.prefix(seen).equals(preface.prefix(seen)) {
            guard seen == preface.count else { return 0 }
            startHTTP2(connection)
            return takeFrames(connection, bytes)
        }
        connection.value.codec = .http1
        return takeRequests(connection, bytes)
    }

    // MARK: TLS

    mutating func handshakeDone(_ connection: ConnectionPlace) {
        guard let session = connection.value.tls else { return }
        switch connection.value.side {
        case .downstream:
            let scope = shelf[connection.value.snapshot].listeners[Int(connection.value.listener)].scope
            counters.add(scope, .sslHandshake)
            if session.isResumed { counters.add(scope, .sslSessionReused) }
            connection.value.identity = identities.use(session)
            connection.value.tlsVersion = session.isVersion13 ? .tls13 : .tls12
            if connection.value.identity < 0 { counters.add(scope, .sslNoCertificate) }
            downstreamOpen(connection)
        case .upstream:
            let scope = clusterScope(connection)
            counters.add(scope, .sslHandshake)
            if session.isResumed { counters.add(scope, .sslSessionReused) }
            upstreamOpen(connection)
        }
    }

    mutating func handshakeFailed(_ connection: ConnectionPlace, _ failure: TLSFailure) {
        let text = connection.value.tls?.explain(failure) ?? failure.text
        switch connection.value.side {
        case .downstream:
            let scope = shelf[connection.value.snapshot].listeners[Int(connection.value.listener)].scope
            counters.add(scope, failure.listenerCounter)
            process.log.note(
                .warning, "TLS handshake refused", detail: text, peer: connection.value.peer,
                local: connection.value.local)
            close(connection)
        case .upstream:
            counters.add(clusterScope(connection), failure.clusterCounter)
            process.log.note(
                .warning, "TLS handshake with endpoint failed", detail: text, peer: connection.value.peer,
                local: connection.value.local)
            endpointFailed(connection, "TLS error: \(text)")
        }
    }

    mutating func sessionFailed(_ connection: ConnectionPlace, _ failure: TLSFailure) {
        let text = connection.value.tls?.explain(failure) ?? failure.text
        process.log.note(
            .debug, "TLS session failed", detail: text, peer: connection.value.peer,
            local: connection.value.local)
        if connection.value.side == .upstream { return endpointFailed(connection, "TLS error: \(text)") }
        connectionEnded(connection, cause: .reset)
    }

    /// The requests concerned learn why.
    mutating func endpointFailed(_ connection: ConnectionPlace, _ text: String) {
        transportFailure = failureTexts.id(of: text)
        connectionEnded(connection, cause: .reset)
        transportFailure = .none
    }
}

extension TLSFailure {
    var listenerCounter: ListenerCounter {
        switch reason {
        case .noPeerCertificate: .sslFailVerifyNoCert
        case .wrongIdentity: .sslFailVerifySan
        case .untrustedIssuer, .expired, .notYetValid: .sslFailVerifyError
        default: .sslConnectionError
        }
    }

    var clusterCounter: ClusterCounter {
        switch reason {
        case .noPeerCertificate: .sslFailVerifyNoCert
        case .wrongIdentity: .sslFailVerifySan
        case .untrustedIssuer, .expired, .notYetValid: .sslFailVerifyError
        default: .sslConnectionError
        }
    }
}
