import COpenSSL

/// Why a session is over. Plain data; `TLSSession.explain` has the whole story.
public struct TLSFailure: Error, Equatable, Sendable, BitwiseCopyable {
    public enum Reason: UInt8, Sendable, BitwiseCopyable {
        /// A server that requires a client certificate got none.
        case noPeerCertificate
        /// The chain does not end in the trust bundle.
        case untrustedIssuer
        case expired
        case notYetValid
        /// The chain is fine, but none of its names is among the expected ones.
        case wrongIdentity
        /// The chain is fine, but the certificate's hash is not among the expected ones.
        case wrongCertificateHash
        /// The chain breaks another rule: wrong purpose, weak key, unknown critical extension …
        case invalidCertificate
        /// The peer does not speak TLS, or speaks it wrongly, or nothing in common was found.
        case protocolError
        /// The peer gave up, and said so.
        case peerAlert
        /// The peer said goodbye before the handshake was done.
        case handshakeClosed
    }

    public let reason: Reason
    /// By reason: an OpenSSL error code, a verification result, or the number of an alert.
    let code: UInt

    init(_ reason: Reason, code: UInt = 0) { (self.reason, self.code) = (reason, code) }

    /// The number of the alert (RFC 8446, section 6) when the peer sent one.
    public var alert: UInt8? { reason == .peerAlert ? UInt8(truncatingIfNeeded: code) : nil }

    public var text: String {
        switch reason {
        case .noPeerCertificate: "the peer sent no certificate"
        case .untrustedIssuer: "the peer's certificate is not trusted: \(verificationText)"
        case .expired: "the peer's certificate chain has expired"
        case .notYetValid: "the peer's certificate chain is not yet valid"
        case .wrongIdentity: "the peer's certificate has none of the expected names"
        case .wrongCertificateHash: "the hash of the peer's certificate is not an expected one"
        case .invalidCertificate: "the peer's certificate is not acceptable: \(verificationText)"
        case .protocolError: "TLS protocol error: \(ErrorQueue.reason(of: code))"
        case .peerAlert: "the peer refused: \(alertText)"
        case .handshakeClosed: "the peer closed during the handshake"
        }
    }

    private var verificationText: String {
        guard let text = unsafe X509_verify_cert_error_string(Int(truncatingIfNeeded: code)) else {
            return "unknown"
        }
        return unsafe String(cString: text)
    }

    private var alertText: String {
        guard let text = unsafe SSL_alert_desc_string_long(CInt(truncatingIfNeeded: code)) else {
            return "unknown"
        }
        return unsafe "\(String(cString: text)) (alert \(code))"
    }

    /// Of a verification result (`X509_V_ERR_…`).
    init(verification result: CInt) {
        let reason: Reason =
            switch result {
            case X509_V_ERR_CERT_HAS_EXPIRED: .expired
            case X509_V_ERR_CERT_NOT_YET_VALID: .notYetValid
            case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
                X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
                X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_CERT_UNTRUSTED,
                X509_V_ERR_CERT_SIGNATURE_FAILURE:
                .untrustedIssuer
            default: .invalidCertificate
            }
        self.init(reason, code: UInt(result))
    }

    /// Of the oldest entry in OpenSSL's queue, which is emptied.
    static func takeFromQueue() -> TLSFailure {
        let code = ERR_peek_error()
        ERR_clear_error()
        let reason = ERR_GET_REASON(code)
        if ERR_GET_LIB(code) == ERR_LIB_SSL {
            if reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256 {
                return TLSFailure(.peerAlert, code: UInt(reason - SSL_AD_REASON_OFFSET))
            }
            if reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE { return TLSFailure(.noPeerCertificate) }
        }
        return TLSFailure(.protocolError, code: code)
    }
}
