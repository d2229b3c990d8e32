import MeshPrimitives
import RegularExpressions
import Testing

@Suite("Regular expressions")
struct RegularExpressionTests {
    @Test("All of a text has to match")
    func fullMatch() throws {
        let regex = try RegularExpression("/a/[0-9]+")
        for (text, matches) in [("/a/12", true), ("/a/12x", false), ("x/a/12", false), ("", false)] {
            #expect(text.withByteView { regex.matches($0) } == matches, "\(text)")
        }
    }

    @Test("What is no pattern, or costs too much, is refused with the reason")
    func refusals() {
        #expect(throws: RegularExpression.Refusal.self) { try RegularExpression("(abc") }
        #expect(throws: RegularExpression.Refusal.self) { try RegularExpression("[a-z]{120}") }
        #expect(throws: RegularExpression.Refusal.self) { try RegularExpression(#"(a)\1"#) }
        #expect(throws: Never.self) { try RegularExpression("[a-z]{120}", programSizeMax: 200) }
    }

    @Test("A pattern that runs wild elsewhere takes time by the length of the text")
    func linearTime() throws {
        let regex = try RegularExpression("(a*)*b")
        let text = [UInt8](repeating: UInt8(ascii: "a"), count: 60_000)
        #expect(!text.withByteView { regex.matches($0) })
    }

    @Test(
        "What all matches begin with is known",
        arguments: [
            ("/svc/[0-9]+", "/svc/"), ("/a|/b", "/"), ("/abc", "/abc"), ("(?i)/abc", "/"), (".*", ""),
            ("/a*", "/"), ("x?/y", ""), ("/v1/(users|uses)/.*", "/v1/use"),
        ])
    func prefix(pattern: String, wanted: String) throws {
        let found = String(decoding: try RegularExpression(pattern).prefix, as: UTF8.self)
        #expect(found == wanted || (wanted.hasPrefix(found) && found.count + 1 >= wanted.count), "\(found)")
    }

    @Test("Every match is replaced, if there is room")
    func replacing() throws {
        let regex = try RegularExpression("/([a-z]+)/([0-9]+)")
        var pool = BufferPool()
        var buffer = pool.take(64)
        let substitution = #"/\2/\1"#
        #expect(regex.accepts(substitution: substitution))
        #expect(!regex.accepts(substitution: #"\3"#))
        func replace(_ text: String) -> Bool {
            text.withByteView { text in
                substitution.withByteView { regex.replace(in: text, with: $0, to: &buffer) }
            }
        }
        #expect(replace("/a/1/b/2/c"))
        #expect(buffer.view.text == "/1/a/2/b/c")
        #expect(!replace(String(repeating: "/a/1", count: 20_000)))
        #expect(buffer.view.text == "/1/a/2/b/c")
        pool.give(&buffer)
    }
}
