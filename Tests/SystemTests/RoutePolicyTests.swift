import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// What policies about routes do in a caller's sidecar.
    @Suite("Policies of a route")
    struct RoutePolicyTests {
        private static let policies = """
            apiVersion: martlet.mesh/v1
            kind: Mesh
            metadata: {name: test}
            spec: {trustDomain: test.example}
            ---
            apiVersion: martlet.mesh/v1
            kind: Service
            metadata: {name: orders}
            spec: {ports: [{name: http, port: 80}]}
            ---
            apiVersion: martlet.mesh/v1
            kind: Service
            metadata: {name: portal}
            spec: {ports: [{name: http, port: 80}]}
            ---
            apiVersion: gateway.networking.k8s.io/v1
            kind: HTTPRoute
            metadata: {name: orders}
            spec:
              parentRefs: [{group: "", kind: Service, name: orders}]
              rules:
              - {name: new, matches: [{path: {value: /new}}], backendRefs: [{name: orders, port: 80}]}
              - {name: none, matches: [{path: {value: /none}}], backendRefs: [{name: orders, port: 80}]}
              - {name: few, matches: [{path: {value: /few}}], backendRefs: [{name: orders, port: 80}]}
              - matches: [{path: {value: /cart}}]
                sessionPersistence: {sessionName: cart}
                backendRefs: [{name: orders, port: 80}]
              - backendRefs: [{name: orders, port: 80}]
            ---
            apiVersion: martlet.mesh/v1
            kind: LoadBalancerPolicy
            metadata: {name: new}
            spec: {targetRef: {kind: HTTPRoute, name: orders, sectionName: new}, subsets: {labels: {version: v2}}}
            ---
            apiVersion: martlet.mesh/v1
            kind: LoadBalancerPolicy
            metadata: {name: none}
            spec: {targetRef: {kind: HTTPRoute, name: orders, sectionName: none}, subsets: {labels: {version: v3}}}
            ---
            apiVersion: martlet.mesh/v1
            kind: RateLimitPolicy
            metadata: {name: few}
            spec: {targetRef: {kind: HTTPRoute, name: orders, sectionName: few}, local: {requests: 2, per: 1h}}
            ---
            apiVersion: martlet.mesh/v1
            kind: FaultPolicy
            metadata: {name: orders}
            spec: {targetRef: {kind: HTTPRoute, name: orders, sectionName: few}, mode: shadow, abort: {status: 500}}

            """

        @Test(
            "Subsets, sessions, limits of callers and faults in shadow are carried out by the caller's sidecar"
        )
        func callers() throws {
            let peers = try ["v1", "v2"].map { version in
                try HTTPPeer { _ in .answer(200, body: version) }
            }
            let control = try ControlUnderTest(["mesh.yaml": Self.policies])
            let orders = try zip(["v1", "v2"], peers).map { version, peer in
                try SidecarUnderTest(
                    "orders", app: peer.port, control: control, name: "orders-\(version)",
                    settings: "labels: {version: \(version)}")
            }
            let portal = try SidecarUnderTest("portal", app: 1, control: control)
            for sidecar in orders + [portal] { try sidecar.becomeReady() }
            let logs = { ([control.process, portal.process] + orders.map(\.process)).map(\.logTail) }
            func versions(_ path: String, _ count: Int, cookie: String? = nil) throws -> Set<String> {
                let fields = cookie.map { [("cookie", $0)] } ?? []
                return Set(
                    try (0..<count).map { _ in try portal.call("orders", "GET", path, fields: fields).text })
            }
            try eventually("both instances to be called\n\(logs().joined(separator: "\n"))", within: 15) {
                try versions("/", 20) == ["v1", "v2"] ? true : nil
            }

            #expect(try versions("/new", 20) == ["v2"], "\(logs())")
            #expect(
                try portal.call("orders", "GET", "/none").status == 503, "nobody has the label\n\(logs())")

            var seen: Set<String> = []
            for _ in 0..<16 {
                let first = try portal.call("orders", "GET", "/cart")
                let cookie = try #require(first["set-cookie"]?.split(separator: ";").first.map(String.init))
                #expect(cookie.hasPrefix("cart="), "\(first)")
                #expect(try versions("/cart", 4, cookie: cookie) == [first.text], "\(logs())")
                seen.insert(first.text)
            }
            #expect(seen == ["v1", "v2"], "sessions spread")

            let few = try (0..<5).map { _ in try portal.call("orders", "GET", "/few") }
            #expect(few.map(\.status) == [200, 200, 429, 429, 429], "\(logs())")
            #expect(few[4]["retry-after"] != nil, "\(few[4])")
            let stats = try fetch(port: portal.port("admin"), "GET", "/stats").text
            #expect(stats.contains("http.outbound.shadow.fault_aborts: 2\n"), "\(stats)")
        }

        @Test("Calls of gRPC go by service and method, and what is none of them is answered as gRPC has it")
        func grpc() throws {
            let type = ("content-type", "application/grpc")
            let peers = try ["get", "rest"].map { name in
                try HTTPPeer { _ in .answer(200, fields: [type], body: name) }
            }
            func service(_ name: String) -> String {
                """
                ---
                apiVersion: martlet.mesh/v1
                kind: Service
                metadata: {name: \(name)}
                spec: {ports: [{name: grpc, port: 80, appProtocol: grpc}]}

                """
            }
            let control = try ControlUnderTest([
                "mesh.yaml": ControlTests.mesh + service("quotes") + service("quotes-next")
                    + ControlTests.service("portal", 1) + """
                        ---
                        apiVersion: gateway.networking.k8s.io/v1
                        kind: GRPCRoute
                        metadata: {name: quotes}
                        spec:
                          parentRefs: [{group: "", kind: Service, name: quotes}]
                          rules:
                          - name: get
                            matches: [{method: {service: shop.v1.Quotes, method: Get}}]
                            backendRefs: [{name: quotes-next, port: 80}]
                          - matches: [{method: {service: shop.v1.Quotes}}]
                            backendRefs: [{name: quotes, port: 80}]
                        ---
                        apiVersion: martlet.mesh/v1
                        kind: RateLimitPolicy
                        metadata: {name: get}
                        spec: {targetRef: {kind: GRPCRoute, name: quotes, sectionName: get}, local: {requests: 2, per: 1h}}

                        """
            ])
            let sidecars = [
                try SidecarUnderTest("quotes-next", app: peers[0].port, control: control),
                try SidecarUnderTest("quotes", app: peers[1].port, control: control),
                try SidecarUnderTest("portal", app: 1, control: control),
            ]
            for sidecar in sidecars { try sidecar.becomeReady() }
            let logs = { ([control.process] + sidecars.map(\.process)).map(\.logTail) }
            func call(_ path: String, _ method: String = "POST") throws -> HTTPMessage {
                try sidecars[2].call("quotes", method, path, fields: [type, ("te", "trailers")], body: "")
            }
            try eventually("both services to answer\n\(logs())", within: 15) {
                try call("/shop.v1.Quotes/List").text == "rest" ? true : nil
            }
            try eventually("the other service\n\(logs())", within: 15) {
                try call("/shop.v1.Quotes/Get").text == "get" ? true : nil
            }
            let others = [try call("/shop.v1.Other/Get"), try call("/shop.v1.Quotes/Get", "GET")]
            #expect(others.map { $0["grpc-status"] } == ["12", "12"], "\(others)\n\(logs())")
            let answers = try (0..<3).map { _ in try call("/shop.v1.Quotes/Get") }
            #expect(answers.last?["grpc-status"] == "14" || answers.last?["grpc-status"] == "8", "\(answers)")
            #expect(
                try fetch(port: sidecars[2].port("outbound"), "POST", "/shop.v1.Quotes/Get", host: "quotes")
                    .status == 404)
            let listed = try control.martlet(["get", "grpcroutes"])
            #expect(listed.status == 0 && listed.output.contains("quotes"), "\(listed)")
        }

        @Test("A sidecar spares its own application: so much at once, and for so long")
        func ownApplication() throws {
            let peer = try HTTPPeer { $0.message.target == "/hang" ? .hang : .answer(200, body: "good") }
            let control = try ControlUnderTest([
                "mesh.yaml": ControlTests.mesh + ControlTests.service("orders", peer.port) + """
                    ---
                    apiVersion: martlet.mesh/v1
                    kind: TimeoutPolicy
                    metadata: {name: orders}
                    spec: {targetRef: {kind: Service, name: orders}, direction: inbound, request: 3s}
                    ---
                    apiVersion: martlet.mesh/v1
                    kind: CircuitBreakerPolicy
                    metadata: {name: orders}
                    spec: {targetRef: {kind: Service, name: orders}, direction: inbound, limits: {requests: 2}}

                    """
            ])
            let orders = try SidecarUnderTest("orders", app: peer.port, control: control)
            try orders.becomeReady()
            let port = try orders.inboundPort()
            let logs = { "\(control.process.logTail)\n\(orders.process.logTail)" }
            try eventually("orders to answer\n\(logs())", within: 15) {
                try fetch(port: port).status == 200 ? true : nil
            }
            let hanging = try (0..<2).map { _ in
                let stream = try TCPStream(port: port)
                try stream.sendRequest("GET", "/hang")
                return stream
            }
            try eventually("both requests at the application\n\(logs())") {
                peer.requests.count { $0.message.target == "/hang" } == 2 ? true : nil
            }
            let refused = try fetch(port: port)
            #expect(
                refused.status == 503 && refused["x-envoy-overloaded"] == "true", "\(refused)\n\(logs())")
            for stream in hanging { #expect(try stream.readAnswer().status == 504, "\(logs())") }
            #expect(try fetch(port: port).status == 200, "\(logs())")
        }
    }
}
