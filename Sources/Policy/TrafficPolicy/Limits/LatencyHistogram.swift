import Synchronization

/// Latencies of the whole process, in buckets of a sixteenth of an octave of microseconds: a quantile is right to 5 %.
/// Adding takes one atomic addition.
struct LatencyHistogram: ~Copyable, Sendable {
    private static let bucketCount = 640

    private let buckets: InlineArray<640, Atomic<UInt32>>
    private let total = Atomic<Int>(0)

    init() { buckets = InlineArray { _ in Atomic<UInt32>(0) } }

    var count: Int { total.load(ordering: .relaxed) }

    /// The number of samples with this one.
    func add(microseconds: Int64) -> Int {
        buckets[Self.bucket(UInt64(max(0, microseconds)))].wrappingAdd(1, ordering: .relaxed)
        return total.wrappingAdd(1, ordering: .relaxed).newValue
    }

    /// Microseconds below which that share of the samples lie, 0...1; the histogram is empty afterwards. Samples that
    /// come meanwhile count either here or there.
    func takeQuantile(_ share: Double) -> Int64 {
        var counts = InlineArray<640, UInt32>(repeating: 0)
        var sum: UInt64 = 0
        for index in 0..<Self.bucketCount {
            counts[index] = buckets[index].exchange(0, ordering: .relaxed)
            sum += UInt64(counts[index])
        }
        total.wrappingSubtract(Int(sum), ordering: .relaxed)
        var left = (share * Double(sum)).rounded(.up)
        for index in 0..<Self.bucketCount where counts[index] > 0 {
            left -= Double(counts[index])
            if left <= 0 { return Self.middle(index) }
        }
        return 0
    }

    private static func bucket(_ value: UInt64) -> Int {
        if value < 16 { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount
        let place = Int(value >> UInt64(exponent - 4) & 15)
        return min((exponent - 3) * 16 + place, bucketCount - 1)
    }

    private static func middle(_ bucket: Int) -> Int64 {
        if bucket < 16 { return Int64(bucket) }
        let (exponent, place) = (bucket / 16 + 3, Int64(bucket % 16))
        return (16 + place) << Int64(exponent - 4) + 1 << Int64(exponent - 4) / 2
    }
}
