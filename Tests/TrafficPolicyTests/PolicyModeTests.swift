import Testing
import TrafficPolicy

@Suite struct PolicyModeTests {
    @Test("In shadow mode a decision is there and is not acted on")
    func modes() {
        #expect(PolicyMode.enforce.ruling(503).effective(otherwise: 200) == 503)
        #expect(PolicyMode.shadow.ruling(503).effective(otherwise: 200) == 200)
        #expect(PolicyMode.shadow.ruling(503).decision == 503)
        #expect(PolicyMode.allCases.map(\.decides) == [true, true, false])
    }
}
