import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct RetryConditionsTests {
    @Test("Every word of retry_on is understood, and spaces around it do not matter")
    func words() {
        let text =
            "5xx, gateway-error,reset ,connect-failure,refused-stream,retriable-status-codes,retriable-4xx,"
            + "envoy-ratelimited,retriable-headers,reset-before-request,cancelled,deadline-exceeded,internal,"
            + "resource-exhausted,unavailable"
        let (conditions, unknown) = RetryConditions.parse(text)
        #expect(unknown.isEmpty)
        #expect(conditions.rawValue == 0x7fff)
    }

    @Test("Unknown words are reported, and the known ones beside them hold")
    func unknownWords() {
        let (conditions, unknown) = RetryConditions.parse("5xx,sometimes,, reset,safe")
        #expect(conditions == [.status5xx, .reset])
        #expect(unknown == ["sometimes", "safe"])
        #expect(RetryConditions.parse("").conditions == [])
    }

    @Test(
        "A set of status codes holds what was put in, and nothing outside 100 to 599",
        arguments: UInt64(0)..<20)
    func statusCodes(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var reference: Set<UInt16> = []
        var set = StatusCodeSet()
        for _ in 0..<60 {
            let code = UInt16(random.below(700))
            if set.insert(code) { reference.insert(code) }
            #expect(set.contains(code) == (100...599).contains(code))
        }
        #expect(set.codes == reference.sorted())
        #expect(set == StatusCodeSet(reference) && set.isEmpty == reference.isEmpty)
    }
}
