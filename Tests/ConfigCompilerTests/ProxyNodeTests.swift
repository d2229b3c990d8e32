import MeshConfig
import Testing
import XDSMessages

@testable import ConfigCompiler

@Suite struct ProxyNodeTests {
    private func node(_ json: String, agent: String = "martlet") throws -> ProxyNode {
        var node = Envoy_Config_Core_V3_Node()
        node.id = "default/orders~1"
        node.cluster = "default/orders"
        node.userAgentName = agent
        node.metadata = try Google_Protobuf_Struct(jsonString: "{\"martlet\": \(json)}")
        return try ProxyNode(node)
    }

    @Test("What a sidecar says about itself is read")
    func read() throws {
        let node = try node(
            """
            {"capabilities": ["martlet.v1"], "address": "10.0.0.5", "outbound": "127.0.0.1:1", "zone": "a", "labels": {"version": "v2"},
             "app": [{"port": 8080, "protocol": "grpc", "listen": "[::1]:40001"}]}
            """)
        #expect(node.service == ServiceID(namespace: "default", name: "orders"))
        #expect(
            node.apps == [.init(port: 8080, appProtocol: .grpc, listen: HostPort(host: "::1", port: 40_001))])
        #expect(node.isMartlet && node.tls == .martlet && node.zone == "a")
        #expect(node.labels == ["version": "v2"] && Workload(node)?.labels == node.labels)
    }

    @Test("The capability counts only from our own proxy")
    func capability() throws {
        #expect(!(try node("{\"capabilities\": [\"martlet.v1\"]}", agent: "envoy").isMartlet))
        #expect(!(try node("{}").isMartlet))
    }

    @Test(
        "What cannot be right is refused by its path",
        arguments: [
            ("{\"address\": \"here\"}", "node.metadata.martlet.address: is not an IP address"),
            ("{\"labels\": {\"a\": 1}}", "node.metadata.martlet.labels.a: is not text"),
            ("{\"outbound\": \"127.0.0.1\"}", "node.metadata.martlet.outbound: is not HOST:PORT"),
            (
                "{\"address\": \"1.1.1.1\", \"app\": [{\"port\": 0}]}",
                "node.metadata.martlet.app[0].port: is not a port"
            ),
            (
                "{\"app\": [{\"port\": 1, \"listen\": \"1.1.1.1:2\"}]}",
                "node.metadata.martlet.address: is missing, so that nobody could reach the application"
            ),
            (
                "{\"tls\": {}}",
                "node.metadata.martlet.tls: needs certificate_chain, private_key and trust_bundle"
            ),
        ])
    func refused(json: String, message: String) {
        #expect {
            try node(json, agent: "envoy")
        } throws: { error in
            "\(error)" == message
        }
    }
}
