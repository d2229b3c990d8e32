import Foundation
import TestSupport
import Testing

extension SystemTests {
    @Suite("Headers")
    struct HeaderTests {
        @Test("What the upstream and the caller get, beside what was sent")
        func added() throws {
            let peer = try HTTPPeer(body: "hello")
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let answer = try proxy.fetch()
            guard let seen = peer.requests.first?.message else {
                throw TestFailure("nothing came\n\(proxy.process.logTail)")
            }
            #expect(seen["x-forwarded-proto"] == "http", "\(seen)")
            #expect(seen["x-envoy-expected-rq-timeout-ms"] == "15000", "\(seen)")
            let uuid = #/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89a-f][0-9a-f]{3}-[0-9a-f]{12}/#
            #expect(seen["x-request-id"]?.wholeMatch(of: uuid) != nil, "\(seen)")
            #expect(answer["x-envoy-upstream-service-time"].flatMap { Int($0) } != nil, "\(answer)")
            #expect(answer["server"] == "martlet" || answer["server"] == "envoy", "\(answer)")
            #expect(answer["date"] != nil, "\(answer)")
        }

        @Test("Fields that belong to one connection are not passed on")
        func hopByHop() throws {
            let peer = try HTTPPeer { _ in
                .answer(
                    200,
                    fields: [("connection", "x-private"), ("x-private", "1"), ("keep-alive", "timeout=5")])
            }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let stream = try proxy.connect()
            try stream.sendRequest(fields: [
                ("connection", "keep-alive, x-secret"), ("x-secret", "1"), ("keep-alive", "timeout=9"),
                ("proxy-connection", "keep-alive"), ("x-open", "1"),
            ])
            let answer = try proxy.explaining { try stream.readAnswer() }
            guard let seen = peer.requests.first?.message else { throw TestFailure("nothing came") }
            for name in ["connection", "keep-alive", "proxy-connection"] {
                #expect(seen[name] == nil, "\(name): \(seen)")
            }
            #expect(seen["x-open"] == "1")
            #expect(answer["keep-alive"] == nil, "\(answer)")
        }

        @Test("A request id from outside is replaced at the edge, and kept where asked")
        func requestID() throws {
            let peer = try HTTPPeer()
            var keeping = Bootstrap(peer.port)
            keeping.manager =
                "use_remote_address: true\npreserve_external_request_id: true\nalways_set_request_id_in_response: true"
            let proxy = try ProxyUnderTest(keeping)
            let answer = try proxy.fetch(fields: [("x-request-id", "mine")])
            #expect(peer.requests.first?.message["x-request-id"] == "mine")
            #expect(answer["x-request-id"] == "mine", "\(answer)")
        }

        @Test("Without tracing a trace context passes byte for byte")
        func traceContext() throws {
            let peer = try HTTPPeer()
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            let fields = [
                ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                ("tracestate", "a=1,b=2"),
                ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1"), ("baggage", "k=v"),
            ]
            _ = try proxy.fetch(fields: fields)
            for (name, value) in fields { #expect(peer.requests.first?.message[name] == value, "\(name)") }
        }

        @Test("Routes add, overwrite and remove fields")
        func mutations() throws {
            let peer = try HTTPPeer { _ in
                .answer(200, fields: [("x-internal", "1"), ("x-both", "upstream")])
            }
            var bootstrap = Bootstrap(peer.port)
            bootstrap.routes = """
                - match: {prefix: /}
                  route: {cluster: origin}
                  request_headers_to_add:
                  - {header: {key: x-added, value: "from %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}
                  - {header: {key: x-over, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}
                  request_headers_to_remove: [x-gone]
                  response_headers_to_add: [{header: {key: x-both, value: proxy}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
                  response_headers_to_remove: [x-internal]
                """
            let proxy = try ProxyUnderTest(bootstrap)
            let answer = try proxy.fetch(fields: [("x-gone", "1"), ("x-over", "old")])
            guard let seen = peer.requests.first?.message else {
                throw TestFailure("nothing came\n\(proxy.process.logTail)")
            }
            #expect(
                seen["x-added"] == "from 127.0.0.1" && seen.values(of: "x-over") == ["new"]
                    && seen["x-gone"] == nil, "\(seen)")
            #expect(answer.values(of: "x-both") == ["proxy"] && answer["x-internal"] == nil, "\(answer)")
        }
    }

