import Glibc
import HTTP2Codec
import MeshPrimitives
import Reactor
import Synchronization
import TLSEngine
import Telemetry
import TrafficPolicy

/// What the workers of one process share: statistics, logs, the newest snapshot, and for each cluster the limits that
/// operators set, which are the process's and exact.
public final class ProcessState: Sendable {
    public let registry: StatisticsRegistry
    public let serverScope: ServerScope
    /// One for each worker, and the last for the control loop.
    public let counters: [CounterBlock]
    public let recorders: [FlightRecorder]
    /// Of each worker: requests on their way to become spans.
    public let spanRings: [SpanRing]
    public let log: ProcessLog
    let connectionsMax: Int
    let exchangesMax: Int
    /// A drain has begun: answers ask their connection to close.
    public let isDraining = Atomic(false)
    /// The operator wants no new requests here: answers ask their connection to close, listeners stay open.
    public let isHealthFailed = Atomic(false)
    private let snapshot = Mutex<Snapshot?>(nil)
    private let snapshotGeneration = Atomic<UInt64>(0)
    private let clusters = Mutex<[String: ProcessCluster]>([:])
    private let retired = Mutex<[ProcessCluster]>([])
    private let slots = Atomic<Int>(0)
    private let wakers = Mutex<[(worker: Int, waker: Waker)]>([])
    private let limiters = Mutex<[String: RateLimiter]>([:])
    public let quotas = QuotaTable()
    private let descriptorKeys = Mutex(DescriptorKeys())
    private let breakers = Mutex<[String: ServiceBreaker]>([:])
    private let concurrency = Mutex<[String: AdaptiveConcurrency]>([:])
    private let names = Mutex(NameTable())
    private let spanSettings = Mutex<[SpanSettings]>([])
    private let faults = Mutex<[String: ActiveFaults]>([:])
    private let admissionSlots = Mutex<[String: Int32]>([:])

    public let logFiles = AccessLogFiles()
    let sockets = ListeningSockets()
    let isStopped = Atomic(false)
    /// As access logs show it.
    let hostname = ProcessState.readHostname()
    private let drained = Atomic<UInt64>(0)
    /// By worker, the generation of the snapshot that it has taken up.
    private let adopted: Mutex<[UInt64]>
    private let workers: Int

    public init(
        workers: Int, registry: StatisticsRegistry, log: ProcessLog, connectionsMax: Int = 1 << 20,
        exchangesMax: Int = 1 << 18
    ) {
        precondition(workers > 0 && workers <= 64)
        self.workers = workers
        adopted = Mutex([UInt64](repeating: 0, count: workers))
        self.registry = registry
        self.log = log
        self.connectionsMax = connectionsMax
        self.exchangesMax = exchangesMax
        serverScope = registry.server
        counters = (0...workers).map { _ in registry.makeBlock() }
        recorders = (0..<workers).map { _ in FlightRecorder() }
        spanRings = (0..<workers).map { _ in SpanRing() }
    }

