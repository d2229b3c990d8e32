import Glibc
import MeshPrimitives

/// Chooses endpoints for one worker. What it remembers (whose turn it is, who may be chosen) is the worker's own; it is
/// taken anew from the set when the set or the health of a member changes, and otherwise a choice allocates nothing.
public struct LoadBalancer: ~Copyable {
    public let policy: LoadBalancingPolicy
    private var pools = OwnedList<EndpointPool>()
    private var rows = OwnedList<BalancingPlan.Row>()
    private var priorities = OwnedList<BalancingPlan.Priority>()
    private var localities = OwnedList<LocalitySchedule>()
    /// One, where zones are looked at.
    private var zone = OwnedList<ZonePicker>()
    private var slowStart: SlowStartSettings?
    private var balanceFactor: UInt32 = 0
    /// Kept, so that no other set can come to have its identity, and the tables stay.
    private var seenSet: EndpointSet?
    private var seenIdentity: ObjectIdentifier?
    /// Whose turn comes after whose, where there is nothing else to decide (one pool of equals); else empty.
    private var turns = OwnedList<UInt32>()
    private var turn = 0
    private var plan: BalancingPlan?
    private var tables = OwnedList<HashTable.Unowned?>()
    private var seenVersion: UInt64 = 0
    /// Health is ignored for a part of the traffic, as of the last choice.
    public private(set) var isPanicking = false
    /// Health was ignored for the last choice (`lb_healthy_panic`).
    public private(set) var hasPanicked = false
    /// The priority of the last choice, counted among those that there are.
    public private(set) var lastPriority = 0
    public private(set) var lastZone = ZoneChoice.none

    public init(_ policy: LoadBalancingPolicy) { self.policy = policy }

    /// The index of the endpoint for the next attempt; nil if there is none.
    ///
    /// - Parameter hash: of the request, for a policy that hashes; without one it places at random.
    /// - Parameter now: for slow start and peak EWMA; the other policies do not look at it.
    public mutating func pick(
        from set: EndpointSet, hash: UInt64? = nil, at now: MonotonicInstant = .zero,
        random: inout SeededRandom
    ) -> Int? {
        lookIfNeeded(at: set, now, &random)
        return turns.isEmpty ? pick(set, hash, attempt: 0, now, &random) : takeTurn()
    }

    @inline(__always) private mutating func takeTurn() -> Int {
        let place = turn
        turn = place &+ 1 == turns.count ? 0 : place &+ 1
        return Int(turns[place])
    }

    /// For a retry: endpoints that the predicates name are passed over by choosing again, `drawsMax` times in all at the
    /// most: the last choice is taken as it is.
    public mutating func pick(
        from set: EndpointSet, hash: UInt64? = nil, at now: MonotonicInstant = .zero,
        random: inout SeededRandom, avoiding previous: PreviousEndpoints, drawsMax: Int,
        predicates: HostPredicates = .previousHosts, omitting metadata: [String: MetadataValue] = [:]
    ) -> Int? {
        lookIfNeeded(at: set, now, &random)
        let hash = hash ?? (policy == .hashed ? random.next() : nil)
        var attempt: UInt64 = 0
        while true {
            guard let index = pick(set, hash, attempt: attempt, now, &random) else { return nil }
            attempt += 1
            let isUnwanted =
                (predicates.contains(.previousHosts) && previous.contains(set.address(index)))
                || (predicates.contains(.canaries) && set.members[index].isCanary)
                || (!metadata.isEmpty && set.members[index].has(metadata))
            if !isUnwanted || attempt >= drawsMax { return index }
        }
    }

