import MeshPrimitives

/// One direction between two hosts.
public struct SimulatedLink: Sendable {
    /// Each segment takes a random time between the two; order is kept within a connection.
    public var latencyMin, latencyMax: Duration
    /// Nothing arrives, and nobody is told: a black hole. What TCP would send again arrives once the link is up again.
    public var isDown = false
    /// 0...1 for each connection that is begun: answered as if nobody listened.
    public var refusalChance = 0.0
    /// 0...1 for each segment of bytes: both ends of its connection see a reset instead.
    public var resetChance = 0.0

    public init(latencyMin: Duration, latencyMax: Duration) {
        precondition(latencyMin >= .zero && latencyMin <= latencyMax)
        (self.latencyMin, self.latencyMax) = (latencyMin, latencyMax)
    }

    public static let local = SimulatedLink(latencyMin: .microseconds(10), latencyMax: .microseconds(50))
    public static let datacenter = SimulatedLink(
        latencyMin: .microseconds(100), latencyMax: .microseconds(500))
}

/// How the simulated machine uses the freedom that Linux has, and programs forget: each a chance of 0...1.
public struct SimulatedQuirks: Sendable {
    /// A segment arrives in random pieces, at times of their own.
    public var splitChance = 0.2
    /// A write takes only a part, or nothing.
    public var shortWriteChance = 0.05
    /// An event comes a second time, later, for nothing.
    public var spuriousEventChance = 0.05
    /// Ready descriptors are reported in a random order, some of them a turn later.
    public var shuffleChance = 0.5
    /// Bytes of one direction of a connection that were written and not yet read.
    public var bufferBytes = 64 << 10

    public init() {}

    /// A machine without surprises.
    public static var none: SimulatedQuirks {
        var quirks = SimulatedQuirks()
        (quirks.splitChance, quirks.shortWriteChance) = (0, 0)
        (quirks.spuriousEventChance, quirks.shuffleChance) = (0, 0)
        return quirks
    }
}
