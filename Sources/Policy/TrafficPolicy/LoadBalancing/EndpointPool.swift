import Glibc
import MeshPrimitives

/// Endpoints that are chosen among, and whose turn it is: one worker's own.
struct EndpointPool: ~Copyable {
    private var members = OwnedList<UInt32>()
    private var weights = OwnedList<UInt32>()
    private let hasEqualWeights: Bool
    private var weightSum: UInt64 = 0
    /// Where weights differ, or will for a while.
    private var schedule = EDFSchedule()
    private var next: UInt

    /// - Parameter weight: of a member now, where turns are scheduled; nil: they are not.
    init(_ pool: BalancingPlan.Pool, start: UInt32, weight: ((_ member: Int, _ weight: UInt32) -> Double)?) {
        precondition(!pool.members.isEmpty && pool.members.count == pool.weights.count)
        hasEqualWeights = pool.weights.allSatisfy { $0 == pool.weights[0] }
        for (member, weight) in zip(pool.members, pool.weights) {
            members.append(member)
            weights.append(weight)
            weightSum += UInt64(weight)
        }
        next = UInt(start) % UInt(pool.members.count)
        if let weight, pool.members.count > 1 {
            // The number of turns that were made already differs from worker to worker, or the first endpoint of a
            // list would get a burst from all of them.
            schedule = EDFSchedule(count: pool.members.count, picks: start % 429_496_729) { place in
                weight(Int(pool.members[place]), pool.weights[place])
            }
        }
    }

    var isScheduled: Bool { !schedule.isEmpty }
    private var count: UInt64 { UInt64(members.count) }

    mutating func pickInTurn() -> Int {
        let member = members[Int(next)]
        next = Int(next) + 1 == members.count ? 0 : next + 1
        return Int(member)
    }

    @inline(__always)
    mutating func pickScheduled(weight: (_ member: Int, _ weight: UInt32) -> Double) -> Int {
        let place = Int(schedule.next)
        schedule.comeBack(weight: weight(Int(members[place]), weights[place]))
        return Int(members[place])
    }

    func pickAny(_ random: inout SeededRandom) -> Int { Int(members[Int(random.below(count))]) }

    /// The first of equals wins.
    func pickLeastLoaded(of choices: UInt32, in set: EndpointSet, _ random: inout SeededRandom) -> Int {
        var best = pickAny(&random)
        if members.count == 1 { return best }
        var bestLoad = set.requestsActive(best)
        for _ in 1..<max(choices, 1) {
            let other = pickAny(&random)
            let load = set.requestsActive(other)
            if load < bestLoad { (best, bestLoad) = (other, load) }
        }
        return best
    }

    func pickLeastLoadedOfAll(in set: EndpointSet, _ random: inout SeededRandom) -> Int {
        var best = Int(members[0])
        var bestLoad = set.requestsActive(best)
        var equals: UInt64 = 1
        for place in 1..<max(members.count, 1) {
            let load = set.requestsActive(Int(members[place]))
            if load < bestLoad {
                (best, bestLoad, equals) = (Int(members[place]), load, 1)
            } else if load == bestLoad {
                equals += 1
                if random.below(equals) == 0 { best = Int(members[place]) }
            }
        }
        return best
    }

    /// Drawn by weight, compared by requests per weight.
    func pickLeastLoadedByWeight(of choices: UInt32, in set: EndpointSet, _ random: inout SeededRandom) -> Int
    {
        var best = drawByWeight(&random)
        // With unequal weights an idle large endpoint is to win over an idle small one.
        var bestLoad = set.requestsActive(Int(members[best])) + 1
        for _ in 1..<max(choices, 1) {
            let other = drawByWeight(&random)
            let load = set.requestsActive(Int(members[other])) + 1
            // a/w < b/v without division.
            if load * Int(weights[best]) < bestLoad * Int(weights[other]) { (best, bestLoad) = (other, load) }
        }
        return Int(members[best])
    }

    /// A place, as often as its weight says: a walk over the weights.
    private func drawByWeight(_ random: inout SeededRandom) -> Int {
        var point = random.below(weightSum)
        for place in weights.indices {
            if point < UInt64(weights[place]) { return place }
            point -= UInt64(weights[place])
        }
        return weights.count - 1
    }

    /// Of two different ones the cheaper; of equals either.
    @inline(__always)
    func pickCheaper(_ random: inout SeededRandom, cost: (Int) -> Double) -> Int {
        if members.count == 1 { return Int(members[0]) }
        let first = random.below(count)
        let second = (first + 1 + random.below(count - 1)) % count
        let (left, right) = (Int(members[Int(first)]), Int(members[Int(second)]))
        return cost(left) <= cost(right) ? left : right
    }
}
