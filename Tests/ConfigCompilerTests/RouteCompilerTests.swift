import MeshConfig
import Testing
import XDSMessages

@testable import ConfigCompiler

@Suite struct RouteCompilerTests {
    private let services = Bench.service("quotes") + Bench.service("quotes-v1") + Bench.service("quotes-v2")

    private func routes(_ rules: String, _ more: String = "") throws -> [Route] {
        try Bench(services + Bench.route("quotes", rules) + more).routes("quotes", for: Bench.node())
    }

    @Test("Callers use the short name, the long name, and either with the port")
    func domains() throws {
        let bench = try Bench(
            Bench.service(
                "orders", "{name: a, port: 8000}, {name: b, port: 80}, {name: c, port: 81, appProtocol: tcp}")
        )
        let hosts = try bench.virtualHosts(for: Bench.node())
        #expect(hosts.map(\.name) == ["outbound|8000|default/orders", "outbound|80|default/orders"])
        #expect(hosts[0].domains == ["orders:8000", "orders.default:8000"])
        #expect(hosts[1].domains == ["orders", "orders:80", "orders.default", "orders.default:80"])
        #expect(hosts.allSatisfy { $0.includeRequestAttemptCount })
    }

    @Test("A bare name means the caller's own namespace")
    func namespaces() throws {
        let bench = try Bench(
            "apiVersion: martlet.mesh/v1\nkind: Service\nmetadata: {name: orders, namespace: other}\n"
                + "spec: {ports: [{port: 80}]}\n")
        #expect(try bench.virtualHosts(for: Bench.node())[0].domains == ["orders.other", "orders.other:80"])
    }

    @Test("A route may name its port by number or by name")
    func parentPort() throws {
        let bench = try Bench(
            Bench.service("orders", "{name: web, port: 80}, {name: admin, port: 81}")
                + Bench.route("orders", "{name: a, backendRefs: [{name: orders, port: 81}]}").replacing(
                    "name: orders}]\n", with: "name: orders, sectionName: admin}]\n"))
        let hosts = try bench.virtualHosts(for: Bench.node())
        #expect(hosts.map { $0.routes.map(\.name) } == [["default"], ["default/orders/a"]])
    }

    @Test("Weights split between services; a backend of weight 0 gets nothing")
    func weights() throws {
        let routes = try routes(
            "{backendRefs: [{name: quotes-v1, port: 80, weight: 90}, {name: quotes-v2, port: 80, weight: 10}, {name: quotes, port: 80, weight: 0}]}"
        )
        let clusters = routes[0].route.weightedClusters.clusters
        #expect(clusters.map(\.name) == ["outbound|80|default/quotes-v1", "outbound|80|default/quotes-v2"])
        #expect(clusters.map(\.weight.value) == [90, 10])
    }

