import MeshModel
import MeshPrimitives
import TestSupport
import Testing

@testable import Proxy

@Suite("What endpoints are told by name: server names, and the names of fields")
struct UpstreamNameTests {
    /// A server that answers with the name of the filter chain that it took by the server name asked for; `other` has
    /// the certificate of `a.example`.
    private func server(_ fixture: TLSFixture) throws -> ProxyFixture {
        var configuration = ProxyFixture.configuration(endpoints: [])
        var chains: [FilterChain] = []
        for name in ["a.example", "b.example", "other"] {
            let owner = name == "other" ? "a.example" : name
            let leaf = try fixture.certificates.makeLeaf(
                name, by: "root", uri: "spiffe://mesh/x", dns: owner)
            var chain = configuration.listeners[0].filterChains[0]
            chain.name = name
            chain.tls = DownstreamTLS(settings: try fixture.settings(leaf, verifies: false))
            if name != "other" { chain.match.serverNames = [name] }
            guard case .http(var manager) = chain.network else { continue }
            manager.routes = .routes(
                RouteConfiguration(
                    name: "routes",
                    virtualHosts: [
                        VirtualHost(name: "all", domains: ["*"], routes: [.direct(.prefix("/"), name)])
                    ]))
            chain.network = .http(manager)
            chains.append(chain)
        }
        configuration.listeners[0].filterChains = chains
        configuration.listeners[0].inspectsTLS = true
        return try ProxyFixture(configuration)
    }

    private func proxy(
        _ server: ProxyFixture, _ fixture: TLSFixture, change: (inout Cluster, inout Forward) -> Void
    ) throws -> ProxyFixture {
        let settings = try fixture.settings(nil)
        return try ProxyFixture(
            ProxyFixture.configuration(endpoints: [server.port]) { _, cluster, forward in
                cluster.tls = UpstreamTLS(settings: settings)
                change(&cluster, &forward)
            })
    }

    private func ask(_ client: TCPStream, _ host: String) throws -> String {
        try client.sendRequest("GET", "/", host: host)
        let answer = try client.readAnswer()
        return answer.status == 200 ? answer.text : "\(answer.status)"
    }

    @Test("With auto_sni the server is asked for the host, and each name has its own connections")
    func serverNames() throws {
        let fixture = try TLSFixture()
        let server = try server(fixture)
        let proxy = try proxy(server, fixture) { cluster, _ in cluster.setsSNIFromHost = true }
        let client = try proxy.client()
        for _ in 0..<2 {
            for (host, wanted) in [
                ("a.example", "a.example"), ("B.example:8080", "b.example"), ("127.0.0.1:80", "other"),
                ("c.example", "other"),
            ] {
                #expect(try ask(client, host) == wanted)
            }
        }
        #expect(proxy.count(.upstreamCxTotal) == 4)
        let rewriting = try self.proxy(server, fixture) { cluster, forward in
            cluster.setsSNIFromHost = true
            forward.hostRewrite = .literal("b.example")
        }
        #expect(try ask(try rewriting.client(), "a.example") == "b.example")
    }

    @Test("With auto_san_validation the certificate must be for the host")
    func certificates() throws {
        let fixture = try TLSFixture()
        let server = try server(fixture)
        let proxy = try proxy(server, fixture) { cluster, _ in
            cluster.setsSNIFromHost = true
            cluster.validatesSANFromHost = true
        }
        let client = try proxy.client()
        #expect(try ask(client, "a.example") == "a.example")
        #expect(try ask(client, "b.example:1") == "b.example")
        #expect(try ask(client, "c.example") == "503")
        #expect(try ask(client, "127.0.0.1") == "503")
        #expect(try ask(client, "a.example") == "a.example")
        let record = try eventually("a record") { proxy.lastRecord }
        #expect(record.status == 200)
    }

    @Test("Names keep their case, or words get a capital, by the side that the message comes from or goes to")
    func fieldNames() throws {
        func lines(
            _ downstream: HTTPConnectionManager.HeaderKeyFormat,
            _ upstream: HTTPConnectionManager.HeaderKeyFormat
        ) throws -> (request: [String], answer: [String]) {
            let peer = try HTTPPeer { _ in .answer(200, fields: [("X-oNe2-two", "1")]) }
            let proxy = try ProxyFixture([peer]) { manager, cluster, _ in
                manager.headerKeyFormat = downstream
                cluster.headerKeyFormat = upstream
            }
            let client = try proxy.client()
            try client.sendRequest("GET", "/", fields: [("x_tHree$four", "1")])
            let answer = try client.readAnswer()
            let seen = try #require(peer.requests.first?.message)
            return (seen.fields.map(\.name), answer.fields.map(\.name))
        }
        let plain = try lines(.lowercase, .lowercase)
        #expect(plain.request.contains("x_three$four") && plain.answer.contains("x-one2-two"))
        let words = try lines(.properCase, .properCase)
        #expect(words.request.contains("X_Three$Four") && words.request.contains("X-Forwarded-Proto"))
        #expect(words.answer.contains("X-One2-Two") && words.answer.contains("X-Envoy-Upstream-Service-Time"))
        let requests = try lines(.preserveCase, .properCase)
        #expect(requests.request.contains("x_tHree$four") && requests.answer.contains("x-one2-two"))
        let answers = try lines(.properCase, .preserveCase)
        #expect(answers.request.contains("x_three$four") && answers.answer.contains("X-oNe2-two"))
    }
}
