import MeshModel
import MeshPrimitives
import Reactor
import Telemetry
import XDSClient

/// All spans of the process. Confined to the thread of its loop.
public final class TraceExporter {
    /// While spans come the workers' rings are emptied so often; a ring holds some hundred requests.
    private static let busyInterval = Duration.milliseconds(50)
    private static let idleInterval = Duration.milliseconds(250)
    /// Envoy's `tracing.opentelemetry.min_flush_spans` and `.flush_interval_ms`.
    private static let flushSpansMin = 5
    private static let flushInterval = Duration.seconds(5)

    let loop: ControlLoop
    let resolver: NameResolver
    let log: LogSink
    private let rings: [SpanRing]
    private let allSettings: () -> [SpanSettings]
    private let counters: CounterWriter
    private let scope: ServerScope
    private var settings: [SpanSettings] = []
    private var collectors: [TraceCollector: CollectorQueue] = [:]
    private(set) var clusters: [String: Cluster] = [:]
    private(set) var flushSpansMin = TraceExporter.flushSpansMin
    private(set) var flushInterval = TraceExporter.flushInterval
    private var timer: ControlLoop.Timer?
    private var droppedByRings: UInt64 = 0

    /// `rings`: of all workers. `settings`: all that there ever were, by number.
    public init(
        loop: ControlLoop, resolver: NameResolver, rings: [SpanRing],
        settings: @escaping () -> [SpanSettings], counters: CounterWriter, scope: ServerScope,
        log: @escaping LogSink
    ) {
        (self.loop, self.resolver, self.rings, self.log) = (loop, resolver, rings, log)
        (allSettings, self.counters, self.scope) = (settings, counters, scope)
    }

    /// What is in force from now on: clusters lead to collectors.
    public func update(_ configuration: Configuration) {
        settings = allSettings()
        guard !settings.isEmpty else { return }
        clusters = Dictionary(configuration.clusters.map { ($0.name, $0) }) { first, _ in first }
        flushSpansMin =
            Self.number(configuration.runtime["tracing.opentelemetry.min_flush_spans"]) ?? Self.flushSpansMin
        flushInterval =
            Self.number(configuration.runtime["tracing.opentelemetry.flush_interval_ms"])
            .map { .milliseconds($0) } ?? Self.flushInterval
        for collector in collectors.values { collector.clustersChanged() }
        if timer == nil { arm(Self.idleInterval) }
    }

    private static func number(_ value: RuntimeValue?) -> Int? {
        guard case .number(let number) = value, number >= 1, number <= 1e9 else { return nil }
        return Int(number)
    }

    /// Connections end; what was not sent is lost.
    public func stop() {
        if let timer { loop.cancel(timer) }
        timer = nil
        for collector in collectors.values { collector.stop() }
        collectors = [:]
    }

    /// Spans that wait, for all collectors; bytes that they take.
    public var waiting: (spans: Int, bytes: Int) {
        collectors.values.reduce((0, 0)) { ($0.0 + $1.queue.count, $0.1 + $1.queue.bytes) }
    }

    private func arm(_ interval: Duration) {
        timer = loop.after(interval) { [weak self] in
            guard let self else { return }
            let count = self.drain()
            self.arm(count > 0 ? Self.busyInterval : Self.idleInterval)
        }
    }

    /// Empties the rings; how many requests were in them.
    @discardableResult func drain() -> Int {
        var count = 0
        for ring in rings {
            count += ring.take { entry in
                let number = Int(entry.header.settings)
                if number >= settings.count { settings = allSettings() }
                guard number < settings.count else { return }
                add(entry, settings[number])
            }
        }
        let dropped = rings.reduce(0) { $0 + $1.droppedCount }
        if dropped > droppedByRings {
            self.count(.tracingOpentelemetrySpansDropped, Int(dropped - droppedByRings))
        }
        droppedByRings = dropped
        for collector in collectors.values { collector.flushIfDue() }
        return count
    }

    private func add(_ entry: borrowing SpanEntry, _ settings: SpanSettings) {
        let collector =
            collectors[settings.collector] ?? CollectorQueue(self, settings.collector)
        collectors[settings.collector] = collector
        for span in SpanEncoder.spans(of: entry, settings) where !collector.append(span) {
            count(.tracingOpentelemetrySpansDropped)
        }
    }

