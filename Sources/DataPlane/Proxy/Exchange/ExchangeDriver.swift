import HTTP1Codec
import HTTP2Codec
import HTTPModel
import MeshModel
import MeshPrimitives
import Reactor
import Synchronization
import Telemetry
import TrafficPolicy

/// Carries a request through: filters, routing, attempts, the answer, the end. What `Exchange` decides is done here, and
/// only here.
extension Worker {
    func exchangeChain(_ exchange: SlabID) -> Reference<ChainRecord> { exchanges[exchange].chain }

    func exchangeRoute(_ exchange: SlabID) -> Reference<RouteRecord>? { exchanges[exchange].route }

    private func retrySettings(_ exchange: SlabID) -> RetrySettings {
        guard exchanges[exchange].hasRoute else { return .none }
        var settings = exchanges[exchange].route.value.retry
        let controls = exchanges[exchange].requestControls
        if !controls.conditions.isEmpty {
            settings.conditions.formUnion(controls.conditions)
            if settings.retriesMax == 0 { settings.retriesMax = 1 }
        }
        if controls.retriesMax >= 0 { settings.retriesMax = UInt32(controls.retriesMax) }
        if controls.perTryTimeout >= 0 { settings.perTryTimeout = controls.perTryTimeout }
        return settings
    }

    private func repeatability(_ exchange: SlabID) -> Repeatability {
        let method = exchanges[exchange].repeatability
        guard method == .unrepeatable, exchanges[exchange].hasRoute,
            !exchanges[exchange].route.value.idempotencyHeader.isEmpty
        else { return method }
        let bytes = exchanges[exchange].headBytes.view
        return heads[exchange].value(named: exchanges[exchange].route.value.idempotencyHeader, in: bytes)
            == nil
            ? .unrepeatable : .keyed
    }

    // MARK: The request's head

    /// A place for an exchange and its head; nil if all are taken.
    mutating func insertExchange(_ exchange: Exchange) -> SlabID? {
        guard let id = exchanges.insert(exchange) else { return nil }
        let head = heads.take()
        precondition(head == id)
        heads[id].reset()
        return id
    }

    /// Counts the request and begins its record.
    mutating func startRecord(_ exchange: SlabID) {
        counters.add(exchanges[exchange].chain.value.http.scope, .downstreamRqTotal)
        counters.add(exchanges[exchange].chain.value.http.scope, .downstreamRqActive)
        counters.add(
            exchanges[exchange].chain.value.http.scope,
            exchanges[exchange].downstreamStream == 0 ? .downstreamRqHttp1Total : .downstreamRqHttp2Total)
        let id = exchanges[exchange].downstream
        exchanges[exchange].record.startedAt = loop.wallClock.nanoseconds
        exchanges[exchange].record.started = exchanges[exchange].started
        exchanges[exchange].record.method = heads[exchange].method
        exchanges[exchange].record.downstreamProtocol = RecordedProtocol(
            version: heads[exchange].version)
        exchanges[exchange].record.requestHeadBytes = UInt32(heads[exchange].length)
        exchanges[exchange].record.downstreamDirectRemote = connections[id].peer
        exchanges[exchange].record.downstreamRemote = connections[id].peer
        exchanges[exchange].record.downstreamLocal = connections[id].local
        exchanges[exchange].phase = .routing
    }

    /// The head of a request is complete.
    mutating func begin(_ exchange: SlabID) {
        startRecord(exchange)
        let id = exchanges[exchange].downstream
        if exchanges[exchange].requestEnded { requestComplete(exchange) }
        if stopping != .no || !heads[exchange].keepsAlive {
            exchanges[exchange].closesDownstream = true
        }
        if exchanges[exchange].chain.value.http.maxRequests > 0,
            connections[id].requests >= UInt32(exchanges[exchange].chain.value.http.maxRequests)
        {
            counters.add(exchanges[exchange].chain.value.http.scope, .downstreamCxMaxRequestsReached)
            exchanges[exchange].closesDownstream = true
        }
        exchanges[exchange].streamIdleTimeout = exchanges[exchange].chain.value.http.streamIdleTimeout
        if exchanges[exchange].chain.value.http.requestTimeout > 0, !exchanges[exchange].requestEnded {
            exchanges[exchange].requestLimit = now.advanced(
                byNanoseconds: exchanges[exchange].chain.value.http.requestTimeout)
        }
        if exchanges[exchange].chain.value.http.maxStreamDuration > 0 {
            exchanges[exchange].streamDeadline = now.advanced(
                byNanoseconds: exchanges[exchange].chain.value.http.maxStreamDuration)
        }
        identify(exchange)
        findRoute(exchange)
        if !passRateLimit(exchange) { return }
        forward(exchange)
    }

    private mutating func findRoute(_ exchange: SlabID) {
        let bytes = exchanges[exchange].headBytes.view
        var authority = bytes[heads[exchange].authority.range]
        if authority.isEmpty { authority = exchanges[exchange].chain.value.http.defaultHostForHTTP10 }
        guard let host = exchanges[exchange].chain.value.http.routes.host(for: authority, scratch: &scratch)
        else { return }
        exchanges[exchange].host = Int32(host)
        let isTLS = connections[exchanges[exchange].downstream].tls != nil
        let route = exchanges[exchange].chain.value.http.routes.route(
            in: host, head: heads[exchange], bytes: bytes, isTLS: isTLS, random: &random)
        if let route {
            exchanges[exchange].route = exchanges[exchange].chain.value.http.routes.routes.reference(route)
            exchanges[exchange].hasRoute = true
        }
    }

