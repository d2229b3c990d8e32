import Foundation
import TestSupport
import Testing

extension SystemTests {
    @Suite("Names of endpoints")
    struct NameTests {
        /// A name server of the test's own.
        private final class NameServer {
            let port: UInt16
            private let zone: String
            private let process: ProcessUnderTest

            init(_ directory: TemporaryDirectory, _ zone: String) throws {
                self.zone = try directory.write(zone, to: "zone.json")
                let script = repositoryRoot.appendingPathComponent(
                    "Tests/SystemTests/peers/name_server.py"
                ).path
                let file = directory.path("dns-port")
                process = try ProcessUnderTest(tool: "python3", [script, self.zone, file], in: directory)
                guard let port = UInt16(try process.waitForFile(file)) else {
                    throw TestFailure("the name server has no port")
                }
                self.port = port
            }

            func serve(_ zone: String) throws {
                // In one go, or a question could find half of it.
                let other = self.zone + ".new"
                try zone.write(toFile: other, atomically: false, encoding: .utf8)
                guard rename(other, self.zone) == 0 else { throw TestFailure("cannot write the zone") }
            }
        }

        private static func bootstrap(_ type: String, _ name: String, _ port: UInt16, _ server: UInt16)
            -> String
        {
            Bootstrap(
                port,
                settings: """
                    dns_refresh_rate: 0.1s
                    dns_failure_refresh_rate: {base_interval: 0.1s, max_interval: 0.1s}
                    dns_lookup_family: V4_ONLY
                    typed_dns_resolver_config:
                      name: cares
                      typed_config:
                        "@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
                        resolvers: [{socket_address: {address: 127.0.0.1, port_value: \(server)}}]
                        dns_resolver_options: {no_default_search_domain: true}
                        query_timeout_seconds: 1
                        query_tries: 1
                    """
            ).yaml.replacingOccurrences(of: "type: STATIC", with: "type: \(type)")
                .replacingOccurrences(
                    of: "address: 127.0.0.1, port_value: \(port)",
                    with: "address: \(name), port_value: \(port)")
        }

        private static func expect(_ status: Int, _ proxy: ProxyUnderTest, _ why: String) throws {
            try eventually("\(status): \(why)\n\(proxy.process.logTail)") {
                try proxy.fetch().status == status ? true : nil
            }
        }

        @Test(
            "Endpoints follow what the name server says, and stay where it fails",
            arguments: ["STRICT", "LOGICAL"])
        func follows(kind: String) throws {
            let peer = try HTTPPeer(200, body: "here")
            let directory = try TemporaryDirectory()
            let good = #"{"svc.test": {"A": ["127.0.0.1"], "ttl": 3600}}"#
            let names = try NameServer(directory, good)
            let proxy = try ProxyUnderTest(
                yaml: Self.bootstrap("\(kind)_DNS", "svc.test", peer.port, names.port), in: directory)
            // Who serves has asked.
            #expect(try proxy.fetch().text == "here", "\(proxy.process.logTail)")
            // Nobody listens there.
            try names.serve(#"{"svc.test": {"A": ["127.0.0.9"]}}"#)
            try Self.expect(503, proxy, "another address")
            try names.serve(good)
            try Self.expect(200, proxy, "the first address again")
            for failure in [#"{"svc.test": {"rcode": 2}}"#, #"{"svc.test": {"silent": true}}"#] {
                let failures = try proxy.stat("cluster.origin.update_failure")
                try names.serve(failure)
                try eventually("failures\n\(proxy.process.logTail)") {
                    try proxy.stat("cluster.origin.update_failure") >= failures + 2 ? true : nil
                }
                #expect(try proxy.fetch().text == "here")
            }
            try names.serve("{}")
            if kind == "STRICT" {
                try Self.expect(503, proxy, "a name that does not exist")
            } else {
                let attempts = try proxy.stat("cluster.origin.update_success")
                try eventually("answers\n\(proxy.process.logTail)") {
                    try proxy.stat("cluster.origin.update_success") >= attempts + 2 ? true : nil
                }
                #expect(try proxy.fetch().text == "here")
            }
            try names.serve(#"{"svc.test": {"A": ["127.0.0.1"], "truncated": true}}"#)
            try Self.expect(200, proxy, "an answer by TCP")
        }

        @Test("Names of /etc/hosts are found, and a request may name its own destination")
        func hostsAndDestinations() throws {
            let peer = try HTTPPeer(200, body: "here")
            let directory = try TemporaryDirectory()
            let proxy = try ProxyUnderTest(
                yaml: Self.bootstrap("STRICT_DNS", "localhost", peer.port, 9), in: directory)
            #expect(try proxy.fetch().text == "here", "\(proxy.process.logTail)")
            let original = try ProxyUnderTest(
                yaml: Bootstrap(
                    peer.port,
                    settings: "lb_policy: CLUSTER_PROVIDED\noriginal_dst_lb_config: {use_http_header: true}"
                ).yaml.replacingOccurrences(of: "type: STATIC", with: "type: ORIGINAL_DST")
                    .components(separatedBy: "    load_assignment:")[0], name: "original", in: directory)
            let field = "x-envoy-original-dst-host"
            let named = try original.fetch(fields: [(field, "127.0.0.1:\(peer.port)")])
            #expect(named.text == "here", "\(original.process.logTail)")
            #expect(try original.fetch().status == 503)
            #expect(try original.fetch(fields: [(field, "nonsense")]).status == 503)
            #expect(try original.stat("cluster.origin.original_dst_host_invalid") == 1)
        }
    }
}
