import MeshPrimitives
import Proxy
import Telemetry
import TrafficPolicy

/// One request in sentences: what came, what was decided and why, what each attempt came to, how it ended.
struct RequestStory {
    let record: ExchangeRecord
    let process: ProcessState

    var lines: [String] {
        var lines = [arrival]
        lines += [route, limiter, breaker].compactMap(\.self)
        lines += (0..<record.attemptsKept).map { attempt($0) }
        if Int(record.attemptCount) > record.attemptsKept {
            lines.append("\(Int(record.attemptCount) - record.attemptsKept) more attempts were not kept.")
        }
        lines += [retryRefusal, shadows].compactMap(\.self)
        lines.append(end)
        return lines
    }

    private var arrival: String {
        let from = record.downstreamRemote.map { " from \($0)" } ?? ""
        let listener = process.name(record.listener).map { " at \($0)" } ?? ""
        let tls = record.downstreamTLS == .none ? "" : " over \(record.downstreamTLS.text)"
        let version = record.downstreamProtocol == .none ? "" : " by \(record.downstreamProtocol.text)"
        return "A \("\(record.method)".uppercased()) request came\(from)\(listener)\(version)\(tls)."
    }

    private var route: String? {
        guard let route = process.name(record.route) else {
            return record.flags.contains(.noRouteFound) ? "No route took it." : nil
        }
        let host = process.name(record.virtualHost).map { " of virtual host '\($0)'" } ?? ""
        let cluster = process.clusterName(record.cluster).map { " and leads to cluster '\($0)'" } ?? ""
        return "Route '\(route)'\(host) took it\(cluster) (configuration \(record.configurationVersion))."
    }

    private var limiter: String? {
        let place = process.name(record.limiterPlace) ?? "?"
        let left = "\(record.limiterRemaining) of \(record.limiterMax) tokens left"
        return switch record.limiter {
        case .none: nil
        case .allowed: "The rate limit at '\(place)' let it pass: \(left)."
        case .refused: "The rate limit at '\(place)' refused it: \(left)."
        case .wouldRefuse: "The rate limit at '\(place)' would have refused it, and is not enforced: \(left)."
        }
    }

    private var breaker: String? {
        switch record.breaker {
        case .none: nil
        case .closed: "The circuit breaker of the service was closed."
        case .probe: "The circuit breaker of the service was half-open, and let this request try."
        case .open: "The circuit breaker of the service was open: the attempt was not made."
        }
    }

    private func attempt(_ index: Int) -> String {
        let attempt = record.attempt(index)
        let cause = attempt.cause.map { ", because of \($0.text)," } ?? ""
        let place = attempt.endpoint.map { " to \($0)" } ?? " without an endpoint"
        let status = attempt.status > 0 ? " with status \(attempt.status)" : ""
        let start = "Attempt \(index + 1)\(cause) went\(place) after \(Self.time(attempt.start))"
        return "\(start): \(Self.words(attempt.end))\(status) after \(Self.time(attempt.duration))."
    }

    private var retryRefusal: String? {
        record.retryRefusal.map { "It was not tried again: \($0.text)." }
    }

    private var shadows: String? {
        let words = (0..<ShadowDecisions.bitCount).filter { record.shadows.rawValue & 1 << UInt16($0) != 0 }
            .map { "\(ShadowDecisions.word(bit: $0))" }
        return words.isEmpty ? nil : "In shadow mode would have acted: \(words.joined(separator: ", "))."
    }

    private var end: String {
        let status = record.status > 0 ? "was answered with \(record.status)" : "was not answered"
        let flags = record.flags.isEmpty ? "" : ", flags \(record.flags.text)"
        let bytes = "\(record.bytesReceived) bytes of body in, \(record.bytesSent) out"
        return "It \(status) (\(record.details.text)\(flags)) after \(Self.time(record.ended)): \(bytes)."
    }

    private static func time(_ nanoseconds: Int64) -> String {
        let microseconds = max(0, nanoseconds) / 1000
        let thousandths = microseconds % 1000
        let padding = thousandths < 10 ? "00" : thousandths < 100 ? "0" : ""
        return "\(microseconds / 1000).\(padding)\(thousandths) ms"
    }

    private static func words(_ end: AttemptEnd) -> String {
        switch end {
        case .running: "it had not ended"
        case .answered: "it was answered"
        case .connectFailed: "the connection was refused or failed"
        case .connectTimedOut: "no connection in time"
        case .overflowed: "there was no place for a connection"
        case .refusedStream: "the endpoint refused the stream, unprocessed"
        case .goAwayBelow: "the endpoint went away before it, unprocessed"
        case .resetUnsent: "the connection ended before anything was sent"
        case .resetSent: "the connection ended before an answer"
        case .protocolError: "the answer broke the protocol"
        case .perTryTimedOut: "no answer in the time of one try"
        case .perTryIdledOut: "nothing came for too long"
        case .resetMidAnswer: "the connection ended within the answer"
        case .requestTimedOut: "the request's time was over"
        case .abandoned: "it was given up"
        }
    }
}
