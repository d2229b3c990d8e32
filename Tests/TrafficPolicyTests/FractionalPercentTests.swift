import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct FractionalPercentTests {
    @Test("Nothing and everything are certain and draw nothing")
    func ends() {
        var random = SeededRandom(seed: 1)
        let before = random
        for _ in 0..<100 {
            #expect(!FractionalPercent.never.draw(&random) && FractionalPercent.always.draw(&random))
            #expect(FractionalPercent(10_001, of: .tenThousand).draw(&random))
        }
        var (left, right) = (before, random)
        #expect(left.next() == right.next())
    }

    @Test(
        "A share comes as often as it says",
        arguments: [(25, .hundred), (500, .tenThousand), (300_000, .million)]
            as [(UInt32, FractionalPercent.Denominator)])
    func share(numerator: UInt32, denominator: FractionalPercent.Denominator) {
        var random = SeededRandom(seed: 2)
        let fraction = FractionalPercent(numerator, of: denominator)
        let hits = (0..<100_000).count { _ in fraction.draw(&random) }
        let expected = 100_000 * Double(numerator) / Double(denominator.value)
        // Four standard deviations.
        let deviation = (expected * (1 - expected / 100_000)).squareRoot()
        #expect(abs(Double(hits) - expected) < 4 * deviation)
    }
}
