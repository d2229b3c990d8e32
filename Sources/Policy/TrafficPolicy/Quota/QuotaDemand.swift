import MeshPrimitives

/// What one proxy wants of a limit, estimated from its reports. Both sides of the wire keep the same estimate, so that a
/// proxy knows when what the control plane believes of it is no longer true, and reports at once.
public struct QuotaDemand: Sendable, Equatable {
    /// Growth counts in full after so long: a few requests at once are no rate yet.
    private static let growthWindow = 0.5
    /// How much of a small fall is left after a second.
    private static let kept = 0.3
    /// A fall to less than half counts in full after so long.
    private static let fallWindow = 0.3

    /// Requests a second.
    public private(set) var perSecond = 0.0
    private var isKnown = false

    public init() {}

    /// A report.
    public mutating func reported(_ usage: QuotaUsage) {
        guard usage.elapsed > 0 else { return }
        let seconds = usage.seconds
        let rate = Double(usage.allowed + usage.denied) / seconds
        defer { isKnown = true }
        if !isKnown || (rate < perSecond / 2 && seconds >= Self.fallWindow) {
            perSecond = rate
        } else if rate > perSecond {
            // Whoever waits for its share loses requests, whoever has too much loses nothing: growth is not smoothed.
            perSecond += (rate - perSecond) * min(1, seconds / Self.growthWindow)
        } else {
            perSecond += (rate - perSecond) * (1 - Self.kept) * min(1, seconds)
        }
    }

    /// Whether the next report is due now, since with `usage` so far the estimate is wrong by much: requests are refused that
    /// a larger share would let through, or a share lies idle that others could use.
    public func isOutdated(by usage: QuotaUsage) -> Bool {
        let count = Double(usage.allowed + usage.denied)
        let expected = perSecond * usage.seconds
        if count > expected {
            return usage.denied > 0 && count - expected >= max(5, expected / 4)
        }
        return usage.seconds >= Self.fallWindow && expected >= 10 && count < expected / 2
    }
}

extension QuotaUsage {
    fileprivate var seconds: Double { Double(elapsed) / Double(Nanoseconds.perSecond) }
}
