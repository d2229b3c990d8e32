import MeshModel
import MeshPrimitives
import TestSupport
import Testing
import TrafficPolicy

@testable import Proxy

@Suite("What came of a gRPC call counts, wherever the answer says it")
struct GRPCStatusTests {
    private func peer(_ status: Int) throws -> HTTPPeer {
        try HTTPPeer { _ in
            .raw(
                "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n"
                    + "3\r\nabc\r\n0\r\ngrpc-status: \(status)\r\n\r\n")
        }
    }

    private func proxy(_ peer: HTTPPeer, change: (inout Cluster, inout Forward) -> Void) throws
        -> ProxyFixture
    {
        try ProxyFixture([peer]) { manager, cluster, forward in
            (manager.enablesTrailers, cluster.enablesTrailers) = (true, true)
            change(&cluster, &forward)
        }
    }

    private func ask(_ proxy: ProxyFixture, _ times: Int) throws -> [Int] {
        let client = try proxy.client()
        return try (0..<times).map { _ in
            try client.sendRequest("POST", body: "abc")
            return try client.readAnswer().status
        }
    }

    @Test("Trailers that tell of a failure open a circuit breaker, others do not", arguments: [14, 5, 0])
    func breaker(status: Int) throws {
        let peer = try peer(status)
        let proxy = try proxy(peer) { cluster, _ in
            cluster.breaker = CircuitBreakerSettings(consecutiveFailuresMax: 2)
        }
        #expect(try ask(proxy, 3) == (status == 14 ? [200, 200, 503] : [200, 200, 200]))
        #expect(peer.requests.count == (status == 14 ? 2 : 3))
    }

    @Test("They count for outlier detection where that is to read them", arguments: [true, false])
    func outliers(reads: Bool) throws {
        let peer = try peer(14)
        let proxy = try proxy(peer) { cluster, _ in
            var settings = OutlierSettings()
            (settings.consecutive5xx, settings.readsGRPCTrailers) = (2, reads)
            settings.bound = .percentOrOne
            cluster.outliers = settings
            cluster.panicThreshold = 0
        }
        #expect(try ask(proxy, 3) == (reads ? [200, 200, 503] : [200, 200, 200]))
    }

    @Test("A breaker goes with the cluster that it was for")
    func removed() throws {
        let peer = try peer(0)
        var configuration = ProxyFixture.configuration(endpoints: [peer.port]) { _, cluster, _ in
            cluster.breaker = CircuitBreakerSettings(consecutiveFailuresMax: 2)
            cluster.shadowBreaker = CircuitBreakerSettings(consecutiveFailuresMax: 2)
        }
        let proxy = try ProxyFixture(configuration)
        #expect(proxy.server.process.breakerStates().count == 2)
        configuration.clusters[0].breaker = nil
        configuration.clusters[0].shadowBreaker = nil
        try proxy.server.apply(configuration)
        #expect(proxy.server.process.breakerStates().isEmpty)
    }
}
