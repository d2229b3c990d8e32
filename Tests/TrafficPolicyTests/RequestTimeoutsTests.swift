import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct RequestTimeoutsTests {
    private let second = Nanoseconds.perSecond

    private func fields(_ change: (inout RequestTimeoutFields) -> Void) -> RequestTimeoutFields {
        var fields = RequestTimeoutFields()
        change(&fields)
        return fields
    }

    @Test("A route's time-outs are shortened by what the request says, as far as that is believed")
    func resolution() {
        var settings = TimeoutSettings.envoyDefault
        settings.perTry = 4 * second
        let plain = RequestTimeouts(settings, RequestTimeoutFields())
        #expect((plain.request, plain.perTry) == (15 * second, 4 * second))
        let upstream = RequestTimeouts(settings, fields { $0.upstream = 3 * second })
        #expect(
            (upstream.request, upstream.perTry) == (3 * second, 0), "a try cannot be longer than the whole")
        let expected = fields {
            $0.expected = 2 * second; $0.upstream = 9 * second
        }
        #expect(RequestTimeouts(settings, expected).request == 9 * second)
        #expect(RequestTimeouts(settings, expected, respectsExpected: true).request == 2 * second)
        #expect(RequestTimeouts(settings, fields { $0.perTry = second }).perTry == second)
    }

    @Test("grpc-timeout counts up to its bound and less its offset, where the route looks at it")
    func grpc() {
        var settings = TimeoutSettings.envoyDefault
        let asked = fields { $0.grpcTimeout = 8 * second }
        #expect(RequestTimeouts(settings, asked).request == 15 * second)
        settings.grpcTimeoutMax = 5 * second
        #expect(RequestTimeouts(settings, asked).request == 5 * second)
        settings.grpcTimeoutMax = .max
        settings.grpcTimeoutOffset = second
        #expect(RequestTimeouts(settings, asked).request == 7 * second)
        #expect(RequestTimeouts(settings, fields { $0.grpcTimeout = second / 2 }).request == second / 2)
    }

    @Test("Work whose deadline has passed on the way is refused")
    func over() {
        var settings = TimeoutSettings.envoyDefault
        settings.grpcTimeoutMax = .max
        #expect(RequestTimeouts(settings, fields { $0.grpcTimeout = 0 }).isOver)
        #expect(RequestTimeouts(settings, fields { $0.grpcTimeout = second }, age: second).isOver)
        #expect(!RequestTimeouts(settings, fields { $0.grpcTimeout = second }, age: second - 1).isOver)
        #expect(!RequestTimeouts(settings, fields { $0.expected = second }, age: second).isOver)
        #expect(
            RequestTimeouts(settings, fields { $0.expected = second }, respectsExpected: true, age: second)
                .isOver)
    }

    @Test("What an upstream is told is the bound of its try, or of the request where tries are hedged")
    func told() {
        var settings = TimeoutSettings.envoyDefault
        settings.perTry = 2 * second
        let timeouts = RequestTimeouts(settings, RequestTimeoutFields())
        #expect(timeouts.expectedMilliseconds(remaining: 10 * second, hedges: false) == 2_000)
        #expect(timeouts.expectedMilliseconds(remaining: second, hedges: false) == 1_000)
        #expect(timeouts.expectedMilliseconds(remaining: 10 * second, hedges: true) == 10_000)
        settings.request = 0
        let unbounded = RequestTimeouts(settings, RequestTimeoutFields())
        #expect(unbounded.expectedMilliseconds(remaining: .max, hedges: false) == 2_000)
        settings.perTry = 0
        #expect(
            RequestTimeouts(settings, RequestTimeoutFields()).expectedMilliseconds(
                remaining: .max, hedges: false)
                == nil)
    }

    @Test("Milliseconds of a field are digits and nothing else")
    func parsing() {
        #expect(
            "1500".withByteView { RequestTimeoutFields.milliseconds($0) } == 1_500
                * Nanoseconds.perMillisecond)
        #expect("1.5".withByteView { RequestTimeoutFields.milliseconds($0) } == nil)
        #expect("999999999999999999".withByteView { RequestTimeoutFields.milliseconds($0) } == .max)
    }
}

@Suite struct IdleCloseEstimateTests {
    /// With an identity: a value that cannot be copied cannot be named in an expectation.
    private final class Estimate {
        let value = IdleCloseEstimate()

        func close(_ milliseconds: Int64, at seconds: Int64 = 0) {
            value.closedByPeer(
                afterIdle: milliseconds * Nanoseconds.perMillisecond,
                at: MonotonicInstant(nanoseconds: seconds * Nanoseconds.perSecond))
        }

        func limit(at seconds: Int64 = 0) -> Int64 {
            let most = value.idleMax(at: MonotonicInstant(nanoseconds: seconds * Nanoseconds.perSecond))
            return most == .max ? -1 : most / Nanoseconds.perMillisecond
        }
    }

    @Test("Two closes that agree teach how long an endpoint waits; one, or a restart, does not")
    func learning() {
        let estimate = Estimate()
        #expect(estimate.limit() == -1)
        estimate.close(5_000)
        #expect(estimate.limit() == -1)
        for idle in [700, 2_300, 4_100] { estimate.close(Int64(idle)) }
        #expect(estimate.limit() == -1, "connections of different ages, closed at once")
        estimate.close(5_010)
        estimate.close(5_000)
        #expect(estimate.limit() == 4_500)
    }

    @Test("A shorter wait replaces a longer one, long waits keep a second, and an hour forgets")
    func changes() {
        let estimate = Estimate()
        for _ in 0..<2 { estimate.close(60_000, at: 100) }
        #expect(estimate.limit(at: 100) == 59_000)
        for _ in 0..<2 { estimate.close(2_000, at: 200) }
        #expect(estimate.limit(at: 200) == 1_800)
        for _ in 0..<2 { estimate.close(30_000, at: 300) }
        #expect(estimate.limit(at: 300) == 1_800)
        #expect(estimate.limit(at: 200 + 3_600) == -1)
        for _ in 0..<2 { estimate.close(30_000, at: 4_000) }
        #expect(estimate.limit(at: 4_000) == 29_000)
    }

    @Test("What the endpoint says counts at once, and a close after a moment is no time-out")
    func announced() {
        let estimate = Estimate()
        estimate.value.announced(5 * Nanoseconds.perSecond, at: .zero)
        #expect(estimate.limit() == 4_500)
        for _ in 0..<3 { estimate.close(20) }
        #expect(estimate.limit() == 4_500)
    }
}
