import HealthChecks
import MeshModel
import MeshPrimitives
import NameResolution
import Proxy
import ProxyAdmin
import QuotaClient
import Reactor
import TraceExport
import XDSClient
import XDSDiscovery
import XDSSchema

/// The running process, on its control thread: what starts, in which order, and how it ends.
///
///     starting --configuration in force--> serving --SIGTERM, SIGINT, /quitquitquit--> draining --> ended
///         '--problem: StartFailure                                                     nothing in flight,
///                                                                                      time over, second signal
final class ProxyProcess {
    /// How often a drain looks whether anything is still in flight.
    private static let drainInterval = Duration.milliseconds(20)
    private static let readinessInterval = Duration.milliseconds(100)
    /// After it what was read and freed is tidied up, which takes a while with thousands of clusters.
    private static let settlingTime = Duration.milliseconds(200)

    private let options: ProxyOptions
    private let loop: ControlLoop
    private let signals: SignalSource
    private let log: ProcessLog
    private let server: ProxyServer
    private let resolver: NameResolver
    private let names: EndpointNames
    private let checks: HealthChecker
    private let spans: TraceExporter
    private let quotas: QuotaReporter
    private let flushing: FlushRequests
    private var source: ConfigurationSource
    private var pages: AdminPages?
    private var servers: [AdminServer] = []

    private var newest = Configuration()
    private var warming = ClusterWarming()
    /// A configuration is in force that is complete: what there was to wait for has come.
    private var isServing = false
    private var startFailure: StartFailure?
    private var drainEnd: MonotonicInstant?
    private var outlierTimer: ControlLoop.Timer?

    init(
        _ options: ProxyOptions, loop: ControlLoop, signals: consuming SignalSource, log: ProcessLog,
        makeSource: SourceMaker
    ) throws(StartFailure) {
        (self.options, self.loop, self.log) = (options, loop, log)
        self.signals = signals
        let workers = options.concurrency ?? min(ProcessorCount.available(), ProxyOptions.concurrencyMax)
        do throws(SystemErrno) {
            server = try ProxyServer(kernel: loop.kernel, workers: workers, log: log)
            try server.start()
        } catch {
            throw .running("cannot start: \(error)")
        }
        resolver = NameResolver(loop: loop)
        names = EndpointNames(loop: loop) { CAresSource(loop: loop) }
        checks = HealthChecker(loop: loop, resolver: resolver, server: server, log: log.checkSink)
        spans = TraceExporter(
            loop: loop, resolver: resolver, rings: server.process.spanRings,
            settings: { [server] in server.process.allSpanSettings }, counters: server.controlCounters,
            scope: server.process.serverScope, log: log.sink("tracing"))
        flushing = FlushRequests(loop: loop, log: log, files: server.process.logFiles)
        source = try makeSource(loop, resolver, server)
        quotas = QuotaReporter(
            loop: loop, resolver: resolver, table: server.process.quotas, control: source.controlTarget,
            log: log.sink("quotas"))
        pages = makePages(workers: workers)
    }

    // MARK: The story

    /// Until the process is to end; 0, or why it did not start.
    func run() throws(StartFailure) {
        try watchSignals()
        try listen()
        log.note(.info, "starting", detail: "martlet-proxy \(ProxyVersion.text)")
        names.changed = { [unowned self] in self.apply(self.newest) }
        names.count = { [unowned self] in self.server.countUpdate(of: $0, $1) }
        checks.clusterChecked = { [unowned self] name in
            if self.warming.isWarming(name) { self.apply(self.newest) }
        }
        checks.firstChecksEnded = { [unowned self] in self.apply(self.newest) }
        source.start { [unowned self] in self.apply($0) }
        flushRegularly()
        awaitReadiness()
        loop.run()
        end()
        if let startFailure { throw startFailure }
    }

