// HealthChecks: asks the endpoints of clusters whether they are well, on the control loop, by HTTP, gRPC or TCP. What
// an answer means is decided by `HealthCheckState`, a value; here are the connections, the timers, the event log and
// the statistics. What comes of it are marks on the endpoints' shared state, which balancers look at. At most
// `HealthChecker.checksMax` checks are under way; those that are due beyond wait for a place, in their order.

import MeshModel
import MeshPrimitives
import TLSEngine
import Telemetry
import TrafficPolicy
import XDSClient

/// A cluster whose endpoints are to be checked, as the configuration in force has it.
public struct CheckedCluster {
    public struct Member {
        public var state: EndpointState
        public var check: EndpointCheck
        public var hostname: String
        /// nil: plain text.
        public var tls: TLSContext?
        public var serverName: String
        public var locality: LocalityName

        public init(
            _ state: EndpointState, check: EndpointCheck = EndpointCheck(), hostname: String = "",
            tls: TLSContext? = nil, serverName: String = "", locality: LocalityName = LocalityName()
        ) {
            (self.state, self.check, self.hostname) = (state, check, hostname)
            (self.tls, self.serverName, self.locality) = (tls, serverName, locality)
        }
    }

    public var name: String
    public var check: HealthCheck
    public var set: EndpointSet
    public var scope: ClusterScope
    public var members: [Member]
    /// A check of that endpoint has passed; outlier detection wants to know.
    public var passed: (EndpointState) -> Void

    public init(
        name: String, check: HealthCheck, set: EndpointSet, scope: ClusterScope, members: [Member],
        passed: @escaping (EndpointState) -> Void = { _ in }
    ) {
        (self.name, self.check, self.set) = (name, check, set)
        (self.scope, self.members, self.passed) = (scope, members, passed)
    }
}

/// All checks of the process. Confined to the thread of its loop.
public final class HealthChecker {
    /// Checks under way at one time, each with at most one connection.
    public static let checksMax = 256

    let loop: ControlLoop
    let resolver: NameResolver
    let counters: CounterWriter
    let log: LogSink
    let eventLog: HealthCheckEventLog
    /// Whether the cluster of that scope has ever had a connection of its own traffic.
    let hasTraffic: (ClusterScope) -> Bool
    private var clusters: [String: ClusterChecks] = [:]
    private var running = 0
    private var waiting: [EndpointChecks] = []
    private var waitingStart = 0
    /// Called in a later turn than `update`, when the last endpoint's first check has come back.
    public var firstChecksEnded: (() -> Void)?
    /// Called in a later turn than `update`, when each endpoint of that cluster has had its first check.
    public var clusterChecked: ((String) -> Void)?

    public init(
        loop: ControlLoop, resolver: NameResolver, counters: CounterWriter, log: @escaping LogSink,
        hasTraffic: @escaping (ClusterScope) -> Bool
    ) {
        (self.loop, self.resolver, self.counters) = (loop, resolver, counters)
        (self.log, self.hasTraffic) = (log, hasTraffic)
        eventLog = HealthCheckEventLog(log: log)
    }

    /// Takes up what is to be checked from now on. Endpoints that are still there with the same settings go on as they
    /// were.
    public func update(_ wanted: [CheckedCluster]) {
        var next: [String: ClusterChecks] = [:]
        for cluster in wanted {
            let checks = clusters.removeValue(forKey: cluster.name) ?? ClusterChecks(self, cluster)
            checks.update(cluster)
            next[cluster.name] = checks
        }
        for gone in clusters.values { gone.stop() }
        clusters = next
        eventLog.retain(Set(wanted.flatMap(\.check.eventLogPaths)))
    }

    /// Every endpoint has had its first check.
    public var areFirstChecksDone: Bool { clusters.values.allSatisfy(\.areFirstChecksDone) }

    /// Every endpoint of that cluster has; false if it is not checked.
    public func areFirstChecksDone(of cluster: String) -> Bool {
        clusters[cluster]?.areFirstChecksDone ?? false
    }

