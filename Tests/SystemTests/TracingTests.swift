import Foundation
import TestSupport
import Testing

extension SystemTests {
    @Suite("Tracing")
    struct TracingTests {
        /// A `tracing` block that sends to the cluster `otlp` by HTTP.
        static func tracing(_ service: String, _ more: String = "") -> String {
            """
            tracing:
            \(indented(more, 2))
              provider:
                name: envoy.tracers.opentelemetry
                typed_config:
                  "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                  service_name: \(service)
                  http_service: {http_uri: {uri: "http://otlp/v1/traces", cluster: otlp, timeout: 1s}}
            """
        }

        static func sidecar(
            _ service: String, to port: UInt16, collector: UInt16, _ more: String = "", outbound: Bool = false
        ) -> Bootstrap {
            var bootstrap = Bootstrap(clusters: [
                .init(ports: [port]), .init(name: "otlp", ports: [collector]),
            ])
            bootstrap.manager = tracing(service, more)
            if outbound { bootstrap.listener = "traffic_direction: OUTBOUND" }
            return bootstrap
        }

        /// What a collector got: service and span.
        static func spans(_ collector: HTTPPeer) -> [(service: String, span: WireMessage)] {
            collector.requests.flatMap { request in
                WireMessage(request.message.body).messages(1).flatMap { resource in
                    let service =
                        resource.messages(1).first?.messages(1).first?.messages(2).first?.text(1) ?? ""
                    return resource.messages(2).flatMap { $0.messages(2) }.map { (service, $0) }
                }
            }
        }

        static func hexadecimal(_ bytes: [UInt8]?) -> String {
            (bytes ?? []).map { String(format: "%02x", $0) }.joined()
        }

        private static let soon =
            "\nlayered_runtime: {layers: [{name: s, static_layer: {tracing.opentelemetry.min_flush_spans: 1}}]}"

        @Test("Spans of two sidecars are one trace: each the child of the one before")
        func chain() throws {
            let peer = try HTTPPeer()
            let collector = try HTTPPeer(200, body: "")
            let directory = try TemporaryDirectory()
            let inbound = try ProxyUnderTest(
                yaml: Self.sidecar("server", to: peer.port, collector: collector.port).yaml + Self.soon,
                name: "inbound", in: directory)
            let outbound = try ProxyUnderTest(
                yaml: Self.sidecar(
                    "client", to: inbound.port, collector: collector.port,
                    "spawn_upstream_span: true\ncustom_tags: [{tag: who, request_header: {name: x-who}}]",
                    outbound: true
                ).yaml + Self.soon, name: "outbound", in: directory)
            _ = try outbound.fetch("GET", "/cart?x=1", fields: [("x-who", "ada"), ("baggage", "k=v")])
            let spans = try eventually("three spans\n\(outbound.process.logTail)", within: 10) {
                let spans = Self.spans(collector)
                return spans.count >= 3 ? spans : nil
            }
            let seen = try #require(peer.requests.first?.message)
            #expect(seen["baggage"] == "k=v")
            // The decision is in the id.
            let id = seen["x-request-id"] ?? ""
            #expect(id.count == 36 && id.dropFirst(14).first == "9", "\(id)")
            func span(_ service: String, _ kind: UInt64) throws -> WireMessage {
                try #require(spans.first { $0.service == service && $0.span.numbers[6] == [kind] }).span
            }
            let (first, attempt, last) = (try span("client", 2), try span("client", 3), try span("server", 2))
            #expect(first.chunks[4] == nil)
            #expect(attempt.chunks[4] == first.chunks[2])
            #expect(last.chunks[4] == attempt.chunks[2])
            #expect(Set([first, attempt, last].map { $0.chunks[1] }).count == 1)
            let trace = Self.hexadecimal(first.chunks[1]?.first)
            let parent = Self.hexadecimal(last.chunks[2]?.first)
            #expect(seen["traceparent"] == "00-\(trace)-\(parent)-01", "\(seen)")
            #expect(first.attributes["http.url"] == "http://test/cart?x=1")
            #expect(first.attributes["guid:x-request-id"] == id)
            #expect(first.attributes["who"] == "ada")
            #expect(last.text(5) == "ingress")
            try inbound.expectStat("tracing.opentelemetry.spans_sent", 1)
            try outbound.expectStat("tracing.opentelemetry.spans_sent", 2)
            #expect(try outbound.stat("http.main.tracing.random_sampling") == 1)
            let story = try inbound.admin("/explain?id=\(id)")
            #expect(story.status == 200 && story.text.contains(trace), "\(story.text)")
        }

