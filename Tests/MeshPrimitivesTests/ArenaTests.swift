import MeshPrimitives
import Testing

struct ArenaTests {
    @Test("An arena keeps what was stored, aligned, over many blocks")
    func stores() {
        let arena = Arena()
        var (texts, tables): ([(ByteView, String)], [Table<UInt64>]) = ([], [])
        for number in 0..<2000 {
            let text = String(repeating: "x", count: number % 97) + "\(number)"
            texts.append((arena.store(text: text), text))
            tables.append(arena.store([UInt64(number), UInt64(number) << 32]))
        }
        #expect(texts.allSatisfy { $0.0.text == $0.1 })
        for (number, table) in tables.enumerated() {
            #expect(table.count == 2 && table[0] == UInt64(number) && table[1] == UInt64(number) << 32)
        }
        let reference = tables[5].reference(1)
        #expect(reference.value == 5 << 32 && reference == tables[5].reference(1))
        #expect(arena.store(value: 7).value == 7)
        #expect(arena.size >= 2000 * 64)
    }

    @Test("Nothing needs no memory")
    func empty() {
        let arena = Arena()
        #expect(arena.store([Int]()).isEmpty && arena.store(text: "").isEmpty && arena.size == 0)
        #expect(Table<Int>().indices.isEmpty)
    }

    @Test("What is larger than a block has one of its own")
    func large() {
        let arena = Arena()
        let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0) }
        #expect(arena.store(bytes: bytes).bytes == bytes)
        #expect(arena.store(text: "small").text == "small")
    }
}
