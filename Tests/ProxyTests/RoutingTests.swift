import Foundation
import MeshModel
import MeshPrimitives
import Telemetry
import TestSupport
import Testing

@testable import Proxy

@Suite("Requests go where the routes say")
struct RoutingTests {
    @Test("Hosts are chosen by exact name, then the longest suffix, the longest prefix, and the rest")
    func hosts() throws {
        func host(_ domains: String...) -> VirtualHost {
            VirtualHost(name: domains[0], domains: domains, routes: [.direct(.prefix("/"), domains[0])])
        }
        let proxy = try ProxyFixture(
            [],
            hosts: [
                host("*"), host("*.example"), host("*.long.example"), host("a.example", "b.example:80"),
                host("svc.*"), host("svc.long.*"),
            ])
        let client = try proxy.client()
        for (name, wanted) in [
            ("a.example", "a.example"), ("A.Example", "a.example"), ("b.example:80", "a.example"),
            ("b.example", "*.example"), ("x.example", "*.example"), ("x.long.example", "*.long.example"),
            ("svc.x", "svc.*"), ("svc.long.x", "svc.long.*"), ("other", "*"), (".example", "*"),
        ] {
            try client.sendRequest("GET", "/", host: name)
            #expect(try client.readAnswer().text == wanted, "\(name)")
        }
    }

    @Test("The first route in order that matches wins")
    func order() throws {
        var headers = Route.direct(.prefix("/"), "header")
        headers.match.headers = [HeaderMatch(name: "x-kind", test: .string(StringMatch(.exact("gold"))))]
        var absent = Route.direct(.prefix("/absent"), "no header")
        absent.match.headers = [HeaderMatch(name: "x-kind", test: .present(false))]
        var query = Route.direct(.prefix("/"), "query")
        query.match.query = [QueryMatch(name: "v", test: .string(StringMatch(.prefix("2"))))]
        var method = Route.direct(.prefix("/"), "deletes")
        method.match.headers = [HeaderMatch(name: ":method", test: .string(StringMatch(.exact("DELETE"))))]
        var folded = Route.direct(.prefix("/FoLd"), "folded")
        folded.match.isCaseSensitive = false
        let routes: [Route] = [
            headers, absent, query, method, folded, .direct(.exact("/exact"), "exact"),
            .direct(.separatedPrefix("/sep"), "separated"), .direct(.prefix("/api/v1"), "v1"),
            .direct(.prefix("/api"), "api"), .direct(.prefix("/api/v2"), "never"),
        ]
        let proxy = try ProxyFixture([], hosts: [VirtualHost(name: "all", domains: ["*"], routes: routes)])
        let client = try proxy.client()
        for (path, fields, wanted) in [
            ("/api/v1/x", [], "v1"), ("/api/v2", [], "api"), ("/apix", [], "api"), ("/exact", [], "exact"),
            ("/exact?a=b", [], "exact"), ("/exact/", [], ""), ("/sep", [], "separated"),
            ("/sep/x", [], "separated"), ("/sepx", [], ""), ("/absent", [], "no header"),
            ("/absent", [("X-Kind", "iron")], ""), ("/api", [("X-Kind", "gold")], "header"),
            ("/api?v=21", [], "query"), ("/api?v=1", [], "api"), ("/fOlD/x", [], "folded"),
        ] as [(String, [(String, String)], String)] {
            try client.sendRequest("GET", path, fields: fields)
            let answer = try client.readAnswer()
            #expect(answer.text == wanted, "\(path)")
            #expect(answer.status == (wanted.isEmpty ? 404 : 200))
        }
        try client.sendRequest("DELETE", "/")
        #expect(try client.readAnswer().text == "deletes")
    }

