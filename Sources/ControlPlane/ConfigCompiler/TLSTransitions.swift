import MeshConfig

/// Changes of mutual TLS on their way, as a machine: which mode either side of each service port is told meanwhile.
///
/// Where a port goes from TLS to none or back, callers and services that change at different moments would not
/// understand each other. So the service's sidecars first take both, then the callers change, and then the service's
/// sidecars take the new way only:
///
///     settled --change--> opening --all have it--> switching --all have it--> settled
///     services: wanted    services: both           services: both
///     callers: wanted     callers: as before       callers: wanted
///
/// Between `strict` and `permissive` there is nothing to be done: sidecars speak TLS to each other under both. What held
/// before this process began is not known: a change that was made while no control plane ran is not staged.
public struct TLSTransitions: Sendable, Equatable {
    /// A port of a service.
    public struct Port: Hashable, Sendable {
        public let service: ServiceID
        public let port: Int

        public init(service: ServiceID, port: Int) { (self.service, self.port) = (service, port) }
    }

    private enum Stage: Equatable { case opening, switching }

    private var wanted: [Port: TLSSettings.Mutual] = [:]
    /// What callers are told, where it is not what is wanted.
    private var before: [Port: TLSSettings.Mutual] = [:]
    private var stages: [Port: Stage] = [:]

    public init() {}

    /// Nothing is on its way: this is how it begins.
    public init(_ specification: MeshSpecification, _ policies: PolicyIndex) {
        wanted = Self.modes(specification, policies)
    }

    public var isUnderWay: Bool { !stages.isEmpty }

    /// The ports on their way, in order, for the log.
    public var names: [String] { stages.keys.map { "\($0.service):\($0.port)" }.sorted() }

    /// A new revision.
    public mutating func want(_ specification: MeshSpecification, _ policies: PolicyIndex) {
        let next = Self.modes(specification, policies)
        for (port, mode) in next {
            // Nobody calls yet what has just come.
            guard let previous = wanted[port] else { continue }
            let told = before[port] ?? previous
            let isOtherWay = (told == .disabled) != (mode == .disabled)
            switch stages[port] {
            case nil where isOtherWay, .opening where isOtherWay:
                stages[port] = .opening
                before[port] = told
            case .opening:
                // Taken back; the services may be told once the callers are known to have the old way.
                stages[port] = .switching
                before[port] = nil
            case nil, .switching: break
            }
        }
        stages = stages.filter { next[$0.key] != nil }
        before = before.filter { next[$0.key] != nil }
        wanted = next
    }

    /// All proxies have what the present stages say.
    public mutating func advance() {
        for (port, stage) in stages {
            switch stage {
            case .opening:
                stages[port] = .switching
                before[port] = nil
            case .switching: stages[port] = nil
            }
        }
    }

    /// What the service's own sidecars are told.
    func inbound(_ port: Port, _ wanted: TLSSettings.Mutual) -> TLSSettings.Mutual {
        stages[port] == nil ? wanted : .permissive
    }

    /// What callers are told.
    func outbound(_ port: Port, _ wanted: TLSSettings.Mutual) -> TLSSettings.Mutual { before[port] ?? wanted }

    private static func modes(
        _ specification: MeshSpecification, _ policies: PolicyIndex
    ) -> [Port: TLSSettings.Mutual] {
        var modes: [Port: TLSSettings.Mutual] = [:]
        for (id, service) in specification.services {
            for port in service.ports {
                let place = PolicyIndex.Place(service: id, portName: port.name, direction: .inbound)
                modes[Port(service: id, port: port.port)] =
                    policies.settings(TLSSettings.self, at: place).mutual(port: port.port)
            }
        }
        return modes
    }
}
