/// A message of the API as it was read: its type and the fields that are set, by rising number. Short-lived:
/// what it says is soon checked and put into values of the model.
///
/// A field of type `google.protobuf.Any` holds the message inside, whose type says which it is.
public struct ConfigMessage: Sendable {
    public let type: MessageType
    public internal(set) var fields: [ConfigField]
    public var position: TextPosition

    public init(_ type: MessageType, position: TextPosition = TextPosition()) {
        (self.type, self.fields, self.position) = (type, [], position)
    }

    public subscript(number: FieldNumber) -> ConfigValue? {
        fields.first { $0.number == number }?.value
    }

    /// Tells copies of one message from all others; nil without fields.
    public var storage: SharedStorage<ConfigField>? { SharedStorage(fields) }

    /// The same of a list of the message; nil for an empty one.
    public func storage(ofList number: FieldNumber) -> SharedStorage<ConfigValue>? {
        guard case .list(let values) = self[number] else { return nil }
        return SharedStorage(values)
    }

    /// Where the field is set; where the message stands if it is not.
    public func position(of number: FieldNumber) -> TextPosition {
        fields.first { $0.number == number }?.position ?? position
    }

    /// Replaces the field and, if it is a member of a oneof, the members beside it.
    public mutating func set(
        _ number: FieldNumber, _ value: ConfigValue, at position: TextPosition = TextPosition()
    ) {
        guard let field = type.field(numbered: number.rawValue) else {
            preconditionFailure("\(type.name) has no field \(number.rawValue)")
        }
        set(ConfigField(number: number, value: value, position: position), described: field)
    }

    mutating func set(_ new: ConfigField, described field: FieldDescriptor) {
        if let oneof = field.oneof {
            fields.removeAll { other in
                other.number != new.number && type.field(numbered: other.number.rawValue)?.oneof == oneof
            }
        }
        let place = fields.firstIndex { $0.number.rawValue >= new.number.rawValue } ?? fields.count
        if place < fields.count, fields[place].number == new.number {
            fields[place] = new
        } else {
            fields.insert(new, at: place)
        }
    }

    /// The field's value, which the message gives up: a list grows in place while it has one owner.
    mutating func take(_ number: FieldNumber) -> ConfigValue? {
        guard let place = fields.firstIndex(where: { $0.number == number }) else { return nil }
        return fields.remove(at: place).value
    }

    public mutating func remove(_ number: FieldNumber) {
        fields.removeAll { $0.number == number }
    }
}

public struct ConfigField: Sendable {
    public let number: FieldNumber
    public var value: ConfigValue
    public var position: TextPosition

    init(number: FieldNumber, value: ConfigValue, position: TextPosition = TextPosition()) {
        (self.number, self.value, self.position) = (number, value, position)
    }
}

public enum ConfigValue: Sendable, Equatable {
    case bool(Bool)
    /// int32, int64 and their kin.
    case signed(Int64)
    case unsigned(UInt64)
    /// float and double.
    case double(Double)
    case text(String)
    case bytes([UInt8])
    case enumerated(Int32)
    case message(ConfigMessage)
    case list([ConfigValue])
    /// In the order in which they came.
    case map([ConfigMapEntry])
}

public struct ConfigMapEntry: Sendable, Equatable {
    public var key: String
    public var value: ConfigValue

    public init(key: String, value: ConfigValue) { (self.key, self.value) = (key, value) }
}

extension ConfigMessage: Equatable {
    /// By what they say, wherever they stood.
    public static func == (left: Self, right: Self) -> Bool {
        left.type == right.type && left.fields.count == right.fields.count
            && zip(left.fields, right.fields).allSatisfy { $0.number == $1.number && $0.value == $1.value }
    }
}

// What a field says; the default of its type where it is not set.
extension ConfigMessage {
    public func has(_ number: FieldNumber) -> Bool { self[number] != nil }

    public func text(_ number: FieldNumber) -> String {
        if case .text(let text) = self[number] { return text }
        return ""
    }

    public func bytes(_ number: FieldNumber) -> [UInt8] {
        if case .bytes(let bytes) = self[number] { return bytes }
        return []
    }

