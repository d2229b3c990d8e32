import MeshModel
import MeshPrimitives
import TrafficPolicy
import XDSSchema

/// A cluster and what has to arrive before it can be used.
struct CompiledCluster {
    var cluster: Cluster
    /// The name to ask EDS for, and how long to wait.
    var eds: (name: String, timeout: Duration)?
    var secrets: [String: Duration]
}

// envoy.config.cluster.v3.Cluster
extension ResourceCompiler {
    mutating func cluster(_ node: ConfigNode) -> CompiledCluster {
        secretNames = [:]
        let message = node.message
        var cluster = ClusterValues(name: message.text(XDS.Cluster.name))
        let kinds: [Cluster.Discovery] = [
            .fixed, .strictDNS, .logicalDNS, .eds, .originalDestination,
        ]
        cluster.discovery = kinds[Int(clamping: message.enumerated(XDS.Cluster.type)) % kinds.count]
        cluster.connectTimeout = message.duration(XDS.Cluster.connectTimeout) ?? .seconds(5)
        balancing(node, into: &cluster)
        cluster.outliers = node.child(XDS.Cluster.outlierDetection).map { outliers($0) }
        limits(node.child(XDS.Cluster.circuitBreakers), into: &cluster)
        if let common = node.child(XDS.Cluster.commonLbConfig),
            let percent = common.child(XDS.ClusterCommonLbConfig.healthyPanicThreshold)
        {
            cluster.panicThreshold = percent.message.double(XDS.Percent.value)
        }
        cluster.healthCheck = healthCheck(node)
        for (_, options) in node.entries(XDS.Cluster.typedExtensionProtocolOptions) {
            protocolOptions(options, into: &cluster)
        }
        cluster.tls = upstreamTLS(node.child(XDS.Cluster.transportSocket))
        cluster.transportMatches = node.children(XDS.Cluster.transportSocketMatches).map { match in
            transportMatch(match)
        }
        cluster.nameLookup = nameLookup(node)
        cluster.originalDestination = originalDestination(node, cluster)
        let eds = endpointSource(node, &cluster)
        return CompiledCluster(cluster: Cluster(cluster), eds: eds, secrets: secretNames)
    }

    /// In bytes; Envoy's default is 1 MiB, and its 0 is no bound, which Martlet does not have.
    mutating func bufferLimit(_ node: ConfigNode, _ number: FieldNumber) -> Int {
        let limit = node.message.wrappedUnsigned(number) ?? 1 << 20
        if limit == 0 { add("0, no bound, is not supported; name one", at: node, number) }
        return Int(limit)
    }

    private mutating func limits(_ node: ConfigNode?, into cluster: inout ClusterValues) {
        guard let node else { return }
        let source = node.message.storage
        if let known = lastLimits, known.source == source {
            (cluster.normalLimits, cluster.highLimits) = (known.normal, known.high)
            cluster.perHostConnectionsMax = known.perHostConnections
            return
        }
        let before = problems.count
        readLimits(node, into: &cluster)
        if let source, problems.count == before {
            lastLimits = (source, cluster.normalLimits, cluster.highLimits, cluster.perHostConnectionsMax)
        }
    }

    private mutating func readLimits(_ node: ConfigNode, into cluster: inout ClusterValues) {
        var seen: Set<Int32> = []
        for thresholds in node.children(XDS.CircuitBreakers.thresholds) {
            let priority = thresholds.message.enumerated(XDS.CircuitBreakersThresholds.priority)
            if !seen.insert(priority).inserted {
                add("a second element for the same priority", at: thresholds)
            }
            if priority == 1 {
                cluster.highLimits = limits(thresholds)
            } else {
                cluster.normalLimits = limits(thresholds)
            }
        }
        for thresholds in node.children(XDS.CircuitBreakers.perHostThresholds) {
            allow(
                [XDS.CircuitBreakersThresholds.maxConnections], in: thresholds,
                "per host, where only 'max_connections' is")
            cluster.perHostConnectionsMax = thresholds.message.wrappedUnsigned(
                XDS.CircuitBreakersThresholds.maxConnections
            ).map { UInt32(clamping: $0) }
        }
    }

