/// Writes a message as JSON by proto3's mapping, with the names of the .proto files, as `/config_dump` shows
/// it. What is secret is written as "[redacted]".
public struct JSONWriter {
    private var bytes: [UInt8] = []
    private let isIndented: Bool

    public static func write(_ message: ConfigMessage, isIndented: Bool = true) -> [UInt8] {
        var writer = JSONWriter(isIndented: isIndented)
        writer.append(message, depth: 0, isSecret: false)
        return writer.bytes
    }

    private init(isIndented: Bool) { self.isIndented = isIndented }

    private mutating func append(_ text: String) { bytes += Array(text.utf8) }

    private mutating func newLine(_ depth: Int) {
        guard isIndented else { return }
        bytes.append(0x0A)
        for _ in 0..<depth { bytes.append(0x20) }
    }

    private mutating func appendKey(_ key: String, isFirst: inout Bool, depth: Int) {
        if !isFirst { append(",") }
        isFirst = false
        newLine(depth)
        appendString(key)
        append(isIndented ? ": " : ":")
    }

    private mutating func append(_ message: ConfigMessage, depth: Int, isSecret: Bool, typeURL: String? = nil)
    {
        if message.type.hasOwnForm {
            guard let typeURL else { return appendOwnForm(message, depth: depth) }
            append("{")
            var isFirst = true
            appendKey("@type", isFirst: &isFirst, depth: depth + 1)
            appendString(typeURL)
            appendKey("value", isFirst: &isFirst, depth: depth + 1)
            appendOwnForm(message, depth: depth + 1)
            newLine(depth)
            return append("}")
        }
        append("{")
        var isFirst = true
        if let typeURL {
            appendKey("@type", isFirst: &isFirst, depth: depth + 1)
            appendString(typeURL)
        }
        for field in message.fields {
            guard let descriptor = message.type.field(numbered: field.number.rawValue) else { continue }
            appendKey(descriptor.name, isFirst: &isFirst, depth: depth + 1)
            append(field.value, of: descriptor, depth: depth + 1, isSecret: isSecret || descriptor.isSecret)
        }
        if !isFirst { newLine(depth) }
        append("}")
    }

    private mutating func append(_ value: ConfigValue, of field: FieldDescriptor, depth: Int, isSecret: Bool)
    {
        switch value {
        case .bool(let bool): append(bool ? "true" : "false")
        case .signed(let number): appendNumber(String(number), isQuoted: field.kind.isQuoted)
        case .unsigned(let number): appendNumber(String(number), isQuoted: field.kind.isQuoted)
        case .double(let number): appendDouble(number)
        // A file's name says where a secret is, not what it is.
        case .text(let text): appendString(isSecret && field.name != "filename" ? "[redacted]" : text)
        case .bytes(let content):
            guard !isSecret else { return appendString("[redacted]") }
            append("\"")
            Base64.append(content, to: &bytes)
            append("\"")
        case .enumerated(let number): appendEnumerated(number, field.enumType)
        case .message(let message):
            let typeURL =
                field.isAny && message.type != XDS.AnyMessage.messageType ? message.type.typeURL : nil
            append(message, depth: depth, isSecret: isSecret, typeURL: typeURL)
        case .list(let values):
            appendList(values.count, depth: depth) { writer, index in
                writer.append(values[index], of: field, depth: depth + 1, isSecret: isSecret)
            }
        case .map(let entries):
            guard let valueField = field.messageType.field(numbered: 2) else { return append("{}") }
            append("{")
            var isFirst = true
            for entry in entries {
                appendKey(entry.key, isFirst: &isFirst, depth: depth + 1)
                append(entry.value, of: valueField, depth: depth + 1, isSecret: isSecret)
            }
            if !isFirst { newLine(depth) }
            append("}")
        }
    }

    private mutating func appendList(_ count: Int, depth: Int, _ element: (inout JSONWriter, Int) -> Void) {
        append("[")
        for index in 0..<count {
            if index > 0 { append(",") }
            newLine(depth + 1)
            element(&self, index)
        }
        if count > 0 { newLine(depth) }
        append("]")
    }

