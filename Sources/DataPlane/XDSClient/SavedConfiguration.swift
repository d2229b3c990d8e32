import MeshPrimitives
import Reactor
import XDSDiscovery
import XDSSchema

/// The resources of the last good configuration, as they lie in a file for the next start.
///
/// The file: a line that names the format, then for each resource its kind (one byte), its name, the version of its
/// response and its message, each of the latter with its length before it (four bytes, first byte highest), and at the
/// end a checksum of all before it (FNV-1a, eight bytes). The checksum finds accidents, not forgers: the folder belongs
/// to the proxy alone.
public struct SavedConfiguration: Sendable, Equatable {
    public struct Resource: Sendable, Equatable {
        public var kind: ResourceKind
        public var name: String
        public var version: String
        /// The message, binary.
        public var bytes: [UInt8]

        public init(kind: ResourceKind, name: String, version: String, bytes: [UInt8]) {
            (self.kind, self.name, self.version, self.bytes) = (kind, name, version, bytes)
        }
    }

    /// Larger files are neither written nor read.
    public static let bytesMax = 256 << 20
    private static let format = Array("martlet configuration 1\n".utf8)

    public var resources: [Resource]

    public init(resources: [Resource]) { self.resources = resources }

    /// What is in force; static resources are the bootstrap's and come from there again.
    public init(_ held: [HeldResource]) {
        resources = held.filter { !$0.isStatic && !$0.isWarming }.map {
            Resource(kind: $0.kind, name: $0.name, version: $0.version, bytes: $0.bytes)
        }
    }

    /// A DiscoveryResponse with what is there of what is asked for; nil if that is nothing.
    func response(to request: WireRequest) -> [UInt8]? {
        typealias F = XDS.DiscoveryResponse
        let found = resources.filter {
            $0.kind == request.kind && (request.names.isEmpty || request.names.contains($0.name))
        }
        guard let first = found.first else { return nil }
        var response = ConfigMessage(F.messageType)
        if !first.version.isEmpty { response.set(F.versionInfo, .text(first.version)) }
        response.set(F.typeUrl, .text(request.kind.typeURL))
        response.set(F.nonce, .text("saved"))
        response.set(
            F.resources,
            .list(
                found.map { resource in
                    var packed = ConfigMessage(XDS.AnyMessage.messageType)
                    packed.set(XDS.AnyMessage.typeUrl, .text(resource.kind.typeURL))
                    packed.set(XDS.AnyMessage.value, .bytes(resource.bytes))
                    return .message(packed)
                }))
        return WireWriter.write(response)
    }

    // MARK: The file

    public func encoded() -> [UInt8] {
        var bytes = Self.format
        func append(_ part: [UInt8]) {
            let count = UInt32(clamping: part.count)
            bytes += [
                UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255),
            ]
            bytes += part
        }
        for resource in resources {
            bytes.append(UInt8(resource.kind.rawValue))
            append(Array(resource.name.utf8))
            append(Array(resource.version.utf8))
            append(resource.bytes)
        }
        let checksum = bytes.withByteView { $0.hash64 }
        for shift in stride(from: 56, through: 0, by: -8) {
            bytes.append(UInt8(checksum >> UInt64(shift) & 255))
        }
        return bytes
    }

    /// nil if the bytes are not what `encoded` made.
    public init?(encoded bytes: [UInt8]) {
        guard bytes.count >= Self.format.count + 8, bytes.starts(with: Self.format) else { return nil }
        let end = bytes.count - 8
        let checksum = bytes[end...].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard bytes.withByteView({ $0.prefix(end).hash64 }) == checksum else { return nil }
        var offset = Self.format.count
        func next() -> [UInt8]? {
            guard end - offset >= 4 else { return nil }
            let count = bytes[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
            offset += 4
            guard end - offset >= count else { return nil }
            defer { offset += count }
            return Array(bytes[offset..<offset + count])
        }
        resources = []
        while offset < end {
            let kind = ResourceKind(rawValue: Int(bytes[offset]))
            offset += 1
            guard let kind, let name = next(), let version = next(), let message = next() else { return nil }
            resources.append(
                Resource(
                    kind: kind, name: String(decoding: name, as: UTF8.self),
                    version: String(decoding: version, as: UTF8.self), bytes: message))
        }
    }
}
