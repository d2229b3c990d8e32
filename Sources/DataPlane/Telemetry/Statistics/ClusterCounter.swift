/// Statistics of one cluster, `cluster.NAME.`.
public enum ClusterCounter: UInt16, Sendable, BitwiseCopyable, CaseIterable {
    case upstreamCxTotal
    case upstreamCxHttp1Total
    case upstreamCxHttp2Total
    case upstreamCxActive
    case upstreamCxConnectFail
    case upstreamCxConnectTimeout
    case upstreamCxConnectAttemptsExceeded
    case upstreamCxOverflow
    case upstreamCxPoolOverflow
    case upstreamCxIdleTimeout
    case upstreamCxMaxRequests
    case upstreamCxMaxDurationReached
    case upstreamCxNoneHealthy
    case upstreamCxProtocolError
    case upstreamCxDestroy
    case upstreamCxDestroyLocal
    case upstreamCxDestroyRemote
    case upstreamCxDestroyWithActiveRq
    case upstreamCxDestroyLocalWithActiveRq
    case upstreamCxDestroyRemoteWithActiveRq
    case upstreamCxCloseNotify
    case upstreamCxRxBytesTotal
    case upstreamCxRxBytesBuffered
    case upstreamCxTxBytesTotal
    case upstreamCxTxBytesBuffered
    case upstreamRqTotal
    case upstreamRqActive
    case upstreamRqActiveOverflow
    case upstreamRqPendingTotal
    case upstreamRqPendingActive
    case upstreamRqPendingOverflow
    case upstreamRqPendingFailureEject
    case upstreamRqMaintenanceMode
    case upstreamRqMaxDurationReached
    case upstreamRqCancelled
    case upstreamRqTimeout
    case upstreamRqPerTryTimeout
    case upstreamRqPerTryIdleTimeout
    case upstreamRqRxReset
    case upstreamRqTxReset
    case upstreamRqRetry
    case upstreamRqRetryBackoffExponential
    case upstreamRqRetryBackoffRatelimited
    case upstreamRqRetryLimitExceeded
    case upstreamRqRetryOverflow
    case upstreamRqRetrySuccess
    case upstreamRqCompleted
    case upstreamRq1xx
    case upstreamRq2xx
    case upstreamRq3xx
    case upstreamRq4xx
    case upstreamRq5xx
    case upstreamFlowControlPausedReadingTotal
    case upstreamFlowControlResumedReadingTotal
    case upstreamFlowControlBackedUpTotal
    case upstreamFlowControlDrainedTotal
    case retryOrShadowAbandoned
    case bindErrors
    case lbHealthyPanic
    case lbSubsetsSelected
    case lbSubsetsFallback
    case lbSubsetsFallbackPanic
    case lbZoneRoutingAllDirectly
    case lbZoneRoutingSampled
    case lbZoneRoutingCrossZone
    case lbZoneNoCapacityLeft
    case updateAttempt
    case updateSuccess
    case updateFailure
    case updateEmpty
    case updateNoRebuild
    case membershipChange
    case membershipHealthy
    case membershipDegraded
    case membershipExcluded
    case membershipTotal
    case version
    case warmingState
    case maxHostWeight
    case circuitBreakersDefaultCxOpen
    case circuitBreakersDefaultCxPoolOpen
    case circuitBreakersDefaultRqPendingOpen
    case circuitBreakersDefaultRqOpen
    case circuitBreakersDefaultRqRetryOpen
    case circuitBreakersDefaultRemainingCx
    case circuitBreakersDefaultRemainingPending
    case circuitBreakersDefaultRemainingRq
    case circuitBreakersDefaultRemainingRetries
    case circuitBreakersHighCxOpen
    case circuitBreakersHighCxPoolOpen
    case circuitBreakersHighRqPendingOpen
    case circuitBreakersHighRqOpen
    case circuitBreakersHighRqRetryOpen
    case retryRefusedMethod
    case retryRefusedBody
    case retryRefusedDeadline
    case retryRefusedNearer
    case upstreamRqDeadlinePassed
    case upstreamCxRetiredIdle
    case breakerOpened
    case breakerHalfOpened
    case breakerClosed
    case breakerRejected
    case breakerState
    case shadowBreakerOpened
    case shadowBreakerRejected
    case shadowBreakerState
    case shadowCxOverflow
    case shadowRqPendingOverflow
    case shadowRqOverflow
    case shadowRqRetryOverflow
    case shadowRqRetry
    case shadowRqRetryRefused
    case shadowRqTimeout
    case shadowRqPerTryTimeout
    case shadowLbSame
    case shadowLbOther
    case circuitBreakersHighRemainingCx
    case circuitBreakersHighRemainingPending
    case circuitBreakersHighRemainingRq
    case circuitBreakersHighRemainingRetries
    case originalDstHostInvalid
    case healthCheckAttempt
    case healthCheckSuccess
    case healthCheckFailure
    case healthCheckPassiveFailure
    case healthCheckNetworkFailure
    case healthCheckVerifyCluster
    case healthCheckHealthy
    case healthCheckDegraded
    case outlierDetectionEjectionsActive
    case outlierDetectionEjectionsEnforcedTotal
    case outlierDetectionEjectionsEnforcedConsecutive5xx
    case outlierDetectionEjectionsOverflow
    case outlierDetectionEjectionsDetectedConsecutive5xx
    case outlierDetectionEjectionsDetectedConsecutiveGatewayFailure
    case outlierDetectionEjectionsDetectedConsecutiveLocalOriginFailure
    case outlierDetectionEjectionsDetectedSuccessRate
    case outlierDetectionEjectionsDetectedLocalOriginSuccessRate
    case outlierDetectionEjectionsDetectedFailurePercentage
    case outlierDetectionEjectionsDetectedLocalOriginFailurePercentage
    case outlierDetectionEjectionsEnforcedConsecutiveGatewayFailure
    case outlierDetectionEjectionsEnforcedConsecutiveLocalOriginFailure
    case outlierDetectionEjectionsEnforcedSuccessRate
    case outlierDetectionEjectionsEnforcedLocalOriginSuccessRate
    case outlierDetectionEjectionsEnforcedFailurePercentage
    case outlierDetectionEjectionsEnforcedLocalOriginFailurePercentage
    case outlierDetectionEjectionsTotal
    case sslHandshake
    case sslSessionReused
    case sslConnectionError
    case sslNoCertificate
    case sslFailVerifyNoCert
    case sslFailVerifyError
    case sslFailVerifySan
    case sslVersionsTLS12
    case sslVersionsTLS13
    case ratelimitOk
    case ratelimitError
    case ratelimitOverLimit
    case ratelimitFailureModeAllowed

