/// Statistics of the process.
public enum ServerCounter: UInt16, Sendable, BitwiseCopyable, CaseIterable {
    case serverUptime
    case serverLive
    case serverState
    case serverConcurrency
    case serverMemoryAllocated
    case serverMemoryHeapSize
    case serverTotalConnections
    case serverParentConnections
    case serverHotRestartEpoch
    case serverVersion
    case serverDaysUntilFirstCertExpiring
    case serverSecondsUntilFirstOcspResponseExpiring
    case serverStatsRecentLookups
    case serverWorkerWatchdogMiss
    case serverStatisticsOverflow
    case clusterManagerActiveClusters
    case clusterManagerWarmingClusters
    case clusterManagerClusterAdded
    case clusterManagerClusterModified
    case clusterManagerClusterRemoved
    case clusterManagerClusterUpdated
    case clusterManagerCdsUpdateAttempt
    case clusterManagerCdsUpdateSuccess
    case clusterManagerCdsUpdateFailure
    case clusterManagerCdsUpdateRejected
    case clusterManagerCdsVersion
    case listenerManagerTotalListenersActive
    case listenerManagerTotalListenersWarming
    case listenerManagerTotalListenersDraining
    case listenerManagerListenerAdded
    case listenerManagerListenerModified
    case listenerManagerListenerRemoved
    case listenerManagerListenerCreateSuccess
    case listenerManagerListenerCreateFailure
    case listenerManagerWorkersStarted
    case listenerManagerLdsUpdateAttempt
    case listenerManagerLdsUpdateSuccess
    case listenerManagerLdsUpdateFailure
    case listenerManagerLdsUpdateRejected
    case listenerManagerLdsVersion
    case controlPlaneConnectedState
    case controlPlanePendingRequests
    case controlPlaneRateLimitEnforced
    case tracingOpentelemetrySpansSent
    case tracingOpentelemetrySpansDropped
    case tracingOpentelemetryTimerFlushed
    case tracingOpentelemetryReportsFailed
    case filesystemWriteCompleted
    case filesystemWriteFailed
    case filesystemWriteTotalBuffered

    /// Envoy's name, behind that of the scope.
    public var name: StaticString {
        switch self {
        case .serverUptime: "server.uptime"
        case .serverLive: "server.live"
        case .serverState: "server.state"
        case .serverConcurrency: "server.concurrency"
        case .serverMemoryAllocated: "server.memory_allocated"
        case .serverMemoryHeapSize: "server.memory_heap_size"
        case .serverTotalConnections: "server.total_connections"
        case .serverParentConnections: "server.parent_connections"
        case .serverHotRestartEpoch: "server.hot_restart_epoch"
        case .serverVersion: "server.version"
        case .serverDaysUntilFirstCertExpiring: "server.days_until_first_cert_expiring"
        case .serverSecondsUntilFirstOcspResponseExpiring: "server.seconds_until_first_ocsp_response_expiring"
        case .serverStatsRecentLookups: "server.stats_recent_lookups"
        case .serverWorkerWatchdogMiss: "server.worker_watchdog_miss"
        case .serverStatisticsOverflow: "server.statistics_overflow"
        case .clusterManagerActiveClusters: "cluster_manager.active_clusters"
        case .clusterManagerWarmingClusters: "cluster_manager.warming_clusters"
        case .clusterManagerClusterAdded: "cluster_manager.cluster_added"
        case .clusterManagerClusterModified: "cluster_manager.cluster_modified"
        case .clusterManagerClusterRemoved: "cluster_manager.cluster_removed"
        case .clusterManagerClusterUpdated: "cluster_manager.cluster_updated"
        case .clusterManagerCdsUpdateAttempt: "cluster_manager.cds.update_attempt"
        case .clusterManagerCdsUpdateSuccess: "cluster_manager.cds.update_success"
        case .clusterManagerCdsUpdateFailure: "cluster_manager.cds.update_failure"
        case .clusterManagerCdsUpdateRejected: "cluster_manager.cds.update_rejected"
        case .clusterManagerCdsVersion: "cluster_manager.cds.version"
        case .listenerManagerTotalListenersActive: "listener_manager.total_listeners_active"
        case .listenerManagerTotalListenersWarming: "listener_manager.total_listeners_warming"
        case .listenerManagerTotalListenersDraining: "listener_manager.total_listeners_draining"
        case .listenerManagerListenerAdded: "listener_manager.listener_added"
        case .listenerManagerListenerModified: "listener_manager.listener_modified"
        case .listenerManagerListenerRemoved: "listener_manager.listener_removed"
        case .listenerManagerListenerCreateSuccess: "listener_manager.listener_create_success"
        case .listenerManagerListenerCreateFailure: "listener_manager.listener_create_failure"
        case .listenerManagerWorkersStarted: "listener_manager.workers_started"
        case .listenerManagerLdsUpdateAttempt: "listener_manager.lds.update_attempt"
        case .listenerManagerLdsUpdateSuccess: "listener_manager.lds.update_success"
        case .listenerManagerLdsUpdateFailure: "listener_manager.lds.update_failure"
        case .listenerManagerLdsUpdateRejected: "listener_manager.lds.update_rejected"
        case .listenerManagerLdsVersion: "listener_manager.lds.version"
        case .controlPlaneConnectedState: "control_plane.connected_state"
        case .controlPlanePendingRequests: "control_plane.pending_requests"
        case .controlPlaneRateLimitEnforced: "control_plane.rate_limit_enforced"
        case .tracingOpentelemetrySpansSent: "tracing.opentelemetry.spans_sent"
        case .tracingOpentelemetrySpansDropped: "tracing.opentelemetry.spans_dropped"
        case .tracingOpentelemetryTimerFlushed: "tracing.opentelemetry.timer_flushed"
        case .tracingOpentelemetryReportsFailed: "tracing.opentelemetry.reports_failed"
        case .filesystemWriteCompleted: "filesystem.write_completed"
        case .filesystemWriteFailed: "filesystem.write_failed"
        case .filesystemWriteTotalBuffered: "filesystem.write_total_buffered"
        }
    }

    /// Goes up and down; the others only grow.
    public var isGauge: Bool {
        switch self {
        case .serverUptime, .serverLive, .serverState, .serverConcurrency, .serverMemoryAllocated,
            .serverMemoryHeapSize, .serverTotalConnections, .serverParentConnections, .serverHotRestartEpoch,
            .serverVersion, .serverDaysUntilFirstCertExpiring, .serverSecondsUntilFirstOcspResponseExpiring,
            .serverStatsRecentLookups, .clusterManagerActiveClusters, .clusterManagerWarmingClusters,
            .clusterManagerCdsVersion, .listenerManagerTotalListenersActive,
            .listenerManagerTotalListenersWarming, .listenerManagerTotalListenersDraining,
            .listenerManagerWorkersStarted, .listenerManagerLdsVersion, .controlPlaneConnectedState,
            .controlPlanePendingRequests:
            true
        default: false
        }
    }
}
