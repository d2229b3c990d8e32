import MeshConfig
import XDSMessages

/// Clusters and their endpoints: one cluster for each port of each service.
struct ClusterCompiler {
    static let connectTimeout = Duration.seconds(5)
    static let idleTimeout = Duration.seconds(3600)
    static let budgetPercent = 20.0
    static let budgetWindow = Duration.seconds(10)
    static let budgetMin = 3

    private let compiler: ConfigCompiler
    private let proxyClass: ProxyClass

    init(_ compiler: ConfigCompiler, _ proxyClass: ProxyClass) {
        (self.compiler, self.proxyClass) = (compiler, proxyClass)
    }

    private struct Endpoint {
        let address: HostPort
        let zone: String
        let weight: Int
        let health: WorkloadSpecification.Health
        let labels: [String: String]
        /// The service whose identity the endpoint's certificate carries; `nil` without sidecar.
        let identity: ServiceID?
    }

    // MARK: Clusters

    func cluster(_ id: ServiceID, _ service: ServiceSpecification, _ port: ServiceSpecification.Port)
        -> Cluster
    {
        let place = PolicyIndex.Place(service: id, portName: port.name, direction: .outbound)
        let timeouts = compiler.policies.settings(TimeoutSettings.self, at: place)
        var cluster = Cluster()
        cluster.name = ConfigCompiler.clusterName(id, port: port.port)
        cluster.connectTimeout = .init(timeouts.connect ?? Self.connectTimeout)
        if case .dns(let host) = service.endpoints {
            cluster.type = .strictDns
            cluster.respectDnsTtl = true
            cluster.loadAssignment = Self.dnsAssignment(cluster.name, host, port.targetPort ?? port.port)
        } else {
            cluster.type = .eds
            cluster.edsClusterConfig.edsConfig = .aggregated
        }
        var options = Martlet_V1_Cluster()
        setLimits(&cluster, &options, place)
        let balancing = balancing(at: place, port: port.port)
        balancing.apply(to: &cluster, &options)
        balancing.setSubsets(&cluster, compiler.subsetKeys)
        setHealthCheck(&cluster, &options, place, port)
        if let watched = compiler.policies.shadowSettings(LoadBalancerSettings.self, at: place)?.others {
            BalancingCompiler(settings: watched, isMartlet: proxyClass.isMartlet).setShadow(&options)
        }
        if proxyClass.isMartlet {
            cluster.typedExtensionProtocolOptions["martlet.cluster"] = Wire.packed(options)
        }
        let canBeSecure = setTransport(&cluster, id, service, port)
        if port.appProtocol.isHTTP {
            let options = httpOptions(
                port.appProtocol, idle: timeouts.idle ?? Self.idleTimeout, longest: timeouts.connection,
                canNegotiate: canBeSecure)
            cluster.typedExtensionProtocolOptions["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"] =
                Wire.packed(options)
        }
        return cluster
    }

    private func setHealthCheck(
        _ cluster: inout Cluster, _ options: inout Martlet_V1_Cluster, _ place: PolicyIndex.Place,
        _ port: ServiceSpecification.Port
    ) {
        var settings = compiler.policies.settings(HealthCheckSettings.self, at: place)
        if settings.check == nil, proxyClass.isMartlet,
            let watched = compiler.policies.shadowSettings(HealthCheckSettings.self, at: place)
        {
            settings = watched.others
            options.healthCheckMode = .shadow
        }
        HealthCheckCompiler(settings: settings, port: port).apply(to: &cluster)
    }

    /// To a collector of spans, in the clear.
    static func collector(_ collector: TelemetrySettings.Collector) -> Cluster {
        var cluster = Cluster()
        cluster.name = ConfigCompiler.Names.collector(collector)
        cluster.type = .strictDns
        cluster.connectTimeout = .init(connectTimeout)
        cluster.loadAssignment = dnsAssignment(cluster.name, collector.host, collector.port)
        if collector.transport == .grpc {
            var options = HTTPOptions()
            options.explicitHTTPConfig.http2ProtocolOptions = .init()
            cluster.typedExtensionProtocolOptions["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"] =
                Wire.packed(options)
        }
        return cluster
    }

