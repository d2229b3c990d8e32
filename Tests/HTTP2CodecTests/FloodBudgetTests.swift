import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Testing

@Suite struct FloodBudgetTests {
    private func openServer(_ settings: HTTP2Settings = HTTP2Settings()) throws -> Peer {
        let server = try Peer(.server, settings)
        server.receive(Frame.preface + Frame.settings)
        _ = server.takeOutput()
        server.log = []
        return server
    }

    /// How many of `frames(n)` it takes to be told off; nil if a hundred thousand are borne. The output is taken.
    private func endures(_ server: Peer, _ frames: (Int) -> [UInt8]) -> Int? {
        for number in 0..<100_000 {
            server.receive(frames(number))
            let output = server.takeOutput()
            if server.failure != nil {
                let last = Frame.parse(output).last
                #expect(last?.type == 7, "the last word is a GOAWAY")
                return number
            }
        }
        return nil
    }

    @Test(
        "Frames that are no work are borne up to a bound",
        arguments: [
            ("ping", Frame.frame(type: 6, flags: 0, stream: 0, .init(0..<8))),
            ("ping acknowledgement", Frame.frame(type: 6, flags: 1, stream: 0, .init(0..<8))),
            ("settings", Frame.settings),
            ("priority", Frame.frame(type: 2, flags: 0, stream: 1, [0, 0, 0, 0, 1])),
            ("window", Frame.frame(type: 8, flags: 0, stream: 0, [0, 0, 0, 1])),
            ("empty data", Frame.data(1, "")),
            ("padding", Frame.frame(type: 0, flags: 8, stream: 1, [3, 0, 0, 0])),
        ])
    func frameFloods(name: String, frame: [UInt8]) throws {
        let server = try openServer()
        let post = [(":method", "POST")] + Frame.get.dropFirst()
        server.receive(Frame.headers(1, post, endsStream: false))
        let count = try #require(endures(server) { _ in frame })
        #expect((50...1100).contains(count))
        #expect(server.failure == HTTP2ConnectionError(code: .enhanceYourCalm, reason: .frameFlood))
    }

    @Test("A burst in a single receive is no way around the bound")
    func oneReceive() throws {
        let server = try openServer()
        let ping = Frame.frame(type: 6, flags: 0, stream: 0, .init(0..<8))
        server.receive((0..<5000).flatMap { _ in ping })
        #expect(server.failure?.reason == .frameFlood)
        #expect(server.takeOutput().count < 20_000)
    }

    @Test("Streams that are opened and reset at once are borne up to a bound")
    func rapidReset() throws {
        let server = try openServer()
        let count = endures(server) { number in
            let stream = Int32(number * 2 + 1)
            return Frame.headers(stream, Frame.get) + Frame.reset(stream)
        }
        #expect(count == 500 && server.failure?.reason == .resetFlood)
    }

    @Test("Making the server reset is counted like resetting")
    func madeYouReset() throws {
        let malformed = try openServer()
        #expect(endures(malformed) { Frame.headers(Int32($0 * 2 + 1), [(":method", "GET")]) } == 500)
        #expect(malformed.failure?.reason == .resetFlood)
        // A window update of zero is a stream error (RFC 9113 section 6.9).
        let zeroWindow = try openServer()
        let count = endures(zeroWindow) { number in
            let stream = Int32(number * 2 + 1)
            return Frame.headers(stream, Frame.get)
                + Frame.frame(type: 8, flags: 0, stream: stream, [0, 0, 0, 0])
        }
        #expect(try #require(count) <= 501)
        var settings = HTTP2Settings()
        settings.streamsMax = 1
        let crowded = try openServer(settings)
        crowded.receive(Frame.settingsAck)
        #expect(try #require(endures(crowded) { Frame.headers(Int32($0 * 2 + 1), Frame.get) }) <= 502)
    }

    @Test("A client that cancels half of its calls for ever is left alone")
    func honestCancelling() throws {
        let server = try openServer()
        server.onEvent = { server, event in
            guard case .head(let stream, _, _) = event, stream.rawValue % 4 == 1 else { return }
            server.respond(stream)
        }
        for number in 0..<5000 {
            let stream = Int32(number * 2 + 1)
            server.receive(Frame.headers(stream, Frame.get) + (stream % 4 == 1 ? [] : Frame.reset(stream)))
            _ = server.takeOutput()
            server.takeEvents()
        }
        #expect(server.failure == nil)
    }

