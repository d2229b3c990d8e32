/// Any JSON value; objects are written with their keys in order, so that equal values are equal texts.
public enum JSONValue: Sendable, Equatable {
    case null
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    case array([JSONValue])
    case object([String: JSONValue])

    public subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members[key]
    }

    public var text: String? {
        guard case .text(let text) = self else { return nil }
        return text
    }
}

extension JSONValue: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(Int.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .text(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .boolean(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .text(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}

extension JSONValue {
    /// Block-style YAML 1.1; text that would be read as something else is quoted.
    public var yaml: String {
        var output = ""
        appendYAML(to: &output, indent: 0, isInline: false)
        return output
    }

    private func appendYAML(to output: inout String, indent: Int, isInline: Bool) {
        let margin = String(repeating: " ", count: indent)
        switch self {
        case .null: output += "null\n"
        case .boolean(let value): output += "\(value)\n"
        case .integer(let value): output += "\(value)\n"
        case .number(let value): output += "\(value)\n"
        case .text(let value): output += Self.quotedIfNeeded(value) + "\n"
        case .array(let elements):
            guard !elements.isEmpty else {
                output += "[]\n"
                return
            }
            for (index, element) in elements.enumerated() {
                output += (isInline && index == 0 ? "" : margin) + "- "
                element.appendYAML(to: &output, indent: indent + 2, isInline: true)
            }
        case .object(let members):
            guard !members.isEmpty else {
                output += "{}\n"
                return
            }
            for (index, (key, value)) in members.sorted(by: { $0.key < $1.key }).enumerated() {
                output += (isInline && index == 0 ? "" : margin) + Self.quotedIfNeeded(key) + ":"
                switch value {
                case .array(let elements) where !elements.isEmpty:
                    output += "\n"
                    value.appendYAML(to: &output, indent: indent, isInline: false)
                case .object(let members) where !members.isEmpty:
                    output += "\n"
                    value.appendYAML(to: &output, indent: indent + 2, isInline: false)
                case .null, .boolean, .integer, .number, .text, .array, .object:
                    output += " "
                    value.appendYAML(to: &output, indent: indent, isInline: true)
                }
            }
        }
    }

    private static func quotedIfNeeded(_ text: String) -> String {
        let words = [
            "null", "true", "false", "yes", "no", "on", "off", "y", "n", "~", "",
        ]
        let isPlain =
            text.utf8.first.map { ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7a || $0 == 0x2f } == true
            && text.utf8.allSatisfy {
                ($0 >= 0x2d && $0 <= 0x39) || $0 == 0x5f || (($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7a)
            }
        guard isPlain, !words.contains(text.lowercased()) else {
            var quoted = "\""
            for scalar in text.unicodeScalars {
                switch scalar {
                case "\"": quoted += "\\\""
                case "\\": quoted += "\\\\"
                case "\n": quoted += "\\n"
                case "\t": quoted += "\\t"
                case "\r": quoted += "\\r"
                default:
                    let hex = String(scalar.value, radix: 16)
                    quoted +=
                        scalar.value < 0x20 || scalar.value == 0x7f
                        ? "\\x" + String(repeating: "0", count: 2 - hex.count) + hex
                        : String(scalar)
                }
            }
            return quoted + "\""
        }
        return text
    }
}
