import MeshModel
import MeshPrimitives
import TestSupport
import Testing
import TrafficPolicy

@testable import Proxy

@Suite("Endpoints that fail are put aside, for all workers at once")
struct OutlierTests {
    private func peers() throws -> [HTTPPeer] {
        [
            try HTTPPeer { _ in .answer(503, body: "bad") },
            try HTTPPeer { _ in .answer(200, body: "one") },
            try HTTPPeer { _ in .answer(200, body: "two") },
        ]
    }

    private func proxy(
        _ peers: [HTTPPeer], mode: PolicyMode = .enforce, workers: Int = 1,
        change: (inout OutlierSettings) -> Void = { _ in }
    ) throws -> ProxyFixture {
        try ProxyFixture(peers, workers: workers) { _, cluster, _ in
            var settings = OutlierSettings()
            settings.consecutive5xx = 3
            settings.ejectionPercentMax = 50
            change(&settings)
            (cluster.outliers, cluster.outliersMode) = (settings, mode)
        }
    }

    private func ask(_ proxy: ProxyFixture, _ times: Int) throws -> [Int] {
        let client = try proxy.client()
        return try (0..<times).map { _ in
            try client.sendRequest()
            return try client.readAnswer().status
        }
    }

    @Test("After so many failures in a row an endpoint gets nothing more, and its marks show why")
    func ejected() throws {
        let peers = try peers()
        let proxy = try proxy(peers, workers: 2)
        _ = try ask(proxy, 9)
        #expect(peers[0].requests.count == 3)
        for _ in 0..<4 { #expect(try ask(proxy, 6) == [200, 200, 200, 200, 200, 200]) }
        #expect(peers[0].requests.count == 3)
        try proxy.expect(.outlierDetectionEjectionsEnforcedConsecutive5xx, 1)
        try proxy.expect(.outlierDetectionEjectionsEnforcedTotal, 1)
        let status = try #require(proxy.server.clusterStatus().first)
        #expect(status.outliers?.ejected == 1)
        #expect(status.endpoints.map { $0.marks.contains(.ejected) } == [true, false, false])
    }

    @Test("When its time is over an endpoint comes back at the interval's end")
    func returned() throws {
        let peers = try peers()
        let proxy = try proxy(peers) { settings in
            (settings.baseEjectionTime, settings.interval) = (1_000_000, 2_000_000)
        }
        _ = try ask(proxy, 9)
        let ejected = try #require(proxy.server.clusterStatus().first?.outliers?.ejected)
        #expect(ejected == 1)
        let later = proxy.server.kernel.now().advanced(byNanoseconds: 10_000_000_000)
        let next = proxy.server.tendOutliers(at: later)
        #expect(next == later.advanced(byNanoseconds: 2_000_000))
        #expect(proxy.server.clusterStatus().first?.outliers?.ejected == 0)
        _ = try ask(proxy, 6)
        #expect(peers[0].requests.count >= 5)
    }

    @Test("In shadow nobody is put aside, but it is counted that somebody would be")
    func shadow() throws {
        let peers = try peers()
        let proxy = try proxy(peers, mode: .shadow)
        _ = try ask(proxy, 18)
        #expect(peers[0].requests.count == 6)
        try proxy.expect(.outlierDetectionEjectionsDetectedConsecutive5xx, 1)
        #expect(proxy.count(.outlierDetectionEjectionsEnforcedTotal) == 0)
    }

    @Test("Too many are not put aside, unless one always may, and never the last by our default")
    func bounds() throws {
        for (bound, ejected) in [(OutlierSettings.Bound.percent, 0), (.percentOrOne, 1)] {
            let peers = try peers()
            let proxy = try proxy(peers) { ($0.ejectionPercentMax, $0.bound) = (10, bound) }
            _ = try ask(proxy, 12)
            #expect(proxy.server.clusterStatus().first?.outliers?.ejected == ejected)
            try proxy.expect(.outlierDetectionEjectionsOverflow, 1 - ejected)
        }
        let last = try HTTPPeer { _ in .answer(500) }
        let proxy = try proxy([last]) { $0.bound = .percentOrOneNeverTheLast }
        _ = try ask(proxy, 5)
        #expect(proxy.server.clusterStatus().first?.outliers?.ejected == 0)
    }

    @Test("A new configuration with the same endpoints forgets neither ejections nor counts")
    func survives() throws {
        let peers = try peers()
        let proxy = try proxy(peers)
        _ = try ask(proxy, 9)
        var configuration = try #require(proxy.server.snapshot?.configuration)
        let extra = try HTTPPeer { _ in .answer(200, body: "new") }
        configuration.clusters[0].localities[0].endpoints.append(ProxyFixture.endpoint(extra.port))
        try proxy.server.apply(configuration)
        _ = try ask(proxy, 9)
        #expect(peers[0].requests.count == 3 && !extra.requests.isEmpty)
        #expect(proxy.server.clusterStatus().first?.outliers?.ejected == 1)
        configuration.clusters[0].outliers = nil
        try proxy.server.apply(configuration)
        _ = try ask(proxy, 8)
        #expect(peers[0].requests.count > 3)
    }
}
