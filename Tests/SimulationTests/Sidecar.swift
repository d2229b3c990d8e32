import MeshModel
import MeshPrimitives
import Reactor
import Simulation
import Testing
import TrafficPolicy

@testable import Proxy

/// A whole data plane of one worker on a simulated host, which takes its turns when it is told to.
final class Sidecar {
    let server: ProxyServer
    var worker: Worker
    let idleBytes: Int
    let connectionsMax: Int
    let requestsMax: Int

    /// `next`: where requests go on to.
    init(
        _ kernel: Kernel, at address: SocketAddress, to next: SocketAddress, isHTTP2: Bool,
        connectionsMax: Int, requestsMax: Int, hedges: Bool = false
    ) throws {
        (self.connectionsMax, self.requestsMax) = (connectionsMax, requestsMax)
        server = try ProxyServer(kernel: kernel, workers: 1, log: ProcessLog(level: .off, kernel: kernel))
        worker = try Worker(index: 0, kernel: kernel, process: server.process)
        server.process.register(worker.loop.waker, worker: 0)
        idleBytes = worker.pool.lentBytes
        configuration = Self.configuration(address, next, isHTTP2, connectionsMax, requestsMax, hedges)
        try server.apply(configuration)
    }

    private var configuration: Configuration

    /// The same in other words: a new snapshot that changes nothing but times.
    func reconfigure(_ seconds: Int64) throws {
        guard case .http(var manager) = configuration.listeners[0].filterChains[0].network,
            case .routes(var routes) = manager.routes,
            case .forward(var forward) = routes.virtualHosts[0].routes[0].action
        else { return }
        forward.timeout = .seconds(seconds)
        routes.virtualHosts[0].routes[0].action = .forward(forward)
        manager.routes = .routes(routes)
        configuration.listeners[0].filterChains[0].network = .http(manager)
        try server.apply(configuration)
    }

    private static func configuration(
        _ address: SocketAddress, _ next: SocketAddress, _ isHTTP2: Bool, _ connectionsMax: Int,
        _ requestsMax: Int, _ hedges: Bool
    ) -> Configuration {
        var cluster = Cluster(name: "next")
        cluster.localities = [LocalityEndpoints(endpoints: [Endpoint(address: .numeric(next))])]
        cluster.upstreamProtocol = isHTTP2 ? .http2 : .http1
        cluster.connectTimeout = .seconds(2)
        cluster.normalLimits.connections = UInt32(connectionsMax)
        cluster.normalLimits.requests = UInt32(requestsMax)
        // Everything that ends or refuses something early is there too, in force and in shadow mode.
        var breaker = CircuitBreakerSettings(consecutiveFailuresMax: 5, failureRateMax: 80)
        breaker.openDuration = 300 * Nanoseconds.perMillisecond
        (cluster.breaker, cluster.shadowBreaker) = (
            breaker, CircuitBreakerSettings(consecutiveFailuresMax: 1)
        )
        var watched = ShadowLimits()
        (watched.connections, watched.requests, watched.pending, watched.retries) = (1, 1, 1, 1)
        cluster.shadowLimits = watched
        cluster.maxConnectionDuration = .seconds(4)
        cluster.perHostConnectionsMax = 2
        var policy = RetryPolicy(retryOn: ["connect-failure", "refused-stream", "reset", "5xx"])
        policy.perTryTimeout = .seconds(3)
        policy.perTryIdleTimeout = .seconds(2)
        policy.attempts = 2
        policy.methods = .idempotent
        policy.idempotencyHeader = "idempotency-key"
        policy.provablySafe = true
        var forward = Forward(target: .clusters([WeightedCluster(cluster: "next")]))
        forward.timeout = .seconds(15)
        // Short enough for answers to overtake each other.
        if hedges { policy.perTryTimeout = .milliseconds(40) }
        forward.hedges = hedges
        forward.retryPolicy = policy
        forward.propagatesDeadline = true
        forward.shadowRetryPolicy = RetryPolicy(retryOn: ["5xx", "reset"])
        (forward.shadowTimeout, forward.shadowPerTryTimeout) = (.seconds(1), .milliseconds(100))
        let host = VirtualHost(
            name: "all", domains: ["*"],
            routes: [Route(match: RouteMatch(path: .prefix("/")), action: .forward(forward))])
        var manager = HTTPConnectionManager(
            statPrefix: "in", routes: .routes(RouteConfiguration(name: "routes", virtualHosts: [host])))
        manager.maxConnectionDuration = .seconds(5)
        let concurrency = AdaptiveConcurrencySettings(
            updateInterval: 100 * Nanoseconds.perMillisecond, minRTTInterval: 5 * Nanoseconds.perSecond)
        manager.filters = [
            .adaptiveConcurrency(AdaptiveConcurrencyFilter(concurrency)),
            .admissionControl(AdmissionControlFilter()),
        ]
        return Configuration(
            listeners: [
                Listener(
                    name: "in", address: address, filterChains: [FilterChain(network: .http(manager))])
            ],
            clusters: [cluster])
    }

