/// `breaker` of a `CircuitBreakerPolicy`: when a proxy stops calling a service, and how it begins again.
public struct BreakerSettings: Sendable, Equatable {
    /// Opens after so many failures in a row.
    public var consecutiveFailures: Int?
    /// Opens when this share of the calls of the window failed, in percent.
    public var failureRate: Double?
    /// A call that took as long is slow.
    public var slowAfter: Duration?
    /// Opens when this share of the calls of the window was slow, in percent.
    public var slowRate: Double?
    public var window: Duration?
    /// Fewer calls in the window say nothing.
    public var minimumCalls: Int?
    public var openDuration: Duration?
    /// Each time that a probe fails open for so many times as long.
    public var openGrowth: Int?
    public var openMax: Duration?
    /// Calls that are let through half-open.
    public var probes: Int?

    public init() {}

    func filled(from broader: BreakerSettings) -> BreakerSettings {
        var result = self
        result.consecutiveFailures = consecutiveFailures ?? broader.consecutiveFailures
        result.failureRate = failureRate ?? broader.failureRate
        result.slowAfter = slowAfter ?? broader.slowAfter
        result.slowRate = slowRate ?? broader.slowRate
        result.window = window ?? broader.window
        result.minimumCalls = minimumCalls ?? broader.minimumCalls
        result.openDuration = openDuration ?? broader.openDuration
        result.openGrowth = openGrowth ?? broader.openGrowth
        result.openMax = openMax ?? broader.openMax
        result.probes = probes ?? broader.probes
        return result
    }

    static func read(_ fields: Fields) -> BreakerSettings {
        let hour = Duration.seconds(3600)
        var settings = BreakerSettings()
        settings.consecutiveFailures = fields.integer("consecutiveFailures", in: 1...1_000_000)
        settings.failureRate = fields.percent("failureRate")
        fields.mapping("slowCalls") { fields -> Bool? in
            settings.slowAfter = fields.duration(
                "longerThan", isRequired: true, in: .milliseconds(1)...hour)
            settings.slowRate = fields.percent("rate")
            return true
        }
        settings.window = fields.duration("window", in: .milliseconds(100)...hour)
        settings.minimumCalls = fields.integer("minimumCalls", in: 1...1_000_000)
        fields.mapping("open") { fields -> Bool? in
            settings.openDuration = fields.duration("duration", in: .milliseconds(1)...hour)
            settings.openGrowth = fields.integer("growth", in: 1...100)
            settings.openMax = fields.duration("max", in: .milliseconds(1)...Duration.seconds(86_400))
            if let open = settings.openDuration, let max = settings.openMax, max < open {
                fields.report("max", "is shorter than duration", "make it at least \(Syntax.text(open))")
            }
            return true
        }
        settings.probes = fields.integer("probes", in: 1...4095)
        return settings
    }
}
