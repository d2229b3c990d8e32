import Glibc
import MeshModel
import MeshPrimitives
import Reactor
import Testing
import XDSDiscovery
import XDSSchema

@testable import XDSClient

@Suite("MeshClient")
struct MeshClientTests {
    private func serve(_ fixture: MeshFixture) throws {
        let tls = """
              transport_socket:
                name: tls
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
                  require_client_certificate: true
                  common_tls_context:
                    tls_certificate_sds_secret_configs: [{name: "martlet:identity", sds_config: {ads: {}}}]
                    validation_context_sds_secret_config: {name: "martlet:bundle", sds_config: {ads: {}}}
            """
        fixture.control.resources = [
            .cluster: [Sample.cluster("a")], .endpoints: [Sample.endpoints("a", port: 1)],
            .listener: [Sample.listener("l", cluster: "a", tls: tls)],
            .secret: [
                (
                    "martlet:bundle",
                    """
                    name: martlet:bundle
                    validation_context:
                      trusted_ca: {inline_string: "-----BEGIN CERTIFICATE-----\\nA\\n-----END CERTIFICATE-----\\n"}
                    """
                )
            ],
        ]
        try fixture.signManifest()
    }

    /// A first run that leaves its configuration behind; then the control plane is gone.
    private func leaveConfiguration(_ fixture: MeshFixture) throws -> Configuration {
        let client = try fixture.client()
        var last = Configuration()
        client.configurationChanged = { last = $0 }
        client.start()
        #expect(fixture.run { !client.isReady || client.discovery?.manifest == nil })
        client.stop()
        fixture.mutual.stop()
        fixture.first.stop()
        return last
    }

