import MeshModel
import MeshPrimitives
import TestSupport
import Testing

@testable import Proxy

@Suite("HTTP/1.1 messages of every form pass")
struct MessageTests {
    @Test("Chunks pass both ways, and are marked off anew")
    func chunks() throws {
        let peer = try HTTPPeer { request in .chunks(200, ["got ", request.message.text, "!"]) }
        let proxy = try ProxyFixture([peer])
        let client = try proxy.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        try client.send("5;x=y\r\ndefgh\r\n0\r\n\r\n")
        let answer = try client.readAnswer()
        #expect(answer.text == "got abcdefgh!")
        #expect(answer["transfer-encoding"] == "chunked")
        let seen = try #require(peer.requests.first?.message)
        #expect(seen["transfer-encoding"] == "chunked")
        #expect(seen["content-length"] == nil)
        try client.sendRequest("POST", body: "x")
        #expect(try client.readAnswer().text == "got x!")
        #expect(peer.connectionCount == 1)
    }

    @Test("Trailers pass where both sides want them, and are dropped otherwise", arguments: [false, true])
    func trailers(isOn: Bool) throws {
        let peer = try HTTPPeer { _ in .chunks(200, ["body"], trailers: [("x-sum", "1"), ("x-two", "2")]) }
        let proxy = try ProxyFixture([peer]) { manager, cluster, _ in
            manager.enablesTrailers = isOn
            cluster.enablesTrailers = isOn
        }
        let client = try proxy.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n")
        try client.send("3\r\nabc\r\n0\r\nx-t: v\r\n\r\n")
        let answer = try client.readAnswer()
        #expect(answer.text == "body")
        #expect(answer.trailers.map(\.name) == (isOn ? ["x-sum", "x-two"] : []))
        #expect(peer.requests.first?.message.trailers.map(\.value) == (isOn ? ["v"] : []))
        try client.sendRequest()
        #expect(try client.readAnswer().status == 200)
    }

    @Test("Answers to HEAD, 204 and 304 have no body, and the connections go on")
    func withoutBody() throws {
        let peer = try HTTPPeer { request in
            switch request.message.target {
            case "/204": .raw("HTTP/1.1 204 No Content\r\nx: y\r\n\r\n")
            case "/304": .raw("HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n")
            case "/chunked": .raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            default: .answer(200, body: "hello")
            }
        }
        let proxy = try ProxyFixture([peer])
        let client = try proxy.client()
        try client.sendRequest("HEAD")
        #expect(try client.readAnswer(toHead: true)["content-length"] == "5")
        try client.sendRequest("HEAD", "/chunked")
        #expect(try client.readAnswer(toHead: true).status == 200)
        try client.sendRequest("GET", "/204")
        let empty = try client.readAnswer()
        #expect(empty.status == 204 && empty["content-length"] == nil && empty["transfer-encoding"] == nil)
        try client.sendRequest("GET", "/304")
        #expect(try client.readAnswer().status == 304)
        try client.sendRequest()
        #expect(try client.readAnswer().text == "hello")
        #expect(peer.connectionCount == 1)
    }

