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

    /// First bound that can be above a value, by the value's highest bit.
    private static let starts: InlineArray<65, UInt8> = {
        var starts = InlineArray<65, UInt8>(repeating: 0)
        for bits in 0..<65 {
            let least: UInt64 = bits == 0 ? 0 : 1 << UInt64(bits - 1)
            var index = 0
            while index < 122, bounds[index] < least { index += 1 }
            starts[bits] = UInt8(index)
        }
        return starts
    }()

    static func index(microseconds: UInt64) -> Int {
        var index = Int(starts[64 - microseconds.leadingZeroBitCount])
        while index < 122, bounds[index] < microseconds { index += 1 }
        return index
    }

    static func lowerBound(_ index: Int) -> UInt64 { index == 0 ? 0 : bounds[index - 1] }

    /// The last bucket is taken to end at ten hours.
    static func upperBound(_ index: Int) -> UInt64 { index < 122 ? bounds[index] : 36_000_000_000 }
}
