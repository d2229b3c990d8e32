import MeshPrimitives
import Reactor
import Simulation
import Testing

/// The simulated kernel is worth what it has in common with Linux: one script on both, and the same lines from both.
@Suite("Simulated kernel against Linux") struct ConformanceTests {
    /// A connection between two sockets under watch of one loop, and what is seen of it.
    private final class Script {
        let kernel: Kernel
        private(set) var lines: [String] = []
        private(set) var client = Descriptor.none
        private(set) var server = Descriptor.none
        private let listener: Descriptor
        private let address: SocketAddress
        private var loop: EventLoop
        private let settle: () -> Void

        init(_ kernel: Kernel, settle: @escaping () -> Void) throws {
            (self.kernel, self.settle) = (kernel, settle)
            loop = try EventLoop(kernel: kernel)
            listener = try kernel.listen(SocketAddress(ipv4: 127, 0, 0, 1, port: 0), reusePort: false)
            address = try kernel.localAddress(listener)
        }

        /// A line with the last readiness of each end that had an event since the last time.
        func events(of end: Descriptor? = nil) {
            var found = ["", ""]
            var quiet = 0
            while quiet < 2 {
                settle()
                let count = loop.wait(until: loop.kernel.now().advanced(by: .milliseconds(2)))
                quiet = count == 0 ? quiet + 1 : 0
                for index in 0..<count {
                    let event = loop.event(at: index)
                    var text = event.token.rawValue == 0 ? " client:" : " server:"
                    for (name, bit) in [
                        ("in", Readiness.readable), ("out", .writable), ("rdhup", .readClosed),
                        ("hup", .hangup),
                        ("err", .error),
                    ] where event.readiness.contains(bit) { text += " \(name)" }
                    found[Int(event.token.rawValue)] = text
                }
            }
            if end == client { found[1] = "" }
            lines.append("events" + found.joined())
        }

        func connect() throws {
            switch kernel.connect(address) {
            case .connected(let descriptor), .inProgress(let descriptor): client = descriptor
            case .failed(let code): throw code
            }
            settle()
            try loop.watch(client, Token(rawValue: 0))
            while true {
                settle()
                if case .accepted(let descriptor, _) = kernel.accept(listener) {
                    server = descriptor
                    break
                }
            }
            try loop.watch(server, Token(rawValue: 1))
            events()
        }

        func connectToNobody() throws {
            kernel.close(listener)
            guard case .inProgress(let descriptor) = kernel.connect(address) else { return }
            client = descriptor
            try loop.watch(client, Token(rawValue: 0))
            events()
            lines.append("result \(kernel.connectResult(client).map { "\($0)" } ?? "connected")")
        }

        func send(_ descriptor: Descriptor, _ text: StaticString) {
            lines.append("send \(kernel.send(descriptor, ByteView(text)))")
        }

        /// Writes until nothing fits any more.
        func fill(_ descriptor: Descriptor) {
            [UInt8](repeating: 1, count: 100_000).withByteView { bytes in
                while case .bytes = kernel.send(descriptor, bytes) { settle() }
            }
        }

        func receive(_ descriptor: Descriptor) {
            var pool = BufferPool()
            var buffer = pool.take(2048)
            lines.append("receive \(kernel.receive(descriptor, into: &buffer)) \(buffer.view.text)")
            pool.give(&buffer)
        }

        /// Reads until nothing comes any more.
        func drain(_ descriptor: Descriptor) {
            var pool = BufferPool()
            var buffer = pool.take(64 << 10)
            var last = kernel.now()
            while kernel.now().duration(since: last) < .milliseconds(20) {
                settle()
                while case .bytes = kernel.receive(descriptor, into: &buffer) {
                    buffer.removeAll()
                    last = kernel.now()
                }
            }
            pool.give(&buffer)
        }

        func peek(_ descriptor: Descriptor) { lines.append("peek \(kernel.peek(descriptor))") }
    }

    enum Scenario: String, CaseIterable {
        case exchange, halfClose, bothClose, closeWithUnread, reset, resetBehindBytes, writeAfterFIN, refusal
        case fullBuffer, registeredLate, resetBehindFIN
    }

    private func play(_ scenario: Scenario, _ script: Script) throws {
        let kernel = script.kernel
        guard scenario != .refusal else {
            try script.connectToNobody()
            script.receive(script.client)
            script.send(script.client, "x")
            return
        }
        try script.connect()
        let (client, server) = (script.client, script.server)
        switch scenario {
        case .refusal: break
        case .exchange:
            script.send(client, "hello")
            script.events()
            script.peek(server)
            script.receive(server)
            script.receive(server)
            script.events()
            script.send(server, "world")
            script.send(server, "!")
            script.events()
            script.receive(client)
            script.send(server, "more")
            script.events()
        case .halfClose:
            script.send(client, "last")
            kernel.shutdownWrite(client)
            script.events()
            script.receive(server)
            script.receive(server)
            script.peek(server)
            script.send(client, "too late")
            script.send(server, "answer")
            script.events()
            script.receive(client)
            kernel.close(server)
            script.events()
            script.receive(client)
        case .bothClose:
            kernel.shutdownWrite(client)
            script.events()
            kernel.shutdownWrite(server)
            script.events()
            script.receive(client)
            script.receive(server)
        case .closeWithUnread:
            script.send(client, "unread")
            script.events()
            kernel.close(server)
            script.events()
            script.peek(client)
            script.receive(client)
            script.send(client, "x")
        case .reset:
            kernel.reset(server)
            script.events()
            script.send(client, "x")
            script.receive(client)
            script.send(client, "x")
        case .resetBehindBytes:
            script.send(server, "before")
            script.events()
            kernel.reset(server)
            script.events()
            script.receive(client)
            script.receive(client)
            script.receive(client)
        case .resetBehindFIN:
            kernel.shutdownWrite(client)
            script.events()
            script.receive(server)
            kernel.reset(client)
            script.events()
            script.receive(server)
            script.receive(server)
            script.send(server, "x")
            script.receive(server)
        case .writeAfterFIN:
            kernel.close(server)
            script.events()
            script.receive(client)
            script.send(client, "to nobody")
            script.events()
            script.send(client, "x")
            script.receive(client)
            script.send(client, "x")
        case .fullBuffer:
            script.fill(client)
            script.events()
            script.drain(server)
            // How much flows while the server reads is each machine's own matter, and so are its events.
            script.events(of: client)
            script.send(client, "more")
            return
        case .registeredLate:
            script.send(client, "early")
            kernel.close(client)
            script.events()
            script.receive(server)
            script.events()
            script.receive(server)
        }
        script.events()
    }

    @Test("Both say the same of the same script", arguments: Scenario.allCases)
    func agree(scenario: Scenario) throws {
        let real = try Script(LinuxKernel.make(), settle: {})
        try play(scenario, real)
        let network = SimulatedNetwork(seed: 7, quirks: .none)
        let host = SocketAddress(ipv4: 10, 0, 0, 1, port: 0)
        let simulated = try Script(network.kernel(host: host)) {
            network.advance(to: network.now.advanced(by: .milliseconds(1)))
        }
        try play(scenario, simulated)
        #expect(simulated.lines == real.lines)
    }
}