    /// To the application behind the sidecar: plain, and without bounds unless somebody says them; callers have theirs.
    func inbound(_ app: ProxyNode.App, at place: PolicyIndex.Place) -> Cluster {
        let name = ConfigCompiler.Names.inbound(app.port)
        let timeouts = compiler.policies.settings(TimeoutSettings.self, at: place)
        let limits = compiler.policies.settings(CircuitBreakerSettings.self, at: place)
        var cluster = Cluster()
        cluster.name = name
        cluster.type = .static
        cluster.connectTimeout = .init(timeouts.connect ?? Self.connectTimeout)
        cluster.loadAssignment.clusterName = name
        cluster.loadAssignment.endpoints = [
            .with {
                $0.lbEndpoints = [
                    .with { $0.endpoint.address = .init(HostPort(host: "127.0.0.1", port: app.port)) }
                ]
            }
        ]
        let unlimited = Int(UInt32.max)
        cluster.circuitBreakers.thresholds = [
            .with {
                $0.maxConnections = .init(clamping: limits.connections ?? unlimited)
                $0.maxPendingRequests = .init(clamping: limits.pending ?? unlimited)
                $0.maxRequests = .init(clamping: limits.requests ?? unlimited)
                $0.maxRetries = .init(clamping: unlimited)
            }
        ]
        if proxyClass.isMartlet {
            var own = Martlet_V1_Cluster()
            setBreakers(&own, limits, place)
            if own != Martlet_V1_Cluster() {
                cluster.typedExtensionProtocolOptions["martlet.cluster"] = Wire.packed(own)
            }
        }
        switch app.appProtocol {
        case .tcp, .tls: break
        case .http, .http2, .grpc, .auto:
            var options = HTTPOptions()
            options.commonHTTPProtocolOptions.idleTimeout = .init(timeouts.idle ?? Self.idleTimeout)
            if let longest = timeouts.connection {
                options.commonHTTPProtocolOptions.maxConnectionDuration = .init(longest)
            }
            if app.appProtocol == .http2 || app.appProtocol == .grpc {
                options.explicitHTTPConfig.http2ProtocolOptions = .init()
            } else {
                options.explicitHTTPConfig.httpProtocolOptions = .mesh(isDownstream: false)
            }
            cluster.typedExtensionProtocolOptions["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"] =
                Wire.packed(options)
        }
        return cluster
    }

    private func balancing(at place: PolicyIndex.Place, port: Int) -> BalancingCompiler {
        var settings = compiler.policies.settings(LoadBalancerSettings.self, at: place)
        // What routes say of sessions is narrower than what a policy says of the service.
        if compiler.isPersistent(place.service, port: port), !settings.hashes { settings.algorithm = .maglev }
        return BalancingCompiler(settings: settings, isMartlet: proxyClass.isMartlet)
    }

