import Foundation
import TestSupport
import Testing

extension SystemTests {
    @Suite("Retries")
    struct RetryTests {
        private static func routes(_ policy: String) -> String {
            "- match: {prefix: /}\n  route: {cluster: origin, retry_policy: {\(policy), retry_back_off: {base_interval: 0.005s, max_interval: 0.02s}}}"
        }

        /// A peer that answers with these, one after the other, and then always with 200.
        private static func peer(_ replies: [PeerReply]) throws -> HTTPPeer {
            try HTTPPeer { $0.number < replies.count ? replies[$0.number] : .answer(200, body: "good") }
        }

        struct Case: CustomTestStringConvertible, Sendable {
            let testDescription: String
            let policy: String
            let replies: [PeerReply]
            let status: Int
            let attempts: Int
        }

        static let cases: [Case] = [
            Case(
                testDescription: "5xx: a 500", policy: "retry_on: 5xx", replies: [.answer(500)], status: 200,
                attempts: 2),
            Case(
                testDescription: "5xx: a reset", policy: "retry_on: 5xx", replies: [.reset], status: 200,
                attempts: 2),
            Case(
                testDescription: "gateway-error: a 503", policy: "retry_on: gateway-error",
                replies: [.answer(503)], status: 200, attempts: 2),
            Case(
                testDescription: "gateway-error: not a 500", policy: "retry_on: gateway-error",
                replies: [.answer(500)], status: 500, attempts: 1),
            Case(
                testDescription: "reset: a reset", policy: "retry_on: reset", replies: [.reset], status: 200,
                attempts: 2),
            Case(
                testDescription: "reset: not a 503", policy: "retry_on: reset", replies: [.answer(503)],
                status: 503, attempts: 1),
            Case(
                testDescription: "retriable-status-codes: the one that is listed",
                policy: "retry_on: retriable-status-codes, retriable_status_codes: [418]",
                replies: [.answer(418)],
                status: 200, attempts: 2),
            Case(
                testDescription: "retriable-status-codes: not another",
                policy: "retry_on: retriable-status-codes, retriable_status_codes: [418]",
                replies: [.answer(503)],
                status: 503, attempts: 1),
            Case(
                testDescription: "num_retries: two more and no third",
                policy: "retry_on: 5xx, num_retries: 2",
                replies: [.answer(503), .answer(503), .answer(503), .answer(503)], status: 503, attempts: 3),
            Case(
                testDescription: "num_retries: one unless said", policy: "retry_on: 5xx",
                replies: [.answer(503), .answer(502)], status: 502, attempts: 2),
            Case(
                testDescription: "per_try_timeout: a silent try",
                policy: "retry_on: 5xx, per_try_timeout: 0.2s",
                replies: [.hang], status: 200, attempts: 2),
        ]

        @Test("Retried on what is asked for, and on nothing else", arguments: cases)
        func conditions(_ example: Case) throws {
            let peer = try Self.peer(example.replies)
            var bootstrap = Bootstrap(peer.port)
            bootstrap.routes = Self.routes(example.policy)
            let proxy = try ProxyUnderTest(bootstrap)
            let answer = try proxy.fetch()
            #expect(answer.status == example.status, "\(answer)\n\(proxy.process.logTail)")
            #expect(peer.requests.count == example.attempts)
            try proxy.expectStat("cluster.origin.upstream_rq_retry", example.attempts - 1)
        }

        @Test("Without a policy nothing is retried, whatever the method", arguments: ["GET", "POST"])
        func noPolicy(method: String) throws {
            let peer = try Self.peer([.answer(503), .reset, .close])
            let proxy = try ProxyUnderTest(Bootstrap(peer.port))
            for _ in 0..<3 {
                #expect(try proxy.fetch(method, body: method == "POST" ? "pay" : nil).status == 503)
            }
            #expect(peer.requests.count == 3)
        }

