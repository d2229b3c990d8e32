import MeshModel
import MeshPrimitives
import Testing
import XDSSchema

@testable import XDSDiscovery

@Suite("Routes become values of the model")
struct RouteCompilerTests {
    private func compile(_ yaml: String, runtime: [String: RuntimeValue] = [:]) -> (
        RouteConfiguration, [String]
    ) {
        var around = surroundings()
        around.runtime = runtime
        var compiler = ResourceCompiler(surroundings: around)
        let node = ConfigNode(message(yaml, XDS.RouteConfiguration.messageType), root: "")
        let routes = compiler.routeConfiguration(node, validatesClusters: false)
        return (routes, compiler.problems.list.map(\.description))
    }

    private func route(_ route: String) -> (Route?, [String]) {
        let (routes, problems) = compile("virtual_hosts: [{name: v, domains: ['*'], routes: [\(route)]}]")
        return (routes.virtualHosts.first?.routes.first, problems)
    }

    @Test("Every way to match by a regular expression arrives")
    func expressions() throws {
        let (found, problems) = route(
            """
            {match: {safe_regex: {google_re2: {}, regex: '/a/[0-9]+'},
              headers: [{name: X-A, string_match: {safe_regex: {regex: 'b|c'}}}, {name: x-d, safe_regex_match: {regex: e}}],
              query_parameters: [{name: q, string_match: {safe_regex: {regex: '[0-9]'}}}]},
             direct_response: {status: 200}}
            """)
        let match = try #require(found).match
        #expect(problems == [] && match.path == .regex("/a/[0-9]+"))
        #expect(match.headers.map(\.name) == ["x-a", "x-d"])
        #expect(match.headers.map(\.test) == ["b|c", "e"].map { .string(StringMatch(.regex($0))) })
        #expect(match.query.map(\.test) == [.string(StringMatch(.regex("[0-9]")))])
    }

    @Test(
        "A pattern that is none, or costs too much, is refused by its path; a runtime key lets it cost more")
    func refusedExpressions() {
        for (pattern, reason) in [("(a", "missing )"), ("[a-z]{120}", "more than 100")] {
            let (_, problems) = route(
                "{match: {safe_regex: {regex: '\(pattern)'}}, direct_response: {status: 200}}")
            #expect(problems.count == 1 && problems[0].contains(reason))
            #expect(problems[0].contains("virtual_hosts[0].routes[0].match.safe_regex.regex"))
        }
        let (_, problems) = compile(
            """
            virtual_hosts: [{name: v, domains: ['*'], routes: [
              {match: {safe_regex: {regex: '[a-z]{120}'}}, direct_response: {status: 200}}]}]
            """, runtime: ["re2.max_program_size.error_level": .number(200)])
        #expect(problems == [])
    }

