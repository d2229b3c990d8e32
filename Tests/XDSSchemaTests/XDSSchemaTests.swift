import Foundation
import Testing

@testable import XDSSchema

/// The examples of mesh-config/bootstrap and what tests need to look at them.
enum Examples {
    static let names = ["static", "ads", "features"]

    static func text(_ name: String) throws -> [UInt8] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return [UInt8](
            try Data(contentsOf: root.appendingPathComponent("mesh-config/bootstrap/\(name).yaml")))
    }

    static func binary(_ name: String) -> [UInt8] {
        switch name {
        case "static": decoded(WireFixtures.staticBinary)
        case "ads": decoded(WireFixtures.adsBinary)
        default: decoded(WireFixtures.featuresBinary)
        }
    }

    static func json(_ name: String) -> [UInt8] {
        switch name {
        case "static": decoded(WireFixtures.staticJSON)
        case "ads": decoded(WireFixtures.adsJSON)
        default: decoded(WireFixtures.featuresJSON)
        }
    }

    static func decoded(_ base64: String) -> [UInt8] { [UInt8](Data(base64Encoded: base64) ?? Data()) }
}

/// The message, or the problems as an issue of the test.
func read(_ text: String, as type: MessageType = XDS.Bootstrap.messageType) -> ConfigMessage? {
    var problems = ConfigProblems()
    let message = TextReader.read(Array(text.utf8), as: type, file: "f", problems: &problems)
    for problem in problems.list { Issue.record("\(problem)") }
    return message
}

/// What a text is refused for.
func problems(_ text: String, as type: MessageType = XDS.Bootstrap.messageType) -> [String] {
    var problems = ConfigProblems()
    if let message = TextReader.read(Array(text.utf8), as: type, file: "f", problems: &problems) {
        message.validate(problems: &problems)
    }
    return problems.list.map(\.description)
}

extension ConfigMessage {
    /// With the entries of maps by rising key, since protobuf gives them no order.
    var sorted: ConfigMessage {
        var copy = self
        copy.fields = fields.map {
            ConfigField(number: $0.number, value: $0.value.sorted, position: $0.position)
        }
        return copy
    }
}

extension ConfigValue {
    fileprivate var sorted: ConfigValue {
        switch self {
        case .message(let message): .message(message.sorted)
        case .list(let values): .list(values.map(\.sorted))
        case .map(let entries):
            .map(
                entries.map { ConfigMapEntry(key: $0.key, value: $0.value.sorted) }.sorted { $0.key < $1.key }
            )
        case .bool, .signed, .unsigned, .double, .text, .bytes, .enumerated: self
        }
    }
}

@Suite("Examples")
struct ExampleTests {
    @Test("A YAML example says what other software's binary and JSON of it say", arguments: Examples.names)
    func sameInEveryForm(name: String) throws {
        var problems = ConfigProblems()
        let type = XDS.Bootstrap.messageType
        let yaml = TextReader.read(try Examples.text(name), as: type, file: name, problems: &problems)
        let binary = WireReader.read(Examples.binary(name), as: type, problems: &problems)
        let json = TextReader.read(Examples.json(name), as: type, file: "\(name).json", problems: &problems)
        #expect(problems.list.map(\.description) == [])
        let expected = try #require(yaml).sorted
        #expect(binary?.sorted == expected)
        #expect(json?.sorted == expected)
        expected.validate(problems: &problems)
        #expect(problems.list.map(\.description) == [])
    }

    @Test("What is written is read as the same value", arguments: Examples.names)
    func roundTrip(name: String) throws {
        var problems = ConfigProblems()
        let type = XDS.Bootstrap.messageType
        let message = try #require(
            TextReader.read(try Examples.text(name), as: type, file: name, problems: &problems))
        let binary = WireReader.read(WireWriter.write(message), as: type, problems: &problems)
        let json = TextReader.read(JSONWriter.write(message), as: type, file: "json", problems: &problems)
        let compact = JSONWriter.write(message, isIndented: false)
        let fromCompact = TextReader.read(compact, as: type, file: "json", problems: &problems)
        #expect(problems.list.map(\.description) == [])
        #expect(binary == message)
        #expect(json == message)
        #expect(fromCompact == message)
    }

    @Test("Binary is written as other software writes it")
    func sameBytes() throws {
        var problems = ConfigProblems()
        for name in ["static", "ads"] {
            let message = WireReader.read(
                Examples.binary(name), as: XDS.Bootstrap.messageType, problems: &problems)
            #expect(WireWriter.write(try #require(message)) == Examples.binary(name))
        }
        #expect(problems.isEmpty)
    }

    @Test("Any change of any byte is read or refused, never a trap", arguments: UInt64(0)..<60)
    func mutations(seed: UInt64) throws {
        var random = TestRandom(state: seed)
        let name = Examples.names[Int(seed) % 3]
        let seeds = [Examples.binary(name), Examples.json(name), try Examples.text(name)]
        for (index, original) in seeds.enumerated() {
            for _ in 0..<12 {
                var bytes = original
                for _ in 0..<Int.random(in: 1...4, using: &random) { mutate(&bytes, &random) }
                var problems = ConfigProblems()
                let type = XDS.Bootstrap.messageType
                let message =
                    index == 0
                    ? WireReader.read(bytes, as: type, problems: &problems)
                    : TextReader.read(bytes, as: type, file: "f", problems: &problems)
                #expect((message == nil) == !problems.isEmpty)
                if index > 0, let straight = JSONReader.read(bytes, as: type, source: 0, bounds: .standard) {
                    var others = ConfigProblems()
                    let tree = TextReader.readTree(bytes, as: type, source: 0, problems: &others)
                    #expect(straight == tree)
                }
                guard let message else { continue }
                message.validate(problems: &problems)
                let again = WireReader.read(WireWriter.write(message), as: type, problems: &problems)
                if problems.isEmpty { #expect(again == message) }
                _ = JSONWriter.write(message)
            }
        }
    }

    private func mutate(_ bytes: inout [UInt8], _ random: inout TestRandom) {
        guard !bytes.isEmpty else { return }
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.remove(at: place)
        case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place)
        case 3: bytes.removeSubrange(place...)
        case 4:
            let end = min(bytes.count, place + 20)
            bytes.insert(contentsOf: bytes[place..<end], at: Int.random(in: 0..<bytes.count, using: &random))
        default: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        }
    }
}

/// SplitMix64.
struct TestRandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
