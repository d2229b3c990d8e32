import HTTP1Codec
import HTTP2Codec
import HTTPModel
import MeshModel
import MeshPrimitives
import Reactor
import TLSEngine
import Telemetry
import TrafficPolicy

/// The head of a request on its way upstream: which fields go, which are added, and the result in either protocol.
extension Worker {
    /// Fields that never pass: about the caller's connection only, or controls that we have acted on.
    static func requestDropMask() -> UInt64 {
        EditList.mask([
            .connection, .keepAlive, .proxyConnection, .te, .transferEncoding, .upgrade, .http2Settings,
            .expect,
            .xEnvoyRetryOn, .xEnvoyRetryGrpcOn, .xEnvoyMaxRetries, .xEnvoyUpstreamRqTimeoutMs,
            .xEnvoyUpstreamRqPerTryTimeoutMs, .xEnvoyRetriableStatusCodes, .xEnvoyExpectedRqTimeoutMs,
        ])
    }

    /// Fills `edits` for the attempt that begins.
    @inline(__always)
    private mutating func editRequest(_ exchange: ExchangePlace) {
        edits.reset(dropping: requestDropMask)
        if exchange.chain.http.proxies100Continue, !exchange.value.isMirror { edits.keep(.expect) }
        scratch.removeAll()
        fillRequestEdits(exchange, wasSent: true)
    }

    /// What every request gets, and if it `wasSent` what the route does with it too.
    mutating func fillRequestEdits(_ exchange: ExchangePlace, wasSent: Bool) {
        if exchange.value.isInquiry { return }
        let bytes = exchange.value.headBytes.view
        let connection = exchange.value.downstream
        // After a redirect that was followed here they are our own.
        edits.controls = mayControl(exchange) || exchange.value.redirects > 0 ? .ofRouter : .ofOutside
        if exchange.value.redirects == 0, !exchange.value.namesCaller {
            editForwarding(exchange, bytes, connection)
            editIdentity(exchange, bytes, connection)
        }
        editTracing(exchange)
        applyFilterEdits(exchange, .request(bytes))
        guard wasSent, exchange.value.hasRoute else { return }
        if exchange.chain.http.routes.hosts[Int(exchange.value.host)]
            .attemptCountInRequest
        {
            edits.drop(.xEnvoyAttemptCount)
            edits.add(.xEnvoyAttemptCount, scratch.store(decimal: Int(exchange.value.attempts)))
        }
        editDeadline(exchange)
        let weighted = exchange.value.weighted
        let index =
            weighted >= 0
            ? exchange.route.clusters[Int(weighted)].requestEdits
            : exchange.route.requestEdits
        if index >= 0 {
            applyEdits(index, exchange, .request(bytes))
        }
        editHost(exchange, bytes)
        if exchange.value.isMirror { markMirroredHost(exchange, bytes) }
        if !exchange.route.pathRewrite.isNone, !exchange.chain.http.suppressesEnvoyHeaders {
            edits.set(.xEnvoyOriginalPath, bytes[exchange.head.path.range])
        }
    }

    /// A copy of a request has no connection to the caller: what its head is to say of that is written there now.
    mutating func nameCaller(of exchange: ExchangePlace, in copy: ExchangePlace) {
        let connection = exchange.value.downstream
        guard connection.value.tls != nil, exchange.value.redirects == 0, !exchange.value.namesCaller else {
            return
        }
        edits.reset(dropping: 0)
        scratch.removeAll()
        let bytes = exchange.value.headBytes.view
        editForwarding(exchange, bytes, connection)
        editIdentity(exchange, bytes, connection)
        copy.value.namesCaller = rewriteHead(copy)
    }

    @inline(__always)
    private mutating func editForwarding(
        _ exchange: ExchangePlace, _ bytes: ByteView, _ connection: ConnectionPlace
    ) {
        if !exchange.head.contains(.xForwardedProto) {
            edits.add(.xForwardedProto, ByteView(connection.value.tls == nil ? "http" : "https"))
        }
        if !exchange.chain.http.via.isEmpty {
            edits.add(.via, exchange.chain.http.via)
        }
    }

