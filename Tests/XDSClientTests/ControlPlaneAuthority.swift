import Reactor
import TLSEngine
import TLSTestSupport

/// The authority of a control plane, by the clock of this machine, which its proxies go by.
extension TestAuthority {
    static let controlName = "spiffe://mesh.test/ns/martlet/sa/control"

    private static var today: Int64 { LinuxKernel.make().wallClock().seconds }

    static func ofToday() throws -> TestAuthority { try TestAuthority(now: today) }

    /// A signature by the root's own key.
    func signature(over bytes: [UInt8]) throws -> [UInt8] { try WorkloadKey(pem: keyPEM).sign(bytes) }

    /// A server of the control plane; with `name`, somebody else.
    func serverContext(requiresClients: Bool, name: String = controlName) throws -> TLSContext {
        let leafKey = try WorkloadKey()
        let chain = try sign(leafKey.certificateRequest(uriSAN: name), as: name, seconds: 3600)
        let trust: TLSSettings.Trust = requiresClients ? .bundle(bundle) : .anyCertificate
        var settings = TLSSettings(
            role: .server, identity: .init(certificateChain: chain, privateKey: try leafKey.pem()),
            trust: trust)
        settings.clientCertificate = requiresClients ? .required : .optional
        settings.applicationProtocols = ["h2"]
        return try TLSContext(settings)
    }

    /// The leaf for a request in DER, whatever name it asks for.
    func sign(_ der: [UInt8], as name: String, seconds: Int64) throws -> [UInt8] {
        try sign(
            request: der, as: "URI:\(name)", notBefore: now - 300, notAfter: Self.today + seconds)
    }
}
