import HTTPModel
import MeshPrimitives

/// What the fields of one head mean together: where its body ends, and what becomes of the connection
/// (RFC 9112 sections 3.2, 6 and 9).
enum Framing {
    /// Looks at one field before it joins the head; `value` is its place in `bytes`.
    @inline(__always)
    static func note(
        _ name: FieldName, _ value: Range<Int>, in bytes: ByteView, isRequest: Bool, _ head: inout MessageHead
    ) -> HTTP1Error? {
        switch name {
        case .host:
            guard isRequest else { return nil }
            if head.contains(.host) { return .repeatedHost }
            guard Authority.isValid(value, in: bytes, requiresPort: false) else { return .invalidHost }
            if head.authority.isEmpty {
                head.authority = ByteRange(start: value.lowerBound, count: value.count)
            }
            return nil
        case .contentLength: return noteContentLength(bytes[value], &head)
        case .transferEncoding: return noteTransferEncoding(bytes[value], &head)
        default: return nil
        }
    }

    /// One number. Even two equal ones are refused: who takes the first and who the last is what smuggling is about.
    private static func noteContentLength(_ value: ByteView, _ head: inout MessageHead) -> HTTP1Error? {
        if head.contains(.contentLength) { return .repeatedContentLength }
        guard let length = value.decimal else { return .invalidContentLength }
        if head.contains(.transferEncoding) { return .contentLengthAndChunked }
        head.body = .bytes(Int64(length))
        return nil
    }

    /// Exactly `chunked`, once. HTTP/1.0 has no such field, and whoever sends it there is confused about framing
    /// (RFC 9112 section 6.1). Where `chunked` ends a list of others the end of the body is certain, and only the codings
    /// are unknown (section 6.1: 501); anywhere else it is not (section 6.3, rule 4: 400).
    private static func noteTransferEncoding(_ value: ByteView, _ head: inout MessageHead) -> HTTP1Error? {
        if head.contains(.transferEncoding) { return .invalidTransferEncoding }
        if head.version == 10 { return .transferEncodingNotAllowed }
        guard value.equalsLowercased("chunked") else {
            var (isLast, isEarlier, hasOthers) = (false, false, false)
            let areTokens = value.allMembers { member in
                isEarlier = isEarlier || isLast
                isLast = member.equalsLowercased("chunked")
                hasOthers = hasOthers || !isLast
                return member.isToken
            }
            return areTokens && hasOthers && isLast && !isEarlier
                ? .unknownTransferCoding : .invalidTransferEncoding
        }
        if head.contains(.contentLength) { return .contentLengthAndChunked }
        head.body = .chunked
        return nil
    }

    @inline(__always)
    static func finishRequest(_ bytes: ByteView, _ head: inout MessageHead) -> HTTP1Error? {
        if head.version == 11, !head.contains(.host) { return .missingHost }
        if let error = finishConnection(bytes, &head) { return error }
        if head.contains(.te) { noteTE(bytes, &head) }
        if head.contains(.expect), head.version == 11, let error = noteExpect(bytes, &head) { return error }
        // CONNECT has no content (RFC 9110 section 9.3.6): what follows its head is the tunnel's.
        return head.method == .connect ? removeFraming(&head) : nil
    }

    @inline(__always)
    static func finishResponse(
        _ bytes: ByteView, to method: Method, _ head: inout MessageHead
    ) -> HTTP1Error? {
        if let error = finishConnection(bytes, &head) { return error }
        let isTunnel = head.status == 101 || (method == .connect && head.status / 100 == 2)
        if isTunnel { head.keepsAlive = false }
        if head.status < 200 || head.status == 204 { return removeFraming(&head) }
        if isTunnel {
            // Both fields are to be ignored here (RFC 9112 section 6.3, rule 2).
            _ = removeFraming(&head)
        } else if method == .head || head.status == 304 {
            head.body = .none
        } else if !head.contains(.contentLength), !head.contains(.transferEncoding) {
            head.body = .untilClose
            head.keepsAlive = false
        }
        return nil
    }

    /// For messages that cannot have content: a length of zero is harmless and not passed on, the rest an error.
    private static func removeFraming(_ head: inout MessageHead) -> HTTP1Error? {
        let body = head.body
        head.body = .none
        if body != .none {
            for index in 0..<head.count {
                let name = head.field(index).name
                if name == .contentLength || name == .transferEncoding { head.markConnectionOption(index) }
            }
        }
        switch body {
        case .none, .bytes(0): return nil
        case .bytes: return .contentLengthNotAllowed
        case .chunked, .untilClose, .untilStreamEnd: return .transferEncodingNotAllowed
        }
    }

    /// Whether the connection persists (RFC 9112 section 9.3), and what its options say.
    private static func finishConnection(_ bytes: ByteView, _ head: inout MessageHead) -> HTTP1Error? {
        head.keepsAlive = head.version == 11
        guard head.contains(.connection) else { return nil }
        guard let options = ConnectionOptions(marking: &head, bytes) else { return .invalidConnectionOption }
        head.keepsAlive = !options.hasClose && (head.version == 11 || options.hasKeepAlive)
        // HTTP/1.0 knows no upgrades (RFC 9110 section 7.8).
        head.hasUpgrade = options.hasUpgrade && head.version == 11 && head.contains(.upgrade)
        return nil
    }

    private static func noteTE(_ bytes: ByteView, _ head: inout MessageHead) {
        var isFound = false
        for index in 0..<head.count where head.field(index).name == .te {
            _ = head.value(index, in: bytes).allMembers { member in
                isFound = isFound || member.equalsLowercased("trailers")
                return true
            }
        }
        head.acceptsTrailers = isFound
    }

    /// Nothing but `100-continue` can be expected of us (RFC 9110 section 10.1.1); HTTP/1.0 expects nothing.
    private static func noteExpect(_ bytes: ByteView, _ head: inout MessageHead) -> HTTP1Error? {
        for index in 0..<head.count where head.field(index).name == .expect {
            let isKnown = head.value(index, in: bytes).allMembers { $0.equalsLowercased("100-continue") }
            guard isKnown else { return .unmetExpectation }
            head.expectsContinue = true
        }
        return nil
    }
}
