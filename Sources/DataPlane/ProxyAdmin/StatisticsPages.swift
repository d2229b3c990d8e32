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
        for breaker in server.process.breakerStates() {
            snapshot.set(
                Self.registered(breaker.cluster), breaker.isShadow ? .shadowBreakerState : .breakerState,
                to: UInt64(breaker.state.rawValue))
        }
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

    /// As the registry writes a cluster's name.
    private static func registered(_ name: String) -> String {
        name.contains(":") ? String(name.map { $0 == ":" ? "_" : $0 }) : name
    }

    private static func set(_ cluster: ProxyServer.ClusterStatus, _ snapshot: inout StatisticsSnapshot) {
        let registered = registered(cluster.name)
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
        let (normal, high) = (cluster.normalUse, cluster.highUse)
        set(.circuitBreakersDefaultCxOpen, normal.connections >= Int(cluster.normal.connections) ? 1 : 0)
        set(.circuitBreakersDefaultRqPendingOpen, normal.pending >= Int(cluster.normal.pending) ? 1 : 0)
        set(.circuitBreakersDefaultRqOpen, normal.requests >= Int(cluster.normal.requests) ? 1 : 0)
        set(.circuitBreakersDefaultRqRetryOpen, normal.isRetryOpen ? 1 : 0)
        set(.circuitBreakersHighCxOpen, high.connections >= Int(cluster.high.connections) ? 1 : 0)
        set(.circuitBreakersHighRqPendingOpen, high.pending >= Int(cluster.high.pending) ? 1 : 0)
        set(.circuitBreakersHighRqOpen, high.requests >= Int(cluster.high.requests) ? 1 : 0)
        set(.circuitBreakersHighRqRetryOpen, high.isRetryOpen ? 1 : 0)
        if cluster.normal.tracksRemaining {
            set(.circuitBreakersDefaultRemainingCx, Int(cluster.normal.connections) - normal.connections)
            set(.circuitBreakersDefaultRemainingPending, Int(cluster.normal.pending) - normal.pending)
            set(.circuitBreakersDefaultRemainingRq, Int(cluster.normal.requests) - normal.requests)
            set(.circuitBreakersDefaultRemainingRetries, normal.retriesMax - normal.retries)
        }
        if cluster.high.tracksRemaining {
            set(.circuitBreakersHighRemainingCx, Int(cluster.high.connections) - high.connections)
            set(.circuitBreakersHighRemainingPending, Int(cluster.high.pending) - high.pending)
            set(.circuitBreakersHighRemainingRq, Int(cluster.high.requests) - high.requests)
            set(.circuitBreakersHighRemainingRetries, high.retriesMax - high.retries)
        }
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
