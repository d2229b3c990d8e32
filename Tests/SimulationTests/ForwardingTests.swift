// SimulationTests: whole data planes in one thread, on a virtual clock and a network that fails, from seeds. What one
// seed shows happens again with `SEED=n`.

import Foundation
import MeshPrimitives
import Reactor
import Simulation
import Testing

@testable import Proxy

@Suite("Two sidecars between a caller and an origin, over a faulty network")
struct ForwardingTests {
    /// 100 seeds, or the one that the environment names.
    static let seeds: [UInt64] =
        ProcessInfo.processInfo.environment["SEED"].flatMap { UInt64($0) }.map { [$0] }
        ?? Array(0..<(ProcessInfo.processInfo.environment["SEEDS"].flatMap { UInt64($0) } ?? 100))

    private static let callerHost = SocketAddress(ipv4: 10, 0, 0, 1, port: 0)
    private static let firstHost = SocketAddress(ipv4: 10, 0, 0, 2, port: 15001)
    private static let secondHost = SocketAddress(ipv4: 10, 0, 0, 3, port: 15006)
    private static let originHost = SocketAddress(ipv4: 10, 0, 0, 4, port: 8080)

    @Test(
        "Every request ends once, none is answered by another's answer, nothing is leaked", arguments: seeds)
    func forwarding(seed: UInt64) throws {
        let network = SimulatedNetwork(seed: seed)
        var random = SeededRandom(seed: seed ^ 0x5eed)
        let isHTTP2 = random.below(2) == 0
        let hedges = random.below(2) == 0
        let problems = try run(network, &random, seed, isHTTP2: isHTTP2, hedges: hedges)
        #expect(
            problems == [],
            "SEED=\(seed), \(isHTTP2 ? "HTTP/2" : "HTTP/1.1") between the sidecars, hedging: \(hedges)")
        #expect(network.mistakes == [], "SEED=\(seed)")
        for host in [Self.callerHost, Self.firstHost, Self.secondHost, Self.originHost] {
            #expect(network.openDescriptors(host: host) == 0, "SEED=\(seed) \(host)")
        }
    }

    private func run(
        _ network: SimulatedNetwork, _ random: inout SeededRandom, _ seed: UInt64, isHTTP2: Bool,
        hedges: Bool
    ) throws -> [String] {
        let origin = try Origin(network.kernel(host: Self.originHost), at: Self.originHost, seed: seed &+ 1)
        let second = try Sidecar(
            network.kernel(host: Self.secondHost), at: Self.secondHost, to: Self.originHost, isHTTP2: false,
            connectionsMax: 1 + Int(random.below(4)), requestsMax: 2 + Int(random.below(6)), hedges: hedges)
        let first = try Sidecar(
            network.kernel(host: Self.firstHost), at: Self.firstHost, to: Self.secondHost, isHTTP2: isHTTP2,
            connectionsMax: 1 + Int(random.below(4)), requestsMax: 2 + Int(random.below(6)), hedges: hedges)
        let caller = try Caller(
            network.kernel(host: Self.callerHost), to: Self.firstHost, lanes: 1 + Int(random.below(5)),
            requests: 6,
            seed: seed &+ 2)
        var faults = Faults(
            pairs: [
                (Self.callerHost, Self.firstHost), (Self.firstHost, Self.secondHost),
                (Self.secondHost, Self.originHost),
            ], from: network.now)
        var problems: [String] = []
        func step() throws {
            try faults.act(network, &random, origin, [first, second])
            caller.turn(wakeAt: faults.nextAt)
            first.turn()
            second.turn()
            origin.turn()
            for (name, sidecar) in [("first", first), ("second", second)] {
                if let violation = sidecar.violation(), problems.count < 10 {
                    problems.append("\(name): \(violation)")
                }
            }
        }
        let end = try network.run(
            until: network.now.advanced(by: .seconds(600)), while: { !caller.isDone && problems.count < 10 },
            turn: step)
        if end != .done {
            problems.append(
                "the run ended with \(end), requests without end: \(caller.requests.count { $0.outcome == nil })"
            )
        }
        problems += caller.problems + origin.problems + judge(caller, origin)
        for sidecar in [first, second] { sidecar.server.beginDrain() }
        _ = try network.run(
            until: network.now.advanced(by: .seconds(30)),
            while: { !(first.worker.isDrained && second.worker.isDrained) },
            turn: step)
        if !first.worker.isDrained || !second.worker.isDrained { problems.append("the drain did not end") }
        for (name, sidecar) in [("first", first), ("second", second)] {
            sidecar.worker.shutDown()
            problems += sidecar.leaks().map { "\(name): \($0)" }
        }
        return problems
    }

    /// What each request came to, beside what the origin saw of it.
    private func judge(_ caller: Caller, _ origin: Origin) -> [String] {
        var problems: [String] = []
        for (number, request) in caller.requests.enumerated() {
            let seen = origin.seen[number] ?? 0
            if request.isPost, !request.hasKey, seen > 1 {
                problems.append("POST \(number) reached the origin \(seen) times")
            }
            // Two sidecars, each with two retries and a safe one beside them.
            if seen > 16 { problems.append("GET \(number) reached the origin \(seen) times") }
            switch request.outcome {
            case .answered(let status, let by):
                if let by, by != number { problems.append("\(number) got the answer of \(by)") }
                if by != nil, seen == 0 { problems.append("\(number) was answered and never seen") }
                if by == nil, ![502, 503, 504].contains(status) {
                    problems.append("\(number): \(status) from nobody")
                }
            case .cut, .left, nil: break
            }
        }
        return problems
    }
}

/// What goes wrong in the network, at random moments, for a time.
struct Faults {
    private let pairs: [(SocketAddress, SocketAddress)]
    private let until: MonotonicInstant
    private(set) var nextAt: MonotonicInstant

    init(pairs: [(SocketAddress, SocketAddress)], from now: MonotonicInstant) {
        self.pairs = pairs
        until = now.advanced(by: .seconds(20))
        nextAt = now.advanced(by: .milliseconds(20))
    }

    mutating func act(
        _ network: SimulatedNetwork, _ random: inout SeededRandom, _ origin: Origin, _ sidecars: [Sidecar]
    ) throws {
        guard network.now >= nextAt else { return }
        if network.now >= until { return heal(network, origin) }
        nextAt = network.now.advanced(byNanoseconds: Int64(random.below(300_000_000)))
        let (one, other) = pairs[Int(random.below(UInt64(pairs.count)))]
        switch random.below(8) {
        case 0, 1: network.resetConnections(between: one, and: other)
        case 2: network.changeLinks(between: one, and: other) { $0.isDown = true }
        case 3:
            let chance = Double(random.below(20)) / 1000
            network.changeLinks(between: one, and: other) { $0.resetChance = chance }
        case 4:
            let chance = Double(random.below(4)) / 10
            network.changeLinks(between: one, and: other) { $0.refusalChance = chance }
        case 5:
            let most = Int(random.below(80)) + 1
            network.changeLinks(between: one, and: other) {
                $0 = SimulatedLink(latencyMin: .microseconds(100), latencyMax: .milliseconds(most))
            }
        case 6: try sidecars[Int(random.below(2))].reconfigure(Int64(5 + random.below(20)))
        default:
            for (one, other) in pairs { network.changeLinks(between: one, and: other) { $0.isDown = false } }
        }
    }

    private mutating func heal(_ network: SimulatedNetwork, _ origin: Origin) {
        nextAt = .distantFuture
        origin.isKind = true
        for (one, other) in pairs { network.changeLinks(between: one, and: other) { $0 = .datacenter } }
    }
}
