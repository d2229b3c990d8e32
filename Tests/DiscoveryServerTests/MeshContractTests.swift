import Crypto
import Foundation
import MeshModel
import MeshPrimitives
import Testing
import XDSDiscovery
import XDSMessages
import XDSSchema

@testable import ConfigCompiler
@testable import DiscoveryServer
@testable import MeshConfig

/// The control plane's machine and the proxy's, wired to each other without a socket.
private struct Wire {
    var client: ADSClient
    var session: DiscoverySession
    var refusals: [String] = []
    var lastSent: [ResourceType] = []
    private var requests: [[UInt8]] = []

    init(_ snapshot: ProxySnapshot) {
        var bootstrap = Bootstrap(node: ConfigMessage(XDS.Node.messageType))
        bootstrap.ads = ADSSettings(clusterName: "control")
        bootstrap.ads?.asksForManifest = true
        bootstrap.clusterFetchTimeout = .seconds(15)
        bootstrap.listenerFetchTimeout = .seconds(15)
        let identity = KeyMaterial(
            certificateChainPEM: Array(Self.certificate.utf8), privateKeyPEM: Array("key".utf8))
        client = ADSClient(
            bootstrap: bootstrap,
            surroundings: ConfigSurroundings(
                readFile: { _ in .failure(.init("no files here")) }, environment: { _ in nil },
                secrets: ["martlet:identity": .identity(identity)]))
        session = DiscoverySession(snapshot)
        _ = client.start(at: .zero)
        requests = client.streamOpened(at: .zero).requests
    }

    static let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

    mutating func change(to snapshot: ProxySnapshot) throws {
        try deliver(session.snapshotChanged(to: snapshot))
        try run()
    }

    /// Until neither side has anything to say.
    mutating func run() throws {
        while !requests.isEmpty {
            let request = try Envoy_Service_Discovery_V3_DiscoveryRequest(
                serializedBytes: requests.removeFirst())
            let outcome = session.requestReceived(request)
            if case .refused(let type, _, let message) = outcome.verdict {
                refusals.append("\(type): \(message)")
            }
            try deliver(outcome.responses)
        }
    }

    private mutating func deliver(_ responses: [DiscoverySession.Response]) throws {
        for response in responses {
            lastSent.append(response.type)
            let message = Envoy_Service_Discovery_V3_DiscoveryResponse.with {
                $0.versionInfo = response.version
                $0.typeURL = response.type.typeURL
                $0.nonce = response.nonce
                $0.resources = response.resources.map(\.message)
            }
            let output = client.responseReceived(try message.serializedBytes(), at: .zero)
            if let reason = output.closesStream { refusals.append("closed: \(reason)") }
            requests += output.requests
        }
    }
}