    @Test("Rewrites and redirects arrive; an empty text is none; a group that is not there is refused")
    func rewrites() throws {
        func forward(_ action: String) -> (Forward?, [String]) {
            let (found, problems) = route("{match: {prefix: /}, route: {cluster: a, \(action)}}")
            guard case .forward(let forward) = found?.action else { return (nil, problems) }
            return (forward, problems)
        }
        #expect(forward("prefix_rewrite: ''").0?.pathRewrite == nil)
        #expect(
            forward(#"regex_rewrite: {pattern: {regex: '/(a)'}, substitution: '/\1'}"#).0?.pathRewrite
                == .regex(pattern: "/(a)", substitution: #"/\1"#))
        #expect(
            forward(#"host_rewrite_path_regex: {pattern: {regex: '/(a)'}, substitution: '\1.b'}"#).0?
                .hostRewrite
                == .pathRegex(pattern: "/(a)", substitution: #"\1.b"#))
        let wrong = forward(#"regex_rewrite: {pattern: {regex: '/a'}, substitution: '\1'}"#).1
        #expect(wrong.count == 1 && wrong[0].contains("route.regex_rewrite.substitution"))
        #expect(
            forward("prefix_rewrite: /a, regex_rewrite: {pattern: {regex: '/a'}, substitution: '/b'}").1.count
                == 1)
        let (redirect, _) = route(
            "{match: {prefix: /}, redirect: {scheme_redirect: HTTPS, prefix_rewrite: ''}}")
        var wanted = Redirect()
        wanted.scheme = "HTTPS"
        #expect(redirect?.action == .redirect(wanted))
    }

    @Test("Mirrors, internal redirects and upgrades arrive")
    func actions() throws {
        let (found, problems) = route(
            """
            {match: {prefix: /}, route: {cluster: a,
              request_mirror_policies: [
                {cluster: b, runtime_fraction: {default_value: {numerator: 5, denominator: MILLION}}},
                {cluster_header: X-To, disable_shadow_host_suffix_append: true}],
              internal_redirect_policy: {max_internal_redirects: 3, redirect_response_codes: [303, 200]},
              upgrade_configs: [{upgrade_type: WebSocket}, {upgrade_type: other, enabled: false}]}}
            """)
        guard case .forward(let forward) = found?.action else {
            Issue.record("no route: \(problems)")
            return
        }
        #expect(problems == [])
        #expect(forward.mirrors.map(\.target) == [.cluster("b"), .header("x-to")])
        #expect(forward.mirrors[0].share == Fraction(numerator: 5, denominator: 1_000_000))
        #expect(forward.mirrors.map(\.marksHost) == [true, false])
        #expect(forward.internalRedirects?.most == 3 && forward.internalRedirects?.statuses == [303])
        #expect(forward.upgrades == ["websocket": true, "other": false])
        #expect(
            route("{match: {prefix: /}, route: {cluster: a, request_mirror_policies: [{}]}}").1.count == 1)
    }

    @Test("What routes say to filters arrives under the filter's name")
    func filters() throws {
        let (found, problems) = route(
            """
            {match: {prefix: /}, direct_response: {status: 200}, typed_per_filter_config: {
              c: {'@type': type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy,
                  allow_origin_string_match: [{suffix: .example}], allow_credentials: true},
              f: {'@type': type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault,
                  delay: {fixed_delay: 0.5s, percentage: {numerator: 10}},
                  abort: {header_abort: {}, percentage: {numerator: 100}}, upstream_cluster: u,
                  headers: [{name: x-f, present_match: true}], downstream_nodes: [node]},
              m: {'@type': type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute,
                  mutations: {request_mutations: [{remove: X-A}, {append: {header: {key: x-b, value: c}}},
                    {remove_on_match: {key_matcher: {prefix: x-}}}]}}}}
            """)
        #expect(problems == [])
        let settings = Dictionary(
            uniqueKeysWithValues: try #require(found).filters.map { ($0.name, $0.settings) })
        var policy = CORSPolicy()
        (policy.origins, policy.allowsCredentials) = ([StringMatch(.suffix(".example"))], true)
        #expect(settings["c"] == .cors(policy))
        var fault = Fault()
        (fault.delay, fault.delayShare) = (
            .fixed(.milliseconds(500)), Fraction(numerator: 10, denominator: 100)
        )
        (fault.abort, fault.abortShare) = (.header, .all)
        (fault.cluster, fault.nodes) = ("u", ["node"])
        fault.headers = [HeaderMatch(name: "x-f", test: .present(true))]
        #expect(settings["f"] == .fault(fault))
        guard case .headerMutation(let mutation) = settings["m"] else {
            Issue.record("no mutation")
            return
        }
        #expect(
            mutation.request == [
                .remove(name: "x-a"),
                .set(name: "x-b", value: "c", action: .appendOrAdd, keepsEmpty: false),
                .removeMatching(StringMatch(.prefix("x-"))),
            ])
    }

    @Test("Where patterns are not looked at they are refused")
    func otherPlaces() {
        let yaml = """
            filter: {header_filter: {header: {name: a, string_match: {safe_regex: {regex: b}}}}}
            typed_config: {'@type': type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}
            """
        var compiler = ResourceCompiler(surroundings: surroundings())
        _ = compiler.accessLog(ConfigNode(message(yaml, XDS.AccessLog.messageType), root: ""))
        #expect(
            compiler.problems.list.contains { $0.description.contains("'safe_regex' is not supported here") })
    }
}
