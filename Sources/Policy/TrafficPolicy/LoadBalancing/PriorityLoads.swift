/// How traffic spreads over priorities and over healthy and degraded endpoints: Envoy's rules, on plain counts.
///
/// A priority can take min(100, factor * usable / all) percent. Priority 0 gets what it can, the next one of the rest,
/// and so on, healthy endpoints of all priorities before degraded ones. If all of them together can take less than
/// 100 %, the loads are scaled up, and a priority whose usable share is below the panic threshold uses all of its
/// endpoints. If every priority panics, traffic goes to all of them by their number of endpoints.
public struct PriorityLoads: Equatable, Sendable {
    public struct Counts: Equatable, Sendable {
        /// Those that are left out do not count among `all`.
        public var all, healthy, degraded, excluded: Int
        /// Sums of weights in the same order, where health is weighed (`weighted_priority_health`).
        public var weights: (all: UInt64, healthy: UInt64, degraded: UInt64)?

        public init(all: Int, healthy: Int, degraded: Int = 0, excluded: Int = 0) {
            (self.all, self.healthy, self.degraded, self.excluded) = (all, healthy, degraded, excluded)
        }

        public static func == (left: Self, right: Self) -> Bool {
            (left.all, left.healthy, left.degraded, left.excluded)
                == (right.all, right.healthy, right.degraded, right.excluded)
        }
    }

    /// Percent of the traffic, healthy endpoints and degraded ones; all of them together make 100 unless nobody is there.
    public private(set) var healthy: [Int]
    public private(set) var degraded: [Int]
    /// Health is ignored in this priority.
    public private(set) var isPanicking: [Bool]

    /// - Parameter passedOver: bit n says that priority n is taken to have nobody (a retry that goes elsewhere); it does
    ///   not change who panics.
    public init(
        _ priorities: [Counts], overprovisioningFactor: Int = 140, panicThreshold: Int = 50,
        passedOver: UInt64 = 0
    ) {
        func availability(_ part: UInt64, of whole: UInt64) -> Int {
            whole == 0 ? 0 : Int(min(100, UInt64(overprovisioningFactor) * part / whole))
        }
        func isPassedOver(_ index: Int) -> Bool { index < 64 && passedOver & 1 << UInt64(index) != 0 }
        var healthyShares = priorities.map {
            availability($0.weights?.healthy ?? UInt64($0.healthy), of: $0.weights?.all ?? UInt64($0.all))
        }
        var degradedShares = priorities.map {
            availability($0.weights?.degraded ?? UInt64($0.degraded), of: $0.weights?.all ?? UInt64($0.all))
        }
        let everything = min(100, healthyShares.reduce(0, +) + degradedShares.reduce(0, +))
        healthy = [Int](repeating: 0, count: priorities.count)
        degraded = healthy
        // With enough capacity elsewhere nobody panics: the traffic goes there.
        isPanicking = priorities.map { counts in
            guard everything < 100 else { return false }
            guard counts.all > 0 else { return panicThreshold > 0 }
            return (counts.healthy + counts.degraded) * 100 < panicThreshold * counts.all
        }
        if !isPanicking.contains(false), panicThreshold > 0, passedOver == 0 {
            spreadOverAll(priorities)
            return
        }
        for index in priorities.indices where isPassedOver(index) {
            (healthyShares[index], degradedShares[index]) = (0, 0)
        }
        spread(healthyShares, degradedShares)
    }

    private mutating func spread(_ healthyShares: [Int], _ degradedShares: [Int]) {
        let total = min(100, healthyShares.reduce(0, +) + degradedShares.reduce(0, +))
        guard total > 0 else { return }
        var left = 100
        for index in healthy.indices {
            healthy[index] = min(left, healthyShares[index] * 100 / total)
            left -= healthy[index]
        }
        for index in degraded.indices {
            degraded[index] = min(left, degradedShares[index] * 100 / total)
            left -= degraded[index]
        }
        // What rounding left over goes to the first who can take anything.
        if let first = healthyShares.firstIndex(where: { $0 > 0 }) {
            healthy[first] += left
        } else if let first = degradedShares.firstIndex(where: { $0 > 0 }) {
            degraded[first] += left
        }
    }

    private mutating func spreadOverAll(_ priorities: [Counts]) {
        let sizes = priorities.map { $0.all + $0.excluded }
        let all = sizes.reduce(0, +)
        guard all > 0 else { return }
        var left = 100
        for index in priorities.indices {
            healthy[index] = sizes[index] * 100 / all
            left -= healthy[index]
        }
        if let first = sizes.firstIndex(where: { $0 > 0 }) { healthy[first] += left }
    }
}
