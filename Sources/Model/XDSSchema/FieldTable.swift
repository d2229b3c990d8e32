/// The number of a field in its message.
public struct FieldNumber: RawRepresentable, Hashable, Sendable, ExpressibleByIntegerLiteral {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public init(integerLiteral value: UInt32) { rawValue = value }
}

extension XDSFieldTable {
    /// Of all messages.
    static let fieldCount = (0..<messageCount).reduce(0) {
        max($0, MessageType(UInt16($1)).fieldRange.upperBound)
    }
}

/// A message of the API: an index into the table, whose messages are sorted by name.
public struct MessageType: Hashable, Sendable {
    let index: UInt16

    public init(_ index: UInt16) {
        precondition(Int(index) < XDSFieldTable.messageCount)
        self.index = index
    }

    /// The message of this full name (`envoy.config.cluster.v3.Cluster`); nil for one that is not described.
    public init?(named name: some StringProtocol) {
        let wanted = Array(name.utf8)
        var (low, high) = (0, XDSFieldTable.messageCount)
        while low < high {
            let middle = (low + high) / 2
            let order = FieldTable.messages.name(of: middle).order(against: wanted)
            if order == 0 {
                index = UInt16(middle)
                return
            }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return nil
    }

    /// The message that a type URL names (what follows its last slash).
    public init?(typeURL: String) {
        guard let slash = typeURL.lastIndex(of: "/") else { return nil }
        self.init(named: typeURL[typeURL.index(after: slash)...])
    }

    public var name: String { FieldTable.messages.name(of: Int(index)).text }
    public var typeURL: String { "type.googleapis.com/" + name }

    /// Every field of the message, by rising number; those that are refused too.
    public var fields: [FieldDescriptor] { fieldRange.map { FieldDescriptor(index: UInt16($0)) } }

    var fieldRange: Range<Int> {
        let first = FieldTable.messages.number(of: Int(index), at: 5, digits: 3)
        return first..<first + FieldTable.messages.number(of: Int(index), at: 8, digits: 2)
    }

    func field(numbered number: UInt32) -> FieldDescriptor? {
        TypeInfo.of(self).field(numbered: number)?.field
    }

    /// By its name in the .proto file or by its JSON name (`maxRequests`).
    func field(named name: String) -> FieldDescriptor? {
        let wanted = Array(name.utf8)
        for candidate in fieldRange {
            let known = FieldTable.fields.name(of: candidate, lengthDigits: 1)
            if known.order(against: wanted) == 0 || known.isCamelCase(wanted) {
                return FieldDescriptor(index: UInt16(candidate))
            }
        }
        return nil
    }

    /// The name of a field that the message has.
    public func fieldName(_ number: FieldNumber) -> String {
        field(numbered: number.rawValue)?.name ?? String(number.rawValue)
    }

    var oneofCount: Int { FieldTable.messages.number(of: Int(index), at: 12, digits: 1) }

    /// `oneof` counts from 0 within the message.
    func oneofName(_ oneof: Int) -> String {
        FieldTable.oneofs.name(of: oneofIndex(oneof), lengthDigits: 1).text
    }

    func isOneofRequired(_ oneof: Int) -> Bool {
        FieldTable.oneofs.number(of: oneofIndex(oneof), at: 4, digits: 1) != 0
    }

    private func oneofIndex(_ oneof: Int) -> Int {
        precondition(oneof < oneofCount)
        return FieldTable.messages.number(of: Int(index), at: 10, digits: 2) + oneof
    }
}

/// One field of a message: an index into the table.
public struct FieldDescriptor: Hashable, Sendable {
    enum Kind: Int, Sendable {
        case double, float, int64, uint64, int32, fixed64, fixed32, bool, string, bytes, uint32, sfixed32,
            sfixed64
        case sint32, sint64, enumeration, message, map
        /// Of a type that is not described.
        case opaque
    }

    let index: UInt16

    public var name: String { tableName.text }
    var tableName: TableName { FieldTable.fields.name(of: Int(index), lengthDigits: 1) }
    public var number: FieldNumber {
        FieldNumber(rawValue: UInt32(FieldTable.fields.number(of: Int(index), at: 4, digits: 3)))
    }
    /// Refused wherever it is set.
    public var isRefused: Bool { flags & 2 != 0 }
    public var isWithoutEffect: Bool { flags & 4 != 0 }

    var kind: Kind {
        guard let kind = Kind(rawValue: FieldTable.fields.number(of: Int(index), at: 7, digits: 1)) else {
            preconditionFailure("the field table has an unknown kind")
        }
        return kind
    }
    var isRepeated: Bool { flags & 1 != 0 }
    /// Set and unset differ, even for the default value.
    var hasPresence: Bool { flags & 8 != 0 }
    var isSecret: Bool { flags & 16 != 0 }
    /// Of the field's own value; for a map, the entry.
    var messageType: MessageType { MessageType(UInt16(target)) }
    var enumType: EnumType { EnumType(index: UInt16(target)) }
    /// Counted from 0 within the message.
    var oneof: Int? {
        let oneof = FieldTable.fields.number(of: Int(index), at: 11, digits: 1)
        return oneof == 0 ? nil : oneof - 1
    }
    var hasRule: Bool { FieldTable.fields.number(of: Int(index), at: 15, digits: 1) != 0 }
    /// See `FieldRule`.
    var rule: String {
        FieldTable.fields.name(of: Int(index), at: 12, lengthDigits: 1).text
    }

