import HTTPModel
import MeshPrimitives
import Reactor
import Telemetry
import TrafficPolicy

/// Copies of requests that go to another cluster as well. A copy is an exchange of its own, without a caller: its answer
/// is read and thrown away, it is never repeated, and nothing of the request that it copies waits for it. What it may
/// hold of a body is bounded; a copy that falls behind is given up.
extension Worker {
    /// Copies under way in one worker.
    private static var mirrorsMax: Int { 1024 }

    /// Makes the copies that the route wants of a request whose own attempt is about to start.
    mutating func startMirrors(_ exchange: ExchangePlace) {
        if exchange.value.isMirror || exchange.value.isUpgrade { return }
        let mirrors = exchange.route.mirrors
        for index in mirrors.indices {
            let share = mirrors[index].share
            guard exchange.value.chance % UInt64(share.denominator) < UInt64(share.numerator),
                let cluster = mirrorCluster(mirrors[index], exchange), mirrorsUnderWay < Self.mirrorsMax,
                let copy = insertMirror(of: exchange)
            else { continue }
            copy.value.marksMirroredHost = mirrors[index].marksHost
            startMirror(copy, cluster)
        }
    }

    private func mirrorCluster(_ mirror: MirrorRecord, _ exchange: ExchangePlace) -> Int? {
        let tables = shelf.tables(exchange.value.snapshot)
        var index = Int(mirror.cluster)
        if !mirror.clusterHeader.isEmpty {
            guard
                let name = exchange.head.value(
                    named: mirror.clusterHeader, in: exchange.value.headBytes.view),
                !tables.clusterNames.isEmpty, let found = tables.clusterNames.host(name)
            else { return nil }
            index = Int(found)
        }
        guard index >= 0, clusters[Int(tables.clusters[index].slot)].record != nil else { return nil }
        return Int(tables.clusters[index].slot)
    }

    /// An exchange like the given one, first in its list of copies; nil if there is no place.
    private mutating func insertMirror(of exchange: ExchangePlace) -> ExchangePlace? {
        guard let copy = insertCopy(of: exchange) else { return nil }
        copy.value.isMirror = true
        copy.value.mirror = exchange.value.mirror
        copy.value.mirrored = exchange
        exchange.value.mirror = copy
        copy.value.streamIdleTimeout = exchange.value.streamIdleTimeout
        mirrorsUnderWay += 1
        return copy
    }

    /// An exchange without a caller, with the same request as far as it has come; nil if there is no place.
    mutating func insertCopy(of exchange: ExchangePlace) -> ExchangePlace? {
        guard let caller = placeOfNobody(), let head = heads.takePlace() else { return nil }
        head.value = exchange.head
        guard let copy = exchanges.insertBlank() else {
            heads.remove(head)
            return nil
        }
        copy.value.begin(head: head, downstream: caller, stream: -1, chain: exchange.value.chain, at: now)
        copy.value.snapshot = exchange.value.snapshot
        shelf.use(exchange.value.snapshot)
        let bytes = exchange.value.headBytes.view
        copy.value.headBytes = pool.take(bytes.count)
        _ = copy.value.headBytes.append(bytes)
        copyBody(of: exchange, to: copy)
        copy.value.route = exchange.value.route
        copy.value.hasRoute = true
        copy.value.host = exchange.value.host
        copy.value.weighted = exchange.value.weighted
        copy.value.filtersPassed = exchange.value.filtersPassed
        copy.value.redirects = exchange.value.redirects
        copy.value.trace = exchange.value.trace
        copy.value.record.requestID = exchange.value.record.requestID
        copy.value.setsRequestID = exchange.value.setsRequestID
        copy.value.isInternal = exchange.value.isInternal
        copy.value.record.method = exchange.value.record.method
        copy.value.record.startedAt = exchange.value.record.startedAt
        copy.value.requestEnded = exchange.value.requestEnded
        copy.value.timeout = exchange.value.timeout
        nameCaller(of: exchange, in: copy)
        return copy
    }

    /// What has come of the body so far (while a filter held the request, or before a redirect), and its trailers.
    private mutating func copyBody(of exchange: ExchangePlace, to copy: ExchangePlace) {
        var offset = 0
        while offset < exchange.value.body.count {
            let view = queues.view(of: exchange.value.body, from: offset)
            queues.append(view, to: &copy.value.body, pool: &pool)
            offset += view.count
        }
        copyTrailers(of: exchange, to: copy)
    }

    private mutating func copyTrailers(of exchange: ExchangePlace, to copy: ExchangePlace) {
        let trailers = exchange.value.trailers.view
        guard !trailers.isEmpty, !copy.value.trailers.isAllocated else { return }
        copy.value.trailers = pool.take(trailers.count)
        _ = copy.value.trailers.append(trailers)
    }

