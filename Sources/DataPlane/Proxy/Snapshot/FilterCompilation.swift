import MeshModel
import MeshPrimitives
import TrafficPolicy

/// What a weighted cluster, a route or a virtual host says to filters.
struct FilterLevel {
    let filters: [RouteFilter]
    /// Where it stands, the same in every configuration that has it.
    let place: String
    /// The same for nothing else of this configuration.
    let key: String

    init(_ filters: [RouteFilter], _ place: String, _ key: String) {
        (self.filters, self.place, self.key) = (filters, place, key)
    }
}

/// HTTP filters and what routes say to them, compiled.
extension SnapshotCompiler {
    /// The filters of a connection manager, each with the settings that hold where a route says nothing.
    mutating func compile(_ filters: [HTTPFilter], _ place: String) throws(CompileError) -> Table<
        FilterRecord
    > {
        var records: [FilterRecord] = []
        for filter in filters {
            switch filter {
            case .localRateLimit(let limit, let name):
                records.append(
                    FilterRecord(
                        kind: .rateLimit, settings: try compile(limit, at: "\(place)/filter \(name)")))
            case .globalRateLimit(let limit, _):
                globalLimits.append(try compile(limit, place))
                records.append(
                    FilterRecord(kind: .globalRateLimit, settings: Int32(globalLimits.count - 1)))
            case .quota(let quota):
                let readsEdits = records.contains { $0.kind == .headerMutation }
                quotas.append(try compile(quota, readsEdits: readsEdits, place))
                records.append(FilterRecord(kind: .quota, settings: Int32(quotas.count - 1)))
            case .cors: records.append(FilterRecord(kind: .cors))
            case .fault(let fault, _):
                faults.append(try compile(fault, place))
                records.append(FilterRecord(kind: .fault, settings: Int32(faults.count - 1)))
            case .healthCheck(let filter):
                healthFilters.append(try compile(filter, place))
                records.append(FilterRecord(kind: .healthCheck, settings: Int32(healthFilters.count - 1)))
            case .headerMutation(let mutation, _):
                records.append(
                    FilterRecord(kind: .headerMutation, settings: try compile([mutation], place)))
            case .adaptiveConcurrency(let filter):
                records.append(compile(filter, at: "\(place)/\(records.count)"))
            case .admissionControl(let filter):
                records.append(compile(filter, at: "\(place)/\(records.count)"))
            }
        }
        return arena.store(records)
    }

    private mutating func compile(_ filter: AdaptiveConcurrencyFilter, at place: String) -> FilterRecord {
        guard flag(filter.isEnabled, filter.runtimeKey) else {
            return FilterRecord(kind: .adaptiveConcurrency)
        }
        let controller = process.adaptiveConcurrency(at: place, filter.settings, now: now)
        objects.concurrency.append(controller)
        concurrency.append(
            ConcurrencyRecord(
                controller: Unowned(controller), status: UInt16(clamping: filter.status),
                isShadow: filter.mode == .shadow))
        return FilterRecord(kind: .adaptiveConcurrency, settings: Int32(concurrency.count - 1))
    }

    private mutating func compile(_ filter: AdmissionControlFilter, at place: String) -> FilterRecord {
        guard flag(filter.isEnabled, filter.runtimeKey) else { return FilterRecord(kind: .admissionControl) }
        admission.append(
            AdmissionRecord(
                slot: process.admissionSlot(at: place), settings: filter.settings,
                statuses: StatusCodeSet(filter.statuses.flatMap { $0.map { UInt16(clamping: $0) } }),
                grpcStatuses: filter.grpcStatuses, isShadow: filter.mode == .shadow))
        return FilterRecord(kind: .admissionControl, settings: Int32(admission.count - 1))
    }

    /// For each filter of the connection manager the index of this route's settings; an empty table if all are as the
    /// filters have them. `levels` are the most specific first.
    mutating func settings(
        for filters: [HTTPFilter], _ defaults: Table<FilterRecord>, _ levels: [FilterLevel],
        _ place: String
    ) throws(CompileError) -> Table<Int32> {
        if levels.allSatisfy(\.filters.isEmpty) { return Table() }
        var indices: [Int32] = []
        for (index, filter) in filters.enumerated() {
            var found = defaults[index].settings
            func said(_ name: String) -> [RouteFilter.Settings] {
                levels.compactMap { level in level.filters.first { $0.name == name }?.settings }
            }
            switch filter {
            case .healthCheck, .adaptiveConcurrency, .admissionControl, .quota: break
            case .globalRateLimit(var limit, let name):
                for case .globalRateLimit(let override) in said(name).prefix(1) {
                    limit.hostRules = override.hostRules
                    if !override.rules.isEmpty { limit.rules = override.rules }
                    if !override.domain.isEmpty { limit.domain = override.domain }
                    globalLimits.append(try compile(limit, place))
                    found = Int32(globalLimits.count - 1)
                }
            case .localRateLimit(_, let name): found = try localLimit(name, levels) ?? found
            case .cors(let name):
                let policies = said(name).compactMap {
                    if case .cors(let policy) = $0 { policy } else { nil }
                }
                if !policies.isEmpty {
                    cors.append(try compile(policies, place))
                    found = Int32(cors.count - 1)
                }
            case .fault(let own, let name):
                for case .fault(var fault) in said(name).prefix(1) {
                    fault.isShadow = own.isShadow
                    faults.append(try compile(fault, place))
                    found = Int32(faults.count - 1)
                }
            case .headerMutation(let own, let name):
                var all = said(name).compactMap {
                    if case .headerMutation(let mutation) = $0 { mutation } else { nil }
                }
                if !all.isEmpty {
                    if own.mostSpecificWins { all.reverse() }
                    found = try compile([own] + all, place)
                }
            }
            indices.append(found)
        }
        return arena.store(indices)
    }

