import MeshPrimitives

/// How an endpoint is chosen among those that may be.
public enum LoadBalancingPolicy: Equatable, Sendable, BitwiseCopyable {
    /// In turn, as often as the weights say, and smoothly: the turns of an endpoint lie apart.
    case roundRobin
    /// The least loaded of `choices` drawn at random, with replacement: of two endpoints the busy one still gets a
    /// quarter. Unequal weights count in the draw and in the comparison.
    case leastRequest(choices: UInt32)
    /// Each with the same probability, whatever its weight, as Envoy has it.
    case random
}

/// Endpoints that earlier attempts of a request went to. Remembers the last eight.
public struct PreviousEndpoints: Sendable, BitwiseCopyable {
    private var addresses = InlineArray<8, SocketAddress>(
        repeating: SocketAddress(family: .ipv4, high: 0, low: 0, port: 0))
    private var added = 0

    public init() {}

    public mutating func add(_ address: SocketAddress) {
        addresses[added & 7] = address
        added += 1
    }

    public func contains(_ address: SocketAddress) -> Bool {
        for index in 0..<min(added, 8) where addresses[index] == address { return true }
        return false
    }
}

/// Chooses endpoints for one worker. What it remembers (whose turn it is, who may be chosen) is the worker's own; it is
/// computed again when the set or the health of a member changes, and otherwise a choice allocates nothing.
public struct LoadBalancer {
    public let policy: LoadBalancingPolicy
    /// One pool for each priority and health that gets traffic.
    private var pools: [EndpointPool] = []
    /// Kept, so that no other set can come to have its identity.
    private var seenSet: EndpointSet?
    private var seenVersion: UInt64 = 0
    /// Health is ignored for a part of the traffic (`lb_healthy_panic`), as of the last choice.
    public private(set) var isPanicking = false

    public init(_ policy: LoadBalancingPolicy) {
        if case .leastRequest(let choices) = policy { precondition(choices > 0) }
        self.policy = policy
    }

    /// The index of the endpoint for the next attempt; nil if there is none. An endpoint in `previous` is passed over
    /// by choosing again, `drawsMax` times in all at the most: the last choice is taken as it is.
    public mutating func pick(
        from set: EndpointSet, random: inout SeededRandom, avoiding previous: PreviousEndpoints, drawsMax: Int
    ) -> Int? {
        for _ in 1..<max(drawsMax, 1) {
            guard let index = pick(from: set, random: &random) else { return nil }
            if !previous.contains(set.address(index)) { return index }
        }
        return pick(from: set, random: &random)
    }

    public mutating func pick(from set: EndpointSet, random: inout SeededRandom) -> Int? {
        let version = set.version
        if version != seenVersion || seenSet !== set { look(at: set, version, random: &random) }
        guard !pools.isEmpty else { return nil }
        let pool = pools.count == 1 ? 0 : choosePool(&random)
        switch policy {
        case .roundRobin: return pools[pool].pickInTurn()
        case .random: return pools[pool].pickAny(&random)
        case .leastRequest(let choices): return pools[pool].pickLeastLoaded(of: choices, in: set, &random)
        }
    }

    private func choosePool(_ random: inout SeededRandom) -> Int {
        var point = Int(random.below(100))
        for index in pools.indices {
            point -= pools[index].load
            if point < 0 { return index }
        }
        return pools.count - 1
    }

    /// Builds the pools anew. Workers begin their turns at different places, or the first endpoint of a list
    /// would get a burst from each of them.
    private mutating func look(at set: EndpointSet, _ version: UInt64, random: inout SeededRandom) {
        (seenSet, seenVersion) = (set, version)
        let priorities = Array(Swift.Set(set.members.map(\.priority))).sorted()
        let health = set.members.map { $0.state.health }
        func members(_ priority: UInt32, _ wanted: EndpointHealth?) -> [Int] {
            set.members.indices.filter {
                set.members[$0].priority == priority && (wanted == nil || health[$0] == wanted)
            }
        }
        let counts = priorities.map { priority in
            PriorityLoads.Counts(
                all: members(priority, nil).count, healthy: members(priority, .healthy).count,
                degraded: members(priority, .degraded).count)
        }
        let loads = PriorityLoads(
            counts, overprovisioningFactor: Int(set.overprovisioningFactor),
            panicThreshold: Int(set.panicThreshold))
        pools = []
        isPanicking = loads.isPanicking.contains(true)
        for (index, priority) in priorities.enumerated() {
            let isPanicking = loads.isPanicking[index]
            for (load, wanted) in [(loads.healthy[index], .healthy), (loads.degraded[index], .degraded)]
                as [(Int, EndpointHealth)] where load > 0
            {
                let chosen = members(priority, isPanicking ? nil : wanted)
                let weights = chosen.map { set.members[$0].weight }
                pools.append(EndpointPool(chosen, weights, load: load, random: &random))
            }
        }
    }
}
