import HTTPModel

/// What a message may cost at most. Everything above is refused, with `headTooLarge` or `tooManyFields`.
public struct HTTP1Limits: Sendable, BitwiseCopyable {
    /// Bytes of a head, start line and empty line included; at most `MessageHead.bytesMax`.
    public let headBytesMax: Int
    /// Field lines of a head; at most `MessageHead.fieldsMax`.
    public let fieldsMax: Int
    /// Take requests of HTTP/1.0 too (Envoy's `accept_http_10`).
    public let acceptsHTTP10: Bool

    /// Values above what `MessageHead` holds are lowered to that.
    public init(
        headBytesMax: Int = MessageHead.bytesMax, fieldsMax: Int = MessageHead.fieldsMax,
        acceptsHTTP10: Bool = false
    ) {
        precondition(headBytesMax > 0 && fieldsMax > 0)
        self.headBytesMax = min(headBytesMax, MessageHead.bytesMax)
        self.fieldsMax = min(fieldsMax, MessageHead.fieldsMax)
        self.acceptsHTTP10 = acceptsHTTP10
    }

    /// Bytes of a trailer section, its empty line included.
    public static var trailerBytesMax: Int { 8 << 10 }
    public static var trailerFieldsMax: Int { 32 }
    /// Empty lines before a request line that are skipped (RFC 9112 section 2.2).
    public static var leadingEmptyLinesMax: Int { 4 }
    /// Members of all `Connection` fields of a message.
    public static var connectionOptionsMax: Int { 32 }
    /// Bytes of chunk extensions that a body may have beyond the bytes of its data (see `BodyDecoder`).
    public static var chunkExtensionBytesMax: Int { 1 << 10 }
    /// Digits of a chunk's size, leading zeros included.
    public static var chunkSizeDigitsMax: Int { 16 }
}
