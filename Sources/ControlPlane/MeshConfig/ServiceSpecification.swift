/// `Mesh`: what holds for the whole mesh. A set without one gets these defaults.
public struct MeshSettings: Sendable, Equatable {
    public static let trustDomainDefault = "mesh.local"

    public var trustDomain = MeshSettings.trustDomainDefault
    /// How long a workload's certificate lives: from 1 minute to 30 days.
    public var leafLifetime = Duration.seconds(24 * 3600)

    public init() {}
}

/// What a port speaks, by the names that Kubernetes and Gateway API users write in `appProtocol`.
public enum ApplicationProtocol: String, Sendable, CaseIterable {
    case http, http2, grpc, tcp
    /// The application encrypts by itself: to the mesh these are bytes.
    case tls
    case auto

    /// Requests are seen one by one.
    public var isHTTP: Bool { self != .tcp && self != .tls }
    /// The application takes HTTP/2, and gRPC with it.
    public var isHTTP2: Bool { self == .http2 || self == .grpc }
}

/// `Service`: a name that callers use, its ports, and where its endpoints come from.
public struct ServiceSpecification: Sendable, Equatable {
    public struct Port: Sendable, Equatable {
        public var name: String
        /// What callers write after the colon.
        public var port: Int
        public var appProtocol: ApplicationProtocol
        /// The application's own port, which a workload lists. `nil`: the same number; and of a service with one
        /// port the one port of a workload, whatever its number.
        public var targetPort: Int?
    }

    public struct StaticEndpoint: Sendable, Equatable {
        public var address: String
        /// `nil`: the service port's `targetPort`, or its own number.
        public var port: Int?
        public var weight: Int
        public var zone: String
        public var labels: [String: String] = [:]
    }

    public enum Endpoints: Sendable, Equatable {
        /// Sidecars that serve this service, and `Workload` resources that name it.
        case registered
        case fixed([StaticEndpoint])
        case dns(host: String)
        /// Workloads of the same namespace that carry all these labels.
        case selector([String: String])
    }

    public var ports: [Port]
    public var endpoints: Endpoints

    /// Which of a workload's application ports stands behind a port of this service.
    public func applicationPort(behind port: Port, among candidates: [Int]) -> Int? {
        let number = port.targetPort ?? port.port
        if candidates.contains(number) { return number }
        let isObvious = port.targetPort == nil && ports.count == 1 && candidates.count == 1
        return isObvious ? candidates[0] : nil
    }
}

/// `Workload`: one instance of a service. Sidecars register theirs themselves.
public struct WorkloadSpecification: Sendable, Equatable {
    public enum Health: String, Sendable, CaseIterable { case healthy, unhealthy, draining }

    public struct Port: Sendable, Hashable {
        /// The application's own port, which a service calls `targetPort`.
        public var port: Int
        /// Where callers connect: the sidecar's listener, or the application itself.
        public var advertisedPort: Int

        public init(port: Int, advertisedPort: Int) {
            (self.port, self.advertisedPort) = (port, advertisedPort)
        }
    }

    public var service: String
    public var address: String
    public var ports: [Port]
    public var zone: String
    public var weight: Int
    public var health: Health
    /// A sidecar answers at the advertised ports, so that callers may speak mutual TLS.
    public var isMeshed: Bool
    public var labels: [String: String]

    public init(
        service: String, address: String, ports: [Port], zone: String = "", weight: Int = 1,
        health: Health = .healthy, isMeshed: Bool = false, labels: [String: String] = [:]
    ) {
        (self.service, self.address, self.ports, self.zone) = (service, address, ports, zone)
        (self.weight, self.health, self.isMeshed, self.labels) = (weight, health, isMeshed, labels)
    }
}

// MARK: Reading

extension MeshSettings {
    static func read(_ fields: Fields) -> MeshSettings? {
        var settings = MeshSettings()
        if let trustDomain = fields.checked("trustDomain", Syntax.trustDomain) {
            settings.trustDomain = trustDomain
        }
        fields.mapping("certificates") { fields -> Bool? in
            if let lifetime = fields.duration(
                "leafLifetime", in: .seconds(60)...Duration.seconds(30 * 86_400))
            {
                settings.leafLifetime = lifetime
            }
            fields.notYet("authority")
            return true
        }
        fields.notYet("defaults", "outsideServices")
        return settings
    }
}