    private func limits(_ node: ConfigNode) -> Limits {
        typealias F = XDS.CircuitBreakersThresholds
        var limits = Limits()
        func bound(_ number: FieldNumber, _ fallback: UInt32) -> UInt32 {
            node.message.wrappedUnsigned(number).map { UInt32(clamping: $0) } ?? fallback
        }
        limits.connections = bound(F.maxConnections, limits.connections)
        limits.pending = bound(F.maxPendingRequests, limits.pending)
        limits.requests = bound(F.maxRequests, limits.requests)
        limits.retries = bound(F.maxRetries, limits.retries)
        limits.tracksRemaining = node.message.bool(F.trackRemaining)
        if let budget = node.message.message(F.retryBudget) {
            var retryBudget = Limits.RetryBudget()
            if let percent = budget.message(XDS.CircuitBreakersThresholdsRetryBudget.budgetPercent) {
                retryBudget.percent = percent.double(XDS.Percent.value)
            }
            if let least = budget.wrappedUnsigned(
                XDS.CircuitBreakersThresholdsRetryBudget.minRetryConcurrency)
            {
                retryBudget.concurrencyMin = UInt32(clamping: least)
            }
            limits.retryBudget = retryBudget
        }
        return limits
    }

    private mutating func transportMatch(_ node: ConfigNode) -> TransportMatch {
        typealias F = XDS.ClusterTransportSocketMatch
        return TransportMatch(
            name: node.message.text(F.name), labels: labels(node.child(F.match)),
            tls: upstreamTLS(node.child(F.transportSocket)))
    }

    /// Of a Struct whose values are strings.
    private mutating func labels(_ node: ConfigNode?) -> [String: String] {
        var labels: [String: String] = [:]
        for (key, value) in node?.entries(XDS.Struct.fields) ?? [] {
            guard case .text(let text) = value.message[XDS.Value.stringValue] else {
                add("needs to be a string", at: value)
                continue
            }
            labels[key] = text
        }
        return labels
    }

    private mutating func endpointSource(
        _ node: ConfigNode, _ cluster: inout ClusterValues
    ) -> (name: String, timeout: Duration)? {
        let source = node.child(XDS.Cluster.edsClusterConfig)
        let assignment = node.child(XDS.Cluster.loadAssignment)
        guard cluster.discovery == .eds else {
            if source != nil { add("needs 'type: EDS'", at: node, XDS.Cluster.edsClusterConfig) }
            if let assignment { endpoints(assignment, into: &cluster) }
            let count = cluster.localities.reduce(0) { $0 + $1.endpoints.count }
            if cluster.discovery == .logicalDNS, count != 1 {
                add(
                    "LOGICAL_DNS needs exactly one endpoint, not \(count)", at: node,
                    XDS.Cluster.loadAssignment)
            }
            return nil
        }
        if assignment != nil {
            add("has no effect with 'type: EDS'; remove it", at: node, XDS.Cluster.loadAssignment)
        }
        guard let source else {
            add("'type: EDS' needs it", at: node, XDS.Cluster.edsClusterConfig)
            return nil
        }
        typealias F = XDS.ClusterEdsClusterConfig
        cluster.edsServiceName = source.message.text(F.serviceName)
        let name = cluster.edsServiceName.isEmpty ? cluster.name : cluster.edsServiceName
        return adsTimeout(source.child(F.edsConfig), of: source, F.edsConfig).map { (name, $0) }
    }

    // MARK: Protocol options

