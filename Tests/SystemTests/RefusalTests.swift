import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// Configurations that are valid, and cannot be taken up all the same.
    @Suite("Refusal")
    struct RefusalTests {
        private static func bootstrap(xds: UInt16, taken: UInt16, outbound: UInt16) -> String {
            """
            node:
              id: default/orders~1
              cluster: default/orders
              metadata:
                martlet:
                  address: 127.0.0.1
                  outbound: 127.0.0.1:\(outbound)
                  app: [{port: 8080, protocol: http, listen: "127.0.0.1:\(taken)"}]
            admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
            dynamic_resources:
              ads_config:
                api_type: GRPC
                transport_api_version: V3
                grpc_services: [{envoy_grpc: {cluster_name: control}}]
              lds_config: {resource_api_version: V3, ads: {}}
              cds_config: {resource_api_version: V3, ads: {}}
            static_resources:
              clusters:
              - name: control
                typed_extension_protocol_options:
                  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                    explicit_http_config: {http2_protocol_options: {}}
                load_assignment:
                  cluster_name: control
                  endpoints:
                  - lb_endpoints:
                    - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: \(xds)}}}

            """
        }

        private static func listeners(_ control: ControlUnderTest) throws -> [String: Any]? {
            let proxies = try control.json("/api/v1/proxies")["proxies"] as? [[String: Any]]
            let types = proxies?.first?["types"] as? [[String: Any]] ?? []
            return types.first { $0["type"] as? String == "listeners" }
        }

        @Test(
            "A listener whose port is in use is refused by name and address; the rest is taken, and it when it can be"
        )
        func portInUse() throws {
            let holder = try HTTPPeer { _ in .answer(200, body: "holder") }
            let free = try HTTPPeer { _ in .answer(200) }
            let (taken, outbound) = (holder.port, free.port)
            free.stop()
            let control = try ControlUnderTest([
                "mesh.yaml": ControlTests.mesh + ControlTests.service("orders", 8080)
            ])
            let directory = try TemporaryDirectory()
            let text = Self.bootstrap(
                xds: PortsFile.port(control.ports["xds"]), taken: taken, outbound: outbound)
            let process = try ProcessUnderTest(
                "martlet-proxy",
                [
                    "-c", directory.write(text, to: "proxy.yaml"), "--concurrency", "2",
                    "--admin-address-path", directory.path("admin"),
                ], in: directory)
            let logs = { control.process.logTail + "\n" + process.logTail }
            let refusal = try eventually("the refusal\n\(logs())") {
                let refusal = try Self.listeners(control)?["lastRefusal"] as? [String: Any]
                return refusal?["message"] as? String
            }
            #expect(
                refusal
                    == "listener 'inbound|8080': address: 127.0.0.1:\(taken): address in use", "\(logs())")
            // The other listener serves.
            try eventually("the outbound listener\n\(logs())") {
                try fetch(port: outbound, "GET", "/", host: "nobody").status == 404 ? true : nil
            }
            #expect(try fetch(port: taken).text == "holder")
            // A change of something else is taken as if nothing were wrong.
            try control.resources.write(ControlTests.service("quotes", 8081), to: "more.yaml")
            try eventually("a route to quotes\n\(logs())") {
                try fetch(port: outbound, "GET", "/", host: "quotes.default").status == 503 ? true : nil
            }
            holder.stop()
            try control.resources.write(
                """
                apiVersion: martlet.mesh/v1
                kind: TelemetryPolicy
                metadata: {name: all}
                spec: {targetRef: {kind: Mesh}, accessLog: {path: /dev/null, text: "%PROTOCOL%"}}

                """, to: "policy.yaml")
            try eventually("the listener, now that its port is free\n\(logs())") {
                try fetch(port: taken, patience: 1).status == 503 ? true : nil
            }
            #expect(try Self.listeners(control)?["isInStep"] as? Bool == true, "\(logs())")
        }
    }
}
