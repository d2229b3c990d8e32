import MeshPrimitives
import Testing

struct BufferPoolTests {
    @Test("A buffer is read at the front and written at the back")
    func readAndWrite() {
        var pool = BufferPool()
        var buffer = pool.take(100)
        #expect(buffer.capacity == BufferPool.sizes.small && buffer.isEmpty && buffer.isAllocated)
        #expect(buffer.append("hello ") && buffer.append(ByteView("world")) && buffer.append(0x21))
        #expect(buffer.view.text == "hello world!" && buffer.count == 12)
        buffer.consume(6)
        #expect(buffer.view.text == "world!" && buffer.view(0..<5).text == "hello")
        buffer.truncate(to: 5)
        #expect(buffer.view.text == "world")
        let room = buffer.room
        buffer.compact()
        #expect(buffer.view.text == "world" && buffer.room == room + 6)
        buffer.consume(5)
        #expect(buffer.isEmpty && buffer.room == buffer.capacity)
        pool.give(&buffer)
        #expect(!buffer.isAllocated && pool.lentBytes == 0)
    }

    @Test("What does not fit is not written in part")
    func full() {
        var pool = BufferPool()
        var buffer = pool.take(1)
        buffer.commit(buffer.room - 4)
        #expect(!buffer.append("five!") && buffer.room == 4)
        #expect(!buffer.append(decimal: 12345) && buffer.room == 4)
        #expect(buffer.append("four") && buffer.room == 0 && !buffer.append(0x21) && buffer.append(""))
        pool.give(&buffer)
    }

    @Test("No buffer has no room, and nothing to give back")
    func none() {
        var pool = BufferPool()
        var none = PooledBuffer.none
        #expect(!none.isAllocated && none.view.isEmpty && !none.append(0x21) && !none.append("a"))
        let takesNothing = none.append("")
        #expect(takesNothing)
        pool.give(&none)
        #expect(pool.lentBytes == 0)
    }

    @Test(
        "Decimal numbers",
        arguments: [(0, "0"), (7, "7"), (10, "10"), (1_234_567, "1234567"), (Int.max, "\(Int.max)")])
    func decimal(number: Int, text: String) {
        var pool = BufferPool()
        var buffer = pool.take(1)
        #expect(buffer.append(decimal: number) && buffer.view.text == text)
        #expect(buffer.view.decimal == (text.count <= 18 ? number : nil))
        pool.give(&buffer)
    }

    @Test("Requests get the smallest of four sizes that holds them")
    func sizes() {
        var pool = BufferPool()
        let sizes = BufferPool.sizes
        let expected = [
            (0, sizes.small), (sizes.small, sizes.small), (sizes.small + 1, sizes.medium),
            (sizes.medium, sizes.medium), (sizes.medium + 1, sizes.large), (sizes.large + 1, sizes.huge),
            (sizes.huge, sizes.huge),
        ]
        var total = 0
        var buffers: [PooledBuffer] = []
        for (wanted, size) in expected {
            let buffer = pool.take(wanted)
            #expect(buffer.capacity == size)
            total += size
            #expect(pool.lentBytes == total)
            buffers.append(buffer)
        }
        for var buffer in buffers { pool.give(&buffer) }
        #expect(pool.lentBytes == 0)
    }

    @Test("Memory given back is the next to be lent")
    func reuse() {
        var pool = BufferPool()
        var first = pool.take(1)
        let isWritten = first.append("mark")
        #expect(isWritten)
        pool.give(&first)
        var second = pool.take(1)
        second.commit(16)
        // The free list used the block's first eight bytes.
        #expect(second.count == 16 && pool.lentBytes == BufferPool.sizes.small)
        pool.give(&second)
    }

    @Test("A buffer that grows keeps its readable bytes")
    func grow() {
        var pool = BufferPool()
        var buffer = pool.take(1)
        let isWritten = buffer.append("gone kept")
        #expect(isWritten)
        buffer.consume(5)
        pool.grow(&buffer, to: BufferPool.sizes.small)
        #expect(buffer.view.text == "kept" && buffer.capacity == BufferPool.sizes.small)
        #expect(buffer.room == BufferPool.sizes.small - 4)
        pool.grow(&buffer, to: BufferPool.sizes.small + 1)
        #expect(buffer.view.text == "kept" && buffer.capacity == BufferPool.sizes.medium)
        #expect(pool.lentBytes == BufferPool.sizes.medium)
        pool.give(&buffer)
    }
}
