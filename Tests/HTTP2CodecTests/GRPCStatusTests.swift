import HTTP2Codec
import MeshPrimitives
import Testing

@Suite struct GRPCStatusTests {
    @Test(
        "Messages are percent-decoded; what is not well formed stands for itself",
        arguments: [
            ("plain", "plain"), ("a%20b%C3%A9", "a b\u{e9}"), ("%", "%"), ("%4", "%4"), ("%zz", "%zz"),
            ("", ""),
            ("100%25", "100%"),
        ])
    func decoding(text: String, message: String) {
        #expect(text.withByteView { GRPCStatus.decodeMessage($0) } == message)
    }

    @Test("What is encoded is decoded to the same", arguments: ["", "100% \u{e9}\n", "no such cluster: a|b"])
    func roundTrip(message: String) {
        let encoded = GRPCStatus.encodeMessage(message)
        #expect(encoded.allSatisfy { $0 >= 0x20 && $0 <= 0x7e })
        #expect(encoded.withByteView { GRPCStatus.decodeMessage($0) } == message)
    }
}
