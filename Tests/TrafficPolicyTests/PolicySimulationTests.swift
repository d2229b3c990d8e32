import MeshPrimitives
import Testing
import TrafficPolicy

/// A hundred clients call a cluster of ten endpoints through all policies at once; endpoints fail, hang, break and
/// recover. There is no network: a client's call is a few numbers, and time passes from event to event.
private struct PolicySimulation {
    struct Call {
        let client: Int
        let repeatability: Repeatability
        let started: MonotonicInstant
        let deadline: Deadline
        var retry = RetryState()
        var previous = PreviousEndpoints()
        var attempts = 0
        /// An endpoint may have acted on one of its attempts.
        var wasActedOn = false
        var holdsRetry = false
        var isOver = false
    }

    struct Attempt {
        let call: Int
        let endpoint: Int
        let ticket: CircuitBreaker.Ticket
        let started: MonotonicInstant
        let outcome: AttemptOutcome
    }

    enum Event {
        case call(client: Int)
        case attempt(call: Int)
        case ended(Attempt)
        case fault
        case interval
    }

    /// How an endpoint behaves for a while.
    enum Mood: CaseIterable { case well, refusing, answering500, slow, resetting }

    static let endpointCount = 10
    static let clientCount = 100
    static let limitMax = 60

    var random: SeededRandom
    var now = MonotonicInstant.zero
    /// Sorted by time, the earliest last; of two at one time the one that was added first comes first.
    var queue: [(at: MonotonicInstant, number: Int, event: Event)] = []
    var scheduled = 0
    var calls: [Call] = []
    var moods = [Mood](repeating: .well, count: endpointCount)
    var inFlight = [Int](repeating: 0, count: endpointCount)

    let set: EndpointSet
    var balancer = BalancerBox()
    let monitors: [OutlierMonitor]
    let detector: OutlierDetector
    let breaker: BreakerBox
    let limits: ClusterLimits
    let bucket: BucketBox
    let settings: RetrySettings

    // What the checkers keep.
    var admissions: [MonotonicInstant] = []
    var retryTimes: [MonotonicInstant] = []
    var requestTimes: [MonotonicInstant] = []
    var ended = 0
    var refused = (rate: 0, limit: 0, breaker: 0)
    var failures: [String] = []
    var ejections = 0
    var retries = 0
    var openings = 0

    final class BalancerBox {
        private var value = LoadBalancer(.leastRequest(choices: 2))
        private(set) var hasPanicked = false

        func pick(_ set: EndpointSet, _ random: inout SeededRandom, _ previous: PreviousEndpoints) -> Int? {
            let picked = value.pick(from: set, random: &random, avoiding: previous, drawsMax: 4)
            hasPanicked = value.hasPanicked
            return picked
        }
    }

    final class BreakerBox {
        let value: CircuitBreaker
        init(_ settings: CircuitBreakerSettings) { value = CircuitBreaker(settings) }
    }

