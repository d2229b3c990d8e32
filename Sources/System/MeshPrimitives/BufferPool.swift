import Glibc

/// One block of memory from a `BufferPool`: plain data, so that it can live in a slab's record. Readable bytes
/// are `view`; writing goes behind them. Whoever holds it gives it back to the pool that it came from, once.
@safe public struct PooledBuffer: BitwiseCopyable {
    @usableFromInline var base: UnsafeMutablePointer<UInt8>?
    @usableFromInline var capacity32: Int32
    @usableFromInline var start: Int32
    @usableFromInline var end: Int32

    /// No memory at all; appending to it fails.
    @inlinable public static var none: PooledBuffer { PooledBuffer() }

    @inlinable init() { unsafe (base, capacity32, start, end) = (nil, 0, 0, 0) }

    @inlinable init(base: UnsafeMutablePointer<UInt8>, capacity: Int) {
        unsafe (self.base, capacity32, start, end) = (base, Int32(capacity), 0, 0)
    }

    /// Bytes of the whole block.
    @inlinable public var capacity: Int { Int(capacity32) }
    @inlinable public var isAllocated: Bool { unsafe base != nil }
    @inlinable public var count: Int { Int(end &- start) }
    @inlinable public var isEmpty: Bool { start == end }
    /// Bytes that can still be written behind the readable ones.
    @inlinable public var room: Int { Int(capacity32 &- end) }

    /// The readable bytes: valid until the next call that changes this buffer.
    @inlinable public var view: ByteView {
        guard let base = unsafe base else { return ByteView("") }
        return unsafe ByteView(base: base + Int(start), count: count)
    }

    /// Bytes from the start of the block, whatever has been consumed since; for indices made at that time.
    @inlinable public func view(_ range: Range<Int>) -> ByteView {
        precondition(range.lowerBound >= 0 && range.upperBound <= Int(end))
        guard let base = unsafe base else { return ByteView("") }
        return unsafe ByteView(base: base + range.lowerBound, count: range.count)
    }

    /// Copies all of `bytes` in, or nothing: false if there is no room.
    @inlinable public mutating func append(_ bytes: ByteView) -> Bool {
        guard bytes.count <= room, let base = unsafe base else { return bytes.isEmpty }
        unsafe memcpy(base + Int(end), bytes.pointer, bytes.count)
        end &+= Int32(truncatingIfNeeded: bytes.count)
        return true
    }

    @inlinable public mutating func append(_ byte: UInt8) -> Bool {
        guard end < capacity32, let base = unsafe base else { return false }
        unsafe base[Int(end)] = byte
        end &+= 1
        return true
    }

    /// A text of fixed length.
    @inlinable public mutating func append<let length: Int>(_ text: InlineArray<length, UInt8>) -> Bool {
        var text = text
        return unsafe withUnsafeBytes(of: &text) { unsafe append(ByteView($0)) }
    }

    @inlinable public mutating func append(_ literal: StaticString) -> Bool { append(ByteView(literal)) }

    /// Decimal digits of a number that is not negative.
    @inlinable public mutating func append(decimal number: Int) -> Bool {
        precondition(number >= 0)
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        return unsafe withUnsafeMutableBytes(of: &digits) { scratch in
            var (position, rest) = (scratch.count, number)
            repeat {
                position &-= 1
                let quotient = rest / 10
                unsafe scratch[position] = UInt8(truncatingIfNeeded: rest &- quotient &* 10) &+ 0x30
                rest = quotient
            } while rest > 0
            return unsafe append(ByteView(UnsafeRawBufferPointer(rebasing: scratch[position...])))
        }
    }

    /// Makes the ASCII letters in a range of the readable bytes lower-case.
    @inlinable public mutating func lowercase(_ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        guard let base = unsafe base else { return }
        for index in range { unsafe base[Int(start) + index] = base[Int(start) + index].asciiLowercased }
    }

    /// Forgets the first `n` readable bytes.
    @inlinable public mutating func consume(_ n: Int) {
        precondition(n >= 0 && n <= count)
        start &+= Int32(truncatingIfNeeded: n)
        if start == end { (start, end) = (0, 0) }
    }

    /// Forgets readable bytes from the back, down to `n`.
    @inlinable public mutating func truncate(to n: Int) {
        precondition(n >= 0 && n <= count)
        end = start &+ Int32(truncatingIfNeeded: n)
    }

    @inlinable public mutating func removeAll() { (start, end) = (0, 0) }

