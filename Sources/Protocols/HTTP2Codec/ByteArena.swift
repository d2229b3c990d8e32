import Glibc
import MeshPrimitives

/// Bytes that grow at the end, in memory of their own. Not zeroed; positions stay valid when it grows, views do not.
@safe struct ByteArena: ~Copyable {
    private(set) var count = 0
    private var capacity = 0
    private var base: UnsafeMutablePointer<UInt8>?

    init() {}

    deinit { unsafe free(base) }

    var isEmpty: Bool { count == 0 }

    /// Where the next `extra` bytes go.
    private mutating func room(for extra: Int) -> UnsafeMutablePointer<UInt8> {
        if let base = unsafe base, capacity - count >= extra { return unsafe base + count }
        return unsafe grow(by: extra)
    }

    private mutating func grow(by extra: Int) -> UnsafeMutablePointer<UInt8> {
        let wanted = max(count + extra, capacity * 2, 1 << 10)
        guard let grown = unsafe realloc(base, wanted) else { fatalError("out of memory") }
        let start = unsafe grown.assumingMemoryBound(to: UInt8.self)
        unsafe base = start
        capacity = wanted
        return unsafe start + count
    }

    mutating func append(_ bytes: ByteView) {
        unsafe memcpy(room(for: bytes.count), bytes.pointer, bytes.count)
        count += bytes.count
    }

    mutating func append(_ bytes: [3 of UInt8]) {
        let place = unsafe room(for: 3)
        for index in bytes.indices { unsafe place[index] = bytes[index] }
        count += 3
    }

    mutating func append(_ literal: StaticString) { append(ByteView(literal)) }

    /// `name: value` and CRLF; gives the place of the value.
    mutating func appendLine(_ name: ByteView, _ value: ByteView) -> Int {
        let length = name.count + value.count + 4
        var next = unsafe room(for: length)
        unsafe memcpy(next, name.pointer, name.count)
        unsafe next += name.count
        unsafe next[0] = 0x3a
        unsafe next[1] = 0x20
        unsafe next += 2
        unsafe memcpy(next, value.pointer, value.count)
        unsafe next += value.count
        unsafe next[0] = 0x0d
        unsafe next[1] = 0x0a
        let valueStart = count + name.count + 2
        count += length
        return valueStart
    }

    func view(_ range: Range<Int>) -> ByteView {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        guard let base = unsafe base else { return ByteView("") }
        return unsafe ByteView(base: base + range.lowerBound, count: range.count)
    }

    mutating func truncate(to length: Int) {
        precondition(length >= 0 && length <= count)
        count = length
    }

    /// Moves what begins at `position` to the front.
    mutating func removeFirst(_ position: Int) {
        precondition(position >= 0 && position <= count)
        guard position > 0, let base = unsafe base else { return }
        unsafe memmove(base, base + position, count - position)
        count -= position
    }

    /// Empties it; memory above `kept` bytes goes back.
    mutating func removeAll(keeping kept: Int) {
        count = 0
        guard capacity > kept else { return }
        unsafe free(base)
        unsafe base = nil
        capacity = 0
    }
}
