import HTTP1Codec
import HTTPModel
import MeshModel
import MeshPrimitives
import Telemetry

/// What a connection manager does to paths before anything looks at them: `normalize_path`, `merge_slashes` and
/// `path_with_escaped_slashes_action`, in Envoy's order. Queries stay as they are.
struct PathNormalization: BitwiseCopyable {
    enum Outcome: Equatable {
        case unchanged
        case changed([UInt8])
        /// The caller is to ask for that instead.
        case redirect([UInt8])
        case rejected
    }

    var normalizes = false
    var mergesSlashes = false
    var escapedSlashes = HTTPConnectionManager.EscapedSlashes.keep

    var isOff: Bool { !normalizes && !mergesSlashes && escapedSlashes == .keep }

    /// - Parameter target: begins with a slash; visible ASCII characters, with a query or without one.
    func apply(to target: ByteView) -> Outcome {
        let end = target.firstIndex(of: UInt8(ascii: "?")) ?? target.count
        let given = target.prefix(end)
        guard Self.mayChange(given) else { return .unchanged }
        var path = given.bytes
        var isRedirect = false
        if escapedSlashes != .keep, let unescaped = Self.unescapingSlashes(path) {
            switch escapedSlashes {
            case .reject: return .rejected
            case .unescapeAndRedirect: isRedirect = true
            case .unescapeAndForward, .keep: break
            }
            path = unescaped
        }
        if normalizes {
            guard let canonical = Self.canonical(path) else { return .rejected }
            path = canonical
        }
        if mergesSlashes { path = Self.mergingSlashes(path) }
        if path.withByteView({ $0.equals(given) }) { return .unchanged }
        path += target.dropFirst(end).bytes
        return isRedirect ? .redirect(path) : .changed(path)
    }

    /// Most paths have nothing that any of it is about.
    private static func mayChange(_ path: ByteView) -> Bool {
        var before: UInt8 = 0
        for index in path.indices {
            let byte = path[index]
            if before == UInt8(ascii: "/"), byte == before || byte == UInt8(ascii: ".") { return true }
            if byte == UInt8(ascii: "%") || byte == UInt8(ascii: "\\") || isEscaped(byte) { return true }
            before = byte
        }
        return false
    }

    /// nil: there are none.
    private static func unescapingSlashes(_ path: [UInt8]) -> [UInt8]? {
        var result: [UInt8] = []
        var index = 0
        var isChanged = false
        while index < path.count {
            if let byte = percentDecoded(path, at: index),
                byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\")
            {
                result.append(byte)
                index += 3
                isChanged = true
            } else {
                result.append(path[index])
                index += 1
            }
        }
        return isChanged ? result : nil
    }

    private static func mergingSlashes(_ path: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        for byte in path where byte != UInt8(ascii: "/") || result.last != byte { result.append(byte) }
        return result
    }

    /// RFC 3986 section 6.2.2 and the WHATWG URL standard as browsers have it: dot segments go (`%2e` counts as a dot),
    /// backslashes become slashes, escapes of unreserved characters are taken out, and what may not stand there is
    /// escaped. nil: it holds an escaped zero.
    private static func canonical(_ path: [UInt8]) -> [UInt8]? {
        var result: [UInt8] = []
        var index = 0
        while index < path.count {
            let byte = path[index]
            let dot = dotLength(path, at: index)
            if dot > 0, result.last == UInt8(ascii: "/") {
                let second = dotLength(path, at: index + dot)
                if isSegmentEnd(path, at: index + dot) {
                    index += dot + 1
                    continue
                }
                if second > 0, isSegmentEnd(path, at: index + dot + second) {
                    if result.count > 1 {
                        result.removeLast()
                        while result.last != UInt8(ascii: "/") { result.removeLast() }
                    }
                    index += dot + second + 1
                    continue
                }
            }
            if dot > 0 {
                result.append(UInt8(ascii: "."))
                index += dot
            } else if byte == UInt8(ascii: "\\") {
                result.append(UInt8(ascii: "/"))
                index += 1
            } else if let character = percentDecoded(path, at: index) {
                if character == 0 { return nil }
                if isUnreserved(character) {
                    result.append(character)
                } else {
                    result += path[index..<(index + 3)]
                }
                index += 3
            } else if isEscaped(byte) {
                result.append(UInt8(ascii: "%"))
                for nibble in [byte >> 4, byte & 15] {
                    result.append(nibble < 10 ? nibble + 0x30 : nibble + 0x37)
                }
                index += 1
            } else {
                result.append(byte)
                index += 1
            }
        }
        return result
    }

    /// Bytes that stand for a dot; 0 for none.
    private static func dotLength(_ path: [UInt8], at index: Int) -> Int {
        guard index < path.count else { return 0 }
        if path[index] == UInt8(ascii: ".") { return 1 }
        return percentDecoded(path, at: index) == UInt8(ascii: ".") ? 3 : 0
    }

    private static func isSegmentEnd(_ path: [UInt8], at index: Int) -> Bool {
        index == path.count || path[index] == UInt8(ascii: "/") || path[index] == UInt8(ascii: "\\")
    }

