import Foundation
import TestSupport
import Testing

extension SystemTests {
    @Suite("TLS")
    struct TLSTests {
        static let serverName = "spiffe://test/ns/default/sa/server"
        static let clientName = "spiffe://test/ns/default/sa/client"

        /// A filter chain's transport socket. With `root`, callers must show a certificate by it.
        static func downstream(
            _ leaf: Certificates.Leaf, root: String? = nil, uri: String? = nil, inlineKey: String? = nil
        ) -> String {
            let key = inlineKey.map {
                "{inline_string: \"\($0.replacingOccurrences(of: "\n", with: "\\n"))\"}"
            }
            return """
                transport_socket:
                  name: envoy.transport_sockets.tls
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
                    require_client_certificate: \(root != nil)
                    common_tls_context:
                      alpn_protocols: [h2, http/1.1]
                      tls_certificates:
                      - certificate_chain: {filename: "\(leaf.certificate)"}
                        private_key: \(key ?? "{filename: \"\(leaf.key)\"}")
                \(indented(validation(root, uri), 6))
                """
        }

        /// A cluster's transport socket.
        static func upstream(_ leaf: Certificates.Leaf?, root: String, uri: String?, http2: Bool = false)
            -> String
        {
            let own = leaf.map {
                """
                tls_certificates:
                - certificate_chain: {filename: "\($0.certificate)"}
                  private_key: {filename: "\($0.key)"}
                """
            }
            return """
                transport_socket:
                  name: envoy.transport_sockets.tls
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
                    sni: server.test
                    common_tls_context:
                      alpn_protocols: [\(http2 ? "h2" : "http/1.1")]
                \(indented(own ?? "", 6))
                \(indented(validation(root, uri), 6))
                """ + (http2 ? "\n" + http2Options : "")
        }

        static let http2Options = """
            typed_extension_protocol_options:
              envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                explicit_http_config: {http2_protocol_options: {}}
            """

        private static func validation(_ root: String?, _ uri: String?) -> String {
            guard let root else { return "" }
            let names = uri.map {
                "\n  match_typed_subject_alt_names: [{san_type: URI, matcher: {exact: \"\($0)\"}}]"
            }
            return "validation_context:\n  trusted_ca: {filename: \"\(root)\"}" + (names ?? "")
        }

        /// A proxy that terminates TLS before a plain peer, and the certificates around it.
        struct Server {
            let certificates: Certificates
            let root: String
            let leaf: Certificates.Leaf
            let client: Certificates.Leaf
            let peer: HTTPPeer
            let proxy: ProxyUnderTest

            init(requireClient: Bool = true, uri: String? = nil) throws {
                certificates = Certificates(in: try TemporaryDirectory())
                root = try certificates.makeAuthority("root")
                leaf = try certificates.makeLeaf(
                    "server", by: "root", uri: TLSTests.serverName, dns: "localhost")
                client = try certificates.makeLeaf("client", by: "root", uri: TLSTests.clientName)
                peer = try HTTPPeer(body: "treasure")
                var bootstrap = Bootstrap(peer.port)
                bootstrap.filterChain = TLSTests.downstream(leaf, root: requireClient ? root : nil, uri: uri)
                bootstrap.manager =
                    "forward_client_cert_details: SANITIZE_SET\nset_current_client_cert_details: {uri: true}"
                proxy = try ProxyUnderTest(bootstrap)
            }

            /// A request through `openssl s_client`.
            func ask(_ identity: Certificates.Leaf?, _ more: [String] = []) throws -> ToolResult {
                let own = identity.map { ["-cert", $0.certificate, "-key", $0.key] } ?? []
                return try runTool(
                    "openssl",
                    [
                        "s_client", "-connect", "127.0.0.1:\(proxy.port)", "-CAfile", root, "-ign_eof",
                        "-servername", "server.test",
                    ]
                        + own + more, input: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            }
        }

        @Test(
            "A caller with a good certificate is served, and its name told to the application",
            arguments: ["-tls1_3", "-tls1_2"])
        func goodCertificate(version: String) throws {
            let server = try Server()
            let result = try server.ask(server.client, [version, "-verify_return_error"])
            #expect(
                result.output.contains("treasure"),
                "\(result.output)\n\(result.errors)\n\(server.proxy.process.logTail)")
            let forwarded = server.peer.requests.first?.message["x-forwarded-client-cert"]
            #expect(forwarded?.contains("URI=\(Self.clientName)") == true, "\(forwarded ?? "none")")
        }

        @Test("Older TLS is refused")
        func oldVersion() throws {
            let server = try Server()
            let result = try server.ask(server.client, ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"])
            #expect(!result.output.contains("treasure"))
        }

        @Test(
            "A caller without a certificate, with a foreign one, with an expired one: refused, counted, logged with the reason"
        )
        func badCertificates() throws {
            let server = try Server()
            try server.certificates.makeAuthority("foreign")
            let foreign = try server.certificates.makeLeaf("stranger", by: "foreign", uri: Self.clientName)
            let expired = try server.certificates.makeLeaf("old", by: "root", uri: Self.clientName, days: -1)
            for (what, leaf) in [("none", nil), ("foreign", foreign), ("expired", expired)] {
                let result = try server.ask(leaf)
                #expect(
                    !result.output.contains("treasure"),
                    "\(what): \(result.output)\n\(server.proxy.process.logTail)")
            }
            #expect(server.peer.requests.isEmpty)
            let noCertificate = try server.proxy.stat(".ssl.fail_verify_no_cert", of: "listener.")
            let unverified = try server.proxy.stat(".ssl.fail_verify_error", of: "listener.")
            let counters = try server.proxy.admin("/stats?filter=ssl").text
            #expect(noCertificate == 1 && unverified == 2, "\(counters)")
            let log = server.proxy.process.log.lowercased()
            #expect(log.contains("expired"), "the reason is in the log\n\(server.proxy.process.logTail)")
        }

