import MeshPrimitives

/// Writing at the end of an array of bytes, without strings in between.
extension Array where Element == UInt8 {
    @inline(__always)
    mutating func append(_ view: ByteView) {
        unsafe view.withUnsafeBytes { bytes in unsafe append(contentsOf: bytes) }
    }

    @inline(__always)
    mutating func append(literal: StaticString) { append(ByteView(literal)) }

    mutating func append(literal: StaticString, prefix: Int) { append(ByteView(literal).prefix(prefix)) }

    /// A number that is not negative, with `pad` before it up to `width` characters.
    mutating func append(decimal number: Int, width: Int = 1, pad: UInt8 = 0x30) {
        precondition(number >= 0)
        var digits = 1
        var power = 10
        while digits < 19, number >= power {
            digits += 1
            if digits < 19 { power *= 10 }
        }
        for _ in 0..<Swift.max(0, width - digits) { append(pad) }
        let start = count
        for _ in 0..<digits { append(0x30) }
        var rest = number
        for index in stride(from: start + digits - 1, through: start, by: -1) {
            self[index] = UInt8(truncatingIfNeeded: rest % 10) + 0x30
            rest /= 10
        }
    }

    /// Sixteen digits, or as many as `width` says, in lower case.
    mutating func append(hexadecimal number: UInt64, width: Int = 16) {
        for digit in stride(from: width - 1, through: 0, by: -1) {
            append(Hexadecimal.digit(UInt8(truncatingIfNeeded: number >> UInt64(4 * digit))))
        }
    }

    mutating func append(address: SocketAddress) {
        switch address.family {
        case .ipv4:
            appendHost(of: address)
        case .ipv6:
            append(UInt8(ascii: "["))
            appendHost(of: address)
            append(UInt8(ascii: "]"))
        }
        append(UInt8(ascii: ":"))
        append(decimal: Int(address.port))
    }

    mutating func appendHost(of address: SocketAddress) {
        switch address.family {
        case .ipv4:
            for shift in stride(from: 24, through: 0, by: -8) {
                append(decimal: Int(address.low >> shift & 255))
                if shift > 0 { append(UInt8(ascii: ".")) }
            }
        case .ipv6:
            append(contentsOf: address.host.utf8)
        }
    }
}
