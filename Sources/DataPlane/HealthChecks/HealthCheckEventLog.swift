import MeshModel
import MeshPrimitives
import Reactor
import Telemetry
import TrafficPolicy
import XDSClient

/// Files with a line of JSON for each event (envoy.data.core.v3.HealthCheckEvent). A line that cannot be written is
/// lost, and the log of the process says so once for each file.
final class HealthCheckEventLog {
    private final class File {
        let file: LogFile
        var isBroken = false

        init(_ file: consuming LogFile) { self.file = file }
    }

    private let log: LogSink
    private var files: [String: File] = [:]
    private var refused: Set<String> = []

    init(log: @escaping LogSink) { self.log = log }

    /// Closes the others.
    func retain(_ paths: Set<String>) {
        files = files.filter { paths.contains($0.key) }
        refused.formIntersection(paths)
    }

    /// Why an endpoint is taken to have failed.
    struct Cause {
        var kind: StaticString
        /// 0: no answer in HTTP.
        var status: UInt16 = 0

        static let passive = Cause(kind: "PASSIVE")

        init(kind: StaticString) { self.kind = kind }

        init(_ answer: ProbeAnswer) {
            (kind, status) = ("ACTIVE", answer.status)
            if answer.result == .failed(.network) { kind = "NETWORK" }
            if answer.result == .failed(.timeout) { kind = "NETWORK_TIMEOUT" }
        }
    }

    func write(
        _ decision: HealthCheckDecision, _ cause: Cause, of member: CheckedCluster.Member,
        in cluster: CheckedCluster, at time: WallInstant
    ) {
        guard !cluster.check.eventLogPaths.isEmpty else { return }
        var text = ""
        for event in Self.events(decision, cause) {
            text += Self.line(event, member, cluster, time) + "\n"
        }
        for path in cluster.check.eventLogPaths { append(text, to: path) }
    }

    private func append(_ text: String, to path: String) {
        guard let target = file(path), !target.isBroken else { return }
        do throws(FileError) {
            try text.withByteView { bytes throws(FileError) in try target.file.append(bytes) }
        } catch {
            target.isBroken = true
            log(.error, "event log of health checks: \(error)")
        }
    }

    private func file(_ path: String) -> File? {
        if let known = files[path] { return known }
        guard !refused.contains(path) else { return nil }
        do throws(FileError) {
            let made = File(try LogFile(path))
            files[path] = made
            return made
        } catch {
            refused.insert(path)
            log(.error, "event log of health checks: \(error)")
            return nil
        }
    }

    /// Field and value, as JSON.
    private static func events(_ decision: HealthCheckDecision, _ cause: Cause) -> [String] {
        let set = decision.events
        let first = "\"first_check\":\(decision.isFirstCheck)"
        let failed = "\"failure_type\":\"\(cause.kind)\""
        let status = "\"http_status_code\":\(cause.status)"
        var events: [String] = []
        if set.contains(.ejectUnhealthy) {
            events.append("\"eject_unhealthy_event\":{\(failed),\(status)}")
        }
        if set.contains(.addHealthy) { events.append("\"add_healthy_event\":{\(first)}") }
        if set.contains(.success) { events.append("\"successful_health_check_event\":{}") }
        if set.contains(.failure) {
            events.append("\"health_check_failure_event\":{\(failed),\(first),\(status)}")
        }
        if set.contains(.degraded) { events.append("\"degraded_healthy_host\":{}") }
        if set.contains(.noLongerDegraded) { events.append("\"no_longer_degraded_host\":{}") }
        return events
    }

    private static func line(
        _ event: String, _ member: CheckedCluster.Member, _ cluster: CheckedCluster, _ time: WallInstant
    ) -> String {
        let type =
            switch cluster.check.kind {
            case .http: "HTTP"
            case .tcp: "TCP"
            case .grpc: "GRPC"
            }
        var stamp: [UInt8] = []
        TimeFormat.iso8601.append(time.nanoseconds, to: &stamp)
        let (address, place) = (member.state.address, member.locality)
        return "{\"health_checker_type\":\"\(type)\",\"host\":{\"socket_address\":{\"protocol\":\"TCP\","
            + "\"address\":\"\(address.host)\",\"port_value\":\(address.port)}},"
            + "\"cluster_name\":\(quoted(cluster.name)),\(event),"
            + "\"timestamp\":\"\(String(decoding: stamp, as: UTF8.self))\","
            + "\"locality\":{\"region\":\(quoted(place.region)),\"zone\":\(quoted(place.zone)),"
            + "\"sub_zone\":\(quoted(place.subZone))}}"
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case let other where other.value < 0x20: quoted += " "
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
