import HTTP1Codec
import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Reactor
import TrafficPolicy

/// Something that a request needs done, as often as wanted.
public protocol Part: AnyObject {
    func runOnce()
}

/// One of them, made when it is wanted.
public typealias NamedPart = (name: String, make: @Sendable () -> any Part)

public let parts: [NamedPart] = parsing + [2, 10, 100, 1000].flatMap { balancing(over: $0) } + others

private let parsing: [NamedPart] = [
    ("parse a request of 7 fields", { RequestParsing() }),
    ("parse a request of 25 fields", { RequestParsing(moreFields: 18) }),
    ("parse an answer of 6 fields", { AnswerParsing() }),
    ("build a head of 8 fields", { HeadBuilding() }),
]

private let others: [NamedPart] = [
    ("round robin over 100, weighted", { Balancing(.roundRobin, endpoints: 100, isWeighted: true) }),
    ("rate limit that lets pass", { Limiting(maxTokens: 1_000_000) }),
    ("rate limit that denies", { Limiting(maxTokens: 1) }),
    ("timer set and cancelled, 10 others", { Timing(others: 10) }),
    ("timer set and cancelled, 100,000 others", { Timing(others: 100_000) }),
    ("timer set and fired", { Firing() }),
    ("HTTP/2: request and answer, both ends, fields known", { Streaming(isRepeated: true) }),
    ("HTTP/2: request and answer, both ends, fields new", { Streaming(isRepeated: false) }),
]

private func balancing(over count: Int) -> [NamedPart] {
    [
        ("round robin over \(count)", { Balancing(.roundRobin, endpoints: count) }),
        ("least request over \(count)", { Balancing(.leastRequest(choices: 2), endpoints: count) }),
        ("random over \(count)", { Balancing(.random, endpoints: count) }),
        ("peak EWMA over \(count)", { Balancing(.peakEWMA(PeakEWMASettings()), endpoints: count) }),
        ("ring hash over \(count)", { Balancing(.hashed, endpoints: count, hashing: .ring()) }),
        ("maglev over \(count)", { Balancing(.hashed, endpoints: count, hashing: .maglev()) }),
    ]
}

/// Keeps the compiler from seeing that nobody wants a result.
@inline(never) private func use<T>(_ value: T) {}

final class RequestParsing: Part {
    private let bytes: [UInt8]
    private var head = MessageHead()

    init(moreFields: Int = 0) {
        var text = "GET /orders/4711?currency=EUR HTTP/1.1\r\nHost: orders.default\r\n"
        text += "User-Agent: curl/7.88.1\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\n"
        text += "x-request-id: 6fa1d3b4-64a1-4f2e-9b58-0f3e8c0f5f5a\r\n"
        text +=
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nCookie: session=abcdef\r\n"
        for index in 0..<moreFields { text += "x-field-\(index): some value of a usual length\r\n" }
        bytes = Array((text + "\r\n").utf8)
    }

    func runOnce() {
        var progress = HeadProgress()
        let result = bytes.withByteView {
            HTTP1Parser.parseRequest($0, into: &head, progress: &progress, limits: HTTP1Limits())
        }
        precondition(result == .complete)
    }
}

final class AnswerParsing: Part {
    private let bytes = Array(
        """
        HTTP/1.1 200 OK\r
        Content-Type: application/json\r
        Content-Length: 64\r
        Date: Mon, 23 Nov 2026 09:00:00 GMT\r
        Server: origin\r
        Cache-Control: no-store\r
        ETag: "5f1d"\r
        \r\n
        """.utf8)
    private var head = MessageHead()

    func runOnce() {
        var progress = HeadProgress()
        let result = bytes.withByteView {
            HTTP1Parser.parseResponse($0, to: .get, into: &head, progress: &progress, limits: HTTP1Limits())
        }
        precondition(result == .complete)
    }
}

final class HeadBuilding: Part {
    private var pool = BufferPool()
    private var buffer: PooledBuffer

    init() { buffer = pool.take(4096) }

    func runOnce() {
        buffer.removeAll()
        var isWhole = HTTP1Writer.appendRequestLine(
            method: ByteView("GET"), target: ByteView("/orders"), to: &buffer)
        for _ in 0..<7 {
            isWhole =
                HTTP1Writer.appendField(
                    ByteView("x-some-field"), ByteView("a value of usual length"), to: &buffer)
                && isWhole
        }
        isWhole =
            HTTP1Writer.appendContentLength(64, to: &buffer) && HTTP1Writer.appendHeadEnd(to: &buffer)
            && isWhole
        precondition(isWhole)
    }
}

final class Balancing: Part {
    private var balancer: LoadBalancer
    private let endpoints: EndpointSet
    private var random = SeededRandom(seed: 1)
    private var hash: UInt64 = 1

