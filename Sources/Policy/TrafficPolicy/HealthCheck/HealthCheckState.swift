import MeshPrimitives

/// What is to be done after an event of active health checking.
public struct HealthCheckDecision: Equatable, Sendable, BitwiseCopyable {
    public enum Transition: UInt8, Sendable, BitwiseCopyable {
        case unchanged
        case changed
        /// The result differs from the health, and its threshold is not reached.
        case pending
    }

    /// Lines of the event log (`HealthCheckEvent`).
    public struct Events: OptionSet, Hashable, Sendable, BitwiseCopyable {
        public let rawValue: UInt8

        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static let ejectUnhealthy = Events(rawValue: 1 << 0)
        public static let addHealthy = Events(rawValue: 1 << 1)
        public static let failure = Events(rawValue: 1 << 2)
        public static let success = Events(rawValue: 1 << 3)
        public static let degraded = Events(rawValue: 1 << 4)
        public static let noLongerDegraded = Events(rawValue: 1 << 5)
    }

    public var transition = Transition.unchanged
    /// The marks of the endpoint that checks decide, as they are to be now.
    public var marks: EndpointMarks
    /// Nanoseconds to the next check; nil: what is armed stays.
    public var nextCheck: Int64?
    public var events: Events = []
    public var isFirstCheck = false
    /// Slow start begins here.
    public var becameHealthy = false
}

/// The health of one endpoint as active checks see it. How a check is made and how its answer is judged is the shell's.
///
///     unknown (failed until told otherwise) -- first check passed --> healthy
///     healthy -- `unhealthyThreshold` failures in a row, or one that the endpoint itself says --> failed
///     failed -- `healthyThreshold` passed checks in a row --> healthy
public struct HealthCheckState: Equatable, Sendable, BitwiseCopyable {
    /// What checks decide about an endpoint.
    public static let marksOfChecks: EndpointMarks = [
        .checkFailed, .checkDegraded, .excluded, .checkPending, .checkTimedOut,
    ]

    public private(set) var marks: EndpointMarks
    private var healthyChecks: UInt32 = 0
    private var unhealthyChecks: UInt32 = 0
    private var isFirstCheck = true

    /// - Parameter startsHealthy: the endpoint was known before, and checks have only now been configured.
    public init(_ settings: HealthCheckSettings, startsHealthy: Bool = false) {
        marks = startsHealthy ? [] : settings.ignoresNewHosts ? [.checkFailed, .checkPending] : .checkFailed
    }

    public var isHealthy: Bool { !marks.contains(.checkFailed) }

    /// Nanoseconds to the first check.
    public static func firstCheck(_ settings: HealthCheckSettings, random: inout SeededRandom) -> Int64 {
        settings.initialJitter > 0 ? jittered(0, settings, settings.initialJitter, &random) : 0
    }

    /// A check ended.
    ///
    /// - Parameter hasTraffic: the cluster has had a connection at some time.
    public mutating func checked(
        _ result: HealthCheckResult, _ settings: HealthCheckSettings, hasTraffic: Bool,
        random: inout SeededRandom
    ) -> HealthCheckDecision {
        let wasFirst = isFirstCheck
        var decision: HealthCheckDecision
        let isPassed: Bool
        switch result {
        case .passed(let isDegraded):
            isPassed = true
            decision = passed(isDegraded, settings)
        case .failed(let failure):
            isPassed = false
            decision = failed(failure, settings)
        }
        decision.isFirstCheck = wasFirst
        decision.marks = marks
        let length = settings.interval(
            isHealthy: isPassed, isPending: decision.transition == .pending, hasTraffic: hasTraffic)
        decision.nextCheck = Self.jittered(length, settings, settings.intervalJitter, &random)
        return decision
    }

    /// An answer, to a check or to anybody, carried `x-envoy-immediate-health-check-fail`: the endpoint is left out until
    /// a check passes. An answer to a check is told to `checked` besides.
    public mutating func immediateFailure(_ settings: HealthCheckSettings, isCheck: Bool)
        -> HealthCheckDecision
    {
        marks.insert(.excluded)
        if isCheck { return HealthCheckDecision(transition: .changed, marks: marks) }
        var decision = failed(.active, settings)
        // A second such answer to traffic changes nothing.
        decision.marks = marks
        return decision
    }

    private mutating func passed(_ isDegraded: Bool, _ settings: HealthCheckSettings) -> HealthCheckDecision {
        unhealthyChecks = 0
        var decision = HealthCheckDecision(marks: marks)
        if marks.contains(.checkFailed) {
            healthyChecks += 1
            if isFirstCheck || healthyChecks == settings.healthyThreshold {
                marks.subtract([.checkFailed, .checkTimedOut, .excluded])
                decision.transition = .changed
                decision.events.insert(.addHealthy)
            } else {
                decision.transition = .pending
            }
            decision.becameHealthy = true
        }
        if decision.transition != .changed, settings.alwaysLogsSuccesses { decision.events.insert(.success) }
        if marks.contains(.checkPending) {
            marks.remove(.checkPending)
            decision.transition = .changed
        }
        if isDegraded != marks.contains(.checkDegraded) {
            if isDegraded { marks.insert(.checkDegraded) } else { marks.remove(.checkDegraded) }
            decision.events.insert(isDegraded ? .degraded : .noLongerDegraded)
            if decision.transition == .unchanged { decision.transition = .changed }
        }
        isFirstCheck = false
        return decision
    }

    private mutating func failed(
        _ failure: HealthCheckResult.Failure, _ settings: HealthCheckSettings
    ) -> HealthCheckDecision {
        healthyChecks = 0
        var decision = HealthCheckDecision(marks: marks)
        if !marks.contains(.checkFailed) {
            if failure != .active { unhealthyChecks += 1 }
            if failure == .active || unhealthyChecks == settings.unhealthyThreshold {
                marks.insert(.checkFailed)
                decision.transition = .changed
                decision.events.insert(.ejectUnhealthy)
            } else {
                decision.transition = .pending
            }
        }
        if failure == .timeout, marks.contains(.checkFailed) {
            marks.insert(.checkTimedOut)
        } else {
            marks.remove(.checkTimedOut)
        }
        if marks.contains(.checkPending) {
            marks.remove(.checkPending)
            decision.transition = .changed
        }
        if isFirstCheck || settings.alwaysLogsFailures { decision.events.insert(.failure) }
        isFirstCheck = false
        return decision
    }

    /// Whole milliseconds, as Envoy draws them; never 0.
    private static func jittered(
        _ length: Int64, _ settings: HealthCheckSettings, _ jitter: Int64, _ random: inout SeededRandom
    ) -> Int64 {
        var milliseconds = UInt64(length / Nanoseconds.perMillisecond)
        let part = UInt64(settings.intervalJitterPercent) * milliseconds / 100
        if part > 0 { milliseconds += random.below(part) }
        let most = UInt64(jitter / Nanoseconds.perMillisecond)
        if most > 0 { milliseconds += random.below(most) }
        return Int64(max(1, milliseconds)) * Nanoseconds.perMillisecond
    }
}
