import MeshPrimitives
import Synchronization
import TrafficPolicy

/// The endpoints of one cluster in this process. What is known of them (marks, requests in flight, what outlier detection
/// counted) outlives the configurations that name them: an endpoint that stays keeps it.
final class ClusterEndpoints: Sendable {
    struct Kept: Sendable {
        let state: EndpointState
        let monitor: OutlierMonitor
    }

    /// A decision of outlier detection about an endpoint.
    struct Event: Sendable {
        let state: EndpointState
        let kind: OutlierDecision.Kind
        /// Not carried out.
        let isShadow: Bool
    }

    /// How an endpoint is known: one that is reached in different ways is several.
    struct Key: Hashable, Sendable {
        let address: SocketAddress
        /// The transport match.
        let transport: String
        let isTLS: Bool

        init(_ address: SocketAddress, transport: String = "", isTLS: Bool = false) {
            (self.address, self.transport, self.isTLS) = (address, transport, isTLS)
        }
    }

    /// Most clusters have few endpoints, and there are clusters by the thousand: a table only where it is of use.
    private struct Known {
        private static let listMax = 8

        private var list: [(key: Key, kept: Kept)] = []
        private var table: [Key: Kept] = [:]

        subscript(_ key: Key) -> Kept? {
            table.isEmpty ? list.first { $0.key == key }?.kept : table[key]
        }

        mutating func insert(_ kept: Kept, _ key: Key) {
            if table.isEmpty, list.count < Self.listMax { return list.append((key, kept)) }
            for (key, kept) in list { table[key] = kept }
            list = []
            table[key] = kept
        }

        mutating func removeAll(where isUnwanted: (Kept) -> Bool) {
            if list.contains(where: { isUnwanted($0.kept) }) { list.removeAll { isUnwanted($0.kept) } }
            if !table.isEmpty { table = table.filter { !isUnwanted($0.value) } }
        }
    }

    /// Whose endpoints these are; the few of most clusters are looked through.
    private struct States {
        private static let listMax = 8

        private let list: [Kept]
        private let table: Set<ObjectIdentifier>

        init(_ list: [Kept]) {
            self.list = list
            table = list.count <= Self.listMax ? [] : Set(list.map { ObjectIdentifier($0.state) })
        }

        func contains(_ state: EndpointState) -> Bool {
            list.count <= Self.listMax
                ? list.contains { $0.state === state } : table.contains(ObjectIdentifier(state))
        }
    }

    private struct Content {
        var known = Known()
        var targets: ClusterTargets?
        var intervalEnd = MonotonicInstant.distantFuture
    }

    private let content = Mutex(Content())

    /// What is known of the endpoint, or that with these and `newMarks`.
    func endpoint(
        _ key: Key, marks: EndpointMarks, newMarks: EndpointMarks = [], at now: MonotonicInstant
    ) -> Kept {
        content.withLock { content in
            if let known = content.known[key] {
                known.state.mark(adding: marks, removing: .discovered.subtracting(marks))
                return known
            }
            let state = EndpointState(address: key.address, marks: marks.union(newMarks))
            state.becameHealthy(at: now)
            let kept = Kept(state: state, monitor: OutlierMonitor())
            content.known.insert(kept, key)
            return kept
        }
    }

    /// These are the endpoints from now on. Of others nothing is kept once nothing of them is in use.
    func adopt(_ targets: ClusterTargets, at now: MonotonicInstant) {
        content.withLock { content in
            let staying = States(targets.kept)
            content.known.removeAll { kept in
                !staying.contains(kept.state)
                    && kept.state.requestsActive.load(ordering: .relaxed) == 0
                    && kept.state.connectionsActive.load(ordering: .relaxed) == 0
            }
            let old = content.targets
            content.targets = targets
            guard old !== targets else { return }
            let isSame = old?.detector === targets.detector
            let before = States(old?.kept ?? [])
            for kept in old?.kept ?? [] where !isSame || !staying.contains(kept.state) {
                old?.detector?.remove(kept.monitor)
                kept.state.mark(removing: .ejected)
            }
            for kept in targets.kept where !isSame || !before.contains(kept.state) {
                targets.detector?.add(kept.monitor)
            }
            if !isSame {
                content.intervalEnd =
                    targets.detector.map { now.advanced(byNanoseconds: $0.settings.interval) }
                    ?? .distantFuture
            }
        }
    }

