import MeshPrimitives
import Synchronization

/// What outlier detection counts about one endpoint, over all workers, on atomic words. It outlives configurations.
public final class OutlierMonitor: Sendable {
    private let failures5xx = Atomic<UInt32>(0)
    private let gatewayFailures = Atomic<UInt32>(0)
    private let localFailures = Atomic<UInt32>(0)
    /// Of the running interval: all in the upper half, successes in the lower one.
    private let external = Atomic<UInt64>(0)
    private let local = Atomic<UInt64>(0)
    private let ejected = Atomic<Bool>(false)

    /// Percent in the last interval; -1: too few requests, or nobody has looked.
    let externalRate = Atomic<UInt64>((-1.0).bitPattern)
    let localRate = Atomic<UInt64>((-1.0).bitPattern)

    public init() {}

    public var isEjected: Bool { ejected.load(ordering: .relaxed) }
    /// For the pages that show it.
    public var successRate: Double { Double(bitPattern: externalRate.load(ordering: .relaxed)) }
    public var localOriginSuccessRate: Double { Double(bitPattern: localRate.load(ordering: .relaxed)) }

    func setEjected(_ isEjected: Bool) { ejected.store(isEjected, ordering: .relaxed) }

    /// The reasons for which the endpoint has just become suspect.
    func record(_ result: OutlierResult, _ settings: OutlierSettings) -> OutlierReasons {
        settings.splitsLocalOriginErrors ? recordSplit(result, settings) : recordJoined(result, settings)
    }

    private func recordJoined(_ result: OutlierResult, _ settings: OutlierSettings) -> OutlierReasons {
        switch result {
        case .answered(let status): answered(status, settings)
        case .connectFailed: answered(503, settings)
        case .timedOut: answered(504, settings)
        case .requestFailed: answered(500, settings)
        case .requestSucceeded, .connectedFinally: answered(200, settings)
        case .connected: []
        }
    }

    private func recordSplit(_ result: OutlierResult, _ settings: OutlierSettings) -> OutlierReasons {
        switch result {
        case .answered(let status): return answered(status, settings)
        case .requestFailed: return answered(503, settings)
        case .requestSucceeded:
            localSucceeded()
            return answered(200, settings)
        case .connected, .connectedFinally:
            localSucceeded()
            return []
        case .connectFailed, .timedOut:
            local.wrappingAdd(1 << 32, ordering: .relaxed)
            let count = localFailures.wrappingAdd(1, ordering: .relaxed).newValue
            return count == settings.consecutiveLocalOriginFailure
                ? OutlierReasons(.consecutiveLocalOriginFailure) : []
        }
    }

    private func localSucceeded() {
        local.wrappingAdd(1 << 32 | 1, ordering: .relaxed)
        Self.clear(localFailures)
    }

    @inline(__always)
    private func answered(_ status: UInt16, _ settings: OutlierSettings) -> OutlierReasons {
        guard status >= 500, status <= 599 else {
            external.wrappingAdd(1 << 32 | 1, ordering: .relaxed)
            Self.clear(failures5xx)
            Self.clear(gatewayFailures)
            return []
        }
        external.wrappingAdd(1 << 32, ordering: .relaxed)
        var reasons: OutlierReasons = []
        if status >= 502, status <= 504 {
            let count = gatewayFailures.wrappingAdd(1, ordering: .relaxed).newValue
            if count == settings.consecutiveGatewayFailure {
                reasons.insert(OutlierReasons(.consecutiveGatewayFailure))
            }
        } else {
            Self.clear(gatewayFailures)
        }
        let count = failures5xx.wrappingAdd(1, ordering: .relaxed).newValue
        if count == settings.consecutive5xx { reasons.insert(OutlierReasons(.consecutive5xx)) }
        return reasons
    }

    /// A line of memory that all workers read is not written without need.
    @inline(__always) private static func clear(_ word: borrowing Atomic<UInt32>) {
        if word.load(ordering: .relaxed) != 0 { word.store(0, ordering: .relaxed) }
    }

    func reset(_ reason: OutlierReason) {
        switch reason {
        case .consecutive5xx: Self.clear(failures5xx)
        case .consecutiveGatewayFailure: Self.clear(gatewayFailures)
        case .consecutiveLocalOriginFailure: Self.clear(localFailures)
        case .successRate, .successRateLocalOrigin, .failurePercentage, .failurePercentageLocalOrigin: break
        }
    }

    func resetAll() {
        for reason in OutlierReason.allCases { reset(reason) }
    }

    /// The interval is over: what it counted, and zero from here on.
    func takeInterval(isLocal: Bool) -> (total: UInt64, successes: UInt64) {
        let word =
            (isLocal ? local.exchange(0, ordering: .relaxed) : external.exchange(0, ordering: .relaxed))
        return (word >> 32, word & 0xffff_ffff)
    }
}
