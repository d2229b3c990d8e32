import MeshModel
import MeshPrimitives
import Reactor
import Telemetry
import Testing
import TrafficPolicy
import XDSClient

@testable import HealthChecks

@Suite("Health checks")
struct HealthChecksTests {
    private static let good = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    private static let bad = "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"

    private let loop: ControlLoop
    private let registry = StatisticsRegistry()
    private let block: CounterBlock
    private let checker: HealthChecker

    init() throws {
        let loop = try ControlLoop(kernel: LinuxKernel.make())
        self.loop = loop
        block = registry.makeBlock()
        checker = HealthChecker(
            loop: loop, resolver: NameResolver(loop: loop), counters: block.writer, log: { _, _ in },
            hasTraffic: { _ in true })
    }

    private func cluster(
        _ states: [EndpointState], _ kind: HealthCheck.Kind, isReused: Bool = true,
        settings change: (inout HealthCheckSettings) -> Void = { _ in }
    ) -> CheckedCluster {
        var settings = HealthCheckSettings(
            timeout: 500_000_000, interval: 1_000_000, unhealthyThreshold: 2, healthyThreshold: 1)
        change(&settings)
        var check = HealthCheck(settings: settings, kind: kind)
        check.reusesConnections = isReused
        return CheckedCluster(
            name: "c", check: check, set: EndpointSet(states.map { EndpointSet.Member($0) }),
            scope: registry.cluster("c"), members: states.map { CheckedCluster.Member($0) })
    }

    private func unchecked(_ address: SocketAddress) -> EndpointState {
        EndpointState(address: address, marks: .checkFailed)
    }

    private func run(_ condition: () -> Bool) {
        loop.run(until: loop.kernel.now().advanced(by: .seconds(10)), while: condition)
    }

    private func http(_ change: (inout HTTPCheck) -> Void = { _ in }) -> HealthCheck.Kind {
        var check = HTTPCheck(path: "/healthz")
        change(&check)
        return .http(check)
    }

    @Test(
        "A first check that passes makes an endpoint healthy, a status that is not expected takes it out at once"
    )
    func http1() throws {
        let endpoint = try ScriptedEndpoint(loop, answer: Self.good)
        let state = unchecked(endpoint.address)
        var ended = 0
        checker.firstChecksEnded = { ended += 1 }
        checker.update([cluster([state], http())])
        #expect(!checker.areFirstChecksDone)
        run { state.health != .healthy }
        #expect(state.health == .healthy && checker.areFirstChecksDone)
        run { endpoint.received.count < 4 }
        #expect(ended == 1 && endpoint.connections == 1)
        #expect(endpoint.received[0] == "GET /healthz HTTP/1.1\r\nhost: c\r\nuser-agent: Envoy/HC\r\n\r\n")
        endpoint.answer = Self.bad
        run { state.health == .healthy }
        #expect(state.marks == .checkFailed)
        endpoint.answer = Self.good.replacing(
            "content-length: 2", with: "x-envoy-degraded: 1\r\ncontent-length: 2")
        run { state.health != .degraded }
        #expect(state.marks == .checkDegraded)
        #expect(registry.snapshot().value("c", .healthCheckDegraded) == 1)
        checker.stop()
        #expect(state.marks.isEmpty && loop.timerCount == 0)
        endpoint.stop()
    }

