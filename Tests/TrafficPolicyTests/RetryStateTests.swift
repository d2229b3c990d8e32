import MeshPrimitives
import Testing
import TrafficPolicy

private func answer(_ status: UInt16, grpc: Int8 = -1, _ marks: AnswerMarks = []) -> AttemptOutcome {
    .answered(AnswerSummary(status: status, grpcStatus: grpc, marks: marks))
}

private let unsent = AttemptOutcome.resetBeforeAnswer(sent: .nothingSent, wasReused: false)
private let sent = AttemptOutcome.resetBeforeAnswer(sent: .sent, wasReused: false)
private let staleSent = AttemptOutcome.resetBeforeAnswer(sent: .sent, wasReused: true)
private let stale = AttemptOutcome.resetBeforeAnswer(sent: .nothingSent, wasReused: true)

@Suite struct RetryStateTests {
    private func verdict(
        _ outcome: AttemptOutcome, _ settings: RetrySettings, _ request: Repeatability = .unrepeatable,
        replayable: Bool = true, remaining: Int64 = .max
    ) -> RetryVerdict {
        var random = SeededRandom(seed: 1)
        var state = RetryState()
        let request = RetryRequest(
            repeatability: request, bodyCanBeReplayed: replayable, remainingTime: remaining)
        return state.decide(outcome, request, settings, random: &random)
    }

    private func reason(
        _ outcome: AttemptOutcome, _ settings: RetrySettings, _ request: Repeatability = .unrepeatable
    ) -> RetryReason? {
        if case .yes(_, let reason) = verdict(outcome, settings, request) { return reason }
        return nil
    }

    static let envoyTable: [(RetryConditions, [AttemptOutcome], [AttemptOutcome])] = [
        (
            .status5xx,
            [
                answer(500), answer(503), answer(599), unsent, sent, .connectFailed, .connectTimedOut,
                .refusedStream,
                .goAwayBelow, .protocolError, .perTryTimedOut, .perTryIdledOut,
            ],
            [answer(200), answer(499), answer(409), answer(503, .rateLimited), answer(200, grpc: 14)]
        ),
        (
            .gatewayError,
            [answer(502), answer(503), answer(504), unsent, sent, .connectFailed, .perTryTimedOut],
            [answer(500), answer(501), answer(505), answer(503, .rateLimited)]
        ),
        (
            .reset,
            [
                unsent, sent, .connectFailed, .connectTimedOut, .refusedStream, .protocolError,
                .perTryTimedOut,
            ],
            [answer(503), answer(500)]
        ),
        (
            .connectFailure, [.connectFailed, .connectTimedOut],
            [sent, unsent, .refusedStream, .perTryTimedOut]
        ),
        (.refusedStream, [.refusedStream, .goAwayBelow], [sent, .connectFailed, answer(503)]),
        (.resetBeforeRequest, [unsent, .goAwayBelow], [sent, .connectFailed, answer(503)]),
        (.retriable4xx, [answer(409)], [answer(408), answer(429), answer(500), sent]),
        (
            .envoyRatelimited, [answer(429, .rateLimited), answer(200, .rateLimited)],
            [answer(429), answer(503), sent]
        ),
        (.retriableHeaders, [answer(200, .retriableHeader)], [answer(200), answer(503), sent]),
        (.grpcCancelled, [answer(200, grpc: 1)], [answer(200, grpc: 4), answer(200), answer(503)]),
        (.grpcDeadlineExceeded, [answer(200, grpc: 4)], [answer(200, grpc: 1)]),
        (.grpcResourceExhausted, [answer(200, grpc: 8)], [answer(200, grpc: 13)]),
        (.grpcInternal, [answer(200, grpc: 13)], [answer(200, grpc: 14)]),
        (.grpcUnavailable, [answer(200, grpc: 14)], [answer(200, grpc: 0), answer(200)]),
    ]

