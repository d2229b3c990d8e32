import MeshPrimitives

/// Hexadecimal digits of fixed-width numbers, eight at a time: a word holds eight characters, the first one in the
/// lowest bits, and arithmetic on all of them at once never carries from one to the next.
enum Hexadecimal {
    /// Of the low four bits, in lower case.
    @inline(__always)
    static func digit(_ value: UInt8) -> UInt8 {
        let nibble = value & 15
        return nibble < 10 ? 0x30 + nibble : 0x57 + nibble
    }

    /// The eight digits of a number, in lower case.
    @inline(__always)
    static func text(_ number: UInt32) -> UInt64 {
        var word = UInt64(number.byteSwapped)
        word = (word | word << 16) & 0x0000_ffff_0000_ffff
        word = (word | word << 8) & 0x00ff_00ff_00ff_00ff
        let nibbles = word >> 4 & 0x000f_000f_000f_000f | (word & 0x000f_000f_000f_000f) << 8
        let letters = (nibbles &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
        return nibbles &+ 0x3030_3030_3030_3030 &+ letters &* 0x27
    }

    /// The sixteen digits of a number, in lower case, eight in each lane.
    @inline(__always)
    static func text(_ number: UInt64) -> SIMD2<UInt64> {
        @inline(__always) func both(_ word: UInt64) -> SIMD2<UInt64> { SIMD2(repeating: word) }
        let swapped = number.byteSwapped
        var words = SIMD2(swapped & 0xffff_ffff, swapped >> 32)
        words = (words | words &<< both(16)) & both(0x0000_ffff_0000_ffff)
        words = (words | words &<< both(8)) & both(0x00ff_00ff_00ff_00ff)
        let low = both(0x000f_000f_000f_000f)
        let nibbles = words &>> both(4) & low | (words & low) &<< both(8)
        let letters =
            (nibbles &+ both(0x0606_0606_0606_0606)) &>> both(4) & both(0x0101_0101_0101_0101)
        // Letters stand 0x27 = 32 + 8 - 1 behind the digits.
        return nibbles &+ both(0x3030_3030_3030_3030) &+ (letters &<< both(5)) &+ (letters &<< both(3))
            &- letters
    }

    /// The number that eight digits make; nil if a character is none. Capital letters only where `allowsCapitals`.
    @inline(__always)
    static func number(_ text: UInt64, allowsCapitals: Bool) -> UInt32? {
        // Of the digits only letters have bit 6; bit 5 makes their case.
        let lower = allowsCapitals ? text | (text & 0x4040_4040_4040_4040) >> 1 : text
        let letters = lower >> 6 & 0x0101_0101_0101_0101
        let nibbles = (lower & 0x0f0f_0f0f_0f0f_0f0f &+ letters &* 9) & 0x0f0f_0f0f_0f0f_0f0f
        let pairs = (nibbles & 0x000f_000f_000f_000f) << 4 | nibbles >> 8 & 0x000f_000f_000f_000f
        let halves = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff
        let number = UInt32(truncatingIfNeeded: halves | halves >> 16).byteSwapped
        // Only what would be written the same way was made of digits.
        return self.text(number) == lower ? number : nil
    }

    /// The number that the sixteen digits from `start` on make.
    @inline(__always)
    static func sixteen(_ bytes: ByteView, at start: Int, allowsCapitals: Bool) -> UInt64? {
        guard let high = number(bytes.word(at: start), allowsCapitals: allowsCapitals),
            let low = number(bytes.word(at: start + 8), allowsCapitals: allowsCapitals)
        else { return nil }
        return UInt64(high) << 32 | UInt64(low)
    }

    /// The number that two digits in lower case make.
    @inline(__always)
    static func two(_ bytes: ByteView, at start: Int) -> UInt8? {
        let digits = UInt64(bytes[start]) | UInt64(bytes[start + 1]) << 8
        guard let number = number(digits << 48 | 0x3030_3030_3030, allowsCapitals: false) else { return nil }
        return UInt8(truncatingIfNeeded: number)
    }

    /// Writes sixteen digits into a text.
    @inline(__always)
    static func write<let count: Int>(
        _ number: UInt64, to text: inout InlineArray<count, UInt8>, at start: Int
    ) {
        write(eight: self.text(UInt32(truncatingIfNeeded: number >> 32)), to: &text, at: start)
        write(eight: self.text(UInt32(truncatingIfNeeded: number)), to: &text, at: start + 8)
    }

    /// Writes the eight characters of a word into a text.
    @inline(__always)
    static func write<let count: Int>(
        eight word: UInt64, to text: inout InlineArray<count, UInt8>, at start: Int
    ) {
        precondition(start >= 0 && start <= count - 8)
        unsafe withUnsafeMutableBytes(of: &text) { bytes in
            unsafe bytes.storeBytes(of: word.littleEndian, toByteOffset: start, as: UInt64.self)
        }
    }

    /// Writes the first four characters of a word into a text.
    @inline(__always)
    static func write<let count: Int>(
        four word: UInt64, to text: inout InlineArray<count, UInt8>, at start: Int
    ) {
        precondition(start >= 0 && start <= count - 4)
        unsafe withUnsafeMutableBytes(of: &text) { bytes in
            let half = UInt32(truncatingIfNeeded: word).littleEndian
            unsafe bytes.storeBytes(of: half, toByteOffset: start, as: UInt32.self)
        }
    }
}

extension UncheckedWriter {
    /// Sixteen digits, in lower case.
    @inline(__always) mutating func put(hexadecimal number: UInt64) {
        let digits = Hexadecimal.text(number)
        unsafe put(word: digits[0])
        unsafe put(word: digits[1])
    }
}