    /// A connection that is closed for good: what is written to it is dropped.
    mutating func placeOfNobody() -> ConnectionPlace? {
        if let nobody { return nobody }
        let nowhere = SocketAddress(ipv4: 0, 0, 0, 0, port: 0)
        var connection = Connection(
            descriptor: .none, side: .upstream, phase: .closed, peer: nowhere, local: nowhere, at: now)
        connection.codec = .http1
        nobody = connections.insertPlace(connection)
        return nobody
    }

    private mutating func startMirror(_ copy: ExchangePlace, _ slot: Int) {
        copy.value.cluster = Int32(slot)
        copy.value.record.cluster = NameID(UInt32(slot) + 1)
        if copy.value.requestEnded { setDeadline(copy) }
        let limits = clusters[slot].limits(copy.route.priority)
        copy.value.limits = limits
        guard limits.with({ $0.requests.tryAcquire() }) else {
            counters.add(clusterScope(slot: Int32(slot)), .upstreamRqPendingOverflow)
            return endMirror(copy)
        }
        copy.value.holdsRequest = true
        startAttempt(copy)
    }

    // MARK: While the request comes

    mutating func mirrorBody(_ exchange: ExchangePlace, _ bytes: ByteView) {
        forEachMirror(of: exchange) { worker, copy in
            worker.requestBody(copy, bytes)
            guard copy.isInUse, copy.value.phase != .ended else { return }
            if copy.value.body.count - copy.value.bodySent > Int(copy.chain.bufferLimit) {
                worker.dropMirror(copy)
            }
        }
    }

    mutating func mirrorEnd(_ exchange: ExchangePlace) {
        forEachMirror(of: exchange) { worker, copy in
            worker.copyTrailers(of: exchange, to: copy)
            worker.requestBodyEnded(copy)
        }
    }

    /// The request ended before it was complete, so the copies cannot be.
    mutating func dropMirrors(_ exchange: ExchangePlace) {
        forEachMirror(of: exchange) { worker, copy in worker.dropMirror(copy) }
    }

    private mutating func forEachMirror(
        of exchange: ExchangePlace, _ body: (inout Worker, ExchangePlace) -> Void
    ) {
        if exchange.value.isMirror { return }
        var next = exchange.value.mirror
        while let copy = next, copy.isInUse, copy.value.isMirror {
            next = copy.value.mirror
            if copy.value.phase != .ended { body(&self, copy) }
        }
    }

    // MARK: Its end

    private mutating func dropMirror(_ copy: ExchangePlace) {
        leaveUpstream(copy, isReusable: false)
        endMirror(copy)
    }

    /// The head of its answer came; the rest is read to keep the connection, and dropped.
    mutating func swallowAnswer(_ copy: ExchangePlace, _ bytes: ByteView) -> AnswerFate {
        copy.value.status = answer.status
        if copy.value.isInquiry { noteInquiryHead(copy, bytes) }
        copy.value.keepsBody = false
        copy.value.framing = .none
        if answer.status == 101 {
            dropMirror(copy)
            return .skipped
        }
        copy.value.phase = .answering
        copy.value.tryDeadline = .distantFuture
        return .passed
    }

    /// Gives back what it held; it is neither logged nor counted among the callers' requests.
    mutating func endMirror(_ copy: ExchangePlace) {
        guard copy.value.phase != .ended else { return }
        releaseRetryPlace(copy)
        if copy.value.holdsRequest {
            copy.value.holdsRequest = false
            copy.value.limits?.with { $0.requests.release() }
        }
        timers.cancel(copy.value.timer)
        copy.value.timer = .none
        copy.value.phase = .ended
        endedExchanges.append(copy)
        if copy.value.isInquiry { return endInquiry(copy) }
        unlink(copy)
        mirrorsUnderWay -= 1
    }

    private func unlink(_ copy: ExchangePlace) {
        guard var place = copy.value.mirrored, place.isInUse else { return }
        while let next = place.value.mirror, next.isInUse {
            if next == copy {
                place.value.mirror = copy.value.mirror
                return
            }
            place = next
        }
    }

    /// `-shadow` behind the name in `Host`, so that whoever gets it can tell.
    mutating func markMirroredHost(_ copy: ExchangePlace, _ bytes: ByteView) {
        guard copy.value.marksMirroredHost else { return }
        let host =
            edits.value(named: FieldName.host.text, .host, in: copy.head, bytes)
            ?? bytes[copy.head.authority.range]
        let colon = RouteTable.portColon(host) ?? host.count
        let start = scratch.count
        _ = scratch.append(host.prefix(colon))
        _ = scratch.append("-shadow")
        _ = scratch.append(host.dropFirst(colon))
        edits.set(.host, scratch.view.dropFirst(start))
    }
}
