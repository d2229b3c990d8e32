import Testing

@testable import XDSSchema

@Suite("Field table")
struct FieldTableTests {
    private static var everyType: [MessageType] {
        (0..<XDSFieldTable.messageCount).map { MessageType(UInt16($0)) }
    }

    @Test("Every message is found by its name, and every field by number, name and JSON name")
    func lookUp() {
        for type in Self.everyType {
            #expect(MessageType(named: type.name) == type)
            for field in type.fields {
                #expect(type.field(numbered: field.number.rawValue) == field)
                #expect(type.field(named: field.name)?.name == field.name)
                let words = field.name.split(separator: "_", omittingEmptySubsequences: false)
                let camel = words.dropFirst().reduce(String(words.first ?? "")) {
                    $0 + $1.prefix(1).uppercased() + $1.dropFirst()
                }
                #expect(type.field(named: camel) == field, "\(type.name).\(camel)")
            }
        }
    }

    @Test("Names that are no message or field are not found")
    func unknown() {
        for name in [
            "", "a", "envoy.config.cluster.v3.Cluste", "envoy.config.cluster.v3.Clusters", "zzz", "é",
        ] {
            #expect(MessageType(named: name) == nil)
        }
        #expect(MessageType(typeURL: "envoy.config.cluster.v3.Cluster") == nil)
        #expect(
            MessageType(typeURL: "type.googleapis.com/envoy.config.cluster.v3.Cluster")
                == XDS.Cluster.messageType)
        #expect(XDS.Cluster.messageType.field(numbered: 9999) == nil)
        #expect(XDS.Cluster.messageType.field(numbered: 0) == nil)
        #expect(XDS.Cluster.messageType.field(named: "nam") == nil)
        #expect(XDS.Cluster.messageType.field(named: "") == nil)
    }

    @Test("Numbers and names are Envoy's")
    func facts() throws {
        let cluster = XDS.Cluster.messageType
        #expect(cluster.field(named: "typed_extension_protocol_options")?.number == 36)
        #expect(cluster.field(named: "transportSocketMatches")?.number == 43)
        #expect(XDS.HttpConnectionManager.commonHttpProtocolOptions.rawValue == 35)
        let thresholds = XDS.CircuitBreakersThresholds.messageType
        #expect(thresholds.field(named: "max_connection_pools")?.isRefused == true)
        #expect(thresholds.field(named: "retry_budget")?.isRefused == false)
        #expect(XDS.FilterChain.messageType.field(named: "metadata")?.isWithoutEffect == true)
    }

    @Test("Every refused field is refused by its name, in JSON and in binary")
    func everyRefusedField() {
        var count = 0
        for type in Self.everyType where !type.hasOwnForm && !type.name.hasSuffix("Entry") {
            for field in type.fields where field.isRefused {
                count += 1
                let text = "{\"\(field.name)\": 1}"
                #expect(
                    problems(text, as: type).contains("f:1:2: \(field.name): not supported; remove it"),
                    "\(type.name).\(field.name)")
                var found = ConfigProblems()
                let key = UInt64(field.number.rawValue) << 3
                var bytes: [UInt8] = []
                var rest = key
                while rest >= 0x80 {
                    bytes.append(UInt8(rest & 0x7F) | 0x80)
                    rest >>= 7
                }
                bytes += [UInt8(rest), 1]
                #expect(WireReader.read(bytes, as: type, path: "r", problems: &found) == nil)
                #expect(found.list.map(\.path) == ["r.\(field.name)"])
            }
        }
        #expect(count > 300)
    }

    @Test("Every rule of the table is understood")
    func rules() {
        for type in Self.everyType {
            for field in type.fields where !field.rule.isEmpty {
                for part in field.rule.split(separator: ";") {
                    #expect(
                        "rlinhvpe".contains(part.first ?? "?"), "\(type.name).\(field.name): \(field.rule)")
                }
            }
        }
    }
}