    public func stop() { update([]) }

    // MARK: Places

    /// Begins the check now, or when there is a place.
    func due(_ endpoint: EndpointChecks) {
        if running < Self.checksMax {
            running += 1
            endpoint.begin()
        } else {
            waiting.append(endpoint)
        }
    }

    func ended() {
        running -= 1
        while running < Self.checksMax, waitingStart < waiting.count {
            let next = waiting[waitingStart]
            waitingStart += 1
            guard next.isWaiting else { continue }
            running += 1
            next.begin()
        }
        if waitingStart == waiting.count { (waiting, waitingStart) = ([], 0) }
        if waitingStart > Self.checksMax {
            waiting.removeFirst(waitingStart)
            waitingStart = 0
        }
    }

    func firstCheckEnded(in cluster: ClusterChecks) {
        guard cluster.areFirstChecksDone else { return }
        let name = cluster.settings.name
        loop.atEndOfTurn { [weak self] in self?.clusterChecked?(name) }
        guard areFirstChecksDone else { return }
        loop.atEndOfTurn { [weak self] in self?.firstChecksEnded?() }
    }
}

/// The checks of one cluster.
final class ClusterChecks {
    unowned let checker: HealthChecker
    private(set) var settings: CheckedCluster
    private var endpoints: [ObjectIdentifier: EndpointChecks] = [:]
    private(set) var sawTraffic = false
    private var (healthy, degraded) = (0, 0)

    init(_ checker: HealthChecker, _ settings: CheckedCluster) {
        (self.checker, self.settings) = (checker, settings)
    }

    func update(_ cluster: CheckedCluster) {
        let isSameCheck = cluster.check == settings.check
        settings = cluster
        var next: [ObjectIdentifier: EndpointChecks] = [:]
        for member in cluster.members where !member.check.isDisabled {
            let id = ObjectIdentifier(member.state)
            let known = endpoints.removeValue(forKey: id)
            if let known, isSameCheck {
                known.update(member)
                next[id] = known
                continue
            }
            // It is watched on with what it was worth; checks that are only now wanted find it healthy.
            known?.stop()
            let marks = member.state.marks
            let startsHealthy = !marks.union(marks.fromShadow).contains(.checkFailed)
            let checks = EndpointChecks(self, member, startsHealthy: startsHealthy)
            next[id] = checks
            checks.start()
        }
        let members = Set(cluster.members.map { ObjectIdentifier($0.state) })
        for (id, gone) in endpoints {
            if members.contains(id) { gone.leave() } else { gone.vanish() }
        }
        endpoints = next
        countHealth()
    }

    func stop() {
        for endpoint in endpoints.values { endpoint.leave() }
        endpoints = [:]
        checker.counters.add(settings.scope, .healthCheckHealthy, -healthy)
        checker.counters.add(settings.scope, .healthCheckDegraded, -degraded)
        (healthy, degraded) = (0, 0)
    }

    /// Nobody waits for what nobody heeds.
    var areFirstChecksDone: Bool {
        settings.check.mode != .enforce || endpoints.values.allSatisfy { !$0.isFirst }
    }

    var hasTraffic: Bool {
        if !sawTraffic { sawTraffic = checker.hasTraffic(settings.scope) }
        return sawTraffic
    }

    func count(_ counter: ClusterCounter) { checker.counters.add(settings.scope, counter) }

    func countHealth() {
        var (healthy, degraded) = (0, 0)
        for endpoint in endpoints.values where endpoint.isHealthy {
            if endpoint.isDegraded { degraded += 1 } else { healthy += 1 }
        }
        checker.counters.add(settings.scope, .healthCheckHealthy, healthy - self.healthy)
        checker.counters.add(settings.scope, .healthCheckDegraded, degraded - self.degraded)
        (self.healthy, self.degraded) = (healthy, degraded)
    }
}
