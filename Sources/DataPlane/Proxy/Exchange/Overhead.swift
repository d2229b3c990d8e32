import MeshPrimitives
import Telemetry

/// What becomes a value of `martlet.overhead_us` once the clock has been looked at.
struct OverheadMeter: ~Copyable {
    /// Requests whose head came since the last look.
    var begun = PlainList<ExchangePlace>(minimumCapacity: 64)
    /// Of the requests that have ended since: nanoseconds that their heads took.
    var ended = PlainList<Int64>(minimumCapacity: 64)

    var isEmpty: Bool { begun.isEmpty && ended.isEmpty }
}

/// The time that the proxy itself adds to a request: from when its head was there to be read until what came of it was
/// handed to the kernel, and the same for the end of the answer. What lies between is the endpoint's, the caller's or
/// a policy's (back-off, delays on purpose), and so are bodies on their way. The clock is looked at when frames and
/// staged bytes have left, and not once for each request: once in a turn, and once for every `eventsPerFlush` events of
/// a long one.
extension Worker {
    @inline(__always)
    mutating func headCame(_ exchange: ExchangePlace) { overhead.begun.append(exchange) }

    @inline(__always)
    mutating func measureOverhead(of exchange: ExchangePlace) {
        overhead.ended.append(exchange.value.headTook)
    }

    /// What was begun or ended since the last look has left by now. nil: there was nothing to look for.
    mutating func lookAtClock() -> MonotonicInstant? {
        guard !overhead.isEmpty else { return nil }
        let time = kernel.now()
        let took = time.nanoseconds(since: now)
        for index in overhead.begun.indices {
            // One that has ended already has its time from `ended`.
            let exchange = overhead.begun[index]
            if exchange.isInUse { exchange.value.headTook = took }
        }
        for index in overhead.ended.indices {
            counters.record(serverScope, .overhead, nanoseconds: overhead.ended[index] &+ took)
        }
        overhead.begun.removeAll()
        overhead.ended.removeAll()
        return time
    }
}