    @Test("Weighted clusters share the requests")
    func weighted() throws {
        let peers = [try HTTPPeer(200, body: "a"), try HTTPPeer(200, body: "b")]
        var configuration = ProxyFixture.configuration(endpoints: [peers[0].port])
        configuration.clusters.append(ProxyFixture.cluster("other", [peers[1].port]))
        let route = Route.forward("", .prefix("/")) { _, forward in
            var heavy = WeightedCluster(cluster: "peer", weight: 80)
            heavy.responseHeaders = [
                .set(name: "x-c", value: "heavy", action: .appendOrAdd, keepsEmpty: false)
            ]
            forward.target = .clusters([heavy, WeightedCluster(cluster: "other", weight: 20)])
        }
        configuration.setHosts([VirtualHost(name: "all", domains: ["*"], routes: [route])])
        let proxy = try ProxyFixture(configuration)
        let client = try proxy.client()
        for _ in 0..<200 {
            try client.sendRequest()
            let answer = try client.readAnswer()
            #expect((answer.text == "a") == (answer["x-c"] == "heavy"))
        }
        #expect((10...80).contains(peers[1].requests.count))
    }

    @Test("Redirects say where to")
    func redirects() throws {
        func route(_ path: RouteMatch.Path, _ change: (inout Redirect) -> Void) -> Route {
            var redirect = Redirect()
            change(&redirect)
            return Route(match: RouteMatch(path: path), action: .redirect(redirect))
        }
        let proxy = try ProxyFixture(
            [],
            hosts: [
                VirtualHost(
                    name: "all", domains: ["*"],
                    routes: [
                        route(.prefix("/secure")) { $0.scheme = "https" },
                        route(.prefix("/old")) {
                            ($0.host, $0.status, $0.path) = ("new.example", 308, .prefix("/new"))
                        },
                        route(.prefix("/gone")) { ($0.path, $0.stripsQuery) = (.replace("/here"), true) },
                        route(.prefix("/port")) { $0.port = 8443 },
                    ])
            ])
        let client = try proxy.client()
        for (path, status, wanted) in [
            ("/secure/a?b=c", 301, "https://h.example/secure/a?b=c"),
            ("/old/x?y", 308, "http://new.example/new/x?y"), ("/gone?x=y", 301, "http://h.example/here"),
            ("/port", 301, "http://h.example:8443/port"),
        ] {
            try client.sendRequest("GET", path, host: "h.example")
            let answer = try client.readAnswer()
            #expect(answer.status == status && answer["location"] == wanted)
        }
    }

    @Test("Paths and hosts are rewritten on their way")
    func rewrites() throws {
        let peer = try HTTPPeer()
        var configuration = ProxyFixture.configuration(endpoints: [peer.port])
        configuration.clusters[0].localities[0].endpoints[0].hostname = "endpoint.example"
        configuration.setHosts([
            VirtualHost(
                name: "all", domains: ["*"],
                routes: [
                    .forward("", .prefix("/a/")) { _, forward in
                        forward.pathRewrite = .prefix("/b/")
                        forward.hostRewrite = .literal("literal.example")
                        forward.appendsForwardedHost = true
                    },
                    .forward("", .prefix("/auto")) { _, forward in forward.hostRewrite = .automatic },
                    .forward("", .prefix("/head")) { _, forward in forward.hostRewrite = .header("x-to") },
                ])
        ])
        let proxy = try ProxyFixture(configuration)
        let client = try proxy.client()
        func seen(_ path: String, _ fields: [(String, String)] = []) throws -> HTTPMessage {
            try client.sendRequest("GET", path, host: "own.example", fields: fields)
            #expect(try client.readAnswer().status == 200)
            return try #require(peer.requests.last?.message)
        }
        let first = try seen("/a/x?q=/a/")
        #expect(first.target == "/b/x?q=/a/" && first.values(of: "host") == ["literal.example"])
        #expect(first["x-forwarded-host"] == "own.example")
        #expect(try seen("/auto")["host"] == "endpoint.example")
        #expect(try seen("/head", [("X-To", "to.example")])["host"] == "to.example")
        #expect(try seen("/head")["host"] == "own.example")
    }

