import HTTPModel
import MeshPrimitives
import Telemetry
import TrafficPolicy

/// Which requests are traced, and what the exporter gets of those that are over.
extension Worker {
    /// Where the connection manager has a `tracing` block: once the route is known, whose shares go before.
    mutating func trace(_ exchange: ExchangePlace) {
        let isTraced = sample(exchange)
        guard exchange.chain.http.hasTraceContext else { return }
        var settings = exchange.chain.http.traceContext
        settings.sampling = isTraced ? .always : .never
        continueTrace(exchange, settings)
    }

    /// Gives the request its trace context.
    @inline(__always)
    mutating func continueTrace(_ exchange: ExchangePlace, _ settings: TraceSettings) {
        let trace = TraceDecision(
            exchange.head, exchange.value.headBytes.view, settings, random: &random)
        exchange.value.trace = trace
        guard let context = trace.context else { return }
        exchange.value.record.traceID = context.traceID
        exchange.value.record.spanID = context.spanID
        exchange.value.record.isSampled = context.isSampled
        if let share = exchange.chain.http.shadowSampling, trace.parentSpanID == 0 {
            noteShadowSampling(exchange, share, context.traceID)
        }
    }

    /// A trace begins here. Its id decides, or watching would change what others draw.
    @inline(never)
    private mutating func noteShadowSampling(
        _ exchange: ExchangePlace, _ share: FractionRecord, _ traceID: TraceID
    ) {
        guard traceID.low % UInt64(share.denominator) < UInt64(share.numerator) else { return }
        counters.add(exchange.chain.http.scope, .shadowTracesSampled)
        exchange.value.record.shadows.insert(.sampled)
    }

    /// The decision is carried on in `x-request-id`.
    private mutating func sample(_ exchange: ExchangePlace) -> Bool {
        let bytes = exchange.value.headBytes.view
        var id: RequestID? = exchange.value.record.requestID
        if !exchange.value.setsRequestID {
            id = exchange.head.value(of: .xRequestID, in: bytes).flatMap { RequestID(uuid: $0) }
        }
        let marks = traceMarks(exchange.head, bytes)
        let isTrusted = mayControl(exchange)
        let decision = SamplingDecision(
            id, hasClientTraceID: marks.hasClientTraceID, isForced: marks.isForced && isTrusted,
            tracing(exchange).value.sampling, random: &random)
        if let id, id.traceReason != decision.reason {
            exchange.value.record.requestID = id.setting(decision.reason)
            exchange.value.setsRequestID = true
        }
        let counter: HTTPCounter =
            switch decision.reason {
            case .notTraced: .tracingNotTraceable
            case .sampled: .tracingRandomSampling
            case .serviceForced: .tracingServiceForced
            case .clientForced: .tracingClientEnabled
            }
        counters.add(exchange.chain.http.scope, counter)
        return decision.isTraced
    }

    /// `x-client-trace-id` and `x-envoy-force-trace`: told from most other fields by the lengths of their names.
    private func traceMarks(
        _ head: borrowing @_addressable MessageHead, _ bytes: ByteView
    ) -> (hasClientTraceID: Bool, isForced: Bool) {
        var marks = (hasClientTraceID: false, isForced: false)
        for index in 0..<head.count {
            let field = head.field(index)
            guard field.name == .other else { continue }
            if field.nameCount == 17, head.name(index, in: bytes).equalsLowercased("x-client-trace-id") {
                marks.hasClientTraceID = true
            } else if field.nameCount == 19,
                head.name(index, in: bytes).equalsLowercased("x-envoy-force-trace")
            {
                marks.isForced = true
            }
        }
        return marks
    }

    @inline(__always)
    private func tracing(_ exchange: ExchangePlace) -> Reference<TracingRecord> {
        if exchange.value.hasRoute, !exchange.route.tracing.isEmpty {
            return exchange.route.tracing.reference(0)
        }
        return exchange.chain.http.tracing.reference(0)
    }

    // MARK: Names

    /// A proxy at the caller's side tells the one at the callee's what spans of the route are called; that one keeps it.
    mutating func decorateRequest(_ exchange: ExchangePlace) {
        switch exchange.chain.http.decoration {
        case .none: break
        case .ofAnswers: edits.drop(.xEnvoyDecoratorOperation)
        case .ofRequests:
            guard !exchange.route.operation.isEmpty, exchange.route.tellsOperation else { return }
            edits.drop(.xEnvoyDecoratorOperation)
            edits.add(.xEnvoyDecoratorOperation, exchange.route.operation)
        }
    }