    /// For a retry that passes over the priorities of earlier attempts. Computes the loads anew, and allocates.
    public mutating func pick(
        from set: EndpointSet, hash: UInt64? = nil, at now: MonotonicInstant = .zero,
        random: inout SeededRandom, avoiding previous: PreviousEndpoints, drawsMax: Int,
        predicates: HostPredicates = .previousHosts, omitting metadata: [String: MetadataValue] = [:],
        priorities passed: inout PreviousPriorities
    ) -> Int? {
        lookIfNeeded(at: set, now, &random)
        let hadTurns = !turns.isEmpty
        if passed.passedOver != 0, let plan {
            var others = adjusted(plan, set, passed.passedOver)
            if others.isEmpty {
                passed.startAnew()
                others = plan.rows
            }
            replaceRows(others)
            turns = OwnedList()
        }
        defer {
            if let plan {
                replaceRows(plan.rows)
                if hadTurns, turns.isEmpty { seenIdentity = nil }
            }
        }
        return pick(
            from: set, hash: hash, at: now, random: &random, avoiding: previous, drawsMax: drawsMax,
            predicates: predicates, omitting: metadata)
    }

    private func adjusted(_ plan: BalancingPlan, _ set: EndpointSet, _ passedOver: UInt64)
        -> [BalancingPlan.Row]
    {
        BalancingPlan.rows(
            PriorityLoads(
                plan.counts, overprovisioningFactor: Int(set.overprovisioningFactor),
                panicThreshold: Int(set.panicThreshold), passedOver: passedOver))
    }

    private mutating func replaceRows(_ new: [BalancingPlan.Row]) {
        rows = OwnedList()
        for row in new { rows.append(row) }
    }

    // MARK: Choosing

    @inline(__always)
    private mutating func pick(
        _ set: EndpointSet, _ hash: UInt64?, attempt: UInt64, _ now: MonotonicInstant,
        _ random: inout SeededRandom
    ) -> Int? {
        guard !rows.isEmpty else { return nil }
        if !turns.isEmpty { return takeTurn() }
        if policy == .hashed {
            let hash = hash ?? random.next()
            let row = rows.count == 1 ? 0 : row(UInt32(hash % 100) + 1)
            note(rows[row])
            guard let table = tables[lastPriority] else { return nil }
            let member = table.member(hash, attempt: attempt)
            return balanceFactor == 0 ? member : table.bounded(member, hash, factor: balanceFactor, in: set)
        }
        let row = rows.count == 1 ? 0 : row(UInt32(random.below(100)) + 1)
        note(rows[row])
        guard let pool = pool(rows[row].isDegraded, &random) else { return nil }
        return pick(pool, set, now, &random)
    }

    @inline(__always) private mutating func note(_ row: BalancingPlan.Row) {
        lastPriority = Int(row.priority)
        hasPanicked = priorities[lastPriority].isPanicking
    }

    private func row(_ point: UInt32) -> Int {
        for index in rows.indices where point <= rows[index].upTo { return index }
        return rows.count - 1
    }

    @inline(__always)
    private mutating func pool(_ isDegraded: Bool, _ random: inout SeededRandom) -> Int? {
        let priority = priorities[lastPriority]
        switch isDegraded ? priority.degraded : priority.healthy {
        case .nobody: return nil
        case .pool(let pool): return Int(pool)
        case .localities(let index): return localities[Int(index)].pick()
        case .zones(let index):
            let (pool, choice) = zone[0].pick(Int(index), &random)
            lastZone = choice
            return pool
        }
    }

    @inline(__always)
    private mutating func pick(
        _ pool: Int, _ set: EndpointSet, _ now: MonotonicInstant, _ random: inout SeededRandom
    ) -> Int {
        switch policy {
        case .roundRobin:
            guard pools[pool].isScheduled else { return pools[pool].pickInTurn() }
            return pickScheduled(pool, set, bias: 0, now)
        case .leastLoaded(let settings):
            if settings.drawsByWeight {
                return pools[pool].pickLeastLoadedByWeight(of: settings.choices, in: set, &random)
            }
            if pools[pool].isScheduled {
                return pickScheduled(pool, set, bias: settings.activeRequestBias, now)
            }
            if settings.scansAll { return pools[pool].pickLeastLoadedOfAll(in: set, &random) }
            return pools[pool].pickLeastLoaded(of: settings.choices, in: set, &random)
        case .random, .hashed:
            return pools[pool].pickAny(&random)
        case .peakEWMA(let settings):
            return pools[pool].pickCheaper(&random) { set.cost($0, at: now, settings) }
        }
    }

