import HTTP1Codec
import HTTPModel
import MeshPrimitives
import Reactor
import Telemetry
import TrafficPolicy

/// The life of one request: its state, and what is decided when something happens to it. A plain value without socket,
/// clock or timer; `ExchangeDriver` carries out what it decides.
///
/// ```
///             ┌──────────────── retry ─────────────────┐
///             ▼                                        │
/// reading (─▶ asking) ─▶ waiting ─▶ sent ─▶ answering ─▶ ended   backingOff
///    │          │         │         │          ▲       ▲
///    │          └─────────┴── failed attempt ──┼───────┘
///    └── answer of our own ──────────────────▶ ┘
/// ```
///
/// Once a head of an answer went downstream there is no further attempt.
struct Exchange: BitwiseCopyable {
    enum Phase: UInt8, BitwiseCopyable {
        /// Its head is still coming.
        case reading
        case routing
        /// For what a rate limit service says.
        case asking
        /// For a connection: one that is being made, or one that another request gives back.
        case waiting
        case sent
        case backingOff
        /// The head of the answer went downstream.
        case answering
        /// After a 101 or a CONNECT's 200: bytes pass both ways.
        case tunnelling
        case ended
    }

    /// How the body of the answer is marked off towards the caller.
    enum Framing: UInt8, BitwiseCopyable { case none, length, chunked, untilClose, stream }

    var phase = Phase.reading
    /// It outlives the exchange, which ends with it at the latest and is buried first.
    private(set) var downstream: ConnectionPlace
    /// 0 for HTTP/1.
    var downstreamStream: Int32
    @Kept var upstream: ConnectionPlace?
    var upstreamStream: Int32 = 0
    /// Index on the worker's shelf of snapshots, and in that snapshot.
    var snapshot: Int32
    var chain: Reference<ChainRecord>
    var route: Reference<RouteRecord>
    var hasRoute = false
    var host: Int32 = -1
    /// The worker's slot of the cluster; -1 before routing.
    var cluster: Int32 = -1
    /// Index into that cluster's endpoints.
    var endpoint: Int32 = -1
    /// Which of the route's weighted clusters.
    var weighted: Int32 = -1
    /// Decides every share of requests that the routes name; drawn only where they do.
    var chance: UInt64 = 0
    /// Filters that have let it go on.
    var filtersPassed: UInt8 = 0
    /// Set by the filter for cross-origin requests: the caller's origin may read the answer, and it only asked whether.
    var isCrossOrigin = false
    var isPreflight = false
    /// Bytes a second at which the body of the answer may leave; 0 for any. Nothing else of this is used then.
    var paceRate: Int64 = 0
    var paceTokens: Int64 = 0
    var paceFilled = MonotonicInstant.zero
    var paced = ByteQueue()
    var pacedToEnd = false
    /// It counts among the requests with a fault.
    var fault: Unowned<ActiveFaults>?
    /// It has been delayed once.
    var wasDelayed = false
    /// Redirects of endpoints that were followed here.
    var redirects: UInt8 = 0
    /// A copy whose answer nobody gets.
    var isMirror = false
    var marksMirroredHost = false
    /// Of a copy: its head says already what the caller's connection tells.
    var namesCaller = false
    /// The first copy of this request, and of a copy the next one.
    @Kept var mirror: ExchangePlace?
    /// Of a copy: the request that it copies.
    @Kept var mirrored: ExchangePlace?
    /// Attempts of this request run beside each other, or this is one of them (see Hedging.swift).
    var isHedged = false
    /// The first attempt beside the request's own, and of a rival the next.
    @Kept var rival: ExchangePlace?
    /// Of a rival: the request whose attempt it is.
    @Kept var rivalled: ExchangePlace?
    var hedge = HedgeState()
    /// Of the attempt in there, and in the record.
    var hedgeNumber: UInt8 = 0
    var attemptIndex: UInt16 = 0