        @Test("A parent that is not sampled is passed on and not exported")
        func unsampled() throws {
            let peer = try HTTPPeer()
            let collector = try HTTPPeer(200, body: "")
            let directory = try TemporaryDirectory()
            let proxy = try ProxyUnderTest(
                yaml: Self.sidecar("server", to: peer.port, collector: collector.port).yaml + Self.soon,
                in: directory)
            let trace = "0af7651916cd43dd8448eb211c80319c"
            _ = try proxy.fetch(fields: [("traceparent", "00-\(trace)-b7ad6b7169203331-00")])
            _ = try proxy.fetch(fields: [("traceparent", "00-\(trace)-b7ad6b7169203331-01")])
            let spans = try eventually("a span\n\(proxy.process.logTail)", within: 10) {
                let spans = Self.spans(collector)
                return spans.isEmpty ? nil : spans
            }
            #expect(spans.count == 1)
            #expect(Self.hexadecimal(spans[0].span.chunks[4]?.first) == "b7ad6b7169203331")
            let parents = peer.requests.map { $0.message["traceparent"] ?? "" }
            #expect(parents[0].hasPrefix("00-\(trace)-") && parents[0].hasSuffix("-00"), "\(parents)")
            #expect(!parents[0].contains("b7ad6b7169203331"))
        }

        @Test("Shares of manager and route decide, and a service can force it")
        func shares() throws {
            let peer = try HTTPPeer()
            let collector = try HTTPPeer(200, body: "")
            var bootstrap = Self.sidecar(
                "server", to: peer.port, collector: collector.port, "random_sampling: {value: 0}")
            bootstrap.manager += """

                use_remote_address: true
                internal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.0, prefix_len: 8}]}
                """
            bootstrap.routes = """
                - match: {prefix: /always}
                  route: {cluster: origin}
                  decorator: {operation: always}
                  tracing: {random_sampling: {numerator: 100}}
                - match: {prefix: /}
                  route: {cluster: origin}
                """
            let proxy = try ProxyUnderTest(yaml: bootstrap.yaml + Self.soon, in: TemporaryDirectory())
            _ = try proxy.fetch("GET", "/")
            _ = try proxy.fetch("GET", "/always")
            _ = try proxy.fetch("GET", "/forced", fields: [("x-envoy-force-trace", "1")])
            _ = try proxy.fetch("GET", "/client", fields: [("x-client-trace-id", "abc")])
            let ids = peer.requests.map { $0.message["x-request-id"] ?? "" }
            #expect(ids.map { $0.dropFirst(14).prefix(1) } == ["4", "9", "a", "b"], "\(ids)")
            try proxy.expectStat("tracing.opentelemetry.spans_sent", 3)
            #expect(Set(Self.spans(collector).map { $0.span.text(5) ?? "" }) == ["always", "ingress"])
            #expect(try proxy.stat("http.main.tracing.not_traceable") == 1)
        }

        @Test(
            "A gRPC collector that others wrote gets every span once, after it has refused the first batch",
            .enabled(
                if: FileManager.default.isExecutableFile(atPath: ControlTests.python),
                "`make setup` makes .tools/venv"))
        func overGRPC() throws {
            let script = repositoryRoot.appendingPathComponent("Tests/SystemTests/peers/trace_collector.py")
                .path
            let binary = try ProcessUnderTest.locate("martlet-proxy").path
            let result = try runTool(ControlTests.python, [script, binary], within: 60)
            #expect(result.status == 0, "\(result.output)\n\(result.errors)")
        }

