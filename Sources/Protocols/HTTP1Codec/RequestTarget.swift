import HTTPModel
import MeshPrimitives

/// The four forms of a request target (RFC 9112 section 3.2).
enum RequestTarget {
    /// Sets the head's target, path and authority from the bytes between the request line's two spaces, which are
    /// visible ASCII characters without "#". False if the form is none that the method may have.
    static func read(_ range: Range<Int>, in bytes: ByteView, into head: inout MessageHead) -> Bool {
        head.target = ByteRange(start: range.lowerBound, count: range.count)
        if head.method == .connect {
            guard Authority.isValid(range, in: bytes, requiresPort: true) else { return false }
            head.authority = head.target
            return true
        }
        if bytes[range.lowerBound] == .slash {
            head.path = head.target
            return true
        }
        if bytes[range.lowerBound] == .asterisk {
            guard range.count == 1, head.method == .options else { return false }
            head.path = head.target
            return true
        }
        return readAbsolute(range, in: bytes, into: &head)
    }

    /// `http://host:port/path?query`. No user information (RFC 9110 section 4.2.4), and no query right behind the
    /// authority: its path would be "/" followed by the query, which stands nowhere in the bytes.
    private static func readAbsolute(
        _ range: Range<Int>, in bytes: ByteView, into head: inout MessageHead
    ) -> Bool {
        let target = bytes[range]
        let schemeCount: Int
        if target.prefix(7).equalsIgnoringCase("http://") {
            schemeCount = 7
        } else if target.prefix(8).equalsIgnoringCase("https://") {
            schemeCount = 8
        } else {
            return false
        }
        let pathStart = target.firstIndex(of: .slash, from: schemeCount) ?? target.count
        let authority = (range.lowerBound + schemeCount)..<(range.lowerBound + pathStart)
        guard !authority.isEmpty, Authority.isValid(authority, in: bytes, requiresPort: false) else {
            return false
        }
        head.authority = ByteRange(start: authority.lowerBound, count: authority.count)
        if pathStart < target.count {
            head.path = ByteRange(start: range.lowerBound + pathStart, count: target.count - pathStart)
        } else {
            // An empty path is "/" (RFC 9110 section 4.2.3): the one before the authority serves.
            head.path = ByteRange(start: range.lowerBound + schemeCount - 1, count: 1)
        }
        return true
    }
}
