import MeshModel
import Proxy
import Reactor
import TLSEngine
import Telemetry

extension AdminPages {
    /// envoy.admin.v3.Certificates: each pair of chain and bundle that is in use, once. Nothing of a private key is
    /// looked at.
    func certificates() -> AdminAnswer {
        let contexts = tlsSettings
        let now = loop.wallClock.seconds
        var index = -1
        return .json(parts: {
            index += 1
            if index > contexts.count { return nil }
            let start = index == 0 ? #"{"certificates":["# : ""
            if index == contexts.count { return Array("\(start)]}\n".utf8) }
            let context = contexts[index]
            let object = JSONOutput.document { json in
                json.array("ca_cert") { json in
                    Self.append(context.trustBundlePEM, named: context.bundleName, now, &json)
                }
                json.array("cert_chain") { json in
                    Self.append(
                        context.identity?.certificateChainPEM, named: context.identityName, now, &json)
                }
            }
            return Array((index == 0 ? start : ",").utf8) + object
        })
    }

    /// Days until the first certificate in use ends; nil without any.
    var daysUntilFirstExpiry: UInt64? {
        let ends = tlsSettings.compactMap { settings in
            settings.identity.flatMap { try? CertificateInfo.parse(pem: $0.certificateChainPEM) }?.map(
                \.notAfter
            ).min()
        }
        return ends.min().map { Self.days(until: $0, loop.wallClock.seconds) }
    }

    private var tlsSettings: [MeshModel.TLSSettings] {
        guard let configuration = server.snapshot?.configuration else { return [] }
        var settings: [MeshModel.TLSSettings] = []
        for listener in configuration.listeners {
            let chains = listener.filterChains + [listener.defaultFilterChain].compactMap { $0 }
            settings += chains.compactMap { $0.tls?.settings }
        }
        for cluster in configuration.clusters {
            settings += [cluster.tls?.settings].compactMap { $0 }
            settings += cluster.transportMatches.compactMap { $0.tls?.settings }
        }
        var found: [MeshModel.TLSSettings] = []
        for candidate in settings where candidate.identity != nil || candidate.trustBundlePEM != nil {
            let isKnown = found.contains {
                $0.identity == candidate.identity && $0.trustBundlePEM == candidate.trustBundlePEM
            }
            if !isKnown { found.append(candidate) }
        }
        return found
    }

    private static func append(_ pem: [UInt8]?, named name: String, _ now: Int64, _ json: inout JSONOutput) {
        guard let pem, let certificates = try? CertificateInfo.parse(pem: pem) else { return }
        for certificate in certificates {
            json.object { json in
                json.value("path", name.isEmpty ? "<inline>" : name)
                json.value("serial_number", certificate.serial)
                json.value("subject", certificate.subject)
                json.array("subject_alt_names") { json in
                    for uri in certificate.uriSANs { json.object { $0.value("uri", uri) } }
                    for dns in certificate.dnsSANs { json.object { $0.value("dns", dns) } }
                }
                json.wide("days_until_expiration", days(until: certificate.notAfter, now))
                json.value("valid_from", time(certificate.notBefore))
                json.value("expiration_time", time(certificate.notAfter))
            }
        }
    }

    private static func days(until end: Int64, _ now: Int64) -> UInt64 { UInt64(max(0, end - now) / 86_400) }

    /// Seconds since 1970, as proto3's JSON has a time.
    static func time(_ seconds: Int64) -> String {
        guard let format = TimeFormat("%Y-%m-%dT%H:%M:%SZ"), seconds < Int64.max / 1_000_000_000 else {
            return ""
        }
        var text: [UInt8] = []
        format.append(seconds * 1_000_000_000, to: &text)
        return String(decoding: text, as: UTF8.self)
    }
}
