import MeshModel
import Proxy
import Reactor
import Synchronization
import TLSEngine
import Telemetry
import TrafficPolicy
import XDSDiscovery

extension AdminPages {
    func statistics(_ request: AdminRequest) -> AdminAnswer {
        let isWanted: (String) -> Bool
        switch filter(request) {
        case .success(let filter): isWanted = filter
        case .failure(let error): return .text("filter: \(error.reason)\n", status: 400)
        }
        let usedOnly = request.has("usedonly")
        switch request.value("format") {
        case nil, "text": return .text(bytes: snapshot().text(usedOnly: usedOnly, where: isWanted))
        case "json": return .json(snapshot().json(usedOnly: usedOnly, where: isWanted))
        case "prometheus": return prometheus(request)
        default: return .text("format: text, json or prometheus\n", status: 400)
        }
    }

    func prometheus(_ request: AdminRequest) -> AdminAnswer {
        switch filter(request) {
        case .success(let isWanted):
            let text = snapshot().prometheus(usedOnly: request.has("usedonly"), where: isWanted)
            return AdminAnswer(type: "text/plain; version=0.0.4; charset=utf-8", .bytes(text))
        case .failure(let error): return .text("filter: \(error.reason)\n", status: 400)
        }
    }

    private func filter(_ request: AdminRequest) -> Result<(String) -> Bool, TextPattern.SyntaxError> {
        guard let text = request.value("filter"), !text.isEmpty else { return .success { _ in true } }
        do throws(TextPattern.SyntaxError) {
            let pattern = try TextPattern(text)
            return .success { pattern.matches($0) }
        } catch {
            return .failure(error)
        }
    }

    /// The numbers of the workers, and those that are only known here.
    private func snapshot() -> StatisticsSnapshot {
        var snapshot = server.process.registry.snapshot()
        setProcess(&snapshot)
        setDiscovery(&snapshot)
        for cluster in server.clusterStatus() { Self.set(cluster, &snapshot) }
        return snapshot
    }

    private func setProcess(_ snapshot: inout StatisticsSnapshot) {
        let state = state
        let memory = MemoryUse.current
        snapshot.set(.serverUptime, to: uptimeSeconds)
        snapshot.set(.serverLive, to: state == .live ? 1 : 0)
        snapshot.set(.serverState, to: state.rawValue)
        snapshot.set(.serverConcurrency, to: UInt64(facts.workers))
        snapshot.set(.serverMemoryAllocated, to: memory.anonymous)
        snapshot.set(.serverMemoryHeapSize, to: memory.resident)
        snapshot.set(.listenerManagerWorkersStarted, to: server.snapshot == nil ? 0 : 1)
        snapshot.set(.listenerManagerTotalListenersActive, to: UInt64(server.listenerAddresses.count))
        snapshot.set(
            .clusterManagerActiveClusters, to: UInt64(server.snapshot?.configuration.clusters.count ?? 0))
        snapshot.set(.serverDaysUntilFirstCertExpiring, to: daysUntilFirstExpiry ?? UInt64(UInt32.max))
    }

    private func setDiscovery(_ snapshot: inout StatisticsSnapshot) {
        guard let status = surroundings.discovery() else { return }
        snapshot.set(.controlPlaneConnectedState, to: status.isConnected ? 1 : 0)
        let (clusters, listeners) = (status[.cluster], status[.listener])
        snapshot.set(.clusterManagerCdsUpdateAttempt, to: clusters.updateAttempt)
        snapshot.set(.clusterManagerCdsUpdateSuccess, to: clusters.updateSuccess)
        snapshot.set(.clusterManagerCdsUpdateFailure, to: clusters.updateFailure)
        snapshot.set(.clusterManagerCdsUpdateRejected, to: clusters.updateRejected)
        snapshot.set(.listenerManagerLdsUpdateAttempt, to: listeners.updateAttempt)
        snapshot.set(.listenerManagerLdsUpdateSuccess, to: listeners.updateSuccess)
        snapshot.set(.listenerManagerLdsUpdateFailure, to: listeners.updateFailure)
        snapshot.set(.listenerManagerLdsUpdateRejected, to: listeners.updateRejected)
        let resources = surroundings.resources()
        snapshot.set(
            .clusterManagerWarmingClusters,
            to: UInt64(resources.count { $0.kind == .cluster && $0.isWarming && !$0.isStatic }))
        snapshot.set(
            .listenerManagerTotalListenersWarming,
            to: UInt64(resources.count { $0.kind == .listener && $0.isWarming && !$0.isStatic }))
    }

    private static func set(_ cluster: ProxyServer.ClusterStatus, _ snapshot: inout StatisticsSnapshot) {
        let name = cluster.name
        let registered = name.contains(":") ? String(name.map { $0 == ":" ? "_" : $0 }) : name
        func set(_ counter: ClusterCounter, _ value: Int) {
            snapshot.set(registered, counter, to: UInt64(max(0, value)))
        }
        func value(_ counter: ClusterCounter) -> Int { Int(snapshot.value(registered, counter) ?? 0) }
        set(.membershipTotal, cluster.endpoints.count)
        set(.membershipHealthy, cluster.endpoints.count { $0.health == .healthy })
        set(.outlierDetectionEjectionsActive, cluster.outliers?.ejected ?? 0)
        set(.membershipExcluded, cluster.endpoints.count { $0.marks.isExcluded })
        set(.membershipDegraded, cluster.endpoints.count { $0.health == .degraded })
        set(.maxHostWeight, Int(cluster.endpoints.map(\.weight).max() ?? 0))
        let limits = cluster.normal
        let (connections, pending) = (value(.upstreamCxActive), value(.upstreamRqPendingActive))
        let requests = value(.upstreamRqActive)
        set(.circuitBreakersDefaultCxOpen, connections >= Int(limits.connections) ? 1 : 0)
        set(.circuitBreakersDefaultRqPendingOpen, pending >= Int(limits.pending) ? 1 : 0)
        set(.circuitBreakersDefaultRqOpen, requests >= Int(limits.requests) ? 1 : 0)
        guard limits.tracksRemaining else { return }
        set(.circuitBreakersDefaultRemainingCx, Int(limits.connections) - connections)
        set(.circuitBreakersDefaultRemainingPending, Int(limits.pending) - pending)
        set(.circuitBreakersDefaultRemainingRq, Int(limits.requests) - requests)
    }

    var uptimeSeconds: UInt64 {
        UInt64(max(0, loop.now.nanoseconds(since: facts.started)) / 1_000_000_000)
    }
}

extension AdminAnswer {
    static func text(bytes: [UInt8]) -> AdminAnswer {
        AdminAnswer(type: "text/plain; charset=UTF-8", .bytes(bytes))
    }
}
