import MeshModel
import MeshPrimitives
import Synchronization
import TrafficPolicy

/// One bucket of a mesh-wide limit in this process, and by what name a quota service knows it.
public final class QuotaEntry: Sendable {
    public let service: GlobalRateLimit.Service
    public let domain: String
    /// By key.
    public let id: [String: String]
    public let bucket: QuotaBucket
    public let reportInterval: Duration
    /// Its id holds values of requests.
    public let isOpen: Bool
    /// It is no longer in the table, and whoever kept it looks for it anew.
    let isRetired = Atomic(false)

    init(
        _ service: GlobalRateLimit.Service, _ domain: String, _ id: [String: String],
        _ settings: QuotaBucket.Settings, reportInterval: Duration, isOpen: Bool, at now: MonotonicInstant
    ) {
        (self.service, self.domain, self.id, self.isOpen) = (service, domain, id, isOpen)
        self.reportInterval = reportInterval
        bucket = QuotaBucket(settings, at: now)
    }
}

/// The buckets of all quota filters of the process: workers find them, the control loop reports what they have used and
/// takes assignments.
public final class QuotaTable: Sendable {
    /// Buckets of values that may be any, of the whole process; requests beyond share one for each filter.
    static let openMax = 4096

    private struct Key: Hashable {
        let service: String
        let domain: String
        let id: [String: String]
    }

    private struct State {
        var entries: [Key: QuotaEntry] = [:]
        var openCount = 0
    }

    private let state = Mutex(State())

    /// The bucket of that id, with what it has been assigned if its settings are the same. nil: there is no room for
    /// another value.
    func entry(
        _ service: GlobalRateLimit.Service, _ domain: String, _ id: [String: String],
        _ settings: QuotaBucket.Settings, reportInterval: Duration, isOpen: Bool, at now: MonotonicInstant
    ) -> QuotaEntry? {
        let key = Key(service: service.cluster, domain: domain, id: id)
        return state.withLock { state in
            let known = state.entries[key]
            if let known, known.bucket.settings == settings, known.reportInterval == reportInterval {
                return known
            }
            if isOpen, known == nil, state.openCount >= Self.openMax { return nil }
            let made = QuotaEntry(
                service, domain, id, settings, reportInterval: reportInterval, isOpen: isOpen, at: now)
            known?.isRetired.store(true, ordering: .releasing)
            if isOpen, known == nil { state.openCount += 1 }
            state.entries[key] = made
            return made
        }
    }

    /// In no order.
    public var entries: [QuotaEntry] { state.withLock { Array($0.entries.values) } }

    /// The bucket that a service speaks of.
    public func entry(of service: String, _ domain: String, _ id: [String: String]) -> QuotaEntry? {
        state.withLock { $0.entries[Key(service: service, domain: domain, id: id)] }
    }

    /// Nobody has used it for long, or no configuration names it.
    public func retire(_ entry: QuotaEntry) {
        let key = Key(service: entry.service.cluster, domain: entry.domain, id: entry.id)
        state.withLock { state in
            guard state.entries[key] === entry else { return }
            state.entries[key] = nil
            if entry.isOpen { state.openCount -= 1 }
            entry.isRetired.store(true, ordering: .releasing)
        }
    }

    /// Forgets the buckets that a newer configuration does not name; those of open values go when they are not used.
    func retain(_ kept: [QuotaEntry]) {
        let names = Set(kept.map { ObjectIdentifier($0) })
        for entry in entries where !entry.isOpen && !names.contains(ObjectIdentifier(entry)) { retire(entry) }
    }
}

/// What makes buckets of values that come with requests.
final class QuotaMaker: Sendable {
    let service: GlobalRateLimit.Service
    let domain: String
    let literals: [String: String]
    /// Keys of the fields' values, in the order of the record's fields.
    let keys: [String]
    let settings: QuotaBucket.Settings
    let reportInterval: Duration

    init(
        _ service: GlobalRateLimit.Service, _ domain: String, _ literals: [String: String], _ keys: [String],
        _ settings: QuotaBucket.Settings, _ reportInterval: Duration
    ) {
        (self.service, self.domain, self.literals, self.keys) = (service, domain, literals, keys)
        (self.settings, self.reportInterval) = (settings, reportInterval)
    }

    func entry(_ values: [String], in table: QuotaTable, at now: MonotonicInstant) -> QuotaEntry? {
        var id = literals
        for (key, value) in zip(keys, values) { id[key] = value }
        return table.entry(
            service, domain, id, settings, reportInterval: reportInterval, isOpen: true, at: now)
    }
}
