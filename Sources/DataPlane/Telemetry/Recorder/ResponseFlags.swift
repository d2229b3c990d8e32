import MeshPrimitives

/// What went wrong with a request, or was done to it: Envoy's flags. A log line lists them in the order of their bits;
/// Envoy does in the order in which they were set, so the flags that it sets before others come first here (`URX,UF`).
public struct ResponseFlags: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    private init(bit: UInt32) { rawValue = 1 << bit }

    public static let failedLocalHealthCheck = ResponseFlags(bit: 0)
    public static let upstreamRetryLimitExceeded = ResponseFlags(bit: 1)
    public static let upstreamOverflow = ResponseFlags(bit: 2)
    public static let noHealthyUpstream = ResponseFlags(bit: 3)
    public static let upstreamRequestTimeout = ResponseFlags(bit: 4)
    public static let localReset = ResponseFlags(bit: 5)
    public static let upstreamRemoteReset = ResponseFlags(bit: 6)
    public static let upstreamConnectionFailure = ResponseFlags(bit: 7)
    public static let upstreamConnectionTermination = ResponseFlags(bit: 8)
    public static let noRouteFound = ResponseFlags(bit: 9)
    public static let delayInjected = ResponseFlags(bit: 10)
    public static let faultInjected = ResponseFlags(bit: 11)
    public static let rateLimited = ResponseFlags(bit: 12)
    public static let unauthorizedExternalService = ResponseFlags(bit: 13)
    public static let rateLimitServiceError = ResponseFlags(bit: 14)
    public static let downstreamConnectionTermination = ResponseFlags(bit: 15)
    public static let streamIdleTimeout = ResponseFlags(bit: 16)
    public static let invalidEnvoyRequestHeaders = ResponseFlags(bit: 17)
    public static let downstreamProtocolError = ResponseFlags(bit: 18)
    public static let upstreamMaxStreamDurationReached = ResponseFlags(bit: 19)
    public static let responseFromCacheFilter = ResponseFlags(bit: 20)
    public static let noFilterConfigFound = ResponseFlags(bit: 21)
    public static let durationTimeout = ResponseFlags(bit: 22)
    public static let upstreamProtocolError = ResponseFlags(bit: 23)
    public static let noClusterFound = ResponseFlags(bit: 24)
    public static let overloadManager = ResponseFlags(bit: 25)
    public static let dnsResolutionFailed = ResponseFlags(bit: 26)
    public static let dropOverload = ResponseFlags(bit: 27)
    public static let downstreamRemoteReset = ResponseFlags(bit: 28)
    public static let unconditionalDropOverload = ResponseFlags(bit: 29)

    public static let bitCount = 30

    /// The letters of one bit.
    public static func letters(bit: Int) -> StaticString { names(bit).0 }

    /// The word of one bit, `%RESPONSE_FLAGS_LONG%`.
    public static func word(bit: Int) -> StaticString { names(bit).1 }

    private static func names(_ bit: Int) -> (StaticString, StaticString) {
        switch bit {
        case 0: ("LH", "FailedLocalHealthCheck")
        case 1: ("URX", "UpstreamRetryLimitExceeded")
        case 2: ("UO", "UpstreamOverflow")
        case 3: ("UH", "NoHealthyUpstream")
        case 4: ("UT", "UpstreamRequestTimeout")
        case 5: ("LR", "LocalReset")
        case 6: ("UR", "UpstreamRemoteReset")
        case 7: ("UF", "UpstreamConnectionFailure")
        case 8: ("UC", "UpstreamConnectionTermination")
        case 9: ("NR", "NoRouteFound")
        case 10: ("DI", "DelayInjected")
        case 11: ("FI", "FaultInjected")
        case 12: ("RL", "RateLimited")
        case 13: ("UAEX", "UnauthorizedExternalService")
        case 14: ("RLSE", "RateLimitServiceError")
        case 15: ("DC", "DownstreamConnectionTermination")
        case 16: ("SI", "StreamIdleTimeout")
        case 17: ("IH", "InvalidEnvoyRequestHeaders")
        case 18: ("DPE", "DownstreamProtocolError")
        case 19: ("UMSDR", "UpstreamMaxStreamDurationReached")
        case 20: ("RFCF", "ResponseFromCacheFilter")
        case 21: ("NFCF", "NoFilterConfigFound")
        case 22: ("DT", "DurationTimeout")
        case 23: ("UPE", "UpstreamProtocolError")
        case 24: ("NC", "NoClusterFound")
        case 25: ("OM", "OverloadManagerTerminated")
        case 26: ("DF", "DnsResolutionFailed")
        case 27: ("DO", "DropOverload")
        case 28: ("DR", "DownstreamRemoteReset")
        case 29: ("UDO", "UnconditionalDropOverload")
        default: ("", "")
        }
    }

    /// The flag with these letters, for filters; nil for others.
    public init?(letters: String) {
        for bit in 0..<Self.bitCount where Self.letters(bit: bit).description == letters {
            self.init(bit: UInt32(bit))
            return
        }
        return nil
    }

    /// Letters between commas, `-` if there are none.
    public var text: String {
        let words = (0..<Self.bitCount).filter { rawValue & (1 << $0) != 0 }.map {
            Self.letters(bit: $0).description
        }
        return words.isEmpty ? "-" : words.joined(separator: ",")
    }
}