    /// Nobody is to find it any more; who has it goes on with it.
    func forget(_ state: EndpointState) {
        content.withLock { content in
            content.known.removeAll { $0.state === state }
        }
    }

    /// Sets and removes marks of an endpoint; every worker sees at its next choice what that changes.
    func mark(_ state: EndpointState, adding: EndpointMarks = [], removing: EndpointMarks = []) {
        guard state.mark(adding: adding, removing: removing) else { return }
        content.withLock(\.targets)?.set.healthChanged()
    }

    // MARK: Outlier detection

    /// The detector with these settings that is in force, or a new one.
    func detector(_ settings: OutlierSettings?) -> OutlierDetector? {
        guard let settings else { return nil }
        let known = content.withLock(\.targets?.detector)
        return known?.settings == settings ? known : OutlierDetector(settings)
    }

    /// An attempt made its endpoint suspect: it may be put aside, at once and for all workers.
    func suspect(
        _ state: EndpointState, _ monitor: OutlierMonitor, _ reasons: OutlierReasons,
        at now: MonotonicInstant, random: inout SeededRandom
    ) -> [Event] {
        guard let targets = content.withLock(\.targets), let detector = targets.detector else { return [] }
        return detector.suspect(monitor, reasons, at: now, random: &random).map { decision in
            carryOut(decision, of: state, targets)
        }
    }

    /// A health check of the endpoint has passed.
    func checkPassed(_ state: EndpointState, at now: MonotonicInstant) -> Event? {
        guard let targets = content.withLock(\.targets), let detector = targets.detector,
            let kept = targets.kept.first(where: { $0.state === state })
        else { return nil }
        return detector.checkPassed(kept.monitor, at: now).map { carryOut($0, of: state, targets) }
    }

    /// When `intervalEnded` has something to do.
    var intervalEnd: MonotonicInstant { content.withLock(\.intervalEnd) }

    func intervalEnded(at now: MonotonicInstant, random: inout SeededRandom) -> [Event] {
        let targets = content.withLock { content -> ClusterTargets? in
            guard content.intervalEnd <= now, let detector = content.targets?.detector else { return nil }
            content.intervalEnd = now.advanced(byNanoseconds: detector.settings.interval)
            return content.targets
        }
        guard let targets, let detector = targets.detector else { return [] }
        let decisions = detector.intervalEnded(at: now, random: &random)
        if decisions.isEmpty { return [] }
        let states = Dictionary(targets.kept.map { (ObjectIdentifier($0.monitor), $0.state) }) { $1 }
        return decisions.compactMap { decision in
            states[ObjectIdentifier(decision.monitor)].map { carryOut(decision, of: $0, targets) }
        }
    }

    private func carryOut(_ decision: OutlierDecision, of state: EndpointState, _ targets: ClusterTargets)
        -> Event
    {
        let isShadow = targets.outliersMode != .enforce
        switch decision.kind {
        case .ejected: if !isShadow { mark(state, adding: .ejected) }
        case .returned: mark(state, removing: .ejected)
        case .notEnforced, .overflowed: break
        }
        return Event(state: state, kind: decision.kind, isShadow: isShadow)
    }
}

/// The endpoints of one cluster under one configuration: as a whole and by subsets. The next configuration goes on with
/// the same value if it says the same of the cluster, so that nobody loses its turn and no table is built again.
final class ClusterTargets: Sendable {
    let set: EndpointSet
    /// In the order of the set.
    let kept: [ClusterEndpoints.Kept]
    let subsets: SubsetTable?
    let detector: OutlierDetector?
    let outliersMode: PolicyMode

    init(
        set: EndpointSet, kept: [ClusterEndpoints.Kept], subsets: SubsetTable?, detector: OutlierDetector?,
        outliersMode: PolicyMode
    ) {
        (self.set, self.kept, self.subsets) = (set, kept, subsets)
        (self.detector, self.outliersMode) = (detector, outliersMode)
    }
}