    /// A proxy at the callee's side tells the one at the caller's what spans of the route are called, unless it was told.
    mutating func decorateAnswer(_ exchange: ExchangePlace, _ bytes: ByteView) {
        switch exchange.chain.http.decoration {
        case .none: break
        case .ofRequests:
            edits.drop(.xEnvoyDecoratorOperation)
            guard exchange.value.record.isSampled, !exchange.value.operation.isAllocated,
                let told = answer.value(of: .xEnvoyDecoratorOperation, in: bytes), !told.isEmpty
            else { return }
            exchange.value.operation = pool.take(told.count)
            _ = exchange.value.operation.append(told)
        case .ofAnswers:
            guard !exchange.route.operation.isEmpty, exchange.route.tellsOperation,
                toldOperation(exchange).isEmpty
            else { return }
            edits.drop(.xEnvoyDecoratorOperation)
            edits.add(.xEnvoyDecoratorOperation, exchange.route.operation)
        }
    }

    /// What the caller's proxy calls it; empty for nothing.
    private func toldOperation(_ exchange: ExchangePlace) -> ByteView {
        exchange.head.value(of: .xEnvoyDecoratorOperation, in: exchange.value.headBytes.view) ?? ByteView("")
    }

    // MARK: The end

    /// Hands a sampled request that is over to the exporter.
    @inline(never)
    mutating func exportSpan(_ exchange: ExchangePlace) {
        let tracing = tracing(exchange)
        // Health checks of the proxy itself are nobody's business.
        guard tracing.value.spans >= 0, !exchange.value.record.isHealthCheck else { return }
        let header = SpanHeader(
            settings: tracing.value.spans, isHTTPS: exchange.value.downstream.value.tls != nil,
            parentSpanID: exchange.value.trace?.parentSpanID ?? 0)
        let count =
            exchange.chain.http.spawnsUpstreamSpan ? 1 + exchange.value.record.attemptsKept : 1
        guard var entry = spans.begin(inPlace: &exchange.value.record, header, spans: count) else { return }
        let bytes = exchange.value.headBytes.view
        // The settings' tags first: an operator asked for them by name.
        let fields = tracing.value.tagFields
        for index in fields.indices {
            if let value = exchange.head.value(named: fields[index].name, in: bytes) {
                entry.add(tag: Int(fields[index].index), value)
            }
        }
        entry.add(.path, bytes[exchange.head.path.range].prefix(Int(tracing.value.pathLengthMax)))
        entry.add(.authority, bytes[exchange.head.authority.range])
        if let agent = exchange.head.value(of: .userAgent, in: bytes) { entry.add(.userAgent, agent) }
        if let state = exchange.head.value(of: .tracestate, in: bytes),
            exchange.value.trace?.edits.contains(.removeTracestate) == false
        {
            entry.add(.tracestate, state)
        }
        scratch.removeAll()
        if exchange.value.setsRequestID {
            _ = exchange.value.record.requestID.append(to: &scratch)
            entry.add(.requestID, scratch.view)
        } else if let id = exchange.head.value(of: .xRequestID, in: bytes) {
            entry.add(.requestID, id)
        }
        if exchange.value.cluster >= 0, let record = clusters[Int(exchange.value.cluster)].record {
            entry.add(.cluster, record.value.name)
        }
        entry.add(.route, exchange.route.name)
        let told =
            exchange.chain.http.decoration == .ofAnswers
            ? toldOperation(exchange) : exchange.value.operation.view
        entry.add(.operation, told.isEmpty ? exchange.route.operation : told)
        addOwnNames(exchange, bytes, to: &entry)
        spans.commit(entry)
    }

    private func addOwnNames(_ exchange: ExchangePlace, _ bytes: ByteView, to entry: inout SpanEntryWriter) {
        let downstream = ByteView("x-envoy-downstream-service-cluster")
        if let name = exchange.head.value(named: downstream, in: bytes) {
            entry.add(.downstreamCluster, name)
        }
        let client = ByteView("x-client-trace-id")
        if let id = exchange.head.value(named: client, in: bytes) { entry.add(.clientTraceID, id) }
    }
}
