import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Testing

struct HTTP1WriterTests {
    /// What `write` leaves in a buffer with that much room; nil if it refused.
    private func written(room: Int = 2048, _ write: (inout PooledBuffer) -> Bool) -> String? {
        var pool = BufferPool()
        var buffer = pool.take(BufferPool.sizes.small)
        buffer.commit(buffer.room - room)
        let before = buffer.count
        let isWritten = write(&buffer)
        let text = buffer.view.dropFirst(before).text
        pool.give(&buffer)
        if !isWritten { #expect(text.isEmpty) }
        return isWritten ? text : nil
    }

    @Test("Heads are written line by line")
    func heads() {
        #expect(written { HTTP1Writer.appendStatusLine(404, to: &$0) } == "HTTP/1.1 404 Not Found\r\n")
        #expect(written { HTTP1Writer.appendStatusLine(299, to: &$0) } == "HTTP/1.1 299 \r\n")
        #expect(
            written { HTTP1Writer.appendStatusLine(200, reason: ByteView("Fine"), to: &$0) }
                == "HTTP/1.1 200 Fine\r\n")
        #expect(
            written {
                HTTP1Writer.appendRequestLine(method: ByteView("GET"), target: ByteView("/x"), to: &$0)
            }
                == "GET /x HTTP/1.1\r\n")
        #expect(written { HTTP1Writer.appendField(.host, ByteView("h:1"), to: &$0) } == "host: h:1\r\n")
        #expect(written { HTTP1Writer.appendField(ByteView("A"), ByteView(""), to: &$0) } == "A: \r\n")
        #expect(written { HTTP1Writer.appendContentLength(0, to: &$0) } == "content-length: 0\r\n")
        #expect(
            written { HTTP1Writer.appendContentLength(.max, to: &$0) }
                == "content-length: 9223372036854775807\r\n")
        #expect(written { HTTP1Writer.appendHeadEnd(to: &$0) } == "\r\n")
        #expect(written { HTTP1Writer.appendContinue(to: &$0) } == "HTTP/1.1 100 Continue\r\n\r\n")
    }

    static let sizes: [(Int, String)] = [
        (1, "1"), (9, "9"), (10, "a"), (15, "f"), (16, "10"), (255, "ff"), (256, "100"), (65536, "10000"),
        (.max, "7fffffffffffffff"),
    ]

    @Test("A chunk's size is written in hexadecimal", arguments: sizes)
    func chunkHeader(size: Int, text: String) {
        #expect(written { HTTP1Writer.appendChunkHeader(size: size, to: &$0) } == text + "\r\n")
    }

    @Test("Chunks and the ends of bodies")
    func chunks() {
        #expect(written { HTTP1Writer.appendChunk(ByteView("hello"), to: &$0) } == "5\r\nhello\r\n")
        #expect(written { HTTP1Writer.appendChunk(ByteView(""), to: &$0) } == "")
        #expect(written { HTTP1Writer.appendLastChunk(to: &$0) } == "0\r\n\r\n")
        #expect(written { HTTP1Writer.appendLastChunkBeforeTrailers(to: &$0) } == "0\r\n")
    }

    @Test("Without room for all of it nothing is written")
    func noRoom() {
        #expect(written(room: 16) { HTTP1Writer.appendStatusLine(200, to: &$0) } == nil)
        #expect(written(room: 17) { HTTP1Writer.appendStatusLine(200, to: &$0) } == "HTTP/1.1 200 OK\r\n")
        #expect(
            written(room: 16) {
                HTTP1Writer.appendRequestLine(method: ByteView("GET"), target: ByteView("/x"), to: &$0)
            } == nil)
        #expect(written(room: 6) { HTTP1Writer.appendField(ByteView("AB"), ByteView("c"), to: &$0) } == nil)
        #expect(written(room: 36) { HTTP1Writer.appendContentLength(1, to: &$0) } == nil)
        #expect(written(room: 17) { HTTP1Writer.appendChunkHeader(size: 1, to: &$0) } == nil)
        #expect(written(room: 20) { HTTP1Writer.appendChunk(ByteView("x"), to: &$0) } == nil)
        #expect(written(room: 4) { HTTP1Writer.appendLastChunk(to: &$0) } == nil)
    }

    @Test("A written head can be read again")
    func roundTrip() {
        let text = written {
            HTTP1Writer.appendStatusLine(503, to: &$0) && HTTP1Writer.appendContentLength(12, to: &$0)
                && HTTP1Writer.appendField(.server, ByteView("martlet"), to: &$0)
                && HTTP1Writer.appendHeadEnd(to: &$0)
        }
        let parsed = Parsed.response(text ?? "")
        #expect(parsed.result == .complete && parsed.head.status == 503 && parsed.head.body == .bytes(12))
        #expect(parsed.value(.server) == "martlet")
    }
}
