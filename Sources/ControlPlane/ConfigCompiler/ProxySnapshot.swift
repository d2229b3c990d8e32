import Crypto
import Foundation
import MeshConfig
import XDSMessages

/// The types of resources, in the order in which a change is sent: what is referred to comes before what refers.
public enum ResourceType: String, Sendable, CaseIterable {
    case clusters, endpoints, listeners, routes, secrets
    /// Not the proxy's configuration, but what vouches for it: after everything that it speaks of.
    case manifests

    public var typeURL: String {
        switch self {
        case .clusters: return "type.googleapis.com/envoy.config.cluster.v3.Cluster"
        case .endpoints: return "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
        case .listeners: return "type.googleapis.com/envoy.config.listener.v3.Listener"
        case .routes: return "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
        case .secrets: return "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
        case .manifests: return "type.googleapis.com/martlet.v1.SignedManifest"
        }
    }

    public init?(typeURL: String) {
        guard let type = Self.allCases.first(where: { $0.typeURL == typeURL }) else { return nil }
        self = type
    }

    /// Clusters and listeners are subscribed to as a whole: a response holds all of them, and one that is missing
    /// is gone. The other types are subscribed to by name.
    public var isWildcard: Bool {
        switch self {
        case .clusters, .listeners: return true
        case .endpoints, .routes, .secrets, .manifests: return false
        }
    }
}

/// One resource as it goes on the wire; equal contents have equal versions.
public struct CompiledResource: Sendable, Equatable {
    public let name: String
    public let message: Google_Protobuf_Any
    public let version: String
    /// SHA-256 of the message's bytes.
    let digest: Data

    init(name: String, _ message: some Message) {
        self.name = name
        self.message = Wire.packed(message)
        digest = Data(SHA256.hash(data: self.message.value))
        version = Wire.version(digest)
    }

    /// Signatures differ each time that something is signed: what is signed gives the version.
    init(name: String, _ message: some Message, versionOf content: Data) {
        self.name = name
        self.message = Wire.packed(message)
        digest = Data(SHA256.hash(data: self.message.value))
        version = Wire.version(of: content)
    }
}

/// Everything that one proxy is to know. A value: two snapshots are compared to find what to send.
public struct ProxySnapshot: Sendable, Equatable {
    public struct Resources: Sendable, Equatable {
        /// In a stable order.
        public let list: [CompiledResource]
        /// Of the whole list.
        public let version: String
        private let indexes: [String: Int]

        init(_ list: [CompiledResource]) {
            self.list = list
            indexes = Dictionary(
                list.enumerated().map { ($0.element.name, $0.offset) },
                uniquingKeysWith: { first, _ in first })
            version = Wire.version(of: Data(list.map { "\($0.name)=\($0.version)\n" }.joined().utf8))
        }

        public subscript(name: String) -> CompiledResource? { indexes[name].map { list[$0] } }
    }

    private var resources: [ResourceType: Resources]

    public init(_ resources: [ResourceType: [CompiledResource]]) {
        self.resources = resources.mapValues(Resources.init)
    }

    /// With a manifest of everything in it, signed, so that the proxies of `service` can keep it for a restart.
    /// `previous` is an earlier manifest for the same proxy: it is taken again if nothing has changed.
    public func signed(
        for service: ServiceID, previous: CompiledResource?, sign: (Data) throws -> [UInt8]
    ) rethrows -> ProxySnapshot {
        let manifest = Wire.bytes(
            Martlet_V1_Manifest.with {
                $0.service = service.description
                for type in ResourceType.allCases where type != .manifests {
                    $0.resources += self[type].list.map { resource in
                        .with {
                            $0.typeURL = type.typeURL
                            $0.name = resource.name
                            $0.digest = resource.digest
                        }
                    }
                }
            })
        var result = self
        if let previous, previous.version == Wire.version(of: manifest) {
            result.resources[.manifests] = Resources([previous])
            return result
        }
        let signature = try sign(Data("martlet.v1.Manifest\0".utf8) + manifest)
        let message = Martlet_V1_SignedManifest.with {
            $0.name = Self.manifestName
            $0.manifest = manifest
            $0.signature = Data(signature)
        }
        result.resources[.manifests] = Resources([
            CompiledResource(name: Self.manifestName, message, versionOf: manifest)
        ])
        return result
    }

    public static let manifestName = "martlet:manifest"

    public subscript(type: ResourceType) -> Resources { resources[type] ?? Resources([]) }
}

/// Serialization that gives the same bytes for the same message, in every process.
enum Wire {
    static func packed(_ message: some Message) -> Google_Protobuf_Any {
        .with {
            $0.typeURL = "type.googleapis.com/\(type(of: message).protoMessageName)"
            $0.value = bytes(message)
        }
    }

    static func bytes(_ message: some Message) -> Data {
        var options = BinaryEncodingOptions()
        // Maps are dictionaries here, and their order changes from run to run.
        options.useDeterministicOrdering = true
        do {
            return try message.serializedBytes(options: options)
        } catch {
            // Only proto2's required fields can be missing, and these messages are proto3.
            preconditionFailure("\(type(of: message).protoMessageName): \(error)")
        }
    }

    /// 64 bits of SHA-256: enough to tell versions apart, short enough to read.
    static func version(of bytes: Data) -> String { version(Data(SHA256.hash(data: bytes))) }

    static func version(_ digest: Data) -> String {
        digest.prefix(8).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }
}
