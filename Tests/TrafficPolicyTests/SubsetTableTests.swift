import MeshPrimitives
import Testing
import TrafficPolicy

@Suite struct SubsetTableTests {
    private func whole(_ count: Int) -> EndpointSet {
        EndpointSet(
            (0..<count).map {
                EndpointSet.Member(
                    EndpointState(address: SocketAddress(ipv4: 10, 0, 0, UInt8($0), port: 80)))
            })
    }

    private let metadata: [[String: MetadataValue]] = [
        ["version": .string("1"), "stage": .string("prod")],
        ["version": .string("2"), "stage": .string("prod")],
        ["version": .number(1), "stage": .string("dev")],
        ["stage": .string("prod")],
    ]

    private func members(_ table: SubsetTable, _ choice: SubsetChoice) -> Set<Int>? {
        guard let set = choice.set else { return nil }
        let balancer = LoadBalancer(.roundRobin)
        return Set(pickAll(balancer, table.sets[set]))
    }

    private func pickAll(_ balancer: consuming LoadBalancer, _ set: EndpointSet) -> [Int] {
        var random = SeededRandom(seed: 1)
        return (0..<20).compactMap { _ in
            balancer.pick(from: set, random: &random).map { Int(set.address($0).low & 255) }
        }
    }

    @Test("A route gets the endpoints whose metadata has just the values that it names")
    func selection() {
        let table = SubsetTable(
            whole(4), metadata: metadata, SubsetSettings([.init(["stage", "version"]), .init(["stage"])]))
        func chosen(_ criteria: [String: MetadataValue]) -> Set<Int>? {
            members(table, table.choice(criteria))
        }
        #expect(chosen(["stage": .string("prod")]) == [0, 1, 3])
        #expect(chosen(["version": .string("1"), "stage": .string("prod")]) == [0])
        #expect(chosen(["version": .number(1), "stage": .string("prod")]) == nil)
        #expect(chosen(["version": .string("1")]) == nil, "there is no selector of this key alone")
        #expect(chosen([:]) == nil)
    }

    @Test("What no subset takes goes by the fallback of the selector, else of the cluster")
    func fallbacks() {
        var settings = SubsetSettings(
            [
                .init(["version"], fallback: .anyEndpoint),
                .init(["stage", "version"], fallback: .keys(["stage"])),
                .init(["stage"], fallback: SubsetSettings.Fallback.none),
            ], fallback: .defaultSubset)
        settings.defaultSubset = ["version": .string("2")]
        let table = SubsetTable(whole(4), metadata: metadata, settings)
        #expect(members(table, table.choice(["version": .string("9")])) == [0, 1, 2, 3])
        #expect(members(table, table.choice([:])) == [1])
        #expect(members(table, table.choice(["other": .null])) == [1])
        #expect(
            members(table, table.choice(["version": .string("9"), "stage": .string("prod")])) == [0, 1, 3])
        #expect(table.choice(["stage": .string("none")]).set == nil)
        #expect(table.choice(["version": .string("1")]).isFallback == false)
        settings.panicsToAny = true
        let panicking = SubsetTable(whole(4), metadata: metadata, settings)
        #expect(panicking.choice(["stage": .string("none")]).orAny)
    }

    @Test("A list can stand for each of its values, and a selector can make each endpoint its own subset")
    func lists() {
        let data: [[String: MetadataValue]] = [
            ["zone": .list([.string("a"), .string("b")])], ["zone": .string("b")], ["zone": .string("b")],
        ]
        var settings = SubsetSettings([.init(["zone"])])
        let plain = SubsetTable(whole(3), metadata: data, settings)
        #expect(members(plain, plain.choice(["zone": .string("b")])) == [1, 2])
        settings.listsAsAny = true
        let lists = SubsetTable(whole(3), metadata: data, settings)
        #expect(members(lists, lists.choice(["zone": .string("b")])) == [0, 1, 2])
        #expect(members(lists, lists.choice(["zone": .string("a")])) == [0])
        settings.selectors = [.init(["zone"], isSingleHost: true)]
        settings.listsAsAny = false
        let single = SubsetTable(whole(3), metadata: data, settings)
        #expect(members(single, single.choice(["zone": .string("b")])) == [1])
    }

    @Test("Health that changes in the cluster changes in its subsets")
    func health() {
        let cluster = whole(4)
        let table = SubsetTable(cluster, metadata: metadata, SubsetSettings([.init(["stage"])]))
        let choice = table.choice(["stage": .string("prod")])
        guard let index = choice.set else {
            Issue.record("no subset")
            return
        }
        var balancer = LoadBalancer(.roundRobin)
        var random = SeededRandom(seed: 1)
        #expect(
            Set((0..<9).compactMap { _ in balancer.pick(from: table.sets[index], random: &random) }).count
                == 3)
        cluster.mark(3, adding: .ejected)
        #expect(
            Set((0..<9).compactMap { _ in balancer.pick(from: table.sets[index], random: &random) }) == [
                0, 1,
            ])
    }
}