    func count(_ counter: ServerCounter, _ number: Int = 1) { counters.add(scope, counter, number) }
}

/// The spans of one collector: batches, one on its way at a time, tried again with a growing delay.
final class CollectorQueue {
    private unowned let exporter: TraceExporter
    private let collector: TraceCollector
    private(set) var queue = SpanQueue()
    private var client: (any CollectorClient)?
    private var delay = ReconnectDelay(from: .milliseconds(500), to: .seconds(30))
    private var isSending = false
    private var waitsUntil = MonotonicInstant.zero
    /// The oldest span that waits came then.
    private var oldest = MonotonicInstant.distantFuture
    private var hasComplained = false

    init(_ exporter: TraceExporter, _ collector: TraceCollector) {
        (self.exporter, self.collector) = (exporter, collector)
    }

    func append(_ span: [UInt8]) -> Bool {
        if queue.count == 0 { oldest = exporter.loop.now }
        return queue.append(span)
    }

    /// Endpoints or keys may be others.
    func clustersChanged() {
        guard !isSending else { return }
        client?.close()
        client = nil
    }

    func stop() {
        client?.close()
        client = nil
    }

    func flushIfDue() {
        let now = exporter.loop.now
        guard !isSending, queue.count > 0, now >= waitsUntil else { return }
        if queue.count < exporter.flushSpansMin {
            guard now >= oldest.advanced(by: exporter.flushInterval) else { return }
            exporter.count(.tracingOpentelemetryTimerFlushed)
        }
        send()
    }

    private func send() {
        let client: any CollectorClient
        switch connect() {
        case .success(let made): client = made
        case .failure(let problem): return failed(problem.description)
        }
        let batch = queue.batch
        let count = batch.count
        isSending = true
        client.send(SpanEncoder.request(batch, serviceName: collector.serviceName)) { [weak self] outcome in
            self?.ended(outcome, count)
        }
    }

    private func ended(_ outcome: DeliveryOutcome, _ count: Int) {
        isSending = false
        switch outcome {
        case .delivered:
            exporter.count(.tracingOpentelemetrySpansSent, count)
            removeFirst(count)
            delay.succeeded()
            if hasComplained { exporter.log(.info, "\(collector.cluster): spans are taken again") }
            hasComplained = false
            // A backlog does not wait for the next look.
            if queue.count >= SpanQueue.batchSpansMax {
                exporter.loop.atEndOfTurn { [weak self] in self?.flushIfDue() }
            }
        case .refused(let reason):
            exporter.count(.tracingOpentelemetrySpansDropped, count)
            removeFirst(count)
            failed(reason)
        case .failed(let reason): failed(reason)
        }
    }

    private func removeFirst(_ count: Int) {
        queue.removeFirst(count)
        oldest = queue.count > 0 ? exporter.loop.now : .distantFuture
    }

    private func failed(_ reason: String) {
        exporter.count(.tracingOpentelemetryReportsFailed)
        waitsUntil = exporter.loop.now.advanced(by: delay.next(using: &exporter.loop.random))
        if !hasComplained { exporter.log(.warning, "\(collector.cluster): spans cannot be sent: \(reason)") }
        hasComplained = true
    }

    private func connect() -> Result<any CollectorClient, TargetProblem> {
        if let client { return .success(client) }
        guard let cluster = exporter.clusters[collector.cluster] else {
            return .failure(TargetProblem(description: "there is no cluster '\(collector.cluster)'"))
        }
        do throws(TargetProblem) {
            let made: any CollectorClient
            let (loop, resolver) = (exporter.loop, exporter.resolver)
            switch collector.transport {
            case .grpc(let authority):
                made = GRPCCollector(
                    loop, resolver, try ClientTarget(cluster), collector, authority: authority)
            case .http(let host, let path):
                made = HTTPCollector(
                    loop, resolver, try ClientTarget(plainHTTP: cluster), collector, host: host, path: path)
            }
            client = made
            return .success(made)
        } catch {
            return .failure(error)
        }
    }
}