    /// The local rate limit, the route's if it has one. false: the request was answered.
    private mutating func passRateLimit(_ exchange: SlabID) -> Bool {
        guard exchanges[exchange].chain.value.http.hasRateLimitFilter else { return true }
        var index = exchanges[exchange].chain.value.http.rateLimit
        if exchanges[exchange].hasRoute {
            if exchanges[exchange].route.value.rateLimit >= 0 {
                index = exchanges[exchange].route.value.rateLimit
            }
        }
        guard index >= 0 else { return true }
        let record = shelf[exchanges[exchange].snapshot].rateLimits.reference(Int(index))
        let scope = record.value.limiter.with { $0.scope }
        guard record.value.enabled.contains(&random) else { return true }
        counters.add(scope, .enabled)
        guard let decision = record.value.limiter.with({ $0.take(at: now) }) else { return true }
        if record.value.sendsHeaders || record.value.sendsRetryAfter {
            exchanges[exchange].rateLimit = decision
        }
        exchanges[exchange].rateLimitRecord = index
        if decision.isAllowed {
            counters.add(scope, .ok)
            return true
        }
        counters.add(scope, .rateLimited)
        guard record.value.enforced.contains(&random) else { return true }
        counters.add(scope, .enforced)
        var answer = LocalAnswer.rateLimited
        answer.status = record.value.status
        exchanges[exchange].isRateLimited = true
        answerLocally(exchange, answer)
        return false
    }

    /// What the route says, after the filters.
    private mutating func forward(_ exchange: SlabID) {
        guard exchanges[exchange].hasRoute else {
            counters.add(exchanges[exchange].chain.value.http.scope, .noRoute)
            return answerLocally(exchange, .noRoute)
        }
        let isUpgrade = heads[exchange].hasUpgrade
        if isUpgrade, !exchanges[exchange].chain.value.http.ignoresUnknownUpgrades,
            !isWebSocket(exchange) || !exchanges[exchange].chain.value.http.allowsWebSocket
        {
            counters.add(exchanges[exchange].chain.value.http.scope, .downstreamRqWsOnNonWsRoute)
            return answerLocally(exchange, .upgradeFailed)
        }
        exchanges[exchange].isUpgrade =
            isUpgrade && isWebSocket(exchange) && exchanges[exchange].chain.value.http.allowsWebSocket
        switch exchanges[exchange].route.value.action {
        case .redirect: return redirect(exchange)
        case .direct:
            counters.add(exchanges[exchange].chain.value.http.scope, .rqDirectResponse)
            var answer = LocalAnswer(exchanges[exchange].route.value.status, details: .directResponse)
            answer.body = StaticText(exchanges[exchange].route.value.body)
            return answerLocally(exchange, answer)
        case .forward: break
        }
        guard let cluster = chooseCluster(exchange) else {
            counters.add(exchanges[exchange].chain.value.http.scope, .noCluster)
            return answerLocally(
                exchange, .noCluster(status: exchanges[exchange].route.value.clusterNotFoundStatus))
        }
        exchanges[exchange].cluster = shelf[exchanges[exchange].snapshot].clusters[cluster].slot
        exchanges[exchange].record.cluster = NameID(UInt32(exchanges[exchange].cluster) + 1)
        readControls(exchange)
        applyTimes(exchange)
        let limits = clusters[Int(exchanges[exchange].cluster)].limits(
            exchanges[exchange].route.value.priority)
        exchanges[exchange].limits = limits
        guard limits.with({ $0.requests.tryAcquire() }) else {
            counters.add(clusterScope(slot: exchanges[exchange].cluster), .upstreamRqPendingOverflow)
            return answerLocally(exchange, .overflow)
        }
        exchanges[exchange].holdsRequest = true
        limits.with { $0.requestStarted(at: now) }
        exchanges[exchange].keepsBody = !exchanges[exchange].requestEnded
        if heads[exchange].expectsContinue, !exchanges[exchange].requestEnded {
            sendContinue(exchange)
        }
        startAttempt(exchange)
    }

    private func isWebSocket(_ exchange: SlabID) -> Bool {
        let bytes = exchanges[exchange].headBytes.view
        return heads[exchange].value(of: .upgrade, in: bytes)?.equalsIgnoringCase("websocket")
            ?? false
    }

    private mutating func chooseCluster(_ exchange: SlabID) -> Int? {
        let snapshot = shelf[exchanges[exchange].snapshot]
        if !exchanges[exchange].route.value.clusterHeader.isEmpty {
            let bytes = exchanges[exchange].headBytes.view
            guard
                let name = heads[exchange].value(
                    named: exchanges[exchange].route.value.clusterHeader, in: bytes)
            else {
                return nil
            }
            return snapshot.clusters.indices.first { snapshot.clusters[$0].name.equals(name) }
        }
        let table = exchanges[exchange].route.value.clusters
        var index = 0
        if table.count > 1 {
            let point = random.below(table[table.count - 1].weightEnd)
            while table[index].weightEnd <= point { index += 1 }
        }
        exchanges[exchange].weighted = Int32(index)
        let cluster = table[index].cluster
        guard cluster >= 0 else { return nil }
        return clusters[Int(snapshot.clusters[Int(cluster)].slot)].record == nil ? nil : Int(cluster)
    }

