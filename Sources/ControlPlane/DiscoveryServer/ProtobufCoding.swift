import Foundation
import GRPCCore
import SwiftProtobuf

/// Protobuf messages on a gRPC stream.
struct ProtobufCoding<Message: SwiftProtobuf.Message>: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: Message) throws -> Bytes {
        Bytes(try message.serializedBytes() as [UInt8])
    }

    func deserialize<Bytes: GRPCContiguousBytes>(_ serializedMessageBytes: Bytes) throws -> Message {
        do {
            return try serializedMessageBytes.withUnsafeBytes { try Message(serializedBytes: Data($0)) }
        } catch {
            throw RPCError(code: .invalidArgument, message: "this is not a \(Message.protoMessageName)")
        }
    }
}