    /// `x-forwarded-client-cert` (envoy HttpConnectionManager.forward_client_cert_details).
    @inline(__always)
    private mutating func editIdentity(
        _ exchange: ExchangePlace, _ bytes: ByteView, _ connection: ConnectionPlace
    ) {
        let mode = exchange.chain.http.forwardClientCertificate
        if mode == .alwaysForwardOnly { return }
        guard connection.value.tls != nil, mode != .sanitize else { return edits.drop(.xForwardedClientCert) }
        if mode == .forwardOnly { return }
        let given = exchange.head.value(of: .xForwardedClientCert, in: bytes)
        edits.drop(.xForwardedClientCert)
        guard let peer = identities[connection.value.identity] else {
            if mode == .appendForward, let given { edits.add(.xForwardedClientCert, given) }
            return
        }
        let start = scratch.count
        if mode == .appendForward, let given {
            _ = scratch.append(given)
            _ = scratch.append(",")
        }
        appendIdentity(of: peer, exchange)
        edits.add(.xForwardedClientCert, scratch.view.dropFirst(start))
    }

    private mutating func appendIdentity(
        of peer: PeerIdentity, _ exchange: ExchangePlace
    ) {
        let context = shelf[exchange.value.snapshot].tlsContexts[
            Int(exchange.chain.tls)]
        if let own = context.certificate?.spiffeID {
            _ = scratch.append("By=")
            own.withByteView { _ = scratch.append($0) }
            _ = scratch.append(";")
        }
        _ = scratch.append("Hash=")
        peer.fingerprint.withByteView { _ = scratch.append($0) }
        if exchange.chain.http.certificateWhole, let session = exchange.value.downstream.value.tls {
            let text = identities.certificate(exchange.value.downstream.value.identity, of: session)
            _ = scratch.append(";Cert=\"")
            text.withByteView { _ = scratch.append($0) }
            _ = scratch.append("\"")
        }
        if exchange.chain.http.certificateSubject {
            _ = scratch.append(";Subject=\"")
            peer.subject.withByteView { subject in
                // A quoted value: quotes in it are escaped.
                for index in subject.indices {
                    if subject[index] == UInt8(ascii: "\"") { _ = scratch.append(UInt8(ascii: "\\")) }
                    _ = scratch.append(subject[index])
                }
            }
            _ = scratch.append("\"")
        }
        if exchange.chain.http.certificateURI {
            for uri in peer.uriSANs {
                _ = scratch.append(";URI=")
                uri.withByteView { _ = scratch.append($0) }
            }
        }
        if exchange.chain.http.certificateDNS {
            for name in peer.dnsSANs {
                _ = scratch.append(";DNS=")
                name.withByteView { _ = scratch.append($0) }
            }
        }
    }

    /// Gives the request an id and a trace context, once and the same for all attempts, whoever answers it.
    @inline(__always)
    mutating func identify(_ exchange: ExchangePlace) {
        let bytes = exchange.value.headBytes.view
        if exchange.chain.http.generatesRequestID {
            let isEdge =
                exchange.chain.http.usesRemoteAddress
                && !exchange.chain.http.preservesExternalRequestID && !exchange.value.isInternal
            if isEdge || !exchange.head.contains(.xRequestID) {
                exchange.value.record.requestID = RequestID(random: &random)
                exchange.value.setsRequestID = true
            }
        }
        if !exchange.value.setsRequestID, let id = exchange.head.value(of: .xRequestID, in: bytes) {
            exchange.value.record.requestID = RequestID(text: id)
        }
        guard exchange.chain.http.hasTraceContext, !exchange.chain.http.hasTracing else { return }
        continueTrace(exchange, exchange.chain.http.traceContext)
    }

    @inline(__always)
    private mutating func editTracing(_ exchange: ExchangePlace) {
        if exchange.value.setsRequestID {
            let start = scratch.count
            _ = exchange.value.record.requestID.append(to: &scratch)
            edits.drop(.xRequestID)
            edits.add(.xRequestID, scratch.view.dropFirst(start))
        }
        if exchange.chain.http.decoration != .none { decorateRequest(exchange) }
        guard var trace = exchange.value.trace else { return }
        if exchange.chain.http.spawnsUpstreamSpan, let context = trace.context {
            // The parent of what the endpoint does is the attempt's own span.
            let index =
                exchange.value.isHedged
                ? exchange.value.attemptIndex : exchange.value.record.attemptAtHand
            trace.context?.spanID = AttemptSpan.id(of: context.spanID, attempt: Int(index) + 1)
        }
        trace.apply(to: &edits, scratch: &scratch)
    }

    // MARK: HTTP/1.1

