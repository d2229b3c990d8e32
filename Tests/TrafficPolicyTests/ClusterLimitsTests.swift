import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct ClusterLimitsTests {
    @Test("Without a budget three retries may be in flight")
    func retriesInFlight() {
        let limits = ClusterLimits(.envoyDefault)
        #expect((0..<5).count { _ in limits.admitRetry(at: .zero) } == 3)
        #expect(limits.isRetryOpen(at: .zero) && limits.retriesMax == 3)
        limits.retryEnded()
        #expect(limits.admitRetry(at: .zero))
        #expect(
            limits.connections.max == 1024 && limits.pendingRequests.max == 1024
                && limits.requests.max == 1024)
    }

    @Test("Envoy's budget grows with the requests that are active or pending")
    func concurrencyBudget() {
        var settings = ClusterLimitSettings.envoyDefault
        settings.retryBudget = .envoyDefault
        let limits = ClusterLimits(settings)
        #expect((0..<5).count { _ in limits.admitRetry(at: .zero) } == 3)
        for _ in 0..<30 { #expect(limits.requests.tryAcquire() == true) }
        for _ in 0..<20 { #expect(limits.pendingRequests.tryAcquire() == true) }
        #expect(limits.retriesMax == 10)
        #expect((0..<20).count { _ in limits.admitRetry(at: .zero) } == 7)
    }

    @Test("The mesh's budget is the only guard of its retries")
    func windowedBudget() {
        let limits = ClusterLimits(.meshDefault)
        for _ in 0..<100 { limits.requestStarted(at: .zero) }
        #expect((0..<50).count { _ in limits.admitRetry(at: .zero) } == 20)
        #expect(limits.isRetryOpen(at: .zero) && limits.retries.current == 20)
        for _ in 0..<20 { limits.retryEnded() }
        #expect(!limits.admitRetry(at: .zero), "what was retried stays in the window when it has ended")
        #expect(limits.retries.current == 0)
    }
}
