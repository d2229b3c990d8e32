import HTTPModel
import MeshPrimitives
import TrafficPolicy

/// A name that the configuration knows (route, cluster, peer identity, …), as a number of its table; 0 is none.
public struct NameID: Equatable, Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt32

    @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    public static let none = NameID(0)
    @inlinable public var isNone: Bool { rawValue == 0 }
}

/// One attempt at an upstream, as it is remembered.
public struct AttemptRecord: Sendable, BitwiseCopyable {
    /// nil while no endpoint was found.
    public var endpoint: SocketAddress?
    /// Nanoseconds since the request's start.
    public var start: Int64 = 0
    public var duration: Int64 = 0
    /// 0: no answer.
    public var status: UInt16 = 0
    public var end = AttemptEnd.running
    /// Why this attempt was made; nil for the first one.
    public var cause: RetryReason?

    public init() {}
}

/// How an attempt ended, for the record: the policy's `AttemptOutcome` without what the record has elsewhere.
public enum AttemptEnd: UInt8, Sendable, BitwiseCopyable {
    case running, answered, connectFailed, connectTimedOut, overflowed, refusedStream, goAwayBelow
    case resetUnsent, resetSent, protocolError, perTryTimedOut, perTryIdledOut, resetMidAnswer,
        requestTimedOut
    case abandoned

    public init(_ outcome: AttemptOutcome) {
        switch outcome {
        case .connectFailed: self = .connectFailed
        case .connectTimedOut: self = .connectTimedOut
        case .overflowed: self = .overflowed
        case .refusedStream: self = .refusedStream
        case .goAwayBelow: self = .goAwayBelow
        case .resetBeforeAnswer(let sent, _): self = sent <= .nothingSent ? .resetUnsent : .resetSent
        case .protocolError: self = .protocolError
        case .perTryTimedOut: self = .perTryTimedOut
        case .perTryIdledOut: self = .perTryIdledOut
        case .answered: self = .answered
        case .resetMidAnswer: self = .resetMidAnswer
        case .requestTimedOut: self = .requestTimedOut
        }
    }
}

public enum RecordedProtocol: UInt8, Sendable, BitwiseCopyable {
    case none, http10, http11, http2, tcp

    /// `%PROTOCOL%`.
    public var text: StaticString {
        switch self {
        case .none, .tcp: "-"
        case .http10: "HTTP/1.0"
        case .http11: "HTTP/1.1"
        case .http2: "HTTP/2"
        }
    }

    /// From the version of a `MessageHead`.
    public init(version: UInt8) {
        self =
            switch version {
            case 10: .http10
            case 11: .http11
            case 20: .http2
            default: .none
            }
    }
}

public enum RecordedTLSVersion: UInt8, Sendable, BitwiseCopyable {
    case none, tls12, tls13

    public var text: StaticString {
        switch self {
        case .none: "-"
        case .tls12: "TLSv1.2"
        case .tls13: "TLSv1.3"
        }
    }
}

/// What a rate limit said of a request; `wouldRefuse`: it is not enforced.
public enum RecordedLimit: UInt8, Sendable, BitwiseCopyable {
    case none, allowed, refused, wouldRefuse

    public var text: StaticString {
        switch self {
        case .none: "-"
        case .allowed: "allowed"
        case .refused: "refused"
        case .wouldRefuse: "would_refuse"
        }
    }
}

/// What the circuit breaker of the service said of the last attempt.
public enum RecordedBreaker: UInt8, Sendable, BitwiseCopyable {
    /// There is none.
    case none
    case closed
    /// Half-open: the attempt was one of the probes.
    case probe
    /// The attempt was not made.
    case open

    public var text: StaticString {
        switch self {
        case .none: "-"
        case .closed: "closed"
        case .probe: "half_open"
        case .open: "open"
        }
    }
}

/// The record of one request: plain data, written by the worker as the request goes along, read by the access log, the
/// statistics and the flight recorder at its end. Durations are nanoseconds since `started`; -1: did not happen.
public struct ExchangeRecord: Sendable, BitwiseCopyable {
    /// Attempts that are kept: the first ones.
    public static let attemptsMax = 4

    /// Nanoseconds since 1970.
    public var startedAt: Int64 = 0
    public var started = MonotonicInstant.zero
    /// The last byte of the request came.
    public var requestReceived: Int64 = -1
    /// The first byte of the request went upstream.
    public var requestSendStarted: Int64 = -1
    public var requestSent: Int64 = -1
    /// The first byte of the answer came from upstream.
    public var responseReceived: Int64 = -1
    public var responseCompleted: Int64 = -1
    /// The first byte of the answer went downstream.
    public var responseSendStarted: Int64 = -1
    /// The last one did.
    public var responseSent: Int64 = -1
    /// From the end of the request sent upstream to the head of the answer: `x-envoy-upstream-service-time`. -1: none
    /// came.
    public var upstreamServiceTime: Int64 = -1
    /// The request was over.
    public var ended: Int64 = -1

