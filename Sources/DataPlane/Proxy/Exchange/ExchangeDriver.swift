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
    // MARK: The request's head

    /// A place for an exchange and its head; nil if all are taken.
    @inline(__always)
    mutating func insertExchange(_ connection: ConnectionPlace, stream: Int32 = 0) -> ExchangePlace? {
        guard let chain = connection.value.chainRecord, let head = heads.takePlace() else { return nil }
        head.value.reset()
        if !exchanges.hasBlank {
            exchanges.setBlank(
                Exchange(
                    head: head, downstream: connection, stream: stream, snapshot: connection.value.snapshot,
                    chain: chain, at: now))
        }
        guard let exchange = exchanges.insertBlank() else {
            heads.remove(head)
            return nil
        }
        exchange.value.begin(head: head, downstream: connection, stream: stream, chain: chain, at: now)
        shelf.use(connection.value.snapshot)
        return exchange
    }

    /// Counts the request and begins its record.
    @inline(__always)
    mutating func startRecord(_ exchange: ExchangePlace) {
        counters.add(exchange.chain.http.scope, .downstreamRqTotal)
        counters.add(exchange.chain.http.scope, .downstreamRqActive)
        counters.add(
            exchange.chain.http.scope,
            exchange.value.downstreamStream == 0 ? .downstreamRqHttp1Total : .downstreamRqHttp2Total)
        headCame(exchange)
        let connection = exchange.value.downstream
        exchange.value.record.startedAt = loop.wallClock.nanoseconds
        exchange.value.record.started = exchange.value.started
        exchange.value.record.method = exchange.head.method
        exchange.value.record.downstreamProtocol = RecordedProtocol(
            version: exchange.head.version)
        exchange.value.record.downstreamTLS = connection.value.tlsVersion
        if exchange.chain.isRefusedInShadow { exchange.value.record.shadows = .plainText }
        exchange.value.record.requestHeadBytes = UInt32(exchange.head.length)
        exchange.value.record.connectionID = connection.value.number
        exchange.value.record.downstreamDirectRemote = connection.value.peer
        exchange.value.record.downstreamRemote = connection.value.peer
        exchange.value.record.downstreamLocal = connection.value.local
        exchange.value.phase = .routing
    }

    /// The head of a request is complete.
    mutating func begin(_ exchange: ExchangePlace) {
        startRecord(exchange)
        let connection = exchange.value.downstream
        if exchange.value.requestEnded { requestComplete(exchange) }
        if stopping != .no || !exchange.head.keepsAlive {
            exchange.value.closesDownstream = true
        }
        if exchange.chain.http.maxRequests > 0,
            connection.value.requests >= UInt32(exchange.chain.http.maxRequests)
        {
            counters.add(exchange.chain.http.scope, .downstreamCxMaxRequestsReached)
            exchange.value.closesDownstream = true
            if connection.value.codec == .http2 { startDrain(connection, waitMin: Self.drainMin) }
        }
        exchange.value.streamIdleTimeout = exchange.chain.http.streamIdleTimeout
        if exchange.chain.http.requestTimeout > 0, !exchange.value.requestEnded {
            exchange.value.requestLimit = now.advanced(
                byNanoseconds: exchange.chain.http.requestTimeout)
        }
        if exchange.chain.http.maxStreamDuration > 0 {
            exchange.value.streamDeadline = now.advanced(
                byNanoseconds: exchange.chain.http.maxStreamDuration)
        }
        if exchange.chain.http.settlesCaller || exchange.head.containsAny(of: Self.callerFields),
            !settleCaller(exchange)
        {
            return
        }
        identify(exchange)
        if exchange.chain.http.normalizesHeads, !normalizeHead(exchange) { return }
        findRoute(exchange)
        if exchange.chain.http.hasTracing { trace(exchange) }
        runFilters(exchange)
    }

    @inline(__always)
    mutating func findRoute(_ exchange: ExchangePlace) {
        let bytes = exchange.value.headBytes.view
        var authority = bytes[exchange.head.authority.range]
        if authority.isEmpty { authority = exchange.chain.http.defaultHostForHTTP10 }
        guard let host = exchange.chain.http.routes.host(for: authority, scratch: &scratch)
        else { return }
        exchange.value.host = Int32(host)
        if exchange.chain.http.routes.needsChance { exchange.value.chance = random.next() }
        let question = RouteQuestion(
            bytes: bytes, isHTTPS: exchange.chain.http.routes.needsScheme && isHTTPS(exchange),
            chance: exchange.value.chance)
        let route = exchange.chain.http.routes.route(
            in: host, head: exchange.head, question, scratch: &scratch)
        if let route {
            exchange.value.route = exchange.chain.http.routes.routes.reference(route)
            exchange.value.hasRoute = true
        }
    }

    /// What the route says, after the filters.
    @inline(__always)
    mutating func forward(_ exchange: ExchangePlace) {
        // HTTP/2 in the clear begins with prior knowledge only: its upgrade is ignored (RFC 9113 section 3.1).
        let isConnect = exchange.head.method == .connect
        // Whatever it comes to: what follows may be meant for the tunnel.
        if isConnect, exchange.value.downstreamStream == 0 { exchange.value.closesDownstream = true }
        let isUpgrade = isConnect || (exchange.head.hasUpgrade && !isUpgrade(exchange, to: "h2c"))
        exchange.value.isUpgrade = isUpgrade && takesUpgrade(exchange)
        // As in Envoy: where nothing is ever upgraded, CONNECT is refused before routes are looked at.
        let isRefused = isConnect && !exchange.value.isUpgrade && exchange.chain.http.upgrades.isEmpty
        guard exchange.value.hasRoute || isRefused else {
            counters.add(exchange.chain.http.scope, .noRoute)
            return answerLocally(exchange, .noRoute)
        }
        if isUpgrade, !exchange.value.isUpgrade, isConnect || !exchange.chain.http.ignoresUnknownUpgrades {
            counters.add(exchange.chain.http.scope, .downstreamRqWsOnNonWsRoute)
            // What follows is no longer HTTP to a caller that did not wait for the answer.
            if exchange.value.downstreamStream == 0 { exchange.value.closesDownstream = true }
            return answerLocally(exchange, .upgradeFailed)
        }
        switch exchange.route.action {
        case .redirect: return redirect(exchange)
        case .direct: return answerDirectly(exchange)
        case .forward: break
        }
        guard let cluster = chooseCluster(exchange) else {
            counters.add(exchange.chain.http.scope, .noCluster)
            return answerLocally(
                exchange, .noCluster(status: exchange.route.clusterNotFoundStatus))
        }
        exchange.value.cluster = shelf.tables(exchange.value.snapshot).clusters[cluster].slot
        exchange.value.record.cluster = NameID(UInt32(exchange.value.cluster) + 1)
        if let record = clusters[Int(exchange.value.cluster)].record, record.value.dropShare.numerator > 0,
            record.value.dropShare.contains(&random)
        {
            let isAll = record.value.dropShare.numerator >= record.value.dropShare.denominator
            return answerLocally(exchange, isAll ? .unconditionalDropOverload : .dropOverload)
        }
        readControls(exchange)
        guard applyTimes(exchange) else {
            counters.add(clusterScope(slot: exchange.value.cluster), .upstreamRqDeadlinePassed)
            return answerLocally(exchange, .deadlinePassed)
        }
        let limits = clusters[Int(exchange.value.cluster)].limits(
            exchange.route.priority)
        exchange.value.limits = limits
        guard limits.with({ $0.requests.tryAcquire() }) else {
            counters.add(clusterScope(slot: exchange.value.cluster), .upstreamRqPendingOverflow)
            return answerLocally(exchange, .overflow)
        }
        exchange.value.holdsRequest = true
        limits.with { $0.requestStarted(at: now) }
        noteShadowLimits(exchange)
        exchange.value.keepsBody = !exchange.value.requestEnded || !exchange.value.body.isEmpty
        if !exchange.route.mirrors.isEmpty { startMirrors(exchange) }
        if exchange.head.expectsContinue, !exchange.value.requestEnded,
            !exchange.chain.http.proxies100Continue
        {
            sendContinue(exchange)
        }
        startAttempt(exchange)
    }

    /// The route decides for protocols that it names, else the connection manager.
    private func takesUpgrade(_ exchange: ExchangePlace) -> Bool {
        let bytes = exchange.value.headBytes.view
        let connect = exchange.head.method == .connect ? ByteView("connect") : nil
        guard let name = connect ?? exchange.head.value(of: .upgrade, in: bytes) else { return false }
        func contains(_ names: Table<ByteView>) -> Bool {
            names.indices.contains { names[$0].equalsIgnoringCase(name) }
        }
        if contains(exchange.route.upgradesTaken) { return true }
        return contains(exchange.chain.http.upgrades) && !contains(exchange.route.upgradesRefused)
    }

    private func isUpgrade(_ exchange: ExchangePlace, to name: StaticString) -> Bool {
        let bytes = exchange.value.headBytes.view
        return exchange.head.value(of: .upgrade, in: bytes)?.equalsIgnoringCase(ByteView(name))
            ?? false
    }

    @inline(__always)
    mutating func chooseCluster(_ exchange: ExchangePlace) -> Int? {
        let snapshot = shelf.tables(exchange.value.snapshot)
        if !exchange.route.clusterHeader.isEmpty {
            let bytes = exchange.value.headBytes.view
            guard
                let name = exchange.head.value(
                    named: exchange.route.clusterHeader, in: bytes)
            else {
                return nil
            }
            return snapshot.clusterNames.isEmpty ? nil : snapshot.clusterNames.host(name).map { Int($0) }
        }
        let index = weightedIndex(exchange)
        exchange.value.weighted = Int32(index)
        let cluster = exchange.route.clusters[index].cluster
        guard cluster >= 0 else { return nil }
        return clusters[Int(snapshot.clusters[Int(cluster)].slot)].record == nil ? nil : Int(cluster)
    }

    /// Which of the route's weighted clusters the request goes to.
    @inline(__always)
    func weightedIndex(_ exchange: ExchangePlace) -> Int {
        let table = exchange.route.clusters
        var index = 0
        if table.count > 1 {
            let point = exchange.value.chance % table[table.count - 1].weightEnd
            while table[index].weightEnd <= point { index += 1 }
        }
        return index
    }

    /// `x-envoy-*` fields by which callers steer a proxy count from those that the configuration trusts.
    @inline(__always)
    func mayControl(_ exchange: ExchangePlace) -> Bool {
        exchange.chain.http.trustsLocalControls || exchange.value.isInternal
    }

    private mutating func requestComplete(_ exchange: ExchangePlace) {
        exchange.value.requestEnded = true
        exchange.value.requestDone = now
        exchange.value.requestLimit = .distantFuture
        exchange.value.record.requestReceived = now.nanoseconds(since: exchange.value.started)
    }

    // MARK: Attempts

    mutating func startAttempt(_ exchange: ExchangePlace) {
        let slot = exchange.value.cluster
        guard let cluster = clusters[Int(slot)].record else {
            return refuseAttempt(exchange, .noCluster(status: 503))
        }
        exchange.value.phase = .waiting
        exchange.value.retryAt = .distantFuture
        if cluster.value.hasBreaker, !passBreakers(exchange, cluster) { return }
        guard var host = chooseHost(exchange, avoiding: exchange.route.retry.choosesAnew) else {
            return refuseWithoutHost(exchange)
        }
        if cluster.value.hasNamedHosts {
            guard let named = namedHost(exchange, Int(slot), of: host) else {
                return refuseWithoutHost(exchange)
            }
            host = named
        }
        exchange.value.endpoint = Int32(host)
        clusters[Int(slot)].hosts[host].users += 1
        exchange.value.priority = UInt8(truncatingIfNeeded: clusters[Int(slot)].balancer.lastPriority)
        let address = clusters[Int(slot)].hosts[host].address
        exchange.value.tried.add(address)
        exchange.value.attempts &+= 1
        exchange.value.attemptStarted = now
        exchange.value.record.upstreamHost = address
        exchange.value.record.attemptStarted(
            at: now.nanoseconds(since: exchange.value.started), endpoint: address,
            cause: exchange.value.cause)
        if exchange.value.isHedged { noteAttemptBeside(exchange, address) }
        armTimer(exchange)
        acquireConnection(exchange, Int(slot), host)
    }

    @inline(never)
    private mutating func refuseWithoutHost(_ exchange: ExchangePlace) {
        counters.add(clusterScope(slot: exchange.value.cluster), .upstreamCxNoneHealthy)
        refuseAttempt(exchange, .noHealthyUpstream)
    }

    /// No attempt can be made.
    mutating func refuseAttempt(_ exchange: ExchangePlace, _ answer: LocalAnswer) {
        if exchange.value.isHedged, isOutlived(exchange) { return }
        answerLocally(exchange, answer)
    }

    @inline(__always)
    private mutating func acquireConnection(_ exchange: ExchangePlace, _ slot: Int, _ host: Int) {
        if exchange.value.isUpgrade, exchange.head.method == .connect, exchange.route.endsConnect {
            return connectForTunnel(exchange, slot, host)
        }
        if let shared = clusters[slot].hosts[host].shared.first(where: { canOpenStream($0) }) {
            return attach(exchange, shared)
        }
        while let connection = clusters[slot].hosts[host].idleFirst {
            leaveIdle(connection)
            // A request that nothing may repeat does not run into a connection whose FIN is there already.
            if connection.value.sawEnd
                || (mustProbe(exchange) && kernel.isReadClosed(connection.value.descriptor))
            {
                connection.value.readEnded = true
                learnIdleClose(connection)
                close(connection)
                continue
            }
            let learnt = learntIdleMax(connection)
            if learnt < .max, now.nanoseconds(since: connection.value.lastUsed) >= learnt {
                counters.add(clusterScope(connection), .upstreamCxRetiredIdle)
                close(connection)
                continue
            }
            return attach(exchange, connection)
        }
        guard let limits = exchange.value.limits, limits.with({ $0.pendingRequests.tryAcquire() }) else {
            counters.add(clusterScope(slot: Int32(slot)), .upstreamRqPendingOverflow)
            return attemptFailed(exchange, .overflowed)
        }
        enterPending(exchange)
        connectIfNeeded(slot, host)
    }

    /// Looking costs a system call: it is saved where the policy would repeat the request if it met a closed connection.
    private func mustProbe(_ exchange: ExchangePlace) -> Bool {
        if exchange.value.repeatability != .safe { return true }
        return retryConditions(exchange).isDisjoint(with: [.safe, .reset, .status5xx, .gatewayError])
    }

    /// The exchange has its connection: the request goes out.
    mutating func attach(_ exchange: ExchangePlace, _ connection: ConnectionPlace) {
        let (slot, host) = (Int(exchange.value.cluster), Int(exchange.value.endpoint))
        exchange.value.phase = .sent
        exchange.value.upstream = connection
        exchange.value.usesReusedConnection = connection.value.requests > 0
        if connection.value.knowsLocal { exchange.value.record.upstreamLocal = connection.value.local }
        connection.value.requests &+= 1
        connection.value.lastUsed = now
        clusters[slot].hosts[host].unowned.with { $0.requestStarted() }
        exchange.value.isActiveUpstream = true
        counters.add(clusterScope(connection), .upstreamRqTotal)
        counters.add(clusterScope(connection), .upstreamRqActive)
        exchange.value.record.requestSendStarted = now.nanoseconds(since: exchange.value.started)
        exchange.value.bodySent = 0
        if connection.value.codec == .http2 {
            exchange.value.record.upstreamProtocol = .http2
            sendStreamRequest(exchange, connection)
        } else {
            exchange.value.record.upstreamProtocol = .http11
            connection.value.exchange = exchange
            connection.value.sentInAttempt = 0
            connection.value.progress = HeadProgress()
            sendRequestHead(exchange, connection)
        }
        guard exchange.value.phase == .sent, exchange.value.upstream == connection else { return }
        exchange.value.headSent = true
        if exchange.value.perTryTimeout | exchange.value.perTryIdleTimeout != 0 { startTry(exchange) }
        sendBody(exchange)
    }

    // MARK: The request's body

    /// Bytes above this wait for the upstream before more is read from the caller.
    private static var bodyAheadMax: Int { 64 << 10 }

    mutating func requestBody(_ exchange: ExchangePlace, _ bytes: ByteView) {
        exchange.value.lastMoved = now
        exchange.value.record.bytesReceived &+= UInt64(bytes.count)
        switch exchange.value.phase {
        case .ended: return
        case .reading, .routing, .asking, .waiting, .sent, .backingOff, .answering, .tunnelling: break
        }
        if exchange.value.mirror != nil { mirrorBody(exchange, bytes) }
        if !exchange.value.keepsBody, exchange.value.body.isEmpty, takesBody(exchange) {
            let accepted = writeRequestBody(exchange, bytes)
            if accepted < bytes.count {
                queues.append(bytes.dropFirst(accepted), to: &exchange.value.body, pool: &pool)
            }
        } else {
            let isNext = exchange.value.bodySent == exchange.value.body.count && takesBody(exchange)
            queues.append(bytes, to: &exchange.value.body, pool: &pool)
            // They lie together here, and in the queue they do not.
            if isNext { exchange.value.bodySent += writeRequestBody(exchange, bytes) }
            sendBody(exchange)
        }
        holdBackRequest(exchange)
    }

    /// The endpoint has the head, and the body may follow.
    private func takesBody(_ exchange: ExchangePlace) -> Bool {
        exchange.value.headSent
            && (exchange.value.phase == .sent || exchange.value.phase == .answering)
    }

    /// Sends what is there of the body, as far as the connection takes it.
    mutating func sendBody(_ exchange: ExchangePlace) {
        guard takesBody(exchange) else { return }
        while exchange.value.bodySent < exchange.value.body.count {
            let view = queues.view(of: exchange.value.body, from: exchange.value.bodySent)
            let accepted = writeRequestBody(exchange, view)
            exchange.value.bodySent += accepted
            if accepted < view.count { break }
        }
        forgetSentBody(exchange)
        if exchange.value.requestEnded, !exchange.value.requestSent,
            exchange.value.bodySent == exchange.value.body.count
        {
            finishRequest(exchange)
        }
        releaseRequest(exchange)
    }

    /// Once the body is too long to be kept, or an answer is on its way, what was sent is dropped.
    private mutating func forgetSentBody(_ exchange: ExchangePlace) {
        guard exchange.value.keepsBody || exchange.value.bodySent > 0 else { return }
        var limit = Int(exchange.chain.bufferLimit)
        if exchange.route.bufferLimit >= 0 { limit = min(limit, Int(exchange.route.bufferLimit)) }
        if exchange.value.keepsBody,
            exchange.value.body.count > limit
                || (retryConditions(exchange).isEmpty && exchange.route.internalRedirects.most == 0)
        {
            exchange.value.keepsBody = false
        }
        guard !exchange.value.keepsBody, exchange.value.bodySent > 0 else { return }
        queues.consume(exchange.value.bodySent, from: &exchange.value.body, pool: &pool)
        exchange.value.bodySent = 0
        exchange.value.bodyIsCut = true
    }

    private mutating func writeRequestBody(_ exchange: ExchangePlace, _ bytes: ByteView) -> Int {
        guard let connection = exchange.value.upstream else { return 0 }
        if exchange.value.isUpgrade, holdsBack(exchange, connection) { return 0 }
        if connection.value.codec == .http2 { return writeStreamRequestBody(exchange, connection, bytes) }
        guard connection.value.pending.count < Self.queuedHigh || connection.value.writeFailed else {
            return 0
        }
        if exchange.value.sendsChunks {
            writeChunk(connection, bytes)
        } else {
            write(connection, bytes)
        }
        if !exchange.value.keepsBody, exchange.value.body.isEmpty {
            exchange.value.bodyIsCut = true
        }
        return bytes.count
    }

    /// All of the request was read and handed on.
    @inline(__always)
    private mutating func finishRequest(_ exchange: ExchangePlace) {
        exchange.value.requestSent = true
        exchange.value.record.requestSent = now.nanoseconds(since: exchange.value.started)
        guard let connection = exchange.value.upstream else { return }
        if exchange.value.isUpgrade, finishesTunnel(exchange, connection) { return }
        if connection.value.codec == .http2 { return finishStreamRequest(exchange, connection) }
        guard exchange.value.sendsChunks else { return }
        let cluster = clusters[Int(exchange.value.cluster)].record
        if exchange.value.trailers.isEmpty || !(cluster?.value.enablesTrailers ?? false) {
            write(connection, ByteView("0\r\n\r\n"))
        } else {
            write(connection, ByteView("0\r\n"))
            write(connection, exchange.value.trailers.view)
            write(connection, ByteView("\r\n"))
        }
    }

    mutating func requestBodyEnded(_ exchange: ExchangePlace) {
        guard exchange.isInUse, !exchange.value.requestEnded else { return }
        requestComplete(exchange)
        exchange.value.lastMoved = now
        if exchange.value.mirror != nil { mirrorEnd(exchange) }
        switch exchange.value.phase {
        case .waiting, .sent, .backingOff:
            setDeadline(exchange)
            if exchange.value.phase == .sent { startTry(exchange) }
            armTimer(exchange)
            sendBody(exchange)
        case .answering: sendBody(exchange)
        case .reading, .routing, .asking, .tunnelling, .ended: break
        }
    }

    /// The caller is read no further while too much of the body waits.
    private mutating func holdBackRequest(_ exchange: ExchangePlace) {
        guard exchange.isInUse, exchange.value.phase != .ended else { return }
        let waiting = exchange.value.body.count - exchange.value.bodySent
        guard waiting >= Self.bodyAheadMax || isUpstreamFull(exchange), !exchange.value.hasPausedDownstream
        else { return }
        exchange.value.hasPausedDownstream = true
        let connection = exchange.value.downstream
        if connection.value.codec == .http1 {
            connection.value.isPaused = true
            counters.add(exchange.chain.http.scope, .downstreamFlowControlPausedReadingTotal)
        }
    }

    private func isUpstreamFull(_ exchange: ExchangePlace) -> Bool {
        guard let upstream = exchange.value.upstream, upstream.isInUse else { return false }
        return upstream.value.codec == .http1 && upstream.value.pending.count >= Self.queuedHigh
    }

    private mutating func releaseRequest(_ exchange: ExchangePlace) {
        guard exchange.value.hasPausedDownstream else { return }
        guard exchange.value.body.count - exchange.value.bodySent < Self.bodyAheadMax / 2 else {
            return
        }
        if isUpstreamFull(exchange) { return }
        exchange.value.hasPausedDownstream = false
        let connection = exchange.value.downstream
        if connection.value.codec == .http1 {
            counters.add(
                exchange.chain.http.scope, .downstreamFlowControlResumedReadingTotal)
            resume(connection)
        } else {
            releaseStreamWindow(exchange)
        }
    }

    /// The request's body breaks the rules.
    mutating func requestBroken(_ exchange: ExchangePlace, _ error: HTTP1Error) {
        exchange.value.record.flags.insert(.downstreamProtocolError)
        exchange.value.closesDownstream = true
        exchange.value.requestEnded = true
        if exchange.value.phase == .answering || exchange.value.phase == .tunnelling {
            return cutAnswer(exchange)
        }
        leaveUpstream(exchange, isReusable: false)
        answerLocally(exchange, LocalAnswer(refusing: error))
    }

    // MARK: The answer

    enum AnswerFate { case passed, skipped }

    /// The head of an answer is in `answer`. `isComplete`: so is its body.
    @inline(__always)
    mutating func answerHead(_ exchange: ExchangePlace, _ bytes: ByteView, isComplete: Bool) -> AnswerFate {
        let scope = clusterScope(slot: exchange.value.cluster)
        exchange.value.lastMoved = now
        exchange.value.record.responseReceived = now.nanoseconds(since: exchange.value.started)
        counters.countAnswer(scope, status: answer.status)
        var summary = summarise(bytes)
        if clusters[Int(exchange.value.cluster)].watchesAnswers { noteAnswer(exchange, summary, bytes) }
        if summary.marks.contains(.retriesExhausted) { exchange.value.marksExhausted = true }
        if exchange.value.hasCalls { callsAnswered(exchange, summary, bytes) }
        if answer.contains(.keepAlive) { learnKeepAlive(exchange, bytes) }
        let conditions = retryConditions(exchange)
        if !conditions.isEmpty, conditions.mayConcern(summary),
            repeatsAnswer(exchange, &summary, bytes, isComplete: isComplete)
        {
            return .skipped
        }
        if !exchange.route.shadow.isEmpty { noteShadowAnswer(exchange, summary) }
        if exchange.value.isMirror { return swallowAnswer(exchange, bytes) }
        if exchange.route.internalRedirects.takes(answer.status),
            followRedirect(exchange, bytes, isComplete: isComplete)
        {
            return .skipped
        }
        if exchange.value.attempts > 1, answer.status < 500 { noteRetrySuccess(exchange, summary, bytes) }
        exchange.value.record.attemptEnded(
            at: now.nanoseconds(since: exchange.value.started), .answered, status: answer.status)
        exchange.value.record.details = .viaUpstream
        exchange.value.record.grpcStatus = summary.grpcStatus
        exchange.value.status = answer.status
        // From here on nothing is repeated, so nothing is kept.
        exchange.value.keepsBody = false
        forgetSentBody(exchange)
        if answer.status == 101 || (exchange.value.isUpgrade && opensTunnel(exchange)) {
            return startTunnel(exchange, bytes) ? .passed : .skipped
        }
        exchange.value.phase = .answering
        exchange.value.tryDeadline = .distantFuture
        sendAnswerHead(exchange, bytes)
        return .passed
    }

    func summarise(_ bytes: ByteView) -> AnswerSummary {
        var marks: AnswerMarks = []
        if answer.contains(.xEnvoyRatelimited) { marks.insert(.rateLimited) }
        if answer.contains(.xEnvoyOverloaded) { marks.insert(.overloaded) }
        if answer.value(of: .xMartletRetry, in: bytes)?.equals("exhausted") ?? false {
            marks.insert(.retriesExhausted)
        }
        let grpcStatus = answer.value(of: .grpcStatus, in: bytes)?.decimal ?? -1
        return AnswerSummary(status: answer.status, grpcStatus: Int8(clamping: grpcStatus), marks: marks)
    }

    @inline(__always)
    mutating func answerBody(_ exchange: ExchangePlace, _ bytes: ByteView) {
        guard exchange.value.phase == .answering else { return }
        exchange.value.lastMoved = now
        if exchange.value.paceRate > 0 {
            paceBody(exchange, bytes)
        } else {
            writeAnswerBody(exchange, bytes)
        }
        holdBackAnswer(exchange)
    }

    /// The endpoint is read no further while the caller takes nothing.
    @inline(__always)
    private mutating func holdBackAnswer(_ exchange: ExchangePlace) {
        let connection = exchange.value.downstream
        guard let upstream = exchange.value.upstream, !exchange.value.hasPausedUpstream else { return }
        let isFull =
            exchange.value.framing == .stream
            ? exchange.value.answerQueue.count >= Self.bodyAheadMax
            : connection.value.pending.count >= Self.queuedHigh
        guard isFull || exchange.value.paced.count >= Self.bodyAheadMax else { return }
        exchange.value.hasPausedUpstream = true
        if upstream.value.codec == .http1 {
            upstream.value.isPaused = true
            counters.add(clusterScope(upstream), .upstreamFlowControlPausedReadingTotal)
        }
    }

    mutating func releaseAnswer(_ exchange: ExchangePlace) {
        guard exchange.value.hasPausedUpstream, exchange.value.paced.count < Self.bodyAheadMax else { return }
        exchange.value.hasPausedUpstream = false
        guard let upstream = exchange.value.upstream, upstream.isInUse else { return }
        if upstream.value.codec == .http1 {
            counters.add(clusterScope(upstream), .upstreamFlowControlResumedReadingTotal)
            resume(upstream)
        } else {
            releaseUpstreamWindow(exchange)
        }
    }

    /// A connection's queue has room again: whoever waited for that goes on.
    mutating func drained(_ connection: ConnectionPlace) {
        if connection.value.phase == .closing {
            if connection.value.pending.isEmpty { finishClosing(connection) }
            return
        }
        switch connection.value.codec {
        case .http1:
            guard let exchange = connection.value.exchange else { return }
            if connection.value.side == .downstream {
                releaseAnswer(exchange)
            } else {
                sendBody(exchange)
                if exchange.isInUse { releaseRequest(exchange) }
            }
        case .http2: sessionDrained(connection)
        case .tunnel: tunnelDrained(connection)
        case .undecided: break
        }
    }

    /// The body of the request moved on (an HTTP/2 window opened, say).
    mutating func requestMoved(_ exchange: ExchangePlace) {
        sendBody(exchange)
        if exchange.isInUse, exchange.value.phase != .ended { releaseRequest(exchange) }
    }

    /// All of the answer came.
    mutating func answerEnded(_ exchange: ExchangePlace, trailers: ByteView) {
        guard exchange.value.phase == .answering else { return }
        exchange.value.record.responseCompleted = now.nanoseconds(since: exchange.value.started)
        if exchange.value.awaitsStatus { statusTold(exchange) }
        if !exchange.value.paced.isEmpty { return holdEnd(exchange, trailers: trailers) }
        finishAnswer(exchange, trailers: trailers)
    }

    @inline(__always)
    mutating func finishAnswer(_ exchange: ExchangePlace, trailers: ByteView) {
        exchange.value.answerEnded = true
        leaveUpstream(
            exchange, isReusable: exchange.value.upstreamKeepsAlive && exchange.value.requestSent)
        if exchange.value.framing == .stream {
            finishStreamAnswer(exchange, trailers: trailers)
        } else {
            finishHTTP1Answer(exchange, trailers: trailers)
            end(exchange)
        }
    }

    // MARK: Failure

    mutating func attemptFailed(_ exchange: ExchangePlace, _ outcome: AttemptOutcome) {
        guard exchange.isInUse, exchange.value.phase != .ended else { return }
        let scope = clusterScope(slot: exchange.value.cluster)
        noteAttemptEnd(exchange, AttemptEnd(outcome))
        exchange.value.record.upstreamFailure = transportFailure
        switch outcome {
        case .refusedStream, .resetBeforeAnswer, .resetMidAnswer, .goAwayBelow:
            counters.add(scope, .upstreamRqRxReset)
            note(exchange, .connectFailed)
        case .protocolError:
            counters.add(scope, .upstreamRqTxReset)
            note(exchange, .connectFailed)
        case .perTryTimedOut, .perTryIdledOut, .requestTimedOut:
            counters.add(scope, .upstreamRqTxReset)
        case .connectFailed, .connectTimedOut:
            counters.add(scope, .upstreamRqPendingFailureEject)
            note(exchange, outcome == .connectTimedOut ? .timedOut : .connectFailed)
        case .overflowed, .answered: break
        }
        if exchange.value.hasCalls { endCalls(exchange, outcome == .overflowed ? .unknown : .failure) }
        if exchange.value.isHedged, isOutlived(exchange) { return }
        if !exchange.route.shadow.isEmpty { noteShadowFailure(exchange, outcome) }
        let settings = retrySettings(exchange)
        let next = exchange.value.attemptFailed(
            outcome, settings, retryRequest(exchange, settings), random: &random)
        switch next {
        case .retry(let wait, let reason):
            if beginRetry(exchange, after: wait, reason, isReusable: false) { return }
            leaveUpstream(exchange, isReusable: false)
            answerLocally(exchange, LocalAnswer(outcome, isRetried: exchange.value.retry.retries > 1))
        case .answer(let answer):
            countRefusal(exchange)
            if !settings.conditions.isEmpty { exchange.value.marksExhausted = true }
            leaveUpstream(exchange, isReusable: false)
            answerLocally(exchange, answer)
        case .cut:
            if outcome == .resetMidAnswer, exchange.value.record.flags.isEmpty {
                exchange.value.record.flags.insert(.upstreamConnectionTermination)
            }
            exchange.value.record.details =
                outcome == .perTryIdledOut ? .upstreamPerTryIdleTimeout : .upstreamResetAfterResponseStarted
            cutAnswer(exchange)
        }
    }

    mutating func releaseRetryPlace(_ exchange: ExchangePlace) {
        guard exchange.value.holdsRetry else { return }
        exchange.value.holdsRetry = false
        exchange.value.limits?.with { $0.retryEnded() }
    }

    /// The exchange lets go of its attempt: the connection goes back to the pool, or is closed, or its stream is reset.
    mutating func leaveUpstream(_ exchange: ExchangePlace, isReusable: Bool) {
        leavePending(exchange)
        if exchange.value.hasCalls { endCalls(exchange, .unknown) }
        if exchange.value.isActiveUpstream {
            exchange.value.isActiveUpstream = false
            let (slot, host) = (Int(exchange.value.cluster), Int(exchange.value.endpoint))
            let isSuccess = exchange.value.status > 0 && exchange.value.status < 500
            clusters[slot].hosts[host].unowned.with { $0.requestEnded(isSuccess: isSuccess) }
            counters.add(clusterScope(slot: Int32(slot)), .upstreamRqActive, -1)
        }
        if exchange.value.endpoint >= 0 {
            clusters[Int(exchange.value.cluster)].hosts[Int(exchange.value.endpoint)].users -= 1
            exchange.value.endpoint = -1
        }
        guard let connection = exchange.value.upstream else { return }
        exchange.value.upstream = nil
        exchange.value.hasPausedUpstream = false
        guard connection.isInUse else { return }
        if connection.value.codec == .http2 {
            leaveStream(exchange, connection, isFinished: isReusable || exchange.value.answerEnded)
        } else {
            if staged == connection { flushStaged() }
            releaseHTTP1Upstream(connection, isReusable: isReusable)
        }
    }

    // MARK: The end

    /// The answer cannot be finished: the caller sees its connection or stream cut.
    mutating func cutAnswer(_ exchange: ExchangePlace) {
        let connection = exchange.value.downstream
        leaveUpstream(exchange, isReusable: false)
        if connection.value.codec == .http2 {
            resetStream(exchange)
            end(exchange)
        } else {
            // A body of known length that ends early says enough; a chunked one lacks its last chunk.
            flushStaged()
            exchange.value.closesDownstream = true
            end(exchange)
        }
    }

    /// The caller is gone.
    mutating func abandon(_ exchange: ExchangePlace) {
        guard exchange.isInUse, exchange.value.phase != .ended else { return }
        if exchange.value.phase == .reading { return abandonReading(exchange) }
        exchange.value.record.flags.insert(.downstreamConnectionTermination)
        exchange.value.record.details = .downstreamRemoteDisconnect
        counters.add(exchange.chain.http.scope, .downstreamRqRxReset)
        if exchange.value.cluster >= 0 {
            counters.add(clusterScope(slot: exchange.value.cluster), .upstreamRqCancelled)
        }
        if exchange.value.isHedged { dropRivals(exchange) }
        leaveUpstream(exchange, isReusable: false)
        end(exchange)
    }

    /// Nobody will say the rest of the head.
    mutating func abandonReading(_ exchange: ExchangePlace) {
        let connection = exchange.value.downstream
        connection.value.exchange = .none
        exchange.value.phase = .ended
        endedExchanges.append(exchange)
    }

    /// Everything is said; what the exchange held goes back, and it is logged and counted, once.
    mutating func end(_ exchange: ExchangePlace) {
        guard exchange.value.phase != .ended else { return }
        if exchange.value.isMirror { return endMirror(exchange) }
        if exchange.value.mirror != nil, !exchange.value.requestEnded { dropMirrors(exchange) }
        if exchange.value.inquiry != nil { dropInquiry(of: exchange) }
        let connection = exchange.value.downstream
        releaseRetryPlace(exchange)
        if exchange.value.hasCalls { endCalls(exchange, .unknown) }
        if exchange.value.isMeasured { endMeasuring(exchange) }
        if exchange.value.holdsRequest {
            exchange.value.holdsRequest = false
            exchange.value.limits?.with { $0.requests.release() }
        }
        timers.cancel(exchange.value.timer)
        exchange.value.timer = .none
        let length = now.nanoseconds(since: exchange.value.started)
        exchange.value.record.ended = length
        if exchange.value.record.responseSent < 0 { exchange.value.record.responseSent = length }
        exchange.value.record.status = exchange.value.status
        counters.add(exchange.chain.http.scope, .downstreamRqActive, -1)
        if exchange.value.status > 0 {
            counters.countAnswer(exchange.chain.http.scope, status: exchange.value.status)
        }
        counters.record(exchange.chain.http.scope, .downstreamRqTime, nanoseconds: length)
        if exchange.value.cluster >= 0, exchange.value.record.details == .viaUpstream {
            counters.record(
                clusterScope(slot: exchange.value.cluster), .upstreamRqTime,
                nanoseconds: now.nanoseconds(since: exchange.value.attemptStarted))
        }
        measureOverhead(of: exchange)
        logAccess(exchange)
        forgetLogged(exchange)
        exchange.value.phase = .ended
        endedExchanges.append(exchange)
        if connection.value.codec == .http2 {
            streamEnded(connection)
        } else if connection.value.exchange == exchange {
            releaseHTTP1Downstream(connection, closes: exchange.value.closesDownstream)
        }
    }

    /// Gives back the memory of exchanges that ended during the event at hand.
    @inline(__always)
    mutating func buryExchanges() {
        while let exchange = endedExchanges.popLast() {
            pool.give(&exchange.value.headBytes)
            pool.give(&exchange.value.trailers)
            pool.give(&exchange.value.answerTrailers)
            pool.give(&exchange.value.location)
            if exchange.value.said.isAllocated { pool.give(&exchange.value.said) }
            if exchange.value.earlierLimits.isAllocated { pool.give(&exchange.value.earlierLimits) }
            if exchange.value.operation.isAllocated { pool.give(&exchange.value.operation) }
            queues.removeAll(from: &exchange.value.body, pool: &pool)
            queues.removeAll(from: &exchange.value.answerQueue, pool: &pool)
            queues.removeAll(from: &exchange.value.paced, pool: &pool)
            timers.cancel(exchange.value.timer)
            shelf.release(exchange.value.snapshot)
            heads.remove(exchange.value.head)
            exchanges.remove(exchange)
        }
    }

    // MARK: Time

    @inline(__always)
    mutating func armTimer(_ exchange: ExchangePlace) {
        let next = min(exchange.value.nextDeadline(), exchange.value.requestLimit)
        // Over HTTP/1 a connection has one exchange at a time, and one timer for both: that one stays where it is from
        // request to request.
        if exchange.value.downstreamStream == 0 { return setTimer(exchange.value.downstream, at: next) }
        if next >= exchange.value.timerAt { return }
        timers.cancel(exchange.value.timer)
        exchange.value.timerAt = next
        exchange.value.timer = timers.schedule(at: next, token: .exchangeTimer(exchange.id))
    }

    mutating func exchangeTimerFired(_ exchange: ExchangePlace) {
        guard exchange.isInUse, exchange.value.phase != .ended else { return }
        exchange.value.timer = .none
        exchange.value.timerAt = .distantFuture
        let scope = exchange.value.cluster >= 0 ? clusterScope(slot: exchange.value.cluster) : nil
        if now >= exchange.value.requestLimit, !exchange.value.requestEnded {
            counters.add(exchange.chain.http.scope, .downstreamRqTimeout)
            return timedOut(exchange, .requestNotInTime)
        }
        switch exchange.value.expired(at: now) {
        case .none: armTimer(exchange)
        case .backoff: exchange.value.rivalled == nil ? startAttempt(exchange) : startRival(exchange)
        case .pace:
            sendPaced(exchange)
            if exchange.isInUse, exchange.value.phase == .answering { releaseAnswer(exchange) }
        case .delay:
            exchange.value.retryAt = .distantFuture
            runFilters(exchange)
        // The request ends its rivals.
        case .request where exchange.value.rivalled != nil: break
        case .request:
            if let scope { counters.add(scope, .upstreamRqTimeout) }
            exchange.value.record.flags.insert(.upstreamRequestTimeout)
            noteTimeout(exchange)
            if exchange.value.hasCalls { endCalls(exchange, .failure) }
            timedOut(exchange, .requestTimeout)
        case .attempt:
            noteTimeout(exchange)
            if hedges(exchange) { return hedge(exchange) }
            if let scope { counters.add(scope, .upstreamRqPerTryTimeout) }
            attemptFailed(exchange, .perTryTimedOut)
        case .attemptIdle:
            if let scope { counters.add(scope, .upstreamRqPerTryIdleTimeout) }
            attemptFailed(exchange, .perTryIdledOut)
        case .streamIdle:
            counters.add(exchange.chain.http.scope, .downstreamRqIdleTimeout)
            timedOut(exchange, exchange.value.requestEnded ? .streamIdle : .requestIdle)
        case .streamDuration:
            counters.add(exchange.chain.http.scope, .downstreamRqMaxDurationReached)
            timedOut(exchange, exchange.value.requestEnded ? .streamDuration : .requestDuration)
        }
    }

    private mutating func timedOut(_ exchange: ExchangePlace, _ answer: LocalAnswer) {
        if exchange.value.phase == .answering || exchange.value.phase == .tunnelling {
            exchange.value.record.flags.formUnion(answer.flag)
            exchange.value.record.details = answer.details
            return cutAnswer(exchange)
        }
        leaveUpstream(exchange, isReusable: false)
        answerLocally(exchange, answer)
    }
}
