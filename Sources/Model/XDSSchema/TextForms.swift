/// Durations as proto3's JSON mapping writes them: seconds with up to nine decimals and an `s`.
enum DurationText {
    /// The bound that google.protobuf.Duration declares, in seconds.
    static let secondsMax: Int64 = 315_576_000_000

    static func parse(_ text: String) -> (seconds: Int64, nanos: Int32)? {
        guard text.utf8.last == UInt8(ascii: "s") else { return nil }
        var digits = text.dropLast()
        let isNegative = digits.first == "-"
        if isNegative { digits = digits.dropFirst() }
        let parts = digits.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, isNumber(whole), let seconds = Int64(whole), seconds <= secondsMax
        else {
            return nil
        }
        var nanos: Int32 = 0
        if parts.count == 2 {
            guard isNumber(parts[1]), parts[1].utf8.count <= 9 else { return nil }
            let padded = parts[1] + String(repeating: "0", count: 9 - parts[1].utf8.count)
            guard let value = Int32(padded) else { return nil }
            nanos = value
        }
        return isNegative ? (-seconds, -nanos) : (seconds, nanos)
    }

    /// With no, 3, 6 or 9 decimals.
    static func text(seconds: Int64, nanos: Int32) -> String {
        let sign = seconds < 0 || nanos < 0 ? "-" : ""
        var text = "\(sign)\(seconds.magnitude)"
        if nanos != 0 {
            let digits = String(nanos.magnitude)
            var decimals = String(repeating: "0", count: max(0, 9 - digits.utf8.count)) + digits
            while decimals.hasSuffix("000") { decimals.removeLast(3) }
            text += "." + decimals
        }
        return text + "s"
    }

    private static func isNumber(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
}

/// RFC 4648, section 4; reading takes section 5's alphabet too, and text without padding.
enum Base64 {
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func decode(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count / 4 * 3)
        var (bits, count, padding) = (UInt32(0), 0, 0)
        for character in text.utf8 {
            if character == UInt8(ascii: "=") {
                padding += 1
                continue
            }
            guard padding == 0, let value = value(character) else { return nil }
            bits = bits << 6 | value
            count += 1
            if count % 4 == 0 {
                bytes += [UInt8(bits >> 16 & 0xFF), UInt8(bits >> 8 & 0xFF), UInt8(bits & 0xFF)]
                bits = 0
            }
        }
        let rest = count % 4
        guard rest != 1, padding == 0 || (count + padding) % 4 == 0 && padding <= 2 else { return nil }
        if rest == 2 { bytes.append(UInt8(bits >> 4 & 0xFF)) }
        if rest == 3 { bytes += [UInt8(bits >> 10 & 0xFF), UInt8(bits >> 2 & 0xFF)] }
        return bytes
    }

    private static func value(_ character: UInt8) -> UInt32? {
        switch character {
        case 0x41...0x5A: UInt32(character) - 0x41
        case 0x61...0x7A: UInt32(character) - 0x61 + 26
        case 0x30...0x39: UInt32(character) - 0x30 + 52
        case UInt8(ascii: "+"), UInt8(ascii: "-"): 62
        case UInt8(ascii: "/"), UInt8(ascii: "_"): 63
        default: nil
        }
    }

    static func append(_ bytes: [UInt8], to text: inout [UInt8]) {
        var index = 0
        while index < bytes.count {
            let rest = min(3, bytes.count - index)
            var bits = UInt32(bytes[index]) << 16
            if rest > 1 { bits |= UInt32(bytes[index + 1]) << 8 }
            if rest > 2 { bits |= UInt32(bytes[index + 2]) }
            for digit in 0..<4 {
                let isUsed = digit <= rest
                text.append(isUsed ? alphabet[Int(bits >> UInt32(18 - 6 * digit) & 63)] : UInt8(ascii: "="))
            }
            index += 3
        }
    }
}
