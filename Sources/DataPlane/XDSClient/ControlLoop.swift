import MeshPrimitives
import Reactor
import Synchronization

/// The loop of the control thread: readiness, timers and messages from other threads, each with a closure. Confined
/// to its thread; only an `Inbox` may be used from others. What costs microseconds here costs no request anything.
///
/// A turn handles, in this order: events of descriptors, messages from other threads, timers that are due, and what
/// `atEndOfTurn` was given.
public final class ControlLoop {
    /// Names what `register` was given. Never used twice, so that a stale one is harmless.
    public struct Registration: Hashable, Sendable { fileprivate let number: UInt64 }

    /// Names a timer. Once it has fired or was cancelled, the name means nothing and is harmless.
    public struct Timer: Hashable, Sendable {
        fileprivate let number: UInt64
        fileprivate let place: TimerID
    }

    /// Messages that a `Poster` keeps for one turn.
    public static let postedMax = 4096

    public let kernel: Kernel
    /// Of everything here that is random, such as jitter; not for secrets.
    public var random: SeededRandom
    private var loop: EventLoop
    private var pool = BufferPool()
    private var wheel: TimerWheel
    private var numbers: UInt64 = 0
    private var sources: [UInt64: (descriptor: Descriptor, handler: (Readiness) -> Void)] = [:]
    private var timers: [UInt64: () -> Void] = [:]
    private var inboxes: [UInt64: () -> Void] = [:]
    private var deferred: [() -> Void] = []
    private var isInTurn = false
    private var isStopped = false
    private var posted: Inbox<@Sendable (ControlLoop) -> Void>?

    /// `timersMax`: more timers at once are a mistake of their owners.
    public init(kernel: Kernel, timersMax: Int = 16_384) throws(SystemErrno) {
        self.kernel = kernel
        loop = try EventLoop(kernel: kernel)
        wheel = TimerWheel(capacity: timersMax, now: kernel.now())
        random = SeededRandom(seed: kernel.randomSeed())
    }

    /// The clock as it was when the turn began.
    public var now: MonotonicInstant { loop.now }
    public var wallClock: WallInstant { loop.wallClock }

    // MARK: Memory

    /// An empty buffer of 64 KiB, to be given back within the turn.
    func takeReadBuffer() -> PooledBuffer { pool.take(BufferPool.sizes.large) }

    func giveBack(_ buffer: inout PooledBuffer) { pool.give(&buffer) }

    // MARK: Descriptors

    /// Calls `handler` at every edge (both directions unless `readableOnly`): it reads and writes until that would
    /// block. What is ready already gives an event. The descriptor stays the caller's, who cancels before closing it.
    public func register(
        _ descriptor: Descriptor, readableOnly: Bool = false, _ handler: @escaping (Readiness) -> Void
    ) throws(SystemErrno) -> Registration {
        numbers += 1
        let token = Token(rawValue: numbers)
        if readableOnly {
            try loop.watchReadable(descriptor, token)
        } else {
            try loop.watch(descriptor, token)
        }
        sources[numbers] = (descriptor, handler)
        return Registration(number: numbers)
    }

    /// The handler is not called any more, also not for what this turn has found already. The descriptor may go on to
    /// another loop.
    public func cancel(_ registration: Registration) {
        guard let source = sources.removeValue(forKey: registration.number) else { return }
        // It can only fail for one that was closed before it was cancelled.
        try? loop.unwatch(source.descriptor)
    }

    // MARK: Timers

    /// Calls `body` once, after this many nanoseconds, at the first whole millisecond; never in this turn's past.
    @discardableResult
    public func after(_ nanoseconds: Int64, _ body: @escaping () -> Void) -> Timer {
        numbers += 1
        timers[numbers] = body
        // `now` is as old as the turn.
        let instant = now.advanced(byNanoseconds: max(0, nanoseconds))
        return Timer(number: numbers, place: wheel.schedule(at: instant, token: Token(rawValue: numbers)))
    }

    @discardableResult
    public func after(_ duration: Duration, _ body: @escaping () -> Void) -> Timer {
        after(duration.nanoseconds, body)
    }

