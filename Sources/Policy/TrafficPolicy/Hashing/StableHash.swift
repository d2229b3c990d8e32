import MeshPrimitives

/// Hashes that are the same in every process and every release: what a request and an endpoint are placed by, so that
/// two proxies, Envoy's included, send the same request to the same endpoint. Neither is for secrets.
public enum StableHash {
    private static let prime1: UInt64 = 0x9e37_79b1_85eb_ca87
    private static let prime2: UInt64 = 0xc2b2_ae3d_27d4_eb4f
    private static let prime3: UInt64 = 0x1656_67b1_9e37_79f9
    private static let prime4: UInt64 = 0x85eb_ca77_c2b2_ae63
    private static let prime5: UInt64 = 0x27d4_eb2f_1656_67c5

    /// XXH64 (Yann Collet; xxHash specification 0.1.1).
    public static func xxHash64(_ bytes: ByteView, seed: UInt64 = 0) -> UInt64 {
        var index = 0
        var hash: UInt64
        if bytes.count >= 32 {
            var lanes = SIMD4<UInt64>(seed &+ prime1 &+ prime2, seed &+ prime2, seed, seed &- prime1)
            while index &+ 32 <= bytes.count {
                for lane in 0..<4 {
                    lanes[lane] = round(lanes[lane], bytes.word(at: index &+ 8 &* lane))
                }
                index &+= 32
            }
            hash = rotated(lanes[0], 1) &+ rotated(lanes[1], 7) &+ rotated(lanes[2], 12)
            hash = hash &+ rotated(lanes[3], 18)
            for lane in 0..<4 { hash = (hash ^ round(0, lanes[lane])) &* prime1 &+ prime4 }
        } else {
            hash = seed &+ prime5
        }
        hash = hash &+ UInt64(bytes.count)
        while index &+ 8 <= bytes.count {
            hash = rotated(hash ^ round(0, bytes.word(at: index)), 27) &* prime1 &+ prime4
            index &+= 8
        }
        if index &+ 4 <= bytes.count {
            let word = UInt64(bytes.halfWord(at: index))
            hash = rotated(hash ^ word &* prime1, 23) &* prime2 &+ prime3
            index &+= 4
        }
        while index < bytes.count {
            hash = rotated(hash ^ UInt64(bytes[index]) &* prime5, 11) &* prime1
            index &+= 1
        }
        hash = (hash ^ hash >> 33) &* prime2
        hash = (hash ^ hash >> 29) &* prime3
        return hash ^ hash >> 32
    }

    /// MurmurHash64A with the seed that GNU's `std::hash` has, which is Envoy's too.
    public static func murmur2(_ bytes: ByteView, seed: UInt64 = 0xc70f_6907) -> UInt64 {
        let factor: UInt64 = 0xc6a4_a793_5bd1_e995
        var hash = seed ^ UInt64(bytes.count) &* factor
        var index = 0
        while index &+ 8 <= bytes.count {
            let word = bytes.word(at: index) &* factor
            hash = (hash ^ (word ^ word >> 47) &* factor) &* factor
            index &+= 8
        }
        if index < bytes.count {
            var rest: UInt64 = 0
            for place in index..<bytes.count { rest |= UInt64(bytes[place]) << UInt64(8 &* (place &- index)) }
            hash = (hash ^ rest) &* factor
        }
        hash = (hash ^ hash >> 47) &* factor
        return hash ^ hash >> 47
    }

    @inline(__always) private static func rotated(_ value: UInt64, _ by: UInt64) -> UInt64 {
        value << by | value >> (64 &- by)
    }

    @inline(__always) private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        rotated(lane &+ word &* prime2, 31) &* prime1
    }
}
