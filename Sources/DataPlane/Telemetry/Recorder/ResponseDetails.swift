/// Why an answer is what it is: `%RESPONSE_CODE_DETAILS%`, in Envoy's words.
public enum ResponseDetails: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// Nothing is known yet: `-`.
    case none
    case viaUpstream
    case directResponse
    case routeNotFound
    case clusterNotFound
    case noHealthyUpstream
    case missingHostHeader
    case lowVersion
    case pathNormalizationFailed
    case upgradeFailed
    case requestHeadersTooLarge
    case requestPayloadTooLarge
    case responsePayloadTooLarge
    case downstreamCodecError
    case downstreamRemoteDisconnect
    case downstreamLocalDisconnect
    case upstreamResetBeforeResponseStarted
    case upstreamResetAfterResponseStarted
    /// The route's timeout.
    case responseTimeout
    case upstreamPerTryTimeout
    case upstreamPerTryIdleTimeout
    case upstreamMaxStreamDurationReached
    case streamIdleTimeout
    case requestHeaderTimeout
    case requestOverallTimeout
    case maxDurationTimeout
    /// The deadline that came with the request had passed before it was sent on.
    case deadlinePassed
    case localRateLimited
    case requestRateLimited
    case overload
    case rbacAccessDenied
    case faultFilterAbort
    case maintenanceMode
    case healthCheckFailed
    case healthCheckOK
    case internalError
    case corsResponse
    case circuitBreakerOpen
    case reachedConcurrencyLimit
    case deniedByAdmissionControl
    case unexpectedUnderscore
    case dropOverload
    case unconditionalDropOverload
    case healthCheckCached
    case rateLimiterError

    public var text: StaticString {
        switch self {
        case .none: "-"
        case .viaUpstream: "via_upstream"
        case .directResponse: "direct_response"
        case .routeNotFound: "route_not_found"
        case .clusterNotFound: "cluster_not_found"
        case .noHealthyUpstream: "no_healthy_upstream"
        case .missingHostHeader: "missing_host_header"
        case .lowVersion: "low_version"
        case .pathNormalizationFailed: "path_normalization_failed"
        case .upgradeFailed: "upgrade_failed"
        case .requestHeadersTooLarge: "request_headers_too_large"
        case .requestPayloadTooLarge: "request_payload_too_large"
        case .responsePayloadTooLarge: "response_payload_too_large"
        case .downstreamCodecError: "http1.codec_error"
        case .downstreamRemoteDisconnect: "downstream_remote_disconnect"
        case .downstreamLocalDisconnect: "downstream_local_disconnect"
        case .upstreamResetBeforeResponseStarted: "upstream_reset_before_response_started"
        case .upstreamResetAfterResponseStarted: "upstream_reset_after_response_started"
        case .responseTimeout: "response_timeout"
        case .upstreamPerTryTimeout: "upstream_per_try_timeout"
        case .upstreamPerTryIdleTimeout: "upstream_per_try_idle_timeout"
        case .upstreamMaxStreamDurationReached: "upstream_max_stream_duration_reached"
        case .streamIdleTimeout: "stream_idle_timeout"
        case .requestHeaderTimeout: "request_header_timeout"
        case .requestOverallTimeout: "request_overall_timeout"
        case .maxDurationTimeout: "max_duration_timeout"
        case .deadlinePassed: "deadline_passed"
        case .localRateLimited: "local_rate_limited"
        case .requestRateLimited: "request_rate_limited"
        case .overload: "overload"
        case .rbacAccessDenied: "rbac_access_denied"
        case .faultFilterAbort: "fault_filter_abort"
        case .maintenanceMode: "maintenance_mode"
        case .healthCheckFailed: "health_check_failed"
        case .healthCheckOK: "health_check_ok"
        case .internalError: "internal_error"
        case .corsResponse: "cors_response"
        case .circuitBreakerOpen: "circuit_breaker_open"
        case .reachedConcurrencyLimit: "reached_concurrency_limit"
        case .unexpectedUnderscore: "http1.unexpected_underscore"
        case .dropOverload: "drop_overload"
        case .unconditionalDropOverload: "unconditional_drop_overload"
        case .healthCheckCached: "health_check_cached"
        case .deniedByAdmissionControl: "denied_by_admission_control"
        case .rateLimiterError: "rate_limiter_error"
        }
    }
}

/// Why an upstream connection or stream ended: the part in braces of `%RESPONSE_CODE_DETAILS%`, and of the body of the
/// answer that is made for it.
public enum UpstreamReset: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case none
    case remoteConnectionFailure
    case localConnectionFailure
    case connectionTimeout
    case connectionTermination
    case remoteReset
    case remoteRefusedStreamReset
    case localReset
    case overflow
    case protocolError

    /// In details and `Proxy-Status`.
    public var text: StaticString {
        switch self {
        case .none: ""
        case .remoteConnectionFailure: "remote_connection_failure"
        case .localConnectionFailure: "local_connection_failure"
        case .connectionTimeout: "connection_timeout"
        case .connectionTermination: "connection_termination"
        case .remoteReset: "remote_reset"
        case .remoteRefusedStreamReset: "remote_refused_stream_reset"
        case .localReset: "local_reset"
        case .overflow: "overflow"
        case .protocolError: "protocol_error"
        }
    }

    /// In the body of the answer: "upstream connect error or disconnect/reset before headers. reset reason: …".
    public var words: StaticString {
        switch self {
        case .none: ""
        case .remoteConnectionFailure: "remote connection failure"
        case .localConnectionFailure: "local connection failure"
        case .connectionTimeout: "connection timeout"
        case .connectionTermination: "connection termination"
        case .remoteReset: "remote reset"
        case .remoteRefusedStreamReset: "remote refused stream reset"
        case .localReset: "local reset"
        case .overflow: "overflow"
        case .protocolError: "protocol error"
        }
    }
}
