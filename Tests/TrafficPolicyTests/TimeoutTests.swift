import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct DeadlineTests {
    private let start = MonotonicInstant(nanoseconds: 100)

    @Test("No timeout is no deadline, and what is left never goes below nothing")
    func remaining() {
        #expect(Deadline(timeout: 0, from: start) == .never)
        #expect(Deadline.never.remaining(at: start) == .max && !Deadline.never.hasPassed(at: start))
        let deadline = Deadline(timeout: 50, from: start)
        #expect(deadline.remaining(at: start) == 50)
        #expect(deadline.remaining(at: MonotonicInstant(nanoseconds: 150)) == 0)
        #expect(deadline.hasPassed(at: MonotonicInstant(nanoseconds: 150)))
        #expect(deadline.remaining(at: MonotonicInstant(nanoseconds: 151)) == 0)
        #expect(Deadline(timeout: .max, from: start).isNever)
        #expect(deadline.earlier(.never) == deadline)
    }

    @Test("A try takes no longer than its own bound and what is left")
    func tries() {
        let deadline = Deadline(timeout: 1_000_000_000, from: start)
        #expect(deadline.tryTimeout(perTry: 0, at: start) == 1_000_000_000)
        #expect(deadline.tryTimeout(perTry: 5, at: start) == 5)
        #expect(deadline.tryTimeout(perTry: 5_000_000_000, at: start) == 1_000_000_000)
        #expect(Deadline.never.tryTimeout(perTry: 7, at: start) == 7)
        #expect(Deadline.never.tryTimeout(perTry: 0, at: start) == 0)
        #expect(deadline.tryTimeout(perTry: 5, at: MonotonicInstant(nanoseconds: 2_000_000_000)) == 1)
    }

    @Test("The expected time is told in milliseconds, and not at all without a bound")
    func expected() {
        let deadline = Deadline(timeout: 15 * Nanoseconds.perSecond, from: start)
        #expect(deadline.expectedMilliseconds(perTry: 0, at: start) == 15_000)
        #expect(deadline.expectedMilliseconds(perTry: 250 * Nanoseconds.perMillisecond, at: start) == 250)
        #expect(Deadline.never.expectedMilliseconds(perTry: 0, at: start) == nil)
        #expect(deadline.expectedMilliseconds(perTry: 1, at: start) == 1)
    }
}

@Suite struct GRPCTimeoutTests {
    @Test(
        "Values are read in every unit, and nothing else is",
        arguments: [
            ("1H", 3_600_000_000_000), ("10M", 600_000_000_000), ("5S", 5_000_000_000), ("250m", 250_000_000),
            ("7u", 7_000), ("99999999n", 99_999_999), ("0S", 0), ("99999999H", Int64.max), ("", nil),
            ("5", nil),
            ("S", nil), ("123456789S", nil), ("-1S", nil), ("1s", nil), ("1.5S", nil), ("1 S", nil),
        ] as [(String, Int64?)])
    func parse(text: String, nanoseconds: Int64?) {
        #expect(text.withByteView { GRPCTimeout.parse($0) } == nanoseconds)
    }

    @Test("What is written is read back as the same time or a little less", arguments: UInt64(0)..<200)
    func roundTrip(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let nanoseconds = Int64(random.next() >> (1 + random.below(62)))
        var pool = BufferPool()
        var buffer = pool.take(16)
        #expect(GRPCTimeout.append(nanoseconds, to: &buffer))
        #expect(buffer.count <= GRPCTimeout.bytesMax)
        guard let read = GRPCTimeout.parse(buffer.view) else {
            Issue.record("\(buffer.view.text) is not read")
            return
        }
        #expect(read <= nanoseconds && Double(read) >= Double(nanoseconds) * 0.9999 - 1)
        pool.give(&buffer)
    }
}