        @Test("In the mesh a policy names the collector, and sidecars' spans speak OpenTelemetry")
        func mesh() throws {
            let (portal, orders) = (try HTTPPeer(), try HTTPPeer())
            let collector = try HTTPPeer(200, body: "")
            let policy = """
                ---
                apiVersion: martlet.mesh/v1
                kind: TelemetryPolicy
                metadata: {name: spans}
                spec:
                  targetRef: {kind: Mesh}
                  tracing:
                    sampling: 100%
                    otlp: {address: "127.0.0.1:\(collector.port)", protocol: http, path: /spans}

                """
            let control = try ControlUnderTest([
                "mesh.yaml": ControlTests.mesh + ControlTests.service("portal", portal.port)
                    + ControlTests.service("orders", orders.port) + policy
            ])
            let caller = try SidecarUnderTest("portal", app: portal.port, control: control)
            let callee = try SidecarUnderTest("orders", app: orders.port, control: control)
            for sidecar in [caller, callee] { try sidecar.becomeReady() }
            // Spans leave when five wait, or after five seconds.
            try eventually("an answer\n\(caller.process.logTail)", within: 10) {
                try caller.call("orders", "GET", "/first").status == 200 ? true : nil
            }
            for _ in 0..<6 { _ = try caller.call("orders", "GET", "/cart?x=1") }
            let id = try #require(orders.requests.last?.message["traceparent"])
            let trace = id.split(separator: "-")[1]
            let spans = try eventually("a span of each\n\(caller.process.logTail)", within: 15) {
                let spans = Self.spans(collector).filter {
                    Self.hexadecimal($0.span.chunks[1]?.first) == trace
                }
                return spans.count == 2 ? spans : nil
            }
            #expect(collector.requests.allSatisfy { $0.message.firstLine.hasPrefix("POST /spans ") })
            let first = try #require(spans.first { $0.service == "default/portal" }).span
            let second = try #require(spans.first { $0.service == "default/orders" }).span
            #expect(first.numbers[6] == [3] && second.numbers[6] == [2])
            #expect(first.chunks[4] == nil && second.chunks[4] == first.chunks[2])
            #expect(id.contains(Self.hexadecimal(second.chunks[2]?.first)))
            #expect(second.attributes["url.path"] == "/cart")
            #expect(second.attributes["http.response.status_code"] == "200")
            #expect(first.attributes["server.address"] == "orders")
        }

        @Test("martlet explain tells the story of a request that a sidecar remembers, and what flags mean")
        func explain() throws {
            func explain(_ arguments: [String]) throws -> ToolResult {
                try runTool(try ProcessUnderTest.locate("martlet").path, ["explain"] + arguments)
            }
            // A port that nobody listens on: taken, and let go.
            let taken = try HTTPPeer()
            let port = taken.port
            taken.stop()
            let proxy = try ProxyUnderTest(
                yaml: Bootstrap(clusters: [.init(ports: [port])]).yaml, in: TemporaryDirectory())
            let id = "7f1c1ca4-2d29-4d0b-8f5c-0123456789ab"
            #expect(try proxy.fetch(fields: [("x-request-id", id)]).status == 503)
            let address = ["--proxy", "127.0.0.1:\(proxy.adminPort)"]
            let story = try explain([id] + address)
            #expect(story.status == 0, "\(story.errors)")
            for words in ["was answered with 503", "127.0.0.1:\(port)", "UF (UpstreamConnectionFailure)"] {
                #expect(story.output.contains(words), "\(words) in \(story.output)")
            }
            let unknown = try explain(["7f1c1ca4-2d29-4d0b-8f5c-000000000000"] + address)
            #expect(unknown.status == 1 && unknown.errors.contains("no request with that id"))
            let flags = try explain(["URX,UF", "-o", "json"])
            #expect(flags.status == 0 && flags.output.contains("UpstreamRetryLimitExceeded"))
        }

        @Test(
            "While the collector is away memory stays bounded; spans are dropped and counted, and then go again"
        )
        func away() throws {
            let peer = try HTTPPeer()
            // A port that nobody listens on: taken, and let go.
            let taken = try HTTPPeer()
            let port = taken.port
            taken.stop()
            let proxy = try ProxyUnderTest(
                yaml: Self.sidecar("server", to: peer.port, collector: port, "spawn_upstream_span: true").yaml
                    + Self.soon, in: TemporaryDirectory())
            let stream = try proxy.connect()
            for _ in 0..<5000 {
                try stream.sendRequest()
                _ = try proxy.explaining { try stream.readAnswer() }
            }
            // Both spans of a request that found no room in its worker's ring count as one.
            try eventually("drops") {
                try proxy.stat("tracing.opentelemetry.spans_dropped") >= (10_000 - 8192) / 2 ? true : nil
            }
            #expect(try proxy.stat("tracing.opentelemetry.spans_sent") == 0)
            #expect(try proxy.stat("tracing.opentelemetry.reports_failed") > 0)
            #expect(try proxy.fetch().status == 200)
        }
    }
}
