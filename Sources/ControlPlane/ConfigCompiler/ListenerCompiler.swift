import MeshConfig
import XDSMessages

/// The listeners of one proxy, at the addresses that it has bound already.
struct ListenerCompiler {
    static let samplingPercent = 1.0

    private typealias FilterChain = Envoy_Config_Listener_V3_FilterChain
    private typealias NetworkFilter = Envoy_Config_Listener_V3_Filter

    private let compiler: ConfigCompiler
    private let node: ProxyNode

    init(_ compiler: ConfigCompiler, _ node: ProxyNode) { (self.compiler, self.node) = (compiler, node) }

    func listeners() -> [Listener] {
        var listeners = node.apps.map(inbound)
        if let outbound = node.outbound { listeners.append(self.outbound(at: outbound)) }
        return listeners + node.upstreams.compactMap(upstream)
    }

    // MARK: Inbound

    /// What the service says about the port behind which this application port stands holds there.
    func place(of app: ProxyNode.App) -> (place: PolicyIndex.Place, port: ServiceSpecification.Port?) {
        let service = compiler.specification.services[node.service]
        let port = service?.ports.first {
            service?.applicationPort(behind: $0, among: node.apps.map(\.port)) == app.port
        }
        return (
            PolicyIndex.Place(service: node.service, portName: port?.name, direction: .inbound), port
        )
    }

    private func inbound(_ app: ProxyNode.App) -> Listener {
        let name = ConfigCompiler.Names.inbound(app.port)
        let (place, port) = place(of: app)
        let tls = compiler.policies.settings(TLSSettings.self, at: place)
        let mutual = compiler.transitions.inbound(
            .init(service: node.service, port: port?.port ?? 0), tls.mutual(port: port?.port ?? 0))
        let filter = app.appProtocol.isHTTP ? inboundManager(app, place) : tcpProxy(to: name)
        let alpn: [String]
        switch app.appProtocol {
        case .http, .auto: alpn = TLSContexts.alpnHTTP
        case .http2, .grpc: alpn = ["h2"]
        case .tcp, .tls: alpn = []
        }
        let secure = TLSContexts(tls: node.tls).downstream(
            trustDomain: compiler.specification.mesh.trustDomain, tls, alpn: alpn)
        var listener = Listener()
        listener.name = name
        listener.address = .init(app.listen)
        let plainChain = FilterChain.with {
            $0.filters = [filter]
            if secure != nil, refusesPlainInShadow(place, port) { $0.transportSocket = .plainRefusedInShadow }
        }
        guard let secure, mutual != .disabled else {
            listener.filterChains = [plainChain]
            return listener
        }
        let secureChain = FilterChain.with {
            $0.filters = [filter]
            $0.transportSocket = secure
        }
        guard mutual == .permissive else {
            listener.filterChains = [secureChain]
            return listener
        }
        listener.listenerFilters = [
            .with {
                $0.name = "envoy.filters.listener.tls_inspector"
                $0.typedConfig = Wire.packed(Envoy_Extensions_Filters_Listener_TlsInspector_V3_TlsInspector())
            }
        ]
        listener.filterChains = [("tls", secureChain), ("raw_buffer", plainChain)].map { transport, chain in
            var chain = chain
            chain.filterChainMatch.transportProtocol = transport
            return chain
        }
        return listener
    }

    /// A policy in shadow mode says `strict`. Told to our own proxies only.
    private func refusesPlainInShadow(_ place: PolicyIndex.Place, _ port: ServiceSpecification.Port?) -> Bool
    {
        node.isMartlet
            && compiler.policies.shadowSettings(TLSSettings.self, at: place)?.others.mutual(
                port: port?.port ?? 0)
                == .strict
    }

