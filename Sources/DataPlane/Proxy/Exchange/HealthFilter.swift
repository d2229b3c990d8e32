import HTTPModel
import MeshPrimitives
import Telemetry
import TrafficPolicy

/// Requests that ask whether this proxy is well (envoy.filters.http.health_check), and answers that ask to leave their
/// endpoint out.
extension Worker {
    /// Answers a request that matches.
    mutating func passHealthCheck(_ exchange: ExchangePlace, _ filter: Int) -> Bool {
        let index = Int(exchange.chain.http.filters[filter].settings)
        guard index >= 0 else { return true }
        let record = shelf.tables(exchange.value.snapshot).filters.health.reference(index)
        let question = RouteQuestion(
            bytes: exchange.value.headBytes.view, isHTTPS: isHTTPS(exchange), chance: exchange.value.chance)
        let headers = record.value.headers
        guard headers.indices.allSatisfy({ headers[$0].matches(exchange.head, question) }) else {
            return true
        }
        exchange.value.healthFilter = Int8(clamping: filter)
        exchange.value.record.isHealthCheck = true
        let scope = exchange.chain.http.scope
        counters.add(scope, .tracingHealthCheck)
        var isWell = !process.isHealthFailed.load(ordering: .relaxed)
        let cached = record.value.cache?.with { $0.status(at: now) }
        if record.value.passesThrough, isWell, cached == nil { return true }
        counters.add(scope, .healthCheckRequestTotal)
        if isWell, let cached {
            counters.add(scope, .healthCheckCachedResponse)
            let isGood = (200..<300).contains(cached)
            counters.add(scope, isGood ? .healthCheckOK : .healthCheckFailed)
            answerLocally(
                exchange,
                LocalAnswer(
                    cached, flag: isGood ? [] : .failedLocalHealthCheck, details: .healthCheckCached))
            return false
        }
        let minima = record.value.clusters
        for place in minima.indices where isWell {
            guard let reason = problem(minima[place], exchange) else { continue }
            isWell = false
            counters.add(scope, reason)
        }
        counters.add(scope, isWell ? .healthCheckOK : .healthCheckFailed)
        answerLocally(
            exchange,
            isWell
                ? LocalAnswer(200, details: .healthCheckOK)
                : LocalAnswer(503, flag: .failedLocalHealthCheck, details: .healthCheckFailed))
        return false
    }

    /// As of the newest configuration: health is the process's, not the request's. nil: the cluster is well enough.
    private func problem(_ minimum: HealthFilterCluster, _ exchange: ExchangePlace) -> HTTPCounter? {
        guard minimum.cluster >= 0 else { return .healthCheckFailedClusterNotFound }
        let slot = Int(shelf.tables(exchange.value.snapshot).clusters[Int(minimum.cluster)].slot)
        guard let set = clusters[slot].set else { return .healthCheckFailedClusterNotFound }
        if set.count == 0 { return minimum.percentMin == 0 ? nil : .healthCheckFailedClusterEmpty }
        let usable = set.count(of: .healthy) + set.count(of: .degraded)
        return Double(usable * 100) >= Double(set.count) * minimum.percentMin
            ? nil : .healthCheckFailedClusterUnhealthy
    }

    /// Says whose health the answer tells. Where an operator has failed this proxy's health, callers that check it learn
    /// so from any other answer too.
    mutating func editHealth(_ exchange: ExchangePlace, _ filter: Int) {
        if Int(exchange.value.healthFilter) == filter {
            let index = Int(exchange.chain.http.filters[filter].settings)
            guard index >= 0 else { return }
            let record = shelf.tables(exchange.value.snapshot).filters.health[index]
            if exchange.value.record.details == .viaUpstream {
                record.cache?.with { $0.keep(exchange.value.status, at: now) }
            }
            edits.set(.other, ByteView("x-envoy-upstream-healthchecked-cluster"), record.nodeCluster)
            answerIsEdited = true
            return
        }
        guard process.isHealthFailed.load(ordering: .relaxed) else { return }
        edits.set(.other, ByteView("x-envoy-immediate-health-check-fail"), ByteView("true"))
        answerIsEdited = true
    }

    /// An endpoint that asks for it in an answer gets no more requests until a check of it has passed.
    mutating func heedImmediateFailure(_ slot: Int, _ host: Int, _ bytes: ByteView) {
        guard answer.value(named: ByteView("x-envoy-immediate-health-check-fail"), in: bytes) != nil else {
            return
        }
        let state = clusters[slot].hosts[host].state
        guard !state.marks.contains(.excluded) else { return }
        clusters[slot].process.with { $0.endpoints.mark(state, adding: [.excluded, .checkFailed]) }
    }
}
