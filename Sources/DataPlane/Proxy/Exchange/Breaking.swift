import MeshPrimitives
import Telemetry
import TrafficPolicy

/// A call that a breaker has let through.
struct BreakerCall: BitwiseCopyable {
    let breaker: Unowned<ServiceBreaker>
    let ticket: CircuitBreaker.Ticket
    /// One of few that decide whether others may follow.
    let isProbe: Bool
}

/// What keeps requests from a service in trouble: circuit breakers, for each attempt; limits that follow latency and
/// admission control, for each request.
extension Worker {
    // MARK: Circuit breakers

    /// false: the service is not called, and the request has its answer.
    @inline(never)
    mutating func passBreakers(_ exchange: ExchangePlace, _ cluster: Reference<ClusterRecord>) -> Bool {
        let scope = clusterScope(slot: exchange.value.cluster)
        if let shadow = cluster.value.shadowBreaker {
            exchange.value.shadowCall = admit(shadow, scope)
            if exchange.value.shadowCall == nil {
                counters.add(scope, .shadowBreakerRejected)
                exchange.value.record.shadows.insert(.breaker)
            }
        }
        if let breaker = cluster.value.breaker {
            exchange.value.call = admit(breaker, scope)
            let isProbe = exchange.value.call?.isProbe
            exchange.value.record.breaker = isProbe.map { $0 ? .probe : .closed } ?? .open
            if exchange.value.call == nil {
                counters.add(scope, .breakerRejected)
                exchange.value.hasCalls = exchange.value.shadowCall != nil
                if exchange.value.hasCalls { endCalls(exchange, .unknown) }
                // Whoever is nearer to the caller is not to knock here either.
                exchange.value.marksExhausted = true
                refuseAttempt(exchange, .breakerOpen)
                return false
            }
        }
        exchange.value.hasCalls = exchange.value.call != nil || exchange.value.shadowCall != nil
        return true
    }

    private mutating func admit(_ breaker: Unowned<ServiceBreaker>, _ scope: ClusterScope) -> BreakerCall? {
        let (admission, change) = breaker.with { $0.breaker.admit(at: now) }
        if let change { note(change, of: breaker, scope) }
        switch admission {
        case .allowed(let ticket): return BreakerCall(breaker: breaker, ticket: ticket, isProbe: false)
        case .probe(let ticket): return BreakerCall(breaker: breaker, ticket: ticket, isProbe: true)
        case .rejected: return nil
        }
    }

    /// The head of an answer came: 5xx, and the gRPC statuses that stand for them, are failures.
    @inline(never)
    mutating func callsAnswered(_ exchange: ExchangePlace, _ answer: AnswerSummary, _ bytes: ByteView) {
        // Probes are not to wait for the end of what may be a stream of hours.
        let isProbe = exchange.value.call?.isProbe ?? exchange.value.shadowCall?.isProbe ?? false
        if !isProbe, tellsStatusLater(exchange, answer, bytes) {
            exchange.value.awaitsStatus = true
            return
        }
        let isFailure =
            Self.isFailure(grpc: answer.grpcStatus) || (answer.grpcStatus < 0 && answer.status >= 500)
        endCalls(exchange, isFailure ? .failure : .success)
    }

    /// UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS.
    private static func isFailure(grpc status: Int8) -> Bool {
        switch status {
        case 2, 4, 13, 14, 15: true
        default: false
        }
    }

    // MARK: gRPC

    /// It is an answer to a gRPC call, and what came of that stands in its trailers.
    func tellsStatusLater(_ exchange: ExchangePlace, _ answer: AnswerSummary, _ bytes: ByteView) -> Bool {
        guard answer.status == 200, answer.grpcStatus < 0, exchange.value.rivalled == nil,
            let type = self.answer.value(of: .contentType, in: bytes), type.hasPrefix("application/grpc"),
            let upstream = exchange.value.upstream
        else { return false }
        return upstream.value.codec == .http2
            || clusters[Int(exchange.value.cluster)].record?.value.enablesTrailers ?? false
    }

    /// A retry has come to an answer that is no failure, as far as its head says.
    @inline(never)
    mutating func noteRetrySuccess(
        _ exchange: ExchangePlace, _ answer: AnswerSummary, _ bytes: ByteView
    ) {
        guard tellsStatusLater(exchange, answer, bytes) else {
            return counters.add(clusterScope(slot: exchange.value.cluster), .upstreamRqRetrySuccess)
        }
        (exchange.value.awaitsStatus, exchange.value.countsRetry) = (true, true)
    }

    /// The answer is over, and its trailers have told the gRPC status, or there were none: then it is UNKNOWN.
    @inline(never)
    mutating func statusTold(_ exchange: ExchangePlace) {
        exchange.value.awaitsStatus = false
        let status = exchange.value.record.grpcStatus < 0 ? 2 : exchange.value.record.grpcStatus
        let isFailure = Self.isFailure(grpc: status)
        if exchange.value.countsRetry {
            exchange.value.countsRetry = false
            if !isFailure {
                counters.add(clusterScope(slot: exchange.value.cluster), .upstreamRqRetrySuccess)
            }
        }
        if exchange.value.hasCalls { endCalls(exchange, isFailure ? .failure : .success) }
        noteStatus(exchange, grpc: status)
    }

