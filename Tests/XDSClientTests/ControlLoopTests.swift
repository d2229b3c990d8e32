import MeshPrimitives
import Reactor
import Testing

@testable import XDSClient

@Suite("ControlLoop")
struct ControlLoopTests {
    @Test("Timers fire in order, none before its time, and a cancelled one never")
    func timers() throws {
        let loop = try ControlLoop(kernel: LinuxKernel.make())
        var fired: [Int] = []
        loop.after(.milliseconds(4)) { fired.append(2) }
        loop.after(.milliseconds(2)) { fired.append(1) }
        loop.cancel(loop.after(.milliseconds(1)) { fired.append(0) })
        let start = loop.now
        loop.run(until: start.advanced(by: .seconds(5))) { fired.count < 2 }
        #expect(fired == [1, 2])
        #expect(loop.now.duration(since: start) >= .milliseconds(4))
    }

    @Test("Messages of another thread are handled on the loop's, in order, and no more than fit")
    func inbox() throws {
        let loop = try ControlLoop(kernel: LinuxKernel.make())
        var seen: [Int] = []
        let inbox = loop.makeInbox(countMax: 3) { (message: Int) in seen.append(message) }
        let thread = try WorkerThread.start(name: "poster") {
            for number in 0..<5 { inbox.post(number) }
        }
        thread.join()
        loop.run(until: loop.now.advanced(by: .seconds(5))) { seen.count < 3 }
        #expect(seen == [0, 1, 2])
        loop.remove(inbox)
        #expect(inbox.post(9))
        loop.turn(until: .zero)
        #expect(seen == [0, 1, 2])
    }

    @Test("A cancelled registration hears nothing, not even what the turn had found")
    func registrations() throws {
        let kernel = LinuxKernel.make()
        let loop = try ControlLoop(kernel: kernel)
        let listener = try kernel.listen(SocketAddress(ipv4: 127, 0, 0, 1, port: 0), reusePort: false)
        defer { kernel.close(listener) }
        let address = try kernel.localAddress(listener)
        var events = 0
        let registration = try loop.register(listener, readableOnly: true) { _ in events += 1 }
        guard case .inProgress(let client) = kernel.connect(address) else { return }
        defer { kernel.close(client) }
        loop.run(until: loop.now.advanced(by: .seconds(5))) { events == 0 }
        #expect(events == 1)
        loop.cancel(registration)
        guard case .inProgress(let second) = kernel.connect(address) else { return }
        defer { kernel.close(second) }
        loop.turn(until: loop.now.advanced(by: .milliseconds(5)))
        #expect(events == 1)
    }

    @Test("What is left for the end of the turn runs once, after everything else")
    func endOfTurn() throws {
        let loop = try ControlLoop(kernel: LinuxKernel.make())
        var order: [String] = []
        loop.atEndOfTurn { order.append("end") }
        loop.poster.post { loop in loop.stop() }
        loop.after(.zero) { order.append("timer") }
        loop.run()
        loop.turn(until: .zero)
        #expect(order.filter { $0 == "end" }.count == 1)
    }
}
