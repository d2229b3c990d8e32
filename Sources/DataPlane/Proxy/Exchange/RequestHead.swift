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
            .xEnvoyUpstreamRqPerTryTimeoutMs, .xEnvoyRetriableStatusCodes, .xEnvoyInternal,
            .xEnvoyExpectedRqTimeoutMs, .xEnvoyDecoratorOperation,
        ])
    }

    /// Fills `edits` for the attempt that begins.
    private mutating func editRequest(_ exchange: SlabID) {
        let bytes = exchanges[exchange].headBytes.view
        let id = exchanges[exchange].downstream
        edits.reset(dropping: requestDropMask)
        scratch.removeAll()
        editForwarding(exchange, bytes, id)
        editIdentity(exchange, bytes, id)
        editTracing(exchange)
        guard exchanges[exchange].hasRoute else { return }
        if exchanges[exchange].chain.value.http.routes.hosts[Int(exchanges[exchange].host)]
            .attemptCountInRequest
        {
            edits.drop(.xEnvoyAttemptCount)
            edits.add(.xEnvoyAttemptCount, scratch.store(decimal: Int(exchanges[exchange].attempts)))
        }
        editDeadline(exchange)
        editHost(exchange, bytes)
        if exchanges[exchange].route.value.hasPrefixRewrite {
            edits.drop(.xEnvoyOriginalPath)
            edits.add(.xEnvoyOriginalPath, bytes[heads[exchange].path.range])
        }
        let weighted = exchanges[exchange].weighted
        let index =
            weighted >= 0
            ? exchanges[exchange].route.value.clusters[Int(weighted)].requestEdits
            : exchanges[exchange].route.value.requestEdits
        if index >= 0 {
            let snapshot = shelf[exchanges[exchange].snapshot]
            applyEdits(snapshot.edits[Int(index)], of: snapshot, exchange, .request(bytes))
        }
    }

    private mutating func editForwarding(
        _ exchange: SlabID, _ bytes: ByteView, _ id: SlabID
    ) {
        if exchanges[exchange].chain.value.http.usesRemoteAddress,
            !exchanges[exchange].chain.value.http.skipsXFFAppend
        {
            let start = scratch.count
            if let given = heads[exchange].value(of: .xForwardedFor, in: bytes) {
                _ = scratch.append(given)
                _ = scratch.append(", ")
            }
            connections[id].peer.appendHost(to: &scratch)
            edits.drop(.xForwardedFor)
            edits.add(.xForwardedFor, scratch.view.dropFirst(start))
        }
        if exchanges[exchange].chain.value.http.usesRemoteAddress
            || !heads[exchange].contains(.xForwardedProto)
        {
            edits.drop(.xForwardedProto)
            edits.add(.xForwardedProto, ByteView(connections[id].tls == nil ? "http" : "https"))
        }
        if !exchanges[exchange].chain.value.http.via.isEmpty {
            edits.add(.via, exchanges[exchange].chain.value.http.via)
        }
    }

    /// `x-forwarded-client-cert` (envoy HttpConnectionManager.forward_client_cert_details).
    private mutating func editIdentity(
        _ exchange: SlabID, _ bytes: ByteView, _ id: SlabID
    ) {
        let mode = exchanges[exchange].chain.value.http.forwardClientCertificate
        if mode == .alwaysForwardOnly { return }
        guard connections[id].tls != nil, mode != .sanitize else { return edits.drop(.xForwardedClientCert) }
        if mode == .forwardOnly { return }
        let given = heads[exchange].value(of: .xForwardedClientCert, in: bytes)
        edits.drop(.xForwardedClientCert)
        guard let peer = identities[connections[id].identity] else {
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
        of peer: PeerIdentity, _ exchange: SlabID
    ) {
        let context = shelf[exchanges[exchange].snapshot].tlsContexts[
            Int(exchanges[exchange].chain.value.tls)]
        if let own = context.certificate?.spiffeID {
            _ = scratch.append("By=")
            own.withByteView { _ = scratch.append($0) }
            _ = scratch.append(";")
        }
        _ = scratch.append("Hash=")
        peer.fingerprint.withByteView { _ = scratch.append($0) }
        if exchanges[exchange].chain.value.http.certificateSubject {
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
        if exchanges[exchange].chain.value.http.certificateURI {
            for uri in peer.uriSANs {
                _ = scratch.append(";URI=")
                uri.withByteView { _ = scratch.append($0) }
            }
        }
        if exchanges[exchange].chain.value.http.certificateDNS {
            for name in peer.dnsSANs {
                _ = scratch.append(";DNS=")
                name.withByteView { _ = scratch.append($0) }
            }
        }
    }

    /// Gives the request an id and a trace context, once and the same for all attempts, whoever answers it.
    mutating func identify(_ exchange: SlabID) {
        let bytes = exchanges[exchange].headBytes.view
        if exchanges[exchange].chain.value.http.generatesRequestID {
            let isEdge =
                exchanges[exchange].chain.value.http.usesRemoteAddress
                && !exchanges[exchange].chain.value.http.preservesExternalRequestID && !isInternal(exchange)
            if isEdge || !heads[exchange].contains(.xRequestID) {
                exchanges[exchange].record.requestID = RequestID(random: &random)
            }
        }
        guard exchanges[exchange].chain.value.http.hasTraceContext else { return }
        let trace = TraceDecision(
            TraceInput(heads[exchange], bytes), exchanges[exchange].chain.value.http.traceContext,
            random: &random)
        exchanges[exchange].trace = trace
        guard let context = trace.context else { return }
        exchanges[exchange].record.traceID = context.traceID
        exchanges[exchange].record.spanID = context.spanID
        exchanges[exchange].record.isSampled = context.isSampled
    }

    private mutating func editTracing(_ exchange: SlabID) {
        if !exchanges[exchange].record.requestID.isNone {
            let start = scratch.count
            _ = exchanges[exchange].record.requestID.append(to: &scratch)
            edits.drop(.xRequestID)
            edits.add(.xRequestID, scratch.view.dropFirst(start))
        }
        exchanges[exchange].trace?.apply(to: &edits, scratch: &scratch)
    }

    /// What is left of the request's time travels on.
    private mutating func editDeadline(_ exchange: SlabID) {
        var left = exchanges[exchange].timeout
        guard left > 0 else { return }
        if exchanges[exchange].route.value.propagatesDeadline, exchanges[exchange].deadline != .distantFuture
        {
            left = max(1_000_000, exchanges[exchange].deadline.nanoseconds(since: now))
        }
        if exchanges[exchange].tryDeadline != .distantFuture {
            left = min(left, max(1_000_000, exchanges[exchange].tryDeadline.nanoseconds(since: now)))
        }
        edits.add(.xEnvoyExpectedRqTimeoutMs, scratch.store(decimal: Int(left / 1_000_000)))
        if exchanges[exchange].route.value.propagatesDeadline, heads[exchange].contains(.grpcTimeout) {
            let start = scratch.count
            if GRPCTimeout.append(left, to: &scratch) {
                edits.drop(.grpcTimeout)
                edits.add(.grpcTimeout, scratch.view.dropFirst(start))
            }
        }
    }

    private mutating func editHost(_ exchange: SlabID, _ bytes: ByteView) {
        var host = bytes[heads[exchange].authority.range]
        if host.isEmpty { host = exchanges[exchange].chain.value.http.defaultHostForHTTP10 }
        var isRewritten = false
        if !exchanges[exchange].route.value.hostRewrite.isEmpty {
            (host, isRewritten) = (exchanges[exchange].route.value.hostRewrite, true)
        } else if !exchanges[exchange].route.value.hostRewriteHeader.isEmpty {
            if let value = heads[exchange].value(
                named: exchanges[exchange].route.value.hostRewriteHeader, in: bytes),
                !value.isEmpty
            {
                (host, isRewritten) = (value, true)
            }
        } else if exchanges[exchange].route.value.rewritesHostAutomatically, let name = endpointName(exchange)
        {
            (host, isRewritten) = (name, true)
        }
        if isRewritten, exchanges[exchange].route.value.appendsForwardedHost {
            edits.add(.xForwardedHost, bytes[heads[exchange].authority.range])
        }
        let field = heads[exchange].firstIndex(of: .host)
        let isInPlace = field.map { heads[exchange].value($0, in: bytes).equals(host) } ?? false
        if !isInPlace {
            edits.drop(.host)
            if !host.isEmpty { edits.add(.host, host) }
        }
    }

    private func endpointName(_ exchange: SlabID) -> ByteView? {
        let (slot, host) = (Int(exchanges[exchange].cluster), exchanges[exchange].endpoint)
        guard let record = clusters[slot].record, let member = clusters[slot].order.firstIndex(of: host)
        else { return nil }
        let name = record.value.endpoints[member].hostname
        return name.isEmpty ? nil : name
    }

    /// Carries out the operator's edits on a head.
    mutating func applyEdits(
        _ table: Table<EditRecord>, of snapshot: Snapshot, _ exchange: SlabID, _ head: EditedHead
    ) {
        for index in table.indices {
            let edit = table[index]
            if edit.kind == .remove {
                edits.drop(edit.known, edit.name)
                edits.removeAdditions(edit.name)
                continue
            }
            var value = edit.value
            if edit.format >= 0 {
                let start = scratch.count
                renderHeaderValue(snapshot.formats[Int(edit.format)], exchange)
                value = scratch.view.dropFirst(start)
            }
            if value.isEmpty, !edit.keepsEmpty { continue }
            let isThere = isPresent(edit.name, in: head, exchange) || edits.addsField(edit.name)
            switch edit.kind {
            case .append: break
            case .addIfAbsent: if isThere { continue }
            case .overwriteIfExists where !isThere: continue
            case .overwrite, .overwriteIfExists:
                edits.drop(edit.known, edit.name)
                edits.removeAdditions(edit.name)
            case .remove: continue
            }
            edits.add(edit.name, value)
        }
    }

    /// Which head is edited, and its bytes.
    enum EditedHead {
        case request(ByteView)
        case answer(ByteView)
    }

    private func isPresent(_ name: ByteView, in head: EditedHead, _ exchange: SlabID) -> Bool {
        switch head {
        case .request(let bytes): heads[exchange].value(named: name, in: bytes) != nil
        case .answer(let bytes): answer.value(named: name, in: bytes) != nil
        }
    }

    /// Path and query as they go upstream.
    private mutating func upstreamPath(_ exchange: SlabID) -> ByteView {
        let bytes = exchanges[exchange].headBytes.view
        let path = bytes[heads[exchange].path.range]
        guard exchanges[exchange].hasRoute, exchanges[exchange].route.value.hasPrefixRewrite else {
            return path
        }
        let start = scratch.count
        _ = scratch.append(exchanges[exchange].route.value.prefixRewrite)
        _ = scratch.append(path.dropFirst(exchanges[exchange].route.value.path.count))
        return scratch.view.dropFirst(start)
    }

    // MARK: HTTP/1.1

    /// Writes the head to the connection; it leaves with the body's first bytes if they are there.
    mutating func sendRequestHead(_ exchange: SlabID, _ id: SlabID) {
        editRequest(exchange)
        let length = heads[exchange].body
        exchanges[exchange].sendsChunks = length == .chunked || length == .untilStreamEnd
        if exchanges[exchange].sendsChunks {
            edits.drop(.contentLength)
            edits.add(.transferEncoding, ByteView("chunked"))
        }
        if exchanges[exchange].isUpgrade {
            edits.add(.connection, ByteView("upgrade"))
            edits.add(.upgrade, ByteView("websocket"))
        }
        let path = upstreamPath(exchange)
        let bytes = exchanges[exchange].headBytes.view
        flushStaged()
        stage(for: id)
        var isWhole = stageBuffer.append(bytes[heads[exchange].methodToken.range]) && stageBuffer.append(" ")
        isWhole = stageBuffer.append(path.isEmpty ? bytes[heads[exchange].target.range] : path) && isWhole
        isWhole = stageBuffer.append(" HTTP/1.1\r\n") && isWhole
        isWhole =
            stageBuffer.append(
                heads[exchange], bytes, editedBy: edits,
                keepsCase: exchanges[exchange].chain.value.http.keepsCase) && isWhole
        if !isWhole {
            // More than 64 KiB with what was added: nobody would take it.
            stageBuffer.removeAll()
            staged = .none
            leaveUpstream(exchange, isReusable: true)
            answerLocally(exchange, LocalAnswer(refusing: .headTooLarge))
        }
    }

    // MARK: HTTP/2

    mutating func fillStreamRequest(_ exchange: SlabID, scheme: ByteView) {
        editRequest(exchange)
        let path = upstreamPath(exchange)
        let bytes = exchanges[exchange].headBytes.view
        var authority = bytes[heads[exchange].authority.range]
        for addition in edits.additions where addition.name.equals("host") { authority = addition.value }
        if heads[exchange].method == .connect {
            fields.startConnect(authority: authority)
        } else {
            fields.startRequest(
                method: bytes[heads[exchange].methodToken.range], scheme: scheme, authority: authority,
                path: path.isEmpty ? ByteView("/") : path)
        }
        Self.appendFields(heads[exchange], bytes, editedBy: edits, to: &fields)
        if heads[exchange].acceptsTrailers { fields.append(.te, value: ByteView("trailers")) }
    }

    /// The fields that `edits` leaves and adds, for HTTP/2.
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
                fields.append(name: head.name(index, in: bytes), value: value)
            } else {
                fields.append(field.name, value: value)
            }
        }
        for addition in edits.additions {
            if addition.name.equals("host") || addition.name.equals("connection")
                || addition.name.equals("transfer-encoding")
            {
                continue
            }
            fields.append(name: addition.name, value: addition.value)
        }
    }
}

extension SocketAddress {
    /// The address without its port, as text.
    func appendHost(to buffer: inout PooledBuffer) {
        guard family == .ipv4 else { return host.withByteView { _ = buffer.append($0) } }
        for part in 0..<4 {
            if part > 0 { _ = buffer.append(".") }
            _ = buffer.append(decimal: Int(low >> UInt64(24 - 8 * part) & 255))
        }
    }
}
