import MeshPrimitives

/// Why an attempt is made again.
public enum RetryReason: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// Nothing was sent on a pooled connection that its peer had closed: not a retry but another choice of connection.
    case staleConnection
    /// A safe method, sent on a reused connection that closed without a byte of an answer.
    case reusedConnectionClosed
    case connectFailure, refusedStream, nothingSent
    case reset, protocolError, perTryTimeout
    case status5xx, gatewayError, retriable4xx, retriableStatus, retriableHeader, rateLimited, grpcStatus
    /// Beside a try that has passed its time-out and goes on.
    case hedged

    /// Takes a place among the retries, which the caller asks `ClusterLimits` for.
    public var isCounted: Bool { self != .staleConnection }
}

/// Why it is not.
public enum RetryRefusal: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// The outcome is one that is never repeated: the answer was on its way, the deadline passed, a limit refused.
    case final
    case notConfigured
    /// No condition of the policy matches the outcome.
    case noCondition
    /// The upstream may have acted on the request, and the policy does not repeat such a method.
    case methodNotRepeatable
    /// More of the body has gone by than was kept.
    case bodyNotReplayable
    /// `retriesMax` are spent: the last answer is passed on, flag URX.
    case limitExceeded
    /// Less time is left than the wait would take.
    case deadline
    /// A proxy nearer to the failure has spent its retries.
    case exhaustedNearer
    /// The cluster's budget of retries has no place (`ClusterLimits.admitRetry`).
    case budget

    /// The answer at hand carries `x-martlet-retry: exhausted`: retries were spent or refused here, and no hop nearer to
    /// the caller is to retry it.
    public var marksExhausted: Bool {
        switch self {
        case .limitExceeded, .methodNotRepeatable, .bodyNotReplayable, .deadline, .exhaustedNearer, .budget:
            true
        case .final, .notConfigured, .noCondition: false
        }
    }
}

public enum RetryVerdict: Equatable, Sendable, BitwiseCopyable {
    case no(RetryRefusal)
    /// Wait `after` nanoseconds (0: at once), then make another attempt.
    case yes(after: Int64, RetryReason)
}

/// What the retry policy must know of a request.
public struct RetryRequest: Sendable, BitwiseCopyable {
    public var repeatability: Repeatability
    /// All of the body that was read is still there.
    public var bodyCanBeReplayed: Bool
    /// Nanoseconds up to the request's deadline; `.max` if it has none.
    public var remainingTime: Int64
    /// One of the policy's `retriable_request_headers` matches, or the policy has none.
    public var hasRetriableHeader = true

    public init(repeatability: Repeatability, bodyCanBeReplayed: Bool, remainingTime: Int64 = .max) {
        (self.repeatability, self.bodyCanBeReplayed) = (repeatability, bodyCanBeReplayed)
        self.remainingTime = remainingTime
    }
}

/// The retries of one request. After a `yes` whose reason is counted the caller asks the cluster's limits; if these
/// refuse, the request ends with what it has (flag UO), for this state has spent the retry, as Envoy's has.
public struct RetryState: Sendable, BitwiseCopyable {
    /// Counted retries that were said yes to.
    public private(set) var retries: UInt32 = 0
    private var hasRepeatedSafely = false
    private var hasReassigned = false

    public init() {}

