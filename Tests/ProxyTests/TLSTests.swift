import Foundation
import MeshModel
import MeshPrimitives
import Telemetry
import TestSupport
import Testing

@testable import Proxy

@Suite("TLS on either side")
struct TLSTests {
    /// A proxy whose listener speaks TLS.
    private func server(
        _ tls: DownstreamTLS, _ endpoints: [UInt16], plainToo: Bool = false,
        change: (inout HTTPConnectionManager, inout Cluster, inout Forward) -> Void = { _, _, _ in }
    ) throws -> ProxyFixture {
        var configuration = ProxyFixture.configuration(endpoints: endpoints, change: change)
        configuration.listeners[0].filterChains[0].tls = tls
        if plainToo {
            configuration.listeners[0].inspectsTLS = true
            configuration.listeners[0].filterChains[0].match.transportProtocol = .tls
            var plain = configuration.listeners[0].filterChains[0]
            plain.tls = nil
            plain.match.transportProtocol = .rawBuffer
            configuration.listeners[0].filterChains.append(plain)
        }
        return try ProxyFixture(configuration)
    }

    @Test("Callers by TLS are served, over HTTP/1.1 and HTTP/2 by what they agree on")
    func downstream() throws {
        let fixture = try TLSFixture()
        let peer = try HTTPPeer { request in .answer(200, body: "got \(request.message.bodyCount)") }
        let tls = try fixture.settings(try fixture.leaf("server"), alpn: ["h2", "http/1.1"], verifies: false)
        let proxy = try server(DownstreamTLS(settings: tls), [peer.port])
        let url = "https://localhost:\(proxy.port)/"
        let first = try curl("--http1.1", "--cacert", fixture.root, url)
        #expect(first.status == 200 && first.body == "got 0|1.1")
        let second = try curl("--http2", "--cacert", fixture.root, url)
        #expect(second.body == "got 0|2")
        let body = try fixture.directory.write(String(repeating: "x", count: 700_000), to: "body")
        for version in ["--http1.1", "--http2"] {
            let answer = try curl(
                version, "--cacert", fixture.root, "-H", "Expect:", "--data-binary", "@\(body)", url)
            #expect(answer.body.hasPrefix("got 700000|"))
        }
        #expect(peer.requests.first?.message["x-forwarded-proto"] == "https")
        try proxy.expect(.sslHandshake as ListenerCounter, 4)
        try proxy.expect(.downstreamCxActive as ListenerCounter, 0)
    }

    @Test("A head in pieces, each in a record of its own, is one head")
    func pieces() throws {
        let fixture = try TLSFixture()
        let peer = try HTTPPeer(200, body: "hello")
        let tls = try fixture.settings(try fixture.leaf("server"), verifies: false)
        let proxy = try server(DownstreamTLS(settings: tls), [peer.port])
        // The shell writes at its own pace, and s_client makes a record of each write.
        let script = """
            (printf 'GET / HT'; sleep 0.05; printf 'TP/1.1\\r\\nHost: a\\r\\n'; sleep 0.05; \
            printf 'Connection: close\\r\\n\\r\\n'; sleep 0.2) | \
            openssl s_client -quiet -connect 127.0.0.1:\(proxy.port) -CAfile \(fixture.root)
            """
        let result = try runTool("sh", ["-c", script])
        #expect(result.output.hasPrefix("HTTP/1.1 200"))
        #expect(result.output.hasSuffix("hello"))
    }

    @Test("What a policy in shadow mode would refuse in the clear is counted, recorded and served")
    func refusedInShadow() throws {
        let peer = try HTTPPeer(200, body: "hello")
        for isWatched in [true, false] {
            var configuration = ProxyFixture.configuration(endpoints: [peer.port])
            configuration.listeners[0].filterChains[0].isRefusedInShadow = isWatched
            let proxy = try ProxyFixture(configuration)
            let client = try proxy.client()
            for _ in 0..<2 {
                try client.sendRequest()
                #expect(try client.readAnswer().text == "hello")
            }
            try proxy.expect(.downstreamCxTotal as ListenerCounter, 1)
            #expect(proxy.count(.shadowPlainTextRefused as ListenerCounter) == (isWatched ? 1 : 0))
            #expect(proxy.lastRecord?.shadows == (isWatched ? .plainText : []))
        }
    }

