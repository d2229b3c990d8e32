import HTTP2Codec
import MeshPrimitives
import Reactor
import TLSEngine
import TLSTestSupport
import TestSupport
import Testing

@testable import XDSClient

@Suite("GRPCChannel")
struct GRPCChannelTests {
    private let echo = "/test.Echo/Echo"

    private func channel(
        _ pair: SimulatedPair, _ target: ClientTarget? = nil, failures: Box<[GRPCFailure]> = Box([])
    )
        -> GRPCChannel
    {
        GRPCChannel(
            loop: pair.loop, resolver: pair.resolver, target: target ?? pair.target, authority: "control"
        ) {
            failures.value.append($0)
        }
    }

    @Test("A call brings the answer, and its head says what it is", arguments: UInt64(0)..<20)
    func unary(seed: UInt64) throws {
        let pair = try SimulatedPair(seed: seed)
        pair.server.onMessage = { call, message in
            call.send(message.reversed())
            call.end(GRPCStatus(code: .ok))
        }
        let channel = channel(pair)
        var answer: Result<[UInt8], GRPCFailure>?
        channel.call(path: echo, message: [1, 2, 3], deadline: .seconds(5)) { answer = $0 }
        #expect(pair.run { answer == nil })
        #expect(answer == .success([3, 2, 1]))
        let call = try #require(pair.server.calls.first)
        #expect(call.path == echo && call.isFinished)
        #expect(call.headers["te"] == "trailers" && call.headers["content-type"] == "application/grpc")
        #expect(call.headers["host"] == "control" && call.headers["grpc-timeout"] == "5000m")
    }

    @Test("Messages of megabytes pass in both directions, whatever the pieces", arguments: UInt64(0)..<3)
    func large(seed: UInt64) throws {
        let pair = try SimulatedPair(seed: seed)
        pair.server.onMessage = { call, message in call.send(message) }
        let channel = channel(pair)
        var received: [[UInt8]] = []
        let stream = GRPCStream(path: echo) {
            if case .message(let message) = $0 { received.append(message) }
        }
        channel.start(stream)
        let messages = [3_000_000, 0, 1, 70_000].map { [UInt8](repeating: UInt8($0 & 255), count: $0) }
        for message in messages { #expect(stream.send(message)) }
        #expect(pair.run { received.count < messages.count })
        #expect(received.map(\.count) == messages.map(\.count))
        let isSame = received == messages
        #expect(isSame)
    }

    @Test("While a stream is paused the server gets no further than the window")
    func backPressure() throws {
        let pair = try SimulatedPair(seed: 1)
        let channel = channel(pair)
        var count = 0
        let stream = GRPCStream(path: echo) { if case .message = $0 { count += 1 } }
        channel.start(stream)
        stream.pause()
        stream.send([0])
        pair.server.onMessage = { call, _ in
            for _ in 0..<10 { call.send([UInt8](repeating: 7, count: 1 << 20)) }
        }
        pair.run(.seconds(5))
        #expect(count == 0 && stream.unconsumed <= 4 << 20 && stream.unconsumed > 2 << 20)
        stream.resume()
        #expect(pair.run { count < 10 })
    }

    @Test("What goes wrong is told in words")
    func failures() throws {
        let pair = try SimulatedPair(seed: 2)
        var answers: [String] = []
        pair.server.onMessage = { call, message in
            switch message {
            case [0]: call.end(GRPCStatus(code: .permissionDenied, message: "wrong token"))
            case [1]: call.answer(status: 503, contentType: "text/plain")
            case [2]: call.answer(status: 200, contentType: "text/html")
            default: break
            }
        }
        let channel = channel(pair)
        for number in UInt8(0)..<4 {
            channel.call(path: echo, message: [number], deadline: .seconds(3)) { result in
                if case .failure(let failure) = result { answers.append("\(number) \(failure)") }
            }
        }
        #expect(pair.run { answers.count < 4 })
        #expect(
            answers.sorted() == [
                "0 grpc-status 7: wrong token", "1 HTTP status 503 instead of gRPC",
                "2 content-type 'text/html' instead of gRPC", "3 no answer in time",
            ])
        pair.run(.seconds(1))
        #expect(pair.server.calls[3].isReset)
    }

