import HTTPModel
import MeshPrimitives
import Telemetry
import TestSupport
import Testing

@testable import TraceExport

private func settings(
    _ names: SpanSettings.Names, isOutbound: Bool = false, spawns: Bool = false, tags: [SpanSettings.Tag] = []
) -> SpanSettings {
    SpanSettings(
        collector: TraceCollector(
            cluster: "otlp", serviceName: "shop/cart", transport: .grpc(authority: "otlp")),
        names: names, isOutbound: isOutbound, spawnsUpstreamSpan: spawns, tags: tags)
}

private func exampleRecord() -> ExchangeRecord {
    var record = ExchangeRecord()
    record.startedAt = 1_700_000_000_000_000_000
    record.ended = 5_000_000
    record.status = 503
    record.method = .get
    record.downstreamProtocol = .http11
    record.upstreamProtocol = .http2
    record.traceID = TraceID(high: 1, low: 2)
    record.spanID = 3
    record.flags = [.upstreamConnectionFailure]
    record.details = .upstreamResetBeforeResponseStarted
    record.downstreamDirectRemote = SocketAddress(hostPort: "127.0.0.1:4000")
    record.downstreamRemote = record.downstreamDirectRemote
    record.attemptStarted(at: 1_000_000, endpoint: SocketAddress(hostPort: "127.0.0.1:81"), cause: nil)
    record.attemptEnded(at: 2_000_000, .resetUnsent)
    record.attemptStarted(
        at: 3_000_000, endpoint: SocketAddress(hostPort: "127.0.0.1:82"), cause: .connectFailure)
    record.attemptEnded(at: 4_000_000, .answered, status: 503)
    return record
}

private func spans(_ settings: SpanSettings, _ record: ExchangeRecord = exampleRecord(), parent: UInt64 = 9)
    -> [WireMessage]
{
    let ring = SpanRing()
    var record = record
    guard
        var entry = ring.begin(
            inPlace: &record, SpanHeader(settings: 0, isHTTPS: false, parentSpanID: parent))
    else { return [] }
    for (index, tag) in settings.tags.enumerated() where tag.field == "x-user" {
        entry.add(tag: index, ByteView("ada"))
    }
    entry.add(.path, ByteView("/cart?secret=1"))
    entry.add(.authority, ByteView("cart:8080"))
    entry.add(.requestID, ByteView("id-1"))
    entry.add(.cluster, ByteView("outbound"))
    ring.commit(entry)
    var found: [WireMessage] = []
    ring.take { found = SpanEncoder.spans(of: $0, settings).map { WireMessage($0) } }
    return found
}

@Suite struct SpanEncoderTests {
    @Test("A request has the names and attributes of OpenTelemetry in the mesh")
    func openTelemetry() throws {
        let span = try #require(spans(settings(.openTelemetry)).first)
        #expect(span.chunks[1] == [[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]])
        #expect(span.chunks[2] == [[0, 0, 0, 0, 0, 0, 0, 3]])
        #expect(span.chunks[4] == [[0, 0, 0, 0, 0, 0, 0, 9]])
        #expect(span.text(5) == "GET")
        #expect(span.numbers[6] == [2])
        #expect(span.numbers[7] == [1_700_000_000_000_000_000])
        #expect(span.numbers[8] == [1_700_000_000_005_000_000])
        let attributes = span.attributes
        #expect(attributes["http.request.method"] == "GET")
        #expect(attributes["http.response.status_code"] == "503")
        #expect(attributes["url.path"] == "/cart")
        #expect(attributes["server.address"] == "cart")
        #expect(attributes["server.port"] == "8080")
        #expect(attributes["client.address"] == "127.0.0.1")
        #expect(attributes["error.type"] == "503")
        #expect(attributes["martlet.response_flags"] == "UF")
        #expect(span.messages(15).first?.numbers[3] == [2])
    }

    @Test("Under an Envoy configuration names and texts are Envoy's")
    func envoy() throws {
        let tags = [
            SpanSettings.Tag(name: "where", value: "here"),
            SpanSettings.Tag(name: "user", value: "nobody", field: "x-user"),
            SpanSettings.Tag(name: "other", value: "none", field: "x-other"),
        ]
        let span = try #require(spans(settings(.envoy, isOutbound: true, tags: tags), parent: 0).first)
        #expect(span.text(5) == "egress cart:8080")
        #expect(span.numbers[6] == [3])
        #expect(span.chunks[4] == nil)
        let attributes = span.attributes
        #expect(attributes["http.url"] == "http://cart:8080/cart?secret=1")
        #expect(attributes["http.status_code"] == "503")
        #expect(attributes["guid:x-request-id"] == "id-1")
        #expect(attributes["upstream_cluster"] == "outbound")
        #expect(attributes["response_flags"] == "UF")
        #expect(attributes["error"] == "true")
        #expect(attributes["downstream_cluster"] == "-")
        #expect(attributes["zone"] == "")
        #expect(attributes["where"] == "here")
        #expect(attributes["user"] == "ada")
        #expect(attributes["other"] == "none")
    }

    @Test("Where attempts have spans, each is a child of the request's")
    func attempts() {
        let found = spans(settings(.openTelemetry, isOutbound: true, spawns: true))
        #expect(found.count == 3)
        #expect(found[0].numbers[6] == [2])
        for attempt in found.dropFirst() {
            #expect(attempt.chunks[4] == found[0].chunks[2])
            #expect(attempt.numbers[6] == [3])
        }
        #expect(found[1].chunks[2] != found[2].chunks[2])
        #expect(found[1].attributes["error.type"] == "resetUnsent")
        #expect(found[2].attributes["http.request.resend_count"] == "1")
        #expect(found[2].attributes["martlet.retry_reason"] == "connect_failure")
        #expect(found[2].attributes["network.peer.port"] == "82")
    }

    @Test("Envoy's spans of attempts say which one it was, and whether its answer was given up")
    func envoyAttempts() {
        let found = spans(settings(.envoy, spawns: true))
        #expect(found[1].attributes["retry.count"] == nil)
        #expect(found[2].attributes["retry.count"] == "1")
        #expect(found[2].attributes["canceled"] == nil)
        #expect(found[1].attributes["error.reason"] == "connection termination")
        #expect(found[1].attributes["response_flags"] == "UC")
        #expect(found[2].attributes["error.reason"] == nil)
    }

    @Test("A batch names the service")
    func request() {
        let request = WireMessage(SpanEncoder.request([[8, 1], [8, 2]][...], serviceName: "shop/cart"))
        let resourceSpans = request.messages(1)[0]
        #expect(resourceSpans.messages(1)[0].messages(1)[0].messages(2)[0].text(1) == "shop/cart")
        #expect(resourceSpans.messages(2)[0].messages(2).map { $0.numbers[1] } == [[1], [2]])
    }

    @Test(
        "An authority is a host and a port",
        arguments: [
            ("cart", "cart", nil), ("cart:80", "cart", 80), ("[::1]:80", "::1", 80), ("::1", "::1", nil),
            ("[::1]", "[::1]", nil),
        ] as [(String, String, UInt16?)])
    func authority(text: String, host: String, port: UInt16?) {
        let found = SpanNames.hostAndPort(text)
        #expect(found.host == host && found.port == port)
    }
}
