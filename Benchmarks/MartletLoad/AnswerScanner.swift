import MeshPrimitives

/// Finds the end of an answer. It believes the peer: lengths and chunks are read, nothing else is checked.
struct AnswerScanner: BitwiseCopyable {
    enum Progress: Equatable {
        /// All bytes were used or the rest is an unfinished line: more must come.
        case incomplete
        case complete
        case malformed
    }

    private enum Phase: BitwiseCopyable {
        case statusLine, fields
        case body, chunkSize, chunkData, trailers
    }

    /// Of the answer that ended last.
    private(set) var status = 0
    private(set) var closes = false
    private var phase = Phase.statusLine
    private var isChunked = false
    private var length: Int?
    private var left = 0

    /// Takes bytes from the front of `bytes`, up to the end of one answer; `used` says how many.
    mutating func scan(_ bytes: ByteView, used: inout Int) -> Progress {
        while true {
            switch phase {
            case .body, .chunkData:
                let step = min(left, bytes.count - used)
                left -= step
                used += step
                if left > 0 { return .incomplete }
                if phase == .body { return finish() }
                phase = .chunkSize
            case .statusLine, .fields, .chunkSize, .trailers:
                guard let end = bytes.firstIndex(of: 0x0a, from: used) else { return .incomplete }
                let line = bytes[used..<max(used, end - 1)]
                used = end + 1
                if let result = take(line) { return result }
            }
        }
    }

    private mutating func take(_ line: ByteView) -> Progress? {
        switch phase {
        case .statusLine:
            guard line.count >= 12, line.hasPrefix("HTTP/1."), let code = line[9..<12].decimal else {
                return .malformed
            }
            (status, closes, isChunked, length) = (code, line[7] == 0x30, false, nil)
            phase = .fields
        case .fields:
            if line.isEmpty { return endOfHead() }
            note(line)
        case .chunkSize:
            guard let size = Self.hexadecimal(line) else { return .malformed }
            // The line end behind the data counts as data.
            (left, phase) = size == 0 ? (0, .trailers) : (size + 2, .chunkData)
        case .trailers:
            if line.isEmpty { return finish() }
        case .body, .chunkData: return .malformed
        }
        return nil
    }

    private mutating func note(_ line: ByteView) {
        guard let colon = line.firstIndex(of: 0x3a) else { return }
        let value = line.dropFirst(colon + 1).trimmed
        switch colon {
        case 14 where line.prefix(14).equalsIgnoringCase("content-length"): length = value.decimal
        case 17 where line.prefix(17).equalsIgnoringCase("transfer-encoding"): isChunked = true
        case 10 where line.prefix(10).equalsIgnoringCase("connection"):
            if value.equalsIgnoringCase("close") { closes = true }
        default: break
        }
    }

    private mutating func endOfHead() -> Progress? {
        if (100..<200).contains(status) {
            phase = .statusLine
        } else if status == 204 || status == 304 {
            return finish()
        } else if isChunked {
            phase = .chunkSize
        } else if let length {
            (left, phase) = (length, .body)
        } else {
            return .malformed
        }
        return nil
    }

    private mutating func finish() -> Progress {
        phase = .statusLine
        return .complete
    }

    private static func hexadecimal(_ line: ByteView) -> Int? {
        var value = 0
        for index in line.indices {
            let byte = line[index].asciiLowercased
            switch byte {
            case 0x30...0x39: value = value << 4 | Int(byte - 0x30)
            case 0x61...0x66: value = value << 4 | Int(byte - 0x57)
            case 0x3b where index > 0: return value
            default: return nil
            }
            if value > 1 << 40 { return nil }
        }
        return line.isEmpty ? nil : value
    }
}

extension AnswerScanner {
    /// Whether an answer has begun and not ended.
    var isIdle: Bool { phase == .statusLine }
}
