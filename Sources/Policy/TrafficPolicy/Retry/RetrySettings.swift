/// The retry policy of a route, compiled. All times in nanoseconds.
public struct RetrySettings: Equatable, Sendable, BitwiseCopyable {
    public var conditions: RetryConditions
    /// Attempts after the first one (`num_retries`).
    public var retriesMax: UInt32
    /// 0: none but the request's.
    public var perTryTimeout: Int64 = 0
    /// 0: none.
    public var perTryIdleTimeout: Int64 = 0
    /// The first retry waits up to this; each further one up to twice as long.
    public var backoffMin: Int64 = 25 * Nanoseconds.perMillisecond
    public var backoffMax: Int64 = 250 * Nanoseconds.perMillisecond
    /// A reset header may ask for this much at the most; a longer wait is not looked at.
    public var rateLimitedBackoffMax: Int64 = 300 * Nanoseconds.perSecond
    /// For `retriableStatusCodes`.
    public var statusCodes = StatusCodeSet()
    public var methods: RepeatableMethods
    /// Endpoints that were tried before are not picked again, as far as there are others.
    public var avoidsPreviousHosts = false
    /// Endpoints that an attempt should not go to (`retry_host_predicate`).
    public var hostPredicates: HostPredicates = []
    /// Priorities of earlier attempts are passed over after so many of them (`previous_priorities`); 0: never.
    public var prioritiesUpdateFrequency: UInt32 = 0
    /// Some request headers must match for anything to be retried (`retriable_request_headers`); the shell matches them.
    public var asksForRequestHeaders = false
    /// Hedging: a try that takes longer than `perTryTimeout` is joined by another one, and not given up.
    public var hedgesOnPerTryTimeout = false
    /// How often another endpoint is drawn when one was tried before (`host_selection_retry_max_attempts`).
    public var hostSelectionsMax: UInt32 = 1

    public init(conditions: RetryConditions, retriesMax: UInt32 = 1, methods: RepeatableMethods = .any) {
        (self.conditions, self.retriesMax, self.methods) = (conditions, retriesMax, methods)
    }

    /// Nothing is retried: what a route without a policy has under a bare Envoy configuration.
    public static let none = RetrySettings(conditions: [], retriesMax: 0)
    /// The mesh's default: at most 2, only what is provably unprocessed, and a safe method on a stale connection.
    public static let meshDefault = RetrySettings(conditions: .safe, retriesMax: 2, methods: .idempotent)

    /// A retry has a say in where it goes.
    public var choosesAnew: Bool { !hostPredicates.isEmpty || prioritiesUpdateFrequency > 0 }

    /// `retry_back_off`: the longest wait is ten times the shortest one unless said (0).
    public mutating func setBackoff(base: Int64, max: Int64 = 0) {
        precondition(base > 0)
        backoffMin = base
        backoffMax = max > 0 ? Swift.max(max, base) : base.multipliedReportingOverflow(by: 10).partialValue
        if backoffMax < backoffMin { backoffMax = .max }
    }
}
