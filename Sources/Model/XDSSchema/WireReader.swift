/// Reads a message from binary protobuf. An unknown or refused field, a wrong wire type and a truncated or
/// over-deep message are problems with a path, never a trap. Goes on after a refused field; stops where the
/// bytes make no sense.
public struct WireReader {
    /// Messages within each other.
    static let depthMax = 64
    public static let bytesMax = 64 << 20

    private let bytes: [UInt8]
    private let keepsAnyPacked: Bool
    private var skipsUnknown = false
    private var problems: ConfigProblems
    private var path: PathStack
    private var depth = 0

    /// The bytes are no message: reading ends.
    private struct Malformed: Error {}

    /// nil if a problem was added. `path` is what the problems' paths begin with. With `keepsAnyPacked` an
    /// `Any` stays as it is, as a message of type `google.protobuf.Any`.
    public static func read(
        _ bytes: [UInt8], as type: MessageType, path: String = "", keepsAnyPacked: Bool = false,
        skipsUnknown: Bool = false, problems: inout ConfigProblems
    ) -> ConfigMessage? {
        guard bytes.count <= bytesMax else {
            problems.add("\(bytes.count) bytes are more than \(bytesMax)", path: path)
            return nil
        }
        let before = problems.count
        var reader = WireReader(
            bytes: bytes, keepsAnyPacked: keepsAnyPacked, problems: problems, path: PathStack(root: path))
        reader.skipsUnknown = skipsUnknown
        let message = try? reader.message(type, in: 0..<bytes.count)
        problems = reader.problems
        return problems.count == before ? message : nil
    }

    /// The text of field 1, the last one if it is there more than once, whatever else the bytes hold; nil if
    /// there is none before they make no sense.
    public static func firstText(in bytes: [UInt8]) -> String? {
        var reader = WireReader(
            bytes: bytes, keepsAnyPacked: true, problems: ConfigProblems(), path: PathStack(root: ""))
        var (offset, text) = (0, String?.none)
        while offset < bytes.count {
            guard let key = try? reader.varint(&offset, bytes.count) else { return text }
            if key == 0x0A {
                guard let range = try? reader.lengthDelimited(&offset, bytes.count) else { return text }
                text = String(decoding: bytes[range], as: UTF8.self)
            } else if (try? reader.skip(key & 7, &offset, bytes.count)) == nil {
                return text
            }
        }
        return text
    }

    private init(bytes: [UInt8], keepsAnyPacked: Bool, problems: ConfigProblems, path: PathStack) {
        (self.bytes, self.keepsAnyPacked, self.problems, self.path) = (bytes, keepsAnyPacked, problems, path)
    }

    private mutating func add(_ text: String) { problems.add(text, path: path.text()) }

    private mutating func malformed(_ text: String) -> Malformed {
        add(text)
        return Malformed()
    }

    private mutating func message(_ type: MessageType, in range: Range<Int>) throws(Malformed)
        -> ConfigMessage
    {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthMax else { throw malformed("nested deeper than \(Self.depthMax) messages") }
        if type == XDS.AnyMessage.messageType, !keepsAnyPacked { return try any(in: range) }
        var message = ConfigMessage(type)
        var offset = range.lowerBound
        while offset < range.upperBound {
            let key = try varint(&offset, range.upperBound)
            guard key <= UInt64(UInt32.max), key >> 3 != 0 else {
                throw malformed("a field has no valid number")
            }
            let wireType = key & 7
            guard let field = type.field(numbered: UInt32(key >> 3)), field.kind != .opaque, !field.isRefused
            else {
                try skipUnreadable(UInt32(key >> 3), type, wireType, &offset, range.upperBound)
                continue
            }
            path.push(.field(field))
            try setField(field, wireType, &offset, range.upperBound, in: &message)
            path.pop()
        }
        return message
    }

    private mutating func skipUnreadable(
        _ number: UInt32, _ type: MessageType, _ wireType: UInt64, _ offset: inout Int, _ end: Int
    ) throws(Malformed) {
        if skipsUnknown { return try skip(wireType, &offset, end) }
        if let field = type.field(numbered: number) {
            if field.isRefused {
                path.push(.field(field))
                add("not supported; do not send it")
                path.pop()
            }
        } else {
            add("field \(number) of \(type.name) is not supported, there is no such field")
        }
        try skip(wireType, &offset, end)
    }

