import MeshModel
import MeshPrimitives
import Reactor
import Testing
import XDSClient

@testable import MartletProxy

@Suite("Names of endpoints")
struct EndpointNamesTests {
    private func configuration(_ discovery: Cluster.Discovery, _ names: [String]) -> Configuration {
        var cluster = Cluster(name: "c")
        cluster.discovery = discovery
        cluster.localities = [
            LocalityEndpoints(endpoints: names.map { Endpoint(address: .name($0, port: 80)) })
        ]
        var configuration = Configuration()
        configuration.clusters = [cluster]
        return configuration
    }

    private func addresses(_ configuration: Configuration) -> [SocketAddress] {
        configuration.clusters[0].localities[0].endpoints.compactMap { endpoint in
            if case .numeric(let address) = endpoint.address { address } else { nil }
        }
    }

    private static func answer(_ name: String) -> NameResolver.Answer {
        switch name {
        case "two":
            .success([SocketAddress(ipv4: 10, 0, 0, 1, port: 0), SocketAddress(ipv4: 10, 0, 0, 2, port: 0)])
        default: .failure(ResolutionFailure("there is none"))
        }
    }

    @Test("Each name gets its addresses; one that has none is done with, too", arguments: [true, false])
    func resolution(isLogical: Bool) throws {
        let loop = try ControlLoop(kernel: LinuxKernel.make())
        let names = EndpointNames(loop: loop, resolver: NameResolver(loop: loop) { Self.answer($0) })
        let configuration = configuration(isLogical ? .logicalDNS : .strictDNS, ["two", "none"])
        var changes = 0
        names.changed = { changes += 1 }
        #expect(addresses(names.resolved(configuration)).isEmpty && !names.isComplete)
        let limit = loop.kernel.now().advanced(by: .seconds(10))
        #expect(!loop.run(until: limit, while: { !names.isComplete }))
        #expect(changes == 2)
        let found = addresses(names.resolved(configuration))
        #expect(found.map(\.port) == (isLogical ? [80] : [80, 80]))
        #expect(names.resolved(configuration).clusters[0].localities[0].endpoints.first?.hostname == "two")
    }

    @Test("Without names there is nothing to wait for")
    func numeric() throws {
        let loop = try ControlLoop(kernel: LinuxKernel.make())
        let names = EndpointNames(loop: loop, resolver: NameResolver(loop: loop) { Self.answer($0) })
        #expect(
            names.resolved(Configuration()) == Configuration() && names.isComplete && loop.timerCount == 0)
    }
}