    private static func readHostname() -> String {
        let length = Int(HOST_NAME_MAX)
        var name = [CChar](repeating: 0, count: length + 1)
        guard unsafe gethostname(&name, length) == 0 else { return "" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// This host's first IPv4 address that others can reach; nil if it has none. Asked for when it is first needed.
    static let addressOfThisHost: SocketAddress? = {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else { return nil }
        defer { unsafe freeifaddrs(list) }
        var next = unsafe list
        while let entry = unsafe next {
            let address = unsafe SocketAddress(sockaddr: entry.pointee.ifa_addr, family: AF_INET)
            if let address, unsafe entry.pointee.ifa_addr.pointee.sa_family == sa_family_t(AF_INET),
                !address.isLoopback
            {
                return address
            }
            unsafe next = unsafe entry.pointee.ifa_next
        }
        return nil
    }()

    // MARK: Snapshots

    /// Workers take it up at the top of their next turn; the caller wakes them.
    func publish(_ next: Snapshot) {
        snapshot.withLock { $0 = next }
        snapshotGeneration.store(next.generation, ordering: .releasing)
    }

    var newestGeneration: UInt64 { snapshotGeneration.load(ordering: .acquiring) }
    var newest: Snapshot? { snapshot.withLock { $0 } }

    // MARK: Workers

    func register(_ waker: Waker, worker: Int) { wakers.withLock { $0.append((worker, waker)) } }

    /// The worker treats new requests by that configuration from now on.
    func reportAdopted(worker: Int, _ generation: UInt64) { adopted.withLock { $0[worker] = generation } }

    func haveAllAdopted(_ generation: UInt64) -> Bool {
        adopted.withLock { $0.allSatisfy { $0 >= generation } }
    }

    func reportDrained(worker: Int, _ isDrained: Bool) {
        let bit = UInt64(1) << UInt64(worker)
        if isDrained, drained.load(ordering: .relaxed) & bit == 0 {
            _ = drained.bitwiseOr(bit, ordering: .acquiringAndReleasing)
        }
    }

    var areWorkersDrained: Bool { drained.load(ordering: .acquiring).nonzeroBitCount == workers }

    public func wakeAll() { wakers.withLock { all in for (_, waker) in all { waker.wake() } } }

    /// A worker has requests that wait for a place for a connection: the others look for an idle one to give up.
    func starved(_ cluster: Unowned<ProcessCluster>, worker: Int, asksOthers: Bool = true) {
        let bit = UInt64(1) << UInt64(worker)
        let before = cluster.with {
            $0.starvedWorkers.bitwiseOr(bit, ordering: .sequentiallyConsistent).oldValue
        }
        if asksOthers, before & bit == 0 { wakeOthers(than: worker) }
    }

    private func wakeOthers(than worker: Int) {
        wakers.withLock { all in for (index, waker) in all where index != worker { waker.wake() } }
    }

    /// A place became free.
    func relieve(_ cluster: Unowned<ProcessCluster>) {
        guard cluster.with({ $0.isStarved }) else { return }
        cluster.with { $0.starvedWorkers.store(0, ordering: .releasing) }
        wakeAll()
    }

    // MARK: Things that outlive snapshots

    /// So many clusters are about to be asked for.
    func reserve(clusters count: Int) {
        clusters.withLock { if $0.isEmpty { $0.reserveCapacity(count) } }
        registry.reserve(count)
    }

    /// The shared state of the cluster of that name; limits are set anew.
    func cluster(named name: String, normal: ClusterLimitSettings, high: ClusterLimitSettings)
        -> ProcessCluster
    {
        clusters.withLock { table in
            let known = table[name]
            if let known, known.normal.retryBudget == normal.retryBudget,
                known.high.retryBudget == high.retryBudget
            {
                known.setLimits(normal: normal, high: high)
                return known
            }
            let slot = known?.slot ?? slots.add(1, ordering: .relaxed).oldValue
            // Places taken from the old limits go back to them: both live on.
            if let known { retired.withLock { $0.append(known) } }
            let cluster = ProcessCluster(
                name: name, slot: slot, scope: registry.cluster(name), normal: normal, high: high,
                endpoints: known?.endpoints ?? ClusterEndpoints())
            table[name] = cluster
            return cluster
        }
    }

    /// Names that records refer to by number; those that come when there are so many have none.
    private static let namesMax = 1 << 16

    /// So many names are about to be asked for.
    func reserve(names count: Int) {
        names.withLock { names in
            guard names.texts.isEmpty || names.texts.count < count else { return }
            let total = min(names.texts.count + count, Self.namesMax)
            names.texts.reserveCapacity(total)
            names.numbers.reserveCapacity(total)
        }
    }

    func nameID(_ text: String) -> NameID {
        names.withLock { names in
            if let known = names.numbers[text] { return NameID(known) }
            guard !text.isEmpty, names.texts.count < Self.namesMax else { return .none }
            names.texts.append(text)
            let number = UInt32(names.texts.count)
            names.numbers[text] = number
            return NameID(number)
        }
    }

    /// Of a route, a virtual host, a listener or a limit; nil for none.
    public func name(_ id: NameID) -> String? {
        names.withLock { id.isNone || id.rawValue > $0.texts.count ? nil : $0.texts[Int(id.rawValue) - 1] }
    }

    /// The cluster that a record's number stands for.
    public func clusterName(_ id: NameID) -> String? {
        guard !id.isNone else { return nil }
        return clusters.withLock { table in table.values.first { $0.slot + 1 == Int(id.rawValue) }?.name }
    }

    /// The limiter of that place, as full as it is, if its settings are the same.
    func limiter(at place: String, _ settings: RateLimiter.Settings, now: MonotonicInstant) -> RateLimiter {
        limiters.withLock { table in
            if let known = table[place], known.settings == settings { return known }
            // The standard library's hashes begin from a secret of the process.
            var seed = Hasher()
            seed.combine(place)
            let limiter = RateLimiter(
                settings, at: now, seed: UInt64(bitPattern: Int64(seed.finalize())))
            table[place] = limiter
            return limiter
        }
    }

    /// The number of a descriptor's key. There are as many as operators have ever named.
    func descriptorKey(_ name: String) -> UInt32 { descriptorKeys.withLock { $0.number(name) } }

    /// The breaker of that cluster, as open as it is, if its settings are the same.
    func breaker(of cluster: String, _ settings: CircuitBreakerSettings, isShadow: Bool) -> ServiceBreaker {
        breakers.withLock { table in
            let key = isShadow ? "\(cluster)|shadow" : cluster
            if let known = table[key], known.breaker.settings == settings { return known }
            let made = ServiceBreaker(cluster: cluster, settings, isShadow: isShadow)
            table[key] = made
            return made
        }
    }

    /// The state of each breaker, for the statistics.
    public func breakerStates() -> [(cluster: String, isShadow: Bool, state: CircuitBreaker.State)] {
        breakers.withLock { $0.values.map { ($0.cluster, $0.isShadow, $0.breaker.state) } }
    }

    func adaptiveConcurrency(
        at place: String, _ settings: AdaptiveConcurrencySettings, now: MonotonicInstant
    ) -> AdaptiveConcurrency {
        concurrency.withLock { table in
            if let known = table[place], known.settings == settings { return known }
            let made = AdaptiveConcurrency(settings, at: now)
            table[place] = made
            return made
        }
    }

    /// Kept for as long as the process: requests that are over refer to them.
    static let spanSettingsMax = 1024

    /// The number by which spans refer to these settings; nil if there are too many others.
    func number(of settings: SpanSettings) -> Int32? {
        spanSettings.withLock { table in
            if let known = table.firstIndex(of: settings) { return Int32(known) }
            guard table.count < Self.spanSettingsMax else { return nil }
            table.append(settings)
            return Int32(table.count - 1)
        }
    }

    /// All that there ever were, by number.
    public var allSpanSettings: [SpanSettings] { spanSettings.withLock { $0 } }

    /// Of the connection managers of that prefix.
    func activeFaults(of prefix: String) -> ActiveFaults {
        faults.withLock { table in
            if let known = table[prefix] { return known }
            let made = ActiveFaults()
            table[prefix] = made
            return made
        }
    }

    /// Where each worker keeps its state of the admission control of that place. Places are few and keep their number.
    func admissionSlot(at place: String) -> Int32 {
        admissionSlots.withLock { table in
            if let known = table[place] { return known }
            let slot = Int32(table.count)
            table[place] = slot
            return slot
        }
    }

    /// Forgets breakers and limits that the newest snapshot does not name. Older ones keep theirs alive as long as they
    /// are in use themselves.
    func retain(only snapshot: Snapshot) {
        let kept = Set(
            snapshot.breakers.map { ObjectIdentifier($0) } + snapshot.concurrency.map { ObjectIdentifier($0) }
                + snapshot.limiters.map { ObjectIdentifier($0) })
        let faulty = Set(snapshot.faults.map { ObjectIdentifier($0) })
        quotas.retain(snapshot.quotas)
        faults.withLock { table in table = table.filter { faulty.contains(ObjectIdentifier($0.value)) } }
        breakers.withLock { table in table = table.filter { kept.contains(ObjectIdentifier($0.value)) } }
        concurrency.withLock { table in table = table.filter { kept.contains(ObjectIdentifier($0.value)) } }
        limiters.withLock { table in table = table.filter { kept.contains(ObjectIdentifier($0.value)) } }
    }
}

/// What one cluster has in use over all workers, by priority.
final class ProcessCluster: Sendable {
    let name: String
    let slot: Int
    let scope: ClusterScope
    let normal: ClusterLimits
    let high: ClusterLimits
    let endpoints: ClusterEndpoints
    /// Bits of the workers that wait for a place for a connection.
    let starvedWorkers = Atomic<UInt64>(0)

    var isStarved: Bool { starvedWorkers.load(ordering: .sequentiallyConsistent) != 0 }
    func isStarved(worker: Int) -> Bool {
        starvedWorkers.load(ordering: .acquiring) & 1 << UInt64(worker) != 0
    }
    func isStarved(besides worker: Int) -> Bool {
        starvedWorkers.load(ordering: .acquiring) & ~(1 << UInt64(worker)) != 0
    }

    init(
        name: String, slot: Int, scope: ClusterScope, normal: ClusterLimitSettings,
        high: ClusterLimitSettings, endpoints: ClusterEndpoints
    ) {
        self.endpoints = endpoints
        self.name = name
        self.slot = slot
        self.scope = scope
        self.normal = ClusterLimits(normal)
        self.high = ClusterLimits(high)
    }

    func limits(_ priority: UInt8) -> ClusterLimits { priority == 0 ? normal : high }

    func setLimits(normal: ClusterLimitSettings, high: ClusterLimitSettings) {
        for (limits, settings) in [(self.normal, normal), (self.high, high)] {
            limits.connections.setMax(settings.connectionsMax)
            limits.pendingRequests.setMax(settings.pendingRequestsMax)
            limits.requests.setMax(settings.requestsMax)
            limits.retries.setMax(settings.retriesMax)
        }
    }
}

/// The HTTP/2 sessions of one worker, kept alive while their connections name them.
struct SessionTable {
    private var sessions: [ObjectIdentifier: HTTP2Session] = [:]

    mutating func insert(_ session: HTTP2Session) -> Unowned<HTTP2Session> {
        sessions[ObjectIdentifier(session)] = session
        return Unowned(session)
    }

    mutating func remove(_ session: Unowned<HTTP2Session>) { sessions[session.identity] = nil }
}

/// Names and their numbers, which begin at 1.
private struct NameTable {
    var numbers: [String: UInt32] = [:]
    var texts: [String] = []
}
