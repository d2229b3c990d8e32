import MeshPrimitives

/// Bounds of one priority of a cluster (`circuit_breakers.thresholds`).
public struct ClusterLimitSettings: Equatable, Sendable, BitwiseCopyable {
    public var connectionsMax = 1024
    /// Requests that wait for a connection.
    public var pendingRequestsMax = 1024
    public var requestsMax = 1024
    /// Retries in flight, back-off included. Holds only where `retryBudget` is `none`.
    public var retriesMax = 3
    public var retryBudget = RetryBudgetSettings.none

    public init() {}

    /// Envoy's defaults.
    public static let envoyDefault = ClusterLimitSettings()
    public static let meshDefault: ClusterLimitSettings = {
        var settings = ClusterLimitSettings()
        settings.retryBudget = .meshDefault
        return settings
    }()
}

/// What one priority of a cluster has in use, over all workers.
public final class ClusterLimits: Sendable {
    public let connections: ConcurrencyLimit
    public let pendingRequests: ConcurrencyLimit
    public let requests: ConcurrencyLimit
    /// Counts retries under every kind of budget; its own bound holds only where there is none.
    public let retries: ConcurrencyLimit
    public let retryBudget: RetryBudgetSettings
    /// nil unless the budget is windowed.
    private let window: Unowned<Window>?
    /// Keeps it alive.
    private let windowKept: Window?

    /// By itself, since few clusters have one and it is larger than all the rest.
    private final class Window: Sendable {
        let budget: SlidingRetryBudget

        init(_ budget: consuming SlidingRetryBudget) { self.budget = budget }
    }

    public init(_ settings: ClusterLimitSettings) {
        connections = ConcurrencyLimit(max: settings.connectionsMax)
        pendingRequests = ConcurrencyLimit(max: settings.pendingRequestsMax)
        requests = ConcurrencyLimit(max: settings.requestsMax)
        retries = ConcurrencyLimit(max: settings.retriesMax)
        retryBudget = settings.retryBudget
        windowKept =
            if case .windowed(let percent, let length, let retriesMin) = settings.retryBudget {
                Window(SlidingRetryBudget(percent: percent, window: length, retriesMin: retriesMin))
            } else {
                nil
            }
        window = windowKept.map { Unowned($0) }
    }

    /// A request is about to make its first attempt; only a windowed budget listens.
    public func requestStarted(at now: MonotonicInstant) {
        window?.with { $0.budget.requestStarted(at: now) }
    }

    /// A place for one retry, from the decision to retry until the attempt has ended or been given up. Whoever got it
    /// calls `retryEnded` once. Refused: the request ends as it is, flag UO, counted as `upstream_rq_retry_overflow`.
    public func admitRetry(at now: MonotonicInstant) -> Bool {
        switch retryBudget {
        case .none:
            return retries.tryAcquire()
        case .concurrent:
            return retries.tryAcquire(max: retriesMax)
        case .windowed:
            guard let window, window.with({ $0.budget.admitRetry(at: now) }) else { return false }
            retries.acquireAlways()
            return true
        }
    }

    public func retryEnded() { retries.release() }

    /// `retry_open` of Envoy's gauges.
    public func isRetryOpen(at now: MonotonicInstant) -> Bool {
        switch retryBudget {
        case .none: return retries.isOpen
        case .concurrent: return retries.current >= retriesMax
        case .windowed:
            guard let window else { return false }
            return window.with { window in
                let sums = window.budget.sums(at: now)
                return sums.retries >= window.budget.allowance(requests: sums.requests)
            }
        }
    }

    /// Retries that may be in flight now.
    public var retriesMax: Int {
        guard case .concurrent(let percent, let concurrencyMin) = retryBudget else { return retries.max }
        let active = requests.current + pendingRequests.current
        return max(concurrencyMin, Int(Double(active) * percent / 100))
    }
}