    /// `x-envoy-*` fields count only from callers that the configuration trusts.
    private mutating func readControls(_ exchange: SlabID) {
        guard exchanges[exchange].chain.value.http.trustsLocalControls || isInternal(exchange) else { return }
        let bytes = exchanges[exchange].headBytes.view
        func milliseconds(_ name: FieldName) -> Int64? {
            heads[exchange].value(of: name, in: bytes)?.decimal.map { Int64($0) &* 1_000_000 }
        }
        if let limit = milliseconds(.xEnvoyUpstreamRqTimeoutMs) {
            exchanges[exchange].requestControls.timeout = limit
        }
        if let limit = milliseconds(.xEnvoyUpstreamRqPerTryTimeoutMs) {
            exchanges[exchange].requestControls.perTryTimeout = limit
        }
        if let count = heads[exchange].value(of: .xEnvoyMaxRetries, in: bytes)?.decimal {
            exchanges[exchange].requestControls.retriesMax = Int32(clamping: count)
        }
        if let words = heads[exchange].value(of: .xEnvoyRetryOn, in: bytes) {
            exchanges[exchange].requestControls.conditions = RetryConditions(list: words)
        }
    }

    func isInternal(_ exchange: SlabID) -> Bool {
        guard exchanges[exchange].chain.value.http.usesRemoteAddress,
            exchanges[exchange].chain.value.http.hasInternalRanges
        else { return false }
        let peer = connections[exchanges[exchange].downstream].peer
        return exchanges[exchange].chain.value.http.internalRanges.indices.contains {
            exchanges[exchange].chain.value.http.internalRanges[$0].contains(peer)
        }
    }

    private mutating func applyTimes(
        _ exchange: SlabID
    ) {
        var timeout = exchanges[exchange].route.value.timeout
        let asked = exchanges[exchange].requestControls.timeout
        if asked >= 0 { timeout = asked }
        let bytes = exchanges[exchange].headBytes.view
        if exchanges[exchange].route.value.propagatesDeadline {
            // What the caller has left bounds what we take.
            if let left = heads[exchange].value(of: .xEnvoyExpectedRqTimeoutMs, in: bytes)?.decimal {
                timeout = timeout > 0 ? min(timeout, Int64(left) &* 1_000_000) : Int64(left) &* 1_000_000
            }
            if let value = heads[exchange].value(of: .grpcTimeout, in: bytes),
                let left = GRPCTimeout.parse(value)
            {
                timeout = timeout > 0 ? min(timeout, left) : left
            }
        }
        exchanges[exchange].timeout = timeout
        if exchanges[exchange].isUpgrade { exchanges[exchange].timeout = 0 }
        if exchanges[exchange].route.value.idleTimeout >= 0 {
            exchanges[exchange].streamIdleTimeout = exchanges[exchange].route.value.idleTimeout
        }
        if exchanges[exchange].route.value.maxStreamDuration > 0 {
            exchanges[exchange].streamDeadline = min(
                exchanges[exchange].streamDeadline,
                exchanges[exchange].started.advanced(
                    byNanoseconds: exchanges[exchange].route.value.maxStreamDuration))
        }
        if exchanges[exchange].requestEnded { setDeadline(exchange) }
    }

    /// The route's time begins when the request is complete.
    private mutating func setDeadline(_ exchange: SlabID) {
        if exchanges[exchange].timeout > 0 {
            exchanges[exchange].deadline = now.advanced(byNanoseconds: exchanges[exchange].timeout)
        }
    }

    private mutating func requestComplete(_ exchange: SlabID) {
        exchanges[exchange].requestEnded = true
        exchanges[exchange].requestDone = now
        exchanges[exchange].requestLimit = .distantFuture
        exchanges[exchange].record.requestReceived = now.nanoseconds(since: exchanges[exchange].started)
    }

    // MARK: Attempts

    mutating func startAttempt(_ exchange: SlabID) {
        let slot = exchanges[exchange].cluster
        guard clusters[Int(slot)].record != nil else {
            return answerLocally(exchange, .noCluster(status: 503))
        }
        exchanges[exchange].phase = .waiting
        exchanges[exchange].retryAt = .distantFuture
        let settings = retrySettings(exchange)
        guard let host = chooseHost(exchange, avoiding: settings.avoidsPreviousHosts) else {
            counters.add(clusterScope(slot: slot), .upstreamCxNoneHealthy)
            return answerLocally(exchange, .noHealthyUpstream)
        }
        exchanges[exchange].endpoint = Int32(host)
        clusters[Int(slot)].hosts[host].users += 1
        let address = clusters[Int(slot)].hosts[host].address
        exchanges[exchange].tried.add(address)
        exchanges[exchange].attempts &+= 1
        exchanges[exchange].attemptStarted = now
        exchanges[exchange].record.upstreamHost = address
        exchanges[exchange].record.attemptStarted(
            at: now.nanoseconds(since: exchanges[exchange].started), endpoint: address, cause: nil)
        exchanges[exchange].tryDeadline =
            settings.perTryTimeout > 0 ? now.advanced(byNanoseconds: settings.perTryTimeout) : .distantFuture
        armTimer(exchange)
        acquireConnection(exchange, Int(slot), host)
    }