    private mutating func protocolOptions(_ node: ConfigNode, into cluster: inout ClusterValues) {
        switch node.type {
        case XDS.UpstreamsHttpProtocolOptions.messageType:
            httpOptions(node, into: &cluster)
        case XDS.MartletCluster.messageType:
            martletBalancing(node, into: &cluster)
            cluster.healthCheck?.mode = mode(node.message.enumerated(XDS.MartletCluster.healthCheckMode))
            if let budget = node.message.message(XDS.MartletCluster.retryBudget) {
                typealias F = XDS.MartletClusterRetryBudget
                cluster.windowBudget = WindowBudget(
                    percent: budget.double(F.percent), window: budget.duration(F.window) ?? .seconds(10),
                    retriesMin: UInt32(clamping: budget.unsigned(F.retriesMin)))
            }
            cluster.breaker = node.child(XDS.MartletCluster.breaker).map { breaker($0) }
            cluster.shadowBreaker = node.child(XDS.MartletCluster.shadowBreaker).map { breaker($0) }
            cluster.shadowLimits = node.message.message(XDS.MartletCluster.shadowLimits).map { limits in
                typealias F = XDS.MartletClusterLimits
                func bound(_ number: FieldNumber) -> UInt32? {
                    let most = UInt32(clamping: limits.unsigned(number))
                    return most == 0 ? nil : most
                }
                var shadow = ShadowLimits()
                (shadow.connections, shadow.pending) = (bound(F.connections), bound(F.pending))
                (shadow.requests, shadow.retries) = (bound(F.requests), bound(F.retries))
                return shadow
            }
        default:
            add("the type '\(node.type.name)' is not supported here", at: node)
        }
    }

    private mutating func breaker(_ node: ConfigNode) -> CircuitBreakerSettings {
        typealias F = XDS.MartletClusterBreaker
        let message = node.message
        var settings = CircuitBreakerSettings(
            consecutiveFailuresMax: UInt32(clamping: message.unsigned(F.consecutiveFailures)),
            failureRateMax: message.double(F.failureRate))
        settings.slowCallDuration = message.duration(F.slowCallDuration)?.nanoseconds ?? 0
        settings.slowCallRateMax = message.double(F.slowCallRate)
        if let window = message.duration(F.window) { settings.window = window.nanoseconds }
        let (calls, probes) = (message.unsigned(F.callsMin), message.unsigned(F.probes))
        if calls > 0 { settings.callsMin = UInt32(clamping: calls) }
        if let open = message.duration(F.openDuration) { settings.openDuration = open.nanoseconds }
        settings.openDurationGrowth = max(1, message.double(F.openDurationGrowth))
        settings.openDurationMax = message.duration(F.openDurationMax)?.nanoseconds ?? 0
        if probes > 0 { settings.probes = UInt32(clamping: probes) }
        if settings.consecutiveFailuresMax == 0, settings.failureRateMax == 0, settings.slowCallRateMax == 0 {
            add("needs 'consecutive_failures', 'failure_rate' or 'slow_call_rate' above 0", at: node)
        }
        if settings.slowCallRateMax > 0, settings.slowCallDuration == 0 {
            add("needs 'slow_call_duration'", at: node, F.slowCallRate)
        }
        return settings
    }

    private mutating func httpOptions(_ node: ConfigNode, into cluster: inout ClusterValues) {
        typealias F = XDS.UpstreamsHttpProtocolOptions
        if let common = node.child(F.commonHttpProtocolOptions) {
            typealias C = XDS.CoreHttpProtocolOptions
            allow(
                [C.idleTimeout, C.maxConnectionDuration, C.maxRequestsPerConnection], in: common, "upstream")
            cluster.idleTimeout = limit(common.message.duration(C.idleTimeout), default: .seconds(3600))
            cluster.maxConnectionDuration = limit(
                common.message.duration(C.maxConnectionDuration), default: nil)
            cluster.maxRequestsPerConnection = requestsMax(common)
        }
        if let upstream = node.child(F.upstreamHttpProtocolOptions) {
            cluster.setsSNIFromHost = upstream.message.bool(XDS.UpstreamHttpProtocolOptions.autoSni)
            cluster.validatesSANFromHost = upstream.message.bool(
                XDS.UpstreamHttpProtocolOptions.autoSanValidation)
        }
        if let explicit = node.child(F.explicitHttpConfig) {
            typealias E = XDS.HttpProtocolOptionsExplicitHttpConfig
            cluster.upstreamProtocol = explicit.message.has(E.http2ProtocolOptions) ? .http2 : .http1
            versionOptions(explicit, E.httpProtocolOptions, E.http2ProtocolOptions, into: &cluster)
        } else if let auto = node.child(F.autoConfig) {
            typealias A = XDS.HttpProtocolOptionsAutoHttpConfig
            cluster.upstreamProtocol = .auto
            versionOptions(auto, A.httpProtocolOptions, A.http2ProtocolOptions, into: &cluster)
        } else if let same = node.child(F.useDownstreamProtocolConfig) {
            typealias S = XDS.HttpProtocolOptionsUseDownstreamHttpConfig
            cluster.upstreamProtocol = .sameAsDownstream
            versionOptions(same, S.httpProtocolOptions, S.http2ProtocolOptions, into: &cluster)
        }
    }