    @Test("A port where nobody listens is refused, the next host is tried, and all failures are told")
    func failover() throws {
        let pair = try SimulatedPair(seed: 3)
        var target = pair.target
        target.hosts.insert(.init(name: "10.0.0.1", port: 9), at: 0)
        pair.server.onMessage = { call, message in
            call.send(message)
            call.end(GRPCStatus(code: .ok))
        }
        var answer: Result<[UInt8], GRPCFailure>?
        let good = channel(pair, target)
        good.call(path: echo, message: [1], deadline: .seconds(5)) { answer = $0 }
        #expect(pair.run { answer == nil })
        #expect(answer == .success([1]))
        target.hosts = [.init(name: "10.0.0.1", port: 9), .init(name: "10.0.0.1", port: 10)]
        let failures = Box<[GRPCFailure]>([])
        let bad = channel(pair, target, failures: failures)
        #expect(pair.run { failures.value.isEmpty })
        #expect(
            failures.value == [.connection("10.0.0.1:9: connection refused; 10.0.0.1:10: connection refused")]
        )
        #expect(!bad.isOpen)
    }

    @Test("A host that says nothing is given up after the connect timeout")
    func connectTimeout() throws {
        let pair = try SimulatedPair(seed: 4)
        pair.network.changeLinks(between: SimulatedPair.clientAddress, and: SimulatedPair.serverAddress) {
            $0.isDown = true
        }
        let failures = Box<[GRPCFailure]>([])
        let channel = channel(pair, failures: failures)
        let start = pair.network.now
        #expect(pair.run { failures.value.isEmpty })
        #expect(failures.value.map(\.description) == ["10.0.0.1:15010: no answer within 5.0 seconds"])
        #expect(pair.network.now.duration(since: start) < .milliseconds(5100))
        withExtendedLifetime(channel) {}
    }

    @Test(
        "A dead server is noticed by an unanswered ping; a living one is left alone", arguments: UInt64(0)..<5
    )
    func pings(seed: UInt64) throws {
        let pair = try SimulatedPair(seed: seed)
        var target = pair.target
        target.pings = .init()
        let failures = Box<[GRPCFailure]>([])
        let channel = channel(pair, target, failures: failures)
        var ended: GRPCFailure??
        let stream = GRPCStream(path: echo) { if case .ended(let failure) = $0 { ended = failure } }
        channel.start(stream)
        pair.run(.seconds(600))
        #expect(channel.isOpen && failures.value.isEmpty)
        pair.network.changeLinks(between: SimulatedPair.clientAddress, and: SimulatedPair.serverAddress) {
            $0.isDown = true
        }
        let cut = pair.network.now
        #expect(pair.run(.seconds(600)) { failures.value.isEmpty })
        #expect(pair.network.now.duration(since: cut) <= .seconds(71))
        #expect(failures.value.first?.description.contains("no answer to a ping within 10.0 seconds") == true)
        #expect(ended != nil)
    }

    @Test("After a GOAWAY calls go on to their end, then the channel closes")
    func goAway() throws {
        let pair = try SimulatedPair(seed: 6)
        let failures = Box<[GRPCFailure]>([])
        let channel = channel(pair, failures: failures)
        var events: [String] = []
        let stream = GRPCStream(path: echo) { event in
            switch event {
            case .message(let message): events.append("\(message)")
            case .ended(let failure): events.append("end \(failure.map { "\($0)" } ?? "ok")")
            }
        }
        channel.start(stream)
        stream.send([1])
        #expect(pair.run { pair.server.calls.isEmpty })
        pair.server.calls[0].goAway(.enhanceYourCalm)
        pair.run(.seconds(1))
        #expect(channel.isOpen && events == [])
        var late: Result<[UInt8], GRPCFailure>?
        channel.call(path: echo, message: [], deadline: .seconds(9)) { late = $0 }
        pair.server.calls[0].send([5])
        pair.server.calls[0].end(GRPCStatus(code: .ok))
        #expect(pair.run { failures.value.isEmpty })
        #expect(events == ["[5]", "end ok"] && late == .failure(.connection("no connection")))
        #expect(channel.wasPingedTooOften)
    }

    @Test("Megabytes pass over TLS in both directions, and other names than the expected are refused")
    func tls() throws {
        let authority = try TestAuthority.ofToday()
        let pair = try LoopbackPair(tls: try authority.serverContext(requiresClients: false))
        pair.server.onMessage = { call, message in call.send(message) }
        func target(_ name: SANMatcher) throws -> ClientTarget {
            var settings = TLSSettings(role: .client, identity: nil, trust: .bundle(authority.bundle))
            settings.peerNames = [name]
            settings.applicationProtocols = ["h2"]
            let host = ClientTarget.Host(name: "127.0.0.1", port: pair.server.address.port)
            return ClientTarget(hosts: [host], tls: try TLSContext(settings))
        }
        let good = GRPCChannel(
            loop: pair.loop, resolver: pair.resolver, target: try target(WorkloadIdentity.controlIdentity),
            authority: "control"
        ) { _ in }
        var received: [Int] = []
        let stream = GRPCStream(path: echo) {
            if case .message(let message) = $0 { received.append(message.count) }
        }
        good.start(stream)
        for count in [5_000_000, 10, 2_000_000] { stream.send([UInt8](repeating: 1, count: count)) }
        #expect(pair.run { received.count < 3 })
        #expect(received == [5_000_000, 10, 2_000_000])
        var failure: GRPCFailure?
        let bad = GRPCChannel(
            loop: pair.loop, resolver: pair.resolver,
            target: try target(SANMatcher(.uri, .exact("spiffe://other"))),
            authority: "control"
        ) { failure = $0 }
        #expect(pair.run { failure == nil })
        #expect(
            failure?.description.hasSuffix(
                "TLS: the peer's certificate has none of the expected names; it has \(TestAuthority.controlName)"
            ) == true)
        #expect(!bad.isOpen && good.isOpen)
    }

    @Test("A name is looked up on another thread")
    func names() throws {
        let pair = try LoopbackPair()
        let resolver = NameResolver(loop: pair.loop) { name in
            name == "control.test"
                ? .success([SocketAddress(ipv4: 127, 0, 0, 1, port: 0)])
                : .failure(ResolutionFailure("'\(name)' is unknown"))
        }
        pair.server.onMessage = { call, message in
            call.send(message)
            call.end(GRPCStatus(code: .ok))
        }
        let port = pair.server.address.port
        let hosts = ["nobody.test", "control.test"].map { ClientTarget.Host(name: $0, port: port) }
        var answer: Result<[UInt8], GRPCFailure>?
        let channel = GRPCChannel(
            loop: pair.loop, resolver: resolver, target: ClientTarget(hosts: hosts), authority: "control"
        ) { _ in }
        channel.call(path: echo, message: [4], deadline: .seconds(9)) { answer = $0 }
        #expect(pair.run { answer == nil })
        #expect(answer == .success([4]))
        var many: [NameResolver.Answer] = []
        for number in 0..<20 { resolver.resolve("n\(number)", port: 1) { many.append($0) } }
        #expect(pair.run { many.count < 20 })
        #expect(many.contains(.failure(ResolutionFailure("'n7' is unknown"))))
        var local: NameResolver.Answer?
        pair.resolver.resolve("localhost", port: 80) { local = $0 }
        #expect(pair.run { local == nil })
        #expect(try local?.get().contains { $0.isLoopback && $0.port == 80 } == true)
    }
}

/// Something that a closure and a test share.
final class Box<Value> {
    var value: Value

    init(_ value: Value) { self.value = value }
}
