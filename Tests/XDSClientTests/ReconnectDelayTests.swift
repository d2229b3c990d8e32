import MeshPrimitives
import Testing

@testable import XDSClient

@Suite("ReconnectDelay")
struct ReconnectDelayTests {
    @Test("Delays double up to the bound, within their random half, and begin anew after a success")
    func growth() {
        var random = SeededRandom(seed: 1)
        for _ in 0..<100 {
            var delay = ReconnectDelay()
            for bound in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
                let wait = delay.next(using: &random)
                #expect(wait >= .milliseconds(bound / 2) && wait <= .milliseconds(bound))
            }
            for _ in 0..<50 { #expect(delay.next(using: &random) <= .seconds(30)) }
            delay.succeeded()
            #expect(delay.next(using: &random) <= .milliseconds(500))
        }
    }
}
