/// Bytes that are kept for long and seldom read, in less room: what repeats itself is a reference to where it stood
/// before (LZ77). Generated configurations shrink to a tenth.
///
/// The stored form is a row of: a byte with the number of literals (upper half) and the length of the match less 4 (lower
/// half), 15 in either meaning that bytes follow which add to it, the last of them below 255; the literals; the distance
/// of the match in two bytes, lowest first. The last one ends with its literals.
@safe public struct CompactBytes: Sendable {
    private static let matchMin = 4
    private static let distanceMax = 0xFFFF
    private static let tableBits = 13

    private let stored: [UInt8]
    /// Of the bytes, as they are got back.
    public let count: Int

    /// At most 2^31 - 1 bytes.
    public init(_ bytes: [UInt8]) {
        precondition(bytes.count <= Int32.max)
        count = bytes.count
        stored = unsafe bytes.withUnsafeBytes { unsafe Self.packed($0) }
    }

    /// Bytes of memory that it takes, not counting the array's own.
    public var storedCount: Int { stored.count }

    private static func packed(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var packed: [UInt8] = []
        packed.reserveCapacity(bytes.count / 8)
        // By a hash of four bytes, where they stood last.
        var table = [Int32](repeating: -1, count: 1 << tableBits)
        var (place, unwritten) = (0, 0)
        while place + matchMin <= bytes.count {
            let word = unsafe bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self)
            let slot = Int(truncatingIfNeeded: (word &* 0x9E37_79B1) >> UInt32(32 - tableBits))
            let before = Int(table[slot])
            table[slot] = Int32(truncatingIfNeeded: place)
            guard before >= 0, place - before <= distanceMax,
                unsafe bytes.loadUnaligned(fromByteOffset: before, as: UInt32.self) == word
            else {
                place += 1
                continue
            }
            var length = matchMin
            while place + length < bytes.count, unsafe bytes[before + length] == bytes[place + length] {
                length += 1
            }
            append(literals: place - unwritten, match: length - matchMin, to: &packed)
            unsafe packed.append(contentsOf: bytes[unwritten..<place])
            let distance = place - before
            packed.append(UInt8(truncatingIfNeeded: distance))
            packed.append(UInt8(truncatingIfNeeded: distance >> 8))
            place += length
            unwritten = place
        }
        append(literals: bytes.count - unwritten, match: 0, to: &packed)
        unsafe packed.append(contentsOf: bytes[unwritten...])
        // No room for more.
        return Array(packed[...])
    }

    private static func append(literals: Int, match: Int, to packed: inout [UInt8]) {
        packed.append(UInt8(min(literals, 15)) << 4 | UInt8(min(match, 15)))
        for count in [literals, match] where count >= 15 {
            var rest = count - 15
            while rest >= 255 {
                packed.append(255)
                rest -= 255
            }
            packed.append(UInt8(rest))
        }
    }

    /// As they were; made anew at each call.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        var place = 0
        func next() -> Int {
            place += 1
            return Int(stored[place - 1])
        }
        func length(_ part: Int) -> Int {
            guard part == 15 else { return part }
            var sum = part
            while true {
                let more = next()
                sum += more
                if more < 255 { return sum }
            }
        }
        while true {
            let token = next()
            let literals = length(token >> 4)
            let match = length(token & 15) + Self.matchMin
            bytes += stored[place..<place + literals]
            place += literals
            if bytes.count == count { return bytes }
            let distance = next() | next() << 8
            // A match may go on into what it writes itself.
            for _ in 0..<match { bytes.append(bytes[bytes.count - distance]) }
        }
    }
}
