import MeshPrimitives

/// Accepts a certificate by one of its subject alternative names (`SubjectAltNameMatcher`).
public struct SANMatcher: Hashable, Sendable {
    public enum NameType: Hashable, Sendable { case uri, dns }

    public enum Pattern: Hashable, Sendable {
        case exact(String)
        case prefix(String)
        case suffix(String)
        case contains(String)
    }

    public let nameType: NameType
    public let pattern: Pattern

    public init(_ nameType: NameType, _ pattern: Pattern) {
        (self.nameType, self.pattern) = (nameType, pattern)
    }

    /// A certificate's names satisfy a list when one name satisfies one matcher.
    func accepts(_ names: SubjectNames) -> Bool {
        switch nameType {
        case .uri: names.uris.contains { accepts(uri: $0) }
        case .dns: names.dnsNames.contains { accepts(dnsName: $0) }
        }
    }

    private func accepts(uri: String) -> Bool { Self.match(pattern, uri) }

    /// DNS names have no case, and an exact pattern is also met by a certificate's wildcard in place of its
    /// first label (RFC 6125, section 6.4).
    private func accepts(dnsName: String) -> Bool {
        let name = dnsName.lowercased()
        switch pattern {
        case .exact(let wanted):
            let wanted = wanted.lowercased()
            if name == wanted { return true }
            guard name.hasPrefix("*."), let dot = wanted.firstIndex(of: "."), dot != wanted.startIndex else {
                return false
            }
            return name.dropFirst(1) == wanted[dot...]
        case .prefix(let text): return Self.match(.prefix(text.lowercased()), name)
        case .suffix(let text): return Self.match(.suffix(text.lowercased()), name)
        case .contains(let text): return Self.match(.contains(text.lowercased()), name)
        }
    }

    /// By bytes: names are ASCII, and no two spellings of one character may pass for each other.
    private static func match(_ pattern: Pattern, _ name: String) -> Bool {
        switch pattern {
        case .exact(let text): name.utf8.elementsEqual(text.utf8)
        case .prefix(let text): name.utf8.starts(with: text.utf8)
        case .suffix(let text): name.utf8.reversed().starts(with: text.utf8.reversed())
        case .contains(let text): contains(Array(name.utf8), Array(text.utf8))
        }
    }

    private static func contains(_ name: [UInt8], _ text: [UInt8]) -> Bool {
        guard text.count <= name.count else { return false }
        return (0...(name.count - text.count)).contains { name[$0...].starts(with: text) }
    }
}
