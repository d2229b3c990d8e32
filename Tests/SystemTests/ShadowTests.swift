import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// What policies in shadow mode let pass, and what is to be seen of them.
    @Suite("Policies in shadow mode")
    struct ShadowTests {
        @Test(
            "Endpoints that fail their checks, other choices, and late answers are counted and change nothing"
        )
        func checksAndTimes() throws {
            let peer = try HTTPPeer {
                guard $0.message.target != "/healthz" else { return .answer(503) }
                usleep(20_000)
                return .answer(200, body: "good")
            }
            let control = try ControlUnderTest([
                "mesh.yaml": ControlTests.mesh + ControlTests.service("orders", peer.port)
                    + ControlTests.service("portal", 1) + """
                        ---
                        apiVersion: martlet.mesh/v1
                        kind: HealthCheckPolicy
                        metadata: {name: orders}
                        spec: {targetRef: {kind: Service, name: orders}, mode: shadow, http: {path: /healthz}, interval: 100ms}
                        ---
                        apiVersion: martlet.mesh/v1
                        kind: TimeoutPolicy
                        metadata: {name: orders}
                        spec: {targetRef: {kind: Service, name: orders}, direction: inbound, mode: shadow, request: 10ms}
                        ---
                        apiVersion: martlet.mesh/v1
                        kind: LoadBalancerPolicy
                        metadata: {name: orders}
                        spec: {targetRef: {kind: Service, name: orders}, mode: shadow, algorithm: leastRequest}

                        """
            ])
            let orders = try SidecarUnderTest("orders", app: peer.port, control: control)
            let portal = try SidecarUnderTest("portal", app: 1, control: control)
            for sidecar in [orders, portal] { try sidecar.becomeReady() }
            let logs = { "\(control.process.logTail)\n\(portal.process.logTail)\n\(orders.process.logTail)" }
            try eventually("the checks to fail\n\(logs())", within: 15) {
                try fetch(port: portal.port("admin"), "GET", "/clusters").text.contains(
                    "::health_flags::healthy/shadow_failed_active_hc") ? true : nil
            }
            for _ in 0..<3 { #expect(try portal.call("orders", "GET", "/").status == 200, "\(logs())") }
            let inbound = try fetch(port: orders.port("admin"), "GET", "/stats").text
            #expect(
                inbound.contains("cluster.inbound|\(peer.port).shadow.upstream_rq_timeout: "), "\(inbound)")
            let outbound = try fetch(port: portal.port("admin"), "GET", "/stats").text
            #expect(!outbound.contains("|default/orders.health_check.failure: 0\n"), "\(outbound)")
            #expect(outbound.contains("|default/orders.lb_healthy_panic: 0\n"), "\(outbound)")
            #expect(outbound.contains("|default/orders.shadow.lb_same_host: 3\n"), "\(outbound)")
        }

        @Test("Who would be refused by strict mutual TLS is counted, those in the mesh are not")
        func mutualTLS() throws {
            let peer = try HTTPPeer(200, body: "good")
            let control = try ControlUnderTest([
                "mesh.yaml": ControlTests.mesh + ControlTests.service("orders", peer.port)
                    + ControlTests.service("portal", 1) + """
                        ---
                        apiVersion: martlet.mesh/v1
                        kind: TLSPolicy
                        metadata: {name: all}
                        spec: {targetRef: {kind: Mesh}, mode: shadow, mtls: strict}

                        """
            ])
            let orders = try SidecarUnderTest("orders", app: peer.port, control: control)
            let portal = try SidecarUnderTest("portal", app: 1, control: control)
            for sidecar in [orders, portal] { try sidecar.becomeReady() }
            let logs = { "\(control.process.logTail)\n\(portal.process.logTail)\n\(orders.process.logTail)" }
            try eventually("portal to reach orders\n\(logs())", within: 15) {
                try portal.call("orders", "GET", "/").status == 200 ? true : nil
            }
            #expect(try fetch(port: orders.inboundPort()).status == 200, "\(logs())")
            let stats = try fetch(port: orders.port("admin"), "GET", "/stats").text
            let counts = stats.split(separator: "\n").filter { $0.contains("shadow.plain_text_refused") }
            #expect(counts.count { $0.hasSuffix(": 1") } == 1, "\(counts)")
            #expect(counts.allSatisfy { $0.hasSuffix(": 1") || $0.hasSuffix(": 0") }, "\(counts)")
            let recorder = try fetch(port: orders.port("admin"), "GET", "/recorder").text
            #expect(recorder.contains("\"plain_text\""), "\(recorder)")
        }
    }
}
