import HTTP2Codec
import HTTPModel
import MeshPrimitives
import Testing

@Suite struct HTTP2FieldListTests {
    @Test("A head goes out as it came in, less what concerns its connection only")
    func fromHead() throws {
        var settings = HTTP2Settings()
        settings.allowsExtendedConnect = true
        let (client, middle) = (try Peer(.client), try Peer(.server, settings))
        let (out, server) = (try Peer(.client), try Peer(.server))
        exchange(client, middle)
        middle.onEvent = { _, event in
            guard case .head = event else { return }
            var head = MessageHead()
            guard let bytes = middle.session.readHead(into: &head) else { return }
            out.fields.edit { $0.startRequest(head, bytes, scheme: ByteView("https")) }
            _ = out.fields.with { out.session.submitRequest($0, endsStream: false) }
        }
        try client.request("OPTIONS", "*", [("te", "trailers"), ("X-A", "1"), ("traceparent", "00-1")])
        client.fields.edit {
            $0.startExtendedConnect(
                protocol: ByteView("websocket"), scheme: ByteView("http"), authority: ByteView("b"),
                path: ByteView("/w"))
        }
        _ = client.fields.with { client.session.submitRequest($0, endsStream: false) }
        exchange(client, middle)
        exchange(out, server)
        #expect(
            server.log.dropFirst() == [
                "head 1 OPTIONS * HTTP/1.1|host: a.test|te: trailers|x-a: 1|traceparent: 00-1||",
                "head 3 GET /w HTTP/1.1|host: b||",
            ])
    }

    @Test("A list that grows keeps what it has; one that is too large cannot be submitted")
    func growth() throws {
        let (client, server) = (try Peer(.client), try Peer(.server))
        let value = String(repeating: "x", count: 3000)
        let stream = try client.request("GET", "/", (0..<10).map { ("x-\($0)", value) })
        exchange(client, server)
        #expect(server.heads[stream]?.count == 11)
        let list = client.fields.request("GET", "/", (0..<30).map { ("x-\($0)", value) })
        #expect(list.with { $0.isTooLarge })
        #expect(list.with { client.session.submitRequest($0, endsStream: true) } == nil)
        let many = client.fields.request("GET", "/", (0..<200).map { ("x-\($0)", "") })
        #expect(many.with { $0.isTooLarge && $0.count == HTTP2FieldList.fieldsMax })
        // The next one is not affected.
        #expect(client.fields.request().with { !$0.isTooLarge && $0.count == 4 })
    }

    @Test("Heads can be copied into a pooled buffer, if they fit")
    func pooled() throws {
        let (client, server) = (try Peer(.client), try Peer(.server))
        var pool = BufferPool()
        var texts: [String] = []
        server.onEvent = { server, event in
            guard case .head(_, let length, _) = event else { return }
            var (head, buffer, tiny) = (MessageHead(), pool.take(length), PooledBuffer.none)
            #expect(!server.session.takeHead(into: &head, bytes: &tiny))
            #expect(server.session.takeHead(into: &head, bytes: &buffer))
            texts.append(buffer.view[head.path.range].text)
            pool.give(&buffer)
        }
        for _ in 0..<3 { try client.request("GET", "/p") }
        exchange(client, server)
        #expect(texts == ["/p", "/p", "/p"] && pool.lentBytes == 0)
    }
}
