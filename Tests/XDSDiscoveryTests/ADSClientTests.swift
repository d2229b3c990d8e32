import MeshModel
import MeshPrimitives
import Testing
import XDSSchema

@testable import XDSDiscovery

/// A request, as a control plane sees it.
struct SeenRequest: Equatable, CustomStringConvertible {
    var kind: ResourceKind?
    var version: String
    var nonce: String
    var names: [String]
    var hasNode = false
    var error: String?

    init(
        _ kind: ResourceKind, version: String = "", nonce: String = "", names: [String] = [],
        error: String? = nil
    ) {
        (self.kind, self.version, self.nonce, self.names, self.error) = (kind, version, nonce, names, error)
    }

    init(_ bytes: [UInt8]) {
        typealias F = XDS.DiscoveryRequest
        var problems = ConfigProblems()
        let message =
            WireReader.read(bytes, as: F.messageType, problems: &problems) ?? ConfigMessage(F.messageType)
        kind = ResourceKind(typeURL: message.text(F.typeUrl))
        version = message.text(F.versionInfo)
        nonce = message.text(F.responseNonce)
        names = message.texts(F.resourceNames)
        hasNode = message.has(F.node)
        if let status = message.message(F.errorDetail) {
            error = status.text(XDS.Status.message)
            if status.signed(XDS.Status.code) != 13 || !problems.isEmpty { error = "wrong" }
        }
    }

    static func == (left: Self, right: Self) -> Bool { left.description == right.description }

    var description: String {
        "\(kind.map { "\($0)" } ?? "?") v\(version) n\(nonce) \(names)"
            + (error.map { " refused: \($0)" } ?? "")
    }
}

/// A client with a control plane's hand on it.
struct Harness {
    var client: ADSClient
    var now = MonotonicInstant.zero
    var notes: [ADSClient.Note] = []
    var nonce = 0

    init(_ yaml: String = Harness.dynamic, surroundings: ConfigSurroundings = surroundings()) {
        let (bootstrap, problems) = bootstrap(yaml, surroundings)
        for problem in problems { Issue.record("\(problem)") }
        let empty = Bootstrap(node: ConfigMessage(XDS.Node.messageType))
        client = ADSClient(bootstrap: bootstrap ?? empty, surroundings: surroundings)
        notes += client.start(at: now).notes
    }

    static let dynamic = """
        node: {id: i}
        dynamic_resources:
          ads_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: control}}]}
          cds_config: {ads: {}}
          lds_config: {ads: {}}
        static_resources: {clusters: [{name: control}]}
        """

    mutating func open() -> [SeenRequest] { seen(client.streamOpened(at: now)) }
    mutating func close() { _ = client.streamClosed(at: now) }

    mutating func pass(_ duration: Duration) -> [SeenRequest] {
        now = now.advanced(by: duration)
        return seen(client.timerFired(at: now))
    }

    mutating func send(_ kind: ResourceKind, _ version: String, _ resources: [String]) -> [SeenRequest] {
        nonce += 1
        var response = ConfigMessage(XDS.DiscoveryResponse.messageType)
        response.set(XDS.DiscoveryResponse.versionInfo, .text(version))
        response.set(XDS.DiscoveryResponse.typeUrl, .text(kind.typeURL))
        response.set(XDS.DiscoveryResponse.nonce, .text(String(nonce)))
        response.set(
            XDS.DiscoveryResponse.resources, .list(resources.map { .message(message($0, kind.messageType)) }))
        return seen(client.responseReceived(WireWriter.write(response), at: now))
    }

    /// Refuses what was to be taken up; nil if there is nothing to be had instead.
    mutating func refuse(_ kind: ResourceKind, _ name: String, _ reason: String) -> [SeenRequest]? {
        guard let output = client.refused(kind, name, reason: reason, at: now) else { return nil }
        return seen(output)
    }

    private mutating func seen(_ output: ADSClient.Output) -> [SeenRequest] {
        notes += output.notes
        if let reason = output.closesStream { Issue.record("closed: \(reason)") }
        return output.requests.map { SeenRequest($0) }
    }

    var clusterNames: [String] { client.configuration.clusters.map(\.name) }
    var listenerNames: [String] { client.configuration.listeners.map(\.name) }
}

enum Sample {
    static func edsCluster(_ name: String, _ extra: String = "") -> String {
        "{name: \(name), type: EDS, eds_cluster_config: {eds_config: {ads: {}}}\(extra)}"
    }

