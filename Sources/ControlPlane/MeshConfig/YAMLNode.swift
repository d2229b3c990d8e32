/// A value of a YAML document that knows where it stands. Two nodes are equal if they say the same, wherever that is.
public struct YAMLNode: Sendable, Equatable {
    public struct Position: Sendable, Hashable {
        public let line: Int
        public let column: Int
    }

    public struct Entry: Sendable, Equatable {
        public let key: String
        public let keyPosition: Position
        public let value: YAMLNode

        public static func == (left: Entry, right: Entry) -> Bool {
            left.key == right.key && left.value == right.value
        }
    }

    public indirect enum Content: Sendable, Equatable {
        /// `isPlain` means written without quotes: only then may it be a number, a boolean or null.
        case scalar(String, isPlain: Bool)
        case sequence([YAMLNode])
        case mapping([Entry])
    }

    public let position: Position
    public let content: Content
    /// Nodes in this tree, with aliases counted as often as they are used.
    let weight: Int

    init(position: Position, content: Content) {
        self.position = position
        self.content = content
        switch content {
        case .scalar: weight = 1
        case .sequence(let elements): weight = elements.reduce(1) { $0 &+ $1.weight }
        case .mapping(let entries): weight = entries.reduce(1) { $0 &+ $1.value.weight &+ 1 }
        }
    }

    public static func == (left: YAMLNode, right: YAMLNode) -> Bool { left.content == right.content }

    /// What a plain scalar means by YAML 1.1, which the tools around us (kubectl, Envoy) follow.
    public enum Resolved: Sendable, Equatable {
        case null
        case boolean(Bool)
        case integer(Int)
        case number(Double)
        case text(String)
    }

    /// The meaning of a scalar; `nil` for sequences and mappings.
    public var resolved: Resolved? {
        guard case .scalar(let text, let isPlain) = content else { return nil }
        guard isPlain else { return .text(text) }
        switch text {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y": return .boolean(true)
        case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N":
            return .boolean(false)
        default: break
        }
        if let integer = Int(text) { return .integer(integer) }
        guard let first = text.utf8.first, first < 0x3a, let number = Double(text) else { return .text(text) }
        return .number(number)
    }

    public subscript(key: String) -> YAMLNode? {
        guard case .mapping(let entries) = content else { return nil }
        return entries.first { $0.key == key }?.value
    }

    /// What kind of value this is, for error messages.
    var kindInWords: String {
        switch content {
        case .sequence: return "a list"
        case .mapping: return "a mapping"
        case .scalar(let text, _):
            switch resolved {
            case .null: return "empty"
            case .boolean: return "the boolean '\(text)'"
            case .integer, .number: return "the number \(text)"
            case .text, nil: return "the text '\(text.clipped)'"
            }
        }
    }
}

extension String {
    /// Text of an operator inside an error message: short, and one line.
    var clipped: String {
        let line = map { $0.isNewline ? " " : $0 }
        return line.count <= 64 ? String(line) : String(line.prefix(61)) + "..."
    }
}
