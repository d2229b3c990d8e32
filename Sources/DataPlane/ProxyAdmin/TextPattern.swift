/// A regular expression that is found in a text or not, in time that grows with the text alone (Thompson's
/// construction: all possibilities at once, none tried twice), so that no expression can hold the control thread up.
///
/// The part of RE2's syntax that names need: literals, `.`, `[a-z]`, `[^a-z]`, `\d \w \s` and their opposites, `( )`,
/// `(?: )`, `|`, `*`, `+`, `?`, `^`, `$` and escaped characters, over bytes. Anything else is refused.
struct TextPattern {
    struct SyntaxError: Error, Equatable {
        let reason: String
    }

    static let bytesMax = 1024

    private enum Step {
        case byte(ByteSet)
        case start, end
        /// Goes on at both places.
        case split(Int, Int)
        case jump(Int)
        case found
    }

    private var steps: [Step] = []

    init(_ expression: String) throws(SyntaxError) {
        guard expression.utf8.count <= Self.bytesMax else {
            throw SyntaxError(reason: "more than \(Self.bytesMax) bytes")
        }
        var parser = Parser(bytes: Array(expression.utf8))
        let tree = try parser.alternatives(depth: 0)
        guard parser.isAtEnd else { throw SyntaxError(reason: "an unmatched )") }
        append(tree)
        steps.append(.found)
    }

    /// Somewhere in the text, unless `^` and `$` say otherwise.
    func matches(_ text: some StringProtocol) -> Bool {
        let bytes = Array(text.utf8)
        var current = Places(count: steps.count)
        var next = Places(count: steps.count)
        for index in 0...bytes.count {
            // A match may begin anywhere.
            if enter(0, &current, index, bytes.count) { return true }
            guard index < bytes.count else { return false }
            next.removeAll()
            for place in current.list {
                guard case .byte(let set) = steps[place], set.contains(bytes[index]) else { continue }
                if enter(place + 1, &next, index + 1, bytes.count) { return true }
            }
            swap(&current, &next)
        }
        return false
    }

    /// Adds a place and those that it leads to without a byte; whether the end is among them.
    private func enter(_ place: Int, _ places: inout Places, _ index: Int, _ end: Int) -> Bool {
        var waiting = [place]
        while let place = waiting.popLast() {
            guard places.insert(place) else { continue }
            switch steps[place] {
            case .byte: break
            case .start: if index == 0 { waiting.append(place + 1) }
            case .end: if index == end { waiting.append(place + 1) }
            case .split(let first, let second): waiting += [first, second]
            case .jump(let target): waiting.append(target)
            case .found: return true
            }
        }
        return false
    }

    private mutating func append(_ tree: Tree) {
        switch tree {
        case .empty: break
        case .byte(let set): steps.append(.byte(set))
        case .start: steps.append(.start)
        case .end: steps.append(.end)
        case .sequence(let parts): for part in parts { append(part) }
        case .either(let left, let right):
            let split = steps.count
            steps.append(.split(split + 1, 0))
            append(left)
            let jump = steps.count
            steps.append(.jump(0))
            steps[split] = .split(split + 1, steps.count)
            append(right)
            steps[jump] = .jump(steps.count)
        case .repeated(let part, let isOptional, let isEndless):
            let split = steps.count
            if isOptional { steps.append(.split(split + 1, 0)) }
            let first = steps.count
            append(part)
            if isEndless { steps.append(.split(isOptional ? split : first, steps.count + 1)) }
            if isOptional { steps[split] = .split(split + 1, steps.count) }
        }
    }
}

/// The steps that are waited at, each once.
private struct Places {
    private(set) var list: [Int] = []
    private var isThere: [Bool]

    init(count: Int) { isThere = Array(repeating: false, count: count) }

    mutating func insert(_ place: Int) -> Bool {
        guard !isThere[place] else { return false }
        isThere[place] = true
        list.append(place)
        return true
    }

    mutating func removeAll() {
        for place in list { isThere[place] = false }
        list.removeAll(keepingCapacity: true)
    }
}

private struct ByteSet {
    private var words = SIMD4<UInt64>.zero

    static let any = ByteSet().inverted
    static let digits = ByteSet(UInt8(ascii: "0")...UInt8(ascii: "9"))
    static let spaces = ByteSet([0x20, 0x09, 0x0a, 0x0c, 0x0d])
    static let wordBytes: ByteSet = {
        var set = ByteSet.digits
        set.insert(UInt8(ascii: "a")...UInt8(ascii: "z"))
        set.insert(UInt8(ascii: "A")...UInt8(ascii: "Z"))
        set.insert(UInt8(ascii: "_")...UInt8(ascii: "_"))
        return set
    }()

    init() {}
    init(_ range: ClosedRange<UInt8>) { insert(range) }
    init(_ bytes: [UInt8]) { for byte in bytes { insert(byte...byte) } }

