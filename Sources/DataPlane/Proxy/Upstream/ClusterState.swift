import HTTPModel
import MeshPrimitives
import Reactor
import Synchronization
import TLSEngine
import Telemetry
import TrafficPolicy

/// A cluster as one worker sees it: whose turn it is, and the connections to each endpoint. Snapshots come and go; this
/// stays as long as the cluster's name does.
struct ClusterState: ~Copyable {
    /// nil: the newest snapshot has no such cluster.
    var record: Reference<ClusterRecord>?
    var scope: ClusterScope
    var process: Unowned<ProcessCluster>
    var balancer = LoadBalancer(.roundRobin)
    /// At most one: of a policy in shadow mode.
    var shadowBalancers = OwnedList<LoadBalancer>()
    var set: EndpointSet? { didSet { unownedSet = set.map { Unowned($0) } } }
    /// The same for each request, which would otherwise count the reference up and down.
    private(set) var unownedSet: Unowned<EndpointSet>?
    /// When endpoints of requests' own destinations were last looked through.
    var lastCleanup = MonotonicInstant.zero
    /// Keeps alive what the fields below refer to.
    var targets: ClusterTargets?
    var detector: Unowned<OutlierDetector>?
    /// Something is to be learnt from answers.
    var watchesAnswers: Bool { detector != nil || latency != nil || isChecked }
    /// Answers may say that their endpoint is to be left out.
    var isChecked: Bool { record?.value.isChecked ?? false }
    /// For peak EWMA.
    var latency: PeakEWMASettings?
    var isHashed = false
    /// The choice depends on more than whose turn it is.
    var looksAtRequest = false
    var subsets = OwnedList<SubsetState>()
    var hosts = OwnedList<HostPool>()
    /// For each member of `set` its index in `hosts`.
    var order: [Int32] = []
    /// Connections of this worker, those being made included.
    var connectionCount = 0
    /// Requests wait because the process has no place for another connection.
    var isStarved = false

    init(scope: ClusterScope, process: Unowned<ProcessCluster>) {
        (self.scope, self.process) = (scope, process)
    }

    func limits(_ priority: UInt8) -> Unowned<ClusterLimits> { process.with { Unowned($0.limits(priority)) } }
}

/// The connections of one worker to one endpoint, and the requests that wait for one.
struct HostPool {
    enum SpokenProtocol: UInt8 { case unknown, http1, http2 }

    let address: SocketAddress
    let state: EndpointState
    let unowned: Unowned<EndpointState>
    let keptMonitor: OutlierMonitor
    let monitor: Unowned<OutlierMonitor>
    /// Index of the TLS context in the newest snapshot; -1 for plain text.
    var tls: Int32
    var sni: String
    /// The newest snapshot still has it.
    var isCurrent = true
    /// It is there because a request or a connection was going there.
    var isOriginal = false
    /// It is there for requests to one host name: the endpoint that it is of (`auto_sni`); -1 for none.
    var base: Int32 = -1
    /// That name, without a port.
    var name = ""
    /// The endpoint's certificate must be for that name.
    var checksName = false
    var lastChosen = MonotonicInstant.zero
    /// Idle HTTP/1 connections, the one used last first.
    @Kept var idleFirst: ConnectionPlace?
    /// HTTP/2 connections that take streams.
    var shared: [ConnectionPlace] = []
    var connecting = 0
    var connections = 0
    /// Exchanges that name it, waiting ones included.
    var users = 0
    @Kept var pendingFirst: ExchangePlace?
    @Kept var pendingLast: ExchangePlace?
    var pendingCount = 0
    /// What the last connection agreed on, where that is settled by each connection.
    var spoken = SpokenProtocol.unknown

    init(address: SocketAddress, kept: ClusterEndpoints.Kept, tls: Int32, sni: String) {
        (self.address, state, self.tls, self.sni) = (address, kept.state, tls, sni)
        unowned = Unowned(kept.state)
        keptMonitor = kept.monitor
        monitor = Unowned(kept.monitor)
    }

    private init(_ other: HostPool) {
        (address, state, unowned) = (other.address, other.state, other.unowned)
        (keptMonitor, monitor) = (other.keptMonitor, other.monitor)
        (tls, sni) = (other.tls, other.sni)
    }