    private mutating func acquireConnection(_ exchange: SlabID, _ slot: Int, _ host: Int) {
        if let shared = clusters[slot].hosts[host].shared.first(where: { canOpenStream($0) }) {
            return attach(exchange, shared)
        }
        while true {
            let id = clusters[slot].hosts[host].idleFirst
            if id.isNone { break }
            leaveIdle(id)
            // A request that nothing may repeat does not run into a connection whose FIN is there already.
            if connections[id].sawEnd
                || (mustProbe(exchange) && kernel.isReadClosed(connections[id].descriptor))
            {
                counters.add(clusterScope(id), .upstreamCxDestroyRemote)
                close(id)
                continue
            }
            return attach(exchange, id)
        }
        guard let limits = exchanges[exchange].limits, limits.with({ $0.pendingRequests.tryAcquire() }) else {
            counters.add(clusterScope(slot: Int32(slot)), .upstreamRqPendingOverflow)
            return attemptFailed(exchange, .overflowed)
        }
        enterPending(exchange)
        connectIfNeeded(slot, host, priority: exchanges[exchange].route.value.priority)
    }

    private func mustProbe(_ exchange: SlabID) -> Bool {
        if exchanges[exchange].repeatability != .safe { return true }
        return !retrySettings(exchange).conditions.contains(.safe)
    }

    /// The exchange has its connection: the request goes out.
    mutating func attach(_ exchange: SlabID, _ id: SlabID) {
        let (slot, host) = (Int(exchanges[exchange].cluster), Int(exchanges[exchange].endpoint))
        exchanges[exchange].phase = .sent
        exchanges[exchange].upstream = id
        exchanges[exchange].usesReusedConnection = connections[id].requests > 0
        connections[id].requests &+= 1
        connections[id].lastUsed = now
        clusters[slot].hosts[host].unowned.with { $0.requestStarted() }
        exchanges[exchange].isActiveUpstream = true
        counters.add(clusterScope(id), .upstreamRqTotal)
        counters.add(clusterScope(id), .upstreamRqActive)
        exchanges[exchange].record.requestSendStarted = now.nanoseconds(since: exchanges[exchange].started)
        exchanges[exchange].bodySent = 0
        if connections[id].codec == .http2 {
            exchanges[exchange].record.upstreamProtocol = .http2
            sendStreamRequest(exchange, id)
        } else {
            exchanges[exchange].record.upstreamProtocol = .http11
            connections[id].exchange = exchange
            connections[id].sentInAttempt = 0
            connections[id].progress = HeadProgress()
            sendRequestHead(exchange, id)
        }
        guard exchanges[exchange].phase == .sent, exchanges[exchange].upstream == id else { return }
        exchanges[exchange].headSent = true
        sendBody(exchange)
    }

    // MARK: The request's body

    /// Bytes above this wait for the upstream before more is read from the caller.
    private static var bodyAheadMax: Int { 64 << 10 }

    mutating func requestBody(_ exchange: SlabID, _ bytes: ByteView) {
        exchanges[exchange].lastMoved = now
        exchanges[exchange].record.bytesReceived &+= UInt64(bytes.count)
        switch exchanges[exchange].phase {
        case .ended: return
        case .reading, .routing, .waiting, .sent, .backingOff, .answering, .tunnelling: break
        }
        if !exchanges[exchange].keepsBody, exchanges[exchange].body.isEmpty, exchanges[exchange].headSent,
            exchanges[exchange].phase == .sent || exchanges[exchange].phase == .answering
        {
            let accepted = writeRequestBody(exchange, bytes)
            if accepted < bytes.count {
                queues.append(bytes.dropFirst(accepted), to: &exchanges[exchange].body, pool: &pool)
            }
        } else {
            queues.append(bytes, to: &exchanges[exchange].body, pool: &pool)
            sendBody(exchange)
        }
        holdBackRequest(exchange)
    }

    /// Sends what is there of the body, as far as the connection takes it.
    mutating func sendBody(_ exchange: SlabID) {
        guard exchanges[exchange].headSent,
            exchanges[exchange].phase == .sent || exchanges[exchange].phase == .answering
        else { return }
        while exchanges[exchange].bodySent < exchanges[exchange].body.count {
            let view = queues.view(of: exchanges[exchange].body, from: exchanges[exchange].bodySent)
            let accepted = writeRequestBody(exchange, view)
            exchanges[exchange].bodySent += accepted
            if accepted < view.count { break }
        }
        forgetSentBody(exchange)
        if exchanges[exchange].requestEnded, !exchanges[exchange].requestSent,
            exchanges[exchange].bodySent == exchanges[exchange].body.count
        {
            finishRequest(exchange)
        }
        releaseRequest(exchange)
    }

    /// Once the body is too long to be kept, or an answer is on its way, what was sent is dropped.
    private mutating func forgetSentBody(_ exchange: SlabID) {
        guard exchanges[exchange].keepsBody || exchanges[exchange].bodySent > 0 else { return }
        let limit = Int(exchanges[exchange].chain.value.bufferLimit)
        if exchanges[exchange].keepsBody,
            exchanges[exchange].body.count > limit || retrySettings(exchange).conditions.isEmpty
        {
            exchanges[exchange].keepsBody = false
        }
        guard !exchanges[exchange].keepsBody, exchanges[exchange].bodySent > 0 else { return }
        queues.consume(exchanges[exchange].bodySent, from: &exchanges[exchange].body, pool: &pool)
        exchanges[exchange].bodySent = 0
        exchanges[exchange].bodyIsCut = true
    }