    static func fixedCluster(_ name: String, _ extra: String = "") -> String { "{name: \(name)\(extra)}" }

    static func assignment(_ name: String, port: Int) -> String {
        "{cluster_name: \(name), endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: "
            + "{address: 10.0.0.1, port_value: \(port)}}}}]}]}"
    }

    static func listener(_ name: String, port: Int = 80, route: String) -> String {
        """
        name: \(name)
        address: {socket_address: {address: 127.0.0.1, port_value: \(port)}}
        filter_chains:
        - filters:
          - name: h
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
              stat_prefix: h
              \(route)
              http_filters:
              - name: r
                typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
        """
    }

    static func rdsListener(_ name: String, routes: String, port: Int = 80) -> String {
        listener(name, port: port, route: "rds: {route_config_name: \(routes), config_source: {ads: {}}}")
    }

    static func routes(_ name: String, cluster: String) -> String {
        "{name: \(name), virtual_hosts: [{name: v, domains: [\"*\"], routes: [{match: {prefix: /}, route: {cluster: \(cluster)}}]}]}"
    }

    static func tls(_ secret: String) -> String {
        """
        , transport_socket: {name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, \
        common_tls_context: {validation_context_sds_secret_config: {name: \(secret), sds_config: {ads: {}}}}}}
        """
    }

    static func bundle(_ name: String) -> String {
        "{name: \(name), validation_context: {trusted_ca: {inline_string: \"-----BEGIN CERTIFICATE-----\\n\"}}}"
    }
}