    @Suite("Access log")
    struct AccessLogTests {
        /// A text log of this format in the proxy's directory.
        static func log(_ format: String) -> String {
            """
            access_log:
            - name: envoy.access_loggers.file
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                path: access.log
                log_format: {text_format_source: {inline_string: "\(format)\\n"}}
            """
        }

        @Test("A line of text for each request, with Envoy's operators")
        func text() throws {
            let peer = try HTTPPeer {
                .answer(201, fields: [("x-kind", "made")], body: $0.message.text + "!")
            }
            var bootstrap = Bootstrap(peer.port)
            bootstrap.manager = Self.log(
                "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL% %RESPONSE_CODE% [%RESPONSE_FLAGS%] %BYTES_RECEIVED% "
                    + "%BYTES_SENT% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %REQ(USER-AGENT)% %RESP(X-KIND)% %ROUTE_NAME% %REQ(X-NONE)% %REQ(X-LONG):3%"
            )
            bootstrap.routes = "- match: {prefix: /}\n  name: everything\n  route: {cluster: origin}"
            let proxy = try ProxyUnderTest(bootstrap)
            _ = try proxy.fetch(
                "POST", "/a?b=c", fields: [("user-agent", "tester"), ("x-long", "abcdef")], body: "12345")
            let line = try proxy.lines(of: "access.log", atLeast: 1).first
            #expect(
                line
                    == "POST /a?b=c HTTP/1.1 201 [-] 5 6 origin 127.0.0.1:\(peer.port) tester made everything - abc"
            )
        }

