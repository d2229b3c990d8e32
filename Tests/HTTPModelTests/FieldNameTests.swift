import HTTPModel
import MeshPrimitives
import Testing

struct FieldNameTests {
    @Test("Every known name is found, in either case", arguments: FieldName.allCases.filter { $0 != .other })
    func found(name: FieldName) {
        let text = name.text.text
        #expect(!text.isEmpty && text == text.lowercased())
        #expect(FieldName(name.text) == name)
        #expect(text.uppercased().withByteView { FieldName($0) } == name)
    }

    @Test("A name that differs in one byte is another", arguments: FieldName.allCases.filter { $0 != .other })
    func differs(name: FieldName) {
        let bytes = name.text.bytes
        let texts = Set(FieldName.allCases.map { $0.text.bytes })
        for index in bytes.indices {
            for byte in UInt8.min...UInt8.max where byte.asciiLowercased != bytes[index] {
                var changed = bytes
                changed[index] = byte
                // One step from a known name to another: "x-forwarded-host" and "x-forwarded-port" take two.
                if texts.contains(changed.map(\.asciiLowercased)) { continue }
                #expect(changed.withByteView { FieldName($0) } == .other)
            }
        }
        #expect((bytes + [0x73]).withByteView { FieldName($0) } == .other)
    }

    @Test("Names of any length are looked up without harm")
    func lengths() {
        for count in 0..<100 {
            #expect([UInt8](repeating: 0x78, count: count).withByteView { FieldName($0) } == .other)
        }
        #expect(FieldName.other.text.isEmpty)
    }

    @Test("A set of known names fits in one word")
    func count() { #expect(FieldName.allCases.count <= 64) }

    @Test("Fields about the connection are not forwarded")
    func hopByHop() {
        let names: [FieldName] = [
            .connection, .keepAlive, .proxyConnection, .transferEncoding, .te, .upgrade, .http2Settings,
        ]
        #expect(FieldName.allCases.filter(\.isHopByHop) == FieldName.allCases.filter { names.contains($0) })
    }
}