@Suite("Discovery client")
struct ADSClientTests {
    /// The first cluster and listener with everything they need, in Envoy's order.
    @Test("Clusters and their endpoints come before listeners and their routes")
    func startOrder() {
        var h = Harness()
        #expect(h.open() == [SeenRequest(.cluster)])
        #expect(h.send(.cluster, "1", [Sample.edsCluster("a")]) == [SeenRequest(.endpoints, names: ["a"])])
        #expect(h.clusterNames == ["control"])
        #expect(
            h.send(.endpoints, "e1", [Sample.assignment("a", port: 1)]) == [
                SeenRequest(.cluster, version: "1", nonce: "1"),
                SeenRequest(.endpoints, version: "e1", nonce: "2", names: ["a"]), SeenRequest(.listener),
            ])
        #expect(h.clusterNames == ["control", "a"])
        #expect(!h.client.isReady)
        #expect(
            h.send(.listener, "l1", [Sample.rdsListener("l", routes: "r")]) == [
                SeenRequest(.routes, names: ["r"])
            ])
        #expect(h.listenerNames == [] && !h.client.isReady)
        #expect(
            h.send(.routes, "r1", [Sample.routes("r", cluster: "nowhere")]) == [
                SeenRequest(.listener, version: "l1", nonce: "3"),
                SeenRequest(.routes, version: "r1", nonce: "4", names: ["r"]),
            ])
        #expect(h.client.isReady && h.listenerNames == ["l"] && h.notes.last == .ready)
        #expect(h.client.configuration.clusters[1].localities[0].endpoints.count == 1)
        guard case .http(let manager) = h.client.configuration.listeners[0].filterChains[0].network,
            case .routes(let routes) = manager.routes
        else {
            Issue.record("no routes")
            return
        }
        #expect(routes.name == "r" && routes.virtualHosts.count == 1)
        #expect(h.client.deadline == nil)
    }

    @Test("Waits end after initial_fetch_timeout, one after the other")
    func timeouts() {
        var h = Harness()
        #expect(h.client.deadline == .zero.advanced(by: .seconds(15)))
        _ = h.open()
        #expect(h.pass(.seconds(14)) == [])
        #expect(h.pass(.seconds(1)) == [SeenRequest(.listener)])
        #expect(h.notes == [.timedOut(.cluster, name: "")])
        #expect(h.client.deadline == .zero.advanced(by: .seconds(30)))
        _ = h.pass(.seconds(15))
        #expect(h.client.isReady && h.notes.last == .ready && h.client.deadline == nil)
    }

    @Test("The acknowledgement of clusters waits for their endpoints, and for no longer than the time-out")
    func heldBack() {
        var h = Harness()
        _ = h.open()
        _ = h.send(.cluster, "1", [Sample.edsCluster("a")])
        #expect(
            h.pass(.seconds(15)) == [SeenRequest(.cluster, version: "1", nonce: "1"), SeenRequest(.listener)])
        #expect(h.clusterNames == ["control", "a"])
        #expect(h.client.configuration.clusters[1].localities.isEmpty)
        #expect(
            h.send(.endpoints, "e", [Sample.assignment("a", port: 1)])
                == [SeenRequest(.endpoints, version: "e", nonce: "2", names: ["a"])])
        #expect(h.client.configuration.clusters[1].localities.count == 1)
    }

    /// A client at rest: cluster a with endpoints, cluster b, listener l with routes r.
    private func running() -> Harness {
        var h = Harness()
        _ = h.open()
        _ = h.send(.cluster, "1", [Sample.edsCluster("a"), Sample.fixedCluster("b")])
        _ = h.send(.endpoints, "1", [Sample.assignment("a", port: 1)])
        _ = h.send(.listener, "1", [Sample.rdsListener("l", routes: "r")])
        _ = h.send(.routes, "1", [Sample.routes("r", cluster: "a")])
        #expect(h.client.isReady)
        h.notes = []
        return h
    }

    @Test("What cannot be taken up is refused by name and reason, and its predecessor comes back")
    func notTakenUp() {
        var h = running()
        h.client.tookUp()
        _ = h.send(
            .listener, "2",
            [Sample.rdsListener("l", routes: "r", port: 81), Sample.rdsListener("m", routes: "r", port: 82)])
        #expect(h.listenerNames == ["l", "m"])
        #expect(
            h.refuse(.listener, "m", "address: in use") == [
                SeenRequest(.listener, version: "1", nonce: "5", error: "listener 'm': address: in use")
            ])
        #expect(h.listenerNames == ["l"] && h.client.configuration.listeners[0].address.port == 81)
        #expect(
            h.notes.last
                == .notTakenUp(.listener, version: "2", reason: "listener 'm': address: in use"))
        // Another fault of the same response.
        #expect(
            h.refuse(.listener, "l", "no")?.first?.error == "listener 'm': address: in use; listener 'l': no")
        #expect(h.client.configuration.listeners[0].address.port == 80)
        #expect(h.refuse(.listener, "l", "no") == nil)
        #expect(h.client.lastRefusal(.listener) == "listener 'm': address: in use; listener 'l': no")
        // The next response is judged by itself.
        #expect(
            h.send(.listener, "3", [Sample.rdsListener("l", routes: "r", port: 83)])
                == [SeenRequest(.listener, version: "3", nonce: "6")])
        #expect(h.client.configuration.listeners[0].address.port == 83)
    }

    @Test("Routes, clusters and secrets go back too; what the bootstrap has does not")
    func notTakenUpKinds() {
        var h = running()
        #expect(h.refuse(.cluster, "control", "no") == nil)
        h.client.tookUp()
        #expect(h.refuse(.routes, "r", "no") == nil && h.refuse(.cluster, "gone", "no") == nil)
        _ = h.send(.routes, "2", [Sample.routes("r", cluster: "b")])
        #expect(
            h.refuse(.routes, "r", "header x")
                == [
                    SeenRequest(
                        .routes, version: "1", nonce: "5", names: ["r"],
                        error: "route configuration 'r': header x")
                ])
        let held = h.client.held.filter { $0.kind == .routes }
        #expect(held.map(\.version) == ["1"])
        _ = h.send(
            .cluster, "2", [Sample.edsCluster("a"), Sample.fixedCluster("b", ", connect_timeout: 9s")])
        #expect(h.refuse(.cluster, "b", "no")?.map(\.version) == ["1"])
        #expect(h.client.configuration.clusters[2].connectTimeout != .seconds(9))
    }

    @Test("The first routes of a listener that are refused leave it without any")
    func firstRoutesRefused() {
        var h = running()
        #expect(h.refuse(.routes, "r", "no")?.map(\.error) == ["route configuration 'r': no"])
        #expect(h.listenerNames == ["l"] && h.client.isReady)
    }

    @Test("A changed cluster keeps its endpoints and is in force at once")
    func changedCluster() {
        var h = running()
        #expect(
            h.send(
                .cluster, "2", [Sample.edsCluster("a", ", connect_timeout: 9s"), Sample.fixedCluster("b")])
                == [SeenRequest(.cluster, version: "2", nonce: "5")])
        let cluster = h.client.configuration.clusters[1]
        #expect(cluster.connectTimeout == .seconds(9) && cluster.localities.count == 1)
    }

    @Test("A cluster that changes its service name goes on as it was until the new endpoints come")
    func changedServiceName() {
        var h = running()
        let changed = "{name: a, type: EDS, eds_cluster_config: {service_name: x, eds_config: {ads: {}}}}"
        #expect(
            h.send(.cluster, "2", [changed, Sample.fixedCluster("b")])
                == [SeenRequest(.endpoints, version: "1", nonce: "2", names: ["a", "x"])])
        #expect(h.client.configuration.clusters[1].edsServiceName == "")
        #expect(
            h.send(.endpoints, "2", [Sample.assignment("x", port: 2)]) == [
                SeenRequest(.cluster, version: "2", nonce: "5"),
                SeenRequest(.endpoints, version: "2", nonce: "6", names: ["x"]),
            ])
        #expect(h.client.configuration.clusters[1].edsServiceName == "x")
        #expect(h.client.held.filter { $0.kind == .endpoints }.map(\.name) == ["x"])
    }

    @Test("Of a refused response the good resources count, bad ones keep their predecessors, absent ones go")
    func partialRefusal() {
        var h = running()
        let requests = h.send(
            .cluster, "2",
            [
                "{name: a, type: EDS}", Sample.fixedCluster("c"),
                "{name: d, load_assignment: {cluster_name: d, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: h, port_value: 1}}}}]}]}}",
            ])
        #expect(
            requests == [
                SeenRequest(
                    .cluster, version: "1", nonce: "5",
                    error: "cluster 'a': eds_cluster_config: 'type: EDS' needs it; cluster 'd': "
                        + "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: 'h' is "
                        + "not a numeric address; names need 'type: STRICT_DNS' or 'type: LOGICAL_DNS'")
            ])
        #expect(h.clusterNames == ["control", "a", "c"])
        #expect(h.client.lastRefusal(.cluster) != nil && h.client.version(.cluster) == "1")
        _ = h.send(.cluster, "3", [Sample.edsCluster("a")])
        #expect(h.client.lastRefusal(.cluster) == nil && h.client.version(.cluster) == "3")
    }

    @Test("A value outside the declared constraints, or a name twice, refuses the response as a whole")
    func wholeRefusal() {
        var h = running()
        let requests = h.send(.cluster, "2", [Sample.fixedCluster("c"), "{name: d, connect_timeout: -1s}"])
        #expect(
            requests.first?.error
                == "cluster 'd': connect_timeout: must be at least 0.000000001s (above zero)")
        #expect(h.clusterNames == ["control", "a", "b"])
        let twice = h.send(
            .cluster, "2", [Sample.fixedCluster("c"), Sample.fixedCluster("c", ", connect_timeout: 2s")])
        #expect(twice.first?.error == "cluster 'c': it is there twice")
        #expect(h.clusterNames == ["control", "a", "b"])
    }

    @Test("A resource that cannot be read keeps its predecessor by its name")
    func unreadable() {
        var h = running()
        var problems = ConfigProblems()
        // Field 47 of a cluster, track_timeout_budgets, is refused.
        let bad = WireWriter.write(message("{name: b}", XDS.Cluster.messageType)) + [0xF8, 0x02, 0x01]
        var resource = ConfigMessage(XDS.AnyMessage.messageType)
        resource.set(XDS.AnyMessage.typeUrl, .text(ResourceKind.cluster.typeURL))
        resource.set(XDS.AnyMessage.value, .bytes(bad))
        var response = ConfigMessage(XDS.DiscoveryResponse.messageType)
        response.set(XDS.DiscoveryResponse.typeUrl, .text(ResourceKind.cluster.typeURL))
        response.set(XDS.DiscoveryResponse.nonce, .text("x"))
        response.set(XDS.DiscoveryResponse.resources, .list([.message(resource)]))
        let output = h.client.responseReceived(WireWriter.write(response), at: h.now)
        #expect(
            output.requests.map { SeenRequest($0) }.first?.error
                == "cluster 'b': track_timeout_budgets: not supported; do not send it")
        #expect(h.clusterNames == ["control", "b"])
        #expect(problems.isEmpty)
        problems = ConfigProblems()
    }

    @Test("A static cluster cannot be replaced")
    func staticCluster() {
        var h = running()
        let requests = h.send(.cluster, "2", [Sample.fixedCluster("control")])
        #expect(
            requests.first?.error
                == "cluster 'control': the bootstrap has one of this name, which cannot be replaced")
        #expect(h.clusterNames == ["control"])
    }

    @Test("A listener with an inline route to an unknown cluster is refused; routes over RDS are not")
    func inlineRoutes() {
        var h = running()
        let inline = Sample.listener("m", route: "route_config: \(Sample.routes("x", cluster: "gone"))")
        let requests = h.send(.listener, "2", [Sample.rdsListener("l", routes: "r"), inline])
        #expect(requests.first?.error?.contains("there is no cluster 'gone'") == true)
        #expect(h.listenerNames == ["l"])
        #expect(h.send(.routes, "2", [Sample.routes("r", cluster: "gone")]).first?.error == nil)
    }

    @Test("A new stream resumes with the accepted versions and no nonce; names that went are not asked for")
    func resumption() {
        var h = running()
        h.close()
        #expect(h.clusterNames == ["control", "a", "b"])
        #expect(
            h.open() == [
                SeenRequest(.cluster, version: "1"), SeenRequest(.endpoints, version: "1", names: ["a"]),
                SeenRequest(.listener, version: "1"), SeenRequest(.routes, version: "1", names: ["r"]),
            ])
        #expect(
            h.send(.cluster, "1", [Sample.edsCluster("a"), Sample.fixedCluster("b")])
                == [SeenRequest(.cluster, version: "1", nonce: "5")])
        #expect(
            h.send(.cluster, "2", []) == [
                SeenRequest(.cluster, version: "2", nonce: "6"),
                SeenRequest(.endpoints, version: "1", names: []),
            ])
        h.close()
        #expect(h.open().map(\.kind) == [.cluster, .listener, .routes])
    }

    @Test("The node is in every request, or in the first of a stream if asked", arguments: [false, true])
    func nodeOnce(isOnce: Bool) {
        let text = isOnce ? "set_node_on_first_message_only: true, api_type: GRPC" : "api_type: GRPC"
        var h = Harness(Harness.dynamic.replacing("api_type: GRPC", with: text))
        #expect(h.open().map(\.hasNode) == [true])
        #expect(h.send(.cluster, "1", []).map(\.hasNode) == [!isOnce, !isOnce])
        h.close()
        #expect(h.open().map(\.hasNode) == [true, !isOnce])
    }

    @Test("A cluster waits for its secret, and stays out while it has none")
    func secrets() {
        var h = Harness()
        _ = h.open()
        #expect(
            h.send(.cluster, "1", [Sample.fixedCluster("a", Sample.tls("s"))]) == [
                SeenRequest(.secret, names: ["s"])
            ])
        #expect(
            h.pass(.seconds(15)) == [SeenRequest(.cluster, version: "1", nonce: "1"), SeenRequest(.listener)])
        #expect(h.clusterNames == ["control"])
        #expect(
            h.send(.secret, "s1", [Sample.bundle("s"), Sample.bundle("unasked")])
                == [SeenRequest(.secret, version: "s1", nonce: "2", names: ["s"])])
        #expect(h.clusterNames == ["control", "a"])
        #expect(h.client.configuration.clusters[1].tls?.settings.trustBundlePEM != nil)
        #expect(h.client.held.filter { $0.kind == .secret }.map(\.name) == ["s"])
    }

    @Test("A secret of the wrong kind, or without an authority, takes nothing out of force")
    func wrongSecret() {
        var h = Harness(surroundings: surroundings(secrets: ["own": MeshResourcesTests.identity]))
        _ = h.open()
        _ = h.send(.cluster, "1", [Sample.fixedCluster("a")])
        _ = h.send(.cluster, "2", [Sample.fixedCluster("a", Sample.tls("own"))])
        #expect(h.clusterNames == ["control", "a"] && h.client.configuration.clusters[1].tls == nil)
        _ = h.send(.cluster, "3", [Sample.fixedCluster("a", Sample.tls("s"))])
        let requests = h.send(.secret, "1", ["{name: s, validation_context: {}}"])
        #expect(
            requests.first?.error
                == "secret 's': validation_context.trusted_ca: is missing; a secret that trusts "
                + "everybody is not supported")
        #expect(h.clusterNames == ["control", "a"])
    }

    @Test("A secret of the proxy's own is never asked for, and its renewal is a change")
    func ownSecret() {
        let validation = SecretValue.validation(SecretValue.Validation(trustBundlePEM: [1]))
        var h = Harness(surroundings: surroundings(secrets: ["s": validation]))
        _ = h.open()
        #expect(
            h.send(.cluster, "1", [Sample.fixedCluster("a", Sample.tls("s"))]) == [
                SeenRequest(.cluster, version: "1", nonce: "1"), SeenRequest(.listener),
            ])
        #expect(h.client.configuration.clusters[1].tls?.settings.trustBundlePEM == [1])
        let output = h.client.provide(
            .validation(SecretValue.Validation(trustBundlePEM: [2])), named: "s", at: h.now)
        #expect(output.isChanged && output.requests.isEmpty)
        #expect(h.client.configuration.clusters[1].tls?.settings.trustBundlePEM == [2])
    }

    @Test("What was not asked for is ignored, what is no response closes the stream")
    func strangeResponses() {
        var h = Harness()
        _ = h.open()
        #expect(h.send(.routes, "1", [Sample.routes("r", cluster: "a")]) == [])
        #expect(h.notes.count == 1)
        #expect(
            h.client.responseReceived([0xFF], at: h.now).closesStream?.hasPrefix("a response is unreadable")
                == true)
        // Field 99 of a later version of the protocol.
        let later: [UInt8] = [0x98, 0x06, 0x01]
        #expect(h.client.responseReceived(later, at: h.now).closesStream == nil)
        var other = ConfigMessage(XDS.DiscoveryResponse.messageType)
        other.set(XDS.DiscoveryResponse.typeUrl, .text("type.googleapis.com/x.Y"))
        let output = h.client.responseReceived(WireWriter.write(other), at: h.now)
        #expect(output.requests.isEmpty && output.notes.count == 1 && output.closesStream == nil)
    }

    @Test(
        "A listener that changes its routes' name goes on until the new ones come; a removed one goes at once"
    )
    func changedRoutes() {
        var h = running()
        #expect(
            h.send(.listener, "2", [Sample.rdsListener("l", routes: "q")])
                == [SeenRequest(.routes, version: "1", nonce: "4", names: ["q", "r"])])
        #expect(h.client.held.filter { $0.kind == .listener }.map(\.isWarming) == [false, true])
        #expect(
            h.send(.routes, "2", [Sample.routes("q", cluster: "b")]) == [
                SeenRequest(.listener, version: "2", nonce: "5"),
                SeenRequest(.routes, version: "2", nonce: "6", names: ["q"]),
            ])
        #expect(h.client.held.filter { $0.kind == .listener }.map(\.isWarming) == [false])
        _ = h.send(.listener, "3", [])
        #expect(h.listenerNames == [])
    }

    @Test("Random control planes never break it", arguments: UInt64(0)..<40)
    func randomEvents(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var h = Harness()
        let names = ["a", "b", "c"]
        _ = h.open()
        for step in 0..<60 {
            let name = names[Int.random(in: 0..<3, using: &random)]
            let port = Int.random(in: 0...3, using: &random)
            switch Int.random(in: 0..<9, using: &random) {
            case 0:
                _ = h.send(
                    .cluster, "\(step)",
                    [Sample.edsCluster(name), Sample.fixedCluster("f", Sample.tls(name))])
            case 1:
                _ = h.send(
                    .cluster, "\(step)",
                    names.map { Sample.edsCluster($0, ", connect_timeout: \(port + 1)s") })
            case 2: _ = h.send(.endpoints, "\(step)", [Sample.assignment(name, port: port)])
            case 3: _ = h.send(.listener, "\(step)", [Sample.rdsListener(name, routes: name)])
            case 4: _ = h.send(.routes, "\(step)", [Sample.routes(name, cluster: name)])
            case 5: _ = h.send(.secret, "\(step)", [Sample.bundle(name)])
            case 6:
                h.close()
                _ = h.open()
            default: _ = h.pass(.seconds(port * 3))
            }
            let configuration = h.client.configuration
            #expect(configuration.clusters.first?.name == "control")
            #expect(h.client.isReady || configuration.listeners.isEmpty)
            #expect(
                configuration.clusters.allSatisfy { $0.tls == nil || $0.tls?.settings.trustBundlePEM != nil })
            if let deadline = h.client.deadline { #expect(deadline >= h.now) }
        }
        _ = h.pass(.seconds(60))
        _ = h.pass(.seconds(60))
        #expect(h.client.isReady)
    }
}
