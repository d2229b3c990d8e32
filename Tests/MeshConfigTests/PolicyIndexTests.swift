import Testing

@testable import MeshConfig

@Suite struct PolicyIndexTests {
    private let base = """
        apiVersion: martlet.mesh/v1
        kind: Service
        metadata: {name: orders}
        spec: {ports: [{name: web, port: 80}, {name: admin, port: 81}]}
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {name: orders}
        spec:
          parentRefs: [{group: "", kind: Service, name: orders}]
          rules:
          - name: buy
            backendRefs: [{name: orders, port: 80}]

        """

    private func policy(
        _ kind: String, _ name: String, _ target: String, _ fields: String, mode: String = "enforce"
    ) -> String {
        """
        ---
        apiVersion: martlet.mesh/v1
        kind: \(kind)
        metadata: {name: \(name)}
        spec: {targetRef: {\(target)}, mode: \(mode), \(fields)}

        """
    }

    private func specification(_ policies: String...) throws -> MeshSpecification {
        try MeshSpecification.read([.init(name: "f.yaml", bytes: Array((base + policies.joined()).utf8))])
    }

    private let rule = PolicyIndex.Place(
        service: ServiceID(namespace: "default", name: "orders"), portName: "web",
        route: ResourceID(kind: .httpRoute, namespace: "default", name: "orders"), ruleName: "buy",
        direction: .outbound)

    @Test("The narrower target wins, field by field")
    func precedence() throws {
        let index = PolicyIndex(
            try specification(
                policy("TimeoutPolicy", "m", "kind: Mesh", "connect: 1s, request: 1s, idle: 1s, stream: 1s"),
                policy("TimeoutPolicy", "ns", "kind: Namespace", "request: 2s, idle: 2s, stream: 2s"),
                policy("TimeoutPolicy", "s", "kind: Service, name: orders", "idle: 3s, stream: 3s"),
                policy("TimeoutPolicy", "p", "kind: Service, name: orders, sectionName: admin", "stream: 9s"),
                policy("TimeoutPolicy", "r", "kind: HTTPRoute, name: orders", "stream: 4s"),
                policy("TimeoutPolicy", "u", "kind: HTTPRoute, name: orders, sectionName: buy", "perTry: 5s"))
        )
        let settings = index.settings(TimeoutSettings.self, at: rule)
        #expect(settings.connect == .seconds(1))
        #expect(settings.request == .seconds(2))
        #expect(settings.idle == .seconds(3))
        #expect(settings.stream == .seconds(4))
        #expect(settings.perTry == nil)
        #expect(index.ruleSettings(TimeoutSettings.self, at: rule).perTry == .seconds(5))
        #expect(index.conflicts.isEmpty)
    }

    @Test("Of two policies on one target the older one wins, and the other is in conflict")
    func conflict() throws {
        let specification = try specification(
            policy("RetryPolicy", "a", "kind: Service, name: orders", "attempts: 1"),
            policy("RetryPolicy", "b", "kind: Service, name: orders", "attempts: 2, methods: any"))
        let (a, b) = (
            ResourceID(kind: .retryPolicy, namespace: "default", name: "a"),
            ResourceID(kind: .retryPolicy, namespace: "default", name: "b")
        )
        let index = PolicyIndex(specification, firstSeen: [a: 7, b: 3])
        #expect(index.conflicts == [a: b])
        let settings = index.settings(RetrySettings.self, at: rule)
        #expect(settings.attempts == 2)
        #expect(settings.methods == .any)
        #expect(PolicyIndex(specification).conflicts == [b: a])
    }

    @Test("A policy that is off neither applies nor conflicts")
    func off() throws {
        let index = PolicyIndex(
            try specification(
                policy("RetryPolicy", "a", "kind: Service, name: orders", "attempts: 1", mode: "off"),
                policy("RetryPolicy", "b", "kind: Service, name: orders", "attempts: 2")))
        #expect(index.conflicts.isEmpty)
        #expect(index.settings(RetrySettings.self, at: rule).attempts == 2)
    }

    @Test("Mutual TLS is permissive unless somebody says otherwise, and a narrower word beats a broader port")
    func mutualTLS() throws {
        var place = rule
        place.direction = .inbound
        let nothing = PolicyIndex(try specification()).settings(TLSSettings.self, at: place)
        #expect(nothing.mutual(port: 80) == .permissive)
        let index = PolicyIndex(
            try specification(
                policy("TLSPolicy", "m", "kind: Mesh", "mtls: disabled, ports: [{port: 80, mtls: strict}]"),
                policy(
                    "TLSPolicy", "s", "kind: Service, name: orders",
                    "mtls: permissive, ports: [{port: 81, mtls: strict}]")))
        let settings = index.settings(TLSSettings.self, at: place)
        #expect(settings.mutual(port: 80) == .permissive)
        #expect(settings.mutual(port: 81) == .strict)
    }
}