    private func inboundManager(_ app: ProxyNode.App, _ place: PolicyIndex.Place) -> NetworkFilter {
        let name = ConfigCompiler.Names.inbound(app.port)
        var outboundPlace = place
        outboundPlace.direction = .outbound
        let timeouts = compiler.policies.settings(TimeoutSettings.self, at: place)
        let ofCallers = compiler.policies.settings(TimeoutSettings.self, at: outboundPlace)
        var manager = manager(place, prefix: "inbound_\(app.port)")
        manager.routeConfig.name = name
        manager.routeConfig.virtualHosts = [
            .with {
                $0.name = name
                $0.domains = ["*"]
                $0.routes = [
                    .with {
                        $0.name = "default"
                        $0.match.prefix = "/"
                        $0.route.cluster = name
                        // Callers bound the time; a second clock here would cut what they allow, unless somebody asks
                        // for it.
                        $0.route.timeout = .init(timeouts.request ?? .zero)
                        if let own = shadow(timeouts, place) {
                            $0.typedPerFilterConfig["martlet.route"] = Wire.packed(own)
                        }
                    }
                ]
            }
        ]
        manager.forwardClientCertDetails = .sanitizeSet
        manager.setCurrentClientCertDetails.uri = true
        manager.streamIdleTimeout = .init(
            timeouts.stream ?? ofCallers.stream ?? RouteCompiler.streamIdleTimeout)
        let limits = RateLimitCompiler(compiler: compiler, isMartlet: node.isMartlet, place: place)
        if limits.addsIdentityHeader {
            manager.routeConfig.virtualHosts[0].requestHeadersToRemove = [RateLimitCompiler.identityHeader]
        }
        var filters = limits.filters(of: node)
        filters += FaultCompiler.filters(compiler.policies, at: place, isMartlet: node.isMartlet)
        manager.httpFilters.insert(contentsOf: filters, at: 0)
        return filter(manager)
    }

    /// How long a policy in shadow mode would wait for the application; nil where none says another time.
    private func shadow(_ timeouts: TimeoutSettings, _ place: PolicyIndex.Place) -> Martlet_V1_Route? {
        guard node.isMartlet,
            let watched = compiler.policies.shadowSettings(TimeoutSettings.self, at: place)?.others,
            let request = watched.request, request != timeouts.request
        else { return nil }
        return .with { $0.shadow.timeout = .init(request) }
    }

    // MARK: Outbound

    private func outbound(at address: HostPort) -> Listener {
        let place = PolicyIndex.Place(service: node.service, direction: .outbound)
        var manager = manager(place, prefix: "outbound")
        manager.rds.configSource = .aggregated
        manager.rds.routeConfigName = ConfigCompiler.Names.outbound
        var listener = listener(ConfigCompiler.Names.outbound, at: address, filter(manager))
        listener.trafficDirection = .outbound
        return listener
    }

    /// `nil` if there is no such service port: the proxy keeps the address and answers nothing there.
    private func upstream(_ upstream: ProxyNode.Upstream) -> Listener? {
        let port = compiler.specification.services[upstream.service]?.ports.first { $0.port == upstream.port }
        guard let port else { return nil }
        let name = ConfigCompiler.Names.upstream(upstream.service, port: upstream.port)
        guard port.appProtocol.isHTTP else {
            let cluster = ConfigCompiler.clusterName(upstream.service, port: upstream.port)
            return listener(name, at: upstream.listen, tcpProxy(to: cluster))
        }
        let place = PolicyIndex.Place(service: node.service, direction: .outbound)
        var manager = manager(place, prefix: "upstream_\(upstream.service.name)_\(upstream.port)")
        manager.routeConfig = RouteCompiler(compiler, node.proxyClass).single(
            upstream.service, port, name: name)
        var listener = listener(name, at: upstream.listen, filter(manager))
        listener.trafficDirection = .outbound
        return listener
    }

    private func listener(_ name: String, at address: HostPort, _ filter: NetworkFilter) -> Listener {
        .with {
            $0.name = name
            $0.address = .init(address)
            $0.filterChains = [.with { $0.filters = [filter] }]
        }
    }

