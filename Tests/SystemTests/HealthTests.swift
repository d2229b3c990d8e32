import Foundation
import TestSupport
import Testing

extension SystemTests {
    @Suite("Health checks")
    struct HealthTests {
        /// What an endpoint says to a check, and to everybody else.
        private final class Mood: @unchecked Sendable {
            private let lock = NSLock()
            private var health = 200
            private var marks: [(String, String)] = []

            var status: Int {
                get { lock.withLock { health } }
                set { lock.withLock { health = newValue } }
            }
            /// Fields of answers that are no checks.
            var fields: [(String, String)] {
                get { lock.withLock { marks } }
                set { lock.withLock { marks = newValue } }
            }

            func peer(_ name: String) throws -> HTTPPeer {
                try HTTPPeer { [self] request in
                    request.message.target == "/health"
                        ? .answer(status, body: "") : .answer(200, fields: fields, body: name)
                }
            }
        }

        private static let check = """
            common_lb_config: {healthy_panic_threshold: {value: 0}}
            health_checks:
            - timeout: 1s
              interval: 0.05s
              no_traffic_interval: 0.05s
              unhealthy_threshold: 2
              healthy_threshold: 2
              event_log_path: events.json
              http_health_check: {path: /health}
            """

        private static func bodies(_ proxy: ProxyUnderTest, _ count: Int = 8) throws -> Set<String> {
            Set(try (0..<count).map { _ in try proxy.fetch().text })
        }

        private static func flags(_ proxy: ProxyUnderTest, _ port: UInt16) throws -> String {
            let line = try proxy.admin("/clusters").text.split(separator: "\n").first {
                $0.contains(":\(port)::health_flags::")
            }
            return line.flatMap { $0.components(separatedBy: "::").last } ?? "none"
        }

        @Test("An endpoint that turns bad gets no requests until it is good again; nobody sees an error")
        func turns() throws {
            let (left, right) = (Mood(), Mood())
            let peers = (try left.peer("left"), try right.peer("right"))
            let proxy = try ProxyUnderTest(Bootstrap(peers.0.port, peers.1.port, settings: Self.check))
            // Who serves has checked: the first request finds both.
            #expect(try Self.bodies(proxy) == ["left", "right"])
            right.status = 503
            try eventually("the right one to be left out\n\(proxy.process.logTail)") {
                try Self.flags(proxy, peers.1.port) == "/failed_active_hc" ? true : nil
            }
            #expect(try Self.bodies(proxy) == ["left"])
            right.status = 200
            try eventually("the right one to come back\n\(proxy.process.logTail)") {
                try Self.bodies(proxy) == ["left", "right"] ? true : nil
            }
            let events = try proxy.lines(of: "events.json", atLeast: 4)
            #expect(events.count { $0.contains("\"add_healthy_event\":{\"first_check\":true}") } == 2)
            #expect(
                events.count {
                    $0.contains(
                        "\"eject_unhealthy_event\":{\"failure_type\":\"ACTIVE\",\"http_status_code\":503}")
                } == 1)
            #expect(try proxy.stat("cluster.origin.upstream_rq_5xx") == 0)
            #expect(try proxy.stat("cluster.origin.health_check.healthy") == 2)
        }

        @Test("Any answer may ask to leave its endpoint out; a check brings it back")
        func immediateFailure() throws {
            let mood = Mood()
            let peer = try mood.peer("one")
            mood.fields = [("x-envoy-immediate-health-check-fail", "true")]
            let proxy = try ProxyUnderTest(
                Bootstrap(
                    peer.port, settings: Self.check.replacingOccurrences(of: "0.05s", with: "0.5s")))
            #expect(try proxy.fetch().status == 200)
            #expect(
                try Self.flags(proxy, peer.port) == "/failed_active_hc/excluded_via_immediate_hc_fail")
            #expect(try proxy.fetch().status == 503)
            mood.fields = []
            try eventually("the endpoint to come back\n\(proxy.process.logTail)") {
                try proxy.fetch().status == 200 ? true : nil
            }
            #expect(try proxy.stat("cluster.origin.health_check.passive_failure") == 1)
        }

        @Test("The health check filter answers for the proxy, as well as its clusters and its operator are")
        func filter() throws {
            let mood = Mood()
            let peer = try mood.peer("one")
            var bootstrap = Bootstrap(peer.port, settings: Self.check)
            bootstrap.filters = """
                - name: envoy.filters.http.health_check
                  typed_config:
                    "@type": \(Bootstrap.typePrefix).filters.http.health_check.v3.HealthCheck
                    pass_through_mode: false
                    headers: [{name: ":path", string_match: {exact: /well}}]
                    cluster_min_healthy_percentages: {origin: {value: 100}}
                """
            let proxy = try ProxyUnderTest(bootstrap)
            #expect(try proxy.fetch("GET", "/well").status == 200)
            let served = peer.requests.count { $0.message.target == "/well" }
            #expect(served == 0)
            mood.status = 500
            try eventually("the cluster to be down\n\(proxy.process.logTail)") {
                try proxy.fetch("GET", "/well").status == 503 ? true : nil
            }
            mood.status = 200
            try eventually("the cluster to be up\n\(proxy.process.logTail)") {
                try proxy.fetch("GET", "/well").status == 200 ? true : nil
            }
            _ = try proxy.admin("/healthcheck/fail", method: "POST")
            #expect(try proxy.fetch("GET", "/well").status == 503)
            #expect(try proxy.fetch()["x-envoy-immediate-health-check-fail"] == "true")
            _ = try proxy.admin("/healthcheck/ok", method: "POST")
            #expect(try proxy.fetch("GET", "/well").status == 200)
        }
    }
}
