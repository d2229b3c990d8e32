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
    let access: Peer.Access

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
        let peer = try Peer.admitted(context, access)
        let node = request.metadata[stringValues: Self.nodeField].first { _ in true }
        let (responses, queue) = AsyncStream.makeStream(
            of: QuotaLedger.Response.self, bufferingPolicy: .bufferingNewest(Self.responsesMax))
        let id = try await keeper.open(
            peer, node: node.map { String($0.prefix(512)) }, mustMatch: access == .identified, queue)
        let stream = PeerStream(responses: responses, queue: queue) { message in
            try await keeper.received(message, on: id)
        } closed: {
            await keeper.close(id)
        }
        return stream.answer(request)
    }
}
