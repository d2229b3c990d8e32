import MeshPrimitives

extension RequestID {
    /// Characters of a UUID.
    public static let textLength = 36

    /// A random UUID of version 4 (RFC 9562 section 5.4), as `x-request-id` has them.
    public init(random: inout SeededRandom) {
        high = random.next() & 0xffff_ffff_ffff_0fff | 0x4000
        low = random.next() & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000
    }

    /// The bits of a UUID in its text form; of any other id a hash, so that equal ids stay equal.
    public init(text: ByteView) {
        if let uuid = Self.uuid(text) {
            self = uuid
        } else {
            self.init(high: text.hash64, low: UInt64(text.count))
        }
    }

    private static func uuid(_ text: ByteView) -> RequestID? {
        guard text.count == textLength else { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        var digits = 0
        for index in 0..<textLength {
            if index == 8 || index == 13 || index == 18 || index == 23 {
                guard text[index] == UInt8(ascii: "-") else { return nil }
                continue
            }
            guard let nibble = Hexadecimal.value(text[index], allowsCapitals: true) else { return nil }
            if digits < 16 {
                words.0 = words.0 << 4 | UInt64(nibble)
            } else {
                words.1 = words.1 << 4 | UInt64(nibble)
            }
            digits += 1
        }
        return RequestID(high: words.0, low: words.1)
    }

    /// The 36 characters, in lower case.
    public var text: InlineArray<36, UInt8> {
        var text = InlineArray<36, UInt8>(repeating: UInt8(ascii: "-"))
        var digit = 0
        for index in 0..<Self.textLength where index != 8 && index != 13 && index != 18 && index != 23 {
            let word = digit < 16 ? high : low
            text[index] = Hexadecimal.digit(UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (digit & 15))))
            digit += 1
        }
        return text
    }

    /// false if there is no room.
    public func append(to buffer: inout PooledBuffer) -> Bool {
        guard buffer.room >= Self.textLength else { return false }
        let text = text
        for index in 0..<Self.textLength { _ = buffer.append(text[index]) }
        return true
    }

    func append(to output: inout [UInt8]) {
        let text = text
        for index in 0..<Self.textLength { output.append(text[index]) }
    }
}
