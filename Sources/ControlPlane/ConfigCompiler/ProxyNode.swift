import MeshConfig
import XDSMessages

/// A bound address.
public struct HostPort: Sendable, Hashable, CustomStringConvertible {
    public let host: String
    public let port: Int

    public init(host: String, port: Int) { (self.host, self.port) = (host, port) }

    /// From `HOST:PORT`; an IPv6 host stands in brackets. Port 0 is an address only for who listens.
    public init?(_ text: String, forListening: Bool = false) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            ((forListening ? 0 : 1)...65_535).contains(port)
        else { return nil }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        guard let address = IPAddress(host) else { return nil }
        self.init(host: address.description, port: port)
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// How a proxy comes by its certificate.
public enum ProxyTLS: Sendable, Hashable {
    /// It makes its own key and knows it as a secret by name.
    case martlet
    /// A foreign proxy that reads them from files.
    case files(certificateChain: String, privateKey: String, trustBundle: String)
    /// It has none, and speaks plain text.
    case none
}

/// What proxies have in common that are sent the same clusters and routes.
public struct ProxyClass: Sendable, Hashable {
    public let namespace: String
    /// Where they are; empty: not known.
    public let zone: String
    /// Understands `martlet.v1` messages.
    public let isMartlet: Bool
    public let tls: ProxyTLS
}

/// What a proxy says about itself in its first request, checked.
public struct ProxyNode: Sendable, Equatable {
    /// What a node says cannot be right.
    public struct Invalid: Error, Sendable, Equatable, CustomStringConvertible {
        public let description: String
    }

    public struct App: Sendable, Equatable {
        /// The application's own port.
        public let port: Int
        public let appProtocol: ApplicationProtocol
        /// Where the sidecar takes its traffic.
        public let listen: HostPort
    }

    public struct Upstream: Sendable, Equatable {
        public let service: ServiceID
        public let port: Int
        public let listen: HostPort
    }

    static let appsMax = 64
    static let upstreamsMax = 1024
    static let labelsMax = 32

    public let id: String
    public let service: ServiceID
    public let userAgent: String
    /// Where other sidecars reach this one.
    public let address: String?
    public let zone: String
    public let labels: [String: String]
    public let apps: [App]
    public let outbound: HostPort?
    public let upstreams: [Upstream]
    public let isMartlet: Bool
    public let tls: ProxyTLS
    /// How a foreign proxy's bootstrap calls the cluster of the control plane.
    public let controlCluster: String?

    public var proxyClass: ProxyClass {
        ProxyClass(namespace: service.namespace, zone: zone, isMartlet: isMartlet, tls: tls)
    }

    public init(_ node: Envoy_Config_Core_V3_Node) throws(Invalid) {
        guard !node.id.isEmpty, node.id.utf8.count <= 512 else {
            throw Invalid(description: "node.id: is missing or too long; write NAMESPACE/SERVICE~INSTANCE")
        }
        let cluster = node.cluster.contains("/") ? node.cluster : "default/\(node.cluster)"
        guard let service = ServiceID(cluster) else {
            throw Invalid(
                description: "node.cluster: '\(node.cluster)' is not a service; write NAMESPACE/SERVICE")
        }
        id = node.id
        self.service = service
        userAgent =
            node.userAgentVersion.isEmpty
            ? node.userAgentName : "\(node.userAgentName)/\(node.userAgentVersion)"
        let metadata = Tree(node.metadata.fields["martlet"], path: "node.metadata.martlet")
        let capabilities = metadata["capabilities"].elements.compactMap(\.text)
        isMartlet = node.userAgentName == "martlet" && capabilities.contains("martlet.v1")
        zone = node.locality.zone.isEmpty ? metadata["zone"].text ?? "" : node.locality.zone
        if let address = metadata["address"].text {
            guard let parsed = IPAddress(address) else {
                throw metadata["address"].invalid("is not an IP address")
            }
            self.address = parsed.description
        } else {
            address = nil
        }
        labels = try Self.labels(metadata["labels"])
        apps = try Self.apps(metadata["app"])
        outbound = try metadata["outbound"].hostPort()
        upstreams = try Self.upstreams(metadata["upstreams"])
        tls = try Self.tls(metadata, isMartlet: isMartlet)
        controlCluster = metadata["control_cluster"].text
        guard apps.isEmpty || address != nil else {
            throw metadata["address"].invalid("is missing, so that nobody could reach the application")
        }
    }

