// ControlAPI: the control plane over HTTP: what is in force, who has it, and join tokens.
//
// Reading needs no credentials, since the address is loopback unless an operator says otherwise; what makes something
// needs the admin token. Errors are problem details (RFC 9457). The types are those of `AdminAPI`.
//
//     GET  /healthz  /readyz  /metrics
//     GET  /api/v1/status                                     the store: revision, last refused load
//     GET  /api/v1/proxies
//     GET  /api/v1/resources[/{kind}[/{namespace}[/{name}]]]
//     GET  /api/v1/revisions[/{n}]
//     GET  /api/v1/quotas                                     shares of mesh-wide limits
//     GET  /api/v1/events                                     server-sent events: revision, load, proxy
//     POST /api/v1/tokens                                     bearer token
//     PUT, DELETE, apply, rollback                            409: the files are the truth

import AdminAPI
import CertificateAuthority
import ConfigCompiler
import Crypto
import Fleet
import Foundation
import Hummingbird
import Logging
import MeshConfig
import ResourceStore

public struct ControlAPI: Sendable {
    /// What the API shows and does, besides what it asks the store.
    public struct Sources: Sendable {
        public var store: ResourceStore
        public var fleet: Fleet
        public var tokens: JoinTokens
        public var events: EventFeed
        /// The workloads whose sidecars are connected.
        public var workloads: @Sendable () async -> [Workload]
        public var quotas: @Sendable () async -> QuotaList
        /// All listeners are open.
        public var isReady: @Sendable () -> Bool

        public init(
            store: ResourceStore, fleet: Fleet, tokens: JoinTokens, events: EventFeed,
            workloads: @escaping @Sendable () async -> [Workload],
            quotas: @escaping @Sendable () async -> QuotaList, isReady: @escaping @Sendable () -> Bool
        ) {
            (self.store, self.fleet, self.tokens, self.events) = (store, fleet, tokens, events)
            (self.workloads, self.quotas, self.isReady) = (workloads, quotas, isReady)
        }
    }

    static let bodyBytesMax = 64 << 10

    let sources: Sources
    private let adminTokenHash: SHA256Digest
    private let logger: Logger

    public init(_ sources: Sources, adminToken: String, logger: Logger) {
        (self.sources, self.logger) = (sources, logger)
        adminTokenHash = SHA256.hash(data: Data(adminToken.utf8))
    }

    /// The server as a service; `listening` hears the bound port.
    public func makeApplication(
        at address: HostPort, listening: @escaping @Sendable (Int) async -> Void
    ) -> some Hummingbird.ApplicationProtocol {
        var quiet = logger
        // What the server itself says below a warning is about its own life.
        quiet.logLevel = max(logger.logLevel, .warning)
        return Application(
            router: makeRouter(), server: .http1(configuration: .init(idleTimeout: .seconds(60))),
            configuration: .init(address: .hostname(address.host, port: address.port), serverName: "martlet"),
            onServerRunning: { channel in await listening(channel.localAddress?.port ?? 0) }, logger: quiet)
    }

    func makeRouter() -> Router<BasicRequestContext> {
        let router = Router()
        router.add(middleware: ProblemMiddleware(logger: logger))
        router.get("healthz") { _, _ in "ok\n" }
        router.get("readyz") { _, _ -> Response in
            guard sources.isReady() else {
                throw Problem(
                    title: "Service Unavailable", status: 503, detail: "not all listeners are open yet")
            }
            return Response(status: .ok, body: .init(byteBuffer: ByteBuffer(string: "ready\n")))
        }
        router.get("metrics") { _, _ in await metrics() }
        let api = router.group("api/v1")
        api.get("status") { _, _ in try json(await status()) }
        api.get("proxies") { _, _ in
            try json(
                ProxyList(
                    revision: await sources.store.snapshot.revision, proxies: sources.fleet.status(at: .now)))
        }
        api.get("revisions") { _, _ in try json(RevisionList(revisions: await revisions())) }
        api.get("revisions/:revision") { _, context in
            let text = try context.parameters.require("revision")
            guard let revision = await revisions().first(where: { String($0.revision) == text }) else {
                throw Problem(title: "Not Found", status: 404, detail: "there is no revision \(text)")
            }
            return try json(revision)
        }
        api.get("quotas") { _, _ in try json(await sources.quotas()) }
        api.get("events") { request, _ in try EventStream.answer(request, sources.events) }
        api.post("tokens") { request, _ in try await makeToken(request) }
        addResources(to: api)
        return router
    }

    private func addResources(to api: RouterGroup<BasicRequestContext>) {
        api.get("resources") { _, _ in try json(await resources { _ in true }) }
        api.get("resources/:kind") { _, context in
            let kind = try kind(context)
            return try json(await resources { $0.kind == kind })
        }
        api.get("resources/:kind/:namespace") { _, context in
            let kind = try kind(context)
            let namespace = try context.parameters.require("namespace")
            return try json(await resources { $0.kind == kind && $0.namespace == namespace })
        }
        api.get("resources/:kind/:namespace/:name") { _, context in
            let id = try id(context)
            guard let item = await resources({ $0 == id }).items.first else {
                throw Problem(title: "Not Found", status: 404, detail: "there is no \(id)")
            }
            return try json(item)
        }
        api.put("resources/:kind/:namespace/:name") { request, context -> Response in
            try authorize(request)
            throw await filesAreTheTruth(try id(context))
        }
        api.delete("resources/:kind/:namespace/:name") { request, context -> Response in
            try authorize(request)
            throw await filesAreTheTruth(try id(context))
        }
        for path in ["apply", "rollback"] as [RouterPath] {
            api.post(path) { request, _ -> Response in
                try authorize(request)
                throw await filesAreTheTruth(nil)
            }
        }
    }

