import MeshPrimitives
import TrafficPolicy

/// Which requests are traced: the shares of a connection manager's `tracing` block, or of a route's.
public struct SamplingSettings: Equatable, Sendable, BitwiseCopyable {
    /// Of the requests that bring `x-client-trace-id`.
    public var client: FractionalPercent
    /// Of the others.
    public var random: FractionalPercent
    /// Of those that the two above have chosen.
    public var overall: FractionalPercent

    public init(
        client: FractionalPercent = .always, random: FractionalPercent = .always,
        overall: FractionalPercent = .always
    ) {
        (self.client, self.random, self.overall) = (client, random, overall)
    }
}

/// Why a request is traced, as the version digit of the UUID in `x-request-id` says it (envoy UuidRequestIdConfig).
public enum TraceReason: UInt8, Sendable, BitwiseCopyable {
    case notTraced = 0x4
    case sampled = 0x9
    case serviceForced = 0xa
    case clientForced = 0xb
}

extension RequestID {
    /// What an earlier hop has decided; `notTraced` for every other digit.
    public var traceReason: TraceReason { TraceReason(rawValue: UInt8(high >> 12 & 0xf)) ?? .notTraced }

    public func setting(_ reason: TraceReason) -> RequestID {
        RequestID(high: high & ~0xf000 | UInt64(reason.rawValue) << 12, low: low)
    }

    /// The same for every hop that sees the id, so that all of them choose the same requests; 0 to 9999.
    var samplingNumber: UInt64 { (high >> 32) % 10_000 }

    /// The bits of a UUID's text form; nil for an id of another form.
    public init?(uuid text: ByteView) {
        guard let id = Self.uuid(text) else { return nil }
        self = id
    }
}

/// Whether a request is traced, in Envoy's order: what an earlier hop decided, what the client or a service forces,
/// chance; and over all of it the overall share.
public struct SamplingDecision: Equatable, Sendable, BitwiseCopyable {
    public var reason: TraceReason
    public var isTraced: Bool { reason != .notTraced }

    /// `id`: nil without a UUID in `x-request-id`: then nothing is traced.
    public init(
        _ id: RequestID?, hasClientTraceID: Bool, isForced: Bool, _ settings: SamplingSettings,
        random: inout SeededRandom
    ) {
        reason = .notTraced
        guard let id else { return }
        reason = id.traceReason
        if reason == .notTraced {
            if hasClientTraceID, settings.client.draw(&random) {
                reason = .clientForced
            } else if isForced {
                reason = .serviceForced
            } else if settings.random.contains(id.samplingNumber) {
                reason = .sampled
            }
        }
        if reason != .notTraced, !settings.overall.contains(id.samplingNumber) { reason = .notTraced }
    }
}

extension FractionalPercent {
    /// Whether a case with that number belongs to the share, as Envoy decides it.
    func contains(_ number: UInt64) -> Bool { number % UInt64(denominator.value) < UInt64(numerator) }
}
