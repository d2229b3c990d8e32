import CertificateAuthority
import Foundation
import GRPCCore
import Logging
import MeshConfig
import XDSMessages

/// `martlet.ca.v1.Certificates/Sign`: a first certificate for a join token, every later one for the one before.
struct CertificateService: Sendable {
    let authority: CertificateAuthority
    let tokens: JoinTokens
    let distributor: Distributor
    let logger: Logger

    /// On the port without client certificates.
    var forFirstCertificates: Registered { Registered(service: self, isRenewal: false) }

    /// On the port with mutual TLS.
    var forRenewals: Registered { Registered(service: self, isRenewal: true) }

    struct Registered: RegistrableRPCService {
        let service: CertificateService
        let isRenewal: Bool

        func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
            router.registerHandler(
                forMethod: MethodDescriptor(
                    fullyQualifiedService: "martlet.ca.v1.Certificates", method: "Sign"),
                deserializer: ProtobufCoding<Martlet_Ca_V1_SignRequest>(),
                serializer: ProtobufCoding<Martlet_Ca_V1_SignResponse>()
            ) { request, context in
                var first: Martlet_Ca_V1_SignRequest?
                for try await message in request.messages {
                    first = message
                    break
                }
                guard let first else {
                    throw RPCError(code: .invalidArgument, message: "there is no request")
                }
                let response = try await service.sign(first, Peer(context), isRenewal: isRenewal)
                return StreamingServerResponse(single: ServerResponse(message: response))
            }
        }
    }

    private func sign(
        _ request: Martlet_Ca_V1_SignRequest, _ peer: Peer, isRenewal: Bool
    ) async throws -> Martlet_Ca_V1_SignResponse {
        let mesh = await distributor.mesh
        do {
            // The token is spent only on a request that will be signed.
            let checked = try authority.check(requestDER: [UInt8](request.csrDer))
            let service = isRenewal ? try owner(of: peer, request, mesh) : try await redeem(request)
            let identity = WorkloadIdentity(
                trustDomain: mesh.trustDomain, namespace: service.namespace, service: service.name)
            let issued = try authority.issue(checked, to: identity, lifetime: mesh.leafLifetime, now: Date())
            logger.info(
                "certificate issued",
                metadata: [
                    "identity": "\(identity)", "peer": "\(peer.address)", "renewal": "\(isRenewal)",
                    "until": "\(issued.notAfter)",
                ])
            return .with {
                $0.certificateChainPem = issued.chainPEM
                $0.trustBundlePem = authority.trustBundlePEM
            }
        } catch let error as CertificateAuthority.RequestRefused {
            throw refused(.invalidArgument, "\(error)", request, peer)
        } catch let error as JoinTokens.Refused {
            throw refused(.permissionDenied, "\(error)", request, peer)
        } catch let error as RPCError {
            throw refused(error.code, error.message, request, peer)
        }
    }

    private func refused(
        _ code: RPCError.Code, _ message: String, _ request: Martlet_Ca_V1_SignRequest, _ peer: Peer
    ) -> RPCError {
        logger.warning(
            "certificate refused",
            metadata: [
                "reason": "\(message)", "service": "\(request.service.prefix(256))",
                "peer": "\(peer.address)",
                "identity": "\(peer.identity?.uri ?? "none")",
            ])
        return RPCError(code: code, message: message)
    }

    private func redeem(_ request: Martlet_Ca_V1_SignRequest) async throws -> ServiceID {
        guard let service = ServiceID(request.service) else {
            throw RPCError(code: .invalidArgument, message: "service: is not NAMESPACE/NAME")
        }
        guard !request.joinToken.isEmpty else {
            throw RPCError(
                code: .unauthenticated,
                message: "a first certificate needs a join token; see 'martlet token create'")
        }
        try await tokens.redeem(
            request.joinToken, namespace: service.namespace, service: service.name, now: Date())
        return service
    }

    /// The identity of the certificate that is renewed; it cannot become another one.
    private func owner(
        of peer: Peer, _ request: Martlet_Ca_V1_SignRequest, _ mesh: MeshSettings
    ) throws -> ServiceID {
        guard let identity = peer.identity, identity.trustDomain == mesh.trustDomain else {
            throw RPCError(code: .unauthenticated, message: "the certificate has no identity of this mesh")
        }
        let service = ServiceID(namespace: identity.namespace, name: identity.service)
        guard request.service.isEmpty || request.service == service.description else {
            throw RPCError(
                code: .permissionDenied,
                message: "the certificate is of \(service), not of \(request.service.prefix(256))")
        }
        guard service != ServiceID(namespace: "martlet", name: "control") else {
            throw RPCError(code: .permissionDenied, message: "the control plane renews its own certificate")
        }
        return service
    }
}
