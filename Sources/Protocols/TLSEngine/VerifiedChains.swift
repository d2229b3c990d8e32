import COpenSSL

/// Chains that were verified before, so that the next connection with the same chain costs a few hashes
/// instead of signatures. Holds for the content of chain, trust bundle and purpose, up to the earliest
/// `notAfter`; says nothing about names. When full, the oldest entry goes.
struct VerifiedChains {
    static let countMax = 1024
    /// Certificates of so many chains are kept, of the newest, at about 7 KB each.
    static let certificatesMax = 128

    private var validities: [Digest: Validity] = [:]
    /// The certificates as they were when the chain came for the first time, for all sessions with peers that show it.
    private var certificates: [Digest: SharedCertificates] = [:]
    /// Rings: the oldest entry is the next to go once they are full.
    private var order = Ring(countMax: VerifiedChains.countMax)
    private var certificateOrder = Ring(countMax: VerifiedChains.certificatesMax)
    private(set) var hits: UInt64 = 0
    private(set) var misses: UInt64 = 0

    private struct Ring {
        let countMax: Int
        private var digests: [Digest] = []
        private var next = 0

        init(countMax: Int) { self.countMax = countMax }

        /// The one that has to go for it.
        mutating func insert(_ digest: Digest) -> Digest? {
            if digests.count < countMax {
                digests.append(digest)
                return nil
            }
            let oldest = digests[next]
            digests[next] = digest
            next = (next + 1) % countMax
            return oldest
        }
    }

    var count: Int { validities.count }
    var certificatesCount: Int { certificates.count }

    /// When the chain is valid, if it is known and `now` lies within.
    mutating func validity(of chain: Digest, at now: Int64) -> Validity? {
        guard let validity = validities[chain], validity.contains(now) else {
            misses += 1
            return nil
        }
        hits += 1
        return validity
    }

    mutating func insert(_ chain: Digest, _ validity: Validity) {
        guard validities.updateValue(validity, forKey: chain) == nil else { return }
        if let oldest = order.insert(chain) { validities[oldest] = nil }
    }

    /// Puts the certificates of an earlier session with the same chain in the place of those in `list`, which are what a
    /// session keeps: parsed they take 7 KB, a third of all that an idle session does.
    @unsafe mutating func share(_ chain: Digest, _ list: OpaquePointer) {
        if let known = certificates[chain] { return unsafe known.replace(list) }
        guard let shared = unsafe SharedCertificates(list) else { return }
        certificates[chain] = shared
        if let oldest = certificateOrder.insert(chain) { certificates[oldest] = nil }
    }
}

/// Holds a reference to each certificate of a chain.
@safe private final class SharedCertificates {
    private let list: OpaquePointer

    /// nil when memory ran out.
    @unsafe init?(_ others: OpaquePointer) {
        guard let list = unsafe martlet_certificates_new() else { return nil }
        unsafe self.list = list
        for index in 0..<(unsafe martlet_certificates_count(others)) {
            guard let certificate = unsafe martlet_certificates_at(others, index),
                unsafe martlet_certificates_push(list, certificate) == 1
            else { return nil }
        }
    }

    deinit { unsafe martlet_certificates_free(list) }

    @unsafe func replace(_ others: OpaquePointer) {
        let count = unsafe martlet_certificates_count(others)
        guard unsafe count == martlet_certificates_count(list) else { return }
        for index in 0..<count {
            guard let certificate = unsafe martlet_certificates_at(list, index) else { return }
            _ = unsafe martlet_certificates_replace(others, index, certificate)
        }
    }
}
