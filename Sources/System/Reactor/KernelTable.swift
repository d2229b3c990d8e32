/// The seam in its bare form: C functions, the first argument of each being the kernel's context. A result that can
/// fail is the negative errno. `SocketAddress` values, `ReadyEvent` values and bytes travel by pointer, valid for the
/// call only. Call it through `Kernel`.
@safe public struct KernelTable {
    public typealias Context = UnsafeMutableRawPointer?
    public typealias Bytes = UnsafeRawPointer?

    public var now: @convention(c) (Context) -> Int64
    public var wallClock: @convention(c) (Context) -> Int64
    public var fillRandom: @convention(c) (Context, UnsafeMutableRawPointer, Int) -> Void

    public var makePoller: @convention(c) (Context) -> Int
    /// poller, descriptor, `Readiness` bits to report, token
    public var watch: @convention(c) (Context, Int32, Int32, UInt32, UInt64) -> Int
    public var unwatch: @convention(c) (Context, Int32, Int32) -> Int
    /// poller, room for `ReadyEvent`s, how many, nanoseconds (negative: for ever); a signal gives 0
    public var wait: @convention(c) (Context, Int32, UnsafeMutableRawPointer, Int, Int64) -> Int

    /// `SocketAddress`, whether to share the port, backlog (negative: only bind)
    public var listen: @convention(c) (Context, UnsafeRawPointer, Bool, Int32) -> Int
    /// descriptor, room for a `SocketAddress`
    public var localAddress: @convention(c) (Context, Int32, UnsafeMutableRawPointer) -> Int
    public var peerAddress: @convention(c) (Context, Int32, UnsafeMutableRawPointer) -> Int
    public var originalDestination: @convention(c) (Context, Int32, UnsafeMutableRawPointer) -> Int
    public var accept: @convention(c) (Context, Int32, UnsafeMutableRawPointer) -> Int
    /// `SocketAddress`, source or nil, set to whether the connection is still pending
    public var connect:
        @convention(c) (Context, UnsafeRawPointer, UnsafeRawPointer?, UnsafeMutablePointer<Bool>) -> Int
    /// 0 or the (positive) errno
    public var connectResult: @convention(c) (Context, Int32) -> Int
    public var setNoDelay: @convention(c) (Context, Int32, Bool) -> Int
    /// descriptor, seconds idle, seconds between probes, probes
    public var setKeepalive: @convention(c) (Context, Int32, Int32, Int32, Int32) -> Int
    public var receive: @convention(c) (Context, Int32, UnsafeMutableRawPointer, Int) -> Int
    public var peek: @convention(c) (Context, Int32) -> Int
    public var send: @convention(c) (Context, Int32, UnsafeRawPointer, Int) -> Int
    public var sendGathered:
        @convention(c) (Context, Int32, Bytes, Int, Bytes, Int, Bytes, Int, Bytes, Int) -> Int
    /// room for the descriptors to read and to write, the capacity that is wanted; the capacity that it has
    public var makePipe: @convention(c) (Context, UnsafeMutablePointer<Int32>, Int) -> Int
    /// from, to, bytes at the most; one of the two is a pipe
    public var splice: @convention(c) (Context, Int32, Int32, Int) -> Int
    public var shutdownWrite: @convention(c) (Context, Int32) -> Int
    public var close: @convention(c) (Context, Int32) -> Void
    public var reset: @convention(c) (Context, Int32) -> Void

    public var makeWaker: @convention(c) (Context) -> Int
    /// May be called on any thread and in a signal handler.
    public var wake: @convention(c) (Context, Int32) -> Void
    public var drainWaker: @convention(c) (Context, Int32) -> Void

    public init(
        now: @escaping @convention(c) (Context) -> Int64,
        wallClock: @escaping @convention(c) (Context) -> Int64,
        fillRandom: @escaping @convention(c) (Context, UnsafeMutableRawPointer, Int) -> Void,
        makePoller: @escaping @convention(c) (Context) -> Int,
        watch: @escaping @convention(c) (Context, Int32, Int32, UInt32, UInt64) -> Int,
        unwatch: @escaping @convention(c) (Context, Int32, Int32) -> Int,
        wait: @escaping @convention(c) (Context, Int32, UnsafeMutableRawPointer, Int, Int64) -> Int,
        listen: @escaping @convention(c) (Context, UnsafeRawPointer, Bool, Int32) -> Int,
        localAddress: @escaping @convention(c) (Context, Int32, UnsafeMutableRawPointer) -> Int,
        peerAddress: @escaping @convention(c) (Context, Int32, UnsafeMutableRawPointer) -> Int,
        originalDestination: @escaping @convention(c) (Context, Int32, UnsafeMutableRawPointer) -> Int,
        accept: @escaping @convention(c) (Context, Int32, UnsafeMutableRawPointer) -> Int,
        connect:
            @escaping @convention(c) (
                Context, UnsafeRawPointer, UnsafeRawPointer?, UnsafeMutablePointer<Bool>
            ) -> Int,
        connectResult: @escaping @convention(c) (Context, Int32) -> Int,
        setNoDelay: @escaping @convention(c) (Context, Int32, Bool) -> Int,
        setKeepalive: @escaping @convention(c) (Context, Int32, Int32, Int32, Int32) -> Int,
        receive: @escaping @convention(c) (Context, Int32, UnsafeMutableRawPointer, Int) -> Int,
        peek: @escaping @convention(c) (Context, Int32) -> Int,
        send: @escaping @convention(c) (Context, Int32, UnsafeRawPointer, Int) -> Int,
        sendGathered:
            @escaping @convention(c) (Context, Int32, Bytes, Int, Bytes, Int, Bytes, Int, Bytes, Int) -> Int,
        makePipe: @escaping @convention(c) (Context, UnsafeMutablePointer<Int32>, Int) -> Int,
        splice: @escaping @convention(c) (Context, Int32, Int32, Int) -> Int,
        shutdownWrite: @escaping @convention(c) (Context, Int32) -> Int,
        close: @escaping @convention(c) (Context, Int32) -> Void,
        reset: @escaping @convention(c) (Context, Int32) -> Void,
        makeWaker: @escaping @convention(c) (Context) -> Int,
        wake: @escaping @convention(c) (Context, Int32) -> Void,
        drainWaker: @escaping @convention(c) (Context, Int32) -> Void
    ) {
        unsafe self.now = now
        unsafe self.wallClock = wallClock
        unsafe self.fillRandom = fillRandom
        unsafe self.makePoller = makePoller
        unsafe self.watch = watch
        unsafe self.unwatch = unwatch
        unsafe self.wait = wait
        unsafe self.listen = listen
        unsafe self.localAddress = localAddress
        unsafe self.peerAddress = peerAddress
        unsafe self.originalDestination = originalDestination
        unsafe self.accept = accept
        unsafe self.connect = connect
        unsafe self.connectResult = connectResult
        unsafe self.setNoDelay = setNoDelay
        unsafe self.setKeepalive = setKeepalive
        unsafe self.receive = receive
        unsafe self.peek = peek
        unsafe self.send = send
        unsafe self.sendGathered = sendGathered
        unsafe self.makePipe = makePipe
        unsafe self.splice = splice
        unsafe self.shutdownWrite = shutdownWrite
        unsafe self.close = close
        unsafe self.reset = reset
        unsafe self.makeWaker = makeWaker
        unsafe self.wake = wake
        unsafe self.drainWaker = drainWaker
    }
}