    /// The same endpoint, without connections.
    var sibling: HostPool { HostPool(self) }

    /// Another endpoint may have its place.
    var isFree: Bool { !isCurrent && users == 0 && connections == 0 }
}

/// The order of one new host: what most clusters have, in one place for all of them.
private let onlyFirst: [Int32] = [0]

extension Worker {
    func clusterScope(_ connection: ConnectionPlace) -> ClusterScope {
        clusterScope(slot: connection.value.cluster)
    }

    func clusterScope(slot: Int32) -> ClusterScope { clusters[Int(slot)].scope }

    // MARK: Adopting a configuration

    /// Brings the worker's clusters up to the newest snapshot.
    mutating func adoptClusters(_ snapshot: Snapshot) {
        for index in clusters.indices { clusters[index].record = nil }
        namesByCluster = false
        clusters.reserve(snapshot.clusters.count)
        for index in snapshot.clusters.indices {
            let record = snapshot.clusters.reference(index)
            let slot = Int(record.value.slot)
            let (process, scope) = (record.value.process, record.value.process.with { $0.scope })
            while clusters.count <= slot { clusters.append(ClusterState(scope: scope, process: process)) }
            (clusters[slot].process, clusters[slot].scope) = (process, scope)
            if record.value.isWarming { continue }
            clusters[slot].record = record
            if record.value.keepsAnswerNames || record.value.requestNames != .lower { namesByCluster = true }
            adoptEndpoints(slot, snapshot, index)
        }
        for slot in clusters.indices where clusters[slot].record == nil {
            (clusters[slot].set, clusters[slot].targets, clusters[slot].detector) = (nil, nil, nil)
            clusters[slot].subsets = OwnedList()
            clusters[slot].order = []
            for host in clusters[slot].hosts.indices { retire(slot, host) }
        }
    }

    private mutating func adoptEndpoints(_ slot: Int, _ snapshot: Snapshot, _ index: Int) {
        let targets = snapshot.targets[index]
        let record = snapshot.clusters[index]
        if clusters[slot].balancer.policy != record.policy {
            clusters[slot].balancer = LoadBalancer(record.policy)
            clusters[slot].subsets = OwnedList()
        }
        if clusters[slot].targets !== targets {
            clusters[slot].targets = targets
            clusters[slot].set = targets.set
            clusters[slot].subsets = OwnedList()
        }
        clusters[slot].detector = targets.detector.map { Unowned($0) }
        clusters[slot].isHashed = record.policy == .hashed
        clusters[slot].latency = record.policy.latency ?? record.shadowPolicy?.latency
        adoptShadow(slot, record.shadowPolicy)
        clusters[slot].looksAtRequest = record.looksAtRequest
        for host in clusters[slot].hosts.indices { clusters[slot].hosts[host].isCurrent = false }
        adoptHosts(slot, targets, record)
        keepNamedHosts(slot, record)
        if record.original.isUsed { keepOriginalHosts(slot, record.original) }
        for host in clusters[slot].hosts.indices where !clusters[slot].hosts[host].isCurrent {
            retire(slot, host)
        }
        adoptSubsets(slot, targets, record.policy)
    }

    private mutating func adoptShadow(_ slot: Int, _ policy: LoadBalancingPolicy?) {
        let known = clusters[slot].shadowBalancers.isEmpty ? nil : clusters[slot].shadowBalancers[0].policy
        guard known != policy else { return }
        clusters[slot].shadowBalancers = OwnedList()
        if let policy { clusters[slot].shadowBalancers.append(LoadBalancer(policy)) }
    }

