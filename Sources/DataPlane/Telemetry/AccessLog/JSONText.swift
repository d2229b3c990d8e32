import MeshPrimitives

/// Strings as JSON writes them (RFC 8259 section 7).
public enum JSONText {
    public static func append(string: String, to json: inout [UInt8]) {
        Array(string.utf8).withByteView { append(string: $0, to: &json) }
    }

    public static func append(string: ByteView, to json: inout [UInt8]) {
        json.append(UInt8(ascii: "\""))
        append(content: string, to: &json)
        json.append(UInt8(ascii: "\""))
    }

    /// What stands between the quotes. Bytes that are not UTF-8 come out as U+FFFD, each.
    static func append<Sink: ByteSink & ~Copyable>(content string: ByteView, to json: inout Sink) {
        var index = 0
        while index < string.count {
            let byte = string[index]
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                json.append(UInt8(ascii: "\\"))
                json.append(byte)
            case UInt8(ascii: "\n"): append(escape: UInt8(ascii: "n"), to: &json)
            case UInt8(ascii: "\r"): append(escape: UInt8(ascii: "r"), to: &json)
            case UInt8(ascii: "\t"): append(escape: UInt8(ascii: "t"), to: &json)
            case 0..<0x20, 0x7f:
                json.append(ByteView("\\u00"))
                json.append(Hexadecimal.digit(byte >> 4))
                json.append(Hexadecimal.digit(byte))
            case 0x20..<0x7f:
                json.append(byte)
            default:
                let length = sequenceLength(string, at: index)
                if length == 0 {
                    json.append(ByteView("\u{fffd}"))
                } else {
                    json.append(string[index..<(index + length)])
                    index += length - 1
                }
            }
            index += 1
        }
    }

    /// Escapes what was written from `start` on, in place; most text needs nothing done.
    static func escape(_ output: inout LogBuffer, from start: Int) {
        var index = start
        let view = output.view
        while index < view.count, isPlain(view[index]) { index += 1 }
        guard index < view.count else { return }
        let tail = view.dropFirst(index).bytes
        output.truncate(to: index)
        tail.withByteView { append(content: $0, to: &output) }
    }

    /// Puts quotes around what was written from `start` on.
    static func quote(_ output: inout LogBuffer, from start: Int) {
        output.insert(UInt8(ascii: "\""), at: start)
        output.append(UInt8(ascii: "\""))
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte < 0x7f && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    private static func append<Sink: ByteSink & ~Copyable>(escape letter: UInt8, to json: inout Sink) {
        json.append(UInt8(ascii: "\\"))
        json.append(letter)
    }

    /// Bytes of the UTF-8 sequence of two or more that begins here (RFC 3629 section 4); 0 if none does.
    private static func sequenceLength(_ bytes: ByteView, at index: Int) -> Int {
        let first = bytes[index]
        let (length, low, high): (Int, UInt8, UInt8) =
            switch first {
            case 0xc2...0xdf: (2, 0x80, 0xbf)
            case 0xe0: (3, 0xa0, 0xbf)
            case 0xe1...0xec, 0xee, 0xef: (3, 0x80, 0xbf)
            case 0xed: (3, 0x80, 0x9f)
            case 0xf0: (4, 0x90, 0xbf)
            case 0xf1...0xf3: (4, 0x80, 0xbf)
            case 0xf4: (4, 0x80, 0x8f)
            default: (0, 0, 0)
            }
        guard length > 0, index + length <= bytes.count else { return 0 }
        guard bytes[index + 1] >= low, bytes[index + 1] <= high else { return 0 }
        for offset in 2..<max(length, 2) where bytes[index + offset] & 0xc0 != 0x80 { return 0 }
        return length
    }
}
