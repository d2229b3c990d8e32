/// What becomes of a policy's decisions (`spec.mode`). A policy decides alike in every mode; who carries out is the shell.
public enum PolicyMode: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case enforce
    /// Decided, counted and recorded, and not carried out.
    case shadow
    /// Not even decided.
    case off

    public var decides: Bool { self != .off }

    /// The decision with what is to become of it.
    public func ruling<Decision>(_ decision: Decision) -> Ruling<Decision> {
        Ruling(decision, isCarriedOut: self == .enforce)
    }
}

/// What a policy decided, and whether the shell is to act on it or only to count and record it.
public struct Ruling<Decision> {
    public let decision: Decision
    public let isCarriedOut: Bool

    public init(_ decision: Decision, isCarriedOut: Bool) {
        (self.decision, self.isCarriedOut) = (decision, isCarriedOut)
    }

    /// What to act on: the decision, or `otherwise` in shadow mode.
    public func effective(otherwise: Decision) -> Decision { isCarriedOut ? decision : otherwise }
}

extension Ruling: Sendable where Decision: Sendable {}
extension Ruling: BitwiseCopyable where Decision: BitwiseCopyable {}
extension Ruling: Equatable where Decision: Equatable {}
