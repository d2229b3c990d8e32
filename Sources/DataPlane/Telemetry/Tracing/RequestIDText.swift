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

    static func uuid(_ text: ByteView) -> RequestID? {
        guard text.count == textLength, text[8] == dash, text[13] == dash, text[18] == dash, text[23] == dash
        else { return nil }
        let second = UInt64(text.halfWord(at: 9)) | UInt64(text.halfWord(at: 14)) << 32
        let third = UInt64(text.halfWord(at: 19)) | UInt64(text.halfWord(at: 24)) << 32
        guard let a = Hexadecimal.number(text.word(at: 0), allowsCapitals: true),
            let b = Hexadecimal.number(second, allowsCapitals: true),
            let c = Hexadecimal.number(third, allowsCapitals: true),
            let d = Hexadecimal.number(text.word(at: 28), allowsCapitals: true)
        else { return nil }
        return RequestID(high: UInt64(a) << 32 | UInt64(b), low: UInt64(c) << 32 | UInt64(d))
    }

    private static var dash: UInt8 { UInt8(ascii: "-") }

    /// The 36 characters, in lower case.
    public var text: InlineArray<36, UInt8> {
        var text = InlineArray<36, UInt8>(repeating: Self.dash)
        let second = Hexadecimal.text(UInt32(truncatingIfNeeded: high))
        let third = Hexadecimal.text(UInt32(truncatingIfNeeded: low >> 32))
        Hexadecimal.write(eight: Hexadecimal.text(UInt32(truncatingIfNeeded: high >> 32)), to: &text, at: 0)
        Hexadecimal.write(four: second, to: &text, at: 9)
        Hexadecimal.write(four: second >> 32, to: &text, at: 14)
        Hexadecimal.write(four: third, to: &text, at: 19)
        Hexadecimal.write(four: third >> 32, to: &text, at: 24)
        Hexadecimal.write(eight: Hexadecimal.text(UInt32(truncatingIfNeeded: low)), to: &text, at: 28)
        return text
    }

    /// false if there is no room.
    public func append(to buffer: inout PooledBuffer) -> Bool {
        guard buffer.room >= Self.textLength, var writer = unsafe buffer.writer else { return false }
        let (first, second) = (Hexadecimal.text(high), Hexadecimal.text(low))
        unsafe writer.put(word: first[0])
        unsafe writer.put(Self.dash)
        unsafe writer.put(halfWord: UInt32(truncatingIfNeeded: first[1]))
        unsafe writer.put(Self.dash)
        unsafe writer.put(halfWord: UInt32(truncatingIfNeeded: first[1] >> 32))
        unsafe writer.put(Self.dash)
        unsafe writer.put(halfWord: UInt32(truncatingIfNeeded: second[0]))
        unsafe writer.put(Self.dash)
        unsafe writer.put(halfWord: UInt32(truncatingIfNeeded: second[0] >> 32))
        unsafe writer.put(word: second[1])
        unsafe buffer.commit(writer)
        return true
    }

    func append(to output: inout LogBuffer) {
        let text = text
        for index in 0..<Self.textLength { output.append(text[index]) }
    }
}
