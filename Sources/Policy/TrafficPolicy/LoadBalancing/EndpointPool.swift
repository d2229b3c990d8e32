import MeshPrimitives

/// Endpoints that are chosen among, and whose turn it is.
struct EndpointPool {
    /// Percent of the traffic that comes here.
    let load: Int
    private let members: [UInt32]
    private let weights: [UInt32]
    private let hasEqualWeights: Bool
    /// Sums of the weights up to and with each member.
    private let cumulative: [UInt64]
    /// Smooth weighted round robin: each turn adds every member's weight, the largest balance is chosen and pays the
    /// sum of all weights. Over that many turns each is chosen exactly as often as its weight says.
    private var balances: [Int64]
    private var next: Int

    init(_ members: [Int], _ weights: [UInt32], load: Int, random: inout SeededRandom) {
        precondition(!members.isEmpty && members.count == weights.count)
        self.load = load
        self.members = members.map { UInt32($0) }
        self.weights = weights
        hasEqualWeights = weights.allSatisfy { $0 == weights[0] }
        var sum: UInt64 = 0
        cumulative = weights.map { weight in
            sum += UInt64(weight)
            return sum
        }
        balances = hasEqualWeights ? [] : [Int64](repeating: 0, count: members.count)
        next = Int(random.below(UInt64(members.count)))
        if !hasEqualWeights {
            // Some turns on, so that workers differ; balances stay bounded by the sum of weights.
            for _ in 0..<next { _ = pickInTurn() }
        }
    }

    mutating func pickInTurn() -> Int {
        if hasEqualWeights {
            let member = members[next]
            next = next + 1 == members.count ? 0 : next + 1
            return Int(member)
        }
        var best = 0
        for index in balances.indices {
            balances[index] += Int64(weights[index])
            if balances[index] > balances[best] { best = index }
        }
        balances[best] -= Int64(cumulative[cumulative.count - 1])
        return Int(members[best])
    }

    mutating func pickAny(_ random: inout SeededRandom) -> Int {
        Int(members[Int(random.below(UInt64(members.count)))])
    }

    /// The first of equals wins.
    mutating func pickLeastLoaded(of choices: UInt32, in set: EndpointSet, _ random: inout SeededRandom)
        -> Int
    {
        if members.count == 1 { return Int(members[0]) }
        var best = draw(&random)
        var bestLoad = requests(best, in: set)
        for _ in 1..<max(choices, 1) {
            let other = draw(&random)
            let load = requests(other, in: set)
            // Requests by weight, compared without division: a/w < b/v.
            if load * Int(weights[best]) < bestLoad * Int(weights[other]) { (best, bestLoad) = (other, load) }
        }
        return Int(members[best])
    }

    private func requests(_ place: Int, in set: EndpointSet) -> Int {
        let active = set.requestsActive(Int(members[place]))
        // With unequal weights an idle large endpoint is to win over an idle small one.
        return hasEqualWeights ? active : active + 1
    }

    private func draw(_ random: inout SeededRandom) -> Int {
        if hasEqualWeights { return Int(random.below(UInt64(members.count))) }
        let point = random.below(cumulative[cumulative.count - 1])
        var (low, high) = (0, cumulative.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if cumulative[middle] > point { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
