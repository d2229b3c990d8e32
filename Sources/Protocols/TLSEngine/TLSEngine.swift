// TLSEngine: TLS over OpenSSL, without a socket: ciphertext goes in and out through memory (`TLSTransport`),
// a `TLSSession` turns it into plaintext and back, a `TLSContext` holds what its sessions have in common. It
// also says who the peer is (`PeerIdentity`), and makes the key and the certificate request of a workload. It
// reads no clock of its own for certificates (the transport is told the time; OpenSSL itself reads one for
// the age of tickets), makes no system call and starts no thread. Which context a connection gets, and where
// its bytes come from, is the business of others.

import COpenSSL

/// OpenSSL's memory of what went wrong on this thread.
enum ErrorQueue {
    /// To be called before each operation whose outcome is read from the queue. Clearing an empty queue is
    /// what costs; looking at it does not.
    @inline(__always) static func clear() {
        if ERR_peek_error() != 0 { ERR_clear_error() }
    }

    /// The oldest reason, which is the closest to the cause, as OpenSSL words it; then forgets all.
    static func takeReason() -> String {
        let code = ERR_peek_error()
        ERR_clear_error()
        return reason(of: code)
    }

    static func reason(of code: UInt) -> String {
        guard code != 0, let text = unsafe ERR_reason_error_string(code) else { return "unknown reason" }
        return unsafe String(cString: text)
    }
}
