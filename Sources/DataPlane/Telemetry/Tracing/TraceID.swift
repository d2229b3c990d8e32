import MeshPrimitives

/// A trace id of 128 bits; one of 64 bits has 0 in `high`.
public struct TraceID: Equatable, Hashable, Sendable, BitwiseCopyable {
    public var high, low: UInt64

    @inlinable public init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }

    public static let none = TraceID(high: 0, low: 0)
    @inlinable public var isNone: Bool { high | low == 0 }

    /// A new one, never `none`.
    public init(random: inout SeededRandom) {
        (high, low) = (random.next(), random.next())
        if low == 0 { low = 1 }
    }
}

/// What names a request: the 128 bits of a UUID, or a hash of an id in another form.
public struct RequestID: Equatable, Hashable, Sendable, BitwiseCopyable {
    public var high, low: UInt64

    @inlinable public init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }

    public static let none = RequestID(high: 0, low: 0)
    @inlinable public var isNone: Bool { high | low == 0 }
}