    public mutating func decide(
        _ outcome: AttemptOutcome, _ request: RetryRequest, _ settings: RetrySettings,
        random: inout SeededRandom
    ) -> RetryVerdict {
        if isStaleConnection(outcome), !hasReassigned, request.bodyCanBeReplayed, request.remainingTime > 0 {
            hasReassigned = true
            return .yes(after: 0, .staleConnection)
        }
        if settings.conditions.isEmpty { return .no(.notConfigured) }
        if settings.asksForRequestHeaders, !request.hasRetriableHeader { return .no(.notConfigured) }

        let reason: RetryReason
        switch match(outcome, request, settings) {
        case .no(let refusal): return .no(refusal)
        case .yes(_, let matched): reason = matched
        }
        guard request.bodyCanBeReplayed else { return .no(.bodyNotReplayable) }
        guard retries < settings.retriesMax else { return .no(.limitExceeded) }
        guard request.remainingTime > 0 else { return .no(.deadline) }
        let wait = backoff(after: outcome, settings, random: &random)
        // Envoy waits into its own timeout and answers 504; in the mesh the answer at hand is worth more.
        if settings.conditions.contains(.safe), wait >= request.remainingTime { return .no(.deadline) }
        retries += 1
        if reason == .reusedConnectionClosed { hasRepeatedSafely = true }
        return .yes(after: wait, reason)
    }

    /// A try has passed its time-out; whether another one joins it. As in Envoy no condition is asked, only what is left of
    /// `retriesMax`; and as everywhere here the policy's methods are: two tries at once are a repetition. A request under
    /// an idempotency key is never hedged: of one key never two attempts are in flight.
    public mutating func hedge(
        _ request: RetryRequest, _ settings: RetrySettings, random: inout SeededRandom
    ) -> RetryVerdict {
        guard settings.hedgesOnPerTryTimeout, !settings.conditions.isEmpty else { return .no(.notConfigured) }
        if settings.asksForRequestHeaders, !request.hasRetriableHeader { return .no(.notConfigured) }
        guard request.repeatability != .keyed, settings.methods.allow(request.repeatability) else {
            return .no(.methodNotRepeatable)
        }
        guard request.bodyCanBeReplayed else { return .no(.bodyNotReplayable) }
        guard retries < settings.retriesMax else { return .no(.limitExceeded) }
        guard request.remainingTime > 0 else { return .no(.deadline) }
        let wait = backoff(after: .perTryTimedOut, settings, random: &random)
        retries += 1
        return .yes(after: wait, .hedged)
    }

    /// Whether the policy would have another answer in place of this one, leaving aside what may still be repeated: with
    /// attempts beside it the others are waited for. So they are if a proxy nearer to the failure has given up.
    public func repeats(_ answer: AnswerSummary, _ request: RetryRequest, _ settings: RetrySettings) -> Bool {
        if answer.marks.contains(.retriesExhausted) { return true }
        if case .yes = match(.answered(answer), request, settings) { return true }
        return false
    }

    private func isStaleConnection(_ outcome: AttemptOutcome) -> Bool {
        guard case .resetBeforeAnswer(let sent, wasReused: true) = outcome else { return false }
        return sent <= .nothingSent
    }

    /// Whether the policy wants the outcome repeated, leaving aside whether that is still possible.
    private func match(
        _ outcome: AttemptOutcome, _ request: RetryRequest, _ settings: RetrySettings
    ) -> RetryVerdict {
        switch outcome {
        case .overflowed, .resetMidAnswer, .requestTimedOut: return .no(.final)
        case .answered(let answer) where answer.marks.contains(.retriesExhausted):
            return .no(.exhaustedNearer)
        case .answered, .connectFailed, .connectTimedOut, .refusedStream, .goAwayBelow, .resetBeforeAnswer,
            .protocolError, .perTryTimedOut, .perTryIdledOut:
            break
        }
        let isProvable = outcome.isProvablyUnprocessed
        if isProvable, settings.conditions.contains(.safe) { return .yes(after: 0, reason(of: outcome)) }
        if let matched = envoyMatch(outcome, settings),
            isProvable || settings.methods.allow(request.repeatability)
        {
            return .yes(after: 0, matched)
        }
        if settings.conditions.contains(.safe), request.repeatability == .safe, !hasRepeatedSafely,
            case .resetBeforeAnswer(_, wasReused: true) = outcome
        {
            return .yes(after: 0, .reusedConnectionClosed)
        }
        return .no(envoyMatch(outcome, settings) == nil ? .noCondition : .methodNotRepeatable)
    }

