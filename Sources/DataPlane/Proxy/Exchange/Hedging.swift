import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Telemetry
import TrafficPolicy

/// Attempts of one request beside each other (envoy.config.route.v3.HedgePolicy): a try that has passed its time-out
/// goes on, and another one joins it. The request's own exchange carries one of its attempts at any time; each further
/// one is a *rival*, an exchange without a caller. When the request's own attempt is lost, or a rival's answer is the
/// one, the rival's attempt moves over to the request, and the rival ends: whatever comes then knows one exchange only.
extension Worker {
    // MARK: Beginning

    /// A try of this request that passes its time-out is joined, and not given up.
    func hedges(_ exchange: ExchangePlace) -> Bool {
        guard exchange.value.hasRoute, !exchange.value.isMirror, !exchange.value.isUpgrade else {
            return false
        }
        if exchange.value.requestControls.changesRetries,
            let asked = exchange.head.value(
                named: ByteView("x-envoy-hedge-on-per-try-timeout"), in: exchange.value.headBytes.view)
        {
            if asked.equalsIgnoringCase(ByteView("true")) { return true }
            if asked.equalsIgnoringCase(ByteView("false")) { return false }
        }
        return exchange.route.retry.hedgesOnPerTryTimeout
    }

    /// The exchange's try has taken as long as one may. It goes on, whether another one can join it or not.
    mutating func hedge(_ exchange: ExchangePlace) {
        exchange.value.tryDeadline = .distantFuture
        // As to outlier detection, it is a failure to breakers.
        if exchange.value.hasCalls { endCalls(exchange, .failure) }
        let request = exchange.value.rivalled ?? exchange
        var settings = retrySettings(request)
        settings.hedgesOnPerTryTimeout = true
        let verdict = request.value.retry.hedge(retryRequest(request, settings), settings, random: &random)
        switch verdict {
        case .no(let refusal):
            if refusal == .limitExceeded { request.value.record.flags.insert(.upstreamRetryLimitExceeded) }
            if refusal != .notConfigured {
                request.value.record.retryRefusal = refusal
                countRefusal(request)
            }
        case .yes(let wait, let reason): addRival(to: request, after: wait, reason)
        }
        armTimer(exchange)
    }

    private mutating func addRival(to request: ExchangePlace, after wait: Int64, _ reason: RetryReason) {
        if !request.value.isHedged {
            request.value.hedge = HedgeState()
            request.value.hedgeNumber = request.value.hedge.started() ?? 0
            request.value.attemptIndex = request.value.record.attemptAtHand
        }
        guard let rival = insertCopy(of: request) else {
            // All places for requests are taken.
            counters.add(clusterScope(slot: request.value.cluster), .upstreamRqRetryOverflow)
            request.value.record.retryRefusal = .budget
            return
        }
        rival.value.isHedged = true
        rival.value.rivalled = request
        rival.value.rival = request.value.rival
        request.value.rival = rival
        request.value.isHedged = true
        rival.value.cluster = request.value.cluster
        rival.value.limits = request.value.limits
        rival.value.cause = reason
        rival.value.keepsBody = request.value.keepsBody
        rival.value.chance = request.value.chance
        (rival.value.hash, rival.value.isHashed) = (request.value.hash, request.value.isHashed)
        rival.value.requestControls = request.value.requestControls
        rival.value.perTryTimeout = request.value.perTryTimeout
        rival.value.perTryIdleTimeout = request.value.perTryIdleTimeout
        rival.value.deadline = request.value.deadline
        guard takeRetryPlace(rival), let number = request.value.hedge.started() else {
            request.value.record.flags.formUnion(rival.value.record.flags)
            request.value.record.retryRefusal = .budget
            return endRival(rival)
        }
        rival.value.hedgeNumber = number
        if wait == 0 { return startRival(rival) }
        rival.value.phase = .backingOff
        rival.value.retryAt = now.advanced(byNanoseconds: wait)
        armTimer(rival)
    }

    /// It knows what the request's attempts have tried until now.
    mutating func startRival(_ rival: ExchangePlace) {
        guard let request = rival.value.rivalled else { return }
        (rival.value.attempts, rival.value.tried) = (request.value.attempts, request.value.tried)
        (rival.value.priority, rival.value.priorities) = (request.value.priority, request.value.priorities)
        startAttempt(rival)
    }

    /// An attempt of a hedged request goes to that endpoint.
    mutating func noteAttemptBeside(_ exchange: ExchangePlace, _ address: SocketAddress) {
        guard let request = exchange.value.rivalled else {
            exchange.value.attemptIndex = exchange.value.record.attemptAtHand
            return
        }
        (request.value.attempts, request.value.tried) = (exchange.value.attempts, exchange.value.tried)
        (request.value.priority, request.value.priorities) = (
            exchange.value.priority, exchange.value.priorities
        )
        let before = request.value.record.attemptAtHand
        request.value.record.attemptStarted(
            at: now.nanoseconds(since: request.value.started), endpoint: address, cause: exchange.value.cause)
        exchange.value.attemptIndex = request.value.record.attemptAtHand
        request.value.record.attemptAtHand = before
    }

    func noteAttemptEnd(_ exchange: ExchangePlace, _ end: AttemptEnd, status: UInt16 = 0) {
        guard let request = exchange.value.rivalled else {
            return exchange.value.record.attemptEnded(
                at: now.nanoseconds(since: exchange.value.started), end, status: status)
        }
        request.value.record.attemptEnded(
            Int(exchange.value.attemptIndex), at: now.nanoseconds(since: request.value.started), end,
            status: status)
    }

