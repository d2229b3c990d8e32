import Glibc
import MeshPrimitives

/// The seam between us and the machine: time, randomness, sockets, events. Two words, cheap to copy; a call costs a
/// C function pointer. `LinuxKernel.make()` gives the real one, `SimulatedNetwork` those of a simulation.
///
/// Linux's may be used on all threads, a simulated one only on the thread of its network.
@safe public struct Kernel: @unchecked Sendable, BitwiseCopyable {
    public enum AcceptResult: Equatable, Sendable, BitwiseCopyable {
        case accepted(Descriptor, peer: SocketAddress)
        case wouldBlock
        /// `isExhaustion` tells whether to try again later; the connection is still queued then.
        case failed(SystemErrno)
    }

    public enum ConnectResult: Equatable, Sendable, BitwiseCopyable {
        case connected(Descriptor)
        /// An event will follow; `connectResult` tells how it ended.
        case inProgress(Descriptor)
        case failed(SystemErrno)
    }

    @usableFromInline let table: UnsafePointer<KernelTable>
    @usableFromInline let context: UnsafeMutableRawPointer?

    /// Both must outlive every use of the kernel.
    @unsafe public init(table: UnsafePointer<KernelTable>, context: UnsafeMutableRawPointer?) {
        unsafe (self.table, self.context) = (table, context)
    }

    // MARK: Time and randomness

    @inlinable public func now() -> MonotonicInstant {
        unsafe MonotonicInstant(nanoseconds: table.pointee.now(context))
    }

    @inlinable public func wallClock() -> WallInstant {
        unsafe WallInstant(nanoseconds: table.pointee.wallClock(context))
    }

    /// From the machine's generator for secrets; from the seed in a simulation. Never blocks once the machine is up.
    public func randomSeed() -> UInt64 {
        var seed: UInt64 = 0
        unsafe withUnsafeMutableBytes(of: &seed) { bytes in
            if let start = bytes.baseAddress { unsafe table.pointee.fillRandom(context, start, bytes.count) }
        }
        return seed
    }

    public func fillRandom(_ bytes: inout [UInt8]) {
        unsafe bytes.withUnsafeMutableBytes { bytes in
            if let start = bytes.baseAddress { unsafe table.pointee.fillRandom(context, start, bytes.count) }
        }
    }

    // MARK: Events

    public func makePoller() throws(SystemErrno) -> Descriptor {
        try descriptor(unsafe table.pointee.makePoller(context))
    }

    /// Registers `descriptor` for edges of both directions (or those of `interest`), the peer's FIN, errors and hangups,
    /// until it is closed. What is ready already gives an event.
    public func watch(
        _ poller: Descriptor, _ descriptor: Descriptor, _ token: Token,
        interest: Readiness = [.readable, .writable, .readClosed]
    ) throws(SystemErrno) {
        try check(
            unsafe table.pointee.watch(
                context, poller.rawValue, descriptor.rawValue, interest.rawValue, token.rawValue))
    }

    /// For a descriptor that goes on to another loop; closing one does the same.
    public func unwatch(_ poller: Descriptor, _ descriptor: Descriptor) throws(SystemErrno) {
        try check(unsafe table.pointee.unwatch(context, poller.rawValue, descriptor.rawValue))
    }

    /// Waits until something is ready, or for the time given (negative: for ever); the number of events written. 0 also
    /// after a signal.
    @unsafe @inlinable public func wait(
        _ poller: Descriptor, into events: UnsafeMutableBufferPointer<ReadyEvent>, timeoutNanoseconds: Int64
    ) -> Int {
        guard let start = events.baseAddress else { return 0 }
        let count = unsafe table.pointee.wait(
            context, poller.rawValue, UnsafeMutableRawPointer(start), events.count, timeoutNanoseconds)
        precondition(count >= 0 && count <= events.count, "a wait on something that is not a poller")
        return count
    }

    // MARK: Sockets

    /// A listening socket (IPv6 only, if the address is IPv6); port 0 takes a free one. The sockets accepted from it
    /// have TCP_NODELAY set. With `reusePort`, other sockets may listen there too and share the connections: call
    /// `probe` first, once, or a second process of ours would quietly take half of them.
    public func listen(
        _ address: SocketAddress, reusePort: Bool, backlog: Int = 4096
    ) throws(SystemErrno) -> Descriptor {
        let backlog = Int32(clamping: max(0, backlog))
        return try descriptor(
            unsafe withUnsafePointer(to: address) { pointer in
                unsafe table.pointee.listen(context, UnsafeRawPointer(pointer), reusePort, backlog)
            })
    }

