import MeshPrimitives

/// One thread's wait for readiness. A turn is: `wait`, then `event(at:)` for each event, then expired timers. There are
/// no callbacks; the loop knows its descriptors by token only, so an event of a descriptor that was closed earlier in
/// the turn may still come, and its owner must recognise it (by the generation in its token).
@safe public struct EventLoop: ~Copyable {
    /// The most events of a turn.
    public static let eventsMax = 256
    private static let wallClockPeriod: Int64 = 1_000_000_000

    public let kernel: Kernel
    /// The clock as it was when the last `wait` returned.
    public private(set) var now: MonotonicInstant
    private let poller: Descriptor
    private let signal: WakeSignal
    @usableFromInline let events: UnsafeMutableBufferPointer<ReadyEvent>
    @usableFromInline var eventCount = 0
    /// Wall clock minus monotonic clock, and when they were compared.
    private var wallClockOffset: Int64
    private var wallClockRead: MonotonicInstant

    public init(kernel: Kernel) throws(SystemErrno) {
        let poller = try kernel.makePoller()
        let signal: WakeSignal
        do throws(SystemErrno) {
            signal = try WakeSignal(kernel: kernel)
            try kernel.watch(poller, signal.descriptor, .waker, interest: .readable)
        } catch {
            kernel.close(poller)
            throw error
        }
        self.kernel = kernel
        (self.poller, self.signal) = (poller, signal)
        let now = kernel.now()
        (self.now, wallClockRead) = (now, now)
        wallClockOffset = kernel.wallClock().nanoseconds &- now.nanoseconds
        unsafe events = .allocate(capacity: Self.eventsMax)
    }

    deinit {
        kernel.close(poller)
        unsafe events.deallocate()
    }

    /// Waits until something is ready or `deadline` has come (nil: without end; past: not at all), and begins a turn.
    /// Returns the number of events, 0 too when a signal came first. `readAt`: what the clock said a moment ago, if it
    /// was looked at.
    public mutating func wait(until deadline: MonotonicInstant?, readAt: MonotonicInstant? = nil) -> Int {
        var timeout: Int64 = -1
        if let deadline {
            // `now` is as old as the turn that ends here.
            timeout = deadline <= now ? 0 : max(0, deadline.nanoseconds(since: readAt ?? kernel.now()))
        }
        eventCount = unsafe kernel.wait(poller, into: events, timeoutNanoseconds: timeout)
        now = kernel.now()
        if now.nanoseconds(since: wallClockRead) >= Self.wallClockPeriod {
            wallClockRead = now
            wallClockOffset = kernel.wallClock().nanoseconds &- now.nanoseconds
        }
        signal.lower()
        return eventCount
    }

    /// An event of this turn; `Token.waker` says only that the waker was used.
    @inlinable public func event(at index: Int) -> ReadyEvent {
        precondition(index >= 0 && index < eventCount)
        return unsafe events[index]
    }

    /// The wall clock at `now`, compared with the clock itself about once a second.
    public var wallClock: WallInstant { WallInstant(nanoseconds: now.nanoseconds &+ wallClockOffset) }

    /// Edges of both directions, until the descriptor is closed. What is ready already gives an event.
    public func watch(_ descriptor: Descriptor, _ token: Token) throws(SystemErrno) {
        precondition(token != .waker)
        try kernel.watch(poller, descriptor, token)
    }

    /// For descriptors that can only be read, such as listening sockets and a `SignalSource`.
    public func watchReadable(_ descriptor: Descriptor, _ token: Token) throws(SystemErrno) {
        precondition(token != .waker)
        try kernel.watch(poller, descriptor, token, interest: .readable)
    }

    /// For a descriptor that goes on to another loop; closing one does the same.
    public func unwatch(_ descriptor: Descriptor) throws(SystemErrno) {
        try kernel.unwatch(poller, descriptor)
    }

    public var waker: Waker { Waker(signal) }
}
