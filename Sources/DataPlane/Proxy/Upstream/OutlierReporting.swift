import MeshPrimitives
import Telemetry
import TrafficPolicy

/// What outlier detection hears of attempts, and what is said about its decisions.
extension Worker {
    /// An attempt came to something, as its endpoint's detector sees it.
    @inline(__always)
    mutating func note(_ exchange: ExchangePlace, _ result: OutlierResult) {
        let slot = Int(exchange.value.cluster)
        if clusters[slot].detector == nil || exchange.value.endpoint < 0 { return }
        note(slot, Int(exchange.value.endpoint), result)
    }

    /// The head of an answer has come.
    @inline(never)
    mutating func noteAnswer(_ exchange: ExchangePlace, _ answer: AnswerSummary, _ bytes: ByteView) {
        let (slot, host) = (Int(exchange.value.cluster), Int(exchange.value.endpoint))
        guard host >= 0 else { return }
        if clusters[slot].isChecked { heedImmediateFailure(slot, host, bytes) }
        if let latency = clusters[slot].latency {
            let waited = now.nanoseconds(since: exchange.value.attemptStarted)
            clusters[slot].hosts[host].unowned.with { $0.latency.add(waited, at: now, latency) }
        }
        guard let detector = clusters[slot].detector else { return }
        if detector.with({ $0.settings.splitsLocalOriginErrors }) { note(slot, host, .connected) }
        if detector.with({ $0.settings.readsGRPCTrailers }), tellsStatusLater(exchange, answer, bytes) {
            exchange.value.awaitsStatus = true
            return
        }
        note(
            slot, host,
            .answered(
                status: answer.grpcStatus < 0 ? answer.status : Self.httpStatus(grpc: answer.grpcStatus)))
    }

    /// The trailers of an answer have told what came of a gRPC call.
    mutating func noteStatus(_ exchange: ExchangePlace, grpc status: Int8) {
        let slot = Int(exchange.value.cluster)
        guard let detector = clusters[slot].detector, exchange.value.endpoint >= 0,
            detector.with({ $0.settings.readsGRPCTrailers })
        else { return }
        note(slot, Int(exchange.value.endpoint), .answered(status: Self.httpStatus(grpc: status)))
    }

    /// An attempt has waited for long enough.
    mutating func noteTimeout(_ exchange: ExchangePlace) {
        guard exchange.value.endpoint >= 0, exchange.value.phase == .sent else { return }
        let (slot, host) = (Int(exchange.value.cluster), Int(exchange.value.endpoint))
        clusters[slot].hosts[host].unowned.with {
            _ = $0.requestsTimedOut.wrappingAdd(1, ordering: .relaxed)
        }
        note(exchange, .timedOut)
    }

    /// Envoy's `grpcToHttpStatus`.
    private static func httpStatus(grpc status: Int8) -> UInt16 {
        switch status {
        case 0: 200
        case 1: 499
        case 3, 9, 11: 400
        case 4: 504
        case 5: 404
        case 6, 10: 409
        case 7: 403
        case 8: 429
        case 12: 501
        case 14: 503
        case 16: 401
        default: 500
        }
    }

    @inline(never)
    mutating func note(_ slot: Int, _ host: Int, _ result: OutlierResult) {
        guard let detector = clusters[slot].detector else { return }
        let monitor = clusters[slot].hosts[host].monitor
        let reasons = detector.with { detector in monitor.with { detector.record($0, result) } }
        if reasons.isEmpty { return }
        let (state, kept) = (clusters[slot].hosts[host].state, clusters[slot].hosts[host].keptMonitor)
        let events = clusters[slot].process.with { cluster in
            cluster.endpoints.suspect(state, kept, reasons, at: now, random: &random)
        }
        for event in events {
            OutlierReport.add(
                event, clusters[slot].process.with(\.name), clusters[slot].scope, counters, process.log)
        }
    }
}

