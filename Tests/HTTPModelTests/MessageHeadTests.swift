import HTTPModel
import MeshPrimitives
import Testing

struct MessageHeadTests {
    /// A head over "name: value" lines that stand in `bytes` one behind the other.
    private func head(_ lines: [(String, String)]) -> (MessageHead, [UInt8]) {
        var (head, bytes) = (MessageHead(), [UInt8]())
        for (name, value) in lines {
            let start = bytes.count
            bytes += Array("\(name): \(value)\r\n".utf8)
            let field = Field(
                nameStart: start, nameCount: name.utf8.count, valueStart: start + name.utf8.count + 2,
                valueCount: value.utf8.count, lineEnd: bytes.count, name: name.withByteView { FieldName($0) })
            let isAppended = head.append(field)
            #expect(isAppended)
        }
        return (head, bytes)
    }

    @Test("Fields are found by known name, by any name and by index")
    func lookUp() {
        let (head, bytes) = head([
            ("Host", "h"), ("X-One", "1"), ("Cookie", "a"), ("x-one", "2"), ("cookie", "b"),
        ])
        #expect(head.count == 5 && head.contains(.host) && head.contains(.cookie) && !head.contains(.te))
        bytes.withByteView { view in
            #expect(head.value(of: .host, in: view)?.text == "h" && head.value(of: .te, in: view) == nil)
            #expect(head.firstIndex(of: .cookie) == 2 && head.firstIndex(of: .cookie, from: 3) == 4)
            #expect(
                head.firstIndex(of: .cookie, from: 5) == nil && head.firstIndex(of: .host, from: 1) == nil)
            #expect(head.value(named: ByteView("X-ONE"), in: view)?.text == "1")
            #expect(head.value(named: ByteView("HOST"), in: view)?.text == "h")
            #expect(head.value(named: ByteView("x-two"), in: view) == nil)
            #expect(head.name(3, in: view).text == "x-one" && head.value(3, in: view).text == "2")
            #expect(head[4].name == .cookie && Int(head[4].lineEnd) == view.count)
        }
    }

    @Test("A head that is reset is as good as new")
    func reset() {
        var (head, _) = head([("Host", "h"), ("Expect", "100-continue")])
        head.method = .post
        head.status = 200
        head.body = .chunked
        head.keepsAlive = false
        head.expectsContinue = true
        head.hasUpgrade = true
        head.acceptsTrailers = true
        head.path = ByteRange(start: 1, count: 2)
        head.reset()
        #expect(head.count == 0 && !head.contains(.host) && head.firstIndex(of: .expect) == nil)
        #expect(head.method == .other && head.isRequest && head.body == .none && head.keepsAlive)
        #expect(!head.expectsContinue && !head.hasUpgrade && !head.acceptsTrailers && head.path.isEmpty)
    }

    @Test("There is room for a fixed number of fields")
    func bound() {
        var head = MessageHead()
        let field = Field(nameStart: 0, nameCount: 1, valueStart: 2, valueCount: 0, lineEnd: 4, name: .other)
        for _ in 0..<MessageHead.fieldsMax {
            let isAppended = head.append(field)
            #expect(isAppended)
        }
        let isAppended = head.append(field)
        #expect(!isAppended && head.count == MessageHead.fieldsMax)
    }

    @Test("A field can be marked as an option of the connection")
    func mark() {
        var (head, _) = head([("A", "1"), ("B", "2")])
        head.markConnectionOption(1)
        #expect(!head.field(0).isConnectionOption && head.field(1).isConnectionOption)
    }

    @Test("Places in a head")
    func ranges() {
        let range = ByteRange(start: 3, count: 4)
        #expect(range.range == 3..<7 && !range.isEmpty && ByteRange.empty.isEmpty)
        #expect(ByteRange(start: 61_439, count: 1).range == 61_439..<61_440)
    }
}
