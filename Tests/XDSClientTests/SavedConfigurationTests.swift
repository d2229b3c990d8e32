import MeshPrimitives
import Testing

@testable import XDSClient

@Suite("SavedConfiguration")
struct SavedConfigurationTests {
    private let sample = SavedConfiguration(resources: [
        .init(kind: .cluster, name: "ä", version: "7", bytes: [1, 2, 3]),
        .init(kind: .secret, name: "", version: "", bytes: []),
        .init(kind: .listener, name: "l", version: "8", bytes: [UInt8](repeating: 9, count: 70_000)),
    ])

    @Test("What was written is read again")
    func roundTrip() {
        #expect(SavedConfiguration(encoded: sample.encoded()) == sample)
        let empty = SavedConfiguration(resources: [])
        #expect(SavedConfiguration(encoded: empty.encoded()) == empty)
    }

    @Test("Damaged bytes are noticed, wherever the damage is", arguments: UInt64(0)..<300)
    func damage(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var bytes = sample.encoded()
        let place = Int(random.below(UInt64(bytes.count)))
        if seed.isMultiple(of: 3) {
            bytes.removeLast(bytes.count - place)
        } else {
            bytes[place] ^= 1 << UInt8(random.below(8))
        }
        #expect(SavedConfiguration(encoded: bytes) == nil)
    }
}
