import MeshPrimitives

/// Who may be chosen, as of one version of a set: computed off the path of a request, shared by all workers, which copy
/// the small parts into memory of their own and share the tables.
final class BalancingPlan: Sendable {
    /// Endpoints that are chosen among.
    struct Pool: Sendable {
        let members: [UInt32]
        let weights: [UInt32]
    }

    /// How a priority's healthy or degraded part is chosen among.
    enum Spread: Sendable, BitwiseCopyable {
        case nobody
        case pool(UInt32)
        /// Index in `localities`.
        case localities(UInt32)
        /// By zone; index in `zonePools`.
        case zones(UInt32)
    }

    struct Priority: Sendable, BitwiseCopyable {
        var healthy = Spread.nobody
        var degraded = Spread.nobody
        var isPanicking = false
    }

    /// A number of 1...100 goes to the first row whose `upTo` is not below it.
    struct Row: Sendable, BitwiseCopyable {
        let upTo: UInt32
        let priority: UInt32
        let isDegraded: Bool
    }

    struct LocalityEntry: Sendable, BitwiseCopyable {
        let pool: UInt32
        /// Above 0.
        let weight: Double
    }

    /// The pools of the zones in the order of `ZoneRoute.room`; `.max` for one without anybody.
    struct ZonePools: Sendable {
        let pools: [UInt32]
        /// Where zones are not looked at after all.
        let everyone: UInt32
    }

    static let nobody = UInt32.max

    let version: UInt64
    /// Of the priorities that there are, in ascending order.
    let counts: [PriorityLoads.Counts]
    let rows: [Row]
    let priorities: [Priority]
    let pools: [Pool]
    let localities: [[LocalityEntry]]
    let zonePools: [ZonePools]
    let zone: ZoneRoute?
    /// One for each priority where there is hashing.
    let tables: [HashTable?]

    init(_ set: EndpointSet, version: UInt64) {
        self.version = version
        let census = Census(set)
        counts = census.counts
        let loads = PriorityLoads(
            counts, overprovisioningFactor: Int(set.overprovisioningFactor),
            panicThreshold: Int(set.panicThreshold))
        rows = Self.rows(loads)
        var builder = Builder(set, census, loads)
        builder.build()
        (priorities, pools, localities) = (builder.priorities, builder.pools, builder.localities)
        (zonePools, zone) = (builder.zonePools, builder.zone)
        tables =
            set.balancing.hashing.map { hashing in
                census.groups.indices.map { builder.table($0, hashing) }
            } ?? []
    }

    static func rows(_ loads: PriorityLoads) -> [Row] {
        var rows: [Row] = []
        var sum: UInt32 = 0
        for (list, isDegraded) in [(loads.healthy, false), (loads.degraded, true)] {
            for (priority, load) in list.enumerated() where load > 0 {
                sum += UInt32(load)
                rows.append(Row(upTo: sum, priority: UInt32(priority), isDegraded: isDegraded))
            }
        }
        return rows
    }

    /// The members by priority and locality, with their health at one moment.
    struct Census {
        struct Group {
            let name: LocalityName
            let weight: UInt32
            var members: [UInt32] = []
        }

        let health: [EndpointHealth]
        let isExcluded: [Bool]
        /// For each priority its localities that have members, the own one first, then by name.
        var groups: [[Group]] = []
        var hasOwn: [Bool] = []
        var counts: [PriorityLoads.Counts] = []

        init(_ set: EndpointSet) {
            let marks = set.members.map(\.state.marks)
            health = marks.map(\.health)
            isExcluded = marks.map(\.isExcluded)
            var own: LocalityName?
            if case .zoneAware(let settings) = set.balancing.locality { own = settings.ownLocality }
            for priority in Array(Set(set.members.map(\.priority))).sorted() {
                var places: [Int: Int] = [:]
                var found: [Group] = []
                for (index, member) in set.members.enumerated() where member.priority == priority {
                    if let place = places[member.locality] {
                        found[place].members.append(UInt32(index))
                        continue
                    }
                    places[member.locality] = found.count
                    let locality = set.localities.isEmpty ? nil : set.localities[member.locality]
                    found.append(
                        Group(
                            name: locality?.name ?? LocalityName(), weight: locality?.weight ?? 0,
                            members: [UInt32(index)]))
                }
                found.sort { left, right in
                    (left.name == own ? 0 : 1, left.name) < (right.name == own ? 0 : 1, right.name)
                }
                groups.append(found)
                hasOwn.append(own != nil && found.first?.name == own)
                counts.append(count(found.flatMap(\.members), set))
            }
        }

        func usable(_ members: [UInt32], _ wanted: EndpointHealth) -> [UInt32] {
            members.filter { health[Int($0)] == wanted }
        }

        private func count(_ members: [UInt32], _ set: EndpointSet) -> PriorityLoads.Counts {
            let counted = members.filter { !isExcluded[Int($0)] }
            let (healthy, degraded) = (usable(counted, .healthy), usable(counted, .degraded))
            var counts = PriorityLoads.Counts(
                all: counted.count, healthy: healthy.count, degraded: degraded.count,
                excluded: members.count - counted.count)
            if set.balancing.weighsHealth {
                func sum(_ list: [UInt32]) -> UInt64 {
                    list.reduce(0) { $0 + UInt64(set.members[Int($1)].weight) }
                }
                counts.weights = (sum(counted), sum(healthy), sum(degraded))
            }
            return counts
        }
    }