    private mutating func writeRequestBody(_ exchange: SlabID, _ bytes: ByteView) -> Int {
        let id = exchanges[exchange].upstream
        if connections[id].codec == .http2 { return writeStreamRequestBody(exchange, id, bytes) }
        guard connections[id].pending.count < Self.queuedHigh || connections[id].writeFailed else { return 0 }
        if exchanges[exchange].sendsChunks {
            stage(for: id)
            if stageBuffer.room < HTTP1Writer.chunkHeaderBytesMax + 2 {
                flushStaged()
                stage(for: id)
            }
            _ = HTTP1Writer.appendChunkHeader(size: bytes.count, to: &stageBuffer)
            write(id, bytes)
            write(id, ByteView("\r\n"))
        } else {
            write(id, bytes)
        }
        if !exchanges[exchange].keepsBody, exchanges[exchange].body.isEmpty {
            exchanges[exchange].bodyIsCut = true
        }
        return bytes.count
    }

    /// All of the request was read and handed on.
    private mutating func finishRequest(_ exchange: SlabID) {
        exchanges[exchange].requestSent = true
        exchanges[exchange].record.requestSent = now.nanoseconds(since: exchanges[exchange].started)
        let id = exchanges[exchange].upstream
        if connections[id].codec == .http2 { return finishStreamRequest(exchange, id) }
        guard exchanges[exchange].sendsChunks else { return }
        if exchanges[exchange].trailers.isEmpty || !exchanges[exchange].chain.value.http.enablesTrailers {
            write(id, ByteView("0\r\n\r\n"))
        } else {
            write(id, ByteView("0\r\n"))
            write(id, exchanges[exchange].trailers.view)
            write(id, ByteView("\r\n"))
        }
    }

    mutating func requestBodyEnded(_ exchange: SlabID) {
        guard exchanges.contains(exchange), !exchanges[exchange].requestEnded else { return }
        requestComplete(exchange)
        exchanges[exchange].lastMoved = now
        switch exchanges[exchange].phase {
        case .waiting, .sent, .backingOff:
            setDeadline(exchange)
            armTimer(exchange)
            sendBody(exchange)
        case .answering: sendBody(exchange)
        case .reading, .routing, .tunnelling, .ended: break
        }
    }

    /// The caller is read no further while too much of the body waits.
    private mutating func holdBackRequest(_ exchange: SlabID) {
        guard exchanges.contains(exchange), exchanges[exchange].phase != .ended else { return }
        let upstream = exchanges[exchange].upstream
        let waiting = exchanges[exchange].body.count - exchanges[exchange].bodySent
        let isFull =
            waiting >= Self.bodyAheadMax
            || (!upstream.isNone && connections.contains(upstream) && connections[upstream].codec == .http1
                && connections[upstream].pending.count >= Self.queuedHigh)
        guard isFull, !exchanges[exchange].hasPausedDownstream else { return }
        exchanges[exchange].hasPausedDownstream = true
        let id = exchanges[exchange].downstream
        if connections[id].codec == .http1 {
            connections[id].isPaused = true
            counters.add(exchanges[exchange].chain.value.http.scope, .downstreamFlowControlPausedReadingTotal)
        }
    }

    private mutating func releaseRequest(_ exchange: SlabID) {
        guard exchanges[exchange].hasPausedDownstream else { return }
        guard exchanges[exchange].body.count - exchanges[exchange].bodySent < Self.bodyAheadMax / 2 else {
            return
        }
        let upstream = exchanges[exchange].upstream
        if !upstream.isNone, connections.contains(upstream), connections[upstream].codec == .http1,
            connections[upstream].pending.count >= Self.queuedHigh
        {
            return
        }
        exchanges[exchange].hasPausedDownstream = false
        let id = exchanges[exchange].downstream
        if connections[id].codec == .http1 {
            counters.add(
                exchanges[exchange].chain.value.http.scope, .downstreamFlowControlResumedReadingTotal)
            resume(id)
        } else {
            releaseStreamWindow(exchange)
        }
    }

    /// The request's body breaks the rules.
    mutating func requestBroken(_ exchange: SlabID, _ error: HTTP1Error) {
        exchanges[exchange].record.flags.insert(.downstreamProtocolError)
        exchanges[exchange].closesDownstream = true
        exchanges[exchange].requestEnded = true
        if exchanges[exchange].phase == .answering || exchanges[exchange].phase == .tunnelling {
            return cutAnswer(exchange)
        }
        leaveUpstream(exchange, isReusable: false)
        answerLocally(exchange, LocalAnswer(refusing: error))
    }

    // MARK: The answer

    enum AnswerFate { case passed, skipped }

    /// The head of an answer is in `answer`. `isComplete`: so is its body.
    mutating func answerHead(_ exchange: SlabID, _ bytes: ByteView, isComplete: Bool) -> AnswerFate {
        let scope = clusterScope(slot: exchanges[exchange].cluster)
        exchanges[exchange].lastMoved = now
        exchanges[exchange].record.responseReceived = now.nanoseconds(since: exchanges[exchange].started)
        counters.countAnswer(scope, status: answer.status)
        let summary = summarise(bytes)
        let settings = retrySettings(exchange)
        if summary.marks.contains(.retriesExhausted) { exchanges[exchange].marksExhausted = true }
        if !settings.conditions.isEmpty {
            switch exchanges[exchange].answered(
                summary, settings, repeatability(exchange), at: now, random: &random)
            {
            case .retry(let wait, let counted):
                if beginRetry(exchange, after: wait, counted: counted, isReusable: isComplete) {
                    return .skipped
                }
            case .pass(let marks):
                if marks { exchanges[exchange].marksExhausted = true }
                if exchanges[exchange].record.flags.contains(.upstreamRetryLimitExceeded) {
                    counters.add(scope, .upstreamRqRetryLimitExceeded)
                }
            }
        }
        if exchanges[exchange].attempts > 1, answer.status < 500 {
            counters.add(scope, .upstreamRqRetrySuccess)
        }
        exchanges[exchange].record.attemptEnded(
            at: now.nanoseconds(since: exchanges[exchange].started), .answered, status: answer.status)
        exchanges[exchange].record.details = .viaUpstream
        exchanges[exchange].record.grpcStatus = summary.grpcStatus
        exchanges[exchange].status = answer.status
        // From here on nothing is repeated, so nothing is kept.
        exchanges[exchange].keepsBody = false
        forgetSentBody(exchange)
        if answer.status == 101 { return startTunnel(exchange, bytes) ? .passed : .skipped }
        exchanges[exchange].phase = .answering
        exchanges[exchange].tryDeadline = .distantFuture
        keepForLog(exchange, bytes)
        sendAnswerHead(exchange, bytes)
        return .passed
    }

