/// Checks a set of resources against itself: names that must be unique, and names that must exist.
struct SpecificationChecker {
    private(set) var errors: [ConfigError] = []
    private var byID: [ResourceID: Resource] = [:]
    private var services: [ServiceID: ServiceSpecification] = [:]

    init(_ resources: [Resource]) {
        var mesh: Resource?
        for resource in resources {
            if let first = byID[resource.id] {
                report(
                    resource, "metadata.name",
                    "\(resource.id) is already defined at \(first.location.file):\(first.location.line)",
                    "rename or remove one of the two")
                continue
            }
            byID[resource.id] = resource
            switch resource.specification {
            case .service(let service):
                services[ServiceID(namespace: resource.id.namespace, name: resource.id.name)] = service
            case .mesh:
                if let mesh {
                    report(
                        resource, "metadata.name",
                        "there is already a Mesh at \(mesh.location.file):\(mesh.location.line)",
                        "keep one of the two")
                }
                mesh = resource
            case .workload, .httpRoute, .grpcRoute, .tlsPolicy, .retryPolicy, .timeoutPolicy,
                .circuitBreakerPolicy,
                .healthCheckPolicy, .loadBalancerPolicy, .rateLimitPolicy, .faultPolicy, .telemetryPolicy:
                break
            }
        }
        resources.forEach { check($0) }
    }

    private mutating func report(_ resource: Resource, _ path: String, _ problem: String, _ remedy: String) {
        errors.append(ConfigError(resource.location(of: path), path: path, problem: problem, remedy: remedy))
    }

    private mutating func check(_ resource: Resource) {
        switch resource.specification {
        case .mesh, .service: break
        case .workload(let workload): check(workload, of: resource)
        case .httpRoute(let route), .grpcRoute(let route): check(route, of: resource)
        case .tlsPolicy(let policy):
            check(policy, of: resource)
            checkPorts(of: policy, in: resource)
            checkShadow(policy, in: resource)
        case .retryPolicy(let policy): check(policy, of: resource)
        case .timeoutPolicy(let policy):
            check(policy, of: resource)
            checkInbound(policy, in: resource)
            checkShadow(policy, in: resource)
        case .circuitBreakerPolicy(let policy):
            check(policy, of: resource)
            checkInbound(policy, in: resource)
        case .loadBalancerPolicy(let policy):
            check(policy, of: resource)
            checkRoute(of: policy, in: resource)
            checkShadow(policy, in: resource)
        case .healthCheckPolicy(let policy): check(policy, of: resource)
        case .rateLimitPolicy(let policy):
            check(policy, of: resource)
            checkIdentities(of: policy, in: resource)
            checkOutbound(policy, in: resource)
        case .faultPolicy(let policy): check(policy, of: resource)
        case .telemetryPolicy(let policy):
            check(policy, of: resource)
            checkShadow(policy, in: resource)
        }
    }

    /// The service, or a report that names the nearest one.
    private mutating func service(
        _ id: ServiceID, _ resource: Resource, _ path: String
    ) -> ServiceSpecification? {
        if let service = services[id] { return service }
        let names = services.keys.filter { $0.namespace == id.namespace }.map(\.name).sorted()
        let hint = NearestName.among(names, to: id.name).map { "did you mean '\($0)'?" }
        let others = services.keys.filter { $0.name == id.name }.map(\.namespace).sorted()
        let elsewhere = others.first.map { "there is one in namespace '\($0)'" }
        report(
            resource, path, "there is no Service '\(id)'",
            hint ?? elsewhere ?? "define it, or correct the name")
        return nil
    }

    private mutating func check(_ workload: WorkloadSpecification, of resource: Resource) {
        let id = ServiceID(namespace: resource.id.namespace, name: workload.service)
        guard let service = service(id, resource, "spec.service") else { return }
        let candidates = workload.ports.map(\.port)
        let used = service.ports.compactMap { service.applicationPort(behind: $0, among: candidates) }
        for (index, port) in workload.ports.enumerated() where !used.contains(port.port) {
            let targets = service.ports.map { String($0.targetPort ?? $0.port) }.joined(separator: ", ")
            report(
                resource, "spec.ports[\(index)].port",
                "no port of Service '\(id)' has targetPort \(port.port)",
                "write one of \(targets)")
        }
    }

