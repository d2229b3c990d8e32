/// envoy…HttpConnectionManager.Tracing: which requests are traced, and who is sent the spans.
public struct Tracing: Sendable, Equatable {
    public var sampling = TraceSampling()
    public var tags: [TraceTag] = []
    /// Of a path in a span, in bytes.
    public var pathLengthMax = 256
    /// Every attempt has a span of its own.
    public var spawnsUpstreamSpan = false
    /// The listener's `traffic_direction` is OUTBOUND.
    public var isOutbound = false
    /// nil: requests are chosen, and no spans made.
    public var exporter: TraceExporterSettings?

    public init() {}
}

/// Shares of requests; `runtimeKey` is never set.
public struct TraceSampling: Sendable, Equatable {
    /// Of those with `x-client-trace-id`.
    public var client = Fraction.all
    public var random = Fraction.all
    /// Of those that were chosen.
    public var overall = Fraction.all

    public init() {}
}

/// envoy.type.tracing.v3.CustomTag
public struct TraceTag: Sendable, Equatable {
    public var name: String
    /// A constant, what the environment had, or what stands for a missing field.
    public var value: String
    /// A field of the request, in lower case.
    public var field: String?

    public init(name: String, value: String, field: String? = nil) {
        (self.name, self.value, self.field) = (name, value, field)
    }
}

/// envoy.config.trace.v3.OpenTelemetryConfig
public struct TraceExporterSettings: Sendable, Equatable {
    public enum Transport: Sendable, Equatable {
        case grpc(authority: String)
        case http(host: String, path: String)
    }

    public struct Field: Sendable, Equatable {
        public var name: String
        public var value: String

        public init(name: String, value: String) { (self.name, self.value) = (name, value) }
    }

    public var cluster: String
    public var serviceName: String
    public var transport: Transport
    public var fields: [Field] = []
    /// For one batch.
    public var timeout: Duration = .seconds(10)

    public init(cluster: String, serviceName: String, transport: Transport) {
        (self.cluster, self.serviceName, self.transport) = (cluster, serviceName, transport)
    }
}

/// envoy.config.route.v3.Tracing: in place of the connection manager's shares; tags are added to its.
public struct RouteTracing: Sendable, Equatable {
    public var sampling = TraceSampling()
    public var tags: [TraceTag] = []

    public init() {}
}