    private mutating func appendOwnForm(_ message: ConfigMessage, depth: Int) {
        switch message.type {
        case XDS.Duration.messageType:
            appendString(
                DurationText.text(
                    seconds: message.signed(1), nanos: Int32(truncatingIfNeeded: message.signed(2))))
        case XDS.Struct.messageType:
            let fields = message.entries(XDS.Struct.fields)
            append("{")
            var isFirst = true
            for entry in fields {
                appendKey(entry.key, isFirst: &isFirst, depth: depth + 1)
                if case .message(let value) = entry.value { appendOwnForm(value, depth: depth + 1) }
            }
            if !isFirst { newLine(depth) }
            append("}")
        case XDS.ListValue.messageType:
            let values = message.messages(XDS.ListValue.values)
            appendList(values.count, depth: depth) { writer, index in
                writer.appendOwnForm(values[index], depth: depth + 1)
            }
        case XDS.Value.messageType:
            appendDynamic(message, depth: depth)
        case XDS.AnyMessage.messageType:
            append("{}")
        default:
            guard let field = message.type.field(numbered: 1) else { return append("null") }
            append(message[1] ?? field.defaultValue, of: field, depth: depth, isSecret: false)
        }
    }

    private mutating func appendDynamic(_ value: ConfigMessage, depth: Int) {
        guard let field = value.fields.first else { return append("null") }
        switch field.value {
        case .bool(let bool): append(bool ? "true" : "false")
        case .double(let number): appendDouble(number)
        case .text(let text): appendString(text)
        case .message(let inner): appendOwnForm(inner, depth: depth)
        case .signed, .unsigned, .bytes, .enumerated, .list, .map: append("null")
        }
    }

    private mutating func appendEnumerated(_ number: Int32, _ type: EnumType) {
        if let value = type.values.first(where: { $0.number == number }) {
            appendString(value.name)
        } else {
            append(String(number))
        }
    }

    private mutating func appendNumber(_ text: String, isQuoted: Bool) {
        append(isQuoted ? "\"\(text)\"" : text)
    }

    private mutating func appendDouble(_ number: Double) {
        if number.isNaN { return append("\"NaN\"") }
        if number.isInfinite { return append(number < 0 ? "\"-Infinity\"" : "\"Infinity\"") }
        if let whole = Int64(exactly: number), whole.magnitude < 1 << 53,
            !(whole == 0 && number.sign == .minus)
        {
            return append(String(whole))
        }
        append(number.description)
    }

    private mutating func appendString(_ text: String) {
        append("\"")
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): append("\\\"")
            case UInt8(ascii: "\\"): append("\\\\")
            case 0x0A: append("\\n")
            case 0x0D: append("\\r")
            case 0x09: append("\\t")
            case 0..<0x20, 0x7F:
                let digits = Array("0123456789abcdef".utf8)
                append("\\u00")
                bytes += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: bytes.append(byte)
            }
        }
        append("\"")
    }
}

extension FieldDescriptor.Kind {
    /// Numbers of 64 bits are strings in JSON.
    fileprivate var isQuoted: Bool {
        switch self {
        case .int64, .uint64, .sint64, .fixed64, .sfixed64: true
        case .double, .float, .int32, .fixed32, .bool, .string, .bytes, .uint32, .sfixed32, .sint32,
            .enumeration,
            .message, .map, .opaque:
            false
        }
    }
}

extension FieldDescriptor {
    /// What a single field says that is not set.
    var defaultValue: ConfigValue {
        switch kind {
        case .double, .float: .double(0)
        case .int32, .int64, .sint32, .sint64, .sfixed32, .sfixed64: .signed(0)
        case .uint32, .uint64, .fixed32, .fixed64: .unsigned(0)
        case .bool: .bool(false)
        case .string: .text("")
        case .bytes, .opaque: .bytes([])
        case .enumeration: .enumerated(0)
        case .message: .message(ConfigMessage(messageType))
        case .map: .map([])
        }
    }
}
