import MeshPrimitives

/// Where a hash leads: a ring (ketama) or a Maglev table over the endpoints of one priority. Immutable, shared by all
/// workers; looking into it allocates nothing and counts no reference.
///
/// Sources: Karger et al. 1997 and libketama for the ring; Eisenbud et al., "Maglev", NSDI 2016, section 3.4 for the
/// table; sizes, keys and the order of filling are Envoy's, so that both proxies send a hash to the same endpoint.
@safe final class HashTable: @unchecked Sendable {
    /// An endpoint with its share of the whole, which is at most 1 for all of them.
    struct Entry {
        let member: UInt32
        let key: String
        let share: Double
    }

    let count: Int
    private let isRing: Bool
    /// Ring only: in ascending order.
    private let hashes: UnsafeMutablePointer<UInt64>
    private let members: UnsafeMutablePointer<UInt32>
    /// For bounded loads: who is placed, in the order of the endpoints, and each one's share. Else empty.
    private let placed: [(member: UInt32, share: Double)]

    /// nil: there is nobody to place.
    init?(_ entries: [Entry], _ settings: HashingSettings, hasBound: Bool = false) {
        guard !entries.isEmpty else { return nil }
        placed = hasBound ? entries.map { ($0.member, $0.share) } : []
        switch settings {
        case .ring(let sizeMin, let sizeMax, let function):
            let points = Self.ring(entries, Int(sizeMin), Int(sizeMax), function)
            (count, isRing) = (points.count, true)
            unsafe hashes = .allocate(capacity: max(points.count, 1))
            unsafe members = .allocate(capacity: max(points.count, 1))
            for (index, point) in points.enumerated() {
                unsafe (hashes + index).initialize(to: point.hash)
                unsafe (members + index).initialize(to: point.member)
            }
        case .maglev(let size):
            let table = Self.maglev(entries, Int(size))
            (count, isRing) = (table.count, false)
            unsafe hashes = .allocate(capacity: 1)
            unsafe members = .allocate(capacity: table.count)
            for (index, member) in table.enumerated() { unsafe (members + index).initialize(to: member) }
        }
    }

    deinit {
        unsafe hashes.deallocate()
        unsafe members.deallocate()
    }

    /// The member for a hash. `attempt` counts the choices for one request from 0: later ones lead elsewhere, mostly.
    func member(_ hash: UInt64, attempt: UInt64) -> Int {
        if isRing { return unsafe Int(members[(place(of: hash) + Int(attempt)) % count]) }
        // Almost all bits of the hash are turned over.
        let hash = attempt == 0 ? hash : hash ^ (0 &- attempt)
        return unsafe Int(members[Int(hash % UInt64(count))])
    }

    /// The member to take in place of `wanted` if that has its part of the requests in flight already, in a cluster that
    /// bounds loads (Mirrokni, Thorup, Zadimoghaddam 2018); the others are asked in an order that the hash decides (Chen,
    /// Coleman, Shrivastava 2019), drawn as Envoy draws it. If all are overloaded, the least overloaded. Takes time in
    /// proportion to the endpoints when `wanted` is overloaded.
    func bounded(_ wanted: Int, _ hash: UInt64, factor: UInt32, in set: EndpointSet) -> Int {
        guard let first = placed.first(where: { Int($0.member) == wanted }) else { return wanted }
        let active = set.requestsActive
        let slots = ((active &+ 1) &* Int(factor) &+ 99) / 100
        func overload(_ place: (member: UInt32, share: Double)) -> Double {
            let own = max((Double(slots) * place.share).rounded(.up), 1)
            return Double(set.requestsActive(Int(place.member))) / own
        }
        var (best, least) = (wanted, overload(first))
        if least <= 1 { return wanted }
        var random = MersenneTwister(seed: UInt32(truncatingIfNeeded: hash))
        return unsafe withUnsafeTemporaryAllocation(of: UInt32.self, capacity: placed.count) { order in
            for index in 0..<placed.count { unsafe order[index] = UInt32(index) }
            for index in 0..<placed.count {
                let other = index + Int(random.below(UInt32(placed.count - index)))
                unsafe order.swapAt(index, other)
                let place = unsafe placed[Int(order[index])]
                if Int(place.member) == wanted { continue }
                let load = overload(place)
                if load <= 1 { return Int(place.member) }
                if load < least { (best, least) = (Int(place.member), load) }
            }
            return best
        }
    }

