/// Answers which settings are in force somewhere: the narrower target wins, field by field.
public struct PolicyIndex: Sendable {
    /// Where settings are asked for. What is `nil` does not apply there.
    public struct Place: Sendable {
        public var service: ServiceID
        public var portName: String?
        public var route: ResourceID?
        public var ruleName: String?
        public var direction: PolicyDirection

        public init(
            service: ServiceID, portName: String? = nil, route: ResourceID? = nil, ruleName: String? = nil,
            direction: PolicyDirection
        ) {
            (self.service, self.portName, self.route) = (service, portName, route)
            (self.ruleName, self.direction) = (ruleName, direction)
        }
    }

    private struct Key: Hashable {
        let kind: ResourceKind
        let target: PolicyTarget
        let direction: PolicyDirection?
    }

    private var winners: [Key: Resource] = [:]
    /// Those in shadow mode, which stand beside the winners.
    private var shadows: [Key: Resource] = [:]
    /// Routes of one namespace at one port of a service are of one kind: that of the oldest.
    private struct Attachment: Hashable {
        let service: ServiceID
        let port: Int
        let namespace: String
    }

    private var attachments: [Attachment: ResourceID] = [:]
    /// A policy that has no effect because an older one has the same target, or a route that has none at some port because
    /// an older one of the other kind is there; and that older one.
    public private(set) var conflicts: [ResourceID: ResourceID] = [:]

    /// `firstSeen`: the revision in which each name was first seen; unknown names are the youngest.
    public init(_ specification: MeshSpecification, firstSeen: [ResourceID: Int] = [:]) {
        let byAge = specification.resources.sorted { left, right in
            let (a, b) = (firstSeen[left.id] ?? .max, firstSeen[right.id] ?? .max)
            let (first, second) = (left.id, right.id)
            return (a, first.namespace, first.name, first) < (b, second.namespace, second.name, second)
        }
        for resource in byAge {
            switch resource.specification {
            case .mesh, .service, .workload: break
            case .httpRoute, .grpcRoute: attach(resource, specification)
            case .tlsPolicy(let policy): insert(policy, resource)
            case .retryPolicy(let policy): insert(policy, resource)
            case .timeoutPolicy(let policy): insert(policy, resource)
            case .circuitBreakerPolicy(let policy): insert(policy, resource)
            case .loadBalancerPolicy(let policy): insert(policy, resource)
            case .healthCheckPolicy(let policy): insert(policy, resource)
            case .rateLimitPolicy(let policy): insert(policy, resource)
            case .faultPolicy(let policy): insert(policy, resource)
            case .telemetryPolicy(let policy): insert(policy, resource)
            }
        }
    }

    /// Gateway API, GRPCRouteSpec.hostnames: of an HTTPRoute and a GRPCRoute in one place exactly one is accepted, the older.
    private mutating func attach(_ route: Resource, _ specification: MeshSpecification) {
        for id in Set((route.route?.parents ?? []).map(\.service)).sorted() {
            for port in specification.services[id]?.ports ?? [] where route.isAttached(to: id, port) {
                let place = Attachment(service: id, port: port.port, namespace: route.id.namespace)
                if let first = attachments[place] {
                    if first.kind != route.id.kind { conflicts[route.id] = first }
                } else {
                    attachments[place] = route.id
                }
            }
        }
    }

    /// Whether a route holds at a port that it is attached to.
    public func accepts(_ route: ResourceID, at service: ServiceID, port: Int) -> Bool {
        let place = Attachment(service: service, port: port, namespace: route.namespace)
        return attachments[place].map { $0.kind == route.kind } ?? false
    }

    private mutating func insert<Settings>(_ policy: Policy<Settings>, _ resource: Resource) {
        let key = Key(kind: Settings.kind, target: policy.target, direction: policy.direction)
        switch policy.mode {
        case .off: return
        case .shadow:
            if let other = shadows[key] {
                conflicts[resource.id] = other.id
            } else {
                shadows[key] = resource
            }
            return
        case .enforce: break
        }
        if let winner = winners[key] {
            conflicts[resource.id] = winner.id
        } else {
            winners[key] = resource
        }
    }

