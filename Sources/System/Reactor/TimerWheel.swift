import MeshPrimitives

/// Names a scheduled timer: plain data. Once the timer has fired or was cancelled, the name means nothing and is
/// harmless.
public struct TimerID: Hashable, Sendable, BitwiseCopyable {
    @usableFromInline let place: SlabID

    @inlinable init(_ place: SlabID) { self.place = place }

    @inlinable public static var none: TimerID { TimerID(.none) }
    @inlinable public var isNone: Bool { place.isNone }
}

/// Timers of one thread in ticks of a millisecond: none fires before its instant, and those of one tick fire in the
/// order in which they were scheduled. Scheduling and cancelling cost the same however many there are.
///
/// A timer lies on the level of the highest group of six bits in which its tick differs from the wheel's own
/// (`elapsed`), in the slot of that group's value. So the lowest level in use holds the next timers, and a slot of a
/// higher level is dealt out to the levels below when the wheel gets there: at most once for each level and timer.
@safe public struct TimerWheel: ~Copyable {
    // Not private: other modules destroy the wheel, and the compiler then needs a name for what is in it.
    @usableFromInline struct Node: BitwiseCopyable {
        var token: Token
        var tick: Int64
        /// Neighbours in the slot's ring: the first one's `previous` is the last one.
        var previous, next: SlabID
        var slot: Int32
    }

    private static let nanosecondsPerTick: Int64 = 1_000_000
    /// Six bits each: 2^48 ms, more than a clock of 64 bits in nanoseconds can reach.
    private static let levels = 8
    private static let slotsPerLevel = 64

    private var nodes: Slab<Node>
    /// The first node of each slot.
    private let slots: UnsafeMutablePointer<SlabID>
    /// A bit for each slot that is not empty.
    private let occupancy: UnsafeMutablePointer<UInt64>
    /// No timer before this tick is left.
    private var elapsed: Int64 = 0

    /// Room for `capacity` timers at once, its memory taken as they come.
    public init(capacity: Int, now: MonotonicInstant = .zero) {
        nodes = Slab(capacity: capacity)
        unsafe slots = .allocate(capacity: Self.levels * Self.slotsPerLevel)
        unsafe slots.initialize(repeating: .none, count: Self.levels * Self.slotsPerLevel)
        unsafe occupancy = .allocate(capacity: Self.levels)
        unsafe occupancy.initialize(repeating: 0, count: Self.levels)
        elapsed = max(0, now.nanoseconds) / Self.nanosecondsPerTick
    }

    deinit {
        unsafe slots.deallocate()
        unsafe occupancy.deallocate()
    }

    public var count: Int { nodes.count }
    public var capacity: Int { nodes.capacity }

    /// At the first whole millisecond at or after `instant`; one that has passed means the next, so that no handler can
    /// keep `popExpired` busy. More than `capacity` timers are a mistake of their owners, whose numbers are bounded.
    public mutating func schedule(at instant: MonotonicInstant, token: Token) -> TimerID {
        let node = Node(token: token, tick: tick(for: instant), previous: .none, next: .none, slot: 0)
        guard let id = nodes.insert(node) else {
            preconditionFailure("more timers than their owners may have")
        }
        link(id)
        return TimerID(id)
    }

    /// Moves a timer that has not fired, keeping its name; false if there is none.
    public mutating func reschedule(_ id: TimerID, at instant: MonotonicInstant) -> Bool {
        guard nodes.contains(id.place) else { return false }
        unlink(id.place)
        nodes[id.place].tick = tick(for: instant)
        link(id.place)
        return true
    }

    public mutating func cancel(_ id: TimerID) {
        guard nodes.contains(id.place) else { return }
        unlink(id.place)
        nodes.remove(id.place)
    }

    /// When to call `popExpired` next: no later than the next timer's tick, and earlier at most once for each level that
    /// it still has to come down. nil: no timers.
    public var nextDeadline: MonotonicInstant? {
        guard let slot = firstSlot else { return nil }
        return MonotonicInstant(nanoseconds: start(of: slot) &* Self.nanosecondsPerTick)
    }

    /// The next timer that is due, until nil. It is gone then: its name is stale.
    public mutating func popExpired(now: MonotonicInstant) -> Token? {
        let nowTick = max(0, now.nanoseconds) / Self.nanosecondsPerTick
        while let slot = firstSlot {
            let start = start(of: slot)
            guard start <= nowTick else { break }
            elapsed = start
            let first = unsafe slots[slot]
            if slot < Self.slotsPerLevel {
                let token = nodes[first].token
                unlink(first)
                nodes.remove(first)
                return token
            }
            deal(out: slot)
        }
        elapsed = max(elapsed, nowTick)
        return nil
    }

    // MARK: Ticks and slots

    private func tick(for instant: MonotonicInstant) -> Int64 {
        let nanoseconds = max(0, instant.nanoseconds)
        let (whole, rest) = nanoseconds.quotientAndRemainder(dividingBy: Self.nanosecondsPerTick)
        return max(rest == 0 ? whole : whole + 1, elapsed + 1)
    }

    /// Of all slots in use the one that begins first: every timer of a level comes before every slot of the next one.
    private var firstSlot: Int? {
        for level in 0..<Self.levels {
            let bits = unsafe occupancy[level]
            if bits != 0 { return level * Self.slotsPerLevel + bits.trailingZeroBitCount }
        }
        return nil
    }

    /// The first tick of a slot in use: the wheel's own above its level's group, the slot's number in it, zeroes below.
    private func start(of slot: Int) -> Int64 {
        let (level, number) = (slot / Self.slotsPerLevel, slot % Self.slotsPerLevel)
        let shift = Int64(6 * level)
        return (elapsed >> (shift + 6)) << (shift + 6) | Int64(number) << shift
    }

    private func slot(for tick: Int64) -> Int {
        let difference = UInt64(bitPattern: tick ^ elapsed)
        let level = difference == 0 ? 0 : (63 - difference.leadingZeroBitCount) / 6
        return level * Self.slotsPerLevel + Int(tick >> Int64(6 * level) & 63)
    }

    private mutating func link(_ id: SlabID) {
        let slot = slot(for: nodes[id].tick)
        let first = unsafe slots[slot]
        nodes[id].slot = Int32(slot)
        if first.isNone {
            nodes[id].previous = id
            nodes[id].next = id
            unsafe slots[slot] = id
            unsafe occupancy[slot / Self.slotsPerLevel] |= 1 << UInt64(slot % Self.slotsPerLevel)
        } else {
            let last = nodes[first].previous
            nodes[id].previous = last
            nodes[id].next = first
            nodes[last].next = id
            nodes[first].previous = id
        }
    }

    private mutating func unlink(_ id: SlabID) {
        let node = nodes[id]
        let slot = Int(node.slot)
        if node.next == id {
            unsafe slots[slot] = .none
            unsafe occupancy[slot / Self.slotsPerLevel] &= ~(1 << UInt64(slot % Self.slotsPerLevel))
        } else {
            nodes[node.previous].next = node.next
            nodes[node.next].previous = node.previous
            if unsafe slots[slot] == id { unsafe slots[slot] = node.next }
        }
    }

    /// Moves the slot's timers, in their order, to the levels below: `elapsed` has come to its start.
    private mutating func deal(out slot: Int) {
        var next = unsafe slots[slot]
        let last = nodes[next].previous
        unsafe slots[slot] = .none
        unsafe occupancy[slot / Self.slotsPerLevel] &= ~(1 << UInt64(slot % Self.slotsPerLevel))
        while true {
            let id = next
            next = nodes[id].next
            link(id)
            if id == last { return }
        }
    }
}