/// What the compiler writes is what the proxy reads.
@Suite struct MeshContractTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Every setting that an operator can write, once.
    private static let everything = """
        apiVersion: martlet.mesh/v1
        kind: Service
        metadata: {name: portal}
        spec: {ports: [{port: 80}]}
        ---
        apiVersion: martlet.mesh/v1
        kind: Service
        metadata: {name: orders}
        spec: {ports: [{port: 80, name: web}, {port: 50, name: rpc, appProtocol: grpc}, {port: 5432, name: db, appProtocol: tcp}]}
        ---
        apiVersion: martlet.mesh/v1
        kind: Service
        metadata: {name: outside}
        spec: {ports: [{port: 443}], endpoints: {dns: {host: api.example}}}
        ---
        apiVersion: martlet.mesh/v1
        kind: Service
        metadata: {name: old}
        spec: {ports: [{port: 80}], endpoints: {static: [{address: 10.0.0.1, port: 81, weight: 3, zone: a, labels: {version: v1}}, {address: fd00::1, zone: b}]}}
        ---
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {name: orders}
        spec:
          parentRefs: [{group: "", kind: Service, name: orders, port: 80}, {kind: Service, name: orders, sectionName: rpc}]
          rules:
          - name: full
            matches:
            - {path: {type: Exact, value: /x}, method: POST, headers: [{name: a, value: b}], queryParams: [{name: q, value: v}]}
            filters:
            - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: s, value: 1%}], add: [{name: t, value: u}], remove: [r]}}
            - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: s, value: v}], remove: [r]}}
            - {type: CORS, cors: {allowOrigins: ["https://a.example", "*"], allowMethods: [GET, "*"], allowHeaders: [a], exposeHeaders: [b], allowCredentials: true, maxAge: 9}}
            - {type: URLRewrite, urlRewrite: {hostname: h.example, path: {type: ReplaceFullPath, replaceFullPath: /y}}}
            timeouts: {request: 5s, backendRequest: 1s}
            retry: {codes: [502, 503], attempts: 3, backoff: 10ms}
            backendRefs: [{name: orders, port: 80, weight: 3}, {name: old, port: 80}]
          - matches: [{path: {value: /moved}}]
            filters: [{type: RequestRedirect, requestRedirect: {scheme: https, hostname: n.example, port: 8443, statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
          - name: cart
            matches: [{path: {value: /cart}}]
            sessionPersistence: {sessionName: cart, absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}}
            backendRefs: [{name: orders, port: 80}]
          - matches: [{path: {value: /a}}]
            filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
            backendRefs: [{name: orders, port: 80}]
          - backendRefs: [{name: orders, port: 50}]
        ---
        apiVersion: martlet.mesh/v1
        kind: TLSPolicy
        metadata: {name: orders}
        spec: {targetRef: {kind: Service, name: orders}, mtls: strict, ports: [{port: 5432, mtls: disabled}], minimumVersion: "1.2", ciphers: [ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-ECDSA-AES128-GCM-SHA256]}
        ---
        apiVersion: martlet.mesh/v1
        kind: RetryPolicy
        metadata: {name: m}
        spec:
          targetRef: {kind: Mesh}
          retryOn: [5xx, gateway-error, connect-failure, reset, refused-stream, retriable-status-codes]
          retriableStatusCodes: [429]
          attempts: 4
          perTryTimeout: 500ms
          backOff: {base: 10ms, max: 1s}
          budget: {ratio: 33.3%, window: 30s, min: 5}
          methods: any
          idempotencyKey: Idempotency-Key
          hedge: true
        ---
        apiVersion: martlet.mesh/v1
        kind: TimeoutPolicy
        metadata: {name: m}
        spec: {targetRef: {kind: Mesh}, connect: 1s, request: 0s, idle: 60s, stream: 30s, deadlinePropagation: false}
        ---
        apiVersion: martlet.mesh/v1
        kind: CircuitBreakerPolicy
        metadata: {name: m}
        spec: {targetRef: {kind: Mesh}, limits: {connections: 1, pending: 0, requests: 1, retries: 0}}
        ---
        apiVersion: martlet.mesh/v1
        kind: CircuitBreakerPolicy
        metadata: {name: own}
        spec: {targetRef: {kind: Mesh}, direction: inbound, limits: {connections: 1, pending: 0, requests: 1}, breaker: {consecutiveFailures: 5}}
        ---
        apiVersion: martlet.mesh/v1
        kind: TimeoutPolicy
        metadata: {name: own}
        spec: {targetRef: {kind: Mesh}, direction: inbound, connect: 1s, request: 5s, idle: 60s, stream: 30s, connection: 60s}
        ---
        apiVersion: martlet.mesh/v1
        kind: RateLimitPolicy
        metadata: {name: m}
        spec:
          targetRef: {kind: Mesh}
          local:
            requests: 5
            per: 1m
            burst: 2
            perConnection: true
            keys:
            - {identity: any, requests: 1}
            - {identity: default/portal, method: any, path: {type: Exact, value: /x}, headers: [{name: a}, {name: b, value: c}], requests: 9}
            - {address: any, requests: 1, burst: 3}
          answer: {status: 503, headers: false, responseHeaders: {x-limited: "1%"}}
        ---
        apiVersion: martlet.mesh/v1
        kind: RateLimitPolicy
        metadata: {name: s}
        spec: {targetRef: {kind: Mesh}, mode: shadow, local: {requests: 1, keys: [{method: GET, requests: 1}]}}
        ---
        apiVersion: martlet.mesh/v1
        kind: FaultPolicy
        metadata: {name: m}
        spec:
          targetRef: {kind: Mesh}
          delay: {duration: 1s, percentage: 1%}
          abort: {grpcStatus: 14, percentage: 0.5%}
          headers: [{name: x, value: v}, {name: z, value: "a.*", type: RegularExpression}]
        ---
        apiVersion: martlet.mesh/v1
        kind: FaultPolicy
        metadata: {name: r}
        spec: {targetRef: {kind: HTTPRoute, name: orders, sectionName: full}, abort: {status: 404}}
        ---
        apiVersion: martlet.mesh/v1
        kind: FaultPolicy
        metadata: {name: t}
        spec: {targetRef: {kind: Mesh}, mode: shadow, direction: outbound, delay: {duration: 1s}}
        ---
        apiVersion: martlet.mesh/v1
        kind: RateLimitPolicy
        metadata: {name: out}
        spec:
          targetRef: {kind: HTTPRoute, name: orders}
          local: {burst: 3, requests: 2, keys: [{method: any, requests: 1}, {path: {value: /a}, requests: 1}]}
        ---
        apiVersion: martlet.mesh/v1
        kind: RateLimitPolicy
        metadata: {name: keys}
        spec: {targetRef: {kind: Mesh}, direction: outbound, local: {keys: [{method: POST, requests: 1}]}}
        ---
        apiVersion: martlet.mesh/v1
        kind: RateLimitPolicy
        metadata: {name: outs}
        spec: {targetRef: {kind: Mesh}, mode: shadow, direction: outbound, local: {requests: 2}}
        ---
        apiVersion: martlet.mesh/v1
        kind: LoadBalancerPolicy
        metadata: {name: r}
        spec: {targetRef: {kind: HTTPRoute, name: orders, sectionName: cart}, subsets: {labels: {version: v2, stage: beta}}}
        ---
        apiVersion: martlet.mesh/v1
        kind: LoadBalancerPolicy
        metadata: {name: m}
        spec: {targetRef: {kind: Mesh}, algorithm: leastRequest, subsets: {labels: {version: v1}, fallback: any}}
        ---
        apiVersion: martlet.mesh/v1
        kind: TelemetryPolicy
        metadata: {name: m}
        spec:
          targetRef: {kind: Mesh}
          tracing: {sampling: 0.01%, formats: [w3c, b3]}
          accessLog: {path: /dev/stderr, text: "%START_TIME% %RESPONSE_CODE%"}
        """

    private static func node(_ service: String) throws -> ProxyNode {
        var node = Envoy_Config_Core_V3_Node()
        node.id = "default/\(service)~00000001"
        node.cluster = "default/\(service)"
        node.userAgentName = "martlet"
        node.metadata = try Google_Protobuf_Struct(
            jsonString: """
                {"martlet": {"capabilities": ["martlet.v1"], "address": "10.0.0.5", "outbound": "127.0.0.1:40010",
                 "app": [{"port": 80, "protocol": "http", "listen": "127.0.0.1:40001"},
                         {"port": 50, "protocol": "grpc", "listen": "127.0.0.1:40002"},
                         {"port": 5432, "protocol": "tcp", "listen": "127.0.0.1:40003"}],
                 "upstreams": [{"service": "default/orders", "port": 80, "listen": "127.0.0.1:40011"},
                               {"service": "default/orders", "port": 5432, "listen": "127.0.0.1:40012"}]}}
                """)
        return try ProxyNode(node)
    }

    private static func snapshot(_ text: String, service: String = "orders") throws -> ProxySnapshot {
        let specification = try MeshSpecification.read([.init(name: "mesh.yaml", bytes: Array(text.utf8))])
        let workload = try #require(try Workload(node("orders")))
        let compiler = ConfigCompiler(
            specification: specification, policies: PolicyIndex(specification), workloads: [workload],
            trustBundlePEM: Wire.certificate)
        let node = try node(service)
        let plain = compiler.snapshot(for: node, compiler.common(for: node.proxyClass))
        return plain.signed(for: node.service, previous: nil) { _ in Array("signed".utf8) }
    }

    private static func referenceMesh() throws -> String {
        let folder = root.appending(path: "mesh-config/mesh")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        return try files.filter { $0.hasSuffix(".yaml") }.map {
            try String(contentsOf: folder.appending(path: $0), encoding: .utf8)
        }.joined(separator: "\n---\n")
    }

    @Test(
        "The proxy takes the reference mesh, and becomes ready", arguments: ["orders", "portal", "quotes-v1"])
    func reference(service: String) throws {
        var wire = Wire(try Self.snapshot(Self.referenceMesh(), service: service))
        try wire.run()
        #expect(wire.refusals == [])
        #expect(wire.client.isReady && wire.session.isInStep)
        #expect(wire.client.configuration.listeners.contains { $0.name == "outbound" })
    }

    @Test("The proxy takes everything that an operator can write", arguments: ["orders", "portal"])
    func everything(service: String) throws {
        var wire = Wire(try Self.snapshot(Self.everything, service: service))
        try wire.run()
        #expect(wire.refusals == [])
        #expect(wire.client.isReady && wire.session.isInStep)
        #expect(wire.client.configuration.clusters.count == 9)
        #expect(wire.client.configuration.listeners.count == 6)
    }

    @Test("From one mesh to another and back, both sides end in step")
    func changes() throws {
        let (one, two) = (try Self.snapshot(Self.referenceMesh()), try Self.snapshot(Self.everything))
        var wire = Wire(one)
        try wire.run()
        for snapshot in [two, one, two] {
            try wire.change(to: snapshot)
            #expect(wire.refusals == [])
            #expect(wire.session.isInStep)
            let names = Set(wire.client.configuration.clusters.map(\.name))
            #expect(names == Set(snapshot[.clusters].list.map(\.name)))
        }
    }

    @Test("Everything that the proxy holds in the end is in the manifest, with its digest")
    func manifest() throws {
        var wire = Wire(try Self.snapshot(Self.referenceMesh()))
        try wire.run()
        try wire.change(to: try Self.snapshot(Self.everything))
        let held = try #require(wire.client.manifest)
        #expect(held.signature == Array("signed".utf8))
        let manifest = try Martlet_V1_Manifest(serializedBytes: held.manifest)
        #expect(manifest.service == "default/orders")
        let digests = Dictionary(
            uniqueKeysWithValues: manifest.resources.map { ("\($0.typeURL) \($0.name)", $0.digest) })
        for resource in wire.client.held {
            let digest = digests["\(resource.kind.typeURL) \(resource.name)"]
            #expect(digest == Data(SHA256.hash(data: Data(resource.bytes))), "\(resource.name)")
        }
        let whole = manifest.resources.count { $0.typeURL == ResourceType.clusters.typeURL }
        #expect(wire.client.held.count { $0.kind == .cluster } == whole)
    }

    @Test("What has not changed is not signed again")
    func signedOnce() throws {
        let plain = try Self.snapshot(Self.referenceMesh())
        let first = try #require(plain[.manifests].list.first)
        let service = ServiceID(namespace: "default", name: "orders")
        let again = plain.signed(for: service, previous: first) { _ in
            Issue.record("signed again")
            return []
        }
        #expect(again[.manifests].list == [first])
        let other = plain.signed(for: service, previous: nil) { _ in Array("another signature".utf8) }
        #expect(other[.manifests].version == again[.manifests].version)
    }

    @Test("A changed route is the only thing that is sent, with a new manifest")
    func oneChange() throws {
        var wire = Wire(try Self.snapshot(Self.referenceMesh()))
        try wire.run()
        wire.lastSent = []
        try wire.change(
            to: try Self.snapshot(Self.referenceMesh().replacing("weight: 90", with: "weight: 50")))
        #expect(wire.lastSent == [.routes, .manifests])
    }
}
