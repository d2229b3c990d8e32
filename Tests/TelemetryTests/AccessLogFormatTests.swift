import Foundation
import HTTPModel
import MeshPrimitives
import Telemetry
import Testing

@Suite struct AccessLogFormatTests {
    private let request = Head(
        request: "GET /foo?x=1 HTTP/1.1",
        [("Host", "shop:8080"), ("User-Agent", "curl/7.88.1"), ("X-Quote", #"a"b\c"#), ("X-Tab", "a\tbé")])
    private let response = Head(status: 200, [("Content-Length", "6"), ("X-Custom", "yes")])

    private var record: ExchangeRecord {
        var record = ExchangeRecord()
        record.startedAt = 1_795_415_806_833_748_000
        record.requestReceived = 0
        record.responseReceived = 4_900_000
        record.responseSent = 5_100_000
        record.ended = 5_200_000
        record.upstreamServiceTime = 4_700_000
        record.bytesSent = 6
        record.status = 200
        record.downstreamProtocol = .http11
        record.details = .viaUpstream
        record.downstreamRemote = SocketAddress(ipv4: 127, 0, 0, 1, port: 49_772)
        record.downstreamLocal = SocketAddress("::1", port: 80)
        record.upstreamHost = SocketAddress(ipv4: 10, 20, 255, 4, port: 18_081)
        record.attemptStarted(at: 0, endpoint: nil, cause: nil)
        return record
    }

    private func render(
        _ format: AccessLogFormat, _ record: ExchangeRecord? = nil, _ request: Head? = nil,
        _ response: Head? = nil, _ texts: ExchangeTexts = ExchangeTexts()
    ) -> String {
        var output: [UInt8] = []
        let (request, response) = (request ?? self.request, response ?? self.response)
        request.bytes.withByteView { requestBytes in
            response.bytes.withByteView { responseBytes in
                format.append(
                    record ?? self.record, request: request.head, requestBytes, response: response.head,
                    responseBytes, texts, to: &output)
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    private func text(_ format: String) throws -> String { render(try AccessLogFormat(text: format)) }

    @Test("The default line is Envoy's")
    func defaultLine() throws {
        var texts = ExchangeTexts()
        texts.requestID = ByteView("ac64d852-7d17-4894-b11e-78f8498071e1")
        let format = try AccessLogFormat(text: AccessLogFormat.defaultText)
        #expect(
            render(format, nil, nil, nil, texts)
                == """
                [2026-11-23T06:36:46.833Z] "GET /foo?x=1 HTTP/1.1" 200 - 0 6 5 4 "-" "curl/7.88.1" \
                "ac64d852-7d17-4894-b11e-78f8498071e1" "shop:8080" "10.20.255.4:18081"\n
                """)
    }

    @Test("A request that never got an upstream shows dashes")
    func defaultLineWithoutUpstream() throws {
        var record = ExchangeRecord()
        record.startedAt = 1_795_415_806_833_748_000
        record.ended = 19_000_000
        record.status = 503
        record.flags = [.upstreamConnectionFailure, .upstreamRetryLimitExceeded]
        record.downstreamProtocol = .http2
        let format = try AccessLogFormat(text: AccessLogFormat.defaultText)
        #expect(
            render(format, record, nil, Head.none)
                == "[2026-11-23T06:36:46.833Z] \"GET /foo?x=1 HTTP/2\" 503 URX,UF 0 0 19 - \"-\" \"curl/7.88.1\" "
                + "\"-\" \"shop:8080\" \"-\"\n")
    }

    static let operators: [(String, String)] = [
        ("%START_TIME(%s.%3f)%", "1795415806.833"),
        ("%START_TIME(%Y/%m/%dT%H:%M:%S%z %s)%", "2026/11/23T06:36:46+0000 1795415806"),
        ("%START_TIME(%s%9f %6f %f %E3S)%", "1795415806833748000 833748 833748000 46.833"),
        (
            "%START_TIME(%a, %d %b %Y %T, %j, %e %p %I %F %y %B %A %%)%",
            "Mon, 23 Nov 2026 06:36:46, 327, 23 AM 06 "
                + "2026-11-23 26 November Monday %"
        ),
        ("%REQ(X-QUOTE):3%|%REQ(NOPE?USER-AGENT):5%|%REQ(NOPE)%|%REQ(NOPE?NADA):2%", "a\"b|curl/|-|-"),
        (
            "%RESP(CONTENT-LENGTH)% %RESP(x-custom)% %RESP(:STATUS)% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
            "6 yes 200 4"
        ),
        (
            "%REQ(:METHOD)% %REQ(:AUTHORITY)% %REQ(:PATH)% %REQ(:SCHEME)% %REQ(HOST)%",
            "GET shop:8080 /foo?x=1 http shop:8080"
        ),
        ("100%% %PROTOCOL%", "100% HTTP/1.1"),
        (
            "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%",
            "127.0.0.1:49772 127.0.0.1 49772"
        ),
        ("%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "[::1]:80 ::1"),
        ("%REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION% %DURATION%", "0 4 0 5"),
        (
            "%RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS_LONG% %UPSTREAM_REQUEST_ATTEMPT_COUNT%",
            "via_upstream - 1"
        ),
        ("%DOWNSTREAM_PEER_URI_SAN% %LOCAL_REPLY_BODY%. %TRAILER(X)% %GRPC_STATUS% %TRACE_ID%", "- . - - -"),
        ("", ""), ("%%", "%"),
    ]

    @Test("Operators in text", arguments: 0..<operators.count)
    func operatorText(row: Int) throws {
        let (format, expected) = Self.operators[row]
        #expect(try text(format) == expected)
    }

    @Test(
        "Every operator that the API page lists is understood",
        arguments: [
            "BYTES_RECEIVED", "BYTES_SENT", "DOWNSTREAM_LOCAL_URI_SAN", "DOWNSTREAM_PEER_SUBJECT",
            "DOWNSTREAM_PEER_URI_SAN",
            "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", "DOWNSTREAM_TLS_VERSION", "DURATION",
            "LOCAL_REPLY_BODY", "PROTOCOL",
            "REQUESTED_SERVER_NAME", "REQUEST_DURATION", "RESPONSE_CODE", "RESPONSE_CODE_DETAILS",
            "RESPONSE_DURATION",
            "RESPONSE_FLAGS", "RESPONSE_TX_DURATION", "ROUTE_NAME", "START_TIME", "UPSTREAM_CLUSTER",
            "EMIT_TIME", "DOWNSTREAM_PEER_CERT", "DOWNSTREAM_PEER_CERT_V_END(%s)", "VIRTUAL_CLUSTER_NAME",
            "UPSTREAM_HOST",
            "UPSTREAM_REQUEST_ATTEMPT_COUNT", "UPSTREAM_TRANSPORT_FAILURE_REASON",
        ])
    func listed(name: String) throws {
        #expect(throws: Never.self) { try AccessLogFormat(text: "%\(name)%") }
    }

    @Test("JSON keeps types, sorts keys, and has null for what is missing")
    func json() throws {
        let format = try AccessLogFormat(json: [
            ("code", .string("%RESPONSE_CODE%")), ("mixed", .string("c=%RESPONSE_CODE%")),
            ("missing", .string("%REQ(NOPE)%")), ("missing2", .string("x%REQ(NOPE)%y")),
            ("quote", .string("%REQ(X-QUOTE)%")), ("mixedQuote", .string("<%REQ(X-QUOTE)%>")),
            ("agent", .string("%REQ(USER-AGENT)%")),
            (
                "nested",
                .object([
                    ("b", .string("%BYTES_SENT%")), ("a", .number(5)), ("t", .bool(true)), ("n", .null),
                    ("l", .list([.string("%DURATION%"), .string("x\"")])),
                ])
            ),
            ("num", .number(1.5)), ("pct", .string("100%%")), ("tab", .string("%REQ(X-TAB)%")),
            ("flags", .string("%RESPONSE_FLAGS%")), ("rsni", .string("%REQUESTED_SERVER_NAME%")),
        ])
        #expect(
            render(format)
                == #"{"agent":"curl/7.88.1","code":200,"flags":"-","missing":null,"missing2":"x-y","#
                + #""mixed":"c=200","mixedQuote":"<a\"b\\c>","nested":{"a":5,"b":6,"l":[5,"x\""],"n":null,"t":true},"#
                + #""num":"1.5","pct":"100%","quote":"a\"b\\c","rsni":null,"tab":"a\tbé"}"# + "\n")
    }

    @Test("Whatever bytes a field has, a JSON line is JSON", arguments: UInt64(0)..<100)
    func anyBytes(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var request = Head(request: "GET / HTTP/1.1", [("x-any", String(repeating: "a", count: 40))])
        let field = request.head.field(0)
        for index in 0..<40 { request.bytes[Int(field.valueStart) + index] = UInt8(random.below(256)) }
        let format = try AccessLogFormat(json: [
            ("whole", .string("%REQ(X-ANY)%")), ("part", .string("[%REQ(X-ANY):\(random.below(40))%]")),
        ])
        let line = render(format, nil, request)
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
        #expect((object as? [String: String])?.count == 2, "\(line)")
    }

    @Test("Details name the reset and what the transport said, with no space in them")
    func details() throws {
        var record = record
        record.details = .upstreamResetBeforeResponseStarted
        record.upstreamReset = .remoteConnectionFailure
        var texts = ExchangeTexts()
        texts.upstreamFailure = ByteView("delayed connect error: Connection refused")
        let format = try AccessLogFormat(text: "%RESPONSE_CODE_DETAILS%")
        #expect(
            render(format, record, nil, nil, texts)
                == "upstream_reset_before_response_started{remote_connection_failure"
                + "|delayed_connect_error:_Connection_refused}")
        #expect(render(format, record) == "upstream_reset_before_response_started{remote_connection_failure}")
    }

    @Test("The value of a header field leaves out what is missing")
    func headerValue() throws {
        let format = try AccessLogFormat(
            headerValue: "%REQ(NOPE)%[%REQ(NOPE)%] %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")
        #expect(render(format) == "[] 127.0.0.1")
        #expect(render(try AccessLogFormat(headerValue: "%REQ(NOPE)%")) == "")
        #expect(try AccessLogFormat(headerValue: "plain 100%%").isConstant)
    }

    @Test(
        "What cannot be read is refused with its name",
        arguments: [
            ("%FOO%", "unknown operator %FOO%"),
            ("%DYNAMIC_METADATA(a:b)%", "unknown operator %DYNAMIC_METADATA%"),
            ("%REQ%", "%REQ% needs the name of a header field"),
            ("%REQ()%", "%REQ% needs the name of a header field"),
            ("%REQ(A?B?C)%", "%REQ(A?B?C)%: one name, or two with ? between"),
            ("%START_TIME(%Q)%", "%START_TIME(%Q)%: unknown conversion"),
            ("%REQ(A):x%", "%REQ%: a length is a number"),
            ("50% off", "% off: an operator is not finished"),
            ("%REQ(A", "%REQ(A: an operator is not finished"),
            ("%PROTOCOL", "%PROTOCOL: an operator is not finished"), ("%", "%: an operator is not finished"),
            ("%DURATION(x)%", "%DURATION% takes no argument"),
        ])
    func refused(format: String, message: String) {
        #expect(throws: FormatError(description: message)) { try AccessLogFormat(text: format) }
    }

    @Test("Days and months come out as the calendar has them", arguments: UInt64(0)..<300)
    func calendar(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let seconds = Int64(random.below(8_000_000_000))
        var record = record
        record.startedAt = seconds * 1_000_000_000
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = TimeZone(identifier: "UTC") ?? calendar.timeZone
        let date = Date(timeIntervalSince1970: Double(seconds))
        let parts = calendar.dateComponents(
            [.year, .month, .day, .hour, .minute, .second, .weekday], from: date)
        let day = calendar.ordinality(of: .day, in: .year, for: date) ?? 0
        let format = try AccessLogFormat(text: "%START_TIME(%Y %m %d %H %M %S %j)%")
        let expected = [parts.year, parts.month, parts.day, parts.hour, parts.minute, parts.second, day].map {
            $0 ?? -1
        }
        #expect(render(format, record).split(separator: " ").map { Int($0) ?? -2 } == expected)
        let names = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
        #expect(
            render(try AccessLogFormat(text: "%START_TIME(%A)%"), record) == names[(parts.weekday ?? 1) - 1])
    }
}