    private func setLimits(
        _ cluster: inout Cluster, _ options: inout Martlet_V1_Cluster, _ place: PolicyIndex.Place
    ) {
        let limits = compiler.policies.settings(CircuitBreakerSettings.self, at: place)
        let retries = compiler.policies.settings(RetrySettings.self, at: place)
        let percent = retries.budgetPercent ?? Self.budgetPercent
        let retriesMin = retries.budgetMin ?? Self.budgetMin
        var threshold = Envoy_Config_Cluster_V3_CircuitBreakers.Thresholds()
        threshold.maxConnections = .init(clamping: limits.connections ?? 1024)
        threshold.maxPendingRequests = .init(clamping: limits.pending ?? 1024)
        threshold.maxRequests = .init(clamping: limits.requests ?? 1024)
        threshold.maxRetries = .init(clamping: limits.retries ?? 3)
        if proxyClass.isMartlet {
            options.retryBudget.percent = percent
            options.retryBudget.window = .init(retries.budgetWindow ?? Self.budgetWindow)
            options.retryBudget.retriesMin = UInt32(clamping: retriesMin)
            setBreakers(&options, limits, place)
        } else {
            // Envoy's budget has no window: a share of the requests in flight is the nearest that it can do.
            threshold.retryBudget.budgetPercent.value = percent
            threshold.retryBudget.minRetryConcurrency = .init(clamping: retriesMin)
        }
        cluster.circuitBreakers.thresholds = [threshold]
        if let outliers = limits.outliers {
            BalancingCompiler.apply(outliers, to: &cluster, &options, isMartlet: proxyClass.isMartlet)
        } else if proxyClass.isMartlet,
            let shadow = compiler.policies.shadowSettings(CircuitBreakerSettings.self, at: place)?.others,
            let outliers = shadow.outliers
        {
            BalancingCompiler.apply(outliers, to: &cluster, &options, isMartlet: true)
            options.outliers.mode = .shadow
        }
        if let most = limits.connectionsPerEndpoint {
            cluster.circuitBreakers.perHostThresholds = [
                .with { $0.maxConnections = .init(clamping: most) }
            ]
        }
    }

    /// What Envoy has not: the breaker, and policies in shadow mode.
    private func setBreakers(
        _ own: inout Martlet_V1_Cluster, _ limits: CircuitBreakerSettings, _ place: PolicyIndex.Place
    ) {
        if let breaker = limits.breaker.flatMap(Self.breaker) { own.breaker = breaker }
        guard let shadow = compiler.policies.shadowSettings(CircuitBreakerSettings.self, at: place)?.others
        else { return }
        if shadow.breaker != limits.breaker, let breaker = shadow.breaker.flatMap(Self.breaker) {
            own.shadowBreaker = breaker
        }
        func bound(_ shadow: Int?, _ inForce: Int?) -> UInt32 {
            shadow == inForce ? 0 : UInt32(clamping: shadow ?? 0)
        }
        let watched = Martlet_V1_Cluster.Limits.with {
            $0.connections = bound(shadow.connections, limits.connections)
            $0.pending = bound(shadow.pending, limits.pending)
            $0.requests = bound(shadow.requests, limits.requests)
            $0.retries = bound(shadow.retries, limits.retries)
        }
        if watched != Martlet_V1_Cluster.Limits() { own.shadowLimits = watched }
    }

    /// nil for one that never opens.
    private static func breaker(_ settings: BreakerSettings) -> Martlet_V1_Cluster.Breaker? {
        let rates = [settings.failureRate ?? 0, settings.slowRate ?? 0]
        guard settings.consecutiveFailures != nil || rates.contains(where: { $0 > 0 }) else { return nil }
        return .with {
            $0.consecutiveFailures = UInt32(clamping: settings.consecutiveFailures ?? 0)
            $0.failureRate = settings.failureRate ?? 0
            $0.slowCallRate = settings.slowRate ?? 0
            if let length = settings.slowAfter { $0.slowCallDuration = .init(length) }
            if let length = settings.window { $0.window = .init(length) }
            $0.callsMin = UInt32(clamping: settings.minimumCalls ?? 0)
            if let length = settings.openDuration { $0.openDuration = .init(length) }
            $0.openDurationGrowth = Double(settings.openGrowth ?? 1)
            if let length = settings.openMax { $0.openDurationMax = .init(length) }
            $0.probes = UInt32(clamping: settings.probes ?? 0)
        }
    }

