import MeshModel
import MeshPrimitives
import Synchronization
import Telemetry
import TestSupport
import Testing

@testable import Proxy

@Suite("A rate limit service elsewhere decides about requests")
struct GlobalRateLimitTests {
    private let peer: HTTPPeer

    init() throws { peer = try HTTPPeer() }

    /// A gRPC service that answers every question alike: a peer that speaks HTTP/1.1 behind a proxy that speaks HTTP/2.
    private final class Service {
        let peer: HTTPPeer
        let bridge: ProxyFixture

        init(_ reply: @escaping @Sendable (HTTPPeer.Request) -> PeerReply) throws {
            peer = try HTTPPeer(script: reply)
            bridge = try ProxyFixture([peer])
        }

        convenience init(_ message: [UInt8]) throws {
            try self.init { _ in Self.answer(message) }
        }

        static func answer(_ message: [UInt8]) -> PeerReply {
            let framed = [0, 0, 0, 0, UInt8(message.count)] + message
            return .answer(
                200, fields: [("content-type", "application/grpc"), ("grpc-status", "0")],
                body: String(decoding: framed, as: UTF8.self))
        }
    }

    private static func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        [number << 3 | 2, UInt8(bytes.count)] + bytes
    }
    private static func header(_ name: String, _ value: String) -> [UInt8] {
        field(1, Array(name.utf8)) + field(2, Array(value.utf8))
    }

    private static let ok: [UInt8] = [1 << 3, 1]
    private static let overLimit: [UInt8] = [1 << 3, 2]

    private func proxy(
        _ service: UInt16, change: (inout GlobalRateLimit) -> Void = { _ in }
    ) throws -> ProxyFixture {
        var limit = GlobalRateLimit(service: .init(cluster: "limits"), domain: "test")
        limit.timeout = .seconds(5)
        change(&limit)
        var configuration = ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, forward in
            manager.filters = [.globalRateLimit(limit, name: "limit")]
            forward.rateLimits = [
                RateLimitRule(actions: [
                    .header(name: "x-user", key: "user", skipsIfAbsent: false),
                    .literal(key: "kind", value: "a"),
                ])
            ]
        }
        var cluster = ProxyFixture.cluster("limits", [service])
        cluster.upstreamProtocol = .http2
        configuration.clusters.append(cluster)
        return try ProxyFixture(configuration)
    }

    private let user = [("x-user", "alice")]

    @Test("A request within the limit goes on, with what the service adds to it and to the answer")
    func within() throws {
        let message =
            Self.ok + Self.field(3, Self.header("x-answer", "1"))
            + Self.field(4, Self.header("X-Request", "2"))
            + Self.field(3, Self.header("bad name", "1")) + Self.field(3, Self.header("x-bad", "a\r\nb: c"))
        let service = try Service(message)
        let proxy = try proxy(service.bridge.port)
        let client = try proxy.client()
        for _ in 0..<3 {
            try client.sendRequest("POST", "/", fields: user, body: "abc")
            let answer = try client.readAnswer()
            #expect(answer.status == 200 && answer["x-answer"] == "1" && answer["x-bad"] == nil)
        }
        #expect(peer.requests.count == 3 && peer.requests.allSatisfy { $0.message["x-request"] == "2" })
        #expect(peer.requests.allSatisfy { $0.message.text == "abc" })
        try proxy.expect(.ratelimitOk, 3)
        let question = try #require(service.peer.requests.first?.message)
        #expect(question.target == "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit")
        #expect(question["host"] == "limits" && question["content-type"] == "application/grpc")
        let entries =
            Self.field(1, Self.header("user", "alice")) + Self.field(1, Self.header("kind", "a"))
        let expected = Self.field(1, Array("test".utf8)) + Self.field(2, entries)
        #expect(question.body == [0, 0, 0, 0, UInt8(expected.count)] + expected)
        // Without the field there is no descriptor, and nobody is asked.
        try client.sendRequest()
        #expect(try client.readAnswer().status == 200)
        #expect(service.peer.requests.count == 3)
    }

    @Test(
        "What a descriptor counts for goes along",
        arguments: [(0, []), (300, [1 << 3, 0xac, 2])] as [(UInt32, [UInt8])])
    func hits(number: UInt32, field: [UInt8]) throws {
        let service = try Service(Self.ok)
        let proxy = try proxy(service.bridge.port) {
            var rule = RateLimitRule(actions: [.literal(key: "kind", value: "a")])
            rule.hits = number
            $0.rules = [rule]
        }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().status == 200)
        let descriptor = Self.field(1, Self.header("kind", "a")) + Self.field(3, field)
        let expected = Self.field(1, Array("test".utf8)) + Self.field(2, descriptor)
        let question = try #require(service.peer.requests.first?.message)
        #expect(question.body == [0, 0, 0, 0, UInt8(expected.count)] + expected)
    }

    @Test("A request beyond the limit is refused as the service says")
    func beyond() throws {
        // 10 a minute, 3 left, 7 s until there are more.
        let limit = Self.field(2, [1 << 3, 10, 2 << 3, 2]) + [3 << 3, 3] + Self.field(4, [1 << 3, 7])
        let message =
            Self.overLimit + Self.field(2, limit) + Self.field(3, Self.header("x-answer", "1"))
            + Self.field(5, Array("enough".utf8))
        let service = try Service(message)
        let proxy = try proxy(service.bridge.port) {
            $0.sendsRateLimitHeaders = true
            $0.asResourceExhausted = true
            $0.responseHeaders = [
                .set(name: "x-limit", value: "yes", action: .appendOrAdd, keepsEmpty: false)
            ]
        }
        let client = try proxy.client()
        try client.sendRequest(fields: user)
        let refused = try client.readAnswer()
        #expect(refused.status == 429 && refused.text == "enough" && refused["x-answer"] == "1")
        #expect(refused["x-envoy-ratelimited"] == "true" && refused["x-limit"] == "yes")
        #expect(refused["x-ratelimit-limit"] == "10, 10;w=60" && refused["x-ratelimit-remaining"] == "3")
        #expect(refused["x-ratelimit-reset"] == "7")
        #expect(proxy.lastRecord?.flags == .rateLimited)
        #expect(proxy.lastRecord?.details == .requestRateLimited)
        try client.sendRequest(fields: user + [("content-type", "application/grpc")])
        let grpc = try client.readAnswer()
        #expect(grpc.status == 200 && grpc["grpc-status"] == "8" && grpc["grpc-message"] == "enough")
        #expect(peer.requests.isEmpty)
        try proxy.expect(.ratelimitOverLimit, 2)
    }

    @Test(
        "Without an answer requests go on, or are refused where that is asked for", arguments: [false, true])
    func failures(denies: Bool) throws {
        let replies: [PeerReply] = [
            .answer(200, fields: [("content-type", "application/grpc"), ("grpc-status", "14")]),
            .answer(503), .close, .hang, Service.answer([0xff, 0xff, 0xff]), Service.answer([1 << 3, 0]),
            .answer(
                200, fields: [("content-type", "application/grpc"), ("grpc-status", "0")],
                body: "\u{1}\u{0}\u{0}\u{0}\u{0}"),
        ]
        let service = try Service { replies[$0.number] }
        let proxy = try proxy(service.bridge.port) {
            $0.timeout = .milliseconds(200)
            $0.deniedWithoutAnswer = denies ? .all : .none
            $0.statusOnError = 503
        }
        let client = try proxy.client()
        for _ in replies {
            try client.sendRequest(fields: user)
            #expect(try client.readAnswer().status == (denies ? 503 : 200))
        }
        #expect(service.peer.requests.count == replies.count)
        try proxy.expect(.ratelimitError, replies.count)
        try proxy.expect(.ratelimitFailureModeAllowed, denies ? 0 : replies.count)
        if denies { #expect(proxy.lastRecord?.flags == .rateLimitServiceError) }
    }

    @Test("A service that is not there is one that does not answer")
    func away() throws {
        let port = try HTTPPeer().port
        let proxy = try proxy(port)
        let client = try proxy.client()
        try client.sendRequest(fields: user)
        #expect(try client.readAnswer().status == 200)
        try proxy.expect(.ratelimitError, 1)
    }

    @Test("A caller that leaves takes its question with it")
    func abandoned() throws {
        let service = try Service { _ in .hang }
        let proxy = try proxy(service.bridge.port) { $0.timeout = nil }
        let client = try proxy.client()
        try client.sendRequest(fields: user)
        try eventually("the question") { service.peer.requests.count == 1 ? true : nil }
        client.reset()
        try proxy.expect(.downstreamRqActive, 0)
        #expect(peer.requests.isEmpty)
        let other = try proxy.client()
        try other.sendRequest()
        #expect(try other.readAnswer().status == 200)
    }

    @Test("Many requests wait for their answers at once, over one connection")
    func many() throws {
        let service = try Service { _ in .delayed(0.05, Service.answer(Self.ok)) }
        let proxy = try proxy(service.bridge.port)
        let clients = try (0..<20).map { _ in try proxy.client() }
        for client in clients { try client.sendRequest(fields: user) }
        for client in clients { #expect(try client.readAnswer().status == 200) }
        #expect(
            proxy.server.process.registry.snapshot().value("limits", ClusterCounter.upstreamCxTotal) == 1)
    }
}
