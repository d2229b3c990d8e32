import HTTPModel
import MeshPrimitives
import Reactor
import TrafficPolicy

/// Clusters whose endpoints are where requests were going (ORIGINAL_DST): each is made when it is first asked for, and
/// forgotten when nothing has used it for a while.
extension Worker {
    /// Of one cluster, for one worker; beyond, requests to further ones find no endpoint.
    static let originalHostsMax = 1024

    /// Index of the host that the request names.
    mutating func chooseOriginal(
        _ exchange: ExchangePlace, _ slot: Int, _ settings: OriginalDestinationRecord
    ) -> Int? {
        if !settings.header.isEmpty,
            let text = exchange.head.value(named: settings.header, in: exchange.value.headBytes.view)
        {
            guard let address = SocketAddress(hostPort: text.text) else {
                counters.add(clusters[slot].scope, .originalDstHostInvalid)
                return nil
            }
            return originalHost(address, slot, settings)
        }
        return chooseOriginal(exchange.value.downstream, slot, settings)
    }

    /// Index of the host that the connection was going to before it was redirected here.
    mutating func chooseOriginal(
        _ connection: ConnectionPlace, _ slot: Int, _ settings: OriginalDestinationRecord
    ) -> Int? {
        // One that was not redirected was going to us.
        guard connection.isInUse, connection.value.isRedirected else { return nil }
        return originalHost(connection.value.local, slot, settings)
    }

    private mutating func originalHost(
        _ wanted: SocketAddress, _ slot: Int, _ settings: OriginalDestinationRecord
    ) -> Int? {
        var address = wanted
        if settings.port > 0 {
            address = SocketAddress(
                family: wanted.family, high: wanted.high, low: wanted.low, port: settings.port)
        }
        guard address.port > 0 else { return nil }
        if let known = clusters[slot].hosts.indices.first(where: {
            clusters[slot].hosts[$0].isCurrent && clusters[slot].hosts[$0].address == address
        }) {
            clusters[slot].hosts[known].lastChosen = now
            return known
        }
        cleanUpOriginals(slot, settings)
        let free = clusters[slot].hosts.indices.first { clusters[slot].hosts[$0].isFree }
        guard free != nil || clusters[slot].hosts.count < Self.originalHostsMax else { return nil }
        let kept = clusters[slot].process.with { cluster in
            cluster.endpoints.endpoint(
                ClusterEndpoints.Key(address, transport: "original", isTLS: settings.tls >= 0), marks: [],
                at: now)
        }
        var host = HostPool(address: address, kept: kept, tls: settings.tls, sni: settings.sni.text)
        host.isOriginal = true
        host.lastChosen = now
        guard let free else {
            clusters[slot].hosts.append(host)
            return clusters[slot].hosts.count - 1
        }
        clusters[slot].hosts[free] = host
        return free
    }

    /// Once in an interval at most, and only when another endpoint is wanted: those that are left over cost a few
    /// hundred bytes each.
    private mutating func cleanUpOriginals(_ slot: Int, _ settings: OriginalDestinationRecord) {
        guard now.nanoseconds(since: clusters[slot].lastCleanup) >= settings.cleanupInterval else { return }
        clusters[slot].lastCleanup = now
        for host in clusters[slot].hosts.indices
        where clusters[slot].hosts[host].isCurrent && clusters[slot].hosts[host].isOriginal
            && clusters[slot].hosts[host].users == 0
            && now.nanoseconds(since: clusters[slot].hosts[host].lastChosen) >= settings.cleanupInterval
        {
            retire(slot, host)
            clusters[slot].hosts[host].isOriginal = false
            let state = clusters[slot].hosts[host].state
            clusters[slot].process.with { $0.endpoints.forget(state) }
        }
    }

    /// A configuration that has the cluster still: its endpoints stay, with its TLS context.
    mutating func keepOriginalHosts(_ slot: Int, _ settings: OriginalDestinationRecord) {
        for host in clusters[slot].hosts.indices where clusters[slot].hosts[host].isOriginal {
            guard (clusters[slot].hosts[host].tls >= 0) == (settings.tls >= 0) else { continue }
            clusters[slot].hosts[host].isCurrent = true
            clusters[slot].hosts[host].tls = settings.tls
            clusters[slot].hosts[host].sni = settings.sni.text
        }
    }
}
