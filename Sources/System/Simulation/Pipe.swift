import MeshPrimitives

/// The state of one direction between two hosts.
final class LinkState {
    var settings: SimulatedLink
    let from, to: SocketAddress
    /// Those of live connections, and some that are over.
    var pipes: [Pipe] = []

    init(_ settings: SimulatedLink, from: SocketAddress, to: SocketAddress) {
        (self.settings, self.from, self.to) = (settings, from, to)
    }

    func add(_ pipe: Pipe) {
        if pipes.count >= 64, pipes.count.nonzeroBitCount == 1 { pipes.removeAll { $0.isOver } }
        pipes.append(pipe)
    }
}

/// One direction of one connection: what was sent and has not arrived, in its order.
final class Pipe {
    enum Segment {
        case synchronizeAcknowledged
        case acknowledged
        case bytes([UInt8])
        case fin
        case reset
        /// The reader has taken this many bytes.
        case credit(Int)
    }

    private let core: NetworkCore
    private let link: LinkState
    /// Cut when the connection is over.
    private(set) var sender, receiver: SimulatedStream?
    private var segments: [(arrival: Int64, segment: Segment)] = []
    private var lastArrival: Int64 = 0

    init(core: NetworkCore, link: LinkState, sender: SimulatedStream?, receiver: SimulatedStream?) {
        (self.core, self.link, self.sender, self.receiver) = (core, link, sender, receiver)
        link.add(self)
    }

    var isOver: Bool { sender == nil && receiver == nil }

    func attach(sender: SimulatedStream) { self.sender = sender }
    func attach(receiver: SimulatedStream) { self.receiver = receiver }

    func send(_ segment: Segment) {
        guard !isOver else { return }
        let delay = core.delay(link.settings.latencyMin, link.settings.latencyMax)
        lastArrival = max(lastArrival, core.now + delay)
        segments.append((lastArrival, segment))
        core.schedule(at: lastArrival) { self.deliver() }
    }

    /// What a link that was down held back comes again.
    func retransmit(notBefore time: Int64) {
        guard let first = segments.first, first.arrival <= core.now else { return }
        lastArrival = time
        for index in segments.indices {
            lastArrival += core.delay(link.settings.latencyMin, link.settings.latencyMax) / 8
            segments[index].arrival = lastArrival
        }
        for (arrival, _) in segments { core.schedule(at: arrival) { self.deliver() } }
    }

    private func deliver() {
        while let next = segments.first, next.arrival <= core.now, !link.settings.isDown {
            segments.removeFirst()
            guard let receiver else { continue }
            if case .bytes = next.segment, core.happens(link.settings.resetChance) {
                _ = breakBothEnds()
            } else {
                receiver.arrived(next.segment)
            }
        }
    }

    /// False if there was no connection any more.
    func breakBothEnds() -> Bool {
        let ends = [sender, receiver].compactMap { $0 }
        segments.removeAll()
        var hasBroken = false
        for end in ends where end.breakDown() { hasBroken = true }
        return hasBroken
    }

    /// Nothing more will come out.
    func cut() {
        (sender, receiver) = (nil, nil)
        segments.removeAll()
    }
}
