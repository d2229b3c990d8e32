import HTTPModel
import MeshPrimitives
import Telemetry
import TrafficPolicy

/// How long a request and its tries may take, and what the endpoint is told about it.
extension Worker {
    /// false: the caller's time is over.
    @inline(__always)
    mutating func applyTimes(_ exchange: ExchangePlace) -> Bool {
        var timeout = exchange.route.timeout
        var perTry = exchange.route.retry.perTryTimeout
        if exchange.value.requestControls.timeout >= 0 { timeout = exchange.value.requestControls.timeout }
        if exchange.value.requestControls.perTryTimeout >= 0 {
            perTry = exchange.value.requestControls.perTryTimeout
        }
        if exchange.chain.http.respectsExpectedTimeout, let expected = believedTimeout(exchange) {
            timeout = expected
        }
        // A try that may take as long as the request has no bound of its own.
        if perTry > 0, timeout > 0, perTry >= timeout { perTry = 0 }
        exchange.value.timeout = exchange.value.isUpgrade ? 0 : timeout
        exchange.value.perTryTimeout = perTry
        exchange.value.perTryIdleTimeout = exchange.route.retry.perTryIdleTimeout
        if exchange.route.idleTimeout >= 0 {
            exchange.value.streamIdleTimeout = exchange.route.idleTimeout
        }
        if exchange.route.maxStreamDuration >= 0 || exchange.route.grpcTimeoutMax >= 0 {
            limitStream(exchange)
        }
        if exchange.route.propagatesDeadline, !takeDeadline(exchange) { return false }
        if exchange.value.requestEnded { setDeadline(exchange) }
        return true
    }

    /// The route's time begins when the request is complete.
    mutating func setDeadline(_ exchange: ExchangePlace) {
        if exchange.value.timeout > 0 {
            exchange.value.deadline = min(
                exchange.value.deadline, now.advanced(byNanoseconds: exchange.value.timeout))
        }
    }

    /// A try's time begins when it has its connection and the request is complete, as in Envoy.
    mutating func startTry(_ exchange: ExchangePlace) {
        exchange.value.lastMoved = now
        if exchange.value.perTryTimeout > 0, exchange.value.requestEnded {
            exchange.value.tryDeadline = now.advanced(byNanoseconds: exchange.value.perTryTimeout)
        }
        armTimer(exchange)
    }

    @inline(never)
    private func believedTimeout(_ exchange: ExchangePlace) -> Int64? {
        mayControl(exchange) ? expectedTimeout(exchange) : nil
    }

    private func expectedTimeout(_ exchange: ExchangePlace) -> Int64? {
        exchange.head.value(of: .xEnvoyExpectedRqTimeoutMs, in: exchange.value.headBytes.view)
            .flatMap { RequestTimeoutFields.milliseconds($0) }
    }

    private func grpcTimeout(_ exchange: ExchangePlace) -> Int64? {
        exchange.head.value(of: .grpcTimeout, in: exchange.value.headBytes.view)
            .flatMap { GRPCTimeout.parse($0) }
    }

    /// What the caller has left bounds what we take, counted from when its request came, whether all of it is here or
    /// not. false if nothing is left.
    private mutating func takeDeadline(_ exchange: ExchangePlace) -> Bool {
        var left = Int64.max
        if let expected = expectedTimeout(exchange), expected > 0 { left = expected }
        if let asked = grpcTimeout(exchange) { left = min(left, asked) }
        guard left < Int64.max else { return true }
        let deadline = exchange.value.started.advanced(byNanoseconds: left)
        exchange.value.deadline = deadline
        return now < deadline
    }

    /// `grpc-timeout` where the route looks at it, bounded and shortened (`grpc_timeout_header_max`, `_offset`); nil: the
    /// stream's own bound holds.
    private func boundedGRPCTimeout(_ exchange: ExchangePlace) -> Int64? {
        guard exchange.route.grpcTimeoutMax >= 0, let asked = grpcTimeout(exchange) else { return nil }
        var timeout = asked
        let most = exchange.route.grpcTimeoutMax
        if most > 0 { timeout = min(timeout, most) }
        let offset = exchange.route.grpcTimeoutOffset
        return offset < timeout ? timeout - offset : 0
    }

    /// Both count from the request's begin.
    private mutating func limitStream(_ exchange: ExchangePlace) {
        if let timeout = boundedGRPCTimeout(exchange) {
            exchange.value.streamDeadline = exchange.value.started.advanced(byNanoseconds: timeout)
            armTimer(exchange)
        } else if exchange.route.maxStreamDuration == 0 {
            exchange.value.streamDeadline = .distantFuture
        } else if exchange.route.maxStreamDuration > 0 {
            exchange.value.streamDeadline = exchange.value.started.advanced(
                byNanoseconds: exchange.route.maxStreamDuration)
        }
    }

    /// What one try may take travels on: the time of a try, or what the request has left. A first try is told the route's
    /// whole time, as by Envoy; where deadlines travel, what is left of it to the millisecond.
    @inline(__always)
    mutating func editDeadline(_ exchange: ExchangePlace) {
        var left = exchange.value.timeout
        if exchange.value.deadline != .distantFuture,
            exchange.value.attempts > 1 || exchange.route.propagatesDeadline
        {
            left = max(1_000_000, exchange.value.deadline.nanoseconds(since: now))
        }
        // A try that is joined by others may take as long as the request.
        if exchange.value.perTryTimeout > 0, !hedges(exchange) {
            left = left > 0 ? min(left, exchange.value.perTryTimeout) : exchange.value.perTryTimeout
        }
        if left > 0, !exchange.chain.http.suppressesEnvoyHeaders {
            edits.add(
                .xEnvoyExpectedRqTimeoutMs,
                left == exchange.route.timeout
                    ? exchange.route.timeoutText : scratch.store(decimal: Int(max(1, left / 1_000_000))))
        }
        if exchange.head.contains(.grpcTimeout) { editGRPCTimeout(exchange, left) }
    }

    @inline(never)
    private mutating func editGRPCTimeout(_ exchange: ExchangePlace, _ left: Int64) {
        let bounded = boundedGRPCTimeout(exchange)
        var told = bounded
        if exchange.route.propagatesDeadline, left > 0 { told = min(told ?? left, left) }
        guard let told else { return }
        let start = scratch.count
        // Envoy writes whole milliseconds.
        let inMilliseconds = bounded == told && told / 1_000_000 < 100_000_000
        let isWritten =
            inMilliseconds
            ? scratch.append(decimal: Int(told / 1_000_000)) && scratch.append("m")
            : GRPCTimeout.append(told, to: &scratch)
        if isWritten {
            edits.drop(.grpcTimeout)
            edits.add(.grpcTimeout, scratch.view.dropFirst(start))
        }
    }
}
