import CNGHTTP2
import HTTPModel
import MeshPrimitives

/// Makes heads in the form of HTTP/1.1 out of decompressed fields, and checks them (RFC 9113 sections 8.2 and 8.3).
/// Header blocks do not mingle on a connection, so there is one head in the making; finished ones wait behind each
/// other until the caller has taken them.
@safe struct HeadAssembler: ~Copyable {
    enum Kind { case request, response, trailers }
    enum Outcome { case head(HeadRecord), malformed, tooLarge }
    private enum Verdict { case fine, malformed, tooLarge }

    /// Beyond this, decompression is stopped, and the connection with it: bytes and fields of one head (those of a
    /// head that is too large anyway are decompressed and dropped), and bytes of all heads of one `receive`.
    static let decodedBytesMax = 4 * MessageHead.bytesMax
    static let decodedFieldsMax = 1000
    /// What peers are told: as RFC 9113 section 6.5.2 counts, 32 bytes more for each field than its text.
    static let announcedBytesMax = MessageHead.bytesMax + 32 * MessageHead.fieldsMax
    static let storedBytesMax = 2 << 20
    private static let keptBytes = 8 << 10

    private var bytes = ByteArena()
    private var fields: [Field] = []
    /// Values of pseudo fields, until the start line can be written.
    private var scratch = ByteArena()
    /// `cookie` fields, joined (RFC 9113 section 8.2.3).
    private var cookies = ByteArena()

    private(set) var isActive = false
    private var kind = Kind.request
    private var verdict = Verdict.fine
    private var record = HeadRecord()
    private var startLineIsWritten = false
    private var hasCookies = false
    private var decodedBytes = 0
    private var decodedFields = 0
    private var method: Range<Int>?
    private var scheme: Range<Int>?
    private var path: Range<Int>?
    private var authority: Range<Int>?
    private var connectProtocol: Range<Int>?

    init() {}

    mutating func begin(_ kind: Kind) {
        skip()
        self.kind = kind
        isActive = true
        verdict = .fine
        record = HeadRecord()
        record.bytesStart = bytes.count
        record.fieldsFrom = fields.count
        startLineIsWritten = kind == .trailers
        hasCookies = false
        (method, scheme, path, authority, connectProtocol) = (nil, nil, nil, nil, nil)
        scratch.truncate(to: 0)
        cookies.truncate(to: 0)
    }

    /// A header block begins that nobody wants.
    mutating func skip() {
        drop()
        decodedBytes = 0
        decodedFields = 0
    }

    /// false: too much for this connection to go on.
    mutating func append(_ name: ByteView, _ value: ByteView, allowsExtendedConnect: Bool) -> Bool {
        decodedBytes += name.count + value.count + 32
        decodedFields += 1
        guard decodedBytes <= Self.decodedBytesMax, decodedFields <= Self.decodedFieldsMax,
            bytes.count <= Self.storedBytesMax
        else { return false }
        guard isActive, verdict == .fine else { return true }
        guard name.count > 0 else {
            verdict = .malformed
            return true
        }
        if name[0] == 0x3a {
            appendPseudo(name, value)
        } else if Self.bytesAre(MARTLET_H2_NAME, name), Self.isValue(value) {
            if !startLineIsWritten { writeStartLine(allowsExtendedConnect: allowsExtendedConnect) }
            if verdict == .fine { appendRegular(name, value) }
        } else {
            verdict = .malformed
        }
        return true
    }

    /// The block is complete.
    mutating func finish(allowsExtendedConnect: Bool) -> Outcome {
        if verdict == .fine, !startLineIsWritten {
            writeStartLine(allowsExtendedConnect: allowsExtendedConnect)
        }
        if verdict == .fine, hasCookies {
            write("cookie", cookies.view(0..<cookies.count), .cookie)
        }
        if verdict == .fine, kind == .request, record.authority.isEmpty { verdict = .malformed }
        guard verdict == .fine else {
            drop()
            return verdict == .tooLarge ? .tooLarge : .malformed
        }
        bytes.append("\r\n")
        record.length = bytes.count - record.bytesStart
        record.fieldCount = fields.count - record.fieldsFrom
        isActive = false
        return .head(record)
    }

    /// Forgets the head in the making.
    mutating func drop() {
        guard isActive else { return }
        bytes.truncate(to: record.bytesStart)
        fields.removeLast(fields.count - record.fieldsFrom)
        isActive = false
    }

    /// The caller is done with all finished heads; the one in the making moves to the front.
    mutating func forgetFinished() {
        if isActive {
            bytes.removeFirst(record.bytesStart)
            fields.removeFirst(record.fieldsFrom)
            record.bytesStart = 0
            record.fieldsFrom = 0
        } else if !bytes.isEmpty {
            bytes.removeAll(keeping: Self.keptBytes)
            fields.removeAll(keepingCapacity: fields.capacity <= 1024)
        }
    }

