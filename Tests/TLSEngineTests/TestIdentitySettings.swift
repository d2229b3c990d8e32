import TLSEngine
import TLSTestSupport

extension TestIdentity {
    var settings: TLSSettings.Identity { TLSSettings.Identity(certificateChain: chain, privateKey: key) }
    var fingerprint: String { get throws { try CertificateInfo.parse(pem: chain)[0].sha256 } }
}