    /// Writes the head to the connection; it leaves with the body's first bytes if they are there.
    @inline(__always)
    mutating func sendRequestHead(_ exchange: ExchangePlace, _ connection: ConnectionPlace) {
        editRequest(exchange)
        let length = exchange.head.body
        exchange.value.sendsChunks =
            (length == .chunked || length == .untilStreamEnd)
            && !(exchange.value.isUpgrade && holdsBack(exchange, connection))
        if exchange.value.sendsChunks {
            edits.drop(.contentLength)
            edits.add(.transferEncoding, ByteView("chunked"))
        }
        if exchange.value.isUpgrade, exchange.head.method != .connect {
            edits.add(.connection, ByteView("upgrade"))
            edits.add(
                .upgrade, exchange.head.value(of: .upgrade, in: exchange.value.headBytes.view) ?? ByteView("")
            )
        }
        let path = upstreamPath(exchange)
        let bytes = exchange.value.headBytes.view
        flushStaged()
        stage(for: connection)
        var isWhole = HTTP1Writer.appendRequestLine(
            method: bytes[exchange.head.methodToken.range],
            target: path.isEmpty ? bytes[exchange.head.target.range] : path, to: &stageBuffer)
        isWhole =
            stageBuffer.append(
                exchange.head, bytes, editedBy: edits,
                names: requestNames(exchange)) && isWhole
        if !isWhole {
            // More than 64 KiB with what was added: nobody would take it.
            stageBuffer.removeAll()
            staged = .none
            leaveUpstream(exchange, isReusable: true)
            answerLocally(exchange, LocalAnswer(refusing: .headTooLarge))
        }
    }

    /// The connection manager decides whether names are kept, the cluster what becomes of others.
    @inline(__always)
    private func requestNames(_ exchange: ExchangePlace) -> NameCase {
        if exchange.chain.http.keepsRequestNames { return .kept }
        return namesByCluster
            ? clusters[Int(exchange.value.cluster)].record?.value.requestNames ?? .lower : .lower
    }

    // MARK: HTTP/2

    mutating func fillStreamRequest(_ exchange: ExchangePlace, scheme: ByteView) {
        editRequest(exchange)
        let path = upstreamPath(exchange)
        let bytes = exchange.value.headBytes.view
        var authority = bytes[exchange.head.authority.range]
        for index in edits.additions.indices where edits.additions[index].known == .host {
            authority = edits.additions[index].value
        }
        if exchange.head.method == .connect {
            fields.startConnect(authority: authority)
        } else if exchange.value.isUpgrade {
            fields.startExtendedConnect(
                protocol: exchange.head.value(of: .upgrade, in: bytes) ?? ByteView(""), scheme: scheme,
                authority: authority, path: path.isEmpty ? bytes[exchange.head.path.range] : path)
        } else {
            fields.startRequest(
                uncopied: bytes[exchange.head.methodToken.range], scheme: scheme, authority: authority,
                path: path.isEmpty ? ByteView("/") : path)
        }
        Self.appendFields(exchange.head, bytes, editedBy: edits, to: &fields)
        if exchange.head.acceptsTrailers { fields.append(.te, value: ByteView("trailers")) }
    }

    /// The fields that `edits` leaves and adds, for HTTP/2. They are submitted before what they are views of changes.
    static func appendFields(
        _ head: borrowing @_addressable MessageHead, _ bytes: ByteView, editedBy edits: borrowing EditList,
        to fields: inout HTTP2FieldList
    ) {
        for index in 0..<head.count {
            let field = head.field(index)
            if field.name == .host || field.name.isHopByHop { continue }
            if edits.drops(field, in: bytes) { continue }
            let value = head.value(index, in: bytes)
            if field.name == .other {
                fields.append(name: head.name(index, in: bytes), uncopied: value)
            } else {
                fields.append(field.name, uncopied: value)
            }
        }
        for index in edits.additions.indices {
            let addition = edits.additions[index]
            switch addition.known {
            case .host, .connection, .transferEncoding: continue
            case .other: fields.append(name: addition.name, uncopied: addition.value)
            default: fields.append(addition.known, uncopied: addition.value)
            }
        }
    }
}

extension SocketAddress {
    /// The address without its port, as text.
    func appendHost(to buffer: inout PooledBuffer) {
        guard family == .ipv4 else { return host.withByteView { _ = buffer.append($0) } }
        for part in 0..<4 {
            if part > 0 { _ = buffer.append(UInt8(ascii: ".")) }
            _ = buffer.append(octet: UInt8(truncatingIfNeeded: low >> UInt64(24 - 8 * part)))
        }
    }
}
