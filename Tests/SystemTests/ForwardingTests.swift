import Foundation
import TestSupport
import Testing

extension SystemTests {
    @Suite("HTTP/1.1 through one proxy")
    struct ForwardingTests {
        @Test("Requests on one connection share one upstream connection")
        func keepAlive() throws {
            let peer = try HTTPPeer(body: "hello")
            let proxy = try ProxyUnderTest(Bootstrap(peer.port), workers: 1)
            let stream = try proxy.connect()
            for number in 0..<5 {
                try stream.sendRequest("GET", "/\(number)?q=1", fields: [("x-mine", "kept")])
                let answer = try proxy.explaining { try stream.readAnswer() }
                #expect(answer.status == 200 && answer.text == "hello")
            }
            #expect(peer.requests.map(\.message.target) == (0..<5).map { "/\($0)?q=1" })
            #expect(peer.connectionCount == 1)
            #expect(
                peer.requests.allSatisfy { $0.message["x-mine"] == "kept" && $0.message["host"] == "test" })
        }

        @Test("Pipelined requests are answered in their order")
        func pipelining() throws {
            let peer = try HTTPPeer { .answer(200, body: "for \($0.message.target) \($0.message.text)") }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let stream = try proxy.connect()
            let requests = (0..<10).map {
                $0 % 2 == 0
                    ? "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n"
                    : "POST /\($0) HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n\($0)"
            }
            try stream.send(requests.joined())
            for number in 0..<10 {
                let answer = try proxy.explaining { try stream.readAnswer() }
                #expect(answer.text == "for /\(number) \(number % 2 == 0 ? "" : "\(number)")")
            }
        }

        @Test("A request in single bytes is the same request")
        func byteByByte() throws {
            let peer = try HTTPPeer { .answer(200, body: $0.message.text) }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let stream = try proxy.connect()
            let request =
                "POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
            for byte in request.utf8 { try stream.send([byte]) }
            #expect(try proxy.explaining { try stream.readAnswer() }.text == "abcde")
        }

        @Test("Chunked bodies pass both ways")
        func chunked() throws {
            let peer = try HTTPPeer {
                .chunks(200, [$0.message.text, "!", String(repeating: "z", count: 70_000)])
            }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let stream = try proxy.connect()
            try stream.sendRequest("POST", "/", fields: [("transfer-encoding", "chunked")])
            for piece in ["ab", "cdefghijkl", "m"] {
                try stream.send(String(piece.count, radix: 16) + "\r\n\(piece)\r\n")
            }
            try stream.send("0\r\n\r\n")
            let answer = try proxy.explaining { try stream.readAnswer() }
            #expect(answer.text.hasPrefix("abcdefghijklm!z") && answer.bodyCount == 70_014)
        }

        @Test("Trailers pass where both sides enable them")
        func trailers() throws {
            let peer = try HTTPPeer {
                .chunks(200, ["x"], trailers: [("x-seen", $0.message.trailers.first?.value ?? "none")])
            }
            var bootstrap = Bootstrap(
                peer.port,
                settings: """
                    typed_extension_protocol_options:
                      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                        explicit_http_config: {http_protocol_options: {enable_trailers: true}}
                    """)
            bootstrap.manager = "http_protocol_options: {enable_trailers: true}"
            let proxy = try ProxyUnderTest(bootstrap)
            let stream = try proxy.connect()
            try stream.sendRequest(
                "POST", "/", fields: [("transfer-encoding", "chunked"), ("te", "trailers")])
            try stream.send("1\r\nq\r\n0\r\nx-sum: 7\r\n\r\n")
            let answer = try proxy.explaining { try stream.readAnswer() }
            #expect(answer.trailers.map(\.value) == ["7"], "\(answer)")
        }

        @Test("HEAD is answered with the length and without the body")
        func head() throws {
            let peer = try HTTPPeer(body: "hello")
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let stream = try proxy.connect()
            try stream.sendRequest("HEAD", "/")
            let answer = try proxy.explaining { try stream.readAnswer(toHead: true) }
            #expect(answer.status == 200 && answer["content-length"] == "5")
            try stream.sendRequest("GET", "/")
            #expect(try proxy.explaining { try stream.readAnswer() }.text == "hello")
        }

        @Test("204 and 304 have no body, and the connection goes on")
        func bodiless() throws {
            let peer = try HTTPPeer { request in
                switch request.message.target {
                case "/204": .raw("HTTP/1.1 204 No Content\r\n\r\n")
                case "/304": .raw("HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n")
                default: .answer(200, body: "after")
                }
            }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let stream = try proxy.connect()
            for (path, status) in [("/204", 204), ("/304", 304), ("/", 200)] {
                try stream.sendRequest("GET", path)
                #expect(try proxy.explaining { try stream.readAnswer() }.status == status)
            }
        }

        @Test("Expect: 100-continue is answered before the body is sent")
        func expectContinue() throws {
            let peer = try HTTPPeer { .answer(200, body: $0.message.text) }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let stream = try proxy.connect()
            try stream.sendRequest("PUT", "/", fields: [("expect", "100-continue"), ("content-length", "4")])
            let interim = try proxy.explaining { try stream.readHead() }
            #expect(interim?.status == 100)
            try stream.send("body")
            #expect(try proxy.explaining { try stream.readAnswer() }.text == "body")
        }

