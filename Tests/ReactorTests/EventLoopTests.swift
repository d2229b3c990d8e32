import Glibc
import MeshPrimitives
import Reactor
import Synchronization
import Testing

@Suite("Event loop on Linux") struct EventLoopTests {
    private let kernel = LinuxKernel.make()
    private let anyPort = SocketAddress(ipv4: 127, 0, 0, 1, port: 0)

    /// One descriptor under watch of one loop.
    private final class Watcher {
        var loop: EventLoop

        init(_ kernel: Kernel) throws { loop = try EventLoop(kernel: kernel) }

        /// What comes for `token` within five seconds.
        func next(_ token: Token) -> Readiness? {
            let limit = loop.kernel.now().advanced(by: .seconds(5))
            while loop.kernel.now() < limit {
                for index in 0..<loop.wait(until: limit) where loop.event(at: index).token == token {
                    return loop.event(at: index).readiness
                }
            }
            return nil
        }

        /// Whether anything comes for `token` in this moment.
        func hasEvent(_ token: Token) -> Bool {
            let count = loop.wait(until: .zero)
            return (0..<count).contains { loop.event(at: $0).token == token }
        }
    }

    /// Both ends of a connection: the connecting one, and the accepted one.
    private func makePair() throws -> (Descriptor, Descriptor) {
        let listener = try kernel.listen(anyPort, reusePort: false)
        defer { kernel.close(listener) }
        let address = try kernel.localAddress(listener)
        let near: Descriptor
        switch kernel.connect(address) {
        case .connected(let descriptor), .inProgress(let descriptor): near = descriptor
        case .failed(let code): throw code
        }
        let watcher = try Watcher(kernel)
        try watcher.loop.watchReadable(listener, Token(rawValue: 1))
        #expect(watcher.next(Token(rawValue: 1)) != nil)
        guard case .accepted(let far, let peer) = kernel.accept(listener) else {
            throw SystemErrno.connectionAborted
        }
        #expect(try kernel.localAddress(near) == peer)
        #expect(try kernel.peerAddress(near) == address)
        #expect(kernel.connectResult(near) == nil)
        #expect(kernel.accept(listener) == .wouldBlock)
        return (near, far)
    }

    private func withBuffer<T>(_ capacity: Int, _ body: (inout PooledBuffer) throws -> T) rethrows -> T {
        var pool = BufferPool()
        var buffer = pool.take(capacity)
        defer { pool.give(&buffer) }
        return try body(&buffer)
    }

    @Test("What is sent comes back, and the FIN after it", arguments: [0, 1, 2048, 3_000_000])
    func echo(bytes: Int) throws {
        let server = try EchoServer(kernel, at: anyPort)
        let client = try EchoClient(kernel, to: server.address, bytes: bytes, seed: UInt64(bytes))
        let limit = kernel.now().advanced(by: .seconds(20))
        while client.outcome == .running, kernel.now() < limit {
            try server.turn(until: .zero)
            client.turn(until: .zero)
        }
        #expect(client.outcome == .complete)
        #expect(server.accepted == 1)
    }

    @Test("IPv6 works alike, and does not take IPv4's connections")
    func ipv6() throws {
        guard let any = SocketAddress("::", port: 0) else { return }
        let server = try EchoServer(kernel, at: any)
        let port = server.address.port
        #expect(throws: Never.self) { try kernel.probe(SocketAddress(ipv4: 0, 0, 0, 0, port: port)) }
        guard let loopback = SocketAddress("::1", port: port) else { return }
        let client = try EchoClient(kernel, to: loopback, bytes: 100, seed: 1)
        let limit = kernel.now().advanced(by: .seconds(20))
        while client.outcome == .running, kernel.now() < limit {
            try server.turn(until: .zero)
            client.turn(until: .zero)
        }
        #expect(client.outcome == .complete)
    }

