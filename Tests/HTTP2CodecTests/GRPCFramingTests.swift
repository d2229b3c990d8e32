import HTTP2Codec
import MeshPrimitives
import Testing

@Suite struct GRPCFramingTests {
    private func decode(_ chunks: [[UInt8]], messageMax: Int = 1000) throws(GRPCFramingError) -> [[UInt8]] {
        var decoder = GRPCMessageDecoder(messageMax: messageMax)
        var messages: [[UInt8]] = []
        for chunk in chunks {
            chunk.withByteView { decoder.append($0) }
            while let message = try decoder.next() { messages.append(message) }
        }
        #expect(decoder.isBetweenMessages)
        return messages
    }

    @Test("Every split of the bytes gives the same messages")
    func splits() throws {
        let messages: [[UInt8]] = [[1, 2, 3], [], Array(repeating: 7, count: 300), [9]]
        let bytes = messages.flatMap { GRPCFraming.frame($0) }
        #expect(try decode([bytes]) == messages)
        #expect(try decode(bytes.map { [$0] }) == messages)
        for cut in 0...bytes.count {
            #expect(try decode([Array(bytes[..<cut]), Array(bytes[cut...])]) == messages)
        }
    }

    @Test("A message beyond the bound is refused by its prefix, before it is buffered")
    func bound() {
        #expect(throws: GRPCFramingError.messageTooLarge(length: 1001, max: 1000)) {
            try decode([GRPCFraming.prefix(length: 1001)])
        }
    }

    @Test("Compressed messages and unknown flags are refused")
    func flags() {
        #expect(throws: GRPCFramingError.compressed) { try decode([[1, 0, 0, 0, 0]]) }
        #expect(throws: GRPCFramingError.malformed) { try decode([[2, 0, 0, 0, 0]]) }
    }
}
