import HTTPModel
import MeshPrimitives

/// Writes messages into buffers. Each call writes all of its bytes or, with `false`, none. Names, values and reasons
/// are written as they are: they come from a parsed head or from checked configuration.
public enum HTTP1Writer {
    /// Bytes of the longest chunk header: sixteen digits and CRLF.
    public static var chunkHeaderBytesMax: Int { 18 }

    /// "HTTP/1.1 200 OK" and CRLF, with the reason that RFC 9110 gives.
    public static func appendStatusLine(_ status: UInt16, to buffer: inout PooledBuffer) -> Bool {
        // By far the most frequent one.
        if status == 200 { return buffer.append("HTTP/1.1 200 OK\r\n") }
        return appendStatusLine(status, reason: ByteView(reason(status)), to: &buffer)
    }

    public static func appendStatusLine(
        _ status: UInt16, reason: ByteView, to buffer: inout PooledBuffer
    ) -> Bool {
        guard buffer.room >= 15 + reason.count else { return false }
        return buffer.append("HTTP/1.1 ") && buffer.append(decimal: Int(status)) && buffer.append(.space)
            && buffer.append(reason) && buffer.append("\r\n")
    }

    public static func appendRequestLine(
        method: ByteView, target: ByteView, to buffer: inout PooledBuffer
    ) -> Bool {
        guard buffer.room >= method.count + target.count + 12, var writer = unsafe buffer.writer else {
            return false
        }
        unsafe writer.put(method)
        unsafe writer.put(.space)
        unsafe writer.put(target)
        unsafe writer.put(ByteView(" HTTP/1.1\r\n"))
        unsafe buffer.commit(writer)
        return true
    }

    public static func appendField(_ name: ByteView, _ value: ByteView, to buffer: inout PooledBuffer) -> Bool
    {
        guard buffer.room >= name.count + value.count + 4 else { return false }
        return buffer.append(name) && buffer.append(": ") && buffer.append(value) && buffer.append("\r\n")
    }

    public static func appendField(_ name: FieldName, _ value: ByteView, to buffer: inout PooledBuffer)
        -> Bool
    {
        appendField(name.text, value, to: &buffer)
    }

    public static func appendContentLength(_ length: Int, to buffer: inout PooledBuffer) -> Bool {
        // Nineteen digits are the most that a length has.
        guard buffer.room >= 37 else { return false }
        return buffer.append("content-length: ") && buffer.append(decimal: length) && buffer.append("\r\n")
    }

    /// The empty line.
    public static func appendHeadEnd(to buffer: inout PooledBuffer) -> Bool { buffer.append("\r\n") }

    /// The whole interim response to `Expect: 100-continue`.
    public static func appendContinue(to buffer: inout PooledBuffer) -> Bool {
        buffer.append("HTTP/1.1 100 Continue\r\n\r\n")
    }

    /// Goes before `size` bytes of data; `size` is positive, since a chunk of none ends the body.
    public static func appendChunkHeader(size: Int, to buffer: inout PooledBuffer) -> Bool {
        precondition(size > 0)
        guard buffer.room >= chunkHeaderBytesMax else { return false }
        var shift = (63 - size.leadingZeroBitCount) & ~3
        while shift >= 0 {
            let digit = UInt8(truncatingIfNeeded: size >> shift & 15)
            _ = buffer.append(digit < 10 ? 0x30 &+ digit : 0x57 &+ digit)
            shift -= 4
        }
        return buffer.append("\r\n")
    }

    /// Goes behind the data of each chunk.
    public static func appendChunkEnd(to buffer: inout PooledBuffer) -> Bool { buffer.append("\r\n") }

    /// One whole chunk; nothing at all for no data.
    public static func appendChunk(_ data: ByteView, to buffer: inout PooledBuffer) -> Bool {
        if data.isEmpty { return true }
        guard buffer.room >= data.count + chunkHeaderBytesMax + 2 else { return false }
        return appendChunkHeader(size: data.count, to: &buffer) && buffer.append(data)
            && appendChunkEnd(to: &buffer)
    }

    /// The end of a chunked body without trailers.
    public static func appendLastChunk(to buffer: inout PooledBuffer) -> Bool { buffer.append("0\r\n\r\n") }

    /// Goes before trailers; behind them an empty line (`appendHeadEnd`).
    public static func appendLastChunkBeforeTrailers(to buffer: inout PooledBuffer) -> Bool {
        buffer.append("0\r\n")
    }

    /// The reason phrase of RFC 9110 section 15 and its extensions; empty for statuses that have none.
    public static func reason(_ status: UInt16) -> StaticString {
        switch status {
        case 100: "Continue"
        case 101: "Switching Protocols"
        case 103: "Early Hints"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 203: "Non-Authoritative Information"
        case 204: "No Content"
        case 205: "Reset Content"
        case 206: "Partial Content"
        case 300: "Multiple Choices"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 402: "Payment Required"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 407: "Proxy Authentication Required"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 416: "Range Not Satisfiable"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 422: "Unprocessable Content"
        case 425: "Too Early"
        case 426: "Upgrade Required"
        case 428: "Precondition Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 451: "Unavailable For Legal Reasons"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 511: "Network Authentication Required"
        default: ""
        }
    }
}
