import HTTPModel
import MeshPrimitives

/// A message head made from lines, for tests: what a codec would make of them.
struct Head {
    var head = MessageHead()
    var bytes: [UInt8] = []

    init(request line: String, _ fields: [(String, String)] = []) {
        bytes = Array((line + "\r\n").utf8)
        head.fieldsStart = UInt16(bytes.count)
        let words = line.split(separator: " ")
        let method = words[0].utf8.count
        head.methodToken = ByteRange(start: 0, count: method)
        head.method = Array(words[0].utf8).withByteView { Method($0) }
        head.path = ByteRange(start: method + 1, count: words[1].utf8.count)
        head.target = head.path
        add(fields)
        if let host = head.firstIndex(of: .host) {
            let field = head.field(host)
            head.authority = ByteRange(start: Int(field.valueStart), count: Int(field.valueCount))
        }
    }

    init(status: UInt16, _ fields: [(String, String)] = []) {
        bytes = Array("HTTP/1.1 \(status) \r\n".utf8)
        head.fieldsStart = UInt16(bytes.count)
        head.status = status
        add(fields)
    }

    private mutating func add(_ fields: [(String, String)]) {
        for (name, value) in fields {
            let start = bytes.count
            bytes += Array("\(name): ".utf8)
            let valueStart = bytes.count
            bytes += Array(value.utf8)
            let valueEnd = bytes.count
            bytes += [13, 10]
            _ = head.append(
                Field(
                    nameStart: start, nameCount: name.utf8.count, valueStart: valueStart,
                    valueCount: valueEnd - valueStart, lineEnd: bytes.count,
                    name: Array(name.utf8).withByteView { FieldName($0) }))
        }
        bytes += [13, 10]
        head.length = UInt16(bytes.count)
    }

    static let none: Head = {
        var head = Head(status: 200)
        head.head = MessageHead()
        return head
    }()
}
