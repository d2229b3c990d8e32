/// Reads a message from YAML or JSON by proto3's JSON mapping: names in either form, durations as "1.5s",
/// wrappers as their values, enumerations by name or number, bytes in base64, `Any` with "@type". Goes on
/// after a problem, so that all of them are reported at once.
public struct TextReader {
    /// Messages within each other.
    static let depthMax = 64

    private var problems: ConfigProblems
    private var path: PathStack

    /// nil if a problem was added; `file` is for the problems' location. Declared constraints are not checked
    /// yet: `ConfigMessage.validate` does it, after merging.
    ///
    /// `sharesRepeats`: of messages and lists that stand in a text again and again, as in generated ones, one value is
    /// made, with the position of the first. Whoever finds a problem then reads again without, to say where it is.
    public static func read(
        _ bytes: [UInt8], as type: MessageType, file: String, sharesRepeats: Bool = false,
        problems: inout ConfigProblems
    ) -> ConfigMessage? {
        let source = problems.addSource(file)
        if bytes.first(where: { !JSONText.isBlank($0) }) == UInt8(ascii: "{"),
            let message = JSONReader.read(
                bytes, as: type, source: source, bounds: .standard, sharesRepeats: sharesRepeats)
        {
            return message
        }
        return readTree(bytes, as: type, source: source, problems: &problems)
    }

    /// By way of a tree of the whole text.
    static func readTree(
        _ bytes: [UInt8], as type: MessageType, source: Int, problems: inout ConfigProblems
    ) -> ConfigMessage? {
        switch TextBounds.standard.parse(bytes, source: source) {
        case .failure(let error):
            problems.add(error.text, path: "", at: error.position)
            return nil
        case .success(let node):
            let before = problems.count
            var reader = TextReader(problems: problems, path: PathStack(root: ""))
            let message = reader.message(node, type)
            problems = reader.problems
            return problems.count == before ? message : nil
        }
    }

    /// The value of a field, an element of it if it is repeated; nil if anything is wrong with it.
    static func read(_ node: TextNode, as field: FieldDescriptor) -> ConfigValue? {
        var reader = TextReader(problems: ConfigProblems(), path: PathStack(root: ""))
        let value = reader.single(node, field)
        return reader.problems.isEmpty ? value : nil
    }

    private mutating func add(_ text: String, adding last: String = "", at position: TextPosition) {
        problems.add(text, path: path.text(adding: last), at: position)
    }

    private mutating func expected(_ what: String, _ node: TextNode) {
        var found = node.kindName
        if case .text(let text) = node.content { found = "'\(text.clipped)'" }
        let hint =
            what == "a string" && node.isScalar
            ? "; put it in quotes (YAML 1.1 reads a bare one as \(found))" : ""
        add("expected \(what), found \(found)\(hint)", at: node.position)
    }

    private mutating func message(_ node: TextNode, _ type: MessageType) -> ConfigMessage? {
        guard path.depth <= Self.depthMax * 2 else {
            add("nested deeper than \(Self.depthMax) messages", at: node.position)
            return nil
        }
        switch type {
        case XDS.AnyMessage.messageType: return any(node)
        case XDS.Duration.messageType: return duration(node)
        case XDS.Struct.messageType: return structure(node)
        case XDS.Value.messageType: return dynamicValue(node)
        case XDS.ListValue.messageType: return dynamicList(node)
        default: break
        }
        if type.isWrapper { return wrapper(node, type) }
        guard case .object(let members) = node.content else {
            expected("an object", node)
            return nil
        }
        return object(members, type, at: node.position)
    }

    private mutating func object(
        _ members: [TextNode.Member], _ type: MessageType, at position: TextPosition
    ) -> ConfigMessage {
        var message = ConfigMessage(type, position: position)
        var seen: [FieldNumber: TextPosition] = [:]
        for member in members {
            guard let field = type.field(named: member.key) else {
                let known = type.fields.filter { !$0.isRefused }.map(\.name)
                let hint = NearestName.of(member.key, among: known).map { "; did you mean '\($0)'?" } ?? ""
                add(
                    "not supported, there is no such field in \(type.name)\(hint)", adding: member.key,
                    at: member.position)
                continue
            }
            if let first = seen.updateValue(member.position, forKey: field.number) {
                add("set twice, first in line \(first.line)", adding: field.name, at: member.position)
                continue
            }
            if case .null = member.value.content, !field.isValue { continue }
            if field.isRefused {
                add("not supported; remove it", adding: field.name, at: member.position)
                continue
            }
            path.push(.field(field))
            setField(field, member, in: &message)
            path.pop()
        }
        return message
    }

