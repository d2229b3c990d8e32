import MeshModel
import MeshPrimitives
import XDSSchema

/// A listener and what has to arrive before it can be used.
struct CompiledListener {
    var listener: Listener
    /// Route configurations to ask RDS for, by the index of the filter chain; the default chain is −1.
    var routeNames: [Int: String] = [:]
    /// How long to wait for each of them.
    var routes: [String: Duration] = [:]
    var secrets: [String: Duration] = [:]
}

// envoy.config.listener.v3
extension ResourceCompiler {
    mutating func listener(_ node: ConfigNode) -> CompiledListener? {
        typealias F = XDS.Listener
        secretNames = [:]
        guard let address = address(node.child(F.address), of: node, F.address) else { return nil }
        let name = node.message.text(F.name)
        var listener = Listener(
            name: name.isEmpty ? address.description : name, address: address, filterChains: [],
            bufferLimit: bufferLimit(node, F.perConnectionBufferLimitBytes))
        for filter in node.children(F.listenerFilters) {
            switch filter.message.message(XDS.ListenerFilter.typedConfig)?.type {
            case XDS.TlsInspector.messageType: listener.inspectsTLS = true
            case XDS.OriginalDst.messageType: listener.readsOriginalDestination = true
            default:
                add(
                    "needs 'typed_config' of type \(XDS.TlsInspector.messageType.name) or "
                        + XDS.OriginalDst.messageType.name, at: filter)
            }
        }
        // As in Envoy, it brings the listener filter along.
        if node.message.wrappedBool(F.useOriginalDst) == true {
            (listener.readsOriginalDestination, listener.handsOffRedirected) = (true, true)
        }
        listener.isBound = node.message.wrappedBool(F.bindToPort) ?? true
        if !listener.isBound, address.port == 0 { add("needs a port above 0", at: node, F.bindToPort) }
        var rds: [Int: (name: String, timeout: Duration)] = [:]
        for (index, chain) in node.children(F.filterChains).enumerated() {
            guard let (value, source) = filterChain(chain) else { continue }
            if listener.filterChains.contains(where: { $0.match == value.match }) {
                add(
                    "matches the same as a filter chain before it", at: chain,
                    XDS.FilterChain.filterChainMatch)
            }
            listener.filterChains.append(value)
            rds[index] = source
        }
        if let chain = node.child(F.defaultFilterChain), let (value, source) = filterChain(chain) {
            if chain.message.has(XDS.FilterChain.filterChainMatch) {
                add("has no meaning in the default filter chain", at: chain, XDS.FilterChain.filterChainMatch)
            }
            listener.defaultFilterChain = value
            rds[-1] = source
        }
        if listener.filterChains.isEmpty, listener.defaultFilterChain == nil {
            add("needs at least one element", at: node, F.filterChains)
        }
        // As Envoy does: what looks at the ClientHello needs the inspector.
        let needsInspector = listener.filterChains.contains {
            $0.match.transportProtocol == .tls || !$0.match.serverNames.isEmpty
                || !$0.match.applicationProtocols.isEmpty
        }
        listener.inspectsTLS = listener.inspectsTLS || needsInspector
        // core.v3.TrafficDirection.OUTBOUND
        if node.message.enumerated(F.trafficDirection) == 2 { listener.markOutbound() }
        var compiled = CompiledListener(listener: listener, secrets: secretNames)
        for (index, source) in rds {
            compiled.routeNames[index] = source.name
            compiled.routes[source.name] = source.timeout
        }
        return compiled
    }

    private mutating func filterChain(
        _ node: ConfigNode
    ) -> (FilterChain, (name: String, timeout: Duration)?)? {
        typealias F = XDS.FilterChain
        let match = node.child(F.filterChainMatch).map { filterChainMatch($0) } ?? FilterChainMatch()
        let refusal = shadowRefusal(node.child(F.transportSocket))
        let tls = refusal == nil ? downstreamTLS(node.child(F.transportSocket)) : nil
        let filters = node.children(F.filters)
        guard let filter = filters.last else {
            add("needs one filter", at: node, F.filters)
            return nil
        }
        let limits = filters.dropLast().compactMap { connectionLimit($0) }
        guard let config = filter.child(XDS.Filter.typedConfig) else {
            add("is missing", at: filter, XDS.Filter.typedConfig)
            return nil
        }
        let name = node.message.text(F.name)
        switch config.type {
        case XDS.HttpConnectionManager.messageType:
            let (manager, source) = connectionManager(config)
            var chain = FilterChain(name: name, match: match, tls: tls, network: .http(manager))
            (chain.connectionLimits, chain.isRefusedInShadow) = (limits, refusal ?? false)
            return (chain, source)
        case XDS.TcpProxy.messageType:
            var chain = FilterChain(name: name, match: match, tls: tls, network: .tcp(tcpProxy(config)))
            (chain.connectionLimits, chain.isRefusedInShadow) = (limits, refusal ?? false)
            return (chain, nil)
        default:
            add("the type '\(config.type.name)' is not supported here", at: config)
            return nil
        }
    }

