import MeshPrimitives
import Synchronization

/// The endpoints of a cluster, or of a subset of one, under one configuration. Membership, weights and priorities never
/// change; health does, and `version` with it, so that each worker's balancer knows when to look again.
@safe public final class EndpointSet: @unchecked Sendable {
    /// An endpoint's place in a set.
    public struct Member: Sendable {
        public let state: EndpointState
        /// At least 1.
        public let weight: UInt32
        /// 0 is used first. Gaps are allowed.
        public let priority: UInt32
        /// Index in the set's `localities`; its priority is this one's.
        public let locality: Int
        /// Metadata `envoy.lb` has `canary: true`.
        public let isCanary: Bool
        /// What stands for the endpoint on a ring (metadata `envoy.lb` `hash_key`, or its host name where that is asked
        /// for); nil: "ADDRESS:PORT".
        public let hashKey: String?
        /// Of `envoy.lb`; what retries may ask for.
        public let metadata: [String: MetadataValue]

        public init(
            _ state: EndpointState, weight: UInt32 = 1, priority: UInt32 = 0, locality: Int = 0,
            isCanary: Bool = false, hashKey: String? = nil, metadata: [String: MetadataValue] = [:]
        ) {
            precondition(weight > 0 && locality >= 0)
            (self.state, self.weight, self.priority) = (state, weight, priority)
            (self.locality, self.isCanary, self.hashKey) = (locality, isCanary, hashKey)
            self.metadata = metadata
        }

        /// It has all of these; of a list of its own one that is equal suffices, as in Envoy.
        func has(_ wanted: [String: MetadataValue]) -> Bool {
            wanted.allSatisfy { key, value in
                if case .list(let values) = metadata[key] { return values.contains(value) }
                return metadata[key] == value
            }
        }
    }

    /// One `LocalityLbEndpoints`.
    public struct Locality: Equatable, Sendable {
        public let name: LocalityName
        public let priority: UInt32
        /// 0: it gets nothing where localities are weighed.
        public let weight: UInt32

        public init(_ name: LocalityName, priority: UInt32 = 0, weight: UInt32 = 0) {
            (self.name, self.priority, self.weight) = (name, priority, weight)
        }
    }

    public let members: [Member]
    public let localities: [Locality]
    public var balancing: BalancingSettings { ownBalancing?.settings ?? BalancingSettings() }
    /// nil: as usual.
    private let ownBalancing: OwnBalancing?
    /// Percent by which capacity is taken to exceed need: 140 unless the assignment says otherwise.
    public let overprovisioningFactor: UInt32
    /// Below this percentage of usable endpoints health is ignored; 0: never.
    public let panicThreshold: UInt32
    /// The set that this one is a part of: its version is this one's.
    private let whole: EndpointSet?
    private let changes = Atomic<UInt64>(1)
    /// What was computed last, for whichever worker looks first.
    private let plan = Mutex<BalancingPlan?>(nil)
    /// The members' states once more, for the path of a request: `members` keeps them alive, and reading them here
    /// counts no reference.
    private let states: UnsafeMutablePointer<Unmanaged<EndpointState>>

    /// - Parameter whole: the set of the cluster, if this is a subset of it; whoever changes the health of a member
    ///   tells the whole.
    public init(
        _ members: [Member], overprovisioningFactor: UInt32 = 140, panicThreshold: UInt32 = 50,
        localities: [Locality] = [], balancing: BalancingSettings = BalancingSettings(),
        partOf whole: EndpointSet? = nil
    ) {
        precondition(overprovisioningFactor > 0 && panicThreshold <= 100)
        precondition(
            members.allSatisfy {
                localities.isEmpty
                    ? $0.locality == 0
                    : $0.locality < localities.count && localities[$0.locality].priority == $0.priority
            })
        self.members = members
        (self.localities, self.whole) = (localities, whole)
        ownBalancing = balancing == BalancingSettings() ? nil : OwnBalancing(balancing)
        (self.overprovisioningFactor, self.panicThreshold) = (overprovisioningFactor, panicThreshold)
        unsafe states = .allocate(capacity: max(members.count, 1))
        for (index, member) in members.enumerated() {
            unsafe (states + index).initialize(to: Unmanaged.passUnretained(member.state))
        }
    }

    deinit { unsafe states.deallocate() }

    /// By itself, since few sets have one and it is larger than all the rest.
    private final class OwnBalancing: Sendable {
        let settings: BalancingSettings

        init(_ settings: BalancingSettings) { self.settings = settings }
    }

    public var count: Int { members.count }
    public subscript(_ index: Int) -> EndpointState { members[index].state }

    /// A request to a member begins. The same set hears of its end.
    public func requestStarted(_ index: Int) { withState(index) { $0.requestStarted() } }

    public func requestEnded(_ index: Int, isSuccess: Bool) {
        withState(index) { $0.requestEnded(isSuccess: isSuccess) }
    }

    public func requestsActive(_ index: Int) -> Int {
        withState(index) { $0.requestsActive.load(ordering: .relaxed) }
    }

    /// A member has answered after `latency` nanoseconds; peak EWMA wants to know.
    public func answered(
        _ index: Int, latency: Int64, at now: MonotonicInstant, _ settings: PeakEWMASettings
    ) {
        withState(index) { $0.latency.add(latency, at: now, settings) }
    }

    func cost(_ index: Int, at now: MonotonicInstant, _ settings: PeakEWMASettings) -> Double {
        withState(index) { state in
            state.latency.cost(
                requestsActive: state.requestsActive.load(ordering: .relaxed), at: now, settings)
        }
    }

    /// Of all members.
    var requestsActive: Int {
        var sum = 0
        for index in 0..<members.count { sum &+= requestsActive(index) }
        return sum
    }

    public func address(_ index: Int) -> SocketAddress { withState(index) { $0.address } }

    func healthySince(_ index: Int) -> MonotonicInstant? { withState(index) { $0.healthySince } }
    func health(_ index: Int) -> EndpointHealth { withState(index) { $0.health } }

    @inline(__always)
    private func withState<T>(_ index: Int, _ body: (EndpointState) -> T) -> T {
        precondition(index >= 0 && index < members.count)
        return unsafe states[index]._withUnsafeGuaranteedRef { body($0) }
    }

    /// Never 0.
    @inline(__always) public var version: UInt64 {
        if let whole { return whole.version }
        return changes.load(ordering: .acquiring)
    }

    /// The health of a member is another one. Tables for hashing are built here, off the path of a request.
    public func healthChanged() {
        if let whole {
            whole.healthChanged()
            return
        }
        let next = changes.load(ordering: .acquiring) + 1
        if balancing.hashing != nil {
            let prepared = BalancingPlan(self, version: next)
            plan.withLock { $0 = prepared }
        }
        changes.wrappingAdd(1, ordering: .acquiringAndReleasing)
    }

    /// Sets and removes marks of a member, and counts the change if it is one.
    public func mark(_ index: Int, adding: EndpointMarks = [], removing: EndpointMarks = []) {
        if members[index].state.mark(adding: adding, removing: removing) { healthChanged() }
    }

    public func count(of health: EndpointHealth) -> Int {
        members.reduce(0) { $0 + ($1.state.health == health ? 1 : 0) }
    }

    /// The plan of at least that version. It is made by the first worker that asks; the others wait for it.
    func plan(version: UInt64) -> BalancingPlan {
        plan.withLock { known in
            if let known, known.version >= version { return known }
            let made = BalancingPlan(self, version: version)
            known = made
            return made
        }
    }
}
