/// `CircuitBreakerPolicy.outlierDetection`: when an endpoint is put aside. Envoy's fields with Envoy's defaults, but one
/// endpoint may always be put aside, and never the last that is left. Without the block nobody is.
public struct OutlierDetectionSettings: Sendable, Equatable {
    /// Envoy's name of a field that counts or is a percentage; each has a bound.
    public enum Number: String, Sendable, CaseIterable {
        case consecutive5xx, consecutiveGatewayFailure, consecutiveLocalOriginFailure
        case enforcingConsecutive5xx, enforcingConsecutiveGatewayFailure
        case enforcingConsecutiveLocalOriginFailure, enforcingSuccessRate, enforcingLocalOriginSuccessRate
        case enforcingFailurePercentage, enforcingFailurePercentageLocalOrigin
        case successRateMinimumHosts, successRateRequestVolume, successRateStdevFactor
        case failurePercentageThreshold, failurePercentageMinimumHosts, failurePercentageRequestVolume
        case maxEjectionPercent

        var range: ClosedRange<Int> {
            switch self {
            case .enforcingConsecutive5xx, .enforcingConsecutiveGatewayFailure,
                .enforcingConsecutiveLocalOriginFailure, .enforcingSuccessRate,
                .enforcingLocalOriginSuccessRate, .enforcingFailurePercentage,
                .enforcingFailurePercentageLocalOrigin, .failurePercentageThreshold, .maxEjectionPercent:
                0...100
            case .consecutive5xx, .consecutiveGatewayFailure, .consecutiveLocalOriginFailure: 1...1_000_000
            case .successRateMinimumHosts, .successRateRequestVolume, .successRateStdevFactor,
                .failurePercentageMinimumHosts, .failurePercentageRequestVolume:
                0...1_000_000
            }
        }
    }

    public var numbers: [Number: Int] = [:]
    public var interval: Duration?
    public var baseEjectionTime: Duration?
    public var maxEjectionTime: Duration?
    public var maxEjectionTimeJitter: Duration?
    public var splitExternalLocalOriginErrors: Bool?
    public var alwaysEjectOneHost: Bool?
    /// Ours, true unless said: the last endpoint that is left stays, and one may always be put aside.
    public var keepLast: Bool?

    func filled(from broader: OutlierDetectionSettings) -> OutlierDetectionSettings {
        var result = self
        result.numbers = numbers.merging(broader.numbers) { own, _ in own }
        result.interval = interval ?? broader.interval
        result.baseEjectionTime = baseEjectionTime ?? broader.baseEjectionTime
        result.maxEjectionTime = maxEjectionTime ?? broader.maxEjectionTime
        result.maxEjectionTimeJitter = maxEjectionTimeJitter ?? broader.maxEjectionTimeJitter
        result.splitExternalLocalOriginErrors =
            splitExternalLocalOriginErrors ?? broader.splitExternalLocalOriginErrors
        result.alwaysEjectOneHost = alwaysEjectOneHost ?? broader.alwaysEjectOneHost
        result.keepLast = keepLast ?? broader.keepLast
        return result
    }

    static func read(_ fields: Fields) -> OutlierDetectionSettings {
        let day = Duration.seconds(86_400)
        var settings = OutlierDetectionSettings()
        for number in Number.allCases {
            settings.numbers[number] = fields.integer(number.rawValue, in: number.range)
        }
        settings.interval = fields.duration("interval", in: .milliseconds(10)...day)
        settings.baseEjectionTime = fields.duration("baseEjectionTime", in: .milliseconds(10)...day)
        settings.maxEjectionTime = fields.duration("maxEjectionTime", in: .milliseconds(10)...day)
        settings.maxEjectionTimeJitter = fields.duration("maxEjectionTimeJitter", in: .zero...day)
        settings.splitExternalLocalOriginErrors = fields.boolean("splitExternalLocalOriginErrors")
        settings.alwaysEjectOneHost = fields.boolean("alwaysEjectOneHost")
        settings.keepLast = fields.boolean("keepLast")
        if let base = settings.baseEjectionTime, let most = settings.maxEjectionTime, most < base {
            fields.report(
                "maxEjectionTime", "is shorter than baseEjectionTime",
                "make it at least \(Syntax.text(base))")
        }
        return settings
    }
}
