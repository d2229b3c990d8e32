/// `TelemetryPolicy`: trace context and access log.
public struct TelemetrySettings: PolicySettings {
    public enum TraceFormat: String, Sendable, CaseIterable { case w3c, b3 }

    public enum LogFormat: Sendable, Equatable {
        /// Envoy's format string, with its operators (`%RESPONSE_CODE%`).
        case text(String)
        /// Members in the order of their names.
        case json([String: String])
    }

    /// Share of the requests that come without a context and get the sampled flag, in percent.
    public var samplingPercent: Double?
    /// Which contexts a request without one gets.
    public var formats: [TraceFormat]?
    public var isLogEnabled: Bool?
    public var logPath: String?
    public var logFormat: LogFormat?

    public init() {}

    public static var kind: ResourceKind { .telemetryPolicy }
    public static var targetKinds: [PolicyTarget.Kind] { [.mesh, .namespace, .service] }
    public static var directions: [PolicyDirection] { [] }

    public static func policy(in specification: Resource.Specification) -> Policy<TelemetrySettings>? {
        guard case .telemetryPolicy(let policy) = specification else { return nil }
        return policy
    }

    public func filled(from broader: TelemetrySettings) -> TelemetrySettings {
        var result = self
        result.samplingPercent = samplingPercent ?? broader.samplingPercent
        result.formats = formats ?? broader.formats
        result.isLogEnabled = isLogEnabled ?? broader.isLogEnabled
        result.logPath = logPath ?? broader.logPath
        result.logFormat = logFormat ?? broader.logFormat
        return result
    }

    static func read(_ fields: Fields) -> TelemetrySettings {
        var settings = TelemetrySettings()
        fields.mapping("tracing") { fields -> Bool? in
            settings.samplingPercent = fields.percent("sampling")
            settings.formats = fields.scalars("formats", countMax: 2) { node, path in
                fields.reader.choice(node, path, TraceFormat.self)
            }
            fields.notYet("otlp", "zipkin")
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
            fields.notYet("filter")
            return true
        }
        fields.notYet("metrics")
        return settings
    }
}
