import MeshPrimitives
import Reactor

/// Hosts, the links between them, and the clock that they share. All of it belongs to one thread.
///
/// A test gives each program a kernel (`kernel(host:)`), lets every loop take its turn as long as `hasWork`, and moves
/// the clock to `nextEventTime` when none has; `run` does this. A wait of a simulated loop never blocks: it returns
/// what is ready, and leaves its deadline with the network.
public final class SimulatedNetwork {
    public enum End: Equatable, Sendable {
        /// The condition no longer holds.
        case done
        case timeUp
        /// Nothing will ever happen again: every loop waits for ever and no segment is on its way.
        case idle
        /// The loops took `turnsMax` turns at one instant.
        case busy
    }

    private let core: NetworkCore

    public init(seed: UInt64, quirks: SimulatedQuirks = SimulatedQuirks()) {
        core = NetworkCore(seed: seed, quirks: quirks)
    }

    /// Kernels stay valid: without the network, and once their descriptors are closed, their calls fail with ENETDOWN.
    deinit { core.isOrphaned = true }

    // MARK: Hosts

    /// The kernel of the host with this address (its port does not matter), the same host each time. It exists from the
    /// first call on. Loopback addresses lead to the host itself.
    public func kernel(host: SocketAddress) -> Kernel { SimulatedKernel.make(core.host(host).anchor) }

    /// What a host may have open at once; 65536 to begin with.
    public func setDescriptorsMax(_ max: Int, host: SocketAddress) { core.host(host).descriptorsMax = max }

    /// Time that each call that moves bytes takes a host, by its own clock: programs see it pass within their turns, and
    /// the network, whose clock stands still meanwhile, does not.
    public func setCallCost(_ cost: Duration, host: SocketAddress) {
        core.host(host).callCost = cost.nanoseconds
    }

    /// Every connection to the host goes to that port, and knows where it was going (iptables REDIRECT); 0: none does.
    public func redirectConnections(to port: UInt16, host: SocketAddress) {
        core.host(host).redirectPort = port
    }

    /// What a host has open: pollers, wakers and sockets.
    public func openDescriptors(host: SocketAddress) -> Int { core.host(host).openCount }

    // MARK: Time

    public var now: MonotonicInstant { MonotonicInstant(nanoseconds: core.now) }

    /// Whether a loop has something to do at this instant.
    public var hasWork: Bool { core.pollers.contains { $0.isAttended && $0.hasWork } }

    /// When the next segment arrives or a loop's wait ends; nil if nothing will happen any more.
    public var nextEventTime: MonotonicInstant? {
        let deadline = core.pollers.lazy.filter(\.isAttended).map(\.wakesAt).min() ?? .max
        let next = min(deadline, core.queue.first?.time ?? .max)
        return next == .max ? nil : MonotonicInstant(nanoseconds: max(next, core.now))
    }

    /// Lets everything happen up to `instant`, loops aside.
    public func advance(to instant: MonotonicInstant) { core.advance(to: instant.nanoseconds) }

    /// Moves the clock to the next thing that happens; false if there is none.
    public func step() -> Bool {
        guard let next = nextEventTime else { return false }
        advance(to: next)
        return true
    }

    /// Calls `turn`, which is to let every loop take one turn, once and then as often as there is work, and moves the
    /// clock when there is none, while `condition` holds and until `limit`. A loop that `turn` leaves out is not waited
    /// for.
    public func run(
        until limit: MonotonicInstant, turnsMax: Int = 100_000, while condition: () -> Bool = { true },
        turn: () throws -> Void
    ) rethrows -> End {
        var turns = 0
        var isFirst = true
        while condition() {
            if isFirst || hasWork {
                guard turns < turnsMax else { return .busy }
                isFirst = false
                turns += 1
                core.turn += 1
                try turn()
                continue
            }
            guard let next = nextEventTime else { return .idle }
            guard next <= limit else {
                advance(to: limit)
                return .timeUp
            }
            if next > now { turns = 0 }
            advance(to: next)
        }
        return .done
    }

    // MARK: Faults

    public func link(from: SocketAddress, to: SocketAddress) -> SimulatedLink {
        core.link(from: core.host(from), to: core.host(to)).settings
    }

    /// Replaces one direction, from now on: what is under way already arrives at the time that was drawn for it.
    public func setLink(from: SocketAddress, to: SocketAddress, _ link: SimulatedLink) {
        core.set(core.link(from: core.host(from), to: core.host(to)), link)
    }

    /// Changes both directions.
    public func changeLinks(
        between one: SocketAddress, and other: SocketAddress, _ change: (inout SimulatedLink) -> Void
    ) {
        let hosts = (core.host(one), core.host(other))
        for link in [core.link(from: hosts.0, to: hosts.1), core.link(from: hosts.1, to: hosts.0)] {
            var settings = link.settings
            change(&settings)
            core.set(link, settings)
            if hosts.0 === hosts.1 { return }
        }
    }

    /// Both ends of every connection between the two see a reset, now; the number of connections.
    @discardableResult public func resetConnections(between one: SocketAddress, and other: SocketAddress)
        -> Int
    {
        core.resetConnections(between: core.host(one), and: core.host(other))
    }

    /// Closes the host's sockets, as when its process is killed: listeners are gone, and peers see a FIN, or a reset
    /// where bytes had not been read. The kernels given out for it fail with ENETDOWN from now on; `kernel(host:)` gives
    /// one for the next program.
    public func crash(host: SocketAddress) { core.host(host).crash() }

    // MARK: What happened

    /// Uses of descriptors that are not open, and of the wrong kind: mistakes of the program under test. At most 100.
    public var mistakes: [String] { core.mistakes }

    /// A hash of everything that happened in the network, in its order: the same seed and program give the same.
    public var traceHash: UInt64 { core.traceHash }

    /// Whether `trace` grows, up to 100,000 lines.
    public var recordsTrace: Bool {
        get { core.recordsTrace }
        set { core.recordsTrace = newValue }
    }

    /// "TIME EVENT FROM TO COUNT", the time in microseconds since the start.
    public var trace: [String] { core.trace }
}