    private mutating func check(_ route: HTTPRouteSpecification, of resource: Resource) {
        for (index, parent) in route.parents.enumerated() {
            let path = "spec.parentRefs[\(index)]"
            guard let service = service(parent.service, resource, "\(path).name") else { continue }
            let ports = service.ports.filter(parent.includes)
            if let port = parent.port, !service.ports.contains(where: { $0.port == port }) {
                reportPort(port, of: service, parent.service, resource, "\(path).port")
            } else if let section = parent.portName, ports.isEmpty {
                reportSection(section, of: service, parent.service, resource, "\(path).sectionName")
            } else if !ports.contains(where: { resource.isAttached(to: parent.service, $0) }) {
                let isGRPC = resource.id.kind == .grpcRoute
                report(
                    resource, "\(path).name",
                    "Service '\(parent.service)' has no \(isGRPC ? "gRPC" : "HTTP") port there",
                    "set appProtocol of the port to \(isGRPC ? "grpc or http2" : "http, http2 or grpc")")
            }
        }
        var ruleNames: [String] = []
        for (index, rule) in route.rules.enumerated() {
            if let name = rule.name {
                if ruleNames.contains(name) {
                    report(
                        resource, "spec.rules[\(index)].name", "'\(name)' is there twice", "rename one rule")
                }
                ruleNames.append(name)
            }
            for (number, backend) in rule.backends.enumerated() {
                check(
                    backend.service, backend.port, resource, "spec.rules[\(index)].backendRefs[\(number)]")
            }
            // Filters of other kinds stand between them: the rule says where well enough.
            for mirror in rule.filters.mirrors {
                check(mirror.service, mirror.port, resource, "spec.rules[\(index)].filters", isList: true)
            }
        }
    }

    /// That there is such a port of such a service.
    private mutating func check(
        _ id: ServiceID, _ port: Int, _ resource: Resource, _ path: String, isList: Bool = false
    ) {
        guard let service = service(id, resource, isList ? path : "\(path).name") else { return }
        if !service.ports.contains(where: { $0.port == port }) {
            reportPort(port, of: service, id, resource, isList ? path : "\(path).port")
        }
    }

    private mutating func reportSection(
        _ section: String, of service: ServiceSpecification, _ id: ServiceID, _ resource: Resource,
        _ path: String
    ) {
        let names = service.ports.map(\.name)
        let hint = NearestName.among(names, to: section).map { "did you mean '\($0)'?" }
        report(
            resource, path, "Service '\(id)' has no port named '\(section)'",
            hint ?? "write one of \(names.joined(separator: ", "))")
    }

    private mutating func reportPort(
        _ port: Int, of service: ServiceSpecification, _ id: ServiceID, _ resource: Resource, _ path: String
    ) {
        let ports = service.ports.map { String($0.port) }.joined(separator: ", ")
        report(resource, path, "Service '\(id)' has no port \(port)", "write one of \(ports)")
    }

    private mutating func check<Settings>(_ policy: Policy<Settings>, of resource: Resource) {
        let target = policy.target
        switch target.kind {
        case .mesh, .namespace, .tcpRoute: break
        case .service:
            let id = ServiceID(namespace: target.namespace, name: target.name)
            guard let service = service(id, resource, "spec.targetRef.name") else { return }
            if let section = target.sectionName, !service.ports.contains(where: { $0.name == section }) {
                reportSection(section, of: service, id, resource, "spec.targetRef.sectionName")
            }
        case .httpRoute, .grpcRoute:
            let kind = target.kind == .httpRoute ? ResourceKind.httpRoute : .grpcRoute
            let id = ResourceID(kind: kind, namespace: target.namespace, name: target.name)
            guard let route = byID[id]?.route else {
                let names = byID.keys.filter { $0.kind == kind && $0.namespace == id.namespace }.map(\.name)
                let hint = NearestName.among(names.sorted(), to: id.name).map { "did you mean '\($0)'?" }
                report(
                    resource, "spec.targetRef.name",
                    "there is no \(kind.rawValue) '\(id.namespace)/\(id.name)'",
                    hint ?? "define it, or correct the name")
                return
            }
            if let section = target.sectionName, !route.rules.contains(where: { $0.name == section }) {
                report(
                    resource, "spec.targetRef.sectionName", "the route has no rule named '\(section)'",
                    "give the rule that name")
            }
        }
    }

    /// A service's own sidecar makes one attempt, and ends the deadline's way.
    private mutating func checkInbound(_ policy: Policy<TimeoutSettings>, in resource: Resource) {
        guard policy.direction == .inbound else { return }
        reportInbound(
            [
                ("perTry", policy.settings.perTry != nil),
                ("deadlinePropagation", policy.settings.propagatesDeadline != nil),
            ], resource)
    }

    /// Whether a request would have taken too long shows when it is answered; the rest would not.
    private mutating func checkShadow(_ policy: Policy<TimeoutSettings>, in resource: Resource) {
        guard policy.mode == .shadow else { return }
        let settings = policy.settings
        reportUndecided(
            [
                ("connect", settings.connect != nil), ("idle", settings.idle != nil),
                ("stream", settings.stream != nil), ("connection", settings.connection != nil),
                ("deadlinePropagation", settings.propagatesDeadline != nil),
            ], resource, "remove it: request and perTry are")
    }

