import AdminAPI
import CertificateAuthority
import ConfigCompiler
import Fleet
import Foundation
import Hummingbird
import HummingbirdTesting
import Logging
import MeshConfig
import ResourceStore
import Testing

@testable import ControlAPI

/// A control API over a folder of its own.
final class Bench: Sendable {
    let path = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)").path
    let fleet: Fleet
    let events = EventFeed()
    let api: ControlAPI

    init(_ mesh: String = Bench.mesh, isReady: Bool = true) throws {
        fleet = Fleet(events: events)
        try FileManager.default.createDirectory(atPath: "\(path)/mesh", withIntermediateDirectories: true)
        try Data(mesh.utf8).write(to: URL(filePath: "\(path)/mesh/mesh.yaml"))
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let store = try ResourceStore(ConfigDirectory(["\(path)/mesh"]), state: nil, logger: logger) { _ in }
        let tokens = try JoinTokens(in: DataDirectory("\(path)/data"))
        api = ControlAPI(
            .init(
                store: store, fleet: fleet, tokens: tokens, events: events, workloads: { [] },
                quotas: { Self.quotas },
                isReady: { isReady }),
            adminToken: "secret", logger: logger)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    static let quotas = QuotaList(
        bucketCount: 1,
        limits: [
            .init(
                domain: "default/orders", scope: "service", limit: "all", perSecond: 100, allowed: 5,
                denied: 7)
        ],
        items: [
            QuotaStatus(
                domain: "default/orders",
                bucketID: ["scope": "service", "limit": "all", "header:x": "a\"b"], limitPerSecond: 100,
                allowedPerSecond: 50, deniedPerSecond: 7, shareCount: 1,
                shares: [
                    .init(
                        proxy: "o~1", perSecond: 60, allowedPerSecond: 50, deniedPerSecond: 7,
                        ageSeconds: 1, reportAgeSeconds: 0.5)
                ])
        ])

    static let mesh = """
        apiVersion: martlet.mesh/v1
        kind: Service
        metadata: {name: orders}
        spec: {ports: [{port: 80}]}
        ---
        apiVersion: martlet.mesh/v1
        kind: RetryPolicy
        metadata: {name: a}
        spec: {targetRef: {kind: Service, name: orders}, attempts: 1}
        ---
        apiVersion: martlet.mesh/v1
        kind: RetryPolicy
        metadata: {name: b}
        spec: {targetRef: {kind: Service, name: orders}, attempts: 2}
        """

    /// One request, without a socket.
    func ask(
        _ method: HTTPRequest.Method, _ path: String, _ body: String? = nil, token: String? = nil,
        fields: HTTPFields = [:]
    ) async throws -> TestResponse {
        var fields = fields
        if let token { fields[.authorization] = "Bearer \(token)" }
        return try await Application(router: api.makeRouter()).test(.router) { [fields] client in
            try await client.execute(
                uri: path, method: method, headers: fields,
                body: body.map { ByteBuffer(string: $0) })
        }
    }

    func value<Value: Decodable>(_ response: TestResponse, as _: Value.Type) throws -> Value {
        try JSONDecoder().decode(Value.self, from: Data(buffer: response.body))
    }
}

@Suite struct ControlAPITests {
    @Test("Health is there at once, readiness when all listeners are")
    func readiness() async throws {
        let bench = try Bench(isReady: false)
        #expect(try await bench.ask(.get, "/healthz").status == .ok)
        #expect(try await bench.ask(.get, "/readyz").status == .serviceUnavailable)
        #expect(try await Bench().ask(.get, "/readyz").status == .ok)
    }

    @Test("A resource is shown as it was written, with where it comes from")
    func resource() async throws {
        let bench = try Bench()
        let item = try bench.value(
            try await bench.ask(.get, "/api/v1/resources/services/default/orders"), as: JSONValue.self)
        #expect(item["spec"] == .object(["ports": .array([.object(["port": .integer(80)])])]))
        #expect(item["status"]?["source"] == .text("\(bench.path)/mesh/mesh.yaml:1"))
        #expect(item["status"]?["sinceRevision"] == .integer(1))
    }

    @Test("Of two policies on one target the one in conflict says so")
    func conflict() async throws {
        let bench = try Bench()
        let list = try bench.value(
            try await bench.ask(.get, "/api/v1/resources/RetryPolicy"), as: ResourceList.self)
        let conditions = list.items.map { item -> String in
            guard case .array(let conditions) = item["status"]?["conditions"] else { return "" }
            return conditions.compactMap { $0["type"]?.text }.joined(separator: ",")
        }
        #expect(conditions == ["Accepted", "Accepted,Conflicted"])
    }

    @Test(
        "Errors are problem details",
        arguments: ["/api/v1/resources/nonsense", "/nowhere", "/api/v1/revisions/9"])
    func problems(path: String) async throws {
        let bench = try Bench()
        let response = try await bench.ask(.get, path)
        #expect(response.status == .notFound)
        #expect(response.headers[.contentType] == "application/problem+json")
        let problem = try bench.value(response, as: Problem.self)
        #expect(problem.status == 404 && problem.detail != nil)
    }

