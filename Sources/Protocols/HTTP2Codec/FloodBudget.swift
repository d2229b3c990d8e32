import MeshPrimitives

/// What a peer may ask of a connection without giving it work to do: two accounts, each filled by useful work and by
/// time, up to a bound. A peer that works (bodies, answered requests) is never stopped; one that only makes us work
/// is, after a burst.
///
/// Frames: PING, PRIORITY, WINDOW_UPDATE and each DATA frame cost 1, SETTINGS 10; a stream earns 10, data received 3, a
/// DATA frame sent 4. Streams: one that the peer resets before its response began, or that it breaks, costs 1; one
/// whose response began earns 1.
struct FloodBudget: BitwiseCopyable {
    static let framesMax = 1000
    static let framesPerSecond: Int64 = 100
    static let streamsMax = 500
    static let streamsPerSecond: Int64 = 33

    private var frames = FloodBudget.framesMax
    private var streams = FloodBudget.streamsMax
    private var refilled: MonotonicInstant?

    mutating func advance(to now: MonotonicInstant) {
        guard let last = refilled else {
            refilled = now
            return
        }
        // In tenths of a second, a minute at most: nothing overflows, and rounding loses little.
        let tenths = min(now.nanoseconds(since: last) / 100_000_000, 600)
        guard tenths > 0 else { return }
        refilled = now
        frames = min(Self.framesMax, frames + Int(Self.framesPerSecond * tenths / 10))
        streams = min(Self.streamsMax, streams + Int((Self.streamsPerSecond * tenths + 9) / 10))
    }

    mutating func earnFrames(_ count: Int) { frames = min(Self.framesMax, frames + count) }

    /// false: the account is empty.
    mutating func spendFrames(_ count: Int) -> Bool {
        frames -= count
        return frames >= 0
    }

    mutating func earnStream() { streams = min(Self.streamsMax, streams + 1) }

    mutating func spendStream() -> Bool {
        streams -= 1
        return streams >= 0
    }
}