    @Test("A FIN behind bytes that were not all read is announced with them and found")
    func finIsNotLost() throws {
        let (near, far) = try makePair()
        defer { kernel.close(near) }
        let watcher = try Watcher(kernel)
        #expect(kernel.send(far, ByteView("hello")) == .bytes(5))
        kernel.close(far)
        while kernel.peek(near) == .wouldBlock {}
        try watcher.loop.watch(near, Token(rawValue: 9))
        var readiness = Readiness()
        while !readiness.contains(.readClosed) {
            guard let next = watcher.next(Token(rawValue: 9)) else { break }
            readiness = next
        }
        #expect(readiness.contains([.readable, .readClosed]))
        #expect(!readiness.isDisjoint(with: .endOfStream))
        withBuffer(2048) { buffer in
            #expect(!kernel.isReadClosed(near))
            // Short, and no further edge comes: the flag is the only sign that there is more.
            #expect(kernel.receive(near, into: &buffer) == .bytes(5))
            #expect(!watcher.hasEvent(Token(rawValue: 9)))
            #expect(kernel.isReadClosed(near))
            #expect(kernel.receive(near, into: &buffer) == .closed)
            #expect(buffer.view.equals("hello"))
        }
    }

    @Test("Four views leave in one call, in their order")
    func gathered() throws {
        let (near, far) = try makePair()
        defer {
            kernel.close(near)
            kernel.close(far)
        }
        #expect(kernel.send(near, ByteView("one "), ByteView("two ")) == .bytes(8))
        #expect(kernel.send(near, ByteView("three "), ByteView(""), ByteView("four ")) == .bytes(11))
        #expect(
            kernel.send(near, ByteView(""), ByteView("five "), ByteView("six "), ByteView("seven"))
                == .bytes(14))
        try withBuffer(2048) { buffer in
            while buffer.count < 33 {
                if case .failed(let code) = kernel.receive(far, into: &buffer) { throw code }
            }
            #expect(buffer.view.text == "one two three four five six seven")
            #expect(kernel.receive(far, into: &buffer) == .wouldBlock)
        }
    }

    @Test("A reset is told from a FIN, and writing after it does not kill the process")
    func reset() throws {
        let (near, far) = try makePair()
        defer { kernel.close(near) }
        kernel.reset(far)
        withBuffer(2048) { buffer in
            var result = IOResult.wouldBlock
            while result == .wouldBlock { result = kernel.receive(near, into: &buffer) }
            #expect(result == .failed(.connectionReset))
        }
        #expect(kernel.send(near, ByteView("x")) == .failed(.brokenPipe))
    }

    @Test("A half-closed connection still carries the other direction")
    func halfClose() throws {
        let (near, far) = try makePair()
        defer {
            kernel.close(near)
            kernel.close(far)
        }
        kernel.shutdownWrite(near)
        while kernel.peek(far) == .wouldBlock {}
        #expect(kernel.isReadClosed(far))
        #expect(kernel.send(far, ByteView("still")) == .bytes(5))
        while kernel.peek(near) == .wouldBlock {}
        #expect(kernel.peek(near) == .bytes(1))
    }

    @Test("Nobody listening is told as a refusal, at once or by an event")
    func refusal() throws {
        let listener = try kernel.listen(anyPort, reusePort: false)
        let address = try kernel.localAddress(listener)
        kernel.close(listener)
        switch kernel.connect(address, from: anyPort) {
        case .connected: Issue.record("connected to nobody")
        case .failed(let code): #expect(code == .connectionRefused)
        case .inProgress(let descriptor):
            let watcher = try Watcher(kernel)
            try watcher.loop.watch(descriptor, Token(rawValue: 1))
            #expect(watcher.next(Token(rawValue: 1))?.contains(.error) == true)
            #expect(kernel.connectResult(descriptor) == .connectionRefused)
            kernel.close(descriptor)
        }
    }

    @Test("A port in use is found by probing, even where the port could be shared")
    func probe() throws {
        let first = try kernel.listen(anyPort, reusePort: true)
        let address = try kernel.localAddress(first)
        let second = try kernel.listen(address, reusePort: true)
        #expect(throws: SystemErrno.addressInUse) { try kernel.probe(address) }
        #expect(throws: SystemErrno.addressInUse) { try kernel.listen(address, reusePort: false) }
        kernel.close(first)
        #expect(throws: SystemErrno.addressInUse) { try kernel.probe(address) }
        kernel.close(second)
        #expect(throws: Never.self) { try kernel.probe(address) }
        #expect("\(SystemErrno.addressInUse)" == "Address already in use")
    }

    @Test("A wait ends at its deadline, not before")
    func deadline() throws {
        let watcher = try Watcher(kernel)
        for nanoseconds: Int64 in [0, 300_000, 5_000_000] {
            let deadline = kernel.now().advanced(byNanoseconds: nanoseconds)
            #expect(watcher.loop.wait(until: deadline) == 0)
            #expect(watcher.loop.now >= deadline)
        }
        let difference = watcher.loop.wallClock.nanoseconds - kernel.wallClock().nanoseconds
        #expect(abs(difference) < 2_000_000_000)
    }

    @Test("A waker ends the wait from another thread, again and again, and many calls are one event")
    func waker() throws {
        let watcher = try Watcher(kernel)
        let (waker, mailbox) = (watcher.loop.waker, Mailbox())
        let thread = try WorkerThread.start(name: "waker-test") {
            for _ in 0..<1000 {
                mailbox.sent.add(1, ordering: .relaxed)
                waker.wake()
                while mailbox.seen.load(ordering: .acquiring) < mailbox.sent.load(ordering: .relaxed) {
                    sched_yield()
                }
            }
        }
        while mailbox.seen.load(ordering: .relaxed) < 1000 {
            let limit = kernel.now().advanced(by: .seconds(10))
            #expect(watcher.loop.wait(until: limit) <= 1)
            let sent = mailbox.sent.load(ordering: .acquiring)
            guard watcher.loop.now < limit else {
                Issue.record("a wake-up was lost")
                mailbox.seen.store(.max, ordering: .releasing)
                break
            }
            mailbox.seen.store(sent, ordering: .releasing)
        }
        thread.join()
        _ = watcher.loop.wait(until: .zero)
        for _ in 0..<5 { waker.wake() }
        #expect(watcher.loop.wait(until: nil) == 1)
        #expect(watcher.loop.event(at: 0).token == .waker)
        #expect(watcher.loop.wait(until: .zero) == 0)
    }

    @Test("A waker outlives its loop")
    func lateWaker() throws {
        let waker = try Watcher(kernel).loop.waker
        for _ in 0..<3 { waker.wake() }
    }

    @Test("Signals are events")
    func signals() throws {
        let results = SignalResults()
        // On a thread of its own, whose signal mask dies with it; the signals are sent to that thread only.
        let thread = try WorkerThread.start(name: "signal-test") {
            guard let source = try? SignalSource([.user1, .hangup]),
                let watcher = try? Watcher(LinuxKernel.make()),
                (try? watcher.loop.watchReadable(source.descriptor, Token(rawValue: 3))) != nil
            else { return }
            if source.next() == nil { results.steps.add(1, ordering: .relaxed) }
            pthread_kill(pthread_self(), SIGUSR1)
            pthread_kill(pthread_self(), SIGHUP)
            if watcher.next(Token(rawValue: 3)) == .readable { results.steps.add(1, ordering: .relaxed) }
            let signals = [source.next(), source.next()]
            if signals.contains(.user1), signals.contains(.hangup) {
                results.steps.add(1, ordering: .relaxed)
            }
            if source.next() == nil { results.steps.add(1, ordering: .relaxed) }
        }
        thread.join()
        #expect(results.steps.load(ordering: .relaxed) == 4)
    }

    @Test("Random seeds differ")
    func randomSeeds() {
        #expect(Set((0..<100).map { _ in kernel.randomSeed() }).count == 100)
        var bytes = [UInt8](repeating: 0, count: 1000)
        kernel.fillRandom(&bytes)
        #expect(Set(bytes).count > 100)
    }
}

private final class Mailbox: Sendable {
    let sent = Atomic<Int>(0)
    let seen = Atomic<Int>(0)
}

private final class SignalResults: Sendable {
    let steps = Atomic<Int>(0)
}
