import Glibc

/// A view of bytes that somebody else owns. Every access is checked against its bounds; its lifetime is not: a
/// view is for passing down a call, and is dead once its owner reads, writes or frees. Never store one beyond
/// what its source promises.
@safe public struct ByteView: @unchecked Sendable, BitwiseCopyable {
    @usableFromInline let base: UnsafePointer<UInt8>
    public let count: Int

    @unsafe @inlinable public init(base: UnsafePointer<UInt8>, count: Int) {
        precondition(count >= 0)
        unsafe self.base = base
        self.count = count
    }

    /// A part of another view, whose bounds were looked at.
    @unsafe @inlinable @inline(__always) init(inside base: UnsafePointer<UInt8>, _ count: Int) {
        unsafe self.base = base
        self.count = count
    }

    @unsafe @inlinable public init(_ buffer: UnsafeRawBufferPointer) {
        if let start = buffer.baseAddress {
            unsafe self.init(base: start.assumingMemoryBound(to: UInt8.self), count: buffer.count)
        } else {
            self.init("")
        }
    }

    /// The bytes of a literal; they live for ever.
    @inlinable public init(_ literal: StaticString) {
        unsafe base = literal.utf8Start
        count = literal.utf8CodeUnitCount
    }

    /// For whoever hands the bytes to C.
    @unsafe @inlinable public var pointer: UnsafePointer<UInt8> { unsafe base }

    @inlinable public var isEmpty: Bool { count == 0 }
    @inlinable public var indices: Range<Int> { 0..<count }

    @inlinable @inline(__always) public subscript(_ index: Int) -> UInt8 {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
        return unsafe base[index]
    }

    @inlinable @inline(__always) public subscript(_ range: Range<Int>) -> ByteView {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        return unsafe ByteView(inside: base + range.lowerBound, range.upperBound &- range.lowerBound)
    }

    @inlinable @inline(__always) public func dropFirst(_ n: Int) -> ByteView {
        precondition(n >= 0)
        let dropped = min(n, count)
        return unsafe ByteView(inside: base + dropped, count &- dropped)
    }

    @inlinable @inline(__always) public func prefix(_ n: Int) -> ByteView {
        precondition(n >= 0)
        return unsafe ByteView(inside: base, min(n, count))
    }

    /// Index of the first `byte` at or after `start`.
    @inlinable public func firstIndex(of byte: UInt8, from start: Int = 0) -> Int? {
        precondition(start >= 0 && start <= count)
        guard let found = unsafe memchr(base + start, CInt(byte), count - start) else { return nil }
        return unsafe UnsafeRawPointer(found) - UnsafeRawPointer(base)
    }

    @inlinable public func lastIndex(of byte: UInt8) -> Int? {
        var index = count
        while index > 0 {
            index -= 1
            if self[index] == byte { return index }
        }
        return nil
    }

    @inlinable public func equals(_ other: ByteView) -> Bool {
        unsafe count == other.count && memcmp(base, other.base, count) == 0
    }

    @inlinable public func equals(_ literal: StaticString) -> Bool { equals(ByteView(literal)) }

    @inlinable public func hasPrefix(_ other: ByteView) -> Bool {
        unsafe count >= other.count && memcmp(base, other.base, other.count) == 0
    }

    @inlinable public func hasPrefix(_ literal: StaticString) -> Bool { hasPrefix(ByteView(literal)) }

    /// ASCII letters count as equal to their other case.
    @inlinable public func equalsIgnoringCase(_ other: ByteView) -> Bool {
        guard count == other.count else { return false }
        for index in 0..<count {
            let (left, right) = unsafe (base[index], other.base[index])
            if left != right && left.asciiLowercased != right.asciiLowercased { return false }
        }
        return true
    }

    @inlinable public func equalsIgnoringCase(_ literal: StaticString) -> Bool {
        equalsIgnoringCase(ByteView(literal))
    }

    /// A decimal number without sign; nil for anything else, empty and overflow included.
    @inlinable public var decimal: Int? {
        guard count > 0, count <= 18 else { return nil }
        var value = 0
        for index in 0..<count {
            let digit = unsafe base[index] &- 0x30
            guard digit <= 9 else { return nil }
            value = value &* 10 &+ Int(digit)
        }
        return value
    }

    /// FNV-1a, 64 bit. For tables of our own; not for anything that a peer could want to make collide.
    @inlinable public var hash64: UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for index in 0..<count { hash = unsafe (hash ^ UInt64(base[index])) &* 0x0000_0100_0000_01b3 }
        return hash
    }

    /// Without spaces and tabs at both ends.
    @inlinable public var trimmed: ByteView {
        var (low, high) = (0, count)
        while low < high, self[low] == 0x20 || self[low] == 0x09 { low += 1 }
        while high > low, self[high - 1] == 0x20 || self[high - 1] == 0x09 { high -= 1 }
        return self[low..<high]
    }

    /// A copy as text; bytes that are not UTF-8 are replaced.
    public var text: String {
        unsafe String(decoding: UnsafeBufferPointer(start: base, count: count), as: UTF8.self)
    }

    public var bytes: [UInt8] { unsafe [UInt8](UnsafeBufferPointer(start: base, count: count)) }

    @unsafe @inlinable public func withUnsafeBytes<T>(_ body: (UnsafeRawBufferPointer) throws -> T) rethrows
        -> T
    {
        unsafe try body(UnsafeRawBufferPointer(start: base, count: count))
    }
}

extension ByteView {
    /// `body`'s outcome, through closures that cannot name their error.
    @unsafe @inlinable static func result<T, E: Error>(
        _ buffer: UnsafeBufferPointer<UInt8>, _ body: (ByteView) throws(E) -> T
    ) -> Result<T, E> {
        do throws(E) {
            return .success(try unsafe body(ByteView(UnsafeRawBufferPointer(buffer))))
        } catch {
            return .failure(error)
        }
    }
}

extension Array where Element == UInt8 {
    /// A view for the length of one call.
    @inlinable public func withByteView<T, E: Error>(_ body: (ByteView) throws(E) -> T) throws(E) -> T {
        let result: Result<T, E> = unsafe withUnsafeBufferPointer { unsafe ByteView.result($0, body) }
        return try result.get()
    }
}

extension String {
    /// A view of the UTF-8 for the length of one call.
    @inlinable public func withByteView<T, E: Error>(_ body: (ByteView) throws(E) -> T) throws(E) -> T {
        var text = self
        let result: Result<T, E> = text.withUTF8 { unsafe ByteView.result($0, body) }
        return try result.get()
    }
}

extension UInt8 {
    @inlinable public var asciiLowercased: UInt8 { (self &- 0x41) < 26 ? self | 0x20 : self }
}