    init(
        _ policy: LoadBalancingPolicy, endpoints count: Int, isWeighted: Bool = false,
        hashing: HashingSettings? = nil
    ) {
        balancer = LoadBalancer(policy)
        let members = (0..<count).map { index in
            let address = SocketAddress(ipv4: 10, 0, UInt8(index / 256), UInt8(index % 256), port: 80)
            let weight: UInt32 = isWeighted ? UInt32(1 + index % 7) : 1
            return EndpointSet.Member(EndpointState(address: address), weight: weight, priority: 0)
        }
        var balancing = BalancingSettings()
        balancing.hashing = hashing
        endpoints = EndpointSet(members, balancing: balancing)
    }

    func runOnce() {
        hash = hash &* 0x9e37_79b9_7f4a_7c15 &+ 1
        use(balancer.pick(from: endpoints, hash: hash, random: &random))
    }
}

final class Limiting: Part {
    private let bucket: TokenBucket
    private var now = MonotonicInstant(nanoseconds: 1_000_000_000)

    /// A call every microsecond, and a million tokens or one come back in a second.
    init(maxTokens: UInt32) {
        bucket = TokenBucket(
            TokenBucketSettings(maxTokens: maxTokens, tokensPerFill: maxTokens, fillInterval: 1_000_000_000),
            at: now)
    }

    func runOnce() {
        now = MonotonicInstant(nanoseconds: now.nanoseconds + 1000)
        use(bucket.take(at: now).isAllowed)
    }
}

final class Timing: Part {
    private var wheel: TimerWheel

    init(others: Int) {
        wheel = TimerWheel(capacity: others + 1)
        var random = SeededRandom(seed: 1)
        for number in 0..<others {
            _ = wheel.schedule(
                at: MonotonicInstant(nanoseconds: Int64(random.below(60_000_000_000))),
                token: Token(rawValue: UInt64(number)))
        }
    }

    func runOnce() {
        wheel.cancel(
            wheel.schedule(at: MonotonicInstant(nanoseconds: 15_000_000_000), token: Token(rawValue: 1)))
    }
}

final class Firing: Part {
    private var wheel = TimerWheel(capacity: 16)
    private var now: Int64 = 0

    func runOnce() {
        _ = wheel.schedule(at: MonotonicInstant(nanoseconds: now + 5_000_000), token: Token(rawValue: 1))
        now += 10_000_000
        precondition(wheel.popExpired(now: MonotonicInstant(nanoseconds: now)) != nil)
    }
}

/// A client's and a server's session joined by hand: framing, HPACK and our events on both ends.
final class Streaming: Part {
    private let client: HTTP2Session
    private let server: HTTP2Session
    private let isRepeated: Bool
    private var fields = HTTP2FieldList()
    private var head = MessageHead()
    private var number = 0
    private var now = MonotonicInstant.zero

    init(isRepeated: Bool) {
        guard let client = HTTP2Session(role: .client, settings: HTTP2Settings()),
            let server = HTTP2Session(role: .server, settings: HTTP2Settings())
        else { fatalError("no memory") }
        (self.client, self.server, self.isRepeated) = (client, server, isRepeated)
        exchangeBytes()
    }

    func runOnce() {
        number += 1
        // Flood budgets fill with time.
        now = MonotonicInstant(nanoseconds: now.nanoseconds + 1_000_000)
        fields.startRequest(
            method: ByteView("GET"), scheme: ByteView("http"), authority: ByteView("orders.default"),
            path: ByteView("/orders"))
        fields.append(name: ByteView("accept"), value: ByteView("application/json"))
        fields.append(name: ByteView("user-agent"), value: ByteView("bench"))
        let text = isRepeated ? "0af7651916cd43dd8448eb211c80319c" : "0af7651916cd43dd8448eb211\(number)"
        text.withByteView { fields.append(name: ByteView("x-request-id"), value: $0) }
        precondition(client.submitRequest(fields, endsStream: true) != nil)
        exchangeBytes()
    }

    private func exchangeBytes() {
        var isMoving = true
        while isMoving {
            isMoving = pass(from: client, to: server)
            isMoving = pass(from: server, to: client) || isMoving
        }
    }

    private func pass(from sender: HTTP2Session, to receiver: HTTP2Session) -> Bool {
        var hasMoved = false
        while let bytes = sender.nextOutput() {
            hasMoved = true
            _ = receiver.receive(bytes, now: now)
            while let event = receiver.nextEvent() { take(event, at: receiver) }
        }
        return hasMoved
    }

    private func take(_ event: HTTP2Event, at receiver: HTTP2Session) {
        guard case .head(let stream, _, _) = event else { return }
        _ = receiver.readHead(into: &head)
        guard receiver === server else { return }
        fields.startResponse(status: 200)
        fields.append(name: ByteView("content-type"), value: ByteView("application/json"))
        fields.append(name: ByteView("content-length"), value: ByteView("2"))
        _ = server.submitResponse(stream, fields, endsStream: false)
        _ = server.send(stream, ByteView("{}"), endsStream: true)
    }
}
