/// Envoy's `OutlierDetection` with its defaults. Times in nanoseconds, shares in percent.
public struct OutlierSettings: Equatable, Sendable, BitwiseCopyable {
    /// How many may be put aside at once.
    public enum Bound: UInt8, Equatable, Sendable, BitwiseCopyable {
        /// Up to `ejectionPercentMax`: with 10 % of five endpoints nobody.
        case percent
        /// The same, but one always may (`always_eject_one_host`), even if it is the only one.
        case percentOrOne
        /// Ours: the same, but never the last that is left.
        case percentOrOneNeverTheLast
    }

    public var consecutive5xx: UInt32 = 5
    public var consecutiveGatewayFailure: UInt32 = 5
    public var consecutiveLocalOriginFailure: UInt32 = 5
    public var interval: Int64 = 10 * Nanoseconds.perSecond
    public var baseEjectionTime: Int64 = 30 * Nanoseconds.perSecond
    /// 0: 300 s, or `baseEjectionTime` if that is longer.
    public var maxEjectionTime: Int64 = 0
    public var maxEjectionTimeJitter: Int64 = 0
    public var ejectionPercentMax: UInt32 = 10
    public var bound = Bound.percent
    public var enforcingConsecutive5xx: UInt32 = 100
    public var enforcingConsecutiveGatewayFailure: UInt32 = 0
    public var enforcingConsecutiveLocalOriginFailure: UInt32 = 100
    public var enforcingSuccessRate: UInt32 = 100
    public var enforcingLocalOriginSuccessRate: UInt32 = 100
    public var enforcingFailurePercentage: UInt32 = 0
    public var enforcingFailurePercentageLocalOrigin: UInt32 = 0
    public var successRateMinimumHosts: UInt32 = 5
    public var successRateRequestVolume: UInt32 = 100
    /// Thousandths of a standard deviation.
    public var successRateStdevFactor: UInt32 = 1900
    public var failurePercentageThreshold: UInt32 = 85
    public var failurePercentageMinimumHosts: UInt32 = 5
    public var failurePercentageRequestVolume: UInt32 = 50
    /// What our own side saw (connection failures, time-outs) counts apart from what the endpoint answered.
    public var splitsLocalOriginErrors = false
    /// Ours: an answer to a gRPC call counts by the status in its trailers; else, as by Envoy, by its head alone.
    public var readsGRPCTrailers = false
    /// A passed health check ends an ejection.
    public var checkEndsEjection = true

    public init() {}

    /// Envoy's.
    public static let envoyDefault = OutlierSettings()
    /// Ours: in a small cluster at least one, never the last.
    public static let meshDefault: OutlierSettings = {
        var settings = OutlierSettings()
        settings.bound = .percentOrOneNeverTheLast
        return settings
    }()

    var longestEjection: Int64 {
        maxEjectionTime > 0 ? maxEjectionTime : max(300 * Nanoseconds.perSecond, baseEjectionTime)
    }

    func threshold(_ reason: OutlierReason) -> UInt32 {
        switch reason {
        case .consecutive5xx: consecutive5xx
        case .consecutiveGatewayFailure: consecutiveGatewayFailure
        case .consecutiveLocalOriginFailure: consecutiveLocalOriginFailure
        case .successRate, .successRateLocalOrigin, .failurePercentage, .failurePercentageLocalOrigin: 0
        }
    }

    func enforcing(_ reason: OutlierReason) -> UInt32 {
        switch reason {
        case .consecutive5xx: enforcingConsecutive5xx
        case .consecutiveGatewayFailure: enforcingConsecutiveGatewayFailure
        case .consecutiveLocalOriginFailure: enforcingConsecutiveLocalOriginFailure
        case .successRate: enforcingSuccessRate
        case .successRateLocalOrigin: enforcingLocalOriginSuccessRate
        case .failurePercentage: enforcingFailurePercentage
        case .failurePercentageLocalOrigin: enforcingFailurePercentageLocalOrigin
        }
    }
}

/// What makes an endpoint an outlier; names are those of Envoy's `OutlierEjectionType`.
public enum OutlierReason: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case consecutive5xx, consecutiveGatewayFailure, consecutiveLocalOriginFailure
    case successRate, successRateLocalOrigin, failurePercentage, failurePercentageLocalOrigin
}

/// Those that came true with one result, mostly none.
public struct OutlierReasons: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public init(_ reason: OutlierReason) { rawValue = 1 << reason.rawValue }

    public func contains(_ reason: OutlierReason) -> Bool { contains(OutlierReasons(reason)) }
}

/// How an attempt ended, as outlier detection sees it.
public enum OutlierResult: Equatable, Sendable, BitwiseCopyable {
    /// An answer with this status; a gRPC status by its HTTP equivalent.
    case answered(status: UInt16)
    /// Not connected, or cut before an answer.
    case connectFailed
    /// The per-try or the whole time-out.
    case timedOut
    /// A connection is there, and a protocol above it will say more.
    case connected
    /// The same where nothing more will be said (TCP).
    case connectedFinally
    /// Above TCP, where there is no status.
    case requestSucceeded, requestFailed
}
