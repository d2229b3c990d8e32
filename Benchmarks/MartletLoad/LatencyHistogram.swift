/// Counts durations in buckets that grow with their value: 64 to each power of two, so a quantile is at most 1.6 % off.
struct LatencyHistogram {
    private static let subBits = 6
    private static let subCount = 1 << subBits

    private var counts = [UInt64](repeating: 0, count: (64 - subBits) * subCount)
    private(set) var total: UInt64 = 0
    private(set) var longest: UInt64 = 0
    private var sum: UInt64 = 0

    mutating func record(nanoseconds: Int64) {
        let value = UInt64(max(0, nanoseconds))
        counts[Self.bucket(of: value)] += 1
        total += 1
        longest = max(longest, value)
        sum &+= value
    }

    var mean: Double { total == 0 ? 0 : Double(sum) / Double(total) }

    /// The smallest recorded value (as its bucket's upper end) that at least `share` of all do not exceed.
    func quantile(_ share: Double) -> UInt64 {
        let wanted = max(1, UInt64((Double(total) * share).rounded(.up)))
        var seen: UInt64 = 0
        for (index, count) in counts.enumerated() where count > 0 {
            seen += count
            if seen >= wanted { return min(longest, Self.upperEnd(of: index)) }
        }
        return longest
    }

    private static func bucket(of value: UInt64) -> Int {
        if value < UInt64(subCount) { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount - subBits
        return (exponent + 1) * subCount + Int(value >> UInt64(exponent)) - subCount
    }

    private static func upperEnd(of index: Int) -> UInt64 {
        if index < subCount { return UInt64(index) }
        let exponent = UInt64(index / subCount - 1)
        return (UInt64(index % subCount + subCount + 1) << exponent) - 1
    }
}
