import HTTPModel
import MeshPrimitives
import Telemetry

/// The spans of one request, each as the bytes of an opentelemetry.proto.trace.v1.Span.
enum SpanEncoder {
    private enum Kind: UInt64 { case server = 2, client = 3 }

    static func spans(of entry: borrowing SpanEntry, _ settings: SpanSettings) -> [[UInt8]] {
        let names = SpanNames(entry, settings)
        let record = entry.record
        var spans = [own(entry, names, settings)]
        guard settings.spawnsUpstreamSpan else { return spans }
        for index in 0..<record.attemptsKept { spans.append(attempt(index, entry, names)) }
        return spans
    }

    /// The request as its caller saw it.
    private static func own(
        _ entry: borrowing SpanEntry, _ names: SpanNames, _ settings: SpanSettings
    ) -> [UInt8] {
        // An attempt's span is the client's; without one the proxy is part of the hop that it stands at.
        let isClient = settings.isOutbound && !settings.spawnsUpstreamSpan
        let record = entry.record
        return span(
            record, id: record.spanID, parent: entry.header.parentSpanID,
            state: entry.text(.tracestate)?.text ?? "", name: names.name, isClient ? .client : .server,
            from: 0, to: max(0, record.ended), names.own(isClient: isClient),
            isError: names.isError(record.status, isClient: isClient))
    }

    private static func attempt(_ index: Int, _ entry: borrowing SpanEntry, _ names: SpanNames) -> [UInt8] {
        let record = entry.record
        let attempt = record.attempt(index)
        // The one that was answered goes on until the answer has ended.
        let isLast = index == Int(record.attemptAtHand)
        let end = isLast ? max(record.ended, attempt.start) : attempt.start + max(0, attempt.duration)
        return span(
            record, id: AttemptSpan.id(of: record.spanID, attempt: index + 1), parent: record.spanID,
            state: entry.text(.tracestate)?.text ?? "", name: names.attemptName, .client,
            from: attempt.start, to: end, names.attempt(attempt, number: index, isLast: isLast),
            isError: names.isError(attempt.status, isClient: true))
    }

    private static func span(
        _ record: ExchangeRecord, id: UInt64, parent: UInt64, state: String, name: String, _ kind: Kind,
        from start: Int64, to end: Int64, _ attributes: SpanAttributes, isError: Bool
    ) -> [UInt8] {
        var bytes = WireBytes()
        bytes.identifier(1, record.traceID.high, record.traceID.low)
        bytes.identifier(2, id)
        if !state.isEmpty { bytes.text(3, state) }
        if parent != 0 { bytes.identifier(4, parent) }
        bytes.text(5, name)
        bytes.number(6, kind.rawValue)
        bytes.fixed64(7, UInt64(clamping: record.startedAt + start))
        bytes.fixed64(8, UInt64(clamping: record.startedAt + end))
        attributes.write(to: &bytes)
        // STATUS_CODE_ERROR
        if isError { bytes.message(15) { $0.number(3, 2) } }
        // The trace flags: sampled.
        bytes.fixed32(16, 1)
        return bytes.bytes
    }

    /// An opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest.
    static func request(_ spans: ArraySlice<[UInt8]>, serviceName: String) -> [UInt8] {
        var bytes = WireBytes()
        bytes.message(1) { resourceSpans in
            resourceSpans.message(1) {
                SpanAttributes.write("service.name", .text(serviceName), field: 1, to: &$0)
            }
            resourceSpans.message(2) { scopeSpans in
                scopeSpans.message(1) { $0.text(1, "martlet") }
                for span in spans { scopeSpans.delimited(2, span) }
            }
        }
        return bytes.bytes
    }
}
