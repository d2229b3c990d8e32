import MeshModel
import MeshPrimitives
import XDSSchema

// How the endpoints of a cluster are found that are not listed: names, and where requests were going.
extension ResourceCompiler {
    mutating func nameLookup(_ node: ConfigNode) -> NameLookup {
        typealias F = XDS.Cluster
        let message = node.message
        var lookup = NameLookup()
        let families: [NameLookup.Family] = [.auto, .v4Only, .v6Only, .v4Preferred, .all]
        lookup.family = families[Int(clamping: message.enumerated(F.dnsLookupFamily)) % families.count]
        lookup.refresh = message.duration(F.dnsRefreshRate) ?? lookup.refresh
        lookup.jitter = message.duration(F.dnsJitter) ?? .zero
        lookup.respectsTTL = message.bool(F.respectDnsTtl)
        if let failure = node.child(F.dnsFailureRefreshRate) {
            typealias R = XDS.ClusterRefreshRate
            let base = failure.message.duration(R.baseInterval) ?? lookup.refresh
            // Envoy's default is ten times the base.
            let most = failure.message.duration(R.maxInterval) ?? base * 10
            if most < base { add("is shorter than 'base_interval'", at: failure, R.maxInterval) }
            lookup.failure = NameLookup.Failure(base: base, max: max(base, most))
        }
        if let typed = node.child(F.typedDnsResolverConfig) { resolver(typed, &lookup.resolver) }
        return lookup
    }

    private mutating func resolver(_ node: ConfigNode, _ resolver: inout NameLookup.Resolver) {
        guard let config = node.child(XDS.TypedExtensionConfig.typedConfig),
            config.type == XDS.CaresDnsResolverConfig.messageType
        else {
            return add(
                "needs 'typed_config' of type \(XDS.CaresDnsResolverConfig.messageType.name)", at: node)
        }
        typealias F = XDS.CaresDnsResolverConfig
        resolver.servers = config.children(F.resolvers).compactMap { address($0, of: config, F.resolvers) }
        if let options = config.message.message(F.dnsResolverOptions) {
            resolver.usesTCP = options.bool(XDS.DnsResolverOptions.useTcpForDnsLookups)
            resolver.searchesDomains = !options.bool(XDS.DnsResolverOptions.noDefaultSearchDomain)
        }
        if let seconds = config.message.wrappedUnsigned(F.queryTimeoutSeconds) {
            resolver.queryTimeout = .seconds(Int64(min(seconds, 3600)))
        }
        if let tries = config.message.wrappedUnsigned(F.queryTries) { resolver.tries = Int(min(tries, 100)) }
    }

    mutating func originalDestination(_ node: ConfigNode, _ cluster: ClusterValues) -> OriginalDestination {
        typealias F = XDS.ClusterOriginalDstLbConfig
        var destination = OriginalDestination()
        destination.cleanupInterval =
            node.message.duration(XDS.Cluster.cleanupInterval) ?? destination.cleanupInterval
        let settings = node.child(XDS.Cluster.originalDstLbConfig)
        let isOriginal = cluster.discovery == .originalDestination
        if settings != nil, !isOriginal {
            add("needs 'type: ORIGINAL_DST'", at: node, XDS.Cluster.originalDstLbConfig)
        }
        let isProvided = node.message.enumerated(XDS.Cluster.lbPolicy) == 6
        if isOriginal != isProvided {
            add("'CLUSTER_PROVIDED' and 'type: ORIGINAL_DST' need each other", at: node, XDS.Cluster.lbPolicy)
        }
        if isOriginal, node.message.has(XDS.Cluster.loadAssignment) {
            add(
                "has no effect with 'type: ORIGINAL_DST'; remove it", at: node, XDS.Cluster.loadAssignment)
        }
        guard let settings else { return destination }
        if settings.message.bool(F.useHttpHeader) {
            let name = settings.message.text(F.httpHeaderName).lowercased()
            destination.headerName = name.isEmpty ? "x-envoy-original-dst-host" : name
        }
        if let port = settings.message.wrappedUnsigned(F.upstreamPortOverride) {
            destination.portOverride = UInt16(clamping: port)
        }
        return destination
    }
}
