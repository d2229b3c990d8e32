import Glibc
import MeshPrimitives

/// Hands shares of one mesh-wide limit to the proxies that use it: the control plane's side, a pure value.
///
/// Each proxy reports what it let through and what it refused; that is its demand. The limit is divided twice a second,
/// and sooner where demand has moved: nobody gets less than the smaller of his demand and an equal part (max-min
/// fairness). What nobody asks for goes to those who did of late, since they may come back, and then in proportion, with a
/// floor, so that a proxy whose traffic begins or grows has room until its next report. All shares together never exceed
/// the limit; a share that was handed out counts until it has expired, so that a proxy which has gone silent cannot be
/// paid twice.
public struct QuotaAllocator: Sendable {
    public struct Settings: Equatable, Sendable {
        /// Requests a second over all proxies.
        public var limit: Double
        /// Nanoseconds for which a share holds.
        public var lifetime: Int64 = 5 * Nanoseconds.perSecond
        /// Of the limit, what is divided equally whatever the demand: room to begin.
        public var floor = 0.02
        /// Nanoseconds after which half of what was once asked for is forgotten.
        public var memory: Int64 = 5 * Nanoseconds.perSecond

        public init(limit: Double) {
            precondition(limit >= 0)
            self.limit = limit
        }
    }

    private struct Member {
        var demand = QuotaDemand()
        /// The most that it asked for of late, requests a second.
        var recent = 0.0
        var share = 0.0
        var shareUntil: MonotonicInstant
        var reportedAt: MonotonicInstant
    }

    public var settings: Settings
    /// In ascending order of the name: order must not decide anything.
    private var members: [(name: String, member: Member)] = []

    public init(_ settings: Settings) { self.settings = settings }

    public var memberCount: Int { members.count }

    /// A proxy says what it has used; the first report makes it a member. True if its demand is another than was believed,
    /// by so much that the limit should be divided anew.
    @discardableResult
    public mutating func reported(_ name: String, _ usage: QuotaUsage, at now: MonotonicInstant) -> Bool {
        let place = members.firstIndex { $0.name >= name } ?? members.count
        if place == members.count || members[place].name != name {
            members.insert((name, Member(shareUntil: now, reportedAt: now)), at: place)
        }
        let old = members[place].member.demand.perSecond
        members[place].member.reportedAt = now
        members[place].member.demand.reported(usage)
        let new = members[place].member.demand.perSecond
        let forgotten = Double(usage.elapsed) / Double(settings.memory)
        members[place].member.recent = max(new, members[place].member.recent * exp2(-forgotten))
        return abs(new - old) > max(settings.limit * 0.02, old * 0.1)
    }

    /// A proxy has gone; what it holds counts until it has expired.
    public mutating func left(_ name: String) {
        guard let place = members.firstIndex(where: { $0.name == name }) else { return }
        (members[place].member.demand, members[place].member.recent) = (QuotaDemand(), 0)
        members[place].member.reportedAt = MonotonicInstant(nanoseconds: .min / 2)
    }

    /// The share of each proxy, to be sent to it. Those from whom nothing was heard for the lifetime of a share get none,
    /// and are forgotten when their last one has expired.
    public mutating func allocate(at now: MonotonicInstant) -> [(name: String, assignment: QuotaAssignment)] {
        let lifetime = settings.lifetime
        members.removeAll { Self.isSilent($0.member, lifetime, now) && $0.member.shareUntil <= now }
        let active = members.indices.filter { !Self.isSilent(members[$0].member, lifetime, now) }
        guard !active.isEmpty else { return [] }
        let held = members.reduce(0) { $0 + (Self.isSilent($1.member, lifetime, now) ? $1.member.share : 0) }
        let limit = max(0, settings.limit - held)
        let base = limit * settings.floor / Double(active.count)
        let wishes = active.map { max(0, members[$0].member.demand.perSecond - base) }
        let memories = zip(active, wishes).map { max(0, members[$0].member.recent - base - $1) }
        let parts = Self.divide(limit - base * Double(active.count), wishes, memories)
        let until = now.advanced(byNanoseconds: settings.lifetime)
        return zip(active, parts).map { index, part in
            members[index].member.share = base + part
            members[index].member.shareUntil = until
            return (members[index].name, QuotaAssignment(perSecond: base + part, lifetime: settings.lifetime))
        }
    }

    private static func isSilent(_ member: Member, _ lifetime: Int64, _ now: MonotonicInstant) -> Bool {
        now.nanoseconds - member.reportedAt.nanoseconds >= lifetime
    }

    /// Max-min fair, and all of it: what is left beyond the wishes goes to the memories, then out in proportion to what
    /// each has, or equally where nobody has anything.
    static func divide(_ amount: Double, _ wishes: [Double], _ memories: [Double]) -> [Double] {
        var parts = fair(amount, wishes)
        let remembered = fair(max(0, amount - parts.reduce(0, +)), memories)
        for index in parts.indices { parts[index] += remembered[index] }
        let sum = parts.reduce(0, +)
        guard sum > 0 else { return parts.map { _ in amount / Double(parts.count) } }
        return parts.map { amount * $0 / sum }
    }

    /// Every wish, or a part of each that is too large if there is not enough.
    private static func fair(_ amount: Double, _ wishes: [Double]) -> [Double] {
        guard wishes.reduce(0, +) > amount else { return wishes }
        var parts = wishes
        var left = amount
        var waiting = wishes.indices.sorted { (wishes[$0], $0) < (wishes[$1], $1) }
        while let smallest = waiting.first {
            let equal = left / Double(waiting.count)
            guard wishes[smallest] <= equal else {
                for index in waiting { parts[index] = equal }
                break
            }
            left -= wishes[smallest]
            waiting.removeFirst()
        }
        return parts
    }
}