    /// A question of the proxy's own to a service, made like a copy: nobody else sees its answer.
    var isInquiry = false
    /// Of a question: the request that waits for its answer.
    var asker: ExchangePlace?
    /// The question whose answer it waits for.
    var inquiry: ExchangePlace?
    var verdict = InquiryVerdict.none
    /// What services have said of this request, one message after the other.
    var said = PooledBuffer.none
    /// How much of it is older than the last answer.
    var saidBefore: UInt16 = 0
    /// Index of the global limit that has asked last; -1 for none.
    var askedBy: Int32 = -1
    /// Index of the global limit that has refused it; -1 for none.
    var refusedBy: Int32 = -1
    /// Index of the quota that it is beyond, and that is not enforced but changes its fields; -1 for none.
    var overQuota: Int32 = -1
    /// Changes of a refusal by a quota; -1 for none.
    var quotaEdits: Int32 = -1
    /// Seconds of `retry-after` on such a refusal; 0 for none.
    var quotaWait: UInt32 = 0

    // The request.
    /// Index of the bytes of its head.
    private(set) var head: Place<MessageHead>
    var headBytes = PooledBuffer.none
    /// HTTP/1 only.
    var requestDecoder = BodyDecoder(.none)
    /// All of the request was read, trailers included.
    var requestEnded = false
    /// Bytes of the body from its first one on as long as `keepsBody`; else those that are not sent yet.
    var body = ByteQueue()
    /// How much of `body` this attempt has sent.
    var bodySent = 0
    /// The body is kept for another attempt.
    var keepsBody = false
    /// More went by than was kept.
    var bodyIsCut = false
    var trailers = PooledBuffer.none
    /// All of the request was handed to the upstream connection.
    var requestSent = false
    var headSent = false
    /// The body goes upstream in chunks.
    var sendsChunks = false
    /// It asks for another protocol, or for a tunnel (CONNECT), and may have it.
    var isUpgrade = false
    /// It got that: what passes as bodies now is bytes that nobody marks off.
    var isTunnel = false
    /// It is counted among the endpoint's requests.
    var isActiveUpstream = false
    var hasPausedDownstream = false

    // The attempts.
    var attempts: UInt8 = 0
    var retry = RetryState()
    /// A place among the cluster's requests, pending requests and retries was taken.
    var limits: Unowned<ClusterLimits>?
    var holdsRequest = false
    var holdsRetry = false
    /// It is in its host's list of waiting requests, and holds a place among them.
    var isPending = false
    var usesReusedConnection = false
    @Kept var pendingPrevious: ExchangePlace?
    @Kept var pendingNext: ExchangePlace?
    var tried = PreviousEndpoints()
    /// When the back-off ends.
    var retryAt = MonotonicInstant.distantFuture
    var requestControls = RequestControls()
    /// Why the attempt under way was made; nil for the first one.
    var cause: RetryReason?
    /// Where the policy passes over priorities of earlier attempts.
    var priorities: PreviousPriorities?
    /// Of the endpoint that was chosen last.
    var priority: UInt8 = 0
    /// The attempt was let through by breakers that have not heard how it ended.
    var hasCalls = false
    var call: BreakerCall?
    var shadowCall: BreakerCall?
    /// The head said nothing of the gRPC status: breakers, outlier detection and statistics wait for the trailers.
    var awaitsStatus = false
    var countsRetry = false
    /// It holds a place of a limit that follows latency, or its success is asked for.
    var isMeasured = false
    var concurrency: Unowned<AdaptiveConcurrency>?
    /// Index of the settings of the admission control that let it through; -1 for none.
    var admission: Int32 = -1
    /// What `RetryState` is for the policy in force, for the one in shadow mode.
    var shadowRetry = RetryState()

    // The answer.
    var status: UInt16 = 0
    var answerDecoder = BodyDecoder(.none)
    var framing = Framing.none
    var answerEnded = false
    var upstreamKeepsAlive = false
    /// `x-martlet-retry: exhausted` goes on the answer.
    var marksExhausted = false
    var hasPausedUpstream = false
    var answerHasTrailers = false
    /// The chunked request body is over, its trailer section is not.
    var trailersComing = false
    /// HTTP/2 downstream: bytes that flow control held back.
    var answerQueue = ByteQueue()
    var answerTrailers = PooledBuffer.none
    /// Bytes that were taken and for which no window was given back, since they wait.
    var heldBackRequest = 0
    var heldBackAnswer = 0
    /// Of a redirect.
    var location = PooledBuffer.none
    var trace: TraceDecision?
    /// What the endpoint's proxy calls the request's span, at the caller's side.
    var operation = PooledBuffer.none
    /// `x-request-id` is the record's, in place of the one that came.
    var setsRequestID = false
    /// It comes from an address that the configuration counts among the own ones.
    var isInternal = false
    /// An internal caller that forces a trace is told the request's id.
    var tellsRequestID = false
    /// The answer's head, kept for the access log.
    var loggedAnswer = SlabID.none
    var closesDownstream = false

