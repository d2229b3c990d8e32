import MeshConfig
import XDSMessages

/// `HealthCheckPolicy` as the check of a cluster; Envoy takes the same.
struct HealthCheckCompiler {
    static let interval = Duration.seconds(10)
    static let timeout = Duration.seconds(1)
    static let unhealthyThreshold = 3
    static let healthyThreshold = 2
    /// Percent, so that many callers do not ask at once.
    static let jitter = 10.0

    let settings: HealthCheckSettings
    let port: ServiceSpecification.Port

    func apply(to cluster: inout Cluster) {
        guard let check = settings.check else { return }
        let interval = settings.interval ?? Self.interval
        cluster.healthChecks = [
            .with {
                $0.interval = .init(interval)
                $0.timeout = .init(settings.timeout ?? min(Self.timeout, interval))
                $0.unhealthyThreshold = .init(
                    clamping: settings.unhealthyThreshold ?? Self.unhealthyThreshold)
                $0.healthyThreshold = .init(clamping: settings.healthyThreshold ?? Self.healthyThreshold)
                $0.noTrafficInterval = .init(settings.idleInterval ?? max(interval, .seconds(60)))
                if let unhealthy = settings.unhealthyInterval { $0.unhealthyInterval = .init(unhealthy) }
                $0.intervalJitterPercent = UInt32((settings.jitter ?? Self.jitter).rounded())
                apply(check, to: &$0)
            }
        ]
    }

    private func apply(
        _ check: HealthCheckSettings.Check, to message: inout Envoy_Config_Core_V3_HealthCheck
    ) {
        switch check {
        case .tcp: message.tcpHealthCheck = .init()
        case .grpc(let service): message.grpcHealthCheck.serviceName = service
        case .http(let path, let host, let statuses):
            message.httpHealthCheck.path = path
            if let host { message.httpHealthCheck.host = host }
            message.httpHealthCheck.expectedStatuses = statuses.map { range in
                .with {
                    $0.start = Int64(range.lowerBound)
                    $0.end = Int64(range.upperBound) + 1
                }
            }
            if port.appProtocol == .http2 || port.appProtocol == .grpc {
                message.httpHealthCheck.codecClientType = .http2
            }
        }
    }
}
