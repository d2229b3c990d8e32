import MeshModel
import MeshPrimitives
import TrafficPolicy
import XDSClient

/// The checks of one endpoint, one after the other.
///
///     armed --timer--> waiting for a place --> asking --answer, time-out--> armed
///                                      any of these --stop--> stopped
final class EndpointChecks {
    private enum Stage { case armed, waiting, asking, stopped }

    private unowned let cluster: ClusterChecks
    private var member: CheckedCluster.Member
    private var state: HealthCheckState
    private var probe: (any HealthProbe)?
    private var stage = Stage.armed
    /// The timer of the next check, or of the one that is under way.
    private var timer: ControlLoop.Timer?
    /// No check has come back yet.
    private(set) var isFirst = true

    init(_ cluster: ClusterChecks, _ member: CheckedCluster.Member, startsHealthy: Bool) {
        (self.cluster, self.member) = (cluster, member)
        state = HealthCheckState(cluster.settings.check.settings, startsHealthy: startsHealthy)
    }

    private var checker: HealthChecker { cluster.checker }
    private var loop: ControlLoop { cluster.checker.loop }
    private var settings: HealthCheckSettings { cluster.settings.check.settings }

    var isWaiting: Bool { stage == .waiting }
    var isHealthy: Bool { state.isHealthy }
    var isDegraded: Bool { state.marks.contains(.checkDegraded) }

    /// What they say is counted and shown, and nothing else.
    private var isShadow: Bool { cluster.settings.check.mode != .enforce }

    func start() {
        publish(state.marks)
        arm(HealthCheckState.firstCheck(settings, random: &loop.random))
    }

    /// The same endpoint under a new configuration.
    func update(_ next: CheckedCluster.Member) {
        let isSameTarget =
            next.check == member.check && next.hostname == member.hostname && next.tls === member.tls
            && next.serverName == member.serverName
        member = next
        // One that is under way goes on; the next one asks anew.
        if !isSameTarget, stage != .asking { dropProbe() }
    }

    func stop() {
        guard stage != .stopped else { return }
        let wasAsking = stage == .asking
        stage = .stopped
        if let timer { loop.cancel(timer) }
        timer = nil
        dropProbe()
        if wasAsking { checker.ended() }
    }

    /// It is not checked any more: nothing of what checks said stays.
    func leave() {
        stop()
        publish([])
    }

    /// It is no endpoint any more; if it comes back, it is to be checked first.
    func vanish() {
        stop()
        publish(HealthCheckState(settings).marks)
    }

    // MARK: One check

    private func arm(_ nanoseconds: Int64) {
        stage = .armed
        timer = loop.after(nanoseconds) { [weak self] in
            guard let self, self.stage == .armed else { return }
            self.timer = nil
            self.stage = .waiting
            self.checker.due(self)
        }
    }

    /// There is a place.
    func begin() {
        stage = .asking
        cluster.count(.healthCheckAttempt)
        timer = loop.after(settings.timeout) { [weak self] in self?.timedOut() }
        let probe = probe ?? makeProbe()
        self.probe = probe
        probe.ask { [weak self] in self?.answered($0) }
    }

    private func timedOut() {
        guard stage == .asking else { return }
        timer = nil
        dropProbe()
        answered(ProbeAnswer(.failed(.timeout), reason: "no answer in time"))
    }

    private func answered(_ answer: ProbeAnswer) {
        guard stage == .asking else { return }
        if let timer { loop.cancel(timer) }
        timer = nil
        if !cluster.settings.check.reusesConnections || !answer.keepsProbe { dropProbe() }
        noticeTraffic()
        if answer.isImmediateFailure { _ = state.immediateFailure(settings, isCheck: true) }
        let decision = state.checked(
            answer.result, settings, hasTraffic: cluster.hasTraffic, random: &loop.random)
        count(answer.result)
        carryOut(decision, HealthCheckEventLog.Cause(answer), reason: answer.reason)
        let wasFirst = isFirst
        isFirst = false
        arm(decision.nextCheck ?? settings.interval)
        checker.ended()
        if wasFirst { checker.firstCheckEnded(in: cluster) }
    }

    /// An answer to a request may have asked to be left out meanwhile (`x-envoy-immediate-health-check-fail`).
    private func noticeTraffic() {
        guard member.state.marks.contains(.excluded), !state.marks.contains(.excluded) else { return }
        cluster.count(.healthCheckFailure)
        cluster.count(.healthCheckPassiveFailure)
        let decision = state.immediateFailure(settings, isCheck: false)
        carryOut(decision, .passive, reason: "an answer to a request asked for it")
    }

    private func count(_ result: HealthCheckResult) {
        switch result {
        case .passed:
            cluster.count(.healthCheckSuccess)
            if !isShadow { cluster.settings.passed(member.state) }
        case .failed(let failure):
            cluster.count(.healthCheckFailure)
            if failure == .network || failure == .timeout { cluster.count(.healthCheckNetworkFailure) }
        }
    }

    private func carryOut(
        _ decision: HealthCheckDecision, _ cause: HealthCheckEventLog.Cause, reason: String
    ) {
        if decision.becameHealthy, !isShadow { member.state.becameHealthy(at: loop.now) }
        publish(decision.marks)
        guard !decision.events.isEmpty else { return }
        cluster.countHealth()
        checker.eventLog.write(decision, cause, of: member, in: cluster.settings, at: loop.wallClock)
        if decision.events.contains(.ejectUnhealthy) {
            checker.log(
                .warning, "\(subject): \(member.state.address) is not healthy: \(reason)")
        } else if decision.events.contains(.addHealthy), !decision.isFirstCheck {
            checker.log(.info, "\(subject): \(member.state.address) is healthy again")
        }
    }

    private var subject: String { isShadow ? "\(cluster.settings.name) (shadow)" : cluster.settings.name }

    private func publish(_ marks: EndpointMarks) {
        let all = HealthCheckState.marksOfChecks
        let said = isShadow ? marks.inShadow : marks.intersection(all)
        let changed = member.state.mark(adding: said, removing: all.union(all.inShadow).subtracting(said))
        if changed { cluster.settings.set.healthChanged() }
    }

    // MARK: The probe

    private func dropProbe() {
        probe?.close()
        probe = nil
    }

    private func makeProbe() -> any HealthProbe {
        let address = member.state.address
        let port = member.check.port > 0 ? member.check.port : address.port
        var target = ClientTarget(
            hosts: [ClientTarget.Host(name: address.host, port: port)], tls: member.tls,
            serverName: member.serverName.isEmpty ? nil : member.serverName)
        // The check's own time is shorter, or ends it first.
        target.connectTimeout = .nanoseconds(settings.timeout)
        func host(_ own: String) -> String {
            for name in [own, member.check.hostname, member.hostname] where !name.isEmpty { return name }
            return cluster.settings.name
        }
        switch cluster.settings.check.kind {
        case .tcp(let check): return TCPProbe(loop, checker.resolver, target, check)
        case .grpc(let check):
            return GRPCProbe(
                loop, checker.resolver, target, check, authority: host(check.authority),
                timeout: settings.timeout)
        case .http(let check):
            let fields = CheckRequest(check, host: host(check.host), isEncrypted: target.tls != nil)
            return check.usesHTTP2
                ? HTTP2Probe(loop, checker.resolver, target, check, fields)
                : HTTP1Probe(loop, checker.resolver, target, check, fields)
        }
    }
}
