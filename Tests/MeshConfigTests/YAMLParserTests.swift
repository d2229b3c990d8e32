import Testing

@testable import MeshConfig

@Suite struct YAMLParserTests {
    private func parse(_ text: String, bounds: YAMLParser.Bounds = .init()) throws(ConfigError) -> [YAMLNode]
    {
        try YAMLParser.parse(Array(text.utf8), file: "f.yaml", bounds: bounds)
    }

    @Test("Values know the line and column where they begin")
    func positions() throws {
        let node = try #require(try parse("a: 1\nb:\n  - x\n  -   {c: d}\n").first)
        let list = try #require(node["b"])
        guard case .sequence(let elements) = list.content else {
            Issue.record("b is a list")
            return
        }
        #expect(elements[0].position == YAMLNode.Position(line: 3, column: 5))
        #expect(elements[1]["c"]?.position == YAMLNode.Position(line: 4, column: 11))
    }

    @Test("A file holds many documents, and empty ones do not count")
    func documents() throws {
        #expect(try parse("---\n# nothing\n---\na: 1\n---\n---\nb: 2\n...\n").count == 2)
        #expect(try parse("").isEmpty)
    }

    @Test("Two nodes that say the same are equal wherever they stand")
    func equality() throws {
        #expect(try parse("a: [1, 2]") == parse("\n\na:\n- 1\n- 2\n"))
        #expect(try parse("a: 1") != parse("a: \"1\""))
    }

    @Test(
        "Plain scalars mean what YAML 1.1 says",
        arguments: [
            ("yes", YAMLNode.Resolved.boolean(true)), ("off", .boolean(false)), ("~", .null),
            ("12", .integer(12)),
            ("1.5", .number(1.5)), ("1.2.3", .text("1.2.3")), ("\"yes\"", .text("yes")),
            ("nan", .text("nan")),
            ("inf", .text("inf")), ("80%", .text("80%")),
        ])
    func resolution(text: String, expected: YAMLNode.Resolved) throws {
        #expect(try parse("a: \(text)").first?["a"]?.resolved == expected)
    }

    @Test("An alias stands for what its anchor marks, within one document")
    func aliases() throws {
        let node = try #require(try parse("a: &x {k: v}\nb: *x\n").first)
        #expect(node["a"] == node["b"])
        #expect(throws: ConfigError.self) { try parse("a: &x 1\n---\nb: *x\n") }
    }

    @Test("Depth, documents, bytes and nodes have a bound")
    func bounds() {
        let deep = String(repeating: "[", count: 60) + String(repeating: "]", count: 60)
        #expect(throws: ConfigError.self) { try parse("a: \(deep)") }
        var bounds = YAMLParser.Bounds()
        bounds.documentsMax = 2
        #expect(throws: ConfigError.self) { try parse("a: 1\n---\nb: 1\n---\nc: 1\n", bounds: bounds) }
        bounds.bytesMax = 4
        #expect(throws: ConfigError.self) { try parse("a: 11", bounds: bounds) }
        bounds = YAMLParser.Bounds()
        bounds.nodesMax = 10
        #expect(throws: ConfigError.self) { try parse("[1,2,3,4,5,6,7,8,9,10,11]", bounds: bounds) }
    }

    @Test("Every prefix and every mutilation of a file is read or refused, never a crash")
    func mutilated() {
        let text = """
            apiVersion: martlet.mesh/v1
            kind: Service
            metadata: &m {name: "orders", labels: {a: 'b'}}
            spec:
              ports:
              - port: 80  # comment
              note: |
                block
            ---
            *m
            """
        let bytes = Array(text.utf8)
        for length in 0...bytes.count {
            _ = try? MeshSpecification.read([.init(name: "f", bytes: Array(bytes.prefix(length)))])
        }
        for index in bytes.indices {
            for byte in [UInt8(0), 0x09, 0x22, 0x26, 0x2a, 0x3a, 0x5b, 0x7b, 0xff] {
                var mutilated = bytes
                mutilated[index] = byte
                _ = try? MeshSpecification.read([.init(name: "f", bytes: mutilated)])
            }
        }
    }
}
