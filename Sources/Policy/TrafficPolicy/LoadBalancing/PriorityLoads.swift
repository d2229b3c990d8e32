/// How traffic spreads over priorities and over healthy and degraded endpoints: Envoy's rules, on plain counts.
///
/// A priority can take min(100, factor * usable / all) percent. Priority 0 gets what it can, the next one of the rest,
/// and so on, healthy endpoints of all priorities before degraded ones. If all of them together can take less than
/// 100 %, the loads are scaled up, and a priority whose usable share is below the panic threshold uses all of its
/// endpoints. If nobody can take anything, traffic goes to all endpoints of all priorities, by their number.
public struct PriorityLoads: Equatable, Sendable {
    public struct Counts: Equatable, Sendable {
        public var all, healthy, degraded: Int

        public init(all: Int, healthy: Int, degraded: Int = 0) {
            (self.all, self.healthy, self.degraded) = (all, healthy, degraded)
        }
    }

    /// Percent of the traffic, healthy endpoints and degraded ones; all of them together make 100.
    public private(set) var healthy: [Int]
    public private(set) var degraded: [Int]
    /// Health is ignored in this priority.
    public private(set) var isPanicking: [Bool]

    public init(_ priorities: [Counts], overprovisioningFactor: Int = 140, panicThreshold: Int = 50) {
        func availability(_ usable: Int, of all: Int) -> Int {
            all == 0 ? 0 : min(100, overprovisioningFactor * usable / all)
        }
        let healthyShares = priorities.map { availability($0.healthy, of: $0.all) }
        let degradedShares = priorities.map { availability($0.degraded, of: $0.all) }
        let total = min(100, healthyShares.reduce(0, +) + degradedShares.reduce(0, +))
        isPanicking = priorities.map { counts in
            // With enough capacity elsewhere nobody panics: the traffic goes there.
            total < 100 && counts.all > 0
                && (counts.healthy + counts.degraded) * 100 < panicThreshold * counts.all
        }
        healthy = [Int](repeating: 0, count: priorities.count)
        degraded = healthy
        guard total > 0 else {
            spreadOverAll(priorities, panics: panicThreshold > 0)
            return
        }
        var left = 100
        for index in priorities.indices {
            healthy[index] = min(left, healthyShares[index] * 100 / total)
            left -= healthy[index]
        }
        for index in priorities.indices {
            degraded[index] = min(left, degradedShares[index] * 100 / total)
            left -= degraded[index]
        }
        // What rounding left over goes to the first who takes anything.
        if let first = healthy.firstIndex(where: { $0 > 0 }) {
            healthy[first] += left
        } else if let first = degraded.firstIndex(where: { $0 > 0 }) {
            degraded[first] += left
        }
    }

    private mutating func spreadOverAll(_ priorities: [Counts], panics: Bool) {
        let all = priorities.reduce(0) { $0 + $1.all }
        guard all > 0, panics else { return }
        var left = 100
        for index in priorities.indices {
            healthy[index] = priorities[index].all * 100 / all
            left -= healthy[index]
            isPanicking[index] = priorities[index].all > 0
        }
        if let first = healthy.firstIndex(where: { $0 > 0 }) { healthy[first] += left }
    }
}
