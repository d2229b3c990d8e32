import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Testing

@Suite struct HTTP2SessionTests {
    @Test("A request and its response arrive as heads in the form of HTTP/1.1")
    func simple() throws {
        let (client, server) = (try Peer(.client), try Peer(.server))
        server.onEvent = { server, event in
            guard case .head(let stream, _, _) = event else { return }
            server.respond(stream, 404, [("content-length", "3"), ("X-Case", "Kept")], endsStream: false)
            #expect(server.send(stream, "no!", endsStream: true) == 3)
        }
        let stream = try client.request("GET", "/a?b=c", [("X-Trace", "1"), ("te", "trailers")], tag: 7)
        exchange(client, server)
        #expect(
            server.log == [
                "settings 4294967295",
                "head 1 GET /a?b=c HTTP/1.1|host: a.test|x-trace: 1|te: trailers|| end", "closed 1",
            ])
        #expect(
            client.log == [
                "settings 100", "head 1 HTTP/1.1 404 |content-length: 3|x-case: Kept||", "data 1 no!",
                "ended 1",
                "closed 1",
            ])
        let request = try #require(server.heads[stream])
        #expect(request.method == .get && request.acceptsTrailers && request.body == .none)
        #expect(client.heads[stream]?.body == .bytes(3) && client.heads[stream]?.status == 404)
        #expect(client.session.openStreamCount == 0 && server.session.openStreamCount == 0)
    }

    @Test("Events carry the tag of their stream, to the last")
    func tags() throws {
        let (client, server) = (try Peer(.client), try Peer(.server))
        var tags: [String: UInt64] = [:]
        client.onEvent = { client, _ in tags[client.log.last ?? ""] = client.session.eventTag }
        server.onEvent = { server, event in
            if case .head(let stream, _, _) = event {
                server.session.setTag(stream, 100 + UInt64(stream.rawValue))
                server.respond(stream)
            }
            if case .closed = event { tags["server"] = server.session.eventTag }
        }
        let stream = try client.request(tag: 42)
        #expect(client.session.tag(of: stream) == 42)
        exchange(client, server)
        #expect(tags == ["settings 100": 0, "head 1 HTTP/1.1 200 || end": 42, "closed 1": 42, "server": 101])
        #expect(client.session.tag(of: stream) == nil)
    }

    @Test("Interim responses come before the final one, and trailers after the body")
    func informationalAndTrailers() throws {
        let (client, server) = (try Peer(.client), try Peer(.server))
        server.onEvent = { server, event in
            guard case .trailers(let stream, _) = event else { return }
            #expect(
                server.fields.response(103, [("link", "x")]).with {
                    server.session.submitInformational(stream, $0)
                })
            server.respond(stream, 200, [("content-type", "application/grpc")], endsStream: false)
            #expect(server.send(stream, "abc") == 3)
            #expect(
                server.fields.trailers([("grpc-status", "5"), ("grpc-message", "no%20such")]).with {
                    server.session.submitTrailers(stream, $0)
                })
            #expect(server.send(stream, "late") == 0)
        }
        let stream = try client.request("POST", "/s/M", [("expect", "100-continue")], endsStream: false)
        #expect(client.send(stream, "up") == 2)
        #expect(client.fields.trailers([("x-sum", "1")]).with { client.session.submitTrailers(stream, $0) })
        exchange(client, server)
        #expect(
            server.log == [
                "settings 4294967295", "head 1 POST /s/M HTTP/1.1|host: a.test|expect: 100-continue||",
                "data 1 up",
                "trailers 1 x-sum: 1||", "closed 1",
            ])
        #expect(
            client.log == [
                "settings 100", "informational 1 HTTP/1.1 103 |link: x||",
                "head 1 HTTP/1.1 200 |content-type: application/grpc||", "data 1 abc",
                "trailers 1 grpc-status: 5|grpc-message: no%20such||", "closed 1",
            ])
        #expect(client.heads[stream]?.status == 0 && client.heads[stream]?.contains(.grpcStatus) == true)
    }

    @Test("Bodies pass whole both ways through windows that are small", arguments: UInt64(0)..<12)
    func tinyWindows(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var settings = HTTP2Settings()
        settings.streamWindow = Int.random(in: 1...3000, using: &random)
        settings.connectionWindow = 65_535
        settings.outputMax = Int.random(in: 100...70_000, using: &random)
        let (client, server) = (try Peer(.client, settings), try Peer(.server, settings))
        let length = Int.random(in: 0...200_000, using: &random)
        let body = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
        var sent: [ObjectIdentifier: [StreamID: Int]] = [:]
        func go(_ peer: Peer, _ stream: StreamID) {
            let from = sent[ObjectIdentifier(peer), default: [:]][stream, default: 0]
            if from > body.count { return }
            let count = peer.send(stream, body[from...], endsStream: true)
            sent[ObjectIdentifier(peer), default: [:]][stream] =
                from + count == body.count ? .max : from + count
        }
        server.onEvent = { server, event in
            if case .head(let stream, _, _) = event {
                server.respond(stream, endsStream: false)
                go(server, stream)
            }
            if case .windowOpened(let stream) = event { go(server, stream) }
        }
        client.onEvent = { client, event in
            if case .windowOpened(let stream) = event { go(client, stream) }
        }
        let streams = try (0..<3).map { _ in try client.request("POST", endsStream: false) }
        for stream in streams { go(client, stream) }
        exchange(client, server, rounds: 2_000_000)
        for stream in streams {
            #expect(server.bodies[stream, default: []] == body && client.bodies[stream, default: []] == body)
            #expect(
                client.log.contains("closed \(stream.rawValue)")
                    && client.log.contains("ended \(stream.rawValue)"))
        }
        #expect(client.failure == nil && server.failure == nil)
    }

    @Test("A peer that does not consume stops the sender at the window, and nothing is kept beyond")
    func backPressure() throws {
        var settings = HTTP2Settings()
        settings.streamWindow = 100_000
        let (client, server) = (try Peer(.client), try Peer(.server, settings))
        server.consumes = false
        exchange(client, server)
        let stream = try client.request("PUT", endsStream: false)
        let body = [UInt8](repeating: 1, count: 300_000)
        var position = client.send(stream, body[...])
        // The output holds `outputMax` and the frames' headers.
        #expect((65_000...65_536).contains(position) && client.session.output.count <= (64 << 10) + 9)
        #expect(client.send(stream, body[position...]) == 0)
        client.onEvent = { client, event in
            if case .windowOpened(let stream) = event { position += client.send(stream, body[position...]) }
        }
        exchange(client, server)
        #expect(position == 100_000 && server.bodies[stream]?.count == 100_000)
        server.session.consumed(stream, 60_000)
        exchange(client, server)
        #expect(position == 160_000)
        // A stream that is gone gives back what it took of the connection's window.
        client.session.reset(stream, .cancel)
        exchange(client, server)
        for _ in 0..<20 {
            let stream = try client.request("PUT", endsStream: false)
            position = client.send(stream, body[...])
            exchange(client, server)
            #expect(position == 100_000)
            client.session.reset(stream, .cancel)
            exchange(client, server)
        }
    }

    @Test("A full output that is written a little at a time wakes the streams that wait for it")
    func smallWrites() throws {
        var settings = HTTP2Settings()
        settings.streamWindow = 1 << 20
        settings.connectionWindow = 1 << 20
        let (client, server) = (try Peer(.client), try Peer(.server, settings))
        exchange(client, server)
        let stream = try client.request("PUT", endsStream: false)
        let body = [UInt8](repeating: 1, count: 300_000)
        var position = client.send(stream, body[...])
        client.onEvent = { client, event in
            if case .windowOpened(let stream) = event { position += client.send(stream, body[position...]) }
        }
        while !client.session.output.isEmpty {
            let part = client.session.output.prefix(1000).bytes
            client.session.outputWritten(part.count)
            client.takeEvents()
            server.receive(part)
        }
        #expect(position == body.count && server.bodies[stream]?.count == body.count)
    }

    @Test("An end without data goes out with the trailing frame, or waits for the window by itself")
    func finish() throws {
        var settings = HTTP2Settings()
        settings.streamWindow = 10
        let (client, server) = (try Peer(.client), try Peer(.server, settings))
        exchange(client, server)
        let (first, second) = (try client.request(endsStream: false), try client.request(endsStream: false))
        server.consumes = false
        #expect(client.send(first, "0123456789abc") == 10)
        #expect(client.session.finish(second))
        #expect(client.session.finish(first))
        #expect(!client.session.finish(first))
        exchange(client, server)
        #expect(server.log.contains("ended 3") && !server.log.contains("ended 1"))
        server.session.consumed(first, 10)
        exchange(client, server)
        #expect(server.log.contains("ended 1"))
    }

    @Test("Streams open up to the peer's limit, and again when others close")
    func limits() throws {
        var settings = HTTP2Settings()
        settings.streamsMax = 3
        let (client, server) = (try Peer(.client), try Peer(.server, settings))
        exchange(client, server)
        let streams = try (0..<3).map { _ in try client.request() }
        #expect(!client.session.canOpenStream)
        #expect(client.fields.request().with { client.session.submitRequest($0, endsStream: true) } == nil)
        exchange(client, server)
        server.respond(streams[1])
        exchange(client, server)
        #expect(client.session.canOpenStream && client.session.openStreamCount == 2)
        #expect(try client.request().rawValue == 7)
    }

    @Test("A thousand streams reuse the same places, and arrive in full")
    func many() throws {
        let (client, server) = (try Peer(.client), try Peer(.server))
        server.onEvent = { server, event in
            if case .head(let stream, _, _) = event { server.respond(stream, 204) }
        }
        exchange(client, server)
        for _ in 0..<20 {
            for _ in 0..<50 { try client.request("GET", "/x", [("x-request-id", "abc"), ("cookie", "a=b")]) }
            exchange(client, server)
        }
        #expect(client.log.filter { $0.hasPrefix("closed") }.count == 1000)
        #expect(client.log.filter { $0.hasPrefix("head") }.count == 1000)
        #expect(server.log.filter { $0.hasPrefix("closed") }.count == 1000)
    }

    @Test("A reset reaches the other side with its code, and is not echoed to who asked for it")
    func resets() throws {
        let (client, server) = (try Peer(.client), try Peer(.server))
        let (first, second) = (try client.request(endsStream: false), try client.request(endsStream: false))
        exchange(client, server)
        client.session.reset(first, .cancel)
        server.session.reset(second, .refusedStream)
        exchange(client, server)
        #expect(server.log.suffix(3) == ["closed 3", "reset 1 8 by peer", "closed 1"])
        #expect(client.log.suffix(3) == ["closed 1", "reset 3 7 by peer", "closed 3"])
        #expect(!server.respond(first) && server.send(first, "x") == 0 && !server.session.finish(first))
        // An answer that came too early may be followed by a reset without error (RFC 9113 section 8.1).
        let third = try client.request("POST", endsStream: false)
        exchange(client, server)
        server.respond(third, 413)
        server.session.reset(third, .noError)
        exchange(client, server)
        #expect(client.log.suffix(3) == ["head 5 HTTP/1.1 413 || end", "reset 5 0 by peer", "closed 5"])
    }

    @Test("GOAWAY lets streams finish, refuses new ones, and says which were not seen")
    func goAway() throws {
        let (client, server) = (try Peer(.client), try Peer(.server))
        exchange(client, server)
        let first = try client.request()
        exchange(client, server)
        server.session.goAway(.notice)
        server.session.goAway(.last(.noError))
        let second = try client.request()
        exchange(client, server)
        #expect(client.log.contains("goAway 2147483647 0") && client.log.contains("goAway 1 0"))
        #expect(client.log.contains("reset 3 7 by peer") && client.log.contains("closed 3"))
        #expect(!client.session.canOpenStream && client.session.goAwayReceived && second.rawValue == 3)
        #expect(server.respond(first))
        exchange(client, server)
        #expect(client.log.suffix(2) == ["head 1 HTTP/1.1 200 || end", "closed 1"])
        #expect(server.session.isFinished && client.session.isFinished)
    }

    @Test("A ping is answered with its number")
    func ping() throws {
        let (client, server) = (try Peer(.client), try Peer(.server))
        client.session.ping(0x0102_0304_0506_0708)
        server.session.ping(9)
        exchange(client, server)
        #expect(client.log.last == "pong 72623859790382856" && server.log.last == "pong 9")
    }

    @Test("Responses to HEAD, and 204 and 304, have no body whatever their length says")
    func bodyless() throws {
        let (client, server) = (try Peer(.client), try Peer(.server))
        server.onEvent = { server, event in
            guard case .head(let stream, _, _) = event else { return }
            server.respond(stream, stream.rawValue == 1 ? 200 : 304, [("content-length", "10")])
        }
        let streams = [try client.request("HEAD"), try client.request("GET")]
        exchange(client, server)
        #expect(
            client.heads[streams[0]]?.body == BodyLength.none
                && client.heads[streams[1]]?.body == BodyLength.none)
        #expect(!client.log.contains { $0.hasPrefix("reset") })
    }

    @Test("CONNECT names an authority only; an extended one reads as an upgrade, where it is allowed")
    func connect() throws {
        var settings = HTTP2Settings()
        settings.allowsExtendedConnect = true
        let (client, server) = (try Peer(.client), try Peer(.server, settings))
        exchange(client, server)
        #expect(client.session.peerAllowsExtendedConnect)
        client.fields.edit { $0.startConnect(authority: ByteView("b.test:443")) }
        _ = client.fields.with { client.session.submitRequest($0, endsStream: false) }
        client.fields.edit {
            $0.startExtendedConnect(
                protocol: ByteView("websocket"), scheme: ByteView("http"), authority: ByteView("b.test"),
                path: ByteView("/chat"))
        }
        let second = try #require(client.fields.with { client.session.submitRequest($0, endsStream: false) })
        exchange(client, server)
        #expect(
            server.log.suffix(2) == [
                "head 1 CONNECT b.test:443 HTTP/1.1|host: b.test:443||",
                "head 3 GET /chat HTTP/1.1|host: b.test|connection: upgrade|upgrade: websocket||",
            ])
        #expect(server.heads[second]?.hasUpgrade == true && server.heads[second]?.body == .untilStreamEnd)
        server.respond(second, 200, [("content-length", "3")], endsStream: false)
        #expect(server.send(second, "more than three") == 15)
        exchange(client, server)
        #expect(client.log.last == "data 3 more than three")
    }

    @Test("A session can be dropped with streams open and bytes waiting", arguments: [0, 1, 2, 3])
    func dropped(after step: Int) throws {
        var settings = HTTP2Settings()
        settings.streamWindow = 1000
        var client: Peer? = try Peer(.client)
        var server: Peer? = try Peer(.server, settings)
        if let client, let server {
            if step > 1 { exchange(client, server) }
            let stream = try client.request("POST", endsStream: false)
            _ = client.send(stream, [UInt8](repeating: 0, count: 5000)[...])
            if step > 2 {
                exchange(client, server)
                server.respond(stream, endsStream: false)
                client.session.finish(stream)
            }
        }
        if step % 2 == 0 { client = nil } else { server = nil }
        client?.takeEvents()
        server?.takeEvents()
        #expect((client == nil) != (server == nil))
    }

    @Test("Every split of the bytes gives the same events", arguments: UInt64(0)..<40)
    func splits(seed: UInt64) throws {
        let (toServer, toClient) = try recordedConversation()
        let (wholeServer, wholeClient) = (try Peer(.server), try replayingClient())
        wholeServer.receive(toServer)
        wholeClient.receive(toClient)
        #expect(wholeServer.failure == nil && wholeClient.failure == nil)
        var random = SeededRandom(seed: seed)
        let (server, client) = (try Peer(.server), try replayingClient())
        for (peer, bytes) in [(server, toServer), (client, toClient)] {
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = seed == 0 ? 1 : Int.random(in: 1...Int(seed * 3), using: &random)
                peer.receive(Array(rest.prefix(count)))
                rest = rest.dropFirst(count)
            }
        }
        #expect(server.log == wholeServer.log && client.log == wholeClient.log)
        #expect(server.log.count > 10 && client.log.count > 10)
    }

    /// What a client and a server said to each other.
    private func recordedConversation() throws -> (toServer: [UInt8], toClient: [UInt8]) {
        let (client, server) = (try replayingClient(), try Peer(.server))
        server.onEvent = { server, event in
            guard case .head(let stream, _, _) = event, stream.rawValue != 5 else { return }
            _ = server.fields.response(103).with { server.session.submitInformational(stream, $0) }
            server.respond(stream, 200, [("x-number", "\(stream.rawValue)")], endsStream: false)
            _ = server.send(stream, "answer \(stream.rawValue)")
            _ = server.fields.trailers([("grpc-status", "0")]).with {
                server.session.submitTrailers(stream, $0)
            }
        }
        let toServer = client.takeOutput()
        server.receive(toServer)
        let toClient = server.takeOutput()
        let bad =
            Frame.headers(201, [(":method", "GET")]) + Frame.frame(type: 6, flags: 0, stream: 0, .init(0..<8))
        return (toServer + bad, toClient)
    }

    /// A client with four requests under way, always the same ones.
    private func replayingClient() throws -> Peer {
        let client = try Peer(.client)
        for number in 0..<4 {
            let long = String(repeating: "v", count: number * 3000)
            let stream = try client.request("POST", "/\(number)", [("x-long", long)], endsStream: false)
            _ = client.send(stream, String(repeating: "b", count: 20 * number))
            client.session.finish(stream)
        }
        return client
    }
}