    func turn() { worker.turn() }

    /// What must hold at any time.
    func violation() -> String? {
        for slot in worker.clusters.indices {
            let limits = worker.clusters[slot].limits(0)
            let (connections, requests) = limits.with { ($0.connections.current, $0.requests.current) }
            if connections > connectionsMax { return "\(connections) connections of \(connectionsMax)" }
            if requests > requestsMax { return "\(requests) requests of \(requestsMax)" }
            let open = worker.clusters[slot].connectionCount
            if open > connections { return "\(open) connections, \(connections) places" }
            let retries = limits.with { $0.retries.current }
            if retries > retriesMax { return "\(retries) retries of \(retriesMax)" }
        }
        return rivalry()
    }

    private var retriesMax: Int { Int(configuration.clusters[0].normalLimits.retries) }

    /// Attempts beside each other: only of requests that may be sent twice, and none once there is an answer.
    private func rivalry() -> String? {
        for index in 0..<worker.exchanges.indexEnd {
            guard let rival = worker.exchanges.place(at: index), rival.value.phase != .ended,
                let request = rival.value.rivalled
            else { continue }
            let path = rival.value.headBytes.view.text.prefix { $0 != "\r" }
            if !request.isInUse || request.value.phase == .ended { return "\(path): a rival of nothing" }
            if request.value.phase == .answering { return "\(path): a rival beside the answer" }
            if !request.value.record.method.isSafe { return "\(path): hedged" }
            if rival.value.upstream != nil, rival.value.upstream == request.value.upstream,
                rival.value.upstreamStream == request.value.upstreamStream
            {
                return "\(path): two attempts of one stream"
            }
        }
        return nil
    }

    /// What must hold at the end, when callers are gone and everything was shut down.
    func leaks() -> [String] {
        var found: [String] = []
        func check(_ what: String, _ value: Int, _ wanted: Int = 0) {
            if value != wanted { found.append("\(what): \(value), not \(wanted)") }
        }
        // What attempts beside each other have in place of a caller stays.
        check("connections", worker.connections.count, worker.nobody == nil ? 0 : 1)
        check("exchanges", worker.exchanges.count)
        check("heads", worker.heads.count)
        check("lent bytes", worker.pool.lentBytes, idleBytes)
        check("snapshots", worker.shelf.count, 1)
        for controller in server.snapshot?.concurrency ?? [] {
            check("requests that a limit by latency counts", controller.requestsInFlight)
        }
        for slot in worker.clusters.indices {
            worker.clusters[slot].limits(0).with {
                check("places for connections", $0.connections.current)
                check("places for requests", $0.requests.current)
                check("places for pending requests", $0.pendingRequests.current)
                check("places for retries", $0.retries.current)
            }
            for host in worker.clusters[slot].hosts.indices {
                check("users of a host", worker.clusters[slot].hosts[host].users)
                check("connections being made", worker.clusters[slot].hosts[host].connecting)
                check("waiting requests", worker.clusters[slot].hosts[host].pendingCount)
            }
        }
        let numbers = server.process.registry.snapshot()
        check("upstream_rq_active", Int(numbers.value("next", .upstreamRqActive) ?? 0))
        check("upstream_cx_active", Int(numbers.value("next", .upstreamCxActive) ?? 0))
        check("upstream_rq_pending_active", Int(numbers.value("next", .upstreamRqPendingActive) ?? 0))
        check("downstream_rq_active", Int(numbers.value(http: "in", .downstreamRqActive) ?? 0))
        check("downstream_cx_active", Int(numbers.value(http: "in", .downstreamCxActive) ?? 0))
        return found
    }
}
