/// Reads of several bytes at once, checked against the view's bounds as a whole. For the scans of the codecs.
extension ByteView {
    /// Eight bytes, the first one in the lowest bits.
    @inlinable @inline(__always) public func word(at index: Int) -> UInt64 {
        precondition(index >= 0 && index <= count &- 8)
        return unsafe UInt64(littleEndian: UnsafeRawPointer(base + index).loadUnaligned(as: UInt64.self))
    }

    /// Four bytes, the first one in the lowest bits.
    @inlinable @inline(__always) public func halfWord(at index: Int) -> UInt32 {
        precondition(index >= 0 && index <= count &- 4)
        return unsafe UInt32(littleEndian: UnsafeRawPointer(base + index).loadUnaligned(as: UInt32.self))
    }

    /// Sixteen bytes from `index` on, one per lane, and zeros where the view has no more.
    @inlinable @inline(__always) public func lanes(at index: Int) -> SIMD16<UInt8> {
        precondition(index >= 0)
        guard index <= count &- 16 else { return lastLanes(at: index) }
        return unsafe UnsafeRawPointer(base + index).loadUnaligned(as: SIMD16<UInt8>.self)
    }

    /// Fewer than sixteen bytes are left.
    @usableFromInline func lastLanes(at index: Int) -> SIMD16<UInt8> {
        precondition(index <= count)
        var words = SIMD2<UInt64>.zero
        if count >= 16 {
            // The view's last sixteen bytes, shifted until `index` comes first.
            let (low, high) = (word(at: count &- 16), word(at: count &- 8))
            let shift = UInt64(index &- (count &- 16)) &* 8
            // Shifts by 64 and more, of either sign, give zero here.
            words[0] = low >> shift | (shift < 64 ? high << (64 &- shift) : high >> (shift &- 64))
            words[1] = high >> shift
        } else {
            for offset in 0..<(count &- index) {
                words[offset >> 3] |= UInt64(self[index &+ offset]) << (UInt64(offset & 7) &* 8)
            }
        }
        return unsafe unsafeBitCast(
            SIMD2(words[0].littleEndian, words[1].littleEndian), to: SIMD16<UInt8>.self)
    }

    /// Equal to a literal made of lower-case letters, digits and hyphens, where letters of the view may have either
    /// case. Several times faster than `equalsIgnoringCase`, as the literal's bytes become constants.
    @inlinable @inline(__always) public func equalsLowercased(_ literal: StaticString) -> Bool {
        let wanted = ByteView(literal)
        guard count == wanted.count else { return false }
        if wanted.count >= 8 {
            var index = 0
            while index &+ 8 < wanted.count {
                guard Self.matches(word(at: index), wanted.word(at: index)) else { return false }
                index &+= 8
            }
            // The last word overlaps the one before it.
            return Self.matches(word(at: wanted.count &- 8), wanted.word(at: wanted.count &- 8))
        }
        if wanted.count >= 4 {
            let last = wanted.count &- 4
            return Self.matches(UInt64(halfWord(at: 0)), UInt64(wanted.halfWord(at: 0)))
                && Self.matches(UInt64(halfWord(at: last)), UInt64(wanted.halfWord(at: last)))
        }
        for index in 0..<wanted.count {
            guard Self.matches(UInt64(self[index]), UInt64(wanted[index])) else { return false }
        }
        return true
    }

    /// Of the wanted bytes only letters have bit 6 set, and a letter's cases differ in bit 5 alone.
    @inlinable @inline(__always) static func matches(_ bytes: UInt64, _ wanted: UInt64) -> Bool {
        bytes | (wanted & 0x4040_4040_4040_4040) >> 1 == wanted
    }
}

extension SIMDMask<SIMD16<Int8>> {
    /// The lowest lane that is true, 16 if none is.
    @inlinable @inline(__always) public var firstTrue: Int {
        let words = unsafe unsafeBitCast(self, to: SIMD2<UInt64>.self)
        if words[0] != 0 { return words[0].trailingZeroBitCount >> 3 }
        if words[1] != 0 { return 8 &+ words[1].trailingZeroBitCount >> 3 }
        return 16
    }
}
