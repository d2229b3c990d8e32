import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Testing

/// The outcome of one head given whole.
struct Parsed {
    let result: HeadResult
    let head: MessageHead
    let bytes: [UInt8]

    static func request(_ text: String, limits: HTTP1Limits = HTTP1Limits()) -> Parsed {
        request(text.octets, limits: limits)
    }

    static func request(_ bytes: [UInt8], limits: HTTP1Limits = HTTP1Limits()) -> Parsed {
        var (head, progress) = (MessageHead(), HeadProgress())
        let result = bytes.withByteView {
            HTTP1Parser.parseRequest($0, into: &head, progress: &progress, limits: limits)
        }
        return Parsed(result: result, head: head, bytes: bytes)
    }

    static func response(_ text: String, to method: Method = .get) -> Parsed {
        var (head, progress) = (MessageHead(), HeadProgress())
        let bytes = text.octets
        let result = bytes.withByteView {
            HTTP1Parser.parseResponse($0, to: method, into: &head, progress: &progress, limits: HTTP1Limits())
        }
        return Parsed(result: result, head: head, bytes: bytes)
    }

    func part(_ range: ByteRange) -> String { bytes.withByteView { $0[range.range].text } }
    func value(_ name: FieldName) -> String? { bytes.withByteView { head.value(of: name, in: $0)?.text } }
    func value(named name: StaticString) -> String? {
        bytes.withByteView { head.value(named: ByteView(name), in: $0)?.text }
    }
}

struct RequestHeadTests {
    @Test("A plain request is an index into its bytes")
    func plain() {
        let parsed = Parsed.request(
            "GET /a/b?c=d HTTP/1.1\r\nHost: orders:8080\r\nX-Thing:  two words\t\r\n\r\nrest")
        #expect(parsed.result == .complete)
        #expect(Int(parsed.head.length) == parsed.bytes.count - 4)
        #expect(parsed.head.fieldsStart == 23)
        #expect(parsed.head.method == .get)
        #expect(parsed.part(parsed.head.target) == "/a/b?c=d")
        #expect(parsed.part(parsed.head.path) == "/a/b?c=d")
        #expect(parsed.part(parsed.head.authority) == "orders:8080")
        #expect(parsed.value(named: "x-thing") == "two words")
        #expect(parsed.head.count == 2 && parsed.head.body == .none && parsed.head.keepsAlive)
        #expect(parsed.head.isRequest && !parsed.head.hasUpgrade && !parsed.head.expectsContinue)
    }

    static let targets: [(String, path: String?, authority: String)] = [
        ("GET /", "/", "h"),
        ("GET /%20?q=/..", "/%20?q=/..", "h"),
        ("GET //double", "//double", "h"),
        ("OPTIONS *", "*", "h"),
        ("OPTIONS /", "/", "h"),
        ("GET http://other:81/p?q", "/p?q", "other:81"),
        ("GET HTTPS://[2001:db8::1]:443/p", "/p", "[2001:db8::1]:443"),
        ("GET http://other", "/", "other"),
        ("GET http://other/?q", "/?q", "other"),
        ("CONNECT other:443", "", "other:443"),
        ("CONNECT [::1]:443", "", "[::1]:443"),
        ("PROPFIND /dav", "/dav", "h"),
        ("M-SEARCH * ", nil, ""),
        ("GET *", nil, ""),
        ("OPTIONS **", nil, ""),
        ("GET other:443", nil, ""),
        ("GET other", nil, ""),
        ("GET http://other?q", nil, ""),
        ("GET http:///p", nil, ""),
        ("GET http://u:p@other/", nil, ""),
        ("GET http://other:port/", nil, ""),
        ("GET http://other:99999/", nil, ""),
        ("GET http:/other/", nil, ""),
        ("GET ftp://other/", nil, ""),
        ("GET /a#b", nil, ""),
        ("GET /a\u{7f}", nil, ""),
        ("GET /\u{e9}", nil, ""),
        ("GET /a\tb", nil, ""),
        ("CONNECT other", nil, ""),
        ("CONNECT :443", nil, ""),
        ("CONNECT other:", nil, ""),
        ("CONNECT /", nil, ""),
        ("CONNECT http://other:443/", nil, ""),
    ]

    @Test("A target has one of four forms, each for its methods", arguments: targets)
    func target(line: String, path: String?, authority: String) {
        let parsed = Parsed.request("\(line) HTTP/1.1\r\nHost: h\r\n\r\n")
        guard let path else {
            #expect(parsed.result == .invalid(.invalidTarget) || parsed.result == .invalid(.invalidVersion))
            return
        }
        #expect(parsed.result == .complete)
        #expect(parsed.part(parsed.head.path) == path)
        #expect(parsed.part(parsed.head.authority) == authority)
    }