    /// Takes an address without listening there, so that callers are refused; port 0 takes a free one. Sockets that
    /// listen with `reusePort` may join it.
    public func bind(_ address: SocketAddress) throws(SystemErrno) -> Descriptor {
        try descriptor(
            unsafe withUnsafePointer(to: address) { pointer in
                unsafe table.pointee.listen(context, UnsafeRawPointer(pointer), true, -1)
            })
    }

    /// Fails if `listen` at this address would share it with a stranger, or not succeed at all.
    public func probe(_ address: SocketAddress) throws(SystemErrno) {
        let bound = try descriptor(
            unsafe withUnsafePointer(to: address) { pointer in
                unsafe table.pointee.listen(context, UnsafeRawPointer(pointer), false, -1)
            })
        close(bound)
    }

    public func localAddress(_ descriptor: Descriptor) throws(SystemErrno) -> SocketAddress {
        var address = Self.noAddress
        try check(unsafe table.pointee.localAddress(context, descriptor.rawValue, &address))
        return address
    }

    public func peerAddress(_ descriptor: Descriptor) throws(SystemErrno) -> SocketAddress {
        var address = Self.noAddress
        try check(unsafe table.pointee.peerAddress(context, descriptor.rawValue, &address))
        return address
    }

    /// Where the connection was going before it was redirected here (SO_ORIGINAL_DST); fails for one that was not.
    public func originalDestination(_ descriptor: Descriptor) throws(SystemErrno) -> SocketAddress {
        var address = Self.noAddress
        try check(unsafe table.pointee.originalDestination(context, descriptor.rawValue, &address))
        return address
    }

    /// The next connection of a listening socket.
    public func accept(_ listener: Descriptor) -> AcceptResult {
        var address = Self.noAddress
        let result = unsafe table.pointee.accept(context, listener.rawValue, &address)
        if result >= 0 { return .accepted(Descriptor(rawValue: Int32(result)), peer: address) }
        return result == -Int(EAGAIN) ? .wouldBlock : .failed(SystemErrno(negated: result))
    }

    /// Begins a connection, with TCP_NODELAY set, and from `source` if given; its port may be 0. No descriptor stays
    /// behind a failure.
    public func connect(_ address: SocketAddress, from source: SocketAddress? = nil) -> ConnectResult {
        var isPending = false
        let result = unsafe withUnsafePointer(to: address) { target in
            guard let source else {
                return unsafe table.pointee.connect(context, UnsafeRawPointer(target), nil, &isPending)
            }
            return unsafe withUnsafePointer(to: source) { source in
                unsafe table.pointee.connect(
                    context, UnsafeRawPointer(target), UnsafeRawPointer(source), &isPending)
            }
        }
        if result < 0 { return .failed(SystemErrno(negated: result)) }
        let descriptor = Descriptor(rawValue: Int32(result))
        return isPending ? .inProgress(descriptor) : .connected(descriptor)
    }

    /// How a pending connection ended, once its event came: nil if it is there. Also takes a socket's pending error
    /// (SO_ERROR); asking clears it.
    public func connectResult(_ descriptor: Descriptor) -> SystemErrno? {
        let code = unsafe table.pointee.connectResult(context, descriptor.rawValue)
        return code == 0 ? nil : SystemErrno(code: Int32(code))
    }

    /// What `listen` and `connect` have done already; for sockets from elsewhere.
    public func setNoDelay(_ descriptor: Descriptor, _ isOn: Bool = true) throws(SystemErrno) {
        try check(unsafe table.pointee.setNoDelay(context, descriptor.rawValue, isOn))
    }

    /// Whole seconds, at least 1; 0 leaves the machine's setting.
    public func setKeepalive(
        _ descriptor: Descriptor, idleSeconds: Int, intervalSeconds: Int, probes: Int
    ) throws(SystemErrno) {
        try check(
            unsafe table.pointee.setKeepalive(
                context, descriptor.rawValue, Int32(clamping: idleSeconds), Int32(clamping: intervalSeconds),
                Int32(clamping: probes)))
    }

    /// Reads what is there, up to the room behind the buffer's bytes; there must be some, since a read of nothing looks
    /// like a FIN.
    @inlinable public func receive(_ descriptor: Descriptor, into buffer: inout PooledBuffer) -> IOResult {
        let room = unsafe buffer.writable
        guard let start = room.baseAddress, room.count > 0 else {
            preconditionFailure("no room to read into")
        }
        let result = unsafe table.pointee.receive(context, descriptor.rawValue, start, room.count)
        if result > 0 { buffer.commit(result) }
        return IOResult(read: result)
    }

    /// Looks without taking: `wouldBlock` is what a healthy idle connection gives.
    public func peek(_ descriptor: Descriptor) -> IOResult {
        IOResult(read: unsafe table.pointee.peek(context, descriptor.rawValue))
    }