    private func summarise(_ bytes: ByteView) -> AnswerSummary {
        var marks: AnswerMarks = []
        if answer.contains(.xEnvoyRatelimited) { marks.insert(.rateLimited) }
        if answer.contains(.xEnvoyOverloaded) { marks.insert(.overloaded) }
        if answer.value(of: .xMartletRetry, in: bytes)?.equals("exhausted") ?? false {
            marks.insert(.retriesExhausted)
        }
        let grpcStatus = answer.value(of: .grpcStatus, in: bytes)?.decimal ?? -1
        return AnswerSummary(status: answer.status, grpcStatus: Int8(clamping: grpcStatus), marks: marks)
    }

    mutating func answerBody(_ exchange: SlabID, _ bytes: ByteView) {
        guard exchanges[exchange].phase == .answering else { return }
        exchanges[exchange].lastMoved = now
        writeAnswerBody(exchange, bytes)
        holdBackAnswer(exchange)
    }

    /// The endpoint is read no further while the caller takes nothing.
    private mutating func holdBackAnswer(_ exchange: SlabID) {
        let (id, upstream) = (exchanges[exchange].downstream, exchanges[exchange].upstream)
        guard !upstream.isNone, !exchanges[exchange].hasPausedUpstream else { return }
        let isFull =
            exchanges[exchange].framing == .stream
            ? exchanges[exchange].answerQueue.count >= Self.bodyAheadMax
            : connections[id].pending.count >= Self.queuedHigh
        guard isFull else { return }
        exchanges[exchange].hasPausedUpstream = true
        if connections[upstream].codec == .http1 {
            connections[upstream].isPaused = true
            counters.add(clusterScope(upstream), .upstreamFlowControlPausedReadingTotal)
        }
    }

    mutating func releaseAnswer(_ exchange: SlabID) {
        guard exchanges[exchange].hasPausedUpstream else { return }
        exchanges[exchange].hasPausedUpstream = false
        let upstream = exchanges[exchange].upstream
        guard !upstream.isNone, connections.contains(upstream) else { return }
        if connections[upstream].codec == .http1 {
            counters.add(clusterScope(upstream), .upstreamFlowControlResumedReadingTotal)
            resume(upstream)
        } else {
            releaseUpstreamWindow(exchange)
        }
    }

    /// A connection's queue has room again: whoever waited for that goes on.
    mutating func drained(_ id: SlabID) {
        if connections[id].phase == .closing {
            if connections[id].pending.isEmpty { finishClosing(id) }
            return
        }
        switch connections[id].codec {
        case .http1:
            let exchange = connections[id].exchange
            guard !exchange.isNone else { return }
            if connections[id].side == .downstream {
                releaseAnswer(exchange)
            } else {
                sendBody(exchange)
                if exchanges.contains(exchange) { releaseRequest(exchange) }
            }
        case .http2: sessionDrained(id)
        case .tunnel: tunnelDrained(id)
        case .undecided: break
        }
    }

    /// The body of the request moved on (an HTTP/2 window opened, say).
    mutating func requestMoved(_ exchange: SlabID) {
        sendBody(exchange)
        if exchanges.contains(exchange), exchanges[exchange].phase != .ended { releaseRequest(exchange) }
    }

    /// All of the answer came.
    mutating func answerEnded(_ exchange: SlabID, trailers: ByteView) {
        guard exchanges[exchange].phase == .answering else { return }
        exchanges[exchange].record.responseCompleted = now.nanoseconds(since: exchanges[exchange].started)
        exchanges[exchange].answerEnded = true
        leaveUpstream(
            exchange, isReusable: exchanges[exchange].upstreamKeepsAlive && exchanges[exchange].requestSent)
        if exchanges[exchange].framing == .stream {
            finishStreamAnswer(exchange, trailers: trailers)
        } else {
            finishHTTP1Answer(exchange, trailers: trailers)
            end(exchange)
        }
    }

    // MARK: Failure

