import COpenSSL
import MeshPrimitives

/// How a handshake stands.
public enum TLSProgress: Equatable, Sendable, BitwiseCopyable {
    case done
    case wantsInput
    case failed(TLSFailure)
}

public enum TLSReadResult: Equatable, Sendable, BitwiseCopyable {
    /// So many bytes were appended to the buffer; zero only when it had no room.
    case bytes(Int)
    /// All input is used up.
    case wantsInput
    /// The peer will send nothing more (`close_notify`). An end of the stream without it is a cut connection,
    /// which the owner of the socket notices.
    case closed
    case failed(TLSFailure)
}

public enum TLSWriteResult: Equatable, Sendable, BitwiseCopyable {
    /// So many bytes were taken: fewer than given when the output is full, or while the handshake runs.
    case accepted(Int)
    case failed(TLSFailure)
}

/// One TLS connection: a handle, plain data, that its owner frees once. Every call may leave ciphertext in
/// the transport's output, a failed one too (the alert): send it, whatever the result, and before another
/// session is driven. Who cannot (plaintext led straight to another session) calls `flush` afterwards.
///
/// `handshake` until it is done; then `read` after every input, until it wants more (or the buffer is full:
/// then again with room, `hasPendingPlaintext` tells without a try); `write` at any time; `shutdown` once at
/// the end.
@safe public struct TLSSession: BitwiseCopyable, Equatable {
    /// Of plaintext in one record (RFC 8446, section 5.1).
    static let recordMax = 16 << 10

    let record: UnsafeMutablePointer<SessionRecord>

    public static func == (left: TLSSession, right: TLSSession) -> Bool { unsafe left.record == right.record }

    /// A new session. A client names `serverName` (SNI), else the context's, and offers to resume the session
    /// that `cache` has for `resumptionKey`: the key must stand for server, context and names together. With
    /// `peerName` (a DNS name, or an address) the server's certificate must be for that as well, where the
    /// context verifies certificates. Nil when memory ran out.
    public static func make(
        context: TLSContext, transport: TLSTransport, serverName: String? = nil, peerName: String? = nil,
        resumptionKey: UInt64 = 0, cache: TLSSessionCache? = nil
    ) -> TLSSession? {
        ErrorQueue.clear()
        guard let ssl = unsafe SSL_new(context.core.ssl) else { return nil }
        let record = UnsafeMutablePointer<SessionRecord>.allocate(capacity: 1)
        unsafe record.initialize(
            to: SessionRecord(
                ssl: ssl, context: context, transport: transport, cache: cache, resumptionKey: resumptionKey,
                peerName: peerName))
        let session = unsafe TLSSession(record: record)
        guard unsafe SSL_set_ex_data(ssl, SessionRecord.exDataIndex, record) == 1, session.attachTransport()
        else {
            session.free()
            return nil
        }
        switch context.role {
        case .server: unsafe SSL_set_accept_state(ssl)
        case .client:
            unsafe SSL_set_connect_state(ssl)
            if let name = serverName ?? context.serverName {
                guard unsafe martlet_ssl_set_server_name(ssl, name) == 1 else {
                    session.free()
                    return nil
                }
            }
            session.offerResumption()
        }
        return session
    }

    private func attachTransport() -> Bool {
        let bio = unsafe record.pointee.transport.bio
        guard unsafe BIO_up_ref(bio) == 1 else { return false }
        unsafe SSL_set0_rbio(record.pointee.ssl, bio)
        guard unsafe BIO_up_ref(bio) == 1 else { return false }
        unsafe SSL_set0_wbio(record.pointee.ssl, bio)
        return true
    }

    private func offerResumption() {
        guard let cache = unsafe record.pointee.cache else { return }
        let (context, now) = unsafe (record.pointee.context, record.pointee.now)
        guard
            let (session, terms) = unsafe cache.session(
                for: record.pointee.resumptionKey, under: context.core.conditions, at: now),
            unsafe PeerVerification.isAcceptable(session, to: context, named: record.pointee.peerName),
            unsafe SSL_set_session(record.pointee.ssl, session) == 1
        else { return }
        unsafe record.pointee.peerValidity = terms.validity
    }

