import HTTPModel
import MeshPrimitives

/// Request and status lines (RFC 9112 sections 3 and 4).
enum StartLine {
    @inline(__always)
    static func readRequest(
        _ bytes: ByteView, into head: inout MessageHead, progress: inout HeadProgress, limits: HTTP1Limits
    ) -> HeadResult {
        if progress.stage == .start {
            if progress.position == 0 { head.reset() }
            if !readUsualMethod(bytes, &head, &progress) {
                let result = skipEmptyLines(bytes, &progress)
                guard result == .complete else { return result }
            }
        }
        if progress.stage == .method {
            let start = Int(progress.lineStart)
            let end = bytes.endOfToken(from: Int(progress.position))
            guard end < bytes.count else { return progress.pause(at: end) }
            guard bytes[end] == .space, end > start else {
                return .invalid(lineError(bytes[end], .invalidMethod))
            }
            let token = bytes[start..<end]
            head.method = Method(token)
            if head.method == .other, token.equals("PRI"),
                let result = readPreface(bytes[start..<bytes.count])
            {
                // Nothing is lost by looking at the method again.
                return result == .needsMore ? progress.pause(at: end) : result
            }
            head.methodToken = ByteRange(start: start, count: end - start)
            progress.enter(.target, at: end + 1)
        }
        if progress.stage == .target {
            let start = Int(progress.mark)
            let end = bytes.endOfTarget(from: Int(progress.position))
            guard end < bytes.count else { return progress.pause(at: end) }
            guard end > start else { return .invalid(lineError(bytes[end], .invalidTarget)) }
            guard bytes[end] == .space else {
                // A line without version is HTTP/0.9.
                return .invalid(
                    bytes[end] == .carriageReturn ? .lowVersion : lineError(bytes[end], .invalidTarget))
            }
            guard RequestTarget.read(start..<end, in: bytes, into: &head) else {
                return .invalid(.invalidTarget)
            }
            progress.enter(.requestVersion, at: end + 1)
        }
        let start = Int(progress.mark)
        guard start + 10 <= bytes.count, bytes[start..<(start + 10)].equals("HTTP/1.1\r\n") else {
            return readRareVersion(bytes, into: &head, progress: &progress, limits: limits)
        }
        head.version = 11
        return enterFields(at: start + 10, &head, &progress)
    }

    @inline(__always)
    static func readResponse(
        _ bytes: ByteView, into head: inout MessageHead, progress: inout HeadProgress
    ) -> HeadResult {
        if progress.stage == .start {
            head.reset()
            if bytes.count >= 17, bytes.prefix(17).equals("HTTP/1.1 200 OK\r\n") {
                head.status = 200
                head.reason = ByteRange(start: 13, count: 2)
                return enterFields(at: 17, &head, &progress)
            }
            progress.enter(.statusVersion, at: 0)
        }
        if progress.stage == .statusVersion {
            // "HTTP/1.1 200", then a space, or the end of the line: many servers leave an empty reason's space out.
            if bytes.count < 12 || !bytes.prefix(9).equals("HTTP/1.1 ") || !areStatus(bytes) {
                for index in Int(progress.position)..<12 {
                    guard index < bytes.count else { return progress.pause(at: index) }
                    if let error = statusLineError(bytes, at: index) { return .invalid(error) }
                }
            }
            guard bytes.count > 12 else { return progress.pause(at: 12) }
            head.version = bytes[7] == 0x31 ? 11 : 10
            head.status =
                UInt16(bytes[9] &- 0x30) &* 100 &+ UInt16(bytes[10] &- 0x30) &* 10
                &+ UInt16(bytes[11] &- 0x30)
            guard bytes[12] == .space || bytes[12] == .carriageReturn else {
                return .invalid(lineError(bytes[12], .invalidStatusLine))
            }
            progress.enter(.reason, at: bytes[12] == .space ? 13 : 12)
        }
        let start = Int(progress.mark)
        let end = bytes.endOfText(from: Int(progress.position))
        guard end < bytes.count else { return progress.pause(at: end) }
        guard bytes[end] == .carriageReturn else {
            return .invalid(lineError(bytes[end], .invalidStatusLine))
        }
        guard end + 1 < bytes.count else { return progress.pause(at: end) }
        guard bytes[end + 1] == .lineFeed else { return .invalid(.bareCarriageReturn) }
        head.reason = ByteRange(start: start, count: end - start)
        return enterFields(at: end + 2, &head, &progress)
    }

    @inline(__always) private static func areStatus(_ bytes: ByteView) -> Bool {
        bytes[9].isDigit && bytes[9] != 0x30 && bytes[10].isDigit && bytes[11].isDigit
    }