    public func bool(_ number: FieldNumber) -> Bool {
        if case .bool(let bool) = self[number] { return bool }
        return false
    }

    public func unsigned(_ number: FieldNumber) -> UInt64 {
        if case .unsigned(let value) = self[number] { return value }
        return 0
    }

    public func signed(_ number: FieldNumber) -> Int64 {
        if case .signed(let value) = self[number] { return value }
        return 0
    }

    public func double(_ number: FieldNumber) -> Double {
        if case .double(let value) = self[number] { return value }
        return 0
    }

    public func enumerated(_ number: FieldNumber) -> Int32 {
        if case .enumerated(let value) = self[number] { return value }
        return 0
    }

    public func message(_ number: FieldNumber) -> ConfigMessage? {
        if case .message(let message) = self[number] { return message }
        return nil
    }

    public func messages(_ number: FieldNumber) -> [ConfigMessage] {
        guard case .list(let values) = self[number] else { return [] }
        var messages: [ConfigMessage] = []
        messages.reserveCapacity(values.count)
        for index in values.indices {
            if case .message(let message) = values[index] { messages.append(message) }
        }
        return messages
    }

    public func texts(_ number: FieldNumber) -> [String] {
        guard case .list(let values) = self[number] else { return [] }
        return values.compactMap { value in
            if case .text(let text) = value { return text }
            return nil
        }
    }

    public func numbers(_ number: FieldNumber) -> [UInt64] {
        guard case .list(let values) = self[number] else { return [] }
        return values.compactMap { value in
            if case .unsigned(let one) = value { return one }
            return nil
        }
    }

    public func entries(_ number: FieldNumber) -> [ConfigMapEntry] {
        if case .map(let entries) = self[number] { return entries }
        return []
    }

    /// Of a wrapper (`google.protobuf.UInt32Value` and its kin); nil where it is not set.
    public func wrappedUnsigned(_ number: FieldNumber) -> UInt64? { message(number)?.unsigned(1) }
    public func wrappedBool(_ number: FieldNumber) -> Bool? { message(number)?.bool(1) }

    /// Of a `google.protobuf.Duration`, which is within ±10,000 years.
    public func duration(_ number: FieldNumber) -> Duration? {
        guard let message = message(number), message.type == XDS.Duration.messageType else { return nil }
        return .seconds(message.signed(XDS.Duration.seconds))
            + .nanoseconds(message.signed(XDS.Duration.nanos))
    }
}

extension ConfigMessage {
    /// As protobuf merges: scalars and `Any` are replaced, messages merged, lists appended, map entries
    /// replaced by key.
    public mutating func merge(_ other: ConfigMessage) {
        precondition(type == other.type)
        for field in other.fields {
            guard let descriptor = type.field(numbered: field.number.rawValue) else { continue }
            var merged = field
            switch (self[field.number], field.value) {
            case (.message(var mine), .message(let theirs))
            where mine.type == theirs.type && !descriptor.isAny:
                mine.merge(theirs)
                merged.value = .message(mine)
            case (.list(let mine), .list(let theirs)):
                merged.value = .list(mine + theirs)
            case (.map(let mine), .map(let theirs)):
                merged.value = .map(mine.filter { old in !theirs.contains { $0.key == old.key } } + theirs)
            default:
                break
            }
            set(merged, described: descriptor)
        }
    }
}

extension FieldDescriptor {
    var isAny: Bool { kind == .message && messageType == XDS.AnyMessage.messageType }
}

/// An array by its place in memory: equal for copies of one, and for no others. The array is kept, so that the place
/// cannot become another one's.
public struct SharedStorage<Element: Sendable>: Equatable, Sendable {
    private let elements: [Element]

    /// nil for an empty one.
    init?(_ elements: [Element]) {
        if elements.isEmpty { return nil }
        self.elements = elements
    }

    /// As a number, for as long as somebody keeps the array.
    var address: UInt { unsafe elements.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) } }

    public static func == (left: Self, right: Self) -> Bool { left.address == right.address }
}
