import Foundation
import TestSupport
import Testing

extension SystemTests {
    @Suite("Control plane")
    struct ControlTests {
        static let mesh = """
            apiVersion: martlet.mesh/v1
            kind: Mesh
            metadata: {name: test}
            spec: {trustDomain: test.example}

            """

        static func service(_ name: String, _ port: UInt16) -> String {
            """
            ---
            apiVersion: martlet.mesh/v1
            kind: Service
            metadata: {name: \(name)}
            spec:
              ports: [{name: http, port: 80, targetPort: \(port)}]

            """
        }

        @Test("It starts on free ports, answers its pages, keeps its secrets to itself, and ends at once")
        func life() throws {
            let control = try ControlUnderTest(["mesh.yaml": Self.mesh + Self.service("orders", 8080)])
            for page in [
                "/healthz", "/readyz", "/metrics", "/api/v1/proxies", "/api/v1/resources",
                "/api/v1/revisions",
            ] {
                let answer = try control.get(page)
                #expect(
                    answer.status == 200,
                    "\(page): \(answer.firstLine) \(answer.text)\n\(control.process.logTail)")
            }
            #expect(Set(control.ports.keys).isSuperset(of: ["xds", "ca", "xds_tls", "http"]))
            #expect(try control.get("/api/v1/resources").text.contains("\"orders\""))
            func mode(_ name: String) -> Int {
                let attributes = try? FileManager.default.attributesOfItem(
                    atPath: control.directory.path(name))
                return attributes?[.posixPermissions] as? Int ?? 0
            }
            #expect(mode("data") == 0o700 && mode("data/admin-token") == 0o600)
            let (seconds, status) = try timed {
                control.process.signal(SIGTERM)
                return try control.process.exitStatus()
            }
            #expect(status == 0 && seconds < 1.5, "\(status) after \(seconds) s\n\(control.process.logTail)")
        }

