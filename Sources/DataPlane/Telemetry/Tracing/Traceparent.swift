import MeshPrimitives

/// A trace context as it came or goes: which trace, which span is the parent, whether it is recorded.
public struct TraceContext: Equatable, Hashable, Sendable, BitwiseCopyable {
    public var traceID: TraceID
    /// Never 0.
    public var spanID: UInt64
    public var isSampled: Bool

    public init(traceID: TraceID, spanID: UInt64, isSampled: Bool) {
        (self.traceID, self.spanID, self.isSampled) = (traceID, spanID, isSampled)
    }
}

/// The `traceparent` and `tracestate` fields (W3C Trace Context, level 1, section 3).
public enum Traceparent {
    /// Bytes of a value of version 00, the only one that we write.
    public static let length = 55

    /// nil if the value is not valid. A version that we do not know is read as far as version 00 goes.
    public static func parse(_ value: ByteView) -> TraceContext? {
        guard value.count >= length, value[2] == dash, value[35] == dash, value[52] == dash,
            let version = Hexadecimal.two(value, at: 0), version != 0xff,
            let high = Hexadecimal.sixteen(value, at: 3, allowsCapitals: false),
            let low = Hexadecimal.sixteen(value, at: 19, allowsCapitals: false),
            let span = Hexadecimal.sixteen(value, at: 36, allowsCapitals: false),
            let flags = Hexadecimal.two(value, at: 53)
        else { return nil }
        if value.count > length, version == 0 || value[55] != dash { return nil }
        guard high | low != 0, span != 0 else { return nil }
        return TraceContext(
            traceID: TraceID(high: high, low: low), spanID: span, isSampled: flags & 1 != 0)
    }

    public static func text(_ context: TraceContext) -> InlineArray<55, UInt8> {
        var text = InlineArray<55, UInt8>(repeating: dash)
        text[0] = 0x30
        text[1] = 0x30
        Hexadecimal.write(context.traceID.high, to: &text, at: 3)
        Hexadecimal.write(context.traceID.low, to: &text, at: 19)
        Hexadecimal.write(context.spanID, to: &text, at: 36)
        text[53] = 0x30
        text[54] = context.isSampled ? 0x31 : 0x30
        return text
    }

    /// false if there is no room.
    public static func append(_ context: TraceContext, to buffer: inout PooledBuffer) -> Bool {
        guard buffer.room >= length + 1, var writer = unsafe buffer.writer else { return false }
        unsafe writer.put(ByteView("00-"))
        unsafe writer.put(hexadecimal: context.traceID.high)
        unsafe writer.put(hexadecimal: context.traceID.low)
        unsafe writer.put(dash)
        unsafe writer.put(hexadecimal: context.spanID)
        unsafe writer.put(ByteView(context.isSampled ? "-01" : "-00"))
        unsafe buffer.commit(writer)
        return true
    }

    /// Whether a `tracestate` value keeps to the grammar (section 3.3.1): up to 32 members, each `key=value`.
    public static func isTracestate(_ value: ByteView) -> Bool {
        var (start, members) = (0, 0)
        while start <= value.count {
            let end = value.firstIndex(of: UInt8(ascii: ","), from: start) ?? value.count
            let member = value[start..<end].trimmed
            start = end + 1
            // Empty members are allowed.
            if member.isEmpty { continue }
            members += 1
            guard members <= 32, let equals = member.firstIndex(of: UInt8(ascii: "=")),
                isKey(member[0..<equals]), isValue(member.dropFirst(equals + 1))
            else { return false }
        }
        return true
    }

    private static let dash = UInt8(ascii: "-")

    private static func isKey(_ key: ByteView) -> Bool {
        guard !key.isEmpty, key.count <= 256 else { return false }
        var hasAt = false
        for index in 0..<key.count {
            switch key[index] {
            case 0x61...0x7a: break
            case 0x30...0x39, UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "*"), UInt8(ascii: "/"):
                // A digit may begin a key only where a tenant stands before an `@`.
                if index == 0, !(key[index] >= 0x30 && key[index] <= 0x39) { return false }
            case UInt8(ascii: "@"):
                if hasAt || index == 0 || index > 241 || key.count - index - 1 > 14 { return false }
                hasAt = true
            default: return false
            }
        }
        return hasAt || !(key[0] >= 0x30 && key[0] <= 0x39)
    }

    private static func isValue(_ value: ByteView) -> Bool {
        guard !value.isEmpty, value.count <= 256 else { return false }
        for index in 0..<value.count {
            let byte = value[index]
            if byte < 0x20 || byte > 0x7e || byte == UInt8(ascii: ",") || byte == UInt8(ascii: "=") {
                return false
            }
        }
        return true
    }
}
