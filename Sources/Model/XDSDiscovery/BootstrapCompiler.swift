import MeshModel
import MeshPrimitives
import XDSSchema

/// envoy.config.bootstrap.v3.Bootstrap, checked.
public struct Bootstrap: Sendable {
    /// envoy.config.core.v3.Node, as it was written.
    public var node: ConfigMessage
    public var admin: SocketAddress?
    public var runtime: [String: RuntimeValue] = [:]
    /// The cluster that this proxy is an endpoint of; empty for none.
    public var localCluster = ""
    public var ads: ADSSettings?
    /// How long to wait for the first answer; nil: not asked for.
    public var clusterFetchTimeout: Duration?
    public var listenerFetchTimeout: Duration?

    var clusters: [CompiledCluster] = []
    var listeners: [CompiledListener] = []
    /// By name; they need no subscription.
    var secrets: [String: SecretValue] = [:]

    /// A bootstrap without resources.
    public init(node: ConfigMessage) { self.node = node }

    /// The cluster that the discovery stream uses.
    public var adsCluster: Cluster? { clusters.first { $0.cluster.name == ads?.clusterName }?.cluster }
}

/// envoy.config.core.v3.ApiConfigSource of the ADS stream.
public struct ADSSettings: Sendable, Equatable {
    public var clusterName: String
    /// Empty: the cluster's name.
    public var authority: String
    public var initialMetadata: [Metadatum]
    public var sendsNodeOnce: Bool
    /// The control plane is one of ours, and signs what it sends.
    public var asksForManifest = false

    public struct Metadatum: Sendable, Equatable {
        public var name: String
        public var value: String
    }

    public init(
        clusterName: String, authority: String = "", initialMetadata: [Metadatum] = [],
        sendsNodeOnce: Bool = false
    ) {
        (self.clusterName, self.authority) = (clusterName, authority)
        (self.initialMetadata, self.sendsNodeOnce) = (initialMetadata, sendsNodeOnce)
    }
}

extension Bootstrap {
    /// Reads a bootstrap: `texts` are merged in their order, as `--config-yaml` is over the file. nil if a
    /// problem was added. Files that it names are read here.
    public static func read(
        _ texts: [(name: String, bytes: [UInt8])], surroundings: ConfigSurroundings,
        problems: inout ConfigProblems
    ) -> Bootstrap? {
        var merged: ConfigMessage?
        var isComplete = true
        for text in texts {
            let message = TextReader.read(
                text.bytes, as: XDS.Bootstrap.messageType, file: text.name, problems: &problems)
            guard let message else {
                isComplete = false
                continue
            }
            if merged == nil { merged = message } else { merged?.merge(message) }
        }
        guard isComplete, let merged else { return nil }
        return compile(merged, surroundings: surroundings, problems: &problems)
    }

    /// From a message that was read already; nil if a problem was added.
    public static func compile(
        _ message: ConfigMessage, surroundings: ConfigSurroundings, problems: inout ConfigProblems
    ) -> Bootstrap? {
        guard message.validate(problems: &problems) else { return nil }
        let before = problems.count
        var surroundings = surroundings
        let node = ConfigNode(message, root: "")
        var reader = ResourceCompiler(surroundings: surroundings, problems: problems)
        var bootstrap = reader.bootstrap(node)
        surroundings.runtime.merge(bootstrap.runtime) { $1 }
        surroundings.secrets.merge(bootstrap.secrets) { $1 }
        var compiler = ResourceCompiler(surroundings: surroundings, problems: reader.problems)
        compiler.staticResources(node.child(XDS.Bootstrap.staticResources), into: &bootstrap)
        compiler.checkReferences(bootstrap)
        problems = compiler.problems
        return problems.count == before ? bootstrap : nil
    }
}

extension ResourceCompiler {
    fileprivate mutating func bootstrap(_ node: ConfigNode) -> Bootstrap {
        typealias F = XDS.Bootstrap
        var bootstrap = Bootstrap(node: node.message.message(F.node) ?? ConfigMessage(XDS.Node.messageType))
        if let admin = node.child(F.admin) {
            bootstrap.admin = address(admin.child(XDS.Admin.address), of: admin, XDS.Admin.address)
        }
        for layer in node.child(F.layeredRuntime)?.children(XDS.LayeredRuntime.layers) ?? [] {
            if let values = layer.child(XDS.RuntimeLayer.staticLayer) {
                runtime(values, prefix: "", into: &bootstrap.runtime)
            }
        }
        bootstrap.localCluster =
            node.child(F.clusterManager)?.message.text(XDS.ClusterManager.localClusterName) ?? ""
        if let dynamic = node.child(F.dynamicResources) { dynamicResources(dynamic, into: &bootstrap) }
        let statics = node.child(F.staticResources)
        for secret in statics?.children(XDS.BootstrapStaticResources.secrets) ?? [] {
            let name = secret.message.text(XDS.Secret.name)
            guard let value = self.secret(secret) else { continue }
            if bootstrap.secrets.updateValue(value, forKey: name) != nil {
                add("a second secret '\(name)'", at: secret, XDS.Secret.name)
            }
        }
        return bootstrap
    }

