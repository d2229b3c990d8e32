import MeshPrimitives

/// What a request's own fields say about time, in nanoseconds; nil: absent, or not a number.
public struct RequestTimeoutFields: Equatable, Sendable, BitwiseCopyable {
    /// `grpc-timeout`; 0 there means no time at all.
    public var grpcTimeout: Int64?
    /// `x-envoy-expected-rq-timeout-ms` of a proxy before us.
    public var expected: Int64?
    /// `x-envoy-upstream-rq-timeout-ms` of a trusted caller.
    public var upstream: Int64?
    /// `x-envoy-upstream-rq-per-try-timeout-ms` of a trusted caller.
    public var perTry: Int64?

    public init() {}

    /// Whole milliseconds of a field; nil if it is not a number. Saturates.
    public static func milliseconds(_ value: ByteView) -> Int64? {
        guard let number = value.decimal else { return nil }
        let (product, isOverflow) = Int64(number).multipliedReportingOverflow(by: Nanoseconds.perMillisecond)
        return isOverflow ? .max : product
    }
}

/// How long a request and each of its tries may take, from the route and from the request's own fields: Envoy's order
/// (`FilterUtility::finalTimeout`).
public struct RequestTimeouts: Equatable, Sendable, BitwiseCopyable {
    /// Nanoseconds; 0: no bound.
    public private(set) var request: Int64
    public private(set) var perTry: Int64
    /// The caller's deadline has passed before we began: refuse at once (504, DEADLINE_EXCEEDED).
    public private(set) var isOver = false

    /// - Parameters:
    ///   - respectsExpected: a proxy before us is believed (`respect_expected_rq_timeout`).
    ///   - age: nanoseconds since the head of the request came; they count against what the caller gave.
    public init(
        _ settings: TimeoutSettings, _ fields: RequestTimeoutFields, respectsExpected: Bool = false,
        age: Int64 = 0
    ) {
        (request, perTry) = (settings.request, settings.perTry)
        if settings.grpcTimeoutMax > 0, let asked = fields.grpcTimeout {
            var timeout = asked
            // An offset that leaves nothing is not applied.
            if settings.grpcTimeoutOffset > 0, settings.grpcTimeoutOffset < timeout {
                timeout -= settings.grpcTimeoutOffset
            }
            request = min(timeout, settings.grpcTimeoutMax)
            isOver = asked <= age
        }
        if respectsExpected, let expected = fields.expected {
            request = expected
            isOver = isOver || (expected > 0 && expected <= age)
        } else if let upstream = fields.upstream {
            request = upstream
        }
        if let asked = fields.perTry { perTry = asked }
        // A try that may take as long as the request has no bound of its own.
        if request > 0, perTry >= request { perTry = 0 }
    }

    /// The value of `x-envoy-expected-rq-timeout-ms` for the upstream; nil where nothing bounds it. A hedged try goes on
    /// after its time-out, so what it is told is the request's.
    public func expectedMilliseconds(remaining: Int64, hedges: Bool) -> Int64? {
        var bound = request > 0 ? min(request, max(0, remaining)) : 0
        if perTry > 0, !hedges { bound = bound > 0 ? min(bound, perTry) : perTry }
        return bound > 0 || request > 0 ? max(1, bound / Nanoseconds.perMillisecond) : nil
    }
}