    private mutating func adoptHosts(_ slot: Int, _ targets: ClusterTargets, _ record: ClusterRecord) {
        if clusters[slot].hosts.isEmpty, targets.kept.count == 1 {
            let endpoint = record.endpoints.reference(0)
            clusters[slot].hosts.append(
                HostPool(
                    address: endpoint.value.address, kept: targets.kept[0], tls: endpoint.value.tls,
                    sni: endpoint.value.sni.text))
            clusters[slot].order = onlyFirst
            return
        }
        var places: [ObjectIdentifier: Int32] = [:]
        for host in clusters[slot].hosts.indices where clusters[slot].hosts[host].base < 0 {
            places[ObjectIdentifier(clusters[slot].hosts[host].state)] = Int32(host)
        }
        // Those that stay first, so that no other takes their place.
        for kept in targets.kept {
            if let known = places[ObjectIdentifier(kept.state)] {
                clusters[slot].hosts[Int(known)].isCurrent = true
            }
        }
        var free = 0
        clusters[slot].order = record.endpoints.indices.map { member in
            let endpoint = record.endpoints.reference(member)
            let kept = targets.kept[member]
            let sni = endpoint.value.sni.text
            if let known = places[ObjectIdentifier(kept.state)] {
                clusters[slot].hosts[Int(known)].tls = endpoint.value.tls
                clusters[slot].hosts[Int(known)].sni = sni
                return known
            }
            let pool = HostPool(
                address: endpoint.value.address, kept: kept, tls: endpoint.value.tls, sni: sni)
            while free < clusters[slot].hosts.count, !clusters[slot].hosts[free].isFree { free += 1 }
            if free < clusters[slot].hosts.count {
                clusters[slot].hosts[free] = pool
            } else {
                clusters[slot].hosts.append(pool)
            }
            places[ObjectIdentifier(kept.state)] = Int32(free)
            return Int32(free)
        }
    }

    private mutating func adoptSubsets(
        _ slot: Int, _ targets: ClusterTargets, _ policy: LoadBalancingPolicy
    ) {
        guard let table = targets.subsets else { return }
        var hosts: [ObjectIdentifier: Int32] = [:]
        for (member, kept) in targets.kept.enumerated() {
            hosts[ObjectIdentifier(kept.state)] = clusters[slot].order[member]
        }
        for (place, set) in table.sets.dropFirst().enumerated() {
            let order = set.members.map { hosts[ObjectIdentifier($0.state)] ?? 0 }
            if place < clusters[slot].subsets.count {
                clusters[slot].subsets[place].order = order
            } else {
                clusters[slot].subsets.append(
                    SubsetState(set: set, balancer: LoadBalancer(policy), order: order))
            }
        }
    }

    /// An endpoint that is no longer wanted: its idle connections close, the busy ones after their answers.
    mutating func retire(_ slot: Int, _ host: Int) {
        clusters[slot].hosts[host].isCurrent = false
        while let connection = clusters[slot].hosts[host].idleFirst {
            close(connection)
        }
        for connection in clusters[slot].hosts[host].shared where connection.isInUse {
            connection.value.isDraining = true
            if connection.value.streams == 0 { close(connection) }
        }
        clusters[slot].hosts[host].shared.removeAll()
    }

    // MARK: Connections

    /// Makes as many connections as the waiting requests need and the limits allow.
    mutating func connectIfNeeded(_ slot: Int, _ host: Int) {
        while needsConnection(slot, host) {
            if isHostFull(slot, host) {
                return counters.add(clusterScope(slot: Int32(slot)), .upstreamCxOverflow)
            }
            guard let limits = clusters[slot].hosts[host].pendingFirst?.value.limits,
                acquirePlace(slot, limits)
            else { return }
            guard connect(slot, host, limits) != nil else { return }
        }
    }

    /// All connections that the endpoint may have are made (`per_host_thresholds`). A worker without any may always have
    /// one, as in Envoy: its requests would wait for connections that never come to it.
    private func isHostFull(_ slot: Int, _ host: Int) -> Bool {
        guard let most = clusters[slot].record?.value.perHostConnectionsMax, most > 0,
            clusters[slot].hosts[host].connections > 0
        else { return false }
        return clusters[slot].hosts[host].unowned.with {
            $0.connectionsActive.load(ordering: .relaxed) >= Int(most)
        }
    }