    /// nil for 0, which means no limit.
    func requestsMax(_ common: ConfigNode) -> Int? {
        let most = common.message.wrappedUnsigned(XDS.CoreHttpProtocolOptions.maxRequestsPerConnection) ?? 0
        return most == 0 ? nil : Int(most)
    }

    private mutating func versionOptions(
        _ node: ConfigNode, _ http1: FieldNumber, _ http2: FieldNumber, into cluster: inout ClusterValues
    ) {
        if let options = node.child(http1) {
            typealias H = XDS.Http1ProtocolOptions
            allow([H.enableTrailers, H.headerKeyFormat], in: options, "upstream")
            cluster.enablesTrailers = options.message.bool(H.enableTrailers)
            cluster.headerKeyFormat = headerKeyFormat(options)
        }
        if let options = node.child(http2) { cluster.http2 = http2Options(options) }
    }

    mutating func headerKeyFormat(_ options: ConfigNode) -> HTTPConnectionManager.HeaderKeyFormat {
        typealias F = XDS.Http1ProtocolOptionsHeaderKeyFormat
        guard let format = options.child(XDS.Http1ProtocolOptions.headerKeyFormat) else { return .lowercase }
        if format.message.has(F.properCaseWords) { return .properCase }
        let formatter = format.child(F.statefulFormatter)?.child(XDS.TypedExtensionConfig.typedConfig)
        if let formatter, formatter.type == XDS.PreserveCaseFormatterConfig.messageType {
            return .preserveCase
        }
        add("needs 'typed_config' of type \(XDS.PreserveCaseFormatterConfig.messageType.name)", at: format)
        return .lowercase
    }

    mutating func http2Options(_ node: ConfigNode) -> HTTP2Options {
        typealias F = XDS.Http2ProtocolOptions
        var options = HTTP2Options()
        if let most = node.message.wrappedUnsigned(F.maxConcurrentStreams) {
            options.maxConcurrentStreams = UInt32(clamping: most)
        }
        options.allowsConnect = node.message.bool(F.allowConnect)
        if let window = node.message.wrappedUnsigned(F.initialStreamWindowSize) {
            options.initialStreamWindow = Int32(clamping: window)
        }
        if let window = node.message.wrappedUnsigned(F.initialConnectionWindowSize) {
            options.initialConnectionWindow = Int32(clamping: window)
        }
        if let keepalive = node.child(F.connectionKeepalive) {
            options.keepaliveInterval = keepalive.message.duration(XDS.KeepaliveSettings.interval)
            options.keepaliveTimeout =
                keepalive.message.duration(XDS.KeepaliveSettings.timeout) ?? .seconds(20)
        }
        return options
    }
}

// envoy.config.endpoint.v3.ClusterLoadAssignment
extension ResourceCompiler {
    /// Fills in the endpoints of a cluster; which addresses may be names is the cluster's matter.
    mutating func endpoints(_ node: ConfigNode, into cluster: inout ClusterValues) {
        let assignment = assignment(
            node, allowsNames: cluster.discovery == .strictDNS || cluster.discovery == .logicalDNS)
        cluster.localities = assignment.localities
        cluster.overprovisioningFactor = assignment.overprovisioningFactor
        cluster.weighsHealth = assignment.weighsHealth
        cluster.dropShare = assignment.dropShare
    }

