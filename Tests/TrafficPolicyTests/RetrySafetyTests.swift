import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct RetrySafetyTests {
    private func random<T>(_ list: [T], _ random: inout SeededRandom) -> T {
        list[Int(random.below(UInt64(list.count)))]
    }

    private func outcome(_ random: inout SeededRandom) -> AttemptOutcome {
        switch random.below(13) {
        case 0: .connectFailed
        case 1: .connectTimedOut
        case 2: .overflowed
        case 3: .refusedStream
        case 4: .goAwayBelow
        case 5: .resetBeforeAnswer(sent: .nothingSent, wasReused: random.below(2) == 0)
        case 6: .resetBeforeAnswer(sent: .sent, wasReused: random.below(2) == 0)
        case 7: .protocolError
        case 8: .perTryTimedOut
        case 9: .perTryIdledOut
        case 10: .resetMidAnswer
        case 11: .requestTimedOut
        default:
            .answered(
                AnswerSummary(
                    status: self.random([200, 409, 429, 500, 502, 503, 504], &random),
                    grpcStatus: self.random([-1, 0, 1, 4, 8, 13, 14], &random),
                    marks: AnswerMarks(rawValue: UInt8(random.below(16)))))
        }
    }

    /// The invariant: a request that an upstream may have acted on is repeated only if its method allows it, or once if
    /// it is safe and its reused connection closed; never more often than allowed; never past its deadline; never
    /// where a nearer hop has spent its retries; never without its body.
    @Test("Whatever happens, a retry is provably safe or allowed", arguments: UInt64(0)..<60)
    func safety(seed: UInt64) {
        var source = SeededRandom(seed: seed)
        for _ in 0..<200 {
            var settings = RetrySettings(
                conditions: RetryConditions(
                    rawValue: UInt32(truncatingIfNeeded: source.next()) & (0xffff | 1 << 31)),
                retriesMax: UInt32(source.below(4)),
                methods: random([.safeOnly, .idempotent, .any], &source))
            settings.hedgesOnPerTryTimeout = source.below(2) == 0
            settings.asksForRequestHeaders = source.below(4) == 0
            var request = RetryRequest(
                repeatability: random([.safe, .idempotent, .keyed, .unrepeatable], &source),
                bodyCanBeReplayed: source.below(5) > 0,
                remainingTime: random([.max, 0, 1_000_000_000], &source))
            request.hasRetriableHeader = source.below(2) == 0
            var state = RetryState()
            var (counted, uncounted, unproven) = (0, 0, 0)
            for _ in 0..<8 {
                let outcome = outcome(&source)
                let hedges = source.below(6) == 0
                let verdict =
                    hedges
                    ? state.hedge(request, settings, random: &source)
                    : state.decide(outcome, request, settings, random: &source)
                guard case .yes(let wait, let reason) = verdict else { continue }
                #expect(request.bodyCanBeReplayed && request.remainingTime > 0 && wait >= 0)
                if reason.isCounted { counted += 1 } else { uncounted += 1 }
                if reason.isCounted, settings.asksForRequestHeaders { #expect(request.hasRetriableHeader) }
                if reason == .hedged {
                    #expect(request.repeatability != .keyed && settings.methods.allow(request.repeatability))
                    continue
                }
                if case .answered(let answer) = outcome { #expect(!answer.marks.contains(.retriesExhausted)) }
                #expect(outcome != .overflowed && outcome != .resetMidAnswer && outcome != .requestTimedOut)
                if !outcome.isProvablyUnprocessed, !settings.methods.allow(request.repeatability) {
                    #expect(reason == .reusedConnectionClosed && request.repeatability == .safe)
                }
                if reason == .reusedConnectionClosed { unproven += 1 }
            }
            #expect(counted <= Int(settings.retriesMax) && uncounted <= 1 && unproven <= 1)
        }
    }

    @Test(
        "Refusals that mark an answer as exhausted are those of the policy and not of its absence",
        arguments: RetryRefusal.allCases)
    func exhausted(refusal: RetryRefusal) {
        #expect(refusal.marksExhausted == ![.final, .notConfigured, .noCondition].contains(refusal))
    }

    @Test(
        "What a reset field asks for, in both formats, unless it is past or too long",
        arguments: [
            ("3", ResetField.Format.seconds, 3), ("0", .seconds, 0), ("301", .seconds, nil),
            ("x", .seconds, nil),
            ("-1", .seconds, nil), ("1000005", .unixTimestamp, 5), ("1000000", .unixTimestamp, 0),
            ("999999", .unixTimestamp, nil), ("99999999999999999999", .seconds, nil), ("", .seconds, nil),
            ("Wed, 21 Oct 2015 07:28:00 GMT", .seconds, nil),
        ] as [(String, ResetField.Format, Int64?)])
    func resetFields(text: String, format: ResetField.Format, seconds: Int64?) {
        let wait = text.withByteView {
            ResetField.wait($0, format, unixNow: 1_000_000, max: 300 * Nanoseconds.perSecond)
        }
        #expect(wait == seconds.map { $0 * Nanoseconds.perSecond })
    }

    @Test("Every word of Envoy's retry_on is known")
    func words() {
        let list =
            "5xx,gateway-error,reset,reset-before-request,connect-failure,envoy-ratelimited,retriable-4xx,"
            + "refused-stream,retriable-status-codes,retriable-headers,http3-post-connect-failure,cancelled,"
            + "deadline-exceeded,internal,resource-exhausted,unavailable"
        let (conditions, unknown) = RetryConditions.parse(list)
        #expect(unknown.isEmpty && conditions.rawValue.nonzeroBitCount == 16)
    }
}

@Suite struct HedgeStateTests {
    private let settings: RetrySettings = {
        var settings = RetrySettings(conditions: .status5xx, retriesMax: 2)
        settings.hedgesOnPerTryTimeout = true
        return settings
    }()

    @Test(
        "A try past its time-out is joined by as many as retries are left, and never under an idempotency key"
    )
    func hedging() {
        var random = SeededRandom(seed: 1)
        var state = RetryState()
        var request = RetryRequest(repeatability: .safe, bodyCanBeReplayed: true)
        for _ in 0..<2 {
            guard case .yes(_, .hedged) = state.hedge(request, settings, random: &random) else {
                Issue.record("it was not hedged")
                return
            }
        }
        #expect(state.hedge(request, settings, random: &random) == .no(.limitExceeded))
        request.repeatability = .keyed
        var fresh = RetryState()
        #expect(fresh.hedge(request, settings, random: &random) == .no(.methodNotRepeatable))
        request.repeatability = .safe
        #expect(
            fresh.hedge(request, RetrySettings(conditions: .status5xx), random: &random)
                == .no(.notConfigured))
    }

    @Test(
        "The first good answer wins, bad ones are thrown away while others run, the last one is judged alone")
    func verdicts() {
        var state = HedgeState()
        #expect([state.started(), state.started(), state.started()] == [0, 1, 2])
        #expect(state.answered(1, isWanted: false) == .wait)
        #expect(state.answered(1, isWanted: true) == .late)
        #expect(state.answered(2, isWanted: true) == .win(givingUp: 1))
        #expect(state.answered(0, isWanted: true) == .late && state.started() == nil)
        var failing = HedgeState()
        _ = (failing.started(), failing.started())
        #expect(failing.failed(0) == .wait && failing.answered(1, isWanted: false) == .alone)
        #expect(failing.started() == 0, "the ordinary retry goes on")
    }

    @Test("One answer at the most reaches the caller, whatever the order", arguments: UInt64(0)..<100)
    func invariant(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var state = HedgeState()
        var running: Set<UInt8> = []
        var answers = 0
        for _ in 0..<60 {
            if random.below(2) == 0, let number = state.started() {
                #expect(answers == 0 && running.insert(number).inserted)
            } else if let number = running.sorted().first(where: { _ in random.below(2) == 0 }) {
                let isWanted = random.below(3) == 0
                let verdict =
                    random.below(4) == 0 ? state.failed(number) : state.answered(number, isWanted: isWanted)
                running.remove(number)
                switch verdict {
                case .win(let bits):
                    answers += 1
                    #expect(bits == running.reduce(0) { $0 | 1 << $1 } && !running.isEmpty)
                    running.removeAll()
                case .alone: #expect(running.isEmpty)
                case .wait: #expect(!running.isEmpty)
                case .late: #expect(answers > 0)
                }
            }
            #expect(answers <= 1)
        }
    }
}
