import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Reactor
import Telemetry

/// Who sent a request, where proxies stand before this one, and what such a caller may say: `use_remote_address`,
/// `xff_num_trusted_hops`, `skip_xff_append`, `append_x_forwarded_port` and `internal_address_config` of Envoy's
/// HttpConnectionManager. The head is written anew before anything looks at it, so that filters, routes and logs see
/// the fields as they go upstream.
extension Worker {
    /// Fields that say something of the caller whatever is configured.
    static var callerFields: UInt64 { FieldName.xForwardedFor.bit | FieldName.xEnvoyInternal.bit }

    /// false: the request was answered.
    @inline(never)
    mutating func settleCaller(_ exchange: ExchangePlace) -> Bool {
        scratch.removeAll()
        let bytes = exchange.value.headBytes.view
        let (given, isJoined) = forwardedFor(exchange, bytes)
        let isEdge = exchange.chain.http.usesRemoteAddress
        let hops = Int(exchange.chain.http.trustedHops)
        var mayBeInternal = isEdge && given == nil
        if let given, !isEdge || hops > 0,
            let address = ForwardedFor(given).address(before: isEdge ? hops - 1 : hops)
        {
            exchange.value.record.downstreamRemote = address
            mayBeInternal = !isEdge && hops == 0 && ForwardedFor(given).isSingle
        }
        exchange.value.isInternal = mayBeInternal && isInternalAddress(exchange)
        let lacksPort =
            exchange.chain.http.appendsForwardedPort && !exchange.head.contains(.xForwardedPort)
        guard
            isEdge || isJoined || exchange.value.isInternal || lacksPort
                || exchange.head.contains(.xEnvoyInternal)
        else { return true }
        if exchange.value.isInternal,
            exchange.head.value(named: ByteView("x-envoy-force-trace"), in: bytes) != nil
        {
            exchange.value.tellsRequestID = true
        }
        if writeCallerFields(exchange, given, isEdge: isEdge) { return true }
        exchange.value.closesDownstream = true
        answerLocally(exchange, LocalAnswer(refusing: .headTooLarge))
        return false
    }

    /// What all such fields say, joined in `scratch` if there are several. nil: there is none, or nobody is believed.
    private mutating func forwardedFor(
        _ exchange: ExchangePlace, _ bytes: ByteView
    ) -> (list: ByteView?, isJoined: Bool) {
        guard exchange.chain.http.usesRemoteAddress || exchange.chain.http.believesForwardedFor,
            let first = exchange.head.firstIndex(of: .xForwardedFor)
        else { return (nil, false) }
        guard exchange.head.firstIndex(of: .xForwardedFor, from: first + 1) != nil else {
            return (exchange.head.value(first, in: bytes), false)
        }
        let start = scratch.count
        var next = Optional(first)
        while let index = next {
            if index > first { _ = scratch.append(",") }
            _ = scratch.append(exchange.head.value(index, in: bytes))
            next = exchange.head.firstIndex(of: .xForwardedFor, from: index + 1)
        }
        return (scratch.view.dropFirst(start), true)
    }

    private func isInternalAddress(_ exchange: ExchangePlace) -> Bool {
        guard let caller = exchange.value.record.downstreamRemote else { return false }
        let ranges = exchange.chain.http.internalRanges
        return ranges.indices.contains { ranges[$0].contains(caller) }
    }

    private mutating func writeCallerFields(
        _ exchange: ExchangePlace, _ given: ByteView?, isEdge: Bool
    ) -> Bool {
        let isExternal = isEdge && !exchange.value.isInternal
        let isTrusted = !isEdge || exchange.chain.http.trustedHops > 0
        edits.reset(dropping: FieldName.xEnvoyInternal.bit)
        if exchange.value.isInternal { edits.add(.xEnvoyInternal, ByteView("true")) }
        if isEdge, !exchange.chain.http.skipsXFFAppend {
            appendPeer(exchange, given)
        } else if let given {
            edits.drop(.xForwardedFor)
            edits.add(.xForwardedFor, given)
        }
        if isEdge {
            if !isTrusted || !exchange.head.contains(.xForwardedProto) {
                let isTLS = exchange.value.downstream.value.tls != nil
                edits.drop(.xForwardedProto)
                edits.add(.xForwardedProto, ByteView(isTLS ? "https" : "http"))
            }
        }
        if exchange.chain.http.appendsForwardedPort,
            !isTrusted || !exchange.head.contains(.xForwardedPort)
        {
            edits.drop(.xForwardedPort)
            let port = Int(exchange.value.downstream.value.local.port)
            edits.add(.xForwardedPort, scratch.store(decimal: port))
        }
        if isExternal {
            edits.controls = .ofEdge
            edits.drop(.xEnvoyDecoratorOperation)
            edits.drop(.xEnvoyOriginalPath)
            edits.drop(.xEnvoyExternalAddress)
            if let caller = exchange.value.record.downstreamRemote {
                let start = scratch.count
                caller.appendHost(to: &scratch)
                edits.add(.xEnvoyExternalAddress, scratch.view.dropFirst(start))
            }
        }
        return rewriteHead(exchange)
    }

    /// A peer on this host says nothing: it is this host's address that the next one gets to know.
    private mutating func appendPeer(_ exchange: ExchangePlace, _ given: ByteView?) {
        let peer = exchange.value.downstream.value.peer
        let start = scratch.count
        if let given {
            _ = scratch.append(given)
            _ = scratch.append(",")
        }
        (peer.isLoopback ? exchange.chain.http.ownAddress ?? peer : peer).appendHost(to: &scratch)
        edits.drop(.xForwardedFor)
        edits.add(.xForwardedFor, scratch.view.dropFirst(start))
    }

    /// The head anew, as `edits` has it; hop-by-hop fields stay for whoever forwards it. false: it would be too large.
    mutating func rewriteHead(_ exchange: ExchangePlace) -> Bool {
        let bytes = exchange.value.headBytes.view
        var buffer = pool.take(min(bytes.count + edits.addedBytes + 2, BufferPool.sizes.huge))
        var isWhole = buffer.append(bytes.prefix(Int(exchange.head.fieldsStart)))
        for index in 0..<exchange.head.count {
            let field = exchange.head.field(index)
            if edits.removes(field, in: bytes) { continue }
            isWhole = buffer.append(bytes[Int(field.nameStart)..<Int(field.lineEnd)]) && isWhole
        }
        var known: UInt64 = 0
        for index in edits.additions.indices {
            let addition = edits.additions[index]
            known |= addition.known.bit
            isWhole = buffer.append(addition.name) && buffer.append(": ") && isWhole
            isWhole = buffer.append(addition.value) && buffer.append("\r\n") && isWhole
        }
        guard buffer.append("\r\n"), isWhole, adopt(exchange, &buffer) else {
            pool.give(&buffer)
            return false
        }
        // What this proxy says is not the caller's to take away by its `Connection` field.
        exchange.head.unmarkConnectionOptions(named: known)
        return true
    }
}
