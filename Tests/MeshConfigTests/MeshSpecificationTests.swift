import Testing

@testable import MeshConfig

@Suite struct MeshSpecificationTests {
    private func read(_ text: String) throws(ConfigErrors) -> MeshSpecification {
        try MeshSpecification.read([.init(name: "f.yaml", bytes: Array(text.utf8))])
    }

    @Test("A service without endpoints is served by the sidecars that register")
    func service() throws {
        let specification = try read(
            """
            apiVersion: martlet.mesh/v1
            kind: Service
            metadata: {name: orders, namespace: shop}
            spec: {ports: [{port: 80, targetPort: 8080}]}
            """)
        let service = try #require(specification.services[ServiceID(namespace: "shop", name: "orders")])
        #expect(service.endpoints == .registered)
        #expect(service.ports == [.init(name: "port-80", port: 80, appProtocol: .http, targetPort: 8080)])
    }

    @Test("A port without target finds the number that it has itself, or the only one that there is")
    func applicationPorts() throws {
        func service(_ ports: String) throws -> ServiceSpecification {
            let text =
                "apiVersion: martlet.mesh/v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [\(ports)]}\n"
            return try #require(try read(text).services[ServiceID(namespace: "default", name: "a")])
        }
        let one = try service("{port: 80}")
        #expect(one.applicationPort(behind: one.ports[0], among: [40_123]) == 40_123)
        #expect(one.applicationPort(behind: one.ports[0], among: [40_123, 80]) == 80)
        #expect(one.applicationPort(behind: one.ports[0], among: [40_123, 81]) == nil)
        let target = try service("{port: 80, targetPort: 8080}")
        #expect(target.applicationPort(behind: target.ports[0], among: [40_123]) == nil)
        let two = try service("{port: 80, name: a}, {port: 81, name: b}")
        #expect(two.applicationPort(behind: two.ports[0], among: [40_123]) == nil)
    }

    @Test("Static endpoints, names and selectors are read")
    func endpoints() throws {
        func endpoints(_ text: String) throws -> ServiceSpecification.Endpoints? {
            try read(
                """
                apiVersion: martlet.mesh/v1
                kind: Service
                metadata: {name: a}
                spec: {ports: [{port: 80}], endpoints: {\(text)}}
                """
            ).services[ServiceID(namespace: "default", name: "a")]?.endpoints
        }
        #expect(
            try endpoints("static: [{address: 10.0.0.1, port: 9, weight: 3, zone: a}]")
                == .fixed([.init(address: "10.0.0.1", port: 9, weight: 3, zone: "a")]))
        #expect(try endpoints("dns: {host: db.example}") == .dns(host: "db.example"))
        #expect(try endpoints("selector: {labels: {app: a}}") == .selector(["app": "a"]))
        #expect(try endpoints("registered: ") == .registered)
    }

    @Test("A route is read as the Gateway API has it")
    func route() throws {
        let specification = try read(
            """
            apiVersion: martlet.mesh/v1
            kind: Service
            metadata: {name: a}
            spec: {ports: [{port: 80}]}
            ---
            apiVersion: gateway.networking.k8s.io/v1
            kind: HTTPRoute
            metadata: {name: a}
            spec:
              parentRefs: [{group: "", kind: Service, name: a, port: 80}]
              rules:
              - name: all
                matches:
                - path: {type: Exact, value: /x}
                  method: POST
                  headers: [{name: X-Kind, value: gold}]
                  queryParams: [{name: q, value: "7"}]
                - path: {type: Exact, value: /y/}
                filters:
                - type: RequestHeaderModifier
                  requestHeaderModifier: {set: [{name: a, value: b}], remove: [c]}
                - type: URLRewrite
                  urlRewrite: {hostname: other.example, path: {type: ReplaceFullPath, replaceFullPath: /z}}
                backendRefs: [{name: a, port: 80, weight: 9}, {name: a, port: 80}]
                timeouts: {request: 10s, backendRequest: 2s}
                retry: {codes: [503], attempts: 2, backoff: 100ms}
            """)
        let id = ResourceID(kind: .httpRoute, namespace: "default", name: "a")
        guard case .httpRoute(let route) = specification[id]?.specification else {
            Issue.record("the route is there")
            return
        }
        let rule = try #require(route.rules.first)
        #expect(route.parents == [.init(service: ServiceID(namespace: "default", name: "a"), port: 80)])
        #expect(rule.matches.count == 2)
        #expect(rule.matches[0].path == .exact("/x"))
        #expect(rule.matches[0].method == "POST")
        #expect(
            rule.matches[0].queryParameters == [.init(name: "q", value: "7", isRegularExpression: false)])
        #expect(rule.matches[1].path == .exact("/y/"))
        #expect(rule.filters.requestHeaders?.remove == ["c"])
        #expect(rule.filters.rewrite?.path == .replaceFullPath("/z"))
        #expect(rule.backends.map(\.weight) == [9, 1])
        #expect(rule.requestTimeout == .seconds(10))
        #expect(rule.retry == .init(codes: [503], attempts: 2, backOff: .milliseconds(100)))
    }

    @Test("A set with one bad file is refused as a whole, with the errors of all files in order")
    func wholeOrNothing() throws {
        let good = """
            apiVersion: martlet.mesh/v1
            kind: Service
            metadata: {name: a}
            spec: {ports: [{port: 80}]}
            """
        #expect {
            try MeshSpecification.read([
                .init(name: "c.yaml", bytes: Array("kind: 1".utf8)),
                .init(name: "a.yaml", bytes: Array(good.utf8)),
                .init(name: "b.yaml", bytes: Array("{".utf8)),
            ])
        } throws: { error in
            (error as? ConfigErrors)?.errors.first?.location.file == "b.yaml"
                && (error as? ConfigErrors)?.errors.last?.location.file == "c.yaml"
        }
    }

    @Test("The number of errors is bounded")
    func manyErrors() {
        let text = String(repeating: "kind: Nonsense\n---\n", count: 500)
        #expect {
            try read(text)
        } throws: { error in
            (error as? ConfigErrors)?.errors.count == ConfigErrors.countMax
        }
    }

    @Test("A mesh without Mesh has the defaults")
    func defaults() throws {
        #expect(try read("").mesh == MeshSettings())
        #expect(MeshSpecification.empty.mesh.leafLifetime == .seconds(86_400))
    }

    @Test("A field of a resource can be found again in its file")
    func locations() throws {
        let specification = try read(
            "apiVersion: martlet.mesh/v1\nkind: Mesh\nmetadata: {name: m}\nspec:\n  trustDomain: a.example\n")
        #expect(specification.resources.first?.location(of: "spec.trustDomain").line == 5)
    }

    @Test(
        "Kinds are found as operators type them",
        arguments: ["services", "Service", "httproutes", "tlspolicies"])
    func typedKinds(text: String) {
        #expect(ResourceKind(typed: text) != nil)
    }
}
