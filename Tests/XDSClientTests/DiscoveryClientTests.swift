import HTTP2Codec
import MeshModel
import MeshPrimitives
import Testing
import XDSDiscovery
import XDSSchema

@testable import XDSClient

/// A request, as a control plane sees it.
struct SeenRequest: Equatable, CustomStringConvertible {
    var kind: ResourceKind?
    var version: String
    var nonce: String
    var names: [String]
    var nodeID: String
    var error: String?

    init(_ bytes: [UInt8]) {
        typealias F = XDS.DiscoveryRequest
        var problems = ConfigProblems()
        let message =
            WireReader.read(bytes, as: F.messageType, problems: &problems) ?? ConfigMessage(F.messageType)
        kind = ResourceKind(typeURL: message.text(F.typeUrl))
        version = message.text(F.versionInfo)
        nonce = message.text(F.responseNonce)
        names = message.texts(F.resourceNames)
        nodeID = message.message(F.node)?.text(XDS.Node.id) ?? ""
        error = message.message(F.errorDetail)?.text(XDS.Status.message)
    }

    var description: String {
        "\(kind.map { "\($0)" } ?? "?") v\(version) n\(nonce) \(names.joined(separator: ","))"
            + (error == nil ? "" : " refused")
    }
}

/// A control plane that answers what it is asked for, and pushes when told to.
final class FakeControlPlane {
    let server: FakeServer
    /// By kind: YAML of the resources, with their names.
    var resources: [ResourceKind: [(name: String, yaml: String)]] = [:]
    var manifest: SignedManifest?
    var version = 1
    var isSilent = false
    private(set) var requests: [SeenRequest] = []
    private(set) var nonce = 0
    private var names: [ResourceKind: [String]] = [:]

    init(_ server: FakeServer) {
        self.server = server
        server.onMessage = { [unowned self] call, message in
            guard call.path.hasSuffix("StreamAggregatedResources") else { return }
            self.received(call, SeenRequest(message))
        }
    }

    private func received(_ call: FakeServer.Call, _ request: SeenRequest) {
        requests.append(request)
        guard !isSilent, let kind = request.kind else { return }
        let isAnswer = !request.nonce.isEmpty && names[kind] == request.names && call.received.count > 1
        names[kind] = request.names
        if !isAnswer { push(kind, on: call) }
    }

    func push(_ kind: ResourceKind, on call: FakeServer.Call? = nil) {
        guard let call = call ?? server.calls.last else { return }
        nonce += 1
        let wanted = (resources[kind] ?? []).filter {
            kind.isWholeState || names[kind]?.contains($0.name) == true
        }
        typealias F = XDS.DiscoveryResponse
        var response = ConfigMessage(F.messageType)
        response.set(F.versionInfo, .text("\(version)"))
        response.set(F.typeUrl, .text(kind.typeURL))
        response.set(F.nonce, .text("\(nonce)"))
        var list = wanted.map { ConfigValue.message(message($0.yaml, kind.messageType)) }
        if kind == .manifest, let manifest {
            var signed = ConfigMessage(XDS.MartletSignedManifest.messageType)
            signed.set(XDS.MartletSignedManifest.name, .text(SignedManifest.name))
            signed.set(XDS.MartletSignedManifest.manifest, .bytes(manifest.manifest))
            signed.set(XDS.MartletSignedManifest.signature, .bytes(manifest.signature))
            list.append(.message(signed))
        }
        response.set(F.resources, .list(list))
        call.send(WireWriter.write(response))
    }

    func takeRequests() -> [String] {
        defer { requests = [] }
        return requests.map(\.description)
    }
}

func message(_ yaml: String, _ type: MessageType) -> ConfigMessage {
    var problems = ConfigProblems()
    let message = TextReader.read(Array(yaml.utf8), as: type, file: "yaml", problems: &problems)
    for problem in problems.list { Issue.record("\(problem)") }
    return message ?? ConfigMessage(type)
}

enum Sample {
    static let surroundings = ConfigSurroundings(readFile: { _ in .failure(.init("no files here")) })