    /// Moves the readable bytes to the front, so that all the room is behind them.
    @inlinable public mutating func compact() {
        guard start > 0, let base = unsafe base else { return }
        unsafe memmove(base, base + Int(start), count)
        (start, end) = (0, end &- start)
    }

    /// Where the next bytes go, and how many fit. Follow with `commit`.
    @unsafe @inlinable public var writable: UnsafeMutableRawBufferPointer {
        guard let base = unsafe base else {
            return unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
        }
        return unsafe UnsafeMutableRawBufferPointer(start: base + Int(end), count: room)
    }

    /// `n` bytes were written at `writable`.
    @inlinable public mutating func commit(_ n: Int) {
        precondition(n >= 0 && n <= room)
        end &+= Int32(truncatingIfNeeded: n)
    }

    @unsafe @inlinable var block: UnsafeMutablePointer<UInt8>? { unsafe base }
}

/// Blocks of four sizes, kept in free lists up to a bound. Not zeroed, not shared between threads.
@safe public struct BufferPool: ~Copyable {
    /// Bytes of a block, smallest first.
    public static let sizes = (small: 2 << 10, medium: 16 << 10, large: 64 << 10, huge: 256 << 10)

    @safe private struct FreeList {
        let size: Int
        let keptMax: Int
        var first: UnsafeMutablePointer<UInt8>?
        var kept = 0
        /// Blocks handed out and not yet back.
        var lent = 0

        init(size: Int, keptMax: Int) { (self.size, self.keptMax) = (size, keptMax) }

        func freeAll() {
            var next = unsafe first
            while let block = unsafe next {
                unsafe next = UnsafeMutableRawPointer(block).load(as: UnsafeMutablePointer<UInt8>?.self)
                unsafe free(block)
            }
        }
    }

    private var small = FreeList(size: 2 << 10, keptMax: 256)
    private var medium = FreeList(size: 16 << 10, keptMax: 64)
    private var large = FreeList(size: 64 << 10, keptMax: 16)
    private var huge = FreeList(size: 256 << 10, keptMax: 2)

    public init() {}

    deinit {
        small.freeAll()
        medium.freeAll()
        large.freeAll()
        huge.freeAll()
    }

    /// Bytes that are lent out now.
    public var lentBytes: Int {
        small.lent * small.size + medium.lent * medium.size + large.lent * large.size + huge.lent * huge.size
    }

    /// An empty buffer of at least `capacity` bytes, of `sizes.huge` at the most.
    public mutating func take(_ capacity: Int) -> PooledBuffer {
        if capacity <= small.size { return Self.take(from: &small) }
        if capacity <= medium.size { return Self.take(from: &medium) }
        if capacity <= large.size { return Self.take(from: &large) }
        precondition(capacity <= huge.size)
        return Self.take(from: &huge)
    }

    /// Gives the memory back and leaves `none` behind. Of `none` itself it does nothing.
    public mutating func give(_ buffer: inout PooledBuffer) {
        guard let block = unsafe buffer.block else { return }
        switch buffer.capacity {
        case small.size: unsafe Self.give(block, to: &small)
        case medium.size: unsafe Self.give(block, to: &medium)
        case large.size: unsafe Self.give(block, to: &large)
        default: unsafe Self.give(block, to: &huge)
        }
        buffer = .none
    }

    /// Moves the readable bytes of `buffer` to a block of at least `capacity` bytes (indices from the block's start
    /// hold no longer if something had been consumed).
    public mutating func grow(_ buffer: inout PooledBuffer, to capacity: Int) {
        guard capacity > buffer.capacity else { return buffer.compact() }
        var larger = take(capacity)
        let fits = larger.append(buffer.view)
        precondition(fits)
        give(&buffer)
        buffer = larger
    }

    private static func take(from list: inout FreeList) -> PooledBuffer {
        list.lent += 1
        if let block = unsafe list.first {
            unsafe list.first = UnsafeMutableRawPointer(block).load(as: UnsafeMutablePointer<UInt8>?.self)
            list.kept -= 1
            return unsafe PooledBuffer(base: block, capacity: list.size)
        }
        guard let block = unsafe malloc(list.size) else { fatalError("out of memory") }
        return unsafe PooledBuffer(base: block.assumingMemoryBound(to: UInt8.self), capacity: list.size)
    }

    private static func give(_ block: UnsafeMutablePointer<UInt8>, to list: inout FreeList) {
        list.lent -= 1
        guard list.kept < list.keptMax else { return unsafe free(block) }
        unsafe UnsafeMutableRawPointer(block).storeBytes(
            of: list.first, as: UnsafeMutablePointer<UInt8>?.self)
        unsafe list.first = block
        list.kept += 1
    }
}