    /// How many entries each of `memberCount` members has.
    func entries(memberCount: Int) -> [Int] {
        var counts = [Int](repeating: 0, count: memberCount)
        for index in 0..<count { unsafe counts[Int(members[index])] += 1 }
        return counts
    }

    /// The first point at or after `hash`; behind the last one comes the first.
    private func place(of hash: UInt64) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low &+ high) >> 1
            if unsafe hashes[middle] < hash { low = middle &+ 1 } else { high = middle }
        }
        return low == count ? 0 : low
    }

    private static func ring(
        _ entries: [Entry], _ sizeMin: Int, _ sizeMax: Int, _ function: HashingSettings.Function
    ) -> [(hash: UInt64, member: UInt32)] {
        let lightest = entries.reduce(1.0) { min($0, $1.share) }
        // The lightest gets whole points; then the others nearly do.
        let scale = min((lightest * Double(sizeMin)).rounded(.up) / lightest, Double(sizeMax))
        var points: [(hash: UInt64, member: UInt32)] = []
        points.reserveCapacity(Int(scale.rounded(.up)))
        var (made, wanted) = (0.0, 0.0)
        for entry in entries {
            wanted += scale * entry.share
            let stem = Array(entry.key.utf8) + [UInt8(ascii: "_")]
            var number = 0
            while made < wanted {
                let hash = (stem + Array(String(number).utf8)).withByteView { text in
                    function == .xxHash64 ? StableHash.xxHash64(text) : StableHash.murmur2(text)
                }
                points.append((hash, entry.member))
                number += 1
                made += 1
            }
        }
        points.sort { $0.hash < $1.hash || ($0.hash == $1.hash && $0.member < $1.member) }
        return points
    }

    private static func maglev(_ entries: [Entry], _ size: Int) -> [UInt32] {
        struct Row {
            let member: UInt32
            var place: Int
            let step: Int
            let share: Double
            var due = 0.0
        }
        // In the order of their keys: a permutation must not depend on the order in which endpoints are listed.
        let sorted = entries.sorted { left, right in
            left.key == right.key
                ? left.member < right.member : left.key.utf8.lexicographicallyPrecedes(right.key.utf8)
        }
        var rows = sorted.map { entry in
            entry.key.withByteView { key in
                Row(
                    member: entry.member, place: Int(StableHash.xxHash64(key) % UInt64(size)),
                    step: Int(StableHash.xxHash64(key, seed: 1) % UInt64(size - 1)) + 1, share: entry.share)
            }
        }
        let heaviest = entries.reduce(0.0) { max($0, $1.share) }
        var table = [UInt32](repeating: .max, count: size)
        var filled = 0
        var round = 1.0
        while filled < size {
            for index in rows.indices where filled < size {
                // The heaviest takes an entry in each round, one of half its weight in each second round.
                if round * rows[index].share < rows[index].due { continue }
                rows[index].due += heaviest
                while table[rows[index].place] != .max {
                    rows[index].place = (rows[index].place + rows[index].step) % size
                }
                table[rows[index].place] = rows[index].member
                filled += 1
            }
            round += 1
        }
        return table
    }

    /// A table that somebody else keeps alive, for the path of a request: reading it counts no reference.
    @safe struct Unowned: BitwiseCopyable {
        private let table: Unmanaged<HashTable>

        init(_ table: HashTable) { unsafe self.table = .passUnretained(table) }

        func member(_ hash: UInt64, attempt: UInt64) -> Int {
            unsafe table._withUnsafeGuaranteedRef { $0.member(hash, attempt: attempt) }
        }

        func bounded(_ wanted: Int, _ hash: UInt64, factor: UInt32, in set: EndpointSet) -> Int {
            unsafe table._withUnsafeGuaranteedRef { $0.bounded(wanted, hash, factor: factor, in: set) }
        }
    }
}
