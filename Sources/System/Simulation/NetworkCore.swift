import MeshPrimitives
import Reactor

/// What the hosts share: clock, agenda, links, random numbers, trace.
final class NetworkCore {
    struct Entry {
        let time: Int64
        let order: UInt64
        let action: () -> Void
    }

    /// The clock does not begin at zero, since a machine's never reads so.
    static let start: Int64 = 1_000_000_000
    /// 2026-01-01, for the wall clock.
    static let wallClockStart: Int64 = 1_767_225_600_000_000_000
    private static let mistakesMax = 100
    private static let traceMax = 100_000
    /// RTO of a connection that has found its link down, once it is up again.
    private static let retransmission: Int64 = 200_000_000

    let quirks: SimulatedQuirks
    private let seed: UInt64
    private(set) var now = start
    private(set) var queue = Agenda()
    private(set) var pollers: [SimulatedPoller] = []
    private(set) var traceHash: UInt64 = 0xcbf2_9ce4_8422_2325
    private(set) var trace: [String] = []
    private(set) var mistakes: [String] = []
    var recordsTrace = false
    /// Counts the turns that all loops took together.
    var turn = 0
    var random: SeededRandom
    /// The network's handle is gone: the hosts go with their last descriptor.
    var isOrphaned = false { didSet { dissolveIfUnused() } }
    private var hosts: [SimulatedHost] = []
    /// By name of the host; never walked.
    private var hostIndices: [HostName: Int] = [:]
    /// By the indices of both hosts; never walked.
    private var links: [Int: LinkState] = [:]
    private var openCount = 0
    private var nextOrder: UInt64 = 0

    private struct HostName: Hashable {
        let family: SocketAddress.Family
        let high, low: UInt64

        init(_ address: SocketAddress) { (family, high, low) = (address.family, address.high, address.low) }
    }

    init(seed: UInt64, quirks: SimulatedQuirks) {
        (self.seed, self.quirks) = (seed, quirks)
        random = SeededRandom(seed: seed)
    }

    // MARK: Hosts and links

    func host(_ address: SocketAddress) -> SimulatedHost {
        if let known = knownHost(address) { return known }
        var bare = address
        bare.port = 0
        let host = SimulatedHost(core: self, index: hosts.count, address: bare, seed: seed)
        hostIndices[HostName(address)] = hosts.count
        hosts.append(host)
        return host
    }

    func knownHost(_ address: SocketAddress) -> SimulatedHost? {
        hostIndices[HostName(address)].map { hosts[$0] }
    }

    func link(from: SimulatedHost, to: SimulatedHost) -> LinkState {
        let key = from.index << 32 | to.index
        if let link = links[key] { return link }
        let link = LinkState(from === to ? .local : .datacenter, from: from.address, to: to.address)
        links[key] = link
        return link
    }

    func set(_ link: LinkState, _ settings: SimulatedLink) {
        let wasDown = link.settings.isDown
        link.settings = settings
        note(settings.isDown ? "link down" : "link up", link.from, link.to, 0)
        guard wasDown, !settings.isDown else { return }
        link.pipes.removeAll { $0.isOver }
        for pipe in link.pipes { pipe.retransmit(notBefore: now + Self.retransmission) }
    }

    func resetConnections(between one: SimulatedHost, and other: SimulatedHost) -> Int {
        // Each connection has one pipe in each direction: where the hosts are one, both are in the same list.
        let pipes = link(from: one, to: other).pipes.filter { !$0.isOver }
        var count = 0
        for pipe in pipes where pipe.breakBothEnds() { count += 1 }
        return count
    }

    // MARK: Descriptors

    func opened(_ poller: SimulatedPoller?) {
        openCount += 1
        if let poller { pollers.append(poller) }
    }

    func closed(_ poller: SimulatedPoller?) {
        openCount -= 1
        if let poller { pollers.removeAll { $0 === poller } }
        dissolveIfUnused()
    }

    /// Cuts the ring of references between network and hosts.
    private func dissolveIfUnused() {
        guard isOrphaned, openCount == 0 else { return }
        for host in hosts { host.detach() }
        queue = Agenda()
        (hosts, hostIndices, links) = ([], [:], [:])
    }

    // MARK: Time

    func schedule(after delay: Int64, _ action: @escaping () -> Void) { schedule(at: now + delay, action) }

    func schedule(at time: Int64, _ action: @escaping () -> Void) {
        nextOrder += 1
        queue.insert(Entry(time: max(time, now), order: nextOrder, action: action))
    }

    func advance(to time: Int64) {
        precondition(time >= now, "the clock does not go back")
        while let next = queue.first, next.time <= time {
            queue.removeFirst()
            now = max(now, next.time)
            next.action()
        }
        now = time
    }

    // MARK: Chance

    /// No number is drawn for what never happens.
    func happens(_ chance: Double) -> Bool {
        chance > 0 && Double(random.next() >> 11) < chance * Double(UInt64(1) << 53)
    }

    func delay(_ min: Duration, _ max: Duration) -> Int64 {
        let (low, high) = (min.nanoseconds, max.nanoseconds)
        return low + (high > low ? Int64(random.below(UInt64(high - low) + 1)) : 0)
    }

    // MARK: Trace

    func note(_ event: StaticString, _ from: SocketAddress, _ to: SocketAddress, _ count: Int) {
        func add(_ word: UInt64) { traceHash = (traceHash ^ word) &* 0x0000_0100_0000_01b3 }
        add(UInt64(bitPattern: now))
        add(ByteView(event).hash64)
        for address in [from, to] {
            add(address.high)
            add(address.low ^ UInt64(address.port) << 48)
        }
        add(UInt64(bitPattern: Int64(count)))
        if recordsTrace, trace.count < Self.traceMax {
            trace.append("\((now - Self.start) / 1000) \(event) \(from) \(to) \(count)")
        }
    }

    func mistake(_ text: @autoclosure () -> String) {
        if mistakes.count < Self.mistakesMax { mistakes.append(text()) }
    }
}

/// What will happen, soonest first, and in the order of scheduling at one instant: a binary heap.
struct Agenda {
    private var heap: [NetworkCore.Entry] = []

    var first: NetworkCore.Entry? { heap.first }

    private static func precedes(_ left: NetworkCore.Entry, _ right: NetworkCore.Entry) -> Bool {
        (left.time, left.order) < (right.time, right.order)
    }

    mutating func insert(_ entry: NetworkCore.Entry) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0, Self.precedes(heap[child], heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && Self.precedes(heap[child], heap[least]) { least = child }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
