import HTTPModel
import MeshPrimitives
import Telemetry

/// What one request's spans are called and which attributes they have: OpenTelemetry's semantic conventions for HTTP
/// (version 1.27) in the mesh, Envoy's tags under an Envoy configuration.
struct SpanNames {
    private let settings: SpanSettings
    private let record: ExchangeRecord
    private let isHTTPS: Bool
    private let path, authority, agent, requestID, cluster, route, operation: String
    private let downstreamCluster, clientTraceID: String
    private let tags: [(name: String, value: String)]

    init(_ entry: borrowing SpanEntry, _ settings: SpanSettings) {
        func text(_ kind: SpanText) -> String { entry.text(kind)?.text ?? "" }
        (self.settings, record, isHTTPS) = (settings, entry.record, entry.header.isHTTPS)
        (path, authority, agent) = (text(.path), text(.authority), text(.userAgent))
        (requestID, cluster, route) = (text(.requestID), text(.cluster), text(.route))
        (operation, downstreamCluster) = (text(.operation), text(.downstreamCluster))
        clientTraceID = text(.clientTraceID)
        var tags: [(name: String, value: String)] = []
        for (index, tag) in settings.tags.enumerated() {
            let found = tag.field == nil ? nil : entry.tag(index)?.text
            let value = found ?? tag.value
            if !value.isEmpty { tags.append((tag.name, value)) }
        }
        self.tags = tags
    }

    var isEnvoy: Bool { settings.names == .envoy }

    private var method: String {
        record.method == .other ? (isEnvoy ? "-" : "_OTHER") : "\(record.method)".uppercased()
    }

    var name: String {
        if !operation.isEmpty { return operation }
        guard isEnvoy else { return route.isEmpty ? method : "\(method) \(route)" }
        return settings.isOutbound ? "egress \(authority)" : "ingress"
    }

    var attemptName: String { isEnvoy ? "router \(cluster) egress" : method }

    func isFailure(_ status: UInt16, from least: UInt16) -> Bool { status == 0 || status >= least }

    /// The span's own status: Envoy goes by the answer alone.
    func isError(_ status: UInt16, isClient: Bool) -> Bool {
        isEnvoy ? status >= 500 : isFailure(status, from: isClient ? 400 : 500)
    }

    /// Of the request's own span.
    func own(isClient: Bool) -> SpanAttributes {
        var attributes = SpanAttributes()
        if isEnvoy {
            addEnvoyOwn(to: &attributes)
        } else {
            addCommon(to: &attributes)
            isClient ? addClient(to: &attributes) : addServer(to: &attributes)
            addOutcome(record.status, from: isClient ? 400 : 500, to: &attributes)
            if record.attemptCount > 1, isClient {
                attributes.add("http.request.resend_count", Int(record.attemptCount) - 1)
            }
            attributes.add("martlet.request_id", requestID)
            attributes.add("martlet.upstream_cluster", cluster)
            attributes.add("martlet.route", route)
            if !record.flags.isEmpty { attributes.add("martlet.response_flags", record.flags.text) }
            if record.details != .none { attributes.add("martlet.details", "\(record.details.text)") }
        }
        for (name, value) in tags { attributes.add(name, value) }
        return attributes
    }

    /// Of the span of the attempt with that number, from 0 on.
    func attempt(_ attempt: AttemptRecord, number: Int, isLast: Bool) -> SpanAttributes {
        var attributes = SpanAttributes()
        let endpoint = attempt.endpoint
        if isEnvoy {
            attributes.add("component", "proxy")
            let isConnected = attempt.end.reset == .none || attempt.end.reset.isOfConnected
            attributes.add("http.protocol", isConnected ? "\(record.upstreamProtocol.text)" : "-")
            attributes.add("upstream_address", endpoint.map(\.description) ?? "")
            attributes.add("peer.address", endpoint.map(\.description) ?? "")
            attributes.add("upstream_cluster", cluster)
            attributes.add("upstream_cluster.name", cluster)
            attributes.add("http.status_code", "\(attempt.status)")
            if isLast { addGRPCStatus("grpc.status_code", to: &attributes) }
            attributes.add("response_flags", attempt.end.flags.text)
            if number > 0 { attributes.add("retry.count", "\(number)") }
            if attempt.end.isGivenUp || (!isLast && attempt.end == .answered) {
                attributes.add("canceled", "true")
            }
            attributes.add("error.reason", "\(attempt.end.reset.words)")
            if isFailure(attempt.status, from: 500) { attributes.add("error", "true") }
            return attributes
        }
        addCommon(to: &attributes)
        addClient(to: &attributes, endpoint: endpoint)
        addOutcome(attempt.status, from: 400, failure: "\(attempt.end)", to: &attributes)
        if number > 0 { attributes.add("http.request.resend_count", number) }
        if let cause = attempt.cause { attributes.add("martlet.retry_reason", "\(cause.text)") }
        return attributes
    }

    // MARK: OpenTelemetry

    private func addCommon(to attributes: inout SpanAttributes) {
        attributes.add("http.request.method", method)
        let (host, port) = Self.hostAndPort(authority)
        attributes.add("server.address", host)
        if let port { attributes.add("server.port", port) }
    }

    /// A query may hold secrets, and stays here.
    private var pathAlone: String { String(path.prefix { $0 != "?" && $0 != "#" }) }

