import HTTPModel
import MeshModel
import MeshPrimitives
import Telemetry
import TrafficPolicy

/// Whether an attempt that failed is made again: what the route says, what a trusted caller asks for, and what is there
/// of the cluster's budget. `RetryState` decides; each decision against a retry is counted and recorded by its reason.
extension Worker {
    // MARK: What holds for this request

    func retryConditions(_ exchange: ExchangePlace) -> RetryConditions {
        guard exchange.value.hasRoute, !exchange.value.isMirror else { return [] }
        return exchange.route.retry.conditions.union(exchange.value.requestControls.conditions)
    }

    func retrySettings(_ exchange: ExchangePlace) -> RetrySettings {
        guard exchange.value.hasRoute, !exchange.value.isMirror else { return .none }
        var settings = exchange.route.retry
        guard exchange.value.requestControls.changesRetries else { return settings }
        let controls = exchange.value.requestControls
        if !controls.conditions.isEmpty {
            settings.conditions.formUnion(controls.conditions)
            if settings.retriesMax == 0 { settings.retriesMax = 1 }
        }
        if controls.retriesMax >= 0 { settings.retriesMax = UInt32(controls.retriesMax) }
        if controls.addsAnswers {
            let bytes = exchange.value.headBytes.view
            let codes = exchange.head.value(of: .xEnvoyRetriableStatusCodes, in: bytes)
            codes?.forEachListItem { item in
                if let code = item.decimal { settings.statusCodes.insert(UInt16(clamping: code)) }
            }
        }
        return settings
    }

    /// `x-envoy-*` fields count only from callers that the configuration trusts.
    @inline(__always)
    mutating func readControls(_ exchange: ExchangePlace) {
        guard mayControl(exchange), exchange.head.containsAny(of: Self.controlFields) else { return }
        readPresentControls(exchange)
    }

    private static var controlFields: UInt64 {
        FieldName.xEnvoyUpstreamRqTimeoutMs.bit | FieldName.xEnvoyUpstreamRqPerTryTimeoutMs.bit
            | FieldName.xEnvoyMaxRetries.bit | FieldName.xEnvoyRetryOn.bit | FieldName.xEnvoyRetryGrpcOn.bit
            | FieldName.xEnvoyRetriableStatusCodes.bit
    }

    @inline(never)
    private mutating func readPresentControls(_ exchange: ExchangePlace) {
        let bytes = exchange.value.headBytes.view
        func milliseconds(_ name: FieldName) -> Int64? {
            exchange.head.value(of: name, in: bytes).flatMap { RequestTimeoutFields.milliseconds($0) }
        }
        if let limit = milliseconds(.xEnvoyUpstreamRqTimeoutMs) {
            exchange.value.requestControls.timeout = limit
        }
        if let limit = milliseconds(.xEnvoyUpstreamRqPerTryTimeoutMs) {
            exchange.value.requestControls.perTryTimeout = limit
        }
        var conditions: RetryConditions = []
        if let words = exchange.head.value(of: .xEnvoyRetryOn, in: bytes) {
            conditions.formUnion(RetryConditions(list: words).subtracting(.grpc))
        }
        if let words = exchange.head.value(of: .xEnvoyRetryGrpcOn, in: bytes) {
            conditions.formUnion(RetryConditions(list: words).intersection(.grpc))
        }
        exchange.value.requestControls.conditions = conditions
        // Without any condition a number of retries means nothing.
        if let count = exchange.head.value(of: .xEnvoyMaxRetries, in: bytes)?.decimal,
            !conditions.isEmpty || !exchange.route.retry.conditions.isEmpty
        {
            exchange.value.requestControls.retriesMax = Int32(clamping: count)
        }
        exchange.value.requestControls.addsAnswers = true
        exchange.value.requestControls.changesRetries = true
    }

    private func repeatability(_ exchange: ExchangePlace, key header: ByteView) -> Repeatability {
        let method = exchange.value.repeatability
        guard method == .unrepeatable, exchange.value.hasRoute, !header.isEmpty else { return method }
        let bytes = exchange.value.headBytes.view
        return exchange.head.value(named: header, in: bytes) == nil ? .unrepeatable : .keyed
    }

    func retryRequest(_ exchange: ExchangePlace, _ settings: RetrySettings) -> RetryRequest {
        var request = exchange.value.retryRequest(
            repeatability(exchange, key: exchange.route.idempotencyHeader), at: now)
        if settings.asksForRequestHeaders {
            let matches = exchange.route.retriableRequestHeaders
            let question = RouteQuestion(
                bytes: exchange.value.headBytes.view, isHTTPS: isHTTPS(exchange), chance: 0)
            request.hasRetriableHeader = matches.indices.contains {
                matches[$0].matches(exchange.head, question)
            }
        }
        return request
    }

