import HTTPModel
import MeshPrimitives
import Telemetry
import Testing
import TrafficPolicy

private let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
private let span = "00f067aa0ba902b7"
private let validParent = "00-\(trace)-\(span)-01"
private let context = TraceContext(
    traceID: TraceID(high: 0x4bf9_2f35_77b3_4da6, low: 0xa3ce_929d_0e0e_4736), spanID: 0x00f0_67aa_0ba9_02b7,
    isSampled: true)

@Suite struct TraceparentTests {
    @Test(
        "Valid values are read",
        arguments: [
            validParent, "01-\(trace)-\(span)-01", "cc-\(trace)-\(span)-01-what-the-future-brings",
            "00-\(trace)-\(span)-ff",
            "fe-\(trace)-\(span)-03-",
        ])
    func valid(text: String) {
        #expect(text.withByteView { Traceparent.parse($0) } == context)
    }

    @Test(
        "Invalid values are not",
        arguments: [
            "", "00", "ff-\(trace)-\(span)-01", "00-\(trace)-\(span)-01-", "00-\(trace)-\(span)-01-extra",
            "00-\(trace)-\(span)-0", "00-\(trace)-\(span)", "0-\(trace)-\(span)-01", "00-\(trace)-\(span)-0g",
            "00-00000000000000000000000000000000-\(span)-01", "00-\(trace)-0000000000000000-01",
            "00-\(trace.uppercased())-\(span)-01", "00_\(trace)_\(span)_01", "01-\(trace)-\(span)-01x",
            "g0-\(trace)-\(span)-01", "0G-\(trace)-\(span)-01",
        ])
    func invalid(text: String) {
        #expect(text.withByteView { Traceparent.parse($0) } == nil)
    }

    @Test("What is written is read back", arguments: UInt64(0)..<100)
    func roundTrip(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let context = TraceContext(
            traceID: TraceID(random: &random), spanID: random.next() | 1, isSampled: random.below(2) == 0)
        let text = Traceparent.text(context)
        #expect((0..<55).map { text[$0] }.withByteView { Traceparent.parse($0) } == context)
        let single = B3.singleText(context)
        let b3 = (0..<51).map { single[$0] }.withByteView { B3.parse(single: $0) }
        #expect(b3?.traceID == context.traceID && b3?.spanID == context.spanID)
        #expect(b3?.isSampled == context.isSampled)
    }

    @Test(
        "Tracestate keeps to its grammar",
        arguments: [
            ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", true), ("a=1,,b=2, c=3 ", true), ("", true),
            ("tenant@system=1", true), ("1a@b=x", true), ("1a=x", false), ("A=1", false), ("a", false),
            ("a=", false),
            ("a=b=c", false), ("a=\u{7f}", false), (String(repeating: "a=1,", count: 32), true),
            (String(repeating: "a=1,", count: 33), false), ("a@b@c=1", false), ("=1", false),
        ])
    func tracestate(text: String, isValid: Bool) {
        #expect(text.withByteView { Traceparent.isTracestate($0) } == isValid)
    }
}

