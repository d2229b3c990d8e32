import HTTPModel
import MeshPrimitives
import Telemetry

/// Hosts and paths as the route changes them, of requests on their way upstream and of redirects.
extension Worker {
    /// The caller's scheme: that of its connection, or what a proxy in front of us says (where its word does not count,
    /// `settleCaller` has replaced it).
    func isHTTPS(_ exchange: ExchangePlace) -> Bool {
        if let given = exchange.head.value(of: .xForwardedProto, in: exchange.value.headBytes.view) {
            if given.equalsIgnoringCase("https") { return true }
            if given.equalsIgnoringCase("http") { return false }
        }
        return exchange.value.downstream.value.tls != nil
    }

    // MARK: Host

    /// After the operator's changes, which the new host may come from.
    @inline(__always)
    mutating func editHost(_ exchange: ExchangePlace, _ bytes: ByteView) {
        var given = bytes[exchange.head.authority.range]
        if given.isEmpty { given = exchange.chain.http.defaultHostForHTTP10 }
        if let host = rewrittenHost(exchange, bytes) {
            if exchange.route.appendsForwardedHost { appendForwardedHost(exchange, bytes, given) }
            if !exchange.chain.http.suppressesEnvoyHeaders {
                edits.set(.other, ByteView("x-envoy-original-host"), given)
            }
            return edits.set(.host, host)
        }
        let field = exchange.head.firstIndex(of: .host)
        let isInPlace = field.map { exchange.head.value($0, in: bytes).equals(given) } ?? false
        if !isInPlace {
            edits.drop(.host)
            if !given.isEmpty { edits.add(.host, given) }
        }
    }

    private mutating func rewrittenHost(_ exchange: ExchangePlace, _ bytes: ByteView) -> ByteView? {
        if !exchange.route.hostRewrite.isEmpty { return exchange.route.hostRewrite }
        let header = exchange.route.hostRewriteHeader
        if !header.isEmpty {
            let value = edits.value(named: header, FieldName(header), in: exchange.head, bytes)
            return value.flatMap { $0.isEmpty ? nil : $0 }
        }
        if exchange.route.hostFromPath != nil { return hostFromPath(exchange, bytes) }
        return exchange.route.rewritesHostAutomatically ? endpointName(exchange) : nil
    }

    /// What the route makes of the path (`host_rewrite_path_regex`), in `scratch`; nil: the path does not fit.
    mutating func hostFromPath(_ exchange: ExchangePlace, _ bytes: ByteView) -> ByteView? {
        guard let rewrite = exchange.route.hostFromPath else { return nil }
        let path = Self.withoutQuery(bytes[exchange.head.path.range])
        let start = scratch.count
        let fits = rewrite.regex.with {
            $0.replace(in: path, with: rewrite.substitution, to: &scratch)
        }
        return fits ? scratch.view.dropFirst(start) : nil
    }

    /// `x-forwarded-host` gets the host that the caller meant, unless that is its last one already.
    private mutating func appendForwardedHost(
        _ exchange: ExchangePlace, _ bytes: ByteView, _ host: ByteView
    ) {
        if host.isEmpty { return }
        let name = FieldName.xForwardedHost
        guard let before = edits.value(named: name.text, name, in: exchange.head, bytes), !before.isEmpty
        else { return edits.set(name, host) }
        let last = before.lastIndex(of: UInt8(ascii: ",")).map { before.dropFirst($0 + 1) } ?? before
        if last.trimmed.equals(host) { return }
        let start = scratch.count
        _ = scratch.append(before)
        _ = scratch.append(",")
        _ = scratch.append(host)
        edits.set(name, scratch.view.dropFirst(start))
    }

    private func endpointName(_ exchange: ExchangePlace) -> ByteView? {
        let (slot, host) = (Int(exchange.value.cluster), exchange.value.endpoint)
        guard let record = clusters[slot].record, let member = clusters[slot].order.firstIndex(of: host)
        else { return nil }
        let name = record.value.endpoints[member].hostname
        return name.isEmpty ? nil : name
    }

    // MARK: Path

    private static func withoutQuery(_ target: ByteView) -> ByteView {
        target.prefix(target.firstIndex(of: UInt8(ascii: "?")) ?? target.count)
    }