    // MARK: Filters

    /// What every connection manager of the mesh has; `place` says whose telemetry holds.
    private func manager(_ place: PolicyIndex.Place, prefix: String) -> ConnectionManager {
        let telemetry = compiler.policies.settings(TelemetrySettings.self, at: place)
        var manager = ConnectionManager()
        manager.statPrefix = prefix
        manager.httpProtocolOptions = .mesh(isDownstream: true)
        manager.commonHTTPProtocolOptions.idleTimeout = .init(ClusterCompiler.idleTimeout)
        manager.upgradeConfigs = [.with { $0.upgradeType = "websocket" }]
        manager.serverName = "martlet"
        manager.generateRequestID = .init(true)
        manager.useRemoteAddress = .init(false)
        manager.forwardClientCertDetails = .sanitize
        manager.streamIdleTimeout = .init(RouteCompiler.streamIdleTimeout)
        let watched =
            node.isMartlet
            ? compiler.policies.shadowSettings(TelemetrySettings.self, at: place)?.others : nil
        manager.accessLog = accessLog(telemetry) + countedLog(watched, telemetry)
        if let collector = telemetry.collector { manager.tracing = tracing(collector, telemetry) }
        if place.direction == .outbound, CORSCompiler.isUsed(compiler.specification) {
            manager.httpFilters.append(CORSCompiler.filter)
        }
        if place.direction == .outbound {
            manager.httpFilters += RateLimitCompiler.filtersForRoutes(compiler.policies)
            manager.httpFilters += FaultCompiler.filtersForRoutes(
                compiler.policies, isMartlet: node.isMartlet)
        }
        if node.isMartlet { manager.httpFilters.append(policyFilter(telemetry, watched, place.direction)) }
        manager.httpFilters.append(.router)
        return manager
    }

    /// Who is sent spans by this node.
    var collector: TelemetrySettings.Collector? {
        let place = PolicyIndex.Place(service: node.service, direction: .outbound)
        return compiler.policies.settings(TelemetrySettings.self, at: place).collector
    }

    /// A span for each proxy on the way, which becomes the parent of what comes behind it.
    private func tracing(
        _ collector: TelemetrySettings.Collector, _ telemetry: TelemetrySettings
    ) -> ConnectionManager.Tracing {
        let cluster = ConfigCompiler.Names.collector(collector)
        let exporter = Envoy_Config_Trace_V3_OpenTelemetryConfig.with {
            $0.serviceName = "\(node.service)"
            switch collector.transport {
            case .grpc: $0.grpcService.envoyGrpc.clusterName = cluster
            case .http:
                $0.httpService.httpUri.uri = "http://\(collector.host):\(collector.port)\(collector.path)"
                $0.httpService.httpUri.cluster = cluster
                $0.httpService.httpUri.timeout = .init(.seconds(10))
            }
        }
        return .with {
            $0.provider.name = "envoy.tracers.opentelemetry"
            $0.provider.typedConfig = Wire.packed(exporter)
            $0.randomSampling.value = telemetry.samplingPercent ?? Self.samplingPercent
        }
    }

    private func policyFilter(
        _ telemetry: TelemetrySettings, _ watched: TelemetrySettings?, _ direction: PolicyDirection
    ) -> HTTPFilter {
        let policy = Martlet_V1_Policy.with {
            let formats = telemetry.formats ?? [.w3c]
            $0.traceContext.sampled = .init(percent: telemetry.samplingPercent ?? Self.samplingPercent)
            if let share = watched?.samplingPercent, share != telemetry.samplingPercent {
                $0.traceContext.shadowSampled = .init(percent: share)
            }
            $0.traceContext.startW3C = formats.contains(.w3c)
            $0.traceContext.startB3 = formats.contains(.b3)
            $0.ignoreUnknownUpgrades = true
            $0.sendProxyStatus = true
            $0.sendRetryAfter = true
            $0.trustsLocalControls = direction == .outbound
            if compiler.policies.isInShadow(.faultPolicy, direction) {
                $0.shadowFaults = [FaultCompiler.shadowName]
            }
        }
        return HTTPFilter("martlet.policy", policy)
    }