    /// Ends the session and drops what it left in the transport's output; no copy of the handle may be used
    /// again.
    public func free() {
        let window = unsafe record.pointee.window
        if unsafe window.pointee.outputOwner == record {
            unsafe window.pointee.dropOutput()
            unsafe window.pointee.outputOwner = nil
        }
        // A session that is freed without a goodbye can no longer be resumed, says OpenSSL; after a mere end
        // of the connection it can.
        if unsafe record.pointee.failure == nil {
            unsafe SSL_set_shutdown(record.pointee.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN)
        }
        unsafe SSL_free(record.pointee.ssl)
        unsafe record.deinitialize(count: 1)
        unsafe record.deallocate()
    }

    // MARK: Moving bytes

    public func handshake() -> TLSProgress {
        if let failure = unsafe record.pointee.failure { return .failed(failure) }
        enter()
        let result = unsafe SSL_do_handshake(record.pointee.ssl)
        if result == 1 {
            unsafe record.pointee.isEstablished = true
            return .done
        }
        switch outcome(result) {
        case .wantsInput: return .wantsInput
        case .closed: return .failed(fail(TLSFailure(.handshakeClosed)))
        case .failed(let failure): return .failed(failure)
        case .bytes: return .failed(fail(.takeFromQueue()))
        }
    }

    /// Appends plaintext as long as there is room and input.
    public func read(into buffer: inout PooledBuffer) -> TLSReadResult {
        if let failure = unsafe record.pointee.failure { return .failed(failure) }
        let (ssl, window) = unsafe (record.pointee.ssl, record.pointee.window)
        var (total, isEntered) = (0, false)
        while true {
            let room = unsafe buffer.writable
            guard let target = room.baseAddress, room.count > 0 else { return .bytes(total) }
            // OpenSSL reads no further ahead than one record, so that an empty window has no more to give,
            // except what is decrypted already. Asking it would cost more than a small record.
            if unsafe window.pointee.inputCount == 0 && SSL_pending(ssl) == 0 && !hasReceivedCloseNotify {
                return total > 0 ? .bytes(total) : .wantsInput
            }
            if !isEntered {
                enter()
                isEntered = true
            }
            var count = 0
            let result = unsafe SSL_read_ex(ssl, target, room.count, &count)
            if result == 1 {
                buffer.commit(count)
                total &+= count
                continue
            }
            let end = outcome(result)
            return total > 0 ? .bytes(total) : end
        }
    }

    /// Encrypts into the transport's output.
    public func write(_ bytes: ByteView) -> TLSWriteResult {
        if let failure = unsafe record.pointee.failure { return .failed(failure) }
        enter()
        let (ssl, window) = unsafe (record.pointee.ssl, record.pointee.window)
        guard unsafe record.pointee.isEstablished else { return .accepted(0) }
        var total = 0
        while unsafe total < bytes.count && window.pointee.outputCount < TLSTransport.outputMax {
            var count = 0
            let wanted = unsafe min(bytes.count &- total, record.pointee.nextRecordMax)
            let result = unsafe SSL_write_ex(ssl, bytes.pointer + total, wanted, &count)
            guard result == 1 else {
                if case .failed(let failure) = outcome(result) { return .failed(failure) }
                return .failed(fail(TLSFailure(.protocolError)))
            }
            total &+= count
        }
        return .accepted(total)
    }

    /// Says goodbye (`close_notify`); nothing can be written afterwards, reading goes on.
    public func shutdown() {
        guard unsafe record.pointee.failure == nil && record.pointee.isEstablished else { return }
        enter()
        guard unsafe SSL_get_shutdown(record.pointee.ssl) & SSL_SENT_SHUTDOWN == 0 else { return }
        _ = unsafe SSL_shutdown(record.pointee.ssl)
    }

