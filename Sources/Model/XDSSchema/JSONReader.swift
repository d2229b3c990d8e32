/// Reads a message from JSON straight away, without a tree of the text: the way of large generated configurations, whose
/// reading is most of a proxy's start. It takes what is right and plain, and gives up on everything else (anything that
/// is wrong, `null`, an escape in a key): `TextReader` then reads the text again from its beginning, and says what
/// there is to say. A single value of an unusual form is handed to `TextReader` by itself.
@safe struct JSONReader: ~Copyable {
    /// Left to `TextReader`.
    private struct Unusual: Error {}

    /// Objects and lists within each other; more than any configuration has.
    private static let depthMax = 40
    /// Shorter ones are kept within a `String`.
    private static let sharedMin = 16

    private let bytes: [UInt8]
    private let start: UnsafePointer<UInt8>
    private let count: Int
    private let source: Int
    private let bounds: TextBounds
    private var offset = 0
    private var line = 1
    private var lineStart = 0
    private var nodes = 0
    private var depth = 0
    /// By type, the first fields of the last message of it, as they came: the next one has the same, most of the time.
    private var order = [UInt8](repeating: 0, count: XDSFieldTable.messageCount << JSONReader.orderBits)
    private static let orderBits = 3
    /// By type, the fields that the last message of it had.
    private var fieldCounts = [UInt8](repeating: 1, count: XDSFieldTable.messageCount)
    /// Long strings, by their hash: names and lists of conditions are there thousands of times.
    private var shared = [String](repeating: "", count: 256)
    /// By field, where in `earlier` its last value is; -1 for none. Empty where nothing is shared.
    private var earlierPlaces: [Int16] = []
    private var earlier: [Earlier] = []

    /// The last value of a field: its text, what that adds to what is counted, and what it says.
    private struct Earlier {
        var start = 0
        var count = 0
        var nodes = 0
        var lines = 0
        /// Bytes of its last line, if it has several.
        var lastLine = 0
        var value: ConfigValue?
    }

    /// Texts of such lengths are compared with what stood there before.
    private static let repeated = 16...4096

    /// The last type URL, and its type.
    private var lastURL = ""
    private var lastType: MessageType?

    /// nil: read it with `TextReader`.
    static func read(
        _ bytes: [UInt8], as type: MessageType, source: Int, bounds: TextBounds, sharesRepeats: Bool = false
    ) -> ConfigMessage? {
        guard TypeInfo.of(type).form == .object, bytes.count <= bounds.bytesMax else { return nil }
        return unsafe bytes.withUnsafeBufferPointer { input in
            guard let start = input.baseAddress else { return nil }
            var reader = unsafe JSONReader(bytes, start: start, source: source, bounds: bounds)
            if sharesRepeats { reader.earlierPlaces = .init(repeating: -1, count: XDSFieldTable.fieldCount) }
            return try? reader.whole(type)
        }
    }

    /// `start` is where `bytes` are, for as long as this lives.
    @unsafe private init(
        _ bytes: [UInt8], start: UnsafePointer<UInt8>, source: Int, bounds: TextBounds
    ) {
        (self.bytes, count, self.source, self.bounds) = (bytes, bytes.count, source, bounds)
        unsafe self.start = start
    }

    private mutating func whole(_ type: MessageType) throws(Unusual) -> ConfigMessage {
        skipBlanks()
        let message = try message(TypeInfo.of(type))
        skipBlanks()
        guard offset == count else { throw Unusual() }
        return message
    }

    // MARK: Bytes

    /// 0, which has no place in JSON, at the end.
    @inline(__always) private var next: UInt8 { offset < count ? unsafe start[offset] : 0 }

    @inline(__always) private var position: TextPosition {
        TextPosition(line: line, column: offset - lineStart + 1, source: source)
    }

    @inline(__always) private mutating func skipBlanks() {
        while true {
            switch next {
            case 0x20, 0x09, 0x0D: offset += 1
            case 0x0A:
                offset += 1
                (line, lineStart) = (line + 1, offset)
            default: return
            }
        }
    }

