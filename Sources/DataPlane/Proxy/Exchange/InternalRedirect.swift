import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Telemetry
import TrafficPolicy

/// Redirects of endpoints that are followed here (envoy.config.route.v3.InternalRedirectPolicy).
extension Worker {
    /// Sends the request where an answer points; false if the answer is to be passed on.
    mutating func followRedirect(_ exchange: ExchangePlace, _ bytes: ByteView, isComplete: Bool) -> Bool {
        guard exchange.value.redirects < exchange.route.internalRedirects.most, exchange.value.requestEnded,
            !exchange.value.bodyIsCut, !exchange.value.isUpgrade,
            let location = answer.value(of: .location, in: bytes), let target = RedirectTarget(location),
            target.isHTTPS == isHTTPS(exchange)
        else { return false }
        let method = exchange.head.method
        // RFC 9110 section 15.4.4: see other, by GET.
        let asksAnew = answer.status == 303 && method != .get && method != .head
        scratch.removeAll()
        recallRequest(exchange)
        var buffer = pool.take(BufferPool.sizes.large)
        var head = MessageHead()
        guard writeHead(exchange, target, asksAnew: asksAnew, to: &buffer),
            readHead(buffer.view, exchange, asksAnew: asksAnew, into: &head),
            leadsSomewhere(head, buffer.view, exchange)
        else {
            pool.give(&buffer)
            return false
        }
        let isReusable = isComplete && exchange.value.upstreamKeepsAlive
        exchange.value.record.attemptEnded(
            at: now.nanoseconds(since: exchange.value.started), .answered, status: answer.status)
        releaseRetryPlace(exchange)
        leaveUpstream(exchange, isReusable: isReusable)
        if exchange.value.holdsRequest {
            exchange.value.holdsRequest = false
            exchange.value.limits?.with { $0.requests.release() }
        }
        pool.give(&exchange.value.headBytes)
        exchange.value.headBytes = buffer
        exchange.head = head
        if asksAnew { queues.removeAll(from: &exchange.value.body, pool: &pool) }
        startAnew(exchange)
        return true
    }

    /// The request begins again with its new head; filters and routes are asked anew.
    private mutating func startAnew(_ exchange: ExchangePlace) {
        exchange.value.redirects += 1
        exchange.value.phase = .routing
        exchange.value.hasRoute = false
        exchange.value.route = exchange.chain.http.noRoute
        (exchange.value.host, exchange.value.cluster, exchange.value.weighted) = (-1, -1, -1)
        (exchange.value.headSent, exchange.value.requestSent, exchange.value.bodySent) = (false, false, 0)
        exchange.value.attempts = 0
        exchange.value.retry = RetryState()
        exchange.value.shadowRetry = RetryState()
        exchange.value.cause = nil
        exchange.value.priorities = nil
        exchange.value.tried = PreviousEndpoints()
        exchange.value.filtersPassed = 0
        (exchange.value.rateLimitRecord, exchange.value.rateLimit) = (-1, nil)
        exchange.value.earlierLimits.removeAll()
        (exchange.value.overLimit, exchange.value.refusedBy, exchange.value.overQuota) = (-1, -1, -1)
        (exchange.value.isCrossOrigin, exchange.value.wasDelayed) = (false, false)
        exchange.value.marksExhausted = false
        exchange.value.paceRate = 0
        exchange.value.mirror = nil
        (exchange.value.deadline, exchange.value.tryDeadline) = (.distantFuture, .distantFuture)
        findRoute(exchange)
        runFilters(exchange)
    }

    /// A redirect is followed only to a route of ours.
    private mutating func leadsSomewhere(_ head: MessageHead, _ bytes: ByteView, _ exchange: ExchangePlace)
        -> Bool
    {
        let routes = exchange.chain.http.routes
        guard let host = routes.host(for: bytes[head.authority.range], scratch: &scratch) else {
            return false
        }
        let question = RouteQuestion(
            bytes: bytes, isHTTPS: isHTTPS(exchange), chance: exchange.value.chance)
        return routes.route(in: host, head: head, question, scratch: &scratch) != nil
    }