    /// A route's or virtual host's limit is one for all that it is asked for. nil: none of the levels says anything.
    private mutating func localLimit(_ filter: String, _ levels: [FilterLevel]) throws(CompileError) -> Int32?
    {
        for level in levels {
            guard
                case .localRateLimit(let limit) = level.filters.first(where: { $0.name == filter })?.settings
            else { continue }
            let key = "\(level.key)/\(filter)"
            if let known = levelLimits[key] { return known }
            let made = try compile(limit, at: "\(level.place)/\(filter)")
            levelLimits[key] = made
            return made
        }
        return nil
    }

    /// The first policy that says something about a matter decides it.
    private mutating func compile(_ policies: [CORSPolicy], _ place: String) throws(CompileError)
        -> CORSRecord
    {
        var record = CORSRecord()
        var origins: [TextMatchRecord] = []
        for match in policies.first(where: { !$0.origins.isEmpty })?.origins ?? [] {
            origins.append(try compile(match, place))
        }
        record.origins = arena.store(origins)
        func text(_ path: KeyPath<CORSPolicy, String>) -> ByteView {
            arena.store(text: policies.map { $0[keyPath: path] }.first { !$0.isEmpty } ?? "")
        }
        record.methods = text(\.methods)
        record.headers = text(\.headers)
        record.exposedHeaders = text(\.exposedHeaders)
        record.maxAge = text(\.maxAge)
        record.allowsCredentials = policies.compactMap(\.allowsCredentials).first ?? false
        record.forwardsOthers = policies.compactMap(\.forwardsOthers).first ?? true
        if let enabled = policies.first?.enabled { record.enabled = fraction(enabled) }
        if let enabled = policies.first?.shadowEnabled { record.shadowEnabled = fraction(enabled) }
        return record
    }

    private mutating func compile(_ filter: HealthCheckFilter, _ place: String) throws(CompileError)
        -> HealthFilterRecord
    {
        var record = HealthFilterRecord()
        var headers: [HeaderMatchRecord] = []
        for match in filter.headers { headers.append(try compile(match, place)) }
        record.headers = arena.store(headers)
        record.passesThrough = filter.passesThrough
        if let time = filter.cacheTime {
            let cache = HealthCheckCache(period: max(time.nanoseconds, 1), at: now)
            objects.healthCaches.append(cache)
            record.cache = Unowned(cache)
        }
        record.nodeCluster = arena.store(text: nodeCluster)
        record.clusters = arena.store(
            filter.clustersHealthyMin.map { cluster in
                HealthFilterCluster(
                    cluster: clusterIndices[cluster.cluster] ?? -1, percentMin: cluster.percent)
            })
        return record
    }

    private mutating func compile(_ fault: Fault, _ place: String) throws(CompileError) -> FaultRecord {
        let active = process.activeFaults(of: statPrefix)
        objects.faults.append(active)
        var record = FaultRecord(active: Unowned(active), isShadow: fault.isShadow)
        if let most = fault.activeMax { record.activeMax = Int(most) }
        switch fault.delay {
        case nil: break
        case .fixed(let duration): record.delay = duration.nanoseconds
        case .header: record.readsDelay = true
        }
        record.delayShare = fraction(fault.delayShare)
        switch fault.abort {
        case nil: break
        case .http(let status): record.abortStatus = UInt16(clamping: status)
        case .grpc(let status): record.abortGRPC = Int16(clamping: status)
        case .header: record.readsAbort = true
        }
        record.abortShare = fraction(fault.abortShare)
        switch fault.rate {
        case nil: break
        case .fixed(let kibibytes): record.rate = Int64(clamping: kibibytes) * 1024
        case .header: record.readsRate = true
        }
        record.rateShare = fraction(fault.rateShare)
        record.cluster = arena.store(text: fault.cluster)
        var headers: [HeaderMatchRecord] = []
        for header in fault.headers { headers.append(try compile(header, place)) }
        record.headers = arena.store(headers)
        record.nodes = arena.store(fault.nodes.map { arena.store(text: $0) })
        return record
    }

    /// Each change is a level of its own: it sees what those before it did.
    private mutating func compile(_ list: [HeaderMutation], _ place: String) throws(CompileError) -> Int32 {
        var record = MutationRecord()
        record.requestEdits = try store(list.flatMap(\.request).map { [$0] }, place)
        record.answerEdits = try store(list.flatMap(\.response).map { [$0] }, place)
        if record.requestEdits < 0, record.answerEdits < 0 { return -1 }
        mutations.append(record)
        return Int32(mutations.count - 1)
    }

    // MARK: What routes do besides

    mutating func compile(_ mirrors: [Mirror]) -> Table<MirrorRecord> {
        for case .header in mirrors.lazy.map(\.target) { namesClustersByHeader = true }
        return arena.store(
            mirrors.map { mirror in
                var record = MirrorRecord(share: fraction(mirror.share), marksHost: mirror.marksHost)
                switch mirror.target {
                case .cluster(let name): record.cluster = clusterIndices[name] ?? -1
                case .header(let name): record.clusterHeader = arena.store(text: name)
                }
                return record
            })
    }

    func compile(_ redirects: InternalRedirects?) -> InternalRedirectRecord {
        var record = InternalRedirectRecord()
        guard let redirects else { return record }
        record.most = UInt8(clamping: redirects.most)
        for status in redirects.statuses where (300..<316).contains(status) {
            record.statuses |= 1 << UInt16(status - 300)
        }
        return record
    }
}