extension ServiceSpecification {
    static func read(_ fields: Fields) -> ServiceSpecification? {
        let ports = fields.list("ports", isRequired: true, countMax: 64, readPort)
        let endpoints = fields.mapping("endpoints", readEndpoints) ?? .registered
        fields.refuseEmpty("ports", "add a port, or remove the service")
        guard let ports else { return nil }
        reportDoubles(of: ports.map(\.name), under: "name", fields, "give each port a name of its own")
        reportDoubles(
            of: ports.map { String($0.port) }, under: "port", fields, "give each port a number of its own")
        return ServiceSpecification(ports: ports, endpoints: endpoints)
    }

    private static func readPort(_ fields: Fields) -> Port? {
        let name = fields.checked("name", Syntax.label)
        let port = fields.integer("port", isRequired: true, in: 1...65_535)
        let appProtocol = fields.choice("appProtocol", ApplicationProtocol.self) ?? .http
        let targetPort = fields.integer("targetPort", in: 1...65_535)
        switch appProtocol {
        case .http, .http2, .grpc, .tcp, .tls: break
        case .auto:
            fields.report(
                "appProtocol", "'\(appProtocol.rawValue)' is not supported yet",
                "write http, http2, grpc, tcp or tls")
        }
        guard let port else { return nil }
        return Port(
            name: name ?? "port-\(port)", port: port, appProtocol: appProtocol, targetPort: targetPort)
    }

    private static func readEndpoints(_ fields: Fields) -> Endpoints? {
        let sources = ["registered", "static", "dns", "selector"].filter(fields.has)
        fields.notYet("envoy-ads", "envoyAds")
        let registered = fields.mapping("registered") { _ -> Endpoints? in .registered }
        let fixed = fields.list("static", countMax: 4096, readStaticEndpoint).map(Endpoints.fixed)
        let dns = fields.mapping("dns") { fields -> Endpoints? in
            fields.checked("host", isRequired: true, Syntax.hostName).map(Endpoints.dns)
        }
        let selector = fields.mapping("selector") { fields -> Endpoints? in
            guard let labels = fields.texts("labels", checkKey: Syntax.labelKey), !labels.isEmpty else {
                fields.report("labels", "a selector without labels selects nothing", "add a label")
                return nil
            }
            return .selector(labels)
        }
        guard sources.count <= 1 else {
            fields.reader.report(
                fields.position, fields.path,
                "endpoints come from one source, not from \(sources.joined(separator: " and "))",
                "keep one of them")
            return nil
        }
        return registered ?? fixed ?? dns ?? selector
    }

    private static func readStaticEndpoint(_ fields: Fields) -> StaticEndpoint? {
        let address = fields.checked("address", isRequired: true, Syntax.address)
        let port = fields.integer("port", in: 1...65_535)
        let weight = fields.integer("weight", in: 1...65_535) ?? 1
        let zone = fields.checked("zone", Syntax.subdomain) ?? ""
        let labels = fields.texts("labels", checkKey: Syntax.labelKey) ?? [:]
        guard let address else { return nil }
        return StaticEndpoint(
            address: IPAddress(address)?.description ?? address, port: port, weight: weight, zone: zone,
            labels: labels)
    }

    private static func reportDoubles(
        of values: [String], under key: String, _ fields: Fields, _ remedy: String
    ) {
        for (index, value) in values.enumerated() where values[..<index].contains(value) {
            let path = "\(fields.path(of: "ports"))[\(index)].\(key)"
            fields.reader.report(
                fields.reader.positions[path] ?? fields.position, path, "'\(value)' is there twice",
                remedy)
        }
    }
}

extension WorkloadSpecification {
    static func read(_ fields: Fields, labels: [String: String]) -> WorkloadSpecification? {
        let service = fields.checked("service", isRequired: true, Syntax.label)
        let address = fields.checked("address", isRequired: true, Syntax.address)
        let ports = fields.list("ports", isRequired: true, countMax: 64) { fields -> Port? in
            let port = fields.integer("port", isRequired: true, in: 1...65_535)
            let advertised = fields.integer("advertisedPort", in: 1...65_535)
            return port.map { Port(port: $0, advertisedPort: advertised ?? $0) }
        }
        let zone = fields.checked("zone", Syntax.subdomain) ?? ""
        let weight = fields.integer("weight", in: 1...65_535) ?? 1
        let health = fields.choice("health", Health.self) ?? .healthy
        let isMeshed = fields.boolean("meshed") ?? false
        fields.refuseEmpty("ports", "add a port")
        guard let service, let address, let ports else { return nil }
        return WorkloadSpecification(
            service: service, address: IPAddress(address)?.description ?? address, ports: ports, zone: zone,
            weight: weight, health: health, isMeshed: isMeshed, labels: labels)
    }
}
