import MeshConfig
import Testing
import XDSMessages

@testable import ConfigCompiler

@Suite struct TLSTransitionsTests {
    private typealias Mutual = TLSSettings.Mutual

    private let port = TLSTransitions.Port(service: ServiceID(namespace: "default", name: "orders"), port: 80)

    private func mesh(_ mode: Mutual?, _ more: String = "") throws -> (MeshSpecification, PolicyIndex) {
        var text = Bench.service("orders") + more
        if let mode {
            text += Bench.policy("TLSPolicy", "kind: Service, name: orders", "mtls: \(mode.rawValue)")
        }
        let specification = try Bench(text).specification
        return (specification, PolicyIndex(specification))
    }

    private func begin(_ mode: Mutual?) throws -> TLSTransitions {
        let (specification, policies) = try mesh(mode)
        return TLSTransitions(specification, policies)
    }

    private func want(_ transitions: inout TLSTransitions, _ mode: Mutual?) throws {
        let (specification, policies) = try mesh(mode)
        transitions.want(specification, policies)
    }

    /// Of the service's sidecars, and of callers.
    private func sides(_ transitions: TLSTransitions, _ wanted: Mutual) -> [Mutual] {
        [transitions.inbound(port, wanted), transitions.outbound(port, wanted)]
    }

    @Test(
        "From TLS to none and back the service takes both first, then callers change, then the service takes one",
        arguments: [
            (TLSSettings.Mutual.strict, TLSSettings.Mutual.disabled), (.permissive, .disabled),
            (.disabled, .strict), (.disabled, .permissive),
        ])
    func staged(from: TLSSettings.Mutual, to: TLSSettings.Mutual) throws {
        var transitions = try begin(from)
        #expect(!transitions.isUnderWay && sides(transitions, from) == [from, from])
        try want(&transitions, to)
        #expect(transitions.isUnderWay && transitions.names == ["default/orders:80"])
        #expect(sides(transitions, to) == [.permissive, from])
        transitions.advance()
        #expect(sides(transitions, to) == [.permissive, to])
        transitions.advance()
        #expect(!transitions.isUnderWay && sides(transitions, to) == [to, to])
    }

    @Test("Between strict and permissive nothing is staged")
    func unstaged() throws {
        var transitions = try begin(.strict)
        for mode in [TLSSettings.Mutual.permissive, .strict] {
            try want(&transitions, mode)
            #expect(!transitions.isUnderWay && sides(transitions, mode) == [mode, mode])
        }
    }

    @Test("What is taken back at once leaves the service open until the callers are known to have it")
    func takenBack() throws {
        var transitions = try begin(.strict)
        try want(&transitions, .disabled)
        try want(&transitions, .permissive)
        #expect(sides(transitions, .permissive) == [.permissive, .permissive])
        try want(&transitions, .strict)
        #expect(sides(transitions, .strict) == [.permissive, .strict])
        transitions.advance()
        #expect(!transitions.isUnderWay)
    }

    @Test("A change while callers are changing is theirs at once, since the service takes both")
    func changedOnTheWay() throws {
        var transitions = try begin(.strict)
        try want(&transitions, .disabled)
        transitions.advance()
        try want(&transitions, .strict)
        #expect(sides(transitions, .strict) == [.permissive, .strict])
        transitions.advance()
        #expect(!transitions.isUnderWay)
        try want(&transitions, .disabled)
        #expect(sides(transitions, .disabled) == [.permissive, .strict])
    }

    @Test("What comes anew is not staged, and what goes is forgotten")
    func comesAndGoes() throws {
        var transitions = TLSTransitions()
        try want(&transitions, .disabled)
        #expect(!transitions.isUnderWay)
        try want(&transitions, nil)
        #expect(transitions.isUnderWay)
        let specification = try Bench(Bench.service("portal")).specification
        transitions.want(specification, PolicyIndex(specification))
        #expect(!transitions.isUnderWay && sides(transitions, .strict) == [.strict, .strict])
    }

    @Test("Listeners of the service and clusters of its callers follow the stages")
    func compiled() throws {
        let (specification, policies) = try mesh(.disabled)
        var transitions = try begin(.strict)
        /// The inbound listener's filter chains, and whether callers have TLS.
        func sides() throws -> String {
            let compiler = ConfigCompiler(
                specification: specification, policies: policies, workloads: [], trustBundlePEM: "BUNDLE",
                transitions: transitions)
            let node = try Bench.node("orders")
            let snapshot = compiler.snapshot(for: node, compiler.common(for: node.proxyClass))
            let listener = try Listener(
                unpackingAny: #require(snapshot[.listeners]["inbound|8080"]).message)
            let cluster = try Cluster(
                unpackingAny: #require(snapshot[.clusters]["outbound|80|default/orders"]).message)
            return "\(listener.filterChains.count) \(cluster.hasTransportSocket)"
        }
        transitions.want(specification, policies)
        #expect(try sides() == "2 true")
        transitions.advance()
        #expect(try sides() == "2 false")
        transitions.advance()
        #expect(try sides() == "1 false")
    }
}
