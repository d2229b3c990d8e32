import MeshPrimitives
import Synchronization

/// What outlier detection decided about one endpoint.
public struct OutlierDecision: Sendable {
    public enum Kind: Equatable, Sendable, BitwiseCopyable {
        /// It is put aside. `ejections` counts those of this endpoint, `longest` nanoseconds before the jitter.
        case ejected(OutlierReason, ejections: UInt32, longest: Int64)
        /// It would be, but the reason's `enforcing_` percentage said no.
        case notEnforced(OutlierReason)
        /// It would be, but too many are (`ejections_overflow`).
        case overflowed(OutlierReason)
        /// Its time is over, or a health check has passed.
        case returned
    }

    public let monitor: OutlierMonitor
    public let kind: Kind
}

/// Puts endpoints of one cluster aside that fail, and brings them back: Envoy's rules and arithmetic. `record` is for
/// every attempt on every worker and takes no lock; what it suspects, and the interval's end, is decided under one.
///
/// The shell marks the endpoint (`EndpointMarks.ejected`), counts and logs; in shadow mode it only counts and logs.
public final class OutlierDetector: Sendable {
    public let settings: OutlierSettings

    private struct Entry {
        let monitor: OutlierMonitor
        var ejections: UInt32 = 0
        /// How many base times the next ejection takes: one more with each ejection, one less in each quiet interval.
        var backoff: Int64 = 0
        var ejectedAt = MonotonicInstant.zero
        var returnedAt: MonotonicInstant?
        var jitter: Int64 = 0
        var external = (total: UInt64(0), successes: UInt64(0))
        var local = (total: UInt64(0), successes: UInt64(0))
    }

    private struct State {
        var entries: [Entry] = []
        var ejected = 0
        var average = -1.0
        var threshold = -1.0
    }

    private let state = Mutex(State())

    public init(_ settings: OutlierSettings) {
        precondition(settings.longestEjection >= settings.baseEjectionTime && settings.interval > 0)
        self.settings = settings
    }

    // MARK: Members

    public func add(_ monitor: OutlierMonitor) {
        state.withLock { state in
            guard !state.entries.contains(where: { $0.monitor === monitor }) else { return }
            state.entries.append(Entry(monitor: monitor))
            if monitor.isEjected { monitor.setEjected(false) }
        }
    }

    public func remove(_ monitor: OutlierMonitor) {
        state.withLock { state in
            state.entries.removeAll { $0.monitor === monitor }
            if monitor.isEjected {
                state.ejected -= 1
                monitor.setEjected(false)
            }
        }
    }

    /// Endpoints that are aside now (`ejections_active`).
    public var ejectedCount: Int { state.withLock(\.ejected) }
    /// Average success rate of the cluster in the last interval, and the rate below which an endpoint was an outlier; -1
    /// where there were too few endpoints with enough requests.
    public var successRates: (average: Double, threshold: Double) {
        state.withLock { ($0.average, $0.threshold) }
    }

    // MARK: Events

    /// An attempt ended. Reasons that are not empty are for `suspect`, at once.
    @inline(__always)
    public func record(_ monitor: OutlierMonitor, _ result: OutlierResult) -> OutlierReasons {
        monitor.record(result, settings)
    }

    /// Decides about the reasons that `record` gave; none if the endpoint is aside already, or no member any more.
    public func suspect(
        _ monitor: OutlierMonitor, _ reasons: OutlierReasons, at now: MonotonicInstant,
        random: inout SeededRandom
    ) -> [OutlierDecision] {
        state.withLock { state in
            guard let place = state.entries.firstIndex(where: { $0.monitor === monitor }) else { return [] }
            var decisions: [OutlierDecision] = []
            for reason in [
                OutlierReason.consecutiveGatewayFailure, .consecutive5xx, .consecutiveLocalOriginFailure,
            ] where reasons.contains(reason) && !monitor.isEjected {
                decisions.append(eject(place, reason, &state, now, &random))
                monitor.reset(reason)
            }
            return decisions
        }
    }

    /// A health check of the endpoint has passed.
    public func checkPassed(_ monitor: OutlierMonitor, at now: MonotonicInstant) -> OutlierDecision? {
        guard settings.checkEndsEjection, monitor.isEjected else { return nil }
        return state.withLock { state in
            guard let place = state.entries.firstIndex(where: { $0.monitor === monitor }) else { return nil }
            return bringBack(place, &state, now)
        }
    }

    /// Every `settings.interval`: brings back whose time is over, then compares the success rates of the interval.
    public func intervalEnded(at now: MonotonicInstant, random: inout SeededRandom) -> [OutlierDecision] {
        state.withLock { state in
            var decisions: [OutlierDecision] = []
            for place in state.entries.indices {
                let entry = state.entries[place]
                if entry.monitor.isEjected {
                    let time = min(settings.baseEjectionTime * entry.backoff, settings.longestEjection)
                    if time + entry.jitter <= now.nanoseconds(since: entry.ejectedAt) {
                        decisions.append(bringBack(place, &state, now))
                    }
                }
                state.entries[place].external = entry.monitor.takeInterval(isLocal: false)
                state.entries[place].local = entry.monitor.takeInterval(isLocal: true)
                entry.monitor.externalRate.store((-1.0).bitPattern, ordering: .relaxed)
                entry.monitor.localRate.store((-1.0).bitPattern, ordering: .relaxed)
            }
            compare(isLocal: false, &state, &decisions, now, &random)
            compare(isLocal: true, &state, &decisions, now, &random)
            for place in state.entries.indices where !state.entries[place].monitor.isEjected {
                guard let returned = state.entries[place].returnedAt,
                    now.nanoseconds(since: returned) >= settings.interval
                else { continue }
                state.entries[place].backoff = max(0, state.entries[place].backoff - 1)
            }
            return decisions
        }
    }

