import MeshPrimitives
import Testing

struct SeededRandomTests {
    @Test("A seed gives the same numbers each time, another seed others")
    func repeatable() {
        var (first, second, other) = (SeededRandom(seed: 1), SeededRandom(seed: 1), SeededRandom(seed: 2))
        let numbers = (0..<100).map { _ in first.next() }
        #expect(numbers == (0..<100).map { _ in second.next() })
        #expect(numbers != (0..<100).map { _ in other.next() })
        #expect(Set(numbers).count == 100)
    }

    @Test("The numbers are those of SplitMix64")
    func reference() {
        // From the authors' implementation, seeded with 0.
        var random = SeededRandom(seed: 0)
        #expect(random.next() == 0xe220_a839_7b1d_cdaf)
    }

    @Test("Numbers below a bound are below it, and about even")
    func bound() {
        var random = SeededRandom(seed: 3)
        var counts = [Int](repeating: 0, count: 10)
        for _ in 0..<10_000 { counts[Int(random.below(10))] += 1 }
        #expect(counts.allSatisfy { $0 > 850 && $0 < 1150 })
        #expect((0..<100).allSatisfy { _ in random.below(1) == 0 })
        #expect((0..<100).allSatisfy { _ in random.below(.max) < .max })
    }
}
