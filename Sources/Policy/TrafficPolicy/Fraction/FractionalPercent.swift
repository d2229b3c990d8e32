import MeshPrimitives

/// Envoy's `FractionalPercent`: a share of all cases.
public struct FractionalPercent: Equatable, Hashable, Sendable, BitwiseCopyable {
    /// Raw values are those of the API.
    public enum Denominator: UInt8, Sendable, BitwiseCopyable {
        case hundred = 0
        case tenThousand = 1
        case million = 2

        public var value: UInt32 {
            switch self {
            case .hundred: 100
            case .tenThousand: 10_000
            case .million: 1_000_000
            }
        }
    }

    public var numerator: UInt32
    public var denominator: Denominator

    public init(_ numerator: UInt32, of denominator: Denominator = .hundred) {
        (self.numerator, self.denominator) = (numerator, denominator)
    }

    public static let never = FractionalPercent(0)
    public static let always = FractionalPercent(100)

    /// Whether this case belongs to the share. Draws only where the answer is open.
    public func draw(_ random: inout SeededRandom) -> Bool {
        if numerator == 0 { return false }
        if numerator >= denominator.value { return true }
        return random.below(UInt64(denominator.value)) < UInt64(numerator)
    }
}