    func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] & 1 << UInt64(byte & 63) != 0 }
    mutating func insert(_ range: ClosedRange<UInt8>) {
        for byte in range { words[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }
    }
    mutating func formUnion(_ other: ByteSet) { words |= other.words }
    var inverted: ByteSet {
        var set = self
        set.words = ~words
        return set
    }
}

private indirect enum Tree {
    case empty, start, end
    case byte(ByteSet)
    case sequence([Tree])
    case either(Tree, Tree)
    /// `*` is optional and endless, `+` endless, `?` optional.
    case repeated(Tree, isOptional: Bool, isEndless: Bool)
}

private struct Parser {
    private static let depthMax = 32
    let bytes: [UInt8]
    private var index = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { index == bytes.count }
    private var next: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    mutating func alternatives(depth: Int) throws(TextPattern.SyntaxError) -> Tree {
        guard depth < Self.depthMax else { throw .init(reason: "too many groups within each other") }
        var tree = try sequence(depth)
        while take("|") { tree = .either(tree, try sequence(depth)) }
        return tree
    }

    private mutating func sequence(_ depth: Int) throws(TextPattern.SyntaxError) -> Tree {
        var parts: [Tree] = []
        while let byte = next, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
            let part = try atom(depth)
            let isOptional: Bool
            switch next {
            case UInt8(ascii: "*"), UInt8(ascii: "?"): isOptional = true
            case UInt8(ascii: "+"): isOptional = false
            case UInt8(ascii: "{"): throw .init(reason: "counted repetition is not supported")
            default:
                parts.append(part)
                continue
            }
            let isEndless = next != UInt8(ascii: "?")
            index += 1
            // Whether as much or as little as possible is taken makes no difference here.
            _ = take("?")
            if let more = next, "*+?".utf8.contains(more) {
                throw .init(reason: "a repetition of a repetition")
            }
            parts.append(.repeated(part, isOptional: isOptional, isEndless: isEndless))
        }
        return parts.count == 1 ? parts[0] : parts.isEmpty ? .empty : .sequence(parts)
    }

    private mutating func atom(_ depth: Int) throws(TextPattern.SyntaxError) -> Tree {
        guard let byte = next else { return .empty }
        index += 1
        switch byte {
        case UInt8(ascii: "."): return .byte(.any)
        case UInt8(ascii: "^"): return .start
        case UInt8(ascii: "$"): return .end
        case UInt8(ascii: "["): return .byte(try byteClass())
        case UInt8(ascii: "\\"): return .byte(try escape())
        case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"), UInt8(ascii: "{"):
            throw .init(reason: "a repetition of nothing")
        case UInt8(ascii: "("):
            if take("?"), !take(":") { throw .init(reason: "only groups of the form (?: are supported") }
            let tree = try alternatives(depth: depth + 1)
            guard take(")") else { throw .init(reason: "an unmatched (") }
            return tree
        default: return .byte(ByteSet([byte]))
        }
    }

    private mutating func escape() throws(TextPattern.SyntaxError) -> ByteSet {
        guard let byte = next else { throw .init(reason: "a \\ at the end") }
        index += 1
        switch byte {
        case UInt8(ascii: "d"): return .digits
        case UInt8(ascii: "D"): return ByteSet.digits.inverted
        case UInt8(ascii: "w"): return .wordBytes
        case UInt8(ascii: "W"): return ByteSet.wordBytes.inverted
        case UInt8(ascii: "s"): return .spaces
        case UInt8(ascii: "S"): return ByteSet.spaces.inverted
        default:
            guard !ByteSet.wordBytes.contains(byte), byte < 0x80 else {
                throw .init(reason: "\\\(Unicode.Scalar(byte)) is not supported")
            }
            return ByteSet([byte])
        }
    }

    private mutating func byteClass() throws(TextPattern.SyntaxError) -> ByteSet {
        let isInverted = take("^")
        var set = ByteSet()
        var isFirst = true
        while let byte = next, isFirst || byte != UInt8(ascii: "]") {
            isFirst = false
            index += 1
            if byte == UInt8(ascii: "\\") {
                set.formUnion(try escape())
                continue
            }
            if byte == UInt8(ascii: "["), next == UInt8(ascii: ":") {
                throw .init(reason: "named classes are not supported")
            }
            var last = byte
            if next == UInt8(ascii: "-"), index + 1 < bytes.count, bytes[index + 1] != UInt8(ascii: "]") {
                last = bytes[index + 1]
                index += 2
                guard last >= byte, last != UInt8(ascii: "\\") else {
                    throw .init(reason: "a range that is empty")
                }
            }
            set.insert(byte...last)
        }
        guard take("]") else { throw .init(reason: "an unmatched [") }
        return isInverted ? set.inverted : set
    }
}
