import Glibc
import MeshModel
import MeshPrimitives
import Testing
import XDSDiscovery
import XDSSchema

@testable import XDSClient

@Suite("MeshClient")
struct MeshClientTests {
    private func serve(_ fixture: MeshFixture) {
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
    }

    @Test("A sidecar gets its certificate, joins, and never asks for its own key")
    func join() throws {
        let fixture = try MeshFixture()
        serve(fixture)
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
        serve(fixture)
        let first = try fixture.client()
        var configuration: Configuration?
        first.configurationChanged = { configuration = $0 }
        first.start()
        #expect(fixture.run { !first.isReady })
        first.stop()
        #expect(fixture.mode("cache/configuration") == 0o600)
        let nodeID = fixture.control.requests.first?.nodeID
        fixture.mutual.stop()
        fixture.first.stop()
        let second = try fixture.client()
        var restarted: Configuration?
        second.configurationChanged = { restarted = $0 }
        second.start()
        #expect(fixture.run { !second.isReady })
        #expect(fixture.run { restarted != configuration })
        #expect(second.state.hasPrefix("no control plane: 127.0.0.1:"))
        fixture.control.version = 2
        fixture.control.resources[.cluster]?.append(Sample.cluster("b"))
        fixture.control.resources[.endpoints]?.append(Sample.endpoints("b", port: 2))
        try fixture.mutual.listen()
        #expect(fixture.run { restarted?.clusters.count != 2 })
        #expect(fixture.control.requests.last { !$0.nodeID.isEmpty }?.nodeID == nodeID)
        second.stop()
    }

    @Test("A damaged saved configuration is told of, and not used")
    func damaged() throws {
        let fixture = try MeshFixture()
        let cache = try CacheDirectory("\(fixture.folder)/cache")
        try cache.write(CacheDirectory.configurationName, [1, 2, 3])
        let client = try fixture.client()
        #expect(fixture.log == ["warning the saved configuration is damaged, and not used"])
        #expect(!client.isReady && client.state == "waiting for a certificate")
    }
}
