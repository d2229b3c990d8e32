import MeshModel
import MeshPrimitives
import TrafficPolicy
import XDSSchema

// envoy.config.core.v3.HealthCheck
extension ResourceCompiler {
    mutating func healthCheck(_ cluster: ConfigNode) -> HealthCheck? {
        let nodes = cluster.children(XDS.Cluster.healthChecks)
        if nodes.count > 1 {
            add("has \(nodes.count) elements; one check is supported", at: cluster, XDS.Cluster.healthChecks)
        }
        guard let node = nodes.first, let kind = healthCheckKind(node) else { return nil }
        typealias F = XDS.CoreHealthCheck
        var check = HealthCheck(settings: healthCheckSettings(node), kind: kind)
        if let common = cluster.message.message(XDS.Cluster.commonLbConfig) {
            check.settings.ignoresNewHosts = common.bool(XDS.ClusterCommonLbConfig.ignoreNewHostsUntilFirstHc)
        }
        check.reusesConnections = node.message.wrappedBool(F.reuseConnection) ?? true
        let path = node.message.text(F.eventLogPath)
        if !path.isEmpty { check.eventLogPaths.append(path) }
        for sink in node.children(F.eventLogger) {
            guard let file = sink.child(XDS.TypedExtensionConfig.typedConfig),
                file.type == XDS.HealthCheckEventFileSink.messageType
            else {
                add("needs 'typed_config' of type \(XDS.HealthCheckEventFileSink.messageType.name)", at: sink)
                continue
            }
            check.eventLogPaths.append(file.message.text(XDS.HealthCheckEventFileSink.eventLogPath))
        }
        return check
    }

    private func healthCheckSettings(_ node: ConfigNode) -> HealthCheckSettings {
        typealias F = XDS.CoreHealthCheck
        let message = node.message
        func nanoseconds(_ number: FieldNumber) -> Int64? { message.duration(number)?.nanoseconds }
        func threshold(_ number: FieldNumber) -> UInt32 {
            UInt32(clamping: message.wrappedUnsigned(number) ?? 1)
        }
        // The table has refused what is not above zero.
        var settings = HealthCheckSettings(
            timeout: max(nanoseconds(F.timeout) ?? 0, 1), interval: max(nanoseconds(F.interval) ?? 0, 1),
            unhealthyThreshold: threshold(F.unhealthyThreshold),
            healthyThreshold: threshold(F.healthyThreshold))
        settings.noTrafficInterval = nanoseconds(F.noTrafficInterval) ?? settings.noTrafficInterval
        settings.noTrafficHealthyInterval = nanoseconds(F.noTrafficHealthyInterval) ?? 0
        settings.unhealthyInterval = nanoseconds(F.unhealthyInterval) ?? 0
        settings.unhealthyEdgeInterval = nanoseconds(F.unhealthyEdgeInterval) ?? 0
        settings.healthyEdgeInterval = nanoseconds(F.healthyEdgeInterval) ?? 0
        settings.initialJitter = nanoseconds(F.initialJitter) ?? 0
        settings.intervalJitter = nanoseconds(F.intervalJitter) ?? 0
        settings.intervalJitterPercent = UInt32(clamping: message.unsigned(F.intervalJitterPercent))
        settings.alwaysLogsFailures = message.bool(F.alwaysLogHealthCheckFailures)
        settings.alwaysLogsSuccesses = message.bool(F.alwaysLogHealthCheckSuccess)
        return settings
    }

    private mutating func healthCheckKind(_ node: ConfigNode) -> HealthCheck.Kind? {
        typealias F = XDS.CoreHealthCheck
        if let http = node.child(F.httpHealthCheck) { return .http(httpCheck(http)) }
        if let tcp = node.child(F.tcpHealthCheck) { return .tcp(tcpCheck(tcp)) }
        if let grpc = node.child(F.grpcHealthCheck) {
            typealias G = XDS.HealthCheckGrpcHealthCheck
            var check = GRPCCheck()
            check.serviceName = grpc.message.text(G.serviceName)
            check.authority = grpc.message.text(G.authority)
            check.metadata = checkHeaders(grpc, G.initialMetadata)
            return .grpc(check)
        }
        add("needs 'http_health_check', 'tcp_health_check' or 'grpc_health_check'", at: node)
        return nil
    }

