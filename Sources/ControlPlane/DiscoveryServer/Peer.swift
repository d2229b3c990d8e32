import CertificateAuthority
import GRPCCore
import GRPCNIOTransportHTTP2

/// Who is at the other end of an RPC.
struct Peer: Sendable {
    /// `ip:port`.
    let address: String
    /// From the client certificate, which the transport has verified against the trust bundle.
    let identity: WorkloadIdentity?

    init(_ context: ServerContext) {
        // grpc-swift writes `ipv4:127.0.0.1:1234`.
        address = context.remotePeer.replacing(/^ipv[46]:/, with: "")
        let transport = context.transportSpecific as? HTTP2ServerTransport.Posix.Context
        identity = transport?.peerCertificate.flatMap { WorkloadIdentity($0) }
    }
}
