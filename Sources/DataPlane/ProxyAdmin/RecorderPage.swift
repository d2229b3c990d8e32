import HTTPModel
import MeshPrimitives
import Proxy
import Telemetry
import TrafficPolicy

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
        return .json(JSONOutput.document { Self.append(found, server.process, &$0) } + [0x0a])
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
        if let cluster = process.clusterName(record.cluster) { json.value("cluster", cluster) }
        json.value("connection_id", record.connectionID)
        json.value("bytes_received", record.bytesReceived)
        json.value("bytes_sent", record.bytesSent)
        times(record, &json)
        json.value("attempt_count", record.attemptCount)
        json.array("attempts") { json in
            for index in 0..<record.attemptsKept {
                let attempt = record.attempt(index)
                json.object { json in
                    if let endpoint = attempt.endpoint { json.value("endpoint", "\(endpoint)") }
                    if let cause = attempt.cause { json.value("cause", "\(cause)") }
                    json.value("start_us", attempt.start / 1000)
                    json.value("duration_us", attempt.duration / 1000)
                    json.value("end", "\(attempt.end)")
                    if attempt.status > 0 { json.value("status", attempt.status) }
                }
            }
        }
    }

    private static func addresses(_ record: ExchangeRecord, _ json: inout JSONOutput) {
        if let address = record.downstreamRemote { json.value("downstream_remote", "\(address)") }
        if let address = record.downstreamDirectRemote, address != record.downstreamRemote {
            json.value("downstream_direct_remote", "\(address)")
        }
        if let address = record.downstreamLocal { json.value("downstream_local", "\(address)") }
        if record.downstreamTLS != .none { json.value("downstream_tls", "\(record.downstreamTLS.text)") }
        if let address = record.upstreamHost { json.value("upstream_host", "\(address)") }
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
                ("ended", record.ended),
            ]
            for (name, time) in times where time >= 0 { json.value(name, time / 1000) }
        }
    }

    private static func text(_ id: RequestID) -> String {
        let text = id.text
        return String(decoding: (0..<RequestID.textLength).map { text[$0] }, as: UTF8.self)
    }
}