/// Statistics and log of outlier detection (Envoy's names).
enum OutlierReport {
    static func add(
        _ event: ClusterEndpoints.Event, _ cluster: String, _ scope: ClusterScope, _ counters: CounterWriter,
        _ log: ProcessLog
    ) {
        let address = event.state.address
        switch event.kind {
        case .ejected(let reason, let ejections, let longest):
            counters.add(scope, counter(detected: reason))
            if !event.isShadow {
                counters.add(scope, .outlierDetectionEjectionsEnforcedTotal)
                counters.add(scope, .outlierDetectionEjectionsTotal)
                counters.add(scope, counter(enforced: reason))
            }
            let text = """
                \(cluster): \(address): \(name(reason)), ejection \(ejections), \
                for \(longest / Nanoseconds.perMillisecond) ms
                """
            if event.isShadow {
                log.note(.warning, "endpoint would be ejected", detail: text)
            } else {
                log.note(.warning, "endpoint ejected", detail: text)
            }
        case .notEnforced(let reason):
            counters.add(scope, counter(detected: reason))
            log.note(
                .info, "endpoint is an outlier, not enforced",
                detail: "\(cluster): \(address): \(name(reason))")
        case .overflowed(let reason):
            counters.add(scope, counter(detected: reason))
            counters.add(scope, .outlierDetectionEjectionsOverflow)
            log.note(
                .info, "endpoint is an outlier, too many are ejected",
                detail: "\(cluster): \(address): \(name(reason))")
        case .returned:
            log.note(.warning, "endpoint back after ejection", detail: "\(cluster): \(address)")
        }
    }

    /// Envoy's `OutlierEjectionType`.
    static func name(_ reason: OutlierReason) -> String {
        switch reason {
        case .consecutive5xx: "CONSECUTIVE_5XX"
        case .consecutiveGatewayFailure: "CONSECUTIVE_GATEWAY_FAILURE"
        case .consecutiveLocalOriginFailure: "CONSECUTIVE_LOCAL_ORIGIN_FAILURE"
        case .successRate: "SUCCESS_RATE"
        case .successRateLocalOrigin: "SUCCESS_RATE_LOCAL_ORIGIN"
        case .failurePercentage: "FAILURE_PERCENTAGE"
        case .failurePercentageLocalOrigin: "FAILURE_PERCENTAGE_LOCAL_ORIGIN"
        }
    }

    private static func counter(detected reason: OutlierReason) -> ClusterCounter {
        switch reason {
        case .consecutive5xx: .outlierDetectionEjectionsDetectedConsecutive5xx
        case .consecutiveGatewayFailure: .outlierDetectionEjectionsDetectedConsecutiveGatewayFailure
        case .consecutiveLocalOriginFailure: .outlierDetectionEjectionsDetectedConsecutiveLocalOriginFailure
        case .successRate: .outlierDetectionEjectionsDetectedSuccessRate
        case .successRateLocalOrigin: .outlierDetectionEjectionsDetectedLocalOriginSuccessRate
        case .failurePercentage: .outlierDetectionEjectionsDetectedFailurePercentage
        case .failurePercentageLocalOrigin: .outlierDetectionEjectionsDetectedLocalOriginFailurePercentage
        }
    }

    private static func counter(enforced reason: OutlierReason) -> ClusterCounter {
        switch reason {
        case .consecutive5xx: .outlierDetectionEjectionsEnforcedConsecutive5xx
        case .consecutiveGatewayFailure: .outlierDetectionEjectionsEnforcedConsecutiveGatewayFailure
        case .consecutiveLocalOriginFailure: .outlierDetectionEjectionsEnforcedConsecutiveLocalOriginFailure
        case .successRate: .outlierDetectionEjectionsEnforcedSuccessRate
        case .successRateLocalOrigin: .outlierDetectionEjectionsEnforcedLocalOriginSuccessRate
        case .failurePercentage: .outlierDetectionEjectionsEnforcedFailurePercentage
        case .failurePercentageLocalOrigin: .outlierDetectionEjectionsEnforcedLocalOriginFailurePercentage
        }
    }
}