@Suite struct B3Tests {
    @Test(
        "The single field is read in all its forms",
        arguments: [
            ("\(trace)-\(span)-1", true, B3Context.Sampling.yes), ("\(trace)-\(span)-0", true, .no),
            ("\(trace)-\(span)-d", true, .debug), ("\(trace)-\(span)", true, .undecided),
            ("\(trace)-\(span)-1-05e3ac9a4f6e3b90", true, .yes), ("0", false, .no), ("1", false, .yes),
            ("d", false, .debug),
        ])
    func single(text: String, hasIDs: Bool, sampling: B3Context.Sampling) {
        let read = text.withByteView { B3.parse(single: $0) }
        #expect(read?.hasIDs == hasIDs && read?.sampling == sampling)
        if hasIDs { #expect(read?.traceID == context.traceID && read?.spanID == context.spanID) }
    }

    @Test(
        "What is not B3 is not read",
        arguments: [
            "", "x", "\(trace)", "\(trace)-", "\(trace)-\(span)-", "\(trace)-\(span)-2",
            "\(trace)-\(span)-1-",
            "\(trace)-\(span)-1-05e3", "\(trace)x-\(span)", "0000000000000000-\(span)",
            "\(trace)-0000000000000000",
        ])
    func invalid(text: String) { #expect(text.withByteView { B3.parse(single: $0) } == nil) }

    @Test("A trace id of 64 bits is padded on the left")
    func padded() {
        let read = "a3ce929d0e0e4736-\(span)-1".withByteView { B3.parse(single: $0) }
        #expect(read?.traceID == TraceID(high: 0, low: 0xa3ce_929d_0e0e_4736))
    }
}

@Suite struct TraceDecisionTests {
    private func decide(
        _ fields: [(String, String)], _ settings: TraceSettings = .meshDefault, seed: UInt64 = 1
    ) -> TraceDecision {
        let head = Head(request: "GET / HTTP/1.1", fields)
        var random = SeededRandom(seed: seed)
        return head.bytes.withByteView { TraceDecision(head.head, $0, settings, random: &random) }
    }

    private func text(_ decision: TraceDecision) -> String {
        guard let context = decision.context else { return "" }
        let text = Traceparent.text(context)
        return String(decoding: (0..<55).map { text[$0] }, as: UTF8.self)
    }

    @Test("A request without context gets a traceparent, and nothing else")
    func fresh() {
        let decision = decide([])
        #expect(decision.edits == .setTraceparent && decision.parentSpanID == 0)
        #expect(text(decision).withByteView { Traceparent.parse($0) } == decision.context)
        #expect(decide([], seed: 2).context != decision.context)
    }

    @Test("One request in a hundred is sampled, others by their settings")
    func sampling() {
        let sampled = (0..<20_000).count { decide([], seed: UInt64($0)).context?.isSampled == true }
        #expect(sampled > 140 && sampled < 260, "\(sampled)")
        let all = TraceSettings(isOn: true, sampling: .always)
        #expect(decide([], all).context?.isSampled == true)
    }

    @Test("A valid context passes byte for byte without an exporter, its decision kept")
    func passes() {
        for flags in ["00", "01"] {
            let decision = decide([("traceparent", "00-\(trace)-\(span)-\(flags)"), ("tracestate", "a=1")])
            #expect(decision.edits.isEmpty && decision.context?.isSampled == (flags == "01"))
            #expect(
                decision.context?.traceID == context.traceID && decision.context?.spanID == context.spanID)
        }
    }

    @Test("As Envoy has it B3 says nothing, and no request is traced that this proxy did not choose")
    func envoy() {
        var settings = TraceSettings(isOn: true, sampling: .always, hasExporter: true, added: .w3c)
        settings.followsEnvoy = true
        let b3 = decide(
            ["traceid": trace, "spanid": span].map { ("x-b3-\($0)", $1) } + [("b3", "0")], settings)
        #expect(b3.edits == .setTraceparent && b3.parentSpanID == 0 && b3.context?.isSampled == true)
        #expect(b3.context?.traceID != context.traceID)
        settings.sampling = .never
        let unchosen = decide([("traceparent", validParent)], settings)
        #expect(unchosen.context?.traceID == context.traceID && unchosen.context?.isSampled == false)
    }

    @Test("With an exporter our span becomes the parent, in all forms that came")
    func exporter() {
        let settings = TraceSettings(isOn: true, hasExporter: true)
        let decision = decide(
            [("traceparent", validParent), ("b3", "\(trace)-\(span)-1"), ("tracestate", "a=1")], settings)
        #expect(decision.edits == [.setTraceparent, .setB3Single])
        #expect(decision.parentSpanID == context.spanID && decision.context?.spanID != context.spanID)
        #expect(decision.context?.traceID == context.traceID && decision.context?.isSampled == true)
    }

    @Test(
        "An invalid traceparent is replaced, and its state goes",
        arguments: [
            "00-x", "ff-\(trace)-\(span)-01", "00-\(trace)-\(span)-01-more",
        ])
    func invalid(value: String) {
        let decision = decide([("traceparent", value), ("tracestate", "a=1")])
        #expect(decision.edits == [.setTraceparent, .removeTracestate])
        let from = decide([("traceparent", value), ("b3", "a3ce929d0e0e4736-\(span)-1")])
        #expect(from.edits == .setTraceparent)
        #expect(text(from) == "00-0000000000000000a3ce929d0e0e4736-\(span)-01")
    }

    @Test("Two traceparents are as good as none")
    func twice() {
        let decision = decide([("traceparent", validParent), ("Traceparent", validParent)])
        #expect(decision.edits == .setTraceparent && decision.context?.traceID != context.traceID)
    }

    @Test("A state that is not valid goes; a valid parent stays")
    func invalidState() {
        #expect(decide([("traceparent", validParent), ("tracestate", "A=B=C")]).edits == .removeTracestate)
        #expect(decide([("tracestate", "a=1")]).edits == [.setTraceparent, .removeTracestate])
    }

    @Test("If W3C and B3 disagree, W3C wins and B3 is rewritten")
    func disagreement() {
        let other = "463ac35c9f6413ad48485a3953bb6124"
        for b3 in ["\(other)-\(span)-1", "\(trace)-05e3ac9a4f6e3b90-1", "\(trace)-\(span)-0", "nonsense"] {
            let decision = decide([("traceparent", validParent), ("b3", b3)])
            #expect(decision.edits == .setB3Single && decision.context == context, "\(b3)")
        }
        let multi = decide([("traceparent", validParent), ("X-B3-TraceId", other), ("X-B3-SpanId", span)])
        #expect(multi.edits == .setB3Multi && multi.context == context)
        for b3 in ["\(trace)-\(span)-1", "\(trace)-\(span)", "\(trace)-\(span)-d", "1"] {
            #expect(decide([("traceparent", validParent), ("b3", b3)]).edits.isEmpty, "\(b3)")
        }
    }

    @Test("B3 alone is a context: it passes, and no other form is added unless asked for")
    func b3Only() {
        let multi = [("x-b3-traceid", trace), ("x-b3-spanid", span), ("x-b3-sampled", "1")]
        #expect(decide(multi).edits.isEmpty && decide(multi).context == context)
        #expect(decide([("b3", "\(trace)-\(span)-1")]).edits.isEmpty)
        let asking = TraceSettings(isOn: true, added: [.w3c, .b3Single])
        #expect(decide(multi, asking).edits == [.setTraceparent, .setB3Single])
    }

    @Test("A decision without ids is kept for the context that is made")
    func decisionOnly() {
        for (fields, isSampled) in [
            ([("b3", "0")], false), ([("b3", "1")], true), ([("x-b3-sampled", "1")], true),
            ([("x-b3-flags", "1")], true),
        ] {
            let decision = decide(fields, TraceSettings(isOn: true, sampling: isSampled ? .never : .always))
            #expect(
                decision.edits == .setTraceparent && decision.context?.isSampled == isSampled, "\(fields)")
        }
    }