    /// Envoy's name, behind that of the scope.
    public var name: StaticString {
        switch self {
        case .upstreamCxTotal: "upstream_cx_total"
        case .upstreamCxHttp1Total: "upstream_cx_http1_total"
        case .upstreamCxHttp2Total: "upstream_cx_http2_total"
        case .upstreamCxActive: "upstream_cx_active"
        case .upstreamCxConnectFail: "upstream_cx_connect_fail"
        case .upstreamCxConnectTimeout: "upstream_cx_connect_timeout"
        case .upstreamCxConnectAttemptsExceeded: "upstream_cx_connect_attempts_exceeded"
        case .upstreamCxOverflow: "upstream_cx_overflow"
        case .upstreamCxPoolOverflow: "upstream_cx_pool_overflow"
        case .upstreamCxIdleTimeout: "upstream_cx_idle_timeout"
        case .upstreamCxMaxRequests: "upstream_cx_max_requests"
        case .upstreamCxMaxDurationReached: "upstream_cx_max_duration_reached"
        case .upstreamCxNoneHealthy: "upstream_cx_none_healthy"
        case .upstreamCxProtocolError: "upstream_cx_protocol_error"
        case .upstreamCxDestroy: "upstream_cx_destroy"
        case .upstreamCxDestroyLocal: "upstream_cx_destroy_local"
        case .upstreamCxDestroyRemote: "upstream_cx_destroy_remote"
        case .upstreamCxDestroyWithActiveRq: "upstream_cx_destroy_with_active_rq"
        case .upstreamCxDestroyLocalWithActiveRq: "upstream_cx_destroy_local_with_active_rq"
        case .upstreamCxDestroyRemoteWithActiveRq: "upstream_cx_destroy_remote_with_active_rq"
        case .upstreamCxCloseNotify: "upstream_cx_close_notify"
        case .upstreamCxRxBytesTotal: "upstream_cx_rx_bytes_total"
        case .upstreamCxRxBytesBuffered: "upstream_cx_rx_bytes_buffered"
        case .upstreamCxTxBytesTotal: "upstream_cx_tx_bytes_total"
        case .upstreamCxTxBytesBuffered: "upstream_cx_tx_bytes_buffered"
        case .upstreamRqTotal: "upstream_rq_total"
        case .upstreamRqActive: "upstream_rq_active"
        case .upstreamRqActiveOverflow: "upstream_rq_active_overflow"
        case .upstreamRqPendingTotal: "upstream_rq_pending_total"
        case .upstreamRqPendingActive: "upstream_rq_pending_active"
        case .upstreamRqPendingOverflow: "upstream_rq_pending_overflow"
        case .upstreamRqPendingFailureEject: "upstream_rq_pending_failure_eject"
        case .upstreamRqMaintenanceMode: "upstream_rq_maintenance_mode"
        case .upstreamRqMaxDurationReached: "upstream_rq_max_duration_reached"
        case .upstreamRqCancelled: "upstream_rq_cancelled"
        case .upstreamRqTimeout: "upstream_rq_timeout"
        case .upstreamRqPerTryTimeout: "upstream_rq_per_try_timeout"
        case .upstreamRqPerTryIdleTimeout: "upstream_rq_per_try_idle_timeout"
        case .upstreamRqRxReset: "upstream_rq_rx_reset"
        case .upstreamRqTxReset: "upstream_rq_tx_reset"
        case .upstreamRqRetry: "upstream_rq_retry"
        case .upstreamRqRetryBackoffExponential: "upstream_rq_retry_backoff_exponential"
        case .upstreamRqRetryBackoffRatelimited: "upstream_rq_retry_backoff_ratelimited"
        case .upstreamRqRetryLimitExceeded: "upstream_rq_retry_limit_exceeded"
        case .upstreamRqRetryOverflow: "upstream_rq_retry_overflow"
        case .upstreamRqRetrySuccess: "upstream_rq_retry_success"
        case .upstreamRqCompleted: "upstream_rq_completed"
        case .upstreamRq1xx: "upstream_rq_1xx"
        case .upstreamRq2xx: "upstream_rq_2xx"
        case .upstreamRq3xx: "upstream_rq_3xx"
        case .upstreamRq4xx: "upstream_rq_4xx"
        case .upstreamRq5xx: "upstream_rq_5xx"
        case .upstreamFlowControlPausedReadingTotal: "upstream_flow_control_paused_reading_total"
        case .upstreamFlowControlResumedReadingTotal: "upstream_flow_control_resumed_reading_total"
        case .upstreamFlowControlBackedUpTotal: "upstream_flow_control_backed_up_total"
        case .upstreamFlowControlDrainedTotal: "upstream_flow_control_drained_total"
        case .retryOrShadowAbandoned: "retry_or_shadow_abandoned"
        case .bindErrors: "bind_errors"
        case .lbHealthyPanic: "lb_healthy_panic"
        case .lbSubsetsSelected: "lb_subsets_selected"
        case .lbSubsetsFallback: "lb_subsets_fallback"
        case .lbSubsetsFallbackPanic: "lb_subsets_fallback_panic"
        case .lbZoneRoutingAllDirectly: "lb_zone_routing_all_directly"
        case .lbZoneRoutingSampled: "lb_zone_routing_sampled"
        case .lbZoneRoutingCrossZone: "lb_zone_routing_cross_zone"
        case .lbZoneNoCapacityLeft: "lb_zone_no_capacity_left"
        case .updateAttempt: "update_attempt"
        case .updateSuccess: "update_success"
        case .updateFailure: "update_failure"
        case .updateEmpty: "update_empty"
        case .updateNoRebuild: "update_no_rebuild"
        case .membershipChange: "membership_change"
        case .membershipHealthy: "membership_healthy"
        case .membershipDegraded: "membership_degraded"
        case .membershipExcluded: "membership_excluded"
        case .membershipTotal: "membership_total"
        case .version: "version"
        case .warmingState: "warming_state"
        case .maxHostWeight: "max_host_weight"
        case .circuitBreakersDefaultCxOpen: "circuit_breakers.default.cx_open"
        case .circuitBreakersDefaultCxPoolOpen: "circuit_breakers.default.cx_pool_open"
        case .circuitBreakersDefaultRqPendingOpen: "circuit_breakers.default.rq_pending_open"
        case .circuitBreakersDefaultRqOpen: "circuit_breakers.default.rq_open"
        case .circuitBreakersDefaultRqRetryOpen: "circuit_breakers.default.rq_retry_open"
        case .circuitBreakersDefaultRemainingCx: "circuit_breakers.default.remaining_cx"
        case .circuitBreakersDefaultRemainingPending: "circuit_breakers.default.remaining_pending"
        case .circuitBreakersDefaultRemainingRq: "circuit_breakers.default.remaining_rq"
        case .circuitBreakersDefaultRemainingRetries: "circuit_breakers.default.remaining_retries"
        case .circuitBreakersHighCxOpen: "circuit_breakers.high.cx_open"
        case .circuitBreakersHighCxPoolOpen: "circuit_breakers.high.cx_pool_open"
        case .circuitBreakersHighRqPendingOpen: "circuit_breakers.high.rq_pending_open"
        case .circuitBreakersHighRqOpen: "circuit_breakers.high.rq_open"
        case .circuitBreakersHighRqRetryOpen: "circuit_breakers.high.rq_retry_open"
        case .retryRefusedMethod: "upstream_rq_retry_refused_method"
        case .retryRefusedBody: "upstream_rq_retry_refused_body"
        case .retryRefusedDeadline: "upstream_rq_retry_refused_deadline"
        case .retryRefusedNearer: "upstream_rq_retry_refused_nearer"
        case .upstreamRqDeadlinePassed: "upstream_rq_deadline_passed"
        case .upstreamCxRetiredIdle: "upstream_cx_retired_idle"
        case .breakerOpened: "circuit_breakers.breaker.opened"
        case .breakerHalfOpened: "circuit_breakers.breaker.half_opened"
        case .breakerClosed: "circuit_breakers.breaker.closed"
        case .breakerRejected: "circuit_breakers.breaker.rq_rejected"
        case .breakerState: "circuit_breakers.breaker.state"
        case .shadowBreakerOpened: "circuit_breakers.shadow_breaker.opened"
        case .shadowBreakerRejected: "circuit_breakers.shadow_breaker.rq_rejected"
        case .shadowBreakerState: "circuit_breakers.shadow_breaker.state"
        case .shadowCxOverflow: "shadow.upstream_cx_overflow"
        case .shadowRqPendingOverflow: "shadow.upstream_rq_pending_overflow"
        case .shadowRqOverflow: "shadow.upstream_rq_overflow"
        case .shadowRqRetryOverflow: "shadow.upstream_rq_retry_overflow"
        case .shadowRqRetry: "shadow.upstream_rq_retry"
        case .shadowRqRetryRefused: "shadow.upstream_rq_retry_refused"
        case .shadowRqTimeout: "shadow.upstream_rq_timeout"
        case .shadowRqPerTryTimeout: "shadow.upstream_rq_per_try_timeout"
        case .shadowLbSame: "shadow.lb_same_host"
        case .shadowLbOther: "shadow.lb_other_host"
        case .circuitBreakersHighRemainingCx: "circuit_breakers.high.remaining_cx"
        case .circuitBreakersHighRemainingPending: "circuit_breakers.high.remaining_pending"
        case .circuitBreakersHighRemainingRq: "circuit_breakers.high.remaining_rq"
        case .circuitBreakersHighRemainingRetries: "circuit_breakers.high.remaining_retries"
        case .originalDstHostInvalid: "original_dst_host_invalid"
        case .healthCheckAttempt: "health_check.attempt"
        case .healthCheckSuccess: "health_check.success"
        case .healthCheckFailure: "health_check.failure"
        case .healthCheckPassiveFailure: "health_check.passive_failure"
        case .healthCheckNetworkFailure: "health_check.network_failure"
        case .healthCheckVerifyCluster: "health_check.verify_cluster"
        case .healthCheckHealthy: "health_check.healthy"
        case .healthCheckDegraded: "health_check.degraded"
        case .outlierDetectionEjectionsActive: "outlier_detection.ejections_active"
        case .outlierDetectionEjectionsEnforcedTotal: "outlier_detection.ejections_enforced_total"
        case .outlierDetectionEjectionsEnforcedConsecutive5xx:
            "outlier_detection.ejections_enforced_consecutive_5xx"
        case .outlierDetectionEjectionsOverflow: "outlier_detection.ejections_overflow"
        case .outlierDetectionEjectionsDetectedConsecutive5xx:
            "outlier_detection.ejections_detected_consecutive_5xx"
        case .outlierDetectionEjectionsDetectedConsecutiveGatewayFailure:
            "outlier_detection.ejections_detected_consecutive_gateway_failure"
        case .outlierDetectionEjectionsDetectedConsecutiveLocalOriginFailure:
            "outlier_detection.ejections_detected_consecutive_local_origin_failure"
        case .outlierDetectionEjectionsDetectedSuccessRate:
            "outlier_detection.ejections_detected_success_rate"
        case .outlierDetectionEjectionsDetectedLocalOriginSuccessRate:
            "outlier_detection.ejections_detected_local_origin_success_rate"
        case .outlierDetectionEjectionsDetectedFailurePercentage:
            "outlier_detection.ejections_detected_failure_percentage"
        case .outlierDetectionEjectionsDetectedLocalOriginFailurePercentage:
            "outlier_detection.ejections_detected_local_origin_failure_percentage"
        case .outlierDetectionEjectionsEnforcedConsecutiveGatewayFailure:
            "outlier_detection.ejections_enforced_consecutive_gateway_failure"
        case .outlierDetectionEjectionsEnforcedConsecutiveLocalOriginFailure:
            "outlier_detection.ejections_enforced_consecutive_local_origin_failure"
        case .outlierDetectionEjectionsEnforcedSuccessRate:
            "outlier_detection.ejections_enforced_success_rate"
        case .outlierDetectionEjectionsEnforcedLocalOriginSuccessRate:
            "outlier_detection.ejections_enforced_local_origin_success_rate"
        case .outlierDetectionEjectionsEnforcedFailurePercentage:
            "outlier_detection.ejections_enforced_failure_percentage"
        case .outlierDetectionEjectionsEnforcedLocalOriginFailurePercentage:
            "outlier_detection.ejections_enforced_local_origin_failure_percentage"
        case .outlierDetectionEjectionsTotal: "outlier_detection.ejections_total"
        case .sslHandshake: "ssl.handshake"
        case .sslSessionReused: "ssl.session_reused"
        case .sslConnectionError: "ssl.connection_error"
        case .sslNoCertificate: "ssl.no_certificate"
        case .sslFailVerifyNoCert: "ssl.fail_verify_no_cert"
        case .sslFailVerifyError: "ssl.fail_verify_error"
        case .sslFailVerifySan: "ssl.fail_verify_san"
        case .sslVersionsTLS12: "ssl.versions.TLSv1.2"
        case .sslVersionsTLS13: "ssl.versions.TLSv1.3"
        case .ratelimitOk: "ratelimit.ok"
        case .ratelimitError: "ratelimit.error"
        case .ratelimitOverLimit: "ratelimit.over_limit"
        case .ratelimitFailureModeAllowed: "ratelimit.failure_mode_allowed"
        }
    }