        @Test("What takes work to find out is found where a format shows it, in logs and in fields")
        func rareOperators() throws {
            let peer = try HTTPPeer(body: "hello")
            var bootstrap = Bootstrap(peer.port)
            bootstrap.manager = Self.log(
                "%RESPONSE_CODE% %CONNECTION_ID% %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %HOSTNAME% [%LOCAL_REPLY_BODY%]"
            )
            bootstrap.routes = """
                - match: {path: /gone}
                  direct_response: {status: 410, body: {inline_string: "it was here"}}
                - match: {prefix: /}
                  route: {cluster: origin}
                  request_headers_to_add: [{header: {key: x-via, value: "%HOSTNAME%"}}]
                """
            let proxy = try ProxyUnderTest(bootstrap)
            let stream = try proxy.connect()
            for path in ["/", "/gone", "/"] {
                try stream.sendRequest("GET", path)
                _ = try stream.readAnswer()
            }
            _ = try proxy.fetch("GET", "/")
            let host = try runTool("uname", ["-n"]).output.trimmingCharacters(in: .whitespacesAndNewlines)
            let lines = try proxy.lines(of: "access.log", atLeast: 4).map {
                $0.split(separator: " ", maxSplits: 4).map(String.init)
            }
            #expect(lines.allSatisfy { $0.count == 5 && $0[3] == host }, "\(lines)")
            #expect(lines.map { $0[0] } == ["200", "410", "200", "200"])
            #expect(lines.map { $0[2] } == ["127.0.0.1", "-", "127.0.0.1", "127.0.0.1"])
            #expect(lines.map { $0[4] } == ["[]", "[it was here]", "[]", "[]"])
            #expect(
                Set(lines[..<3].map { $0[1] }).count == 1 && lines[0][1] != lines[3][1],
                "a number for each connection: \(lines)")
            #expect(peer.requests.allSatisfy { $0.message["x-via"] == host }, "\(peer.requests)")
        }

        @Test("A JSON object for each request, with typed numbers and escaped text")
        func json() throws {
            let peer = try HTTPPeer(body: "hello")
            var bootstrap = Bootstrap(peer.port)
            bootstrap.manager = """
                access_log:
                - name: envoy.access_loggers.file
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                    path: access.log
                    log_format:
                      json_format: {code: "%RESPONSE_CODE%", path: "%REQ(:PATH)%", agent: "%REQ(USER-AGENT)%", start: "%START_TIME%", took: "%DURATION%"}
                """
            let proxy = try ProxyUnderTest(bootstrap)
            _ = try proxy.fetch("GET", "/q", fields: [("user-agent", #"a "quoted" \ agent"#)])
            let line = try proxy.lines(of: "access.log", atLeast: 1).first ?? ""
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            #expect(object?["code"] as? Int == 200, "\(line)")
            #expect(
                object?["path"] as? String == "/q" && object?["agent"] as? String == #"a "quoted" \ agent"#,
                "\(line)")
            #expect(
                (object?["start"] as? String)?.contains(#/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/#) == true,
                "\(line)")
            #expect(object?["took"] as? Int != nil, "\(line)")
        }

        @Test("Flags say why an answer is not the upstream's")
        func flags() throws {
            let peer = try HTTPPeer { $0.message.target == "/hang" ? .hang : .reset }
            var bootstrap = Bootstrap(clusters: [.init(ports: [peer.port]), .init(name: "empty", ports: [1])])
            bootstrap.manager = Self.log("%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS%")
            bootstrap.routes = """
                - match: {path: /hang}
                  route: {cluster: origin, timeout: 0.2s}
                - match: {path: /reset}
                  route: {cluster: origin}
                - match: {path: /again}
                  route: {cluster: origin, retry_policy: {retry_on: reset, retry_back_off: {base_interval: 0.005s}}}
                - match: {path: /refused}
                  route: {cluster: empty}
                """
            let proxy = try ProxyUnderTest(bootstrap)
            for path in ["/hang", "/reset", "/again", "/refused", "/none"] {
                _ = try proxy.fetch("GET", path)
            }
            let lines = try proxy.lines(of: "access.log", atLeast: 5)
            #expect(
                lines == [
                    "/hang 504 UT", "/reset 503 UC", "/again 503 UC,URX", "/refused 503 UF", "/none 404 NR",
                ]
                    || lines == [
                        "/hang 504 UT", "/reset 503 UC", "/again 503 URX,UC", "/refused 503 UF",
                        "/none 404 NR",
                    ], "\(lines)")
        }

        @Test("A caller that leaves is logged with DC")
        func callerLeaves() throws {
            let peer = try HTTPPeer { _ in .hang }
            var bootstrap = Bootstrap(peer.port)
            bootstrap.manager = Self.log("%RESPONSE_CODE% %RESPONSE_FLAGS%")
            let proxy = try ProxyUnderTest(bootstrap)
            let stream = try proxy.connect()
            try stream.sendRequest()
            try eventually("the request at the peer") { peer.requests.isEmpty ? nil : true }
            stream.reset()
            #expect(try proxy.lines(of: "access.log", atLeast: 1).first == "0 DC")
        }

        @Test("SIGUSR1 opens the file again, so that it can be moved away")
        func rotation() throws {
            let peer = try HTTPPeer()
            var bootstrap = Bootstrap(peer.port)
            bootstrap.manager = Self.log("%REQ(:PATH)%")
            let proxy = try ProxyUnderTest(bootstrap)
            _ = try proxy.fetch("GET", "/first")
            _ = try proxy.lines(of: "access.log", atLeast: 1)
            try FileManager.default.moveItem(
                atPath: proxy.directory.path("access.log"), toPath: proxy.directory.path("access.log.1"))
            proxy.process.signal(SIGUSR1)
            try eventually("a new access.log\n\(proxy.process.logTail)") {
                proxy.directory.read("access.log")
            }
            _ = try proxy.fetch("GET", "/second")
            #expect(try proxy.lines(of: "access.log", atLeast: 1) == ["/second"])
            #expect(proxy.directory.read("access.log.1") == "/first\n")
        }
    }
}
