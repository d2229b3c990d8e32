import ConfigCompiler
import GRPCCore
import GRPCNIOTransportHTTP2
import Logging
import MeshConfig
import Testing
import XDSMessages

@testable import DiscoveryServer

@Suite struct QuotaServiceTests {
    private typealias Reports = QuotaLedger.Reports
    private typealias Response = QuotaLedger.Response

    private static func state(_ requests: Int) throws -> Distributor.State {
        let text = """
            apiVersion: martlet.mesh/v1
            kind: Service
            metadata: {name: orders}
            spec: {ports: [{port: 80}]}
            ---
            apiVersion: martlet.mesh/v1
            kind: RateLimitPolicy
            metadata: {name: orders}
            spec: {targetRef: {kind: Service, name: orders}, global: {requests: \(requests), per: 1s}}
            """
        let specification = try MeshSpecification.read([.init(name: "mesh.yaml", bytes: Array(text.utf8))])
        return Distributor.State(
            specification: specification, policies: PolicyIndex(specification), revision: 1, seen: .now)
    }

    private static func report(allowed: UInt64, denied: UInt64, domain: String = "default/orders") -> Reports
    {
        .with {
            $0.domain = domain
            $0.bucketQuotaUsages = [
                .with {
                    $0.bucketID.bucket = ["scope": "service", "limit": "all"]
                    $0.timeElapsed.seconds = 1
                    $0.numRequestsAllowed = allowed
                    $0.numRequestsDenied = denied
                }
            ]
        }
    }

    private static func perSecond(_ response: Response) -> Double {
        let bucket = response.bucketAction[0].quotaAssignmentAction.rateLimitStrategy.tokenBucket
        let length = Double(bucket.fillInterval.seconds) + Double(bucket.fillInterval.nanos) * 1e-9
        return length > 0 ? Double(bucket.tokensPerFill.value) / length : 0
    }

    private static let method = MethodDescriptor(
        fullyQualifiedService: "envoy.service.rate_limit_quota.v3.RateLimitQuotaService",
        method: "StreamRateLimitQuotas")

    /// Two servers' worth of streams on one connection: reports go in, shares come out.
    private func withServer(
        _ keeper: QuotaKeeper,
        _ body: @Sendable @escaping (GRPCClient<HTTP2ClientTransport.Posix>) async throws -> Void
    ) async throws {
        let server = GRPCServer(
            transport: HTTP2ServerTransport.Posix(
                address: .ipv4(host: "127.0.0.1", port: 0), transportSecurity: .plaintext),
            services: [QuotaService(keeper: keeper, access: .anyone)])
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.serve() }
            let address = try #require(try await server.listeningAddress?.ipv4)
            let client = GRPCClient(
                transport: try HTTP2ClientTransport.Posix(
                    target: .ipv4(address: address.host, port: address.port), transportSecurity: .plaintext))
            group.addTask { try await client.runConnections() }
            try await body(client)
            client.beginGracefulShutdown()
            await keeper.closeAll()
            server.beginGracefulShutdown()
        }
    }

    /// Reports what it is given, until there is nothing more; hands every answer to `heard`.
    private static func stream(
        _ client: GRPCClient<HTTP2ClientTransport.Posix>, node: String, _ reports: AsyncStream<Reports>,
        _ heard: @Sendable @escaping (Response) -> Void
    ) async throws {
        try await client.bidirectionalStreaming(
            request: StreamingClientRequest(metadata: ["x-martlet-node": "\(node)"]) { writer in
                for await report in reports { try await writer.write(report) }
            }, descriptor: method, serializer: ProtobufCoding<Reports>(),
            deserializer: ProtobufCoding<Response>(), options: .defaults
        ) { response in
            for try await message in response.messages { heard(message) }
        }
    }

    @Test(
        "Two sidecars hear of shares that add up to the limit, and one has all of it once the other is gone")
    func shares() async throws {
        let keeper = QuotaKeeper(try Self.state(100), logger: Logger(label: "test"))
        try await withServer(keeper) { client in
            let (busy, busyReports) = AsyncStream.makeStream(of: Reports.self)
            let (idle, idleReports) = AsyncStream.makeStream(of: Reports.self)
            let (shares, heard) = AsyncStream.makeStream(of: (node: String, perSecond: Double).self)
            await withTaskGroup(of: Void.self) { group in
                for (node, reports) in [("busy", busy), ("idle", idle)] {
                    group.addTask {
                        try? await Self.stream(client, node: node, reports) {
                            heard.yield((node, Self.perSecond($0)))
                        }
                    }
                }
                busyReports.yield(Self.report(allowed: 80, denied: 400))
                idleReports.yield(Self.report(allowed: 20, denied: 0))
                var known: [String: Double] = [:]
                for await (node, perSecond) in shares {
                    known[node] = perSecond
                    let sum = known.values.reduce(0, +)
                    if known.count == 2, abs(sum - 100) < 1, known["busy", default: 0] > 70 { break }
                }
                // It leaves; what it had is the other's when it has expired. A report keeps the other alive.
                idleReports.finish()
                group.addTask {
                    while (try? await Task.sleep(for: .milliseconds(500))) != nil {
                        busyReports.yield(Self.report(allowed: 80, denied: 400))
                    }
                }
                for await (node, perSecond) in shares where node == "busy" && perSecond > 99 { break }
                busyReports.finish()
                group.cancelAll()
                await group.waitForAll()
            }
        }
    }

    @Test("A report without domain ends the stream with a reason")
    func noDomain() async throws {
        let keeper = QuotaKeeper(try Self.state(100), logger: Logger(label: "test"))
        try await withServer(keeper) { client in
            let (reports, source) = AsyncStream.makeStream(of: Reports.self)
            source.yield(Self.report(allowed: 1, denied: 0, domain: ""))
            let error = await #expect(throws: RPCError.self) {
                try await Self.stream(client, node: "a", reports) { _ in }
            }
            #expect(error?.code == .invalidArgument)
            source.finish()
        }
    }

    @Test("A changed limit is told at once")
    func changed() async throws {
        let keeper = QuotaKeeper(try Self.state(100), logger: Logger(label: "test"))
        try await withServer(keeper) { client in
            let (reports, source) = AsyncStream.makeStream(of: Reports.self)
            let (shares, heard) = AsyncStream.makeStream(of: Double.self)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await Self.stream(client, node: "a", reports) { heard.yield(Self.perSecond($0)) }
                }
                source.yield(Self.report(allowed: 100, denied: 100))
                for await share in shares where abs(share - 100) < 1 { break }
                await keeper.update(try Self.state(40))
                for await share in shares where abs(share - 40) < 1 { break }
                source.finish()
                group.cancelAll()
                try? await group.waitForAll()
            }
        }
    }
}
