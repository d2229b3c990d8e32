import MeshModel
import MeshPrimitives
import Telemetry
import TestSupport
import Testing

@testable import Proxy

@Suite("Connections of callers end without a request being lost")
struct ClosingTests {
    /// HTTP/2 in the clear: what a caller writes, and the frames that it gets.
    private struct Frames {
        static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
        let client: TCPStream

        init(_ client: TCPStream) throws {
            self.client = client
            try client.send(Self.preface)
        }

        /// `GET http://a/`, all of it in one frame (RFC 7541 appendix A has the numbers).
        func get(stream: UInt8) throws {
            let fields: [UInt8] = [0x82, 0x86, 0x84, 0x41, 1, UInt8(ascii: "a")]
            try client.send([0, 0, UInt8(fields.count), 1, 5, 0, 0, 0, stream] + fields)
        }

        /// The next frame of that type; nil at the end.
        func next(_ type: UInt8) throws -> [UInt8]? {
            while let head = try client.read(9) {
                let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
                let payload = length == 0 ? [] : try client.read(length) ?? []
                if head[3] == type { return payload }
            }
            return nil
        }

        /// The last stream that a GOAWAY names.
        func goAway() throws -> UInt32? {
            try next(7).map { $0[0..<4].reduce(0) { $0 << 8 | UInt32($1) } }
        }
    }

    @Test("HTTP/2 is told twice: that it ends soon, and after drain_timeout which streams were taken")
    func twoNotices() throws {
        let peer = try HTTPPeer(200, body: "x")
        let first = ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, _ in
            manager.drainTimeout = .milliseconds(300)
        }
        let proxy = try ProxyFixture(first)
        let caller = try Frames(proxy.client())
        try caller.get(stream: 1)
        #expect(try caller.next(1) != nil)
        // The listener goes.
        try proxy.server.apply(Configuration(listeners: [], clusters: first.clusters))
        #expect(try caller.goAway() == UInt32(Int32.max))
        // What crossed the news is answered.
        try caller.get(stream: 3)
        #expect(try caller.next(1) != nil)
        #expect(try caller.goAway() == 3)
        #expect(try caller.next(7) == nil)
    }

    @Test("A first request that crosses a change of its listener is answered, and told of it")
    func firstRequestCrossing() throws {
        let peer = try HTTPPeer(200, body: "x")
        let first = ProxyFixture.configuration(endpoints: [peer.port]) { manager, _, _ in
            manager.drainTimeout = .seconds(1)
        }
        let proxy = try ProxyFixture(first)
        let (client, silent, caller) = (try proxy.client(), try proxy.client(), try proxy.client())
        try proxy.expect(.downstreamCxActive as ListenerCounter, 3)
        try proxy.server.apply(Configuration(listeners: [], clusters: first.clusters))
        try proxy.expect(.downstreamCxDrainClose, 3)
        try client.sendRequest()
        #expect(try client.readAnswer()["connection"] == "close")
        #expect(try client.readToEnd().isEmpty)
        let frames = try Frames(caller)
        #expect(try frames.goAway() == UInt32(Int32.max))
        try frames.get(stream: 1)
        #expect(try frames.next(1) != nil)
        #expect(try frames.goAway() == 1)
        #expect(try silent.readToEnd().isEmpty)
    }

    @Test("Requests beyond max_requests_per_connection end an HTTP/2 connection too")
    func requestsMax() throws {
        let peer = try HTTPPeer(200, body: "x")
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            manager.drainTimeout = .milliseconds(50)
            manager.maxRequestsPerConnection = 2
        }
        let caller = try Frames(proxy.client())
        for stream: UInt8 in [1, 3] {
            try caller.get(stream: stream)
            if stream == 1 { #expect(try caller.next(1) != nil) }
        }
        #expect(try caller.goAway() == UInt32(Int32.max))
        #expect(try caller.goAway() == 3)
    }

    @Test("A request that crosses the end of an idle connection is answered, and told of it")
    func crossing() throws {
        let peer = try HTTPPeer(200, body: "x")
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            manager.idleTimeout = .milliseconds(50)
            manager.drainTimeout = .seconds(20)
        }
        let client = try proxy.client()
        try client.sendRequest()
        #expect(try client.readAnswer()["connection"] == nil)
        try proxy.expect(.downstreamCxIdleTimeout, 1)
        try client.sendRequest()
        #expect(try client.readAnswer()["connection"] == "close")
        #expect(try client.readToEnd().isEmpty)
    }

    @Test(
        "A peer that does not close is waited for as long as delayed_close_timeout says", arguments: [0, 30])
    func delayedClose(milliseconds: Int) throws {
        let peer = try HTTPPeer(200, body: "x")
        let proxy = try ProxyFixture([peer]) { manager, _, _ in
            manager.delayedCloseTimeout = milliseconds > 0 ? .milliseconds(milliseconds) : nil
        }
        let client = try proxy.client()
        try client.sendRequest("GET", "/", fields: [("connection", "close")])
        #expect(try client.readAnswer().text == "x")
        try proxy.expect(.downstreamCxActive as ListenerCounter, 0)
        try proxy.expect(.downstreamCxDelayedCloseTimeout, milliseconds > 0 ? 1 : 0)
    }

    @Test("With proxy_100_continue the endpoint says whether the body may come")
    func expectation() throws {
        let peer = try HTTPPeer(.afterHead) { _ in
            .raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        }
        let proxy = try ProxyFixture([peer]) { manager, _, _ in manager.proxies100Continue = true }
        let client = try proxy.client()
        try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        #expect(try client.readHead()?.status == 100)
        #expect(try client.readAnswer().text == "ok")
        #expect(peer.requests.first?.message["expect"] == "100-continue")
        let refusing = try HTTPPeer(.afterHead) { _ in .answer(417, body: "no") }
        let strict = try ProxyFixture([refusing]) { manager, _, _ in manager.proxies100Continue = true }
        let second = try strict.client()
        try second.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        #expect(try second.readHead()?.status == 417)
    }
}
