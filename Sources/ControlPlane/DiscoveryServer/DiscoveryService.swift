import CertificateAuthority
import GRPCCore
import XDSMessages

/// `envoy.service.discovery.v3.AggregatedDiscoveryService`: one stream for each proxy.
struct DiscoveryService: RegistrableRPCService {
    enum Access: Sendable {
        /// The plaintext port: whoever reaches it is trusted to say who he is.
        case anyone
        /// The certificate must name the service for which the node speaks.
        case identified
    }

    let distributor: Distributor
    let access: Access

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
        let peer = Peer(context)
        if case .identified = access, peer.identity == nil {
            throw RPCError(code: .unauthenticated, message: "the certificate has no identity of this mesh")
        }
        let mustMatch = access == .identified
        // At most one response for each type is open, so that the queue is short by itself.
        let (responses, queue) = AsyncStream.makeStream(of: Envoy_Service_Discovery_V3_DiscoveryResponse.self)
        let stream = try await distributor.open(peer, mustMatch: mustMatch, queue)
        return StreamingServerResponse { writer in
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        for try await message in request.messages {
                            try await distributor.received(message, on: stream)
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
                await distributor.close(stream)
                throw error
            }
            await distributor.close(stream)
            return [:]
        }
    }
}
