import MeshPrimitives

/// Whether a connection starts with a ClientHello in a TLS record; nil when the bytes so far leave it open.
public func isTLSClientHello(_ bytes: ByteView) -> Bool? {
    // RFC 8446, section 5.1: type 22, version 3.x (a client writes 1 to 3 there), length; 4: message type 1.
    for index in 0..<min(bytes.count, 6) {
        let byte = bytes[index]
        let isPossible =
            switch index {
            case 0: byte == 22
            case 1: byte == 3
            case 2: byte <= 4
            case 3: byte <= 0x40
            case 4: bytes[3] > 0 || byte >= 4
            default: byte == 1
            }
        if !isPossible { return false }
    }
    return bytes.count >= 6 ? true : nil
}

/// Reads what a client asks for from the first bytes of its connection, without taking them.
public struct ClientHelloInspector {
    /// A ClientHello that is longer, record headers included, is not looked at.
    public static let bytesMax = 16 << 10
    /// Of the protocols that a client offers.
    public static let protocolsMax = 32

    public enum Result: Equatable, Sendable {
        case needMore
        case notTLS
        /// The name is in lower case.
        case hello(serverName: String?, applicationProtocols: [String])
    }

    /// `bytes` are all that came so far, from the first on.
    public static func inspect(_ bytes: ByteView) -> Result {
        guard let isHello = isTLSClientHello(bytes) else { return .needMore }
        guard isHello else { return .notTLS }
        switch message(in: bytes) {
        case .needMore: return bytes.count >= bytesMax ? .notTLS : .needMore
        case .malformed: return .notTLS
        case .whole(let view): return parse(view)
        case .pieces(let message): return message.withByteView { parse($0) }
        }
    }

    private enum Message {
        case needMore
        case malformed
        case whole(ByteView)
        /// Put together from several records.
        case pieces([UInt8])
    }

    /// The body of the first handshake message.
    private static func message(in bytes: ByteView) -> Message {
        var joined: [UInt8] = []
        var position = 0
        while position < bytesMax {
            guard bytes.count - position >= 5 else { return .needMore }
            guard bytes[position] == 22, bytes[position + 1] == 3 else { return .malformed }
            let length = Int(bytes[position + 3]) << 8 | Int(bytes[position + 4])
            guard length > 0, length <= bytesMax else { return .malformed }
            let fragment = bytes.dropFirst(position + 5).prefix(length)
            position += 5 + length
            if joined.isEmpty && fragment.count >= 4 {
                let end = 4 + messageLength(fragment)
                if end <= fragment.count { return .whole(fragment[4..<end]) }
            }
            joined += fragment.bytes
            if joined.count >= 4 {
                let end = 4 + joined.withByteView { messageLength($0) }
                if end > bytesMax { return .malformed }
                if end <= joined.count { return .pieces(Array(joined[4..<end])) }
            }
            if fragment.count < length { return .needMore }
        }
        return .malformed
    }

    private static func messageLength(_ header: ByteView) -> Int {
        Int(header[1]) << 16 | Int(header[2]) << 8 | Int(header[3])
    }

    /// RFC 8446, section 4.1.2.
    private static func parse(_ body: ByteView) -> Result {
        var hello = Reader(body)
        guard hello.take(34) != nil, hello.takeBlock(lengthBytes: 1) != nil,
            hello.takeBlock(lengthBytes: 2) != nil,
            hello.takeBlock(lengthBytes: 1) != nil
        else { return .notTLS }
        // TLS 1.2 clients may end here.
        if hello.isAtEnd { return .hello(serverName: nil, applicationProtocols: []) }
        guard let extensions = hello.takeBlock(lengthBytes: 2) else { return .notTLS }
        var reader = Reader(extensions)
        var serverName: String?
        var protocols: [String] = []
        while !reader.isAtEnd {
            guard let type = reader.takeNumber(2), let content = reader.takeBlock(lengthBytes: 2) else {
                return .notTLS
            }
            switch type {
            case 0:
                guard let name = Self.serverName(content) else { return .notTLS }
                serverName = name
            case 16:
                guard let names = applicationProtocols(content) else { return .notTLS }
                protocols = names
            default: break
            }
        }
        return .hello(serverName: serverName, applicationProtocols: protocols)
    }

    /// RFC 6066, section 3: a list, of which one host name matters.
    private static func serverName(_ content: ByteView) -> String? {
        var outer = Reader(content)
        guard let list = outer.takeBlock(lengthBytes: 2), outer.isAtEnd else { return nil }
        var reader = Reader(list)
        while !reader.isAtEnd {
            guard let type = reader.takeNumber(1), let name = reader.takeBlock(lengthBytes: 2) else {
                return nil
            }
            guard type == 0 else { continue }
            guard (1...255).contains(name.count),
                name.indices.allSatisfy({ (0x21...0x7e).contains(name[$0]) })
            else {
                return nil
            }
            return name.text.lowercased()
        }
        return nil
    }

    /// RFC 7301, section 3.1.
    private static func applicationProtocols(_ content: ByteView) -> [String]? {
        var outer = Reader(content)
        guard let list = outer.takeBlock(lengthBytes: 2), outer.isAtEnd else { return nil }
        var reader = Reader(list)
        var names: [String] = []
        while !reader.isAtEnd {
            guard let name = reader.takeBlock(lengthBytes: 1), !name.isEmpty else { return nil }
            if names.count < protocolsMax { names.append(name.text) }
        }
        return names
    }

    /// Takes what is there, or nil.
    private struct Reader {
        private var rest: ByteView

        init(_ bytes: ByteView) { rest = bytes }

        var isAtEnd: Bool { rest.isEmpty }

        mutating func take(_ count: Int) -> ByteView? {
            guard count <= rest.count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }

        mutating func takeNumber(_ count: Int) -> Int? {
            guard let bytes = take(count) else { return nil }
            return bytes.indices.reduce(0) { $0 << 8 | Int(bytes[$1]) }
        }

        mutating func takeBlock(lengthBytes: Int) -> ByteView? {
            guard let count = takeNumber(lengthBytes) else { return nil }
            return take(count)
        }
    }
}
