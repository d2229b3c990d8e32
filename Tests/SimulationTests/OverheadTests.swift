import MeshPrimitives
import Reactor
import Simulation
import Telemetry
import Testing

@testable import Proxy

@Suite("The time that a proxy itself takes")
struct OverheadTests {
    private static let callerHost = SocketAddress(ipv4: 10, 0, 0, 1, port: 0)
    private static let host = SocketAddress(ipv4: 10, 0, 0, 2, port: 15001)
    private static let originHost = SocketAddress(ipv4: 10, 0, 0, 4, port: 8080)

    /// Requests that were answered, and what the proxy's histogram has of them.
    private func run(cost: Duration) throws -> (answered: Int, histogram: HistogramSnapshot) {
        let network = SimulatedNetwork(seed: 7)
        let origin = try Origin(network.kernel(host: Self.originHost), at: Self.originHost, seed: 1)
        let sidecar = try Sidecar(
            network.kernel(host: Self.host), at: Self.host, to: Self.originHost, isHTTP2: false,
            connectionsMax: 8, requestsMax: 8)
        network.setCallCost(cost, host: Self.host)
        let caller = try Caller(
            network.kernel(host: Self.callerHost), to: Self.host, lanes: 3, requests: 6, seed: 2)
        let end = network.run(
            until: network.now.advanced(by: .seconds(600)), while: { !caller.isDone },
            turn: {
                caller.turn(wakeAt: .distantFuture)
                sidecar.turn()
                origin.turn()
            })
        #expect(end == .done)
        let histogram = sidecar.server.process.registry.snapshot().histogram(.overhead)
        sidecar.worker.shutDown()
        return (caller.requests.count { $0.outcome != .left }, try #require(histogram))
    }

    @Test("It is no part of it what the network, the origin and the caller take")
    func others() throws {
        let (answered, histogram) = try run(cost: .zero)
        #expect(answered > 9)
        #expect(histogram.count >= UInt64(answered) && histogram.sum == 0)
    }

    @Test("What the proxy's own work takes is counted for each request, head and answer")
    func own() throws {
        let (answered, histogram) = try run(cost: .microseconds(3))
        #expect(histogram.count >= UInt64(answered))
        // A head is read and an answer written; of most requests both are read and written. Bodies on their way are no
        // part of it.
        let (least, middle) = (histogram.value(atPercent: 0) ?? 0, histogram.value(atPercent: 50) ?? 0)
        #expect(least >= 5 && middle >= 10, "\(least) and \(middle) µs")
        #expect(histogram.sum / Double(histogram.count) < 200, "\(histogram.sum) µs of \(histogram.count)")
    }
}
