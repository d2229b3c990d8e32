/// What spans of one connection manager or route are like, and where they go. Built by the configuration, looked at by
/// the exporter; workers know its number only.
public struct SpanSettings: Equatable, Sendable {
    public enum Names: Sendable { case openTelemetry, envoy }

    public struct Tag: Equatable, Sendable {
        public var name: String
        /// Of a field: what stands for it where it is missing; empty: no attribute then.
        public var value: String
        /// A field of the request, lower case; nil: `value` is the tag's.
        public var field: String?

        public init(name: String, value: String, field: String? = nil) {
            (self.name, self.value, self.field) = (name, value, field)
        }
    }

    public var collector: TraceCollector
    public var names: Names
    /// The proxy stands at the caller's side: its span is the client's, unless attempts have spans of their own.
    public var isOutbound: Bool
    /// Each attempt has a span, the parent of what the endpoint does.
    public var spawnsUpstreamSpan: Bool
    public var pathLengthMax: Int
    public var tags: [Tag]
    /// Of this proxy.
    public var nodeID = ""
    public var zone = ""

    public init(
        collector: TraceCollector, names: Names, isOutbound: Bool = false, spawnsUpstreamSpan: Bool = false,
        pathLengthMax: Int = 256, tags: [Tag] = []
    ) {
        (self.collector, self.names, self.isOutbound) = (collector, names, isOutbound)
        (self.spawnsUpstreamSpan, self.pathLengthMax, self.tags) = (spawnsUpstreamSpan, pathLengthMax, tags)
    }
}

/// Who is sent spans, and how: OTLP over gRPC or HTTP, through a cluster.
public struct TraceCollector: Hashable, Sendable {
    public struct Field: Hashable, Sendable {
        public var name: String
        public var value: String

        public init(name: String, value: String) { (self.name, self.value) = (name, value) }
    }

    public enum Transport: Hashable, Sendable {
        case grpc(authority: String)
        /// `path` begins with a slash.
        case http(host: String, path: String)
    }

    public var cluster: String
    public var serviceName: String
    public var transport: Transport
    /// Metadata, or fields of the request.
    public var fields: [Field]
    /// Nanoseconds, for one batch.
    public var timeout: Int64

    public init(
        cluster: String, serviceName: String, transport: Transport, fields: [Field] = [],
        timeout: Int64 = 10_000_000_000
    ) {
        (self.cluster, self.serviceName, self.transport) = (cluster, serviceName, transport)
        (self.fields, self.timeout) = (fields, timeout)
    }
}

/// The span of an attempt: made from the request's own, so that nobody has to remember it.
public enum AttemptSpan {
    /// `number` counts from 1. Never 0.
    public static func id(of span: UInt64, attempt number: Int) -> UInt64 {
        // The finisher of SplitMix64: one to one, so attempts of one request differ.
        var mixed = span &+ UInt64(truncatingIfNeeded: number) &* 0x9e37_79b9_7f4a_7c15
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return max(1, mixed ^ (mixed >> 31))
    }
}
