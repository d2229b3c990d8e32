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
    private let kernel: Kernel
    private let workerCount: Int
    private var threads: [WorkerThread] = []
    private var generation: UInt64 = 0
    private var bound: [String: SocketAddress] = [:]
    public private(set) var snapshot: Snapshot?

    public init(kernel: Kernel, workers: Int, log: ProcessLog) throws(SystemErrno) {
        precondition(workers > 0)
        self.kernel = kernel
        workerCount = workers
        process = ProcessState(workers: workers, registry: StatisticsRegistry(), log: log)
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
            while !process.isStopped.load(ordering: .relaxed) {
                worker.turn()
                // What woke it may be the drain: with nothing in flight no event would end the next wait.
                worker.adoptSnapshot()
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
        snapshot = next
        process.publish(next)
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
        public var requestsActive, requestsTotal, requestsSucceeded, requestsFailed, requestsTimedOut: Int
        public var connectionsActive, connectionsTotal, connectionsFailed: Int
    }

    public struct ClusterStatus: Sendable {
        public var name: String
        public var normal, high: Limits
        public var endpoints: [EndpointStatus]
    }

    public func clusterStatus() -> [ClusterStatus] {
        guard let snapshot else { return [] }
        return snapshot.configuration.clusters.enumerated().map { index, cluster in
            let set = snapshot.endpointSets[index]
            let endpoints = snapshot.clusters[index].endpoints
            return ClusterStatus(
                name: cluster.name, normal: cluster.normalLimits, high: cluster.highLimits,
                endpoints: endpoints.indices.map { member in
                    let (state, record) = (set[member], endpoints[member])
                    return EndpointStatus(
                        address: record.address, hostname: record.hostname.text, weight: record.weight,
                        priority: record.priority, health: state.health,
                        requestsActive: state.requestsActive.load(ordering: .relaxed),
                        requestsTotal: state.requestsTotal.load(ordering: .relaxed),
                        requestsSucceeded: state.requestsSucceeded.load(ordering: .relaxed),
                        requestsFailed: state.requestsFailed.load(ordering: .relaxed),
                        requestsTimedOut: state.requestsTimedOut.load(ordering: .relaxed),
                        connectionsActive: state.connectionsActive.load(ordering: .relaxed),
                        connectionsTotal: state.connectionsTotal.load(ordering: .relaxed),
                        connectionsFailed: state.connectionsFailed.load(ordering: .relaxed))
                })
        }
    }
}

extension Snapshot {
    var listenerAddresses: [SocketAddress] { listeners.indices.map { listeners[$0].address } }
}