    @Test(
        "Each of Envoy's conditions repeats what it names and nothing else", arguments: 0..<envoyTable.count)
    func conditions(row: Int) {
        let (conditions, yes, no) = Self.envoyTable[row]
        let settings = RetrySettings(conditions: conditions)
        for outcome in yes { #expect(reason(outcome, settings) != nil, "\(conditions): \(outcome)") }
        for outcome in no {
            #expect(verdict(outcome, settings) == .no(.noCondition), "\(conditions): \(outcome)")
        }
        for outcome in [AttemptOutcome.overflowed, .resetMidAnswer, .requestTimedOut] {
            #expect(verdict(outcome, settings) == .no(.final), "\(conditions): \(outcome)")
        }
    }

    @Test("Retriable status codes are those of the policy")
    func statusCodes() {
        var settings = RetrySettings(conditions: .retriableStatusCodes)
        settings.statusCodes = StatusCodeSet([404, 503])
        #expect(reason(answer(404), settings) == .retriableStatus)
        #expect(reason(answer(503), settings) == .retriableStatus)
        #expect(reason(answer(500), settings) == nil)
    }

    @Test("An overloaded upstream is tried again; one whose own proxy gave up is not")
    func marks() {
        let settings = RetrySettings(conditions: .status5xx)
        #expect(reason(answer(503, .overloaded), settings) == .status5xx)
        #expect(verdict(answer(503, .retriesExhausted), settings) == .no(.exhaustedNearer))
    }

    @Test("After the policy's retries the last answer is passed on, one retry unless it says more")
    func limit() {
        var random = SeededRandom(seed: 3)
        let request = RetryRequest(repeatability: .safe, bodyCanBeReplayed: true)
        for retriesMax in [1, 2, 5] as [UInt32] {
            let settings = RetrySettings(conditions: .status5xx, retriesMax: retriesMax)
            var state = RetryState()
            for _ in 0..<retriesMax {
                guard case .yes(_, .status5xx) = state.decide(answer(500), request, settings, random: &random)
                else {
                    Issue.record("retry \(state.retries) of \(retriesMax) was refused")
                    return
                }
            }
            #expect(state.decide(answer(500), request, settings, random: &random) == .no(.limitExceeded))
            #expect(state.retries == retriesMax)
        }
        #expect(RetrySettings(conditions: .status5xx).retriesMax == 1)
    }

    @Test(
        "Nothing is repeated without a policy, but a request of which nothing was sent leaves a stale connection once"
    )
    func staleConnection() {
        var random = SeededRandom(seed: 4)
        let request = RetryRequest(repeatability: .unrepeatable, bodyCanBeReplayed: true)
        for settings in [RetrySettings.none, .meshDefault, RetrySettings(conditions: .status5xx)] {
            var state = RetryState()
            #expect(
                state.decide(stale, request, settings, random: &random) == .yes(after: 0, .staleConnection))
            #expect(state.retries == 0 && !RetryReason.staleConnection.isCounted)
            let second = state.decide(stale, request, settings, random: &random)
            #expect(second != .yes(after: 0, .staleConnection))
        }
        for outcome in [sent, unsent, staleSent, answer(503), .connectFailed, .refusedStream] {
            #expect(verdict(outcome, .none) == .no(.notConfigured))
        }
    }

    @Test("The mesh repeats any method when the request was provably not processed")
    func meshProvable() {
        for method in [Repeatability.safe, .idempotent, .keyed, .unrepeatable] {
            #expect(reason(.connectFailed, .meshDefault, method) == .connectFailure)
            #expect(reason(.connectTimedOut, .meshDefault, method) == .connectFailure)
            #expect(reason(.refusedStream, .meshDefault, method) == .refusedStream)
            #expect(reason(.goAwayBelow, .meshDefault, method) == .refusedStream)
            #expect(reason(unsent, .meshDefault, method) == .nothingSent)
        }
        #expect(RetrySettings.meshDefault.retriesMax == 2)
    }

