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
        /// As `x-forwarded-client-cert` has it, once somebody has asked.
        var certificate: [UInt8] = []
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

    /// The whole certificate as PEM, with what may not stand in a field escaped; empty if there is none.
    mutating func certificate(_ index: Int32, of session: TLSSession) -> [UInt8] {
        guard index >= 0, let known = entries[Int(index)]?.certificate else { return [] }
        if !known.isEmpty { return known }
        let made = session.peerCertificatePEM.map { Self.escaped($0) } ?? []
        entries[Int(index)]?.certificate = made
        return made
    }

    /// Percent-encoded like Envoy's: line ends, spaces and those signs of base64 that are neither letters nor digits.
    static func escaped(_ pem: [UInt8]) -> [UInt8] {
        pem.flatMap { byte in
            switch byte {
            case UInt8(ascii: "\n"): Array("%0A".utf8)
            case UInt8(ascii: " "): Array("%20".utf8)
            case UInt8(ascii: "+"): Array("%2B".utf8)
            case UInt8(ascii: "/"): Array("%2F".utf8)
            case UInt8(ascii: "="): Array("%3D".utf8)
            default: [byte]
            }
        }
    }

    subscript(_ index: Int32) -> PeerIdentity? { index < 0 ? nil : entries[Int(index)]?.identity }
}
