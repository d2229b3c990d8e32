import MeshPrimitives

/// When an attempt that failed is repeated: the words of Envoy's `retry_on`, and `safe`, which is ours.
public struct RetryConditions: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Any 5xx answer, and no answer at all: connection failure, reset, per-try timeout.
    public static let status5xx = RetryConditions(rawValue: 1 << 0)
    /// The same for 502, 503 and 504 only.
    public static let gatewayError = RetryConditions(rawValue: 1 << 1)
    /// No answer at all, whatever was sent.
    public static let reset = RetryConditions(rawValue: 1 << 2)
    public static let connectFailure = RetryConditions(rawValue: 1 << 3)
    public static let refusedStream = RetryConditions(rawValue: 1 << 4)
    public static let retriableStatusCodes = RetryConditions(rawValue: 1 << 5)
    /// 409.
    public static let retriable4xx = RetryConditions(rawValue: 1 << 6)
    /// An answer that carries `x-envoy-ratelimited`; no other condition matches such an answer.
    public static let envoyRatelimited = RetryConditions(rawValue: 1 << 7)
    public static let retriableHeaders = RetryConditions(rawValue: 1 << 8)
    /// No answer, and nothing of the request was sent.
    public static let resetBeforeRequest = RetryConditions(rawValue: 1 << 9)
    public static let grpcCancelled = RetryConditions(rawValue: 1 << 10)
    public static let grpcDeadlineExceeded = RetryConditions(rawValue: 1 << 11)
    public static let grpcInternal = RetryConditions(rawValue: 1 << 12)
    public static let grpcResourceExhausted = RetryConditions(rawValue: 1 << 13)
    public static let grpcUnavailable = RetryConditions(rawValue: 1 << 14)
    /// HTTP/3 only: accepted, and never true here.
    public static let http3PostConnectFailure = RetryConditions(rawValue: 1 << 15)
    /// The mesh's default: provably not processed, or a safe method whose reused connection closed without a byte of
    /// an answer. It has no word in `retry_on`.
    public static let safe = RetryConditions(rawValue: 1 << 31)

    public static let grpc: RetryConditions = [
        .grpcCancelled, .grpcDeadlineExceeded, .grpcInternal, .grpcResourceExhausted, .grpcUnavailable,
    ]

    /// Whether one of them could want such an answer repeated: a quick look that keeps good answers from `decide`.
    public func mayConcern(_ answer: AnswerSummary) -> Bool {
        answer.status >= 400 || answer.grpcStatus > 0 || !answer.marks.isEmpty
            || !isDisjoint(with: [.retriableStatusCodes, .retriableHeaders])
    }

    /// The condition that a word of `retry_on` names; nil for any other word.
    public init?(word: ByteView) {
        if word.equals("5xx") {
            self = .status5xx
        } else if word.equals("gateway-error") {
            self = .gatewayError
        } else if word.equals("reset") {
            self = .reset
        } else if word.equals("connect-failure") {
            self = .connectFailure
        } else if word.equals("refused-stream") {
            self = .refusedStream
        } else if word.equals("retriable-status-codes") {
            self = .retriableStatusCodes
        } else if word.equals("retriable-4xx") {
            self = .retriable4xx
        } else if word.equals("envoy-ratelimited") {
            self = .envoyRatelimited
        } else if word.equals("retriable-headers") {
            self = .retriableHeaders
        } else if word.equals("reset-before-request") {
            self = .resetBeforeRequest
        } else if word.equals("http3-post-connect-failure") {
            self = .http3PostConnectFailure
        } else if let condition = Self(grpcWord: word) {
            self = condition
        } else {
            return nil
        }
    }

    private init?(grpcWord word: ByteView) {
        if word.equals("cancelled") {
            self = .grpcCancelled
        } else if word.equals("deadline-exceeded") {
            self = .grpcDeadlineExceeded
        } else if word.equals("internal") {
            self = .grpcInternal
        } else if word.equals("resource-exhausted") {
            self = .grpcResourceExhausted
        } else if word.equals("unavailable") {
            self = .grpcUnavailable
        } else {
            return nil
        }
    }

    /// Reads a list of words between commas, white space around them ignored. Words that mean nothing are passed over,
    /// as Envoy does with a request's `x-envoy-retry-on`; use `parse` to learn them.
    public init(list: ByteView) {
        var conditions: RetryConditions = []
        Self.forEachWord(of: list) { word in
            if let condition = RetryConditions(word: word) { conditions.formUnion(condition) }
        }
        self = conditions
    }

    /// For configuration: what was understood, and the words that were not.
    public static func parse(_ text: String) -> (conditions: RetryConditions, unknown: [String]) {
        text.withByteView { list in
            var unknown: [String] = []
            forEachWord(of: list) { word in
                if RetryConditions(word: word) == nil { unknown.append(word.text) }
            }
            return (RetryConditions(list: list), unknown)
        }
    }

    private static func forEachWord(of list: ByteView, _ body: (ByteView) -> Void) {
        var start = 0
        while start <= list.count {
            let end = list.firstIndex(of: UInt8(ascii: ","), from: start) ?? list.count
            let word = list[start..<end].trimmed
            if !word.isEmpty { body(word) }
            start = end + 1
        }
    }
}