    /// True if every way to the service negotiates the protocol by TLS where it has TLS.
    private func setTransport(
        _ cluster: inout Cluster, _ id: ServiceID, _ service: ServiceSpecification,
        _ port: ServiceSpecification.Port
    ) -> Bool {
        let place = PolicyIndex.Place(service: id, portName: port.name, direction: .inbound)
        let settings = compiler.policies.settings(TLSSettings.self, at: place)
        let mutual = compiler.transitions.outbound(
            .init(service: id, port: port.port), settings.mutual(port: port.port))
        let secure = TLSContexts(tls: proxyClass.tls).upstream(
            identities: identities(id, service, port),
            serverName: "outbound.\(port.port).\(id.name).\(id.namespace)",
            settings, alpn: alpn(port.appProtocol))
        guard let secure, mutual != .disabled else { return false }
        switch mutual {
        case .disabled:
            return false
        case .strict:
            cluster.transportSocket = secure
            return true
        case .permissive:
            cluster.transportSocketMatches = [
                .with {
                    $0.name = "mtls"
                    $0.match.fields["martlet.tls"] = .init(stringValue: "true")
                    $0.transportSocket = secure
                },
                .with {
                    $0.name = "plain"
                    $0.match = .init()
                    $0.transportSocket = .plain
                },
            ]
            return true
        }
    }

    private func alpn(_ appProtocol: ApplicationProtocol) -> [String] {
        switch appProtocol {
        case .http, .auto: return TLSContexts.alpnHTTP
        case .http2, .grpc: return ["h2"]
        case .tcp, .tls: return []
        }
    }

    private func httpOptions(
        _ appProtocol: ApplicationProtocol, idle: Duration, longest: Duration?, canNegotiate: Bool
    ) -> HTTPOptions {
        var options = HTTPOptions()
        options.commonHTTPProtocolOptions.idleTimeout = .init(idle)
        if let longest { options.commonHTTPProtocolOptions.maxConnectionDuration = .init(longest) }
        if appProtocol == .http2 || appProtocol == .grpc {
            options.explicitHTTPConfig.http2ProtocolOptions = .init()
        } else if canNegotiate, proxyClass.isMartlet {
            // Between sidecars HTTP/2 by ALPN, HTTP/1.1 where there is no TLS. Envoy refuses a cluster that can
            // negotiate and also has a plain transport.
            options.autoConfig.httpProtocolOptions = .mesh(isDownstream: false)
            options.autoConfig.http2ProtocolOptions = .init()
        } else {
            options.explicitHTTPConfig.httpProtocolOptions = .mesh(isDownstream: false)
        }
        return options
    }

    private static func dnsAssignment(_ name: String, _ host: String, _ port: Int) -> LoadAssignment {
        .with {
            $0.clusterName = name
            $0.endpoints = [
                .with {
                    $0.lbEndpoints = [
                        .with {
                            $0.endpoint.address.socketAddress.address = host
                            $0.endpoint.address.socketAddress.portValue = UInt32(port)
                        }
                    ]
                }
            ]
        }
    }

    // MARK: Endpoints

    /// The endpoints of one service port; `nil` if they come by DNS.
    func assignment(
        _ id: ServiceID, _ service: ServiceSpecification, _ port: ServiceSpecification.Port
    ) -> LoadAssignment? {
        if case .dns = service.endpoints { return nil }
        let byZone = Dictionary(grouping: endpoints(id, service, port), by: \.zone)
        let place = PolicyIndex.Place(service: id, portName: port.name, direction: .outbound)
        let prefersOwn =
            balancing(at: place, port: port.port).settings.locality == .failover
            && byZone[proxyClass.zone] != nil
        var assignment = LoadAssignment()
        assignment.clusterName = ConfigCompiler.clusterName(id, port: port.port)
        assignment.endpoints = byZone.sorted { $0.key < $1.key }.map { zone, endpoints in
            .with {
                $0.locality.zone = zone
                $0.priority = prefersOwn && zone != proxyClass.zone ? 1 : 0
                $0.lbEndpoints = endpoints.map(lbEndpoint)
            }
        }
        return assignment
    }