    // MARK: Deciding

    /// The head of an answer to one of a request's attempts is in `answer`. The exchange that goes on with it, which
    /// is the request's; nil: the answer is thrown away, since the policy would repeat it and others are still running.
    mutating func hearRival(
        _ exchange: ExchangePlace, _ bytes: ByteView, isComplete: Bool, keepsAlive: Bool
    ) -> ExchangePlace? {
        let request = exchange.value.rivalled ?? exchange
        var summary = summarise(bytes)
        let settings = retrySettings(request)
        if settings.conditions.contains(.retriableHeaders), hasRetriableField(request, bytes) {
            summary.marks.insert(.retriableHeader)
        }
        let isWanted = !request.value.retry.repeats(summary, retryRequest(request, settings), settings)
        switch request.value.hedge.answered(exchange.value.hedgeNumber, isWanted: isWanted) {
        case .alone, .win, .late:
            if exchange != request {
                noteAttemptEnd(request, .abandoned)
                leaveUpstream(request, isReusable: false)
                moveAttempt(of: exchange, to: request)
            }
            dropRivals(request)
            return request
        case .wait: break
        }
        counters.countAnswer(clusterScope(slot: exchange.value.cluster), status: answer.status)
        if clusters[Int(exchange.value.cluster)].watchesAnswers { noteAnswer(exchange, summary, bytes) }
        if exchange.value.hasCalls { callsAnswered(exchange, summary, bytes) }
        noteAttemptEnd(exchange, .answered, status: answer.status)
        leaveUpstream(exchange, isReusable: isComplete && keepsAlive && exchange.value.requestSent)
        letOthersGoOn(exchange)
        return nil
    }

    /// An attempt of a hedged request has failed. true: others are running, and that is all there is to it.
    mutating func isOutlived(_ exchange: ExchangePlace) -> Bool {
        let request = exchange.value.rivalled ?? exchange
        if case .alone = request.value.hedge.failed(exchange.value.hedgeNumber) { return false }
        leaveUpstream(exchange, isReusable: false)
        letOthersGoOn(exchange)
        return true
    }

    private mutating func letOthersGoOn(_ exchange: ExchangePlace) {
        if exchange.value.rivalled != nil { return endRival(exchange) }
        guard let rival = exchange.value.rival else { return }
        moveAttempt(of: rival, to: exchange)
        armTimer(exchange)
    }

    /// The request goes on with the rival's attempt, having let go of its own; the rival ends.
    private mutating func moveAttempt(of rival: ExchangePlace, to request: ExchangePlace) {
        request.value.phase = rival.value.phase
        request.value.endpoint = rival.value.endpoint
        replacePending(rival, by: request)
        (request.value.upstream, request.value.upstreamStream) = (
            rival.value.upstream, rival.value.upstreamStream
        )
        if let connection = rival.value.upstream {
            if connection.value.codec == .http2 {
                let stream = StreamID(rawValue: rival.value.upstreamStream)
                connection.value.session?.with { $0.setTag(stream, Self.tag(request.id)) }
            } else {
                connection.value.exchange = request
            }
        }
        (rival.value.endpoint, rival.value.upstream) = (-1, nil)
        (request.value.headSent, request.value.requestSent) = (
            rival.value.headSent, rival.value.requestSent
        )
        (request.value.bodySent, request.value.sendsChunks) = (rival.value.bodySent, rival.value.sendsChunks)
        request.value.usesReusedConnection = rival.value.usesReusedConnection
        request.value.isActiveUpstream = rival.value.isActiveUpstream
        rival.value.isActiveUpstream = false
        releaseRetryPlace(request)
        (request.value.holdsRetry, rival.value.holdsRetry) = (rival.value.holdsRetry, false)
        (request.value.cause, request.value.retryAt) = (rival.value.cause, rival.value.retryAt)
        (request.value.hasCalls, request.value.call, request.value.shadowCall) = (
            rival.value.hasCalls, rival.value.call, rival.value.shadowCall
        )
        rival.value.hasCalls = false
        (request.value.attemptStarted, request.value.tryDeadline) = (
            rival.value.attemptStarted, rival.value.tryDeadline
        )
        (request.value.hedgeNumber, request.value.attemptIndex) = (
            rival.value.hedgeNumber, rival.value.attemptIndex
        )
        request.value.lastMoved = max(request.value.lastMoved, rival.value.lastMoved)
        request.value.record.attemptAtHand = rival.value.attemptIndex
        request.value.record.upstreamHost = rival.value.record.upstreamHost
        request.value.record.upstreamProtocol = rival.value.record.upstreamProtocol
        endRival(rival)
    }

    // MARK: Ending

    /// The request is decided: whatever else runs is given up.
    mutating func dropRivals(_ request: ExchangePlace) {
        while let rival = request.value.rival {
            if rival.value.endpoint >= 0 { noteAttemptEnd(rival, .abandoned) }
            leaveUpstream(rival, isReusable: false)
            endRival(rival)
        }
    }

    /// Gives back what it held; the request's own end is what is logged and counted.
    private mutating func endRival(_ rival: ExchangePlace) {
        guard rival.value.phase != .ended, let request = rival.value.rivalled else { return }
        releaseRetryPlace(rival)
        timers.cancel(rival.value.timer)
        rival.value.timer = .none
        rival.value.phase = .ended
        var place = request
        while let next = place.value.rival, next != rival { place = next }
        place.value.rival = rival.value.rival
        if request.value.rival == nil { request.value.isHedged = false }
        endedExchanges.append(rival)
    }
}
