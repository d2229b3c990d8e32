import MeshPrimitives
import Telemetry
import TrafficPolicy

/// An answer that the proxy makes itself: status, body, response flag and details as Envoy words them.
struct LocalAnswer: Equatable, BitwiseCopyable {
    var status: UInt16
    var body: StaticText
    var flag: ResponseFlags
    var details: ResponseDetails
    /// Set where the body is "upstream connect error …" with this reason.
    var reset = UpstreamReset.none
    var isRetried = false
    /// What the route says of answers does not concern it.
    var skipsRouteEdits = false
    /// The gRPC status for callers that speak it; -1 for the one that the status stands for.
    var grpcStatus: Int16 = -1
    /// The error type of `Proxy-Status` (RFC 9209 section 2.3); empty for none.
    var proxyStatus: StaticText

    init(
        _ status: UInt16, _ body: StaticString = "", flag: ResponseFlags = [], details: ResponseDetails,
        proxyStatus: StaticString = ""
    ) {
        self.status = status
        self.body = StaticText(body)
        self.flag = flag
        self.details = details
        self.proxyStatus = StaticText(proxyStatus)
    }

    /// An upstream failed before the head of an answer.
    init(
        _ status: UInt16, reset: UpstreamReset, flag: ResponseFlags, isRetried: Bool,
        proxyStatus: StaticString
    ) {
        self.init(
            status, flag: flag, details: .upstreamResetBeforeResponseStarted, proxyStatus: proxyStatus)
        self.reset = reset
        self.isRetried = isRetried
    }

    /// `x-envoy-overloaded: true`
    var isOverload: Bool { reset == .overflow }

    static let noRoute = LocalAnswer(
        404, flag: .noRouteFound, details: .routeNotFound, proxyStatus: "destination_not_found")
    static let noHealthyUpstream = LocalAnswer(
        503, "no healthy upstream", flag: .noHealthyUpstream, details: .noHealthyUpstream,
        proxyStatus: "destination_unavailable")
    static let overflow = LocalAnswer(
        503, reset: .overflow, flag: .upstreamOverflow, isRetried: false,
        proxyStatus: "connection_limit_reached")
    static let rateLimited = LocalAnswer(
        429, "local_rate_limited", flag: .rateLimited, details: .localRateLimited,
        proxyStatus: "http_request_denied")
    static let upgradeFailed = LocalAnswer(403, details: .upgradeFailed, proxyStatus: "http_upgrade_failed")
    static let requestTimeout = LocalAnswer(
        504, "upstream request timeout", flag: .upstreamRequestTimeout, details: .responseTimeout,
        proxyStatus: "http_response_timeout")
    static let deadlinePassed: LocalAnswer = {
        var answer = LocalAnswer(
            504, "upstream request timeout", flag: .upstreamRequestTimeout, details: .deadlinePassed,
            proxyStatus: "http_response_timeout")
        answer.grpcStatus = 4
        return answer
    }()
    static let dropOverload = LocalAnswer(
        503, "drop overload", flag: .dropOverload, details: .dropOverload,
        proxyStatus: "destination_unavailable")
    static let unconditionalDropOverload = LocalAnswer(
        503, "unconditional drop overload", flag: .unconditionalDropOverload,
        details: .unconditionalDropOverload, proxyStatus: "destination_unavailable")
    static let breakerOpen: LocalAnswer = {
        var answer = overflow
        answer.details = .circuitBreakerOpen
        return answer
    }()
    static let deniedByAdmissionControl = LocalAnswer(
        503, details: .deniedByAdmissionControl, proxyStatus: "destination_unavailable")
    static let streamIdle = LocalAnswer(
        504, "stream timeout", flag: .streamIdleTimeout, details: .streamIdleTimeout,
        proxyStatus: "http_response_timeout")
    static let requestIdle = LocalAnswer(
        408, "stream timeout", flag: .streamIdleTimeout, details: .streamIdleTimeout,
        proxyStatus: "http_request_error")
    static let streamDuration: LocalAnswer = {
        var answer = LocalAnswer(
            504, "downstream duration timeout", flag: .durationTimeout, details: .maxDurationTimeout,
            proxyStatus: "http_response_timeout")
        answer.grpcStatus = 4
        return answer
    }()
    /// The same while the request is still coming.
    static let requestDuration: LocalAnswer = {
        var answer = streamDuration
        answer.status = 408
        return answer
    }()
    static let requestNotInTime = LocalAnswer(
        408, "request timeout", details: .requestOverallTimeout, proxyStatus: "http_request_error")
    static let headNotInTime = LocalAnswer(
        408, "request header timeout", details: .requestHeaderTimeout, proxyStatus: "http_request_error")

    static func reachedConcurrencyLimit(status: UInt16) -> LocalAnswer {
        LocalAnswer(
            status, "reached concurrency limit", details: .reachedConcurrencyLimit,
            proxyStatus: "connection_limit_reached")
    }

    static func noCluster(status: UInt16) -> LocalAnswer {
        LocalAnswer(
            status, flag: .noClusterFound, details: .clusterNotFound, proxyStatus: "proxy_configuration_error"
        )
    }

    /// What an attempt that cannot be repeated leaves the caller with.
    init(_ outcome: AttemptOutcome, isRetried: Bool) {
        switch outcome {
        case .connectFailed:
            self.init(
                503, reset: .remoteConnectionFailure, flag: .upstreamConnectionFailure, isRetried: isRetried,
                proxyStatus: "connection_refused")
        case .connectTimedOut:
            self.init(
                503, reset: .connectionTimeout, flag: .upstreamConnectionFailure, isRetried: isRetried,
                proxyStatus: "connection_timeout")
        case .overflowed: self = .overflow
        case .refusedStream, .goAwayBelow:
            self.init(
                503, reset: .remoteRefusedStreamReset, flag: .upstreamRemoteReset, isRetried: isRetried,
                proxyStatus: "http_request_error")
        case .resetBeforeAnswer, .resetMidAnswer:
            self.init(
                503, reset: .connectionTermination, flag: .upstreamConnectionTermination,
                isRetried: isRetried,
                proxyStatus: "connection_terminated")
        case .protocolError:
            self.init(
                502, reset: .protocolError, flag: .upstreamProtocolError, isRetried: isRetried,
                proxyStatus: "http_protocol_error")
        case .perTryTimedOut:
            self.init(
                504, "upstream request timeout", flag: .upstreamRequestTimeout,
                details: .upstreamPerTryTimeout,
                proxyStatus: "http_response_timeout")
        case .perTryIdledOut:
            self.init(
                504, "upstream request timeout", flag: .upstreamRequestTimeout,
                details: .upstreamPerTryIdleTimeout,
                proxyStatus: "http_response_timeout")
        case .requestTimedOut, .answered: self = .requestTimeout
        }
    }
}

/// A literal that can be compared and lives in plain data.
struct StaticText: Equatable, BitwiseCopyable {
    let view: ByteView

    init(_ literal: StaticString) { view = ByteView(literal) }
    /// Text of a configuration, which its exchanges keep alive.
    init(_ view: ByteView) { self.view = view }

    static func == (left: Self, right: Self) -> Bool { left.view.equals(right.view) }
}