    /// A place for one more connection. Without one the worker gives up an idle connection of its own to another
    /// endpoint, else it asks the other workers, and goes on when one of them has freed a place.
    private mutating func acquirePlace(_ slot: Int, _ limits: Unowned<ClusterLimits>) -> Bool {
        if limits.with({ $0.connections.tryAcquire() }) { return true }
        if dropIdle(slot), limits.with({ $0.connections.tryAcquire() }) { return true }
        if !clusters[slot].isStarved { counters.add(clusterScope(slot: Int32(slot)), .upstreamCxOverflow) }
        clusters[slot].isStarved = true
        process.starved(clusters[slot].process, worker: index)
        // A place that became free before the others could know of us.
        return limits.with { $0.connections.tryAcquire() }
    }

    /// Closes an idle connection to any endpoint of the cluster, if there is one.
    private mutating func dropIdle(_ slot: Int) -> Bool {
        for host in clusters[slot].hosts.indices {
            guard let connection = clusters[slot].hosts[host].idleFirst else { continue }
            close(connection)
            return true
        }
        return false
    }

    private func needsConnection(_ slot: Int, _ host: Int) -> Bool {
        guard let record = clusters[slot].record?.value else { return false }
        let pool = clusters[slot].hosts[host]
        guard pool.pendingCount > 0 else { return false }
        switch (record.upstreamProtocol, pool.spoken) {
        case (.http1, _), (.auto, .http1), (.sameAsDownstream, _): return pool.connecting < pool.pendingCount
        case (.http2, _), (.auto, .http2), (.auto, .unknown): return pool.connecting == 0
        }
    }

    /// A place for the connection was taken. nil if it failed at once, which ended the requests that waited for it.
    mutating func connect(_ slot: Int, _ host: Int, _ limits: Unowned<ClusterLimits>) -> ConnectionPlace? {
        let address = clusters[slot].hosts[host].address
        let scope = clusterScope(slot: Int32(slot))
        counters.add(scope, .upstreamCxTotal)
        if let record = clusters[slot].record?.value, record.hasShadowLimits,
            limits.with({ $0.connections.current }) > record.shadowConnectionsMax
        {
            counters.add(scope, .shadowCxOverflow)
        }
        let result = kernel.connect(address)
        let descriptor: Descriptor
        switch result {
        case .connected(let socket), .inProgress(let socket): descriptor = socket
        case .failed(let error):
            return connectFailedAtOnce(slot, host, limits, error)
        }
        var connection = Connection(
            descriptor: descriptor, side: .upstream, phase: .connecting, peer: address, local: address,
            at: now)
        connection.cluster = Int32(slot)
        connection.endpoint = Int32(host)
        connection.limits = limits
        guard let connection = connections.insertPlace(connection) else {
            kernel.close(descriptor)
            return connectFailedAtOnce(slot, host, limits)
        }
        do throws(SystemErrno) {
            try loop.watch(descriptor, .connection(connection.id))
        } catch {
            connections.remove(connection)
            kernel.close(descriptor)
            return connectFailedAtOnce(slot, host, limits, error)
        }
        clusters[slot].connectionCount += 1
        clusters[slot].hosts[host].connections += 1
        clusters[slot].hosts[host].connecting += 1
        connection.value.isConnecting = true
        clusters[slot].hosts[host].unowned.with {
            _ = $0.connectionsActive.wrappingAdd(1, ordering: .relaxed)
        }
        counters.add(scope, .upstreamCxActive)
        let limit = clusters[slot].record?.value.connectTimeout ?? 5_000_000_000
        setTimer(connection, at: now.advanced(byNanoseconds: limit))
        return connection
    }

    private mutating func connectFailedAtOnce(
        _ slot: Int, _ host: Int, _ limits: Unowned<ClusterLimits>, _ error: SystemErrno? = nil
    ) -> ConnectionPlace? {
        counters.add(clusterScope(slot: Int32(slot)), .upstreamCxConnectFail)
        releasePlace(slot, limits)
        if let error { transportFailure = failureTexts.id(of: "immediate connect error: \(error)") }
        failPending(slot, host, .connectFailed)
        transportFailure = .none
        return nil
    }

    /// Gives a connection's place back to the process; another worker may be waiting for it.
    mutating func releasePlace(_ slot: Int, _ limits: Unowned<ClusterLimits>) {
        limits.with { $0.connections.release() }
        process.relieve(clusters[slot].process)
    }