    private mutating func setField(
        _ field: FieldDescriptor, _ member: TextNode.Member, in message: inout ConfigMessage
    ) {
        guard field.kind != .opaque, let value = fieldValue(member.value, field) else { return }
        if !field.hasPresence, value.isDefault { return }
        if let oneof = field.oneof,
            let other = message.fields.first(where: {
                message.type.field(numbered: $0.number.rawValue)?.oneof == oneof
            }),
            let name = message.type.field(numbered: other.number.rawValue)?.name
        {
            add("only one of '\(name)' and '\(field.name)' may be set", at: member.position)
            return
        }
        message.set(
            ConfigField(number: field.number, value: value, position: member.position), described: field)
    }

    private mutating func fieldValue(_ node: TextNode, _ field: FieldDescriptor) -> ConfigValue? {
        if field.kind == .map { return map(node, field) }
        guard field.isRepeated else { return single(node, field) }
        guard case .list(let elements) = node.content else {
            expected("a list", node)
            return nil
        }
        var values: [ConfigValue] = []
        values.reserveCapacity(elements.count)
        for (index, element) in elements.enumerated() {
            path.push(.index(index))
            if let value = single(element, field) { values.append(value) }
            path.pop()
        }
        return .list(values)
    }

    private mutating func map(_ node: TextNode, _ field: FieldDescriptor) -> ConfigValue? {
        guard case .object(let members) = node.content else {
            expected("an object", node)
            return nil
        }
        guard let valueField = field.messageType.field(numbered: 2) else { return nil }
        var entries: [ConfigMapEntry] = []
        var seen: Set<String> = []
        for member in members {
            path.push(.key(member.key))
            if !seen.insert(member.key).inserted {
                add("set twice", at: member.position)
            } else if let value = single(member.value, valueField) {
                entries.append(ConfigMapEntry(key: member.key, value: value))
            }
            path.pop()
        }
        return .map(entries)
    }

    private mutating func single(_ node: TextNode, _ field: FieldDescriptor) -> ConfigValue? {
        switch field.kind {
        case .message:
            return message(node, field.messageType).map(ConfigValue.message)
        case .enumeration:
            return enumeration(node, field.enumType)
        case .bool:
            guard case .bool(let bool) = node.content else { break }
            return .bool(bool)
        case .string:
            guard case .text(let text) = node.content else { break }
            return .text(text)
        case .bytes:
            guard case .text(let text) = node.content, let bytes = Base64.decode(text) else { break }
            return .bytes(bytes)
        case .double, .float:
            if let double = node.double(allowsNames: true) {
                return .double(field.kind == .float ? Double(Float(double)) : double)
            }
        case .int32, .sint32, .sfixed32:
            if let value = node.signed, Int32(exactly: value) != nil { return .signed(value) }
        case .int64, .sint64, .sfixed64:
            if let value = node.signed { return .signed(value) }
        case .uint32, .fixed32:
            if let value = node.unsigned, UInt32(exactly: value) != nil { return .unsigned(value) }
        case .uint64, .fixed64:
            if let value = node.unsigned { return .unsigned(value) }
        case .map, .opaque:
            return nil
        }
        expected(field.kind.text, node)
        return nil
    }

