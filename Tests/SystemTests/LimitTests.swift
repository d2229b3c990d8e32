import Foundation
import TestSupport
import Testing

extension SystemTests {
    @Suite("Limits")
    struct LimitTests {
        /// Requests in flight that hang, on connections of their own.
        private static func occupy(_ proxy: ProxyUnderTest, _ peer: HTTPPeer, _ count: Int) throws
            -> [TCPStream]
        {
            let already = peer.requests.count
            let streams = try (0..<count).map { _ in
                let stream = try proxy.connect()
                try stream.sendRequest("GET", "/hang")
                return stream
            }
            try eventually(
                "\(count) requests at the peer, which has \(peer.requests.count)\n\(proxy.process.logTail)"
            ) {
                peer.requests.count == already + count ? true : nil
            }
            return streams
        }

        private static func hangingPeer() throws -> HTTPPeer {
            try HTTPPeer { $0.message.target == "/hang" ? .hang : .answer(200, body: "good") }
        }

        @Test(
            "Services that others wrote decide about calls, one by one and by shares",
            .enabled(
                if: FileManager.default.isExecutableFile(atPath: ControlTests.python),
                "`make setup` makes .tools/venv"))
        func foreignServices() throws {
            let script = repositoryRoot.appendingPathComponent("Tests/SystemTests/peers/limit_services.py")
                .path
            let binary = try ProcessUnderTest.locate("martlet-proxy").path
            let result = try runTool(ControlTests.python, [script, binary], within: 90)
            #expect(result.status == 0, "\(result.output)\n\(result.errors)")
        }

        @Test("Beyond max_requests: 503, marked as overload, counted, and flagged UO")
        func requests() throws {
            let peer = try Self.hangingPeer()
            var bootstrap = Bootstrap(
                peer.port, settings: "circuit_breakers: {thresholds: [{max_requests: 3}]}")
            bootstrap.manager = AccessLogTests.log("%RESPONSE_CODE% %RESPONSE_FLAGS%")
            let proxy = try ProxyUnderTest(bootstrap)
            let hanging = try Self.occupy(proxy, peer, 3)
            let answer = try proxy.fetch()
            #expect(
                answer.status == 503 && answer["x-envoy-overloaded"] == "true",
                "\(answer)\n\(proxy.process.logTail)")
            // Envoy has moved this from `upstream_rq_pending_overflow` to a name of its own.
            #expect(try proxy.stat("_overflow", of: "cluster.origin.upstream_rq") == 1)
            try proxy.expectStat("cluster.origin.circuit_breakers.default.rq_open", 1)
            #expect(try proxy.lines(of: "access.log", atLeast: 1).first == "503 UO")
            hanging.forEach { $0.reset() }
            try eventually("a request to be let through\n\(proxy.process.logTail)") {
                try proxy.fetch().status == 200 ? true : nil
            }
            #expect(peer.requests.count == 4)
        }

