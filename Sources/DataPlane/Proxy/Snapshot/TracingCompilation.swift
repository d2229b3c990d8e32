import MeshModel
import MeshPrimitives
import Telemetry
import TrafficPolicy

/// Which requests are traced, and where their spans go.
struct TracingRecord: BitwiseCopyable {
    var sampling = SamplingSettings()
    /// Number of the process's `SpanSettings`; -1: no spans are made.
    var spans: Int32 = -1
    /// Bytes.
    var pathLengthMax: Int32 = 256
    var tagFields = Table<TagFieldRecord>()
}

/// A field of the request whose value is a tag.
struct TagFieldRecord: BitwiseCopyable {
    var name: ByteView
    /// Among the settings' tags.
    var index: Int32
}

/// Which heads tell the proxy on the other side what spans are called, in `x-envoy-decorator-operation`.
enum Decoration: UInt8, BitwiseCopyable { case none, ofRequests, ofAnswers }

extension SnapshotCompiler {
    /// What becomes of trace fields, which requests are traced, and where their spans go.
    mutating func compileTracing(
        of manager: HTTPConnectionManager, into http: inout HTTPChainRecord, _ place: String
    ) throws(CompileError) {
        let isMesh = manager.traceContext != nil
        if let trace = manager.traceContext {
            http.hasTraceContext = true
            http.traceContext = TraceSettings(trace)
            http.shadowSampling = trace.shadowSampled.map {
                FractionRecord(numerator: $0.numerator, denominator: max($0.denominator, 1))
            }
        }
        tracing = manager.tracing.map { ($0, isMesh) }
        guard let settings = manager.tracing else { return }
        http.hasTracing = true
        http.tracing = arena.store([try compile(settings, isMesh: isMesh, place)])
        guard settings.exporter != nil else { return }
        // Under a plain configuration as Envoy's exporter has it: a request without any context gets W3C's.
        if !isMesh {
            http.traceContext = TraceSettings(isOn: true, added: .w3c)
            http.traceContext.followsEnvoy = true
        }
        http.hasTraceContext = true
        http.traceContext.hasExporter = true
        http.spawnsUpstreamSpan = settings.spawnsUpstreamSpan
        http.decoration = settings.isOutbound ? .ofRequests : .ofAnswers
    }

    /// `route`: what a route has in place of it.
    func compile(
        _ tracing: Tracing, _ route: RouteTracing? = nil, isMesh: Bool, _ place: String
    ) throws(CompileError) -> TracingRecord {
        var record = TracingRecord()
        record.sampling = SamplingSettings(route?.sampling ?? tracing.sampling)
        record.pathLengthMax = Int32(clamping: min(tracing.pathLengthMax, SpanRing.textBytesMax))
        guard let exporter = tracing.exporter else { return record }
        let own = route?.tags ?? []
        let names = Set(own.map(\.name))
        let tags = own + tracing.tags.filter { !names.contains($0.name) }
        var settings = SpanSettings(
            collector: TraceCollector(exporter), names: isMesh ? .openTelemetry : .envoy,
            isOutbound: tracing.isOutbound, spawnsUpstreamSpan: tracing.spawnsUpstreamSpan,
            pathLengthMax: tracing.pathLengthMax,
            tags: tags.map { SpanSettings.Tag(name: $0.name, value: $0.value, field: $0.field) })
        (settings.nodeID, settings.zone) = (nodeID, ownLocality.zone)
        guard let number = process.number(of: settings) else {
            throw CompileError(
                resource: place,
                reason:
                    "tracing: more than \(ProcessState.spanSettingsMax) different settings since the start")
        }
        record.spans = number
        record.tagFields = arena.store(
            tags.enumerated().compactMap { index, tag in
                tag.field.map { TagFieldRecord(name: arena.store(text: $0), index: Int32(index)) }
            })
        return record
    }
}

extension SamplingSettings {
    init(_ sampling: TraceSampling) {
        self.init(
            client: FractionalPercent(sampling.client), random: FractionalPercent(sampling.random),
            overall: FractionalPercent(sampling.overall))
    }
}

extension FractionalPercent {
    init(_ fraction: Fraction) {
        let denominator: Denominator =
            switch fraction.denominator {
            case 10_000: .tenThousand
            case 1_000_000: .million
            default: .hundred
            }
        self.init(fraction.numerator, of: denominator)
    }
}

extension TraceCollector {
    init(_ settings: TraceExporterSettings) {
        let transport: Transport =
            switch settings.transport {
            case .grpc(let authority): .grpc(authority: authority)
            case .http(let host, let path): .http(host: host, path: path)
            }
        self.init(
            cluster: settings.cluster, serviceName: settings.serviceName, transport: transport,
            fields: settings.fields.map { Field(name: $0.name, value: $0.value) },
            timeout: settings.timeout.nanoseconds)
    }
}
