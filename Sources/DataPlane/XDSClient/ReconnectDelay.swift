import MeshPrimitives

/// How long to wait before the next attempt: doubled with every failure, up to a bound, less a random half so that
/// many proxies do not come back at once.
public struct ReconnectDelay: Sendable {
    public let delayMin: Duration
    public let delayMax: Duration
    private var failures = 0

    /// Of a first failure and of many; the random part is taken off these.
    public init(from delayMin: Duration = .milliseconds(500), to delayMax: Duration = .seconds(30)) {
        precondition(delayMin > .zero && delayMin <= delayMax)
        (self.delayMin, self.delayMax) = (delayMin, delayMax)
    }

    /// After a failure: between half of the bound's value and all of it.
    public mutating func next(using random: inout SeededRandom) -> Duration {
        let doubled = delayMin.nanoseconds << Int64(min(failures, 20))
        let bound = doubled <= 0 || doubled > delayMax.nanoseconds ? delayMax.nanoseconds : doubled
        failures = min(failures + 1, 20)
        let half = bound / 2
        return .nanoseconds(half + Int64(random.below(UInt64(bound - half + 1))))
    }

    public mutating func succeeded() { failures = 0 }
}
