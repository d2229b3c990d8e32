import AdminAPI
import MeshConfig
import Testing

@Suite struct JSONValueTests {
    @Test("YAML is written so that it reads back as what it was")
    func yaml() throws {
        let value = JSONValue.object([
            "a": .array([.integer(1), .object(["x": .text("y"), "z": .array([])]), .array([.text("n")])]),
            "b": .object([
                "c": .text("no"), "d": .text("1"), "e": .text("with: colon"), "f": .null, "g": .object([:]),
            ]),
            "h": .text("line\nbreak \"quoted\" \u{1}"), "i": .boolean(true), "j": .number(0.5),
            "k": .text("-"),
        ])
        #expect(
            value.yaml == """
                a:
                - 1
                - x: "y"
                  z: []
                - - "n"
                b:
                  c: "no"
                  d: "1"
                  e: "with: colon"
                  f: null
                  g: {}
                h: "line\\nbreak \\"quoted\\" \\x01"
                i: true
                j: 0.5
                k: "-"

                """)
    }
}
