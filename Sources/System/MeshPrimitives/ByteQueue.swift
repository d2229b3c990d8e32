/// Bytes waiting in order, in pooled blocks: plain data, so that it can live in a record. Its blocks belong to the
/// `ByteQueueStore` that every call names. Bounded by whoever appends.
public struct ByteQueue: BitwiseCopyable, Sendable {
    fileprivate var first = SlabID.none
    fileprivate var last = SlabID.none
    @usableFromInline var bytes: UInt32 = 0

    public init() {}

    /// Bytes in it; below 2^32.
    @inlinable public var count: Int { Int(bytes) }
    @inlinable public var isEmpty: Bool { bytes == 0 }
}

/// Where queues keep their blocks. One for each thread.
public struct ByteQueueStore: ~Copyable {
    // Not private: other modules destroy the store, and the compiler then needs a name for what is in it.
    @usableFromInline struct Block: BitwiseCopyable {
        var buffer: PooledBuffer
        var next: SlabID
    }

    private var blocks = Slab<Block>(capacity: 1 << 20)

    public init() {}

    public mutating func append(_ bytes: ByteView, to queue: inout ByteQueue, pool: inout BufferPool) {
        var rest = bytes
        queue.bytes += UInt32(bytes.count)
        while !rest.isEmpty {
            if queue.last.isNone || blocks[queue.last].buffer.room == 0 {
                addBlock(for: rest.count, to: &queue, &pool)
            }
            let part = rest.prefix(blocks[queue.last].buffer.room)
            let fits = blocks[queue.last].buffer.append(part)
            precondition(fits)
            rest = rest.dropFirst(part.count)
        }
    }

    /// The first bytes that lie together; empty if there are none. Valid until the queue changes.
    public func front(of queue: ByteQueue) -> ByteView {
        queue.first.isNone ? ByteView("") : blocks[queue.first].buffer.view
    }

    /// What lies together in the block after the first, for gathering writes.
    public func second(of queue: ByteQueue) -> ByteView {
        guard !queue.first.isNone, !blocks[queue.first].next.isNone else { return ByteView("") }
        return blocks[blocks[queue.first].next].buffer.view
    }

    /// The bytes from `offset` on, as far as they lie together; empty at the end.
    public func view(of queue: ByteQueue, from offset: Int) -> ByteView {
        var (block, rest) = (queue.first, offset)
        while !block.isNone {
            let view = blocks[block].buffer.view
            if rest < view.count { return view.dropFirst(rest) }
            rest -= view.count
            block = blocks[block].next
        }
        return ByteView("")
    }

    public mutating func consume(_ n: Int, from queue: inout ByteQueue, pool: inout BufferPool) {
        precondition(n >= 0 && n <= queue.count)
        queue.bytes -= UInt32(n)
        var rest = n
        while rest > 0 || (!queue.first.isNone && blocks[queue.first].buffer.isEmpty) {
            let first = queue.first
            let part = min(rest, blocks[first].buffer.count)
            blocks[first].buffer.consume(part)
            rest -= part
            guard blocks[first].buffer.isEmpty else { break }
            queue.first = blocks[first].next
            if queue.first.isNone { queue.last = .none }
            pool.give(&blocks[first].buffer)
            blocks.remove(first)
        }
    }

    @inlinable public mutating func removeAll(from queue: inout ByteQueue, pool: inout BufferPool) {
        // An empty queue has no block.
        if !queue.isEmpty { consume(queue.count, from: &queue, pool: &pool) }
    }

    private mutating func addBlock(for count: Int, to queue: inout ByteQueue, _ pool: inout BufferPool) {
        let size =
            count > BufferPool.sizes.medium
            ? BufferPool.sizes.large
            : count > BufferPool.sizes.small ? BufferPool.sizes.medium : BufferPool.sizes.small
        guard let block = blocks.insert(Block(buffer: pool.take(size), next: .none)) else {
            fatalError("more blocks wait than the bounds of all connections allow")
        }
        if queue.last.isNone { queue.first = block } else { blocks[queue.last].next = block }
        queue.last = block
    }
}
