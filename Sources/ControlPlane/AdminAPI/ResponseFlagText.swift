/// What a response flag of an access log means, for people: `martlet explain UF`.
public struct ResponseFlagText: Sendable, Codable, Equatable {
    /// As logs have it.
    public var flag: String
    public var name: String
    public var meaning: String
    /// What to look at next.
    public var advice: String

    /// nil: there is no such flag. Letters may have either case.
    public init?(_ flag: String) {
        guard let known = Self.all.first(where: { $0.flag == flag.uppercased() }) else { return nil }
        self = known
    }

    private init(_ flag: String, _ name: String, _ meaning: String, _ advice: String) {
        (self.flag, self.name, self.meaning, self.advice) = (flag, name, meaning, advice)
    }

    public static let all: [ResponseFlagText] = upstream + downstream + policies

    private static let upstream: [ResponseFlagText] = [
        .init(
            "UF", "UpstreamConnectionFailure",
            "No connection to an endpoint could be made, or TLS with it failed.",
            "See whether the endpoint listens, whether its certificate fits, and /clusters of the proxy."),
        .init(
            "UH", "NoHealthyUpstream",
            "No endpoint of the service may be used: there is none, or all are unhealthy.",
            "See /clusters of the proxy for health checks and outlier detection."),
        .init(
            "UO", "UpstreamOverflow",
            "A limit of the service was reached (connections, waiting requests or requests), or its circuit breaker is open.",
            "See the circuit_breakers statistics of the cluster; raise the limit or find what is slow behind it."
        ),
        .init(
            "UT", "UpstreamRequestTimeout", "The route's time for the whole request was over.",
            "Compare the time-out with the service's latency; a retry that begins late has little time left."),
        .init(
            "UC", "UpstreamConnectionTermination",
            "The endpoint closed the connection after the request was sent and before the answer was complete.",
            "See whether the service crashed, or closes idle connections sooner than the proxy expects."),
        .init(
            "UR", "UpstreamRemoteReset", "The endpoint reset the stream.",
            "See the service's log at that time; over HTTP/2 the reason may be in the response details."),
        .init(
            "LR", "LocalReset", "The proxy itself reset the stream towards the endpoint.",
            "Often follows another flag or a caller that went away."),
        .init(
            "UPE", "UpstreamProtocolError", "The endpoint's answer broke the rules of HTTP.",
            "See whether the port speaks the protocol that the service says it does."),
        .init(
            "URX", "UpstreamRetryLimitExceeded",
            "Another attempt was wanted, and refused: the number of retries or connection attempts was used up.",
            "The flag beside it says what the last attempt failed of; 'martlet explain REQUEST-ID' lists all of them."
        ),
        .init(
            "NC", "NoClusterFound", "The route names a cluster that the proxy does not have.",
            "See whether the service exists and whether the proxy has taken up the newest revision (martlet status)."
        ),
        .init(
            "DF", "DnsResolutionFailed", "The endpoint's name could not be resolved.",
            "Ask the same DNS server for the name; see the cluster's update_failure statistics."),
        .init(
            "LH", "FailedLocalHealthCheck", "A health check of this proxy was answered with a failure.",
            "Was it asked for (/healthcheck/fail), or are too few endpoints healthy?"),
        .init(
            "DO", "DropOverload", "The control plane asked that a share of the requests be dropped.",
            "See drop_overloads of the service's endpoints."),
        .init(
            "UDO", "UnconditionalDropOverload", "The control plane asked that all requests be dropped.",
            "See drop_overloads of the service's endpoints."),
    ]

    private static let downstream: [ResponseFlagText] = [
        .init(
            "DC", "DownstreamConnectionTermination",
            "The caller closed its connection before it had the whole answer.",
            "Often the caller's own time-out; compare the duration with it."),
        .init(
            "DR", "DownstreamRemoteReset", "The caller reset the stream before it had the whole answer.",
            "Often a call that was cancelled, or the caller's deadline."),
        .init(
            "DPE", "DownstreamProtocolError", "The caller's request broke the rules of HTTP.",
            "The response details name the rule; see what sent the request."),
        .init(
            "SI", "StreamIdleTimeout", "Nothing moved on the request for the idle time-out.",
            "A caller or endpoint hangs, or the time-out is short for a stream that rests."),
        .init(
            "DT", "DurationTimeout", "The longest time that a connection or stream may last was over.",
            "See max_stream_duration and max_connection_duration."),
        .init(
            "UMSDR", "UpstreamMaxStreamDurationReached",
            "The longest time that a stream to an endpoint may last was over.",
            "See max_stream_duration of route and cluster."),
        .init(
            "NR", "NoRouteFound", "No virtual host or no route takes this host, path and method.",
            "Compare the host with the service's name and port, and the path with its routes."),
        .init(
            "IH", "InvalidEnvoyRequestHeaders",
            "A control field of the request (x-envoy-…) had a value that makes no sense.",
            "Remove or correct the field."),
    ]

    private static let policies: [ResponseFlagText] = [
        .init(
            "RL", "RateLimited", "A rate limit refused the request.",
            "retry-after and x-ratelimit-reset of the answer say when to come again."),
        .init(
            "RLSE", "RateLimitServiceError",
            "The rate-limit service could not be asked, and the policy refuses then.",
            "See whether that service answers; choose to fail open if the limit may give way."),
        .init(
            "UAEX", "UnauthorizedExternalService", "The external authorization service refused the request.",
            "See that service's log."),
        .init(
            "DI", "DelayInjected", "The request was delayed on purpose, by a fault policy.",
            "Remove the fault policy when the experiment is over."),
        .init(
            "FI", "FaultInjected", "The request was answered with an error on purpose, by a fault policy.",
            "Remove the fault policy when the experiment is over."),
        .init(
            "OM", "OverloadManagerTerminated", "The proxy is overloaded and refuses work.",
            "See its memory and connections; give it more, or take load away."),
        .init(
            "RFCF", "ResponseFromCacheFilter", "The answer came from a cache.",
            "Nothing is wrong."),
        .init(
            "NFCF", "NoFilterConfigFound", "A filter of the route has no configuration yet.",
            "See whether the proxy has taken up the newest revision (martlet status)."),
    ]
}