        @Test(
            "A POST whose connection ends without an answer is sent once, on a new connection and on a used one"
        )
        func postIsNeverReplayed() throws {
            let peer = try HTTPPeer { $0.message.method == "POST" ? .close : .answer(200) }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port), workers: 1)
            let fresh = try proxy.fetch("POST", "/pay/1", body: "100")
            #expect(fresh.status == 503, "\(fresh)\n\(proxy.process.logTail)")
            #expect(try proxy.fetch("GET", "/warm").status == 200)
            let used = try proxy.fetch("POST", "/pay/2", body: "100")
            #expect(used.status == 503, "\(used)\n\(proxy.process.logTail)")
            #expect(peer.requests.map(\.message.target) == ["/pay/1", "/warm", "/pay/2"])
        }

        @Test("A pooled connection that the upstream has closed is not used, for a POST either")
        func finIsSeen() throws {
            let peer = try HTTPPeer { .answerThenClose(200, body: $0.message.text) }
            let proxy = try ProxyUnderTest(Bootstrap(peer.port), workers: 1)
            for number in 0..<30 {
                let answer = try proxy.fetch("POST", "/pay/\(number)", body: "\(number)")
                try peer.awaitClosed()
                #expect(
                    answer.status == 200 && answer.text == "\(number)", "\(answer)\n\(proxy.process.logTail)")
            }
            #expect(peer.requests.count == 30)
        }

        @Test("connect-failure goes to another endpoint, a POST too since nothing was sent")
        func connectFailure() throws {
            let peer = try HTTPPeer { .answer(200, body: $0.message.text) }
            let closed = try HTTPPeer()
            let closedPort = closed.port
            closed.stop()
            var bootstrap = Bootstrap(closedPort, peer.port)
            bootstrap.routes = Self.routes("retry_on: connect-failure, num_retries: 3")
            let proxy = try ProxyUnderTest(bootstrap)
            for number in 0..<10 {
                let answer = try proxy.fetch("POST", "/pay", body: "\(number)")
                #expect(
                    answer.status == 200 && answer.text == "\(number)", "\(answer)\n\(proxy.process.logTail)")
            }
            #expect(peer.requests.count == 10)
        }

        @Test("The body is sent again, whole")
        func bodyIsReplayed() throws {
            let peer = try HTTPPeer {
                $0.number == 0 ? .answer(503) : .answer(200, body: "\($0.message.bodyCount)")
            }
            var bootstrap = Bootstrap(peer.port)
            bootstrap.routes = Self.routes("retry_on: 5xx")
            let proxy = try ProxyUnderTest(bootstrap)
            let body = String(repeating: "b", count: 50_000)
            let answer = try proxy.fetch("PUT", "/", body: body)
            #expect(answer.status == 200 && answer.text == "50000", "\(answer)\n\(proxy.process.logTail)")
            #expect(peer.requests.map(\.message.bodyCount) == [50_000, 50_000])
        }

        @Test("A body beyond the limit passes, and is not retried")
        func longBodyIsNotRetried() throws {
            let peer = try Self.peer([.answer(503)])
            var bootstrap = Bootstrap(peer.port)
            bootstrap.listener = "per_connection_buffer_limit_bytes: 4096"
            bootstrap.routes = Self.routes("retry_on: 5xx")
            let proxy = try ProxyUnderTest(bootstrap)
            #expect(try proxy.fetch("PUT", "/", body: String(repeating: "b", count: 50_000)).status == 503)
            #expect(peer.requests.count == 1)
        }

        @Test("The attempt is told to the upstream and to the caller where asked")
        func attemptCount() throws {
            let peer = try Self.peer([.answer(503)])
            var bootstrap = Bootstrap(peer.port)
            bootstrap.virtualHost =
                "include_request_attempt_count: true\ninclude_attempt_count_in_response: true"
            bootstrap.routes = Self.routes("retry_on: 5xx")
            let proxy = try ProxyUnderTest(bootstrap)
            let answer = try proxy.fetch()
            #expect(peer.requests.map { $0.message["x-envoy-attempt-count"] } == ["1", "2"])
            #expect(answer["x-envoy-attempt-count"] == "2", "\(answer)")
        }
    }

    @Suite("Time-outs")
    struct TimeoutTests {
        @Test("A route's time-out is a 504 that names itself, and is not retried")
        func routeTimeout() throws {
            let peer = try HTTPPeer { _ in .hang }
            var bootstrap = Bootstrap(peer.port)
            bootstrap.routes =
                "- match: {prefix: /}\n  route: {cluster: origin, timeout: 0.3s, retry_policy: {retry_on: 5xx}}"
            let proxy = try ProxyUnderTest(bootstrap)
            let (seconds, answer) = try timed { try proxy.fetch() }
            #expect(
                answer.status == 504 && answer.text == "upstream request timeout",
                "\(answer)\n\(proxy.process.logTail)")
            #expect((0.25...2).contains(seconds), "after \(seconds) s")
            #expect(peer.requests.count == 1)
            try proxy.expectStat("cluster.origin.upstream_rq_timeout", 1)
        }

        @Test("A route's time-out covers the body: the answer is cut")
        func timeoutInBody() throws {
            let peer = try HTTPPeer { _ in .raw("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc") }
            var bootstrap = Bootstrap(peer.port)
            bootstrap.routes = "- match: {prefix: /}\n  route: {cluster: origin, timeout: 0.3s}"
            let proxy = try ProxyUnderTest(bootstrap)
            let stream = try proxy.connect()
            try stream.sendRequest()
            #expect(try proxy.explaining { try stream.readHead() }?.status == 200)
            #expect(stream.isEnded(within: 3))
        }

        @Test("A silent stream is a 504 after stream_idle_timeout")
        func streamIdle() throws {
            let peer = try HTTPPeer { _ in .hang }
            var bootstrap = Bootstrap(peer.port)
            bootstrap.manager = "stream_idle_timeout: 0.3s"
            bootstrap.routes = "- match: {prefix: /}\n  route: {cluster: origin, timeout: 0s}"
            let proxy = try ProxyUnderTest(bootstrap)
            let answer = try proxy.fetch()
            #expect(
                answer.status == 504 && answer.text == "stream timeout", "\(answer)\n\(proxy.process.logTail)"
            )
        }

        @Test("A request that does not end is a 408 after request_timeout")
        func requestTimeout() throws {
            let peer = try HTTPPeer()
            var bootstrap = Bootstrap(peer.port)
            bootstrap.manager = "request_timeout: 0.3s"
            let proxy = try ProxyUnderTest(bootstrap)
            let stream = try proxy.connect()
            try stream.sendRequest("POST", "/", fields: [("content-length", "10")])
            try stream.send("abc")
            #expect(try proxy.explaining { try stream.readAnswer() }.status == 408)
        }

        @Test("An idle connection of a caller is closed after idle_timeout")
        func idleConnection() throws {
            let peer = try HTTPPeer()
            var bootstrap = Bootstrap(peer.port)
            bootstrap.manager = "common_http_protocol_options: {idle_timeout: 0.3s}\ndrain_timeout: 0.1s"
            let proxy = try ProxyUnderTest(bootstrap)
            let stream = try proxy.connect()
            try stream.sendRequest()
            #expect(try proxy.explaining { try stream.readAnswer() }.status == 200)
            #expect(stream.isEnded(within: 5), "\(proxy.process.logTail)")
        }
    }
}
