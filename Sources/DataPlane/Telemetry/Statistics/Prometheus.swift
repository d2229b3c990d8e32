/// The text format of Prometheus, version 0.0.4, with the names and labels that Envoy's tag extraction gives.
extension StatisticsSnapshot {
    /// Counters, then gauges, then histograms, each family once with its type.
    public func prometheus(usedOnly: Bool = false, where isWanted: (String) -> Bool = { _ in true })
        -> [UInt8]
    {
        var families = PrometheusFamilies()
        for scope in scopes {
            let prefix = scope.prefix
            let label = scope.label
            for (index, value) in scope.values.enumerated() where !scope.isHidden(index) {
                let name = scope.kind.counterName(index).description
                guard !usedOnly || value != 0, isWanted(prefix + name) else { continue }
                let (metric, extra) = scope.metric(name)
                families.add(metric, scope.kind.isGauge(index) ? .gauge : .counter, extra + label, "\(value)")
            }
            for (index, value) in scope.statuses.enumerated() where value > 0 {
                guard isWanted(prefix + "upstream_rq_\(index + 100)") else { continue }
                let labels = ["envoy_response_code=\"\(index + 100)\""] + label
                families.add("envoy_cluster_upstream_rq", .counter, labels, "\(value)")
            }
            for (name, histogram) in zip(scope.kind.histogramNames, scope.histograms) {
                guard !usedOnly || histogram.count > 0, isWanted(prefix + name.description) else { continue }
                families.add(scope.metric(name.description).name, histogram, label)
            }
        }
        return families.text
    }
}

extension StatisticsSnapshot.Scope {
    fileprivate var label: [String] {
        switch kind {
        case .server: []
        case .listener: ["envoy_listener_address=\"\(PrometheusFamilies.escaped(name))\""]
        case .http: ["envoy_http_conn_manager_prefix=\"\(PrometheusFamilies.escaped(name))\""]
        case .cluster: ["envoy_cluster_name=\"\(PrometheusFamilies.escaped(name))\""]
        case .rateLimit: ["envoy_local_http_ratelimit_prefix=\"\(PrometheusFamilies.escaped(name))\""]
        case .tcp: ["envoy_tcp_prefix=\"\(PrometheusFamilies.escaped(name))\""]
        case .quota: ["martlet_quota_domain=\"\(PrometheusFamilies.escaped(name))\""]
        case .connectionLimit:
            ["envoy_local_network_ratelimit_prefix=\"\(PrometheusFamilies.escaped(name))\""]
        }
    }

    /// The name of the family, and labels for the parts of the name that are values.
    fileprivate func metric(_ name: String) -> (name: String, labels: [String]) {
        let prefix =
            switch kind {
            case .server: name.hasPrefix("martlet.") ? "" : "envoy_"
            case .listener: "envoy_listener_"
            case .http: "envoy_http_"
            case .cluster: "envoy_cluster_"
            case .rateLimit: "envoy_http_local_rate_limit_"
            case .connectionLimit: "envoy_local_rate_limit_"
            case .quota: "martlet_rate_limit_quota_"
            case .tcp: "envoy_tcp_"
            }
        // `…_rq_5xx`, and not `…consecutive_5xx`.
        if name.hasSuffix("xx"), name.dropLast(3).hasSuffix("_rq_"), let digit = name.dropLast(2).last {
            return (prefix + name.dropLast(3) + "xx", ["envoy_response_code_class=\"\(digit)\""])
        }
        if name.hasPrefix("ssl.versions.") {
            let version = PrometheusFamilies.escaped(String(name.dropFirst("ssl.versions.".count)))
            return (prefix + "ssl_versions", ["envoy_ssl_version=\"\(version)\""])
        }
        return (prefix + String(name.map { $0 == "." || $0 == "-" ? "_" : $0 }), [])
    }
}

/// Lines by family.
private struct PrometheusFamilies {
    enum Kind: String { case counter, gauge, histogram }

    private var lines: [String: (kind: Kind, text: [UInt8])] = [:]

    mutating func add(_ name: String, _ kind: Kind, _ labels: [String], _ value: String) {
        lines[name, default: (kind, [])].text += Self.line(name, labels, value)
    }

    mutating func add(_ name: String, _ histogram: HistogramSnapshot, _ labels: [String]) {
        var text: [UInt8] = []
        for bound in HistogramSnapshot.prometheusBounds {
            let le = "le=\"\(StatisticsSnapshot.number(bound))\""
            text += Self.line(name + "_bucket", labels + [le], "\(histogram.count(upTo: bound))")
        }
        text += Self.line(name + "_bucket", labels + ["le=\"+Inf\""], "\(histogram.count)")
        text += Self.line(name + "_sum", labels, StatisticsSnapshot.number(histogram.sum))
        text += Self.line(name + "_count", labels, "\(histogram.count)")
        lines[name, default: (.histogram, [])].text += text
    }

    var text: [UInt8] {
        var text: [UInt8] = []
        for kind in [Kind.counter, .gauge, .histogram] {
            for (name, family) in lines.sorted(by: { $0.key < $1.key }) where family.kind == kind {
                text += "# TYPE \(name) \(kind.rawValue)\n".utf8
                text += family.text
            }
        }
        return text
    }

    private static func line(_ name: String, _ labels: [String], _ value: String) -> [UInt8] {
        let labels = labels.isEmpty ? "" : "{\(labels.joined(separator: ","))}"
        return Array("\(name)\(labels) \(value)\n".utf8)
    }

    static func escaped(_ value: String) -> String {
        var escaped = ""
        for character in value {
            switch character {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            default: escaped.append(character)
            }
        }
        return escaped
    }
}
