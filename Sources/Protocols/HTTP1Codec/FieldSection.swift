import HTTPModel
import MeshPrimitives

/// Field lines (RFC 9112 section 5).
enum FieldSection {
    enum Kind { case request, response, trailers }

    /// Reads from where `progress` stands to the empty line, and sets `head.length`.
    static func read(
        _ bytes: ByteView, of kind: Kind, into head: inout MessageHead, progress: inout HeadProgress,
        fieldsMax: Int
    ) -> HeadResult {
        var position = Int(progress.position)
        var lineStart = Int(progress.lineStart)
        var colon = Int(progress.mark)
        var isInValue = progress.stage == .fieldValue
        while true {
            if !isInValue {
                guard position < bytes.count else { break }
                if bytes[position] == .carriageReturn, position == lineStart {
                    guard position &+ 1 < bytes.count else { break }
                    guard bytes[position &+ 1] == .lineFeed else { return .invalid(.bareCarriageReturn) }
                    head.length = UInt16(position + 2)
                    return .complete
                }
                position = bytes.endOfToken(from: position)
                guard position < bytes.count else { break }
                let byte = bytes[position]
                guard byte == .colon, position > lineStart else {
                    return .invalid(nameError(byte, isFirst: position == lineStart))
                }
                guard head.count < fieldsMax else { return .invalid(.tooManyFields) }
                colon = position
                position &+= 1
                isInValue = true
            }
            position = bytes.endOfText(from: position)
            guard position < bytes.count else { break }
            guard bytes[position] == .carriageReturn else { return .invalid(valueError(bytes[position])) }
            guard position &+ 1 < bytes.count else { break }
            guard bytes[position &+ 1] == .lineFeed else { return .invalid(.bareCarriageReturn) }
            // Nearly always one space stands before the value, and nothing else around it.
            let isPlain =
                bytes[colon &+ 1] == .space && bytes[colon &+ 2] > .space && bytes[position &- 1] > .space
            let value =
                isPlain ? (colon &+ 2)..<position : bytes.trimmedRange((colon &+ 1)..<position)
            position &+= 2
            let name = FieldName(bytes[lineStart..<colon])
            var field = Field(
                nameStart: lineStart, nameCount: colon &- lineStart, valueStart: value.lowerBound,
                valueCount: value.count, lineEnd: position, name: name)
            if name != .other {
                if kind == .trailers {
                    field.isConnectionOption = !isAllowedTrailer(name)
                } else if let error = Framing.note(
                    name, value, in: bytes, isRequest: kind == .request, &head)
                {
                    return .invalid(error)
                }
            }
            _ = head.append(field)
            lineStart = position
            isInValue = false
        }
        progress.stage = isInValue ? .fieldValue : .fieldName
        progress.lineStart = UInt16(lineStart)
        progress.mark = UInt16(colon)
        return progress.pause(at: position)
    }

    static func nameError(_ byte: UInt8, isFirst: Bool) -> HTTP1Error {
        switch byte {
        case .lineFeed: .bareLineFeed
        case .space, .tab: isFirst ? .lineFolding : .spaceBeforeColon
        case .colon: .emptyFieldName
        default: .invalidFieldName
        }
    }

    static func valueError(_ byte: UInt8) -> HTTP1Error {
        byte == .lineFeed ? .bareLineFeed : .invalidFieldValue
    }

    /// Of the names that the proxy knows: only what says something about the content or the outcome. Anything
    /// about framing, routing, identity or controls would come too late and past every check.
    private static func isAllowedTrailer(_ name: FieldName) -> Bool {
        switch name {
        case .other, .date, .server, .grpcStatus, .grpcMessage, .via, .proxyStatus: true
        case .host, .contentLength, .transferEncoding, .connection, .keepAlive, .proxyConnection, .te,
            .trailer,
            .upgrade, .expect, .xRequestID, .xForwardedFor, .xForwardedProto, .xForwardedClientCert,
            .xForwardedHost, .xForwardedPort, .traceparent, .tracestate, .b3, .xB3Traceid, .xB3Spanid,
            .xB3Parentspanid, .xB3Sampled, .xB3Flags, .xEnvoyAttemptCount, .xEnvoyExpectedRqTimeoutMs,
            .xEnvoyUpstreamServiceTime, .xEnvoyRetryOn, .xEnvoyRetryGrpcOn, .xEnvoyMaxRetries,
            .xEnvoyUpstreamRqTimeoutMs, .xEnvoyUpstreamRqPerTryTimeoutMs, .xEnvoyRetriableStatusCodes,
            .xEnvoyOverloaded, .xEnvoyRatelimited, .xEnvoyInternal, .xEnvoyExternalAddress,
            .xEnvoyOriginalPath, .xEnvoyDecoratorOperation, .xMartletRetry, .retryAfter, .xRatelimitLimit,
            .xRatelimitRemaining, .xRatelimitReset, .grpcTimeout, .contentType, .userAgent, .referer,
            .location,
            .cookie, .setCookie, .authorization, .idempotencyKey, .http2Settings, .proxyAuthenticate,
            .proxyAuthorization:
            false
        }
    }
}
