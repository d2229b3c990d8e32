import MeshPrimitives
import Telemetry

/// A fault that slows an answer down: its body waits in a queue, and leaves in slices, twenty a second. What an endpoint
/// leaves unused may go later, up to a second's share.
extension Worker {
    private static var slicesPerSecond: Int64 { 20 }
    private static var slice: Int64 { 1_000_000_000 / slicesPerSecond }

    /// `rate` in bytes a second.
    func setPace(_ exchange: ExchangePlace, rate: Int64) {
        exchange.value.paceRate = rate
        exchange.value.paceTokens = max(rate / Self.slicesPerSecond, 1)
        exchange.value.paceFilled = now
    }

    mutating func paceBody(_ exchange: ExchangePlace, _ bytes: ByteView) {
        queues.append(bytes, to: &exchange.value.paced, pool: &pool)
        sendPaced(exchange)
    }

    /// Sends what may go by now, and asks for a timer for the rest.
    mutating func sendPaced(_ exchange: ExchangePlace) {
        let rate = exchange.value.paceRate
        let slices = max(0, now.nanoseconds(since: exchange.value.paceFilled)) / Self.slice
        if slices > 0 {
            // After a second the bucket is full.
            let added = min(slices, Self.slicesPerSecond) * max(rate / Self.slicesPerSecond, 1)
            exchange.value.paceTokens = min(rate, exchange.value.paceTokens + added)
            exchange.value.paceFilled = exchange.value.paceFilled.advanced(
                byNanoseconds: slices * Self.slice)
        }
        while exchange.value.paceTokens > 0, !exchange.value.paced.isEmpty {
            let view = queues.front(of: exchange.value.paced).prefix(Int(exchange.value.paceTokens))
            writeAnswerBody(exchange, view)
            queues.consume(view.count, from: &exchange.value.paced, pool: &pool)
            exchange.value.paceTokens -= Int64(view.count)
            exchange.value.lastMoved = now
        }
        guard exchange.value.paced.isEmpty else {
            exchange.value.retryAt = exchange.value.paceFilled.advanced(byNanoseconds: Self.slice)
            return armTimer(exchange)
        }
        exchange.value.retryAt = .distantFuture
        if exchange.value.pacedToEnd { finishAnswer(exchange, trailers: exchange.value.answerTrailers.view) }
    }

    /// All of the answer came, but not all of it may go: the endpoint is let go, the caller waits.
    mutating func holdEnd(_ exchange: ExchangePlace, trailers: ByteView) {
        exchange.value.pacedToEnd = true
        exchange.value.deadline = .distantFuture
        if !trailers.isEmpty, !exchange.value.answerTrailers.isAllocated {
            exchange.value.answerTrailers = pool.take(trailers.count)
            _ = exchange.value.answerTrailers.append(trailers)
        }
        leaveUpstream(
            exchange, isReusable: exchange.value.upstreamKeepsAlive && exchange.value.requestSent)
    }
}
