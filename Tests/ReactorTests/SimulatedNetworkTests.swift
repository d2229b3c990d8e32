import MeshPrimitives
import Reactor
import Simulation
import Testing

@Suite("Simulated network") struct SimulatedNetworkTests {
    private let client = SocketAddress(ipv4: 10, 0, 0, 1, port: 0)
    private let server = SocketAddress(ipv4: 10, 0, 0, 2, port: 80)

    /// An echo between two hosts, up to `limit`, and how it ended.
    private struct Echo {
        let network: SimulatedNetwork
        let server: EchoServer
        let clients: [EchoClient]

        init(
            _ network: SimulatedNetwork, _ client: SocketAddress, _ server: SocketAddress, count: Int,
            bytes: Int
        )
            throws
        {
            self.network = network
            let server = try EchoServer(network.kernel(host: server), at: server)
            self.server = server
            clients = try (0..<count).map { index in
                try EchoClient(
                    network.kernel(host: client), to: server.address, bytes: bytes, seed: UInt64(index))
            }
        }

        @discardableResult func run(_ limit: Duration = .seconds(3600)) throws -> SimulatedNetwork.End {
            try network.run(
                until: network.now.advanced(by: limit),
                while: { clients.contains { $0.outcome == .running } },
                turn: {
                    try server.turn(until: nil)
                    for client in clients { client.turn(until: nil) }
                })
        }
    }

    @Test("What is sent comes back whatever the network does with it", arguments: UInt64(0)..<100)
    func echo(seed: UInt64) throws {
        let network = SimulatedNetwork(seed: seed)
        do {
            let echo = try Echo(network, client, server, count: 3, bytes: 20_000)
            #expect(try echo.run() == .done)
            #expect(echo.clients.map(\.outcome) == [.complete, .complete, .complete])
            _ = network.run(until: network.now.advanced(by: .seconds(5))) {
                _ = try? echo.server.turn(until: nil)
            }
            #expect(echo.server.openConnections == 0)
            #expect(network.openDescriptors(host: server) == 3)
        }
        #expect(network.openDescriptors(host: client) == 0)
        #expect(network.openDescriptors(host: server) == 0)
        #expect(network.mistakes == [])
    }

    @Test("The same seed gives the same run, another seed another one")
    func replay() throws {
        func trace(_ seed: UInt64) throws -> (UInt64, [String]) {
            let network = SimulatedNetwork(seed: seed)
            network.recordsTrace = true
            let echo = try Echo(network, client, server, count: 2, bytes: 20_000)
            network.changeLinks(between: client, and: server) { $0.resetChance = 0.01 }
            try echo.run()
            return (network.traceHash, network.trace)
        }
        for seed: UInt64 in 0..<10 {
            let (first, second) = (try trace(seed), try trace(seed))
            #expect(first.0 == second.0)
            #expect(first.1 == second.1)
            #expect(try trace(seed + 1).0 != first.0)
        }
    }

    @Test("Nobody listening is a refusal, after the way there and back")
    func refusal() throws {
        let network = SimulatedNetwork(seed: 1)
        let start = network.now
        _ = network.kernel(host: server)
        let client = try EchoClient(network.kernel(host: client), to: server, bytes: 1, seed: 1)
        let end = network.run(until: .distantFuture, while: { client.outcome == .running }) {
            client.turn(until: nil)
        }
        #expect(end == .done)
        #expect(client.outcome == .failed(.connectionRefused))
        #expect(network.now.duration(since: start) >= .microseconds(200))
    }

    @Test("A host that does not exist is unreachable, a black hole times out as Linux does")
    func noAnswer() throws {
        let network = SimulatedNetwork(seed: 1)
        let lost = try EchoClient(network.kernel(host: client), to: server, bytes: 1, seed: 1)
        _ = network.run(until: .distantFuture, while: { lost.outcome == .running }) { lost.turn(until: nil) }
        #expect(lost.outcome == .failed(.hostUnreachable))

        network.changeLinks(between: client, and: server) { $0.isDown = true }
        let start = network.now
        let echo = try Echo(network, client, server, count: 1, bytes: 10)
        try echo.run()
        #expect(echo.clients[0].outcome == .failed(.timedOut))
        #expect(network.now.duration(since: start) == .seconds(127))
    }

    @Test("A connection waits out a link that is down, and loses nothing", arguments: UInt64(0)..<20)
    func outage(seed: UInt64) throws {
        let network = SimulatedNetwork(seed: seed)
        let echo = try Echo(network, client, server, count: 1, bytes: 200_000)
        #expect(try echo.run(.microseconds(100 * Int64(seed))) == .timeUp)
        let before = echo.clients[0].received
        network.setLink(
            from: server, to: client,
            {
                var link = network.link(from: server, to: client)
                link.isDown = true
                return link
            }())
        #expect(try echo.run(.seconds(60)) != .done)
        #expect(echo.clients[0].received == before)
        network.changeLinks(between: client, and: server) { $0.isDown = false }
        #expect(try echo.run(.seconds(300)) == .done)
        #expect(echo.clients[0].outcome == .complete)
    }

