import MeshPrimitives

/// `host [":" port]`, as in `Host` and in targets (RFC 9110 section 7.2, RFC 3986 section 3.2).
enum Authority {
    /// An empty host is valid here: it is what a client sends for a target without authority.
    @inline(__always)
    static func isValid(_ range: Range<Int>, in bytes: ByteView, requiresPort: Bool) -> Bool {
        var hostEnd = bytes.endOfPlainName(from: range.lowerBound)
        if hostEnd < range.upperBound, bytes[hostEnd] != .colon {
            guard let end = endOfRareHost(bytes, range, from: hostEnd) else { return false }
            hostEnd = end
        }
        // A plain name that goes on behind the range was not the range's to begin with.
        guard hostEnd < range.upperBound else { return hostEnd == range.upperBound && !requiresPort }
        guard bytes[hostEnd] == .colon, !requiresPort || hostEnd > range.lowerBound else { return false }
        let digits = range.upperBound &- hostEnd &- 1
        guard digits > 0 else { return !requiresPort }
        return bytes.isPort(at: hostEnd &+ 1, digits: digits)
    }

    /// Of a host with other characters than letters, digits, hyphens and dots, the first of them at `start`.
    private static func endOfRareHost(_ bytes: ByteView, _ range: Range<Int>, from start: Int) -> Int? {
        var index = start
        if index == range.lowerBound, bytes[index] == .openBracket {
            return endOfAddress(bytes, range)
        }
        while index < range.upperBound {
            let byte = bytes[index]
            if byte.isNameCharacter {
                index &+= 1
            } else if byte == .percent {
                guard index + 2 < range.upperBound, bytes[index + 1].hexValue != nil,
                    bytes[index + 2].hexValue != nil
                else { return nil }
                index &+= 3
            } else {
                break
            }
        }
        return index
    }

    /// "[...]", the shortest being "[::]".
    private static func endOfAddress(_ bytes: ByteView, _ range: Range<Int>) -> Int? {
        var index = range.lowerBound + 1
        while index < range.upperBound {
            let byte = bytes[index]
            guard byte.hexValue != nil || byte == .colon || byte == 0x2e else { break }
            index &+= 1
        }
        guard index < range.upperBound, bytes[index] == .closeBracket else { return nil }
        return index >= range.lowerBound + 3 ? index + 1 : nil
    }
}
