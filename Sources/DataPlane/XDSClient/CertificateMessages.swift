import XDSSchema

/// The messages of `martlet.ca.v1.Certificates/Sign`.
enum CertificateMessages {
    static let method = "/martlet.ca.v1.Certificates/Sign"

    struct Response {
        /// The leaf first.
        var chainPEM: [UInt8]
        var trustBundlePEM: [UInt8]
    }

    static func request(csr: [UInt8], token: String, service: String) -> [UInt8] {
        typealias F = XDS.MartletSignRequest
        var message = ConfigMessage(F.messageType)
        message.set(F.csrDer, .bytes(csr))
        if !token.isEmpty { message.set(F.joinToken, .text(token)) }
        message.set(F.service, .text(service))
        return WireWriter.write(message)
    }

    /// nil if it cannot be read.
    static func response(_ bytes: [UInt8]) -> Response? {
        typealias F = XDS.MartletSignResponse
        var problems = ConfigProblems()
        guard let message = WireReader.read(bytes, as: F.messageType, problems: &problems) else { return nil }
        let chain = message.texts(F.certificateChainPem).map { $0.hasSuffix("\n") ? $0 : $0 + "\n" }.joined()
        return Response(
            chainPEM: Array(chain.utf8), trustBundlePEM: Array(message.text(F.trustBundlePem).utf8))
    }
}
