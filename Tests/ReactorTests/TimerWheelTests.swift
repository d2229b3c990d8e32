import MeshPrimitives
import Testing

@testable import Reactor

@Suite("Timer wheel") struct TimerWheelTests {
    private static func milliseconds(_ count: Int64) -> MonotonicInstant {
        MonotonicInstant(nanoseconds: count * 1_000_000)
    }

    /// What the wheel should do, the slow way.
    private struct Model {
        struct Timer {
            var tick: Int64
            var order: Int
            let token: Token
            let id: TimerID
        }

        var timers: [Timer] = []
        var elapsed: Int64 = 0
        var order = 0

        mutating func tick(for instant: MonotonicInstant) -> Int64 {
            order += 1
            return max((max(0, instant.nanoseconds) + 999_999) / 1_000_000, elapsed + 1)
        }

        mutating func popExpired(nowTick: Int64) -> Token? {
            let due = timers.indices.filter { timers[$0].tick <= nowTick }
            let first = due.min { (timers[$0].tick, timers[$0].order) < (timers[$1].tick, timers[$1].order) }
            guard let first else {
                elapsed = max(elapsed, nowTick)
                return nil
            }
            elapsed = timers[first].tick
            return timers.remove(at: first).token
        }
    }

    @Test("Any sequence of calls fires the timers that a sorted list would", arguments: UInt64(0)..<200)
    func agreesWithModel(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var now = MonotonicInstant(nanoseconds: Int64(random.below(1 << 62)))
        var wheel = TimerWheel(capacity: 1000, now: now)
        var model = Model(elapsed: now.nanoseconds / 1_000_000)
        var stale: [TimerID] = [.none]
        var nextToken: UInt64 = 0
        for _ in 0..<400 {
            switch random.below(10) {
            case 0..<5:
                let reach = UInt64(1) << (10 + random.below(44))
                let instant = now.advanced(byNanoseconds: Int64(random.below(reach)) - 1_000_000)
                let token = Token(rawValue: nextToken)
                nextToken += 1
                let tick = model.tick(for: instant)
                let id = wheel.schedule(at: instant, token: token)
                model.timers.append(.init(tick: tick, order: model.order, token: token, id: id))
            case 5 where !model.timers.isEmpty:
                let index = Int(random.below(UInt64(model.timers.count)))
                let id = model.timers.remove(at: index).id
                wheel.cancel(id)
                stale.append(id)
            case 6 where !model.timers.isEmpty:
                let index = Int(random.below(UInt64(model.timers.count)))
                let instant = now.advanced(byNanoseconds: Int64(random.below(10_000_000_000)))
                model.timers[index].tick = model.tick(for: instant)
                model.timers[index].order = model.order
                let isMoved = wheel.reschedule(model.timers[index].id, at: instant)
                #expect(isMoved)
            case 7:
                let id = stale[Int(random.below(UInt64(stale.count)))]
                wheel.cancel(id)
                let isMoved = wheel.reschedule(id, at: now)
                #expect(!isMoved)
            default:
                let first = model.timers.map(\.tick).min()
                if random.below(2) == 0, let deadline = wheel.nextDeadline {
                    now = max(now, deadline)
                } else {
                    now = now.advanced(byNanoseconds: Int64(random.below(1 << (10 + random.below(30)))))
                }
                if let first, let deadline = wheel.nextDeadline {
                    #expect(deadline <= Self.milliseconds(first))
                } else {
                    #expect(first == nil)
                    expectEqual(wheel.nextDeadline, nil)
                }
                var fired: [Token] = []
                while let token = wheel.popExpired(now: now) { fired.append(token) }
                var expected: [Token] = []
                while let token = model.popExpired(nowTick: now.nanoseconds / 1_000_000) {
                    expected.append(token)
                }
                #expect(fired == expected)
            }
            expectEqual(wheel.count, model.timers.count)
        }
    }

    @Test(
        "Waiting for the deadline that the wheel gives reaches a far timer in a few steps, at its millisecond"
    )
    func farTimer() {
        var wheel = TimerWheel(capacity: 4, now: Self.milliseconds(12_345))
        let target = MonotonicInstant(nanoseconds: Self.milliseconds(12_345 + 3_600_000).nanoseconds - 1)
        _ = wheel.schedule(at: target, token: Token(rawValue: 7))
        var steps = 0
        var fired: Token?
        while let deadline = wheel.nextDeadline {
            steps += 1
            if let token = wheel.popExpired(now: deadline) {
                fired = token
                #expect(deadline == Self.milliseconds(12_345 + 3_600_000))
            }
        }
        #expect(fired == Token(rawValue: 7))
        #expect(steps <= 8)
    }

    @Test("A handler that schedules for the past is called again a millisecond later, not at once")
    func pastIsNextTick() {
        var wheel = TimerWheel(capacity: 4)
        let now = Self.milliseconds(50)
        _ = wheel.schedule(at: now, token: Token(rawValue: 1))
        expectEqual(wheel.popExpired(now: now), Token(rawValue: 1))
        _ = wheel.schedule(at: .zero, token: Token(rawValue: 2))
        expectEqual(wheel.popExpired(now: now), nil)
        expectEqual(wheel.nextDeadline, Self.milliseconds(51))
        expectEqual(wheel.popExpired(now: Self.milliseconds(51)), Token(rawValue: 2))
    }

    @Test("The last instant of the clock can be a deadline")
    func distantFuture() {
        var wheel = TimerWheel(capacity: 4, now: Self.milliseconds(1))
        let id = wheel.schedule(at: .distantFuture, token: Token(rawValue: 1))
        expectEqual(wheel.popExpired(now: Self.milliseconds(1_000_000_000)), nil)
        expectEqual(wheel.nextDeadline.map { $0 > Self.milliseconds(1_000_000_000) }, true)
        wheel.cancel(id)
        expectEqual(wheel.nextDeadline, nil)
    }

    @Test("A name of a timer that has fired does not touch the one that took its place")
    func staleName() {
        var wheel = TimerWheel(capacity: 1)
        let old = wheel.schedule(at: Self.milliseconds(1), token: Token(rawValue: 1))
        expectEqual(wheel.popExpired(now: Self.milliseconds(1)), Token(rawValue: 1))
        _ = wheel.schedule(at: Self.milliseconds(2), token: Token(rawValue: 2))
        wheel.cancel(old)
        expectEqual(wheel.popExpired(now: Self.milliseconds(2)), Token(rawValue: 2))
    }
}
