import MeshConfig
import XDSMessages

/// The TLS sides of a proxy: with its own identity, against the mesh's trust bundle.
struct TLSContexts {
    private typealias Common = Envoy_Extensions_TransportSockets_Tls_V3_CommonTlsContext
    private typealias Validation = Envoy_Extensions_TransportSockets_Tls_V3_CertificateValidationContext
    private typealias NameMatcher = Envoy_Extensions_TransportSockets_Tls_V3_SubjectAltNameMatcher

    static let alpnHTTP = ["h2", "http/1.1"]

    let tls: ProxyTLS

    /// Towards callers: any workload of the trust domain may come, and must show its certificate.
    func downstream(
        trustDomain: String, _ settings: TLSSettings, alpn: [String]
    ) -> TransportSocket? {
        let peers = NameMatcher.with {
            $0.sanType = .uri
            $0.matcher.prefix = "spiffe://\(trustDomain)/"
        }
        return common(matching: [peers], settings, alpn).map { common in
            TransportSocket(
                "envoy.transport_sockets.tls",
                Envoy_Extensions_TransportSockets_Tls_V3_DownstreamTlsContext.with {
                    $0.commonTlsContext = common
                    $0.requireClientCertificate = .init(true)
                })
        }
    }

    /// Towards a service: its certificate must carry one of these identities.
    func upstream(
        identities: [String], serverName: String, _ settings: TLSSettings, alpn: [String]
    ) -> TransportSocket? {
        let names = identities.map { identity in
            NameMatcher.with {
                $0.sanType = .uri
                $0.matcher.exact = identity
            }
        }
        return common(matching: names, settings, alpn).map { common in
            TransportSocket(
                "envoy.transport_sockets.tls",
                Envoy_Extensions_TransportSockets_Tls_V3_UpstreamTlsContext.with {
                    $0.commonTlsContext = common
                    $0.sni = serverName
                })
        }
    }

    private func common(
        matching names: [NameMatcher], _ settings: TLSSettings, _ alpn: [String]
    ) -> Common? {
        var common = Common()
        common.alpnProtocols = alpn
        common.tlsParams.tlsMinimumProtocolVersion = settings.minimumVersion == .v12 ? .tlsv12 : .tlsv13
        common.tlsParams.cipherSuites = (settings.ciphers ?? []).map(\.rawValue)
        // Envoy's clients stop at 1.2 unless told otherwise.
        common.tlsParams.tlsMaximumProtocolVersion = .tlsv13
        switch tls {
        case .none:
            return nil
        case .martlet:
            common.tlsCertificateSdsSecretConfigs = [secret(ConfigCompiler.Names.identity)]
            common.combinedValidationContext.defaultValidationContext.matchTypedSubjectAltNames = names
            common.combinedValidationContext.validationContextSdsSecretConfig = secret(
                ConfigCompiler.Names.bundle)
        case .files(let chain, let key, let bundle):
            common.tlsCertificates = [
                .with {
                    $0.certificateChain.filename = chain
                    $0.privateKey.filename = key
                }
            ]
            common.validationContext = Validation.with {
                $0.trustedCa.filename = bundle
                $0.matchTypedSubjectAltNames = names
            }
        }
        return common
    }

    private func secret(_ name: String) -> Envoy_Extensions_TransportSockets_Tls_V3_SdsSecretConfig {
        .with {
            $0.name = name
            $0.sdsConfig = .aggregated
        }
    }
}