    mutating func finishConnecting(_ connection: ConnectionPlace, _ readiness: Readiness) {
        if let error = kernel.connectResult(connection.value.descriptor) {
            process.log.note(
                .debug, "connection refused", detail: error.description, peer: connection.value.peer,
                local: nil)
            return endpointFailed(connection, "delayed connect error: \(error)")
        }
        connection.value.canWrite = true
        connection.value.mayRead = !readiness.isDisjoint(with: [.readable, .endOfStream])
        connection.value.sawEnd = !readiness.isDisjoint(with: .endOfStream)
        if shelf.newest?.logNeeds.contains(.upstreamLocal) == true,
            let local = try? kernel.localAddress(connection.value.descriptor)
        {
            (connection.value.local, connection.value.knowsLocal) = (local, true)
        }
        let (slot, host) = (Int(connection.value.cluster), Int(connection.value.endpoint))
        counters.record(
            clusterScope(connection), .upstreamCxConnectMs,
            nanoseconds: now.nanoseconds(since: connection.value.opened))
        let context = clusters[slot].hosts[host].tls
        guard context >= 0 else { return upstreamOpen(connection) }
        guard let snapshot = shelf.newest, Int(context) < snapshot.tlsContexts.count else {
            return connectEnded(connection, .connectFailed)
        }
        let pool = clusters[slot].hosts[host]
        guard
            let session = TLSSession.make(
                context: snapshot.tlsContexts[Int(context)], transport: transport,
                serverName: pool.sni.isEmpty ? nil : pool.sni, peerName: pool.checksName ? pool.name : nil,
                resumptionKey: snapshot.tlsKey(context, pool.address, pool.name), cache: tlsSessions)
        else { return connectEnded(connection, .connectFailed) }
        connection.value.tls = session
        connection.value.phase = .handshaking
        beginHandshake(connection, session)
    }

    /// The connection is not coming; somebody who waited for it hears so.
    mutating func connectEnded(_ connection: ConnectionPlace, _ outcome: AttemptOutcome) {
        let (slot, host) = (Int(connection.value.cluster), Int(connection.value.endpoint))
        let scope = clusterScope(connection)
        counters.add(scope, outcome == .connectTimedOut ? .upstreamCxConnectTimeout : .upstreamCxConnectFail)
        clusters[slot].hosts[host].unowned.with {
            _ = $0.connectionsFailed.wrappingAdd(1, ordering: .relaxed)
        }
        let exchange = connection.value.isTunnelOnly ? connection.value.exchange : nil
        connection.value.exchange = nil
        if connection.value.isTunnelOnly, exchange == nil, clusters[slot].detector != nil {
            note(slot, host, outcome == .connectTimedOut ? .timedOut : .connectFailed)
        }
        let caller = connection.value.isTunnelOnly ? connection.value.tunnelPeer : .none
        connection.value.tunnelPeer = .none
        close(connection)
        if caller != nil || exchange != nil { connectIfNeeded(slot, host) }
        if let caller { return tunnelConnectFailed(caller) }
        if let exchange {
            guard exchange.isInUse, exchange.value.upstream == connection else { return }
            exchange.value.upstream = nil
            return attemptFailed(exchange, outcome)
        }
        failPending(slot, host, outcome)
    }

    /// Ends as many waiting requests as no coming connection is left for; at least one.
    private mutating func failPending(_ slot: Int, _ host: Int, _ outcome: AttemptOutcome) {
        var isFirst = true
        // Failed requests may choose this host again: they go to the end, beyond those that were there.
        var left = clusters[slot].hosts[host].pendingCount
        while left > 0, isFirst || clusters[slot].hosts[host].connecting < left {
            if !isFirst, !clusters[slot].hosts[host].shared.isEmpty { break }
            guard let exchange = clusters[slot].hosts[host].pendingFirst else { break }
            isFirst = false
            left -= 1
            leavePending(exchange)
            attemptFailed(exchange, outcome)
        }
    }

    // MARK: Waiting requests

