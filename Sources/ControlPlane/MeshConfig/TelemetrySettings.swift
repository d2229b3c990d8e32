import AdminAPI

/// `TelemetryPolicy`: trace context and access log.
public struct TelemetrySettings: PolicySettings {
    public enum TraceFormat: String, Sendable, CaseIterable { case w3c, b3 }

    public enum LogFormat: Sendable, Equatable {
        /// Envoy's format string, with its operators (`%RESPONSE_CODE%`).
        case text(String)
        /// Members in the order of their names.
        case json([String: String])
    }

    /// Who is sent spans (OTLP).
    public struct Collector: Sendable, Hashable {
        public enum TransportProtocol: String, Sendable, CaseIterable { case grpc, http }

        public var host: String
        public var port: Int
        public var transport: TransportProtocol
        /// Over HTTP; begins with a slash.
        public var path: String

        public init(host: String, port: Int, transport: TransportProtocol, path: String) {
            (self.host, self.port, self.transport, self.path) = (host, port, transport, path)
        }
    }

    /// Which requests have a line: those of which any of the first three is true; all, if none is asked for.
    public struct LogFilter: Sendable, Equatable {
        /// The status of the answer is that or a higher one.
        public var statusMin: Int?
        public var slowerThan: Duration?
        /// One of these response flags is set.
        public var flags: [String] = []
        /// Requests of health checks have lines too.
        public var logsHealthChecks = true

        public init() {}
    }

    /// Share of the requests that come without a context and get the sampled flag, in percent.
    public var samplingPercent: Double?
    /// Which contexts a request without one gets.
    public var formats: [TraceFormat]?
    /// nil: no spans are made.
    public var collector: Collector?
    public var isLogEnabled: Bool?
    public var logPath: String?
    public var logFormat: LogFormat?
    public var logFilter: LogFilter?

    public init() {}

    public static var kind: ResourceKind { .telemetryPolicy }
    public static var targetKinds: [PolicyTarget.Kind] { [.mesh, .namespace, .service] }
    public static var directions: [PolicyDirection] { [] }
    /// Which traces would be sampled and which requests have a line: counted, and neither exported nor written.
    public static var runsInShadow: Bool { true }

    public static func policy(in specification: Resource.Specification) -> Policy<TelemetrySettings>? {
        guard case .telemetryPolicy(let policy) = specification else { return nil }
        return policy
    }

    public func filled(from broader: TelemetrySettings) -> TelemetrySettings {
        var result = self
        result.samplingPercent = samplingPercent ?? broader.samplingPercent
        result.formats = formats ?? broader.formats
        result.collector = collector ?? broader.collector
        result.isLogEnabled = isLogEnabled ?? broader.isLogEnabled
        result.logPath = logPath ?? broader.logPath
        result.logFormat = logFormat ?? broader.logFormat
        result.logFilter = logFilter ?? broader.logFilter
        return result
    }

    static func read(_ fields: Fields) -> TelemetrySettings {
        var settings = TelemetrySettings()
        fields.mapping("tracing") { fields -> Bool? in
            settings.samplingPercent = fields.percent("sampling")
            settings.formats = fields.scalars("formats", countMax: 2) { node, path in
                fields.reader.choice(node, path, TraceFormat.self)
            }
            settings.collector = fields.mapping("otlp") { collector($0) }
            fields.notYet("zipkin")
            return true
        }
        fields.mapping("accessLog") { fields -> Bool? in
            settings.isLogEnabled = fields.boolean("enabled") ?? true
            settings.logPath = fields.checked("path") { path in
                path.hasPrefix("/") && path.utf8.count <= 1024
                    ? nil
                    : Syntax.Fault(
                        problem: "must be an absolute path", remedy: "write one such as /dev/stdout")
            }
            let text = fields.string("text")
            let json = fields.texts("json") { _ in nil }
            if text != nil, json != nil {
                fields.report("json", "the log has one format, not two", "keep either text or json")
            }
            settings.logFormat = text.map(LogFormat.text) ?? json.map(LogFormat.json)
            settings.logFilter = fields.mapping("filter") { logFilter($0) }
            return true
        }
        fields.notYet("metrics")
        return settings
    }

    private static func collector(_ fields: Fields) -> Collector? {
        let transport = fields.choice("protocol", Collector.TransportProtocol.self) ?? .grpc
        let path = fields.checked("path", Syntax.path)
        if path != nil, transport == .grpc {
            fields.report("path", "gRPC has a path of its own", "remove it, or set 'protocol: http'")
        }
        let address = fields.checked("address", isRequired: true, Self.collectorAddress)
        guard let address, let colon = address.lastIndex(of: ":") else { return nil }
        return Collector(
            host: String(address[..<colon]), port: Int(address[address.index(after: colon)...]) ?? 0,
            transport: transport, path: path ?? "/v1/traces")
    }

    private static func logFilter(_ fields: Fields) -> LogFilter? {
        var filter = LogFilter()
        filter.statusMin = fields.integer("statusMin", in: 100...599)
        filter.slowerThan = fields.duration("slowerThan", in: .milliseconds(1)...Duration.seconds(24 * 3600))
        filter.flags =
            fields.scalars("flags", countMax: ResponseFlagText.all.count) { node, path in
                fields.reader.checked(node, path) { text in
                    ResponseFlagText(text)?.flag == text
                        ? nil
                        : Syntax.Fault(
                            problem: "'\(text.clipped)' is no response flag",
                            remedy:
                                "write some of \(ResponseFlagText.all.map(\.flag).joined(separator: ", "))")
                }
            } ?? []
        filter.logsHealthChecks = fields.boolean("healthChecks") ?? true
        return filter
    }

    /// HOST:PORT, with a name or an IPv4 address.
    private static func collectorAddress(_ text: String) -> Syntax.Fault? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let isValid =
            parts.count == 2 && Syntax.hostName(String(parts[0]).lowercased()) == nil
            && (Int(parts[1]).map { (1...65_535).contains($0) } ?? false)
        return isValid
            ? nil
            : Syntax.Fault(
                problem: "'\(text)' is not HOST:PORT", remedy: "write one such as collector.example.com:4317")
    }
}
