/// What statistics are about.
public enum ScopeKind: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case server, listener, http, cluster, rateLimit, connectionLimit, quota, tcp

    /// Words on the page of counters.
    var counterCount: Int {
        switch self {
        case .server: ServerCounter.allCases.count
        case .listener: ListenerCounter.allCases.count
        case .http: HTTPCounter.allCases.count
        case .cluster: ClusterCounter.allCases.count
        case .rateLimit: RateLimitCounter.allCases.count
        case .connectionLimit: ConnectionLimitCounter.allCases.count
        case .quota: QuotaCounter.allCases.count
        case .tcp: TCPCounter.allCases.count
        }
    }

    func counterName(_ index: Int) -> StaticString {
        let number = UInt16(index)
        switch self {
        case .server: return ServerCounter(rawValue: number)?.name ?? ""
        case .listener: return ListenerCounter(rawValue: number)?.name ?? ""
        case .http: return HTTPCounter(rawValue: number)?.name ?? ""
        case .cluster: return ClusterCounter(rawValue: number)?.name ?? ""
        case .rateLimit: return RateLimitCounter(rawValue: number)?.name ?? ""
        case .connectionLimit: return ConnectionLimitCounter(rawValue: number)?.name ?? ""
        case .quota: return QuotaCounter(rawValue: number)?.name ?? ""
        case .tcp: return TCPCounter(rawValue: number)?.name ?? ""
        }
    }

    func isGauge(_ index: Int) -> Bool {
        let number = UInt16(index)
        switch self {
        case .server: return ServerCounter(rawValue: number)?.isGauge ?? false
        case .listener: return ListenerCounter(rawValue: number)?.isGauge ?? false
        case .http: return HTTPCounter(rawValue: number)?.isGauge ?? false
        case .cluster: return ClusterCounter(rawValue: number)?.isGauge ?? false
        case .rateLimit: return RateLimitCounter(rawValue: number)?.isGauge ?? false
        case .connectionLimit, .quota, .tcp: return false
        }
    }

    /// Histograms, in the order of their pages, which follow that of the counters.
    var histogramNames: [StaticString] {
        switch self {
        case .server: ["martlet.overhead_us"]
        case .rateLimit, .connectionLimit, .quota, .tcp: []
        case .listener: ["downstream_cx_length_ms"]
        case .http: ["downstream_rq_time", "downstream_cx_length_ms"]
        case .cluster: ["upstream_rq_time", "upstream_cx_connect_ms", "upstream_cx_length_ms"]
        }
    }

    /// A table of counts by status code, behind the histograms.
    var hasStatusTable: Bool { self == .cluster }

    /// Pages of one scope: a page is memory that a worker takes when it first writes to it.
    var pageCount: Int { 1 + histogramNames.count + (hasStatusTable ? 1 : 0) }
}

/// A scope as the code that counts knows it: where its pages begin. Plain data, good for as long as the registry.
public struct ClusterScope: Equatable, Sendable, BitwiseCopyable { public let page: UInt32 }
public struct HTTPScope: Equatable, Sendable, BitwiseCopyable { public let page: UInt32 }
public struct ListenerScope: Equatable, Sendable, BitwiseCopyable { public let page: UInt32 }
public struct RateLimitScope: Equatable, Sendable, BitwiseCopyable { public let page: UInt32 }
public struct ConnectionLimitScope: Equatable, Sendable, BitwiseCopyable { public let page: UInt32 }
public struct QuotaScope: Equatable, Sendable, BitwiseCopyable { public let page: UInt32 }
public struct TCPScope: Equatable, Sendable, BitwiseCopyable { public let page: UInt32 }
public struct ServerScope: Equatable, Sendable, BitwiseCopyable { public let page: UInt32 }

public enum ClusterHistogram: UInt32, Sendable, BitwiseCopyable {
    case upstreamRqTime, upstreamCxConnectMs, upstreamCxLengthMs
}
public enum HTTPHistogram: UInt32, Sendable, BitwiseCopyable { case downstreamRqTime, downstreamCxLengthMs }
/// Of the process; in microseconds, with a thousandth of the other histograms' buckets.
public enum ServerHistogram: UInt32, Sendable, BitwiseCopyable {
    /// What the proxy itself adds to the time of a request.
    case overhead
}
public enum ListenerHistogram: UInt32, Sendable, BitwiseCopyable { case downstreamCxLengthMs }