    @Test("Matches are asked in the order of the Gateway API")
    func precedence() throws {
        let routes = try routes(
            """
            {name: all, backendRefs: [{name: quotes, port: 80}]},
            {name: long, matches: [{path: {value: /api/v1}}], backendRefs: [{name: quotes, port: 80}]},
            {name: short, matches: [{path: {value: /api}}], backendRefs: [{name: quotes, port: 80}]},
            {name: header, matches: [{path: {value: /api}, headers: [{name: a, value: b}]}], backendRefs: [{name: quotes, port: 80}]},
            {name: method, matches: [{path: {value: /api}, method: POST}], backendRefs: [{name: quotes, port: 80}]},
            {name: exact, matches: [{path: {type: Exact, value: /a}}], backendRefs: [{name: quotes, port: 80}]}
            """)
        #expect(
            routes.map(\.name).map { $0.split(separator: "/").last }
                == ["exact", "long", "method", "header", "short", "all"])
        #expect(routes[1].match.pathSeparatedPrefix == "/api/v1")
        #expect(routes[5].match.prefix == "/")
        #expect(routes[2].match.headers.map { "\($0.name)=\($0.stringMatch.exact)" } == [":method=POST"])
    }

    @Test("The rule's own times beat policies, and a policy about the rule beats both")
    func timeouts() throws {
        let policies =
            Bench.policy("TimeoutPolicy", "kind: Service, name: quotes", "request: 9s, perTry: 8s")
            + Bench.policy(
                "RetryPolicy", "kind: HTTPRoute, name: quotes, sectionName: b",
                "perTryTimeout: 1s, attempts: 5")
        let routes = try routes(
            """
            {name: a, matches: [{path: {value: /a}}], timeouts: {request: 3s, backendRequest: 2s}, backendRefs: [{name: quotes, port: 80}]},
            {name: b, matches: [{path: {value: /b}}], timeouts: {backendRequest: 2s}, retry: {codes: [503], attempts: 1, backoff: 10ms}, backendRefs: [{name: quotes, port: 80}]},
            {name: c, matches: [{path: {value: /c}}], backendRefs: [{name: quotes, port: 80}]}
            """, policies)
        #expect(routes.map(\.route.timeout.seconds) == [3, 9, 9])
        #expect(routes.map(\.route.retryPolicy.perTryTimeout.seconds) == [2, 1, 8])
        #expect(routes.map(\.route.retryPolicy.numRetries.value) == [2, 5, 2])
        #expect(routes[1].route.retryPolicy.retriableStatusCodes == [503])
        #expect(routes[1].route.retryPolicy.retryBackOff.maxInterval.nanos == 100_000_000)
    }

    @Test("Header modifiers, rewrites and redirects become Envoy's")
    func filters() throws {
        let routes = try routes(
            """
            {matches: [{path: {type: Exact, value: /x}}], filters: [
              {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: 100%}], add: [{name: b, value: c}], remove: [d]}},
              {type: URLRewrite, urlRewrite: {hostname: h.example, path: {type: ReplaceFullPath, replaceFullPath: /y}}}],
              backendRefs: [{name: quotes, port: 80}]},
            {matches: [{path: {value: /old}}], filters: [
              {type: RequestRedirect, requestRedirect: {scheme: https, hostname: new.example, port: 8443, statusCode: 308,
                path: {type: ReplacePrefixMatch, replacePrefixMatch: /new/}}}]}
            """)
        #expect(routes[0].requestHeadersToAdd.map(\.header.value) == ["100%%", "c"])
        #expect(
            routes[0].requestHeadersToAdd.map(\.appendAction) == [
                .overwriteIfExistsOrAdd, .appendIfExistsOrAdd,
            ])
        #expect(routes[0].requestHeadersToRemove == ["d"])
        #expect(routes[0].route.hostRewriteLiteral == "h.example")
        #expect(routes[0].route.prefixRewrite == "/y")
        #expect(routes[1].redirect.hostRedirect == "new.example")
        #expect(routes[1].redirect.responseCode == .permanentRedirect)
        #expect(routes[1].redirect.prefixRewrite == "/new")
    }

    @Test("Regular expressions, mirrors and headers of a backend become Envoy's")
    func expressions() throws {
        let routes = try routes(
            """
            {matches: [{path: {type: RegularExpression, value: "/v[0-9]+/.*"},
                headers: [{type: RegularExpression, name: a, value: "b|c"}],
                queryParams: [{type: RegularExpression, name: q, value: "[0-9]+"}]}],
              filters: [
                {type: RequestMirror, requestMirror: {backendRef: {name: quotes-v2, port: 80}, percent: 5}},
                {type: RequestMirror, requestMirror: {backendRef: {name: quotes-v1, port: 80}, fraction: {numerator: 1, denominator: 3}}}],
              backendRefs: [{name: quotes, port: 80, filters: [
                {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x, value: z}]}}]}]},
            {matches: [{path: {value: /old}}], filters: [
                {type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /new}}}],
              backendRefs: [{name: quotes, port: 80}]}
            """)
        let regex = try #require(routes.first { !$0.match.safeRegex.regex.isEmpty })
        #expect(regex.match.safeRegex.regex == "/v[0-9]+/.*")
        #expect(regex.match.headers[0].stringMatch.safeRegex.regex == "b|c")
        #expect(regex.match.queryParameters[0].stringMatch.safeRegex.regex == "[0-9]+")
        let mirrors = regex.route.requestMirrorPolicies
        #expect(mirrors.map(\.cluster) == ["outbound|80|default/quotes-v2", "outbound|80|default/quotes-v1"])
        #expect(mirrors.map(\.runtimeFraction.defaultValue.numerator) == [50_000, 333_333])
        let cluster = try #require(regex.route.weightedClusters.clusters.first)
        #expect(cluster.responseHeadersToAdd.map(\.header.key) == ["x"])
        let full = try #require(routes.first { $0.match.pathSeparatedPrefix == "/old" })
        #expect(
            full.route.regexRewrite.pattern.regex == "^.*$" && full.route.regexRewrite.substitution == "/new")
    }

    @Test("A prefix that becomes the root keeps one slash")
    func rootPrefix() throws {
        func rewrite(_ from: String, _ to: String) throws -> [String] {
            try routes(
                """
                {matches: [{path: {value: \(from)}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: \(to)}}}],
                 backendRefs: [{name: quotes, port: 80}]}
                """
            ).map {
                "\($0.match.path)\($0.match.prefix)\($0.match.pathSeparatedPrefix)>\($0.route.prefixRewrite)"
            }
        }
        #expect(try rewrite("/a", "/") == ["/a>/", "/a/>/"])
        #expect(try rewrite("/", "/b") == ["/>/b/"])
        #expect(try rewrite("/a", "/b") == ["/a>/b"])
    }
}

@Suite struct RouteCORSTests {
    @Test("What pages of other origins may do is said on the route, and the filter is there for it")
    func cors() throws {
        let bench = try Bench(
            Bench.service("orders") + Bench.service("portal")
                + Bench.route(
                    "orders",
                    "{backendRefs: [{name: orders, port: 80}], filters: [{type: CORS, cors: "
                        + "{allowOrigins: [\"https://a.example\", \"https://*.b.example:8443\", \"*\"], "
                        + "allowMethods: [GET, PUT], allowHeaders: [x-a], exposeHeaders: [x-b], "
                        + "allowCredentials: true, maxAge: 60}}]}"))
        let route = try #require(try bench.routes("orders", for: Bench.node()).first)
        let config = try #require(route.typedPerFilterConfig["envoy.filters.http.cors"])
        let policy = try Envoy_Extensions_Filters_Http_Cors_V3_CorsPolicy(unpackingAny: config)
        #expect(policy.allowOriginStringMatch[0].exact == "https://a.example")
        #expect(policy.allowOriginStringMatch[1].safeRegex.regex == "https://[^/:]+\\.b\\.example:8443")
        #expect(policy.allowOriginStringMatch[2].safeRegex.regex == ".*")
        #expect(policy.allowMethods == "GET,PUT" && policy.allowHeaders == "x-a" && policy.maxAge == "60")
        #expect(policy.exposeHeaders == "x-b" && policy.allowCredentials.value)
        let filters = try bench.manager("outbound", for: Bench.node()).httpFilters.map(\.name)
        #expect(filters.first == "envoy.filters.http.cors")
    }
}
