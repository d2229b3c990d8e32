import MeshPrimitives

/// `host [":" port]`, as in `Host` and in targets (RFC 9110 section 7.2, RFC 3986 section 3.2).
enum Authority {
    /// An empty host is valid here: it is what a client sends for a target without authority.
    static func isValid(_ range: Range<Int>, in bytes: ByteView, requiresPort: Bool) -> Bool {
        guard let hostEnd = endOfHost(bytes, range), hostEnd <= range.upperBound else { return false }
        guard hostEnd < range.upperBound else { return !requiresPort }
        guard bytes[hostEnd] == .colon, !requiresPort || hostEnd > range.lowerBound else { return false }
        let digits = range.upperBound - hostEnd - 1
        guard digits <= 5 else { return false }
        var port = 0
        for index in (hostEnd + 1)..<range.upperBound {
            guard bytes[index].isDigit else { return false }
            port = port &* 10 &+ Int(bytes[index] &- 0x30)
        }
        return port <= 65535 && (digits > 0 || !requiresPort)
    }

    /// May lie behind the range's end if that is no end of a host; then the host is invalid.
    private static func endOfHost(_ bytes: ByteView, _ range: Range<Int>) -> Int? {
        var index = bytes.endOfPlainName(from: range.lowerBound)
        guard index < range.upperBound, bytes[index] != .colon else { return index }
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
