import MeshPrimitives
import Testing

@Suite struct DigitTests {
    @Test(
        "Numbers come out as their digits",
        arguments: [
            0, 9, 10, 99, 100, 12_345_678, 99_999_999, 100_000_000, 100_000_007, 9_999_999_999_999_999,
            10_000_000_000_000_000, 1_000_000_000_000_000_001, Int.max,
        ])
    func decimal(_ number: Int) {
        var pool = BufferPool()
        var buffer = pool.take(100)
        let fits = buffer.append(decimal: number)
        #expect(fits && buffer.view.text == String(number))
        pool.give(&buffer)
    }

    @Test("Parts of an address come out as their digits")
    func octets() {
        var pool = BufferPool()
        for number in UInt8.min...UInt8.max {
            var buffer = pool.take(100)
            let fits = buffer.append(octet: number)
            #expect(fits && buffer.view.text == String(number))
            pool.give(&buffer)
        }
    }

    @Test("Digits are all written or none, up to the buffer's last byte")
    func room() {
        var pool = BufferPool()
        for left in 0..<20 {
            var buffer = pool.take(100)
            while buffer.room > left { _ = buffer.append(0x2e) }
            let count = buffer.count
            let fits = buffer.append(decimal: 123_456_789_012)
            #expect(fits == (left >= 12) && buffer.count == (fits ? count + 12 : count))
            if fits { #expect(buffer.view.dropFirst(count).text == "123456789012") }
            pool.give(&buffer)
        }
    }

    @Test("A writer lowers the letters of a name of any length, and nothing else")
    func lowercase() {
        var pool = BufferPool()
        let text = "X-@[`{Az09\u{c0}-ABCDEFGHIJKLMNOPQRSTUVWXYZ-Long-Name: VALUE"
        Array(text.utf8).withByteView { bytes in
            for count in 0...bytes.count {
                var buffer = pool.take(200)
                if var writer = unsafe buffer.writer {
                    unsafe writer.putLowercased(bytes, upTo: count)
                    unsafe buffer.commit(writer)
                }
                let wanted = bytes.bytes.enumerated().map { $0 < count ? $1.asciiLowercased : $1 }
                #expect(buffer.view.bytes == wanted)
                pool.give(&buffer)
            }
        }
    }
}
