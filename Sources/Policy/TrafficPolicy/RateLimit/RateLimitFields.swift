import MeshPrimitives

/// One limit of a rate-limit service's answer (`RateLimitResponse.DescriptorStatus`).
public struct RateLimitStatus: Equatable, Sendable {
    /// Seconds of the unit; 0: unknown, and the limit is not shown.
    public var unitSeconds: UInt32
    public var requestsPerUnit: UInt32
    public var remaining: UInt32
    public var resetSeconds: UInt32
    public var name: String

    public init(
        requestsPerUnit: UInt32, unitSeconds: UInt32, remaining: UInt32, resetSeconds: UInt32,
        name: String = ""
    ) {
        (self.requestsPerUnit, self.unitSeconds) = (requestsPerUnit, unitSeconds)
        (self.remaining, self.resetSeconds, self.name) = (remaining, resetSeconds, name)
    }
}

/// The three `x-ratelimit-*` fields, draft 03 of the RateLimit header fields, as Envoy writes them.
public enum RateLimitFields {
    /// Of several limits the one with the least left is shown, and the `limit` field lists all of them as policies:
    /// `10, 10;w=1;name="per-second", 500;w=60`. nil: none of them says anything.
    public static func values(_ statuses: [RateLimitStatus]) -> (
        limit: String, remaining: String, reset: String
    )? {
        let shown = statuses.filter { $0.unitSeconds > 0 }
        guard let least = shown.min(by: { $0.remaining < $1.remaining }) else { return nil }
        var limit = "\(least.requestsPerUnit)"
        for status in shown {
            limit += ", \(status.requestsPerUnit);w=\(status.unitSeconds)"
            if !status.name.isEmpty { limit += ";name=\"\(status.name)\"" }
        }
        return (limit, "\(least.remaining)", "\(least.resetSeconds)")
    }
}