    public func cancel(_ timer: Timer) {
        guard timers.removeValue(forKey: timer.number) != nil else { return }
        wheel.cancel(timer.place)
    }

    public var timerCount: Int { wheel.count }

    /// Calls `body` when everything else of this turn is done; outside of a turn, at the end of the next one.
    public func atEndOfTurn(_ body: @escaping () -> Void) { deferred.append(body) }

    // MARK: Other threads

    /// A queue into this loop: `handler` gets what other threads post, on this thread and in their order. At most
    /// `countMax` messages wait.
    public func makeInbox<Message: Sendable>(
        countMax: Int = ControlLoop.postedMax, _ handler: @escaping (Message) -> Void
    ) -> Inbox<Message> {
        numbers += 1
        let inbox = Inbox<Message>(number: numbers, countMax: countMax, waker: loop.waker)
        inboxes[numbers] = { [inbox] in
            for message in inbox.takeAll() { handler(message) }
        }
        return inbox
    }

    /// Its handler is not called any more.
    public func remove<Message>(_ inbox: Inbox<Message>) { inboxes[inbox.number] = nil }

    /// For closures of other threads that need nothing but the loop.
    public var poster: Poster {
        let inbox =
            posted
            ?? makeInbox { [unowned self] (body: @Sendable (ControlLoop) -> Void) in body(self) }
        posted = inbox
        return Poster(inbox: inbox)
    }

    // MARK: Turns

    /// Waits for the first thing to happen, until `limit` at the latest (nil: without end; a past one: not at all), and
    /// handles what has happened.
    public func turn(until limit: MonotonicInstant? = nil) {
        precondition(!isInTurn, "a turn within a turn")
        isInTurn = true
        defer { isInTurn = false }
        let count = loop.wait(until: deadline(limit))
        for index in 0..<count {
            let event = loop.event(at: index)
            if event.token == .waker { continue }
            sources[event.token.rawValue]?.handler(event.readiness)
        }
        for number in inboxes.keys.sorted() { inboxes[number]?() }
        while let token = wheel.popExpired(now: loop.now) {
            timers.removeValue(forKey: token.rawValue)?()
        }
        let last = deferred
        deferred = []
        for body in last { body() }
    }

    /// Turns until `stop`.
    public func run() {
        while !isStopped { turn() }
    }

    /// Turns until `condition` holds at the end of one, or `limit` comes; whether it holds.
    @discardableResult
    public func run(until limit: MonotonicInstant, while condition: () -> Bool) -> Bool {
        while condition(), now < limit, !isStopped { turn(until: limit) }
        return condition()
    }

    /// Ends `run` after this turn, for good.
    public func stop() { isStopped = true }

    private func deadline(_ limit: MonotonicInstant?) -> MonotonicInstant? {
        if !deferred.isEmpty || isStopped { return .zero }
        guard let next = wheel.nextDeadline else { return limit }
        guard let limit else { return next }
        return min(next, limit)
    }
}

/// A bounded queue from other threads into a `ControlLoop`.
public final class Inbox<Message: Sendable>: Sendable {
    fileprivate let number: UInt64
    private let countMax: Int
    private let waker: Waker
    private let messages = Mutex<[Message]>([])

    fileprivate init(number: UInt64, countMax: Int, waker: Waker) {
        (self.number, self.countMax, self.waker) = (number, countMax, waker)
    }

    /// On any thread. False if the queue is full: the message is dropped.
    @discardableResult public func post(_ message: sending Message) -> Bool {
        let isTaken = messages.withLock { messages in
            guard messages.count < countMax else { return false }
            messages.append(message)
            return true
        }
        if isTaken { waker.wake() }
        return isTaken
    }

    fileprivate func takeAll() -> [Message] {
        messages.withLock { messages in
            let taken = messages
            messages = []
            return taken
        }
    }
}

/// Brings closures of other threads to a `ControlLoop`.
public struct Poster: Sendable {
    fileprivate let inbox: Inbox<@Sendable (ControlLoop) -> Void>

    /// On any thread. False if too many wait already: the closure is dropped.
    @discardableResult public func post(_ body: @escaping @Sendable (ControlLoop) -> Void) -> Bool {
        inbox.post(body)
    }
}