    // MARK: Decisions

    /// The head of an answer that the policy may want repeated is in `answer`. true: it is, and this answer goes nowhere.
    @inline(never)
    mutating func repeatsAnswer(
        _ exchange: ExchangePlace, _ summary: inout AnswerSummary, _ bytes: ByteView, isComplete: Bool
    ) -> Bool {
        let settings = retrySettings(exchange)
        if settings.conditions.contains(.retriableHeaders), hasRetriableField(exchange, bytes) {
            summary.marks.insert(.retriableHeader)
        }
        let resets = exchange.route.resetFields
        for index in resets.indices where summary.retryAfter == 0 {
            guard let value = answer.value(named: resets[index].name, in: bytes) else { continue }
            let wait = ResetField.wait(
                value, resets[index].format, unixNow: loop.wallClock.seconds,
                max: settings.rateLimitedBackoffMax)
            if let wait, wait > Nanoseconds.perMillisecond { summary.retryAfter = wait }
        }
        let next = exchange.value.answered(
            summary, settings, retryRequest(exchange, settings), random: &random)
        switch next {
        case .retry(let wait, let reason):
            exchange.value.record.attemptEnded(
                at: now.nanoseconds(since: exchange.value.started), .answered, status: answer.status)
            return beginRetry(
                exchange, after: wait, reason, isReusable: isComplete, isTold: summary.retryAfter > 0)
        case .pass(let marks):
            if marks { exchange.value.marksExhausted = true }
            countRefusal(exchange)
            return false
        }
    }

    func hasRetriableField(_ exchange: ExchangePlace, _ bytes: ByteView) -> Bool {
        let matches = exchange.route.retriableHeaders
        let question = RouteQuestion(bytes: bytes, isHTTPS: false, chance: 0)
        if matches.indices.contains(where: { matches[$0].matches(answer, question) }) { return true }
        guard mayControl(exchange),
            let names = exchange.head.value(
                named: ByteView("x-envoy-retriable-header-names"), in: exchange.value.headBytes.view)
        else { return false }
        var isThere = false
        names.forEachListItem { name in
            if !isThere, answer.value(named: name, in: bytes) != nil { isThere = true }
        }
        return isThere
    }

    /// false: the budget has no place for another attempt.
    mutating func beginRetry(
        _ exchange: ExchangePlace, after wait: Int64, _ reason: RetryReason, isReusable: Bool,
        isTold: Bool = false
    ) -> Bool {
        releaseRetryPlace(exchange)
        if reason.isCounted, !takeRetryPlace(exchange, isTold: isTold) {
            exchange.value.marksExhausted = true
            return false
        }
        leaveUpstream(exchange, isReusable: isReusable && exchange.value.upstreamKeepsAlive)
        exchange.value.cause = reason
        (exchange.value.awaitsStatus, exchange.value.countsRetry) = (false, false)
        exchange.value.record.upstreamFailure = .none
        exchange.value.headSent = false
        exchange.value.requestSent = false
        exchange.value.bodySent = 0
        exchange.value.tryDeadline = .distantFuture
        if wait == 0 {
            startAttempt(exchange)
        } else {
            exchange.value.phase = .backingOff
            exchange.value.retryAt = now.advanced(byNanoseconds: wait)
            armTimer(exchange)
        }
        return true
    }

    /// A place among the cluster's retries; false: there is none.
    mutating func takeRetryPlace(_ exchange: ExchangePlace, isTold: Bool = false) -> Bool {
        let scope = clusterScope(slot: exchange.value.cluster)
        guard let limits = exchange.value.limits, limits.with({ $0.admitRetry(at: now) }) else {
            counters.add(scope, .upstreamRqRetryOverflow)
            exchange.value.record.flags.insert(.upstreamOverflow)
            exchange.value.record.retryRefusal = .budget
            return false
        }
        exchange.value.holdsRetry = true
        counters.add(scope, .upstreamRqRetry)
        counters.add(scope, isTold ? .upstreamRqRetryBackoffRatelimited : .upstreamRqRetryBackoffExponential)
        noteShadowRetryLimit(exchange)
        return true
    }

    /// Whoever asks why nothing was repeated finds it in the record and in the cluster's statistics.
    mutating func countRefusal(_ exchange: ExchangePlace) {
        guard let refusal = exchange.value.record.retryRefusal else { return }
        let counter: ClusterCounter? =
            switch refusal {
            case .methodNotRepeatable: .retryRefusedMethod
            case .bodyNotReplayable: .retryRefusedBody
            case .deadline: .retryRefusedDeadline
            case .exhaustedNearer: .retryRefusedNearer
            case .limitExceeded: .upstreamRqRetryLimitExceeded
            case .final, .notConfigured, .noCondition, .budget: nil
            }
        if let counter { counters.add(clusterScope(slot: exchange.value.cluster), counter) }
    }

