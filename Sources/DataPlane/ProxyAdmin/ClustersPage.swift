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
        let places = places(of: settings)
        for endpoint in status.endpoints {
            let place = places[endpoint.address]
            for (key, value) in fields(of: endpoint, in: place) {
                text += "\(name)::\(endpoint.address)::\(key)::\(value)\n"
            }
        }
        return Array(text.utf8)
    }

    private static func fields(
        of endpoint: ProxyServer.EndpointStatus, in place: Place?
    ) -> [(String, String)] {
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
            ("health_flags", healthFlags(endpoint.health)),
            ("weight", "\(endpoint.weight)"),
            ("region", place?.region ?? ""),
            ("zone", place?.zone ?? ""),
            ("sub_zone", ""),
            ("canary", "false"),
            ("priority", "\(endpoint.priority)"),
            ("success_rate", "-1"),
            ("local_origin_success_rate", "-1"),
        ]
    }

    /// Envoy's words; which of an endpoint's marks speak against it is not told apart here.
    private static func healthFlags(_ health: EndpointHealth) -> String {
        switch health {
        case .healthy: "healthy"
        case .degraded: "/degraded_eds_health"
        case .unhealthy: "/failed_eds_health"
        }
    }

    private struct Place {
        var region: String
        var zone: String
    }

    private static func places(of cluster: Cluster) -> [SocketAddress: Place] {
        var places: [SocketAddress: Place] = [:]
        for locality in cluster.localities where !locality.region.isEmpty || !locality.zone.isEmpty {
            for endpoint in locality.endpoints {
                guard case .numeric(let address) = endpoint.address else { continue }
                places[address] = Place(region: locality.region, zone: locality.zone)
            }
        }
        return places
    }

    /// envoy.admin.v3.ClusterStatus
    private static func json(
        _ status: ProxyServer.ClusterStatus, _ settings: Cluster, isAdded: Bool
    ) -> [UInt8] {
        let places = places(of: settings)
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
                    json.object { json in host(endpoint, in: places[endpoint.address], &json) }
                }
            }
        }
    }

    private static func host(
        _ endpoint: ProxyServer.EndpointStatus, in place: Place?, _ json: inout JSONOutput
    ) {
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
            switch endpoint.health {
            case .healthy: json.value("eds_health_status", "HEALTHY")
            case .degraded: json.value("eds_health_status", "DEGRADED")
            case .unhealthy: json.value("eds_health_status", "UNHEALTHY")
            }
        }
        json.value("hostname", endpoint.hostname)
        json.value("weight", endpoint.weight)
        json.value("priority", endpoint.priority)
        json.object("locality") { json in
            guard let place else { return }
            json.value("region", place.region)
            json.value("zone", place.zone)
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
