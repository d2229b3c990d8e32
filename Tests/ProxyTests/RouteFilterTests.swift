import Foundation
import MeshModel
import MeshPrimitives
import Telemetry
import TestSupport
import Testing

@testable import Proxy

@Suite("Filters and copies do what routes say")
struct RouteFilterTests {
    /// Requests to two clusters, `peer` and `other`, through these filters.
    private func proxy(
        _ peers: [HTTPPeer], filters: [HTTPFilter] = [], _ hosts: [VirtualHost]
    ) throws -> ProxyFixture {
        var configuration = ProxyFixture.configuration(endpoints: [peers[0].port]) { manager, _, _ in
            manager.filters = filters
        }
        if peers.count > 1 { configuration.clusters.append(ProxyFixture.cluster("other", [peers[1].port])) }
        for chain in configuration.listeners[0].filterChains.indices {
            guard case .http(var manager) = configuration.listeners[0].filterChains[chain].network else {
                continue
            }
            manager.routes = .routes(RouteConfiguration(name: "routes", virtualHosts: hosts))
            configuration.listeners[0].filterChains[chain].network = .http(manager)
        }
        return try ProxyFixture(configuration)
    }

    private func host(_ routes: Route...) -> VirtualHost {
        VirtualHost(name: "all", domains: ["*"], routes: routes)
    }

    private func mirrored(_ share: Fraction = .all) -> Route {
        .forward("", .prefix("/")) { _, forward in
            var mirror = Mirror(target: .cluster("other"))
            mirror.share = share
            forward.mirrors = [mirror]
        }
    }

    // MARK: Mirrors

