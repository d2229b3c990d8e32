import Glibc
import MeshModel
import MeshPrimitives
import Reactor
import Synchronization
import TLSEngine
import Telemetry
import TrafficPolicy

/// Why a configuration was not taken up; what was in force stays so.
public enum ApplyError: Error, CustomStringConvertible, Sendable {
    case cannotBind(listener: String, address: SocketAddress, SystemErrno)
    case cannotCompile(CompileError)

    /// Of which resource it speaks; nil: of none in particular.
    public var subject: CompileError.Subject? {
        switch self {
        case .cannotBind(let listener, _, _): .listener(listener)
        case .cannotCompile(let error): error.subject
        }
    }

    /// Without the name of the resource.
    public var reason: String {
        switch self {
        case .cannotBind(_, let address, .addressInUse): "address: \(address): address in use"
        case .cannotBind(_, let address, let error): "address: cannot listen on \(address): \(error)"
        case .cannotCompile(let error): error.reason
        }
    }

    public var isAddressInUse: Bool {
        if case .cannotBind(_, _, .addressInUse) = self { true } else { false }
    }

    public var description: String {
        switch self {
        case .cannotBind(let listener, let address, .addressInUse):
            "listener \(listener): \(address): address in use"
        case .cannotBind(let listener, let address, let error):
            "listener \(listener): cannot listen on \(address): \(error)"
        case .cannotCompile(let error): error.description
        }
    }
}

/// The data plane of one process: its workers, their sockets, and the configuration in force. Called from the control
/// thread only.
public final class ProxyServer {
    public let process: ProcessState
    let kernel: Kernel
    private let workerCount: Int
    private var threads: [WorkerThread] = []
    private var generation: UInt64 = 0
    private var bound: [String: SocketAddress] = [:]
    public private(set) var snapshot: Snapshot?
    private var random: SeededRandom
    /// Of the control thread.
    private let counters: CounterWriter

    public init(kernel: Kernel, workers: Int, log: ProcessLog) throws(SystemErrno) {
        precondition(workers > 0)
        self.kernel = kernel
        workerCount = workers
        process = ProcessState(workers: workers, registry: StatisticsRegistry(), log: log)
        random = SeededRandom(seed: kernel.randomSeed())
        counters = process.counters[workers].writer
    }

    /// Starts the worker threads.
    public func start() throws(SystemErrno) {
        for index in 0..<workerCount {
            let (process, kernel) = (process, kernel)
            threads.append(
                try WorkerThread.start(name: "worker-\(index)", stackSize: 1 << 20) {
                    Self.run(index, kernel, process)
                })
        }
    }

    private static func run(_ index: Int, _ kernel: Kernel, _ process: ProcessState) {
        do throws(SystemErrno) {
            var worker = try Worker(index: index, kernel: kernel, process: process)
            process.register(worker.loop.waker, worker: index)
            var readAt: MonotonicInstant?
            while !process.isStopped.load(ordering: .relaxed) {
                readAt = worker.turn(readAt: readAt)
                let generation = worker.shelf.generation
                // What woke it may be the drain: with nothing in flight no event would end the next wait.
                worker.adoptSnapshot()
                if worker.shelf.generation != generation { readAt = nil }
                process.reportDrained(worker: index, worker.isDrained)
            }
            worker.shutDown()
        } catch {
            fatalError("a worker cannot start: \(error)")
        }
    }

    // MARK: Configuration

