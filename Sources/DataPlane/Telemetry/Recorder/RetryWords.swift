import TrafficPolicy

extension RetryReason {
    /// In access logs and the flight recorder.
    public var text: StaticString {
        switch self {
        case .staleConnection: "stale_connection"
        case .reusedConnectionClosed: "reused_connection_closed"
        case .connectFailure: "connect_failure"
        case .refusedStream: "refused_stream"
        case .nothingSent: "nothing_sent"
        case .reset: "reset"
        case .protocolError: "protocol_error"
        case .perTryTimeout: "per_try_timeout"
        case .status5xx: "5xx"
        case .gatewayError: "gateway_error"
        case .retriable4xx: "retriable_4xx"
        case .retriableStatus: "retriable_status"
        case .retriableHeader: "retriable_header"
        case .rateLimited: "rate_limited"
        case .grpcStatus: "grpc_status"
        case .hedged: "hedged"
        }
    }
}

extension RetryRefusal {
    public var text: StaticString {
        switch self {
        case .final: "final"
        case .notConfigured: "not_configured"
        case .noCondition: "no_condition"
        case .methodNotRepeatable: "method_not_repeatable"
        case .bodyNotReplayable: "body_not_replayable"
        case .limitExceeded: "limit_exceeded"
        case .deadline: "deadline"
        case .exhaustedNearer: "exhausted_nearer"
        case .budget: "budget"
        }
    }
}