    /// Path and query as they go upstream; in `sentPath` if they are others than came.
    @inline(__always)
    mutating func upstreamPath(_ exchange: ExchangePlace) -> ByteView {
        let target = exchange.value.headBytes.view[exchange.head.path.range]
        guard exchange.value.hasRoute, !exchange.route.pathRewrite.isNone else { return target }
        if !sentPath.isAllocated { sentPath = pool.take(BufferPool.sizes.large) }
        sentPath.removeAll()
        guard Self.appendRewritten(target, exchange.route.pathRewrite, to: &sentPath) else {
            sentPath.removeAll()
            return target
        }
        return sentPath.view
    }

    /// false if there is no room for the result.
    private static func appendRewritten(
        _ target: ByteView, _ rewrite: PathRewriteRecord, to buffer: inout PooledBuffer
    ) -> Bool {
        let path = withoutQuery(target)
        let query = target.dropFirst(path.count)
        if !rewrite.prefix.isEmpty {
            let matched = rewrite.matched < 0 ? path.count : Int(rewrite.matched)
            return buffer.append(rewrite.prefix) && buffer.append(target.dropFirst(matched))
        }
        guard let regex = rewrite.regex else { return buffer.append(target) }
        return regex.regex.with { $0.replace(in: path, with: regex.substitution, to: &buffer) }
            && buffer.append(query)
    }

    // MARK: Redirects

    mutating func redirect(_ exchange: ExchangePlace) {
        counters.add(exchange.chain.http.scope, .rqRedirect)
        let record = shelf[exchange.value.snapshot].redirects[Int(exchange.route.redirect)]
        exchange.value.location = location(exchange, record)
        answerLocally(exchange, LocalAnswer(exchange.route.status, details: .directResponse))
    }

    mutating func answerDirectly(_ exchange: ExchangePlace) {
        counters.add(exchange.chain.http.scope, .rqDirectResponse)
        let status = exchange.route.status
        // RFC 9110 section 10.2.2: where such an answer points, it points to what was asked for.
        if status == 201 || status / 100 == 3 {
            exchange.value.location = location(exchange, RedirectRecord())
        }
        var answer = LocalAnswer(status, details: .directResponse)
        answer.body = StaticText(exchange.route.body)
        answerLocally(exchange, answer)
    }

    private mutating func location(_ exchange: ExchangePlace, _ record: RedirectRecord) -> PooledBuffer {
        let bytes = exchange.value.headBytes.view
        let isHTTPS = isHTTPS(exchange)
        var location = pool.take(BufferPool.sizes.large)
        let scheme = record.scheme.isEmpty ? ByteView(isHTTPS ? "https" : "http") : record.scheme
        _ = location.append(scheme)
        _ = location.append("://")
        if record.host.isEmpty {
            let authority = bytes[exchange.head.authority.range]
            let colon = RouteTable.portColon(authority)
            var keeps = record.port == 0
            if !record.keepsPort, let colon, !scheme.equals(isHTTPS ? "https" : "http") {
                // The default port of the scheme that the caller comes by means nothing in another one.
                if authority.dropFirst(colon).equals(isHTTPS ? ":443" : ":80") { keeps = false }
            }
            _ = location.append(keeps ? authority : authority.prefix(colon ?? authority.count))
        } else {
            _ = location.append(record.host)
        }
        if record.port > 0 {
            _ = location.append(":")
            _ = location.append(decimal: Int(record.port))
        }
        let target = bytes[exchange.head.path.range]
        let start = location.count
        if record.path.isEmpty {
            _ = Self.appendRewritten(target, exchange.route.pathRewrite, to: &location)
        } else {
            _ = location.append(record.path)
            // A query of its own stays, and then that of the request is left out.
            if record.path.firstIndex(of: UInt8(ascii: "?")) != nil { return location }
            _ = location.append(target.dropFirst(Self.withoutQuery(target).count))
        }
        if record.stripsQuery, let mark = location.view.firstIndex(of: UInt8(ascii: "?"), from: start) {
            location.truncate(to: mark)
        }
        return location
    }
}