    // MARK: Rules

    private func eject(
        _ place: Int, _ reason: OutlierReason, _ state: inout State, _ now: MonotonicInstant,
        _ random: inout SeededRandom
    ) -> OutlierDecision {
        let monitor = state.entries[place].monitor
        guard mayEject(state) else { return OutlierDecision(monitor: monitor, kind: .overflowed(reason)) }
        guard random.below(100) < UInt64(settings.enforcing(reason)) else {
            return OutlierDecision(monitor: monitor, kind: .notEnforced(reason))
        }
        state.ejected += 1
        monitor.setEjected(true)
        state.entries[place].ejections += 1
        state.entries[place].ejectedAt = now
        let jitterMax = settings.maxEjectionTimeJitter / Nanoseconds.perMillisecond
        state.entries[place].jitter =
            Int64(random.below(UInt64(jitterMax + 1))) * Nanoseconds.perMillisecond
        if state.entries[place].backoff * settings.baseEjectionTime
            < settings.longestEjection + settings.baseEjectionTime
        {
            state.entries[place].backoff += 1
        }
        let longest = min(settings.baseEjectionTime * state.entries[place].backoff, settings.longestEjection)
        return OutlierDecision(
            monitor: monitor,
            kind: .ejected(reason, ejections: state.entries[place].ejections, longest: longest))
    }

    private func mayEject(_ state: State) -> Bool {
        let percent = 100.0 * Double(state.ejected + 1) / Double(state.entries.count)
        let fits = percent <= Double(min(100, settings.ejectionPercentMax))
        switch settings.bound {
        case .percent: return fits
        case .percentOrOne: return fits || state.ejected == 0
        case .percentOrOneNeverTheLast:
            return (fits || state.ejected == 0) && state.ejected + 1 < state.entries.count
        }
    }

    private func bringBack(_ place: Int, _ state: inout State, _ now: MonotonicInstant) -> OutlierDecision {
        let monitor = state.entries[place].monitor
        state.ejected -= 1
        monitor.setEjected(false)
        // A counter that is close to its threshold would put it aside again on the first error.
        monitor.resetAll()
        state.entries[place].returnedAt = now
        return OutlierDecision(monitor: monitor, kind: .returned)
    }

    private func compare(
        isLocal: Bool, _ state: inout State, _ decisions: inout [OutlierDecision], _ now: MonotonicInstant,
        _ random: inout SeededRandom
    ) {
        let count = state.entries.count
        if !isLocal { (state.average, state.threshold) = (-1, -1) }
        guard
            count >= Int(settings.successRateMinimumHosts)
                || count >= Int(settings.failurePercentageMinimumHosts)
        else { return }
        var byRate: [(place: Int, rate: Double)] = []
        var byPercentage: [(place: Int, rate: Double)] = []
        for (place, entry) in state.entries.enumerated() where !entry.monitor.isEjected {
            let (total, successes) = isLocal ? entry.local : entry.external
            guard total > 0 else { continue }
            let rate = Double(successes) * 100 / Double(total)
            if total >= min(settings.successRateRequestVolume, settings.failurePercentageRequestVolume) {
                let word = rate.bitPattern
                if isLocal {
                    entry.monitor.localRate.store(word, ordering: .relaxed)
                } else {
                    entry.monitor.externalRate.store(word, ordering: .relaxed)
                }
            }
            if total >= settings.successRateRequestVolume { byRate.append((place, rate)) }
            if total >= settings.failurePercentageRequestVolume { byPercentage.append((place, rate)) }
        }
        if !byRate.isEmpty, byRate.count >= Int(settings.successRateMinimumHosts) {
            let (average, threshold) = Self.threshold(
                byRate.map(\.rate), factor: Double(settings.successRateStdevFactor) / 1000)
            if !isLocal { (state.average, state.threshold) = (average, threshold) }
            for (place, rate) in byRate where rate < threshold {
                let reason = isLocal ? OutlierReason.successRateLocalOrigin : .successRate
                decisions.append(eject(place, reason, &state, now, &random))
            }
        }
        guard !byPercentage.isEmpty, byPercentage.count >= Int(settings.failurePercentageMinimumHosts) else {
            return
        }
        for (place, rate) in byPercentage where 100 - rate >= Double(settings.failurePercentageThreshold) {
            if state.entries[place].monitor.isEjected { continue }
            let reason = isLocal ? OutlierReason.failurePercentageLocalOrigin : .failurePercentage
            decisions.append(eject(place, reason, &state, now, &random))
        }
    }

    /// Mean of the rates, and that many standard deviations below it.
    static func threshold(_ rates: [Double], factor: Double) -> (average: Double, threshold: Double) {
        let mean = rates.reduce(0, +) / Double(rates.count)
        let variance = rates.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rates.count)
        return (mean, mean - factor * variance.squareRoot())
    }
}
