import MeshPrimitives
import Synchronization

/// The endpoints of a cluster under one configuration. Membership, weights and priorities never change; health does,
/// and `version` with it, so that each worker's balancer knows when to look again.
@safe public final class EndpointSet: @unchecked Sendable {
    /// An endpoint's place in a set.
    public struct Member: Sendable {
        public let state: EndpointState
        /// At least 1.
        public let weight: UInt32
        /// 0 is used first. Gaps are allowed.
        public let priority: UInt32

        public init(_ state: EndpointState, weight: UInt32 = 1, priority: UInt32 = 0) {
            precondition(weight > 0)
            (self.state, self.weight, self.priority) = (state, weight, priority)
        }
    }

    public let members: [Member]
    /// Percent by which capacity is taken to exceed need: 140 unless the assignment says otherwise.
    public let overprovisioningFactor: UInt32
    /// Below this percentage of usable endpoints health is ignored; 0: never.
    public let panicThreshold: UInt32
    private let changes = Atomic<UInt64>(1)
    /// The members' states once more, for the path of a request: `members` keeps them alive, and reading them here
    /// counts no reference.
    private let states: UnsafeMutablePointer<Unmanaged<EndpointState>>

    public init(_ members: [Member], overprovisioningFactor: UInt32 = 140, panicThreshold: UInt32 = 50) {
        precondition(overprovisioningFactor > 0 && panicThreshold <= 100)
        self.members = members
        (self.overprovisioningFactor, self.panicThreshold) = (overprovisioningFactor, panicThreshold)
        unsafe states = .allocate(capacity: max(members.count, 1))
        for (index, member) in members.enumerated() {
            unsafe (states + index).initialize(to: Unmanaged.passUnretained(member.state))
        }
    }

    deinit { unsafe states.deallocate() }

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

    public func address(_ index: Int) -> SocketAddress { withState(index) { $0.address } }

    @inline(__always)
    private func withState<T>(_ index: Int, _ body: (EndpointState) -> T) -> T {
        precondition(index >= 0 && index < members.count)
        return unsafe states[index]._withUnsafeGuaranteedRef { body($0) }
    }

    /// Never 0.
    public var version: UInt64 { changes.load(ordering: .acquiring) }

    /// The health of a member is another one.
    public func healthChanged() { changes.wrappingAdd(1, ordering: .acquiringAndReleasing) }

    /// Sets and removes marks of a member, and counts the change if it is one.
    public func mark(_ index: Int, adding: EndpointMarks = [], removing: EndpointMarks = []) {
        if members[index].state.mark(adding: adding, removing: removing) { healthChanged() }
    }

    public func count(of health: EndpointHealth) -> Int {
        members.reduce(0) { $0 + ($1.state.health == health ? 1 : 0) }
    }
}
