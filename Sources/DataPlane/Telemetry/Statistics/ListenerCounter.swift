/// Statistics of one listener, `listener.ADDRESS.`.
public enum ListenerCounter: UInt16, Sendable, BitwiseCopyable, CaseIterable {
    case downstreamCxTotal
    case downstreamCxActive
    case downstreamCxDestroy
    case downstreamCxOverflow
    case downstreamCxOverloadReject
    case downstreamGlobalCxOverflow
    case downstreamPreCxTimeout
    case downstreamPreCxActive
    case noFilterChainMatch
    case sslHandshake
    case sslSessionReused
    case sslConnectionError
    case sslNoCertificate
    case sslFailVerifyNoCert
    case sslFailVerifyError
    case sslFailVerifySan
    case sslVersionsTLS12
    case sslVersionsTLS13
    /// Connections in the clear that a policy in shadow mode would refuse.
    case shadowPlainTextRefused

    /// Envoy's name, behind that of the scope.
    public var name: StaticString {
        switch self {
        case .downstreamCxTotal: "downstream_cx_total"
        case .downstreamCxActive: "downstream_cx_active"
        case .downstreamCxDestroy: "downstream_cx_destroy"
        case .downstreamCxOverflow: "downstream_cx_overflow"
        case .downstreamCxOverloadReject: "downstream_cx_overload_reject"
        case .downstreamGlobalCxOverflow: "downstream_global_cx_overflow"
        case .downstreamPreCxTimeout: "downstream_pre_cx_timeout"
        case .downstreamPreCxActive: "downstream_pre_cx_active"
        case .noFilterChainMatch: "no_filter_chain_match"
        case .sslHandshake: "ssl.handshake"
        case .sslSessionReused: "ssl.session_reused"
        case .sslConnectionError: "ssl.connection_error"
        case .sslNoCertificate: "ssl.no_certificate"
        case .sslFailVerifyNoCert: "ssl.fail_verify_no_cert"
        case .sslFailVerifyError: "ssl.fail_verify_error"
        case .sslFailVerifySan: "ssl.fail_verify_san"
        case .sslVersionsTLS12: "ssl.versions.TLSv1.2"
        case .sslVersionsTLS13: "ssl.versions.TLSv1.3"
        case .shadowPlainTextRefused: "shadow.plain_text_refused"
        }
    }

    /// Goes up and down; the others only grow.
    public var isGauge: Bool {
        switch self {
        case .downstreamCxActive, .downstreamPreCxActive:
            true
        default: false
        }
    }
}
