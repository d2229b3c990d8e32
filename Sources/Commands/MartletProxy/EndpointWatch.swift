import HealthChecks
import MeshModel
import NameResolution
import Proxy
import Telemetry
import XDSClient

/// How the data plane's endpoints are checked and found: between `ProxyServer` and those who do it.
extension HealthChecker {
    convenience init(
        loop: ControlLoop, resolver: NameResolver, server: ProxyServer, log: @escaping LogSink
    ) {
        self.init(
            loop: loop, resolver: resolver, counters: server.controlCounters, log: log,
            hasTraffic: { [unowned server] in server.hasTraffic($0) })
    }

    /// What is in force now is checked.
    func update(_ server: ProxyServer) {
        update(
            server.members { $0.healthCheck != nil }.compactMap { members in
                guard let check = members.cluster.healthCheck else { return nil }
                let name = members.cluster.name
                return CheckedCluster(
                    name: name, check: check, set: members.set, scope: members.scope,
                    members: members.endpoints.map { member in
                        CheckedCluster.Member(
                            member.state, check: member.endpoint.check, hostname: member.endpoint.hostname,
                            tls: member.tls, serverName: member.serverName, locality: member.locality)
                    },
                    passed: { [unowned server] in server.checkPassed($0, in: name) })
            })
    }
}

extension ProxyServer {
    func countUpdate(of cluster: String, _ outcome: EndpointNames.Outcome) {
        let counter: ClusterCounter =
            switch outcome {
            case .attempt: .updateAttempt
            case .success: .updateSuccess
            case .failure: .updateFailure
            case .unchanged: .updateNoRebuild
            }
        controlCounters.add(process.registry.cluster(cluster), counter)
    }
}

extension ProcessLog {
    /// For what health checks have to say.
    var checkSink: LogSink { sink("health check") }

    func sink(_ subject: StaticString) -> LogSink {
        { [self] importance, text in
            switch importance {
            case .debug: note(.debug, subject, detail: text)
            case .info: note(.info, subject, detail: text)
            case .warning: note(.warning, subject, detail: text)
            case .error: note(.error, subject, detail: text)
            }
        }
    }
}