    @inline(__always) private mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        offset += 1
        return true
    }

    @inline(__always) private mutating func expect(_ byte: UInt8) throws(Unusual) {
        guard take(byte) else { throw Unusual() }
    }

    private mutating func takeWord(_ word: StaticString) -> Bool {
        let length = word.utf8CodeUnitCount
        guard offset + length <= count else { return false }
        for index in 0..<length where unsafe start[offset + index] != word.utf8Start[index] { return false }
        offset += length
        return true
    }

    /// The bytes of a string without escapes; whether they are ASCII.
    @inline(__always)
    private mutating func plainText() throws(Unusual) -> (text: UnsafeBufferPointer<UInt8>, isASCII: Bool) {
        try expect(UInt8(ascii: "\""))
        let begin = offset
        var place = begin
        var all: UInt64 = 0
        // Eight at a time: quote, backslash or control character. Above the first that is found others may seem to be.
        while place + 8 <= count {
            let word = unsafe UnsafeRawPointer(start + place).loadUnaligned(as: UInt64.self)
            let (quote, slash) = (word ^ Self.each(0x22), word ^ Self.each(0x5C))
            let ends =
                ((quote &- Self.each(1)) & ~quote | (slash &- Self.each(1)) & ~slash
                    | (word &- Self.each(0x20)) & ~word) & Self.each(0x80)
            if ends != 0 {
                let bits = UInt64(ends.trailingZeroBitCount & ~7)
                all |= word & (1 << bits &- 1)
                place += Int(bits >> 3)
                break
            }
            all |= word
            place += 8
        }
        while place < count, unsafe start[place] >= 0x20, unsafe start[place] != UInt8(ascii: "\""),
            unsafe start[place] != UInt8(ascii: "\\")
        {
            unsafe all |= UInt64(start[place])
            place += 1
        }
        guard place < count, unsafe start[place] == UInt8(ascii: "\"") else { throw Unusual() }
        let text = unsafe UnsafeBufferPointer(start: start + begin, count: place - begin)
        offset = place + 1
        return unsafe (text, all & Self.each(0x80) == 0)
    }

    /// The byte in each place of a word.
    @inline(__always) private static func each(_ byte: UInt64) -> UInt64 { byte &* 0x0101_0101_0101_0101 }

    private mutating func string() throws(Unusual) -> String {
        let (text, isASCII) = unsafe try plainText()
        if !isASCII {
            guard let string = unsafe String(validating: text, as: UTF8.self) else { throw Unusual() }
            return string
        }
        return unsafe string(of: text)
    }

    @inline(__always)
    private mutating func string(of text: UnsafeBufferPointer<UInt8>) -> String {
        if text.count < Self.sharedMin { return unsafe String(decoding: text, as: UTF8.self) }
        // Its ends tell most apart.
        let whole = UnsafeRawBufferPointer(text)
        let ends =
            unsafe whole.loadUnaligned(as: UInt64.self)
            &+ whole.loadUnaligned(fromByteOffset: text.count - 8, as: UInt64.self) &* 31
        let place = Int(truncatingIfNeeded: (ends &* 0x9E37_79B9_7F4A_7C15) >> 56)
        let isSame = unsafe shared[place].utf8.withContiguousStorageIfAvailable { known in
            unsafe known.count == text.count && Self.areEqual(known, text)
        }
        if isSame == true { return shared[place] }
        let string = unsafe String(decoding: text, as: UTF8.self)
        shared[place] = string
        return string
    }

    /// Of two of the same length, of at least 8 bytes.
    @inline(__always)
    private static func areEqual(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>)
        -> Bool
    {
        let (left, right) = (UnsafeRawBufferPointer(left), UnsafeRawBufferPointer(right))
        var place = 0
        while place + 8 < left.count {
            if unsafe left.loadUnaligned(fromByteOffset: place, as: UInt64.self)
                != right.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            {
                return false
            }
            place += 8
        }
        let last = left.count - 8
        return unsafe left.loadUnaligned(fromByteOffset: last, as: UInt64.self)
            == right.loadUnaligned(fromByteOffset: last, as: UInt64.self)
    }

    // MARK: Messages

    private mutating func message(_ info: TypeInfo) throws(Unusual) -> ConfigMessage {
        nodes += 1
        guard nodes <= bounds.nodesMax else { throw Unusual() }
        let start = position
        switch info.form {
        case .object:
            try expect(UInt8(ascii: "{"))
            return try object(info, at: start)
        case .any:
            try expect(UInt8(ascii: "{"))
            return try any(at: start)
        case .duration:
            return try duration(at: start)
        case .wrapper:
            var message = ConfigMessage(info.type, position: start)
            let value = try single(info.fields[0])
            if !value.isDefault {
                message.fields = [ConfigField(number: info.fields[0].number, value: value, position: start)]
            }
            return message
        case .other:
            throw Unusual()
        }
    }

    /// What follows the brace, and in an `Any` the type.
    private mutating func object(
        _ info: TypeInfo, at start: TextPosition, isContinued: Bool = false
    ) throws(Unusual) -> ConfigMessage {
        depth += 1
        guard depth <= Self.depthMax, info.fields.count <= 128 else { throw Unusual() }
        var message = ConfigMessage(info.type, position: start)
        skipBlanks()
        if take(UInt8(ascii: "}")) {
            depth -= 1
            return message
        }
        if isContinued { try expect(UInt8(ascii: ",")) }
        message.fields.reserveCapacity(Int(fieldCounts[Int(info.type.index)]))
        var (seen, seenBeyond, oneofs, turn) = (UInt64(0), UInt64(0), UInt64(0), 0)
        repeat {
            skipBlanks()
            let keyPosition = position
            let index = try fieldIndex(info, turn)
            turn += 1
            let bit = UInt64(1) << UInt64(index & 63)
            guard (index < 64 ? seen : seenBeyond) & bit == 0 else { throw Unusual() }
            if index < 64 { seen |= bit } else { seenBeyond |= bit }
            skipBlanks()
            try expect(UInt8(ascii: ":"))
            skipBlanks()
            let field = info.fields[index]
            guard !field.isRefused, next != UInt8(ascii: "n") else { throw Unusual() }
            if let value = try self.value(field), field.hasPresence || !value.isDefault {
                if field.oneof >= 0 {
                    let member = UInt64(1) << UInt64(field.oneof)
                    guard oneofs & member == 0 else { throw Unusual() }
                    oneofs |= member
                }
                Self.add(
                    ConfigField(number: field.number, value: value, position: keyPosition), to: &message)
            }
            skipBlanks()
        } while take(UInt8(ascii: ","))
        try expect(UInt8(ascii: "}"))
        fieldCounts[Int(info.type.index)] = UInt8(clamping: max(1, message.fields.count))
        depth -= 1
        return message
    }

    @inline(__always)
    private static func add(_ field: consuming ConfigField, to message: inout ConfigMessage) {
        var place = message.fields.count
        while place > 0, message.fields[place - 1].number.rawValue > field.number.rawValue { place -= 1 }
        if place == message.fields.count {
            message.fields.append(field)
        } else {
            message.fields.insert(field, at: place)
        }
    }

    /// Of the field that is the `turn`th one of its message.
    private mutating func fieldIndex(_ info: TypeInfo, _ turn: Int) throws(Unusual) -> Int {
        let (name, isASCII) = unsafe try plainText()
        let place = Int(info.type.index) << Self.orderBits + min(turn, 1 << Self.orderBits - 1)
        let guess = Int(order[place])
        if let index = unsafe info.index(named: name, guess: guess) {
            if index != guess { order[place] = UInt8(clamping: index) }
            return index
        }
        // Its JSON name, perhaps.
        guard isASCII, let field = unsafe info.type.field(named: String(decoding: name, as: UTF8.self)),
            let index = info.fields.indices.first(where: { info.fields[$0].field == field })
        else { throw Unusual() }
        return index
    }

    private mutating func any(at start: TextPosition) throws(Unusual) -> ConfigMessage {
        skipBlanks()
        let (key, _) = unsafe try plainText()
        guard unsafe key.elementsEqual("@type".utf8) else { throw Unusual() }
        skipBlanks()
        try expect(UInt8(ascii: ":"))
        skipBlanks()
        nodes += 1
        let url = try string()
        if url != lastURL {
            guard let type = MessageType(typeURL: url) else { throw Unusual() }
            (lastURL, lastType) = (url, type)
        }
        guard let type = lastType else { throw Unusual() }
        let info = TypeInfo.of(type)
        guard info.form == .object else { throw Unusual() }
        return try object(info, at: start, isContinued: true)
    }

    private mutating func duration(at start: TextPosition) throws(Unusual) -> ConfigMessage {
        let (text, _) = unsafe try plainText()
        let parsed: (seconds: Int64, nanos: Int32)
        if let seconds = unsafe Self.wholeSeconds(text) {
            parsed = (seconds, 0)
        } else {
            guard let found = unsafe DurationText.parse(String(decoding: text, as: UTF8.self)) else {
                throw Unusual()
            }
            parsed = found
        }
        var message = ConfigMessage(XDS.Duration.messageType, position: start)
        if parsed.seconds != 0 {
            message.fields.append(
                ConfigField(number: XDS.Duration.seconds, value: .signed(parsed.seconds), position: start))
        }
        if parsed.nanos != 0 {
            message.fields.append(
                ConfigField(
                    number: XDS.Duration.nanos, value: .signed(Int64(parsed.nanos)), position: start))
        }
        return message
    }

    /// "30s"
    private static func wholeSeconds(_ text: UnsafeBufferPointer<UInt8>) -> Int64? {
        guard (2...10).contains(text.count), unsafe text[text.count - 1] == UInt8(ascii: "s") else {
            return nil
        }
        var seconds: Int64 = 0
        for index in 0..<text.count - 1 {
            let digit = unsafe text[index] &- 0x30
            guard digit <= 9 else { return nil }
            seconds = seconds * 10 + Int64(digit)
        }
        return seconds
    }

    // MARK: Values

    /// nil: it says nothing.
    @inline(__always)
    private mutating func value(_ field: FieldInfo) throws(Unusual) -> ConfigValue? {
        if field.kind == .opaque {
            _ = try node()
            return nil
        }
        if field.kind == .map { return try map(field) }
        if !earlierPlaces.isEmpty, field.kind == .message || field.isRepeated {
            return try shared(field)
        }
        guard field.isRepeated else { return try single(field) }
        return .list(try list(field))
    }

    /// The last value of the field once more, if its text stands here again. That ends with a bracket, brace or quote, so
    /// that nothing can make it longer.
    private mutating func shared(_ field: FieldInfo) throws(Unusual) -> ConfigValue? {
        let index = Int(field.field.index)
        let known = Int(earlierPlaces[index])
        if known >= 0, let value = again(known) { return value }
        let (start, nodesBefore, lineBefore) = (offset, nodes, line)
        let value = field.isRepeated ? ConfigValue.list(try list(field)) : try single(field)
        let length = offset - start
        guard Self.repeated.contains(length), Self.isClosed(unsafe self.start[offset - 1]) else {
            return value
        }
        let entry = Earlier(
            start: start, count: length, nodes: nodes - nodesBefore, lines: line - lineBefore,
            lastLine: offset - lineStart, value: value)
        if known >= 0 {
            earlier[known] = entry
        } else if earlier.count < Int(Int16.max) {
            earlierPlaces[index] = Int16(earlier.count)
            earlier.append(entry)
        }
        return value
    }

    private static func isClosed(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") || byte == UInt8(ascii: "\"")
    }

    private mutating func again(_ place: Int) -> ConfigValue? {
        let (begin, length) = (earlier[place].start, earlier[place].count)
        guard offset + length <= count, unsafe start[offset] == start[begin],
            unsafe Self.areEqual(
                UnsafeBufferPointer(start: start + offset, count: length),
                UnsafeBufferPointer(start: start + begin, count: length))
        else { return nil }
        offset += length
        nodes += earlier[place].nodes
        if earlier[place].lines > 0 {
            line += earlier[place].lines
            lineStart = offset - earlier[place].lastLine
        }
        return earlier[place].value
    }

    private mutating func list(_ field: FieldInfo) throws(Unusual) -> [ConfigValue] {
        nodes += 1
        depth += 1
        guard depth <= Self.depthMax else { throw Unusual() }
        try expect(UInt8(ascii: "["))
        var values: [ConfigValue] = []
        skipBlanks()
        if !take(UInt8(ascii: "]")) {
            repeat {
                skipBlanks()
                values.append(try single(field))
                skipBlanks()
            } while take(UInt8(ascii: ","))
            try expect(UInt8(ascii: "]"))
        }
        depth -= 1
        return values
    }

    private mutating func map(_ field: FieldInfo) throws(Unusual) -> ConfigValue {
        guard let entry = field.messageType, let valueField = TypeInfo.of(entry).field(numbered: 2) else {
            throw Unusual()
        }
        nodes += 1
        depth += 1
        guard depth <= Self.depthMax else { throw Unusual() }
        try expect(UInt8(ascii: "{"))
        var entries: [ConfigMapEntry] = []
        skipBlanks()
        if !take(UInt8(ascii: "}")) {
            repeat {
                skipBlanks()
                let key = try string()
                guard !entries.contains(where: { $0.key == key }) else { throw Unusual() }
                skipBlanks()
                try expect(UInt8(ascii: ":"))
                skipBlanks()
                entries.append(ConfigMapEntry(key: key, value: try single(valueField)))
                skipBlanks()
            } while take(UInt8(ascii: ","))
            try expect(UInt8(ascii: "}"))
        }
        depth -= 1
        return .map(entries)
    }

    private mutating func single(_ field: FieldInfo) throws(Unusual) -> ConfigValue {
        switch field.kind {
        case .message:
            guard let type = field.messageType else { throw Unusual() }
            let info = TypeInfo.of(type)
            if info.form == .other { return try unusual(field) }
            return .message(try message(info))
        case .string:
            nodes += 1
            let before = offset
            do throws(Unusual) {
                return .text(try string())
            } catch {
                // An escape, perhaps.
                offset = before
                return try unusual(field)
            }
        case .bool:
            nodes += 1
            if takeWord("true") { return .bool(true) }
            if takeWord("false") { return .bool(false) }
            throw Unusual()
        case .enumeration:
            guard next == UInt8(ascii: "\"") else { return try unusual(field) }
            nodes += 1
            let (name, _) = unsafe try plainText()
            guard let value = unsafe EnumInfo.of(field.field.enumType).value(named: name), !value.isRefused
            else { throw Unusual() }
            return .enumerated(value.number)
        case .int32, .sint32, .sfixed32:
            guard let value = digits(), value <= Int64(Int32.max) else { return try unusual(field) }
            return .signed(value)
        case .int64, .sint64, .sfixed64:
            guard let value = digits() else { return try unusual(field) }
            return .signed(value)
        case .uint32, .fixed32:
            guard let value = digits(), value <= Int64(UInt32.max) else { return try unusual(field) }
            return .unsigned(UInt64(value))
        case .uint64, .fixed64:
            guard let value = digits() else { return try unusual(field) }
            return .unsigned(UInt64(value))
        case .double, .float:
            // Whole numbers of seven digits are the same in 32 bits.
            guard let value = digits(), value < 10_000_000 else { return try unusual(field) }
            return .double(Double(value))
        case .bytes, .map, .opaque:
            return try unusual(field)
        }
    }

    /// A whole number from 0 in at most 18 digits; nil, and nothing is taken, for any other value.
    private mutating func digits() -> Int64? {
        let begin = offset
        var value: Int64 = 0
        while next &- 0x30 <= 9, offset - begin < 19 {
            value = value &* 10 &+ Int64(next &- 0x30)
            offset += 1
        }
        let length = offset - begin
        let isWhole =
            switch next {
            case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "+"),
                UInt8(ascii: "-"):
                false
            default: true
            }
        guard length > 0, length <= 18, isWhole, unsafe length == 1 || start[begin] != 0x30 else {
            offset = begin
            return nil
        }
        nodes += 1
        return value
    }

    /// As `TextReader` has it.
    private mutating func unusual(_ field: FieldInfo) throws(Unusual) -> ConfigValue {
        guard let value = TextReader.read(try node(), as: field.field) else { throw Unusual() }
        return value
    }

    private mutating func node() throws(Unusual) -> TextNode {
        var bounds = bounds
        bounds.depthMax = Self.depthMax
        var text = JSONText(
            bytes, source: source, bounds: bounds, from: (offset, line, lineStart), depth: depth)
        guard let (node, end) = text.parsePart() else { throw Unusual() }
        (offset, line, lineStart) = end
        nodes += text.nodes
        return node
    }
}