    /// What may stand before the filter that ends a chain.
    private mutating func connectionLimit(_ filter: ConfigNode) -> ConnectionRateLimit? {
        guard let config = filter.child(XDS.Filter.typedConfig) else {
            add("is missing", at: filter, XDS.Filter.typedConfig)
            return nil
        }
        guard config.type == XDS.ConnectionRateLimit.messageType else {
            add("the type '\(config.type.name)' is not supported before another filter", at: config)
            return nil
        }
        return connectionRateLimit(config)
    }

    private mutating func filterChainMatch(_ node: ConfigNode) -> FilterChainMatch {
        typealias F = XDS.FilterChainMatch
        var match = FilterChainMatch()
        match.destinationPort = node.message.wrappedUnsigned(F.destinationPort).map { UInt16(clamping: $0) }
        match.destinationRanges = node.children(F.prefixRanges).compactMap { range($0) }
        match.sourceRanges = node.children(F.sourcePrefixRanges).compactMap { range($0) }
        match.applicationProtocols = node.message.texts(F.applicationProtocols)
        for name in node.message.texts(F.serverNames) {
            let rest = name.hasPrefix("*.") ? name.dropFirst(2) : name[...]
            if rest.isEmpty || rest.contains("*") {
                add("'\(name)' is neither a name nor '*.' and a name", at: node, F.serverNames)
            }
            match.serverNames.append(name.lowercased())
        }
        let transport = node.message.text(F.transportProtocol)
        if !transport.isEmpty {
            match.transportProtocol = FilterChainMatch.TransportProtocol(rawValue: transport)
            if match.transportProtocol == nil {
                add("'\(transport)' is neither 'tls' nor 'raw_buffer'", at: node, F.transportProtocol)
            }
        }
        return match
    }

    private mutating func tcpProxy(_ node: ConfigNode) -> TCPProxy {
        typealias F = XDS.TcpProxy
        var proxy = TCPProxy(statPrefix: node.message.text(F.statPrefix), clusters: [])
        if let weighted = node.child(F.weightedClusters) {
            typealias W = XDS.TcpProxyWeightedClusterClusterWeight
            proxy.clusters = weighted.children(XDS.TcpProxyWeightedCluster.clusters).map {
                WeightedCluster(
                    cluster: $0.message.text(W.name), weight: UInt32(clamping: $0.message.unsigned(W.weight)))
            }
            checkWeights(proxy.clusters, at: weighted)
        } else {
            let name = node.message.text(F.cluster)
            if name.isEmpty { add("must not be empty", at: node, F.cluster) }
            proxy.clusters = [WeightedCluster(cluster: name)]
        }
        proxy.idleTimeout = limit(node.message.duration(F.idleTimeout), default: .seconds(3600))
        proxy.durationMax = limit(node.message.duration(F.maxDownstreamConnectionDuration), default: nil)
        proxy.maxConnectAttempts = Int(node.message.wrappedUnsigned(F.maxConnectAttempts) ?? 1)
        proxy.hashesSourceAddress = node.children(F.hashPolicy).contains {
            $0.message.has(XDS.HashPolicy.sourceIp)
        }
        proxy.accessLogs = node.children(F.accessLog).compactMap { accessLog($0) }
        return proxy
    }

    mutating func checkWeights(_ clusters: [WeightedCluster], at node: ConfigNode) {
        let sum = clusters.reduce(UInt64(0)) { $0 + UInt64($1.weight) }
        if sum == 0 || sum > UInt64(UInt32.max) {
            add("the sum of the weights is \(sum), not from 1 to \(UInt32.max)", at: node)
        }
    }
}

extension Listener {
    /// Spans of what comes in here are those of a caller.
    fileprivate mutating func markOutbound() {
        for index in filterChains.indices { filterChains[index].network.markOutbound() }
        defaultFilterChain?.network.markOutbound()
    }
}

extension NetworkFilter {
    fileprivate mutating func markOutbound() {
        guard case .http(var manager) = self else { return }
        manager.tracing?.isOutbound = true
        self = .http(manager)
    }
}
