import HTTPModel
import MeshPrimitives
import Telemetry
import TrafficPolicy

/// One subset of a cluster as one worker sees it.
struct SubsetState: ~Copyable {
    let set: EndpointSet
    let unownedSet: Unowned<EndpointSet>
    var balancer: LoadBalancer
    /// For each member its index in the cluster's `hosts`.
    var order: [Int32]

    init(set: EndpointSet, balancer: consuming LoadBalancer, order: [Int32]) {
        (self.set, self.order) = (set, order)
        self.balancer = balancer
        unownedSet = Unowned(set)
    }
}

/// Which endpoint an attempt goes to.
extension Worker {
    /// Index of the host for the next attempt of the exchange.
    @inline(__always)
    mutating func chooseHost(_ exchange: ExchangePlace, avoiding: Bool) -> Int? {
        let slot = Int(exchange.value.cluster)
        guard let set = clusters[slot].unownedSet else { return nil }
        if clusters[slot].looksAtRequest { return chooseByRequest(exchange, slot, avoiding: avoiding) }
        let member = set.with { set in
            avoiding && exchange.value.attempts > 0
                ? Self.pick(
                    exchange, set, nil, avoiding: avoiding, omitted(exchange), &clusters[slot].balancer,
                    at: now, &random)
                : clusters[slot].balancer.pick(from: set, random: &random)
        }
        if clusters[slot].balancer.hasPanicked { counters.add(clusters[slot].scope, .lbHealthyPanic) }
        return member.map { Int(clusters[slot].order[$0]) }
    }

    /// For clusters whose choice depends on the request, on zones or on time.
    @inline(never)
    private mutating func chooseByRequest(_ exchange: ExchangePlace, _ slot: Int, avoiding: Bool) -> Int? {
        if let record = clusters[slot].record, record.value.original.isUsed {
            return chooseOriginal(exchange, slot, record.value.original)
        }
        let hash = clusters[slot].isHashed ? requestHash(exchange) : nil
        guard let subset = chooseSubset(exchange, slot) else {
            return pickAny(exchange, slot, hash, avoiding: avoiding)
        }
        counters.add(
            clusters[slot].scope, subset.isFallback ? .lbSubsetsFallback : .lbSubsetsSelected)
        if let set = subset.set {
            if set == 0 {
                if let host = pickAny(exchange, slot, hash, avoiding: avoiding) { return host }
            } else {
                let place = set - 1
                let member = clusters[slot].subsets[place].unownedSet.with { set in
                    Self.pick(
                        exchange, set, hash, avoiding: avoiding, omitted(exchange),
                        &clusters[slot].subsets[place].balancer, at: now, &random)
                }
                countChoice(slot, clusters[slot].subsets[place].balancer)
                if let member { return Int(clusters[slot].subsets[place].order[member]) }
            }
        }
        guard subset.orAny else { return nil }
        counters.add(clusters[slot].scope, .lbSubsetsFallbackPanic)
        return pickAny(exchange, slot, hash, avoiding: avoiding)
    }

    private mutating func pickAny(
        _ exchange: ExchangePlace, _ slot: Int, _ hash: UInt64?, avoiding: Bool
    ) -> Int? {
        guard let set = clusters[slot].unownedSet else { return nil }
        let member = set.with { set in
            Self.pick(
                exchange, set, hash, avoiding: avoiding, omitted(exchange), &clusters[slot].balancer, at: now,
                &random)
        }
        countChoice(slot, clusters[slot].balancer)
        if !clusters[slot].shadowBalancers.isEmpty { compareChoice(exchange, slot, set, member) }
        return member.map { Int(clusters[slot].order[$0]) }
    }

    /// With what a policy in shadow mode would choose for a first attempt.
    private mutating func compareChoice(
        _ exchange: ExchangePlace, _ slot: Int, _ set: Unowned<EndpointSet>, _ member: Int?
    ) {
        guard exchange.value.attempts == 0, let member else { return }
        let other = set.with { clusters[slot].shadowBalancers[0].pick(from: $0, at: now, random: &random) }
        counters.add(clusters[slot].scope, other == member ? .shadowLbSame : .shadowLbOther)
        if other != member { exchange.value.record.shadows.insert(.balancing) }
    }