        @Test(
            "A broken file changes nothing, and is reported by file, line and path; mended, it takes effect")
        func brokenFile() throws {
            let control = try ControlUnderTest(["mesh.yaml": Self.mesh + Self.service("orders", 8080)])
            let before = try control.revision
            try control.resources.write(
                Self.service("quotes", 8081).replacingOccurrences(of: "port: 80,", with: "prot: 80,"),
                to: "more.yaml")
            let refused = try eventually("the refusal\n\(control.process.logTail)") {
                try control.json("/api/v1/status")["refused"] as? [String: Any]
            }
            let errors = (refused["errors"] as? [String] ?? []).joined(separator: "\n")
            #expect(errors.contains("more.yaml:") && errors.contains("spec.ports[0].prot"), "\(errors)")
            #expect(try control.revision == before)
            #expect(
                control.process.log.contains("spec.ports[0].prot"),
                "the log has it too\n\(control.process.logTail)")
            try control.resources.write(Self.service("quotes", 8081), to: "more.yaml")
            try eventually("a new revision\n\(control.process.logTail)") {
                try control.revision > before ? true : nil
            }
            #expect(try control.get("/api/v1/resources").text.contains("\"quotes\""))
        }

        @Test("A folder that does not validate at the start is exit 2, with the place")
        func brokenStart() throws {
            let directory = try TemporaryDirectory()
            try FileManager.default.createDirectory(
                atPath: directory.path("mesh"), withIntermediateDirectories: true)
            try "kind: Nonsense\n".write(
                toFile: directory.path("mesh/bad.yaml"), atomically: true, encoding: .utf8)
            let process = try ProcessUnderTest(
                "martlet-control",
                [
                    "--config", directory.path("mesh"), "--data-dir", directory.path("data"), "--xds-address",
                    "127.0.0.1:0",
                    "--ca-address", "127.0.0.1:0", "--xds-tls-address", "127.0.0.1:0", "--http-address",
                    "127.0.0.1:0",
                ], in: directory)
            #expect(
                try process.exitStatus() == 2 && process.log.contains("bad.yaml:1:"), "\(process.logTail)")
        }

        @Test("martlet validate takes the reference mesh and refuses every invalid one with its message")
        func validate() throws {
            let directory = try TemporaryDirectory()
            func validate(_ path: String) throws -> (Int32, String) {
                let process = try ProcessUnderTest("martlet", ["validate", path], in: directory)
                return (try process.exitStatus(), process.log)
            }
            let root = repositoryRoot.appendingPathComponent("mesh-config")
            let (status, log) = try validate(root.appendingPathComponent("mesh").path)
            #expect(status == 0, "\(log)")
            let folders = try FileManager.default.contentsOfDirectory(
                at: root.appendingPathComponent("invalid"), includingPropertiesForKeys: nil)
            for folder in folders.filter(\.hasDirectoryPath) {
                let (status, text) = try validate(folder.path)
                let log = text.replacingOccurrences(of: folder.path + "/", with: "")
                let expected = try String(
                    contentsOf: folder.appendingPathComponent("expected.txt"), encoding: .utf8)
                #expect(status == 2, "\(folder.lastPathComponent): \(log)")
                for line in expected.split(separator: "\n") {
                    #expect(log.contains(line), "\(folder.lastPathComponent): expected \(line), came \(log)")
                }
            }
        }

        @Test("martlet shows what the control plane has, as table, JSON and YAML")
        func commandLine() throws {
            let control = try ControlUnderTest(["mesh.yaml": Self.mesh + Self.service("orders", 8080)])
            for arguments in [["status"], ["get", "Service"], ["get", "Service", "orders"]] {
                for format in ["table", "json", "yaml"] {
                    let (status, output) = try control.martlet(arguments + ["-o", format])
                    #expect(status == 0 && !output.isEmpty, "\(arguments) -o \(format): \(status): \(output)")
                    if arguments[0] == "get" {
                        #expect(output.contains("orders"), "\(arguments) -o \(format): \(output)")
                    }
                }
            }
            #expect(try control.martlet(["version"]).output.contains("martlet"))
            #expect(try control.martlet(["no-such-verb"]).status == 2)
            let (status, output) = try control.martlet(["get", "Service", "nothing"])
            #expect(status == 1, "\(status): \(output)")
        }

        /// Python with gRPC, made by `make setup`.
        static let python = repositoryRoot.appendingPathComponent(".tools/venv/bin/python").path

        @Test(
            "gRPC clients that others wrote join, are configured, and renew",
            .enabled(
                if: FileManager.default.isExecutableFile(atPath: python), "`make setup` makes .tools/venv"))
        func foreignClients() throws {
            let script = repositoryRoot.appendingPathComponent("Tests/SystemTests/peers/control_plane.py")
                .path
            let binaries = try ["martlet-control", "martlet"].map { try ProcessUnderTest.locate($0).path }
            let result = try runTool(Self.python, [script] + binaries, within: 90)
            #expect(result.status == 0, "\(result.output)\n\(result.errors)")
        }

        @Test(
            "A control plane that others wrote configures a proxy, and is told what is wrong",
            .enabled(
                if: FileManager.default.isExecutableFile(atPath: python), "`make setup` makes .tools/venv"))
        func foreignServer() throws {
            let script = repositoryRoot.appendingPathComponent("Tests/SystemTests/peers/discovery_server.py")
                .path
            let binary = try ProcessUnderTest.locate("martlet-proxy").path
            let result = try runTool(Self.python, [script, binary], within: 90)
            #expect(result.status == 0, "\(result.output)\n\(result.errors)")
        }

        @Test("Writing needs the admin token")
        func adminToken() throws {
            let control = try ControlUnderTest(["mesh.yaml": Self.mesh + Self.service("orders", 8080)])
            let answer = try fetch(
                port: control.httpPort, "POST", "/api/v1/tokens", host: "127.0.0.1",
                fields: [("content-type", "application/json")], body: #"{"service": "default/orders"}"#)
            #expect(answer.status == 401 || answer.status == 403, "\(answer)")
            #expect(try control.makeToken("default/orders").count >= 16)
        }
    }

    @Suite("A mesh")
    struct MeshTests {
        /// portal calls orders; orders answers with what it saw. Both have sidecars.
        struct Mesh {
            let control: ControlUnderTest
            let orders: HTTPPeer
            let ordersSidecar: SidecarUnderTest
            let portalSidecar: SidecarUnderTest

            init(policies: String = "") throws {
                orders = try HTTPPeer { .answer(200, body: "order \($0.message.target)") }
                control = try ControlUnderTest([
                    "mesh.yaml": ControlTests.mesh + ControlTests.service("orders", orders.port)
                        + ControlTests.service("portal", 1),
                    "policies.yaml": policies,
                ])
                ordersSidecar = try SidecarUnderTest("orders", app: orders.port, control: control)
                portalSidecar = try SidecarUnderTest("portal", app: 1, control: control)
                try ordersSidecar.becomeReady()
                try portalSidecar.becomeReady()
                let portal = portalSidecar
                try eventually("the first call from portal to orders\n\(logs)", within: 15) {
                    try portal.call("orders.default").status == 200 ? true : nil
                }
            }

            /// The stories of the requests that failed, as both sidecars tell them.
            var failures: String {
                [ordersSidecar, portalSidecar].flatMap { sidecar in
                    let recorder = try? fetch(port: sidecar.port("admin"), "GET", "/recorder").text
                    return (recorder ?? "no recorder").split(separator: "\n").filter {
                        $0.contains("\"status\":5")
                    }
                }.joined(separator: "\n")
            }

            var logs: String {
                [control.process, ordersSidecar.process, portalSidecar.process].map(\.logTail).joined(
                    separator: "\n")
            }
        }

        static let strict = """
            apiVersion: martlet.mesh/v1
            kind: TLSPolicy
            metadata: {name: strict}
            spec:
              targetRef: {kind: Mesh}
              mtls: strict

            """

        @Test("A service is reached by its name, over mutual TLS, with the caller's identity")
        func call() throws {
            let mesh = try Mesh(policies: Self.strict)
            for host in ["orders", "orders.default", "orders.default:80"] {
                let answer = try mesh.portalSidecar.call(host, "GET", "/1")
                #expect(answer.status == 200 && answer.text == "order /1", "\(host): \(answer)\n\(mesh.logs)")
            }
            let forwarded = mesh.orders.requests.last?.message["x-forwarded-client-cert"] ?? "none"
            #expect(forwarded.contains("URI=spiffe://test.example/ns/default/sa/portal"), "\(forwarded)")
            // Both sidecars tell its story by the id that the first one made and the second one kept.
            let id = mesh.orders.requests.last?.message["x-request-id"] ?? "none"
            for (sidecar, tls) in [(mesh.portalSidecar, "-"), (mesh.ordersSidecar, "TLSv1.3")] {
                let answer = try fetch(port: sidecar.port("admin"), "GET", "/explain?id=\(id)")
                let story = try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any]
                let request = story?["request"] as? [String: Any]
                #expect(request?["request_id"] as? String == id, "\(answer.text)")
                #expect(request?["downstream_tls"] as? String ?? "-" == tls, "\(answer.text)")
            }
        }

        @Test(
            "Strict: no answer without a certificate, neither in the clear nor with TLS; the certificate names the service"
        )
        func strictness() throws {
            let mesh = try Mesh(policies: Self.strict)
            let port = try mesh.ordersSidecar.inboundPort()
            let count = mesh.orders.requests.count
            #expect(throws: TestFailure.self, "\(mesh.logs)") { try fetch(port: port, patience: 3) }
            let shown = try runTool(
                "openssl",
                [
                    "s_client", "-connect", "127.0.0.1:\(port)", "-CAfile", mesh.control.trustBundle,
                    "-ign_eof",
                ],
                input: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(
                !shown.output.contains("order /") && (shown.output + shown.errors).contains("alert"),
                "\(shown)\n\(mesh.logs)")
            #expect(mesh.orders.requests.count == count)
            let directory = try TemporaryDirectory()
            let names = try runTool(
                "openssl",
                ["x509", "-noout", "-ext", "subjectAltName", "-in", directory.write(shown.output, to: "c")])
            #expect(names.output.contains("URI:spiffe://test.example/ns/default/sa/orders"), "\(names)")
        }

        @Test("Permissive: callers in the clear are served too, while sidecars show their certificates")
        func permissive() throws {
            let mesh = try Mesh()
            let port = try mesh.ordersSidecar.inboundPort()
            #expect(try fetch(port: port, "GET", "/plain").text == "order /plain", "\(mesh.logs)")
            let shown = try runTool(
                "openssl",
                ["s_client", "-connect", "127.0.0.1:\(port)", "-CAfile", mesh.control.trustBundle], within: 10
            )
            #expect(shown.output.contains("BEGIN CERTIFICATE"), "\(shown)\n\(mesh.logs)")
            #expect(try mesh.portalSidecar.call("orders.default").status == 200)
            let forwarded = mesh.orders.requests.last?.message["x-forwarded-client-cert"] ?? "none"
            #expect(forwarded.contains("URI=spiffe://test.example/ns/default/sa/portal"), "\(forwarded)")
        }

        @Test("A policy edited in a file is soon in force, and no request is lost")
        func policyChange() throws {
            let mesh = try Mesh(policies: Self.strict)
            let load = try ProcessUnderTest(
                "martlet-load",
                [
                    "--target", "127.0.0.1:\(mesh.portalSidecar.port("outbound"))", "--host",
                    "orders.default", "--connections", "4",
                    "--rate", "400", "--duration", "3", "--warmup", "0", "--json",
                ], in: mesh.control.directory)
            for number in 0..<8 {
                let before = try mesh.control.revision
                let (seconds, _) = try timed {
                    try mesh.control.resources.write(
                        Self.strict + """
                            ---
                            apiVersion: martlet.mesh/v1
                            kind: TimeoutPolicy
                            metadata: {name: orders}
                            spec:
                              targetRef: {kind: Service, name: orders}
                              request: \(number + 5)s

                            """, to: "policies.yaml")
                    try eventually("both sidecars to acknowledge\n\(mesh.logs)") {
                        try mesh.control.haveAcknowledged(2, revision: before + 1) ? true : nil
                    }
                }
                // A tenth of a second where nothing else runs; `make demo` shows it.
                #expect(seconds < 10, "took \(seconds) s\n\(mesh.logs)")
            }
            #expect(try load.exitStatus(within: 20) == 0, "\(load.logTail)")
            #expect(
                load.log.contains("\"status\":{\"2xx\":1200}"),
                "every request is answered: \(load.logTail)\n\(mesh.logs)")
        }

        @Test("Mutual TLS is switched off and on again without losing a request")
        func switchedTLS() throws {
            let mesh = try Mesh(policies: Self.strict)
            let load = try ProcessUnderTest(
                "martlet-load",
                [
                    "--target", "127.0.0.1:\(mesh.portalSidecar.port("outbound"))", "--host",
                    "orders.default", "--connections", "4",
                    "--rate", "400", "--duration", "5", "--warmup", "0", "--json",
                ], in: mesh.control.directory)
            let inbound = try mesh.ordersSidecar.inboundPort()
            for mode in ["disabled", "strict", "disabled", "permissive", "disabled", "strict"] {
                let before = try mesh.control.revision
                try mesh.control.resources.write(
                    Self.strict.replacing("mtls: strict", with: "mtls: \(mode)"), to: "policies.yaml")
                try eventually("both sidecars to acknowledge \(mode)\n\(mesh.logs)") {
                    try mesh.control.haveAcknowledged(2, revision: before + 1) ? true : nil
                }
                // In the clear a caller from outside is answered unless it is strict.
                let direct = try? fetch(port: inbound, "GET", "/direct", patience: 3)
                #expect((direct?.status == 200) == (mode != "strict"), "\(mode)\n\(mesh.logs)")
            }
            // The recorders' depth is less than what is still to come.
            let failures = mesh.failures
            #expect(try load.exitStatus(within: 20) == 0, "\(load.logTail)")
            #expect(
                load.log.contains("\"status\":{\"2xx\":2000}"),
                "every request is answered: \(load.logTail)\n\(failures)\n\(mesh.logs)")
        }

        @Test(
            "Who follows the events sees a change of the files, what is wrong with them, and proxies in step")
        func events() throws {
            let mesh = try Mesh()
            let follower = try ProcessUnderTest(
                tool: "curl", ["-sN", "\(mesh.control.url)/api/v1/events"], in: mesh.control.directory)
            try eventually("the stream of events") {
                follower.log.hasPrefix(": martlet-control") ? true : nil
            }
            try mesh.control.resources.write("kind: Nonsense\n", to: "policies.yaml")
            try eventually("the refused load\n\(follower.log)") {
                follower.log.contains("event: load\ndata: {\"refused\":") ? true : nil
            }
            try mesh.control.resources.write(Self.strict, to: "policies.yaml")
            for service in ["orders", "portal"] {
                try eventually("\(service) to be in step\n\(follower.log)\n\(mesh.logs)") {
                    follower.log.split(separator: "\n").contains {
                        $0.contains("\"change\":\"inStep\"")
                            && $0.contains("\"service\":\"default/\(service)\"")
                    } ? true : nil
                }
            }
            #expect(follower.log.contains("event: revision\ndata: {\"changes\":[{\"action\":\"created\""))
            mesh.control.process.signal(SIGTERM)
            #expect(try mesh.control.process.exitStatus(within: 5) == 0)
            #expect(try follower.exitStatus(within: 5) == 0, "the stream ends, and is not cut")
        }

        @Test("A rate limit on a service is kept by its sidecar")
        func rateLimit() throws {
            let mesh = try Mesh(
                policies: Self.strict + """
                    ---
                    apiVersion: martlet.mesh/v1
                    kind: RateLimitPolicy
                    metadata: {name: orders}
                    spec:
                      targetRef: {kind: Service, name: orders}
                      local: {requests: 5, per: 1h, burst: 5}

                    """)
            let answers = try (0..<10).map { _ in try mesh.portalSidecar.call("orders.default") }
            let limited = answers.filter { $0.status == 429 }
            // One token went to the first call.
            #expect(limited.count == 6, "\(answers.map(\.status))\n\(mesh.logs)")
            #expect(
                limited.allSatisfy { $0["x-ratelimit-limit"] != nil && $0["retry-after"] != nil },
                "\(limited.first.debugDescription)")
        }

        @Test("A request without a trace gets one, and a given one passes byte for byte")
        func tracing() throws {
            let mesh = try Mesh()
            _ = try mesh.portalSidecar.call("orders.default")
            let begun = mesh.orders.requests.last?.message["traceparent"] ?? "none"
            #expect(begun.wholeMatch(of: #/00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]/#) != nil, "\(begun)")
            let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            _ = try mesh.portalSidecar.call(
                "orders.default", fields: [("traceparent", given), ("tracestate", "a=1")])
            #expect(mesh.orders.requests.last?.message["traceparent"] == given)
            _ = try mesh.portalSidecar.call("orders.default", fields: [("traceparent", "00-zz-1-1")])
            let mended = mesh.orders.requests.last?.message["traceparent"] ?? "none"
            #expect(mended.wholeMatch(of: #/00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]/#) != nil, "\(mended)")
        }

        @Test("A POST that the application dropped is sent once")
        func singlePost() throws {
            let mesh = try Mesh()
            mesh.orders.isDropping = true
            let before = mesh.orders.requests.count
            let answer = try mesh.portalSidecar.call("orders.default", "POST", "/pay", body: "1")
            #expect(answer.status == 503, "\(answer)\n\(mesh.logs)")
            #expect(mesh.orders.requests.count == before + 1)
        }

        @Test("An application that went away is a 503")
        func applicationAway() throws {
            let mesh = try Mesh()
            mesh.orders.stop()
            let answer = try mesh.portalSidecar.call("orders.default", "POST", "/pay", body: "1")
            #expect(answer.status == 503, "\(answer)\n\(mesh.logs)")
        }

        @Test("Without a control plane traffic goes on, and with it again the sidecars come back")
        func controlPlaneAway() throws {
            let mesh = try Mesh(policies: Self.strict)
            mesh.control.process.signal(SIGKILL)
            _ = try mesh.control.process.exitStatus()
            for _ in 0..<20 {
                #expect(try mesh.portalSidecar.call("orders.default").status == 200, "\(mesh.logs)")
            }
            try mesh.control.restart()
            let revision = try mesh.control.revision
            try eventually("both sidecars to be connected again\n\(mesh.logs)", within: 30) {
                try mesh.control.haveAcknowledged(2, revision: revision) ? true : nil
            }
            #expect(try mesh.portalSidecar.call("orders.default").status == 200, "\(mesh.logs)")
        }

        @Test("A join token serves once, for its service only")
        func joinTokens() throws {
            let control = try ControlUnderTest([
                "mesh.yaml": ControlTests.mesh + ControlTests.service("orders", 1)
                    + ControlTests.service("portal", 2)
            ])
            let token = try control.makeToken("default/orders")
            let first = try SidecarUnderTest("orders", app: 1, control: control, token: token)
            try first.becomeReady()
            for service in ["orders", "portal"] {
                let second = try SidecarUnderTest(
                    service, app: 2, control: control, token: token, name: "second-\(service)")
                usleep(1_500_000)
                let proxies = try control.json("/api/v1/proxies")["proxies"] as? [Any]
                #expect(proxies?.count == 1, "\(second.process.logTail)")
            }
        }

        @Test("Ten sidecars acknowledge a change within a second")
        func tenSidecars() throws {
            let control = try ControlUnderTest([
                "mesh.yaml": ControlTests.mesh + ControlTests.service("orders", 1)
            ])
            let sidecars = try (0..<10).map {
                try SidecarUnderTest("orders", app: 1, control: control, name: "sidecar-\($0)")
            }
            for sidecar in sidecars { try sidecar.becomeReady() }
            let revision = try control.revision
            try eventually("ten sidecars\n\(control.process.logTail)", within: 20) {
                try control.haveAcknowledged(10, revision: revision) ? true : nil
            }
            let (seconds, _) = try timed {
                try control.resources.write(Self.strict, to: "policies.yaml")
                try eventually("ten acknowledgements\n\(control.process.logTail)") {
                    try control.haveAcknowledged(10, revision: revision + 1) ? true : nil
                }
            }
            #expect(seconds < 1, "took \(seconds) s\n\(control.process.logTail)")
        }
    }
}