    @Test("A network failure counts towards the threshold, and a time-out is shown as one")
    func failures() throws {
        let endpoint = try ScriptedEndpoint(loop, answer: Self.good)
        let state = unchecked(endpoint.address)
        checker.update([cluster([state], http()) { $0.timeout = 30_000_000 }])
        run { state.health != .healthy }
        endpoint.answer = nil
        run { state.health == .healthy }
        #expect(state.marks == [.checkFailed, .checkTimedOut])
        endpoint.answer = Self.good
        run { state.health != .healthy }
        endpoint.stop()
        run { state.health == .healthy }
        #expect(state.marks == .checkFailed)
        let statistics = registry.snapshot()
        #expect((statistics.value("c", .healthCheckNetworkFailure) ?? 0) >= 4)
        #expect(
            statistics.value("c", .healthCheckAttempt)
                == (statistics.value("c", .healthCheckSuccess) ?? 0)
                + (statistics.value("c", .healthCheckFailure) ?? 0))
        checker.stop()
    }

    @Test("An answer to a request that asked to be left out counts as a failure, until a check passes")
    func immediateFailure() throws {
        let endpoint = try ScriptedEndpoint(loop, answer: Self.good)
        let state = unchecked(endpoint.address)
        checker.update([cluster([state], http())])
        run { state.health != .healthy }
        state.mark(adding: [.excluded, .checkFailed])
        run { state.health != .healthy }
        #expect(state.marks.isEmpty && registry.snapshot().value("c", .healthCheckPassiveFailure) == 1)
        checker.stop()
        endpoint.stop()
    }

    @Test("In shadow mode an endpoint that fails is asked, counted and marked, and worth what it was")
    func shadow() throws {
        let endpoint = try ScriptedEndpoint(loop, answer: Self.bad)
        let state = EndpointState(address: endpoint.address)
        var watched = cluster([state], http())
        watched.check.mode = .shadow
        watched.passed = { _ in Issue.record("outlier detection is told nothing") }
        checker.update([watched])
        #expect(checker.areFirstChecksDone, "nobody waits")
        run { state.marks.isEmpty }
        #expect(state.marks == EndpointMarks.checkFailed.inShadow && state.health == .healthy)
        #expect((registry.snapshot().value("c", .healthCheckFailure) ?? 0) >= 1)
        endpoint.answer = Self.good
        run { !state.marks.isEmpty }
        #expect(registry.snapshot().value("c", .healthCheckHealthy) == 1 && state.healthySince == nil)

        endpoint.answer = Self.bad
        run { state.marks.isEmpty }
        checker.update([cluster([state], http())])
        #expect(state.marks == .checkFailed, "what it was worth in shadow holds once the policy is in force")
        checker.update([watched])
        #expect(state.marks == EndpointMarks.checkFailed.inShadow && state.health == .healthy)
        checker.stop()
        #expect(state.marks.isEmpty)
        endpoint.stop()
    }

    @Test("Connections are made anew where they are not to be reused, and where the endpoint closes them")
    func connections() throws {
        let endpoint = try ScriptedEndpoint(loop, answer: Self.good)
        let closing = try ScriptedEndpoint(
            loop, answer: Self.good.replacing("\r\ncontent", with: "\r\nconnection: close\r\ncontent"))
        closing.closesAfterAnswer = true
        let states = [unchecked(endpoint.address), unchecked(closing.address)]
        checker.update([cluster(states, http(), isReused: false)])
        run { endpoint.received.count < 3 || closing.received.count < 3 }
        #expect(endpoint.connections >= 3 && closing.connections >= 3)
        #expect(states.allSatisfy { $0.health == .healthy })
        checker.stop()
        endpoint.stop()
        closing.stop()
    }

    @Test("TCP: a connection suffices, or bytes are sent and others are waited for")
    func tcp() throws {
        let endpoint = try ScriptedEndpoint(loop, answer: "+PONG\r\n")
        var wanted = TCPCheck()
        (wanted.send, wanted.receive) = (Array("PING\r\n".utf8), [Array("+PO".utf8), Array("\n".utf8)])
        let (open, asked) = (unchecked(endpoint.address), unchecked(endpoint.address))
        var second = cluster([asked], .tcp(wanted)) { $0.timeout = 30_000_000 }
        second.name = "d"
        checker.update([cluster([open], .tcp(TCPCheck())), second])
        run { open.health != .healthy || asked.health != .healthy }
        #expect(open.health == .healthy && asked.health == .healthy)
        endpoint.answer = "-ERR\r\n"
        run { asked.health == .healthy }
        #expect(asked.marks.contains(.checkTimedOut) && open.health == .healthy)
        checker.stop()
        endpoint.stop()
    }

    @Test("What is answered is not HTTP, or too long: the endpoint says itself that it is not well")
    func nonsense() throws {
        let endpoint = try ScriptedEndpoint(loop, answer: Self.good)
        let state = unchecked(endpoint.address)
        checker.update([cluster([state], http()) { $0.unhealthyThreshold = 1000 }])
        for answer in [
            "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n" + String(repeating: "x", count: 2 << 20),
        ] {
            endpoint.answer = Self.good
            run { state.health != .healthy }
            endpoint.answer = answer
            run { state.health == .healthy }
            #expect(state.marks == .checkFailed)
        }
        checker.stop()
        endpoint.stop()
    }

    @Test("No more checks than there are places are under way; all endpoints get theirs")
    func bound() throws {
        let endpoint = try ScriptedEndpoint(loop, answer: Self.good)
        let states = (0..<HealthChecker.checksMax + 40).map { _ in unchecked(endpoint.address) }
        checker.update([cluster(states, http()) { $0.interval = 10_000_000_000 }])
        run { !checker.areFirstChecksDone }
        #expect(states.allSatisfy { $0.health == .healthy })
        #expect(endpoint.connections == states.count)
        checker.stop()
        endpoint.stop()
    }

    @Test("An endpoint that goes has to be checked when it comes back; one that stays is not asked anew")
    func membership() throws {
        let endpoint = try ScriptedEndpoint(loop, answer: Self.good)
        let states = [unchecked(endpoint.address), unchecked(endpoint.address)]
        let slow = { (settings: inout HealthCheckSettings) in settings.interval = 10_000_000_000 }
        checker.update([cluster(states, http(), settings: slow)])
        run { !checker.areFirstChecksDone }
        checker.update([cluster([states[0]], http(), settings: slow)])
        #expect(states[0].health == .healthy && states[1].marks == .checkFailed)
        #expect(checker.areFirstChecksDone && endpoint.received.count == 2)
        checker.stop()
        endpoint.stop()
    }

    @Test("Messages of gRPC's health checking are written and read")
    func grpcMessages() {
        #expect(GRPCProbe.request("") == [] && GRPCProbe.request("a.B") == [0x0A, 3, 0x61, 0x2E, 0x42])
        #expect(GRPCProbe.request(String(repeating: "x", count: 200)).prefix(3) == [0x0A, 0xC8, 1])
        #expect(GRPCProbe.status([8, 1]) == 1 && GRPCProbe.status([]) == 0)
        #expect(GRPCProbe.status([0x12, 1, 0xFF, 8, 2]) == 2)
        for broken: [UInt8] in [[8], [8, 0x80], [0x12, 5, 1], [0x0F, 1], [0x0D, 1]] {
            #expect(GRPCProbe.status(broken) == nil)
        }
    }

    @Test("Bytes are found in their order, with others between them")
    func payloads() {
        func holds(_ text: String, _ parts: String...) -> Bool {
            TCPProbe.holds(Array(text.utf8), inOrder: parts.map { Array($0.utf8) })
        }
        #expect(holds("abcabc", "ab", "c", "bc") && holds("", "") && holds("xyz"))
        #expect(!holds("abc", "b", "a") && !holds("ab", "abc") && !holds("ab", "ab", "b"))
    }
}
