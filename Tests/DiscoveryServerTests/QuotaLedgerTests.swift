import AdminAPI
import MeshPrimitives
import Testing
import TrafficPolicy
import XDSMessages

@testable import ConfigCompiler
@testable import DiscoveryServer

/// Sidecars with buckets of their own and the ledger, on one simulated clock, wired by the messages that go over the wire.
private struct QuotaMesh {
    static let second = Nanoseconds.perSecond
    static let domain = "default/orders"
    static let bucket = [QuotaLimit.scopeKey: "service", QuotaLimit.limitKey: "all"]

    private struct Sidecar {
        let bucket: QuotaBucket
        /// Hundredths of a second in which it looks.
        let phase: Int
        /// As in `QuotaStream`: what the ledger believes, and when the next report is due.
        var believed = QuotaDemand()
        var due = 0
        var demand = 0.0
        var credit = 0.0
        var isThere = true
    }

    var ledger = QuotaLedger()
    private var sidecars: [Sidecar] = []
    private var random: SeededRandom
    private var deliveries: [(at: Int, sidecar: Int, response: QuotaLedger.Response)] = []
    private(set) var step = 0
    private let limit: Double
    var isControlPlaneThere = true
    private(set) var reportCount = 0
    private var sharedAt = 0

    init(limit: Double, seed: UInt64) {
        (self.limit, random) = (limit, SeededRandom(seed: seed))
        setLimit(limit)
    }

    mutating func setLimit(_ limit: Double) {
        let all = QuotaLimit(scope: "service", name: "all", perSecond: limit)
        _ = ledger.setLimits([Self.domain: [all]])
    }

    private var now: MonotonicInstant {
        MonotonicInstant(nanoseconds: Int64(step) * Self.second / 100)
    }

    var status: QuotaList { ledger.status(at: now) }

    mutating func join(demand: Double) -> Int {
        // As the compiler writes it: a tenth of the limit until there is a share.
        let settings = QuotaBucket.Settings(
            withoutAssignment: .limited(perSecond: limit / 10), expired: .keepLast)
        let sidecar = Sidecar(
            bucket: QuotaBucket(settings, at: now), phase: Int(random.below(10)), demand: demand)
        sidecars.append(sidecar)
        let name = "sidecar-\(sidecars.count - 1)"
        ledger.joined(name, shownAs: name, on: UInt64(sidecars.count))
        report(sidecars.count - 1)
        return sidecars.count - 1
    }

    mutating func leave(_ index: Int) {
        sidecars[index].isThere = false
        ledger.left(UInt64(index + 1))
    }

    mutating func setDemand(_ index: Int, _ demand: Double) { sidecars[index].demand = demand }

    private mutating func report(_ index: Int) {
        let usage = sidecars[index].bucket.takeUsage(at: now)
        sidecars[index].believed.reported(usage)
        sidecars[index].due = step + 100
        reportCount += 1
        let message = QuotaLedger.Reports.with {
            $0.domain = Self.domain
            $0.bucketQuotaUsages = [
                .with {
                    $0.bucketID.bucket = Self.bucket
                    $0.timeElapsed.seconds = usage.elapsed / Self.second
                    $0.timeElapsed.nanos = Int32(usage.elapsed % Self.second)
                    $0.numRequestsAllowed = usage.allowed
                    $0.numRequestsDenied = usage.denied
                }
            ]
        }
        let stream = UInt64(index + 1)
        if let response = ledger.received(message, domain: Self.domain, on: stream, at: now) {
            deliver(response, index)
        }
    }

    private mutating func look(_ index: Int) {
        let usage = sidecars[index].bucket.usage(at: now)
        if step >= sidecars[index].due || sidecars[index].believed.isOutdated(by: usage) { report(index) }
    }

    /// As `QuotaKeeper`: all twice a second, and what is urgent a tenth of a second after the last time.
    private mutating func share() {
        let responses: [QuotaLedger.StreamID: QuotaLedger.Response]
        if step % 50 == 49 {
            responses = ledger.allocate(at: now)
        } else if ledger.hasUrgent, step >= sharedAt + 10 {
            responses = ledger.allocateUrgent(at: now)
        } else {
            return
        }
        sharedAt = step
        for (stream, response) in responses { deliver(response, Int(stream) - 1) }
    }

