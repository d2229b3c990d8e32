/// Writes a message as binary protobuf: fields by rising number, numbers packed, map entries in their order.
public enum WireWriter {
    public static func write(_ message: ConfigMessage) -> [UInt8] {
        var bytes: [UInt8] = []
        append(message, to: &bytes)
        return bytes
    }

    private static func append(_ message: ConfigMessage, to bytes: inout [UInt8]) {
        for field in message.fields {
            guard let descriptor = message.type.field(numbered: field.number.rawValue) else { continue }
            append(field.value, of: descriptor, to: &bytes)
        }
    }

    private static func append(_ value: ConfigValue, of field: FieldDescriptor, to bytes: inout [UInt8]) {
        switch value {
        case .list(let values) where field.kind.wireType == 2:
            for value in values { append(value, of: field, to: &bytes) }
        case .list(let values):
            var packed: [UInt8] = []
            for value in values { appendValue(value, of: field, to: &packed) }
            appendKey(field, 2, to: &bytes)
            appendDelimited(packed, to: &bytes)
        case .map(let entries):
            for entry in entries { append(entry, of: field, to: &bytes) }
        case .bool, .signed, .unsigned, .double, .text, .bytes, .enumerated, .message:
            appendKey(field, field.kind.wireType, to: &bytes)
            appendValue(value, of: field, to: &bytes)
        }
    }

    private static func append(_ entry: ConfigMapEntry, of field: FieldDescriptor, to bytes: inout [UInt8]) {
        guard let keyField = field.messageType.field(numbered: 1),
            let valueField = field.messageType.field(numbered: 2)
        else { return }
        var inner: [UInt8] = []
        append(.text(entry.key), of: keyField, to: &inner)
        append(entry.value, of: valueField, to: &inner)
        appendKey(field, 2, to: &bytes)
        appendDelimited(inner, to: &bytes)
    }

    private static func appendValue(_ value: ConfigValue, of field: FieldDescriptor, to bytes: inout [UInt8])
    {
        switch value {
        case .bool(let bool): appendVarint(bool ? 1 : 0, to: &bytes)
        case .unsigned(let number): appendNumber(number, field.kind, to: &bytes)
        case .signed(let number):
            let isZigzag = field.kind == .sint32 || field.kind == .sint64
            let raw = isZigzag ? UInt64(bitPattern: number << 1 ^ number >> 63) : UInt64(bitPattern: number)
            appendNumber(raw, field.kind, to: &bytes)
        case .double(let number):
            if field.kind == .float {
                appendFixed(UInt64(Float(number).bitPattern), 4, to: &bytes)
            } else {
                appendFixed(number.bitPattern, 8, to: &bytes)
            }
        case .enumerated(let number): appendVarint(UInt64(bitPattern: Int64(number)), to: &bytes)
        case .text(let text): appendDelimited(Array(text.utf8), to: &bytes)
        case .bytes(let content): appendDelimited(content, to: &bytes)
        case .message(let message):
            var inner: [UInt8] = []
            append(message, to: &inner)
            appendDelimited(field.isAny ? packed(message, inner) : inner, to: &bytes)
        case .list, .map: preconditionFailure("a list is no single value")
        }
    }

    /// As a `google.protobuf.Any`.
    private static func packed(_ message: ConfigMessage, _ content: [UInt8]) -> [UInt8] {
        guard message.type != XDS.AnyMessage.messageType else { return content }
        var bytes: [UInt8] = [0x0A]
        appendDelimited(Array(message.type.typeURL.utf8), to: &bytes)
        if !content.isEmpty {
            bytes.append(0x12)
            appendDelimited(content, to: &bytes)
        }
        return bytes
    }

    private static func appendKey(_ field: FieldDescriptor, _ wireType: UInt64, to bytes: inout [UInt8]) {
        appendVarint(UInt64(field.number.rawValue) << 3 | wireType, to: &bytes)
    }

    private static func appendNumber(_ raw: UInt64, _ kind: FieldDescriptor.Kind, to bytes: inout [UInt8]) {
        switch kind.wireType {
        case 1: appendFixed(raw, 8, to: &bytes)
        case 5: appendFixed(raw, 4, to: &bytes)
        default: appendVarint(raw, to: &bytes)
        }
    }

    private static func appendVarint(_ value: UInt64, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private static func appendFixed(_ value: UInt64, _ count: Int, to bytes: inout [UInt8]) {
        for index in 0..<count { bytes.append(UInt8(value >> UInt64(8 * index) & 0xFF)) }
    }

    private static func appendDelimited(_ content: [UInt8], to bytes: inout [UInt8]) {
        appendVarint(UInt64(content.count), to: &bytes)
        bytes += content
    }
}
