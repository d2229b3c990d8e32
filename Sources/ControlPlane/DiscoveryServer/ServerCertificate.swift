import CertificateAuthority
import Foundation
import Logging
import NIOCertificateReloading
import NIOSSL
import Synchronization

/// The certificate of the control plane's own servers; new connections use the newest.
public final class ServerCertificate: CertificateReloader {
    private struct State {
        var override: NIOSSLContextConfigurationOverride
        var renewal: Date
        var trustDomain: String
    }

    private let authority: CertificateAuthority
    private let state: Mutex<State>

    public init(authority: CertificateAuthority, trustDomain: String, lifetime: Duration, now: Date) throws {
        self.authority = authority
        state = Mutex(try Self.make(authority, trustDomain: trustDomain, lifetime: lifetime, now: now))
    }

    public var sslContextConfigurationOverride: NIOSSLContextConfigurationOverride {
        state.withLock { $0.override }
    }

    /// Replaces the certificate if half of its life is over, or if the mesh has another trust domain now. True if so.
    public func renewIfDue(trustDomain: String, lifetime: Duration, now: Date) throws -> Bool {
        let isDue = state.withLock { now >= $0.renewal || $0.trustDomain != trustDomain }
        guard isDue else { return false }
        let next = try Self.make(authority, trustDomain: trustDomain, lifetime: lifetime, now: now)
        state.withLock { $0 = next }
        return true
    }

    private static func make(
        _ authority: CertificateAuthority, trustDomain: String, lifetime: Duration, now: Date
    ) throws -> State {
        let identity = try authority.makeServerIdentity(
            .control(trustDomain: trustDomain), lifetime: lifetime, now: now)
        var override = NIOSSLContextConfigurationOverride()
        override.certificateChain = try identity.chainDER.map {
            .certificate(try NIOSSLCertificate(bytes: $0, format: .der))
        }
        override.privateKey = .privateKey(try NIOSSLPrivateKey(bytes: identity.keyDER, format: .der))
        return State(override: override, renewal: identity.renewal, trustDomain: trustDomain)
    }
}