    // Policy and telemetry.
    var timer = TimerID.none
    var timerAt = MonotonicInstant.distantFuture
    var started: MonotonicInstant
    /// Nanoseconds from when the head was there to be read until what came of it was handed on.
    var headTook: Int64 = 0
    var requestDone = MonotonicInstant.zero
    var attemptStarted = MonotonicInstant.zero
    var lastMoved: MonotonicInstant
    /// The request's deadline; `distantFuture` until the request is complete.
    var deadline = MonotonicInstant.distantFuture
    var tryDeadline = MonotonicInstant.distantFuture
    var streamDeadline = MonotonicInstant.distantFuture
    /// Nanoseconds; 0 for none.
    var timeout: Int64 = 0
    var perTryTimeout: Int64 = 0
    var perTryIdleTimeout: Int64 = 0
    var streamIdleTimeout: Int64 = 0
    var record = ExchangeRecord()
    var rateLimit: RateLimitDecision?
    var rateLimitRecord: Int32 = -1
    /// What other limits said before that one.
    var earlierLimits = PooledBuffer.none
    var isRateLimited = false
    /// Index of the limit that it is beyond, and that is not enforced but changes its fields; -1 for none.
    var overLimit: Int32 = -1
    /// By then all of the request must be there.
    var requestLimit = MonotonicInstant.distantFuture
    /// The filter that took it for a check of health; -1 for none.
    var healthFilter: Int8 = -1
    /// What places it among endpoints; looked for once, by clusters that hash.
    var hash: UInt64?
    var isHashed = false
    /// Bit n: the cookie of the route's hash policy n is made here, and sent with the answer.
    var madeCookies: UInt32 = 0

    init(
        head: Place<MessageHead>, downstream: ConnectionPlace, stream: Int32, snapshot: Int32,
        chain: Reference<ChainRecord>, at now: MonotonicInstant
    ) {
        self.head = head
        self.downstream = downstream
        downstreamStream = stream
        self.snapshot = snapshot
        self.chain = chain
        route = chain.value.http.noRoute
        started = now
        lastMoved = now
    }
}

extension Exchange {
    /// Turns a copy of an exchange as it was made into another one: most of an exchange is the same for all, and copying
    /// it is quicker than making it field by field.
    mutating func begin(
        head: Place<MessageHead>, downstream: ConnectionPlace, stream: Int32, chain: Reference<ChainRecord>,
        at now: MonotonicInstant
    ) {
        (self.head, self.downstream, downstreamStream) = (head, downstream, stream)
        (snapshot, self.chain, route) = (downstream.value.snapshot, chain, chain.value.http.noRoute)
        (started, lastMoved) = (now, now)
    }
}

typealias ExchangePlace = Place<Exchange>

/// What an exchange refers to.
extension Place<Exchange> {
    var head: MessageHead {
        unsafeAddress { unsafe UnsafePointer(value.head.address) }
        nonmutating unsafeMutableAddress { unsafe value.head.address }
    }

    var chain: ChainRecord {
        unsafeAddress { unsafe value.chain.address }
    }

    /// `noRoute` of the chain as long as there is none.
    var route: RouteRecord {
        unsafeAddress { unsafe value.route.address }
    }
}

/// What a trusted caller asked for in `x-envoy-*` fields of the request.
struct RequestControls: BitwiseCopyable {
    /// Nanoseconds; -1 if nothing was said.
    var timeout: Int64 = -1
    var perTryTimeout: Int64 = -1
    var retriesMax: Int32 = -1
    var conditions = RetryConditions()
    /// `x-envoy-retriable-status-codes` and `x-envoy-retriable-header-names` count; they are read where they are needed.
    var addsAnswers = false
    /// Something was said about retries.
    var changesRetries = false
}

