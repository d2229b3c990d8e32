import MeshPrimitives
import Reactor

/// Something that can be watched: it has a readiness, and edges.
class Watchable {
    fileprivate(set) var watches: [Watch] = []

    var readiness: Readiness { [] }

    /// An edge: what Linux calls a wake-up of the socket's wait queue. Each poller looks at the readiness when it reports.
    final func notify() { for watch in watches { watch.poller?.enqueue(watch) } }

    final func unwatchAll() {
        for watch in watches { watch.poller?.forget(watch) }
        watches.removeAll()
    }
}

/// One thing in one poller.
final class Watch {
    fileprivate(set) weak var poller: SimulatedPoller?
    fileprivate unowned let target: Watchable
    fileprivate let token: Token
    fileprivate let interest: Readiness
    fileprivate var isQueued = false

    fileprivate init(_ poller: SimulatedPoller, _ target: Watchable, _ token: Token, _ interest: Readiness) {
        (self.poller, self.target, self.token, self.interest) = (poller, target, token, interest)
    }
}

/// epoll, with EPOLLET for everything: an edge queues a watch, a wait reports what is ready of it then and takes it from
/// the queue.
final class SimulatedPoller {
    private enum Phase {
        /// Its loop is in the middle of a turn, or has not begun.
        case running
        /// Its loop waits.
        case sleeping(until: Int64)
    }

    private let core: NetworkCore
    private var queue: [Watch] = []
    private var phase = Phase.running
    /// The last turn in which its loop waited.
    private var attendedTurn: Int

    init(core: NetworkCore) { (self.core, attendedTurn) = (core, core.turn) }

    /// Whether its loop took part in the last turn. One that a test no longer drives must not hold up the clock.
    var isAttended: Bool { attendedTurn == core.turn }

    /// Its loop should take a turn at this instant.
    var hasWork: Bool {
        switch phase {
        case .running: true
        case .sleeping(let deadline): !queue.isEmpty || deadline <= core.now
        }
    }

    /// When its loop's wait ends by itself.
    var wakesAt: Int64 {
        switch phase {
        case .running: core.now
        case .sleeping(let deadline): queue.isEmpty ? deadline : core.now
        }
    }

    /// False if the target is watched already (EEXIST).
    func watch(_ target: Watchable, _ token: Token, _ interest: Readiness) -> Bool {
        guard !target.watches.contains(where: { $0.poller === self }) else { return false }
        let watch = Watch(self, target, token, interest.union([.error, .hangup]))
        target.watches.append(watch)
        if !target.readiness.isDisjoint(with: watch.interest) { enqueue(watch) }
        return true
    }

    /// False if the target is not watched here (ENOENT).
    func unwatch(_ target: Watchable) -> Bool {
        guard let index = target.watches.firstIndex(where: { $0.poller === self }) else { return false }
        forget(target.watches.remove(at: index))
        return true
    }

    fileprivate func enqueue(_ watch: Watch) {
        guard !watch.isQueued else { return }
        watch.isQueued = true
        queue.append(watch)
    }

    fileprivate func forget(_ watch: Watch) {
        queue.removeAll { $0 === watch }
        (watch.isQueued, watch.poller) = (false, nil)
    }

    /// What is ready now, at most `max`. A timeout below zero is for ever.
    func wait(max: Int, timeout: Int64) -> [ReadyEvent] {
        attendedTurn = core.turn
        var limit = max
        if queue.count > 1, core.happens(core.quirks.shuffleChance) {
            queue.shuffle(using: &core.random)
            limit = min(max, 1 + Int(core.random.below(UInt64(queue.count))))
        }
        var events: [ReadyEvent] = []
        while events.count < limit, !queue.isEmpty {
            let watch = queue.removeFirst()
            watch.isQueued = false
            let readiness = watch.target.readiness.intersection(watch.interest)
            if !readiness.isEmpty { events.append(ReadyEvent(token: watch.token, readiness: readiness)) }
        }
        let deadline = core.now.addingReportingOverflow(timeout)
        phase =
            events.isEmpty
            ? .sleeping(until: timeout < 0 || deadline.overflow ? .max : deadline.partialValue) : .running
        return events
    }
}

/// An eventfd for wake-ups.
final class SimulatedWaker: Watchable {
    private var count = 0

    override var readiness: Readiness { count > 0 ? .readable : [] }

    func wake() {
        count += 1
        notify()
    }

    func drain() { count = 0 }
}