    /// Keys of the labels that load balancer policies in force ask for, each list once and in order.
    public var subsetKeys: [[String]] {
        let keys = winners.values.compactMap { resource -> [String]? in
            guard case .loadBalancerPolicy(let policy) = resource.specification else { return nil }
            return policy.settings.subsetLabels?.keys.sorted()
        }
        return Set(keys.filter { !$0.isEmpty }).sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// Whether a policy of a kind is in force anywhere in a direction.
    public func isInForce(_ kind: ResourceKind, _ direction: PolicyDirection) -> Bool {
        Self.contains(winners, kind, direction)
    }

    /// Whether one is in shadow mode.
    public func isInShadow(_ kind: ResourceKind, _ direction: PolicyDirection) -> Bool {
        Self.contains(shadows, kind, direction)
    }

    private static func contains(
        _ policies: [Key: Resource], _ kind: ResourceKind, _ direction: PolicyDirection
    ) -> Bool {
        policies.keys.contains { $0.kind == kind && ($0.direction ?? direction) == direction }
    }

    /// What every policy but those of the place's own route rule says.
    public func settings<Settings: PolicySettings>(_: Settings.Type, at place: Place) -> Settings {
        merged(targets(of: place), place.direction)
    }

    /// What would be in force, in the rule's own policies and in the others, if policies in shadow mode were; nil if none
    /// is about the place.
    public func shadowSettings<Settings: PolicySettings>(_: Settings.Type, at place: Place)
        -> (rule: Settings, others: Settings)?
    {
        let all = targets(of: place) + ruleTargets(of: place)
        let isThere = all.contains { target in
            keys(Settings.self, target, place.direction).contains { shadows[$0] != nil }
        }
        guard isThere else { return nil }
        return (
            merged(ruleTargets(of: place), place.direction, inShadow: true),
            merged(targets(of: place), place.direction, inShadow: true)
        )
    }

    private func targets(of place: Place) -> [PolicyTarget] {
        let (service, namespace) = (place.service, place.service.namespace)
        var targets: [PolicyTarget] = []
        if let route = place.route, let kind = PolicyTarget.Kind(route: route.kind) {
            targets.append(PolicyTarget(kind: kind, namespace: route.namespace, name: route.name))
        }
        if let port = place.portName {
            targets.append(
                PolicyTarget(kind: .service, namespace: namespace, name: service.name, sectionName: port))
        }
        targets.append(PolicyTarget(kind: .service, namespace: namespace, name: service.name))
        targets.append(PolicyTarget(kind: .namespace, namespace: namespace, name: ""))
        targets.append(PolicyTarget(kind: .mesh, namespace: "", name: ""))
        return targets
    }

    private func ruleTargets(of place: Place) -> [PolicyTarget] {
        guard let route = place.route, let kind = PolicyTarget.Kind(route: route.kind),
            let rule = place.ruleName
        else { return [] }
        return [PolicyTarget(kind: kind, namespace: route.namespace, name: route.name, sectionName: rule)]
    }

    /// What policies say that name the place's route rule as `sectionName`; they beat the rule's own fields.
    public func ruleSettings<Settings: PolicySettings>(_: Settings.Type, at place: Place) -> Settings {
        merged(ruleTargets(of: place), place.direction)
    }

    private func merged<Settings: PolicySettings>(
        _ targets: [PolicyTarget], _ direction: PolicyDirection, inShadow: Bool = false
    ) -> Settings {
        var result = Settings()
        for target in targets {
            for key in keys(Settings.self, target, direction) {
                let found = inShadow ? shadows[key] ?? winners[key] : winners[key]
                guard let resource = found, let policy = Settings.policy(in: resource.specification)
                else {
                    continue
                }
                result = result.filled(from: policy.settings)
            }
        }
        return result
    }

    private func keys<Settings: PolicySettings>(
        _: Settings.Type, _ target: PolicyTarget, _ direction: PolicyDirection
    ) -> [Key] {
        [
            Key(kind: Settings.kind, target: target, direction: direction),
            Key(kind: Settings.kind, target: target, direction: nil),
        ]
    }
}
