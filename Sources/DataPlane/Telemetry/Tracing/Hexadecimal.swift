import MeshPrimitives

/// Hexadecimal digits of fixed-width numbers.
enum Hexadecimal {
    /// Of the low four bits, in lower case.
    @inline(__always)
    static func digit(_ value: UInt8) -> UInt8 {
        let nibble = value & 15
        return nibble < 10 ? 0x30 + nibble : 0x57 + nibble
    }

    /// 0...15; nil for any other character. Capital letters only where `allowsCapitals`.
    @inline(__always)
    static func value(_ digit: UInt8, allowsCapitals: Bool) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x61...0x66: digit - 0x57
        case 0x41...0x46 where allowsCapitals: digit - 0x37
        default: nil
        }
    }

    /// One to sixteen digits.
    static func parse(_ digits: ByteView, allowsCapitals: Bool) -> UInt64? {
        guard digits.count > 0, digits.count <= 16 else { return nil }
        var number: UInt64 = 0
        for index in 0..<digits.count {
            guard let nibble = value(digits[index], allowsCapitals: allowsCapitals) else { return nil }
            number = number << 4 | UInt64(nibble)
        }
        return number
    }
}