    @Test("A sidecar gets its certificate, joins, and never asks for its own key")
    func join() throws {
        let fixture = try MeshFixture()
        try serve(fixture)
        let client = try fixture.client()
        var configurations: [Configuration] = []
        client.configurationChanged = { configurations.append($0) }
        client.start()
        #expect(fixture.run { !client.isReady })
        let last = try #require(configurations.last)
        #expect(last.clusters.map(\.name) == ["a"] && last.listeners.map(\.name) == ["l"])
        let tls = try #require(last.listeners[0].filterChains[0].tls?.settings)
        #expect(tls.identity?.certificateChainPEM == client.identity.current?.certificateChainPEM)
        #expect(tls.trustBundlePEM != nil)
        #expect(fixture.mutual.calls[0].peer == fixture.name)
        #expect(!fixture.control.requests.contains { $0.names.contains(MeshClient.identitySecret) })
        #expect(client.state == "up to date; certificate of \(fixture.name)")
        // A renewed certificate is in the next configuration.
        let before = client.identity.current
        client.identity.renew()
        #expect(fixture.run { client.identity.current == before })
        #expect(
            fixture.run {
                configurations.last?.listeners.first?.filterChains[0].tls?.settings.identity?.privateKeyPEM
                    != client.identity.current?.privateKeyPEM
            })
        client.stop()
    }

    @Test("The node says where this sidecar is and what it understands")
    func node() throws {
        let fixture = try MeshFixture()
        var bootstrap = try fixture.bootstrap()
        bootstrap.apps = [.init(port: 8080)]
        let service = try #require(MeshBootstrap.ServiceName("default/db"))
        let addresses = MeshAddresses(
            advertised: SocketAddress(ipv4: 10, 0, 0, 5, port: 0),
            apps: [.init(app: bootstrap.apps[0], listen: SocketAddress(ipv4: 10, 0, 0, 5, port: 40001))],
            outbound: SocketAddress(ipv4: 127, 0, 0, 1, port: 40010),
            upstreams: [
                .init(service: service, port: 5432, listen: SocketAddress(ipv4: 127, 0, 0, 1, port: 40011))
            ])
        let node = MeshNode(bootstrap: bootstrap, addresses: addresses, instance: "00c0ffee")
        let made = try node.makeBootstrap(Sample.surroundings).get()
        let expected = message(
            """
            id: default/orders~00c0ffee
            cluster: default/orders
            user_agent_name: martlet
            locality: {zone: 'zone "1"'}
            metadata:
              martlet:
                capabilities: [martlet.v1]
                address: 10.0.0.5
                app: [{port: 8080, protocol: http, listen: "10.0.0.5:40001"}]
                upstreams: [{service: default/db, port: 5432, listen: "127.0.0.1:40011"}]
                intercept: "none"
                certificate: true
                outbound: 127.0.0.1:40010
                zone: 'zone "1"'
            """, XDS.Node.messageType)
        #expect(made.node == expected)
        #expect(made.ads?.sendsNodeOnce == true)
    }

    @Test("While the control plane is away a sidecar starts with what it had, and catches up later")
    func savedStart() throws {
        let fixture = try MeshFixture()
        try serve(fixture)
        let configuration = try leaveConfiguration(fixture)
        #expect(fixture.mode("cache/configuration") == 0o600)
        let nodeID = fixture.control.requests.first?.nodeID
        let second = try fixture.client()
        var restarted: Configuration?
        second.configurationChanged = { restarted = $0 }
        second.start()
        #expect(fixture.run { !second.isReady })
        #expect(fixture.run { restarted != configuration })
        #expect(second.state.hasPrefix("no control plane: 127.0.0.1:"))
        fixture.control.version = 2
        // Nobody is told that the proxy is up to date already.
        let seen = fixture.control.requests.count
        fixture.control.resources[.cluster]?.append(Sample.cluster("b"))
        fixture.control.resources[.endpoints]?.append(Sample.endpoints("b", port: 2))
        try fixture.mutual.listen()
        #expect(fixture.run { restarted?.clusters.count != 2 })
        #expect(fixture.control.requests[seen].version == "")
        #expect(fixture.control.requests.last { !$0.nodeID.isEmpty }?.nodeID == nodeID)
        second.stop()
    }

    @Test("A saved configuration that the control plane did not sign is told of, and not used")
    func tampered() throws {
        let fixture = try MeshFixture()
        try serve(fixture)
        _ = try leaveConfiguration(fixture)
        let path = "\(fixture.folder)/cache/configuration"
        var forged = try SavedConfiguration(encoded: try FileSystem.read(path, bytesMax: 1 << 20))
        let index = try #require(forged.resources.firstIndex { $0.kind == .endpoints })
        forged.resources[index].bytes = WireWriter.write(
            message(Sample.endpoints("a", port: 666).yaml, ResourceKind.endpoints.messageType))
        try FileSystem.writeAtomically(path, forged.encoded(), mode: 0o600)
        fixture.log = []
        let client = try fixture.client()
        #expect(
            fixture.log == [
                "error the saved configuration in \(path) is not used: "
                    + "endpoints 'a' is not what the control plane signed"
            ])
        client.start()
        _ = fixture.run { client.discovery?.lastFailure == nil }
        #expect(!client.isReady)
        client.stop()
    }

    @Test("Between two signed states nothing is saved")
    func unsigned() throws {
        let fixture = try MeshFixture()
        try serve(fixture)
        fixture.control.resources[.endpoints] = [Sample.endpoints("a", port: 2)]
        let client = try fixture.client()
        client.start()
        #expect(fixture.run { !client.isReady || client.discovery?.manifest == nil })
        client.stop()
        #expect(fixture.mode("cache/configuration") == 0)
    }

    @Test("A damaged saved configuration is told of, and not used")
    func damaged() throws {
        let fixture = try MeshFixture()
        let cache = try CacheDirectory("\(fixture.folder)/cache")
        try cache.write(CacheDirectory.configurationName, [1, 2, 3])
        let client = try fixture.client()
        #expect(fixture.log.count == 1 && fixture.log[0].hasPrefix("error the saved configuration in "))
        #expect(!client.isReady && client.state == "waiting for a certificate")
    }
}
