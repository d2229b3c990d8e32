import MeshPrimitives
import Testing

struct MonotonicInstantTests {
    @Test("Instants advance and differ by durations, and saturate")
    func arithmetic() {
        let start = MonotonicInstant(nanoseconds: 1_000)
        #expect(start.advanced(by: .microseconds(2)).nanoseconds == 3_000)
        #expect(start.advanced(by: .nanoseconds(-1)) < start)
        #expect(start.advanced(by: .seconds(2)).duration(since: start) == .seconds(2))
        #expect(start.nanoseconds(since: start.advanced(by: .seconds(1))) == -1_000_000_000)
        #expect(MonotonicInstant.distantFuture.advanced(by: .seconds(1)) == .distantFuture)
    }

    @Test("Durations in whole nanoseconds, saturating")
    func durations() {
        #expect(Duration.milliseconds(1_500).nanoseconds == 1_500_000_000)
        #expect(Duration(secondsComponent: 1, attosecondsComponent: 999_999_999).nanoseconds == 1_000_000_000)
        #expect(
            Duration.seconds(Int64.max).nanoseconds == .max && Duration.seconds(Int64.min).nanoseconds == .min
        )
    }
}
