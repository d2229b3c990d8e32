import HTTPModel
import MeshPrimitives

/// Reads heads and trailer sections from bytes that begin with them; whatever follows is not looked at. When more is
/// needed, call again with the same `head` and `progress` and with all the bytes from the head's first one on.
/// An error is found at the first byte that can belong to no message, and does not depend on how the bytes came.
public enum HTTP1Parser {
    /// Up to `HTTP1Limits.leadingEmptyLinesMax` empty lines before it are skipped and counted in the head's length:
    /// the request line begins at `head.methodToken.start`. With a target in absolute form `head.authority` is
    /// its authority, whatever `Host` says; then a forwarded `Host` must be replaced (RFC 9112 section 3.2.2).
    public static func parseRequest(
        _ bytes: ByteView, into head: inout MessageHead, progress: inout HeadProgress, limits: HTTP1Limits
    ) -> HeadResult {
        let isAtBound = bytes.count >= limits.headBytesMax
        let view = isAtBound ? bytes.prefix(limits.headBytesMax) : bytes
        var result = HeadResult.complete
        if progress.stage.rawValue < HeadProgress.Stage.fieldName.rawValue {
            result = StartLine.readRequest(view, into: &head, progress: &progress, limits: limits)
        }
        if result == .complete {
            result = FieldSection.read(
                view, of: .request, into: &head, progress: &progress, fieldsMax: limits.fieldsMax)
        }
        switch result {
        case .complete: return Framing.finishRequest(bytes, &head).map { .invalid($0) } ?? .complete
        case .needsMore: return isAtBound ? .invalid(.headTooLarge) : .needsMore
        case .invalid: return result
        }
    }

    /// The response to a request of `method`, on which the length of its body depends. HTTP/1.0 is taken always.
    public static func parseResponse(
        _ bytes: ByteView, to method: Method, into head: inout MessageHead, progress: inout HeadProgress,
        limits: HTTP1Limits
    ) -> HeadResult {
        let isAtBound = bytes.count >= limits.headBytesMax
        let view = isAtBound ? bytes.prefix(limits.headBytesMax) : bytes
        var result = HeadResult.complete
        if progress.stage.rawValue < HeadProgress.Stage.fieldName.rawValue {
            result = StartLine.readResponse(view, into: &head, progress: &progress)
        }
        if result == .complete {
            result = FieldSection.read(
                view, of: .response, into: &head, progress: &progress, fieldsMax: limits.fieldsMax)
        }
        switch result {
        case .complete:
            return Framing.finishResponse(bytes, to: method, &head).map { .invalid($0) } ?? .complete
        case .needsMore: return isAtBound ? .invalid(.headTooLarge) : .needsMore
        case .invalid: return result
        }
    }

    /// A trailer section, from the byte after the last chunk's line on, with its empty line: a head without start
    /// line. Fields that must not be trailers (framing, routing, authentication; RFC 9110 section 6.5.1) are
    /// marked as not to be forwarded.
    public static func parseTrailers(
        _ bytes: ByteView, into head: inout MessageHead, progress: inout HeadProgress
    ) -> HeadResult {
        let isAtBound = bytes.count >= HTTP1Limits.trailerBytesMax
        let view = isAtBound ? bytes.prefix(HTTP1Limits.trailerBytesMax) : bytes
        if progress.stage == .start {
            head.reset()
            progress.enter(.fieldName, at: 0)
        }
        let result = FieldSection.read(
            view, of: .trailers, into: &head, progress: &progress, fieldsMax: HTTP1Limits.trailerFieldsMax)
        switch result {
        case .complete: return .complete
        case .needsMore: return isAtBound ? .invalid(.trailersTooLarge) : .needsMore
        case .invalid(.tooManyFields): return .invalid(.trailersTooLarge)
        case .invalid: return result
        }
    }
}
