import COpenSSL
import Synchronization

/// Sessions that callers may resume, for servers on all threads. A caller's ticket is a mere name of one: to unseal a
/// session from a ticket, OpenSSL decodes the peer's certificate and key again, which costs most of what a resumption
/// saves. The newest of each peer are kept, and so many in all; where there are more, those of the peer that was
/// heard of least recently go. Lost with the process, and then a full handshake follows.
@safe public final class TLSServerSessions: Hashable, Sendable {
    /// Sessions of a peer with a certificate, each of whose threads has tickets of its own.
    private static let perPeerMax = 64
    /// Of all those without one together.
    private static let anonymousMax = 1024
    public let countMax: Int

    @safe private struct Entry: @unchecked Sendable {
        let session: OpaquePointer
        let terms: ResumptionTerms
    }

    private struct Peer {
        /// Names of its sessions, oldest first.
        var names: [SessionName] = []
        var lastUsed: UInt64 = 0
    }

    private struct State {
        var entries: [SessionName: Entry] = [:]
        /// By the digest of their certificates; nil for those that have none.
        var peers: [Digest?: Peer] = [:]
        var clock: UInt64 = 0
    }

    private let state = Mutex(State())

    /// A session takes about 1 KB, and 4 KB more with a certificate that no other one has.
    public init(countMax: Int = 4096) {
        precondition(countMax > 0)
        self.countMax = countMax
    }

    deinit {
        state.withLock { state in
            for entry in state.entries.values { unsafe SSL_SESSION_free(entry.session) }
        }
    }

    public var count: Int { state.withLock { $0.entries.count } }

    public static func == (left: TLSServerSessions, right: TLSServerSessions) -> Bool { left === right }
    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }

    /// Takes over a reference to `session`; false, and nothing is taken, if it has no name.
    func store(_ session: OpaquePointer, terms: ResumptionTerms) -> Bool {
        guard let name = unsafe SessionName(of: session) else { return false }
        let peer = unsafe SSL_SESSION_get0_peer(session).flatMap { unsafe Digest(of: $0) }
        let entry = unsafe Entry(session: session, terms: terms)
        let dropped = state.withLock { state in
            state.clock += 1
            var dropped = [state.entries.updateValue(entry, forKey: name)]
            if dropped[0] == nil {
                if state.entries.count > countMax { dropped += Self.dropOldestPeer(&state) }
                state.peers[peer, default: Peer()].names.append(name)
                let max = peer == nil ? Self.anonymousMax : Self.perPeerMax
                if let names = state.peers[peer]?.names, names.count > max {
                    state.peers[peer]?.names.removeFirst()
                    dropped.append(state.entries.removeValue(forKey: names[0]))
                }
            }
            state.peers[peer]?.lastUsed = state.clock
            return dropped
        }
        for entry in dropped { if let entry { unsafe SSL_SESSION_free(entry.session) } }
        return true
    }

    private static func dropOldestPeer(_ state: inout State) -> [Entry?] {
        guard let oldest = state.peers.min(by: { $0.value.lastUsed < $1.value.lastUsed }) else { return [] }
        state.peers[oldest.key] = nil
        return oldest.value.names.map { state.entries.removeValue(forKey: $0) }
    }

    /// A session of that name that was made under the same conditions and may still be used, with a reference for the
    /// caller.
    @unsafe func session(_ name: SessionName, under conditions: Digest, at now: Int64) -> (
        OpaquePointer, ResumptionTerms
    )? {
        let found: Entry? = state.withLock { state in
            guard let entry = state.entries[name], entry.terms.conditions == conditions,
                entry.terms.validity.contains(now), unsafe SSL_SESSION_up_ref(entry.session) == 1
            else { return nil }
            return entry
        }
        return unsafe found.map { unsafe ($0.session, $0.terms) }
    }
}

/// A session's id as OpenSSL makes it: up to 32 random bytes.
struct SessionName: Hashable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    private let count: UInt8

    static func == (left: SessionName, right: SessionName) -> Bool {
        left.words == right.words && left.count == right.count
    }

    /// Random already, so that any part of it is a hash.
    func hash(into hasher: inout Hasher) { hasher.combine(words.0) }

    /// nil if it is empty, or longer than an id can be.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 0, bytes.count <= 32 else { return nil }
        count = UInt8(bytes.count)
        unsafe withUnsafeMutableBytes(of: &words) { unsafe $0.copyMemory(from: bytes) }
    }

    init?(of session: OpaquePointer) {
        var count: UInt32 = 0
        let bytes = unsafe SSL_SESSION_get_id(session, &count)
        unsafe self.init(UnsafeRawBufferPointer(start: bytes, count: Int(count)))
    }
}
