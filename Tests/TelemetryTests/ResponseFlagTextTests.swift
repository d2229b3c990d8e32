import AdminAPI
import Telemetry
import Testing

@Suite struct ResponseFlagTextTests {
    @Test("Every response flag is explained, and nothing else is", arguments: 0..<ResponseFlags.bitCount)
    func all(bit: Int) {
        let letters = ResponseFlags.letters(bit: bit).description
        let text = ResponseFlagText(letters.lowercased())
        #expect(text?.flag == letters)
        #expect(text?.name == ResponseFlags.word(bit: bit).description)
        #expect(text?.meaning.isEmpty == false && text?.advice.isEmpty == false)
        #expect(ResponseFlagText.all.count == ResponseFlags.bitCount)
        #expect(ResponseFlagText("XX") == nil)
    }
}