    private mutating func pickScheduled(
        _ pool: Int, _ set: EndpointSet, bias: Double, _ now: MonotonicInstant
    )
        -> Int
    {
        let slowStart = slowStart
        return pools[pool].pickScheduled { member, weight in
            Self.weight(weight, of: member, in: set, bias: bias, slowStart, at: now)
        }
    }

    /// weight / (requests in flight + 1)^bias, and less while the endpoint is in its slow start.
    private static func weight(
        _ weight: UInt32, of member: Int, in set: EndpointSet, bias: Double, _ slowStart: SlowStartSettings?,
        at now: MonotonicInstant
    ) -> Double {
        var result = Double(weight)
        if bias == 1 {
            result /= Double(set.requestsActive(member) + 1)
        } else if bias != 0 {
            result /= pow(Double(set.requestsActive(member) + 1), bias)
        }
        guard let slowStart, let since = set.healthySince(member) else { return result }
        let age = now.nanoseconds(since: since)
        guard age < slowStart.window, set.health(member) == .healthy else { return result }
        let milliseconds = max(1, age / Nanoseconds.perMillisecond)
        let part = Double(milliseconds) / Double(max(1, slowStart.window / Nanoseconds.perMillisecond))
        let factor = slowStart.aggression == 1 || part == 1 ? part : pow(part, 1 / slowStart.aggression)
        return result * max(factor, slowStart.weightMin)
    }

    // MARK: Looking

    @inline(__always)
    private mutating func lookIfNeeded(
        at set: EndpointSet, _ now: MonotonicInstant, _ random: inout SeededRandom
    ) {
        let version = set.version
        if version != seenVersion || seenIdentity != ObjectIdentifier(set) {
            look(at: set, version, now, &random)
        }
    }

    @inline(never)
    private mutating func look(
        at set: EndpointSet, _ version: UInt64, _ now: MonotonicInstant, _ random: inout SeededRandom
    ) {
        let plan = set.plan(version: version)
        (seenSet, seenVersion, self.plan) = (set, version, plan)
        seenIdentity = ObjectIdentifier(set)
        slowStart = set.balancing.slowStart
        balanceFactor = set.balancing.hashBalanceFactor
        isPanicking = plan.priorities.contains { $0.isPanicking }
        replaceRows(plan.rows)
        priorities = OwnedList()
        for priority in plan.priorities { priorities.append(priority) }
        let start = UInt32(truncatingIfNeeded: random.next())
        pools = OwnedList()
        for pool in plan.pools { pools.append(endpointPool(pool, set, start, now)) }
        localities = OwnedList()
        for entries in plan.localities { localities.append(LocalitySchedule(entries, start: start)) }
        zone = OwnedList()
        if plan.zone != nil { zone.append(ZonePicker(plan, set)) }
        tables = OwnedList()
        for table in plan.tables { tables.append(table.map { HashTable.Unowned($0) }) }
        lineUp(plan, start)
    }

    /// Puts the turns in a line if turns are all that there is.
    private mutating func lineUp(_ plan: BalancingPlan, _ start: UInt32) {
        turns = OwnedList()
        guard rows.count == 1 else { return }
        note(rows[0])
        let priority = priorities[lastPriority]
        guard case .pool(let pool) = rows[0].isDegraded ? priority.degraded : priority.healthy,
            !pools[Int(pool)].isScheduled
        else { return }
        let members = plan.pools[Int(pool)].members
        switch policy {
        case .roundRobin: break
        case .leastLoaded, .random: if members.count > 1 { return }
        case .hashed, .peakEWMA: return
        }
        for member in members { turns.append(member) }
        turn = Int(start) % members.count
    }