    private mutating func enumeration(_ node: TextNode, _ type: EnumType) -> ConfigValue? {
        let values = type.values
        var found: EnumType.Value?
        var shown = ""
        switch node.content {
        case .text(let text):
            shown = text
            found = values.first { $0.name == text }
        case .integer(let number):
            shown = String(number)
            found = values.first { Int64($0.number) == number }
        case .null, .bool, .unsigned, .double, .list, .object:
            expected("the name of a value", node)
            return nil
        }
        let known = values.filter { !$0.isRefused }.map(\.name)
        guard let value = found else {
            let hint = NearestName.of(shown, among: known).map { "; did you mean \($0)?" } ?? ""
            add("\(shown.clipped) is not one of \(known.joined(separator: ", "))\(hint)", at: node.position)
            return nil
        }
        if value.isRefused {
            add("\(value.name) is not supported; use \(known.joined(separator: " or "))", at: node.position)
            return nil
        }
        return .enumerated(value.number)
    }
}

// Messages that JSON writes in a form of their own.
extension TextReader {
    private mutating func any(_ node: TextNode) -> ConfigMessage? {
        guard case .object(var members) = node.content else {
            expected("an object with \"@type\"", node)
            return nil
        }
        guard let place = members.firstIndex(where: { $0.key == "@type" }),
            case .text(let url) = members[place].value.content
        else {
            add("\"@type\" is missing; it names the type of the extension", at: node.position)
            return nil
        }
        guard let type = MessageType(typeURL: url) else {
            add("unknown extension type '\(url.clipped)'", at: members[place].value.position)
            return nil
        }
        members.remove(at: place)
        if type.hasOwnForm {
            guard members.count == 1, members[0].key == "value" else {
                add("expected \"value\" beside \"@type\"", at: node.position)
                return nil
            }
            return message(members[0].value, type)
        }
        return object(members, type, at: node.position)
    }

    private mutating func wrapper(_ node: TextNode, _ type: MessageType) -> ConfigMessage? {
        guard let field = type.field(numbered: 1), let value = single(node, field) else { return nil }
        var message = ConfigMessage(type, position: node.position)
        if !value.isDefault { message.set(1, value, at: node.position) }
        return message
    }

    private mutating func duration(_ node: TextNode) -> ConfigMessage? {
        guard case .text(let text) = node.content, let parsed = DurationText.parse(text) else {
            expected("a duration such as \"1.5s\"", node)
            return nil
        }
        var message = ConfigMessage(XDS.Duration.messageType, position: node.position)
        if parsed.seconds != 0 {
            message.set(XDS.Duration.seconds, .signed(parsed.seconds), at: node.position)
        }
        if parsed.nanos != 0 {
            message.set(XDS.Duration.nanos, .signed(Int64(parsed.nanos)), at: node.position)
        }
        return message
    }

    private mutating func structure(_ node: TextNode) -> ConfigMessage? {
        guard case .object(let members) = node.content else {
            expected("an object", node)
            return nil
        }
        var message = ConfigMessage(XDS.Struct.messageType, position: node.position)
        var entries: [ConfigMapEntry] = []
        var seen: Set<String> = []
        for member in members {
            path.push(.key(member.key))
            if !seen.insert(member.key).inserted {
                add("set twice", at: member.position)
            } else if let value = dynamicValue(member.value) {
                entries.append(ConfigMapEntry(key: member.key, value: .message(value)))
            }
            path.pop()
        }
        if !entries.isEmpty { message.set(XDS.Struct.fields, .map(entries), at: node.position) }
        return message
    }

    private mutating func dynamicList(_ node: TextNode) -> ConfigMessage? {
        guard case .list(let elements) = node.content else {
            expected("a list", node)
            return nil
        }
        var message = ConfigMessage(XDS.ListValue.messageType, position: node.position)
        var values: [ConfigValue] = []
        for (index, element) in elements.enumerated() {
            path.push(.index(index))
            if let value = dynamicValue(element) { values.append(.message(value)) }
            path.pop()
        }
        if !values.isEmpty { message.set(XDS.ListValue.values, .list(values), at: node.position) }
        return message
    }

