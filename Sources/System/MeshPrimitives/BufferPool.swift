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
        return unsafe ByteView(inside: base + Int(start), count)
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
        var writer = unsafe UncheckedWriter(UnsafeMutableRawPointer(base + Int(end)))
        unsafe writer.put(bytes)
        end &+= Int32(truncatingIfNeeded: bytes.count)
        return true
    }

    /// For several pieces behind one look at `room`: writes behind the readable bytes. Follow with `commit`.
    @unsafe @inlinable public var writer: UncheckedWriter? {
        guard let base = unsafe base else { return nil }
        return unsafe UncheckedWriter(UnsafeMutableRawPointer(base + Int(end)))
    }

    /// What was written counts as readable from here on.
    @inlinable @inline(__always) public mutating func commit(_ writer: UncheckedWriter) {
        guard let base = unsafe base else { return }
        let reached = unsafe writer.next - UnsafeMutableRawPointer(base)
        precondition(reached <= capacity)
        end = Int32(truncatingIfNeeded: reached)
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
        let group: UInt64 = 100_000_000
        let value = UInt64(number)
        guard value < group else {
            // The leading digits, then a full group of eight.
            let before = end
            let isWhole =
                append(decimal: Int(value / group))
                && append(word: Self.eightDigits(value % group) | Self.asciiZeros, count: 8)
            if !isWhole { end = before }
            return isWhole
        }
        let digits = Self.eightDigits(value)
        let zeros = min(digits.trailingZeroBitCount / 8, 7)
        return append(word: (digits | Self.asciiZeros) >> UInt64(8 &* zeros), count: 8 &- zeros)
    }

    /// Decimal digits: a part of an IPv4 address.
    @inlinable public mutating func append(octet: UInt8) -> Bool {
        let number = UInt64(octet)
        if number < 10 { return append(octet &+ 0x30) }
        let hundreds = (number &* 41) >> 12
        let rest = number &- hundreds &* 100
        let tens = (rest &* 103) >> 10
        let digits = hundreds | tens << 8 | (rest &- tens &* 10) << 16 | 0x30_3030
        return number < 100 ? append(word: digits >> 8, count: 2) : append(word: digits, count: 3)
    }

    @inlinable static var asciiZeros: UInt64 { 0x3030_3030_3030_3030 }

    /// The digits of a number below 10^8, one a byte, the first one in the lowest: split into halves of four, two and one
    /// digits, all halves at once. The factors divide by 100 (2^20 / 100) and by 10 (2^10 / 10), rounded up; no lane's
    /// product reaches the next lane.
    @inlinable static func eightDigits(_ number: UInt64) -> UInt64 {
        let fours = number / 10_000 | (number % 10_000) << 32
        let hundreds = (fours &* 10_486) >> 20 & 0x0000_007f_0000_007f
        let twos = hundreds | (fours &- hundreds &* 100) << 16
        let tens = (twos &* 103) >> 10 & 0x000f_000f_000f_000f
        return tens | (twos &- tens &* 10) << 8
    }

    /// The first `count` bytes of a word, from its lowest on.
    @inlinable @inline(__always) mutating func append(word: UInt64, count: Int) -> Bool {
        guard count <= room, let base = unsafe base else { return false }
        let target = unsafe UnsafeMutableRawPointer(base + Int(end))
        if room >= 8 {
            // What is too much is overwritten by what follows.
            unsafe target.storeBytes(of: word.littleEndian, as: UInt64.self)
        } else {
            for index in 0..<count {
                unsafe base[Int(end) + index] = UInt8(truncatingIfNeeded: word >> UInt64(8 * index))
            }
        }
        end &+= Int32(truncatingIfNeeded: count)
        return true
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

    /// In the lines from the readable byte at `first` on, names get a capital letter at the beginning of each word:
    /// `Content-Type`. They are in lower case.
    public mutating func capitalizeNames(from first: Int) {
        precondition(first >= 0 && first <= count)
        guard let base = unsafe base else { return }
        var (isName, isInWord) = (true, false)
        for index in (Int(start) + first)..<Int(end) {
            let byte = unsafe base[index]
            if byte == 0x0a {
                (isName, isInWord) = (true, false)
            } else if isName {
                let isLetter = byte >= 0x61 && byte <= 0x7a
                if isLetter, !isInWord { unsafe base[index] = byte & ~0x20 }
                isInWord = isLetter || (byte >= 0x30 && byte <= 0x39)
                isName = byte != 0x3a
            }
        }
    }

    @unsafe @inlinable var block: UnsafeMutablePointer<UInt8>? { unsafe base }
}

/// Writes bytes one behind the other without looking at the room: whoever takes one has made sure of it.
@unsafe public struct UncheckedWriter {
    @usableFromInline var next: UnsafeMutableRawPointer

