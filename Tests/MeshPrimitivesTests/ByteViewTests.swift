import MeshPrimitives
import Testing

struct ByteViewTests {
    @Test("A view of a literal, of an array and of a string")
    func sources() {
        #expect(ByteView("abc").text == "abc" && ByteView("").isEmpty)
        #expect([UInt8]([1, 2, 3]).withByteView { $0.bytes } == [1, 2, 3])
        #expect([UInt8]().withByteView { $0.count } == 0)
        #expect("\u{e9}".withByteView { $0.bytes } == [0xc3, 0xa9])
    }

    @Test("Parts of a view")
    func parts() {
        let view = ByteView("hello world")
        #expect(view[4] == 0x6f && view[6..<11].text == "world" && view[3..<3].isEmpty)
        #expect(view.dropFirst(6).text == "world" && view.dropFirst(99).isEmpty)
        #expect(view.prefix(5).text == "hello" && view.prefix(99).count == 11)
        #expect(view.firstIndex(of: 0x6f) == 4 && view.firstIndex(of: 0x6f, from: 5) == 7)
        #expect(view.firstIndex(of: 0x7a) == nil && view.firstIndex(of: 0x68, from: 11) == nil)
        #expect(ByteView(" \t a b\t ").trimmed.text == "a b" && ByteView(" \t").trimmed.isEmpty)
    }

    @Test("Comparisons")
    func comparisons() {
        #expect(
            ByteView("abc").equals("abc") && !ByteView("abc").equals("abd") && !ByteView("ab").equals("abc"))
        #expect(
            ByteView("abc").hasPrefix("ab") && ByteView("abc").hasPrefix("")
                && !ByteView("ab").hasPrefix("abc"))
        #expect(ByteView("Content-LENGTH").equalsIgnoringCase("content-length"))
        #expect(!ByteView("a[").equalsIgnoringCase("a{") && !ByteView("@").equalsIgnoringCase("`"))
        #expect(ByteView("a").hash64 != ByteView("b").hash64 && ByteView("").hash64 == 0xcbf2_9ce4_8422_2325)
    }

    static let decimals: [(StaticString, Int?)] = [
        ("0", 0), ("42", 42), ("007", 7), ("999999999999999999", 999_999_999_999_999_999),
        ("1000000000000000000", nil), ("", nil), ("-1", nil), ("+1", nil), (" 1", nil), ("1a", nil),
        ("/", nil),
        (":", nil),
    ]

    @Test("A decimal number is digits and nothing else")
    func decimal() {
        for (text, number) in Self.decimals { #expect(ByteView(text).decimal == number) }
    }

    @Test("A literal in lower case equals its letters in either case, and nothing else")
    func lowercased() {
        func check(_ literal: StaticString, _ equals: @escaping (ByteView) -> Bool) {
            let bytes = ByteView(literal).bytes
            #expect(bytes.withByteView(equals))
            #expect(bytes.map { $0 >= 0x61 && $0 <= 0x7a ? $0 ^ 0x20 : $0 }.withByteView(equals))
            #expect(!(bytes + [0x61]).withByteView(equals))
            #expect(!Array(bytes.dropLast()).withByteView(equals))
            for index in bytes.indices {
                for byte in UInt8.min...UInt8.max where byte.asciiLowercased != bytes[index] {
                    var changed = bytes
                    changed[index] = byte
                    #expect(!changed.withByteView(equals))
                }
            }
        }
        check("b3") { $0.equalsLowercased("b3") }
        check("via") { $0.equalsLowercased("via") }
        check("host") { $0.equalsLowercased("host") }
        check("upgrade") { $0.equalsLowercased("upgrade") }
        check("location") { $0.equalsLowercased("location") }
        check("keep-alive") { $0.equalsLowercased("keep-alive") }
        check("x-forwarded-host") { $0.equalsLowercased("x-forwarded-host") }
        check("x-b3-parentspanid") { $0.equalsLowercased("x-b3-parentspanid") }
        #expect(ByteView("").equalsLowercased(""))
    }

    @Test("Words and lanes have the first byte lowest, and zeros behind the end", arguments: 0...40)
    func words(count: Int) {
        let bytes = (0..<count).map { UInt8($0 + 1) }
        bytes.withByteView { view in
            for index in 0...count {
                let lanes = view.lanes(at: index)
                for lane in 0..<16 {
                    #expect(lanes[lane] == (index + lane < count ? UInt8(index + lane + 1) : 0))
                }
            }
            if count >= 8 {
                let last = view.word(at: count - 8)
                #expect(last & 0xff == UInt64(count - 7) && last >> 56 == UInt64(count))
            }
            if count >= 4 { #expect(view.halfWord(at: 0) == 0x0403_0201) }
        }
    }

    @Test("The first true lane")
    func firstTrue() {
        #expect(SIMDMask<SIMD16<Int8>>(repeating: false).firstTrue == 16)
        for lane in 0..<16 {
            var mask = SIMDMask<SIMD16<Int8>>(repeating: false)
            mask[lane] = true
            #expect(mask.firstTrue == lane)
            mask[15] = true
            #expect(mask.firstTrue == lane)
        }
    }
}