    final class BucketBox {
        let value = TokenBucket(
            TokenBucketSettings(
                maxTokens: 50, tokensPerFill: 400, fillInterval: Nanoseconds.perSecond), at: .zero)
    }

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
        set = EndpointSet(
            (0..<Self.endpointCount).map {
                EndpointSet.Member(
                    EndpointState(address: SocketAddress(ipv4: 10, 0, 0, UInt8($0), port: 80)))
            })
        monitors = (0..<Self.endpointCount).map { _ in OutlierMonitor() }
        var outliers = OutlierSettings.meshDefault
        (outliers.ejectionPercentMax, outliers.baseEjectionTime) = (40, 5 * Nanoseconds.perSecond)
        detector = OutlierDetector(outliers)
        for monitor in monitors { detector.add(monitor) }
        var breaking = CircuitBreakerSettings(failureRateMax: 60)
        (breaking.openDuration, breaking.probes, breaking.callsMin) = (Nanoseconds.perSecond, 3, 30)
        breaker = BreakerBox(breaking)
        var limiting = ClusterLimitSettings.meshDefault
        limiting.requestsMax = Self.limitMax
        limits = ClusterLimits(limiting)
        bucket = BucketBox()
        settings = RetrySettings(
            conditions: [.safe, .status5xx, .connectFailure], retriesMax: 2, methods: .idempotent)
    }

    mutating func schedule(_ event: Event, in delay: Int64) {
        let at = now.advanced(byNanoseconds: delay)
        scheduled += 1
        let place = queue.partitioningIndex { $0.at <= at }
        queue.insert((at, scheduled, event), at: place)
    }

    func within(_ most: Int64, _ random: inout SeededRandom) -> Int64 { Int64(random.below(UInt64(most))) }

    mutating func run(seconds: Int64) {
        let millisecond = Nanoseconds.perMillisecond
        for client in 0..<Self.clientCount {
            schedule(.call(client: client), in: within(500 * millisecond, &random))
        }
        schedule(.fault, in: Nanoseconds.perSecond)
        schedule(.interval, in: 2 * Nanoseconds.perSecond)
        while let (at, _, event) = queue.popLast() {
            now = at
            let isOver = now.nanoseconds > seconds * Nanoseconds.perSecond
            switch event {
            case .call(let client): if !isOver { began(client) }
            case .attempt(let call): attempt(call)
            case .ended(let attempt): finished(attempt)
            case .fault: if !isOver { changeMoods() }
            case .interval: if !isOver { interval() }
            }
            check()
        }
    }

    private mutating func changeMoods() {
        for endpoint in moods.indices where random.below(4) == 0 {
            moods[endpoint] = random.below(2) == 0 ? .well : Mood.allCases[Int(random.below(5))]
        }
        // Now and then everything fails, so that the breaker has something to do.
        if random.below(12) == 0 { for endpoint in moods.indices { moods[endpoint] = .answering500 } }
        schedule(.fault, in: Nanoseconds.perSecond)
    }

    private mutating func interval() {
        for decision in detector.intervalEnded(at: now, random: &random) { carryOut(decision) }
        schedule(.interval, in: 2 * Nanoseconds.perSecond)
    }

    private mutating func carryOut(_ decision: OutlierDecision) {
        guard let index = monitors.firstIndex(where: { $0 === decision.monitor }) else { return }
        switch decision.kind {
        case .ejected:
            ejections += 1
            set.mark(index, adding: .ejected)
        case .returned: set.mark(index, removing: .ejected)
        case .notEnforced, .overflowed: break
        }
    }

    private mutating func began(_ client: Int) {
        schedule(.call(client: client), in: within(400 * Nanoseconds.perMillisecond, &random))
        let kinds = [Repeatability.safe, .idempotent, .keyed, .unrepeatable]
        calls.append(
            Call(
                client: client, repeatability: kinds[Int(random.below(4))], started: now,
                deadline: Deadline(timeout: 2 * Nanoseconds.perSecond, from: now)))
        let call = calls.count - 1
        guard bucket.value.take(at: now).isAllowed else {
            refused.rate += 1
            return end(call)
        }
        admissions.append(now)
        guard limits.requests.tryAcquire() else {
            refused.limit += 1
            return end(call)
        }
        limits.requestStarted(at: now)
        requestTimes.append(now)
        attempt(call)
    }

    private mutating func attempt(_ call: Int) {
        guard !calls[call].deadline.hasPassed(at: now) else { return leave(call) }
        let (admission, change) = breaker.value.admit(at: now)
        note(change)
        let ticket: CircuitBreaker.Ticket
        switch admission {
        case .allowed(let given), .probe(let given): ticket = given
        case .rejected:
            refused.breaker += 1
            return leave(call)
        }
        guard let endpoint = balancer.pick(set, &random, calls[call].previous) else {
            note(breaker.value.finished(ticket, .unknown, latency: 0, at: now))
            return leave(call)
        }
        if set[endpoint].marks.contains(.ejected), !balancer.hasPanicked {
            failures.append("\(now): a request to an endpoint that is aside")
        }
        if calls[call].wasActedOn, calls[call].repeatability == .unrepeatable {
            failures.append("\(now): repeated without proof")
        }
        calls[call].attempts += 1
        calls[call].previous.add(set.address(endpoint))
        set.requestStarted(endpoint)
        inFlight[endpoint] += 1
        let (outcome, latency) = behave(endpoint, calls[call].deadline)
        schedule(
            .ended(Attempt(call: call, endpoint: endpoint, ticket: ticket, started: now, outcome: outcome)),
            in: latency)
    }

    private mutating func behave(_ endpoint: Int, _ deadline: Deadline) -> (AttemptOutcome, Int64) {
        let quick = 1 + within(20 * Nanoseconds.perMillisecond, &random)
        let left = deadline.remaining(at: now)
        let result: (AttemptOutcome, Int64) =
            switch moods[endpoint] {
            case .well: (.answered(AnswerSummary(status: random.below(100) == 0 ? 503 : 200)), quick)
            case .refusing: (.connectFailed, quick / 10)
            case .answering500: (.answered(AnswerSummary(status: 500)), quick)
            case .slow: (.answered(AnswerSummary(status: 200)), 1_000 * quick)
            case .resetting:
                (
                    .resetBeforeAnswer(
                        sent: random.below(2) == 0 ? .sent : .nothingSent, wasReused: random.below(2) == 0),
                    quick
                )
            }
        return result.1 >= left ? (.requestTimedOut, left) : result
    }

    private mutating func finished(_ attempt: Attempt) {
        let call = attempt.call
        var isSuccess = false
        var result = OutlierResult.connectFailed
        if case .answered(let answer) = attempt.outcome {
            isSuccess = answer.status < 500
            result = .answered(status: answer.status)
        } else if attempt.outcome == .requestTimedOut {
            result = .timedOut
        }
        inFlight[attempt.endpoint] -= 1
        set.requestEnded(attempt.endpoint, isSuccess: isSuccess)
        let reasons = detector.record(monitors[attempt.endpoint], result)
        if !reasons.isEmpty {
            let decisions = detector.suspect(monitors[attempt.endpoint], reasons, at: now, random: &random)
            for decision in decisions { carryOut(decision) }
        }
        note(
            breaker.value.finished(
                attempt.ticket, isSuccess ? .success : .failure,
                latency: now.nanoseconds(since: attempt.started),
                at: now))
        if !attempt.outcome.isProvablyUnprocessed { calls[call].wasActedOn = true }
        if isSuccess { return leave(call) }
        let request = RetryRequest(
            repeatability: calls[call].repeatability, bodyCanBeReplayed: true,
            remainingTime: calls[call].deadline.remaining(at: now))
        let verdict = calls[call].retry.decide(attempt.outcome, request, settings, random: &random)
        guard case .yes(let wait, let reason) = verdict else { return leave(call) }
        if calls[call].holdsRetry { limits.retryEnded() }
        calls[call].holdsRetry = false
        if reason.isCounted {
            guard limits.admitRetry(at: now) else { return leave(call) }
            calls[call].holdsRetry = true
            retries += 1
            checkBudget()
        }
        schedule(.attempt(call: call), in: wait)
    }

    private mutating func note(_ change: CircuitBreaker.Change?) {
        if case .opened = change { openings += 1 }
    }

    /// The call was counted among the requests.
    private mutating func leave(_ call: Int) {
        if calls[call].holdsRetry { limits.retryEnded() }
        calls[call].holdsRetry = false
        limits.requests.release()
        end(call)
    }

    private mutating func end(_ call: Int) {
        if calls[call].isOver { failures.append("\(now): a call has ended twice") }
        calls[call].isOver = true
        ended += 1
    }

    /// With each retry: those of the last ten seconds are at most a fifth of the requests of that time, or three.
    private mutating func checkBudget() {
        retryTimes.append(now)
        let window = 10 * Nanoseconds.perSecond
        while let first = retryTimes.first, now.nanoseconds(since: first) >= window {
            retryTimes.removeFirst()
        }
        while let first = requestTimes.first, now.nanoseconds(since: first) >= window {
            requestTimes.removeFirst()
        }
        if retryTimes.count > max(3, requestTimes.count / 5) {
            failures.append("\(now): \(retryTimes.count) retries of \(requestTimes.count) requests")
        }
    }

    /// What must hold at every step.
    private mutating func check() {
        if limits.requests.current > Self.limitMax { failures.append("\(now): more requests than the limit") }
        for endpoint in inFlight.indices where set.requestsActive(endpoint) != inFlight[endpoint] {
            failures.append("\(now): the books of endpoint \(endpoint) do not balance")
        }
        let aside = monitors.count { $0.isEjected }
        if aside > 4 || aside != set.members.count(where: { $0.state.marks.contains(.ejected) }) {
            failures.append("\(now): \(aside) endpoints are aside")
        }
        let second = Nanoseconds.perSecond
        while let first = admissions.first, now.nanoseconds(since: first) >= second {
            admissions.removeFirst()
        }
        // In any second the burst and what came back in it.
        if admissions.count > 451 { failures.append("\(now): \(admissions.count) admitted in a second") }
    }
}

extension Array {
    /// The first index whose element is wanted, where all before it are not.
    fileprivate func partitioningIndex(where isWanted: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if isWanted(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

@Suite struct PolicySimulationTests {
    @Test(
        "All policies at once keep their promises while endpoints fail and recover", arguments: UInt64(0)..<6)
    func promises(seed: UInt64) {
        var simulation = PolicySimulation(seed: seed)
        simulation.run(seconds: 30)
        #expect(simulation.failures.isEmpty, "\(simulation.failures.prefix(3))")
        #expect(simulation.ended == simulation.calls.count && simulation.calls.allSatisfy(\.isOver))
        #expect(simulation.limits.requests.current == 0 && simulation.limits.retries.current == 0)
        #expect(simulation.inFlight.allSatisfy { $0 == 0 })
        // The policies were in fact at work.
        #expect(simulation.ejections > 0 && simulation.retries > 0 && simulation.refused.rate > 0)
    }

    @Test("A seed gives the same story each time")
    func repeatable() {
        func story() -> [Int] {
            var simulation = PolicySimulation(seed: 42)
            simulation.run(seconds: 8)
            return [simulation.calls.count, simulation.retries, simulation.ejections, simulation.openings]
        }
        #expect(story() == story())
    }
}