    @Test("Fields are set, added and removed in the operator's order")
    func fieldEdits() throws {
        let peer = try HTTPPeer { _ in .answer(200, fields: [("x-secret", "1"), ("x-keep", "2")]) }
        var host = VirtualHost(
            name: "all", domains: ["*"],
            routes: [
                .forward("named", .prefix("/")) { route, _ in
                    route.requestHeaders = [
                        .set(name: "x-from", value: "%REQ(X-Who)%", action: .appendOrAdd, keepsEmpty: false),
                        .set(name: "x-who", value: "replaced", action: .overwriteOrAdd, keepsEmpty: false),
                        .set(name: "x-who", value: "not", action: .addIfAbsent, keepsEmpty: false),
                        .set(name: "x-absent", value: "not", action: .overwriteIfExists, keepsEmpty: false),
                        .set(
                            name: "x-empty", value: "%REQ(x-none)%", action: .appendOrAdd, keepsEmpty: false),
                        .remove(name: "X-Drop"),
                    ]
                    route.responseHeaders = [
                        .remove(name: "x-secret"),
                        .set(name: "x-keep", value: "3", action: .appendOrAdd, keepsEmpty: false),
                    ]
                }
            ])
        host.requestHeaders = [.set(name: "x-host", value: "h", action: .appendOrAdd, keepsEmpty: false)]
        let proxy = try ProxyFixture([peer], hosts: [host])
        let client = try proxy.client()
        try client.sendRequest(fields: [("X-Who", "me"), ("x-drop", "d"), ("X-DROP", "e")])
        let answer = try client.readAnswer()
        #expect(answer["x-secret"] == nil && answer.values(of: "x-keep") == ["2", "3"])
        let seen = try #require(peer.requests.first?.message)
        #expect(seen.values(of: "x-who") == ["replaced"] && seen["x-drop"] == nil && seen["x-host"] == "h")
        #expect(seen["x-absent"] == nil && seen["x-empty"] == nil)
    }

    @Test("No route is a 404, no such cluster a 503, no endpoint a 503")
    func nothingThere() throws {
        var configuration = ProxyFixture.configuration(endpoints: [])
        configuration.setHosts([
            VirtualHost(
                name: "all", domains: ["*"],
                routes: [
                    .forward("", .prefix("/peer")), .forward("", .prefix("/nowhere"), to: "unknown"),
                    .forward("", .prefix("/named")) { _, forward in
                        (forward.target, forward.clusterNotFoundStatus) = (.header("x-to"), 404)
                    },
                ])
        ])
        let proxy = try ProxyFixture(configuration)
        let client = try proxy.client()
        for (path, status, body) in [
            ("/", 404, ""), ("/nowhere", 503, ""), ("/peer", 503, "no healthy upstream"), ("/named", 404, ""),
        ] {
            try client.sendRequest("GET", path)
            let answer = try client.readAnswer()
            #expect(answer.status == status && answer.text == body, "\(path)")
        }
        try client.sendRequest("GET", "/named", fields: [("x-to", "peer")])
        #expect(try client.readAnswer().text == "no healthy upstream")
    }
}

