import Crypto
import Foundation
import XDSMessages

/// The types of resources, in the order in which a change is sent: what is referred to comes before what refers.
public enum ResourceType: String, Sendable, CaseIterable {
    case clusters, endpoints, listeners, routes, secrets

    public var typeURL: String {
        switch self {
        case .clusters: return "type.googleapis.com/envoy.config.cluster.v3.Cluster"
        case .endpoints: return "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
        case .listeners: return "type.googleapis.com/envoy.config.listener.v3.Listener"
        case .routes: return "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
        case .secrets: return "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
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
        case .endpoints, .routes, .secrets: return false
        }
    }
}

/// One resource as it goes on the wire; equal contents have equal versions.
public struct CompiledResource: Sendable, Equatable {
    public let name: String
    public let message: Google_Protobuf_Any
    public let version: String

    init(name: String, _ message: some Message) {
        self.name = name
        self.message = Wire.packed(message)
        version = Wire.version(of: self.message.value)
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

    private let resources: [ResourceType: Resources]

    public init(_ resources: [ResourceType: [CompiledResource]]) {
        self.resources = resources.mapValues(Resources.init)
    }

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
    static func version(of bytes: Data) -> String {
        SHA256.hash(data: bytes).prefix(8).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }
}
