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
        exchange.value.isHealthCheck = true
        exchange.value.record.isHealthCheck = true
        let scope = exchange.chain.http.scope
        counters.add(scope, .tracingHealthCheck)
        counters.add(scope, .healthCheckRequestTotal)
        var isWell = !process.isHealthFailed.load(ordering: .relaxed)
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
        if exchange.value.isHealthCheck {
            let index = Int(exchange.chain.http.filters[filter].settings)
            guard index >= 0 else { return }
            let name = shelf.tables(exchange.value.snapshot).filters.health[index].nodeCluster
            edits.set(.other, ByteView("x-envoy-upstream-healthchecked-cluster"), name)
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
