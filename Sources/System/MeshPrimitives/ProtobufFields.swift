/// The fields of one protobuf message, one after the other, without copies: for the few messages that are read on a
/// request's path. Whoever reads checks `isBroken` at the end.
public struct ProtobufFields {
    public enum Value {
        case number(UInt64)
        case bytes(ByteView)
    }

    private var rest: ByteView
    public private(set) var isBroken = false

    public init(_ bytes: ByteView) { rest = bytes }

    /// nil at the end, or where the bytes are no message.
    public mutating func next() -> (number: UInt32, value: Value)? {
        guard !rest.isEmpty, !isBroken else { return nil }
        guard let key = varint(), key >> 3 > 0, key >> 3 < 1 << 29 else { return broken() }
        let number = UInt32(key >> 3)
        switch key & 7 {
        case 0:
            guard let value = varint() else { return broken() }
            return (number, .number(value))
        case 1: return fixed(8, number)
        case 2:
            guard let count = varint(), count <= UInt64(rest.count) else { return broken() }
            let bytes = rest.prefix(Int(count))
            rest = rest.dropFirst(Int(count))
            return (number, .bytes(bytes))
        case 5: return fixed(4, number)
        default: return broken()
        }
    }

    private mutating func fixed(_ count: Int, _ number: UInt32) -> (number: UInt32, value: Value)? {
        guard rest.count >= count else { return broken() }
        var value: UInt64 = 0
        for index in 0..<count { value |= UInt64(rest[index]) << UInt64(8 * index) }
        rest = rest.dropFirst(count)
        return (number, .number(value))
    }

    private mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        for index in 0..<min(rest.count, 10) {
            value |= UInt64(rest[index] & 0x7f) << UInt64(7 * index)
            if rest[index] < 0x80 {
                rest = rest.dropFirst(index + 1)
                return value
            }
        }
        return nil
    }

    private mutating func broken() -> (number: UInt32, value: Value)? {
        isBroken = true
        return nil
    }
}

extension [UInt8] {
    public mutating func appendVarint(_ number: Int) {
        var rest = UInt64(number)
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(rest))
    }

    /// A field of text, bytes or a message; `number` is below 16.
    public mutating func appendField(_ number: UInt8, _ bytes: ByteView) {
        append(number << 3 | 2)
        appendVarint(bytes.count)
        for index in bytes.indices { append(bytes[index]) }
    }

    /// Bytes of such a field.
    public static func fieldLength(_ count: Int) -> Int {
        var (length, rest) = (2 + count, count >> 7)
        while rest > 0 {
            length += 1
            rest >>= 7
        }
        return length
    }
}
