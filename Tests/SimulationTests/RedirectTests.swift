import MeshModel
import MeshPrimitives
import Reactor
import Simulation
import Testing

@testable import Proxy

@Suite("Connections that were redirected here")
struct RedirectTests {
    private static let callerHost = SocketAddress(ipv4: 10, 0, 0, 1, port: 0)
    private static let proxyHost = SocketAddress(ipv4: 10, 0, 0, 2, port: 15001)

    /// What the proxy on its host says to a request that was sent to `port` there.
    private func ask(port: UInt16, handsOff: Bool) throws -> String? {
        let network = SimulatedNetwork(seed: 7)
        func listener(_ name: String, _ address: SocketAddress, _ text: String) -> Listener {
            let route = Route(
                match: RouteMatch(path: .prefix("/")), action: .direct(status: 200, body: Array(text.utf8)))
            let host = VirtualHost(name: "all", domains: ["*"], routes: [route])
            let manager = HTTPConnectionManager(
                statPrefix: name, routes: .routes(RouteConfiguration(name: name, virtualHosts: [host])))
            return Listener(
                name: name, address: address, filterChains: [FilterChain(network: .http(manager))])
        }
        var front = listener("front", Self.proxyHost, "front")
        (front.readsOriginalDestination, front.handsOffRedirected) = (true, handsOff)
        var exact = listener("exact", SocketAddress(ipv4: 10, 0, 0, 2, port: 80), "exact")
        var any = listener("any", SocketAddress(ipv4: 0, 0, 0, 0, port: 81), "any")
        (exact.isBound, any.isBound) = (false, false)
        let kernel = network.kernel(host: Self.proxyHost)
        let server = try ProxyServer(kernel: kernel, workers: 1, log: ProcessLog(level: .off, kernel: kernel))
        var worker = try Worker(index: 0, kernel: kernel, process: server.process)
        server.process.register(worker.loop.waker, worker: 0)
        try server.apply(Configuration(listeners: [front, exact, any], clusters: []))
        network.redirectConnections(to: 15001, host: Self.proxyHost)

        var caller = try EventLoop(kernel: network.kernel(host: Self.callerHost))
        var target = Self.proxyHost
        target.port = port
        guard case .inProgress(let descriptor) = caller.kernel.connect(target) else { return nil }
        try caller.watch(descriptor, Token(rawValue: 1))
        var wire = Wire(descriptor, isConnected: false)
        wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        var pool = BufferPool()
        var buffer = pool.take(BufferPool.sizes.large)
        var body: String?
        _ = network.run(
            until: network.now.advanced(by: .seconds(5)), while: { body == nil },
            turn: {
                worker.turn()
                for index in 0..<caller.wait(until: nil) {
                    wire.advance(caller.event(at: index).readiness, caller.kernel, &buffer)
                }
                if case .complete(let message, _) = WireMessage.read(wire.input), !message.firstLine.isEmpty {
                    body = String(decoding: message.body, as: UTF8.self)
                }
            })
        pool.give(&buffer)
        caller.kernel.close(descriptor)
        worker.shutDown()
        return body
    }

    @Test(
        "The listener of the address that was asked for takes them, else the one that they came to",
        arguments: [(80, "exact"), (81, "any"), (82, "front"), (15001, "front")] as [(UInt16, String)])
    func handingOff(port: UInt16, name: String) throws {
        #expect(try ask(port: port, handsOff: true) == name)
        #expect(try ask(port: port, handsOff: false) == "front")
    }
}