    @inlinable init(_ start: UnsafeMutableRawPointer) { unsafe next = start }

    /// Most names and values are short: for them, words that may overlap are quicker than a call.
    @inlinable @inline(__always) public mutating func put(_ bytes: ByteView) {
        let source = unsafe UnsafeRawPointer(bytes.pointer)
        let count = bytes.count
        if count > 64 {
            unsafe memcpy(next, source, count)
        } else if count > 32 {
            unsafe copyEnds(SIMD4<UInt64>.self, source, count)
        } else if count >= 16 {
            unsafe copyEnds(SIMD2<UInt64>.self, source, count)
        } else if count >= 8 {
            unsafe copyEnds(UInt64.self, source, count)
        } else if count >= 4 {
            unsafe copyEnds(UInt32.self, source, count)
        } else if count > 0 {
            // The first, the last, and what may stand between them.
            let middle = unsafe source.load(fromByteOffset: count >> 1, as: UInt8.self)
            unsafe copyEnds(UInt8.self, source, count)
            unsafe next.storeBytes(of: middle, toByteOffset: count >> 1, as: UInt8.self)
        }
        unsafe next += count
    }

    /// With capital letters of the first `count` bytes in lower case.
    @inlinable @inline(__always) public mutating func putLowercased(_ bytes: ByteView, upTo count: Int) {
        precondition(count <= bytes.count)
        let start = unsafe next
        unsafe put(bytes)
        if count < 8 {
            if bytes.count >= 8 {
                let isName = (1 as UInt64) << UInt64(count * 8) &- 1
                return unsafe Self.lowercaseWord(start, only: isName)
            }
            for index in 0..<count {
                let byte = unsafe start.load(fromByteOffset: index, as: UInt8.self)
                unsafe start.storeBytes(of: byte.asciiLowercased, toByteOffset: index, as: UInt8.self)
            }
            return
        }
        var index = 0
        while index &+ 8 < count {
            unsafe Self.lowercaseWord(start + index)
            index &+= 8
        }
        // The last word may overlap the one before it.
        unsafe Self.lowercaseWord(start + (count &- 8))
    }

    /// Eight bytes at once: adding carries into a byte's highest bit where it is at or above a bound, and bytes that have
    /// that bit already are left alone. `mask` says of which bytes.
    @inlinable @inline(__always) static func lowercaseWord(
        _ bytes: UnsafeMutableRawPointer, only mask: UInt64 = .max
    ) {
        let word = unsafe bytes.loadUnaligned(as: UInt64.self)
        let low = word & 0x7f7f_7f7f_7f7f_7f7f
        let isCapital = (low &+ 0x3f3f_3f3f_3f3f_3f3f) & ~(low &+ 0x2525_2525_2525_2525) & ~word
        unsafe bytes.storeBytes(of: word | (isCapital & mask & 0x8080_8080_8080_8080) >> 2, as: UInt64.self)
    }

    @inlinable @inline(__always) public mutating func put(_ first: UInt8, _ second: UInt8) {
        unsafe next.storeBytes(of: first, as: UInt8.self)
        unsafe next.storeBytes(of: second, toByteOffset: 1, as: UInt8.self)
        unsafe next += 2
    }

    @inlinable @inline(__always) public mutating func put(_ byte: UInt8) {
        unsafe next.storeBytes(of: byte, as: UInt8.self)
        unsafe next += 1
    }

    /// Eight bytes, the first one in the lowest bits.
    @inlinable @inline(__always) public mutating func put(word: UInt64) {
        unsafe next.storeBytes(of: word.littleEndian, as: UInt64.self)
        unsafe next += 8
    }

    /// Four bytes, the first one in the lowest bits.
    @inlinable @inline(__always) public mutating func put(halfWord: UInt32) {
        unsafe next.storeBytes(of: halfWord.littleEndian, as: UInt32.self)
        unsafe next += 4
    }

    /// The first and the last word of `count` bytes, which are between one and two words long.
    @inlinable @inline(__always) func copyEnds<Word: BitwiseCopyable>(
        _ type: Word.Type, _ source: UnsafeRawPointer, _ count: Int
    ) {
        let end = count &- MemoryLayout<Word>.size
        let first = unsafe source.loadUnaligned(as: Word.self)
        let last = unsafe source.loadUnaligned(fromByteOffset: end, as: Word.self)
        unsafe next.storeBytes(of: first, as: Word.self)
        unsafe next.storeBytes(of: last, toByteOffset: end, as: Word.self)
    }
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
    @inlinable public mutating func give(_ buffer: inout PooledBuffer) {
        if buffer.isAllocated { giveBlock(&buffer) }
    }

    @usableFromInline mutating func giveBlock(_ buffer: inout PooledBuffer) {
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
