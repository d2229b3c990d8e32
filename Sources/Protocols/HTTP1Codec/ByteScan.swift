import MeshPrimitives

/// Classes of bytes (RFC 9110 sections 5.5 and 5.6.2, RFC 3986 section 3.2.2), as bitmaps in two literals: a table in
/// memory would cost more than the test.
extension UInt8 {
    @inline(__always) func isIn(_ low: UInt64, _ high: UInt64) -> Bool {
        self < 128 && (self < 64 ? low : high) >> UInt64(self & 63) & 1 == 1
    }

    /// A character of a token: "!#$%&'*+-.^_`|~", digits, letters.
    @inline(__always) var isTokenCharacter: Bool { isIn(0x03ff_6cfa_0000_0000, 0x57ff_ffff_c7ff_fffe) }
    /// A character of a registered name, but for percent-encoded ones: unreserved and sub-delimiters.
    @inline(__always) var isNameCharacter: Bool { isIn(0x2bff_7fd2_0000_0000, 0x47ff_fffe_87ff_fffe) }
    @inline(__always) var isSpaceOrTab: Bool { self == .space || self == .tab }
    @inline(__always) var isDigit: Bool { self &- 0x30 < 10 }

    @inline(__always) static var tab: UInt8 { 0x09 }
    @inline(__always) static var lineFeed: UInt8 { 0x0a }
    @inline(__always) static var carriageReturn: UInt8 { 0x0d }
    @inline(__always) static var space: UInt8 { 0x20 }
    @inline(__always) static var hash: UInt8 { 0x23 }
    @inline(__always) static var percent: UInt8 { 0x25 }
    @inline(__always) static var asterisk: UInt8 { 0x2a }
    @inline(__always) static var comma: UInt8 { 0x2c }
    @inline(__always) static var slash: UInt8 { 0x2f }
    @inline(__always) static var colon: UInt8 { 0x3a }
    @inline(__always) static var semicolon: UInt8 { 0x3b }
    @inline(__always) static var questionMark: UInt8 { 0x3f }
    @inline(__always) static var openBracket: UInt8 { 0x5b }
    @inline(__always) static var closeBracket: UInt8 { 0x5d }
    @inline(__always) static var delete: UInt8 { 0x7f }
}

/// One byte in each lane. The comparisons of a vector with a plain number are loops over its lanes: forty times slower.
@inline(__always) private func all(_ byte: UInt8) -> SIMD16<UInt8> { SIMD16(repeating: byte) }

/// Each scan gives the first index at or after `start` whose byte is not of the class, or `count`. Behind the view's
/// end there are zeros, and zero is of no class.
extension ByteView {
    /// Token characters.
    @inline(__always) func endOfToken(from start: Int) -> Int {
        var index = start
        while true {
            let lanes = lanes(at: index)
            let isLetter = (lanes | all(0x20)) &- all(0x61) .< all(26)
            let isUsual = isLetter .| (lanes &- all(0x30) .< all(10)) .| (lanes .== all(0x2d))
            let step = (.!isUsual).firstTrue
            index &+= step
            if step == 16 { continue }
            // The rarer characters of tokens, one at a time.
            guard index < count, self[index] != .colon, self[index].isTokenCharacter else { return index }
            index &+= 1
        }
    }

    /// Visible characters, spaces, tabs and bytes above 127.
    @inline(__always) func endOfText(from start: Int) -> Int {
        var index = start
        while true {
            let lanes = lanes(at: index)
            let isControl = ((lanes .< all(0x20)) .& (lanes .!= all(0x09))) .| (lanes .== all(0x7f))
            let step = isControl.firstTrue
            index &+= step
            if step < 16 { return index }
        }
    }

    /// Visible ASCII characters without "#", which begins a fragment: no target has one (RFC 9112 section 3.2).
    @inline(__always) func endOfTarget(from start: Int) -> Int {
        var index = start
        while true {
            let lanes = lanes(at: index)
            // 0x21...0x7e become 0...0x5d.
            let step = ((lanes &- all(0x21) .> all(0x5d)) .| (lanes .== all(0x23))).firstTrue
            index &+= step
            if step < 16 { return index }
        }
    }

    /// Letters, digits, hyphens and dots.
    @inline(__always) func endOfPlainName(from start: Int) -> Int {
        var index = start
        while true {
            let lanes = lanes(at: index)
            let isLetter = (lanes | all(0x20)) &- all(0x61) .< all(26)
            // Hyphen, dot, slash and the digits are neighbours.
            let isOther = (lanes &- all(0x2d) .< all(13)) .& (lanes .!= all(0x2f))
            let step = (.!(isLetter .| isOther)).firstTrue
            index &+= step
            if step < 16 { return index }
        }
    }

    /// So many digits are there, and make no more than 65535.
    @inline(__always) func isPort(at start: Int, digits: Int) -> Bool {
        let lanes = lanes(at: start)
        guard digits <= 5, (.!(lanes &- all(0x30) .< all(10))).firstTrue >= digits else { return false }
        if digits < 5 { return true }
        // Numbers of five digits are in the order of their texts.
        let text = unsafe unsafeBitCast(lanes, to: SIMD2<UInt64>.self)[0].bigEndian >> 24
        return text <= 0x36_35_35_33_35
    }

    /// The part `range` of a field's value without spaces and tabs at its ends: no other byte of it is below them.
    @inline(__always) func trimmedRange(_ range: Range<Int>) -> Range<Int> {
        var (low, high) = (range.lowerBound, range.upperBound)
        while low < high, self[low] <= .space { low &+= 1 }
        while low < high, self[high &- 1] <= .space { high &-= 1 }
        return low..<high
    }

    var isToken: Bool { !isEmpty && endOfToken(from: 0) == count }

    /// Calls `body` with each member of a comma-separated list; empty ones are left out (RFC 9110 section 5.6.1).
    /// Stops, and gives false, where `body` does.
    @inline(__always) func allMembers(_ body: (ByteView) -> Bool) -> Bool {
        var start = 0
        while start <= count {
            let end = firstIndex(of: .comma, from: start) ?? count
            let member = trimmedRange(start..<end)
            if !member.isEmpty, !body(self[member]) { return false }
            start = end &+ 1
        }
        return true
    }
}