    // MARK: Answers

    private func status() async -> StoreStatus {
        let (snapshot, refusal) = (await sources.store.snapshot, await sources.store.refusal)
        return StoreStatus(
            version: MartletVersion.text, store: "file", revision: snapshot.revision,
            loadedAt: Fleet.text(snapshot.time), resources: snapshot.specification.resources.count,
            refused: refusal.map { StoreStatus.Refusal($0) })
    }

    private func revisions() async -> [RevisionRecord] {
        await sources.store.revisions.map { RevisionRecord($0) }
    }

    private func resources(_ isWanted: (ResourceID) -> Bool) async -> ResourceList {
        let snapshot = await sources.store.snapshot
        let policies = PolicyIndex(snapshot.specification, firstSeen: snapshot.firstSeen)
        var items = snapshot.specification.resources.filter { isWanted($0.id) }.map { resource in
            ResourceDocument.json(
                resource, conflict: policies.conflicts[resource.id],
                firstSeen: snapshot.firstSeen[resource.id])
        }
        for workload in await sources.workloads() {
            let document = ResourceDocument.json(registered: workload)
            let name = document["metadata"]?["name"]?.text ?? ""
            if isWanted(ResourceID(kind: .workload, namespace: workload.namespace, name: name)) {
                items.append(document)
            }
        }
        return ResourceList(revision: snapshot.revision, items: items)
    }

    private func makeToken(_ request: Request) async throws -> Response {
        try authorize(request)
        let body = try await request.body.collect(upTo: Self.bodyBytesMax)
        guard let asked = try? JSONDecoder().decode(TokenRequest.self, from: Data(buffer: body)) else {
            throw badRequest(
                "the body is not {\"service\": \"NAMESPACE/NAME\", \"ttl\": \"1h\", \"uses\": 1}")
        }
        guard let service = ServiceID(asked.service) else {
            throw badRequest("service: '\(asked.service.prefix(256))' is not NAMESPACE/NAME")
        }
        guard await sources.store.snapshot.specification.services[service] != nil else {
            throw Problem(title: "Not Found", status: 404, detail: "there is no Service '\(service)'")
        }
        let lifetime = asked.ttl.map { Syntax.duration($0) } ?? JoinTokens.lifetimeDefault
        guard let lifetime, lifetime >= .seconds(1), lifetime <= JoinTokens.lifetimeMax else {
            throw badRequest("ttl: is not a duration from 1s to \(Syntax.text(JoinTokens.lifetimeMax))")
        }
        let uses = asked.uses ?? 1
        guard (1...JoinTokens.usesMax).contains(uses) else {
            throw badRequest("uses: is not a number from 1 to \(JoinTokens.usesMax)")
        }
        let grant: JoinTokens.Grant
        do {
            grant = try await sources.tokens.make(
                namespace: service.namespace, service: service.name, lifetime: lifetime, uses: uses,
                now: Date())
        } catch let error as JoinTokens.Refused {
            throw Problem(title: "Conflict", status: 409, detail: "\(error)")
        }
        logger.notice("join token made", metadata: ["service": "\(service)", "uses": "\(uses)"])
        return try json(
            TokenGrant(
                token: grant.token, service: service.description, expiresAt: Fleet.text(grant.expires),
                uses: uses),
            status: .created)
    }

    private func metrics() async -> Response {
        let (snapshot, refusal) = (await sources.store.snapshot, await sources.store.refusal)
        let text = PrometheusText.make(
            revision: snapshot.revision, resources: snapshot.specification.resources.count,
            isRefused: refusal != nil, workloads: await sources.workloads().count,
            counts: sources.fleet.counts,
            proxies: sources.fleet.status(at: .now), quotas: await sources.quotas())
        return Response(
            status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
            body: .init(byteBuffer: ByteBuffer(string: text)))
    }

    // MARK: Checks

    /// Digests are compared in constant time.
    private func authorize(_ request: Request) throws {
        let header = request.headers[.authorization] ?? ""
        let parts = header.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer",
            SHA256.hash(data: Data(parts[1].utf8)) == adminTokenHash
        else {
            throw Problem(
                title: "Unauthorized", status: 401,
                detail: "send 'Authorization: Bearer TOKEN' with the token of DATA-DIR/admin-token")
        }
    }

    private func kind(_ context: BasicRequestContext) throws -> ResourceKind {
        let text = try context.parameters.require("kind")
        guard let kind = ResourceKind(typed: text) else {
            let known = ResourceKind.allCases.map(\.rawValue).joined(separator: ", ")
            throw Problem(
                title: "Not Found", status: 404, detail: "there is no kind '\(text)'; known are \(known)")
        }
        return kind
    }

    private func id(_ context: BasicRequestContext) throws -> ResourceID {
        ResourceID(
            kind: try kind(context), namespace: try context.parameters.require("namespace"),
            name: try context.parameters.require("name"))
    }

    private func filesAreTheTruth(_ id: ResourceID?) async -> Problem {
        let specification = await sources.store.snapshot.specification
        guard let id else {
            return Problem(
                title: "Conflict", status: 409,
                detail: "the resources are files of the operator; edit the files")
        }
        let file = specification[id].map { "edit \($0.location.file), line \($0.location.line)" }
        return Problem(
            title: "Conflict", status: 409,
            detail: "the resources are files of the operator; \(file ?? "add \(id) to one of the files")")
    }

    private func badRequest(_ detail: String) -> Problem {
        Problem(title: "Bad Request", status: 400, detail: detail)
    }

    private func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
        try JSONAnswer.make(value, status: status, contentType: "application/json")
    }
}