    /// A `FractionalPercent` that is written out: `numerator`, and perhaps `denominator`.
    private func fraction(in node: ConfigNode) -> Fraction? {
        typealias V = XDS.Value
        let fields = Dictionary(node.entries(XDS.Struct.fields)) { $1 }
        guard let numerator = fields["numerator"], numerator.message.has(V.numberValue) else { return nil }
        let denominators: [String: UInt32] = ["HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000]
        let name = fields["denominator"]?.message.text(V.stringValue) ?? "HUNDRED"
        let number = numerator.message.double(V.numberValue)
        return Fraction(
            numerator: UInt32(max(0, min(number, Double(UInt32.max)))), denominator: denominators[name] ?? 100
        )
    }

    /// Values within each other get dotted keys; a later layer wins.
    private mutating func runtime(
        _ node: ConfigNode, prefix: String, into values: inout [String: RuntimeValue]
    ) {
        typealias V = XDS.Value
        for (name, value) in node.entries(XDS.Struct.fields) {
            let key = prefix + name
            if let inner = value.child(V.structValue) {
                if let fraction = fraction(in: inner) {
                    values[key] = .fraction(fraction)
                } else {
                    runtime(inner, prefix: key + ".", into: &values)
                }
            } else if value.message.has(V.numberValue) {
                values[key] = .number(value.message.double(V.numberValue))
            } else if value.message.has(V.stringValue) {
                values[key] = .text(value.message.text(V.stringValue))
            } else if value.message.has(V.boolValue) {
                values[key] = .bool(value.message.bool(V.boolValue))
            } else {
                add("needs a number, a string or a boolean", at: value)
            }
        }
    }

    private mutating func dynamicResources(_ node: ConfigNode, into bootstrap: inout Bootstrap) {
        typealias F = XDS.BootstrapDynamicResources
        if let ads = node.child(F.adsConfig) {
            typealias A = XDS.ApiConfigSource
            if ads.message.enumerated(A.apiType) != 2 { add("GRPC is supported", at: ads, A.apiType) }
            if ads.message.enumerated(A.transportApiVersion) != 2 {
                add("V3 is supported", at: ads, A.transportApiVersion)
            }
            let services = ads.children(A.grpcServices)
            if services.count != 1 {
                add("needs exactly one element, not \(services.count)", at: ads, A.grpcServices)
            }
            if let service = services.first, let grpc = service.message.message(XDS.GrpcService.envoyGrpc) {
                var settings = ADSSettings(clusterName: grpc.text(XDS.GrpcServiceEnvoyGrpc.clusterName))
                settings.authority = grpc.text(XDS.GrpcServiceEnvoyGrpc.authority)
                settings.initialMetadata = service.message.messages(XDS.GrpcService.initialMetadata).map {
                    ADSSettings.Metadatum(
                        name: $0.text(XDS.HeaderValue.key).lowercased(), value: $0.text(XDS.HeaderValue.value)
                    )
                }
                settings.sendsNodeOnce = ads.message.bool(A.setNodeOnFirstMessageOnly)
                bootstrap.ads = settings
            }
        }
        if node.message.has(F.cdsConfig) {
            bootstrap.clusterFetchTimeout = adsTimeout(node.child(F.cdsConfig), of: node, F.cdsConfig)
        }
        if node.message.has(F.ldsConfig) {
            bootstrap.listenerFetchTimeout = adsTimeout(node.child(F.ldsConfig), of: node, F.ldsConfig)
        }
        if bootstrap.ads == nil, bootstrap.clusterFetchTimeout ?? bootstrap.listenerFetchTimeout != nil {
            add("is missing", at: node, F.adsConfig)
        }
    }

    fileprivate mutating func staticResources(_ node: ConfigNode?, into bootstrap: inout Bootstrap) {
        guard let node else { return }
        typealias F = XDS.BootstrapStaticResources
        var names: Set<String> = []
        let clusters = node.children(F.clusters)
        bootstrap.clusters.reserveCapacity(clusters.count)
        names.reserveCapacity(clusters.count)
        for cluster in clusters {
            let compiled = self.cluster(cluster)
            if !names.insert(compiled.cluster.name).inserted {
                add("a second cluster '\(compiled.cluster.name)'", at: cluster, XDS.Cluster.name)
            }
            bootstrap.clusters.append(compiled)
        }
        names = []
        for listener in node.children(F.listeners) {
            guard let compiled = self.listener(listener) else { continue }
            if !names.insert(compiled.listener.name).inserted {
                add("a second listener '\(compiled.listener.name)'", at: listener, XDS.Listener.name)
            }
            bootstrap.listeners.append(compiled)
        }
    }

    /// What is static must be whole: routes name known clusters, and the discovery stream has its cluster.
    fileprivate mutating func checkReferences(_ bootstrap: Bootstrap) {
        var names = Set<String>(minimumCapacity: bootstrap.clusters.count)
        for index in bootstrap.clusters.indices { names.insert(bootstrap.clusters[index].cluster.name) }
        addUnknownReferences(names)
        if let ads = bootstrap.ads, !names.contains(ads.clusterName) {
            problems.add(
                "there is no static cluster '\(ads.clusterName)'",
                path: "dynamic_resources.ads_config.grpc_services[0]")
        }
        let needsStream =
            bootstrap.clusters.contains { $0.eds != nil || !$0.secrets.isEmpty }
            || bootstrap.listeners.contains { !$0.routes.isEmpty || !$0.secrets.isEmpty }
        if bootstrap.ads == nil, needsStream {
            problems.add(
                "is needed by resources that are fetched with 'ads'", path: "dynamic_resources.ads_config")
        }
    }

    mutating func addUnknownReferences(_ names: Set<String>) {
        for reference in clusterReferences where !names.contains(reference.cluster) {
            problems.add(
                "there is no cluster '\(reference.cluster)'; add it, or set 'validate_clusters: false'",
                path: reference.node.pathText(reference.field),
                at: reference.node.position(reference.field))
        }
    }
}
