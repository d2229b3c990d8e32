import COpenSSL
import Glibc
import MeshPrimitives

/// The memory through which the sessions of one worker exchange ciphertext with its sockets. They share it,
/// one at a time: set the input, drive one session, take the output (and keep what remains of the input),
/// then turn to the next. Confined to its thread.
@safe public final class TLSTransport {
    /// Ciphertext that may wait in `output` before a session stops accepting plaintext. What a session must
    /// say by itself (a handshake, an alert, the answers to one window of input) comes on top.
    public static let outputMax = 256 << 10

    let window: UnsafeMutablePointer<TransportWindow>
    /// One for all sessions; each of them holds a reference. Made for the first one: to start OpenSSL takes a while, which
    /// a proxy without TLS has better use for.
    private(set) lazy var bio: OpaquePointer = unsafe makeBIO()
    private var method: OpaquePointer?
    var verifiedChains = VerifiedChains()

    public init() {
        unsafe window = .allocate(capacity: 1)
        unsafe window.initialize(to: TransportWindow())
    }

    private func makeBIO() -> OpaquePointer {
        _ = martlet_openssl_init()
        let type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK
        guard let method = unsafe BIO_meth_new(type, "memory window"), let bio = unsafe windowBIO(method)
        else {
            fatalError("out of memory")
        }
        unsafe self.method = method
        unsafe BIO_set_data(bio, window)
        unsafe BIO_set_init(bio, 1)
        return unsafe bio
    }

    deinit {
        // Sessions keep their transport alive, so that this is the last reference.
        if let method = unsafe method {
            unsafe BIO_free(bio)
            unsafe BIO_meth_free(method)
        }
        unsafe free(window.pointee.output)
        unsafe window.deallocate()
    }

    /// Seconds since 1970, against which certificates are judged. Until it is set, none is valid.
    public var wallClockSeconds: Int64 {
        get { unsafe window.pointee.wallClockSeconds }
        set { unsafe window.pointee.wallClockSeconds = newValue }
    }

    /// The ciphertext that the next session reads. The bytes must stay in place until the next call of this,
    /// or of `clearInput`.
    public func setInput(_ bytes: ByteView) {
        unsafe window.pointee.input = bytes.pointer
        unsafe window.pointee.inputCount = bytes.count
    }

    public func clearInput() { setInput(ByteView("")) }

    /// Ciphertext that the session did not consume yet: it stopped for lack of room, or is over. The bytes
    /// are those of `setInput`.
    public var remainingInput: ByteView {
        guard let start = unsafe window.pointee.input else { return ByteView("") }
        return unsafe ByteView(base: start, count: window.pointee.inputCount)
    }

    /// Ciphertext for the peer of the session that was driven last. Valid until a session is driven again.
    public var output: ByteView {
        guard let start = unsafe window.pointee.output else { return ByteView("") }
        return unsafe ByteView(base: start + window.pointee.outputStart, count: window.pointee.outputCount)
    }

    /// Forgets the first `n` bytes of `output`. What is left when another session is driven waits, in a copy,
    /// for the next call of its own session.
    public func discardOutput(_ n: Int) {
        precondition(n >= 0 && n <= (unsafe window.pointee.outputCount))
        unsafe window.pointee.outputStart += n
        if unsafe window.pointee.outputCount == 0 {
            unsafe (window.pointee.outputStart, window.pointee.outputEnd) = (0, 0)
        }
    }

    /// Of verifications of a peer's chain: how many were answered from memory, and how many were done.
    public var verifiedChainHits: UInt64 { verifiedChains.hits }
    public var verifiedChainMisses: UInt64 { verifiedChains.misses }
}

/// The part of a transport that OpenSSL's callbacks see.
@safe struct TransportWindow {
    var input: UnsafePointer<UInt8>?
    var inputCount = 0
    var output: UnsafeMutablePointer<UInt8>?
    var outputStart = 0
    var outputEnd = 0
    var outputCapacity = 0
    /// Whose bytes are in `output`.
    var outputOwner: UnsafeMutablePointer<SessionRecord>?
    var wallClockSeconds: Int64 = 0

    @inline(__always) var outputCount: Int { outputEnd &- outputStart }

    @inline(__always) mutating func read(into target: UnsafeMutableRawPointer, atMost count: Int) -> Int {
        guard let source = unsafe input, inputCount > 0, count > 0 else { return 0 }
        let taken = min(count, inputCount)
        unsafe memcpy(target, source, taken)
        unsafe input = source + taken
        inputCount &-= taken
        return taken
    }

    @inline(__always) mutating func write(_ source: UnsafeRawPointer, count: Int) -> Bool {
        if outputCapacity &- outputEnd < count {
            guard reserve(count) else { return false }
        }
        guard let output = unsafe output else { return false }
        unsafe memcpy(output + outputEnd, source, count)
        outputEnd &+= count
        return true
    }

    mutating func dropOutput() { (outputStart, outputEnd) = (0, 0) }

    @inline(never) private mutating func reserve(_ count: Int) -> Bool {
        var capacity = max(outputCapacity, 32 << 10)
        while capacity - outputEnd < count { capacity *= 2 }
        guard let larger = unsafe realloc(output, capacity) else { return false }
        unsafe output = larger.assumingMemoryBound(to: UInt8.self)
        outputCapacity = capacity
        return true
    }
}

/// Reads from the window, and asks for a retry when it is empty; writes to the output, which always succeeds.
private func windowBIO(_ method: OpaquePointer) -> OpaquePointer? {
    unsafe BIO_meth_set_read(method) { bio, target, count in
        guard let bio = unsafe bio, let target = unsafe target, let data = unsafe BIO_get_data(bio) else {
            return -1
        }
        unsafe martlet_bio_clear_retry(bio)
        let window = unsafe data.assumingMemoryBound(to: TransportWindow.self)
        let taken = unsafe window.pointee.read(into: target, atMost: Int(count))
        if taken > 0 { return CInt(taken) }
        unsafe martlet_bio_set_retry_read(bio)
        return -1
    }
    unsafe BIO_meth_set_write(method) { bio, source, count in
        guard let bio = unsafe bio, let source = unsafe source, let data = unsafe BIO_get_data(bio) else {
            return -1
        }
        unsafe martlet_bio_clear_retry(bio)
        let window = unsafe data.assumingMemoryBound(to: TransportWindow.self)
        return unsafe window.pointee.write(source, count: Int(count)) ? count : -1
    }
    unsafe BIO_meth_set_ctrl(method) { _, command, _, _ in
        command == CInt(BIO_CTRL_FLUSH) ? 1 : 0
    }
    return unsafe BIO_new(method)
}