    static let bootstrap = """
        node: {id: test-node, cluster: test}
        dynamic_resources:
          ads_config:
            api_type: GRPC
            transport_api_version: V3
            grpc_services: [{envoy_grpc: {cluster_name: control}}]
          cds_config: {ads: {}}
          lds_config: {ads: {}}
        static_resources:
          clusters:
          - name: control
            connect_timeout: 2s
            typed_extension_protocol_options:
              envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
                "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
                explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 10s}}}
            load_assignment:
              cluster_name: control
              endpoints:
              - lb_endpoints:
                - endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 15010}}}
        """

    static func cluster(_ name: String) -> (name: String, yaml: String) {
        (name, "{name: \(name), type: EDS, eds_cluster_config: {eds_config: {ads: {}}}}")
    }

    static func endpoints(_ name: String, port: Int) -> (name: String, yaml: String) {
        (
            name,
            "{cluster_name: \(name), endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: "
                + "{address: 10.0.0.9, port_value: \(port)}}}}]}]}"
        )
    }

    static func listener(_ name: String, cluster: String, tls: String = "") -> (name: String, yaml: String) {
        (
            name,
            """
            name: \(name)
            address: {socket_address: {address: 127.0.0.1, port_value: 8000}}
            filter_chains:
            - filters:
              - name: t
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                  stat_prefix: t
                  cluster: \(cluster)
            \(tls)
            """
        )
    }

    static func readBootstrap(_ yaml: String = bootstrap) throws -> Bootstrap {
        var problems = ConfigProblems()
        let read = Bootstrap.read(
            [(name: "b.yaml", bytes: Array(yaml.utf8))], surroundings: surroundings, problems: &problems)
        for problem in problems.list { Issue.record("\(problem)") }
        return try #require(read)
    }
}

@Suite("DiscoveryClient")
struct DiscoveryClientTests {
    private final class Fixture {
        let pair: SimulatedPair
        let control: FakeControlPlane
        let client: DiscoveryClient
        var configurations: [Configuration] = []
        var log: [String] = []

        init(seed: UInt64, bootstrap: String = Sample.bootstrap) throws {
            pair = try SimulatedPair(seed: seed)
            control = FakeControlPlane(pair.server)
            let lines = Box<[String]>([])
            client = try DiscoveryClient(
                loop: pair.loop, resolver: pair.resolver, bootstrap: Sample.readBootstrap(bootstrap),
                surroundings: Sample.surroundings
            ) { lines.value.append("\($0) \($1)") }
            control.resources = [
                .cluster: [Sample.cluster("a"), Sample.cluster("b")],
                .endpoints: [Sample.endpoints("a", port: 1), Sample.endpoints("b", port: 2)],
                .listener: [Sample.listener("l", cluster: "a")],
            ]
            client.configurationChanged = { [unowned self] in self.configurations.append($0) }
        }

        func becomeReady() {
            client.start()
            #expect(pair.run { !client.isReady })
            pair.run(.seconds(1))
        }

        var names: [String] {
            (configurations.last?.clusters.map(\.name) ?? [])
                + (configurations.last?.listeners.map(\.name) ?? [])
        }
    }

