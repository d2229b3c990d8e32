import MeshPrimitives
import Testing

@testable import Telemetry

@Suite struct LogBufferTests {
    @Test("Numbers are written in decimal, padded to a width", arguments: UInt64(0)..<200)
    func decimal(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let number = Int(random.next() >> (1 + random.below(63)))
        var buffer = LogBuffer(capacity: 4)
        var expected = ""
        for (width, pad) in [(1, "0"), (2, "0"), (2, " "), (5, "0"), (9, " "), (19, "0")] {
            buffer.append(decimal: number, width: width, pad: pad.utf8.first ?? 0)
            expected += String(repeating: pad, count: max(0, width - "\(number)".count)) + "\(number)"
        }
        #expect(buffer.view.text == expected)
    }

    @Test(
        "Hexadecimal digits are written and read by the word, and nothing else is read",
        arguments: UInt64(0)..<200)
    func hexadecimal(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let number = UInt32(truncatingIfNeeded: random.next() >> random.below(32))
        let text = Hexadecimal.text(number)
        let characters = (0..<8).map { UInt8(truncatingIfNeeded: text >> UInt64(8 * $0)) }
        let plain = String(number, radix: 16)
        #expect(
            String(decoding: characters, as: UTF8.self) == String(repeating: "0", count: 8 - plain.count)
                + plain)
        #expect(Hexadecimal.number(text, allowsCapitals: false) == number)
        let place = random.below(8) * 8
        for byte in UInt64(0)..<256 {
            let changed = text & ~(0xff << place) | byte << place
            let character = UInt8(byte)
            let isDigit = (0x30...0x39).contains(character) || (0x61...0x66).contains(character)
            let isCapital = (0x41...0x46).contains(character)
            #expect((Hexadecimal.number(changed, allowsCapitals: false) != nil) == isDigit)
            #expect((Hexadecimal.number(changed, allowsCapitals: true) != nil) == (isDigit || isCapital))
        }
    }

    @Test("A line grows up to its bound, where it is cut and not lost")
    func bound() {
        var buffer = LogBuffer(capacity: 8)
        let piece = [UInt8](repeating: 0x61, count: 100_000)
        for _ in 0..<20 { piece.withByteView { buffer.append($0) } }
        #expect(buffer.count > 900_000 && buffer.count <= LogBuffer.countMax)
        buffer.truncate(to: 3)
        buffer.insert(0x62, at: 1)
        #expect(buffer.view.text == "abaa")
    }
}