    @inline(never)
    mutating func endCalls(_ exchange: ExchangePlace, _ outcome: CircuitBreaker.Outcome) {
        exchange.value.hasCalls = false
        let scope = clusterScope(slot: exchange.value.cluster)
        // Of one that got no connection `attemptStarted` may be that of the attempt before: it is no success.
        // A stream is as slow as its answer was to begin.
        let latency =
            exchange.value.phase == .answering && exchange.value.record.upstreamServiceTime >= 0
            ? exchange.value.record.upstreamServiceTime
            : now.nanoseconds(since: exchange.value.attemptStarted)
        if let call = exchange.value.call { end(call, outcome, latency: latency, scope) }
        if let call = exchange.value.shadowCall { end(call, outcome, latency: latency, scope) }
        (exchange.value.call, exchange.value.shadowCall) = (nil, nil)
    }

    private mutating func end(
        _ call: BreakerCall, _ outcome: CircuitBreaker.Outcome, latency: Int64, _ scope: ClusterScope
    ) {
        let change = call.breaker.with {
            $0.breaker.finished(call.ticket, outcome, latency: latency, at: now)
        }
        if let change { note(change, of: call.breaker, scope) }
    }

    private mutating func note(
        _ change: CircuitBreaker.Change, of breaker: Unowned<ServiceBreaker>, _ scope: ClusterScope
    ) {
        let (cluster, isShadow) = breaker.with { ($0.cluster, $0.isShadow) }
        let what: String
        switch change {
        case .opened(let reason, let length):
            counters.add(scope, isShadow ? .shadowBreakerOpened : .breakerOpened)
            what = "open for \(length / Nanoseconds.perMillisecond) ms: \(reason)"
        case .halfOpened:
            if !isShadow { counters.add(scope, .breakerHalfOpened) }
            what = "half-open"
        case .closed:
            if !isShadow { counters.add(scope, .breakerClosed) }
            what = "closed"
        }
        process.log.note(
            .warning, isShadow ? "circuit breaker (shadow)" : "circuit breaker",
            detail: "\(cluster): \(what)", peer: nil, local: nil)
    }

    // MARK: Limits that follow latency

    mutating func passAdaptiveConcurrency(_ exchange: ExchangePlace, _ index: Int) -> Bool {
        guard index >= 0, exchange.value.concurrency == nil else { return true }
        let record = shelf.tables(exchange.value.snapshot).filters.concurrency.reference(index)
        let controller = record.value.controller
        // Windows end when a request looks: without requests there is nothing to compute.
        if now >= nextConcurrencyLook {
            nextConcurrencyLook = now.advanced(byNanoseconds: Nanoseconds.perMillisecond)
            let all = shelf.tables(exchange.value.snapshot).filters.concurrency
            for other in all.indices { all[other].controller.with { $0.timerFired(at: now) } }
        }
        if !controller.with({ $0.admit() }) {
            guard record.value.isShadow else {
                counters.add(exchange.chain.http.scope, .adaptiveConcurrencyRqBlocked)
                answerLocally(exchange, .reachedConcurrencyLimit(status: record.value.status))
                return false
            }
            counters.add(exchange.chain.http.scope, .adaptiveConcurrencyShadowRqBlocked)
            exchange.value.record.shadows.insert(.concurrency)
            controller.with { $0.admitAlways() }
        }
        exchange.value.concurrency = controller
        exchange.value.isMeasured = true
        return true
    }

    // MARK: Admission control

    mutating func passAdmissionControl(_ exchange: ExchangePlace, _ index: Int) -> Bool {
        guard index >= 0, exchange.value.admission < 0 else { return true }
        let record = shelf.tables(exchange.value.snapshot).filters.admission.reference(index)
        let place = admissionPlace(record)
        if !admissions[place].admit(at: now, random: &random) {
            guard record.value.isShadow else {
                counters.add(exchange.chain.http.scope, .admissionControlRqRejected)
                answerLocally(exchange, .deniedByAdmissionControl)
                return false
            }
            counters.add(exchange.chain.http.scope, .admissionControlShadowRqRejected)
            exchange.value.record.shadows.insert(.admission)
        }
        exchange.value.admission = Int32(index)
        exchange.value.isMeasured = true
        return true
    }

    /// Where the worker keeps its state, which begins anew with other settings.
    private mutating func admissionPlace(_ record: Reference<AdmissionRecord>) -> Int {
        let slot = Int(record.value.slot)
        while admissions.count <= slot { admissions.append(AdmissionControl(record.value.settings)) }
        if admissions[slot].settings != record.value.settings {
            admissions[slot] = AdmissionControl(record.value.settings)
        }
        return slot
    }

    /// The request is over: what it says of latency and success is told.
    @inline(never)
    mutating func endMeasuring(_ exchange: ExchangePlace) {
        exchange.value.isMeasured = false
        if let fault = exchange.value.fault {
            exchange.value.fault = nil
            fault.with { $0.end() }
            counters.add(exchange.chain.http.scope, .faultActiveFaults, -1)
        }
        let isAnswered = exchange.value.record.details == .viaUpstream
        if let controller = exchange.value.concurrency {
            exchange.value.concurrency = nil
            if exchange.value.status > 0 {
                let started = exchange.value.started
                controller.with { $0.finished(startedAt: started, at: now, random: &random) }
            } else {
                controller.with { $0.cancelled() }
            }
        }
        guard exchange.value.admission >= 0, exchange.value.status > 0 else { return }
        let record = shelf.tables(exchange.value.snapshot).filters.admission.reference(
            Int(exchange.value.admission))
        let grpc = exchange.value.record.grpcStatus
        let isSuccess =
            isAnswered && grpc >= 0
            ? grpc < 32 && record.value.grpcStatuses & 1 << UInt32(grpc) != 0
            : record.value.statuses.contains(exchange.value.status)
        counters.add(
            exchange.chain.http.scope, isSuccess ? .admissionControlRqSuccess : .admissionControlRqFailure)
        let place = admissionPlace(record)
        admissions[place].answered(isSuccess: isSuccess, at: now)
    }
}