    private static func labels(_ tree: Tree) throws(Invalid) -> [String: String] {
        guard tree.keys.count <= labelsMax else { throw tree.invalid("has more than \(labelsMax) keys") }
        var labels: [String: String] = [:]
        for key in tree.keys {
            guard let text = tree[key].text else { throw tree[key].invalid("is not text") }
            labels[key] = text
        }
        return labels
    }

    private static func apps(_ tree: Tree) throws(Invalid) -> [App] {
        var apps: [App] = []
        guard tree.elements.count <= appsMax else { throw tree.invalid("has more than \(appsMax) elements") }
        for element in tree.elements {
            let port = try element["port"].port()
            guard let appProtocol = ApplicationProtocol(rawValue: element["protocol"].text ?? "http") else {
                throw element["protocol"].invalid("is not http, http2, grpc, tcp, tls or auto")
            }
            guard let listen = try element["listen"].hostPort() else {
                throw element["listen"].invalid("is missing")
            }
            guard !apps.contains(where: { $0.port == port }) else {
                throw element["port"].invalid("is there twice")
            }
            apps.append(App(port: port, appProtocol: appProtocol, listen: listen))
        }
        return apps
    }

    private static func upstreams(_ tree: Tree) throws(Invalid) -> [Upstream] {
        var upstreams: [Upstream] = []
        guard tree.elements.count <= upstreamsMax else {
            throw tree.invalid("has more than \(upstreamsMax) elements")
        }
        for element in tree.elements {
            guard let service = ServiceID(element["service"].text ?? "") else {
                throw element["service"].invalid("is not NAMESPACE/NAME")
            }
            guard let listen = try element["listen"].hostPort() else {
                throw element["listen"].invalid("is missing")
            }
            let upstream = Upstream(service: service, port: try element["port"].port(), listen: listen)
            guard !upstreams.contains(where: { $0.service == service && $0.port == upstream.port }) else {
                throw element["service"].invalid("is there twice with this port")
            }
            upstreams.append(upstream)
        }
        return upstreams
    }

    private static func tls(_ metadata: Tree, isMartlet: Bool) throws(Invalid) -> ProxyTLS {
        if isMartlet { return metadata["certificate"].boolean == false ? .none : .martlet }
        let tree = metadata["tls"]
        guard tree.isPresent else { return .none }
        guard let chain = tree["certificate_chain"].text, let key = tree["private_key"].text,
            let bundle = tree["trust_bundle"].text
        else { throw tree.invalid("needs certificate_chain, private_key and trust_bundle") }
        return .files(certificateChain: chain, privateKey: key, trustBundle: bundle)
    }

    /// A value inside the node's metadata that knows where it stands.
    private struct Tree {
        let value: Google_Protobuf_Value?
        let path: String

        init(_ value: Google_Protobuf_Value?, path: String) { (self.value, self.path) = (value, path) }

        var isPresent: Bool { value != nil }

        subscript(key: String) -> Tree { Tree(value?.structValue.fields[key], path: "\(path).\(key)") }

        var keys: [String] { value?.structValue.fields.keys.sorted() ?? [] }

        var elements: [Tree] {
            (value?.listValue.values ?? []).enumerated().map {
                Tree($0.element, path: "\(path)[\($0.offset)]")
            }
        }

        var text: String? {
            guard case .stringValue(let text) = value?.kind else { return nil }
            return text
        }

        var boolean: Bool? {
            guard case .boolValue(let boolean) = value?.kind else { return nil }
            return boolean
        }

        func port() throws(Invalid) -> Int {
            guard case .numberValue(let number) = value?.kind, let port = Int(exactly: number),
                (1...65_535).contains(port)
            else { throw invalid("is not a port") }
            return port
        }

        /// `nil` if absent.
        func hostPort() throws(Invalid) -> HostPort? {
            guard isPresent else { return nil }
            guard let text, let hostPort = HostPort(text) else { throw invalid("is not HOST:PORT") }
            return hostPort
        }

        func invalid(_ problem: String) -> Invalid { Invalid(description: "\(path): \(problem)") }
    }
}