    /// Binds what is new, compiles, publishes.
    public func apply(_ configuration: Configuration) throws(ApplyError) {
        var addresses: [SocketAddress] = []
        do throws(ApplyError) {
            for listener in configuration.listeners { addresses.append(try bind(listener)) }
        } catch {
            process.sockets.retain(Set(snapshot?.listenerAddresses ?? []), kernel)
            throw error
        }
        generation += 1
        let next: Snapshot
        do throws(CompileError) {
            next = try SnapshotCompiler.compile(
                configuration, addresses: addresses, generation: generation, process: process,
                now: kernel.now(),
                previous: snapshot)
        } catch {
            process.sockets.retain(Set(snapshot?.listenerAddresses ?? []), kernel)
            throw .cannotCompile(error)
        }
        for (cluster, targets) in zip(next.clusterStates, next.targets) {
            cluster.endpoints.adopt(targets, at: kernel.now())
        }
        snapshot = next
        process.publish(next)
        process.retain(only: next)
        process.sockets.retain(Set(addresses), kernel)
        process.wakeAll()
        awaitAdoption()
    }

    /// Waits until every worker goes by the new configuration: a turn of each, so well under a millisecond where none is
    /// busy. A worker that takes longer than `adoptionMax` is not waited for.
    private func awaitAdoption() {
        guard !threads.isEmpty else { return }
        let limit = kernel.now().advanced(byNanoseconds: Self.adoptionMax)
        while !process.haveAllAdopted(generation), kernel.now() < limit { sched_yield() }
    }

    private static let adoptionMax: Int64 = 100_000_000

    /// Whether it could be applied, as far as that can be told without opening a port.
    public func check(_ configuration: Configuration) throws(ApplyError) {
        do throws(CompileError) {
            _ = try SnapshotCompiler.compile(
                configuration, addresses: configuration.listeners.map(\.address), generation: generation &+ 1,
                process: process, now: kernel.now(), previous: snapshot)
        } catch {
            throw .cannotCompile(error)
        }
    }

    private func bind(_ listener: Listener) throws(ApplyError) -> SocketAddress {
        if !listener.isBound { return listener.address }
        let key = "\(listener.name)|\(listener.address)"
        if listener.address.port == 0, let known = bound[key] { return known }
        do throws(SystemErrno) {
            let address = try process.sockets.open(listener.address, workers: workerCount, kernel)
            bound[key] = address
            return address
        } catch {
            throw .cannotBind(listener: listener.name, address: listener.address, error)
        }
    }

    /// Takes an address for a listener that comes later; port 0 becomes a free port.
    public func reserve(_ address: SocketAddress) throws(SystemErrno) -> SocketAddress {
        try process.sockets.reserve(address, workers: workerCount, kernel)
    }

    public var listenerAddresses: [(name: String, address: SocketAddress)] {
        guard let snapshot else { return [] }
        return zip(snapshot.configuration.listeners, snapshot.listenerAddresses).map { ($0.name, $1) }
    }

    // MARK: Outlier detection

    /// Does what is due at the end of detectors' intervals; returns when to call this again, nil if nothing will be due
    /// under this configuration.
    public func tendOutliers(at now: MonotonicInstant) -> MonotonicInstant? {
        guard let snapshot else { return nil }
        var next = MonotonicInstant.distantFuture
        for cluster in snapshot.clusterStates {
            if cluster.endpoints.intervalEnd <= now {
                for event in cluster.endpoints.intervalEnded(at: now, random: &random) {
                    OutlierReport.add(event, cluster.name, cluster.scope, counters, process.log)
                }
            }
            next = min(next, cluster.endpoints.intervalEnd)
        }
        return next == .distantFuture ? nil : next
    }

    // MARK: Stopping

    /// Listeners close; requests in flight go on.
    public func beginDrain() {
        process.isDraining.store(true, ordering: .releasing)
        process.wakeAll()
    }

    /// Nothing is in flight any more.
    public var isDrained: Bool {
        process.isDraining.load(ordering: .acquiring) && process.areWorkersDrained
    }

    /// Ends the threads, whatever is in flight.
    public func stop() {
        process.isStopped.store(true, ordering: .releasing)
        process.wakeAll()
        for thread in threads { thread.join() }
        threads = []
        flushLogs()
    }

    public func flushLogs() { process.logFiles.flush() }
    public func reopenLogs() { process.logFiles.reopen() }

    // MARK: To be seen

