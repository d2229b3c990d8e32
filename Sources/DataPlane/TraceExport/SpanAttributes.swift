/// The attributes of a span (opentelemetry.proto.common.v1.KeyValue), in the order in which they are added.
struct SpanAttributes {
    enum Value: Equatable {
        case text(String)
        case number(Int64)
    }

    private(set) var values: [(name: String, value: Value)] = []

    /// Empty texts are left out.
    mutating func add(_ name: String, _ text: String) {
        if !text.isEmpty { values.append((name, .text(text))) }
    }

    mutating func add(always name: String, _ text: String) { values.append((name, .text(text))) }

    mutating func add(_ name: String, _ number: some BinaryInteger) {
        values.append((name, .number(Int64(clamping: number))))
    }

    /// Field 9 of a span.
    func write(to bytes: inout WireBytes) {
        for (name, value) in values { Self.write(name, value, field: 9, to: &bytes) }
    }

    static func write(_ name: String, _ value: Value, field: UInt64, to bytes: inout WireBytes) {
        bytes.message(field) { pair in
            pair.text(1, name)
            pair.message(2) { any in
                switch value {
                case .text(let text): any.text(1, text)
                case .number(let number): any.number(3, UInt64(bitPattern: number))
                }
            }
        }
    }
}