    private func addServer(to attributes: inout SpanAttributes) {
        attributes.add("url.scheme", isHTTPS ? "https" : "http")
        attributes.add("url.path", pathAlone)
        attributes.add("user_agent.original", agent)
        addVersion(record.downstreamProtocol, to: &attributes)
        if let client = record.downstreamRemote { attributes.add("client.address", client.host) }
        addPeer(record.downstreamDirectRemote, to: &attributes)
        attributes.add("http.request.body.size", record.bytesReceived)
        attributes.add("http.response.body.size", record.bytesSent)
    }

    private func addClient(to attributes: inout SpanAttributes, endpoint: SocketAddress? = nil) {
        attributes.add("url.full", "\(isHTTPS ? "https" : "http")://\(authority)\(pathAlone)")
        addVersion(record.upstreamProtocol, to: &attributes)
        addPeer(endpoint ?? record.upstreamHost, to: &attributes)
    }

    private func addPeer(_ peer: SocketAddress?, to attributes: inout SpanAttributes) {
        guard let peer else { return }
        attributes.add("network.peer.address", peer.host)
        attributes.add("network.peer.port", peer.port)
    }

    private func addVersion(_ version: RecordedProtocol, to attributes: inout SpanAttributes) {
        switch version {
        case .http10: attributes.add("network.protocol.version", "1.0")
        case .http11: attributes.add("network.protocol.version", "1.1")
        case .http2: attributes.add("network.protocol.version", "2")
        case .none, .tcp: break
        }
    }

    private func addOutcome(
        _ status: UInt16, from least: UInt16, failure: String = "", to attributes: inout SpanAttributes
    ) {
        if status > 0 { attributes.add("http.response.status_code", status) }
        if record.grpcStatus >= 0 {
            attributes.add("rpc.system", "grpc")
            attributes.add("rpc.grpc.status_code", record.grpcStatus)
        }
        guard isFailure(status, from: least) else { return }
        let words = failure.isEmpty ? "\(record.details.text)" : failure
        attributes.add("error.type", status > 0 ? "\(status)" : words)
    }

    private func addGRPCStatus(_ name: String, to attributes: inout SpanAttributes) {
        if record.grpcStatus >= 0 { attributes.add(name, "\(record.grpcStatus)") }
    }

    // MARK: Envoy

    /// Tracing::HttpTracerUtility::finalizeDownstreamSpan; all values are texts.
    private func addEnvoyOwn(to attributes: inout SpanAttributes) {
        attributes.add(always: "node_id", settings.nodeID)
        attributes.add(always: "zone", settings.zone)
        attributes.add("component", "proxy")
        attributes.add("guid:x-request-id", requestID)
        attributes.add("http.url", "\(isHTTPS ? "https" : "http")://\(authority)\(path)")
        attributes.add("http.method", method)
        attributes.add("downstream_cluster", downstreamCluster.isEmpty ? "-" : downstreamCluster)
        attributes.add("user_agent", agent.isEmpty ? "-" : agent)
        attributes.add("http.protocol", "\(record.downstreamProtocol.text)")
        attributes.add("peer.address", record.downstreamDirectRemote?.host ?? "")
        attributes.add("guid:x-client-trace-id", clientTraceID)
        attributes.add("request_size", "\(record.bytesReceived)")
        attributes.add("response_size", "\(record.bytesSent)")
        attributes.add("upstream_cluster", cluster)
        attributes.add("upstream_cluster.name", cluster)
        attributes.add("http.status_code", "\(record.status)")
        attributes.add("response_flags", record.flags.text)
        addGRPCStatus("grpc.status_code", to: &attributes)
        if isFailure(record.status, from: 500) { attributes.add("error", "true") }
    }

    /// `host:port` apart; the host of an IPv6 address without its brackets.
    static func hostAndPort(_ authority: String) -> (host: String, port: UInt16?) {
        guard let colon = authority.lastIndex(of: ":"),
            let port = UInt16(authority[authority.index(after: colon)...])
        else { return (authority, nil) }
        let host = authority[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { return (String(host.dropFirst().dropLast()), port) }
        return host.contains(":") ? (authority, nil) : (String(host), port)
    }
}

extension AttemptEnd {
    /// Why the stream to the endpoint was reset, if it was not by us.
    fileprivate var reset: UpstreamReset {
        switch self {
        case .running, .answered, .perTryTimedOut, .perTryIdledOut, .requestTimedOut, .abandoned: .none
        case .connectFailed: .remoteConnectionFailure
        case .connectTimedOut: .connectionTimeout
        case .overflowed: .overflow
        case .refusedStream, .goAwayBelow: .remoteRefusedStreamReset
        case .resetUnsent, .resetSent, .resetMidAnswer: .connectionTermination
        case .protocolError: .protocolError
        }
    }

    /// We let go of it before it had said all: for its time, or because its caller did.
    fileprivate var isGivenUp: Bool {
        switch self {
        case .running, .perTryTimedOut, .perTryIdledOut, .requestTimedOut, .abandoned: true
        default: false
        }
    }

    /// Of the attempt alone.
    fileprivate var flags: ResponseFlags {
        switch self {
        case .running, .answered, .requestTimedOut, .abandoned: []
        case .connectFailed, .connectTimedOut: .upstreamConnectionFailure
        case .overflowed: .upstreamOverflow
        case .refusedStream, .goAwayBelow: .upstreamRemoteReset
        case .resetUnsent, .resetSent, .resetMidAnswer: .upstreamConnectionTermination
        case .protocolError: .upstreamProtocolError
        case .perTryTimedOut, .perTryIdledOut: .upstreamRequestTimeout
        }
    }
}

extension UpstreamReset {
    fileprivate var isOfConnected: Bool {
        switch self {
        case .remoteConnectionFailure, .localConnectionFailure, .connectionTimeout, .overflow: false
        default: true
        }
    }
}