    private func apply(_ configuration: Configuration) {
        newest = configuration
        var next = names.resolved(configuration)
        let isComplete = source.isReady() && names.isComplete && checks.areFirstChecksDone
        // Nobody is let in before there is somewhere to go.
        if !isServing, !isComplete { next.listeners = [] }
        next.warmingClusters = warmingClusters(next)
        do throws(ApplyError) {
            try server.apply(next)
        } catch {
            return refused(error)
        }
        if isServing || isComplete { source.takenUp() }
        tendOutliers()
        checks.update(server)
        spans.update(next)
        quotas.update(next)
        // Those without endpoints have nothing to wait for.
        if warming.contains(where: { checks.areFirstChecksDone(of: $0) }) {
            loop.atEndOfTurn { [unowned self] in self.apply(self.newest) }
        }
        let problems = server.process.logFiles.problems
        if !isServing, !problems.isEmpty {
            return fail(.init(status: 1, lines: problems.map { "access log \($0)" }))
        }
        for problem in problems { log.note(.error, "access log cannot be written", detail: "\(problem)") }
        log.note(.debug, "configuration in force", detail: Self.summary(next))
        guard isComplete, !isServing, checks.areFirstChecksDone else { return }
        isServing = true
        log.note(.info, "serving", detail: Self.summary(next))
        // Not at once: the first requests would wait for it.
        loop.after(Self.settlingTime) { [unowned self] in
            self.source.settle()
            SpareMemory.giveBack()
            CodePages.giveBack()
        }
    }

    private func warmingClusters(_ configuration: Configuration) -> Set<String> {
        let outcome = warming.update(
            configuration.clusters.map { ($0.name, $0.healthCheck?.mode == .enforce) },
            isServing: isServing, at: loop.now
        ) { checks.areFirstChecksDone(of: $0) }
        for name in outcome.expired {
            log.note(.warning, "cluster used before its first health checks are in", detail: name)
        }
        if !outcome.begun.isEmpty {
            loop.after(ClusterWarming.timeMax) { [unowned self] in self.apply(self.newest) }
        }
        return outcome.warming
    }

    /// Outlier detectors compare and bring back at the ends of their intervals.
    private func tendOutliers() {
        if let outlierTimer { loop.cancel(outlierTimer) }
        outlierTimer = server.tendOutliers(at: loop.now).map { next in
            loop.after(next.nanoseconds(since: loop.now)) { [unowned self] in self.tendOutliers() }
        }
    }

    /// What is waited for may end without another configuration, as when nothing comes in time.
    private func awaitReadiness() {
        guard !isServing else { return }
        loop.after(Self.readinessInterval) { [unowned self] in
            if !self.isServing, self.source.isReady(), self.names.isComplete, self.checks.areFirstChecksDone {
                self.apply(self.newest)
            }
            self.awaitReadiness()
        }
    }

    /// What was in force stays so. What came from a control plane is refused there, and its predecessor comes back from
    /// the source.
    private func refused(_ error: ApplyError) {
        if let (kind, name) = error.subject?.resource, source.refuse(kind, name, error.reason) { return }
        guard isServing || source.isDynamic else {
            let isOurs = if case .cannotCompile = error { true } else { false }
            return fail(.init(status: isOurs ? 2 : 1, lines: ["\(error)"]))
        }
        log.note(.error, "configuration not taken up", detail: "\(error)")
    }

    private func fail(_ failure: StartFailure) {
        startFailure = failure
        loop.stop()
    }

    private static func summary(_ configuration: Configuration) -> String {
        "\(configuration.listeners.count) listeners, \(configuration.clusters.count) clusters"
    }

    // MARK: The end

    /// Once: drain. Twice: at once.
    private func stop(_ reason: StaticString) {
        guard drainEnd == nil, isServing else { return loop.stop() }
        log.note(.info, "draining", detail: "\(reason)")
        drainEnd = loop.now.advanced(by: options.drainTime)
        server.beginDrain()
        pollDrain()
    }

