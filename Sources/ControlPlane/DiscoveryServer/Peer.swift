import CertificateAuthority
import GRPCCore
import GRPCNIOTransportHTTP2

/// Who is at the other end of an RPC.
struct Peer: Sendable {
    /// `ip:port`.
    let address: String
    /// From the client certificate, which the transport has verified against the trust bundle.
    let identity: WorkloadIdentity?

    enum Access: Sendable {
        /// The plaintext port: whoever reaches it is trusted to say who he is.
        case anyone
        /// The certificate must name the service for which the proxy speaks.
        case identified
    }

    /// Throws where the port wants an identity and the peer has none.
    static func admitted(_ context: ServerContext, _ access: Access) throws(RPCError) -> Peer {
        let peer = Peer(context)
        if case .identified = access, peer.identity == nil {
            throw RPCError(code: .unauthenticated, message: "the certificate has no identity of this mesh")
        }
        return peer
    }

    init(_ context: ServerContext) {
        // grpc-swift writes `ipv4:127.0.0.1:1234`.
        address = context.remotePeer.replacing(/^ipv[46]:/, with: "")
        let transport = context.transportSpecific as? HTTP2ServerTransport.Posix.Context
        identity = transport?.peerCertificate.flatMap { WorkloadIdentity($0) }
    }
}
