import MeshConfig

/// One instance of a service, from a connected sidecar or a `Workload` resource.
public struct Workload: Sendable, Hashable, Codable {
    public struct Port: Sendable, Hashable, Codable {
        /// The application's own port.
        public let port: Int
        public let advertisedPort: Int
    }

    public let id: String
    public let namespace: String
    public let service: String
    public let address: String
    public let ports: [Port]
    public let zone: String
    /// `nil` in what an earlier version has kept.
    public let labels: [String: String]?
    /// A sidecar with a certificate answers there.
    public let isMeshed: Bool

    /// `nil` for a proxy that serves no application.
    public init?(_ node: ProxyNode) {
        guard let address = node.address, !node.apps.isEmpty else { return nil }
        (id, namespace, service) = (node.id, node.service.namespace, node.service.name)
        (self.address, zone, labels, isMeshed) = (address, node.zone, node.labels, node.tls != .none)
        ports = node.apps.map { Port(port: $0.port, advertisedPort: $0.listen.port) }
    }

    var serviceID: ServiceID { ServiceID(namespace: namespace, name: service) }
}

/// The workloads whose sidecars are connected, or were a moment ago. A value: time comes in as an argument.
public struct WorkloadRegistry: Sendable {
    private struct Entry {
        var workload: Workload
        /// The stream that speaks for the workload; `nil` once that has ended.
        var stream: UInt64?
        var expires: ContinuousClock.Instant?
    }

    /// After its stream ended a workload stays this long: a sidecar that only changes its connection is not missed.
    public static let grace = Duration.seconds(3)
    /// After a restart of the control plane, until when the sidecars of before must have come back.
    public static let restartGrace = Duration.seconds(30)

    private var entries: [String: Entry] = [:]

    public init() {}

    /// With the workloads of an earlier run, so that a restart takes nobody's endpoints away.
    public init(restoring workloads: [Workload], now: ContinuousClock.Instant) {
        for workload in workloads {
            entries[workload.id] = Entry(
                workload: workload, stream: nil, expires: now.advanced(by: Self.restartGrace))
        }
    }

    /// Ordered by id.
    public var workloads: [Workload] { entries.values.map(\.workload).sorted { $0.id < $1.id } }

    /// The next time at which `expire` has something to do.
    public var nextExpiry: ContinuousClock.Instant? { entries.values.compactMap(\.expires).min() }

    /// True if the mesh changed.
    public mutating func connected(_ workload: Workload, stream: UInt64) -> Bool {
        let before = entries[workload.id]?.workload
        entries[workload.id] = Entry(workload: workload, stream: stream, expires: nil)
        return before != workload
    }

    /// The workload stays for the grace. A stream that another one has replaced says nothing any more.
    public mutating func disconnected(_ id: String, stream: UInt64, now: ContinuousClock.Instant) {
        guard entries[id]?.stream == stream else { return }
        entries[id]?.stream = nil
        entries[id]?.expires = now.advanced(by: Self.grace)
    }

    /// True if the mesh changed.
    public mutating func expire(now: ContinuousClock.Instant) -> Bool {
        let gone = entries.filter { $0.value.expires.map { $0 <= now } ?? false }.map(\.key)
        for id in gone { entries[id] = nil }
        return !gone.isEmpty
    }
}