    private func pollDrain() {
        guard let drainEnd, !server.isDrained, loop.now < drainEnd else { return loop.stop() }
        loop.after(Self.drainInterval) { [unowned self] in self.pollDrain() }
    }

    private func end() {
        source.stop()
        checks.stop()
        spans.stop()
        quotas.stop()
        for server in servers { server.stop() }
        server.stop()
        if startFailure == nil { log.note(.info, "ended") }
        flushing.stop()
        log.flush()
    }

    // MARK: Signals and logs

    private func watchSignals() throws(StartFailure) {
        do throws(SystemErrno) {
            _ = try loop.register(signals.descriptor, readableOnly: true) { [unowned self] _ in
                while let signal = self.signals.next() { self.handle(signal) }
            }
        } catch {
            throw .running("cannot watch signals: \(error)")
        }
    }

    private func handle(_ signal: SignalSource.Signal) {
        switch signal {
        case .terminate: stop("SIGTERM")
        case .interrupt: stop("SIGINT")
        case .user1:
            log.reopen()
            server.reopenLogs()
        case .user2: log.note(.warning, "SIGUSR2 has no effect: there is no hand-over yet")
        case .hangup: break
        }
    }

    private func flushRegularly() {
        loop.after(options.fileFlushInterval) { [unowned self] in
            self.server.flushLogs()
            self.log.flush()
            self.flushRegularly()
        }
    }

    // MARK: Pages

    private func makePages(workers: Int) -> AdminPages {
        var facts = AdminPages.Facts()
        facts.version = ProxyVersion.text
        facts.options = { [options] in options.shown(workers: workers) }
        facts.workers = workers
        (facts.started, facts.startedAt) = (loop.now, loop.wallClock)
        var surroundings = AdminPages.Surroundings()
        surroundings.isReady = { [unowned self] in self.isServing }
        surroundings.isStopping = { [unowned self] in self.drainEnd != nil }
        surroundings.bootstrap = source.bootstrap
        surroundings.node = source.node
        surroundings.resources = source.resources
        surroundings.discovery = source.statistics
        surroundings.drainListeners = { [unowned self] in self.server.beginDrain() }
        surroundings.quit = { [unowned self] in self.stop("/quitquitquit") }
        return AdminPages(server: server, loop: loop, facts: facts, surroundings: surroundings)
    }

    private func listen() throws(StartFailure) {
        guard let pages else { return }
        if let wanted = source.addresses.admin {
            source.addresses.admin = try listen(wanted, "admin") { pages.answer($0) }
            if let path = options.adminAddressPath, let bound = source.addresses.admin {
                try write("\(bound)", to: path)
            }
        }
        if let wanted = source.addresses.health {
            source.addresses.health = try listen(wanted, "health") { pages.answerHealth($0) }
        }
        if let wanted = source.addresses.metrics {
            source.addresses.metrics = try listen(wanted, "metrics") { pages.answerMetrics($0) }
        }
        guard let file = source.portsFile(source.addresses) else { return }
        try write(file.text, to: file.path)
    }

    private func listen(
        _ address: SocketAddress, _ name: String, _ answer: @escaping (AdminRequest) -> AdminAnswer
    ) throws(StartFailure) -> SocketAddress {
        let own = AdminServer(loop: loop, answer: answer)
        do throws(SystemErrno) {
            let bound = try own.listen(address)
            servers.append(own)
            return bound
        } catch .addressInUse {
            throw .running("\(name): \(address): address in use")
        } catch {
            throw .running("\(name): cannot listen on \(address): \(error)")
        }
    }

    private func write(_ text: String, to path: String) throws(StartFailure) {
        do throws(FileError) {
            try FileSystem.writeAtomically(path, Array(text.utf8))
        } catch {
            throw .running("\(error)")
        }
    }
}

extension CompileError.Subject {
    fileprivate var resource: (ResourceKind, String) {
        switch self {
        case .cluster(let name): (.cluster, name)
        case .listener(let name): (.listener, name)
        case .routes(let name): (.routes, name)
        }
    }
}
