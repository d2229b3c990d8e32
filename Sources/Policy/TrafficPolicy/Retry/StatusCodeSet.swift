/// A set of status codes from 100 to 599, one bit each.
public struct StatusCodeSet: Equatable, Sendable, BitwiseCopyable {
    private var words = InlineArray<8, UInt64>(repeating: 0)

    public init() {}

    public init(_ codes: some Sequence<UInt16>) {
        for code in codes { insert(code) }
    }

    /// false, and nothing else, for a code outside 100...599.
    @discardableResult
    public mutating func insert(_ code: UInt16) -> Bool {
        guard code >= 100, code <= 599 else { return false }
        let bit = Int(code - 100)
        words[bit >> 6] |= 1 << UInt64(bit & 63)
        return true
    }

    public func contains(_ code: UInt16) -> Bool {
        guard code >= 100, code <= 599 else { return false }
        let bit = Int(code - 100)
        return words[bit >> 6] & (1 << UInt64(bit & 63)) != 0
    }

    public var isEmpty: Bool {
        for index in 0..<8 where words[index] != 0 { return false }
        return true
    }

    /// In ascending order.
    public var codes: [UInt16] { (100...599).filter(contains) }

    public static func == (left: Self, right: Self) -> Bool {
        for index in 0..<8 where left.words[index] != right.words[index] { return false }
        return true
    }
}