    // MARK: Policies in shadow mode

    /// What a policy that is only watched would have done about an answer.
    @inline(never)
    mutating func noteShadowAnswer(_ exchange: ExchangePlace, _ summary: AnswerSummary) {
        noteShadowTimes(exchange)
        noteShadowRetry(exchange, .answered(summary))
    }

    @inline(never)
    mutating func noteShadowFailure(_ exchange: ExchangePlace, _ outcome: AttemptOutcome) {
        guard exchange.value.phase != .answering, exchange.value.phase != .tunnelling else { return }
        noteShadowTimes(exchange)
        noteShadowRetry(exchange, outcome)
    }

    private mutating func noteShadowRetry(_ exchange: ExchangePlace, _ outcome: AttemptOutcome) {
        let shadow = exchange.route.shadow[0]
        guard !shadow.retry.conditions.isEmpty, !exchange.value.isMirror else { return }
        let request = exchange.value.retryRequest(
            repeatability(exchange, key: shadow.idempotencyHeader), at: now)
        // Numbers of its own, or watching would change what others draw.
        var random = SeededRandom(seed: UInt64(bitPattern: exchange.value.record.startedAt))
        let scope = clusterScope(slot: exchange.value.cluster)
        switch exchange.value.shadowRetry.decide(outcome, request, shadow.retry, random: &random) {
        case .yes(_, let reason):
            guard reason.isCounted else { return }
            counters.add(scope, .shadowRqRetry)
            exchange.value.record.shadows.insert(.retry)
        case .no(let refusal):
            guard refusal.marksExhausted else { return }
            counters.add(scope, .shadowRqRetryRefused)
            exchange.value.record.shadows.insert(.retryRefused)
        }
    }

    /// Counted when the answer shows that it came too late.
    private mutating func noteShadowTimes(_ exchange: ExchangePlace) {
        let shadow = exchange.route.shadow[0]
        let scope = clusterScope(slot: exchange.value.cluster)
        let since = exchange.value.requestEnded ? exchange.value.requestDone : now
        if shadow.timeout > 0, now.nanoseconds(since: since) >= shadow.timeout,
            !exchange.value.record.shadows.contains(.timeout)
        {
            counters.add(scope, .shadowRqTimeout)
            exchange.value.record.shadows.insert(.timeout)
        }
        if shadow.perTryTimeout > 0,
            now.nanoseconds(since: exchange.value.attemptStarted) >= shadow.perTryTimeout
        {
            counters.add(scope, .shadowRqPerTryTimeout)
            exchange.value.record.shadows.insert(.perTryTimeout)
        }
    }

    /// Limits that are only watched are compared with what those in force have counted.
    @inline(__always)
    mutating func noteShadowLimits(_ exchange: ExchangePlace) {
        guard let cluster = clusters[Int(exchange.value.cluster)].record, cluster.value.hasShadowLimits,
            let limits = exchange.value.limits
        else { return }
        if limits.with({ $0.requests.current }) > cluster.value.shadowRequestsMax {
            noteShadowOverflow(exchange, .shadowRqOverflow)
        }
    }

    mutating func noteShadowPending(_ exchange: ExchangePlace) {
        guard let cluster = clusters[Int(exchange.value.cluster)].record, cluster.value.hasShadowLimits,
            let limits = exchange.value.limits
        else { return }
        if limits.with({ $0.pendingRequests.current }) > cluster.value.shadowPendingMax {
            noteShadowOverflow(exchange, .shadowRqPendingOverflow)
        }
    }

    private mutating func noteShadowRetryLimit(_ exchange: ExchangePlace) {
        guard let cluster = clusters[Int(exchange.value.cluster)].record, cluster.value.hasShadowLimits,
            let limits = exchange.value.limits
        else { return }
        if limits.with({ $0.retries.current }) > cluster.value.shadowRetriesMax {
            noteShadowOverflow(exchange, .shadowRqRetryOverflow)
        }
    }

    private mutating func noteShadowOverflow(_ exchange: ExchangePlace, _ counter: ClusterCounter) {
        counters.add(clusterScope(slot: exchange.value.cluster), counter)
        exchange.value.record.shadows.insert(.limits)
    }
}

extension ByteView {
    /// The items between commas, without white space around them; empty ones are passed over.
    fileprivate func forEachListItem(_ body: (ByteView) -> Void) {
        var rest = self
        while !rest.isEmpty {
            let end = rest.firstIndex(of: UInt8(ascii: ",")) ?? rest.count
            let item = rest.prefix(end).trimmed
            if !item.isEmpty { body(item) }
            rest = rest.dropFirst(end + 1)
        }
    }
}
