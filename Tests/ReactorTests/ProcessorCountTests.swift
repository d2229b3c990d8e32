import Testing

@testable import Reactor

@Suite("Processor count") struct ProcessorCountTests {
    @Test("There is at least one processor, and no more than are allowed")
    func available() { #expect(ProcessorCount.available() >= 1) }

    @Test("The tightest quota of a group and its parents counts, rounded up")
    func unifiedQuota() {
        let files = [
            "/sys/fs/cgroup/a/b/cpu.max": "max 100000\n", "/sys/fs/cgroup/a/cpu.max": "250000 100000\n",
            "/sys/fs/cgroup/cpu.max": "800000 100000\n",
        ]
        #expect(ProcessorCount.quota(groups: "0::/a/b\n") { files[$0] } == 3)
        #expect(ProcessorCount.quota(groups: "0::/elsewhere\n") { files[$0] } == 8)
    }

    @Test("A quota of version 1 is found by the names of its controllers")
    func legacyQuota() {
        let files = [
            "/sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us": "50000\n",
            "/sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000\n",
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        ]
        let groups = "12:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/\n"
        #expect(ProcessorCount.quota(groups: groups) { files[$0] } == 1)
    }

    @Test(
        "Without quotas, and with files that say nothing, there is no limit",
        arguments: ["", "x y\n", "0 0\n"])
    func noQuota(text: String) {
        #expect(ProcessorCount.quota(groups: "0::/\nnonsense\n") { _ in text } == nil)
        #expect(ProcessorCount.quota(groups: "") { _ in nil } == nil)
    }
}
