// DiscoveryServer: streams snapshots to proxies, and signs their certificates, over gRPC.
//
// `DiscoverySession` is the protocol of one stream as a machine. `Distributor` owns all sessions, compiles when the
// mesh changes, and hands responses to the streams; `QuotaLedger` and `QuotaKeeper` are the same for shares of mesh-wide limits.
// `DiscoveryService`, `QuotaService` and `CertificateService` connect them to grpc-swift; they are registered by hand, since
// three methods need no generated code. This file has the three
// servers: plain text for the own host, TLS for the first certificate, mutual TLS for everything else.

import CertificateAuthority
import ConfigCompiler
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2
import Logging
import MeshConfig

public struct DiscoveryServer: Sendable {
    /// Where to listen; a port may be 0.
    public struct Addresses: Sendable {
        public var xds: HostPort
        public var ca: HostPort
        public var xdsTLS: HostPort

        public init(xds: HostPort, ca: HostPort, xdsTLS: HostPort) {
            (self.xds, self.ca, self.xdsTLS) = (xds, ca, xdsTLS)
        }
    }

    /// One of the addresses cannot be listened to.
    public struct CannotListen: Error, Sendable, CustomStringConvertible {
        public let description: String
    }

    private typealias Transport = HTTP2ServerTransport.Posix

    private let plain: GRPCServer<HTTP2ServerTransport.Posix>
    private let certificates: GRPCServer<HTTP2ServerTransport.Posix>
    private let mutual: GRPCServer<HTTP2ServerTransport.Posix>
    private let addresses: Addresses

    public init(
        _ addresses: Addresses, distributor: Distributor, quotas: QuotaKeeper,
        authority: CertificateAuthority,
        tokens: JoinTokens, serverCertificate: ServerCertificate, logger: Logger
    ) throws {
        self.addresses = addresses
        let bundle = TLSConfig.CertificateSource.bytes(Array(authority.trustBundlePEM.utf8), format: .pem)
        let service = CertificateService(
            authority: authority, tokens: tokens, distributor: distributor, logger: logger)
        plain = GRPCServer(
            transport: Transport(
                address: Self.socketAddress(addresses.xds), transportSecurity: .plaintext, config: Self.config
            ),
            services: [
                DiscoveryService(distributor: distributor, access: .anyone),
                QuotaService(keeper: quotas, access: .anyone),
            ])
        certificates = GRPCServer(
            transport: Transport(
                address: Self.socketAddress(addresses.ca),
                transportSecurity: try .tls(certificateReloader: serverCertificate), config: Self.config),
            services: [service.forFirstCertificates])
        mutual = GRPCServer(
            transport: Transport(
                address: Self.socketAddress(addresses.xdsTLS),
                transportSecurity: try .mTLS(certificateReloader: serverCertificate) {
                    $0.trustRoots = .certificates([bundle])
                    $0.clientCertificateVerification = .noHostnameVerification
                }, config: Self.config),
            services: [
                DiscoveryService(distributor: distributor, access: .identified),
                QuotaService(keeper: quotas, access: .identified), service.forRenewals,
            ])
    }

    /// Proxies that vanish without a word are noticed within half a minute; proxies may ping as often as Envoy does.
    private static var config: Transport.Config {
        .defaults {
            $0.connection.keepalive.time = .seconds(20)
            $0.connection.keepalive.timeout = .seconds(10)
            $0.connection.keepalive.clientBehavior.minPingIntervalWithoutCalls = .seconds(1)
            $0.connection.keepalive.clientBehavior.allowWithoutCalls = true
            $0.http2.maxConcurrentStreams = 100
        }
    }

    private static func socketAddress(_ address: HostPort) -> SocketAddress {
        address.host.contains(":")
            ? .ipv6(host: address.host, port: address.port) : .ipv4(host: address.host, port: address.port)
    }

    /// Serves until `stop` is called or the task is cancelled. `listening` hears the bound addresses once all are.
    public func run(listening: @Sendable @escaping (Addresses) async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (server, address) in [
                (plain, addresses.xds), (certificates, addresses.ca), (mutual, addresses.xdsTLS),
            ] {
                group.addTask {
                    do {
                        try await server.serve()
                    } catch is CancellationError {
                    } catch {
                        throw CannotListen(description: "\(address): cannot listen: \(Self.reason(error))")
                    }
                }
            }
            group.addTask {
                // Once a server failed there is no address, and its own task says why.
                guard let xds = try? await Self.bound(plain), let ca = try? await Self.bound(certificates),
                    let xdsTLS = try? await Self.bound(mutual)
                else { return }
                try await listening(Addresses(xds: xds, ca: ca, xdsTLS: xdsTLS))
            }
            // The first failure ends the others; waiting for all would outlast it.
            while try await group.next() != nil {}
        }
    }

    /// No new streams; `run` returns when the present ones have ended.
    public func stop() {
        for server in [plain, certificates, mutual] { server.beginGracefulShutdown() }
    }

    private static func reason(_ error: any Error) -> String {
        var cause: any Error = error
        while let inner = (cause as? RuntimeError)?.cause { cause = inner }
        return "\(cause)"
    }

    private static func bound(_ server: GRPCServer<Transport>) async throws -> HostPort? {
        let address = try await server.listeningAddress
        if let v4 = address?.ipv4 { return HostPort(host: v4.host, port: v4.port) }
        return address?.ipv6.map { HostPort(host: $0.host, port: $0.port) }
    }
}
