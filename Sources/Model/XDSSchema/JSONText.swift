/// Reads JSON (RFC 8259) with positions.
struct JSONText {
    private let bytes: [UInt8]
    private let source: Int
    private let bounds: TextBounds
    private var offset = 0
    private var line = 1
    private var lineStart = 0
    private(set) var nodes = 0
    /// Around what is read.
    private var outerDepth = 0

    init(_ bytes: [UInt8], source: Int, bounds: TextBounds = .standard) {
        (self.bytes, self.source, self.bounds) = (bytes, source, bounds)
    }

    /// Begins within a text, `depth` objects and lists deep.
    init(
        _ bytes: [UInt8], source: Int, bounds: TextBounds,
        from place: (offset: Int, line: Int, lineStart: Int),
        depth: Int
    ) {
        self.init(bytes, source: source, bounds: bounds)
        (offset, line, lineStart) = place
        outerDepth = depth
    }

    /// One value, and where it ends; nil if it is wrong.
    mutating func parsePart() -> (TextNode, end: (offset: Int, line: Int, lineStart: Int))? {
        guard let node = try? value(depth: outerDepth) else { return nil }
        return (node, (offset, line, lineStart))
    }

    static func isBlank(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
    }

    mutating func parseWhole() -> Result<TextNode, TextSyntaxError> {
        do throws(TextSyntaxError) {
            let node = try value(depth: 0)
            skipBlanks()
            guard offset == bytes.count else { throw error("something follows the value") }
            return .success(node)
        } catch {
            return .failure(error)
        }
    }

    private var position: TextPosition {
        TextPosition(line: line, column: offset - lineStart + 1, source: source)
    }

    private func error(_ text: String) -> TextSyntaxError { TextSyntaxError(position: position, text: text) }

    private var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func skipBlanks() {
        while let byte = next, Self.isBlank(byte) {
            offset += 1
            if byte == 0x0A { (line, lineStart) = (line + 1, offset) }
        }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        offset += 1
        return true
    }

    private mutating func value(depth: Int) throws(TextSyntaxError) -> TextNode {
        skipBlanks()
        nodes += 1
        guard nodes <= bounds.nodesMax else { throw error("more than \(bounds.nodesMax) values") }
        guard depth <= bounds.depthMax else { throw error("nested deeper than \(bounds.depthMax) levels") }
        let start = position
        switch next {
        case UInt8(ascii: "{"):
            return TextNode(content: .object(try members(depth: depth)), position: start)
        case UInt8(ascii: "["):
            return TextNode(content: .list(try elements(depth: depth)), position: start)
        case UInt8(ascii: "\""):
            return TextNode(content: .text(try string()), position: start)
        case UInt8(ascii: "t") where takeWord("true"):
            return TextNode(content: .bool(true), position: start)
        case UInt8(ascii: "f") where takeWord("false"):
            return TextNode(content: .bool(false), position: start)
        case UInt8(ascii: "n") where takeWord("null"):
            return TextNode(content: .null, position: start)
        case UInt8(ascii: "-"), .some(0x30...0x39):
            return TextNode(content: try number(), position: start)
        case .some, .none:
            throw error(next == nil ? "the text ends where a value is expected" : "a value is expected")
        }
    }

    private mutating func takeWord(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard offset + count <= bytes.count else { return false }
        for index in 0..<count where unsafe bytes[offset + index] != word.utf8Start[index] { return false }
        offset += count
        return true
    }

    private mutating func members(depth: Int) throws(TextSyntaxError) -> [TextNode.Member] {
        var members: [TextNode.Member] = []
        offset += 1
        skipBlanks()
        if take(UInt8(ascii: "}")) { return members }
        while true {
            skipBlanks()
            let keyPosition = position
            guard next == UInt8(ascii: "\"") else { throw error("a key in quotes is expected") }
            let key = try string()
            skipBlanks()
            guard take(UInt8(ascii: ":")) else { throw error("':' is expected after a key") }
            members.append(
                TextNode.Member(key: key, position: keyPosition, value: try value(depth: depth + 1)))
            skipBlanks()
            if take(UInt8(ascii: "}")) { return members }
            guard take(UInt8(ascii: ",")) else { throw error("',' or '}' is expected") }
        }
    }

    private mutating func elements(depth: Int) throws(TextSyntaxError) -> [TextNode] {
        var elements: [TextNode] = []
        offset += 1
        skipBlanks()
        if take(UInt8(ascii: "]")) { return elements }
        while true {
            elements.append(try value(depth: depth + 1))
            skipBlanks()
            if take(UInt8(ascii: "]")) { return elements }
            guard take(UInt8(ascii: ",")) else { throw error("',' or ']' is expected") }
        }
    }

    private mutating func number() throws(TextSyntaxError) -> TextNode.Content {
        let start = offset
        while let byte = next, (0x30...0x39).contains(byte) || "+-.eE".utf8.contains(byte) { offset += 1 }
        let text = String(decoding: bytes[start..<offset], as: UTF8.self)
        let digits = text.utf8.drop { $0 == UInt8(ascii: "-") }
        let hasLeadingZero =
            digits.count > 1 && digits.first == 0x30
            && digits.dropFirst().first.map {
                (0x30...0x39).contains($0)
            } == true
        if !hasLeadingZero {
            if let integer = Int64(text) { return .integer(integer) }
            if let unsigned = UInt64(text) { return .unsigned(unsigned) }
            if digits.first.map({ (0x30...0x39).contains($0) }) == true, let double = Double(text),
                double.isFinite
            {
                return .double(double)
            }
        }
        throw error("'\(text.clipped)' is not a number")
    }

    private mutating func string() throws(TextSyntaxError) -> String {
        offset += 1
        var text: [UInt8] = []
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                offset += 1
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw error("the string is not UTF-8")
                }
                return string
            case UInt8(ascii: "\\"):
                offset += 1
                try escape(into: &text)
            case 0..<0x20:
                throw error("a control character in a string must be escaped")
            default:
                text.append(byte)
                offset += 1
            }
        }
        throw error("the text ends in a string")
    }

    private mutating func escape(into text: inout [UInt8]) throws(TextSyntaxError) {
        let escaped = next
        offset += 1
        switch escaped {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(escaped ?? 0)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var scalar = try fourDigits()
            if scalar & 0xFC00 == 0xD800, take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) {
                let low = try fourDigits()
                guard low & 0xFC00 == 0xDC00 else { throw error("half of a surrogate pair") }
                scalar = 0x10000 + (scalar & 0x3FF) << 10 + low & 0x3FF
            }
            guard let valid = Unicode.Scalar(scalar) else { throw error("half of a surrogate pair") }
            text += Array(String(Character(valid)).utf8)
        case .some, .none:
            offset = min(offset, bytes.count)
            throw error("unknown escape in a string")
        }
    }

    private mutating func fourDigits() throws(TextSyntaxError) -> UInt32 {
        guard offset + 4 <= bytes.count,
            let text = String(validating: bytes[offset..<offset + 4], as: UTF8.self),
            text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
            let value = UInt32(text, radix: 16)
        else { throw error("four hexadecimal digits are expected") }
        offset += 4
        return value
    }
}
