import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Reactor
import Telemetry
import TrafficPolicy

/// What has become of a request's question.
enum InquiryVerdict: UInt8, BitwiseCopyable {
    /// Nothing was asked, or what was said has been taken into account.
    case none
    /// There is an answer behind `saidBefore` in `said`.
    case answered
    /// The service was away, too slow, or said nothing that can be understood.
    case failed
}

/// Questions that a request asks a service before it goes on: gRPC calls of one message each way, through the cluster's
/// pools, limits and balancer like any request. The request waits in the phase `asking`; it holds no place of its
/// route's cluster and no connection while it does. At most one question of a request is under way.
extension Worker {
    /// Questions under way in one worker; beyond it they fail.
    private static var inquiriesMax: Int { 4096 }
    /// Bytes of an answer.
    private static var answerMax: Int { 32 << 10 }

    /// Sends what is in `line`, a message with its gRPC prefix. The request is resumed with a verdict, later.
    mutating func ask(
        _ exchange: ExchangePlace, service: Int32, head: ByteView, timeout: Int64
    ) {
        exchange.value.phase = .asking
        exchange.value.verdict = .failed
        guard service >= 0, inquiriesUnderWay < Self.inquiriesMax,
            let call = insertInquiry(of: exchange, head: head)
        else { return answered.append(exchange.id) }
        let slot = shelf.tables(exchange.value.snapshot).clusters[Int(service)].slot
        call.value.cluster = slot
        call.value.record.cluster = NameID(UInt32(slot) + 1)
        call.value.timeout = timeout
        setDeadline(call)
        guard clusters[Int(slot)].record != nil else { return endMirror(call) }
        let limits = clusters[Int(slot)].limits(call.route.priority)
        call.value.limits = limits
        guard limits.with({ $0.requests.tryAcquire() }) else {
            counters.add(clusterScope(slot: slot), .upstreamRqPendingOverflow)
            return endMirror(call)
        }
        call.value.holdsRequest = true
        startAttempt(call)
    }

    /// nil if there is no place for it.
    private mutating func insertInquiry(of exchange: ExchangePlace, head bytes: ByteView) -> ExchangePlace? {
        guard let caller = placeOfNobody(), let head = heads.takePlace() else { return nil }
        head.value.reset()
        var progress = HeadProgress()
        guard
            case .complete = HTTP1Parser.parseRequest(
                bytes, into: &head.value, progress: &progress, limits: HTTP1Limits()),
            let call = exchanges.insertBlank()
        else {
            heads.remove(head)
            return nil
        }
        call.value.begin(head: head, downstream: caller, stream: -1, chain: exchange.value.chain, at: now)
        call.value.snapshot = exchange.value.snapshot
        shelf.use(exchange.value.snapshot)
        call.value.headBytes = pool.take(bytes.count)
        _ = call.value.headBytes.append(bytes)
        var message: [UInt8] = []
        swap(&message, &line)
        message.withByteView { queues.append($0, to: &call.value.body, pool: &pool) }
        swap(&message, &line)
        (call.value.isMirror, call.value.isInquiry) = (true, true)
        call.value.phase = .routing
        call.value.requestEnded = true
        call.value.record.method = .post
        call.value.record.grpcStatus = -1
        (call.value.asker, exchange.value.inquiry) = (exchange, call)
        inquiriesUnderWay += 1
        return call
    }

    // MARK: The answer

    /// What the head alone says of the outcome; an answer without messages has its status there.
    mutating func noteInquiryHead(_ call: ExchangePlace, _ bytes: ByteView) {
        if let status = answer.value(of: .grpcStatus, in: bytes)?.decimal {
            call.value.record.grpcStatus = Int8(clamping: status)
        }
        if answer.status != 200 { call.value.record.grpcStatus = 2 }
    }

    mutating func keepInquiryBody(_ call: ExchangePlace, _ bytes: ByteView) {
        // One that is longer lacks its end, and is none.
        guard call.value.answerQueue.count + bytes.count <= Self.answerMax else { return }
        queues.append(bytes, to: &call.value.answerQueue, pool: &pool)
    }

    /// The question has its answer, or there will be none.
    mutating func endInquiry(_ call: ExchangePlace) {
        inquiriesUnderWay -= 1
        guard let exchange = call.value.asker else { return }
        (call.value.asker, exchange.value.inquiry) = (nil, nil)
        exchange.value.verdict = takeAnswer(call, for: exchange) ? .answered : .failed
        answered.append(exchange.id)
    }

    /// Moves the message to those that the request keeps; false if there is none.
    private mutating func takeAnswer(_ call: ExchangePlace, for exchange: ExchangePlace) -> Bool {
        let count = call.value.answerQueue.count
        guard call.value.answerEnded, call.value.record.grpcStatus == 0, count >= 5 else { return false }
        var bytes = pool.take(count)
        defer { pool.give(&bytes) }
        var offset = 0
        while offset < count {
            let view = queues.view(of: call.value.answerQueue, from: offset)
            guard bytes.append(view) else { return false }
            offset += view.count
        }
        // Not compressed, one message (gRPC over HTTP/2, Length-Prefixed-Message).
        let view = bytes.view
        let length = Int(view[1]) << 24 | Int(view[2]) << 16 | Int(view[3]) << 8 | Int(view[4])
        guard view[0] == 0, length == count - 5 else { return false }
        if !exchange.value.said.isAllocated { exchange.value.said = pool.take(BufferPool.sizes.large) }
        exchange.value.saidBefore = UInt16(clamping: exchange.value.said.count)
        return exchange.value.said.append(view.dropFirst(5))
    }

    /// Requests that have a verdict go on.
    mutating func resumeAnswered() {
        while let id = answered.popLast() {
            guard let exchange = exchanges.place(id), exchange.value.phase == .asking else { continue }
            exchange.value.phase = .routing
            exchange.value.lastMoved = now
            runFilters(exchange)
        }
    }

    /// The request has ended before its question was answered.
    mutating func dropInquiry(of exchange: ExchangePlace) {
        guard let call = exchange.value.inquiry else { return }
        (call.value.asker, exchange.value.inquiry) = (nil, nil)
        leaveUpstream(call, isReusable: false)
        endMirror(call)
    }
}
