import AdminAPI
import ConfigCompiler
import Fleet
import Foundation
import Testing

@Suite struct FleetTests {
    let fleet = Fleet()
    let start = ContinuousClock.now
    let time = Date(timeIntervalSince1970: 1_800_000_000.25)

    init() {
        fleet.joined(
            1,
            .init(
                id: "default/a~1", service: "default/a", userAgent: "martlet", peer: "127.0.0.1:1",
                identity: nil),
            at: time)
    }

    private func status() throws -> ProxyStatus {
        try #require(fleet.status(at: start.advanced(by: .milliseconds(9))).first)
    }

    @Test("A response that is sent is out of step until it is acknowledged")
    func acknowledged() throws {
        fleet.sent(1, .clusters, version: "v1", resources: 3, at: start)
        var type = try #require(try status().types.first)
        #expect(type.type == "clusters" && type.resources == 3 && !type.isInStep)
        #expect(type.lagMilliseconds == 9)
        fleet.acknowledged(1, .clusters, version: "v1", at: start.advanced(by: .milliseconds(4)))
        type = try #require(try status().types.first)
        #expect(type.isInStep && type.lagMilliseconds == 4)
    }

    @Test("A refusal stays until something is accepted")
    func refused() throws {
        fleet.sent(1, .routes, version: "v1", resources: 1, at: start)
        fleet.refused(1, .routes, version: "v1", message: "no", at: start, time: time)
        #expect(
            try status().types.first?.lastRefusal
                == .init(version: "v1", message: "no", time: "2027-01-15T08:00:00.250Z"))
        fleet.sent(1, .routes, version: "v2", resources: 1, at: start)
        #expect(try status().types.first?.lastRefusal != nil)
        fleet.acknowledged(1, .routes, version: "v2", at: start)
        #expect(try status().types.first?.lastRefusal == nil)
    }

    @Test("What is refused after it was acknowledged is out of step")
    func refusedLate() throws {
        fleet.sent(1, .listeners, version: "v1", resources: 1, at: start)
        fleet.acknowledged(1, .listeners, version: "v1", at: start)
        fleet.refused(1, .listeners, version: "v1", message: "no", at: start, time: time)
        let type = try #require(try status().types.first)
        #expect(!type.isInStep && type.versionAcknowledged.isEmpty && type.lastRefusal != nil)
    }

    @Test("The time of a revision counts from when it was seen, for proxies that were there before")
    func revisions() throws {
        fleet.inStep(1, revision: 4, seen: start, at: start.advanced(by: .seconds(60)))
        #expect(try status().lagMilliseconds == nil)
        fleet.inStep(1, revision: 5, seen: start, at: start.advanced(by: .milliseconds(70)))
        // A later change of endpoints does not change what the revision took.
        fleet.inStep(1, revision: 5, seen: start, at: start.advanced(by: .seconds(70)))
        #expect(try status().lagMilliseconds == 70)
        #expect(try status().revisionAcknowledged == 5)
    }

    @Test("A proxy is in the fleet as long as its stream, and a late word about it is nothing")
    func left() {
        fleet.left(1)
        fleet.sent(1, .clusters, version: "v1", resources: 3, at: start)
        #expect(fleet.status(at: start).isEmpty)
        #expect(fleet.counts.sent == 1 && fleet.counts.proxies == 0)
    }
}