        @Test("A caller of another name is refused where names are required")
        func wrongName() throws {
            let server = try Server(uri: "spiffe://test/ns/default/sa/somebody-else")
            #expect(try !server.ask(server.client).output.contains("treasure"))
            #expect(try server.proxy.stat(".ssl.fail_verify_san", of: "listener.") == 1)
        }

        @Test("curl speaks HTTP/2 and HTTP/1.1 by ALPN")
        func alpn() throws {
            let server = try Server()
            for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
                let result = try runTool(
                    "curl",
                    [
                        "-sS", flag, "--cacert", server.root, "--cert", server.client.certificate, "--key",
                        server.client.key,
                        "-w", " %{http_version}", "https://localhost:\(server.proxy.port)/",
                        "--resolve", "localhost:\(server.proxy.port):127.0.0.1",
                    ])
                #expect(
                    result.output == "treasure \(version)",
                    "\(flag): \(result.output) \(result.errors)\n\(server.proxy.process.logTail)")
            }
        }

        @Test("h2load finds every request answered over TLS")
        func h2load() throws {
            let server = try Server(requireClient: false)
            let result = try runTool(
                "h2load", ["-n", "2000", "-c", "10", "-m", "10", "https://127.0.0.1:\(server.proxy.port)/"])
            #expect(
                result.output.contains("2000 succeeded, 0 failed"),
                "\(result.output)\n\(server.proxy.process.logTail)")
        }

        @Test("Plain text on a TLS port is refused")
        func plainText() throws {
            let server = try Server()
            let stream = try server.proxy.connect()
            try stream.sendRequest()
            #expect(stream.isEnded(within: 3))
            #expect(server.peer.requests.isEmpty)
        }

        /// A pair of sidecars with mutual TLS between.
        private static func pair(http2: Bool, expecting name: String, client: Bool = true) throws -> (
            Server, ProxyUnderTest
        ) {
            let server = try Server()
            var bootstrap = Bootstrap(
                server.proxy.port,
                settings: upstream(client ? server.client : nil, root: server.root, uri: name, http2: http2))
            bootstrap.manager = AccessLogTests.log(
                "%RESPONSE_CODE% %UPSTREAM_TRANSPORT_FAILURE_REASON% %RESPONSE_CODE_DETAILS% [%LOCAL_REPLY_BODY%]"
            )
            return (server, try ProxyUnderTest(bootstrap, name: "caller"))
        }

        @Test("Two proxies speak mutual TLS to each other", arguments: [false, true])
        func betweenProxies(http2: Bool) throws {
            let (server, caller) = try Self.pair(http2: http2, expecting: Self.serverName)
            for _ in 0..<5 {
                let answer = try caller.fetch("POST", "/", body: "abc")
                #expect(
                    answer.status == 200 && answer.text == "treasure",
                    "\(answer)\n\(caller.process.logTail)\n\(server.proxy.process.logTail)")
            }
            let forwarded = server.peer.requests.first?.message["x-forwarded-client-cert"] ?? ""
            #expect(forwarded.contains("URI=\(Self.clientName)"), "\(forwarded)")
            #expect(server.peer.requests.count == 5)
            #expect(try caller.lines(of: "access.log", atLeast: 1).first == "200 - via_upstream []")
        }

        @Test("An upstream of another name is refused, and nothing is sent to it")
        func wrongUpstreamName() throws {
            let (server, caller) = try Self.pair(http2: false, expecting: "spiffe://test/ns/default/sa/other")
            let answer = try caller.fetch()
            #expect(answer.status == 503, "\(answer)\n\(caller.process.logTail)")
            #expect(server.peer.requests.isEmpty)
            let refusals = try caller.stat("cluster.origin.ssl.fail_verify_san")
            #expect(refusals >= 1, "every attempt is counted\n\(caller.process.logTail)")
            let line = try caller.lines(of: "access.log", atLeast: 1).first ?? ""
            #expect(
                line.hasPrefix("503 TLS_error:_the_peer's_certificate_has_none_of_the_expected_names")
                    && line.contains(
                        " upstream_reset_before_response_started{remote_connection_failure|TLS_error:_the_peer"
                    )
                    && line.hasSuffix(
                        "[upstream connect error or disconnect/reset before headers. reset reason: remote connection failure]"
                    ), "\(line)")
        }

        @Test("Without a certificate of its own a caller gets 503")
        func callerWithoutCertificate() throws {
            let (server, caller) = try Self.pair(http2: false, expecting: Self.serverName, client: false)
            #expect(try caller.fetch().status == 503, "\(caller.process.logTail)")
            #expect(server.peer.requests.isEmpty)
        }
    }
}