    private func endpointPool(
        _ pool: BalancingPlan.Pool, _ set: EndpointSet, _ start: UInt32, _ now: MonotonicInstant
    ) -> EndpointPool {
        let bias: Double
        switch policy {
        case .roundRobin: bias = 0
        case .leastLoaded(let settings) where !settings.drawsByWeight: bias = settings.activeRequestBias
        case .leastLoaded, .random, .hashed, .peakEWMA: return EndpointPool(pool, start: start, weight: nil)
        }
        let slowStart = set.balancing.slowStart
        let startsSlowly =
            slowStart.map { slowStart in
                pool.members.contains { member in
                    set.healthySince(Int(member)).map {
                        now.nanoseconds(since: $0) <= slowStart.window
                    } ?? false
                }
            } ?? false
        if pool.weights.allSatisfy({ $0 == pool.weights[0] }), !startsSlowly {
            return EndpointPool(pool, start: start, weight: nil)
        }
        return EndpointPool(pool, start: start) { member, weight in
            Self.weight(weight, of: member, in: set, bias: bias, slowStart, at: now)
        }
    }
}

/// The turns of a priority's localities, and the pool behind each.
struct LocalitySchedule: ~Copyable {
    private var entries = OwnedList<BalancingPlan.LocalityEntry>()
    private var schedule: EDFSchedule

    init(_ list: [BalancingPlan.LocalityEntry], start: UInt32) {
        for entry in list { entries.append(entry) }
        schedule = EDFSchedule(count: list.count, picks: start % 429_496_729) { list[$0].weight }
    }

    mutating func pick() -> Int {
        let place = Int(schedule.next)
        schedule.comeBack(weight: entries[place].weight)
        return Int(entries[place].pool)
    }
}

/// A worker's copy of `ZoneRoute`, with the pools of the zones.
struct ZonePicker: ~Copyable {
    private var staysInOwn = false
    private var ownShare: UInt64 = 0
    private var routingEnabled: UInt32 = 0
    private var room = OwnedList<UInt64>()
    /// All lists one behind the other, `zoneCount` pools each.
    private var pools = OwnedList<UInt32>()
    private var everyone = OwnedList<UInt32>()
    private var zoneCount = 0

    init() {}

    init(_ plan: BalancingPlan, _ set: EndpointSet) {
        guard let route = plan.zone, case .zoneAware(let settings) = set.balancing.locality else { return }
        (staysInOwn, ownShare, routingEnabled) = (route.staysInOwn, route.ownShare, settings.routingEnabled)
        for sum in route.room { room.append(sum) }
        for list in plan.zonePools {
            zoneCount = list.pools.count
            for pool in list.pools { pools.append(pool) }
            everyone.append(list.everyone)
        }
    }

    func pick(_ list: Int, _ random: inout SeededRandom) -> (pool: Int?, ZoneChoice) {
        if routingEnabled < 100, random.below(100) >= UInt64(routingEnabled) {
            return (pool(everyone[list]), .none)
        }
        if staysInOwn { return (pool(list, 0), .own) }
        if random.below(10_000) < ownShare { return (pool(list, 0), .ownSampled) }
        let sum = room[zoneCount - 1]
        if sum == 0 { return (pool(list, Int(random.below(UInt64(zoneCount)))), .crossedWithoutRoom) }
        let point = random.below(sum)
        var zone = 0
        while point >= room[zone] { zone += 1 }
        return (pool(list, zone), .crossed)
    }

    private func pool(_ list: Int, _ zone: Int) -> Int? { pool(pools[list * zoneCount + zone]) }
    private func pool(_ index: UInt32) -> Int? { index == BalancingPlan.nobody ? nil : Int(index) }
}
