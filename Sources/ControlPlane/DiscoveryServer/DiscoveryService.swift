import CertificateAuthority
import GRPCCore
import XDSMessages

/// `envoy.service.discovery.v3.AggregatedDiscoveryService`: one stream for each proxy.
struct DiscoveryService: RegistrableRPCService {
    let distributor: Distributor
    let access: Peer.Access

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: MethodDescriptor(
                fullyQualifiedService: "envoy.service.discovery.v3.AggregatedDiscoveryService",
                method: "StreamAggregatedResources"),
            deserializer: ProtobufCoding<Envoy_Service_Discovery_V3_DiscoveryRequest>(),
            serializer: ProtobufCoding<Envoy_Service_Discovery_V3_DiscoveryResponse>()
        ) { request, context in
            try await stream(request, context)
        }
    }

    private func stream(
        _ request: StreamingServerRequest<Envoy_Service_Discovery_V3_DiscoveryRequest>,
        _ context: ServerContext
    ) async throws -> StreamingServerResponse<Envoy_Service_Discovery_V3_DiscoveryResponse> {
        let peer = try Peer.admitted(context, access)
        // At most one response for each type is open, so that the queue is short by itself.
        let (responses, queue) = AsyncStream.makeStream(of: Envoy_Service_Discovery_V3_DiscoveryResponse.self)
        let id = try await distributor.open(peer, mustMatch: access == .identified, queue)
        let stream = PeerStream(responses: responses, queue: queue) { message in
            try await distributor.received(message, on: id)
        } closed: {
            await distributor.close(id)
        }
        return stream.answer(request)
    }
}
