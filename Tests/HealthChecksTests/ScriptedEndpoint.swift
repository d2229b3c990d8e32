import MeshPrimitives
import Reactor
import XDSClient

/// An endpoint on a loopback port, served by the test's own loop: what it says to anything that comes is what it is
/// told to say.
final class ScriptedEndpoint {
    let address: SocketAddress
    /// nil: nothing, for as long as it likes.
    var answer: String?
    var closesAfterAnswer = false
    private(set) var received: [String] = []
    private(set) var connections = 0
    private let loop: ControlLoop
    private var listener: Descriptor
    private var open: [(Descriptor, ControlLoop.Registration)] = []
    private var registration: ControlLoop.Registration?

    init(_ loop: ControlLoop, answer: String?) throws {
        (self.loop, self.answer) = (loop, answer)
        listener = try loop.kernel.listen(SocketAddress(ipv4: 127, 0, 0, 1, port: 0), reusePort: false)
        address = try loop.kernel.localAddress(listener)
        registration = try loop.register(listener, readableOnly: true) { [unowned self] _ in accept() }
    }

    private func accept() {
        while case .accepted(let descriptor, _) = loop.kernel.accept(listener) {
            connections += 1
            let registration = try? loop.register(descriptor) { [unowned self] _ in read(descriptor) }
            if let registration { open.append((descriptor, registration)) }
        }
    }

    private func read(_ descriptor: Descriptor) {
        var pool = BufferPool()
        var buffer = pool.take(BufferPool.sizes.large)
        defer { pool.give(&buffer) }
        while case .bytes = loop.kernel.receive(descriptor, into: &buffer) {
            received.append(buffer.view.text)
            buffer.removeAll()
            guard let answer else { continue }
            _ = answer.withByteView { loop.kernel.send(descriptor, $0) }
            if closesAfterAnswer { close(descriptor) }
        }
    }

    private func close(_ descriptor: Descriptor) {
        guard let index = open.firstIndex(where: { $0.0 == descriptor }) else { return }
        loop.cancel(open.remove(at: index).1)
        loop.kernel.close(descriptor)
    }

    /// The port refuses from now on.
    func stop() {
        for (descriptor, registration) in open {
            loop.cancel(registration)
            loop.kernel.close(descriptor)
        }
        open = []
        if let registration { loop.cancel(registration) }
        registration = nil
        if !listener.isNone { loop.kernel.close(listener) }
        listener = .none
    }
}
