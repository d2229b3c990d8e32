import MeshModel
import MeshPrimitives
import Proxy
import TrafficPolicy
import XDSDiscovery

extension AdminPages {
    private static let (listStart, listEnd) = (#"{"cluster_statuses":["#, "]}\n")

    /// Cluster by cluster, as the reader takes them.
    func clusters(_ request: AdminRequest) -> AdminAnswer {
        guard let isJSON = isJSON(request) else { return Self.unknownFormat }
        let states = server.clusterStatus()
        let settings = server.snapshot?.configuration.clusters ?? []
        let dynamic = Set(surroundings.resources().filter { $0.kind == .cluster && !$0.isStatic }.map(\.name))
        var index = -1
        let lines = { () -> [UInt8]? in
            index += 1
            guard index < min(states.count, settings.count) else { return nil }
            let isAdded = dynamic.contains(states[index].name)
            return Self.text(states[index], settings[index], isAdded: isAdded)
        }
        guard isJSON else { return AdminAnswer(type: "text/plain; charset=UTF-8", .parts(lines)) }
        return .json(parts: {
            index += 1
            if index > states.count { return nil }
            if index == states.count {
                return Array((index == 0 ? Self.listStart : "").utf8) + Array(Self.listEnd.utf8)
            }
            let isAdded = dynamic.contains(states[index].name)
            let object = Self.json(states[index], settings[index], isAdded: isAdded)
            return Array((index == 0 ? Self.listStart : ",").utf8) + object
        })
    }

    private static func text(
        _ status: ProxyServer.ClusterStatus, _ settings: Cluster, isAdded: Bool
    ) -> [UInt8] {
        let name = status.name
        var text = "\(name)::observability_name::\(name)\n"
        if let outliers = status.outliers {
            let rates = [
                ("success_rate_average", outliers.averageSuccessRate),
                ("success_rate_ejection_threshold", outliers.successRateThreshold),
                ("local_origin_success_rate_average", -1.0),
                ("local_origin_success_rate_ejection_threshold", -1.0),
            ]
            for (key, value) in rates { text += "\(name)::outlier::\(key)::\(rate(value))\n" }
        }
        for (priority, limits) in [("default", status.normal), ("high", status.high)] {
            text += "\(name)::\(priority)_priority::max_connections::\(limits.connections)\n"
            text += "\(name)::\(priority)_priority::max_pending_requests::\(limits.pending)\n"
            text += "\(name)::\(priority)_priority::max_requests::\(limits.requests)\n"
            text += "\(name)::\(priority)_priority::max_retries::\(limits.retries)\n"
        }
        text += "\(name)::added_via_api::\(isAdded)\n"
        if settings.discovery == .eds {
            let service = settings.edsServiceName.isEmpty ? name : settings.edsServiceName
            text += "\(name)::eds_service_name::\(service)\n"
        }
        for endpoint in status.endpoints {
            for (key, value) in fields(of: endpoint) {
                text += "\(name)::\(endpoint.address)::\(key)::\(value)\n"
            }
        }
        return Array(text.utf8)
    }

    private static func fields(of endpoint: ProxyServer.EndpointStatus) -> [(String, String)] {
        [
            ("cx_active", "\(endpoint.connectionsActive)"),
            ("cx_connect_fail", "\(endpoint.connectionsFailed)"),
            ("cx_total", "\(endpoint.connectionsTotal)"),
            ("rq_active", "\(endpoint.requestsActive)"),
            ("rq_error", "\(endpoint.requestsFailed)"),
            ("rq_success", "\(endpoint.requestsSucceeded)"),
            ("rq_timeout", "\(endpoint.requestsTimedOut)"),
            ("rq_total", "\(endpoint.requestsTotal)"),
            ("hostname", endpoint.hostname),
            ("health_flags", healthFlags(endpoint)),
            ("weight", "\(endpoint.weight)"),
            ("region", endpoint.locality.region),
            ("zone", endpoint.locality.zone),
            ("sub_zone", endpoint.locality.subZone),
            ("canary", "\(endpoint.isCanary)"),
            ("priority", "\(endpoint.priority)"),
            ("success_rate", rate(endpoint.successRate)),
            ("local_origin_success_rate", rate(endpoint.localOriginSuccessRate)),
        ]
    }

    /// Envoy's words, in its order; what checks in shadow mode say behind them.
    private static func healthFlags(_ endpoint: ProxyServer.EndpointStatus) -> String {
        let words = flags(endpoint.marks)
        let watched = flags(endpoint.marks.fromShadow).map { "/shadow_" + $0.dropFirst() }
        return (words.isEmpty ? "healthy" : words.joined()) + watched.joined()
    }

    private static func flags(_ marks: EndpointMarks) -> [String] {
        let flags: [(EndpointMarks, String)] = [
            (.checkFailed, "/failed_active_hc"), (.ejected, "/failed_outlier_check"),
            (.discoveredUnhealthy, "/failed_eds_health"), (.checkDegraded, "/degraded_active_hc"),
            (.discoveredDegraded, "/degraded_eds_health"), (.checkPending, "/pending_active_hc"),
            (.excluded, "/excluded_via_immediate_hc_fail"), (.checkTimedOut, "/active_hc_timeout"),
            (.discoveredDraining, "/eds_status_draining"),
        ]
        return flags.filter { marks.contains($0.0) }.map(\.1)
    }

    /// As a C++ stream writes a double: six digits that count.
    private static func rate(_ percent: Double) -> String {
        if percent == percent.rounded() { return "\(Int(percent))" }
        let scale = percent < 10 ? 100_000.0 : 10_000.0
        var text = "\((percent * scale).rounded() / scale)"
        while text.hasSuffix("0") { text.removeLast() }
        return text
    }

    /// envoy.admin.v3.ClusterStatus
    private static func json(
        _ status: ProxyServer.ClusterStatus, _ settings: Cluster, isAdded: Bool
    ) -> [UInt8] {
        return JSONOutput.document { json in
            json.value("name", status.name)
            json.value("observability_name", status.name)
            json.value("added_via_api", isAdded)
            if settings.discovery == .eds {
                json.value(
                    "eds_service_name",
                    settings.edsServiceName.isEmpty ? status.name : settings.edsServiceName)
            }
            json.object("circuit_breakers") { json in
                json.array("thresholds") { json in
                    for (priority, limits) in [("DEFAULT", status.normal), ("HIGH", status.high)] {
                        json.object { json in
                            json.value("priority", priority)
                            json.value("max_connections", limits.connections)
                            json.value("max_pending_requests", limits.pending)
                            json.value("max_requests", limits.requests)
                            json.value("max_retries", limits.retries)
                        }
                    }
                }
            }
            json.array("host_statuses") { json in
                for endpoint in status.endpoints {
                    json.object { json in host(endpoint, &json) }
                }
            }
        }
    }

    private static func host(_ endpoint: ProxyServer.EndpointStatus, _ json: inout JSONOutput) {
        json.socketAddress("address", endpoint.address)
        json.array("stats") { json in
            let counters = [
                ("cx_connect_fail", endpoint.connectionsFailed), ("cx_total", endpoint.connectionsTotal),
                ("rq_error", endpoint.requestsFailed), ("rq_success", endpoint.requestsSucceeded),
                ("rq_timeout", endpoint.requestsTimedOut), ("rq_total", endpoint.requestsTotal),
            ]
            let gauges = [("cx_active", endpoint.connectionsActive), ("rq_active", endpoint.requestsActive)]
            for (type, numbers) in [("COUNTER", counters), ("GAUGE", gauges)] {
                for (name, number) in numbers {
                    json.object { json in
                        json.value("type", type)
                        json.value("name", name)
                        json.wide("value", number)
                    }
                }
            }
        }
        json.object("health_status") { json in
            let marks = endpoint.marks
            let flags: [(EndpointMarks, String)] = [
                (.checkFailed, "failed_active_health_check"), (.ejected, "failed_outlier_check"),
                (.checkDegraded, "failed_active_degraded_check"),
                (.checkPending, "pending_active_hc"),
                (.excluded, "excluded_via_immediate_hc_fail"), (.checkTimedOut, "active_hc_timeout"),
            ]
            for (mark, name) in flags where marks.contains(mark) { json.value(name, true) }
            for (mark, name) in flags where marks.fromShadow.contains(mark) {
                json.value("shadow_\(name)", true)
            }
            switch endpoint.discoveredHealth {
            case .unknown, .healthy: json.value("eds_health_status", "HEALTHY")
            case .unhealthy, .timeout: json.value("eds_health_status", "UNHEALTHY")
            case .draining: json.value("eds_health_status", "DRAINING")
            case .degraded: json.value("eds_health_status", "DEGRADED")
            }
        }
        json.value("hostname", endpoint.hostname)
        json.value("weight", endpoint.weight)
        json.value("priority", endpoint.priority)
        json.object("locality") { json in
            let place = endpoint.locality
            if !place.region.isEmpty { json.value("region", place.region) }
            if !place.zone.isEmpty { json.value("zone", place.zone) }
            if !place.subZone.isEmpty { json.value("sub_zone", place.subZone) }
        }
    }
}

extension JSONOutput {
    /// envoy.config.core.v3.Address
    mutating func socketAddress(_ key: String, _ address: SocketAddress) {
        object(key) { json in
            json.object("socket_address") { json in
                json.value("address", address.host)
                json.value("port_value", address.port)
            }
        }
    }
}
