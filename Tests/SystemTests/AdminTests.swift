import Foundation
import TestSupport
import Testing

extension SystemTests {
    @Suite("Admin")
    struct AdminTests {
        @Test("Every page answers")
        func pages() throws {
            let peer = try HTTPPeer()
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            for page in [
                "/ready", "/stats", "/stats?usedonly", "/stats?format=json", "/stats?format=prometheus",
                "/stats/prometheus",
                "/clusters", "/clusters?format=json", "/listeners", "/listeners?format=json", "/config_dump",
                "/certs",
                "/server_info", "/memory", "/help",
            ] {
                let answer = try proxy.admin(page)
                #expect(
                    answer.status == 200 && !answer.body.isEmpty,
                    "\(page): \(answer.firstLine)\n\(proxy.process.logTail)")
            }
            #expect(try proxy.admin("/nothing").status == 404)
            #expect(try proxy.admin("/quitquitquit").status == 405)
        }

        @Test("Statistics have Envoy's names and count what happened")
        func statistics() throws {
            let peer = try HTTPPeer { $0.message.target == "/bad" ? .answer(503) : .answer(200) }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            for _ in 0..<4 { _ = try proxy.fetch() }
            _ = try proxy.fetch("GET", "/bad")
            try proxy.expectStat("cluster.origin.upstream_rq_total", 5)
            try proxy.expectStat("cluster.origin.upstream_rq_200", 4)
            try proxy.expectStat("cluster.origin.upstream_rq_5xx", 1)
            try proxy.expectStat("http.main.downstream_rq_total", 5)
            try proxy.expectStat("http.main.downstream_rq_2xx", 4)
            try proxy.expectStat("http.main.downstream_rq_5xx", 1)
            try proxy.expectStat("cluster.origin.upstream_rq_active", 0)
            let page = try proxy.admin("/stats/prometheus").text
            #expect(page.contains("# TYPE envoy_cluster_upstream_rq_total counter"), "\(page.prefix(500))")
            #expect(
                page.contains(#"envoy_cluster_upstream_rq_total{envoy_cluster_name="origin"} 5"#),
                "\(page.prefix(500))")
            #expect(
                page.contains(#"envoy_http_downstream_rq_xx{"#)
                    && page.contains(#"envoy_response_code_class="2""#))
        }

        @Test("/stats can be filtered")
        func filter() throws {
            let peer = try HTTPPeer()
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let lines = try proxy.admin("/stats?filter=upstream_rq_total").text.split(separator: "\n")
            #expect(!lines.isEmpty && lines.allSatisfy { $0.contains("upstream_rq_total") }, "\(lines)")
        }

        @Test("Clusters, listeners and the dump name what is configured")
        func configuration() throws {
            let peer = try HTTPPeer()
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            #expect(try proxy.admin("/clusters").text.contains("origin::127.0.0.1:\(peer.port)::"))
            #expect(try proxy.admin("/listeners").text.contains("main::127.0.0.1:\(proxy.port)"))
            let dump = try proxy.admin("/config_dump")
            let object = try JSONSerialization.jsonObject(with: Data(dump.body)) as? [String: Any]
            #expect((object?["configs"] as? [Any])?.isEmpty == false, "\(dump.text.prefix(300))")
            #expect(dump.text.contains("\(peer.port)"))
        }

        @Test("Secrets do not leave: the dump has no key, /certs has names and dates")
        func secrets() throws {
            let certificates = Certificates(in: try TemporaryDirectory())
            let root = try certificates.makeAuthority("root")
            let leaf = try certificates.makeLeaf(
                "server", by: "root", uri: "spiffe://test/ns/default/sa/server")
            let peer = try HTTPPeer()
            var bootstrap = Bootstrap(peer.port)
            let key = try String(contentsOfFile: leaf.key, encoding: .utf8)
            bootstrap.filterChain = TLSTests.downstream(leaf, root: root, inlineKey: key)
            let proxy = try ProxyUnderTest(bootstrap)
            let secretLine = key.split(separator: "\n").dropFirst().first.map(String.init) ?? "?"
            let dump = try proxy.admin("/config_dump").text
            #expect(
                !dump.contains(secretLine) && dump.contains("[redacted]"), "a private key is in /config_dump")
            let page = try proxy.admin("/certs").text
            #expect(
                page.contains("spiffe://test/ns/default/sa/server") && page.contains("valid_from"), "\(page)")
            #expect(!page.contains(secretLine))
        }

        @Test("After /healthcheck/fail the proxy is not ready, and says so to its callers")
        func healthcheckFail() throws {
            let peer = try HTTPPeer()
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            #expect(try proxy.admin("/ready").text.hasPrefix("LIVE"))
            #expect(try proxy.admin("/healthcheck/fail", method: "POST").status == 200)
            let ready = try proxy.admin("/ready")
            #expect(ready.status == 503 && ready.text.hasPrefix("DRAINING"), "\(ready)")
            let stream = try proxy.connect()
            try stream.sendRequest()
            #expect(try proxy.explaining { try stream.readAnswer() }["connection"] == "close")
            #expect(try proxy.admin("/healthcheck/ok", method: "POST").status == 200)
            #expect(try proxy.admin("/ready").status == 200)
        }

        @Test("POST /quitquitquit ends the process with 0")
        func quit() throws {
            let peer = try HTTPPeer()
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            #expect(try proxy.admin("/quitquitquit", method: "POST").status == 200)
            #expect(try proxy.process.exitStatus(within: 5) == 0)
        }
    }
}
