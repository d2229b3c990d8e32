/// The fields of a message, in the order in which they came.
struct HTTPFields: Sendable {
    var list: [(name: String, value: String)] = []

    /// The first value under this name, in whichever case it is written.
    subscript(name: String) -> String? {
        list.first { $0.name.lowercased() == name }?.value
    }

    mutating func append(_ name: String, _ value: String) { list.append((name, value)) }
}

struct HTTPRequest: Sendable {
    var method: String
    var path: String
    var query: [String: String] = [:]
    var fields = HTTPFields()
    var body: [UInt8] = []
    var wantsClose = false

    init(method: String, target: String) {
        self.method = method
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = String(parts[0])
        guard parts.count == 2 else { return }
        for pair in parts[1].split(separator: "&") {
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            query[String(sides[0])] = sides.count == 2 ? String(sides[1]) : ""
        }
    }
}

struct HTTPResponse: Sendable {
    var status: Int
    var fields = HTTPFields()
    var body: [UInt8] = []
    /// Not empty: sent as these chunks, with `body` left out.
    var chunks: [[UInt8]] = []

    init(_ status: Int, json: JSON) {
        self.status = status
        fields.append("content-type", "application/json")
        body = Array((json.text + "\n").utf8)
    }

    init(status: Int) { self.status = status }

    /// The bytes on the wire.
    func encoded(headOnly: Bool, closing: Bool) -> [UInt8] {
        var head = "HTTP/1.1 \(status) \(status < 400 ? "OK" : "Error")\r\n"
        for field in fields.list { head += "\(field.name): \(field.value)\r\n" }
        if closing { head += "connection: close\r\n" }
        head +=
            chunks.isEmpty ? "content-length: \(body.count)\r\n\r\n" : "transfer-encoding: chunked\r\n\r\n"
        var bytes = Array(head.utf8)
        if headOnly { return bytes }
        bytes += body
        if chunks.isEmpty { return bytes }
        for chunk in chunks {
            bytes += Array((String(chunk.count, radix: 16) + "\r\n").utf8) + chunk + [0x0d, 0x0a]
        }
        return bytes + Array("0\r\n\r\n".utf8)
    }
}

/// Just enough JSON for answers.
indirect enum JSON: Sendable {
    case string(String), integer(Int), number(Double), bool(Bool), array([JSON]), object([(String, JSON)])
    /// Text that is JSON already: another service's answer.
    case raw(String)

    var text: String {
        switch self {
        case .string(let value): return JSON.quoted(value)
        case .integer(let value): return String(value)
        case .number(let value): return String(value)
        case .bool(let value): return value ? "true" : "false"
        case .array(let values): return "[" + values.map(\.text).joined(separator: ",") + "]"
        case .object(let members):
            return "{" + members.map { JSON.quoted($0.0) + ":" + $0.1.text }.joined(separator: ",") + "}"
        case .raw(let text): return text
        }
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\" + String(scalar)
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
