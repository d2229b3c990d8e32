import Testing

@testable import ProxyAdmin

@Suite("Text patterns")
struct TextPatternTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let pattern: String
        let found: [String]
        let missed: [String]
        var testDescription: String { pattern }
    }

    static let cases: [Case] = [
        Case(pattern: "", found: ["", "a"], missed: []),
        Case(pattern: "rq", found: ["upstream_rq_total", "rq"], missed: ["", "r q", "r"]),
        Case(pattern: "^http\\.", found: ["http.main"], missed: ["a.http.main", "httpx"]),
        Case(pattern: "total$", found: ["rq_total", "total"], missed: ["total_rq"]),
        Case(pattern: "^$", found: [""], missed: ["a"]),
        Case(pattern: "a.c", found: ["abc", "xa.cx"], missed: ["ac"]),
        Case(pattern: "(cx|rq)_(active|total)", found: ["cx_active", "x.rq_total"], missed: ["cx_open"]),
        Case(pattern: "ab*c", found: ["ac", "abbbc"], missed: ["abb", "bc"]),
        Case(pattern: "ab+c", found: ["abc", "abbc"], missed: ["ac"]),
        Case(pattern: "^ab?c$", found: ["ac", "abc"], missed: ["abbc"]),
        Case(pattern: "^(?:a|)b$", found: ["ab", "b"], missed: ["a"]),
        Case(pattern: "rq_[0-9]xx", found: ["rq_5xx"], missed: ["rq_xxx"]),
        Case(pattern: "rq_[^0-9]xx", found: ["rq_xxx"], missed: ["rq_5xx"]),
        Case(pattern: "^\\d\\d$", found: ["42"], missed: ["4", "4a"]),
        Case(pattern: "^\\w+\\.\\S+$", found: ["a_1.b-c"], missed: ["a.b c", "."]),
        Case(pattern: "[]a]", found: ["]", "a"], missed: ["b"]),
        Case(pattern: "[a-]", found: ["-"], missed: ["b"]),
        Case(pattern: "^(a*)*$", found: ["", "aaa"], missed: ["b"]),
        Case(pattern: "^(a+)+b$", found: ["aab"], missed: ["aaa"]),
        Case(pattern: "a*?b", found: ["b", "aab"], missed: ["a"]),
        Case(pattern: "é", found: ["café"], missed: ["cafe"]),
    ]

    @Test("A pattern is found where RE2 would find it", arguments: cases)
    func matches(_ example: Case) throws {
        let pattern = try TextPattern(example.pattern)
        for text in example.found { #expect(pattern.matches(text), "\(text)") }
        for text in example.missed { #expect(!pattern.matches(text), "\(text)") }
    }

    @Test(
        "What is not understood is refused",
        arguments: [
            "(", ")", "a)", "[", "[a", "*", "+a", "a**", "a{2}", "\\", "\\b", "(?i)a", "[[:alpha:]]", "[z-a]",
            String(repeating: "(", count: 100), String(repeating: "a", count: 2000),
        ])
    func refusals(_ expression: String) {
        #expect(throws: TextPattern.SyntaxError.self) { try TextPattern(expression) }
    }

    @Test("No expression takes more time than the text is long")
    func linear() throws {
        let pattern = try TextPattern("^(a+)+(a+)+(a+)+(a*)*b$")
        #expect(!pattern.matches(String(repeating: "a", count: 10_000)))
    }
}
