import MeshConfig
import Testing
import XDSMessages

@testable import ConfigCompiler

@Suite("GRPCRoute")
struct GRPCRouteTests {
    private let services =
        Bench.service("quotes", "{name: grpc, port: 80, appProtocol: grpc}, {name: web, port: 81}")
        + Bench.service("quotes-v1", "{port: 80, appProtocol: grpc}")
        + Bench.service("quotes-v2", "{port: 80, appProtocol: grpc}")

    private func route(_ rules: String, name: String = "quotes") -> String {
        Bench.route("quotes", rules).replacing("kind: HTTPRoute", with: "kind: GRPCRoute")
            .replacing("metadata: {name: quotes}", with: "metadata: {name: \(name)}")
    }

    private func routes(_ rules: String, _ more: String = "", isMartlet: Bool = true) throws -> [Route] {
        try Bench(services + route(rules) + more).routes("quotes", for: Bench.node(isMartlet: isMartlet))
    }

    private let to = "backendRefs: [{name: quotes, port: 80}]"

    @Test("Services and methods become paths of POSTs of application/grpc, which Envoy takes too")
    func matches() throws {
        let rules = """
            {matches: [{method: {service: shop.v1.Quotes, method: Get}}], \(to)},
            {matches: [{method: {service: shop.v1.Quotes}}], \(to)},
            {matches: [{method: {method: Get}}], \(to)},
            {matches: [{method: {type: RegularExpression, service: 'shop[.].*', method: 'Get|List'}}], \(to)},
            {matches: [{headers: [{name: x-team, value: a}]}], \(to)},
            {\(to)}
            """
        for isMartlet in [true, false] {
            let routes = try routes(rules, isMartlet: isMartlet)
            #expect(routes.allSatisfy { $0.match.hasGrpc })
            #expect(routes.allSatisfy { $0.match.headers.first?.stringMatch.exact == "POST" })
            #expect(
                routes.map { "\($0.match.path)\($0.match.pathSeparatedPrefix)\($0.match.safeRegex.regex)" }
                    == [
                        "/shop.v1.Quotes/Get", "/shop.v1.Quotes", "/(?:shop[.].*)/(?:Get|List)",
                        "/[^/]+/(?:Get)",
                        "", "",
                    ])
            #expect(routes[4].match.headers.map(\.name) == [":method", "x-team"])
        }
    }

    @Test("The longest service is asked first, then the longest method, then most headers")
    func precedence() throws {
        let routes = try routes(
            """
            {name: all, \(to)},
            {name: method, matches: [{method: {method: GetTheLongestOfAll}}], \(to)},
            {name: header, matches: [{method: {service: a.B}, headers: [{name: a, value: b}]}], \(to)},
            {name: service, matches: [{method: {service: a.B}}], \(to)},
            {name: both, matches: [{method: {service: a.B, method: C}}], \(to)},
            {name: long, matches: [{method: {service: a.Bcd}}], \(to)}
            """)
        #expect(
            routes.map(\.name).map { $0.split(separator: "/").last }
                == ["long", "both", "header", "service", "method", "all"])
    }

    @Test("Weights, filters of rules and backends, mirrors and sessions are those of an HTTPRoute")
    func rules() throws {
        let routes = try routes(
            """
            {name: split, filters: [
              {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}]}},
              {type: RequestMirror, requestMirror: {backendRef: {name: quotes-v2, port: 80}, percent: 10}}],
             backendRefs: [{name: quotes-v1, port: 80, weight: 3, filters: [
               {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [x-inner]}}]},
              {name: quotes-v2, port: 80, weight: 1}]}
            """)
        let clusters = routes[0].route.weightedClusters.clusters
        #expect(clusters.map(\.weight.value) == [3, 1] && clusters[0].responseHeadersToRemove == ["x-inner"])
        #expect(routes[0].requestHeadersToAdd.map(\.header.key) == ["a"])
        #expect(routes[0].route.requestMirrorPolicies.map(\.cluster) == ["outbound|80|default/quotes-v2"])
    }

    @Test(
        "Policies are about the route or a rule of it, and the port that does not speak HTTP/2 has no such route"
    )
    func policies() throws {
        let policies =
            Bench.policy("TimeoutPolicy", "kind: GRPCRoute, name: quotes", "request: 9s")
            + Bench.policy("RetryPolicy", "kind: GRPCRoute, name: quotes, sectionName: b", "attempts: 5")
            + Bench.policy(
                "RateLimitPolicy", "kind: GRPCRoute, name: quotes, sectionName: b", "local: {requests: 3}")
        let text =
            services
            + route("{name: a, matches: [{method: {service: a.B}}], \(to)}, {name: b, \(to)}") + policies
        let bench = try Bench(text)
        let routes = try bench.routes("quotes", for: Bench.node())
        #expect(routes.map(\.route.timeout.seconds) == [9, 9])
        #expect(routes.map(\.route.retryPolicy.numRetries.value) == [2, 5])
        #expect(
            routes.map { $0.typedPerFilterConfig["envoy.filters.http.local_ratelimit"] != nil } == [
                false, true,
            ])
        let web = try #require(try bench.virtualHosts(for: Bench.node()).first { $0.name.contains("|81|") })
        #expect(web.routes.map(\.name) == ["default"])
    }

    @Test("Of an HTTPRoute and a GRPCRoute at one port the older holds; where they do not meet, both do")
    func bothKinds() throws {
        let http = Bench.route("quotes", "{name: http, backendRefs: [{name: quotes, port: 81}]}")
            .replacing("metadata: {name: quotes}", with: "metadata: {name: web}")
        let bench = try Bench(services + route("{name: grpc, \(to)}") + http)
        let grpcID = ResourceID(kind: .grpcRoute, namespace: "default", name: "quotes")
        let httpID = ResourceID(kind: .httpRoute, namespace: "default", name: "web")
        func names(_ firstSeen: [ResourceID: Int]) throws -> (names: [String], PolicyIndex) {
            let policies = PolicyIndex(bench.specification, firstSeen: firstSeen)
            let compiler = ConfigCompiler(
                specification: bench.specification, policies: policies, workloads: [], trustBundlePEM: "B")
            let hosts = RouteCompiler(compiler, try Bench.node().proxyClass).outbound().virtualHosts
            return (hosts.filter { $0.name.hasSuffix("/quotes") }.flatMap { $0.routes.map(\.name) }, policies)
        }
        let (younger, index) = try names([grpcID: 1, httpID: 2])
        #expect(younger == ["default/quotes/grpc", "default/web/http"])
        #expect(index.conflicts == [httpID: grpcID])
        let (older, other) = try names([grpcID: 2, httpID: 1])
        #expect(older == ["default/web/http", "default/web/http"] && other.conflicts == [grpcID: httpID])
        let apart = try Bench(
            services + route("{name: grpc, \(to)}")
                + http.replacing("name: quotes}]", with: "name: quotes, sectionName: web}]"))
        #expect(PolicyIndex(apart.specification).conflicts.isEmpty)
    }
}