    @Test("A permissive listener takes TLS and plain text")
    func permissive() throws {
        let fixture = try TLSFixture()
        let peer = try HTTPPeer(200, body: "hello")
        let tls = try fixture.settings(try fixture.leaf("server"), verifies: false)
        let proxy = try server(DownstreamTLS(settings: tls), [peer.port], plainToo: true)
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().text == "hello")
        for byte in Array("GET / HTTP/1.1\r\nhost: a\r\n\r\n".utf8) { try client.send([byte]) }
        #expect(try client.readAnswer().text == "hello")
        #expect(try curl("--cacert", fixture.root, "https://localhost:\(proxy.port)/").body == "hello|1.1")
        try proxy.expect(.sslHandshake as ListenerCounter, 1)
    }

    @Test("A copy of a request names the caller as the request does")
    func mirroredIdentity() throws {
        let fixture = try TLSFixture()
        let peer = try HTTPPeer()
        let tls = try fixture.settings(try fixture.leaf("server"))
        let proxy = try server(DownstreamTLS(settings: tls, requiresClientCertificate: true), [peer.port]) {
            manager, _, forward in
            manager.forwardClientCertificate = .sanitizeSet
            manager.currentClientCertificate.uri = true
            forward.mirrors = [Mirror(target: .cluster("peer"))]
        }
        let good = try fixture.leaf("good")
        let answer = try curl(
            "--cacert", fixture.root, "--cert", good.certificate, "--key", good.key,
            "-H", "x-forwarded-client-cert: URI=spiffe://mesh/liar", "https://localhost:\(proxy.port)/")
        #expect(answer.status == 200)
        let both = try eventually("the request and its copy") {
            peer.requests.count == 2 ? peer.requests.map(\.message) : nil
        }
        for field in ["x-forwarded-client-cert", "x-forwarded-proto"] {
            #expect(both[0][field] == both[1][field])
        }
        #expect(both[0]["x-forwarded-proto"] == "https")
        #expect(both[0]["x-forwarded-client-cert"]?.hasSuffix(";URI=spiffe://mesh/good") == true)
    }

    @Test("A caller whose certificate is wrong or missing is refused, and counted")
    func refused() throws {
        let fixture = try TLSFixture()
        try fixture.certificates.makeAuthority("stranger")
        let peer = try HTTPPeer()
        let tls = try fixture.settings(try fixture.leaf("server"))
        let proxy = try server(DownstreamTLS(settings: tls, requiresClientCertificate: true), [peer.port]) {
            manager, _, _ in
            manager.forwardClientCertificate = .sanitizeSet
            manager.currentClientCertificate.uri = true
            manager.currentClientCertificate.certificate = true
        }
        let url = "https://localhost:\(proxy.port)/"
        let good = try fixture.leaf("good")
        #expect(
            try curl("--cacert", fixture.root, "--cert", good.certificate, "--key", good.key, url).status
                == 200)
        let told = try #require(peer.requests.last?.message["x-forwarded-client-cert"])
        #expect(told.contains("By=spiffe://mesh/server;Hash=") && told.hasSuffix(";URI=spiffe://mesh/good"))
        let whole = try #require(told.split(separator: ";").first { $0.hasPrefix("Cert=") })
        let sent = String(
            decoding: try Data(contentsOf: URL(fileURLWithPath: good.certificate)), as: UTF8.self)
        let block = sent.components(separatedBy: "-----END")[0] + "-----END CERTIFICATE-----\n"
        #expect(whole.dropFirst(6).dropLast().removingPercentEncoding == block)
        let bad = try fixture.leaf("bad", by: "stranger")
        #expect(throws: TestFailure.self) {
            try curl("--cacert", fixture.root, "--cert", bad.certificate, "--key", bad.key, url)
        }
        #expect(throws: TestFailure.self) { try curl("--cacert", fixture.root, url) }
        #expect(peer.requests.count == 1)
        try proxy.expect(.sslFailVerifyError as ListenerCounter, 1)
        try proxy.expect(.sslFailVerifyNoCert as ListenerCounter, 1)
        let plain = try proxy.client()
        try plain.sendRequest()
        #expect(plain.isEnded(within: 5))
        try proxy.expect(.sslConnectionError as ListenerCounter, 1)
    }

    @Test("Access logs and header values tell of the caller's TLS session")
    func operators() throws {
        let fixture = try TLSFixture()
        let peer = try HTTPPeer(200, body: "x")
        let operators =
            "%REQUESTED_SERVER_NAME% %DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN% "
            + "%DOWNSTREAM_LOCAL_URI_SAN% %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_LOCAL_SUBJECT% "
            + "%DOWNSTREAM_PEER_ISSUER% %DOWNSTREAM_PEER_FINGERPRINT_256% %DOWNSTREAM_PEER_SERIAL% "
            + "%DOWNSTREAM_PEER_CERT_V_END(%s)% %DOWNSTREAM_TLS_CIPHER%"
        var log = AccessLog(destination: .file(fixture.directory.path("log")))
        log.format = .text(operators + "\n")
        let tls = try fixture.settings(try fixture.leaf("server"))
        let proxy = try server(DownstreamTLS(settings: tls), [peer.port], plainToo: true) { manager, _, _ in
            manager.accessLogs = [log]
            guard case .routes(var routes) = manager.routes else { return }
            routes.requestHeaders = [
                .set(name: "x-session", value: operators, action: .appendOrAdd, keepsEmpty: false)
            ]
            manager.routes = .routes(routes)
        }
        let good = try fixture.leaf("good")
        let url = "https://localhost:\(proxy.port)/"
        let known = try curl("--cacert", fixture.root, "--cert", good.certificate, "--key", good.key, url)
        #expect(known.status == 200)
        #expect(try curl("--tls-max", "1.2", "--cacert", fixture.root, url).status == 200)
        let address = "https://127.0.0.1:\(proxy.port)/"
        #expect(try curl("-k", address).status == 200)
        #expect(try curl("http://127.0.0.1:\(proxy.port)/").status == 200)
        let wanted = [
            "localhost TLSv1.3 spiffe://mesh/good spiffe://mesh/server CN=good",
            "localhost TLSv1.2 - spiffe://mesh/server -", "- TLSv1.3 - spiffe://mesh/server -", "- - - - -",
        ]
        let told = try runTool(
            "openssl", ["x509", "-in", good.certificate, "-noout", "-serial", "-fingerprint", "-sha256"])
        // serial=0A…, sha256 Fingerprint=AB:CD:…
        let facts = told.output.lowercased().split(separator: "\n").compactMap {
            $0.split(separator: "=").last.map { String($0.filter { $0 != ":" }) }
        }
        #expect(told.status == 0 && facts.count == 2)
        let lines = try eventually("four lines") { () -> [String]? in
            proxy.server.flushLogs()
            let lines = fixture.directory.read("log")?.split(separator: "\n").map(String.init) ?? []
            return lines.count == wanted.count ? lines : nil
        }
        let words = lines.map { $0.split(separator: " ").map(String.init) }
        #expect(words.map { $0.prefix(5).joined(separator: " ") } == wanted)
        #expect(Array(words[0][5..<9]) == ["CN=server", "CN=root", facts[1], facts[0]])
        let end = try #require(Double(words[0][9]))
        #expect(end > Date().timeIntervalSince1970)
        #expect(words[0][10].hasPrefix("TLS_") && words[1][10].contains("-GCM-"))
        #expect(words[3].dropFirst(5).allSatisfy { $0 == "-" })
        #expect(peer.requests.first?.message["x-session"] == lines[0])
    }

    /// Two proxies with mutual TLS between them; the caller speaks plain text to the first.
    private func pair(
        _ endpoints: [UInt16], upstream: Cluster.UpstreamProtocol, alpn: [String],
        expecting name: String = "server",
        change: (inout HTTPConnectionManager, inout Cluster, inout Forward) -> Void = { _, _, _ in }
    ) throws -> (first: ProxyFixture, second: ProxyFixture) {
        let fixture = try TLSFixture()
        let inbound = try fixture.settings(
            try fixture.leaf("server"), alpn: alpn, names: ["spiffe://mesh/client"])
        let second = try server(DownstreamTLS(settings: inbound, requiresClientCertificate: true), endpoints)
        {
            change(&$0, &$1, &$2)
            $0.forwardClientCertificate = .sanitizeSet
            $0.currentClientCertificate.uri = true
        }
        let outbound = try fixture.settings(try fixture.leaf("client"), names: ["spiffe://mesh/\(name)"])
        let first = try ProxyFixture(
            ProxyFixture.configuration(endpoints: [second.port]) { manager, cluster, forward in
                change(&manager, &cluster, &forward)
                cluster.tls = UpstreamTLS(settings: outbound, sni: "server.mesh")
                cluster.upstreamProtocol = upstream
            })
        return (first, second)
    }

    @Test(
        "Two proxies speak mutual TLS, HTTP/1.1 or HTTP/2 between them",
        arguments: [Cluster.UpstreamProtocol.http1, .auto, .http2])
    func mutual(upstream: Cluster.UpstreamProtocol) throws {
        let peer = try HTTPPeer { request in
            .chunks(
                200,
                [request.message.target, String(repeating: "z", count: request.message.bodyCount)].filter {
                    !$0.isEmpty
                }, trailers: [("x-t", "1")])
        }
        let (first, second) = try pair([peer.port], upstream: upstream, alpn: ["h2", "http/1.1"]) {
            manager, cluster, _ in
            (manager.enablesTrailers, cluster.enablesTrailers) = (true, true)
        }
        let clients = try (0..<5).map { _ in try first.client() }
        for size in [0, 10, 300_000] {
            for (index, client) in clients.enumerated() {
                try client.sendRequest("POST", "/\(index)", body: String(repeating: "x", count: size))
            }
            for (index, client) in clients.enumerated() {
                let answer = try client.readAnswer()
                #expect(answer.status == 200 && answer.bodyCount == 2 + size)
                #expect(answer.text.hasPrefix("/\(index)"))
                #expect(answer.trailers.map(\.name) == ["x-t"])
            }
        }
        #expect(
            peer.requests.last?.message["x-forwarded-client-cert"]?.hasSuffix("URI=spiffe://mesh/client")
                == true)
        if upstream == .http1 {
            #expect(first.count(.upstreamCxHttp1Total) >= 1 && first.count(.upstreamCxHttp2Total) == 0)
        } else {
            #expect(first.count(.upstreamCxHttp2Total) == 1)
        }
        #expect(
            second.count(.sslHandshake as ListenerCounter) == first.count(.sslHandshake as ClusterCounter))
    }

    @Test("A server that is not who it should be gets no request")
    func wrongServer() throws {
        let peer = try HTTPPeer()
        let (first, second) = try pair([peer.port], upstream: .auto, alpn: ["h2"], expecting: "other")
        defer { second.server.stop() }
        let client = try first.client()
        try client.sendRequest("POST", body: "secret")
        let answer = try client.readAnswer()
        #expect(
            answer.status == 503 && answer.text.hasSuffix("reset reason: remote connection failure"),
            "\(answer.text)")
        #expect(peer.requests.isEmpty)
        try first.expect(.sslFailVerifySan as ClusterCounter, 1)
    }

    @Test("Ten megabytes pass through mutual TLS and HTTP/2 to a slow reader")
    func long() throws {
        let size = 10_000_000
        let peer = try HTTPPeer { request in
            request.message.method == "GET" ? .long(size) : .answer(200, body: "\(request.message.bodyCount)")
        }
        let (first, second) = try pair([peer.port], upstream: .auto, alpn: ["h2"])
        let (slow, other) = (try first.client(), try first.client())
        try slow.sendRequest()
        try eventually("a pause") { second.count(.upstreamFlowControlPausedReadingTotal) > 0 ? true : nil }
        // The other stream of the same connection goes on meanwhile.
        try other.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n")
        for _ in 0..<10 { try other.send([UInt8](repeating: 0x78, count: 1_000_000)) }
        #expect(try other.readAnswer().text == "\(size)")
        #expect(try slow.readHead()?.status == 200)
        #expect(try slow.discard(size) == size)
        #expect(first.count(.upstreamCxHttp2Total) == 1)
    }
}