    @Test(
        "A start subscribes in order, acknowledges, and ends in one whole configuration",
        arguments: UInt64(0)..<20)
    func start(seed: UInt64) throws {
        let fixture = try Fixture(seed: seed)
        fixture.becomeReady()
        #expect(fixture.names == ["control", "a", "b", "l"])
        #expect(
            fixture.control.takeRequests() == [
                "cluster v n ", "endpoints v n a,b", "cluster v1 n1 ", "endpoints v1 n2 a,b", "listener v n ",
                "listener v1 n3 ",
            ])
        #expect(fixture.control.server.calls[0].headers["host"] == "control")
        #expect(fixture.configurations.allSatisfy { $0.listeners.isEmpty || $0.clusters.count == 3 })
        #expect(fixture.client.state == "up to date" && fixture.client.statistics.isConnected)
        let clusters = fixture.client.statistics[.cluster]
        #expect(clusters.updateSuccess == 1 && clusters.updateAttempt == 2 && clusters.versionText == "1")
        let count = fixture.configurations.count
        fixture.pair.run(.seconds(300))
        #expect(fixture.configurations.count == count && fixture.control.requests.isEmpty)
    }

    @Test("What changes in one turn is handed out once, and what does not change not at all")
    func coalescing() throws {
        let fixture = try Fixture(seed: 1)
        fixture.becomeReady()
        let count = fixture.configurations.count
        fixture.control.version = 2
        fixture.control.resources[.endpoints] = [
            Sample.endpoints("a", port: 11), Sample.endpoints("b", port: 2),
        ]
        for _ in 0..<3 { fixture.control.push(.endpoints) }
        fixture.pair.run(.seconds(1))
        #expect(fixture.configurations.count == count + 1)
        #expect(
            fixture.configurations.last?.clusters[1].localities[0].endpoints.first?.address
                == .numeric(SocketAddress(ipv4: 10, 0, 0, 9, port: 11)))
    }

    @Test("A bad resource is refused in words, and the good ones stay in force")
    func refusal() throws {
        let fixture = try Fixture(seed: 2)
        fixture.becomeReady()
        _ = fixture.control.takeRequests()
        fixture.control.version = 2
        fixture.control.resources[.listener] = [
            ("l", Sample.listener("l", cluster: "a").yaml.replacing("127.0.0.1", with: "nowhere"))
        ]
        fixture.control.push(.listener)
        fixture.pair.run(.seconds(1))
        let request = try #require(fixture.control.requests.first)
        #expect(
            request.description == "listener v1 n4  refused" && request.error?.contains("nowhere") == true)
        #expect(fixture.client.statistics[.listener].updateRejected == 1)
        #expect(fixture.names == ["control", "a", "b", "l"])
    }

    @Test(
        "After a lost stream the client comes back with pauses that grow, and says what it has",
        arguments: UInt64(0)..<10)
    func reconnection(seed: UInt64) throws {
        let fixture = try Fixture(seed: seed)
        fixture.becomeReady()
        _ = fixture.control.takeRequests()
        fixture.pair.server.stop()
        let count = fixture.configurations.count
        fixture.pair.run(.seconds(100))
        #expect(!fixture.client.statistics.isConnected)
        // Half a second to thirty, doubled: about nine attempts in the first hundred seconds.
        #expect((5...14).contains(fixture.client.statistics.failureCount))
        #expect(fixture.client.state == "no control plane: 10.0.0.1:15010: connection refused")
        #expect(fixture.configurations.count == count)
        try fixture.pair.server.listen()
        #expect(fixture.pair.run { !fixture.client.statistics.isConnected })
        fixture.pair.run(.seconds(1))
        #expect(
            fixture.control.takeRequests().filter {
                !$0.contains("n4") && !$0.contains("n5") && !$0.contains("n6")
            } == [
                "cluster v1 n ", "endpoints v1 n a,b", "listener v1 n ",
            ])
        #expect(fixture.configurations.count == count)
    }

    @Test("A control plane that ends the stream, or answers with an error, is asked again")
    func endedStream() throws {
        let fixture = try Fixture(seed: 4)
        fixture.becomeReady()
        fixture.pair.server.calls[0].end(GRPCStatus(code: .ok))
        fixture.pair.run(.milliseconds(100))
        #expect(fixture.client.lastFailure == "the control plane ended the stream")
        #expect(fixture.pair.run { !fixture.client.statistics.isConnected })
        fixture.pair.run(.milliseconds(100))
        fixture.pair.server.calls[1].end(GRPCStatus(code: .permissionDenied, message: "not you"))
        fixture.pair.run(.milliseconds(100))
        #expect(fixture.client.lastFailure == "grpc-status 7: not you")
        #expect(fixture.pair.run { !fixture.client.statistics.isConnected })
    }

    @Test("A control plane that has died without a word is noticed and left")
    func deadPeer() throws {
        let fixture = try Fixture(seed: 5)
        fixture.becomeReady()
        fixture.pair.network.changeLinks(
            between: SimulatedPair.clientAddress, and: SimulatedPair.serverAddress
        ) {
            $0.isDown = true
        }
        #expect(fixture.pair.run(.seconds(80)) { fixture.client.statistics.isConnected })
        #expect(fixture.client.lastFailure?.contains("no answer to a ping") == true)
    }

    @Test("Resources that do not come are waited for no longer than the source says")
    func timeouts() throws {
        let fixture = try Fixture(seed: 6)
        fixture.control.isSilent = true
        fixture.client.start()
        fixture.pair.run(.seconds(14))
        #expect(!fixture.client.isReady)
        fixture.pair.run(.seconds(17))
        #expect(fixture.client.isReady && fixture.names == ["control"])
        #expect(fixture.client.statistics[.cluster].initFetchTimeout == 1)
    }

    @Test(
        "A configuration that cannot be taken up is refused instead of acknowledged, and the last one goes on"
    )
    func notTakenUp() throws {
        let fixture = try Fixture(seed: 21)
        let client = fixture.client
        client.configurationChanged = { [unowned fixture, unowned client] configuration in
            fixture.configurations.append(configuration)
            guard configuration.listeners.contains(where: { $0.name == "taken" }) else {
                return client.takenUp()
            }
            #expect(client.refuse(.listener, "taken", reason: "address: 127.0.0.1:8000: address in use"))
        }
        fixture.becomeReady()
        _ = fixture.control.takeRequests()
        fixture.control.version = 2
        fixture.control.resources[.listener]?.append(Sample.listener("taken", cluster: "a"))
        fixture.control.push(.listener)
        fixture.pair.run(.seconds(1))
        let answers = fixture.control.requests.filter { $0.kind == .listener }
        #expect(
            answers.map(\.error) == ["listener 'taken': address: 127.0.0.1:8000: address in use"])
        #expect(answers.map(\.version) == ["1"])
        #expect(fixture.names == ["control", "a", "b", "l"])
        #expect(client.statistics[.listener].updateRejected == 1)
        // What else changes is not held up by it.
        fixture.control.resources[.cluster] = [Sample.cluster("a")]
        fixture.control.push(.cluster)
        fixture.pair.run(.seconds(1))
        #expect(fixture.names == ["control", "a", "l"])
    }

    @Test("A saved configuration is in force without a control plane, and what comes later replaces it")
    func replay() throws {
        let first = try Fixture(seed: 7)
        first.becomeReady()
        let unsigned = SignedManifest(manifest: [], signature: [])
        let saved = try SavedConfiguration(
            encoded: SavedConfiguration(first.client.held, manifest: unsigned).encoded())
        #expect(saved.resources.map(\.name) == ["a", "b", "a", "b", "l"])
        let second = try Fixture(seed: 8)
        second.pair.server.stop()
        second.client.start()
        second.pair.run(.seconds(1))
        second.client.replay(saved)
        second.pair.run(.milliseconds(1))
        #expect(second.client.isReady && second.names == ["control", "a", "b", "l"])
        #expect(second.configurations.last == first.configurations.last)
        second.control.version = 9
        second.control.resources[.cluster] = [Sample.cluster("a")]
        try second.pair.server.listen()
        #expect(second.pair.run { second.names != ["control", "a", "l"] })
        #expect(second.control.requests.first?.description == "cluster v n ")
    }

    @Test("Without an ADS cluster the bootstrap is the configuration")
    func staticOnly() throws {
        let fixture = try Fixture(
            seed: 9, bootstrap: "static_resources: {clusters: [{name: a}], listeners: []}")
        fixture.client.start()
        fixture.pair.run(.seconds(1))
        #expect(fixture.client.isReady && fixture.names == ["a"] && fixture.client.state == "static")
        #expect(fixture.pair.server.acceptedCount == 0)
    }
}