extension Exchange {
    /// What to do now that an attempt has ended without an answer that can be passed on.
    enum AfterFailure: Equatable {
        case retry(after: Int64, RetryReason)
        case answer(LocalAnswer)
        /// The answer was on its way already: it is cut off.
        case cut
    }

    enum AfterAnswer: Equatable {
        case pass(markExhausted: Bool)
        case retry(after: Int64, RetryReason)
    }

    var repeatability: Repeatability {
        @_addressableSelf get {
            if record.method.isSafe { return .safe }
            return record.method.isIdempotent ? .idempotent : .unrepeatable
        }
    }

    /// How far the attempt under way had come.
    @_addressableSelf func delivery(sentBytes: Int) -> DeliveryState {
        switch phase {
        case .reading, .routing, .asking, .waiting, .backingOff: .notConnected
        case .sent: sentBytes > 0 ? .sent : .nothingSent
        case .answering, .tunnelling, .ended: .answered
        }
    }

    @_addressableSelf func retryRequest(_ repeatability: Repeatability, at now: MonotonicInstant)
        -> RetryRequest
    {
        RetryRequest(
            repeatability: repeatability, bodyCanBeReplayed: !bodyIsCut,
            remainingTime: deadline == .distantFuture ? .max : max(0, deadline.nanoseconds(since: now)))
    }

    /// An attempt ended before the head of an answer.
    mutating func attemptFailed(
        _ outcome: AttemptOutcome, _ settings: RetrySettings, _ request: RetryRequest,
        random: inout SeededRandom
    ) -> AfterFailure {
        guard phase != .answering, phase != .tunnelling else { return .cut }
        switch retry.decide(outcome, request, settings, random: &random) {
        case .yes(let wait, let reason):
            return .retry(after: wait, reason)
        case .no(let refusal):
            if refusal != .notConfigured { record.retryRefusal = refusal }
            if refusal == .limitExceeded { record.flags.insert(.upstreamRetryLimitExceeded) }
            return .answer(LocalAnswer(outcome, isRetried: retry.retries > 0))
        }
    }

    /// The head of an answer came.
    mutating func answered(
        _ answer: AnswerSummary, _ settings: RetrySettings, _ request: RetryRequest,
        random: inout SeededRandom
    ) -> AfterAnswer {
        if settings.conditions.isEmpty { return .pass(markExhausted: false) }
        switch retry.decide(.answered(answer), request, settings, random: &random) {
        case .yes(let wait, let reason):
            return .retry(after: wait, reason)
        case .no(let refusal):
            if refusal == .limitExceeded { record.flags.insert(.upstreamRetryLimitExceeded) }
            // That no condition wants an ordinary answer repeated says nothing.
            if refusal.marksExhausted { record.retryRefusal = refusal }
            return .pass(markExhausted: refusal.marksExhausted)
        }
    }

    /// The earliest instant at which a limit on time could be reached.
    @_addressableSelf func nextDeadline() -> MonotonicInstant {
        var earliest = min(deadline, tryDeadline, min(streamDeadline, retryAt))
        if streamIdleTimeout > 0 {
            earliest = min(earliest, lastMoved.advanced(byNanoseconds: streamIdleTimeout))
        }
        if perTryIdleTimeout > 0, phase == .sent || phase == .answering {
            earliest = min(earliest, lastMoved.advanced(byNanoseconds: perTryIdleTimeout))
        }
        return earliest
    }

    enum Expired: Equatable {
        case none, request, attempt, attemptIdle, streamIdle, streamDuration, backoff, delay, pace
    }

    /// Which limit has been reached.
    @_addressableSelf func expired(at now: MonotonicInstant) -> Expired {
        if now >= deadline { return .request }
        if now >= streamDeadline { return .streamDuration }
        if phase == .backingOff, now >= retryAt { return .backoff }
        if phase == .routing, now >= retryAt { return .delay }
        if phase == .answering, now >= retryAt { return .pace }
        if now >= tryDeadline, phase == .waiting || phase == .sent { return .attempt }
        if perTryIdleTimeout > 0, phase == .sent || phase == .answering,
            now >= lastMoved.advanced(byNanoseconds: perTryIdleTimeout)
        {
            return .attemptIdle
        }
        if streamIdleTimeout > 0, now >= lastMoved.advanced(byNanoseconds: streamIdleTimeout) {
            return .streamIdle
        }
        return .none
    }
}