    /// Choices of one algorithm are compared with those of another among the same endpoints.
    private mutating func checkShadow(_ policy: Policy<LoadBalancerSettings>, in resource: Resource) {
        guard policy.mode == .shadow else { return }
        let settings = policy.settings
        reportUndecided(
            [("algorithm", settings.hashes)], resource, "write roundRobin, leastRequest, peakEWMA or random")
        reportUndecided(
            [
                ("hashKeys", settings.hashKeys != nil), ("slowStart", settings.slowStartWindow != nil),
                ("panicThreshold", settings.panicThreshold != nil), ("locality", settings.locality != nil),
                ("subsets", settings.subsetLabels != nil || settings.subsetFallback != nil),
            ], resource, "remove it: algorithm is")
    }

    /// Nobody sees who would have come otherwise, nor what would have been agreed on.
    private mutating func checkShadow(_ policy: Policy<TLSSettings>, in resource: Resource) {
        guard policy.mode == .shadow else { return }
        let settings = policy.settings
        reportUndecided(
            [("minimumVersion", settings.minimumVersion != nil), ("ciphers", settings.ciphers != nil)],
            resource, "remove it: mtls is")
    }

    private mutating func checkShadow(_ policy: Policy<TelemetrySettings>, in resource: Resource) {
        guard policy.mode == .shadow else { return }
        reportUndecided(
            [
                ("tracing.formats", policy.settings.formats != nil),
                ("tracing.otlp", policy.settings.collector != nil),
            ], resource, "remove it: sampling and accessLog are")
    }

    /// Behind it there is one application.
    private mutating func checkInbound(_ policy: Policy<CircuitBreakerSettings>, in resource: Resource) {
        guard policy.direction == .inbound else { return }
        reportInbound(
            [
                ("limits.retries", policy.settings.retries != nil),
                ("limits.connectionsPerEndpoint", policy.settings.connectionsPerEndpoint != nil),
                ("outlierDetection", policy.settings.outliers != nil),
            ], resource)
    }

    private mutating func reportInbound(_ fields: [(String, Bool)], _ resource: Resource) {
        report(
            fields, resource, "has no effect with direction inbound",
            "remove it, or write it with direction outbound")
    }

    private mutating func reportUndecided(
        _ fields: [(String, Bool)], _ resource: Resource, _ remedy: String
    ) {
        report(fields, resource, "is not decided in shadow mode", remedy)
    }

    /// Those of the fields that are there.
    private mutating func report(
        _ fields: [(String, Bool)], _ resource: Resource, _ problem: String, _ remedy: String
    ) {
        for (name, isThere) in fields where isThere { report(resource, "spec.\(name)", problem, remedy) }
    }

    /// How endpoints are chosen is one matter for all who call a service.
    private mutating func checkRoute(of policy: Policy<LoadBalancerSettings>, in resource: Resource) {
        guard policy.target.kind.isRoute else { return }
        var possible = LoadBalancerSettings()
        possible.subsetLabels = policy.settings.subsetLabels
        guard policy.settings != possible else { return }
        report(
            resource, "spec.targetRef.kind", "about a route a LoadBalancerPolicy says subsets.labels only",
            "say the rest about the Service")
    }

    /// A caller's sidecar knows one caller, and shares no limit with others.
    private mutating func checkOutbound(_ policy: Policy<RateLimitSettings>, in resource: Resource) {
        guard policy.direction == .outbound else { return }
        if policy.settings.hasGlobal {
            report(
                resource, "spec.global", "callers' sidecars share no limit",
                "write it with direction inbound, about the Service")
        }
        for (index, keyed) in (policy.settings.keys ?? []).enumerated() {
            let path = "spec.local.keys[\(index)]"
            for (name, isThere) in [
                ("identity", keyed.key.identity != nil), ("address", keyed.key.usesAddress),
            ] where isThere {
                report(
                    resource, "\(path).\(name)", "in the caller's own sidecar all requests have the same one",
                    "remove it, or write direction inbound")
            }
        }
    }

    /// Who never calls would have a bucket for nothing: a name that is wrong most likely.
    private mutating func checkIdentities(of policy: Policy<RateLimitSettings>, in resource: Resource) {
        for (name, keys) in [("local", policy.settings.keys), ("global", policy.settings.globalKeys)] {
            for (index, keyed) in (keys ?? []).enumerated() {
                guard case .exact(let text) = keyed.key.identity, let id = ServiceID(text) else { continue }
                _ = service(id, resource, "spec.\(name).keys[\(index)].identity")
            }
        }
    }

    private mutating func checkPorts(of policy: Policy<TLSSettings>, in resource: Resource) {
        let id = ServiceID(namespace: policy.target.namespace, name: policy.target.name)
        guard policy.target.kind == .service, let service = services[id] else { return }
        for (index, mode) in (policy.settings.ports ?? []).enumerated()
        where !service.ports.contains(where: { $0.port == mode.port }) {
            reportPort(mode.port, of: service, id, resource, "spec.ports[\(index)].port")
        }
    }
}
