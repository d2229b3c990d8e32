import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct StableHashTests {
    private func bytes(_ text: String, _ hash: (ByteView) -> UInt64) -> UInt64 { text.withByteView(hash) }

    @Test(
        "XXH64 gives the numbers of its reference implementation",
        arguments: [
            ("", 0xef46db3751d8e999, 0xd5afba1336a3be4b),
            ("a", 0xd24ec4f1a98c6e5b, 0xdec2bc81c3cd46c6),
            ("foo", 0x33bf00a859c4ba3f, 0xc34823c5bf4f2cbd),
            ("bar", 0x48a37c90ad27a659, 0x65c69eb6b1700270),
            ("lyft", 0x3d129870ca369420, 0x01223af31c504621),
            ("10.0.0.1:80_0", 0x75041381e7371a08, 0x886565a2d161b779),
            ("0123456789abcdef", 0x5c5b90c34e376d0b, 0x95398bc8fb82b74d),
            ("The quick brown fox jumps over the lazy dog", 0x0b242d361fda71bc, 0xdf5091b6dad2c6db),
            (
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                0x92f0de5a88a3c094, 0xa27aec103fa2bdae
            ),
        ] as [(String, UInt64, UInt64)])
    func xxHash64(text: String, plain: UInt64, seeded: UInt64) {
        #expect(bytes(text) { StableHash.xxHash64($0) } == plain)
        #expect(bytes(text) { StableHash.xxHash64($0, seed: 1) } == seeded)
    }

    @Test(
        "MurmurHash2 gives the numbers of libstdc++",
        arguments: [
            ("", 0x553e93901e462a6e),
            ("a", 0x454ddee488c1ed6b),
            ("foo", 0x85a8e535edf11e5a),
            ("bar", 0x9f3e11fb306a76b3),
            ("lyft", 0xb249fe38bf33fc28),
            ("10.0.0.1:80_0", 0xbd8f6461ecffb28c),
            ("0123456789abcdef", 0x934b0d760642ed86),
            ("The quick brown fox jumps over the lazy dog", 0xdccbf2541704bc75),
        ] as [(String, UInt64)])
    func murmur2(text: String, expected: UInt64) {
        #expect(bytes(text) { StableHash.murmur2($0) } == expected)
    }
}
