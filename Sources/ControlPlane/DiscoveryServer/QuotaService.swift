import CertificateAuthority
import GRPCCore
import XDSMessages

/// `envoy.service.rate_limit_quota.v3.RateLimitQuotaService`: sidecars report what they have used of limits that they
/// share, and hear what they may use.
struct QuotaService: RegistrableRPCService {
    /// Metadata in which a sidecar may say which node it is, so that it keeps its share when it comes back.
    static let nodeField = "x-martlet-node"
    /// Responses that a slow sidecar can be behind; older ones are dropped, and what they said is said again.
    static let responsesMax = 64

    let keeper: QuotaKeeper
    let access: DiscoveryService.Access

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: MethodDescriptor(
                fullyQualifiedService: "envoy.service.rate_limit_quota.v3.RateLimitQuotaService",
                method: "StreamRateLimitQuotas"),
            deserializer: ProtobufCoding<QuotaLedger.Reports>(),
            serializer: ProtobufCoding<QuotaLedger.Response>()
        ) { request, context in
            try await stream(request, context)
        }
    }

    private func stream(
        _ request: StreamingServerRequest<QuotaLedger.Reports>, _ context: ServerContext
    ) async throws -> StreamingServerResponse<QuotaLedger.Response> {
        let peer = Peer(context)
        if case .identified = access, peer.identity == nil {
            throw RPCError(code: .unauthenticated, message: "the certificate has no identity of this mesh")
        }
        let node = request.metadata[stringValues: Self.nodeField].first { _ in true }
        let (responses, queue) = AsyncStream.makeStream(
            of: QuotaLedger.Response.self, bufferingPolicy: .bufferingNewest(Self.responsesMax))
        let stream = try await keeper.open(
            peer, node: node.map { String($0.prefix(512)) }, mustMatch: access == .identified, queue)
        return StreamingServerResponse { writer in
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        for try await message in request.messages {
                            try await keeper.received(message, on: stream)
                        }
                        queue.finish()
                    }
                    group.addTask {
                        for await response in responses { try await writer.write(response) }
                    }
                    // Whichever side ends first ends the stream.
                    try await group.next()
                    group.cancelAll()
                }
            } catch {
                await keeper.close(stream)
                throw error
            }
            await keeper.close(stream)
            return [:]
        }
    }
}
