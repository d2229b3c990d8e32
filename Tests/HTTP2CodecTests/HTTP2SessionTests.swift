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
}