    /// Bytes of bodies, as downstream sees them.
    public var bytesReceived: UInt64 = 0
    public var bytesSent: UInt64 = 0
    public var requestHeadBytes: UInt32 = 0
    public var responseHeadBytes: UInt32 = 0

    /// 0: none was sent.
    public var status: UInt16 = 0
    /// -1: none.
    public var grpcStatus: Int8 = -1
    public var method = Method.other
    public var downstreamProtocol = RecordedProtocol.none
    public var upstreamProtocol = RecordedProtocol.none
    public var downstreamTLS = RecordedTLSVersion.none
    public var details = ResponseDetails.none
    public var upstreamReset = UpstreamReset.none
    /// Answers a check of our own health; filters of access logs ask.
    public var isHealthCheck = false
    public var isSampled = false
    public var retryRefusal: RetryRefusal?
    /// What the rate limit said, and how many tokens it had left of how many.
    public var limiter = RecordedLimit.none
    public var breaker = RecordedBreaker.none
    public var limiterRemaining: UInt32 = 0
    public var limiterMax: UInt32 = 0
    /// Where that rate limit stands in the configuration.
    public var limiterPlace = NameID.none
    /// What policies in shadow mode would have done.
    public var shadows: ShadowDecisions = []
    public var flags: ResponseFlags = []

    /// The caller as `x-forwarded-for` and its trust say.
    public var downstreamRemote: SocketAddress?
    /// The peer of the connection.
    public var downstreamDirectRemote: SocketAddress?
    public var downstreamLocal: SocketAddress?
    public var upstreamHost: SocketAddress?
    public var upstreamLocal: SocketAddress?

    public var listener = NameID.none
    public var virtualHost = NameID.none
    public var route = NameID.none
    public var cluster = NameID.none
    /// SPIFFE identity of the caller, as the worker interned it.
    public var downstreamPeer = NameID.none
    public var requestedServerName = NameID.none
    public var upstreamFailure = NameID.none
    public var configurationVersion: UInt32 = 0

    public var connectionID: UInt64 = 0
    public var traceID = TraceID.none
    public var spanID: UInt64 = 0
    public var requestID = RequestID.none

    /// Attempts made, kept or not.
    public private(set) var attemptCount: UInt16 = 0
    /// Index of the attempt that the rest of the record tells of: the last, unless attempts ran beside each other.
    public var attemptAtHand: UInt16 = 0
    private var attempts = InlineArray<4, AttemptRecord>(repeating: AttemptRecord())

    public init() {}

    static var bytesWithOneAttempt: Int {
        MemoryLayout<Self>.size - (attemptsMax - 1) * MemoryLayout<AttemptRecord>.stride
    }

    /// Of its bytes those that say something: attempts that were not made stand at the end.
    var bytesUsed: Int {
        MemoryLayout<Self>.size - (Self.attemptsMax - attemptsKept) * MemoryLayout<AttemptRecord>.stride
    }

    /// The attempts that are kept, `0..<attemptsKept`.
    public var attemptsKept: Int { min(Int(attemptCount), Self.attemptsMax) }

    public func attempt(_ index: Int) -> AttemptRecord {
        precondition(index < attemptsKept)
        return attempts[index]
    }

    /// Counts an attempt, and keeps it if there is room.
    public mutating func attemptStarted(
        at offset: Int64, endpoint: SocketAddress?, cause: RetryReason?
    ) {
        if attemptCount < Self.attemptsMax {
            attempts[Int(attemptCount)].endpoint = endpoint
            attempts[Int(attemptCount)].start = offset
            attempts[Int(attemptCount)].duration = 0
            attempts[Int(attemptCount)].status = 0
            attempts[Int(attemptCount)].end = .running
            attempts[Int(attemptCount)].cause = cause
        }
        attemptAtHand = attemptCount
        attemptCount &+= 1
    }

    /// The attempt at hand ended.
    public mutating func attemptEnded(at offset: Int64, _ end: AttemptEnd, status: UInt16 = 0) {
        guard attemptCount > 0 else { return }
        attemptEnded(Int(attemptAtHand), at: offset, end, status: status)
    }

    /// That attempt ended.
    public mutating func attemptEnded(
        _ index: Int, at offset: Int64, _ end: AttemptEnd, status: UInt16 = 0
    ) {
        guard index < attemptsKept else { return }
        attempts[index].duration = offset - attempts[index].start
        attempts[index].end = end
        attempts[index].status = status
    }
}
