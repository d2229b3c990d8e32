import Synchronization

/// What the table says of a message, taken apart once: readers ask for it for every message and field that they meet.
/// Made when it is first asked for, and kept for good, so that nobody counts references to it: a process meets a few
/// dozen types.
@safe struct TypeInfo: BitwiseCopyable, @unchecked Sendable {
    /// How JSON writes the message.
    enum Form { case object, any, duration, wrapper, other }

    private struct Content {
        let type: MessageType
        let form: Form
        let fields: Lasting<FieldInfo>
        let rules: Lasting<RuledField>
        let requiredOneofs: Lasting<Int8>
    }

    private let content: UnsafePointer<Content>

    var type: MessageType { unsafe content.pointee.type }
    var form: Form { unsafe content.pointee.form }
    /// By rising number.
    var fields: Lasting<FieldInfo> { unsafe content.pointee.fields }
    /// Those with a constraint that is looked at, by rising number.
    var rules: Lasting<RuledField> { unsafe content.pointee.rules }
    /// Of which one member has to be set.
    var requiredOneofs: Lasting<Int8> { unsafe content.pointee.requiredOneofs }

    /// By the type's index; each is set once.
    @safe private final class Known: Sendable {
        private let places: Lasting<Atomic<UnsafePointer<Content>?>>
        private let isMaking = Mutex(())

        init() {
            unsafe places = unsafe Lasting(count: XDSFieldTable.messageCount) { _ in unsafe Atomic(nil) }
        }

        @inline(__always) func info(_ type: MessageType) -> TypeInfo {
            if let content = unsafe places[Int(type.index)].load(ordering: .acquiring) {
                return unsafe TypeInfo(content: content)
            }
            return make(type)
        }

        @inline(never) private func make(_ type: MessageType) -> TypeInfo {
            isMaking.withLock { _ in
                if let content = unsafe places[Int(type.index)].load(ordering: .acquiring) {
                    return unsafe TypeInfo(content: content)
                }
                let content = UnsafeMutablePointer<Content>.allocate(capacity: 1)
                unsafe content.initialize(to: TypeInfo.content(type))
                unsafe places[Int(type.index)].store(UnsafePointer(content), ordering: .releasing)
                return unsafe TypeInfo(content: UnsafePointer(content))
            }
        }
    }

    private static let known = Known()

    static func of(_ type: MessageType) -> TypeInfo { known.info(type) }

    @unsafe private init(content: UnsafePointer<Content>) { unsafe self.content = content }

    private static func content(_ type: MessageType) -> Content {
        let form: Form =
            switch type {
            case XDS.AnyMessage.messageType: .any
            case XDS.Duration.messageType: .duration
            default: type.isWrapper ? .wrapper : type.hasOwnForm ? .other : .object
            }
        let fields = type.fieldRange.map { FieldInfo(FieldDescriptor(index: UInt16($0))) }
        let rules: [RuledField] = fields.compactMap { info in
            guard info.field.hasRule, !info.isRefused, !info.field.isWithoutEffect else { return nil }
            return RuledField(info: info, rule: FieldRule(info.field.rule))
        }
        let oneofs = (0..<type.oneofCount).filter { type.isOneofRequired($0) }.map { Int8(clamping: $0) }
        return Content(
            type: type, form: form, fields: Lasting(fields), rules: Lasting(rules),
            requiredOneofs: Lasting(oneofs))
    }

    func field(numbered number: UInt32) -> FieldInfo? {
        let fields = fields
        var (low, high) = (0, fields.count)
        while low < high {
            let middle = (low + high) / 2
            let found = fields[middle].number.rawValue
            if found == number { return fields[middle] }
            if found < number { low = middle + 1 } else { high = middle }
        }
        return nil
    }

    /// Index in `fields` of the one that is called so in the .proto file; `guess` is looked at first.
    func index(named name: UnsafeBufferPointer<UInt8>, guess: Int) -> Int? {
        let (key, fields) = unsafe (FieldInfo.key(name), fields)
        if guess < fields.count, fields[guess].nameKey == key, unsafe fields[guess].name.isEqual(to: name) {
            return guess
        }
        for index in fields.indices where fields[index].nameKey == key {
            if unsafe fields[index].name.isEqual(to: name) { return index }
        }
        return nil
    }
}

/// Values that are made once and never go away.
@safe struct Lasting<Element: ~Copyable>: BitwiseCopyable, @unchecked Sendable {
    private let base: UnsafeMutablePointer<Element>
    let count: Int

    init(count: Int, _ make: (Int) -> Element) {
        unsafe base = .allocate(capacity: max(count, 1))
        self.count = count
        for index in 0..<count { unsafe (base + index).initialize(to: make(index)) }
    }

    var indices: Range<Int> { 0..<count }

    subscript(_ index: Int) -> Element {
        @inline(__always) unsafeAddress {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
            return unsafe UnsafePointer(base + index)
        }
    }
}

extension Lasting {
    init(_ elements: [Element]) { self.init(count: elements.count) { elements[$0] } }
}

/// A field of a message, taken apart.
struct FieldInfo: Sendable {
    let field: FieldDescriptor
    let number: FieldNumber
    let kind: FieldDescriptor.Kind
    /// Of a message; of a map's entry; nil for anything else.
    let messageType: MessageType?
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
        messageType = kind == .message || kind == .map ? field.messageType : nil
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
final class RuledField: Sendable {
    let info: FieldInfo
    let rule: FieldRule
    /// What holds for each element; nil where nothing does.
    let each: FieldRule?
    /// A message without the field breaks the rule.
    let mindsAbsence: Bool

    init(info: FieldInfo, rule: FieldRule) {
        (self.info, self.rule, each) = (info, rule, rule.each)
        if rule.isRequired {
            mindsAbsence = true
        } else if info.isRepeated {
            mindsAbsence = rule.problem(count: 0) != nil
        } else {
            mindsAbsence = !info.hasPresence && rule.problem(info.field.defaultValue) != nil
        }
    }
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
