import HTTPModel
import MeshPrimitives
import Telemetry
import Testing
import TrafficPolicy

@Suite struct AccessLogFilterTests {
    private func wants(_ tree: AccessLogFilterTree, _ change: (inout ExchangeRecord) -> Void = { _ in })
        -> Bool
    {
        var record = ExchangeRecord()
        record.status = 404
        record.ended = 1_500_000_000
        change(&record)
        let request = Head(request: "POST /a/b HTTP/1.1", [("host", "h"), ("x-kind", "Blue-Green")])
        var random = SeededRandom(seed: 1)
        return request.bytes.withByteView {
            AccessLogFilter(tree).wants(record, request: request.head, $0, random: &random)
        }
    }

    @Test("Status and duration are compared")
    func comparisons() {
        #expect(wants(.statusCode(.equal, 404)) && !wants(.statusCode(.equal, 200)))
        #expect(wants(.statusCode(.greaterOrEqual, 400)) && !wants(.statusCode(.greaterOrEqual, 500)))
        #expect(wants(.statusCode(.lessOrEqual, 404)) && !wants(.statusCode(.lessOrEqual, 403)))
        #expect(wants(.duration(.greaterOrEqual, 1_500)) && !wants(.duration(.greaterOrEqual, 1_501)))
    }

    @Test("Health checks and flags")
    func flags() {
        #expect(wants(.notHealthCheck) && !wants(.notHealthCheck) { $0.isHealthCheck = true })
        #expect(!wants(.responseFlags([])) && wants(.responseFlags([])) { $0.flags = .noRouteFound })
        #expect(wants(.responseFlags([.upstreamOverflow, .rateLimited])) { $0.flags = .rateLimited })
        #expect(!wants(.responseFlags(.upstreamOverflow)) { $0.flags = .rateLimited })
        #expect(
            ResponseFlags(letters: "URX") == .upstreamRetryLimitExceeded
                && ResponseFlags(letters: "XX") == nil)
    }

    @Test("A header field is compared, and one that is absent meets nothing, inverted or not")
    func headers() {
        #expect(wants(.header(FieldMatch(name: "X-Kind", .exact, "Blue-Green"))))
        #expect(!wants(.header(FieldMatch(name: "x-kind", .exact, "blue-green"))))
        #expect(wants(.header(FieldMatch(name: "x-kind", .exact, "blue-green", ignoresCase: true))))
        #expect(wants(.header(FieldMatch(name: "x-kind", .prefix, "Blue"))))
        #expect(wants(.header(FieldMatch(name: "x-kind", .suffix, "Green"))))
        #expect(wants(.header(FieldMatch(name: "x-kind", .contains, "e-G"))))
        #expect(!wants(.header(FieldMatch(name: "x-kind", .contains, "e-G", isInverted: true))))
        #expect(wants(.header(FieldMatch(name: "x-kind", .present))))
        #expect(!wants(.header(FieldMatch(name: "x-none", .present))))
        #expect(wants(.header(FieldMatch(name: "x-none", .absent))))
        #expect(wants(.header(FieldMatch(name: "x-none", .present, isInverted: true))))
        #expect(!wants(.header(FieldMatch(name: "x-none", .exact, "a"))))
        #expect(!wants(.header(FieldMatch(name: "x-none", .exact, "a", isInverted: true))))
        #expect(wants(.header(FieldMatch(name: ":method", .exact, "POST"))))
        #expect(wants(.header(FieldMatch(name: ":path", .prefix, "/a/"))))
    }

    @Test("And, or and fractions, nested")
    func nested() {
        let (yes, no) = (
            AccessLogFilterTree.statusCode(.equal, 404), AccessLogFilterTree.statusCode(.equal, 1)
        )
        #expect(wants(.and([yes, yes])) && !wants(.and([yes, no, yes])) && wants(.or([no, no, yes])))
        #expect(!wants(.or([no, .and([yes, no]), no])) && wants(.or([no, .and([yes, .or([no, yes])])])))
        #expect(wants(.and([])) && !wants(.or([])))
        #expect(wants(.fraction(.always)) && !wants(.fraction(.never)))
    }
}
