/// The values of one histogram, all threads together. Times in milliseconds; those of a `ServerHistogram` in
/// microseconds, wherever milliseconds are spoken of.
public struct HistogramSnapshot: Equatable, Sendable {
    /// What Envoy shows for each histogram.
    public static let quantiles: [Double] = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100]
    /// The buckets that Envoy shows to Prometheus, in milliseconds.
    public static let prometheusBounds: [Double] = [
        0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000,
        1_800_000, 3_600_000,
    ]

    let buckets: [UInt64]
    public let count: UInt64
    /// Milliseconds.
    public let sum: Double

    init(words: [UInt64]) {
        buckets = Array(words[..<HistogramBuckets.count])
        count = buckets.reduce(0, &+)
        sum = Double(words[HistogramBuckets.sumWord]) / 1_000
    }

    /// Values up to and with `bound` milliseconds; exact for the bounds of the buckets.
    public func count(upTo bound: Double) -> UInt64 {
        var total: UInt64 = 0
        for index in 0..<(HistogramBuckets.count - 1)
        where Double(HistogramBuckets.bounds[index]) <= bound * 1_000 {
            total += buckets[index]
        }
        return total
    }

    /// The value in milliseconds below which `percent` of all lie, to the width of a bucket; nil without values.
    public func value(atPercent percent: Double) -> Double? {
        guard count > 0 else { return nil }
        let rank = Double(count) * percent / 100
        var below = 0.0
        var last = 0.0
        for (index, bucket) in buckets.enumerated() where bucket > 0 {
            let (low, high) = (HistogramBuckets.lowerBound(index), HistogramBuckets.upperBound(index))
            if below + Double(bucket) >= rank {
                let share = max(0, rank - below) / Double(bucket)
                return (Double(low) + Double(high - low) * share) / 1_000
            }
            below += Double(bucket)
            last = Double(high) / 1_000
        }
        return last
    }
}