    mutating func attemptFailed(_ exchange: SlabID, _ outcome: AttemptOutcome) {
        guard exchanges.contains(exchange), exchanges[exchange].phase != .ended else { return }
        exchanges[exchange].record.attemptEnded(
            at: now.nanoseconds(since: exchanges[exchange].started), AttemptEnd(outcome))
        let scope = clusterScope(slot: exchanges[exchange].cluster)
        switch outcome {
        case .refusedStream, .resetBeforeAnswer, .resetMidAnswer, .goAwayBelow:
            counters.add(scope, .upstreamRqRxReset)
        case .protocolError, .perTryTimedOut, .perTryIdledOut, .requestTimedOut:
            counters.add(scope, .upstreamRqTxReset)
        case .connectFailed, .connectTimedOut: counters.add(scope, .upstreamRqPendingFailureEject)
        case .overflowed, .answered: break
        }
        let settings = retrySettings(exchange)
        let next = exchanges[exchange].attemptFailed(
            outcome, settings, repeatability(exchange), at: now, random: &random)
        switch next {
        case .retry(let wait, let counted):
            if beginRetry(exchange, after: wait, counted: counted, isReusable: false) { return }
            leaveUpstream(exchange, isReusable: false)
            answerLocally(exchange, LocalAnswer(outcome, isRetried: exchanges[exchange].retry.retries > 1))
        case .answer(let answer):
            if exchanges[exchange].record.flags.contains(.upstreamRetryLimitExceeded) {
                counters.add(scope, .upstreamRqRetryLimitExceeded)
            }
            if !settings.conditions.isEmpty { exchanges[exchange].marksExhausted = true }
            leaveUpstream(exchange, isReusable: false)
            answerLocally(exchange, answer)
        case .cut:
            if outcome == .resetMidAnswer, exchanges[exchange].record.flags.isEmpty {
                exchanges[exchange].record.flags.insert(.upstreamConnectionTermination)
            }
            exchanges[exchange].record.details = .upstreamResetAfterResponseStarted
            cutAnswer(exchange)
        }
    }

    /// false: the budget has no place for another attempt.
    private mutating func beginRetry(_ exchange: SlabID, after wait: Int64, counted: Bool, isReusable: Bool)
        -> Bool
    {
        let scope = clusterScope(slot: exchanges[exchange].cluster)
        releaseRetryPlace(exchange)
        if counted {
            guard let limits = exchanges[exchange].limits, limits.with({ $0.admitRetry(at: now) }) else {
                counters.add(scope, .upstreamRqRetryOverflow)
                exchanges[exchange].record.flags.insert(.upstreamOverflow)
                exchanges[exchange].marksExhausted = true
                return false
            }
            exchanges[exchange].holdsRetry = true
            counters.add(scope, .upstreamRqRetry)
            if wait > 0 { counters.add(scope, .upstreamRqRetryBackoffExponential) }
        }
        leaveUpstream(exchange, isReusable: isReusable && exchanges[exchange].upstreamKeepsAlive)
        exchanges[exchange].headSent = false
        exchanges[exchange].requestSent = false
        exchanges[exchange].bodySent = 0
        if wait == 0 {
            startAttempt(exchange)
        } else {
            exchanges[exchange].phase = .backingOff
            exchanges[exchange].tryDeadline = .distantFuture
            exchanges[exchange].retryAt = now.advanced(byNanoseconds: wait)
            armTimer(exchange)
        }
        return true
    }

    private mutating func releaseRetryPlace(_ exchange: SlabID) {
        guard exchanges[exchange].holdsRetry else { return }
        exchanges[exchange].holdsRetry = false
        exchanges[exchange].limits?.with { $0.retryEnded() }
    }

    /// The exchange lets go of its attempt: the connection goes back to the pool, or is closed, or its stream is reset.
    mutating func leaveUpstream(_ exchange: SlabID, isReusable: Bool) {
        leavePending(exchange)
        let id = exchanges[exchange].upstream
        if exchanges[exchange].isActiveUpstream {
            exchanges[exchange].isActiveUpstream = false
            let (slot, host) = (Int(exchanges[exchange].cluster), Int(exchanges[exchange].endpoint))
            let isSuccess = exchanges[exchange].status > 0 && exchanges[exchange].status < 500
            clusters[slot].hosts[host].unowned.with { $0.requestEnded(isSuccess: isSuccess) }
            counters.add(clusterScope(slot: Int32(slot)), .upstreamRqActive, -1)
        }
        if exchanges[exchange].endpoint >= 0 {
            clusters[Int(exchanges[exchange].cluster)].hosts[Int(exchanges[exchange].endpoint)].users -= 1
            exchanges[exchange].endpoint = -1
        }
        guard !id.isNone else { return }
        exchanges[exchange].upstream = .none
        exchanges[exchange].hasPausedUpstream = false
        guard connections.contains(id) else { return }
        if connections[id].codec == .http2 {
            leaveStream(exchange, id, isFinished: isReusable || exchanges[exchange].answerEnded)
        } else {
            if staged == id { flushStaged() }
            releaseHTTP1Upstream(id, isReusable: isReusable)
        }
    }

    // MARK: The end

    /// The answer cannot be finished: the caller sees its connection or stream cut.
    mutating func cutAnswer(_ exchange: SlabID) {
        let id = exchanges[exchange].downstream
        leaveUpstream(exchange, isReusable: false)
        if connections[id].codec == .http2 {
            resetStream(exchange)
            end(exchange)
        } else {
            // A body of known length that ends early says enough; a chunked one lacks its last chunk.
            flushStaged()
            exchanges[exchange].closesDownstream = true
            end(exchange)
        }
    }

    /// The caller is gone.
    mutating func abandon(_ exchange: SlabID) {
        guard exchanges.contains(exchange), exchanges[exchange].phase != .ended else { return }
        if exchanges[exchange].phase == .reading { return abandonReading(exchange) }
        exchanges[exchange].record.flags.insert(.downstreamConnectionTermination)
        exchanges[exchange].record.details = .downstreamRemoteDisconnect
        counters.add(exchanges[exchange].chain.value.http.scope, .downstreamRqRxReset)
        if exchanges[exchange].cluster >= 0 {
            counters.add(clusterScope(slot: exchanges[exchange].cluster), .upstreamRqCancelled)
        }
        leaveUpstream(exchange, isReusable: false)
        end(exchange)
    }

