import MeshPrimitives
import Telemetry
import Testing
import TrafficPolicy

@Suite struct SamplingDecisionTests {
    /// The first eight digits make 4660, so the request's number is 4660.
    private let id = RequestID(high: 0x0000_1234_0000_4000, low: 0x8000_0000_0000_0001)

    private func reason(
        _ id: RequestID?, client: Bool = false, forced: Bool = false, _ settings: SamplingSettings
    ) -> TraceReason {
        var random = SeededRandom(seed: 1)
        return SamplingDecision(
            id, hasClientTraceID: client, isForced: forced, settings, random: &random
        ).reason
    }

    @Test("Without a UUID nothing is traced")
    func noID() { #expect(reason(nil, client: true, forced: true, SamplingSettings()) == .notTraced) }

    @Test("Chance goes by the id, so that every hop chooses the same requests")
    func chance() {
        let few = SamplingSettings(random: FractionalPercent(4660, of: .tenThousand))
        let more = SamplingSettings(random: FractionalPercent(4661, of: .tenThousand))
        #expect(reason(id, few) == .notTraced)
        #expect(reason(id, more) == .sampled)
        // Envoy takes the number modulo the denominator: 60 of 100.
        #expect(reason(id, SamplingSettings(random: FractionalPercent(60))) == .notTraced)
        #expect(reason(id, SamplingSettings(random: FractionalPercent(61))) == .sampled)
    }

    @Test("The client goes before a service, and a service before chance")
    func order() {
        #expect(reason(id, client: true, forced: true, SamplingSettings()) == .clientForced)
        #expect(reason(id, client: true, forced: true, SamplingSettings(client: .never)) == .serviceForced)
        #expect(reason(id, client: true, SamplingSettings(client: .never, random: .never)) == .notTraced)
    }

    @Test(
        "What an earlier hop decided holds", arguments: [TraceReason.sampled, .serviceForced, .clientForced])
    func earlier(reason earlier: TraceReason) {
        let settings = SamplingSettings(client: .never, random: .never)
        #expect(reason(id.setting(earlier), settings) == earlier)
    }

    @Test("The overall share is over all of it")
    func overall() {
        let settings = SamplingSettings(overall: .never)
        #expect(reason(id.setting(.clientForced), client: true, forced: true, settings) == .notTraced)
    }

    @Test("The decision is the fifteenth character of the id's text")
    func text() {
        let expected: [(TraceReason, Character)] = [
            (.notTraced, "4"), (.sampled, "9"), (.serviceForced, "a"), (.clientForced, "b"),
        ]
        for (reason, character) in expected {
            let text = id.setting(reason).text
            let letters = (0..<RequestID.textLength).map { Character(UnicodeScalar(text[$0])) }
            #expect(letters[14] == character)
            #expect(String(letters).withByteView { RequestID(uuid: $0) }?.traceReason == reason)
        }
        #expect("not-a-uuid".withByteView { RequestID(uuid: $0) } == nil)
    }
}
