import MeshPrimitives

/// Earliest deadline first: Envoy's order of weighted turns. An item comes back 1 / weight of virtual time after its turn;
/// whoever is due first is next, and of those who are due together the one that has waited longest. Over any span of
/// time an item gets turns in proportion to its weight, give or take one.
struct EDFSchedule: ~Copyable {
    private struct Entry: BitwiseCopyable {
        var deadline: Double
        var order: UInt64
        let item: UInt32

        func precedes(_ other: Entry) -> Bool {
            deadline < other.deadline || (deadline == other.deadline && order < other.order)
        }
    }

    /// Beyond this the clock starts anew: a double that counts for years would lose the digits that tell weights apart.
    private static let timeMax = Double(1 << 20)

    private var heap = OwnedList<Entry>()
    private var time = 0.0
    private var nextOrder: UInt64 = 0

    init() {}

    /// Items 0..<`count` with their weights (above 0), as they stand after `picks` turns, of which all but the last few
    /// are counted and not made.
    init(count: Int, picks: UInt32, weight: (Int) -> Double) {
        var sum = 0.0
        for item in 0..<count { sum += weight(item) }
        var made: UInt32 = 0
        for item in 0..<count {
            let weight = weight(item)
            var turns = UInt32(weight * Double(picks) / sum)
            // Rounding must not give an item a turn that lies ahead of the schedule's time.
            if turns > 0, Double(turns) / weight >= Double(picks) / sum { turns -= 1 }
            time = max(time, Double(turns) / weight)
            heap.append(
                Entry(deadline: Double(turns + 1) / weight, order: UInt64(item), item: UInt32(item)))
            made += turns
        }
        nextOrder = UInt64(count)
        for place in stride(from: count / 2 - 1, through: 0, by: -1) { settle(place) }
        while made < picks, count > 0 {
            comeBack(weight: weight(Int(next)))
            made += 1
        }
    }

    var isEmpty: Bool { heap.isEmpty }

    /// The item whose turn it is. `comeBack` ends the turn.
    @inline(__always) var next: UInt32 { heap[0].item }

    /// The turn of `next` is over; what it weighs now (above 0) decides when it has its next one.
    @inline(__always) mutating func comeBack(weight: Double) {
        time = heap[0].deadline
        if time > Self.timeMax { startAnew() }
        heap[0].deadline = time + 1 / weight
        heap[0].order = nextOrder
        nextOrder &+= 1
        settle(0)
    }

    private mutating func startAnew() {
        for place in heap.indices { heap[place].deadline -= time }
        time = 0
    }

    private mutating func settle(_ start: Int) {
        let entry = heap[start]
        var place = start
        while true {
            var child = 2 &* place &+ 1
            guard child < heap.count else { break }
            if child &+ 1 < heap.count, heap[child &+ 1].precedes(heap[child]) { child &+= 1 }
            guard heap[child].precedes(entry) else { break }
            heap[place] = heap[child]
            place = child
        }
        heap[place] = entry
    }
}
