import Synchronization

/// What the table says of a message, taken apart once: readers ask for it for every message and field that they meet.
/// Made when it is first asked for, and kept: a process meets a few dozen types.
final class TypeInfo: Sendable {
    /// How JSON writes the message.
    enum Form { case object, any, duration, wrapper, other }

    let type: MessageType
    let form: Form
    /// By rising number.
    let fields: [FieldInfo]
    /// Those with a constraint that is looked at, by rising number.
    let rules: [RuledField]
    /// Of which one member has to be set.
    let requiredOneofs: [Int]

    private static let known = Mutex([TypeInfo?](repeating: nil, count: XDSFieldTable.messageCount))

    static func of(_ type: MessageType) -> TypeInfo {
        known.withLock { known in
            if let info = known[Int(type.index)] { return info }
            let info = TypeInfo(type)
            known[Int(type.index)] = info
            return info
        }
    }

    private init(_ type: MessageType) {
        self.type = type
        form =
            switch type {
            case XDS.AnyMessage.messageType: .any
            case XDS.Duration.messageType: .duration
            default: type.isWrapper ? .wrapper : type.hasOwnForm ? .other : .object
            }
        fields = type.fieldRange.map { FieldInfo(FieldDescriptor(index: UInt16($0))) }
        rules = fields.compactMap { info in
            guard info.field.hasRule, !info.isRefused, !info.field.isWithoutEffect else { return nil }
            return RuledField(info: info, rule: FieldRule(info.field.rule))
        }
        requiredOneofs = (0..<type.oneofCount).filter { type.isOneofRequired($0) }
    }

    func field(numbered number: UInt32) -> FieldInfo? {
        var (low, high) = (0, fields.count)
        while low < high {
            let middle = (low + high) / 2
            let found = fields[middle].number.rawValue
            if found == number { return fields[middle] }
            if found < number { low = middle + 1 } else { high = middle }
        }
        return nil
    }

    /// Index in `fields` of the one that is called so in the .proto file.
    func index(named name: UnsafeBufferPointer<UInt8>) -> Int? {
        let key = unsafe FieldInfo.key(name)
        for index in fields.indices where fields[index].nameKey == key {
            if unsafe fields[index].name.isEqual(to: name) { return index }
        }
        return nil
    }
}

/// A field of a message, taken apart.
struct FieldInfo: Sendable {
    let field: FieldDescriptor
    let number: FieldNumber
    let kind: FieldDescriptor.Kind
    let isRepeated: Bool
    let hasPresence: Bool
    let isRefused: Bool
    /// Counted from 0 within the message; -1 for none.
    let oneof: Int8
    let name: TableName
    /// Tells most names apart.
    let nameKey: UInt32

    init(_ field: FieldDescriptor) {
        self.field = field
        number = field.number
        kind = field.kind
        (isRepeated, hasPresence, isRefused) = (field.isRepeated, field.hasPresence, field.isRefused)
        oneof = field.oneof.map { Int8(clamping: $0) } ?? -1
        name = field.tableName
        nameKey = unsafe name.withBytes { unsafe Self.key($0) }
    }

    static func key(_ name: UnsafeBufferPointer<UInt8>) -> UInt32 {
        guard let first = unsafe name.first, let last = unsafe name.last else { return 0 }
        let middle = unsafe name[name.count / 2]
        return UInt32(truncatingIfNeeded: name.count) << 24 | UInt32(first) << 16 | UInt32(middle) << 8
            | UInt32(last)
    }
}

/// A field whose value has to keep to something.
struct RuledField: Sendable {
    let info: FieldInfo
    let rule: FieldRule
}

/// The values of an enumeration, taken apart once.
final class EnumInfo: Sendable {
    struct Value: Sendable {
        let name: TableName
        let number: Int32
        let isRefused: Bool
    }

    let values: [Value]

    private static let known = Mutex([EnumInfo?](repeating: nil, count: XDSFieldTable.enumCount))

    static func of(_ type: EnumType) -> EnumInfo {
        known.withLock { known in
            if let info = known[Int(type.index)] { return info }
            let info = EnumInfo(type)
            known[Int(type.index)] = info
            return info
        }
    }

    private init(_ type: EnumType) {
        values = type.valueRange.map { value in
            Value(
                name: FieldTable.values.name(of: value, lengthDigits: 1),
                number: Int32(FieldTable.values.number(of: value, at: 4, digits: 3)),
                isRefused: FieldTable.values.number(of: value, at: 7, digits: 1) != 0)
        }
    }

    func value(named name: UnsafeBufferPointer<UInt8>) -> Value? {
        values.first { unsafe $0.name.isEqual(to: name) }
    }

    func value(numbered number: Int32) -> Value? { values.first { $0.number == number } }
}
