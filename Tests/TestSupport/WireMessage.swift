/// What stands in one protobuf message, by number.
public struct WireMessage {
    public var numbers: [Int: [UInt64]] = [:]
    public var chunks: [Int: [[UInt8]]] = [:]

    public init(_ bytes: [UInt8]) {
        var rest = bytes[...]
        func varint() -> UInt64 {
            var (number, shift) = (UInt64(0), UInt64(0))
            while let byte = rest.popFirst() {
                number |= UInt64(byte & 0x7f) << shift
                shift += 7
                if byte < 0x80 { break }
            }
            return number
        }
        while !rest.isEmpty {
            let key = varint()
            let field = Int(key >> 3)
            switch key & 7 {
            case 0: numbers[field, default: []].append(varint())
            case 2:
                let count = Int(varint())
                chunks[field, default: []].append(Array(rest.prefix(count)))
                rest = rest.dropFirst(count)
            default:
                let count = key & 7 == 1 ? 8 : 4
                let number = rest.prefix(count).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                numbers[field, default: []].append(number)
                rest = rest.dropFirst(count)
            }
        }
    }

    public func text(_ field: Int) -> String? {
        chunks[field]?.first.map { String(decoding: $0, as: UTF8.self) }
    }
    public func messages(_ field: Int) -> [WireMessage] { (chunks[field] ?? []).map { WireMessage($0) } }

    /// Of a span of OpenTelemetry's.
    public var attributes: [String: String] {
        var found: [String: String] = [:]
        for pair in messages(9) {
            let value = pair.messages(2).first
            let text = value?.text(1) ?? value?.numbers[3]?.first.map { "\($0)" }
            found[pair.text(1) ?? ""] = text
        }
        return found
    }
}
