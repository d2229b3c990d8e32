import HealthChecks
import MeshPrimitives
import Testing

@Suite("Clusters that come later are used once their endpoints have been asked")
struct ClusterWarmingTests {
    private let start = MonotonicInstant.zero

    private func update(
        _ warming: inout ClusterWarming, _ names: [String], isServing: Bool = true, after seconds: Int64 = 0,
        checked: Set<String> = []
    ) -> ClusterWarming.Outcome {
        warming.update(
            names.map { ($0, hasChecks: !$0.hasPrefix("plain")) }, isServing: isServing,
            at: start.advanced(by: .seconds(seconds))
        ) { checked.contains($0) }
    }

    @Test("What is there at the start is used, and stays in use")
    func atStart() {
        var warming = ClusterWarming()
        #expect(update(&warming, ["a", "plain"], isServing: false).warming.isEmpty)
        #expect(update(&warming, ["a", "plain"]).warming.isEmpty)
    }

    @Test("A new cluster waits for its first checks, one without checks does not")
    func new() {
        var warming = ClusterWarming()
        _ = update(&warming, ["a"], isServing: false)
        let first = update(&warming, ["a", "b", "plain"])
        #expect(first.warming == ["b"] && first.begun == ["b"])
        let second = update(&warming, ["a", "b", "plain"], after: 1)
        #expect(second.warming == ["b"] && second.begun.isEmpty && warming.isWarming("b"))
        #expect(update(&warming, ["a", "b", "plain"], after: 2, checked: ["b"]) == .init())
        // Checked or not, from now on it is in use.
        #expect(update(&warming, ["a", "b", "plain"], after: 3) == .init())
    }

    @Test("It is not waited for longer than a time, and begins anew when it was away")
    func expired() {
        var warming = ClusterWarming()
        _ = update(&warming, ["a"], isServing: false)
        _ = update(&warming, ["a", "b"])
        let late = update(&warming, ["a", "b"], after: 15)
        #expect(late.warming.isEmpty && late.expired == ["b"])
        #expect(update(&warming, ["a", "b"], after: 16) == .init())
        _ = update(&warming, ["a"], after: 17)
        #expect(update(&warming, ["a", "b"], after: 18).begun == ["b"])
    }
}