@Suite("What happened can be seen")
struct ObservationTests {
    @Test("A line for each request tells how it went")
    func accessLog() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("access.log")
        let peer = try HTTPPeer { request in
            request.message.target == "/hang" ? .hang : .answer(200, body: "hello")
        }
        let proxy = try ProxyFixture([peer]) { manager, _, forward in
            forward.timeout = .milliseconds(50)
            var log = AccessLog(destination: .file(path))
            log.format = .text(
                "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% "
                    + "%BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %RESPONSE_CODE_DETAILS% "
                    + "%RESP(x-envoy-upstream-service-time)%\n")
            manager.accessLogs = [log, AccessLog(destination: .file(directory.path("standard.log")))]
        }
        let client = try proxy.client()
        try client.sendRequest("POST", "/a", body: "abc")
        #expect(try client.readAnswer().status == 200)
        try client.sendRequest("GET", "/hang")
        #expect(try client.readAnswer().status == 504)
        try client.send("GET / HTTP/1.1\r\n\r\n")
        #expect(try client.readAnswer().status == 400)
        let lines = try eventually("three lines") { () -> [Substring]? in
            proxy.server.flushLogs()
            let lines = directory.read("access.log")?.split(separator: "\n") ?? []
            return lines.count == 3 ? lines : nil
        }
        let host = "127.0.0.1:\(peer.port)"
        #expect(lines[0].hasPrefix("POST /a HTTP/1.1 200 - 3 5 peer \(host) via_upstream "))
        #expect(lines[0].last?.isNumber == true)
        #expect(lines[1].hasPrefix("GET /hang HTTP/1.1 504 UT 0 24 peer \(host) response_timeout"))
        #expect(lines[2].contains(" 400 DPE "))
        #expect(directory.read("standard.log")?.split(separator: "\n").count == 3)
    }

    @Test("The log says why a connection to an endpoint failed")
    func loggedRefusal() throws {
        let directory = try TemporaryDirectory()
        let gone = try HTTPPeer()
        gone.stop()
        let proxy = try ProxyFixture([gone]) { manager, _, _ in
            var log = AccessLog(destination: .file(directory.path("log")))
            log.format = .text("%RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n")
            manager.accessLogs = [log]
        }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().status == 503)
        let line = try eventually("a line") { () -> String? in
            proxy.server.flushLogs()
            return directory.read("log").flatMap { $0.isEmpty ? nil : $0 }
        }
        let reason = "delayed_connect_error:_Connection_refused"
        let details = "upstream_reset_before_response_started{remote_connection_failure|\(reason)}"
        #expect(line == "\(details) \(reason)\n")
    }

    @Test("Fields of answers are logged as they were sent, the proxy's own answers' too")
    func loggedAnswers() throws {
        let directory = try TemporaryDirectory()
        let long = String(repeating: "long ", count: 600)
        let peer = try HTTPPeer { request in
            let two = request.message.target == "/long" ? "\(long)." : "a"
            return .answer(
                200, fields: [("server", "theirs"), ("x-gone", "1"), ("x-two", two), ("x-two", "b")])
        }
        var configuration = ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, _ in
            var log = AccessLog(destination: .file(directory.path("log")))
            log.format = .text(
                "%RESP(SERVER)% %RESP(Content-Type)% %RESP(CONTENT-LENGTH)% %RESP(x-added)% %RESP(x-gone)% "
                    + "%RESP(x-none?x-two)% %RESP(grpc-status)% %RESP(:STATUS)%\n")
            manager.accessLogs = [log]
        }
        var direct = Route.direct(.prefix("/direct"), "hello")
        var forward = Route.forward("", .prefix("/"))
        let edits: [HeaderEdit] = [
            .set(name: "x-added", value: "new", action: .appendOrAdd, keepsEmpty: false),
            .remove(name: "x-gone"),
        ]
        (direct.responseHeaders, forward.responseHeaders) = (edits, edits)
        configuration.setHosts([VirtualHost(name: "all", domains: ["a"], routes: [direct, forward])])
        let proxy = try ProxyFixture(configuration)
        let client = try proxy.client()
        try client.sendRequest("GET", "/", host: "a")
        #expect(try client.readAnswer().status == 200)
        try client.sendRequest("GET", "/direct", host: "a")
        #expect(try client.readAnswer().text == "hello")
        try client.sendRequest("GET", "/", host: "b")
        #expect(try client.readAnswer().status == 404)
        try client.sendRequest("POST", "/", host: "b", fields: [("content-type", "application/grpc")])
        #expect(try client.readAnswer()["grpc-status"] == "12")
        try client.sendRequest("GET", "/long", host: "a")
        #expect(try client.readAnswer().status == 200)
        let lines = try eventually("five lines") { () -> [String]? in
            proxy.server.flushLogs()
            let lines = directory.read("log")?.split(separator: "\n").map(String.init) ?? []
            return lines.count == 5 ? lines : nil
        }
        #expect(
            lines == [
                "envoy - 0 new - a - 200", "envoy text/plain 5 new - - - 200", "envoy - 0 - - - - 404",
                "envoy application/grpc 0 - - - 12 200", "envoy - 0 new - \(long). - 200",
            ])
    }

    @Test("Numbers add up")
    func statistics() throws {
        let peer = try HTTPPeer { request in .answer(request.message.target == "/bad" ? 500 : 200, body: "x")
        }
        let proxy = try ProxyFixture([peer])
        let client = try proxy.client()
        for path in ["/", "/", "/bad"] {
            try client.sendRequest("GET", path)
            _ = try client.readAnswer()
        }
        client.close()
        try proxy.expect(.downstreamCxActive as ListenerCounter, 0)
        try proxy.expect(.downstreamRqTotal, 3)
        try proxy.expect(.downstreamRqActive, 0)
        try proxy.expect(.downstreamRq2xx, 2)
        try proxy.expect(.downstreamRq5xx, 1)
        try proxy.expect(.upstreamRqTotal, 3)
        try proxy.expect(.upstreamRq2xx, 2)
        try proxy.expect(.upstreamCxTotal, 1)
        try proxy.expect(.upstreamCxActive, 1)
        try proxy.expect(.downstreamCxTotal as ListenerCounter, 1)
    }

    @Test("Traces and lines of a policy in shadow mode are counted, and nothing is flagged or written")
    func telemetryInShadow() throws {
        let peer = try HTTPPeer(200, body: "hello")
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            var settings = TraceContextSettings()
            settings.sampled = Fraction(numerator: 0, denominator: 100)
            settings.shadowSampled = Fraction(numerator: 100, denominator: 100)
            manager.traceContext = settings
            var log = AccessLog(destination: .stdout)
            log.isWritten = false
            log.filter = .status(.greaterOrEqual, 200)
            var none = log
            none.filter = .status(.greaterOrEqual, 500)
            manager.accessLogs = [log, none]
        }
        let client = try proxy.client()
        try client.sendRequest()
        _ = try client.readAnswer()
        try proxy.expect(.shadowTracesSampled as HTTPCounter, 1)
        try proxy.expect(.shadowAccessLogLines as HTTPCounter, 1)
        #expect(proxy.lastRecord?.shadows == .sampled && proxy.lastRecord?.isSampled == false)
        #expect(peer.requests.first?.message["traceparent"]?.hasSuffix("-00") == true)
        try client.sendRequest(
            fields: [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")])
        _ = try client.readAnswer()
        try proxy.expect(.shadowAccessLogLines as HTTPCounter, 2)
        #expect(
            proxy.count(.shadowTracesSampled as HTTPCounter) == 1, "a caller's trace is the caller's matter")
    }

    @Test("A request has one id, a given one or its own, and trace headers pass or go on")
    func identifiers() throws {
        let peer = try HTTPPeer()
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            manager.traceContext = TraceContextSettings()
            manager.setsRequestIDInResponse = true
        }
        let client = try proxy.client()
        try client.sendRequest()
        let answer = try client.readAnswer()
        let fresh = try #require(peer.requests.last?.message)
        #expect(fresh["x-request-id"] == answer["x-request-id"] && fresh["x-request-id"]?.count == 36)
        #expect(fresh["traceparent"]?.count == 55)
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        try client.sendRequest(fields: [("traceparent", parent), ("x-request-id", "mine")])
        _ = try client.readAnswer()
        let continued = try #require(peer.requests.last?.message)
        #expect(continued["x-request-id"] == "mine")
        let passed = try #require(continued["traceparent"])
        #expect(passed == parent)
    }
}
