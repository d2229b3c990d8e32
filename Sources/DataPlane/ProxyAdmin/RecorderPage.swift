import HTTPModel
import MeshPrimitives
import Proxy
import Telemetry
import TrafficPolicy
import XDSDiscovery

extension AdminPages {
    /// The last requests of all workers, newest first: `{"requests":[…]}`.
    func recorder(_ request: AdminRequest) -> AdminAnswer {
        guard request.value("format") ?? "json" == "json" else { return .text("format: json\n", status: 400) }
        var max = Int.max
        if let text = request.value("max") {
            guard let number = Int(text), number > 0 else {
                return .text("max: a number above 0\n", status: 400)
            }
            max = number
        }
        // Copied at once: a slot is overwritten while a slow reader would read it.
        var records = server.process.recorders.flatMap { $0.newest(max) }
        records.sort { $0.startedAt > $1.startedAt }
        records = Array(records.prefix(max))
        let process = server.process
        var index = -1
        return .json(parts: {
            index += 1
            if index > records.count { return nil }
            let start = index == 0 ? #"{"requests":["# : ""
            if index == records.count { return Array("\(start)]}\n".utf8) }
            let object = JSONOutput.document { Self.append(records[index], process, &$0) }
            return Array((index == 0 ? start : ",\n").utf8) + object
        })
    }

    /// The newest request with that `x-request-id`.
    func explain(_ request: AdminRequest) -> AdminAnswer {
        guard let text = request.value("id"), !text.isEmpty else {
            return .text("id: the x-request-id of a request\n", status: 400)
        }
        let id = text.withByteView { RequestID(text: $0) }
        let found = server.process.recorders.compactMap { $0.find(id) }.max { $0.startedAt < $1.startedAt }
        guard let found else { return .text("no request with that id among the last ones\n", status: 404) }
        let process = server.process
        return .json(
            JSONOutput.document { json in
                json.array("story") { json in
                    for line in RequestStory(record: found, process: process).lines { json.value(nil, line) }
                }
                json.object("request") { Self.append(found, process, &$0) }
                json.object("configuration") { configuration(of: found, &$0) }
            } + [0x0a])
    }

    /// The resources that decided about the request, as far as they are still in force.
    private func configuration(of record: ExchangeRecord, _ json: inout JSONOutput) {
        json.value("version", record.configurationVersion)
        let current = UInt32(truncatingIfNeeded: server.snapshot?.generation ?? 0)
        json.value("is_current", record.configurationVersion == current)
        let names = [server.process.name(record.listener), server.process.clusterName(record.cluster)]
            .compactMap(\.self)
        json.array("resources") { json in
            for resource in surroundings.resources() where resource.concerns(names) {
                json.object { json in
                    json.value("kind", "\(resource.kind)")
                    json.value("name", resource.name)
                    json.value("version", resource.version)
                }
            }
        }
    }

    private static func append(_ record: ExchangeRecord, _ process: ProcessState, _ json: inout JSONOutput) {
        var time: [UInt8] = []
        TimeFormat.iso8601.append(record.startedAt, to: &time)
        json.value("start_time", String(decoding: time, as: UTF8.self))
        if !record.requestID.isNone { json.value("request_id", text(record.requestID)) }
        json.value("method", "\(record.method)".uppercased())
        json.value("protocol", "\(record.downstreamProtocol.text)")
        json.value("status", record.status)
        if record.grpcStatus >= 0 { json.value("grpc_status", record.grpcStatus) }
        json.value("flags", record.flags.text)
        json.value("details", "\(record.details.text)")
        if let refusal = record.retryRefusal { json.value("retry_refused", "\(refusal.text)") }
        addresses(record, &json)
        names(record, process, &json)
        policies(record, process, &json)
        if !record.traceID.isNone {
            json.value(
                "trace_id", Self.hexadecimal(record.traceID.high) + Self.hexadecimal(record.traceID.low))
            json.value("span_id", Self.hexadecimal(record.spanID))
            json.value("sampled", record.isSampled)
        }
        if record.isHealthCheck { json.value("health_check", true) }
        json.value("connection_id", record.connectionID)
        json.value("request_head_bytes", record.requestHeadBytes)
        json.value("response_head_bytes", record.responseHeadBytes)
        json.value("bytes_received", record.bytesReceived)
        json.value("bytes_sent", record.bytesSent)
        times(record, &json)
        json.value("attempt_count", record.attemptCount)
        json.array("attempts") { json in
            for index in 0..<record.attemptsKept {
                let attempt = record.attempt(index)
                json.object { json in
                    if let endpoint = attempt.endpoint { json.value("endpoint", "\(endpoint)") }
                    if let cause = attempt.cause { json.value("cause", "\(cause.text)") }
                    json.value("start_us", attempt.start / 1000)
                    json.value("duration_us", attempt.duration / 1000)
                    json.value("end", "\(attempt.end)")
                    if attempt.status > 0 { json.value("status", attempt.status) }
                }
            }
        }
    }

