import Glibc

/// Reads one message after the other from a blocking socket. Head and body have a bound; what is beyond it, or is
/// no HTTP/1.1, ends the connection.
struct HTTPReader {
    /// Bytes of a head, and of a body.
    static let headMax = 64 << 10
    static let bodyMax = 4 << 20

    enum Failure: Error { case closed, malformed }

    private let descriptor: CInt
    private var buffer: [UInt8] = []
    private var position = 0

    init(_ descriptor: CInt) { self.descriptor = descriptor }

    /// The next request; `closed` if the peer ended the connection between two.
    mutating func request() throws(Failure) -> HTTPRequest {
        let (first, fields) = try head()
        let words = first.split(separator: " ")
        guard words.count == 3, words[2].hasPrefix("HTTP/1.") else { throw .malformed }
        var request = HTTPRequest(method: String(words[0]), target: String(words[1]))
        request.fields = fields
        let connection = fields["connection"]?.lowercased()
        request.wantsClose = connection == "close" || (words[2] == "HTTP/1.0" && connection != "keep-alive")
        if fields["expect"]?.lowercased() == "100-continue" {
            _ = Socket.write(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8), to: descriptor)
        }
        request.body = try body(fields, untilClose: false)
        return request
    }

    /// The answer to a request; interim ones are skipped. The second part says whether the connection stays usable.
    mutating func response() throws(Failure) -> (HTTPResponse, reusable: Bool) {
        while true {
            let (first, fields) = try head()
            let words = first.split(separator: " ", maxSplits: 2)
            guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
                throw .malformed
            }
            if status < 200 { continue }
            var response = HTTPResponse(status: status)
            response.fields = fields
            let hasLength = fields["content-length"] != nil || fields["transfer-encoding"] != nil
            let hasBody = status != 204 && status != 304
            if hasBody { response.body = try body(fields, untilClose: !hasLength) }
            let closing = fields["connection"]?.lowercased() == "close" || (hasBody && !hasLength)
            return (response, !closing)
        }
    }

    private mutating func head() throws(Failure) -> (first: String, fields: HTTPFields) {
        let first = try line()
        var fields = HTTPFields()
        var total = first.utf8.count
        while true {
            let text = try line()
            if text.isEmpty { return (first, fields) }
            total += text.utf8.count
            guard total <= Self.headMax, let colon = text.firstIndex(of: ":") else { throw .malformed }
            let value = text[text.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            fields.append(String(text[..<colon]), String(value))
        }
    }

    private mutating func body(_ fields: HTTPFields, untilClose: Bool) throws(Failure) -> [UInt8] {
        if fields["transfer-encoding"]?.lowercased() == "chunked" { return try chunks() }
        if let text = fields["content-length"] {
            guard let length = Int(text), (0...Self.bodyMax).contains(length) else { throw .malformed }
            return try take(length)
        }
        guard untilClose else { return [] }
        while try fill() { if buffer.count - position > Self.bodyMax { throw .malformed } }
        return try take(buffer.count - position)
    }

    private mutating func chunks() throws(Failure) -> [UInt8] {
        var result: [UInt8] = []
        while true {
            let size = try line().prefix { $0 != ";" }
            guard let length = Int(size, radix: 16), (0...Self.bodyMax).contains(length) else {
                throw .malformed
            }
            if length == 0 {
                while try !line().isEmpty {}  // trailers
                return result
            }
            result += try take(length)
            guard result.count <= Self.bodyMax, try line().isEmpty else { throw .malformed }
        }
    }

    /// The next line without its end.
    private mutating func line() throws(Failure) -> String {
        var scanned = position
        while true {
            if let end = buffer[scanned...].firstIndex(of: 0x0a) {
                let stop = end > position && buffer[end - 1] == 0x0d ? end - 1 : end
                let text = String(decoding: buffer[position..<stop], as: UTF8.self)
                position = end + 1
                return text
            }
            guard buffer.count - position <= Self.headMax else { throw .malformed }
            scanned = buffer.count - position
            guard try fill() else { throw .closed }
        }
    }

    private mutating func take(_ count: Int) throws(Failure) -> [UInt8] {
        while buffer.count - position < count { guard try fill() else { throw .closed } }
        defer { position += count }
        return Array(buffer[position..<position + count])
    }

    /// Reads what there is; false at the end of the stream.
    private mutating func fill() throws(Failure) -> Bool {
        buffer.removeFirst(position)
        position = 0
        var piece = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = piece.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw .closed }
            buffer += piece[..<count]
            return count > 0
        }
    }
}