    private mutating func deliver(_ response: QuotaLedger.Response, _ index: Int) {
        deliveries.append((step + Int(random.below(5)), index, response))
    }

    private func assign(_ response: QuotaLedger.Response, _ index: Int) {
        for action in response.bucketAction {
            let assignment = action.quotaAssignmentAction
            let tokens = assignment.rateLimitStrategy.tokenBucket
            let length = Double(tokens.fillInterval.seconds) + Double(tokens.fillInterval.nanos) * 1e-9
            let perSecond = length > 0 ? Double(tokens.tokensPerFill.value) / length : 0
            sidecars[index].bucket.assign(
                QuotaAssignment(
                    perSecond: perSecond, lifetime: assignment.assignmentTimeToLive.seconds * Self.second),
                at: now)
        }
    }

    /// What all let through together in so many seconds.
    mutating func run(seconds: Int) -> Int { run(hundredths: seconds * 100) }

    mutating func run(hundredths: Int) -> Int {
        var count = 0
        for _ in 0..<hundredths {
            for delivery in deliveries where delivery.at <= step {
                assign(delivery.response, delivery.sidecar)
            }
            deliveries.removeAll { $0.at <= step }
            for index in sidecars.indices where sidecars[index].isThere {
                sidecars[index].credit += sidecars[index].demand / 100
                while sidecars[index].credit >= 1 {
                    sidecars[index].credit -= 1
                    if sidecars[index].bucket.admit(at: now) { count += 1 }
                }
                if isControlPlaneThere, step % 10 == sidecars[index].phase { look(index) }
            }
            if isControlPlaneThere { share() }
            step += 1
        }
        return count
    }
}

@Suite struct QuotaLedgerTests {
    private func expectWithin(_ count: Int, _ wanted: Double, _ what: String) {
        #expect(abs(Double(count) - wanted) <= wanted * 0.05, "\(what): \(count) of \(wanted)")
    }

