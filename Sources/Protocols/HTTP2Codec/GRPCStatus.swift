import HTTPModel
import MeshPrimitives

/// How a call ended, as `grpc-status` and `grpc-message` say it, in the trailers or in a head without a body.
public struct GRPCStatus: Error, Equatable, Sendable {
    /// The status codes of gRPC; numbers above 16 are read as `unknown`.
    public enum Code: Int, Sendable, CaseIterable {
        case ok, cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists,
            permissionDenied
        case resourceExhausted, failedPrecondition, aborted, outOfRange, unimplemented, `internal`,
            unavailable
        case dataLoss, unauthenticated
    }

    public var code: Code
    public var message: String

    public init(code: Code, message: String = "") {
        self.code = code
        self.message = message
    }

    /// nil if there is no `grpc-status`. `bytes` are the head's.
    public init?(_ head: borrowing MessageHead, _ bytes: ByteView) {
        guard let status = head.value(of: .grpcStatus, in: bytes) else { return nil }
        code = status.decimal.flatMap { Code(rawValue: $0) } ?? .unknown
        message = head.value(of: .grpcMessage, in: bytes).map(Self.decodeMessage) ?? ""
    }

    /// Percent-encoding that is not well formed stands for itself, as gRPC asks for.
    public static func decodeMessage(_ encoded: ByteView) -> String {
        let text = encoded.bytes
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var index = 0
        while index < text.count {
            if let byte = percentDecoded(text, at: index) {
                bytes.append(byte)
                index += 3
            } else {
                bytes.append(text[index])
                index += 1
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Everything but visible ASCII and space is percent-encoded, and `%` too.
    public static func encodeMessage(_ message: String) -> [UInt8] {
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in message.utf8 {
            if byte >= 0x20, byte <= 0x7e, byte != 0x25 {
                bytes.append(byte)
            } else {
                bytes += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return bytes
    }
}