    @Test("Reset connections are seen by both ends", arguments: UInt64(0)..<20)
    func resets(seed: UInt64) throws {
        let network = SimulatedNetwork(seed: seed)
        let echo = try Echo(network, client, server, count: 3, bytes: 300_000)
        try echo.run(.milliseconds(3))
        #expect(network.resetConnections(between: client, and: server) == 3)
        #expect(network.resetConnections(between: client, and: server) == 0)
        #expect(try echo.run() == .done)
        try echo.server.turn(until: nil)
        try echo.server.turn(until: nil)
        try echo.server.turn(until: nil)
        for client in echo.clients {
            #expect(client.outcome == .failed(.connectionReset) || client.outcome == .failed(.brokenPipe))
        }
        #expect(echo.server.failures.count == 3)
    }

    @Test("A crashed host lets its peers know, and its next program starts afresh")
    func crash() throws {
        let network = SimulatedNetwork(seed: 3)
        let echo = try Echo(network, client, server, count: 1, bytes: 1_000_000)
        try echo.run(.milliseconds(3))
        network.crash(host: server)
        #expect(try echo.run() == .done)
        #expect(echo.clients[0].outcome != .complete && echo.clients[0].outcome != .wrongBytes)
        let again = try Echo(network, client, server, count: 1, bytes: 1000)
        try again.run()
        #expect(again.clients[0].outcome == .complete)
        #expect(network.mistakes == [])
    }

    @Test("Refusals and resets come as often as asked for")
    func chances() throws {
        let network = SimulatedNetwork(seed: 4)
        network.changeLinks(between: client, and: server) { $0.refusalChance = 0.5 }
        let echo = try Echo(network, client, server, count: 200, bytes: 10)
        try echo.run()
        let refused = echo.clients.filter { $0.outcome == .failed(.connectionRefused) }.count
        #expect((60...140).contains(refused))
        #expect(echo.clients.filter { $0.outcome == .complete }.count == 200 - refused)
    }

    @Test("A full backlog holds connections back, and running out of descriptors leaves them queued")
    func backlogAndDescriptors() throws {
        let network = SimulatedNetwork(seed: 5, quirks: .none)
        let kernel = network.kernel(host: server)
        let listener = try kernel.listen(server, reusePort: false, backlog: 2)
        let near = network.kernel(host: client)
        for _ in 0..<3 { _ = near.connect(server) }
        network.advance(to: network.now.advanced(by: .milliseconds(10)))
        network.setDescriptorsMax(1, host: server)
        #expect(kernel.accept(listener) == .failed(.tooManyDescriptors))
        network.setDescriptorsMax(10, host: server)
        var accepted = 0
        while case .accepted = kernel.accept(listener) { accepted += 1 }
        #expect(accepted == 2)
        network.advance(to: network.now.advanced(by: .seconds(2)))
        while case .accepted = kernel.accept(listener) { accepted += 1 }
        #expect(accepted == 3)
    }

    @Test("Ports are taken, shared and probed as on Linux")
    func ports() throws {
        let kernel = SimulatedNetwork(seed: 1).kernel(host: server)
        let orphan = SimulatedNetwork(seed: 1)
        let live = orphan.kernel(host: server)
        let first = try live.listen(server, reusePort: true)
        let second = try live.listen(server, reusePort: true)
        #expect(throws: SystemErrno.addressInUse) { try live.probe(server) }
        live.close(first)
        live.close(second)
        #expect(throws: Never.self) { try live.probe(server) }
        #expect(throws: SystemErrno.addressNotAvailable) { try live.listen(client, reusePort: false) }
        // Its network is gone.
        #expect(throws: SystemErrno.networkDown) { try kernel.listen(server, reusePort: false) }
        live.close(first)
        #expect(orphan.mistakes.count == 1)
    }

    @Test("A loop's deadlines move the clock, and only they do when nothing else happens")
    func deadlines() throws {
        let network = SimulatedNetwork(seed: 1)
        let sleeper = try Sleeper(network.kernel(host: client))
        let start = network.now
        let end = network.run(until: start.advanced(by: .seconds(10))) { sleeper.turn() }
        #expect(end == .timeUp)
        #expect(sleeper.fired == (1...9).map { start.advanced(by: .milliseconds(1050 * $0)) })
        #expect(network.now == start.advanced(by: .seconds(10)))
        sleeper.isStopped = true
        #expect(network.run(until: .distantFuture) { sleeper.turn() } == .idle)
        sleeper.waker.wake()
        #expect(network.run(until: .distantFuture, turnsMax: 10) { sleeper.wakeAndTurn() } == .busy)
    }

    /// A loop with a timer that comes back.
    private final class Sleeper {
        var isStopped = false
        private(set) var fired: [MonotonicInstant] = []
        private var loop: EventLoop
        private var wheel: TimerWheel

        init(_ kernel: Kernel) throws {
            loop = try EventLoop(kernel: kernel)
            wheel = TimerWheel(capacity: 1, now: loop.now)
            schedule()
        }

        var waker: Waker { loop.waker }

        private func schedule() {
            _ = wheel.schedule(at: loop.now.advanced(by: .milliseconds(1050)), token: Token(rawValue: 1))
        }

        func turn() {
            _ = loop.wait(until: wheel.nextDeadline)
            while wheel.popExpired(now: loop.now) != nil {
                fired.append(loop.now)
                if !isStopped { schedule() }
            }
        }

        func wakeAndTurn() {
            turn()
            loop.waker.wake()
        }
    }
}