    /// Gives back the 17 KB that OpenSSL 3.0 keeps from the last write, or from a ticket, until the next one,
    /// `SSL_MODE_RELEASE_BUFFERS` or not. For a connection that has been quiet for a while: a session without
    /// them takes about 16 KB, half of it OpenSSL's own record; giving them back
    /// after every request would cost 6 % of its instructions. Does nothing while a record is incomplete.
    public func releaseBuffers() { _ = unsafe SSL_free_buffers(record.pointee.ssl) }

    /// Puts what this session wanted to send before another was driven back into the transport's output.
    public func flush() { enter() }

    /// Whether decrypted bytes wait for room, so that `read` gives some without new input.
    public var hasPendingPlaintext: Bool { unsafe SSL_pending(record.pointee.ssl) > 0 }

    public var hasReceivedCloseNotify: Bool {
        unsafe SSL_get_shutdown(record.pointee.ssl) & SSL_RECEIVED_SHUTDOWN != 0
    }

    // MARK: What the handshake settled

    public var isEstablished: Bool { unsafe record.pointee.isEstablished }

    /// Whether the peer showed a certificate, now or in the session that this one resumed.
    public var hasPeer: Bool { unsafe SSL_get0_peer_certificate(record.pointee.ssl) != nil }

    /// Of the peer's certificate; nil if it has shown none.
    public var peerFingerprint: PeerFingerprint? {
        guard let certificate = unsafe SSL_get0_peer_certificate(record.pointee.ssl) else { return nil }
        return unsafe Digest(of: certificate).map { PeerFingerprint(digest: $0) }
    }

    /// The peer's certificate (RFC 7468); nil if it has shown none. Built at each call.
    public var peerCertificatePEM: [UInt8]? {
        guard let certificate = unsafe SSL_get0_peer_certificate(record.pointee.ssl),
            let output = MemoryBIO(),
            unsafe PEM_write_bio_X509(output.bio, certificate) == 1
        else { return nil }
        return output.bytes
    }

    /// Built at each call.
    public var peer: PeerIdentity? {
        guard let certificate = unsafe SSL_get0_peer_certificate(record.pointee.ssl) else { return nil }
        return unsafe PeerIdentity(
            certificate: CertificateInfo(certificate), isVerified: record.pointee.context.verifiesPeers)
    }

    public var applicationProtocol: ApplicationProtocol {
        let name = selectedProtocol
        if name.isEmpty { return .none }
        if name.equals("h2") { return .http2 }
        return name.equals("http/1.1") ? .http11 : .other
    }

    /// Empty when there is none.
    public var applicationProtocolName: String { selectedProtocol.text }

    private var selectedProtocol: ByteView {
        var name: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        unsafe SSL_get0_alpn_selected(record.pointee.ssl, &name, &count)
        return unsafe ByteView(UnsafeRawBufferPointer(start: name, count: Int(count)))
    }

    /// The name that the client asked for (SNI).
    public var serverName: String? {
        guard let name = unsafe SSL_get_servername(record.pointee.ssl, TLSEXT_NAMETYPE_host_name) else {
            return nil
        }
        return unsafe String(cString: name)
    }

    public var isVersion13: Bool { unsafe SSL_version(record.pointee.ssl) == TLS1_3_VERSION }

    /// `TLSv1.3` or `TLSv1.2`.
    public var version: String {
        guard let name = unsafe SSL_get_version(record.pointee.ssl) else { return "" }
        return unsafe String(cString: name)
    }

    /// OpenSSL's name of the cipher suite; empty before there is one.
    public var cipherSuite: String {
        guard let cipher = unsafe SSL_get_current_cipher(record.pointee.ssl) else { return "" }
        guard let name = unsafe SSL_CIPHER_get_name(cipher) else { return "" }
        return unsafe String(cString: name)
    }

    /// Of the session, in hexadecimal and lower case; empty if it has none, as in TLS 1.3 always.
    public var sessionID: String {
        guard !isVersion13, let session = unsafe SSL_get_session(record.pointee.ssl) else { return "" }
        var count: UInt32 = 0
        let bytes = unsafe SSL_SESSION_get_id(session, &count)
        return unsafe hexadecimal(UnsafeBufferPointer(start: bytes, count: Int(count)))
    }

