import MeshPrimitives

/// `host [":" port]`, as in `Host` and in targets (RFC 9110 section 7.2, RFC 3986 section 3.2).
enum Authority {
    /// An empty host is valid here: it is what a client sends for a target without authority.
    static func isValid(_ text: ByteView, requiresPort: Bool) -> Bool {
        guard let hostEnd = endOfHost(text) else { return false }
        guard hostEnd < text.count else { return !requiresPort }
        guard text[hostEnd] == .colon, !requiresPort || hostEnd > 0 else { return false }
        var (port, digits) = (0, 0)
        for index in (hostEnd + 1)..<text.count {
            guard text[index].isDigit, digits < 5 else { return false }
            port = port &* 10 &+ Int(text[index] &- 0x30)
            digits &+= 1
        }
        return port <= 65535 && (digits > 0 || !requiresPort)
    }

    private static func endOfHost(_ text: ByteView) -> Int? {
        var index = 0
        if !text.isEmpty, text[0] == .openBracket {
            index = 1
            while index < text.count,
                text[index].hexValue != nil || text[index] == .colon || text[index] == 0x2e
            {
                index &+= 1
            }
            // The shortest address is "::".
            return index < text.count && text[index] == .closeBracket && index >= 3 ? index + 1 : nil
        }
        while index < text.count {
            let byte = text[index]
            if byte.isNameCharacter {
                index &+= 1
            } else if byte == .percent {
                guard index + 2 < text.count, text[index + 1].hexValue != nil, text[index + 2].hexValue != nil
                else {
                    return nil
                }
                index &+= 3
            } else {
                break
            }
        }
        return index
    }
}
