/// Statistics of a connection manager, `http.PREFIX.`.
public enum HTTPCounter: UInt16, Sendable, BitwiseCopyable, CaseIterable {
    case downstreamCxTotal
    case downstreamCxHttp1Total
    case downstreamCxHttp2Total
    case downstreamCxSslTotal
    case downstreamCxActive
    case downstreamCxHttp1Active
    case downstreamCxHttp2Active
    case downstreamCxSslActive
    case downstreamCxUpgradesTotal
    case downstreamCxUpgradesActive
    case downstreamCxDestroy
    case downstreamCxDestroyLocal
    case downstreamCxDestroyRemote
    case downstreamCxDestroyActiveRq
    case downstreamCxDestroyLocalActiveRq
    case downstreamCxDestroyRemoteActiveRq
    case downstreamCxProtocolError
    case downstreamCxIdleTimeout
    case downstreamCxMaxDurationReached
    case downstreamCxMaxRequestsReached
    case downstreamCxDrainClose
    case downstreamCxDelayedCloseTimeout
    case downstreamCxOverloadDisableKeepalive
    case downstreamCxRxBytesTotal
    case downstreamCxRxBytesBuffered
    case downstreamCxTxBytesTotal
    case downstreamCxTxBytesBuffered
    case downstreamFlowControlPausedReadingTotal
    case downstreamFlowControlResumedReadingTotal
    case downstreamRqTotal
    case downstreamRqHttp1Total
    case downstreamRqHttp2Total
    case downstreamRqActive
    case downstreamRqCompleted
    case downstreamRq1xx
    case downstreamRq2xx
    case downstreamRq3xx
    case downstreamRq4xx
    case downstreamRq5xx
    case downstreamRqRxReset
    case downstreamRqTxReset
    case downstreamRqTooLarge
    case downstreamRqTimeout
    case downstreamRqHeaderTimeout
    case downstreamRqIdleTimeout
    case downstreamRqMaxDurationReached
    case downstreamRqResponseBeforeRqComplete
    case downstreamRqNonRelativePath
    case downstreamRqOverloadClose
    case downstreamRqWsOnNonWsRoute
    case downstreamRqFailedPathNormalization
    case downstreamRqRedirectedWithNormalizedPath
    case adaptiveConcurrencyRqBlocked
    case adaptiveConcurrencyShadowRqBlocked
    case admissionControlRqRejected
    case admissionControlRqSuccess
    case admissionControlRqFailure
    case admissionControlShadowRqRejected
    case noRoute
    case noCluster
    case rqDirectResponse
    case rqRedirect
    case rqTotal
    case rqResetAfterDownstreamResponseStarted
    case rqRetrySkippedRequestNotComplete
    case tracingRandomSampling
    case tracingServiceForced
    case tracingClientEnabled
    case tracingNotTraceable
    case tracingHealthCheck
    case healthCheckRequestTotal
    case healthCheckOK
    case healthCheckFailed
    case healthCheckCachedResponse
    case healthCheckFailedClusterNotFound
    case healthCheckFailedClusterEmpty
    case healthCheckFailedClusterUnhealthy
    case corsOriginValid
    case corsOriginInvalid
    case faultAbortsInjected
    case faultDelaysInjected
    case faultResponseRlInjected
    case faultActiveFaults
    case faultOverflow
    case shadowFaultDelays
    case shadowFaultAborts
    /// Traces that began here and would have the sampled flag, and lines that an access log would have.
    case shadowTracesSampled
    case shadowAccessLogLines