    /// Metadata of endpoints that a further attempt is not to go to.
    private func omitted(_ exchange: ExchangePlace) -> [String: MetadataValue]? {
        let index = exchange.value.attempts > 0 ? exchange.route.omittedMetadata : -1
        return index < 0 ? nil : shelf[exchange.value.snapshot].criteria[Int(index)]
    }

    /// For a first attempt, or for one that is to go elsewhere (`retry_host_predicate`, `retry_priority`). `random` and the
    /// balancer are the worker's.
    private static func pick(
        _ exchange: ExchangePlace, _ set: EndpointSet, _ hash: UInt64?, avoiding: Bool,
        _ metadata: [String: MetadataValue]?, _ balancer: inout LoadBalancer, at now: MonotonicInstant,
        _ random: inout SeededRandom
    ) -> Int? {
        guard avoiding, exchange.value.attempts > 0 else {
            let member = balancer.pick(from: set, hash: hash, at: now, random: &random)
            exchange.value.priority = UInt8(truncatingIfNeeded: balancer.lastPriority)
            return member
        }
        let retry = exchange.route.retry
        // What is said is how often to look again.
        let drawsMax = Int(retry.hostSelectionsMax) + 1
        defer { exchange.value.priority = UInt8(truncatingIfNeeded: balancer.lastPriority) }
        guard retry.prioritiesUpdateFrequency > 0 else {
            return balancer.pick(
                from: set, hash: hash, at: now, random: &random, avoiding: exchange.value.tried,
                drawsMax: drawsMax, predicates: retry.hostPredicates, omitting: metadata ?? [:])
        }
        var passed =
            exchange.value.priorities ?? PreviousPriorities(updateFrequency: retry.prioritiesUpdateFrequency)
        passed.add(Int(exchange.value.priority))
        defer { exchange.value.priorities = passed }
        return balancer.pick(
            from: set, hash: hash, at: now, random: &random, avoiding: exchange.value.tried,
            drawsMax: drawsMax, predicates: retry.hostPredicates, omitting: metadata ?? [:],
            priorities: &passed)
    }

    private func countChoice(_ slot: Int, _ balancer: borrowing LoadBalancer) {
        let scope = clusters[slot].scope
        if balancer.hasPanicked { counters.add(scope, .lbHealthyPanic) }
        switch balancer.lastZone {
        case .none: break
        case .own: counters.add(scope, .lbZoneRoutingAllDirectly)
        case .ownSampled: counters.add(scope, .lbZoneRoutingSampled)
        case .crossed: counters.add(scope, .lbZoneRoutingCrossZone)
        case .crossedWithoutRoom: counters.add(scope, .lbZoneNoCapacityLeft)
        }
    }

    /// nil: the cluster has no subsets.
    private mutating func chooseSubset(_ exchange: ExchangePlace, _ slot: Int) -> SubsetChoice? {
        guard let table = clusters[slot].targets?.subsets else { return nil }
        let weighted = Int(exchange.value.weighted)
        guard exchange.value.hasRoute else { return table.choice([:]) }
        if exchange.value.snapshot == shelf.current, weighted >= 0, !exchange.value.isMirror,
            let choice = exchange.route.clusters[weighted].subset
        {
            return choice
        }
        // The cluster was named by a header, or has other endpoints than those that the route was compiled for.
        let criteria =
            weighted >= 0 ? exchange.route.clusters[weighted].criteria : exchange.route.criteria
        return table.choice(criteria < 0 ? [:] : shelf[exchange.value.snapshot].criteria[Int(criteria)])
    }

    /// Index of the host, for a connection whose bytes are passed on as they are.
    mutating func pickForTunnel(_ connection: ConnectionPlace, _ slot: Int) -> Int? {
        if let record = clusters[slot].record, record.value.original.isUsed {
            return chooseOriginal(connection, slot, record.value.original)
        }
        guard let set = clusters[slot].set else { return nil }
        var hash: UInt64?
        if clusters[slot].isHashed, connection.chain.tcp.hashesSourceAddress {
            hash = connection.value.peer.host.withByteView { StableHash.xxHash64($0) }
        }
        let member = clusters[slot].balancer.pick(from: set, hash: hash, at: now, random: &random)
        return member.map { Int(clusters[slot].order[$0]) }
    }
}