    @Test("Pings at a steady pace, and with data, are no flood")
    func honestPings() throws {
        let ping = Frame.frame(type: 6, flags: 0, stream: 0, .init(0..<8))
        let slow = try openServer()
        for _ in 0..<10_000 {
            slow.now = slow.now.advanced(by: .milliseconds(20))
            slow.receive(ping)
            _ = slow.takeOutput()
        }
        #expect(slow.failure == nil)
        let busy = try openServer()
        let post = [(":method", "POST")] + Frame.get.dropFirst()
        busy.receive(Frame.headers(1, post, endsStream: false))
        for _ in 0..<10_000 {
            busy.receive(Frame.data(1, "x") + ping)
            _ = busy.takeOutput()
        }
        #expect(busy.failure == nil)
    }

    @Test("CONTINUATION without end is stopped", arguments: [0, 1, 16_384])
    func continuations(size: Int) throws {
        let server = try openServer()
        server.receive(Frame.frame(type: 1, flags: 0, stream: 1, Frame.block(Frame.get)))
        let field = Frame.block([("x", "y")])
        let payload: [UInt8] = size == 1 ? [0x82] : (0..<(size / 5)).flatMap { _ in field }
        let count = try #require(endures(server) { _ in Frame.frame(type: 9, flags: 0, stream: 1, payload) })
        #expect(count <= 20)
        #expect(server.failure?.code == .enhanceYourCalm && server.failure?.reason == .headerFlood)
    }

    @Test("A block that grows when it is decompressed is stopped")
    func headerBomb() throws {
        let server = try openServer()
        // One field of 4,000 bytes goes into the table (RFC 7541 section 6.2.1), and is then named by one byte each.
        let value = String(repeating: "v", count: 3900)
        let entry = [0x40] + Frame.string("x") + Frame.string(value)
        let bomb = Frame.block(Frame.get) + entry + [UInt8](repeating: 0xbe, count: 10_000)
        server.receive(Frame.frame(type: 1, flags: 5, stream: 1, bomb))
        #expect(server.failure == HTTP2ConnectionError(code: .enhanceYourCalm, reason: .headerFlood))
        // The same spread over streams: what one `receive` may unpack is bounded too.
        let spread = try openServer()
        let small = Frame.block(Frame.get) + [UInt8](repeating: 0xbe, count: 14)
        var bytes = Frame.frame(type: 1, flags: 5, stream: 1, Frame.block(Frame.get) + entry)
        for number in 1..<100 {
            bytes += Frame.frame(type: 1, flags: 5, stream: Int32(number * 2 + 1), small)
        }
        spread.receive(bytes)
        #expect(spread.failure?.reason == .headerFlood)
    }

    @Test("A peer that sends and never reads is stopped")
    func neverReads() throws {
        let server = try openServer()
        var received = 0
        let ping = Frame.frame(type: 6, flags: 0, stream: 0, .init(0..<8))
        while server.failure == nil, received < 1_000_000 {
            // One a second: no flood by count.
            server.now = server.now.advanced(by: .seconds(1))
            server.receive(ping)
            received += 1
        }
        #expect(server.failure?.reason == .outputFull && received < 25_000)
    }

    @Test("After a failure nothing is taken any more, and the session says so")
    func afterFailure() throws {
        let server = try openServer()
        server.receive(Frame.headers(1, Frame.get))
        server.receive(Frame.data(0, "x"))
        #expect(server.failure == HTTP2ConnectionError(code: .protocolError, reason: .violation))
        #expect(Frame.parse(server.takeOutput()).last?.type == 7)
        #expect(!server.respond(StreamID(rawValue: 1)))
        #expect(server.session.isFinished)
        let other = try Peer(.server)
        other.receive(Array("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n".utf8))
        #expect(other.failure?.reason == .violation)
    }

    @Test("Random bytes and mangled frames never do harm", arguments: UInt64(0)..<60)
    func noise(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let server = try openServer()
        server.onEvent = { server, event in
            if case .head(let stream, _, _) = event {
                server.respond(stream, endsStream: Bool.random(using: &random))
            }
        }
        var bytes: [UInt8] = []
        for number in 0..<30 {
            let stream = Int32(number * 2 + 1)
            bytes += Frame.headers(stream, Frame.get + [("x-\(number)", "y")], endsStream: number % 2 == 0)
            if number % 2 == 1 { bytes += Frame.data(stream, "body", endsStream: number % 3 == 0) }
            if number % 5 == 0 { bytes += Frame.reset(stream) }
        }
        for _ in 0..<Int.random(in: 1...5, using: &random) {
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        var rest = bytes[...]
        while !rest.isEmpty, server.failure == nil {
            let count = Int.random(in: 1...200, using: &random)
            server.receive(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
            if Bool.random(using: &random) { _ = server.takeOutput() }
        }
        // What was opened was reported, and what closed is known to have.
        let opened = server.log.filter { $0.hasPrefix("head ") }.count
        #expect(opened <= 30 && server.log.filter { $0.hasPrefix("closed") }.count <= opened)
    }
}
