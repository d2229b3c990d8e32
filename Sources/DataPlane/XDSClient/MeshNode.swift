import MeshModel
import MeshPrimitives
import XDSDiscovery
import XDSSchema

/// Where the sockets of a sidecar are bound already, before the control plane is told of them.
public struct MeshAddresses: Sendable, Equatable {
    /// Under which other sidecars reach this one; its port does not matter.
    public var advertised: SocketAddress
    /// The inbound listener of each application port.
    public var apps: [App]
    public var outbound: SocketAddress?
    public var upstreams: [MeshBootstrap.Upstream]

    public struct App: Sendable, Equatable {
        public var app: MeshBootstrap.App
        public var listen: SocketAddress

        public init(app: MeshBootstrap.App, listen: SocketAddress) { (self.app, self.listen) = (app, listen) }
    }

    public init(
        advertised: SocketAddress, apps: [App] = [], outbound: SocketAddress? = nil,
        upstreams: [MeshBootstrap.Upstream] = []
    ) {
        (self.advertised, self.apps, self.outbound, self.upstreams) = (advertised, apps, outbound, upstreams)
    }
}

/// What a sidecar says about itself, as the bootstrap that a discovery stream begins with.
struct MeshNode {
    /// The cluster of the control plane: it exists for discovery only, and is never handed out.
    static let controlCluster = "martlet:control"

    let bootstrap: MeshBootstrap
    let addresses: MeshAddresses
    /// Eight hexadecimal digits.
    let instance: String

    /// A bootstrap without anything static.
    func makeBootstrap(_ surroundings: ConfigSurroundings) -> Result<Bootstrap, ConfigProblem> {
        var problems = ConfigProblems()
        let made = Bootstrap.read(
            [(name: "node", bytes: Array(json.utf8))], surroundings: surroundings, problems: &problems)
        if var made {
            made.ads?.asksForManifest = true
            return .success(made)
        }
        return .failure(problems.list.first ?? ConfigProblem(path: "", text: "unreadable"))
    }

    private var json: String {
        """
        {"node": \(node),
         "dynamic_resources": {
          "ads_config": {"api_type": "GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
           "grpc_services": [{"envoy_grpc": {"cluster_name": "\(Self.controlCluster)"}}]},
          "cds_config": {"ads": {}}, "lds_config": {"ads": {}}},
         "static_resources": {"clusters": [{"name": "\(Self.controlCluster)"}]}}
        """
    }

    private var node: String {
        let apps = addresses.apps.map { app in
            let name = quoted(app.app.appProtocol.rawValue)
            return """
                {"port": \(app.app.port), "protocol": \(name), "listen": \(quoted("\(app.listen)"))}
                """
        }
        let upstreams = addresses.upstreams.map { upstream in
            """
            {"service": \(quoted("\(upstream.service)")), "port": \(upstream.port), "listen": \(quoted("\(upstream.listen)"))}
            """
        }
        var members = [
            #""capabilities": ["martlet.v1"]"#, #""address": \#(quoted(addresses.advertised.host))"#,
            #""app": [\#(apps.joined(separator: ", "))]"#,
            #""upstreams": [\#(upstreams.joined(separator: ", "))]"#,
            #""intercept": \#(quoted(bootstrap.interception.rawValue))"#, #""certificate": true"#,
        ]
        if let outbound = addresses.outbound { members.append(#""outbound": \#(quoted("\(outbound)"))"#) }
        if !bootstrap.zone.isEmpty { members.append(#""zone": \#(quoted(bootstrap.zone))"#) }
        if !bootstrap.labels.isEmpty {
            let labels = bootstrap.labels.sorted { $0.key < $1.key }.map {
                "\(quoted($0.key)): \(quoted($0.value))"
            }
            members.append(#""labels": {\#(labels.joined(separator: ", "))}"#)
        }
        let locality = bootstrap.zone.isEmpty ? "" : #", "locality": {"zone": \#(quoted(bootstrap.zone))}"#
        return """
            {"id": \(quoted("\(bootstrap.service)~\(instance)")), "cluster": \(quoted("\(bootstrap.service)")),
             "user_agent_name": "martlet"\(locality), "metadata": {"martlet": {\(members.joined(separator: ", "))}}}
            """
    }

    /// A JSON string.
    private func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\u{0}"..."\u{1f}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