    private func lbEndpoint(_ endpoint: Endpoint) -> Envoy_Config_Endpoint_V3_LbEndpoint {
        .with {
            $0.endpoint.address = .init(endpoint.address)
            $0.loadBalancingWeight = .init(clamping: endpoint.weight)
            switch endpoint.health {
            case .healthy: $0.healthStatus = .healthy
            case .unhealthy: $0.healthStatus = .unhealthy
            case .draining: $0.healthStatus = .draining
            }
            let labels = endpoint.labels.filter { key, _ in
                compiler.subsetKeys.contains { $0.contains(key) }
            }
            if !labels.isEmpty {
                $0.metadata.filterMetadata[BalancingCompiler.metadata] = BalancingCompiler.values(labels)
            }
            if endpoint.identity != nil {
                $0.metadata.filterMetadata["envoy.transport_socket_match"] = .with {
                    $0.fields["martlet.tls"] = .init(stringValue: "true")
                }
            }
        }
    }

    /// The identities that the service's endpoints may show: its own, and those of workloads that it selects.
    private func identities(
        _ id: ServiceID, _ service: ServiceSpecification, _ port: ServiceSpecification.Port
    ) -> [String] {
        let others = endpoints(id, service, port).compactMap(\.identity)
        return Set([id] + others).sorted().map(compiler.identityURI)
    }

    /// In the order of their addresses.
    private func endpoints(
        _ id: ServiceID, _ service: ServiceSpecification, _ port: ServiceSpecification.Port
    ) -> [Endpoint] {
        var endpoints: [Endpoint]
        switch service.endpoints {
        case .dns:
            return []
        case .fixed(let fixed):
            endpoints = fixed.map { endpoint in
                Endpoint(
                    address: HostPort(
                        host: endpoint.address, port: endpoint.port ?? port.targetPort ?? port.port),
                    zone: endpoint.zone, weight: endpoint.weight, health: .healthy,
                    labels: endpoint.labels, identity: nil)
            }
        case .registered:
            endpoints = compiler.workloads.filter { $0.serviceID == id }.compactMap {
                registered($0, service, port)
            }
            endpoints += declared(service, port, in: id.namespace) { _, workload in
                workload.service == id.name
            }
        case .selector(let labels):
            endpoints = declared(service, port, in: id.namespace) { _, workload in
                labels.allSatisfy { workload.labels[$0.key] == $0.value }
            }
            endpoints += compiler.workloads.compactMap { workload in
                let own = workload.labels ?? [:]
                let isWanted =
                    workload.namespace == id.namespace && labels.allSatisfy { own[$0.key] == $0.value }
                return isWanted ? registered(workload, service, port) : nil
            }
        }
        endpoints.sort { ($0.address.host, $0.address.port) < ($1.address.host, $1.address.port) }
        return endpoints
    }

    private func registered(
        _ workload: Workload, _ service: ServiceSpecification, _ port: ServiceSpecification.Port
    ) -> Endpoint? {
        let number = service.applicationPort(behind: port, among: workload.ports.map(\.port))
        guard let match = workload.ports.first(where: { $0.port == number }) else { return nil }
        return Endpoint(
            address: HostPort(host: workload.address, port: match.advertisedPort), zone: workload.zone,
            weight: 1,
            health: .healthy, labels: workload.labels ?? [:],
            identity: workload.isMeshed ? workload.serviceID : nil)
    }

    private func declared(
        _ service: ServiceSpecification, _ port: ServiceSpecification.Port, in namespace: String,
        where isWanted: (ResourceID, WorkloadSpecification) -> Bool
    ) -> [Endpoint] {
        compiler.specification.resources.compactMap { resource in
            guard case .workload(let workload) = resource.specification, resource.id.namespace == namespace,
                isWanted(resource.id, workload),
                let number = service.applicationPort(behind: port, among: workload.ports.map(\.port)),
                let match = workload.ports.first(where: { $0.port == number })
            else { return nil }
            let identity = ServiceID(namespace: namespace, name: workload.service)
            return Endpoint(
                address: HostPort(host: workload.address, port: match.advertisedPort), zone: workload.zone,
                weight: workload.weight, health: workload.health, labels: workload.labels,
                identity: workload.isMeshed ? identity : nil)
        }
    }
}