    @Test("The mesh never repeats a POST that may have been read, and no method after an answer")
    func meshUnprovable() {
        for method in [Repeatability.idempotent, .keyed, .unrepeatable] {
            for outcome in [sent, staleSent, .protocolError, .perTryTimedOut] as [AttemptOutcome] {
                #expect(reason(outcome, .meshDefault, method) == nil, "\(method) \(outcome)")
            }
        }
        for status in [200, 500, 502, 503, 504] as [UInt16] {
            #expect(reason(answer(status), .meshDefault, .safe) == nil)
        }
        #expect(
            reason(sent, .meshDefault, .safe) == nil,
            "a fresh connection that closed says that the server is ill")
    }

    @Test("The mesh repeats a safe method once whose reused connection closed without an answer")
    func meshSafeMethod() {
        var random = SeededRandom(seed: 5)
        var state = RetryState()
        let request = RetryRequest(repeatability: .safe, bodyCanBeReplayed: true)
        guard
            case .yes(_, .reusedConnectionClosed) = state.decide(
                staleSent, request, .meshDefault, random: &random)
        else {
            Issue.record("the first loss is repeated")
            return
        }
        #expect(state.decide(staleSent, request, .meshDefault, random: &random) == .no(.noCondition))
    }

    @Test("Conditions that are asked for reach only the methods that the policy allows")
    func methods() {
        var settings = RetrySettings(conditions: [.safe, .status5xx], retriesMax: 2, methods: .idempotent)
        #expect(reason(answer(503), settings, .safe) == .status5xx)
        #expect(reason(answer(503), settings, .idempotent) == .status5xx)
        #expect(reason(answer(503), settings, .keyed) == .status5xx)
        #expect(verdict(answer(503), settings, .unrepeatable) == .no(.methodNotRepeatable))
        #expect(verdict(sent, settings, .unrepeatable) == .no(.methodNotRepeatable))
        #expect(reason(.connectFailed, settings, .unrepeatable) == .connectFailure)
        settings.methods = .safeOnly
        #expect(verdict(answer(503), settings, .keyed) == .no(.methodNotRepeatable))
        settings.methods = .any
        #expect(reason(answer(503), settings, .unrepeatable) == .status5xx)
    }

    @Test("A body that was not kept is not repeated, nor a request whose time is up")
    func impossible() {
        let settings = RetrySettings(conditions: [.status5xx])
        #expect(verdict(answer(503), settings, replayable: false) == .no(.bodyNotReplayable))
        #expect(verdict(answer(503), settings, remaining: 0) == .no(.deadline))
        #expect(verdict(stale, .none, replayable: false) == .no(.notConfigured))
        var mesh = RetrySettings.meshDefault
        mesh.setBackoff(base: 1_000 * Nanoseconds.perSecond)
        #expect(verdict(.connectFailed, mesh, remaining: 1_000) == .no(.deadline))
    }

    @Test("Back-off is random below a bound that doubles up to its maximum", arguments: UInt64(0)..<200)
    func backoff(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var state = RetryState()
        let settings = RetrySettings(conditions: .status5xx, retriesMax: 9)
        let request = RetryRequest(repeatability: .safe, bodyCanBeReplayed: true)
        let bounds = [25, 50, 100, 200, 250, 250, 250, 250, 250]
        for bound in bounds {
            guard case .yes(let wait, _) = state.decide(answer(500), request, settings, random: &random)
            else {
                Issue.record("refused")
                return
            }
            #expect(wait >= 0 && wait < Int64(bound) * Nanoseconds.perMillisecond)
        }
    }

    @Test("Back-off uses the whole of its range")
    func backoffSpread() {
        var random = SeededRandom(seed: 9)
        let settings = RetrySettings(conditions: .status5xx)
        let request = RetryRequest(repeatability: .safe, bodyCanBeReplayed: true)
        var counts = [Int](repeating: 0, count: 25)
        for _ in 0..<25_000 {
            var state = RetryState()
            if case .yes(let wait, _) = state.decide(answer(500), request, settings, random: &random) {
                counts[Int(wait / Nanoseconds.perMillisecond)] += 1
            }
        }
        // Chi-square with 24 degrees of freedom: 51.2 is passed once in a thousand.
        let chi = counts.reduce(0.0) { $0 + (Double($1) - 1000) * (Double($1) - 1000) / 1000 }
        #expect(chi < 51.2, "\(counts)")
    }

    @Test(
        "What a reset header asks for is waited for, and up to half as much again", arguments: UInt64(0)..<50)
    func retryAfter(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var settings = RetrySettings(conditions: .envoyRatelimited)
        let request = RetryRequest(repeatability: .safe, bodyCanBeReplayed: true)
        let second = Nanoseconds.perSecond
        let limited = AttemptOutcome.answered(
            AnswerSummary(status: 429, marks: .rateLimited, retryAfter: 2 * second))
        var state = RetryState()
        guard case .yes(let wait, .rateLimited) = state.decide(limited, request, settings, random: &random)
        else {
            Issue.record("refused")
            return
        }
        #expect(wait >= 2 * second && wait <= 3 * second)
        settings.rateLimitedBackoffMax = second
        state = RetryState()
        guard case .yes(let short, _) = state.decide(limited, request, settings, random: &random) else {
            Issue.record("refused")
            return
        }
        #expect(short < 25 * Nanoseconds.perMillisecond, "too long a wait is not looked at")
    }

    @Test("The longest back-off is ten times the shortest one unless said")
    func backoffSettings() {
        var settings = RetrySettings(conditions: .reset)
        settings.setBackoff(base: 40)
        #expect(settings.backoffMin == 40 && settings.backoffMax == 400)
        settings.setBackoff(base: 40, max: 10)
        #expect(settings.backoffMax == 40)
        settings.setBackoff(base: .max)
        #expect(settings.backoffMax == .max)
    }
}