    public struct EndpointStatus: Sendable {
        public var address: SocketAddress
        public var hostname: String
        public var weight: UInt32
        public var priority: UInt32
        public var health: EndpointHealth
        public var marks: EndpointMarks
        public var locality: LocalityName
        public var discoveredHealth: Endpoint.Health
        public var isCanary: Bool
        /// Percent of the requests of the last interval that succeeded; -1: not known.
        public var successRate, localOriginSuccessRate: Double
        public var requestsActive, requestsTotal, requestsSucceeded, requestsFailed, requestsTimedOut: Int
        public var connectionsActive, connectionsTotal, connectionsFailed: Int
    }

    /// What one priority of a cluster has in use.
    public struct LimitUse: Sendable {
        public var connections, pending, requests, retries: Int
        public var retriesMax: Int
        public var isRetryOpen: Bool

        fileprivate init(_ limits: ClusterLimits, at now: MonotonicInstant) {
            (connections, pending) = (limits.connections.current, limits.pendingRequests.current)
            (requests, retries) = (limits.requests.current, limits.retries.current)
            (retriesMax, isRetryOpen) = (limits.retriesMax, limits.isRetryOpen(at: now))
        }
    }

    public struct ClusterStatus: Sendable {
        public var name: String
        public var normal, high: Limits
        public var normalUse, highUse: LimitUse
        public var endpoints: [EndpointStatus]
        public var outliers: OutlierStatus?
    }

    public struct OutlierStatus: Sendable {
        /// Percent, -1: not known.
        public var averageSuccessRate, successRateThreshold: Double
        public var ejected: Int
    }

    public func clusterStatus() -> [ClusterStatus] {
        guard let snapshot else { return [] }
        return snapshot.configuration.clusters.enumerated().map { index, cluster in
            let targets = snapshot.targets[index]
            let endpoints = snapshot.clusters[index].endpoints
            let discovered = cluster.localities.flatMap { locality in
                locality.endpoints.compactMap { endpoint -> Endpoint.Health? in
                    if case .numeric = endpoint.address { endpoint.health } else { nil }
                }
            }
            return ClusterStatus(
                name: cluster.name, normal: cluster.normalLimits, high: cluster.highLimits,
                normalUse: LimitUse(snapshot.clusterStates[index].normal, at: kernel.now()),
                highUse: LimitUse(snapshot.clusterStates[index].high, at: kernel.now()),
                endpoints: endpoints.indices.map { member in
                    let (kept, record) = (targets.kept[member], endpoints[member])
                    let (state, place) = (kept.state, targets.set.members[member])
                    return EndpointStatus(
                        address: record.address, hostname: record.hostname.text, weight: record.weight,
                        priority: record.priority, health: state.health, marks: state.marks,
                        locality: targets.set.localities[place.locality].name,
                        discoveredHealth: discovered[member], isCanary: place.isCanary,
                        successRate: kept.monitor.successRate,
                        localOriginSuccessRate: kept.monitor.localOriginSuccessRate,
                        requestsActive: state.requestsActive.load(ordering: .relaxed),
                        requestsTotal: state.requestsTotal.load(ordering: .relaxed),
                        requestsSucceeded: state.requestsSucceeded.load(ordering: .relaxed),
                        requestsFailed: state.requestsFailed.load(ordering: .relaxed),
                        requestsTimedOut: state.requestsTimedOut.load(ordering: .relaxed),
                        connectionsActive: state.connectionsActive.load(ordering: .relaxed),
                        connectionsTotal: state.connectionsTotal.load(ordering: .relaxed),
                        connectionsFailed: state.connectionsFailed.load(ordering: .relaxed))
                },
                outliers: targets.detector.map { detector in
                    let rates = detector.successRates
                    return OutlierStatus(
                        averageSuccessRate: rates.average, successRateThreshold: rates.threshold,
                        ejected: detector.ejectedCount)
                })
        }
    }
}

extension Snapshot {
    var listenerAddresses: [SocketAddress] { listeners.indices.map { listeners[$0].address } }
}
