import Telemetry

/// Writes JSON from front to back.
struct JSONOutput {
    private(set) var bytes: [UInt8] = []
    private var needsComma = false

    static func document(_ body: (inout JSONOutput) -> Void) -> [UInt8] {
        var output = Self()
        output.object(nil, body)
        return output.bytes
    }

    mutating func object(_ key: String? = nil, _ body: (inout JSONOutput) -> Void) {
        begin(key)
        bytes.append(UInt8(ascii: "{"))
        needsComma = false
        body(&self)
        bytes.append(UInt8(ascii: "}"))
        needsComma = true
    }

    mutating func array(_ key: String? = nil, _ body: (inout JSONOutput) -> Void) {
        begin(key)
        bytes.append(UInt8(ascii: "["))
        needsComma = false
        body(&self)
        bytes.append(UInt8(ascii: "]"))
        needsComma = true
    }

    mutating func value(_ key: String? = nil, _ text: String) {
        begin(key)
        JSONText.append(string: text, to: &bytes)
    }

    mutating func value(_ key: String? = nil, _ number: some BinaryInteger) {
        begin(key)
        bytes += Array(String(number).utf8)
    }

    /// Numbers of 64 bits are strings in proto3's JSON.
    mutating func wide(_ key: String? = nil, _ number: some BinaryInteger) { value(key, String(number)) }

    mutating func value(_ key: String? = nil, _ isTrue: Bool) {
        begin(key)
        bytes += Array((isTrue ? "true" : "false").utf8)
    }

    /// JSON that was written before.
    mutating func raw(_ key: String? = nil, _ json: [UInt8]) {
        begin(key)
        bytes += json
    }

    private mutating func begin(_ key: String?) {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
        guard let key else { return }
        JSONText.append(string: key, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
    }
}
