import MeshPrimitives

/// What is wrong with a stream of gRPC messages: answered with RESOURCE_EXHAUSTED and INTERNAL or UNIMPLEMENTED.
public enum GRPCFramingError: Error, Equatable, Sendable {
    case messageTooLarge(length: Int, max: Int)
    /// Compressed, although no compression was agreed upon.
    case compressed
    /// The first byte is neither 0 nor 1.
    case malformed
}

/// The framing of gRPC messages over HTTP/2: one byte that says whether it is compressed, four of length, the message.
public enum GRPCFraming {
    public static let prefixLength = 5

    /// What goes before an uncompressed message. `length` is below 4 GiB.
    public static func prefix(length: Int) -> [UInt8] {
        let length = UInt32(length)
        return [
            0, UInt8(length >> 24), UInt8(length >> 16 & 0xff), UInt8(length >> 8 & 0xff),
            UInt8(length & 0xff),
        ]
    }

    /// An uncompressed message with its prefix.
    public static func frame(_ message: [UInt8]) -> [UInt8] { prefix(length: message.count) + message }
}

/// Cuts received data into messages, however it was split. Keeps one message at the most, besides what `append` was
/// given at once.
public struct GRPCMessageDecoder: Sendable {
    private let messageMax: Int
    private var bytes: [UInt8] = []
    private var start = 0

    /// `messageMax` in bytes: gRPC's own default is 4 MiB; 64 MiB carry the configuration of a large mesh.
    public init(messageMax: Int = 64 << 20) {
        precondition(messageMax >= 0)
        self.messageMax = messageMax
    }

    /// Nothing of a message is waiting, so the stream may end here.
    public var isBetweenMessages: Bool { start == bytes.count }

    /// Call `next` until it gives nil after each of these: that is what bounds the memory.
    public mutating func append(_ more: ByteView) {
        if start == bytes.count {
            bytes.removeAll(keepingCapacity: bytes.count <= 1 << 20)
            start = 0
        } else if start > 0 {
            bytes.removeFirst(start)
            start = 0
        }
        unsafe more.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
    }

    /// The next whole message, nil if there is none yet. After an error the stream is of no use any more.
    public mutating func next() throws(GRPCFramingError) -> [UInt8]? {
        guard bytes.count - start >= GRPCFraming.prefixLength else { return nil }
        switch bytes[start] {
        case 0: break
        case 1: throw .compressed
        default: throw .malformed
        }
        let length = bytes[(start + 1)..<(start + 5)].reduce(0) { $0 << 8 | Int($1) }
        guard length <= messageMax else { throw .messageTooLarge(length: length, max: messageMax) }
        let messageStart = start + GRPCFraming.prefixLength
        guard bytes.count - messageStart >= length else { return nil }
        start = messageStart + length
        return Array(bytes[messageStart..<start])
    }
}