    @Test("A copy has the same head and body, a marked host, and an answer that nobody sees")
    func mirror() throws {
        let peers = [try HTTPPeer(200, body: "main"), try HTTPPeer(500, body: "thrown away")]
        let proxy = try proxy(peers, [host(mirrored())])
        let client = try proxy.client()
        let body = String(repeating: "0123456789", count: 20_000)
        for text in ["", "short", body] {
            try client.sendRequest(text.isEmpty ? "GET" : "POST", "/x?y", host: "h.example:81", body: text)
            #expect(try client.readAnswer().text == "main")
        }
        let copies = try eventually("three copies") { peers[1].requests.count == 3 ? peers[1].requests : nil }
        // A copy may overtake the one before it, on a connection of its own.
        #expect(Set(copies.map(\.message.text)) == ["", "short", body])
        #expect(copies.allSatisfy { $0.message["host"] == "h.example-shadow:81" })
        #expect(copies.allSatisfy { $0.message.target == "/x?y" })
        #expect(
            Set(copies.map(\.message["x-request-id"]))
                == Set(peers[0].requests.map(\.message["x-request-id"])))
        try proxy.expect(.downstreamRqTotal, 3)
        try proxy.expect(.downstreamRqActive, 0)
        try proxy.expect(.upstreamRqTotal, 3)
    }

    @Test("A copy that gets no answer, or cannot be sent, delays nobody")
    func slowMirror() throws {
        let silent = try HTTPPeer { _ in .hang }
        let peers = [try HTTPPeer(200, body: "main"), silent]
        let proxy = try proxy(peers, [host(mirrored())])
        let client = try proxy.client()
        for number in 0..<20 {
            if number == 10 { silent.stop() }
            try client.sendRequest("POST", "/", body: "abc")
            #expect(try client.readAnswer().text == "main")
        }
        #expect(peers[0].requests.count == 20)
    }

    @Test("A share of the requests is copied")
    func mirrorShare() throws {
        let peers = [try HTTPPeer(200, body: "main"), try HTTPPeer()]
        let proxy = try proxy(peers, [host(mirrored(Fraction(numerator: 30, denominator: 100)))])
        let client = try proxy.client()
        for _ in 0..<200 {
            try client.sendRequest()
            #expect(try client.readAnswer().status == 200)
        }
        #expect((20...110).contains(peers[1].requests.count))
    }

    @Test("A caller that leaves in the middle of its request takes the copy along")
    func abandonedMirror() throws {
        let peers = [try HTTPPeer(200), try HTTPPeer(200)]
        let proxy = try proxy(peers, [host(mirrored())])
        let client = try proxy.client()
        try client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nabc")
        try proxy.expect(.upstreamRqActive, 1)
        client.reset()
        try proxy.expect(.upstreamRqActive, 0)
        try proxy.expect(.downstreamRqActive, 0)
        let again = try proxy.client()
        try again.sendRequest()
        #expect(try again.readAnswer().status == 200)
    }

    // MARK: Internal redirects

    private func redirecting(_ most: Int = 1, _ statuses: [Int] = [302]) -> Route {
        .forward("", .prefix("/from")) { _, forward in
            var redirects = InternalRedirects()
            (redirects.most, redirects.statuses) = (most, statuses)
            forward.internalRedirects = redirects
        }
    }

    @Test("An answer that points to a route of ours is followed, with the body, once")
    func internalRedirect() throws {
        let peer = try HTTPPeer { request in
            request.message.target.hasPrefix("/from")
                ? .answer(
                    302, fields: [("location", "http://h.example/to\(request.message.target)?q")], body: "no")
                : .answer(200, body: request.message.text)
        }
        let hosts = [host(redirecting(), .forward("", .prefix("/to")))]
        let proxy = try proxy([peer], hosts)
        let client = try proxy.client()
        try client.sendRequest("POST", "/from/a", host: "h.example", fields: [("x-keep", "1")], body: "hello")
        let answer = try client.readAnswer()
        #expect(answer.status == 200 && answer.text == "hello")
        let seen = try #require(peer.requests.last?.message)
        #expect(seen.target == "/to/from/a?q" && seen["x-keep"] == "1" && seen["host"] == "h.example")
        #expect(seen["x-envoy-original-url"] == "http://h.example/from/a")
        try proxy.expect(.downstreamRqTotal, 1)
        try proxy.expect(.upstreamRqActive, 0)
    }

    @Test("A redirect elsewhere, or once too often, is the caller's")
    func otherRedirects() throws {
        let peer = try HTTPPeer { request in
            let path = request.message.target
            if path == "/from/loop" {
                return .answer(302, fields: [("location", "http://h.example/from/loop")])
            }
            return .answer(302, fields: [("location", String(path.dropFirst("/from/".count)))])
        }
        let proxy = try proxy([peer], [host(redirecting(2), .forward("", .prefix("/to")))])
        let client = try proxy.client()
        for (path, requests) in [
            ("/from/https://h.example/to", 1), ("/from//to", 1), ("/from/http://h.example/nowhere", 1),
            ("/from/http://user@h.example/to", 1), ("/from/loop", 3),
        ] {
            let before = peer.requests.count
            try client.sendRequest("GET", path, host: "h.example")
            #expect(try client.readAnswer().status == 302, "\(path)")
            #expect(peer.requests.count - before == requests, "\(path)")
        }
    }

    @Test("Of a location only an absolute URL of plain characters is a target")
    func targets() {
        for (location, wanted) in [
            ("http://h/a?b#c", "http h /a?b"), ("HTTPS://h:8443", "https h:8443 /"),
            ("http://h#x", "http h /"),
            ("http://[::1]:80/x", "http [::1]:80 /x"), ("//h/a", nil), ("/a", nil), ("http:///a", nil),
            ("http://h?b", nil), ("http://u@h/", nil), ("http://h/a b", nil), ("http://h /", nil),
            ("ftp://h/", nil), ("http:/h", nil), ("", nil), ("http://h/\r\nx: y", nil), ("http://é/", nil),
        ] as [(String, String?)] {
            let found = location.withByteView { bytes in
                RedirectTarget(bytes).map {
                    "\($0.isHTTPS ? "https" : "http") \($0.host.text) \($0.path.text)"
                }
            }
            #expect(found == wanted, "\(location)")
        }
        var random = SeededRandom(seed: 7)
        for _ in 0..<5_000 {
            let alphabet = Array("htps:/?#@ .[]\r\n1a".utf8)
            let bytes = (0..<Int(random.below(20))).map { _ in
                alphabet[Int(random.below(UInt64(alphabet.count)))]
            }
            (Array("http://".utf8) + bytes).withByteView { location in
                guard let target = RedirectTarget(location) else { return }
                let text = target.host.text + target.path.text
                #expect(
                    !text.contains(where: {
                        $0.isWhitespace || $0 == "#" || $0 == "@" && target.host.text.contains("@")
                    }))
                #expect(target.path.hasPrefix("/") && !target.host.isEmpty)
            }
        }
    }

    @Test("See other turns a POST into a GET without body")
    func seeOther() throws {
        let peer = try HTTPPeer { request in
            request.message.target == "/from"
                ? .answer(303, fields: [("location", "http://h.example/to")]) : .answer(200)
        }
        let proxy = try proxy([peer], [host(redirecting(1, [303]), .forward("", .prefix("/to")))])
        let client = try proxy.client()
        try client.sendRequest("POST", "/from", host: "h.example", body: "hello")
        #expect(try client.readAnswer().status == 200)
        let seen = try #require(peer.requests.last?.message)
        #expect(seen.method == "GET" && seen.text.isEmpty && seen["content-length"] == nil)
    }

    // MARK: Faults

    @Test("A delayed request keeps its body, and comes out after its time")
    func delay() throws {
        let peer = try HTTPPeer { request in .answer(200, body: request.message.text) }
        var fault = Fault()
        (fault.delay, fault.delayShare) = (.fixed(.milliseconds(80)), .all)
        let proxy = try proxy(
            [peer], filters: [.fault(fault, name: "fault")], [host(.forward("", .prefix("/")))])
        let client = try proxy.client()
        let started = ContinuousClock.now
        try client.sendRequest("POST", "/", body: "hello")
        #expect(try client.readAnswer().text == "hello")
        #expect(ContinuousClock.now - started >= .milliseconds(80))
        try client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nab")
        try client.send("cde")
        #expect(try client.readAnswer().text == "abcde")
        try proxy.expect(.downstreamRqActive, 0)
        try proxy.expect(.faultDelaysInjected, 2)
    }

    @Test("A caller that does not wait for its delayed request is forgotten")
    func abandonedDelay() throws {
        let peer = try HTTPPeer()
        var fault = Fault()
        (fault.delay, fault.delayShare) = (.fixed(.seconds(600)), .all)
        let proxy = try proxy(
            [peer], filters: [.fault(fault, name: "fault")], [host(.forward("", .prefix("/")))])
        let client = try proxy.client()
        try client.sendRequest()
        try proxy.expect(.downstreamRqActive, 1)
        client.reset()
        try proxy.expect(.downstreamRqActive, 0)
        #expect(peer.requests.isEmpty)
    }

    @Test("A body that may leave slowly comes whole, after its time, and nothing is read ahead without bound")
    func pace() throws {
        let peer = try HTTPPeer { request in .long(request.message.target == "/short" ? 1000 : 700_000) }
        var fault = Fault()
        (fault.rate, fault.rateShare) = (.fixed(1500), .all)
        let proxy = try proxy(
            [peer], filters: [.fault(fault, name: "fault")], [host(.forward("", .prefix("/")))])
        let client = try proxy.client()
        let started = ContinuousClock.now
        try client.sendRequest("GET", "/short")
        #expect(try client.readAnswer().bodyCount == 1000)
        #expect(ContinuousClock.now - started < .milliseconds(300))
        try client.sendRequest("GET", "/long")
        #expect(try client.readAnswer().bodyCount == 700_000)
        // A slice of 76,800 bytes may go at once, the rest takes 0.4 s.
        #expect(ContinuousClock.now - started >= .milliseconds(300))
        try proxy.expect(.downstreamRqActive, 0)
        try proxy.expect(.upstreamRqActive, 0)
        try client.sendRequest("GET", "/long")
        try proxy.expect(.downstreamRqActive, 1)
        client.reset()
        try proxy.expect(.downstreamRqActive, 0)
    }

    @Test("The route's fault replaces the filter's, and headers may choose it")
    func abort() throws {
        let peer = try HTTPPeer()
        var plain = Fault()
        (plain.abort, plain.abortShare) = (.http(503), .all)
        var own = plain
        (own.abort, own.headers) = (.http(418), [HeaderMatch(name: "x-fault", test: .present(true))])
        var asked = Fault()
        (asked.abort, asked.abortShare) = (.header, .all)
        var special = Route.forward("", .prefix("/own"))
        special.filters = [RouteFilter(name: "fault", settings: .fault(own))]
        var named = Route.forward("", .prefix("/asked"))
        named.filters = [RouteFilter(name: "fault", settings: .fault(asked))]
        var other = Route.forward("", .prefix("/other"))
        other.filters = [RouteFilter(name: "another filter", settings: .fault(own))]
        let proxy = try proxy(
            [peer], filters: [.fault(plain, name: "fault")],
            [host(special, named, other, .forward("", .prefix("/")))])
        let client = try proxy.client()
        for (path, fields, status) in [
            ("/", [], 503), ("/own", [], 200), ("/own", [("x-fault", "")], 418), ("/asked", [], 200),
            ("/asked", [("x-envoy-fault-abort-request", "429")], 429),
            ("/asked", [("x-envoy-fault-abort-request", "9")], 200), ("/other", [], 503),
        ] as [(String, [(String, String)], Int)] {
            try client.sendRequest("GET", path, fields: fields)
            #expect(try client.readAnswer().status == status, "\(path) \(fields)")
        }
    }

    // MARK: Cross-origin requests, header mutation

    @Test("Origins that may read an answer are told so, and preflight requests are answered here")
    func cors() throws {
        let peer = try HTTPPeer { _ in .answer(200, fields: [("access-control-allow-origin", "*")]) }
        var policy = CORSPolicy()
        policy.origins = [StringMatch(.suffix(".example")), StringMatch(.regex("https://[ab]"))]
        (policy.methods, policy.maxAge, policy.allowsCredentials) = ("GET", "60", true)
        var host = host(.forward("", .prefix("/")))
        host.filters = [RouteFilter(name: "cors", settings: .cors(policy))]
        let proxy = try proxy([peer], filters: [.cors(name: "cors")], [host])
        let client = try proxy.client()
        try client.sendRequest("GET", "/", fields: [("Origin", "https://a")])
        #expect(try client.readAnswer().values(of: "access-control-allow-origin") == ["https://a"])
        try client.sendRequest("GET", "/", fields: [("origin", "https://c")])
        #expect(try client.readAnswer().values(of: "access-control-allow-origin") == ["*"])
        let preflight = [("origin", "http://x.example"), ("access-control-request-method", "GET")]
        try client.sendRequest("OPTIONS", "/", fields: preflight)
        let answer = try client.readAnswer()
        #expect(answer.status == 200 && answer["access-control-allow-methods"] == "GET")
        #expect(
            answer["access-control-max-age"] == "60" && answer["access-control-allow-credentials"] == "true")
        #expect(peer.requests.count == 2)
        try proxy.expect(.corsOriginValid, 2)
        try proxy.expect(.corsOriginInvalid, 1)
    }

    @Test("Mutations are made one after the other, and each sees what was done before")
    func mutation() throws {
        let peer = try HTTPPeer { _ in .answer(200, fields: [("x-internal-one", "1"), ("x-other", "2")]) }
        var mutation = HeaderMutation()
        mutation.request = [
            .set(name: "x-a", value: "1", action: .appendOrAdd, keepsEmpty: false),
            .set(name: "x-b", value: "%REQ(x-a)%", action: .appendOrAdd, keepsEmpty: false),
            .remove(name: "x-a"),
        ]
        mutation.response = [
            .removeMatching(StringMatch(.prefix("x-internal-"))),
            .set(name: "x-seen", value: "%REQ(x-b)%", action: .appendOrAdd, keepsEmpty: false),
        ]
        let proxy = try proxy(
            [peer], filters: [.headerMutation(mutation, name: "m")], [host(.forward("", .prefix("/")))])
        let client = try proxy.client()
        try client.sendRequest()
        let answer = try client.readAnswer()
        #expect(answer["x-internal-one"] == nil && answer["x-other"] == "2" && answer["x-seen"] == "1")
        let seen = try #require(peer.requests.first?.message)
        #expect(seen["x-a"] == nil && seen["x-b"] == "1")
    }

    @Test("A log line shows path and host as they were sent, and the path that came")
    func loggedRewrite() throws {
        let directory = try TemporaryDirectory()
        let peer = try HTTPPeer()
        var configuration = ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, forward in
            forward.pathRewrite = .prefix("/new/")
            forward.hostRewrite = .literal("new.example")
            var log = AccessLog(destination: .file(directory.path("log")))
            log.format = .text("%REQ(:PATH)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %REQ(:AUTHORITY)%\n")
            manager.accessLogs = [log]
        }
        configuration.listeners[0].name = "logged"
        let proxy = try ProxyFixture(configuration)
        let client = try proxy.client()
        try client.sendRequest("GET", "/old?q", host: "old.example")
        #expect(try client.readAnswer().status == 200)
        let line = try eventually("a line") { () -> String? in
            proxy.server.flushLogs()
            return directory.read("log").flatMap { $0.isEmpty ? nil : $0 }
        }
        #expect(line == "/new/old?q /old?q new.example\n")
    }

    // MARK: HTTP/2

    @Test("Filters, copies and internal redirects do the same over HTTP/2 on both sides")
    func overHTTP2() throws {
        let copies = try HTTPPeer()
        let peer = try HTTPPeer { request in
            request.message.target.hasPrefix("/from")
                ? .answer(302, fields: [("location", "http://h.example/to")], body: "no")
                : .answer(200, body: request.message.text)
        }
        // HTTP/1.1 to `far`, which is called by HTTP/2 and calls HTTP/1.1; its copies go by HTTP/2 through `third`.
        let third = try ProxyFixture([copies])
        var fault = Fault()
        (fault.delay, fault.delayShare) = (.fixed(.milliseconds(20)), .all)
        var configuration = ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, _ in
            manager.filters = [.fault(fault, name: "fault")]
        }
        var other = ProxyFixture.cluster("other", [third.port])
        other.upstreamProtocol = .http2
        configuration.clusters.append(other)
        guard case .http(var manager) = configuration.listeners[0].filterChains[0].network else { return }
        manager.routes = .routes(
            RouteConfiguration(
                name: "r", virtualHosts: [host(redirecting(), mirrored())]))
        configuration.listeners[0].filterChains[0].network = .http(manager)
        let far = try ProxyFixture(configuration)
        let near = try ProxyFixture(
            ProxyFixture.configuration(endpoints: [far.port]) { _, cluster, _ in
                cluster.upstreamProtocol = .http2
            })
        let client = try near.client()
        let body = String(repeating: "x", count: 100_000)
        for number in 0..<5 {
            try client.sendRequest("POST", number == 0 ? "/from/a" : "/to", host: "h.example", body: body)
            let answer = try client.readAnswer()
            #expect(answer.status == 200 && answer.text == body, "\(number)")
        }
        let copied = try eventually("five copies") { copies.requests.count == 5 ? copies.requests : nil }
        #expect(copied.allSatisfy { $0.message.text == body && $0.message["host"] == "h.example-shadow" })
        try far.expect(.downstreamRqActive, 0)
        try far.expect(.upstreamRqActive, 0)
    }
}
