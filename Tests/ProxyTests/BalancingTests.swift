import MeshModel
import MeshPrimitives
import TestSupport
import Testing
import TrafficPolicy

@testable import Proxy

@Suite("Requests go to the endpoints that policy, hash, subset and priority say")
struct BalancingTests {
    private func peers(_ count: Int) throws -> [HTTPPeer] {
        try (0..<count).map { number in try HTTPPeer { _ in .answer(200, body: "\(number)") } }
    }

    private func ask(_ proxy: ProxyFixture, _ fields: String = "", path: String = "/") throws -> (
        body: String, cookie: String?
    ) {
        let client = try proxy.client()
        try client.send("GET \(path) HTTP/1.1\r\nhost: h\r\n\(fields)\r\n")
        let answer = try client.readAnswer()
        return (answer.text, answer["set-cookie"])
    }

    private func hashing(_ cluster: inout Cluster, _ forward: inout Forward, _ policies: [HashPolicy]) {
        cluster.balancing.policy = .hashed
        cluster.balancing.hashing = .ring()
        forward.hashing = policies
    }

    @Test("A policy in shadow mode chooses too, and the choices are compared", arguments: [true, false])
    func shadow(isSame: Bool) throws {
        let peers = try peers(3)
        defer { withExtendedLifetime(peers) {} }
        let proxy = try ProxyFixture(peers) { _, cluster, _ in
            // Whose turn it is begins at random; where one endpoint is left both say that one.
            cluster.shadowBalancing = .random
            if isSame { cluster.localities[0].endpoints.removeLast(2) }
        }
        var counts: [String: Int] = [:]
        for _ in 0..<30 { counts[try ask(proxy).body, default: 0] += 1 }
        #expect(counts == (isSame ? ["0": 30] : ["0": 10, "1": 10, "2": 10]))
        let same = proxy.count(.shadowLbSame)
        #expect(same + proxy.count(.shadowLbOther) == 30)
        #expect(isSame ? same == 30 : same < 30)
        if isSame { #expect(proxy.lastRecord?.shadows == []) }
    }

    @Test("The same header leads to the same endpoint, other headers to others")
    func header() throws {
        let peers = try peers(4)
        defer { withExtendedLifetime(peers) {} }
        let proxy = try ProxyFixture(peers) { _, cluster, forward in
            hashing(&cluster, &forward, [HashPolicy(.header("x-user", rewrite: nil))])
        }
        var seen: Set<String> = []
        for user in 0..<24 {
            let first = try ask(proxy, "x-user: user-\(user)\r\n").body
            #expect(try ask(proxy, "x-user: user-\(user)\r\n").body == first)
            seen.insert(first)
        }
        #expect(seen.count == 4)
    }

    @Test("A cookie that is made leads where its first request went")
    func cookie() throws {
        let peers = try peers(4)
        defer { withExtendedLifetime(peers) {} }
        let proxy = try ProxyFixture(peers) { _, cluster, forward in
            var cookie = HashPolicy.Cookie(name: "sid", lifetime: .seconds(60), path: "/p")
            cookie.attributes = [HashPolicy.Attribute(name: "Secure", value: "")]
            hashing(&cluster, &forward, [HashPolicy(.cookie(cookie))])
        }
        let first = try ask(proxy)
        let cookie = try #require(first.cookie)
        #expect(cookie.hasSuffix("; Max-Age=60; Path=/p; Secure; HttpOnly"))
        let pair = String(cookie.prefix { $0 != ";" })
        for _ in 0..<5 {
            let again = try ask(proxy, "cookie: a=b; \(pair)\r\n")
            #expect(again.body == first.body && again.cookie == nil)
        }
    }

    @Test("When an endpoint comes most keys stay where they were")
    func stickiness() throws {
        let peers = try peers(5)
        let proxy = try ProxyFixture(Array(peers.prefix(4))) { _, cluster, forward in
            hashing(&cluster, &forward, [HashPolicy(.queryParameter("k"))])
        }
        let before = try (0..<60).map { try ask(proxy, path: "/?k=\($0)").body }
        var configuration = try #require(proxy.server.snapshot?.configuration)
        configuration.clusters[0].localities[0].endpoints.append(ProxyFixture.endpoint(peers[4].port))
        try proxy.server.apply(configuration)
        let after = try (0..<60).map { try ask(proxy, path: "/?k=\($0)").body }
        let moved = zip(before, after).filter { $0 != $1 }
        // A fifth goes to the newcomer; a ring of about the same size takes some points from each of the others.
        #expect(moved.contains { $0.1 == "4" } && moved.count < 30)
    }

    @Test("A route's subset takes its requests, and its retries stay in it")
    func subsets() throws {
        let peers = try peers(3)
        defer { withExtendedLifetime(peers) {} }
        let proxy = try ProxyFixture(peers) { _, cluster, forward in
            cluster.balancing.subsets = SubsetSettings([SubsetSettings.Selector(["v"])])
            for index in 0..<3 {
                cluster.localities[0].endpoints[index].metadata = ["v": .string(index == 0 ? "old" : "new")]
            }
            forward.subset = ["v": .string("new")]
        }
        let bodies = try (0..<12).map { _ in try ask(proxy).body }
        #expect(Set(bodies) == ["1", "2"])
        try proxy.expect(.lbSubsetsSelected, 12)
    }

    @Test("A request that no subset takes is refused as if nobody were there")
    func noSubset() throws {
        let peers = try peers(2)
        defer { withExtendedLifetime(peers) {} }
        let proxy = try ProxyFixture(peers) { _, cluster, forward in
            cluster.balancing.subsets = SubsetSettings([SubsetSettings.Selector(["v"])])
            forward.subset = ["v": .string("none")]
        }
        #expect(try ask(proxy).body == "no healthy upstream")
        try proxy.expect(.lbSubsetsFallback, 1)
    }

    @Test("Discovery's word on health decides, and a panic is counted")
    func panic() throws {
        let peers = try peers(3)
        defer { withExtendedLifetime(peers) {} }
        let proxy = try ProxyFixture(peers) { _, cluster, _ in
            cluster.localities[0].endpoints[0].health = .unhealthy
            cluster.localities[0].endpoints[1].health = .timeout
        }
        #expect(Set(try (0..<9).map { _ in try ask(proxy).body }).count == 3)
        try proxy.expect(.lbHealthyPanic, 9)
    }

    @Test("An endpoint that drains gets nothing, and does not count as lost")
    func draining() throws {
        let peers = try peers(3)
        defer { withExtendedLifetime(peers) {} }
        let proxy = try ProxyFixture(peers) { _, cluster, _ in
            cluster.localities[0].endpoints[0].health = .draining
            cluster.localities[0].endpoints[1].health = .unhealthy
        }
        #expect(Set(try (0..<9).map { _ in try ask(proxy).body }) == ["2"])
        #expect(proxy.count(.lbHealthyPanic) == 0)
    }

    @Test("Latency leads away from a slow endpoint")
    func latency() throws {
        let slow = try HTTPPeer { _ in .delayed(0.03, .answer(200, body: "slow")) }
        let quick = try HTTPPeer { _ in .answer(200, body: "quick") }
        let proxy = try ProxyFixture([slow, quick]) { _, cluster, _ in
            cluster.balancing.policy = .peakEWMA(PeakEWMASettings())
        }
        let bodies = try (0..<20).map { _ in try ask(proxy).body }
        withExtendedLifetime((slow, quick)) {}
        #expect(bodies.count { $0 == "quick" } >= 17)
    }
}