    /// Writes the index of a finished head; its bytes are valid until the next `receive`.
    func read(_ record: HeadRecord, into head: inout MessageHead) -> ByteView {
        head.reset()
        head.length = UInt16(record.length)
        head.fieldsStart = UInt16(record.startLineLength)
        head.method = record.method
        head.methodToken = record.methodToken
        head.target = record.target
        head.path = record.path
        head.authority = record.authority
        head.status = UInt16(record.status)
        head.reason = ByteRange(start: max(record.startLineLength - 2, 0), count: 0)
        head.version = 20
        head.body = record.body
        head.keepsAlive = true
        head.expectsContinue = record.expectsContinue
        head.hasUpgrade = record.hasUpgrade
        head.acceptsTrailers = record.acceptsTrailers
        for index in record.fieldsFrom..<(record.fieldsFrom + record.fieldCount) {
            // There are `fieldsMax` at the most: `write` saw to it.
            _ = head.append(fields[index])
        }
        if record.hasUpgrade, let index = head.firstIndex(of: .upgrade) { head.markConnectionOption(index) }
        return bytes.view(record.bytesStart..<(record.bytesStart + record.length))
    }
}

// Pseudo fields and the start line.
extension HeadAssembler {
    private mutating func appendPseudo(_ name: ByteView, _ value: ByteView) {
        // All of them come before the first regular field, each once (RFC 9113 section 8.3).
        guard !startLineIsWritten, kind != .trailers else { return verdict = .malformed }
        let isFine =
            switch (kind, name.count) {
            case (.request, 5) where name.equals(":path"):
                Self.bytesAre(MARTLET_H2_PATH, value) && Self.keep(value, in: &path, &scratch)
            case (.request, 7) where name.equals(":method"):
                !value.isEmpty && Self.bytesAre(MARTLET_H2_TOKEN, value)
                    && Self.keep(value, in: &method, &scratch)
            case (.request, 7) where name.equals(":scheme"):
                Self.isScheme(value) && Self.keep(value, in: &scheme, &scratch)
            case (.request, 10) where name.equals(":authority"):
                Self.bytesAre(MARTLET_H2_AUTHORITY, value) && Self.keep(value, in: &authority, &scratch)
            case (.request, 9) where name.equals(":protocol"):
                !value.isEmpty && Self.bytesAre(MARTLET_H2_TOKEN, value)
                    && Self.keep(value, in: &connectProtocol, &scratch)
            case (.response, 7) where name.equals(":status"):
                keepStatus(value)
            default:
                false
            }
        if !isFine { verdict = .malformed }
    }

    /// false if there is one already.
    private static func keep(
        _ value: ByteView, in place: inout Range<Int>?, _ scratch: inout ByteArena
    ) -> Bool {
        guard place == nil else { return false }
        let start = scratch.count
        scratch.append(value)
        place = start..<scratch.count
        return true
    }

    private mutating func keepStatus(_ value: ByteView) -> Bool {
        // 101 does not exist in HTTP/2 (RFC 9113 section 8.6).
        guard record.status == 0, value.count == 3, let status = value.decimal, status >= 100, status != 101
        else { return false }
        record.status = status
        return true
    }

    private mutating func writeStartLine(allowsExtendedConnect: Bool) {
        startLineIsWritten = true
        switch kind {
        case .trailers: break
        case .response:
            guard record.status != 0 else { return verdict = .malformed }
            bytes.append("HTTP/1.1 ")
            var digits: [3 of UInt8] = [0, 0, 0]
            digits[0] = 0x30 + UInt8(record.status / 100)
            digits[1] = 0x30 + UInt8(record.status / 10 % 10)
            digits[2] = 0x30 + UInt8(record.status % 10)
            bytes.append(digits)
            bytes.append(" \r\n")
            record.startLineLength = 15
        case .request:
            writeRequestLine(allowsExtendedConnect: allowsExtendedConnect)
        }
    }

