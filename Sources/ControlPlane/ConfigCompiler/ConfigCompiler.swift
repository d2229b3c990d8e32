// ConfigCompiler: from what operators wrote and who is there, to what one proxy must know.
//
// A pure function: the same specification, workloads and node give the same bytes, in the same order. The result is
// Envoy's v3 API, so that other proxies can be sent the same; what only Martlet understands travels as `martlet.v1`
// messages, to nodes that say they do. Sending, and remembering who has what, belong to `DiscoveryServer` and `Fleet`.

import MeshConfig
import XDSMessages

/// One state of the mesh, ready to be compiled for any node.
public struct ConfigCompiler: Sendable {
    let specification: MeshSpecification
    let policies: PolicyIndex
    let workloads: [Workload]
    let trustBundlePEM: String
    let transitions: TLSTransitions
    /// Keys of the labels by which policies choose among endpoints.
    let subsetKeys: [[String]]
    private let persistentBackends: Set<TLSTransitions.Port>

    public init(
        specification: MeshSpecification, policies: PolicyIndex, workloads: [Workload],
        trustBundlePEM: String,
        transitions: TLSTransitions = TLSTransitions()
    ) {
        (self.specification, self.policies) = (specification, policies)
        (self.workloads, self.trustBundlePEM) = (workloads, trustBundlePEM)
        self.transitions = transitions
        subsetKeys = policies.subsetKeys
        var backends: Set<TLSTransitions.Port> = []
        for resource in specification.resources {
            for rule in resource.route?.rules ?? [] where rule.sessionPersistence != nil {
                backends.formUnion(rule.backends.map { .init(service: $0.service, port: $0.port) })
            }
        }
        persistentBackends = backends
    }

    /// Sessions of some route stay with an endpoint there.
    func isPersistent(_ id: ServiceID, port: Int) -> Bool {
        persistentBackends.contains(.init(service: id, port: port))
    }

    /// What all proxies of one class share: compiled once, however many there are.
    public struct Common: Sendable {
        let clusters: [CompiledResource]
        let endpoints: [CompiledResource]
        let routes: [CompiledResource]
        let secrets: [CompiledResource]
    }

    public func common(for proxyClass: ProxyClass) -> Common {
        let clusters = ClusterCompiler(self, proxyClass)
        let services = specification.services.sorted { $0.key < $1.key }
        var compiled: [CompiledResource] = []
        var endpoints: [CompiledResource] = []
        for (id, service) in services {
            for port in service.ports {
                let name = Self.clusterName(id, port: port.port)
                compiled.append(.init(name: name, clusters.cluster(id, service, port)))
                if let assignment = clusters.assignment(id, service, port) {
                    endpoints.append(.init(name: name, assignment))
                }
            }
        }
        let routes = RouteCompiler(self, proxyClass).outbound()
        let secrets = proxyClass.tls == .martlet ? [CompiledResource(name: Names.bundle, bundleSecret())] : []
        return Common(
            clusters: compiled, endpoints: endpoints, routes: [.init(name: Names.outbound, routes)],
            secrets: secrets)
    }

    public func snapshot(for node: ProxyNode, _ common: Common) -> ProxySnapshot {
        let listeners = ListenerCompiler(self, node)
        let compiler = ClusterCompiler(self, node.proxyClass)
        let clusters = node.apps.map { app in
            CompiledResource(
                name: Names.inbound(app.port), compiler.inbound(app, at: listeners.place(of: app).place))
        }
        let collectors = listeners.collector.map {
            [CompiledResource(name: Names.collector($0), ClusterCompiler.collector($0))]
        }
        return ProxySnapshot([
            .clusters: clusters + (collectors ?? []) + common.clusters, .endpoints: common.endpoints,
            .listeners: listeners.listeners().map { .init(name: $0.name, $0) }, .routes: common.routes,
            .secrets: common.secrets,
        ])
    }

    /// The names that both sides of the contract know.
    enum Names {
        static let identity = "martlet:identity"
        static let bundle = "martlet:bundle"
        static let outbound = "outbound"

        static func inbound(_ port: Int) -> String { "inbound|\(port)" }

        static func collector(_ collector: TelemetrySettings.Collector) -> String {
            "otlp|\(collector.host)|\(collector.port)|\(collector.transport.rawValue)"
        }

        static func upstream(_ id: ServiceID, port: Int) -> String { "upstream|\(id)|\(port)" }
    }

    static func clusterName(_ id: ServiceID, port: Int) -> String { "outbound|\(port)|\(id)" }

    private func bundleSecret() -> Envoy_Extensions_TransportSockets_Tls_V3_Secret {
        .with {
            $0.name = Names.bundle
            $0.validationContext.trustedCa.inlineString = trustBundlePEM
        }
    }

    /// From `NAMESPACE/NAME`.
    func identityURI(of text: String) -> String { ServiceID(text).map(identityURI) ?? text }

    /// The identity that certificates of a service's own workloads carry.
    func identityURI(_ id: ServiceID) -> String {
        "spiffe://\(specification.mesh.trustDomain)/ns/\(id.namespace)/sa/\(id.name)"
    }
}
