import MeshPrimitives

/// A field of an answer that says when to come back (`rate_limited_retry_back_off`: `retry-after`,
/// `x-ratelimit-reset`).
public enum ResetField {
    /// Raw values are those of the API.
    public enum Format: UInt8, Sendable, BitwiseCopyable {
        /// Seconds from now.
        case seconds = 0
        /// Seconds of Unix time.
        case unixTimestamp = 1
    }

    /// Nanoseconds to wait; nil if the value is none, lies in the past, or asks for more than `max` nanoseconds. Of several
    /// fields that are configured the first that gives something counts.
    public static func wait(_ value: ByteView, _ format: Format, unixNow: Int64, max: Int64) -> Int64? {
        guard let number = value.decimal else { return nil }
        var seconds = Int64(number)
        if format == .unixTimestamp {
            guard seconds >= unixNow else { return nil }
            seconds -= unixNow
        }
        let (wait, isOverflow) = seconds.multipliedReportingOverflow(by: Nanoseconds.perSecond)
        return isOverflow || wait > max ? nil : wait
    }
}