    /// Nobody will say the rest of the head.
    mutating func abandonReading(_ exchange: SlabID) {
        let id = exchanges[exchange].downstream
        connections[id].exchange = .none
        exchanges[exchange].phase = .ended
        endedExchanges.append(exchange)
    }

    /// Everything is said; what the exchange held goes back, and it is logged and counted, once.
    mutating func end(_ exchange: SlabID) {
        guard exchanges[exchange].phase != .ended else { return }
        let id = exchanges[exchange].downstream
        let http = exchangeChain(exchange)
        releaseRetryPlace(exchange)
        if exchanges[exchange].holdsRequest {
            exchanges[exchange].holdsRequest = false
            exchanges[exchange].limits?.with { $0.requests.release() }
        }
        timers.cancel(exchanges[exchange].timer)
        exchanges[exchange].timer = .none
        let length = now.nanoseconds(since: exchanges[exchange].started)
        exchanges[exchange].record.ended = length
        if exchanges[exchange].record.responseSent < 0 { exchanges[exchange].record.responseSent = length }
        exchanges[exchange].record.status = exchanges[exchange].status
        counters.add(http.value.http.scope, .downstreamRqActive, -1)
        if exchanges[exchange].status > 0 {
            counters.countAnswer(http.value.http.scope, status: exchanges[exchange].status)
        }
        counters.record(http.value.http.scope, .downstreamRqTime, nanoseconds: length)
        if exchanges[exchange].cluster >= 0, exchanges[exchange].record.details == .viaUpstream {
            counters.record(
                clusterScope(slot: exchanges[exchange].cluster), .upstreamRqTime,
                nanoseconds: now.nanoseconds(since: exchanges[exchange].attemptStarted))
        }
        logAccess(exchange)
        forgetLogged(exchange)
        exchanges[exchange].phase = .ended
        endedExchanges.append(exchange)
        if connections[id].codec == .http2 {
            streamEnded(id)
        } else if connections[id].exchange == exchange {
            releaseHTTP1Downstream(id, closes: exchanges[exchange].closesDownstream)
        }
    }

    /// Gives back the memory of exchanges that ended during the event at hand.
    mutating func buryExchanges() {
        while let exchange = endedExchanges.popLast() {
            pool.give(&exchanges[exchange].headBytes)
            pool.give(&exchanges[exchange].trailers)
            pool.give(&exchanges[exchange].answerTrailers)
            pool.give(&exchanges[exchange].location)
            queues.removeAll(from: &exchanges[exchange].body, pool: &pool)
            queues.removeAll(from: &exchanges[exchange].answerQueue, pool: &pool)
            timers.cancel(exchanges[exchange].timer)
            shelf.release(exchanges[exchange].snapshot)
            exchanges.remove(exchange)
            heads.remove(exchange)
        }
    }

    // MARK: Time

    mutating func armTimer(_ exchange: SlabID) {
        let next = min(exchanges[exchange].nextDeadline(), exchanges[exchange].requestLimit)
        if next >= exchanges[exchange].timerAt { return }
        timers.cancel(exchanges[exchange].timer)
        exchanges[exchange].timerAt = next
        exchanges[exchange].timer = timers.schedule(at: next, token: .exchangeTimer(exchange))
    }

    mutating func exchangeTimerFired(_ exchange: SlabID) {
        guard exchanges.contains(exchange), exchanges[exchange].phase != .ended else { return }
        exchanges[exchange].timer = .none
        exchanges[exchange].timerAt = .distantFuture
        let scope = exchanges[exchange].cluster >= 0 ? clusterScope(slot: exchanges[exchange].cluster) : nil
        if now >= exchanges[exchange].requestLimit, !exchanges[exchange].requestEnded {
            counters.add(exchanges[exchange].chain.value.http.scope, .downstreamRqTimeout)
            return timedOut(exchange, .requestNotInTime)
        }
        switch exchanges[exchange].expired(at: now) {
        case .none: armTimer(exchange)
        case .backoff: startAttempt(exchange)
        case .request:
            if let scope { counters.add(scope, .upstreamRqTimeout) }
            exchanges[exchange].record.flags.insert(.upstreamRequestTimeout)
            timedOut(exchange, .requestTimeout)
        case .attempt:
            if let scope { counters.add(scope, .upstreamRqPerTryTimeout) }
            attemptFailed(exchange, .perTryTimedOut)
        case .streamIdle:
            counters.add(exchanges[exchange].chain.value.http.scope, .downstreamRqIdleTimeout)
            timedOut(exchange, exchanges[exchange].requestEnded ? .streamIdle : .requestIdle)
        case .streamDuration:
            counters.add(exchanges[exchange].chain.value.http.scope, .downstreamRqMaxDurationReached)
            timedOut(exchange, .streamDuration)
        }
    }

    private mutating func timedOut(_ exchange: SlabID, _ answer: LocalAnswer) {
        if exchanges[exchange].phase == .answering || exchanges[exchange].phase == .tunnelling {
            exchanges[exchange].record.flags.formUnion(answer.flag)
            exchanges[exchange].record.details = answer.details
            return cutAnswer(exchange)
        }
        leaveUpstream(exchange, isReusable: false)
        answerLocally(exchange, answer)
    }
}
