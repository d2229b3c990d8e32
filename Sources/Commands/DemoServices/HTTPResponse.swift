/// An answer, received or to be sent.
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