    private static func enterFields(
        at position: Int, _ head: inout MessageHead, _ progress: inout HeadProgress
    ) -> HeadResult {
        progress.enter(.fieldName, at: position)
        progress.lineStart = progress.position
        head.fieldsStart = progress.position
        return .complete
    }

    /// The two methods of nearly all requests, where nothing stands before them.
    @inline(__always) private static func readUsualMethod(
        _ bytes: ByteView, _ head: inout MessageHead, _ progress: inout HeadProgress
    ) -> Bool {
        guard progress.position == 0, bytes.count >= 8 else { return false }
        let word = bytes.word(at: 0)
        if word & 0xffff_ffff == 0x2054_4547 {
            head.method = .get
            head.methodToken = ByteRange(start: 0, count: 3)
        } else if word & 0xff_ffff_ffff == 0x20_5453_4f50 {
            head.method = .post
            head.methodToken = ByteRange(start: 0, count: 4)
        } else {
            return false
        }
        progress.lineStart = 0
        progress.enter(.target, at: Int(head.methodToken.count) + 1)
        return true
    }

    private static func skipEmptyLines(_ bytes: ByteView, _ progress: inout HeadProgress) -> HeadResult {
        var position = Int(progress.position)
        while position < bytes.count, bytes[position] == .carriageReturn {
            guard position < 2 * HTTP1Limits.leadingEmptyLinesMax else { return .invalid(.invalidMethod) }
            guard position + 1 < bytes.count else { return progress.pause(at: position) }
            guard bytes[position + 1] == .lineFeed else { return .invalid(.bareCarriageReturn) }
            position += 2
        }
        guard position < bytes.count else { return progress.pause(at: position) }
        progress.enter(.method, at: position)
        progress.lineStart = progress.position
        return .complete
    }

    /// nil if it is some other message, of a method called PRI.
    private static func readPreface(_ bytes: ByteView) -> HeadResult? {
        let preface = ByteView("PRI * HTTP/2.0\r\n")
        let count = min(bytes.count, preface.count)
        guard bytes.prefix(count).equals(preface.prefix(count)) else { return nil }
        return count == preface.count ? .invalid(.http2Preface) : .needsMore
    }

    /// What is no complete "HTTP/1.1" with its line's end, byte by byte.
    private static func readRareVersion(
        _ bytes: ByteView, into head: inout MessageHead, progress: inout HeadProgress, limits: HTTP1Limits
    ) -> HeadResult {
        let start = Int(progress.mark)
        let pattern = ByteView("HTTP/d.d")
        for offset in (Int(progress.position) - start)..<10 {
            guard start + offset < bytes.count else { return progress.pause(at: start + offset) }
            let byte = bytes[start + offset]
            switch offset {
            case 5, 7:
                guard byte.isDigit else { return .invalid(lineError(byte, .invalidVersion)) }
                if offset == 7, let error = versionError(bytes[start + 5], byte, limits) {
                    return .invalid(error)
                }
            case 8:
                guard byte == .carriageReturn else { return .invalid(lineError(byte, .invalidVersion)) }
            case 9:
                guard byte == .lineFeed else { return .invalid(.bareCarriageReturn) }
            default:
                guard byte == pattern[offset] else { return .invalid(lineError(byte, .invalidVersion)) }
            }
        }
        head.version = bytes[start + 7] == 0x31 ? 11 : 10
        return enterFields(at: start + 10, &head, &progress)
    }

    private static func versionError(_ major: UInt8, _ minor: UInt8, _ limits: HTTP1Limits) -> HTTP1Error? {
        if major == 0x31, minor == 0x31 { return nil }
        if major == 0x31, minor == 0x30, limits.acceptsHTTP10 { return nil }
        return limits.acceptsHTTP10 ? .unsupportedVersion : .lowVersion
    }

    /// What is wrong with the byte at `index` of a status line, all before it being right.
    private static func statusLineError(_ bytes: ByteView, at index: Int) -> HTTP1Error? {
        let pattern = ByteView("HTTP/d.d ddd")
        let byte = bytes[index]
        switch index {
        case 5:
            return byte == 0x31
                ? nil : byte.isDigit ? .unsupportedVersion : lineError(byte, .invalidStatusLine)
        case 7:
            return byte & 0xfe == 0x30
                ? nil : byte.isDigit ? .unsupportedVersion : lineError(byte, .invalidStatusLine)
        case 9: return byte.isDigit && byte != 0x30 ? nil : lineError(byte, .invalidStatusLine)
        case 10, 11: return byte.isDigit ? nil : lineError(byte, .invalidStatusLine)
        default: return byte == pattern[index] ? nil : lineError(byte, .invalidStatusLine)
        }
    }

    /// A line feed without carriage return has a name of its own wherever it stands.
    static func lineError(_ byte: UInt8, _ other: HTTP1Error) -> HTTP1Error {
        byte == .lineFeed ? .bareLineFeed : other
    }
}