    /// Without the head's last empty line where the error must be found before that.
    static let invalidHeads: [(String, HTTP1Error)] = [
        // Lines.
        ("GET / HTTP/1.1\n", .bareLineFeed),
        ("GET /\n", .bareLineFeed),
        ("GET\n", .bareLineFeed),
        ("\n", .bareLineFeed),
        ("GET / HTTP/1.1\r\nHost: h\n", .bareLineFeed),
        ("GET / HTTP/1.1\r\nHost: h\r\n\n", .bareLineFeed),
        ("GET / HTTP/1.1\r\nHost\n", .bareLineFeed),
        ("GET / HTTP/1.1\r\nHost: h\r\r", .bareCarriageReturn),
        ("GET / HTTP/1.1\rH", .bareCarriageReturn),
        ("GET / HTTP/1.1\r\nA: b\rc", .bareCarriageReturn),
        ("GET / HTTP/1.1\r\n\rX", .bareCarriageReturn),
        ("\r\r", .bareCarriageReturn),
        ("\r\n\r\n\r\n\r\n\r", .invalidMethod),
        ("GET / HTTP/1.1\r\nA: b\r\n ", .lineFolding),
        ("GET / HTTP/1.1\r\nA: b\r\n\t", .lineFolding),
        ("GET / HTTP/1.1\r\n ", .lineFolding),
        // The request line.
        ("\u{16}", .invalidMethod),
        (" ", .invalidMethod),
        ("G(", .invalidMethod),
        ("GET\t", .invalidMethod),
        ("GET\r", .invalidMethod),
        ("GET  ", .invalidTarget),
        ("GET \r", .invalidTarget),
        ("GET /  ", .invalidVersion),
        ("GET / \r", .invalidVersion),
        ("GET / h", .invalidVersion),
        ("GET / HTTP/1x", .invalidVersion),
        ("GET / HTTP/11", .invalidVersion),
        ("GET / HTTP/x", .invalidVersion),
        ("GET / HTTP/1.1 ", .invalidVersion),
        ("GET / HTTP/1.11", .invalidVersion),
        ("GET /\r", .lowVersion),
        ("GET / HTTP/1.0", .lowVersion),
        ("GET / HTTP/0.9", .lowVersion),
        ("GET / HTTP/2.0", .lowVersion),
        ("PRI * HTTP/2.0\r\n", .http2Preface),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .http2Preface),
        ("PRI * HTTP/1", .invalidTarget),
        ("PRI /", .missingHost),
        // Field lines.
        ("GET / HTTP/1.1\r\n:", .emptyFieldName),
        ("GET / HTTP/1.1\r\nHost ", .spaceBeforeColon),
        ("GET / HTTP/1.1\r\nHost\t", .spaceBeforeColon),
        ("GET / HTTP/1.1\r\nHo ", .spaceBeforeColon),
        ("GET / HTTP/1.1\r\nHost\r", .invalidFieldName),
        ("GET / HTTP/1.1\r\nHo(", .invalidFieldName),
        ("GET / HTTP/1.1\r\nH\u{e9}", .invalidFieldName),
        ("GET / HTTP/1.1\r\nH\0", .invalidFieldName),
        ("GET / HTTP/1.1\r\nA: b\0", .invalidFieldValue),
        ("GET / HTTP/1.1\r\nA: \u{1}", .invalidFieldValue),
        ("GET / HTTP/1.1\r\nA: b\u{7f}", .invalidFieldValue),
        ("GET / HTTP/1.1\r\nA: 0123456789abcdef0123456789abcd\u{b}", .invalidFieldValue),
        // Host.
        ("GET / HTTP/1.1\r\n\r\n", .missingHost),
        ("GET http://h/ HTTP/1.1\r\n\r\n", .missingHost),
        ("GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n", .repeatedHost),
        ("GET / HTTP/1.1\r\nHost: a b\r\n", .invalidHost),
        ("GET / HTTP/1.1\r\nHost: u@h\r\n", .invalidHost),
        ("GET / HTTP/1.1\r\nHost: h/p\r\n", .invalidHost),
        ("GET / HTTP/1.1\r\nHost: h:80:80\r\n", .invalidHost),
        ("GET / HTTP/1.1\r\nHost: h:65536\r\n", .invalidHost),
        ("GET / HTTP/1.1\r\nHost: h%2\r\n", .invalidHost),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n", .invalidHost),
        ("GET / HTTP/1.1\r\nHost: []\r\n", .invalidHost),
        ("GET / HTTP/1.1\r\nHost: \u{e9}\r\n", .invalidHost),
        // Framing.
        ("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n", .repeatedContentLength),
        ("GET / HTTP/1.1\r\nContent-Length: 1\r\nX: y\r\ncontent-length: 2\r\n", .repeatedContentLength),
        ("GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n", .invalidContentLength),
        ("GET / HTTP/1.1\r\nContent-Length: +1\r\n", .invalidContentLength),
        ("GET / HTTP/1.1\r\nContent-Length: -1\r\n", .invalidContentLength),
        ("GET / HTTP/1.1\r\nContent-Length: 0x1\r\n", .invalidContentLength),
        ("GET / HTTP/1.1\r\nContent-Length: 1 2\r\n", .invalidContentLength),
        ("GET / HTTP/1.1\r\nContent-Length:\r\n", .invalidContentLength),
        ("GET / HTTP/1.1\r\nContent-Length: 18446744073709551617\r\n", .invalidContentLength),
        ("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", .contentLengthAndChunked),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n", .contentLengthAndChunked),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n", .unknownTransferCoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: identity, chunked\r\n", .unknownTransferCoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n", .invalidTransferEncoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: identity\r\n", .invalidTransferEncoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: x, identity\r\n", .invalidTransferEncoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n", .invalidTransferEncoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked, x, chunked\r\n", .invalidTransferEncoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n", .invalidTransferEncoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked,\r\n", .invalidTransferEncoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n", .invalidTransferEncoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked;q=1\r\n", .invalidTransferEncoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding:\r\n", .invalidTransferEncoding),
        (
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            .invalidTransferEncoding
        ),
        ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n", .contentLengthNotAllowed),
        (
            "CONNECT h:1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            .transferEncodingNotAllowed
        ),
        // What concerns the connection.
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: host\r\n\r\n", .invalidConnectionOption),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close, X-Forwarded-For\r\n\r\n", .invalidConnectionOption),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: a b\r\n\r\n", .invalidConnectionOption),
        ("GET / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n", .unmetExpectation),
        ("GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue, more\r\n\r\n", .unmetExpectation),
    ]

    @Test("A malformed head is refused, as soon as its first wrong byte is there", arguments: invalidHeads)
    func invalid(text: String, error: HTTP1Error) {
        let closed = text == "PRI /" ? "PRI / HTTP/1.1\r\n\r\n" : text
        #expect(Parsed.request(closed).result == .invalid(error))
        // Whatever follows changes nothing, and without the last byte there is no error yet.
        #expect(Parsed.request(closed + " HTTP/1.1\r\nHost: h\r\n\r\n").result == .invalid(error))
        if error != .http2Preface {
            #expect(
                Parsed.request(String(String.UnicodeScalarView(closed.unicodeScalars.dropLast()))).result
                    == .needsMore)
        }
    }

    @Test("Bytes that only a head could hold are taken")
    func unusual() {
        let parsed = Parsed.request(
            Array(
                "\r\n!#$%&'*+-.^_`|~09azAZ /{}|\\^`\"<> HTTP/1.1\r\n!#$%&'*+-.^_`|~: \u{e9}\t \"x\"\r\nHost:\r\n\r\n"
                    .utf8))
        #expect(parsed.result == .complete)
        #expect(parsed.head.method == .other && parsed.head.methodToken.start == 2)
        #expect(parsed.value(named: "!#$%&'*+-.^_`|~") == "\u{e9}\t \"x\"")
        #expect(parsed.value(.host) == "" && parsed.head.authority.isEmpty)
    }

    @Test("The absolute form's authority wins over Host")
    func absoluteWins() {
        let parsed = Parsed.request("GET http://a:1/ HTTP/1.1\r\nHost: b\r\n\r\n")
        #expect(parsed.result == .complete && parsed.part(parsed.head.authority) == "a:1")
    }

    @Test("HTTP/1.0 is taken where it is wanted, and closes unless asked to stay")
    func oldVersion() {
        let limits = HTTP1Limits(acceptsHTTP10: true)
        let plain = Parsed.request("GET / HTTP/1.0\r\n\r\n", limits: limits)
        #expect(plain.result == .complete && plain.head.version == 10 && !plain.head.keepsAlive)
        let kept = Parsed.request(
            "GET / HTTP/1.0\r\nConnection: Keep-Alive, upgrade\r\nUpgrade: x\r\nExpect: y\r\n\r\n",
            limits: limits)
        #expect(kept.result == .complete && kept.head.keepsAlive)
        #expect(!kept.head.hasUpgrade && !kept.head.expectsContinue)
        let coded = Parsed.request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", limits: limits)
        #expect(coded.result == .invalid(.transferEncodingNotAllowed))
        #expect(Parsed.request("GET / HTTP/1.2", limits: limits).result == .invalid(.unsupportedVersion))
        #expect(Parsed.request("GET / HTTP/2.0", limits: limits).result == .invalid(.unsupportedVersion))
    }

    @Test("Connection options close, upgrade, and take named fields along")
    func connectionOptions() {
        let parsed = Parsed.request(
            "GET / HTTP/1.1\r\nX-Hop: 1\r\nHost: h\r\nConnection: , Upgrade ,x-hop,\r\nUpgrade: websocket\r\n"
                + "Connection: TE,KEEP-ALIVE\r\nTE: gzip;q=0.5, trailers\r\nx-hop: 2\r\nX-Stay: 3\r\n\r\n")
        #expect(parsed.result == .complete)
        #expect(parsed.head.hasUpgrade && parsed.head.keepsAlive && parsed.head.acceptsTrailers)
        let marked = (0..<parsed.head.count).filter { parsed.head.field($0).isConnectionOption }
        #expect(marked == [0, 3, 5, 6])

        let closing = Parsed.request("GET / HTTP/1.1\r\nHost: h\r\nconnection: keep-alive, Close\r\n\r\n")
        #expect(closing.result == .complete && !closing.head.keepsAlive)
        let unnamed = Parsed.request("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n")
        #expect(unnamed.result == .complete && !unnamed.head.hasUpgrade)
    }

    @Test("The number of connection options is bounded")
    func connectionOptionsBound() {
        func request(_ count: Int) -> Parsed {
            let options = (0..<count).map { "o\($0)" }.joined(separator: ",")
            return .request("GET / HTTP/1.1\r\nHost: h\r\nConnection: \(options)\r\n\r\n")
        }
        #expect(request(HTTP1Limits.connectionOptionsMax).result == .complete)
        #expect(request(HTTP1Limits.connectionOptionsMax + 1).result == .invalid(.invalidConnectionOption))
    }

    @Test("Bodies of requests end by length or by chunks")
    func bodies() {
        func body(_ fields: String) -> BodyLength? {
            let parsed = Parsed.request("POST / HTTP/1.1\r\nHost: h\r\n\(fields)\r\n")
            return parsed.result == .complete ? parsed.head.body : nil
        }
        #expect(body("") == BodyLength.none)
        #expect(body("Content-Length: 0\r\n") == .bytes(0))
        #expect(body("Content-Length: 999999999999999999\r\n") == .bytes(999_999_999_999_999_999))
        #expect(body("Content-Length: 007\r\n") == .bytes(7))
        #expect(body("Transfer-Encoding: Chunked\r\n") == .chunked)
        let expecting = Parsed.request("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n\r\n")
        #expect(expecting.result == .complete && expecting.head.expectsContinue)
        let connect = Parsed.request("CONNECT h:1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
        #expect(
            connect.result == .complete && connect.head.body == .none
                && connect.head.field(1).isConnectionOption)
    }

    @Test("A head at its bounds is taken, one above them refused at once")
    func bounds() {
        let limits = HTTP1Limits(headBytesMax: 100, fieldsMax: 3)
        func request(padding: Int) -> String {
            "GET /\(String(repeating: "a", count: padding)) HTTP/1.1\r\nHost: h\r\n\r\n"
        }
        let base = request(padding: 0).utf8.count
        #expect(Parsed.request(request(padding: 100 - base), limits: limits).result == .complete)
        #expect(
            Parsed.request(request(padding: 101 - base), limits: limits).result == .invalid(.headTooLarge))
        let endless = [UInt8](repeating: 0x41, count: 99)
        #expect(Parsed.request(endless, limits: limits).result == .needsMore)
        #expect(Parsed.request(endless + [0x41], limits: limits).result == .invalid(.headTooLarge))
        let three = "GET / HTTP/1.1\r\nHost: h\r\nA:\r\nB:\r\n"
        #expect(Parsed.request(three + "\r\n", limits: limits).result == .complete)
        #expect(Parsed.request(three + "C:", limits: limits).result == .invalid(.tooManyFields))
        let largest = HTTP1Limits(headBytesMax: 1 << 20, fieldsMax: 1000)
        #expect(largest.headBytesMax == MessageHead.bytesMax && largest.fieldsMax == MessageHead.fieldsMax)
        let filled = request(padding: MessageHead.bytesMax - base)
        #expect(Parsed.request(filled, limits: largest).result == .complete)
    }

    @Test("A connection that only sent empty lines has asked for nothing")
    func atStart() {
        var (head, progress) = (MessageHead(), HeadProgress())
        #expect(progress.isAtStart)
        for (text, isAtStart) in [("", true), ("\r", true), ("\r\n", true), ("\r\nG", false)] {
            let result = text.octets.withByteView {
                HTTP1Parser.parseRequest($0, into: &head, progress: &progress, limits: HTTP1Limits())
            }
            #expect(result == .needsMore && progress.isAtStart == isAtStart)
        }
    }

    @Test("Every error has a status and a detail")
    func details() {
        for error in HTTP1Error.allCases {
            #expect([400, 417, 426, 431, 501, 505].contains(error.status))
            #expect(error.detail.utf8CodeUnitCount > 0)
        }
    }
}