    private struct Builder {
        let set: EndpointSet
        let census: Census
        let loads: PriorityLoads
        var priorities: [Priority] = []
        var pools: [Pool] = []
        var localities: [[LocalityEntry]] = []
        var zonePools: [ZonePools] = []
        var zone: ZoneRoute?

        init(_ set: EndpointSet, _ census: Census, _ loads: PriorityLoads) {
            (self.set, self.census, self.loads) = (set, census, loads)
        }

        mutating func build() {
            var failsOnPanic = false
            if case .zoneAware(let settings) = set.balancing.locality {
                failsOnPanic = settings.failsTrafficOnPanic
            }
            for index in census.groups.indices {
                let everyone = census.groups[index].flatMap(\.members).sorted()
                var priority = Priority(isPanicking: loads.isPanicking[index])
                if priority.isPanicking {
                    let pool = failsOnPanic ? nil : add(everyone)
                    priority.healthy = pool.map { .pool($0) } ?? .nobody
                    priority.degraded = priority.healthy
                } else {
                    priority.healthy = spread(index, everyone, .healthy)
                    priority.degraded = spread(index, everyone, .degraded)
                }
                priorities.append(priority)
            }
        }

        private mutating func add(_ members: [UInt32]) -> UInt32? {
            guard !members.isEmpty else { return nil }
            pools.append(Pool(members: members, weights: members.map { set.members[Int($0)].weight }))
            return UInt32(pools.count - 1)
        }

        private mutating func spread(_ index: Int, _ everyone: [UInt32], _ wanted: EndpointHealth) -> Spread {
            let usable = census.usable(everyone, wanted)
            guard !usable.isEmpty else { return .nobody }
            let groups = census.groups[index]
            switch set.balancing.locality {
            case .ignored: break
            case .weighted:
                if let entries = weightedEntries(groups, wanted) {
                    localities.append(entries)
                    return .localities(UInt32(localities.count - 1))
                }
            case .zoneAware(let settings):
                if let spread = zoneSpread(index, usable, wanted, settings) { return spread }
            }
            return add(usable).map { .pool($0) } ?? .nobody
        }

        private mutating func weightedEntries(_ groups: [Census.Group], _ wanted: EndpointHealth)
            -> [LocalityEntry]?
        {
            var entries: [LocalityEntry] = []
            for group in groups where group.weight > 0 {
                let counted = group.members.count { !census.isExcluded[Int($0)] }
                let usable = census.usable(group.members, wanted)
                guard counted > 0, let pool = add(usable) else { continue }
                let share = Double(usable.count) / Double(counted)
                let weight = Double(group.weight) * min(1, Double(set.overprovisioningFactor) / 100 * share)
                entries.append(LocalityEntry(pool: pool, weight: weight))
            }
            return entries.isEmpty ? nil : entries
        }

        private mutating func zoneSpread(
            _ index: Int, _ usable: [UInt32], _ wanted: EndpointHealth, _ settings: ZoneAwareSettings
        ) -> Spread? {
            guard index == 0 else { return nil }
            let groups = census.groups[index]
            let zones = groups.map { ($0.name, census.usable($0.members, .healthy).count) }
            guard let route = ZoneRoute(zones, hasOwn: census.hasOwn[index], settings) else { return nil }
            if ZoneRoute.isLocalClusterPanicking(settings, threshold: set.panicThreshold) {
                return settings.failsTrafficOnPanic ? .nobody : nil
            }
            zone = route
            let parts = groups.map { add(census.usable($0.members, wanted)) ?? BalancingPlan.nobody }
            let everyone = add(usable) ?? BalancingPlan.nobody
            zonePools.append(ZonePools(pools: parts, everyone: everyone))
            return .zones(UInt32(zonePools.count - 1))
        }

        /// The table of a priority: over its healthy endpoints, or all of them where it panics.
        func table(_ index: Int, _ hashing: HashingSettings) -> HashTable? {
            var entries: [HashTable.Entry] = []
            func append(_ members: [UInt32], share: Double) {
                let chosen = loads.isPanicking[index] ? members : census.usable(members, .healthy)
                let sum = chosen.reduce(UInt64(0)) { $0 + UInt64(set.members[Int($1)].weight) }
                for member in chosen {
                    let endpoint = set.members[Int(member)]
                    entries.append(
                        HashTable.Entry(
                            member: member, key: endpoint.hashKey ?? endpoint.state.address.description,
                            share: Double(endpoint.weight) * share / Double(sum)))
                }
            }
            let groups = census.groups[index]
            let weightSum = groups.reduce(UInt64(0)) { $0 + UInt64($1.weight) }
            if set.balancing.locality == .weighted, !set.localities.isEmpty {
                for group in groups where group.weight > 0 {
                    append(group.members, share: Double(group.weight) / Double(weightSum))
                }
            } else {
                append(groups.flatMap(\.members).sorted(), share: 1)
            }
            return HashTable(entries, hashing, hasBound: set.balancing.hashBalanceFactor > 0)
        }
    }
}
