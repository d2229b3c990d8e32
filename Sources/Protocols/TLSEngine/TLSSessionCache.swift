import COpenSSL

/// Sessions that a client may resume, by a key of the caller's choice (endpoint and context, say); the newest
/// of each key. Confined to its thread. When full, the oldest key goes.
@safe public final class TLSSessionCache {
    @safe private struct Entry {
        let session: OpaquePointer
        let terms: ResumptionTerms
    }

    public let countMax: Int
    private var entries: [UInt64: Entry] = [:]
    /// A ring: the oldest key is at `next` once it is full.
    private var order: [UInt64] = []
    private var next = 0

    /// A session takes about 5 KB.
    public init(countMax: Int = 256) {
        precondition(countMax > 0)
        self.countMax = countMax
    }

    deinit {
        for entry in entries.values { unsafe SSL_SESSION_free(entry.session) }
    }

    public var count: Int { entries.count }

    /// Takes over a reference to `session`.
    func store(_ session: OpaquePointer, terms: ResumptionTerms, for key: UInt64) {
        let entry = unsafe Entry(session: session, terms: terms)
        if let previous = entries.updateValue(entry, forKey: key) {
            return unsafe SSL_SESSION_free(previous.session)
        }
        if order.count < countMax {
            order.append(key)
        } else {
            if let oldest = entries.removeValue(forKey: order[next]) {
                unsafe SSL_SESSION_free(oldest.session)
            }
            order[next] = key
            next = (next + 1) % countMax
        }
    }

    /// A session that was made under the same conditions and may still be used; it stays the cache's.
    @unsafe func session(for key: UInt64, under conditions: Digest, at now: Int64) -> (
        OpaquePointer, ResumptionTerms
    )? {
        guard let entry = entries[key], entry.terms.conditions == conditions,
            entry.terms.validity.contains(now),
            unsafe SSL_SESSION_is_resumable(entry.session) == 1
        else { return nil }
        return unsafe (entry.session, entry.terms)
    }
}

/// Under what a session came about: it is resumed under the same only.
struct ResumptionTerms: Equatable {
    /// Of the context: its certificate, its trust.
    let conditions: Digest
    /// Of the peer's whole chain.
    let validity: Validity
}