    /// What of the configuration decided about it.
    private static func names(_ record: ExchangeRecord, _ process: ProcessState, _ json: inout JSONOutput) {
        json.value("configuration", record.configurationVersion)
        if let listener = process.name(record.listener) { json.value("listener", listener) }
        if let host = process.name(record.virtualHost) { json.value("virtual_host", host) }
        if let route = process.name(record.route) { json.value("route", route) }
        if let cluster = process.clusterName(record.cluster) { json.value("cluster", cluster) }
    }

    private static func policies(_ record: ExchangeRecord, _ process: ProcessState, _ json: inout JSONOutput)
    {
        if record.limiter != .none {
            json.object("rate_limit") { json in
                json.value("policy", process.name(record.limiterPlace) ?? "")
                json.value("decision", "\(record.limiter.text)")
                json.value("tokens_left", record.limiterRemaining)
                json.value("tokens_max", record.limiterMax)
            }
        }
        if record.breaker != .none {
            json.object("circuit_breaker") { json in
                json.value("policy", process.clusterName(record.cluster) ?? "")
                json.value("state", "\(record.breaker.text)")
            }
        }
        guard !record.shadows.isEmpty else { return }
        json.array("shadow") { json in
            for bit in 0..<ShadowDecisions.bitCount where record.shadows.rawValue & 1 << UInt16(bit) != 0 {
                json.value(nil, "\(ShadowDecisions.word(bit: bit))")
            }
        }
    }

    private static func hexadecimal(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private static func addresses(_ record: ExchangeRecord, _ json: inout JSONOutput) {
        if let address = record.downstreamRemote { json.value("downstream_remote", "\(address)") }
        if let address = record.downstreamDirectRemote, address != record.downstreamRemote {
            json.value("downstream_direct_remote", "\(address)")
        }
        if let address = record.downstreamLocal { json.value("downstream_local", "\(address)") }
        if record.downstreamTLS != .none { json.value("downstream_tls", "\(record.downstreamTLS.text)") }
        if let address = record.upstreamHost { json.value("upstream_host", "\(address)") }
        if let address = record.upstreamLocal { json.value("upstream_local", "\(address)") }
        if record.upstreamReset != .none { json.value("upstream_reset", "\(record.upstreamReset.text)") }
        if record.upstreamProtocol != .none {
            json.value("upstream_protocol", "\(record.upstreamProtocol.text)")
        }
    }

    /// Microseconds since the start, of what happened.
    private static func times(_ record: ExchangeRecord, _ json: inout JSONOutput) {
        json.object("times_us") { json in
            let times = [
                ("request_received", record.requestReceived),
                ("request_send_started", record.requestSendStarted),
                ("request_sent", record.requestSent), ("response_received", record.responseReceived),
                ("response_completed", record.responseCompleted),
                ("response_send_started", record.responseSendStarted), ("response_sent", record.responseSent),
                ("ended", record.ended), ("upstream_service", record.upstreamServiceTime),
            ]
            for (name, time) in times where time >= 0 { json.value(name, time / 1000) }
        }
    }

    private static func text(_ id: RequestID) -> String {
        let text = id.text
        return String(decoding: (0..<RequestID.textLength).map { text[$0] }, as: UTF8.self)
    }
}

extension HeldResource {
    /// It bears one of the names, or is the listener in whose name one begins.
    fileprivate func concerns(_ names: [String]) -> Bool {
        !isWarming && names.contains { $0 == name || $0 == "listener \(name)" }
    }
}
