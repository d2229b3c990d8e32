import MeshPrimitives

/// Strings as JSON writes them (RFC 8259 section 7).
public enum JSONText {
    public static func append(string: String, to json: inout [UInt8]) {
        Array(string.utf8).withByteView { append(string: $0, to: &json) }
    }

    /// Bytes that are not UTF-8 come out as U+FFFD, each.
    public static func append(string: ByteView, to json: inout [UInt8]) {
        json.append(UInt8(ascii: "\""))
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
                json += [UInt8(ascii: "\\"), UInt8(ascii: "u"), UInt8(ascii: "0"), UInt8(ascii: "0")]
                json += [Hexadecimal.digit(byte >> 4), Hexadecimal.digit(byte)]
            case 0x20..<0x7f:
                json.append(byte)
            default:
                let length = sequenceLength(string, at: index)
                if length == 0 {
                    json += [0xef, 0xbf, 0xbd]
                } else {
                    for offset in 0..<length { json.append(string[index + offset]) }
                    index += length - 1
                }
            }
            index += 1
        }
        json.append(UInt8(ascii: "\""))
    }

    /// Escapes what was written from `start` on, in place; most text needs nothing done.
    static func escape(_ output: inout [UInt8], from start: Int) {
        var index = start
        while index < output.count, isPlain(output[index]) { index += 1 }
        guard index < output.count else { return }
        let tail = Array(output[index...])
        output.removeLast(output.count - index)
        var quoted: [UInt8] = []
        tail.withByteView { append(string: $0, to: &quoted) }
        output += quoted.dropFirst().dropLast()
    }

    /// Puts quotes around what was written from `start` on.
    static func quote(_ output: inout [UInt8], from start: Int) {
        output.insert(UInt8(ascii: "\""), at: start)
        output.append(UInt8(ascii: "\""))
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte < 0x7f && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    private static func append(escape letter: UInt8, to json: inout [UInt8]) {
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