        @Test("An answer that comes before the body has been sent reaches the caller")
        func earlyAnswer() throws {
            let peer = try HTTPPeer(.afterHead) { _ in
                .rawThenClose("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig")
            }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let stream = try proxy.connect()
            try stream.sendRequest("POST", "/", fields: [("content-length", "100000")])
            try stream.send(String(repeating: "x", count: 1000))
            let answer = try proxy.explaining { try stream.readAnswer() }
            #expect(answer.status == 413 && answer.text == "big")
        }

        @Test("A body without a length lasts until the peer closes, and arrives whole")
        func untilClose() throws {
            let peer = try HTTPPeer { _ in
                .rawThenClose("HTTP/1.1 200 OK\r\n\r\n" + String(repeating: "q", count: 100_000))
            }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            #expect(try proxy.fetch().bodyCount == 100_000)
        }

        @Test("A caller that has finished sending still gets its answer")
        func halfClosed() throws {
            let peer = try HTTPPeer { _ in .delayed(0.2, .answer(200, body: "late")) }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let stream = try proxy.connect()
            try stream.sendRequest()
            stream.finishSending()
            #expect(try proxy.explaining { try stream.readAnswer() }.text == "late")
        }

        @Test("An upstream that closes after each answer costs no request")
        func upstreamClosesIdleConnections() throws {
            let peer = try HTTPPeer { _ in .answerThenClose(200, body: "bye") }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port), workers: 1)
            let stream = try proxy.connect()
            for _ in 0..<40 {
                try stream.sendRequest()
                #expect(try proxy.explaining { try stream.readAnswer() }.text == "bye")
                try peer.awaitClosed()
            }
            #expect(peer.requests.count == 40)
        }

        @Test("A cut answer ends the caller's connection before its length")
        func cutAnswer() throws {
            let peer = try HTTPPeer { _ in .rawThenClose("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart")
            }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let stream = try proxy.connect()
            try stream.sendRequest()
            #expect(throws: TestFailure.self) { try stream.readAnswer() }
            #expect(stream.isEnded(within: 2))
        }

        @Test(
            "What the proxy answers itself",
            arguments: [("/nowhere", 404), ("/unknown", 503), ("/direct", 203), ("/moved", 301)])
        func localReplies(path: String, status: Int) throws {
            var bootstrap = Bootstrap(1)
            bootstrap.routes = """
                - match: {path: /unknown}
                  route: {cluster_header: x-cluster}
                - match: {path: /direct}
                  direct_response: {status: 203, body: {inline_string: "said"}}
                - match: {path: /moved}
                  redirect: {path_redirect: /there}
                """
            let proxy = try ProxyUnderTest(bootstrap)
            let answer = try proxy.fetch("GET", path, fields: [("x-cluster", "none")])
            #expect(answer.status == status, "\(answer)\n\(proxy.process.logTail)")
            if path == "/direct" { #expect(answer.text == "said") }
            if path == "/moved" { #expect(answer["location"]?.hasSuffix("/there") == true, "\(answer)") }
        }

        @Test("An endpoint that refuses gives 503, one that speaks nonsense 502")
        func upstreamFailures() throws {
            let nonsense = try HTTPPeer { _ in .rawThenClose("SSH-2.0-OpenSSH_9.2\r\n\r\n") }
            let refused = try HTTPPeer()
            let refusedPort = refused.port
            refused.stop()
            var bootstrap = Bootstrap(clusters: [
                .init(name: "origin", ports: [refusedPort]), .init(name: "nonsense", ports: [nonsense.port]),
            ])
            bootstrap.routes = """
                - match: {prefix: /nonsense}
                  route: {cluster: nonsense}
                - match: {prefix: /}
                  route: {cluster: origin}
                """
            let proxy = try ProxyUnderTest(bootstrap)
            let first = try proxy.fetch()
            #expect(first.status == 503 && first.text.hasPrefix("upstream connect error"), "\(first)")
            #expect(try proxy.fetch("GET", "/nonsense").status == 502)
            #expect(nonsense.requests.count == 1)
        }

        @Test("HTTP/1.0 is refused with 426 unless accepted")
        func http10() throws {
            let peer = try HTTPPeer(body: "hello")
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let stream = try proxy.connect()
            try stream.send("GET / HTTP/1.0\r\n\r\n")
            #expect(try proxy.explaining { try stream.readAnswer() }.status == 426)
            var accepting = Bootstrap(peer.port)
            accepting.manager = "http_protocol_options: {accept_http_10: true, default_host_for_http_10: old}"
            let tolerant = try ProxyUnderTest(accepting)
            let old = try tolerant.connect()
            try old.send("GET / HTTP/1.0\r\n\r\n")
            #expect(try tolerant.explaining { try old.readAnswer() }.text == "hello")
            #expect(old.isEnded(within: 2))
            #expect(peer.requests.last?.message["host"] == "old")
        }

        @Test("Many connections at once are all answered")
        func manyConnections() throws {
            let peer = try HTTPPeer(body: "hello")
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let load = try ProcessUnderTest(
                "martlet-load",
                [
                    "--target", "127.0.0.1:\(proxy.port)", "--requests", "3000", "--connections", "200",
                    "--json",
                ],
                in: proxy.directory)
            #expect(try load.exitStatus(within: 30) == 0, "\(load.logTail)")
            #expect(
                load.log.contains("\"status\":{\"2xx\":3000}"), "\(load.logTail)\n\(proxy.process.logTail)")
        }
    }
}
