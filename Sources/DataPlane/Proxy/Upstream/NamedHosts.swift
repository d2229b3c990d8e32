import HTTPModel
import MeshPrimitives
import TrafficPolicy

/// Clusters whose endpoints are told the name that a request is for, and must have a certificate for it (`auto_sni`,
/// `auto_san_validation`): what one request may use another may not, so each name has its own connections.
extension Worker {
    /// Of one cluster, for one worker; beyond, the one that has not been asked for the longest gives way, and if all are
    /// in use the request finds no endpoint.
    static let namedHostsMax = 1024

    /// Index of the host for the name that the request is for, at the endpoint that was chosen.
    @inline(never)
    mutating func namedHost(_ exchange: ExchangePlace, _ slot: Int, of base: Int) -> Int? {
        let name = upstreamName(exchange)
        guard !name.isEmpty, clusters[slot].hosts[base].tls >= 0 else { return base }
        var oldest: Int?
        var count = 0
        for host in clusters[slot].hosts.indices where clusters[slot].hosts[host].base >= 0 {
            if isNamed(name, slot, host, of: base) {
                clusters[slot].hosts[host].lastChosen = now
                return host
            }
            count += 1
            guard clusters[slot].hosts[host].users == 0 else { continue }
            let lastChosen = clusters[slot].hosts[host].lastChosen
            if oldest.map({ lastChosen < clusters[slot].hosts[$0].lastChosen }) ?? true { oldest = host }
        }
        if count >= Self.namedHostsMax {
            guard let oldest else { return nil }
            retire(slot, oldest)
        }
        return addNamedHost(name.text.lowercased(), slot, of: base)
    }

    private func isNamed(_ name: ByteView, _ slot: Int, _ host: Int, of base: Int) -> Bool {
        clusters[slot].hosts[host].isCurrent && clusters[slot].hosts[host].base == Int32(base)
            && clusters[slot].hosts[host].name.withByteView { $0.equalsIgnoringCase(name) }
    }

    private mutating func addNamedHost(_ name: String, _ slot: Int, of base: Int) -> Int {
        var host = clusters[slot].hosts[base].sibling
        host.base = Int32(base)
        host.name = name
        host.lastChosen = now
        if let record = clusters[slot].record { setName(&host, record.value) }
        if let free = clusters[slot].hosts.indices.first(where: { clusters[slot].hosts[$0].isFree }) {
            clusters[slot].hosts[free] = host
            return free
        }
        clusters[slot].hosts.append(host)
        return clusters[slot].hosts.count - 1
    }

    /// An address is no name to ask for (RFC 6066 section 3), though a certificate may be for one.
    private func setName(_ host: inout HostPool, _ record: ClusterRecord) {
        host.checksName = record.validatesSANFromHost
        let isAddress = SocketAddress(host.name, port: 0) != nil
        if record.setsSNIFromHost, !isAddress { host.sni = host.name }
    }

    /// The host that the endpoint will be asked for, without a port. One that is only known with the endpoint
    /// (`auto_host_rewrite`) does not count.
    private mutating func upstreamName(_ exchange: ExchangePlace) -> ByteView {
        let bytes = exchange.value.headBytes.view
        var name = bytes[exchange.head.authority.range]
        let header = exchange.route.hostRewriteHeader
        if !exchange.route.hostRewrite.isEmpty {
            name = exchange.route.hostRewrite
        } else if !header.isEmpty {
            name = exchange.head.value(named: header, in: bytes) ?? name
        } else if exchange.route.hostFromPath != nil {
            scratch.removeAll()
            name = hostFromPath(exchange, bytes) ?? name
        }
        if let colon = RouteTable.portColon(name) { name = name.prefix(colon) }
        if name.count > 2, name[0] == UInt8(ascii: "["), name[name.count - 1] == UInt8(ascii: "]") {
            name = name[1..<(name.count - 1)]
        }
        return name.count <= 255 ? name : ByteView("")
    }

    /// A configuration that has the endpoint still: its names stay, with its TLS context.
    mutating func keepNamedHosts(_ slot: Int, _ record: ClusterRecord) {
        for index in clusters[slot].hosts.indices where clusters[slot].hosts[index].base >= 0 {
            let base = clusters[slot].hosts[Int(clusters[slot].hosts[index].base)]
            guard record.hasNamedHosts, base.isCurrent, base.base < 0,
                base.state === clusters[slot].hosts[index].state
            else { continue }
            var host = clusters[slot].hosts[index]
            host.isCurrent = true
            (host.tls, host.sni) = (base.tls, base.sni)
            setName(&host, record)
            clusters[slot].hosts[index] = host
        }
    }
}