    private var flags: Int { FieldTable.fields.number(of: Int(index), at: 8, digits: 1) }
    private var target: Int { FieldTable.fields.number(of: Int(index), at: 9, digits: 2) }
}

/// An enumeration: an index into the table.
struct EnumType: Hashable, Sendable {
    struct Value { var name: String, number: Int32, isRefused: Bool }

    let index: UInt16

    var valueRange: Range<Int> {
        let first = FieldTable.enums.number(of: Int(index), at: 5, digits: 3)
        return first..<first + FieldTable.enums.number(of: Int(index), at: 8, digits: 2)
    }

    var values: [Value] {
        EnumInfo.of(self).values.map {
            Value(name: $0.name.text, number: $0.number, isRefused: $0.isRefused)
        }
    }
}

/// The generated blobs. Numbers in them are digits to the base 64, "0" upwards, most significant first; a
/// name is an offset into `names` (3 digits) and a length. They are constants of the binary: pages that
/// nobody reads cost nothing.
enum FieldTable {
    /// Name (3 + 2), first field (3), fields (2), first oneof (2), oneofs (1).
    static var messages: RecordBlob { RecordBlob(XDSFieldTable.messages, recordLength: 13) }
    /// Name (3 + 1), number (3), kind, flags, message or enumeration (2), oneof (1, from 1), rule (3 + 1).
    static var fields: RecordBlob { RecordBlob(XDSFieldTable.fields, recordLength: 16) }
    /// Name (3 + 1), required (1).
    static var oneofs: RecordBlob { RecordBlob(XDSFieldTable.oneofs, recordLength: 5) }
    /// Name (3 + 2), first value (3), values (2).
    static var enums: RecordBlob { RecordBlob(XDSFieldTable.enums, recordLength: 10) }
    /// Name (3 + 1), number (3), refused (1).
    static var values: RecordBlob { RecordBlob(XDSFieldTable.values, recordLength: 8) }
    static var names: StaticString { XDSFieldTable.names }
}

/// Records of one length in a constant; every access is checked against its end.
struct RecordBlob {
    private let text: StaticString
    private let recordLength: Int

    init(_ text: StaticString, recordLength: Int) {
        (self.text, self.recordLength) = (text, recordLength)
    }

    func number(of record: Int, at offset: Int, digits: Int) -> Int {
        let start = record * recordLength + offset
        precondition(start >= 0 && start + digits <= text.utf8CodeUnitCount)
        var value = 0
        for digit in start..<start + digits { value = value << 6 | Int(unsafe text.utf8Start[digit] &- 0x30) }
        return value
    }

    func name(of record: Int, at offset: Int = 0, lengthDigits: Int = 2) -> TableName {
        TableName(
            start: number(of: record, at: offset, digits: 3),
            count: number(of: record, at: offset + 3, digits: lengthDigits))
    }
}

/// A name in the table; its bytes are ASCII.
struct TableName: Sendable {
    private let offset: UInt32
    private let length: UInt16

    init(start: Int, count: Int) {
        precondition(start + count <= FieldTable.names.utf8CodeUnitCount)
        (offset, length) = (UInt32(start), UInt16(count))
    }

    private var names: StaticString { FieldTable.names }
    private var start: Int { Int(offset) }
    private var count: Int { Int(length) }

    private subscript(index: Int) -> UInt8 {
        precondition(index < count)
        return unsafe names.utf8Start[start + index]
    }

    var text: String {
        unsafe String(
            decoding: UnsafeBufferPointer(start: names.utf8Start + start, count: count), as: UTF8.self)
    }

    func withBytes<T>(_ body: (UnsafeBufferPointer<UInt8>) -> T) -> T {
        unsafe body(UnsafeBufferPointer(start: names.utf8Start + start, count: count))
    }

    func isEqual(to other: UnsafeBufferPointer<UInt8>) -> Bool {
        guard other.count == count else { return false }
        for index in 0..<count where unsafe names.utf8Start[start + index] != other[index] { return false }
        return true
    }

    /// Below, equal to or above zero, as the name is before, equal to or after the other.
    func order(against other: [UInt8]) -> Int {
        for index in 0..<min(count, other.count) where self[index] != other[index] {
            return Int(self[index]) - Int(other[index])
        }
        return count - other.count
    }

    /// The other is this name without underscores, each letter after one in upper case.
    func isCamelCase(_ other: [UInt8]) -> Bool {
        var (position, isUpper) = (0, false)
        for index in 0..<count {
            var byte = self[index]
            if byte == UInt8(ascii: "_") {
                isUpper = true
                continue
            }
            if isUpper, byte >= 0x61, byte <= 0x7A { byte -= 0x20 }
            isUpper = false
            guard position < other.count, other[position] == byte else { return false }
            position += 1
        }
        return position == other.count
    }
}