    @Test("A token is made for the operator alone, for a service that exists, within bounds")
    func tokens() async throws {
        let bench = try Bench()
        let good = "{\"service\": \"default/orders\", \"ttl\": \"5m\", \"uses\": 3}"
        #expect(try await bench.ask(.post, "/api/v1/tokens", good).status == .unauthorized)
        #expect(try await bench.ask(.post, "/api/v1/tokens", good, token: "guess").status == .unauthorized)
        let made = try await bench.ask(.post, "/api/v1/tokens", good, token: "secret")
        #expect(made.status == .created)
        let grant = try bench.value(made, as: TokenGrant.self)
        #expect(grant.uses == 3 && grant.token.hasPrefix("mjt_"))
        for (body, status) in [
            ("{\"service\": \"default/other\"}", HTTPResponse.Status.notFound), ("{}", .badRequest),
            ("{\"service\": \"orders\"}", .badRequest),
            ("{\"service\": \"default/orders\", \"ttl\": \"1 day\"}", .badRequest),
            ("{\"service\": \"default/orders\", \"uses\": 0}", .badRequest),
        ] {
            #expect(try await bench.ask(.post, "/api/v1/tokens", body, token: "secret").status == status)
        }
    }

    @Test("With files as the truth a write names the file to edit")
    func writes() async throws {
        let bench = try Bench()
        let path = "/api/v1/resources/Service/default/orders"
        #expect(try await bench.ask(.delete, path).status == .unauthorized)
        let response = try await bench.ask(.delete, path, token: "secret")
        #expect(response.status == .conflict)
        #expect(
            try bench.value(response, as: Problem.self).detail?.contains("\(bench.path)/mesh/mesh.yaml")
                == true)
        #expect(try await bench.ask(.post, "/api/v1/apply", token: "secret").status == .conflict)
    }

    @Test("Status, revisions, proxies and metrics speak of the same revision")
    func revision() async throws {
        let bench = try Bench()
        bench.fleet.joined(
            1,
            .init(
                id: "default/orders~1", service: "default/orders", userAgent: "martlet", peer: "p",
                identity: nil),
            at: Date())
        let status = try bench.value(try await bench.ask(.get, "/api/v1/status"), as: StoreStatus.self)
        #expect(status.revision == 1 && status.resources == 3 && status.refused == nil)
        let revision = try bench.value(
            try await bench.ask(.get, "/api/v1/revisions/1"), as: RevisionRecord.self)
        #expect(revision.changes.map(\.action) == [.created, .created, .created])
        let proxies = try bench.value(try await bench.ask(.get, "/api/v1/proxies"), as: ProxyList.self)
        #expect(proxies.revision == 1 && proxies.proxies.map(\.id) == ["default/orders~1"])
        let metrics = String(buffer: try await bench.ask(.get, "/metrics").body)
        #expect(
            metrics.contains("\nmartlet_control_revision 1\n")
                && metrics.contains("\nmartlet_control_proxies 1\n"))
    }

    @Test("Quotas are shown as they are, and in the metrics by service, limit and proxy")
    func quotas() async throws {
        let bench = try Bench()
        let quotas = try bench.value(try await bench.ask(.get, "/api/v1/quotas"), as: QuotaList.self)
        #expect(quotas == Bench.quotas)
        let metrics = String(buffer: try await bench.ask(.get, "/metrics").body)
        for line in [
            #"martlet_control_quota_limit{service="default/orders",scope="service",limit="all"} 100.0"#,
            #"martlet_control_quota_requests_total{service="default/orders",scope="service",limit="all",result="denied"} 7"#,
            #"martlet_control_quota_share{service="default/orders",bucket="service all header:x=a\"b",proxy="o~1"} 60.0"#,
            "martlet_control_quota_buckets 1",
        ] {
            #expect(metrics.contains("\n\(line)\n"), "\(line) in \(metrics)")
        }
    }

    @Test("Events are sent as they happen, and a reader that comes back gets what it missed")
    func events() async throws {
        let bench = try Bench()
        for number in 1...3 { bench.events.publish("test", ["number": number]) }
        let name = try #require(HTTPFields.Element.Name("Last-Event-ID"))
        async let answer = bench.ask(.get, "/api/v1/events", fields: [name: "1"])
        while bench.events.readerCount == 0 { await Task.yield() }
        bench.events.publish(.refused(.init(time: Date(timeIntervalSince1970: 1_800_000_000), errors: ["e"])))
        bench.events.publish(.mended)
        bench.events.close()
        let response = try await answer
        #expect(response.headers[.contentType] == "text/event-stream")
        #expect(
            String(buffer: response.body) == """
                : martlet-control

                id: 2
                event: test
                data: {"number":2}

                id: 3
                event: test
                data: {"number":3}

                id: 4
                event: load
                data: {"refused":{"errors":["e"],"time":"2027-01-15T08:00:00.000Z"}}

                id: 5
                event: load
                data: {}


                """)
        #expect(try await bench.ask(.get, "/api/v1/events").status == .serviceUnavailable)
    }
}