    mutating func enterPending(_ exchange: ExchangePlace) {
        let (slot, host) = (Int(exchange.value.cluster), Int(exchange.value.endpoint))
        let last = clusters[slot].hosts[host].pendingLast
        exchange.value.pendingPrevious = last
        exchange.value.pendingNext = .none
        if let last {
            last.value.pendingNext = exchange
        } else {
            clusters[slot].hosts[host].pendingFirst = exchange
        }
        clusters[slot].hosts[host].pendingLast = exchange
        clusters[slot].hosts[host].pendingCount += 1
        exchange.value.isPending = true
        noteShadowPending(exchange)
        counters.add(clusterScope(slot: Int32(slot)), .upstreamRqPendingTotal)
        counters.add(clusterScope(slot: Int32(slot)), .upstreamRqPendingActive)
    }

    mutating func leavePending(_ exchange: ExchangePlace) {
        guard exchange.value.isPending else { return }
        exchange.value.isPending = false
        let (slot, host) = (Int(exchange.value.cluster), Int(exchange.value.endpoint))
        let (previous, next) = (exchange.value.pendingPrevious, exchange.value.pendingNext)
        if let previous {
            previous.value.pendingNext = next
        } else {
            clusters[slot].hosts[host].pendingFirst = next
        }
        if let next {
            next.value.pendingPrevious = previous
        } else {
            clusters[slot].hosts[host].pendingLast = previous
        }
        clusters[slot].hosts[host].pendingCount -= 1
        counters.add(clusterScope(slot: Int32(slot)), .upstreamRqPendingActive, -1)
        exchange.value.limits?.with { $0.pendingRequests.release() }
    }

    /// Another exchange waits in its place.
    mutating func replacePending(_ exchange: ExchangePlace, by other: ExchangePlace) {
        guard exchange.value.isPending else { return }
        let (slot, host) = (Int(exchange.value.cluster), Int(exchange.value.endpoint))
        let (previous, next) = (exchange.value.pendingPrevious, exchange.value.pendingNext)
        (other.value.pendingPrevious, other.value.pendingNext) = (previous, next)
        if let previous {
            previous.value.pendingNext = other
        } else {
            clusters[slot].hosts[host].pendingFirst = other
        }
        if let next {
            next.value.pendingPrevious = other
        } else {
            clusters[slot].hosts[host].pendingLast = other
        }
        (exchange.value.isPending, other.value.isPending) = (false, true)
    }

    // MARK: Idle connections

    @inline(__always)
    mutating func pushIdle(_ connection: ConnectionPlace) {
        let (slot, host) = (Int(connection.value.cluster), Int(connection.value.endpoint))
        let first = clusters[slot].hosts[host].idleFirst
        connection.value.previous = .none
        connection.value.next = first
        if let first { first.value.previous = connection }
        clusters[slot].hosts[host].idleFirst = connection
        connection.value.isIdle = true
    }

    mutating func leaveIdle(_ connection: ConnectionPlace) {
        guard connection.value.isIdle else { return }
        connection.value.isIdle = false
        let (slot, host) = (Int(connection.value.cluster), Int(connection.value.endpoint))
        let (previous, next) = (connection.value.previous, connection.value.next)
        if let previous {
            previous.value.next = next
        } else {
            clusters[slot].hosts[host].idleFirst = next
        }
        if let next { next.value.previous = previous }
    }

    /// A worker is short of places for connections, or one has become free: idle ones of ours make room for others, and
    /// requests of ours that waited go on.
    mutating func relieveOthers() {
        for slot in clusters.indices {
            let process = clusters[slot].process
            if clusters[slot].isStarved, !process.with({ $0.isStarved(worker: index) }) {
                clusters[slot].isStarved = false
                for host in clusters[slot].hosts.indices where clusters[slot].hosts[host].pendingCount > 0 {
                    connectIfNeeded(slot, host)
                }
                // Whoever else waits may have the place that we did not need.
                if !clusters[slot].isStarved, clusters[slot].limits(0).with({ !$0.connections.isOpen }) {
                    self.process.relieve(process)
                }
            }
            if process.with({ $0.isStarved(besides: index) }) { _ = dropIdle(slot) }
        }
    }
}
