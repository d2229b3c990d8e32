/// MT19937 (Matsumoto and Nishimura 1998), since a sequence that a hash decides is to be the same as Envoy's.
struct MersenneTwister {
    private static let length = 624

    private var words = InlineArray<624, UInt32>(repeating: 0)
    private var next = length

    init(seed: UInt32) {
        words[0] = seed
        for index in 1..<Self.length {
            let before = words[index - 1]
            words[index] = 1_812_433_253 &* (before ^ before >> 30) &+ UInt32(index)
        }
    }

    mutating func draw() -> UInt32 {
        if next == Self.length { turn() }
        var word = words[next]
        next += 1
        word ^= word >> 11
        word ^= word << 7 & 0x9d2c_5680
        word ^= word << 15 & 0xefc6_0000
        return word ^ word >> 18
    }

    /// Below `bound`, which is above 0, each with the same probability.
    mutating func below(_ bound: UInt32) -> UInt32 {
        let part = (UInt64(UInt32.max) + 1) / UInt64(bound)
        while true {
            let number = UInt64(draw()) / part
            if number < UInt64(bound) { return UInt32(number) }
        }
    }

    private mutating func turn() {
        for index in 0..<Self.length {
            let upper = words[index] & 0x8000_0000
            let lower = words[(index + 1) % Self.length] & 0x7fff_ffff
            let mixed = upper | lower
            let odd: UInt32 = mixed & 1 == 0 ? 0 : 0x9908_b0df
            words[index] = words[(index + 397) % Self.length] ^ mixed >> 1 ^ odd
        }
        next = 0
    }
}