    private mutating func setField(
        _ field: FieldDescriptor, _ wireType: UInt64, _ offset: inout Int, _ end: Int,
        in message: inout ConfigMessage
    ) throws(Malformed) {
        if field.kind == .map {
            guard let entry = try mapEntry(field, wireType, &offset, end) else { return }
            var entries: [ConfigMapEntry] = []
            if case .map(let old) = message.take(field.number) { entries = old }
            // The later one wins.
            if let place = entries.firstIndex(where: { $0.key == entry.key }) { entries.remove(at: place) }
            entries.append(entry)
            message.set(ConfigField(number: field.number, value: .map(entries)), described: field)
        } else if field.isRepeated {
            var values: [ConfigValue] = []
            if case .list(let old) = message.take(field.number) { values = old }
            try appendElements(field, wireType, &offset, end, to: &values)
            if !values.isEmpty {
                message.set(ConfigField(number: field.number, value: .list(values)), described: field)
            }
        } else {
            try setSingle(field, wireType, &offset, end, in: &message)
        }
    }

    private mutating func setSingle(
        _ field: FieldDescriptor, _ wireType: UInt64, _ offset: inout Int, _ end: Int,
        in message: inout ConfigMessage
    ) throws(Malformed) {
        var value = try single(field, wireType, &offset, end)
        // A message that comes in two parts is merged (protobuf encoding, "last one wins").
        if case .message(let new) = value, case .message(var old) = message[field.number],
            old.type == new.type,
            !field.isAny
        {
            old.merge(new)
            value = .message(old)
        }
        if value.isDefault, !field.hasPresence {
            message.remove(field.number)
        } else {
            message.set(ConfigField(number: field.number, value: value), described: field)
        }
    }

    private mutating func appendElements(
        _ field: FieldDescriptor, _ wireType: UInt64, _ offset: inout Int, _ end: Int,
        to values: inout [ConfigValue]
    ) throws(Malformed) {
        if wireType == 2, field.kind.wireType != 2 {
            let packed = try lengthDelimited(&offset, end)
            var inner = packed.lowerBound
            while inner < packed.upperBound {
                values.append(try single(field, field.kind.wireType, &inner, packed.upperBound))
            }
            return
        }
        path.push(.index(values.count))
        values.append(try single(field, wireType, &offset, end))
        path.pop()
    }

    private mutating func mapEntry(
        _ field: FieldDescriptor, _ wireType: UInt64, _ offset: inout Int, _ end: Int
    ) throws(Malformed) -> ConfigMapEntry? {
        guard wireType == 2 else { throw malformed("a map entry has wire type \(wireType)") }
        let range = try lengthDelimited(&offset, end)
        guard let keyField = field.messageType.field(numbered: 1),
            let valueField = field.messageType.field(numbered: 2)
        else { return nil }
        var (key, value): (String, ConfigValue?) = ("", nil)
        var inner = range.lowerBound
        // The key may come after the value, and names it in problems all the same.
        var scan = range.lowerBound
        while scan < range.upperBound {
            let tag = try varint(&scan, range.upperBound)
            if tag >> 3 == 1, case .text(let text) = try single(keyField, tag & 7, &scan, range.upperBound) {
                key = text
            } else if tag >> 3 != 1 {
                try skip(tag & 7, &scan, range.upperBound)
            }
        }
        path.push(.key(key))
        while inner < range.upperBound {
            let tag = try varint(&inner, range.upperBound)
            if tag >> 3 == 2 {
                value = try single(valueField, tag & 7, &inner, range.upperBound)
            } else {
                try skip(tag & 7, &inner, range.upperBound)
            }
        }
        path.pop()
        if value == nil {
            value = valueField.kind == .message ? .message(ConfigMessage(valueField.messageType)) : .text("")
        }
        return value.map { ConfigMapEntry(key: key, value: $0) }
    }