    /// RFC 3986 section 2.3.
    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"): true
        default: false
        }
    }

    private static func isEscaped(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "^"), UInt8(ascii: "`"),
            UInt8(ascii: "{"), UInt8(ascii: "|"), UInt8(ascii: "}"):
            true
        default: false
        }
    }
}

extension Worker {
    /// What the connection manager wants changed of every head. false: the request was answered.
    @inline(never)
    mutating func normalizeHead(_ exchange: ExchangePlace) -> Bool {
        if exchange.chain.http.underscores != .allow, !judgeUnderscores(exchange) { return false }
        if exchange.chain.http.stripsAnyPort { stripPort(exchange) }
        return exchange.chain.http.paths.isOff || normalizePath(exchange)
    }

    /// `headers_with_underscores_action`: names that some servers take for others go, or the request is refused.
    private mutating func judgeUnderscores(_ exchange: ExchangePlace) -> Bool {
        var index = 0
        while index < exchange.head.count {
            let field = exchange.head.field(index)
            index += 1
            let bytes = exchange.value.headBytes.view
            guard field.name == .other,
                exchange.head.name(index - 1, in: bytes).firstIndex(of: UInt8(ascii: "_")) != nil
            else { continue }
            if exchange.chain.http.underscores == .dropHeader,
                replace(exchange, Int(field.nameStart)..<Int(field.lineEnd), by: ByteView(""))
            {
                index -= 1
                continue
            }
            exchange.value.closesDownstream = true
            counters.add(exchange.chain.http.scope, .downstreamCxProtocolError)
            answerLocally(
                exchange,
                LocalAnswer(
                    400, "Bad Request", details: .unexpectedUnderscore, proxyStatus: "http_request_error"))
            return false
        }
        return true
    }

    /// `strip_any_host_port`. A CONNECT is about a port.
    private mutating func stripPort(_ exchange: ExchangePlace) {
        let authority = exchange.value.headBytes.view[exchange.head.authority.range]
        guard exchange.head.method != .connect, let colon = RouteTable.portColon(authority) else { return }
        _ = replace(exchange, exchange.head.authority.range, by: authority.prefix(colon))
    }

    private mutating func normalizePath(_ exchange: ExchangePlace) -> Bool {
        let bytes = exchange.value.headBytes.view
        let path = bytes[exchange.head.path.range]
        guard !path.isEmpty, path[0] == UInt8(ascii: "/") else { return true }
        let scope = exchange.chain.http.scope
        switch exchange.chain.http.paths.apply(to: path) {
        case .unchanged: return true
        case .changed(let new):
            if new.withByteView({ replace(exchange, exchange.head.path.range, by: $0) }) { return true }
        case .redirect(let new):
            // Callers of gRPC follow no redirects.
            if RouteRecord.isGRPC(exchange.head, bytes) { break }
            counters.add(scope, .downstreamRqRedirectedWithNormalizedPath)
            exchange.value.location = pool.take(new.count)
            _ = new.withByteView { exchange.value.location.append($0) }
            answerLocally(exchange, LocalAnswer(307, details: .pathNormalizationFailed))
            return false
        case .rejected: break
        }
        counters.add(scope, .downstreamRqFailedPathNormalization)
        exchange.value.closesDownstream = true
        answerLocally(
            exchange,
            LocalAnswer(400, details: .pathNormalizationFailed, proxyStatus: "http_request_error"))
        return false
    }

    /// The head is written anew, with other bytes in that place. false if there is no room for it.
    private mutating func replace(
        _ exchange: ExchangePlace, _ range: Range<Int>, by new: ByteView
    ) -> Bool {
        let bytes = exchange.value.headBytes.view
        var buffer = pool.take(min(bytes.count + new.count + 2, BufferPool.sizes.huge))
        var isWhole = buffer.append(bytes.prefix(range.lowerBound)) && buffer.append(new)
        isWhole = isWhole && buffer.append(bytes.dropFirst(range.upperBound))
        // Over HTTP/2 the lines have no empty one behind them.
        if isWhole, !bytes.dropFirst(max(bytes.count - 4, 0)).equals("\r\n\r\n") {
            isWhole = buffer.append("\r\n")
        }
        guard isWhole, adopt(exchange, &buffer) else {
            pool.give(&buffer)
            return false
        }
        return true
    }

    /// The head is read anew from those bytes; what its lines do not say stays as it was. false: it is too large.
    mutating func adopt(_ exchange: ExchangePlace, _ buffer: inout PooledBuffer) -> Bool {
        var head = MessageHead()
        var progress = HeadProgress()
        let limits = HTTP1Limits(acceptsHTTP10: exchange.chain.http.limits.acceptsHTTP10)
        guard
            case .complete = HTTP1Parser.parseRequest(
                buffer.view, into: &head, progress: &progress, limits: limits)
        else { return false }
        head.version = exchange.head.version
        head.keepsAlive = exchange.head.keepsAlive
        head.acceptsTrailers = exchange.head.acceptsTrailers
        head.body = exchange.head.body
        head.hasUpgrade = exchange.head.hasUpgrade
        pool.give(&exchange.value.headBytes)
        exchange.value.headBytes = buffer
        buffer = .none
        exchange.head = head
        return true
    }
}