    /// What Envoy's conditions say; the most general one that matches gives no finer reason than the outcome itself.
    private func envoyMatch(_ outcome: AttemptOutcome, _ settings: RetrySettings) -> RetryReason? {
        if case .answered(let answer) = outcome { return envoyMatch(answer, settings) }
        let conditions = settings.conditions
        // No answer at all counts as the 5xx that it will become.
        if !conditions.isDisjoint(with: [.reset, .status5xx, .gatewayError]) { return reason(of: outcome) }
        let matches =
            switch outcome {
            case .connectFailed, .connectTimedOut: conditions.contains(.connectFailure)
            case .refusedStream: conditions.contains(.refusedStream)
            case .goAwayBelow: !conditions.isDisjoint(with: [.refusedStream, .resetBeforeRequest])
            case .resetBeforeAnswer(let sent, _):
                conditions.contains(.resetBeforeRequest) && sent <= .nothingSent
            case .protocolError, .perTryTimedOut, .perTryIdledOut, .answered, .overflowed, .resetMidAnswer,
                .requestTimedOut:
                false
            }
        return matches ? reason(of: outcome) : nil
    }

    private func envoyMatch(_ answer: AnswerSummary, _ settings: RetrySettings) -> RetryReason? {
        let conditions = settings.conditions
        if answer.marks.contains(.rateLimited) {
            return conditions.contains(.envoyRatelimited) ? .rateLimited : nil
        }
        if conditions.contains(.status5xx), answer.status >= 500, answer.status <= 599 { return .status5xx }
        if conditions.contains(.gatewayError), answer.status >= 502, answer.status <= 504 {
            return .gatewayError
        }
        if conditions.contains(.retriable4xx), answer.status == 409 { return .retriable4xx }
        if conditions.contains(.retriableStatusCodes), settings.statusCodes.contains(answer.status) {
            return .retriableStatus
        }
        if conditions.contains(.retriableHeaders), answer.marks.contains(.retriableHeader) {
            return .retriableHeader
        }
        // Numbers of gRPC's status codes.
        let wanted: RetryConditions =
            switch answer.grpcStatus {
            case 1: .grpcCancelled
            case 4: .grpcDeadlineExceeded
            case 8: .grpcResourceExhausted
            case 13: .grpcInternal
            case 14: .grpcUnavailable
            default: []
            }
        return conditions.isDisjoint(with: wanted) ? nil : .grpcStatus
    }

    private func reason(of outcome: AttemptOutcome) -> RetryReason {
        switch outcome {
        case .connectFailed, .connectTimedOut: .connectFailure
        case .refusedStream, .goAwayBelow: .refusedStream
        case .resetBeforeAnswer(let sent, _): sent <= .nothingSent ? .nothingSent : .reset
        case .protocolError: .protocolError
        case .perTryTimedOut, .perTryIdledOut: .perTryTimeout
        case .overflowed, .answered, .resetMidAnswer, .requestTimedOut: .reset
        }
    }

    /// Exponential with full jitter, as Envoy computes it: the n-th retry waits a uniformly random time below
    /// min(`backoffMin` * 2^(n-1), `backoffMax`). What a reset header asked for goes before: between that and half
    /// as much again.
    private func backoff(
        after outcome: AttemptOutcome, _ settings: RetrySettings, random: inout SeededRandom
    ) -> Int64 {
        if case .answered(let answer) = outcome, answer.retryAfter > 0,
            answer.retryAfter <= settings.rateLimitedBackoffMax
        {
            return answer.retryAfter + Int64(random.below(UInt64(answer.retryAfter / 2 + 1)))
        }
        var interval = max(settings.backoffMin, 1)
        for _ in 0..<min(retries, 62) where interval < settings.backoffMax {
            interval = interval > settings.backoffMax / 2 ? settings.backoffMax : interval * 2
        }
        return Int64(random.below(UInt64(min(interval, max(settings.backoffMax, 1)))))
    }
}
