import Foundation
import TestSupport
import Testing

extension SystemTests {
    @Suite("Start and end")
    struct LifecycleTests {
        @Test(
            "SIGTERM and SIGINT end an idle proxy well within a second, with 0", arguments: [SIGTERM, SIGINT])
        func quickEnd(signal: Int32) throws {
            let peer = try HTTPPeer()
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let idle = try proxy.connect()
            try idle.sendRequest()
            #expect(try proxy.explaining { try idle.readAnswer() }.status == 200)
            let (seconds, status) = try timed {
                proxy.process.signal(signal)
                return try proxy.process.exitStatus(within: 5)
            }
            #expect(status == 0, "\(proxy.process.logTail)")
            #expect(seconds < 1, "took \(seconds) s\n\(proxy.process.logTail)")
        }

        @Test("A request in flight at SIGTERM gets its answer, and then the process ends")
        func gracefulEnd() throws {
            let peer = try HTTPPeer { _ in .delayed(0.6, .answer(200, body: "finished")) }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port), arguments: ["--drain-time-s", "5"])
            let stream = try proxy.connect()
            try stream.sendRequest()
            try eventually("the request at the peer") { peer.requests.isEmpty ? nil : true }
            proxy.process.signal(SIGTERM)
            let answer = try proxy.explaining { try stream.readAnswer() }
            #expect(answer.text == "finished" && answer["connection"] == "close", "\(answer)")
            #expect(try proxy.process.exitStatus(within: 5) == 0)
            #expect(throws: TestFailure.self) { try TCPStream(port: proxy.port) }
        }

        @Test("The drain time bounds the wait")
        func boundedDrain() throws {
            let peer = try HTTPPeer { _ in .hang }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port), arguments: ["--drain-time-s", "1"])
            let stream = try proxy.connect()
            try stream.sendRequest()
            try eventually("the request at the peer") { peer.requests.isEmpty ? nil : true }
            let (seconds, status) = try timed {
                proxy.process.signal(SIGTERM)
                return try proxy.process.exitStatus(within: 5)
            }
            #expect(
                status == 0 && seconds > 0.5 && seconds < 3,
                "\(status) after \(seconds) s\n\(proxy.process.logTail)")
        }

        @Test("A second signal ends it at once")
        func secondSignal() throws {
            let peer = try HTTPPeer { _ in .hang }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port), arguments: ["--drain-time-s", "60"])
            let stream = try proxy.connect()
            try stream.sendRequest()
            try eventually("the request at the peer") { peer.requests.isEmpty ? nil : true }
            proxy.process.signal(SIGTERM)
            usleep(200_000)
            #expect(proxy.process.isRunning, "\(proxy.process.logTail)")
            proxy.process.signal(SIGTERM)
            _ = try proxy.process.exitStatus(within: 1)
        }

        @Test("An address that another process has is exit 1, and says so")
        func addressInUse() throws {
            let peer = try HTTPPeer()
            let first = try ProxyUnderTest(Bootstrap(peer.port))
            var bootstrap = Bootstrap(peer.port)
            bootstrap.listenPort = first.port
            let file = try first.directory.write(bootstrap.yaml, to: "second.yaml")
            let second = try ProcessUnderTest(
                "martlet-proxy", ["-c", file], in: first.directory, name: "second")
            #expect(try second.exitStatus(within: 5) == 1, "\(second.logTail)")
            #expect(
                second.log.lowercased().contains("address") && second.log.contains("in use"),
                "\(second.logTail)")
            #expect(try first.fetch().status == 200)
        }

        @Test("Descriptors do not leak over many connections")
        func descriptors() throws {
            let peer = try HTTPPeer()
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            for _ in 0..<5 { _ = try proxy.fetch() }
            let before = try proxy.process.descriptorCount()
            for number in 0..<200 {
                if number % 3 == 0 { try proxy.connect().reset() } else { _ = try proxy.fetch() }
            }
            try eventually("descriptors to be \(before) or so\n\(proxy.process.logTail)") {
                try proxy.process.descriptorCount() <= before + 4 ? true : nil
            }
        }
    }

    @Suite("Command line of martlet-proxy")
    struct CommandLineTests {
        private func run(_ arguments: [String], in directory: TemporaryDirectory) throws -> (Int32, String) {
            let process = try ProcessUnderTest("martlet-proxy", arguments, in: directory)
            return (try process.exitStatus(within: 10), process.log)
        }

        @Test("--help and --version are 0, an unknown flag and a missing file are 2")
        func usage() throws {
            let directory = try TemporaryDirectory()
            let (help, text) = try run(["--help"], in: directory)
            #expect(help == 0 && text.contains("--concurrency"), "\(text)")
            #expect(try run(["--version"], in: directory).0 == 0)
            #expect(try run(["--no-such-flag"], in: directory).0 == 2)
            let (missing, reason) = try run(["-c", directory.path("none.yaml")], in: directory)
            #expect(missing == 2 && reason.contains("none.yaml"), "\(reason)")
        }

        @Test("--mode validate says nothing against a good file, in YAML and JSON")
        func validateGood() throws {
            let directory = try TemporaryDirectory()
            let yaml = try directory.write(Bootstrap(8080).yaml, to: "good.yaml")
            let (status, log) = try run(["-c", yaml, "--mode", "validate"], in: directory)
            #expect(status == 0, "\(log)")
            let json = try directory.write(
                #"{"node": {"id": "a", "cluster": "b"}, "static_resources": {"clusters": []}}"#,
                to: "good.json")
            #expect(try run(["-c", json, "--mode", "validate"], in: directory).0 == 0)
        }

        @Test("Every example bootstrap is accepted")
        func examples() throws {
            let directory = try TemporaryDirectory()
            let certificates = Certificates(in: directory)
            try certificates.makeAuthority("bundle")
            let leaf = try certificates.makeLeaf("chain", by: "bundle")
            let folder = repositoryRoot.appendingPathComponent("mesh-config/bootstrap")
            for url in try FileManager.default.contentsOfDirectory(
                at: folder, includingPropertiesForKeys: nil)
            {
                // They name files that an operator would have.
                let text = try String(contentsOf: url, encoding: .utf8)
                    .replacingOccurrences(of: "/etc/martlet/key.pem", with: leaf.key)
                    .replacingOccurrences(of: "/etc/martlet", with: directory.url.path)
                let file = try directory.write(text, to: url.lastPathComponent)
                let (status, log) = try run(["-c", file, "--mode", "validate"], in: directory)
                #expect(status == 0, "\(url.lastPathComponent): \(log)")
            }
        }

        struct BadCase: Sendable, CustomTestStringConvertible {
            let testDescription: String
            let yaml: String
            let message: String
        }

        static let badCases: [BadCase] = [
            BadCase(
                testDescription: "a field that is not supported",
                yaml: Bootstrap(1, settings: "preconnect_policy: {predictive_preconnect_ratio: 1.0}")
                    .yaml,
                message: "static_resources.clusters[0].preconnect_policy"),
            BadCase(
                testDescription: "a field that does not exist",
                yaml: Bootstrap(1, settings: "conect_timeout: 1s").yaml,
                message: "static_resources.clusters[0].conect_timeout"),
            BadCase(
                testDescription: "a number for a text", yaml: "node: {id: n, cluster: c}", message: "node.id"),
            BadCase(
                testDescription: "an unknown extension",
                yaml: Bootstrap(
                    1,
                    settings:
                        "transport_socket: {name: x, typed_config: {\"@type\": type.googleapis.com/no.such.Thing}}"
                ).yaml,
                message: "static_resources.clusters[0].transport_socket.typed_config"),
            BadCase(
                testDescription: "a negative size",
                yaml: Bootstrap(1, settings: "circuit_breakers: {thresholds: [{max_requests: -1}]}").yaml,
                message: "static_resources.clusters[0].circuit_breakers.thresholds[0].max_requests"),
            BadCase(testDescription: "no YAML at all", yaml: "static_resources: [", message: ":"),
        ]

        @Test("A file that is refused is exit 2 with the whole path of what is wrong", arguments: badCases)
        func validateBad(_ example: BadCase) throws {
            let directory = try TemporaryDirectory()
            let file = try directory.write(example.yaml, to: "bad.yaml")
            for mode in ["validate", "serve"] {
                let (status, log) = try run(["-c", file, "--mode", mode], in: directory)
                #expect(status == 2 && log.contains(example.message), "\(mode): \(status): \(log)")
            }
        }

        @Test("A route to a cluster that does not exist is refused at start")
        func unknownCluster() throws {
            let directory = try TemporaryDirectory()
            var bootstrap = Bootstrap(1)
            bootstrap.routes = "- match: {prefix: /}\n  route: {cluster: nowhere}"
            let file = try directory.write(bootstrap.yaml, to: "bad.yaml")
            let (status, log) = try run(["-c", file, "--mode", "validate"], in: directory)
            #expect(status == 2 && log.contains("nowhere"), "\(status): \(log)")
        }

        @Test("--config-yaml is merged over the file")
        func merge() throws {
            let peer = try HTTPPeer()
            let proxy = try ProxyUnderTest(
                Bootstrap(peer.port), arguments: ["--config-yaml", "node: {id: other, cluster: more}"])
            #expect(try proxy.fetch().status == 200)
            #expect(try proxy.admin("/config_dump").text.contains("other"))
        }
    }
}