struct ResponseHeadTests {
    static let invalidHeads: [(String, HTTP1Error)] = [
        ("HTTP/1.1 200 OK\n", .bareLineFeed),
        ("HTTP/1.1\n", .bareLineFeed),
        ("\n", .bareLineFeed),
        ("HTTP/1.1 200 OK\rX", .bareCarriageReturn),
        ("\r", .invalidStatusLine),
        ("http", .invalidStatusLine),
        ("HTTP/1.1  ", .invalidStatusLine),
        ("HTTP/1.1 20 ", .invalidStatusLine),
        ("HTTP/1.1 099", .invalidStatusLine),
        ("HTTP/1.1 2000", .invalidStatusLine),
        ("HTTP/1.1 -", .invalidStatusLine),
        ("HTTP/1.1 200 O\0", .invalidStatusLine),
        ("HTTP/1.2", .unsupportedVersion),
        ("HTTP/2", .unsupportedVersion),
        ("HTTP/1.1 200 OK\r\n X", .lineFolding),
        ("HTTP/1.1 200 OK\r\nA : b", .spaceBeforeColon),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", .contentLengthAndChunked),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n", .repeatedContentLength),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", .invalidTransferEncoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", .transferEncodingNotAllowed),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n", .contentLengthNotAllowed),
        ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingNotAllowed),
        ("HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\n", .contentLengthNotAllowed),
    ]

    @Test("A malformed response head is refused", arguments: invalidHeads)
    func invalid(text: String, error: HTTP1Error) {
        #expect(Parsed.response(text).result == .invalid(error))
        #expect(Parsed.response(text + "\r\n\r\n").result == .invalid(error))
    }

    @Test(
        "A response has a status and maybe a reason",
        arguments: ["OK", "", " odd \u{e9}\t", "Not Really Found"])
    func statusLine(reason: String) {
        let parsed = Parsed.response("HTTP/1.1 404 \(reason)\r\nContent-Length: 3\r\n\r\n")
        #expect(parsed.result == .complete)
        #expect(
            parsed.head.status == 404 && parsed.part(parsed.head.reason) == reason && !parsed.head.isRequest)
        #expect(parsed.head.body == .bytes(3) && parsed.head.keepsAlive)
    }

    @Test("The space before an empty reason may be missing")
    func noReason() {
        let parsed = Parsed.response("HTTP/1.1 200\r\n\r\n")
        #expect(parsed.result == .complete && parsed.head.status == 200 && parsed.head.reason.isEmpty)
    }

    static let bodies: [(String, Method, BodyLength, keepsAlive: Bool)] = [
        ("HTTP/1.1 200 OK\r\n", .get, .untilClose, false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", .get, .bytes(5), true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n", .get, .bytes(5), false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", .get, .chunked, true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", .head, .none, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", .head, .none, true),
        ("HTTP/1.1 200 OK\r\n", .head, .none, true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", .get, .none, true),
        ("HTTP/1.1 204 No Content\r\n", .get, .none, true),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n", .get, .none, true),
        ("HTTP/1.1 103 Early Hints\r\n", .get, .none, true),
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n", .get, .none, false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", .connect, .none, false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", .connect, .none, false),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n", .connect, .bytes(5), true),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n", .get, .bytes(5), false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n", .get, .bytes(5), true),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", .get, .untilClose, false),
    ]

    @Test("A response's body ends as RFC 9112 section 6.3 says", arguments: bodies)
    func body(text: String, method: Method, body: BodyLength, keepsAlive: Bool) {
        let parsed = Parsed.response(text + "\r\n", to: method)
        #expect(parsed.result == .complete)
        #expect(parsed.head.body == body && parsed.head.keepsAlive == keepsAlive)
    }

    @Test("An upgrade's response says so")
    func upgrade() {
        let parsed = Parsed.response(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        #expect(parsed.head.hasUpgrade && parsed.head.status == 101)
    }
}
