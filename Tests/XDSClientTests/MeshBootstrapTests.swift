import MeshPrimitives
import Reactor
import Testing
import XDSSchema

@testable import XDSClient

@Suite("MeshBootstrap")
struct MeshBootstrapTests {
    private func read(
        _ yaml: String?, environment: [String: String] = [:], arguments: [(key: String, value: String)] = []
    ) -> (MeshBootstrap?, [String]) {
        var problems = ConfigProblems()
        let result = MeshBootstrap.read(
            file: yaml.map { (name: "mesh.yaml", bytes: Array($0.utf8)) }, environment: { environment[$0] },
            arguments: arguments, problems: &problems)
        return (result, problems.list.map(\.description))
    }

    @Test("A whole file is read, and what it does not say has its default")
    func whole() throws {
        let (result, problems) = read(
            """
            control: 10.0.0.1, control.mesh
            xds-port: 1012
            ca-port: 1011
            service: default/orders
            app: [{port: 8080, protocol: grpc}, {port: 9090}]
            token-file: /etc/token
            trust-bundle: /etc/bundle.pem
            address: 10.1.2.3
            admin: 127.0.0.1:0
            outbound: "[::1]:15001"
            upstreams: [{service: default/db, port: 5432, listen: 127.0.0.1:0}]
            cache-dir: /var/cache
            zone: a
            intercept: none
            ports-file: /run/ports
            """)
        #expect(problems == [])
        let bootstrap = try #require(result)
        #expect(bootstrap.control == ["10.0.0.1", "control.mesh"] && bootstrap.xdsPort == 1012)
        #expect(
            bootstrap.apps == [.init(port: 8080, appProtocol: .grpc), .init(port: 9090, appProtocol: .http)])
        #expect(bootstrap.address == SocketAddress("10.1.2.3", port: 0))
        #expect(bootstrap.outbound == SocketAddress("::1", port: 15001) && bootstrap.inbound.port == 15006)
        #expect(bootstrap.upstreams.map(\.service.description) == ["default/db"])
        #expect(bootstrap.health.port == 15021 && bootstrap.metrics.port == 15090 && bootstrap.zone == "a")
    }

    @Test("The environment counts more than the file, the command line more than both")
    func precedence() throws {
        let (result, problems) = read(
            "control: a\nservice: default/x\ntrust-bundle: t\nxds-port: 1",
            environment: [
                "MARTLET_XDS_PORT": "2", "MARTLET_CA_PORT": "3", "MARTLET_APP": "[{port: 80}]",
                "MARTLET_ZONE": "z",
            ],
            arguments: [(key: "ca-port", value: "4"), (key: "outbound", value: "[::1]:0")])
        #expect(problems == [])
        #expect(result?.xdsPort == 2 && result?.caPort == 4 && result?.apps.first?.port == 80)
        #expect(result?.zone == "z" && result?.outbound == SocketAddress("::1", port: 0))
        let (alone, none) = read(
            nil,
            arguments: [("control", "c"), ("service", "a/b"), ("trust-bundle", "t")].map {
                (key: $0, value: $1)
            })
        #expect(none == [] && alone?.service.description == "a/b")
    }

    @Test("What is wrong is told with its place, all of it at once")
    func problems() {
        let (result, problems) = read(
            """
            contol: a
            service: orders
            xds-port: 0
            app: [{port: 70000}, {ports: 1, port: 80}, {port: 80}, 5]
            admin: localhost:1
            intercept: maybe
            zone: 1
            trust-bundle: ""
            """, environment: ["MARTLET_CA_PORT": "x"], arguments: [(key: "address", value: "host")])
        #expect(result == nil)
        #expect(
            problems == [
                "mesh.yaml:1:1: contol: there is no such key; did you mean 'control'?",
                "control: is missing; it may also be MARTLET_CONTROL or --control",
                "mesh.yaml:2:10: service: 'orders' is not a service; write NAMESPACE/NAME",
                "mesh.yaml:8:15: trust-bundle: is empty",
                "mesh.yaml:3:11: xds-port: is not a port from 1 to 65535",
                "MARTLET_CA_PORT: ca-port: is not a port from 1 to 65535",
                "mesh.yaml:7:7: zone: expected a string, found a number; put it in quotes",
                "--address: address: 'host' is not an IP address",
                "mesh.yaml:5:8: admin: 'localhost:1' is not an address; write IP:PORT, in which the port may be 0",
                "mesh.yaml:6:12: intercept: 'maybe' is none of none, redirect, tproxy",
                "mesh.yaml:4:23: app[1].ports: there is no such key; did you mean 'port'?",
                "mesh.yaml:4:56: app[3]: expected an object, found a number",
                "mesh.yaml:4:14: app[0].port: is not a port from 1 to 65535",
                "mesh.yaml:4:51: app[2].port: 80 is there twice",
            ])
    }

    @Test("The source address is the one that the machine would use")
    func sourceAddress() throws {
        var bootstrap = try #require(
            read("control: 127.0.0.1\nservice: a/b\ntrust-bundle: t\nxds-port: 1").0)
        let loopback = SocketAddress(ipv4: 127, 0, 0, 1, port: 0)
        #expect(MeshClient.sourceAddress(towards: bootstrap, kernel: LinuxKernel.make()) == loopback)
        bootstrap.control = ["unknown.invalid", "name.test"]
        let found = MeshClient.sourceAddress(towards: bootstrap, kernel: LinuxKernel.make()) { name in
            name == "name.test" ? .success([loopback]) : .failure(ResolutionFailure("unknown"))
        }
        #expect(found == loopback)
    }
}
