import Foundation

/// A head as it came, and the body behind it.
public struct HTTPMessage: Sendable {
    /// The request line or status line.
    public var firstLine: String
    /// Names keep their case.
    public var fields: [(name: String, value: String)] = []
    public var body: [UInt8] = []
    /// Bytes of the body, where it was too long to keep.
    public var bodyCount = 0
    public var trailers: [(name: String, value: String)] = []
    /// Status codes of interim answers that came before.
    public var interim: [Int] = []

    public var status: Int { Int(firstLine.split(separator: " ").dropFirst().first ?? "") ?? 0 }
    public var method: String { String(firstLine.split(separator: " ").first ?? "") }
    public var target: String { String(firstLine.split(separator: " ").dropFirst().first ?? "") }
    public var text: String { String(decoding: body, as: UTF8.self) }

    /// The first value under this name, whatever its case.
    public subscript(_ name: String) -> String? {
        fields.first { $0.name.lowercased() == name.lowercased() }?.value
    }

    public func values(of name: String) -> [String] {
        fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
    }
}

extension TCPStream {
    /// Bytes of a body that are kept; of longer ones only their number.
    static var bodyKeptMax: Int { 4 << 20 }

    /// The next head; nil if the stream ends before it begins.
    public func readHead() throws -> HTTPMessage? {
        guard let bytes = try read(through: Array("\r\n\r\n".utf8)) else {
            guard pending.isEmpty else {
                throw TestFailure(
                    "the stream ended within a head: \"\(String(decoding: pending, as: UTF8.self))\"")
            }
            return nil
        }
        var lines = String(decoding: bytes, as: UTF8.self).components(separatedBy: "\r\n")
        lines.removeLast(2)
        var message = HTTPMessage(firstLine: lines.isEmpty ? "" : lines.removeFirst())
        message.fields = lines.map(Self.field)
        return message
    }

    private static func field(_ line: String) -> (name: String, value: String) {
        let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        return (String(parts[0]), parts.count == 2 ? parts[1].trimmingCharacters(in: .whitespaces) : "")
    }

    /// The next final answer; `toHead` says that it answers a HEAD request.
    public func readAnswer(toHead: Bool = false) throws -> HTTPMessage {
        var interim: [Int] = []
        while true {
            guard var message = try readHead() else {
                throw TestFailure("the connection ended without an answer")
            }
            if (100..<200).contains(message.status) && message.status != 101 {
                interim.append(message.status)
                continue
            }
            message.interim = interim
            if toHead || message.status == 204 || message.status == 304 { return message }
            try readBody(of: &message, untilEnd: true)
            return message
        }
    }

    /// Reads the body that the head announces.
    public func readBody(of message: inout HTTPMessage, untilEnd: Bool) throws {
        if message["transfer-encoding"]?.lowercased().hasSuffix("chunked") == true {
            try readChunks(of: &message)
        } else if let text = message["content-length"] {
            guard let length = Int(text) else { throw TestFailure("content-length is \"\(text)\"") }
            message.bodyCount = length
            if length > Self.bodyKeptMax {
                let came = try discard(length)
                guard came == length else {
                    throw TestFailure("the stream ended after \(came) of \(length) bytes")
                }
            } else if let body = try read(length) {
                message.body = body
            } else {
                throw TestFailure("the stream ended after \(pending.count) of \(length) bytes of a body")
            }
        } else if untilEnd {
            message.body = try readToEnd()
            message.bodyCount = message.body.count
        }
    }

    private func readChunks(of message: inout HTTPMessage) throws {
        let lineEnd = Array("\r\n".utf8)
        while true {
            guard let line = try read(through: lineEnd) else {
                throw TestFailure("the stream ended within chunks")
            }
            let size = String(decoding: line.dropLast(2).prefix { $0 != UInt8(ascii: ";") }, as: UTF8.self)
            guard let length = Int(size, radix: 16) else {
                throw TestFailure("a chunk's size is \"\(size)\"")
            }
            if length == 0 { break }
            message.bodyCount += length
            if message.body.count + length > Self.bodyKeptMax {
                guard try discard(length + 2) == length + 2 else {
                    throw TestFailure("the stream ended within a chunk")
                }
                continue
            }
            guard let data = try read(length + 2) else {
                throw TestFailure("the stream ended within a chunk")
            }
            message.body += data.dropLast(2)
        }
        while let line = try read(through: lineEnd) {
            if line.count == 2 { return }
            message.trailers.append(Self.field(String(decoding: line.dropLast(2), as: UTF8.self)))
        }
        throw TestFailure("the stream ended within trailers")
    }
}

/// One request on a connection of its own.
public func fetch(
    port: UInt16, _ method: String = "GET", _ path: String = "/", host: String = "test",
    fields: [(String, String)] = [], body: String? = nil, patience: Double = 10
) throws -> HTTPMessage {
    let stream = try TCPStream(port: port)
    defer { stream.close() }
    stream.patience = patience
    try stream.sendRequest(method, path, host: host, fields: fields + [("connection", "close")], body: body)
    return try stream.readAnswer(toHead: method == "HEAD")
}

extension TCPStream {
    public func sendRequest(
        _ method: String = "GET", _ path: String = "/", host: String = "test",
        fields: [(String, String)] = [], body: String? = nil
    ) throws {
        var text = "\(method) \(path) HTTP/1.1\r\nhost: \(host)\r\n"
        for (name, value) in fields { text += "\(name): \(value)\r\n" }
        if let body { text += "content-length: \(body.utf8.count)\r\n" }
        try send(text + "\r\n" + (body ?? ""))
    }
}
