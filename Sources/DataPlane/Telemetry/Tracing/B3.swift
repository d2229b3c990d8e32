import MeshPrimitives

/// What B3 fields say (openzipkin/b3-propagation): ids, a decision, or only one of both.
public struct B3Context: Equatable, Sendable, BitwiseCopyable {
    public enum Sampling: UInt8, Sendable, BitwiseCopyable { case undecided, no, yes, debug }

    /// `none` where only a decision came.
    public var traceID = TraceID.none
    public var spanID: UInt64 = 0
    public var sampling = Sampling.undecided

    public init() {}

    public var hasIDs: Bool { !traceID.isNone && spanID != 0 }
    public var isSampled: Bool { sampling == .yes || sampling == .debug }
}

public enum B3 {
    /// Bytes of the longest value that we write into the single field.
    public static let singleLength = 51

    /// The single field, `TRACE-SPAN[-SAMPLING[-PARENT]]` or `SAMPLING`; nil if it is not valid.
    public static func parse(single value: ByteView) -> B3Context? {
        var context = B3Context()
        if value.count == 1 {
            guard let sampling = sampling(value) else { return nil }
            context.sampling = sampling
            return context
        }
        guard let first = value.firstIndex(of: dash), let trace = traceID(value[0..<first]) else {
            return nil
        }
        let rest = value.dropFirst(first + 1)
        guard rest.count >= 16, let span = Hexadecimal.sixteen(rest, at: 0, allowsCapitals: true), span != 0
        else {
            return nil
        }
        (context.traceID, context.spanID) = (trace, span)
        if rest.count == 16 { return context }
        guard rest[16] == dash, rest.count >= 18, let sampling = sampling(rest[17..<18]) else { return nil }
        context.sampling = sampling
        if rest.count == 18 { return context }
        guard rest[18] == dash, rest.count == 35,
            Hexadecimal.sixteen(rest, at: 19, allowsCapitals: true) != nil
        else {
            return nil
        }
        return context
    }

    /// The fields `x-b3-*`, nil where absent; nil if what is there does not make a context.
    public static func parse(
        traceID trace: ByteView?, spanID span: ByteView?, sampled: ByteView?, flags: ByteView?
    ) -> B3Context? {
        var context = B3Context()
        if let flags, flags.equals("1") {
            context.sampling = .debug
        } else if let sampled {
            if sampled.equals("1") || sampled.equalsIgnoringCase("true") {
                context.sampling = .yes
            } else if sampled.equals("0") || sampled.equalsIgnoringCase("false") {
                context.sampling = .no
            } else {
                return nil
            }
        }
        if trace == nil, span == nil { return context.sampling == .undecided ? nil : context }
        guard let trace, let id = traceID(trace), let span, span.count == 16,
            let spanID = Hexadecimal.sixteen(span, at: 0, allowsCapitals: true), spanID != 0
        else { return nil }
        (context.traceID, context.spanID) = (id, spanID)
        return context
    }

    /// 16 or 32 digits; 64 bits are padded on the left. nil for anything else, zero included.
    public static func traceID(_ digits: ByteView) -> TraceID? {
        switch digits.count {
        case 16:
            guard let low = Hexadecimal.sixteen(digits, at: 0, allowsCapitals: true), low != 0 else {
                return nil
            }
            return TraceID(high: 0, low: low)
        case 32:
            guard let high = Hexadecimal.sixteen(digits, at: 0, allowsCapitals: true),
                let low = Hexadecimal.sixteen(digits, at: 16, allowsCapitals: true), high | low != 0
            else { return nil }
            return TraceID(high: high, low: low)
        default: return nil
        }
    }

    /// Digits of the trace id, for `x-b3-traceid` and the front of `b3`. Always 32: ids of 64 bits come padded.
    public static func traceText(_ context: TraceContext) -> InlineArray<32, UInt8> {
        var text = InlineArray<32, UInt8>(repeating: 0)
        Hexadecimal.write(context.traceID.high, to: &text, at: 0)
        Hexadecimal.write(context.traceID.low, to: &text, at: 16)
        return text
    }

    public static func spanText(_ context: TraceContext) -> InlineArray<16, UInt8> {
        var text = InlineArray<16, UInt8>(repeating: 0)
        Hexadecimal.write(context.spanID, to: &text, at: 0)
        return text
    }

    /// The value of the single field: `TRACE-SPAN-SAMPLING`.
    public static func singleText(_ context: TraceContext) -> InlineArray<51, UInt8> {
        var text = InlineArray<51, UInt8>(repeating: dash)
        Hexadecimal.write(context.traceID.high, to: &text, at: 0)
        Hexadecimal.write(context.traceID.low, to: &text, at: 16)
        Hexadecimal.write(context.spanID, to: &text, at: 33)
        text[50] = context.isSampled ? 0x31 : 0x30
        return text
    }

    private static let dash = UInt8(ascii: "-")

    private static func sampling(_ value: ByteView) -> B3Context.Sampling? {
        switch value[0] {
        case 0x30: .no
        case 0x31: .yes
        case UInt8(ascii: "d"): .debug
        default: nil
        }
    }
}