    public var isResumed: Bool { unsafe SSL_session_reused(record.pointee.ssl) == 1 }

    /// The failure in full, with what the peer showed. Text from the peer is printable ASCII, and bounded.
    public func explain(_ failure: TLSFailure) -> String {
        let detail = unsafe record.pointee.detail
        return unsafe detail.isEmpty || record.pointee.failure != failure ? failure.text : detail
    }

    // MARK: Helpers

    @inline(__always) private func enter() {
        if unsafe record.pointee.window.pointee.outputOwner != record { takeOverOutput() }
        ErrorQueue.clear()
    }

    @inline(never) private func takeOverOutput() {
        let window = unsafe record.pointee.window
        if let previous = unsafe window.pointee.outputOwner, unsafe window.pointee.outputCount > 0 {
            unsafe previous.pointee.heldOutput += previous.pointee.transport.output.bytes
        }
        unsafe window.pointee.dropOutput()
        unsafe window.pointee.outputOwner = record
        if unsafe !record.pointee.heldOutput.isEmpty {
            unsafe record.pointee.heldOutput.withByteView { held in
                // Without memory the stream has a hole, at which the peer breaks off.
                _ = unsafe window.pointee.write(held.pointer, count: held.count)
            }
            unsafe record.pointee.heldOutput = []
        }
    }

    private func outcome(_ result: CInt) -> TLSReadResult {
        switch unsafe SSL_get_error(record.pointee.ssl, result) {
        case SSL_ERROR_WANT_READ: .wantsInput
        case SSL_ERROR_ZERO_RETURN: .closed
        default: .failed(fail(.takeFromQueue()))
        }
    }

    /// The first failure is the cause, and stays.
    private func fail(_ failure: TLSFailure) -> TLSFailure { unsafe record.pointee.fail(failure) }
}

/// What belongs to a session beside OpenSSL's own data.
@safe struct SessionRecord {
    /// The one that OpenSSL reserves for applications.
    static let exDataIndex: CInt = 0

    let ssl: OpaquePointer
    let window: UnsafeMutablePointer<TransportWindow>
    let context: TLSContext
    let transport: TLSTransport
    let cache: TLSSessionCache?
    let resumptionKey: UInt64
    /// The peer's certificate must be for it.
    let peerName: String?
    /// The handshake is done. OpenSSL's own answer is another: it says no again during a key update.
    var isEstablished = false
    /// Of the peer's whole chain, when it was verified.
    var peerValidity = Validity.always
    /// What was not taken from the transport before another session was driven.
    var heldOutput: [UInt8] = []
    private(set) var failure: TLSFailure?
    private(set) var detail = ""

    init(
        ssl: OpaquePointer, context: TLSContext, transport: TLSTransport, cache: TLSSessionCache?,
        resumptionKey: UInt64, peerName: String?
    ) {
        self.peerName = peerName
        unsafe (self.ssl, self.window) = (ssl, transport.window)
        (self.context, self.transport) = (context, transport)
        (self.cache, self.resumptionKey) = (cache, resumptionKey)
    }

    /// Seconds since 1970.
    var now: Int64 { unsafe window.pointee.wallClockSeconds }

    /// How much plaintext the next record takes. The place for records that start small and grow.
    var nextRecordMax: Int { TLSSession.recordMax }

    @discardableResult mutating func fail(_ failure: TLSFailure, _ detail: String = "") -> TLSFailure {
        if let first = self.failure { return first }
        (self.failure, self.detail) = (failure, detail)
        return failure
    }

    @unsafe static func of(_ ssl: OpaquePointer?) -> UnsafeMutablePointer<SessionRecord>? {
        guard let ssl = unsafe ssl, let data = unsafe SSL_get_ex_data(ssl, exDataIndex) else { return nil }
        return unsafe data.assumingMemoryBound(to: SessionRecord.self)
    }
}
