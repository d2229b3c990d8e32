import MeshPrimitives

/// Protobuf in binary, as far as OTLP needs it.
struct WireBytes {
    private(set) var bytes: [UInt8] = []

    mutating func varint(_ number: UInt64) {
        var rest = number
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func number(_ field: UInt64, _ number: UInt64) {
        varint(field << 3)
        varint(number)
    }

    mutating func fixed64(_ field: UInt64, _ number: UInt64) {
        varint(field << 3 | 1)
        for byte in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: number >> UInt64(8 * byte))) }
    }

    mutating func fixed32(_ field: UInt64, _ number: UInt32) {
        varint(field << 3 | 5)
        for byte in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: number >> UInt32(8 * byte))) }
    }

    mutating func delimited(_ field: UInt64, _ content: some Collection<UInt8>) {
        varint(field << 3 | 2)
        varint(UInt64(content.count))
        bytes.append(contentsOf: content)
    }

    mutating func text(_ field: UInt64, _ text: String) { delimited(field, text.utf8) }

    mutating func message(_ field: UInt64, _ body: (inout WireBytes) -> Void) {
        var inner = WireBytes()
        body(&inner)
        delimited(field, inner.bytes)
    }

    /// Eight bytes, the highest first: parts of ids.
    mutating func identifier(_ field: UInt64, _ words: UInt64...) {
        var content: [UInt8] = []
        for word in words {
            for byte in 0..<8 { content.append(UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * byte))) }
        }
        delimited(field, content)
    }
}