        @Test("max_requests is exact over all workers")
        func requestsOverWorkers() throws {
            let peer = try Self.hangingPeer()
            let proxy = try ProxyUnderTest(
                Bootstrap(peer.port, settings: "circuit_breakers: {thresholds: [{max_requests: 8}]}"),
                workers: 4)
            let hanging = try Self.occupy(proxy, peer, 8)
            for _ in 0..<20 { #expect(try proxy.fetch().status == 503) }
            #expect(peer.requests.count == 8)
            withExtendedLifetime(hanging) {}
        }

        @Test("Beyond max_connections requests wait, and beyond max_pending_requests they are refused")
        func connections() throws {
            let peer = try Self.hangingPeer()
            let proxy = try ProxyUnderTest(
                Bootstrap(
                    peer.port,
                    settings:
                        "circuit_breakers: {thresholds: [{max_connections: 1, max_pending_requests: 2}]}"),
                workers: 1)
            let hanging = try Self.occupy(proxy, peer, 1)
            let waiting = try (0..<2).map { number in
                let stream = try proxy.connect()
                try stream.sendRequest("GET", "/waits/\(number)")
                return stream
            }
            try proxy.expectStat("cluster.origin.upstream_rq_pending_active", 2)
            let refused = try proxy.fetch()
            #expect(
                refused.status == 503 && refused["x-envoy-overloaded"] == "true",
                "\(refused)\n\(proxy.process.logTail)")
            hanging.forEach { $0.reset() }
            for stream in waiting { #expect(try proxy.explaining { try stream.readAnswer() }.status == 200) }
            #expect(peer.requests.count == 3)
        }

        @Test("Beyond max_retries no retry is made, and the answer passes")
        func retries() throws {
            let peer = try HTTPPeer(503, body: "sorry")
            var bootstrap = Bootstrap(
                peer.port, settings: "circuit_breakers: {thresholds: [{max_retries: 0}]}")
            bootstrap.routes =
                "- match: {prefix: /}\n  route: {cluster: origin, retry_policy: {retry_on: 5xx}}"
            let proxy = try ProxyUnderTest(bootstrap)
            #expect(try proxy.fetch().text == "sorry")
            #expect(peer.requests.count == 1)
            try proxy.expectStat("cluster.origin.upstream_rq_retry_overflow", 1)
        }

        static let limiter = """
            - name: envoy.filters.http.local_ratelimit
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
                stat_prefix: limiter
                token_bucket: {max_tokens: 5, tokens_per_fill: 5, fill_interval: 60s}
                filter_enabled: {default_value: {numerator: 100}}
                filter_enforced: {default_value: {numerator: 100}}
                enable_x_ratelimit_headers: DRAFT_VERSION_03
                response_headers_to_add: [{header: {key: x-limited, value: "yes"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]
            """

        @Test("Beyond the bucket: 429 with what is left and when, exactly as many as there are tokens")
        func rateLimit() throws {
            let peer = try HTTPPeer(body: "good")
            var bootstrap = Bootstrap(peer.port)
            bootstrap.filters = Self.limiter
            bootstrap.manager = AccessLogTests.log("%RESPONSE_CODE% %RESPONSE_FLAGS%")
            let proxy = try ProxyUnderTest(bootstrap)
            let answers = try (0..<12).map { _ in try proxy.fetch() }
            #expect(
                answers.map(\.status) == Array(repeating: 200, count: 5) + Array(repeating: 429, count: 7))
            #expect(answers[0]["x-ratelimit-limit"]?.hasPrefix("5") == true, "\(answers[0])")
            #expect(answers[0]["x-ratelimit-remaining"] == "4", "\(answers[0])")
            let limited = answers[11]
            #expect(limited.text == "local_rate_limited" && limited["x-limited"] == "yes", "\(limited)")
            #expect(limited["x-ratelimit-remaining"] == "0", "\(limited)")
            #expect(
                limited["x-ratelimit-reset"].flatMap { Int($0) }.map { (1...60).contains($0) } == true,
                "\(limited)")
            #expect(peer.requests.count == 5)
            #expect(try proxy.lines(of: "access.log", atLeast: 12).last == "429 RL")
            try proxy.expectStat("limiter.http_local_rate_limit.rate_limited", 7)
        }

        @Test("One bucket serves all workers")
        func rateLimitOverWorkers() throws {
            let peer = try HTTPPeer(body: "good")
            var bootstrap = Bootstrap(peer.port)
            bootstrap.filters = Self.limiter.replacingOccurrences(
                of: "5, tokens_per_fill: 5", with: "100, tokens_per_fill: 100")
            let proxy = try ProxyUnderTest(bootstrap, workers: 4)
            let load = try ProcessUnderTest(
                "martlet-load",
                [
                    "--target", "127.0.0.1:\(proxy.port)", "--requests", "1000", "--connections", "40",
                    "--json",
                ],
                in: proxy.directory)
            #expect(try load.exitStatus(within: 30) == 0, "\(load.logTail)")
            #expect(
                load.log.contains("\"status\":{\"2xx\":100,\"4xx\":900}"),
                "\(load.logTail)\n\(proxy.process.logTail)")
        }
    }
}
