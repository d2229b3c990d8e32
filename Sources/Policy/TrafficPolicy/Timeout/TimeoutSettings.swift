/// How long the parts of a request may take. Nanoseconds; 0: no bound.
public struct TimeoutSettings: Equatable, Sendable, BitwiseCopyable {
    /// From the end of the request to the end of the answer, retries included.
    public var request: Int64 = 15 * Nanoseconds.perSecond
    public var perTry: Int64 = 0
    public var perTryIdle: Int64 = 0
    /// Nothing moved on the stream.
    public var streamIdle: Int64 = 300 * Nanoseconds.perSecond
    public var connect: Int64 = 5 * Nanoseconds.perSecond
    /// A connection without requests.
    public var connectionIdle: Int64 = 3600 * Nanoseconds.perSecond
    /// What `grpc-timeout` may ask for (`max_stream_duration.grpc_timeout_header_max`); 0: the field is not
    /// looked at.
    public var grpcTimeoutMax: Int64 = 0
    /// Taken off what `grpc-timeout` asks for, so that our answer comes before the caller gives up.
    public var grpcTimeoutOffset: Int64 = 0
    /// What is left of a deadline is told upstream (`grpc-timeout`, `x-envoy-expected-rq-timeout-ms`).
    public var propagatesDeadline = true

    public init() {}

    /// Envoy's; the mesh's are the same numbers.
    public static let envoyDefault = TimeoutSettings()
}