    @Test("B3 that leaves the decision open is decided here")
    func undecided() {
        let settings = TraceSettings(isOn: true, sampling: .always)
        #expect(decide([("b3", "\(trace)-\(span)")], settings).context?.isSampled == true)
    }

    @Test("With tracing off nothing is touched, whatever came")
    func off() {
        for fields in [[], [("traceparent", "junk")], [("traceparent", validParent), ("b3", "junk")]]
            as [[(String, String)]]
        {
            #expect(decide(fields, .off).edits.isEmpty)
        }
        #expect(decide([("traceparent", validParent)], .off).context == context)
        #expect(decide([], .off).context == nil)
    }
}

@Suite struct RequestIDTests {
    @Test("A new id is a UUID of version 4, and reads back as itself", arguments: UInt64(0)..<100)
    func made(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let id = RequestID(random: &random)
        let text = id.text
        let bytes = (0..<36).map { text[$0] }
        let string = String(decoding: bytes, as: UTF8.self)
        let form = try Regex("^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        #expect(string.firstMatch(of: form) != nil, "\(string)")
        #expect(bytes.withByteView { RequestID(text: $0) } == id)
        #expect(string.uppercased().withByteView { RequestID(text: $0) } == id)
    }

    @Test("Ids in other forms are told apart")
    func others() {
        let ids = ["a", "b", "req-1", "req-2", "4bf92f35-77b3-4da6-a3ce-929d0e0e473x"].map { text in
            text.withByteView { RequestID(text: $0) }
        }
        #expect(Set(ids).count == ids.count && !ids.contains(.none))
    }
}
