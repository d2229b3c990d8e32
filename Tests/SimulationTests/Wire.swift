import MeshPrimitives
import Reactor

/// One TCP connection of a caller or an origin: bytes that came, and bytes that wait to be sent.
struct Wire {
    enum Ending: Equatable { case finished, reset }

    let descriptor: Descriptor
    var isConnected: Bool
    var input: [UInt8] = []
    private var output: [UInt8] = []
    private var canWrite = false
    private(set) var ending: Ending?

    init(_ descriptor: Descriptor, isConnected: Bool) {
        (self.descriptor, self.isConnected) = (descriptor, isConnected)
    }

    mutating func send(_ text: String) { output += Array(text.utf8) }

    /// Moves bytes both ways as far as they go.
    mutating func advance(_ readiness: Readiness, _ kernel: Kernel, _ buffer: inout PooledBuffer) {
        if !isConnected {
            if kernel.connectResult(descriptor) != nil {
                ending = .reset
                return
            }
            isConnected = true
        }
        if readiness.contains(.writable) { canWrite = true }
        while ending == nil {
            buffer.removeAll()
            switch kernel.receive(descriptor, into: &buffer) {
            case .bytes:
                let view = buffer.view
                for index in view.indices { input.append(view[index]) }
                continue
            case .wouldBlock: break
            case .closed: ending = .finished
            case .failed: ending = .reset
            }
            break
        }
        flush(kernel)
    }

    mutating func flush(_ kernel: Kernel) {
        while isConnected, canWrite, !output.isEmpty {
            let result = output.withByteView { kernel.send(descriptor, $0) }
            guard case .bytes(let count) = result else {
                canWrite = false
                return
            }
            output.removeFirst(count)
        }
    }
}

/// A message's head, as far as a test must know it, and its body.
struct WireMessage {
    var firstLine = ""
    var fields: [String: String] = [:]
    var body: [UInt8] = []

    enum Progress { case needsMore, complete(WireMessage, count: Int), broken(String) }

    /// The first message in `bytes`. `isAnswer`: a status line is expected.
    static func read(_ bytes: [UInt8]) -> Progress {
        guard let headEnd = end(of: bytes, from: 0) else { return .needsMore }
        var message = WireMessage()
        let lines = String(decoding: bytes[..<headEnd], as: UTF8.self).split(separator: "\r\n")
        guard let first = lines.first else { return .broken("no line") }
        message.firstLine = String(first)
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { return .broken("field \(line)") }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            message.fields[line[..<colon].lowercased()] = String(value)
        }
        if message.fields["transfer-encoding"] == "chunked" {
            return readChunks(bytes, from: headEnd, into: message)
        }
        let length = message.fields["content-length"].flatMap { Int($0) } ?? 0
        guard bytes.count >= headEnd + length else { return .needsMore }
        message.body = Array(bytes[headEnd..<(headEnd + length)])
        return .complete(message, count: headEnd + length)
    }

    /// Whether the head is there.
    static func hasHead(_ bytes: [UInt8]) -> Bool { end(of: bytes, from: 0) != nil }

    private static func readChunks(_ bytes: [UInt8], from start: Int, into message: WireMessage) -> Progress {
        var (message, place) = (message, start)
        while true {
            guard let lineEnd = lineEnd(bytes, from: place) else { return .needsMore }
            guard let size = Int(String(decoding: bytes[place..<(lineEnd - 2)], as: UTF8.self), radix: 16)
            else { return .broken("chunk size") }
            if size == 0 {
                guard bytes.count >= lineEnd + 2 else { return .needsMore }
                return .complete(message, count: lineEnd + 2)
            }
            guard bytes.count >= lineEnd + size + 2 else { return .needsMore }
            message.body += bytes[lineEnd..<(lineEnd + size)]
            place = lineEnd + size + 2
        }
    }

    private static func lineEnd(_ bytes: [UInt8], from start: Int) -> Int? {
        var index = start
        while index + 1 < bytes.count {
            if bytes[index] == 13, bytes[index + 1] == 10 { return index + 2 }
            index += 1
        }
        return nil
    }

    private static func end(of bytes: [UInt8], from start: Int) -> Int? {
        var place = start
        while let next = lineEnd(bytes, from: place) {
            if next - place == 2 { return next }
            place = next
        }
        return nil
    }
}