    private mutating func single(
        _ field: FieldDescriptor, _ wireType: UInt64, _ offset: inout Int, _ end: Int
    ) throws(Malformed) -> ConfigValue {
        let kind = field.kind
        guard wireType == kind.wireType else { throw malformed("wire type \(wireType) is not \(kind.text)") }
        switch kind {
        case .double: return .double(Double(bitPattern: try fixed(8, &offset, end)))
        case .float: return .double(Double(Float(bitPattern: UInt32(try fixed(4, &offset, end)))))
        case .fixed64: return .unsigned(try fixed(8, &offset, end))
        case .fixed32: return .unsigned(try fixed(4, &offset, end))
        case .sfixed64: return .signed(Int64(bitPattern: try fixed(8, &offset, end)))
        case .sfixed32: return .signed(Int64(Int32(bitPattern: UInt32(try fixed(4, &offset, end)))))
        case .uint64: return .unsigned(try varint(&offset, end))
        case .uint32: return .unsigned(try varint(&offset, end) & 0xFFFF_FFFF)
        case .int64: return .signed(Int64(bitPattern: try varint(&offset, end)))
        case .int32: return .signed(Int64(Int32(truncatingIfNeeded: try varint(&offset, end))))
        case .sint64, .sint32:
            let raw = try varint(&offset, end)
            return .signed(Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1))
        case .bool: return .bool(try varint(&offset, end) != 0)
        case .enumeration: return try enumeration(field.enumType, &offset, end)
        case .string:
            let range = try lengthDelimited(&offset, end)
            guard let text = String(validating: bytes[range], as: UTF8.self) else {
                throw malformed("the string is not UTF-8")
            }
            return .text(text)
        case .bytes: return .bytes(Array(bytes[try lengthDelimited(&offset, end)]))
        case .message:
            let range = try lengthDelimited(&offset, end)
            return .message(try message(field.messageType, in: range))
        case .map, .opaque: throw malformed("not readable")
        }
    }

    private mutating func enumeration(
        _ type: EnumType, _ offset: inout Int, _ end: Int
    ) throws(Malformed) -> ConfigValue {
        let number = Int32(truncatingIfNeeded: try varint(&offset, end))
        guard number != 0 else { return .enumerated(0) }
        let values = type.values
        guard let value = values.first(where: { $0.number == number }), !value.isRefused else {
            let name = values.first { $0.number == number }?.name ?? String(number)
            let known = values.filter { !$0.isRefused }.map(\.name).joined(separator: ", ")
            add("\(name) is not supported; supported are \(known)")
            return .enumerated(0)
        }
        return .enumerated(number)
    }

    private mutating func any(in range: Range<Int>) throws(Malformed) -> ConfigMessage {
        var (url, content) = ("", range.upperBound..<range.upperBound)
        var offset = range.lowerBound
        while offset < range.upperBound {
            let tag = try varint(&offset, range.upperBound)
            switch (tag >> 3, tag & 7) {
            case (1, 2):
                url = String(decoding: bytes[try lengthDelimited(&offset, range.upperBound)], as: UTF8.self)
            case (2, 2):
                content = try lengthDelimited(&offset, range.upperBound)
            default:
                throw malformed("an extension is not a google.protobuf.Any")
            }
        }
        guard let type = MessageType(typeURL: url) else {
            add(url.isEmpty ? "the extension has no type" : "unknown extension type '\(url.clipped)'")
            return ConfigMessage(XDS.AnyMessage.messageType)
        }
        return try message(type, in: content)
    }

    private mutating func varint(_ offset: inout Int, _ end: Int) throws(Malformed) -> UInt64 {
        var (value, shift) = (UInt64(0), UInt64(0))
        while offset < end, shift < 70 {
            let byte = bytes[offset]
            offset += 1
            if shift == 63, byte > 1 { break }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        throw malformed("the message is cut off or no protobuf")
    }

    private mutating func fixed(_ count: Int, _ offset: inout Int, _ end: Int) throws(Malformed) -> UInt64 {
        guard end - offset >= count else { throw malformed("the message is cut off") }
        var value = UInt64(0)
        for index in 0..<count { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
        offset += count
        return value
    }

    private mutating func lengthDelimited(_ offset: inout Int, _ end: Int) throws(Malformed) -> Range<Int> {
        let length = try varint(&offset, end)
        guard length <= UInt64(end - offset) else { throw malformed("the message is cut off") }
        let range = offset..<offset + Int(length)
        offset = range.upperBound
        return range
    }

    private mutating func skip(_ wireType: UInt64, _ offset: inout Int, _ end: Int) throws(Malformed) {
        switch wireType {
        case 0: _ = try varint(&offset, end)
        case 1: _ = try fixed(8, &offset, end)
        case 2: _ = try lengthDelimited(&offset, end)
        case 5: _ = try fixed(4, &offset, end)
        default: throw malformed("wire type \(wireType) is not supported")
        }
    }
}

extension FieldDescriptor.Kind {
    /// Of one value, unpacked (protobuf encoding).
    var wireType: UInt64 {
        switch self {
        case .double, .fixed64, .sfixed64: 1
        case .float, .fixed32, .sfixed32: 5
        case .string, .bytes, .message, .map, .opaque: 2
        case .int64, .uint64, .int32, .bool, .uint32, .sint32, .sint64, .enumeration: 0
        }
    }
}
