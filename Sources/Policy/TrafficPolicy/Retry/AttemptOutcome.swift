/// How far an attempt had come when it ended: what decides whether repeating it can do harm.
public enum DeliveryState: UInt8, Comparable, Sendable, BitwiseCopyable {
    case notConnected
    /// Connected, and not one byte of the request was handed to the kernel.
    case nothingSent
    case sent
    /// The head of an answer came.
    case answered

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// Fields of an answer that change what is done with it.
public struct AnswerMarks: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// `x-envoy-ratelimited` was there.
    public static let rateLimited = AnswerMarks(rawValue: 1 << 0)
    /// `x-envoy-overloaded` was there. It stops no retry.
    public static let overloaded = AnswerMarks(rawValue: 1 << 1)
    /// `x-martlet-retry: exhausted` was there: a proxy nearer to the failure has spent its retries.
    public static let retriesExhausted = AnswerMarks(rawValue: 1 << 2)
    /// One of the policy's retriable headers was there (the caller matches them).
    public static let retriableHeader = AnswerMarks(rawValue: 1 << 3)
}

/// The head of an answer as far as the retry policy looks at it.
public struct AnswerSummary: Equatable, Sendable, BitwiseCopyable {
    public var status: UInt16
    /// `grpc-status` of the answer's *head*; -1 if there is none.
    public var grpcStatus: Int8
    public var marks: AnswerMarks
    /// What a reset header asked for, in nanoseconds; 0 for nothing.
    public var retryAfter: Int64

    public init(status: UInt16, grpcStatus: Int8 = -1, marks: AnswerMarks = [], retryAfter: Int64 = 0) {
        (self.status, self.grpcStatus, self.marks, self.retryAfter) = (status, grpcStatus, marks, retryAfter)
    }
}

/// How one attempt at an upstream ended.
public enum AttemptOutcome: Equatable, Sendable, BitwiseCopyable {
    case connectFailed
    case connectTimedOut
    /// A limit of our own refused it; never repeated.
    case overflowed
    /// RST_STREAM with REFUSED_STREAM (RFC 9113 section 8.7): not processed.
    case refusedStream
    /// GOAWAY with a last stream below this one (RFC 9113 section 6.8): not processed.
    case goAwayBelow
    /// Connection or stream ended before the head of an answer. `wasReused`: it had carried a request before.
    case resetBeforeAnswer(sent: DeliveryState, wasReused: Bool)
    /// The upstream sent what is not HTTP.
    case protocolError
    case perTryTimedOut
    case perTryIdledOut
    case answered(AnswerSummary)
    /// After the head of the answer went downstream; never repeated.
    case resetMidAnswer
    /// The deadline of the whole request; never repeated.
    case requestTimedOut

    /// No upstream can have acted on the request.
    public var isProvablyUnprocessed: Bool {
        switch self {
        case .connectFailed, .connectTimedOut, .refusedStream, .goAwayBelow: true
        case .resetBeforeAnswer(let sent, _): sent <= .nothingSent
        case .overflowed, .protocolError, .perTryTimedOut, .perTryIdledOut, .answered, .resetMidAnswer,
            .requestTimedOut:
            false
        }
    }
}

/// What repeating a request would mean (RFC 9110 sections 9.2.1 and 9.2.2).
public enum Repeatability: UInt8, Sendable, BitwiseCopyable {
    /// GET, HEAD, OPTIONS, TRACE.
    case safe
    /// PUT, DELETE.
    case idempotent
    /// Another method with an idempotency key that the policy knows.
    case keyed
    case unrepeatable
}

/// Which requests may be repeated when the upstream may have acted on them.
public enum RepeatableMethods: UInt8, Sendable, BitwiseCopyable {
    case safeOnly
    /// Safe ones, PUT, DELETE, and any with an idempotency key.
    case idempotent
    case any

    public func allow(_ request: Repeatability) -> Bool {
        switch self {
        case .safeOnly: request == .safe
        case .idempotent: request != .unrepeatable
        case .any: true
        }
    }
}