    /// The new request in HTTP/1.1's form: the fields are those that were sent, with all that the route changed.
    private func writeHead(
        _ exchange: ExchangePlace, _ target: RedirectTarget, asksAnew: Bool, to buffer: inout PooledBuffer
    ) -> Bool {
        let bytes = exchange.value.headBytes.view
        let originalURL = ByteView("x-envoy-original-url")
        let host =
            requestEdits.value(named: FieldName.host.text, .host, in: exchange.head, bytes)
            ?? bytes[exchange.head.authority.range]
        let path = sentPath.isEmpty ? bytes[exchange.head.path.range] : sentPath.view
        var isWhole = buffer.append(asksAnew ? ByteView("GET") : bytes[exchange.head.methodToken.range])
        isWhole = buffer.append(" ") && buffer.append(target.path) && buffer.append(" HTTP/1.1") && isWhole
        isWhole = buffer.append("\r\nhost: ") && buffer.append(target.host) && isWhole
        isWhole = buffer.append("\r\n") && buffer.append(originalURL) && buffer.append(": ") && isWhole
        isWhole = buffer.append(isHTTPS(exchange) ? ByteView("https://") : ByteView("http://")) && isWhole
        isWhole = buffer.append(host) && buffer.append(path) && buffer.append("\r\n") && isWhole
        func isKept(_ name: ByteView) -> Bool {
            let known = FieldName(name)
            if known == .host || known.isHopByHop || known == .expect { return false }
            return !(asksAnew && known == .contentLength) && !name.equalsIgnoringCase(originalURL)
        }
        for index in 0..<exchange.head.count {
            let field = exchange.head.field(index)
            if requestEdits.drops(field, in: bytes) || !isKept(exchange.head.name(index, in: bytes)) {
                continue
            }
            isWhole = buffer.append(bytes[Int(field.nameStart)..<Int(field.lineEnd)]) && isWhole
        }
        for index in requestEdits.additions.indices where isKept(requestEdits.additions[index].name) {
            let addition = requestEdits.additions[index]
            isWhole = buffer.append(addition.name) && buffer.append(": ") && isWhole
            isWhole = buffer.append(addition.value) && buffer.append("\r\n") && isWhole
        }
        return buffer.append("\r\n") && isWhole
    }

    /// What the lines do not say is as it was.
    private func readHead(
        _ bytes: ByteView, _ exchange: ExchangePlace, asksAnew: Bool, into head: inout MessageHead
    ) -> Bool {
        var progress = HeadProgress()
        guard
            case .complete = HTTP1Parser.parseRequest(
                bytes, into: &head, progress: &progress, limits: HTTP1Limits())
        else { return false }
        head.version = exchange.head.version
        head.keepsAlive = exchange.head.keepsAlive
        head.acceptsTrailers = exchange.head.acceptsTrailers
        head.body = asksAnew ? .none : exchange.head.body
        return true
    }
}

/// Where a `Location` points, if it is an absolute URL of ours to follow.
struct RedirectTarget: BitwiseCopyable {
    let isHTTPS: Bool
    let host: ByteView
    /// With the query.
    let path: ByteView

    init?(_ location: ByteView) {
        let scheme = location.prefix(location.firstIndex(of: UInt8(ascii: ":")) ?? 0)
        if scheme.equalsIgnoringCase("http") {
            isHTTPS = false
        } else if scheme.equalsIgnoringCase("https") {
            isHTTPS = true
        } else {
            return nil
        }
        guard location.dropFirst(scheme.count).hasPrefix("://") else { return nil }
        let rest = location.dropFirst(scheme.count + 3)
        let isEnd = { (byte: UInt8) in
            byte == UInt8(ascii: "/") || byte == UInt8(ascii: "?") || byte == UInt8(ascii: "#")
        }
        let end = rest.indices.first { isEnd(rest[$0]) } ?? rest.count
        host = rest.prefix(end)
        let behind = rest.dropFirst(end)
        let whole = behind.prefix(behind.firstIndex(of: UInt8(ascii: "#")) ?? behind.count)
        // Neither a user's name nor what could end a line belongs there.
        guard !host.isEmpty, host.firstIndex(of: UInt8(ascii: "@")) == nil,
            !rest.indices.contains(where: { rest[$0] <= 0x20 || rest[$0] >= 0x7f })
        else { return nil }
        if whole.isEmpty {
            path = ByteView("/")
        } else {
            guard whole[0] == UInt8(ascii: "/") else { return nil }
            path = whole
        }
    }
}
