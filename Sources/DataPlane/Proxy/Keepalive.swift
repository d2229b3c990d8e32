import MeshPrimitives
import Telemetry

/// Peers that speak HTTP/2 are asked now and then whether they still are there (`connection_keepalive`).
struct KeepaliveRecord: BitwiseCopyable {
    /// Nanoseconds; 0: they are not asked.
    var interval: Int64 = 0
    var timeout: Int64 = 0
}

extension Worker {
    mutating func startKeepalive(_ connection: ConnectionPlace) {
        let interval = keepalive(connection).interval
        guard interval > 0 else { return }
        connection.value.pingAt = now.advanced(byNanoseconds: interval)
        setTimer(connection, at: connection.value.pingAt)
    }

    private func keepalive(_ connection: ConnectionPlace) -> KeepaliveRecord {
        switch connection.value.side {
        case .downstream: connection.chain.http.keepalive
        case .upstream:
            clusters[Int(connection.value.cluster)].record?.value.keepalive ?? KeepaliveRecord()
        }
    }

    /// Asks if it is time to. false: there was no answer in time, and the connection is gone with its streams.
    mutating func keepsAlive(_ connection: ConnectionPlace) -> Bool {
        guard connection.value.pingAt < .distantFuture else { return true }
        if now >= connection.value.pongBy {
            process.log.note(
                .info, "HTTP/2 peer does not answer", peer: connection.value.peer,
                local: connection.value.local)
            if connection.value.side == .upstream {
                upstreamSessionEnded(connection)
            } else {
                endStreams(of: connection)
                close(connection)
            }
            return false
        }
        if now >= connection.value.pingAt {
            let settings = keepalive(connection)
            connection.value.session?.with { $0.ping(1) }
            enqueueFlush(connection)
            // Up to 15 % later, as by Envoy, so that many connections do not ask at once.
            let jitter = random.below(UInt64(max(settings.interval * 15 / 100, 1)))
            connection.value.pingAt = now.advanced(
                byNanoseconds: max(settings.interval, 1_000_000) + Int64(jitter))
            if connection.value.pongBy == .distantFuture {
                connection.value.pongBy = now.advanced(byNanoseconds: settings.timeout)
            }
        }
        setTimer(connection, at: min(connection.value.pingAt, connection.value.pongBy))
        return true
    }
}