    private mutating func httpCheck(_ node: ConfigNode) -> HTTPCheck {
        typealias F = XDS.HealthCheckHttpHealthCheck
        var check = HTTPCheck(path: node.message.text(F.path))
        check.host = node.message.text(F.host)
        let methods = ["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
        let method = Int(node.message.enumerated(F.method))
        check.method = methods[method < methods.count ? method : 0]
        if check.method == "CONNECT" { add("CONNECT cannot be a check", at: node, F.method) }
        check.headers = checkHeaders(node, F.requestHeadersToAdd)
        check.headersRemoved = node.message.texts(F.requestHeadersToRemove).map { $0.lowercased() }
        let expected = node.children(F.expectedStatuses).compactMap { statusRange($0) }
        if !expected.isEmpty { check.statuses.expected = expected }
        check.statuses.retriable = node.children(F.retriableStatuses).compactMap { statusRange($0) }
        switch node.message.enumerated(F.codecClientType) {
        case 0: break
        case 1: check.usesHTTP2 = true
        default: add("HTTP/3 is not supported", at: node, F.codecClientType)
        }
        return check
    }

    /// Half-open; 100 to 599.
    private mutating func statusRange(_ node: ConfigNode) -> Range<UInt16>? {
        let (start, end) = (
            node.message.signed(XDS.Int64Range.start), node.message.signed(XDS.Int64Range.end)
        )
        guard start >= 100, end <= 600, start < end else {
            add("must be a half-open range within 100 and 600", at: node)
            return nil
        }
        return UInt16(start)..<UInt16(end)
    }

    private mutating func checkHeaders(_ node: ConfigNode, _ number: FieldNumber) -> [HTTPCheck.Header] {
        node.children(number).compactMap { option in
            guard let edit = headerEdit(option), case .set(let name, let value, let action, _) = edit else {
                return nil
            }
            if value.contains("%") {
                add("a check has no request to take values from; write no '%'", at: option)
            }
            return HTTPCheck.Header(name: name, value: value, appends: action == .appendOrAdd)
        }
    }

    private mutating func tcpCheck(_ node: ConfigNode) -> TCPCheck {
        typealias F = XDS.HealthCheckTcpHealthCheck
        var check = TCPCheck()
        check.send = node.child(F.send).map { payload($0) } ?? []
        check.receive = node.children(F.receive).map { payload($0) }
        return check
    }

    private mutating func payload(_ node: ConfigNode) -> [UInt8] {
        typealias F = XDS.HealthCheckPayload
        if node.message.has(F.binary) { return node.message.bytes(F.binary) }
        let text = Array(node.message.text(F.text).utf8)
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: text.count - 1, by: 2) {
            guard let byte = UInt8(String(decoding: text[index...index + 1], as: UTF8.self), radix: 16) else {
                break
            }
            bytes.append(byte)
        }
        if text.isEmpty || bytes.count * 2 != text.count {
            add("needs pairs of hexadecimal digits", at: node, F.text)
        }
        return bytes
    }

    func endpointCheck(_ endpoint: ConfigNode) -> EndpointCheck {
        typealias F = XDS.EndpointHealthCheckConfig
        var check = EndpointCheck()
        guard let message = endpoint.message.message(XDS.Endpoint.healthCheckConfig) else { return check }
        check.port = UInt16(clamping: message.unsigned(F.portValue))
        check.hostname = message.text(F.hostname)
        check.isDisabled = message.bool(F.disableActiveHealthCheck)
        return check
    }

    // MARK: envoy.extensions.filters.http.health_check.v3.HealthCheck

    mutating func healthCheckFilter(_ node: ConfigNode) -> HealthCheckFilter {
        typealias F = XDS.HealthCheckHealthCheck
        var filter = HealthCheckFilter()
        filter.passesThrough = node.message.wrappedBool(F.passThroughMode) ?? false
        filter.cacheTime = node.message.duration(F.cacheTime)
        if let time = filter.cacheTime {
            if !filter.passesThrough { add("needs 'pass_through_mode: true'", at: node, F.cacheTime) }
            if time <= .zero { add("must be above 0", at: node, F.cacheTime) }
        }
        if filter.passesThrough, !node.entries(F.clusterMinHealthyPercentages).isEmpty {
            add("needs 'pass_through_mode: false'", at: node, F.clusterMinHealthyPercentages)
        }
        filter.headers = node.children(F.headers).compactMap { headerMatch($0) }
        filter.clustersHealthyMin = node.entries(F.clusterMinHealthyPercentages).map { cluster, percent in
            .init(cluster: cluster, percent: percent.message.double(XDS.Percent.value))
        }
        return filter
    }
}