    private mutating func dynamicValue(_ node: TextNode) -> ConfigMessage? {
        guard path.depth <= Self.depthMax * 2 else {
            add("nested deeper than \(Self.depthMax) messages", at: node.position)
            return nil
        }
        var message = ConfigMessage(XDS.Value.messageType, position: node.position)
        switch node.content {
        case .null:
            message.set(XDS.Value.nullValue, .enumerated(0))
        case .bool(let bool):
            message.set(XDS.Value.boolValue, .bool(bool))
        case .integer, .unsigned, .double:
            guard let double = node.double(allowsNames: false), double.isFinite else {
                expected("a finite number", node)
                return nil
            }
            message.set(XDS.Value.numberValue, .double(double))
        case .text(let text):
            message.set(XDS.Value.stringValue, .text(text))
        case .list:
            guard let list = dynamicList(node) else { return nil }
            message.set(XDS.Value.listValue, .message(list))
        case .object:
            guard let structure = structure(node) else { return nil }
            message.set(XDS.Value.structValue, .message(structure))
        }
        return message
    }
}

extension TextNode {
    fileprivate var isScalar: Bool {
        switch content {
        case .bool, .integer, .unsigned, .double: true
        case .null, .text, .list, .object: false
        }
    }

    /// Whole numbers may be written as strings, and as 1e3.
    fileprivate var signed: Int64? {
        switch content {
        case .integer(let value): value
        case .double(let value): Int64(exactly: value)
        case .text(let text): Int64(text)
        case .null, .bool, .unsigned, .list, .object: nil
        }
    }

    fileprivate var unsigned: UInt64? {
        switch content {
        case .integer(let value): UInt64(exactly: value)
        case .unsigned(let value): value
        case .double(let value): UInt64(exactly: value)
        case .text(let text): UInt64(text)
        case .null, .bool, .list, .object: nil
        }
    }

    fileprivate func double(allowsNames: Bool) -> Double? {
        switch content {
        case .integer(let value): return Double(value)
        case .unsigned(let value): return Double(value)
        case .double(let value): return value
        case .text(let text):
            guard allowsNames else { return nil }
            switch text {
            case "NaN": return .nan
            case "Infinity": return .infinity
            case "-Infinity": return -.infinity
            default:
                let isPlain = text.utf8.allSatisfy { (0x30...0x39).contains($0) || "+-.eE".utf8.contains($0) }
                return isPlain ? Double(text) : nil
            }
        case .null, .bool, .list, .object: return nil
        }
    }
}

extension FieldDescriptor {
    /// `google.protobuf.Value`, for which null is a value.
    fileprivate var isValue: Bool { kind == .message && messageType == XDS.Value.messageType }
}

extension FieldDescriptor.Kind {
    var text: String {
        switch self {
        case .double, .float: "a number"
        case .int32, .sint32, .sfixed32: "a whole number of 32 bits"
        case .int64, .sint64, .sfixed64: "a whole number of 64 bits"
        case .uint32, .fixed32: "a whole number from 0 to 4294967295"
        case .uint64, .fixed64: "a whole number from 0 to 18446744073709551615"
        case .bool: "true or false"
        case .string: "a string"
        case .bytes: "bytes in base64"
        case .enumeration: "the name of a value"
        case .message, .map, .opaque: "an object"
        }
    }
}

extension MessageType {
    /// The fields `value` of these stand for the message in JSON.
    var isWrapper: Bool {
        switch self {
        case XDS.BoolValue.messageType, XDS.BytesValue.messageType, XDS.DoubleValue.messageType,
            XDS.FloatValue.messageType, XDS.Int32Value.messageType, XDS.Int64Value.messageType,
            XDS.StringValue.messageType, XDS.UInt32Value.messageType, XDS.UInt64Value.messageType:
            true
        default: false
        }
    }

    /// Written by JSON in a form of its own, not as an object of its fields.
    var hasOwnForm: Bool {
        switch self {
        case XDS.AnyMessage.messageType, XDS.Duration.messageType, XDS.Struct.messageType,
            XDS.Value.messageType, XDS.ListValue.messageType:
            true
        default: isWrapper
        }
    }
}

extension ConfigValue {
    /// What an unset field without presence says anyway.
    var isDefault: Bool {
        switch self {
        case .bool(let value): !value
        case .signed(let value): value == 0
        case .unsigned(let value): value == 0
        case .double(let value): value == 0 && value.sign == .plus
        case .text(let value): value.isEmpty
        case .bytes(let value): value.isEmpty
        case .enumerated(let value): value == 0
        case .message: false
        case .list(let values): values.isEmpty
        case .map(let entries): entries.isEmpty
        }
    }
}
