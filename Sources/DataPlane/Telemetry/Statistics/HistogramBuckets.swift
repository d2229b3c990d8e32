/// The buckets that all histograms have: sixteen to a decade, from 0.1 ms to an hour, whose bounds contain all those that
/// Envoy shows to Prometheus. Values are times in microseconds. A value on a bound belongs to the bucket below
/// it, as Prometheus has it.
enum HistogramBuckets {
    /// Upper bounds in microseconds; the last bucket has none.
    static let bounds: InlineArray<122, UInt64> = {
        let steps: InlineArray<16, UInt64> = [
            10, 12, 14, 16, 18, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90,
        ]
        var bounds = InlineArray<122, UInt64>(repeating: 0)
        var decade: UInt64 = 10
        for index in 0..<121 {
            bounds[index] = steps[index % 16] * decade
            if index % 16 == 15 { decade *= 10 }
        }
        bounds[121] = 3_600_000_000
        return bounds
    }()

    static let count = 123
    /// Of a page: all buckets, then the sum of all values in microseconds.
    static let words = 124
    static let sumWord = 123

    /// By arithmetic: tables of this size would be looked up through a lock that guards their first use.
    @inline(__always)
    static func index(microseconds: UInt64) -> Int {
        // What is frequent comes after few comparisons.
        if microseconds <= 10_000 {
            if microseconds <= 100 { return 0 }
            if microseconds <= 1000 { return index((microseconds &+ 9) / 10, from: 0) }
            return index((microseconds &+ 99) / 100, from: 16)
        }
        if microseconds <= 100_000 { return index((microseconds &+ 999) / 1000, from: 32) }
        if microseconds > 3_600_000_000 { return 122 }
        // Bounds of a decade are 10 to 90 of its unit.
        var (unit, first): (UInt64, Int) = (10_000, 48)
        while microseconds > 100 * unit {
            unit *= 10
            first += 16
        }
        return min(index((microseconds &+ unit &- 1) / unit, from: first), 121)
    }

    /// Of a value in units of its decade, 10 at the least, whose buckets are those from `index` on.
    @inline(__always) private static func index(_ units: UInt64, from index: Int) -> Int {
        let steps =
            if units <= 20 { (units &- 9) / 2 } else if units <= 50 { 5 &+ (units &- 16) / 5 } else {
                11 &+ (units &- 41) / 10
            }
        return index &+ Int(truncatingIfNeeded: steps)
    }

    static func lowerBound(_ index: Int) -> UInt64 { index == 0 ? 0 : bounds[index - 1] }

    /// The last bucket is taken to end at ten hours.
    static func upperBound(_ index: Int) -> UInt64 { index < 122 ? bounds[index] : 36_000_000_000 }
}