    @Test(
        "Under load that is skewed and shifts the rate of the mesh stays within 5 % of the limit",
        arguments: UInt64(0)..<8)
    func skewAndShift(seed: UInt64) {
        let limit = 1000.0
        var mesh = QuotaMesh(limit: limit, seed: seed)
        // One has nearly all of it, most have a little, and together they want more than there is.
        let members = [3000.0, 40, 40, 40, 40, 5, 0, 0].map { mesh.join(demand: $0) }
        _ = mesh.run(seconds: 5)
        expectWithin(mesh.run(seconds: 10), limit * 10, "skewed")
        for round in 1...3 {
            mesh.setDemand(members[(round - 1) * 2], 40)
            mesh.setDemand(members[round * 2], 3000)
            // Whose share is used up says so at once, and so does who has most of it idle.
            let shifting = mesh.run(seconds: 3)
            #expect(
                Double(shifting) <= limit * 3 * 1.05 && Double(shifting) >= limit * 3 * 0.85, "\(shifting)")
            expectWithin(mesh.run(seconds: 10), limit * 10, "after shift \(round)")
        }
    }

    @Test(
        "Load that comes in bursts, and moves with each of them, neither exceeds the limit nor wastes much of it",
        arguments: UInt64(0)..<4)
    func bursts(seed: UInt64) {
        let limit = 1000.0
        var mesh = QuotaMesh(limit: limit, seed: seed)
        let members = [3000.0, 0, 0, 100].map { mesh.join(demand: $0) }
        _ = mesh.run(seconds: 5)
        // Two seconds of everything, then it is another's turn.
        var count = 0
        for turn in 0..<10 {
            for place in 0..<3 { mesh.setDemand(members[place], place == turn % 3 ? 3000 : 0) }
            let now = mesh.run(seconds: 2)
            #expect(Double(now) <= limit * 2 * 1.1, "\(now)")
            count += now
        }
        #expect(Double(count) <= limit * 20 * 1.05 && Double(count) >= limit * 20 * 0.75, "\(count)")
        // A tenth of a second out of every two of one, against steady load of others.
        var small = 0
        for place in 0..<3 { mesh.setDemand(members[place], 0) }
        mesh.setDemand(members[3], 2000)
        _ = mesh.run(seconds: 3)
        for _ in 0..<10 {
            mesh.setDemand(members[0], 1000)
            small += mesh.run(hundredths: 10)
            mesh.setDemand(members[0], 0)
            small += mesh.run(hundredths: 190)
        }
        expectWithin(small, limit * 20, "small bursts")
    }

    @Test("Who comes back finds room at once while nobody else needs it")
    func comingBack() {
        var mesh = QuotaMesh(limit: 1000, seed: 9)
        let members = [400.0, 100, 100].map { mesh.join(demand: $0) }
        _ = mesh.run(seconds: 5)
        var count = 0
        for _ in 0..<5 {
            mesh.setDemand(members[0], 0)
            _ = mesh.run(seconds: 2)
            mesh.setDemand(members[0], 400)
            count += mesh.run(seconds: 1)
        }
        expectWithin(count, 5 * 600, "back")
    }

    @Test("Steady load is reported once a second, however far beyond the limit it is")
    func steadyReports() {
        var mesh = QuotaMesh(limit: 1000, seed: 2)
        _ = [3000.0, 300, 30, 3].map { mesh.join(demand: $0) }
        _ = mesh.run(seconds: 3)
        let before = mesh.reportCount
        _ = mesh.run(seconds: 20)
        #expect(mesh.reportCount - before <= 4 * 22, "\(mesh.reportCount - before)")
    }

    @Test("Operators see every limit, who has which share of it, and how old that is")
    func status() throws {
        var mesh = QuotaMesh(limit: 1000, seed: 6)
        _ = [3000.0, 100].map { mesh.join(demand: $0) }
        _ = mesh.run(seconds: 5)
        let status = mesh.status
        let limit = try #require(status.limits.first)
        #expect(status.bucketCount == 1 && status.limits.count == 1 && limit.perSecond == 1000)
        #expect(limit.domain == QuotaMesh.domain && limit.scope == "service" && limit.limit == "all")
        #expect(limit.allowed > 4000 && limit.denied > 4000)
        let quota = try #require(status.items.first)
        #expect(quota.name == "service all" && quota.shareCount == 2)
        #expect(quota.shares.map(\.proxy) == ["sidecar-0", "sidecar-1"])
        #expect(abs(quota.shares[0].perSecond + quota.shares[1].perSecond - 1000) < 20)
        #expect(quota.shares[0].deniedPerSecond > 1500 && quota.shares[1].deniedPerSecond < 50)
        #expect(quota.shares.allSatisfy { ($0.reportAgeSeconds ?? 9) <= 1.1 && $0.ageSeconds <= 5.5 })
    }

    @Test("Less than the limit passes as a whole, wherever it comes from")
    func room() {
        var mesh = QuotaMesh(limit: 1000, seed: 1)
        let members = [500.0, 200, 100, 0].map { mesh.join(demand: $0) }
        _ = mesh.run(seconds: 5)
        expectWithin(mesh.run(seconds: 10), 8000, "steady")
        mesh.setDemand(members[0], 0)
        mesh.setDemand(members[3], 500)
        _ = mesh.run(seconds: 5)
        expectWithin(mesh.run(seconds: 10), 8000, "moved")
    }

    @Test("Who comes gets a share, who goes gives it back, and never is there more than the limit")
    func joinAndLeave() {
        let limit = 1000.0
        var mesh = QuotaMesh(limit: limit, seed: 3)
        var members = (0..<4).map { _ in mesh.join(demand: 1000) }
        _ = mesh.run(seconds: 5)
        for _ in 0..<4 { members.append(mesh.join(demand: 1000)) }
        let joining = mesh.run(seconds: 5)
        #expect(Double(joining) <= limit * 5 * 1.1, "\(joining)")
        expectWithin(mesh.run(seconds: 10), limit * 10, "eight")
        for member in members.prefix(6) { mesh.leave(member) }
        // Their shares count until they have expired.
        let leaving = mesh.run(seconds: 13)
        #expect(Double(leaving) <= limit * 13 * 1.05, "\(leaving)")
        expectWithin(mesh.run(seconds: 10), limit * 10, "two")
        #expect(mesh.ledger.memberCount == 2)
        for member in members.suffix(2) { mesh.leave(member) }
        _ = mesh.run(seconds: 22)
        #expect(mesh.ledger.bucketCount == 0)
    }

    @Test("While the control plane is away the last shares go on, and add up to the limit")
    func away() {
        var mesh = QuotaMesh(limit: 1000, seed: 4)
        _ = [900.0, 900, 900].map { mesh.join(demand: $0) }
        _ = mesh.run(seconds: 5)
        mesh.isControlPlaneThere = false
        expectWithin(mesh.run(seconds: 30), 30_000, "away")
        mesh.isControlPlaneThere = true
        expectWithin(mesh.run(seconds: 10), 10_000, "back")
    }

    @Test("A limit that changes holds at once")
    func changed() {
        var mesh = QuotaMesh(limit: 1000, seed: 5)
        _ = [900.0, 900, 900].map { mesh.join(demand: $0) }
        _ = mesh.run(seconds: 5)
        mesh.setLimit(300)
        _ = mesh.run(seconds: 2)
        expectWithin(mesh.run(seconds: 10), 3000, "less")
    }

    @Test("A bucket that nothing limits is given up, and so is one beyond the most that a service may have")
    func abandoned() {
        var ledger = QuotaLedger()
        let limit = QuotaLimit(scope: "service", name: "identity=*", perSecond: 10)
        _ = ledger.setLimits(["default/orders": [limit]])
        ledger.joined("a", shownAs: "a", on: 1)
        func actions(_ values: [[String: String]], _ ledger: inout QuotaLedger) -> [Bool] {
            let reports = QuotaLedger.Reports.with {
                $0.bucketQuotaUsages = values.map { value in .with { $0.bucketID.bucket = value } }
            }
            let response = ledger.received(reports, domain: "default/orders", on: 1, at: .zero)
            return (response?.bucketAction ?? []).map {
                if case .quotaAssignmentAction = $0.bucketAction { return true }
                return false
            }
        }
        func id(_ identity: Int) -> [String: String] {
            ["scope": "service", "limit": "identity=*", "identity": "\(identity)"]
        }
        #expect(
            actions([id(0), ["scope": "service", "limit": "other"], [:]], &ledger) == [true, false, false])
        // Known already: no news.
        #expect(actions([id(0)], &ledger) == [])
        let rest = actions((1...QuotaLedger.bucketsMax).map(id), &ledger)
        #expect(rest.count { $0 } == QuotaLedger.bucketsMax - 1 && rest.last == false)
        #expect(ledger.refusedCount == 1)
        let gone = ledger.setLimits([:])
        #expect(gone[1]?.bucketAction.count == QuotaLedger.bucketsMax && ledger.bucketCount == 0)
    }

    @Test("A sidecar that comes back before its old stream has ended is still one")
    func reconnected() {
        var ledger = QuotaLedger()
        _ = ledger.setLimits([QuotaMesh.domain: [QuotaLimit(scope: "service", name: "all", perSecond: 10)]])
        ledger.joined("a", shownAs: "a", on: 1)
        ledger.joined("a", shownAs: "a", on: 2)
        ledger.left(1)
        #expect(ledger.memberCount == 1)
        let reports = QuotaLedger.Reports.with {
            $0.bucketQuotaUsages = [.with { $0.bucketID.bucket = QuotaMesh.bucket }]
        }
        #expect(ledger.received(reports, domain: QuotaMesh.domain, on: 1, at: .zero) == nil)
        let response = ledger.received(reports, domain: QuotaMesh.domain, on: 2, at: .zero)
        let share = response?.bucketAction.first?.quotaAssignmentAction
        #expect(share?.assignmentTimeToLive.seconds == 10)
        #expect(share?.rateLimitStrategy.tokenBucket.tokensPerFill.value == 1000)
    }
}