    private mutating func writeRequestLine(allowsExtendedConnect: Bool) {
        guard let method else { return verdict = .malformed }
        let isConnect = scratch.view(method).equals("CONNECT")
        let isExtended = connectProtocol != nil
        guard !isExtended || (isConnect && allowsExtendedConnect && authority != nil) else {
            return verdict = .malformed
        }
        guard scratch.count + 64 <= MessageHead.bytesMax else { return verdict = .tooLarge }
        let target: Range<Int>
        if isConnect, !isExtended {
            // Only :method and :authority (RFC 9113 section 8.5).
            guard scheme == nil, path == nil, let authority else { return verdict = .malformed }
            target = authority
        } else {
            guard scheme != nil, let path, isPath(scratch.view(path), of: scratch.view(method)) else {
                return verdict = .malformed
            }
            target = path
        }
        // An extended CONNECT is what HTTP/1.1 writes as a GET with an upgrade (RFC 8441 section 5).
        if isExtended { bytes.append("GET") } else { bytes.append(scratch.view(method)) }
        let methodCount = isExtended ? 3 : method.count
        bytes.append(" ")
        bytes.append(scratch.view(target))
        bytes.append(" HTTP/1.1\r\n")
        record.method = isExtended ? .get : Method(scratch.view(method))
        record.methodToken = ByteRange(start: 0, count: methodCount)
        record.target = ByteRange(start: methodCount + 1, count: target.count)
        record.startLineLength = bytes.count - record.bytesStart
        if !isConnect || isExtended { record.path = record.target }
        if let authority {
            guard !authority.isEmpty else { return verdict = .malformed }
            let place = write("host", scratch.view(authority), .host)
            record.authority = place
        }
        if let connectProtocol {
            write("connection", ByteView("upgrade"), .connection)
            write("upgrade", scratch.view(connectProtocol), .upgrade)
            record.hasUpgrade = true
        }
    }

    private func isPath(_ path: ByteView, of method: ByteView) -> Bool {
        guard path.count > 0 else { return false }
        return path[0] == 0x2f || (path.equals("*") && method.equals("OPTIONS"))
    }
}

// Regular fields.
extension HeadAssembler {
    private mutating func appendRegular(_ name: ByteView, _ value: ByteView) {
        let known = FieldName(name)
        switch known {
        case .other: break
        case .connection, .proxyConnection, .keepAlive, .transferEncoding, .upgrade:
            // They have no meaning in HTTP/2 (RFC 9113 section 8.2.2).
            return verdict = .malformed
        case .te:
            guard value.equalsIgnoringCase("trailers") else { return verdict = .malformed }
            record.acceptsTrailers = true
        case .host:
            if kind == .request { return appendHost(value) }
        case .contentLength:
            guard kind != .trailers, record.contentLength == nil, let length = value.decimal else {
                return verdict = .malformed
            }
            record.contentLength = Int64(length)
        case .cookie:
            return appendCookie(value)
        case .expect:
            if value.equalsIgnoringCase("100-continue") { record.expectsContinue = true }
        default: break
        }
        write(name, value, known)
    }

    /// `Host` must say what `:authority` says, and is then dropped (RFC 9113 section 8.3.1).
    private mutating func appendHost(_ value: ByteView) {
        if let authority {
            if !scratch.view(authority).equalsIgnoringCase(value) { verdict = .malformed }
            return
        }
        guard record.authority.isEmpty, value.count > 0, Self.bytesAre(MARTLET_H2_AUTHORITY, value) else {
            return verdict = .malformed
        }
        record.authority = write("host", value, .host)
    }

    private mutating func appendCookie(_ value: ByteView) {
        guard cookies.count + value.count <= MessageHead.bytesMax else { return verdict = .tooLarge }
        if hasCookies { cookies.append("; ") }
        hasCookies = true
        cookies.append(value)
    }

    @discardableResult
    private mutating func write(_ name: StaticString, _ value: ByteView, _ known: FieldName) -> ByteRange {
        write(ByteView(name), value, known)
    }

    /// Gives the place of the value.
    @discardableResult
    private mutating func write(_ name: ByteView, _ value: ByteView, _ known: FieldName) -> ByteRange {
        let nameStart = bytes.count - record.bytesStart
        let lineEnd = nameStart + name.count + value.count + 4
        guard lineEnd + 2 <= MessageHead.bytesMax, fields.count - record.fieldsFrom < MessageHead.fieldsMax
        else {
            verdict = .tooLarge
            return .empty
        }
        let valueStart = bytes.appendLine(name, value) - record.bytesStart
        fields.append(
            Field(
                nameStart: nameStart, nameCount: name.count, valueStart: valueStart, valueCount: value.count,
                lineEnd: lineEnd, name: known))
        return ByteRange(start: valueStart, count: value.count)
    }
}

// What may stand where.
extension HeadAssembler {
    private static func bytesAre(_ byteClass: Int, _ bytes: ByteView) -> Bool {
        unsafe martlet_h2_bytes_are(CInt(byteClass), bytes.pointer, bytes.count) != 0
    }

    /// No control characters but tab, and no white space at either end (RFC 9113 section 8.2.1).
    private static func isValue(_ value: ByteView) -> Bool {
        guard value.count > 0 else { return true }
        let (first, last) = (value[0], value[value.count - 1])
        guard first != 0x20, first != 0x09, last != 0x20, last != 0x09 else { return false }
        return unsafe martlet_h2_is_value(value.pointer, value.count) != 0
    }

    private static func isScheme(_ value: ByteView) -> Bool {
        value.equals("http") || value.equals("https")
    }
}
