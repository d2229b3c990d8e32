import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Testing

struct SplitTests {
    static let requestStreams: [String] = [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello worldGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0006\r\n world\r\n0\r\n\r\n"
            + "GET http://x HTTP/1.1\r\nHost: h\r\nConnection: x-y, close\r\nX-Y: z\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1 ;x\r\n!\r\n0\r\nX-Sum: 1\r\nHost:  2 \r\n\r\n"
            + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n!\r\n0\r\nX-Sum : 1\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n y\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nshort",
        "GET /with/a/rather/long/path/that/spans/blocks?and=a&query=too HTTP/1.1\r\nUser-Agent: somebody/1.0 (else)\r\n"
            + "Host: h\r\nAccept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nA_B!: c\r\n\r\nGET / HTTP/9",
        "PRI /x HTTP/1.1\r\nHost: h\r\n\r\nPRI * HTTP/2.1\r\n",
    ]
    static let responseStreams: [String] = [
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
        "HTTP/1.1 200\r\n\r\nuntil the end\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nX: y\r\n\r\nnope",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nnope",
    ]

    private func check(_ bytes: [UInt8], _ role: ConnectionTrace.Role) {
        for use in [ConnectionTrace.TrailerUse.read, .drop] {
            let whole = ConnectionTrace.of(bytes, role: role, trailerUse: use)
            let single = ConnectionTrace.of(bytes, role: role, trailerUse: use, cuts: Array(1..<bytes.count))
            #expect(single == whole)
            for cut in 1..<bytes.count {
                #expect(ConnectionTrace.of(bytes, role: role, trailerUse: use, cuts: [cut]) == whole)
            }
            var random = SeededRandom(seed: 7)
            for _ in 0..<50 {
                let cuts = (0..<Int(random.below(8))).map { _ in Int(random.below(UInt64(bytes.count))) }
                #expect(ConnectionTrace.of(bytes, role: role, trailerUse: use, cuts: cuts) == whole)
            }
        }
    }

    @Test("Requests mean the same however they are cut", arguments: requestStreams)
    func requests(input: String) { check(input.octets, .server) }

    @Test("Responses mean the same however they are cut", arguments: responseStreams)
    func responses(input: String) { check(input.octets, .client(.get)) }

    @Test("Pipelined requests come out one after the other")
    func pipelined() {
        let lines = ConnectionTrace.of(Self.requestStreams[0].octets)
        #expect(lines.filter { $0.contains("GET") }.count == 3)
        #expect(lines.filter { $0 == "body " }.count == 3)
    }

    @Test("A head that drips in costs time in proportion to its bytes, not to their square")
    func dripping() {
        let value = String(repeating: "v", count: 50_000)
        let bytes = "GET / HTTP/1.1\r\nHost: h\r\nX: \(value)\r\n\r\n".octets
        var (head, progress) = (MessageHead(), HeadProgress())
        bytes.withByteView { view in
            for count in 1..<view.count {
                let result = HTTP1Parser.parseRequest(
                    view.prefix(count), into: &head, progress: &progress, limits: HTTP1Limits())
                guard result == .needsMore else {
                    Issue.record("unexpected \(result) at \(count)")
                    return
                }
            }
            let result = HTTP1Parser.parseRequest(
                view, into: &head, progress: &progress, limits: HTTP1Limits())
            #expect(result == .complete && Int(head.length) == view.count && head.count == 2)
        }
    }
}