    /// The peer's FIN or an error is next, with nothing before it.
    public func isReadClosed(_ descriptor: Descriptor) -> Bool {
        switch peek(descriptor) {
        case .closed, .failed: true
        case .bytes, .wouldBlock: false
        }
    }

    /// `bytes(n)` with n less than all means that the socket is full: an event follows when it is not.
    @inlinable public func send(_ descriptor: Descriptor, _ bytes: ByteView) -> IOResult {
        unsafe IOResult(
            written: table.pointee.send(
                context, descriptor.rawValue, UnsafeRawPointer(bytes.pointer), bytes.count))
    }

    /// Both in one call, the first one first.
    @inlinable public func send(_ descriptor: Descriptor, _ first: ByteView, _ second: ByteView) -> IOResult {
        send(descriptor, first, second, ByteView(""), ByteView(""))
    }

    @inlinable public func send(
        _ descriptor: Descriptor, _ first: ByteView, _ second: ByteView, _ third: ByteView
    ) -> IOResult {
        send(descriptor, first, second, third, ByteView(""))
    }

    @inlinable public func send(
        _ descriptor: Descriptor, _ first: ByteView, _ second: ByteView, _ third: ByteView, _ fourth: ByteView
    ) -> IOResult {
        unsafe IOResult(
            written: table.pointee.sendGathered(
                context, descriptor.rawValue, UnsafeRawPointer(first.pointer), first.count,
                UnsafeRawPointer(second.pointer), second.count, UnsafeRawPointer(third.pointer), third.count,
                UnsafeRawPointer(fourth.pointer), fourth.count))
    }

    /// A pipe that holds up to about `capacity` bytes, or as many as the machine allows; fails where there are none.
    public func makePipe(capacity: Int) throws(SystemErrno) -> Pipe {
        var ends = (Int32(-1), Int32(-1))
        let capacity = unsafe withUnsafeMutableBytes(of: &ends) { bytes in
            guard let start = unsafe bytes.assumingMemoryBound(to: Int32.self).baseAddress else { return 0 }
            return unsafe table.pointee.makePipe(context, start, capacity)
        }
        try check(capacity)
        return Pipe(
            output: Descriptor(rawValue: ends.0), input: Descriptor(rawValue: ends.1), capacity: capacity)
    }

    /// Moves bytes from a socket into a pipe without their being read. `wouldBlock` also if the pipe is full.
    public func splice(_ socket: Descriptor, into pipe: Pipe, max count: Int) -> IOResult {
        IOResult(read: unsafe table.pointee.splice(context, socket.rawValue, pipe.input.rawValue, count))
    }

    /// Moves bytes from a pipe, which has that many, into a socket.
    public func splice(_ pipe: Pipe, into socket: Descriptor, count: Int) -> IOResult {
        IOResult(written: unsafe table.pointee.splice(context, pipe.output.rawValue, socket.rawValue, count))
    }

    public func close(_ pipe: Pipe) {
        close(pipe.output)
        close(pipe.input)
    }

    /// Sends the FIN after what was written. A failure means that the connection is gone, which reading will tell.
    public func shutdownWrite(_ descriptor: Descriptor) {
        _ = unsafe table.pointee.shutdownWrite(context, descriptor.rawValue)
    }

    public func close(_ descriptor: Descriptor) { unsafe table.pointee.close(context, descriptor.rawValue) }

    /// Closes with a reset: what was written and has not left is dropped, the peer sees ECONNRESET.
    public func reset(_ descriptor: Descriptor) { unsafe table.pointee.reset(context, descriptor.rawValue) }

    // MARK: Waking another thread's loop

    /// Most loops want `EventLoop.waker` instead.
    public func makeWaker() throws(SystemErrno) -> Descriptor {
        try descriptor(unsafe table.pointee.makeWaker(context))
    }

    /// On any thread, and in a signal handler.
    public func wake(_ waker: Descriptor) { unsafe table.pointee.wake(context, waker.rawValue) }

    /// Forgets the wake-ups so far.
    public func drainWaker(_ waker: Descriptor) { unsafe table.pointee.drainWaker(context, waker.rawValue) }

    // MARK: Results

    private static var noAddress: SocketAddress { SocketAddress(ipv4: 0, 0, 0, 0, port: 0) }

    private func descriptor(_ result: Int) throws(SystemErrno) -> Descriptor {
        try check(result)
        return Descriptor(rawValue: Int32(result))
    }

    private func check(_ result: Int) throws(SystemErrno) {
        if result < 0 { throw SystemErrno(negated: result) }
    }
}
