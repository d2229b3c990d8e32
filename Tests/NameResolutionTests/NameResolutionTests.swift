import MeshModel
import MeshPrimitives
import NameResolution
import Reactor
import Testing
import XDSClient

@Suite("Names of endpoints")
struct NameResolutionTests {
    /// Answers as it is told, in a later turn.
    private final class ScriptedSource: NameSource {
        let loop: ControlLoop
        var answers: [String: Result<NameAnswer, LookupFailure>] = [:]
        var asked: [String] = []

        init(_ loop: ControlLoop) { self.loop = loop }

        func lookUp(
            _ name: String, _ family: NameLookup.Family, by resolver: NameLookup.Resolver,
            _ completion: @escaping (Result<NameAnswer, LookupFailure>) -> Void
        ) {
            asked.append(name)
            let answer = answers[name] ?? .failure(LookupFailure("nobody knows"))
            loop.atEndOfTurn { completion(answer) }
        }

        func retain(_ resolvers: Set<NameLookup.Resolver>) {}
    }

    private let loop: ControlLoop
    private let source: ScriptedSource
    private let names: EndpointNames

    init() throws {
        let loop = try ControlLoop(kernel: LinuxKernel.make())
        let source = ScriptedSource(loop)
        (self.loop, self.source) = (loop, source)
        names = EndpointNames(loop: loop) { source }
    }

    private func configuration(
        _ discovery: Cluster.Discovery, _ hosts: [String], _ lookup: NameLookup = NameLookup()
    ) -> Configuration {
        var cluster = Cluster(name: "c")
        cluster.discovery = discovery
        cluster.nameLookup = lookup
        cluster.localities = [
            LocalityEndpoints(endpoints: hosts.map { Endpoint(address: .name($0, port: 80)) })
        ]
        return Configuration(clusters: [cluster])
    }

    private func endpoints(_ configuration: Configuration) -> [Endpoint] {
        names.resolved(configuration).clusters[0].localities[0].endpoints
    }

    private func run(_ condition: () -> Bool) {
        loop.run(until: loop.kernel.now().advanced(by: .seconds(10)), while: condition)
    }

    private func answer(_ last: UInt8..., ttl: UInt32 = 0) -> Result<NameAnswer, LookupFailure> {
        .success(
            NameAnswer(addresses: last.map { SocketAddress(ipv4: 10, 0, 0, $0, port: 0) }, ttl: ttl))
    }

    @Test("Each name gets its addresses; one that has none is done with, too", arguments: [true, false])
    func resolution(isLogical: Bool) {
        source.answers["two"] = answer(1, 2)
        let configuration = configuration(isLogical ? .logicalDNS : .strictDNS, ["two", "none"])
        var changes = 0
        names.changed = { changes += 1 }
        #expect(endpoints(configuration).isEmpty && !names.isComplete)
        run { !names.isComplete }
        #expect(changes == 2)
        let found = endpoints(configuration)
        #expect(found.count == (isLogical ? 1 : 2) && found.first?.hostname == "two")
        #expect(found.first?.address == .numeric(SocketAddress(ipv4: 10, 0, 0, 1, port: 80)))
    }

    @Test("Without names there is nothing to wait for, and nobody is asked")
    func numeric() {
        let untouched = EndpointNames(loop: loop) {
            Issue.record("c-ares was started")
            return source
        }
        #expect(untouched.resolved(Configuration()) == Configuration() && untouched.isComplete)
        #expect(loop.timerCount == 0)
    }

    @Test("A lookup that fails leaves the last addresses; that there are none is an answer")
    func failures() {
        var lookup = NameLookup()
        lookup.refresh = .milliseconds(1)
        source.answers["a"] = answer(1)
        let strict = configuration(.strictDNS, ["a"], lookup)
        _ = endpoints(strict)
        run { !names.isComplete }
        source.answers["a"] = .failure(LookupFailure("SERVFAIL"))
        let asked = source.asked.count
        run { source.asked.count < asked + 3 }
        #expect(endpoints(strict).count == 1)
        source.answers["a"] = answer()
        run { !endpoints(strict).isEmpty }
        #expect(endpoints(strict).isEmpty && names.isComplete)
    }

    @Test("A logical name keeps its address where a server has none any more")
    func logicalKeeps() {
        var lookup = NameLookup()
        lookup.refresh = .milliseconds(1)
        source.answers["a"] = answer(1)
        let logical = configuration(.logicalDNS, ["a"], lookup)
        _ = endpoints(logical)
        run { !names.isComplete }
        source.answers["a"] = answer()
        let asked = source.asked.count
        run { source.asked.count < asked + 3 }
        #expect(endpoints(logical).count == 1)
    }

    @Test("Addresses in another order are no change, and a name that is gone is asked for no more")
    func order() {
        var lookup = NameLookup()
        lookup.refresh = .milliseconds(1)
        source.answers["a"] = answer(1, 2)
        let strict = configuration(.strictDNS, ["a"], lookup)
        _ = endpoints(strict)
        var changes = 0
        names.changed = { changes += 1 }
        run { !names.isComplete }
        source.answers["a"] = answer(2, 1)
        let asked = source.asked.count
        run { source.asked.count < asked + 3 }
        #expect(changes == 1)
        _ = names.resolved(Configuration())
        #expect(loop.timerCount == 0)
    }

    @Test("The TTL decides when a name is asked for again, where it is respected")
    func timeToLive() {
        var lookup = NameLookup()
        (lookup.refresh, lookup.respectsTTL) = (.milliseconds(1), true)
        source.answers["a"] = answer(1, ttl: 3600)
        _ = endpoints(configuration(.strictDNS, ["a"], lookup))
        run { !names.isComplete }
        loop.run(until: loop.kernel.now().advanced(by: .milliseconds(30)), while: { true })
        #expect(source.asked.count == 1)
    }

    @Test("c-ares finds what /etc/hosts has, by family")
    func hosts() {
        let source = CAresSource(loop: loop)
        var found: [Result<NameAnswer, LookupFailure>] = []
        source.lookUp("localhost", .v4Only, by: NameLookup.Resolver()) { found.append($0) }
        #expect(found.isEmpty)
        run { found.isEmpty }
        #expect(
            found == [.success(NameAnswer(addresses: [SocketAddress(ipv4: 127, 0, 0, 1, port: 0)], ttl: 0))])
    }

    @Test("Of a server that does not answer c-ares says so when its tries are used up")
    func silence() throws {
        // Bound and never read.
        let listener = try loop.kernel.bind(SocketAddress(ipv4: 127, 0, 0, 1, port: 0))
        var resolver = NameLookup.Resolver()
        resolver.servers = [try loop.kernel.localAddress(listener)]
        (resolver.queryTimeout, resolver.tries, resolver.searchesDomains) = (.milliseconds(20), 1, false)
        let source = CAresSource(loop: loop)
        var isFailure: Bool?
        source.lookUp("nobody.test", .v4Only, by: resolver) { answer in
            if case .failure = answer { isFailure = true } else { isFailure = false }
        }
        run { isFailure == nil }
        #expect(isFailure == true)
        loop.kernel.close(listener)
    }
}
