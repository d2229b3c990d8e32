import Glibc
import MeshPrimitives

/// What text is written to, byte by byte or in pieces.
protocol ByteSink: ~Copyable {
    mutating func append(_ byte: UInt8)
    mutating func append(_ bytes: ByteView)
}

/// A line in the making. An array of bytes checks and counts references at every append, which a line of forty pieces
/// pays forty times; this is plain memory with an end.
@safe struct LogBuffer: ~Copyable, ByteSink {
    /// A longer line is cut here: 1 MiB.
    static let countMax = 1 << 20

    private var base: UnsafeMutablePointer<UInt8>
    private var capacity: Int
    private(set) var count = 0

    init(capacity: Int = 1024) {
        precondition(capacity > 0)
        guard let memory = unsafe malloc(capacity) else { fatalError("out of memory") }
        unsafe base = memory.assumingMemoryBound(to: UInt8.self)
        self.capacity = capacity
    }

    deinit { unsafe free(base) }

    var view: ByteView { unsafe ByteView(base: base, count: count) }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
        guard count < capacity || grow(by: 1) else { return }
        unsafe base[count] = byte
        count += 1
    }

    @inline(__always)
    mutating func append(_ bytes: ByteView) {
        guard bytes.count <= capacity - count || grow(by: bytes.count) else { return }
        unsafe memcpy(base + count, bytes.pointer, bytes.count)
        count += bytes.count
    }

    @inline(__always)
    mutating func append(literal: StaticString) { append(ByteView(literal)) }

    mutating func append(literal: StaticString, prefix: Int) { append(ByteView(literal).prefix(prefix)) }

    mutating func truncate(to length: Int) {
        precondition(length >= 0 && length <= count)
        count = length
    }

    /// Moves what is written from `start` on by one byte, and puts `byte` before it.
    mutating func insert(_ byte: UInt8, at start: Int) {
        precondition(start >= 0 && start <= count)
        append(byte)
        guard start < count else { return }
        unsafe memmove(base + start + 1, base + start, count - 1 - start)
        unsafe base[start] = byte
    }

    @inline(never)
    private mutating func grow(by extra: Int) -> Bool {
        guard count + extra <= Self.countMax else { return false }
        let wanted = min(max(capacity * 2, count + extra), Self.countMax)
        guard let memory = unsafe realloc(base, wanted) else { fatalError("out of memory") }
        unsafe base = memory.assumingMemoryBound(to: UInt8.self)
        capacity = wanted
        return true
    }

    /// A number that is not negative, with `pad` before it up to `width` characters.
    mutating func append(decimal number: Int, width: Int = 1, pad: UInt8 = 0x30) {
        precondition(number >= 0 && width <= 19)
        // Most numbers of a line are short: parts of a time, a status, a count of bytes.
        if number < 10, width <= 1 { return append(UInt8(truncatingIfNeeded: number) &+ 0x30) }
        if number < 100, number >= 10 || pad == 0x30, width == 2 {
            append(UInt8(truncatingIfNeeded: number / 10) &+ 0x30)
            return append(UInt8(truncatingIfNeeded: number % 10) &+ 0x30)
        }
        var digits = InlineArray<20, UInt8>(repeating: pad)
        var (first, rest) = (20, number)
        repeat {
            first -= 1
            let quotient = rest / 10
            digits[first] = UInt8(truncatingIfNeeded: rest &- quotient &* 10) &+ 0x30
            rest = quotient
        } while rest > 0
        for index in min(first, 20 - width)..<20 { append(digits[index]) }
    }

    /// Sixteen digits, in lower case.
    mutating func append(hexadecimal number: UInt64) {
        let (high, low) = (
            Hexadecimal.text(UInt32(truncatingIfNeeded: number >> 32)),
            Hexadecimal.text(UInt32(truncatingIfNeeded: number))
        )
        for index in 0..<8 { append(UInt8(truncatingIfNeeded: high >> UInt64(8 * index))) }
        for index in 0..<8 { append(UInt8(truncatingIfNeeded: low >> UInt64(8 * index))) }
    }

    mutating func append(address: SocketAddress) {
        switch address.family {
        case .ipv4:
            appendHost(of: address)
        case .ipv6:
            append(UInt8(ascii: "["))
            appendHost(of: address)
            append(UInt8(ascii: "]"))
        }
        append(UInt8(ascii: ":"))
        append(decimal: Int(address.port))
    }

    mutating func appendHost(of address: SocketAddress) {
        switch address.family {
        case .ipv4:
            append(decimal: Int(address.low >> 24 & 255))
            append(UInt8(ascii: "."))
            append(decimal: Int(address.low >> 16 & 255))
            append(UInt8(ascii: "."))
            append(decimal: Int(address.low >> 8 & 255))
            append(UInt8(ascii: "."))
            append(decimal: Int(address.low & 255))
        case .ipv6:
            for byte in address.host.utf8 { append(byte) }
        }
    }
}

extension Array: ByteSink where Element == UInt8 {
    mutating func append(_ bytes: ByteView) {
        unsafe bytes.withUnsafeBytes { bytes in unsafe append(contentsOf: bytes) }
    }
}
