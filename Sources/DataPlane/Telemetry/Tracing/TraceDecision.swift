import HTTPModel
import MeshPrimitives
import TrafficPolicy

/// How requests are given and keep a trace context.
public struct TraceSettings: Equatable, Sendable, BitwiseCopyable {
    /// Forms of the context that a request gets even if it came without them.
    public struct Formats: OptionSet, Hashable, Sendable, BitwiseCopyable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let w3c = Formats(rawValue: 1 << 0)
        public static let b3Single = Formats(rawValue: 1 << 1)
        public static let b3Multi = Formats(rawValue: 1 << 2)
    }

    /// false: nothing is touched, as Envoy does without tracing configured.
    public var isOn: Bool
    /// Of the requests that come without a decision.
    public var sampling: FractionalPercent
    /// Our span becomes the parent of what goes on.
    public var hasExporter: Bool
    public var added: Formats
    /// As Envoy's exporter has it: B3 is nobody's business, and its own decision not to trace is passed on, whatever the
    /// caller's was.
    public var followsEnvoy = false

    public init(
        isOn: Bool, sampling: FractionalPercent = FractionalPercent(1), hasExporter: Bool = false,
        added: Formats = []
    ) {
        (self.isOn, self.sampling, self.hasExporter, self.added) = (isOn, sampling, hasExporter, added)
    }

    public static let off = TraceSettings(isOn: false, sampling: .never)
    public static let meshDefault = TraceSettings(isOn: true)
}

/// The trace fields of a request as they came.
public struct TraceInput: Sendable, BitwiseCopyable {
    public var w3c: TraceContext?
    public var hasTraceparent = false
    public var hasTracestate = false
    public var isTracestateValid = true
    public var b3Single: B3Context?
    public var hasB3Single = false
    public var b3Multi: B3Context?
    public var hasB3Multi = false

    public init() {}

    /// Of the fields that carry a trace context or its decision.
    @inlinable static var names: UInt64 {
        FieldName.traceparent.bit | FieldName.tracestate.bit | FieldName.b3.bit | FieldName.xB3Traceid.bit
            | FieldName.xB3Spanid.bit | FieldName.xB3Sampled.bit | FieldName.xB3Flags.bit
    }

    /// Two `traceparent` fields are as good as none.
    public init(_ head: borrowing @_addressable MessageHead, _ bytes: ByteView, readsB3: Bool = true) {
        guard head.containsAny(of: Self.names) else { return }
        if let index = head.firstIndex(of: .traceparent) {
            hasTraceparent = true
            if head.firstIndex(of: .traceparent, from: index + 1) == nil {
                w3c = Traceparent.parse(head.value(index, in: bytes))
            }
        }
        var next = head.firstIndex(of: .tracestate)
        while let index = next {
            hasTracestate = true
            if !Traceparent.isTracestate(head.value(index, in: bytes)) { isTracestateValid = false }
            next = head.firstIndex(of: .tracestate, from: index + 1)
        }
        guard readsB3 else { return }
        if let value = head.value(of: .b3, in: bytes) {
            hasB3Single = true
            b3Single = B3.parse(single: value)
        }
        let trace = head.value(of: .xB3Traceid, in: bytes)
        let span = head.value(of: .xB3Spanid, in: bytes)
        let sampled = head.value(of: .xB3Sampled, in: bytes)
        let flags = head.value(of: .xB3Flags, in: bytes)
        hasB3Multi = trace != nil || span != nil || sampled != nil || flags != nil
        if hasB3Multi {
            b3Multi = B3.parse(traceID: trace, spanID: span, sampled: sampled, flags: flags)
        }
    }
}

/// What is to be done to the trace fields of a request.
public struct TraceEdits: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Replace (or add) the field with `Traceparent.text` of the decision's context.
    public static let setTraceparent = TraceEdits(rawValue: 1 << 0)
    public static let removeTracestate = TraceEdits(rawValue: 1 << 1)
    /// `B3.singleText`.
    public static let setB3Single = TraceEdits(rawValue: 1 << 2)
    /// `x-b3-traceid`, `x-b3-spanid` and `x-b3-sampled` by `B3.traceText` and `B3.spanText`; `x-b3-parentspanid` and
    /// `x-b3-flags` go.
    public static let setB3Multi = TraceEdits(rawValue: 1 << 3)
}

/// The trace context of a request, and what changes about its fields.
public struct TraceDecision: Equatable, Sendable, BitwiseCopyable {
    /// What goes on upstream; nil where nothing came and nothing is made.
    public var context: TraceContext?
    /// The span that our own is a child of; 0 for none.
    public var parentSpanID: UInt64 = 0
    public var edits: TraceEdits = []