    mutating func assignment(_ node: ConfigNode, allowsNames: Bool) -> Assignment {
        typealias F = XDS.ClusterLoadAssignment
        var assignment = Assignment()
        if let policyNode = node.child(F.policy) {
            typealias P = XDS.ClusterLoadAssignmentPolicy
            let policy = policyNode.message
            let drops = policyNode.children(P.dropOverloads)
            // Envoy takes one too.
            if drops.count > 1 {
                add("has \(drops.count) elements, not one", at: policyNode, P.dropOverloads)
            }
            if let share = drops.first?.child(XDS.ClusterLoadAssignmentPolicyDropOverload.dropPercentage) {
                assignment.dropShare = percent(share)
            }
            if let factor = policy.wrappedUnsigned(P.overprovisioningFactor) {
                assignment.overprovisioningFactor = UInt32(clamping: factor)
            }
            assignment.weighsHealth = policy.bool(P.weightedPriorityHealth)
        }
        let list = node.message.storage(ofList: F.endpoints)
        if let known = lastLocalities, known.list == list, known.allowsNames == allowsNames {
            assignment.localities = known.localities
            return assignment
        }
        let before = problems.count
        assignment.localities = node.children(F.endpoints).map { locality in
            typealias L = XDS.LocalityLbEndpoints
            var result = LocalityEndpoints(
                endpoints: locality.children(L.lbEndpoints).compactMap {
                    endpoint($0, allowsNames: allowsNames)
                })
            if let place = locality.message.message(L.locality) {
                result.region = place.text(XDS.Locality.region)
                result.zone = place.text(XDS.Locality.zone)
                result.subZone = place.text(XDS.Locality.subZone)
            }
            result.weight = locality.message.wrappedUnsigned(L.loadBalancingWeight).map {
                UInt32(clamping: $0)
            }
            result.priority = UInt32(clamping: locality.message.unsigned(L.priority))
            return result
        }
        if let list, problems.count == before {
            lastLocalities = (list, allowsNames, assignment.localities)
        }
        return assignment
    }

    private mutating func endpoint(_ node: ConfigNode, allowsNames: Bool) -> Endpoint? {
        typealias F = XDS.LbEndpoint
        guard let inner = node.child(F.endpoint) else { return nil }
        guard let socket = inner.child(XDS.Endpoint.address)?.child(XDS.Address.socketAddress) else {
            add("is missing", at: inner, XDS.Endpoint.address)
            return nil
        }
        let host = socket.message.text(XDS.SocketAddress.address)
        let port = UInt16(clamping: socket.message.unsigned(XDS.SocketAddress.portValue))
        if port == 0 { add("needs a port above 0", at: socket, XDS.SocketAddress.portValue) }
        var endpoint: Endpoint
        if let address = SocketAddress(host, port: port) {
            endpoint = Endpoint(address: .numeric(address))
        } else if allowsNames {
            endpoint = Endpoint(address: .name(host, port: port))
        } else {
            add(
                "'\(host)' is not a numeric address; names need 'type: STRICT_DNS' or 'type: LOGICAL_DNS'",
                at: socket, XDS.SocketAddress.address)
            return nil
        }
        endpoint.hostname = inner.message.text(XDS.Endpoint.hostname)
        endpoint.check = endpointCheck(inner)
        let healths: [Endpoint.Health] = [.unknown, .healthy, .unhealthy, .draining, .timeout, .degraded]
        endpoint.health = healths[Int(clamping: node.message.enumerated(F.healthStatus)) % healths.count]
        endpoint.weight = UInt32(clamping: node.message.wrappedUnsigned(F.loadBalancingWeight) ?? 1)
        let metadata = node.child(F.metadata)?.entries(XDS.Metadata.filterMetadata) ?? []
        for (key, value) in metadata {
            if key == "envoy.transport_socket_match" { endpoint.transportLabels = labels(value) }
            if key == "envoy.lb" { endpoint.metadata = metadataValues(value) }
        }
        return endpoint
    }
}

/// What EDS says about one cluster.
struct Assignment: Equatable {
    var localities: [LocalityEndpoints] = []
    var overprovisioningFactor: UInt32 = 140
    var weighsHealth = false
    var dropShare = Fraction.none
}