    /// Envoy's name, behind that of the scope.
    public var name: StaticString {
        switch self {
        case .downstreamCxTotal: "downstream_cx_total"
        case .downstreamCxHttp1Total: "downstream_cx_http1_total"
        case .downstreamCxHttp2Total: "downstream_cx_http2_total"
        case .downstreamCxSslTotal: "downstream_cx_ssl_total"
        case .downstreamCxActive: "downstream_cx_active"
        case .downstreamCxHttp1Active: "downstream_cx_http1_active"
        case .downstreamCxHttp2Active: "downstream_cx_http2_active"
        case .downstreamCxSslActive: "downstream_cx_ssl_active"
        case .downstreamCxUpgradesTotal: "downstream_cx_upgrades_total"
        case .downstreamCxUpgradesActive: "downstream_cx_upgrades_active"
        case .downstreamCxDestroy: "downstream_cx_destroy"
        case .downstreamCxDestroyLocal: "downstream_cx_destroy_local"
        case .downstreamCxDestroyRemote: "downstream_cx_destroy_remote"
        case .downstreamCxDestroyActiveRq: "downstream_cx_destroy_active_rq"
        case .downstreamCxDestroyLocalActiveRq: "downstream_cx_destroy_local_active_rq"
        case .downstreamCxDestroyRemoteActiveRq: "downstream_cx_destroy_remote_active_rq"
        case .downstreamCxProtocolError: "downstream_cx_protocol_error"
        case .downstreamCxIdleTimeout: "downstream_cx_idle_timeout"
        case .downstreamCxMaxDurationReached: "downstream_cx_max_duration_reached"
        case .downstreamCxMaxRequestsReached: "downstream_cx_max_requests_reached"
        case .downstreamCxDrainClose: "downstream_cx_drain_close"
        case .downstreamCxDelayedCloseTimeout: "downstream_cx_delayed_close_timeout"
        case .downstreamCxOverloadDisableKeepalive: "downstream_cx_overload_disable_keepalive"
        case .downstreamCxRxBytesTotal: "downstream_cx_rx_bytes_total"
        case .downstreamCxRxBytesBuffered: "downstream_cx_rx_bytes_buffered"
        case .downstreamCxTxBytesTotal: "downstream_cx_tx_bytes_total"
        case .downstreamCxTxBytesBuffered: "downstream_cx_tx_bytes_buffered"
        case .downstreamFlowControlPausedReadingTotal: "downstream_flow_control_paused_reading_total"
        case .downstreamFlowControlResumedReadingTotal: "downstream_flow_control_resumed_reading_total"
        case .downstreamRqTotal: "downstream_rq_total"
        case .downstreamRqHttp1Total: "downstream_rq_http1_total"
        case .downstreamRqHttp2Total: "downstream_rq_http2_total"
        case .downstreamRqActive: "downstream_rq_active"
        case .downstreamRqCompleted: "downstream_rq_completed"
        case .downstreamRq1xx: "downstream_rq_1xx"
        case .downstreamRq2xx: "downstream_rq_2xx"
        case .downstreamRq3xx: "downstream_rq_3xx"
        case .downstreamRq4xx: "downstream_rq_4xx"
        case .downstreamRq5xx: "downstream_rq_5xx"
        case .downstreamRqRxReset: "downstream_rq_rx_reset"
        case .downstreamRqTxReset: "downstream_rq_tx_reset"
        case .downstreamRqTooLarge: "downstream_rq_too_large"
        case .downstreamRqTimeout: "downstream_rq_timeout"
        case .downstreamRqHeaderTimeout: "downstream_rq_header_timeout"
        case .downstreamRqIdleTimeout: "downstream_rq_idle_timeout"
        case .downstreamRqMaxDurationReached: "downstream_rq_max_duration_reached"
        case .downstreamRqResponseBeforeRqComplete: "downstream_rq_response_before_rq_complete"
        case .downstreamRqNonRelativePath: "downstream_rq_non_relative_path"
        case .downstreamRqOverloadClose: "downstream_rq_overload_close"
        case .downstreamRqWsOnNonWsRoute: "downstream_rq_ws_on_non_ws_route"
        case .downstreamRqFailedPathNormalization: "downstream_rq_failed_path_normalization"
        case .downstreamRqRedirectedWithNormalizedPath: "downstream_rq_redirected_with_normalized_path"
        case .adaptiveConcurrencyRqBlocked: "adaptive_concurrency.gradient_controller.rq_blocked"
        case .adaptiveConcurrencyShadowRqBlocked: "adaptive_concurrency.shadow.rq_blocked"
        case .admissionControlRqRejected: "admission_control.rq_rejected"
        case .admissionControlRqSuccess: "admission_control.rq_success"
        case .admissionControlRqFailure: "admission_control.rq_failure"
        case .admissionControlShadowRqRejected: "admission_control.shadow.rq_rejected"
        case .noRoute: "no_route"
        case .noCluster: "no_cluster"
        case .rqDirectResponse: "rq_direct_response"
        case .rqRedirect: "rq_redirect"
        case .rqTotal: "rq_total"
        case .rqResetAfterDownstreamResponseStarted: "rq_reset_after_downstream_response_started"
        case .rqRetrySkippedRequestNotComplete: "rq_retry_skipped_request_not_complete"
        case .tracingRandomSampling: "tracing.random_sampling"
        case .tracingServiceForced: "tracing.service_forced"
        case .tracingClientEnabled: "tracing.client_enabled"
        case .tracingNotTraceable: "tracing.not_traceable"
        case .tracingHealthCheck: "tracing.health_check"
        case .healthCheckRequestTotal: "health_check.request_total"
        case .healthCheckOK: "health_check.ok"
        case .healthCheckFailed: "health_check.failed"
        case .healthCheckCachedResponse: "health_check.cached_response"
        case .healthCheckFailedClusterNotFound: "health_check.failed_cluster_not_found"
        case .healthCheckFailedClusterEmpty: "health_check.failed_cluster_empty"
        case .healthCheckFailedClusterUnhealthy: "health_check.failed_cluster_unhealthy"
        case .corsOriginValid: "cors.origin_valid"
        case .corsOriginInvalid: "cors.origin_invalid"
        case .faultAbortsInjected: "fault.aborts_injected"
        case .faultDelaysInjected: "fault.delays_injected"
        case .faultResponseRlInjected: "fault.response_rl_injected"
        case .faultActiveFaults: "fault.active_faults"
        case .faultOverflow: "fault.faults_overflow"
        case .shadowFaultDelays: "shadow.fault_delays"
        case .shadowFaultAborts: "shadow.fault_aborts"
        case .shadowTracesSampled: "shadow.traces_sampled"
        case .shadowAccessLogLines: "shadow.access_log_lines"
        }
    }

    /// Goes up and down; the others only grow.
    public var isGauge: Bool {
        switch self {
        case .downstreamCxActive, .downstreamCxHttp1Active, .downstreamCxHttp2Active, .downstreamCxSslActive,
            .downstreamCxUpgradesActive, .downstreamCxRxBytesBuffered, .downstreamCxTxBytesBuffered,
            .downstreamRqActive, .faultActiveFaults:
            true
        default: false
        }
    }
}
