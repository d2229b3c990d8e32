/// Chains that were verified before, so that the next connection with the same chain costs a few hashes
/// instead of signatures. Holds for the content of chain, trust bundle and purpose, up to the earliest
/// `notAfter`; says nothing about names. When full, the oldest entry goes.
struct VerifiedChains {
    static let countMax = 1024

    private var validities: [Digest: Validity] = [:]
    /// A ring: the oldest entry is at `next` once it is full.
    private var order: [Digest] = []
    private var next = 0
    private(set) var hits: UInt64 = 0
    private(set) var misses: UInt64 = 0

    var count: Int { validities.count }

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
        if order.count < Self.countMax {
            order.append(chain)
        } else {
            validities[order[next]] = nil
            order[next] = chain
            next = (next + 1) % Self.countMax
        }
    }
}
