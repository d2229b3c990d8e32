import Testing

@testable import ConfigCompiler

@Suite struct WorkloadRegistryTests {
    let start = ContinuousClock.now
    let workload: Workload

    init() throws { workload = try #require(Workload(Bench.node("orders"))) }

    @Test("A workload leaves a moment after its stream, and not at all if it comes back")
    func grace() {
        var registry = WorkloadRegistry()
        let answer1 = registry.connected(workload, stream: 1)
        #expect(answer1)
        registry.disconnected(workload.id, stream: 1, now: start)
        let answer2 = registry.expire(now: start)
        #expect(!answer2)
        let answer3 = registry.connected(workload, stream: 2)
        #expect(!answer3)
        #expect(registry.nextExpiry == nil)
        registry.disconnected(workload.id, stream: 2, now: start)
        let answer4 = registry.expire(now: start.advanced(by: WorkloadRegistry.grace))
        #expect(answer4)
        #expect(registry.workloads.isEmpty)
    }

    @Test("The end of a stream that was replaced says nothing")
    func replaced() {
        var registry = WorkloadRegistry()
        _ = registry.connected(workload, stream: 1)
        _ = registry.connected(workload, stream: 2)
        registry.disconnected(workload.id, stream: 1, now: start)
        #expect(registry.nextExpiry == nil)
        #expect(registry.workloads == [workload])
    }

    @Test("After a restart the workloads of before stay until they had time to come back")
    func restored() {
        var registry = WorkloadRegistry(restoring: [workload], now: start)
        let answer5 = registry.expire(now: start.advanced(by: .seconds(29)))
        #expect(!answer5)
        let answer6 = registry.expire(now: start.advanced(by: .seconds(30)))
        #expect(answer6)
    }
}
