import MeshModel
import MeshPrimitives
import Reactor
import Telemetry
import TestSupport

@testable import Proxy

/// A data plane on loopback, in this process, with one listener whose requests go to one cluster unless a test says
/// otherwise.
final class ProxyFixture: @unchecked Sendable {
    let server: ProxyServer
    let port: UInt16

    init(_ configuration: Configuration, workers: Int = 1) throws {
        server = try ProxyServer(kernel: LinuxKernel.make(), workers: workers, log: ProcessLog(level: .off))
        try server.apply(configuration)
        try server.start()
        port = server.listenerAddresses[0].address.port
    }

    convenience init(
        _ peers: [HTTPPeer], workers: Int = 1,
        change: (inout HTTPConnectionManager, inout Cluster, inout Forward) -> Void = { _, _, _ in }
    ) throws {
        try self.init(Self.configuration(endpoints: peers.map(\.port), change: change), workers: workers)
    }

    /// Routes of its own in place of the one that takes everything.
    convenience init(_ peers: [HTTPPeer], hosts: [VirtualHost]) throws {
        var configuration = Self.configuration(endpoints: peers.map(\.port))
        configuration.setHosts(hosts)
        try self.init(configuration)
    }

    deinit { server.stop() }

    func client() throws -> TCPStream { try TCPStream(port: port) }

    /// What the flight recorder has of the newest request.
    var lastRecord: ExchangeRecord? { server.process.recorders[0].newest(1).first }

    func count(_ counter: ClusterCounter) -> Int {
        Int(server.process.registry.snapshot().value("peer", counter) ?? 0)
    }
    func count(_ counter: HTTPCounter) -> Int {
        Int(server.process.registry.snapshot().value(http: "test", counter) ?? 0)
    }
    func count(_ counter: ListenerCounter) -> Int {
        Int(server.process.registry.snapshot().value(listener: "127.0.0.1_\(port)", counter) ?? 0)
    }

    /// Workers add up their counts as they go: a number may come a moment after the answer.
    func expect(_ counter: ClusterCounter, _ value: Int) throws {
        try eventually("\(counter) \(value), it is \(count(counter))", within: 5) {
            count(counter) == value ? true : nil
        }
    }
    func expect(_ counter: HTTPCounter, _ value: Int) throws {
        try eventually("\(counter) \(value), it is \(count(counter))", within: 5) {
            count(counter) == value ? true : nil
        }
    }
    func expect(_ counter: ListenerCounter, _ value: Int) throws {
        try eventually("\(counter) \(value), it is \(count(counter))", within: 5) {
            count(counter) == value ? true : nil
        }
    }

    static func endpoint(_ port: UInt16) -> Endpoint {
        Endpoint(address: .numeric(SocketAddress(ipv4: 127, 0, 0, 1, port: port)))
    }

    static func cluster(_ name: String, _ ports: [UInt16]) -> Cluster {
        var cluster = Cluster(name: name)
        cluster.localities = [LocalityEndpoints(endpoints: ports.map(endpoint))]
        return cluster
    }

    /// One listener, every path to one cluster.
    static func configuration(
        endpoints: [UInt16],
        change: (inout HTTPConnectionManager, inout Cluster, inout Forward) -> Void = { _, _, _ in }
    ) -> Configuration {
        var cluster = cluster("peer", endpoints)
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

extension Configuration {
    /// Replaces the virtual hosts of every connection manager.
    mutating func setHosts(_ hosts: [VirtualHost]) {
        for index in listeners.indices {
            for chain in listeners[index].filterChains.indices {
                guard case .http(var manager) = listeners[index].filterChains[chain].network else { continue }
                manager.routes = .routes(RouteConfiguration(name: "routes", virtualHosts: hosts))
                listeners[index].filterChains[chain].network = .http(manager)
            }
        }
    }
}

extension Route {
    /// To the cluster `peer`.
    static func forward(
        _ name: String = "", _ path: RouteMatch.Path, to cluster: String = "peer",
        change: (inout Route, inout Forward) -> Void = { _, _ in }
    ) -> Route {
        var forward = Forward(target: .clusters([WeightedCluster(cluster: cluster)]))
        var route = Route(name: name, match: RouteMatch(path: path), action: .forward(forward))
        change(&route, &forward)
        route.action = .forward(forward)
        return route
    }

    static func direct(_ path: RouteMatch.Path, _ text: String) -> Route {
        Route(match: RouteMatch(path: path), action: .direct(status: 200, body: Array(text.utf8)))
    }
}
