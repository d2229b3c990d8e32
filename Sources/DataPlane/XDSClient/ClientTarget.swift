import MeshModel
import MeshPrimitives
import TLSEngine

/// Where a connection leads: hosts, one as good as the other, and how to speak to them.
public struct ClientTarget {
    public struct Host: Hashable, Sendable, CustomStringConvertible {
        /// A name or a numeric address.
        public var name: String
        public var port: UInt16

        public init(name: String, port: UInt16) { (self.name, self.port) = (name, port) }

        public var description: String { name.contains(":") ? "[\(name)]:\(port)" : "\(name):\(port)" }
    }

    /// Tried in this order.
    public var hosts: [Host]
    /// nil: plain text.
    public var tls: TLSContext?
    /// SNI; nil: the context's.
    public var serverName: String?
    /// For one address, the TLS handshake included.
    public var connectTimeout = Duration.seconds(5)
    /// nil: the machine finds out by itself that a peer is dead, after half a minute of silence.
    public var pings: Pings?

    /// HTTP/2 pings by which a dead peer is noticed.
    public struct Pings: Equatable, Sendable {
        /// After so much silence a ping is sent.
        public var interval: Duration
        /// So long its answer may take.
        public var timeout: Duration

        public init(interval: Duration = .seconds(30), timeout: Duration = .seconds(10)) {
            (self.interval, self.timeout) = (interval, timeout)
        }
    }

    public init(hosts: [Host], tls: TLSContext? = nil, serverName: String? = nil, pings: Pings? = nil) {
        (self.hosts, self.tls, self.serverName, self.pings) = (hosts, tls, serverName, pings)
    }
}

/// Why a cluster cannot be used by the proxy itself.
public struct TargetProblem: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    public init(description: String) { self.description = description }
}

extension ClientTarget {
    /// The endpoints of a cluster, its TLS settings and its timeouts: for what the proxy itself asks for by gRPC.
    public init(_ cluster: Cluster) throws(TargetProblem) {
        guard cluster.upstreamProtocol == .http2 else {
            throw TargetProblem(
                description: "the cluster '\(cluster.name)' carries gRPC and needs http2_protocol_options")
        }
        try self.init(cluster, applicationProtocol: "h2")
    }

    /// The same for what is asked for by HTTP/1.1.
    public init(plainHTTP cluster: Cluster) throws(TargetProblem) {
        guard cluster.upstreamProtocol != .http2 else {
            throw TargetProblem(
                description:
                    "the cluster '\(cluster.name)' is sent HTTP/1.1 and must not have http2_protocol_options")
        }
        try self.init(cluster, applicationProtocol: "http/1.1")
    }

    private init(_ cluster: Cluster, applicationProtocol: String) throws(TargetProblem) {
        var hosts: [Host] = []
        for endpoint in cluster.localities.sorted(by: { $0.priority < $1.priority }).flatMap(\.endpoints) {
            switch endpoint.address {
            case .numeric(let address): hosts.append(Host(name: address.host, port: address.port))
            case .name(let name, let port): hosts.append(Host(name: name, port: port))
            }
        }
        guard !hosts.isEmpty else {
            throw TargetProblem(description: "the cluster '\(cluster.name)' has no endpoints")
        }
        self.init(hosts: hosts)
        connectTimeout = cluster.connectTimeout
        if let interval = cluster.http2.keepaliveInterval {
            pings = Pings(interval: interval, timeout: cluster.http2.keepaliveTimeout)
        }
        guard let settings = cluster.tls else { return }
        do throws(TLSSettingsError) {
            var engine = try TLSEngine.TLSSettings(settings, cluster: cluster.name)
            engine.applicationProtocols = [applicationProtocol]
            tls = try TLSContext(engine)
        } catch {
            throw TargetProblem(description: "the cluster '\(cluster.name)': \(error)")
        }
        serverName = settings.sni.isEmpty ? nil : settings.sni
    }
}

extension TLSEngine.TLSSettings {
    /// Of a client, from the model, without ALPN.
    init(_ tls: UpstreamTLS, cluster: String) throws(TLSSettingsError) {
        let settings = tls.settings
        self.init(
            role: .client,
            identity: settings.identity.map {
                Identity(certificateChain: $0.certificateChainPEM, privateKey: $0.privateKeyPEM)
            },
            trust: settings.trustBundlePEM.map(Trust.bundle) ?? .anyCertificate)
        for name in settings.subjectNames {
            guard let matcher = SANMatcher(name) else {
                throw .badName("a pattern of the cluster '\(cluster)'")
            }
            peerNames.append(matcher)
        }
        peerCertificateHashes = settings.certificateHashes
        versionMin = settings.versionMin == .tls13 ? .tls13 : .tls12
        versionMax = settings.versionMax == .tls12 ? .tls12 : .tls13
        cipherSuites = settings.cipherSuites
    }
}

extension SANMatcher {
    /// nil for a regular expression, and for an exact case where it must not matter.
    fileprivate init?(_ name: SubjectNameMatch) {
        guard !name.match.ignoresCase || name.kind == .dns else { return nil }
        let pattern: Pattern? =
            switch name.match.pattern {
            case .exact(let text): .exact(text)
            case .prefix(let text): .prefix(text)
            case .suffix(let text): .suffix(text)
            case .contains(let text): .contains(text)
            case .regex: nil
            }
        guard let pattern else { return nil }
        self.init(name.kind == .uri ? .uri : .dns, pattern)
    }
}
