import MeshPrimitives
import Proxy
import Synchronization
import Testing
import XDSClient
import XDSSchema

@testable import ProxyAdmin
@testable import XDSDiscovery

@Suite("Admin pages")
struct AdminPagesTests {
    static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBsjCCAVmgAwIBAgIUM4lv9w9RPVfPJcdB2k1eRcF9JwAwCgYIKoZIzj0EAwIw
        DzENMAsGA1UEAwwEcm9vdDAgFw0yNjExMjMwNzQ3MDdaGA8yMTI2MTAzMDA3NDcw
        N1owDzENMAsGA1UEAwwEcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEvu
        QAYXGMbL8h6menKEUL0wvhtVdKeJsdO24e+yTi/2cZlP4CxKGvcM70/ZMHvFBE6i
        kZ0LBF7CQx0QK5SGwOWjgZAwgY0wHQYDVR0OBBYEFPUju5Rh3QdITp7NXgWkK26m
        MYsTMB8GA1UdIwQYMBaAFPUju5Rh3QdITp7NXgWkK26mMYsTMA8GA1UdEwEB/wQF
        MAMBAf8wOgYDVR0RBDMwMYYic3BpZmZlOi8vdGVzdC9ucy9kZWZhdWx0L3NhL3Nl
        cnZlcoILc2VydmVyLnRlc3QwCgYIKoZIzj0EAwIDRwAwRAIgGxZY53AUwwn/o1dM
        /A2iPDQ89H/N9yeZOKkRAprYWegCIFfl2WMkurWfWbNRw9al5K8rWFR2rXSgjCIw
        Ph1Tz3ko
        -----END CERTIFICATE-----
        """

    static let bootstrap = """
        node: {id: one, cluster: test}
        static_resources:
          listeners:
          - name: main
            address: {socket_address: {address: 127.0.0.1, port_value: 0}}
            filter_chains:
            - filters:
              - name: http
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                  stat_prefix: main
                  route_config:
                    name: inline
                    virtual_hosts:
                    - {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: origin}}]}
                  http_filters:
                  - name: router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          clusters:
          - name: origin
            connect_timeout: 1s
            circuit_breakers: {thresholds: [{max_connections: 7}]}
            load_assignment:
              cluster_name: origin
              endpoints:
              - locality: {zone: a}
                lb_endpoints:
                - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9}}}
                  load_balancing_weight: 3
        """

    @Test("Every page answers, mutations need POST, others are not there")
    func routing() throws {
        let fixture = try PagesFixture(Self.bootstrap)
        let pages = [
            "/", "/ready", "/stats", "/stats?usedonly", "/stats?format=json", "/stats?format=prometheus",
            "/stats/prometheus", "/clusters", "/clusters?format=json", "/listeners", "/listeners?format=json",
            "/config_dump", "/config_dump?include_eds", "/certs", "/server_info", "/memory", "/logging",
            "/help",
            "/recorder", "/recorder?format=json&max=5",
        ]
        for page in pages {
            let answer = fixture.get(page)
            #expect(answer.status == 200 && !answer.body.isEmpty, "\(page): \(answer)")
        }
        for page in ["/quitquitquit", "/healthcheck/fail", "/healthcheck/ok", "/drain_listeners"] {
            let answer = fixture.get(page)
            #expect(answer.status == 405 && answer.head.contains("allow: POST"), "\(page): \(answer)")
        }
        #expect(fixture.post("/stats").status == 405)
        let missing = fixture.get("/nothing")
        #expect(missing.status == 404 && missing.text.contains("/help"))
        for page in [
            "/clusters?format=xml", "/listeners?format=xml", "/stats?format=xml", "/stats?filter=(",
            "/config_dump?mask=a", "/recorder?max=0", "/explain",
        ] {
            #expect(fixture.get(page).status == 400, "\(page)")
        }
        #expect(fixture.get("/explain?id=7e3a").status == 404)
    }

    @Test("Readiness follows the process and /healthcheck")
    func readiness() throws {
        let fixture = try PagesFixture(Self.bootstrap)
        #expect(fixture.get("/ready").text == "LIVE\n")
        fixture.calls.isReady = false
        #expect(fixture.get("/ready").status == 503 && fixture.get("/ready").text == "PRE_INITIALIZING\n")
        fixture.calls.isReady = true
        #expect(fixture.post("/healthcheck/fail").text == "OK\n")
        let isFailed = fixture.server.process.isHealthFailed.load(ordering: .relaxed)
        #expect(isFailed)
        #expect(fixture.get("/ready").status == 503 && fixture.get("/ready").text == "DRAINING\n")
        #expect(fixture.get("/server_info").text.contains(#""state":"DRAINING""#))
        #expect(fixture.post("/healthcheck/ok").status == 200 && fixture.get("/ready").status == 200)
        fixture.calls.isStopping = true
        #expect(fixture.get("/ready").text == "DRAINING\n")
    }

    @Test("Orders reach the process, each once")
    func orders() throws {
        let fixture = try PagesFixture(Self.bootstrap)
        #expect(fixture.post("/drain_listeners?graceful").text == "OK\n" && fixture.calls.drains == 1)
        #expect(fixture.post("/quitquitquit").text == "OK\n")
        fixture.client.wait("the end") { fixture.calls.quits == 1 }
        #expect(fixture.post("/logging?level=debug").text.contains("debug"))
        #expect(fixture.server.process.log.level == .debug)
        #expect(fixture.post("/logging?level=loud").status == 400)
        #expect(fixture.get("/logging?level=error").text.contains("debug"), "reading changes nothing")
    }

    @Test("/listeners and /clusters show what is bound and configured")
    func configured() throws {
        let fixture = try PagesFixture(Self.bootstrap)
        let address = try #require(fixture.server.listenerAddresses.first?.address)
        #expect(address.port != 0)
        #expect(fixture.get("/listeners").text == "main::\(address)\n")
        #expect(fixture.get("/listeners?format=json").text.contains(#""port_value":\#(address.port)"#))
        let text = fixture.get("/clusters").text
        for line in [
            "origin::default_priority::max_connections::7\n", "origin::127.0.0.1:9::weight::3\n",
            "origin::127.0.0.1:9::zone::a\n", "origin::127.0.0.1:9::health_flags::healthy\n",
            "origin::added_via_api::false\n",
        ] {
            #expect(text.contains(line), "\(line) in \(text)")
        }
        let json = fixture.get("/clusters?format=json").text
        #expect(json.hasPrefix(#"{"cluster_statuses":[{"name":"origin""#) && json.hasSuffix("]}\n"))
        #expect(json.contains(#""health_status":{"eds_health_status":"HEALTHY"}"#))
    }

    @Test("/stats has Envoy's names, filtered by an expression")
    func statistics() throws {
        let fixture = try PagesFixture(Self.bootstrap)
        let text = fixture.get("/stats").text
        for line in [
            "cluster.origin.membership_total: 1\n", "server.live: 1\n", "server.state: 0\n",
            "listener_manager.total_listeners_active: 1\n", "cluster_manager.active_clusters: 1\n",
            "cluster.origin.circuit_breakers.default.cx_open: 0\n",
        ] {
            #expect(text.contains(line), "\(line)")
        }
        let lines = fixture.get("/stats?filter=%5Ecluster%5C.origin.*rq_(total%7Cactive)$").text.split(
            separator: "\n")
        #expect(lines == ["cluster.origin.upstream_rq_active: 0", "cluster.origin.upstream_rq_total: 0"])
        let page = fixture.get("/stats/prometheus").text
        #expect(page.contains(#"envoy_cluster_membership_total{envoy_cluster_name="origin"} 1"#))
    }

    @Test("The dump has the types of Envoy's, and what came over the stream")
    func dump() throws {
        let fixture = try PagesFixture(Self.bootstrap)
        var problems = ConfigProblems()
        let cluster = try #require(
            TextReader.read(
                Array("name: dynamic".utf8), as: XDS.Cluster.messageType, file: "", problems: &problems))
        fixture.calls.resources = [
            HeldResource(
                kind: .cluster, name: "dynamic", version: "7", bytes: WireWriter.write(cluster),
                isWarming: false,
                isStatic: false),
            HeldResource(
                kind: .cluster, name: "origin", version: "", bytes: [], isWarming: false, isStatic: true),
        ]
        let text = fixture.get("/config_dump").text
        for part in [
            #"{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.BootstrapConfigDump","bootstrap":{"#,
            #"envoy.admin.v3.ClustersConfigDump","static_clusters":[{"last_updated""#,
            #""dynamic_active_clusters":[{"version_info":"7","#,
            #""cluster":{"@type":"type.googleapis.com/envoy.config.cluster.v3.Cluster","name":"dynamic"}"#,
            "envoy.admin.v3.ListenersConfigDump", "envoy.admin.v3.RoutesConfigDump",
            "envoy.admin.v3.SecretsConfigDump",
            #""static_route_configs""#,
        ] {
            #expect(text.contains(part), "\(part)\n\(text)")
        }
        var read = ConfigProblems()
        // A YAML reader takes JSON, and refuses what is not well formed; the root is no bootstrap.
        _ = TextReader.read(Array(text.utf8), as: XDS.Struct.messageType, file: "", problems: &read)
        #expect(read.isEmpty, "\(read.list.prefix(3))")
    }

    @Test("A private key never leaves, wherever it stands")
    func redaction() throws {
        var problems = ConfigProblems()
        let yaml = """
            static_resources:
              secrets:
              - name: identity
                tls_certificate:
                  certificate_chain: {inline_string: CHAIN}
                  private_key: {inline_string: TOPSECRET}
            """
        let message = try #require(
            TextReader.read(
                Array(yaml.utf8), as: XDS.Bootstrap.messageType, file: "", problems: &problems))
        let secret = try #require(
            message.message(XDS.Bootstrap.staticResources)?.messages(XDS.BootstrapStaticResources.secrets)
                .first)
        let held = HeldResource(
            kind: .secret, name: "sent", version: "1", bytes: WireWriter.write(secret), isWarming: false,
            isStatic: false)
        var dump = ConfigDump(
            bootstrap: message, resources: [held], status: nil, started: "2026-01-01T00:00:00Z",
            withEndpoints: true)
        var bytes: [UInt8] = []
        while let part = dump.next() { bytes += part }
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(!text.contains("TOPSECRET"), "\(text)")
        #expect(text.contains("[redacted]") && text.contains("CHAIN") && text.contains(#""name":"sent""#))
    }

    @Test("/certs has names and dates, and nothing of a key")
    func certificates() throws {
        let indented = Self.certificate.split(separator: "\n").joined(separator: "\\n")
        let yaml =
            Self.bootstrap + """

                    transport_socket:
                      name: tls
                      typed_config:
                        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
                        common_tls_context:
                          validation_context: {trusted_ca: {inline_string: "\(indented)\\n"}}
                """
        let text = try PagesFixture(yaml).get("/certs").text
        for part in [
            #"{"certificates":[{"ca_cert":[{"path":"<inline>","serial_number":"33896ff7"#,
            #""subject_alt_names":[{"uri":"spiffe://test/ns/default/sa/server"},{"dns":"server.test"}]"#,
            #""valid_from":"2026-11-23T07:47:07Z","expiration_time":"2126-10-30T07:47:07Z""#,
            #""days_until_expiration":""#,
        ] {
            #expect(text.contains(part), "\(part)\n\(text)")
        }
    }

    @Test("The other ports have their own pages only")
    func otherPorts() throws {
        let fixture = try PagesFixture(Self.bootstrap)
        func status(_ answer: (AdminRequest) -> AdminAnswer, _ target: String) throws -> UInt16 {
            answer(try #require(AdminRequest(method: .get, target: target))).status
        }
        let pages = fixture.pages
        #expect(try status(pages.answerHealth, "/healthz/ready") == 200)
        #expect(try status(pages.answerHealth, "/ready") == 200)
        #expect(try status(pages.answerHealth, "/config_dump") == 404)
        #expect(try status(pages.answerMetrics, "/stats/prometheus") == 200)
        #expect(try status(pages.answerMetrics, "/metrics") == 200)
        #expect(try status(pages.answerMetrics, "/quitquitquit") == 404)
    }

    @Test("Memory is read from statm, and rubbish is nothing")
    func memory() {
        let memory = MemoryUse(statm: "1000 300 100 50 0 200 0\n")
        #expect(memory.resident == 300 * 4096 && memory.anonymous == 200 * 4096 && memory.data == 200 * 4096)
        #expect(MemoryUse(statm: "x").resident == 0)
        #expect(MemoryUse.current.resident > 0)
    }
}