    @Test("Interim answers pass, but not to HTTP/1.0, and a 100 does not")
    func interim() throws {
        let peer = try HTTPPeer { _ in
            .raw(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
                    + "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        }
        let proxy = try ProxyFixture([peer]) { manager, _, _ in manager.acceptsHTTP10 = true }
        let client = try proxy.client()
        try client.sendRequest()
        let answer = try client.readAnswer()
        #expect(answer.interim == [103] && answer.text == "ok")
        let old = try proxy.client()
        try old.send("GET / HTTP/1.0\r\n\r\n")
        let second = try old.readAnswer()
        #expect(second.interim == [] && second.text == "ok")
    }

    @Test("Expect: 100-continue is answered by the proxy")
    func expectation() throws {
        let peer = try HTTPPeer { request in .answer(200, body: request.message.text) }
        let proxy = try ProxyFixture([peer])
        let client = try proxy.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        #expect(try client.readHead()?.status == 100)
        try client.send("abc")
        #expect(try client.readAnswer().text == "abc")
        #expect(peer.requests.first?.message["expect"] == nil)
    }

    @Test("An answer may come before the end of the request")
    func earlyAnswer() throws {
        let peer = try HTTPPeer(.afterHead) { _ in .answer(403, body: "no") }
        let proxy = try ProxyFixture([peer])
        let client = try proxy.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
        let answer = try client.readAnswer()
        #expect(answer.status == 403 && answer.text == "no")
        // The rest of the body cannot be told from a next request by anyone else: the connection ends.
        #expect(client.isEnded(within: 5))
    }

    @Test("A caller that has said all may close its side")
    func halfClosed() throws {
        let peer = try HTTPPeer { _ in .delayed(0.05, .answer(200, body: "late")) }
        let proxy = try ProxyFixture([peer])
        let client = try proxy.client()
        try client.sendRequest("POST", body: "x")
        client.finishSending()
        let answer = try client.readAnswer()
        #expect(answer.text == "late")
        #expect(try client.readToEnd().isEmpty)
        let several = try proxy.client()
        for index in 0..<3 { try several.sendRequest("GET", "/\(index)") }
        several.finishSending()
        for _ in 0..<3 { #expect(try several.readAnswer().text == "late") }
        #expect(several.isEnded(within: 5))
    }

    @Test("A caller that leaves takes its request with it")
    func disconnected() throws {
        let peer = try HTTPPeer { request in
            request.message.target == "/hang"
                ? .hang : .rawThenClose("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        }
        let proxy = try ProxyFixture([peer])
        // Behind more bytes, at once, with a FIN that said only that the request was complete, and long after that FIN.
        let ways: [(TCPStream) throws -> Void] = [
            { try $0.send("x") },
            { _ in },
            { $0.finishSending() },
            {
                $0.finishSending()
                let other = try proxy.client()
                try other.sendRequest()
                _ = try other.readAnswer()
            },
        ]
        for (index, leave) in ways.enumerated() {
            let client = try proxy.client()
            try client.sendRequest("GET", "/hang")
            try eventually("the request") {
                peer.requests.count { $0.message.target == "/hang" } == index + 1 ? true : nil
            }
            try leave(client)
            client.reset()
            try eventually("the end of the upstream connection") {
                peer.openConnectionCount == 0 ? true : nil
            }
        }
        try proxy.expect(.downstreamRqActive, 0)
        try proxy.expect(.upstreamRqActive, 0)
        try proxy.expect(.upstreamCxActive, 0)
        try proxy.expect(.upstreamRqCancelled, 4)
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().text == "ok")
    }

    @Test("An answer may go on until the connection closes")
    func untilClose() throws {
        let peer = try HTTPPeer { _ in .rawThenClose("HTTP/1.1 200 OK\r\n\r\nuntil the end") }
        let proxy = try ProxyFixture([peer]) { manager, _, _ in manager.acceptsHTTP10 = true }
        let client = try proxy.client()
        for _ in 0..<2 {
            try client.sendRequest()
            let answer = try client.readAnswer()
            #expect(answer.text == "until the end" && answer["transfer-encoding"] == "chunked")
        }
        let old = try proxy.client()
        try old.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        let answer = try old.readAnswer()
        #expect(answer.text == "until the end" && answer["connection"] == "close")
    }

    @Test("HTTP/1.0 is served where it is accepted, with keep-alive on request, else refused by 426")
    func version10() throws {
        let peer = try HTTPPeer(200, body: "hello")
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            manager.acceptsHTTP10 = true
            manager.defaultHostForHTTP10 = "default.example"
        }
        let client = try proxy.client()
        try client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        let first = try client.readAnswer()
        #expect(first.text == "hello" && first["connection"] == "keep-alive")
        try client.send("GET / HTTP/1.0\r\n\r\n")
        #expect(try client.readAnswer()["connection"] == "close")
        #expect(try client.readToEnd().isEmpty)
        #expect(peer.requests.last?.message.firstLine == "GET / HTTP/1.1")
        #expect(peer.requests.last?.message["host"] == "default.example")

        let strict = try ProxyFixture([peer])
        let refused = try strict.client()
        try refused.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        #expect(try refused.readAnswer().status == 426)
        #expect(refused.isEnded(within: 5))
    }

    @Test("What is pipelined behind a slow answer waits its turn")
    func pipelined() throws {
        let peer = try HTTPPeer { request in
            request.message.target == "/slow"
                ? .delayed(0.1, .answer(200, body: "slow")) : .answer(200, body: request.message.text)
        }
        let proxy = try ProxyFixture([peer])
        let client = try proxy.client()
        let long = String(repeating: "z", count: 100_000)
        try client.sendRequest("GET", "/slow")
        try client.sendRequest("POST", "/a", body: long)
        try client.sendRequest("POST", "/b", body: "b")
        #expect(try client.readAnswer().text == "slow")
        #expect(try client.readAnswer().text == long)
        #expect(try client.readAnswer().text == "b")
    }

    @Test("An answer that comes byte by byte leaves the connection fit for use")
    func bytewise() throws {
        let peer = try RawPeer { stream in
            while try stream.readHead() != nil {
                for byte in Array("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".utf8) {
                    try stream.send([byte])
                }
            }
        }
        let proxy = try ProxyFixture(ProxyFixture.configuration(endpoints: [peer.port]))
        let client = try proxy.client()
        for _ in 0..<3 {
            for byte in Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8) { try client.send([byte]) }
            #expect(try client.readAnswer().text == "ok")
        }
        #expect(proxy.count(.upstreamCxTotal) == 1)
    }

    @Test("Bytes behind an answer are nobody's answer")
    func unsolicited() throws {
        let peer = try HTTPPeer { request in
            request.number == 0
                ? .raw(
                    "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"
                )
                : .answer(200, body: "own")
        }
        let proxy = try ProxyFixture([peer])
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer().text == "a")
        try client.sendRequest()
        #expect(try client.readAnswer().text == "own")
        #expect(peer.connectionCount == 2)
    }

    @Test("Heads beyond the bound are 431")
    func tooLarge() throws {
        let peer = try HTTPPeer()
        let proxy = try ProxyFixture([peer])
        let client = try proxy.client()
        try client.send("GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "x", count: 70_000))\r\n\r\n")
        #expect(try client.readAnswer().status == 431)
        let many = try proxy.client()
        try many.sendRequest(fields: (0..<150).map { ("x-\($0)", "y") })
        #expect(try many.readAnswer().status == 431)
        try proxy.expect(.downstreamRqTooLarge, 2)
        #expect(peer.requests.isEmpty)
    }

    @Test(
        "What could be read in two ways is refused, and the connection closes",
        arguments: [
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        ])
    func smuggling(text: String) throws {
        let peer = try HTTPPeer { _ in .hang }
        let proxy = try ProxyFixture([peer])
        let client = try proxy.client()
        try client.send(text)
        let answer = try client.readAnswer()
        #expect((400...501).contains(answer.status))
        #expect(answer["connection"] == "close")
        #expect(client.isEnded(within: 5))
        try proxy.expect(.downstreamCxProtocolError, 1)
        try proxy.expect(.upstreamRqActive, 0)
    }

    @Test("Ten megabytes pass to slow readers through bounded memory")
    func slowReaders() throws {
        let size = 10_000_000
        let peer = try HTTPPeer { request in
            request.message.target == "/down"
                ? .long(size) : .answer(200, body: "\(request.message.bodyCount)")
        }
        let proxy = try ProxyFixture([peer])
        let before = try residentKiB()
        var clients: [TCPStream] = []
        for _ in 0..<8 {
            let client = try proxy.client()
            try client.sendRequest("GET", "/down")
            clients.append(client)
        }
        try eventually("readers that are waited for") {
            proxy.count(.upstreamFlowControlPausedReadingTotal) >= 8 ? true : nil
        }
        // Eight answers of 10 MB stand still; each may fill a queue, a read, and the remainder.
        #expect(try residentKiB() - before < 20_000)
        for client in clients {
            let head = try #require(try client.readHead())
            #expect(head.status == 200)
            #expect(try client.discard(size) == size)
        }
        let client = try proxy.client()
        try client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n")
        let piece = [UInt8](repeating: 0x78, count: 1_000_000)
        for _ in 0..<10 { try client.send(piece) }
        #expect(try client.readAnswer().text == "\(size)")
    }
}
