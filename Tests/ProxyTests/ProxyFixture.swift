import MeshModel
import MeshPrimitives
import Reactor
import TestSupport

@testable import Proxy

/// A data plane of one worker on loopback, in this process.
final class ProxyFixture: @unchecked Sendable {
    let server: ProxyServer
    let port: UInt16

    init(_ configuration: Configuration, workers: Int = 1) throws {
        server = try ProxyServer(kernel: LinuxKernel.make(), workers: workers, log: ProcessLog(level: .off))
        try server.apply(configuration)
        try server.start()
        port = server.listenerAddresses[0].address.port
    }

    deinit { server.stop() }

    /// One listener, every path to one cluster.
    static func configuration(
        endpoints: [UInt16],
        change: (inout HTTPConnectionManager, inout Cluster, inout Forward) -> Void = { _, _, _ in }
    ) -> Configuration {
        var cluster = Cluster(name: "peer")
        cluster.localities = [
            LocalityEndpoints(
                endpoints: endpoints.map {
                    Endpoint(address: .numeric(SocketAddress(ipv4: 127, 0, 0, 1, port: $0)))
                })
        ]
        var forward = Forward(target: .clusters([WeightedCluster(cluster: "peer")]))
        var manager = HTTPConnectionManager(
            statPrefix: "test", routes: .routes(RouteConfiguration(name: "routes", virtualHosts: [])))
        change(&manager, &cluster, &forward)
        let route = Route(name: "all", match: RouteMatch(path: .prefix("/")), action: .forward(forward))
        if case .routes(var routes) = manager.routes {
            routes.virtualHosts.append(VirtualHost(name: "all", domains: ["*"], routes: [route]))
            manager.routes = .routes(routes)
        }
        let listener = Listener(
            name: "front", address: SocketAddress(ipv4: 127, 0, 0, 1, port: 0),
            filterChains: [FilterChain(network: .http(manager))])
        return Configuration(listeners: [listener], clusters: [cluster])
    }
}
