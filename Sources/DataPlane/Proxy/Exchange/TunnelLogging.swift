import HTTPModel
import MeshPrimitives
import Reactor
import Telemetry

/// What statistics and access logs tell of connections through `tcp_proxy`. A record is kept where a log asks for it.
extension Worker {
    mutating func beginTunnelRecord(_ connection: ConnectionPlace) {
        count(.downstreamCxTotal, of: connection)
        guard !connection.chain.tcp.logs.isEmpty else { return }
        var record = ExchangeRecord()
        record.startedAt = loop.wallClock.nanoseconds
        record.started = connection.value.opened
        record.downstreamProtocol = .tcp
        record.downstreamTLS = connection.value.tlsVersion
        if connection.chain.isRefusedInShadow { record.shadows = .plainText }
        record.connectionID = connection.value.number
        record.downstreamDirectRemote = connection.value.peer
        record.downstreamRemote = connection.value.peer
        record.downstreamLocal = connection.value.local
        connection.value.tunnelRecord = tunnelRecords.insert(record) ?? .none
    }

    func count(_ counter: TCPCounter, of connection: ConnectionPlace, _ number: Int = 1) {
        if let scope = connection.chain.tcp.scope { counters.add(scope, counter, number) }
    }

    /// Bytes went from one end of a tunnel to the other.
    mutating func noteTunnelled(_ connection: ConnectionPlace, fromCaller: Bool, _ bytes: Int) {
        guard connection.isInUse, connection.value.phase != .closed, connection.chain.kind == .tcp else {
            return
        }
        count(
            fromCaller ? .downstreamCxRxBytesTotal : .downstreamCxTxBytesTotal, of: connection, bytes)
        let kept = connection.value.tunnelRecord
        guard !kept.isNone else { return }
        if fromCaller {
            tunnelRecords[kept].bytesReceived &+= UInt64(bytes)
        } else {
            tunnelRecords[kept].bytesSent &+= UInt64(bytes)
        }
    }

    mutating func noteTunnelAttempt(_ connection: ConnectionPlace, _ slot: Int, _ host: Int) {
        let kept = connection.value.tunnelRecord
        guard !kept.isNone else { return }
        let address = clusters[slot].hosts[host].address
        tunnelRecords[kept].upstreamHost = address
        tunnelRecords[kept].attemptStarted(
            at: now.nanoseconds(since: connection.value.opened), endpoint: address, cause: nil)
    }

    mutating func noteTunnelCluster(_ connection: ConnectionPlace, _ slot: Int) {
        let kept = connection.value.tunnelRecord
        if !kept.isNone { tunnelRecords[kept].cluster = NameID(UInt32(slot) + 1) }
    }

    mutating func flagTunnel(_ connection: ConnectionPlace, _ flags: ResponseFlags) {
        let kept = connection.value.tunnelRecord
        guard !kept.isNone else { return }
        tunnelRecords[kept].flags.formUnion(flags)
        if flags.contains(.upstreamConnectionFailure) {
            tunnelRecords[kept].upstreamFailure = transportFailure
        }
    }

    /// The connection has ended.
    mutating func logTunnel(_ connection: ConnectionPlace) {
        let kept = connection.value.tunnelRecord
        guard !kept.isNone else { return }
        connection.value.tunnelRecord = .none
        var record = tunnelRecords[kept]
        tunnelRecords.remove(kept)
        record.ended = now.nanoseconds(since: connection.value.opened)
        let snapshot = shelf[connection.value.snapshot]
        record.configurationVersion = UInt32(truncatingIfNeeded: snapshot.generation)
        var texts = ExchangeTexts()
        if !record.cluster.isNone, let cluster = clusters[Int(record.cluster.rawValue) - 1].record {
            texts.cluster = cluster.value.name
        }
        scratch.removeAll()
        addPeerTexts(connection, &texts)
        if !snapshot.logNeeds.isEmpty {
            clearPeerTexts()
            addRareTexts(
                connection, tls: connection.chain.tls, failure: record.upstreamFailure, snapshot,
                snapshot.logNeeds, &texts)
        }
        let nothing = MessageHead()
        writeLines(
            connection.chain.tcp.logs, snapshot, record, nothing, ByteView(""), nothing, ByteView(""), texts)
    }
}