    private func accessLog(_ telemetry: TelemetrySettings) -> [Envoy_Config_Accesslog_V3_AccessLog] {
        guard telemetry.isLogEnabled ?? false else { return [] }
        let file = Envoy_Extensions_AccessLoggers_File_V3_FileAccessLog.with {
            $0.path = telemetry.logPath ?? "/dev/stdout"
            switch telemetry.logFormat {
            case nil: break
            case .text(let text):
                $0.logFormat.textFormatSource.inlineString = text.hasSuffix("\n") ? text : text + "\n"
            case .json(let members):
                for (key, value) in members {
                    $0.logFormat.jsonFormat.fields[key] = .init(stringValue: value)
                }
            }
        }
        return [
            .with {
                $0.name = "envoy.access_loggers.file"
                if let filter = telemetry.logFilter.flatMap({ Self.logFilter($0) }) { $0.filter = filter }
                $0.typedConfig = Wire.packed(file)
            }
        ]
    }

    /// Lines of a policy in shadow mode, where it says other ones than what is in force.
    private func countedLog(
        _ watched: TelemetrySettings?, _ inForce: TelemetrySettings
    ) -> [Envoy_Config_Accesslog_V3_AccessLog] {
        guard let watched, watched.isLogEnabled == true,
            inForce.isLogEnabled != true || watched.logFilter != inForce.logFilter
        else { return [] }
        return [
            .with {
                $0.name = "martlet.access_loggers.counted"
                if let filter = watched.logFilter.flatMap({ Self.logFilter($0) }) { $0.filter = filter }
                $0.typedConfig = Wire.packed(Martlet_V1_CountedLog())
            }
        ]
    }

    /// nil: every request has a line.
    private static func logFilter(_ filter: TelemetrySettings.LogFilter) -> LogFilter? {
        func comparison(_ key: String, _ value: Int) -> Envoy_Config_Accesslog_V3_ComparisonFilter {
            .with {
                $0.op = .ge
                $0.value.defaultValue = UInt32(clamping: value)
                $0.value.runtimeKey = key
            }
        }
        var wanted: [LogFilter] = []
        if let status = filter.statusMin {
            wanted.append(
                .with { $0.statusCodeFilter.comparison = comparison("access_log.status_min", status) })
        }
        if let slowerThan = filter.slowerThan {
            let milliseconds = Int(slowerThan / .milliseconds(1))
            wanted.append(
                .with { $0.durationFilter.comparison = comparison("access_log.slower_than", milliseconds) })
        }
        if !filter.flags.isEmpty { wanted.append(.with { $0.responseFlagFilter.flags = filter.flags }) }
        let any = wanted.count > 1 ? [LogFilter.with { $0.orFilter.filters = wanted }] : wanted
        guard !filter.logsHealthChecks else { return any.first }
        let serious = LogFilter.with { $0.notHealthCheckFilter = .init() }
        return any.isEmpty ? serious : LogFilter.with { $0.andFilter.filters = any + [serious] }
    }

    private func filter(_ manager: ConnectionManager) -> NetworkFilter {
        .with {
            $0.name = "envoy.filters.network.http_connection_manager"
            $0.typedConfig = Wire.packed(manager)
        }
    }

    private func tcpProxy(to cluster: String) -> NetworkFilter {
        let proxy = TCPProxy.with {
            $0.statPrefix = cluster.replacing("|", with: "_").replacing("/", with: "_")
            $0.cluster = cluster
            $0.idleTimeout = .init(ClusterCompiler.idleTimeout)
        }
        return .with {
            $0.name = "envoy.filters.network.tcp_proxy"
            $0.typedConfig = Wire.packed(proxy)
        }
    }
}