    /// Goes up and down; the others only grow.
    public var isGauge: Bool {
        switch self {
        case .upstreamCxActive, .upstreamCxRxBytesBuffered, .upstreamCxTxBytesBuffered, .upstreamRqActive,
            .upstreamRqPendingActive, .membershipHealthy, .membershipDegraded, .membershipExcluded,
            .membershipTotal, .version, .warmingState, .maxHostWeight, .circuitBreakersDefaultCxOpen,
            .circuitBreakersDefaultCxPoolOpen, .circuitBreakersDefaultRqPendingOpen,
            .circuitBreakersDefaultRqOpen, .circuitBreakersDefaultRqRetryOpen,
            .circuitBreakersDefaultRemainingCx, .circuitBreakersDefaultRemainingPending,
            .circuitBreakersDefaultRemainingRq, .circuitBreakersDefaultRemainingRetries,
            .circuitBreakersHighCxOpen, .circuitBreakersHighCxPoolOpen, .circuitBreakersHighRqPendingOpen,
            .circuitBreakersHighRqOpen, .circuitBreakersHighRqRetryOpen, .healthCheckHealthy,
            .healthCheckDegraded,
            .outlierDetectionEjectionsActive, .breakerState, .shadowBreakerState,
            .circuitBreakersHighRemainingCx, .circuitBreakersHighRemainingPending,
            .circuitBreakersHighRemainingRq, .circuitBreakersHighRemainingRetries:
            true
        default: false
        }
    }
}
