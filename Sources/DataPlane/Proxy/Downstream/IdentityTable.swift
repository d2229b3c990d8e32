import TLSEngine

/// Who the peers of this worker's connections are: one entry for each certificate, as long as a connection uses it, and
/// for some time after, since whoever came will come again.
struct IdentityTable {
    /// Entries that no connection uses.
    private static let unusedMax = 256

    private struct Entry {
        let fingerprint: PeerFingerprint
        let identity: PeerIdentity
        var uses: Int
    }

    private var entries: [Entry?] = []
    private var vacant: [Int32] = []
    private var indices: [PeerFingerprint: Int32] = [:]
    /// Entries without uses, oldest first; some of them have been used again.
    private var unused: [Int32] = []

    /// The index of the session's peer, for one more connection; -1 if it has shown no certificate.
    mutating func use(_ session: TLSSession) -> Int32 {
        guard let fingerprint = session.peerFingerprint else { return -1 }
        if let known = indices[fingerprint] {
            entries[Int(known)]?.uses += 1
            return known
        }
        guard let identity = session.peer else { return -1 }
        let entry = Entry(fingerprint: fingerprint, identity: identity, uses: 1)
        let index = vacant.popLast() ?? Int32(entries.count)
        if Int(index) == entries.count { entries.append(entry) } else { entries[Int(index)] = entry }
        indices[fingerprint] = index
        return index
    }

    /// The connection has ended.
    mutating func release(_ index: Int32) {
        guard index >= 0, let uses = entries[Int(index)]?.uses else { return }
        entries[Int(index)]?.uses = uses - 1
        guard uses == 1, !unused.contains(index) else { return }
        unused.append(index)
        if unused.count > Self.unusedMax { drop(unused.removeFirst()) }
    }

    private mutating func drop(_ index: Int32) {
        guard let entry = entries[Int(index)], entry.uses == 0 else { return }
        indices[entry.fingerprint] = nil
        entries[Int(index)] = nil
        vacant.append(index)
    }

    subscript(_ index: Int32) -> PeerIdentity? { index < 0 ? nil : entries[Int(index)]?.identity }
}