    /// W3C wins over B3, the single field of B3 over the others; a decision to sample is kept. Without an exporter a
    /// valid context passes byte for byte; with one, a new span id stands in its place. What disagrees with the
    /// context that holds is rewritten, in the forms that came.
    public init(_ input: TraceInput, _ settings: TraceSettings, random: inout SeededRandom) {
        guard settings.isOn else {
            context = input.w3c ?? Self.context(input.b3Single) ?? Self.context(input.b3Multi)
            return
        }
        let incoming = input.w3c ?? Self.context(input.b3Single) ?? Self.context(input.b3Multi)
        var decided: TraceContext
        if var incoming {
            parentSpanID = incoming.spanID
            // B3 may leave the decision open.
            if input.w3c == nil, Self.isUndecided(input) {
                incoming.isSampled = settings.sampling.draw(&random)
            }
            decided = incoming
            if settings.followsEnvoy, settings.sampling == .never { decided.isSampled = false }
            if settings.hasExporter { decided.spanID = Self.spanID(&random) }
        } else {
            decided = TraceContext(
                traceID: TraceID(random: &random), spanID: Self.spanID(&random),
                isSampled: Self.decision(input) ?? settings.sampling.draw(&random))
        }
        context = decided
        edits = Self.edits(input, decided, isNew: incoming == nil, settings)
    }

    /// The same of a head whose fields have not been looked at: most heads have none of those that matter.
    public init(
        _ head: borrowing @_addressable MessageHead, _ bytes: ByteView, _ settings: TraceSettings,
        random: inout SeededRandom
    ) {
        guard settings.isOn, !head.containsAny(of: TraceInput.names) else {
            self.init(
                TraceInput(head, bytes, readsB3: !settings.followsEnvoy), settings, random: &random)
            return
        }
        self.init(newWith: settings, random: &random)
    }

    /// Of a request without any context.
    private init(newWith settings: TraceSettings, random: inout SeededRandom) {
        context = TraceContext(
            traceID: TraceID(random: &random), spanID: Self.spanID(&random),
            isSampled: settings.sampling.draw(&random))
        edits = .setTraceparent
        if settings.added.contains(.b3Single) { edits.insert(.setB3Single) }
        if settings.added.contains(.b3Multi) { edits.insert(.setB3Multi) }
    }

    private static func edits(
        _ input: TraceInput, _ decided: TraceContext, isNew: Bool, _ settings: TraceSettings
    ) -> TraceEdits {
        var edits: TraceEdits = []
        // An invalid traceparent is replaced; a request without any context gets one; others only if asked for.
        if input.hasTraceparent ? input.w3c != decided : isNew || settings.added.contains(.w3c) {
            edits.insert(.setTraceparent)
        }
        // A state belongs to its parent (section 3.3): without a valid one it goes.
        if input.hasTracestate, input.w3c == nil || !input.isTracestateValid {
            edits.insert(.removeTracestate)
        }
        if input.hasB3Single ? !agrees(input.b3Single, decided) : settings.added.contains(.b3Single) {
            edits.insert(.setB3Single)
        }
        if input.hasB3Multi ? !agrees(input.b3Multi, decided) : settings.added.contains(.b3Multi) {
            edits.insert(.setB3Multi)
        }
        return edits
    }

    /// A B3 form that came may stay as it is: it names the same trace, span and decision, or only the decision.
    private static func agrees(_ b3: B3Context?, _ decided: TraceContext) -> Bool {
        guard let b3 else { return false }
        guard b3.sampling == .undecided || b3.isSampled == decided.isSampled else { return false }
        return !b3.hasIDs || b3.traceID == decided.traceID && b3.spanID == decided.spanID
    }

    private static func context(_ b3: B3Context?) -> TraceContext? {
        guard let b3, b3.hasIDs else { return nil }
        return TraceContext(traceID: b3.traceID, spanID: b3.spanID, isSampled: b3.isSampled)
    }

    /// The B3 context that holds leaves it open whether to sample.
    private static func isUndecided(_ input: TraceInput) -> Bool {
        if let single = input.b3Single, single.hasIDs { return single.sampling == .undecided }
        return input.b3Multi?.sampling == .undecided
    }

    /// A decision that came without ids.
    private static func decision(_ input: TraceInput) -> Bool? {
        if let b3 = input.b3Single, b3.sampling != .undecided { return b3.isSampled }
        if let b3 = input.b3Multi, b3.sampling != .undecided { return b3.isSampled }
        return nil
    }

    private static func spanID(_ random: inout SeededRandom) -> UInt64 { max(1, random.next()) }
}
