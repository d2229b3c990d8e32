import HTTP1Codec
import HTTPModel
import MeshModel
import MeshPrimitives
import Reactor
import TLSEngine
import Telemetry
import TrafficPolicy

/// Why a configuration that was valid as such cannot be used here: a key that does not fit its certificate, a regular
/// expression, an unknown operator of a format.
public struct CompileError: Error, CustomStringConvertible, Sendable {
    /// The resource that brought it.
    public enum Subject: Equatable, Sendable {
        case cluster(String)
        case listener(String)
        /// The route configuration of this name.
        case routes(String)
    }

    /// `listener NAME`, `cluster NAME`.
    public let resource: String
    public let reason: String
    public internal(set) var subject: Subject?

    init(resource: String, reason: String) { (self.resource, self.reason) = (resource, reason) }

    public var description: String { "\(resource): \(reason)" }

    /// Of an error that comes from several places the innermost subject counts.
    static func about<Value: ~Copyable>(
        _ subject: Subject, _ body: () throws(CompileError) -> Value
    ) throws(CompileError) -> Value {
        do {
            return try body()
        } catch {
            var error = error
            error.subject = error.subject ?? subject
            throw error
        }
    }
}

/// Turns a configuration into a `Snapshot`. Runs on the control loop; workers only see the result.
struct SnapshotCompiler {
    let process: ProcessState
    let arena = Arena()
    let now: MonotonicInstant
    private let generation: UInt64
    var objects = SnapshotObjects()
    var edits: [EditTable] = []
    var rateLimits: [RateLimitRecord] = []
    /// Where this configuration has limits.
    var limiterPlaces: Set<String> = []
    /// Of routes and virtual hosts: one for all that they are asked for.
    var levelLimits: [String: Int32] = [:]
    var redirects: [RedirectRecord] = []
    var cors: [CORSRecord] = []
    var faults: [FaultRecord] = []
    var mutations: [MutationRecord] = []
    var healthFilters: [HealthFilterRecord] = []
    var nodeCluster = ""
    var nodeID = ""
    /// Of the connection manager that is being compiled.
    var statPrefix = ""
    var concurrency: [ConcurrencyRecord] = []
    var admission: [AdmissionRecord] = []
    var globalLimits: [GlobalLimitRecord] = []
    var quotas: [QuotaRecord] = []
    var clusterIndices: [String: Int32] = [:]
    var namesClustersByHeader = false
    private var contexts: [ContextKey: Int32] = [:]
    /// By name, the clusters of the previous snapshot and their places in it.
    var previousClusters: [String: Int] = [:]
    /// Of the cluster that this proxy is an endpoint of, as of now.
    var localZones: [ZoneAwareSettings.LocalZone] = []
    var ownLocality = LocalityName()
    private var runtime: [String: RuntimeValue] = [:]
    /// Of the connection manager whose routes are compiled.
    var tracing: (settings: Tracing, isMesh: Bool)?
    /// By pattern, among the snapshot's objects.
    var expressions: [String: Int] = [:]
    /// What the last route without a name takes, and what that is called.
    var lastMatch: (path: RouteMatch.Path, id: NameID)?
    /// Of the last route with a policy: most of them share one.
    var lastRetry = (policy: Rare<RetryPolicy>(wrappedValue: nil), record: RetryRecord())
    private(set) var previous: Snapshot?

    private struct ContextKey: Hashable {
        let description: String
    }

    private init(process: ProcessState, now: MonotonicInstant, generation: UInt64, previous: Snapshot?) {
        (self.process, self.now, self.generation, self.previous) = (process, now, generation, previous)
    }

    /// `addresses`: where each listener is bound, in the order of the configuration's listeners.
    static func compile(
        _ configuration: Configuration, addresses: [SocketAddress], generation: UInt64, process: ProcessState,
        now: MonotonicInstant, previous: Snapshot?
    ) throws(CompileError) -> Snapshot {
        var compiler = SnapshotCompiler(
            process: process, now: now, generation: generation, previous: previous)
        compiler.runtime = configuration.runtime
        compiler.nodeCluster = configuration.nodeCluster
        compiler.nodeID = configuration.nodeID
        let count = configuration.clusters.count
        compiler.clusterIndices.reserveCapacity(count)
        process.reserve(clusters: count)
        for (index, cluster) in configuration.clusters.enumerated() {
            compiler.clusterIndices[cluster.name] = Int32(index)
        }
        compiler.lookBack(configuration)
        var clusters: [ClusterRecord] = []
        clusters.reserveCapacity(count)
        compiler.objects.clusters.reserveCapacity(count)
        compiler.objects.targets.reserveCapacity(count)
        for cluster in configuration.clusters {
            var record = try CompileError.about(.cluster(cluster.name)) { () throws(CompileError) in
                try compiler.compile(cluster)
            }
            compiler.addLimits(of: cluster, to: &record)
            record.keepalive = compiler.keepalive(cluster.http2)
            record.isWarming = configuration.warmingClusters.contains(cluster.name)
            clusters.append(record)
        }
        var listeners: [ListenerRecord] = []
        for (listener, address) in zip(configuration.listeners, addresses) {
            listeners.append(
                try CompileError.about(.listener(listener.name)) { () throws(CompileError) in
                    try compiler.compile(listener, address, place: listeners.count)
                })
        }
        return Snapshot(
            configuration: configuration, generation: generation, arena: compiler.arena,
            listeners: compiler.arena.store(listeners), clusters: compiler.arena.store(clusters),
            edits: compiler.arena.store(compiler.edits),
            rateLimits: compiler.arena.store(compiler.rateLimits),
            redirects: compiler.arena.store(compiler.redirects), clusterNames: compiler.clusterNames,
            filters: FilterTables(
                cors: compiler.arena.store(compiler.cors), faults: compiler.arena.store(compiler.faults),
                mutations: compiler.arena.store(compiler.mutations),
                concurrency: compiler.arena.store(compiler.concurrency),
                admission: compiler.arena.store(compiler.admission),
                health: compiler.arena.store(compiler.healthFilters),
                globalLimits: compiler.arena.store(compiler.globalLimits),
                quotas: compiler.arena.store(compiler.quotas)),
            objects: compiler.objects)
    }

    // MARK: Clusters

    private mutating func compile(_ cluster: Cluster) throws(CompileError) -> ClusterRecord {
        let place = "cluster \(cluster.name)"
        let shared = process.cluster(
            named: cluster.name, normal: limits(cluster.normalLimits, cluster.windowBudget),
            high: limits(cluster.highLimits, cluster.windowBudget))
        objects.clusters.append(shared)
        let endpoints = try compileEndpoints(cluster, shared, place)
        let zones: Bool =
            if case .zoneAware = objects.targets[objects.targets.count - 1].set.balancing.locality {
                true
            } else { false }
        let (balancing, http2) = (cluster.balancing, cluster.http2)
        let isPlain: Bool =
            switch balancing.policy {
            case .roundRobin, .leastLoaded, .random: balancing.slowStart == nil
            case .hashed, .peakEWMA: false
            }
        return ClusterRecord(
            name: arena.store(text: cluster.name), slot: Int32(shared.slot), process: Unowned(shared),
            endpoints: arena.store(endpoints), policy: balancing.policy,
            looksAtRequest: cluster.discovery == .originalDestination || !isPlain || zones
                || balancing.subsets != nil || cluster.shadowBalancing != nil,
            shadowPolicy: cluster.shadowBalancing,
            connectTimeout: cluster.connectTimeout.nanoseconds,
            idleTimeout: cluster.idleTimeout?.nanoseconds ?? 0,
            maxConnectionDuration: cluster.maxConnectionDuration?.nanoseconds ?? 0,
            maxRequests: Int32(clamping: cluster.maxRequestsPerConnection ?? 0),
            upstreamProtocol: upstreamProtocol(cluster.upstreamProtocol),
            enablesTrailers: cluster.enablesTrailers,
            http2StreamsMax: Int32(clamping: max(http2.maxConcurrentStreams, 1)),
            http2StreamWindow: min(max(http2.initialStreamWindow, 65_535), 1 << 20),
            http2ConnectionWindow: min(max(http2.initialConnectionWindow, 65_535), 4 << 20),
            setsSNIFromHost: cluster.setsSNIFromHost,
            validatesSANFromHost: cluster.validatesSANFromHost,
            requestNames: cluster.headerKeyFormat == .properCase ? .proper : .lower,
            keepsAnswerNames: cluster.headerKeyFormat == .preserveCase,
            isChecked: cluster.healthCheck?.mode == .enforce,
            original: try originalDestination(cluster, place))
    }

    /// Breakers, and limits that are only watched.
    private mutating func addLimits(of cluster: Cluster, to record: inout ClusterRecord) {
        func breaker(_ settings: CircuitBreakerSettings?, isShadow: Bool) -> Unowned<ServiceBreaker>? {
            guard let settings else { return nil }
            let breaker = process.breaker(of: cluster.name, settings, isShadow: isShadow)
            objects.breakers.append(breaker)
            return Unowned(breaker)
        }
        record.breaker = breaker(cluster.breaker, isShadow: false)
        record.shadowBreaker = breaker(cluster.shadowBreaker, isShadow: true)
        record.hasBreaker = record.breaker != nil || record.shadowBreaker != nil
        record.dropShare = fraction(cluster.dropShare)
        record.perHostConnectionsMax = Int32(clamping: cluster.perHostConnectionsMax ?? 0)
        guard let shadow = cluster.shadowLimits else { return }
        record.hasShadowLimits = true
        if let most = shadow.connections { record.shadowConnectionsMax = Int(most) }
        if let most = shadow.pending { record.shadowPendingMax = Int(most) }
        if let most = shadow.requests { record.shadowRequestsMax = Int(most) }
        if let most = shadow.retries { record.shadowRetriesMax = Int(most) }
    }

    private func keepalive(_ options: HTTP2Options) -> KeepaliveRecord {
        KeepaliveRecord(
            interval: options.keepaliveInterval?.nanoseconds ?? 0,
            timeout: options.keepaliveTimeout.nanoseconds)
    }

    /// Of a filter; a runtime key that is set replaces the default.
    func flag(_ isEnabled: Bool, _ key: String) -> Bool {
        if case .bool(let isOn) = runtime[key] { return isOn }
        return isEnabled
    }

    private func limits(_ limits: Limits, _ window: WindowBudget?) -> ClusterLimitSettings {
        var settings = ClusterLimitSettings()
        settings.connectionsMax = Int(limits.connections)
        settings.pendingRequestsMax = Int(limits.pending)
        settings.requestsMax = Int(limits.requests)
        settings.retriesMax = Int(limits.retries)
        if let window {
            settings.retryBudget = .windowed(
                percent: window.percent, window: window.window.nanoseconds, retriesMin: Int(window.retriesMin)
            )
        } else if let budget = limits.retryBudget {
            settings.retryBudget = .concurrent(
                percent: budget.percent, concurrencyMin: Int(budget.concurrencyMin))
        }
        return settings
    }

    private func upstreamProtocol(_ wanted: Cluster.UpstreamProtocol) -> ClusterRecord.UpstreamProtocol {
        switch wanted {
        case .http1: .http1
        case .http2: .http2
        case .auto: .auto
        case .sameAsDownstream: .sameAsDownstream
        }
    }

    // MARK: TLS

    mutating func upstreamContext(_ tls: UpstreamTLS, _ cluster: Cluster, _ place: String)
        throws(CompileError) -> Int32
    {
        var settings = engineSettings(tls.settings, role: .client)
        settings.serverName = tls.sni.isEmpty ? nil : tls.sni
        if settings.applicationProtocols.isEmpty {
            switch cluster.upstreamProtocol {
            case .http2: settings.applicationProtocols = ["h2"]
            case .auto: settings.applicationProtocols = ["h2", "http/1.1"]
            case .http1, .sameAsDownstream: break
            }
        }
        return try context(settings, key: "\(cluster.name)|\(tls)", place)
    }

    private mutating func downstreamContext(_ tls: DownstreamTLS, _ place: String) throws(CompileError)
        -> Int32
    {
        var settings = engineSettings(tls.settings, role: .server)
        settings.clientCertificate = tls.requiresClientCertificate ? .required : .optional
        return try context(settings, key: "\(place)|\(tls)", place)
    }

    /// A context is kept from the last snapshot if nothing of it has changed, so that sessions can be resumed.
    private mutating func context(
        _ settings: TLSEngine.TLSSettings, key: String, _ place: String
    ) throws(CompileError) -> Int32 {
        let material = settings.identity.map { "\($0.hashValue)" } ?? ""
        let trust: String =
            switch settings.trust {
            case .bundle(let pem): "\(pem.hashed)"
            default: ""
            }
        let whole = ContextKey(description: "\(key)|\(material)|\(trust)|\(settings.clientCertificate)")
        if let known = contexts[whole] { return known }
        let made: TLSContext
        if let old = previous?.contextKeys[whole.description], let previous {
            made = previous.tlsContexts[Int(old)]
        } else {
            do throws(TLSSettingsError) {
                // Clusters of one mesh differ in the peers that they accept, and in nothing else.
                made = try TLSContext(settings, sharingWith: objects.tlsContexts.last)
            } catch {
                throw CompileError(resource: place, reason: error.description)
            }
        }
        objects.tlsContexts.append(made)
        let index = Int32(objects.tlsContexts.count - 1)
        contexts[whole] = index
        objects.contextKeys[whole.description] = index
        return index
    }

    private func engineSettings(_ tls: MeshModel.TLSSettings, role: TLSEngine.TLSSettings.Role)
        -> TLSEngine.TLSSettings
    {
        var settings = TLSEngine.TLSSettings(
            role: role,
            identity: tls.identity.map {
                .init(certificateChain: $0.certificateChainPEM, privateKey: $0.privateKeyPEM)
            },
            trust: tls.trustBundlePEM.map { TLSEngine.TLSSettings.Trust.bundle($0) } ?? .anyCertificate)
        settings.peerNames = tls.subjectNames.map { name in
            let pattern: SANMatcher.Pattern =
                switch name.match.pattern {
                case .exact(let text): .exact(text)
                case .prefix(let text): .prefix(text)
                case .suffix(let text): .suffix(text)
                case .contains(let text): .contains(text)
                // Refused by whoever made the configuration.
                case .regex(let text): .exact(text)
                }
            return SANMatcher(name.kind == .uri ? .uri : .dns, pattern)
        }
        settings.peerCertificateHashes = tls.certificateHashes
        settings.versionMin = tls.versionMin == .tls13 ? .tls13 : .tls12
        settings.versionMax = tls.versionMax == .tls13 ? .tls13 : .tls12
        settings.applicationProtocols = tls.alpn
        settings.cipherSuites = tls.cipherSuites
        return settings
    }

    // MARK: Listeners

    private mutating func compile(
        _ listener: Listener, _ address: SocketAddress, place index: Int
    ) throws(CompileError) -> ListenerRecord {
        let place = "listener \(listener.name)"
        var chains: [ChainRecord] = []
        for chain in listener.filterChains { chains.append(try compile(chain, listener, place)) }
        var defaultChain: Int32 = -1
        if let chain = listener.defaultFilterChain {
            defaultChain = Int32(chains.count)
            chains.append(try compile(chain, listener, place))
        }
        let isDecidedByTLS = listener.filterChains.contains {
            $0.match.transportProtocol != nil || !$0.match.serverNames.isEmpty
                || !$0.match.applicationProtocols.isEmpty
        }
        return ListenerRecord(
            name: arena.store(text: listener.name), address: address,
            fingerprint: fingerprint(listener, place: index),
            inspectsTLS: listener.inspectsTLS,
            needsInspection: listener.inspectsTLS && isDecidedByTLS,
            readsOriginal: listener.readsOriginalDestination,
            handsOff: listener.readsOriginalDestination && listener.handsOffRedirected,
            isBound: listener.isBound, chains: arena.store(chains),
            defaultChain: defaultChain, scope: process.registry.listener(address.description))
    }

    /// Equal for two listeners whose connections may go over from one to the other: routes and key material do not count.
    private func fingerprint(_ listener: Listener, place: Int) -> UInt64 {
        let bare = Self.bare(listener)
        let known = previous?.configuration.listeners.firstIndex {
            $0.name == listener.name && Self.bare($0) == bare
        }
        if let known, let previous { return previous.listeners[known].fingerprint }
        return generation << 16 | UInt64(place)
    }

    private static func bare(_ listener: Listener) -> Listener {
        func without(_ chain: FilterChain) -> FilterChain {
            var chain = chain
            chain.tls?.settings.identity = nil
            chain.tls?.settings.trustBundlePEM = nil
            if case .http(var manager) = chain.network {
                manager.routes = .routes(RouteConfiguration(name: "", virtualHosts: []))
                chain.network = .http(manager)
            }
            return chain
        }
        var bare = listener
        bare.filterChains = listener.filterChains.map(without)
        bare.defaultFilterChain = listener.defaultFilterChain.map(without)
        return bare
    }

    private mutating func compile(_ chain: FilterChain, _ listener: Listener, _ place: String)
        throws(CompileError) -> ChainRecord
    {
        var record = ChainRecord(
            http: HTTPChainRecord(
                scope: process.registry.http("unused"), noRoute: arena.store(value: RouteRecord())))
        record.match = match(chain.match)
        record.bufferLimit = Int32(clamping: listener.bufferLimit)
        if let tls = chain.tls { record.tls = try downstreamContext(tls, place) }
        record.isRefusedInShadow = chain.isRefusedInShadow
        record.connectionLimits = compile(chain.connectionLimits, of: "\(place)/\(chain.name)")
        switch chain.network {
        case .http(let manager):
            record.kind = .http
            record.http = try compile(manager, place)
        case .tcp(let proxy):
            record.kind = .tcp
            record.tcp.clusters = arena.store(weighted(proxy.clusters, route: nil))
            record.tcp.hashesSourceAddress = proxy.hashesSourceAddress
            record.tcp.idleTimeout = proxy.idleTimeout?.nanoseconds ?? 0
            record.tcp.durationMax = proxy.durationMax?.nanoseconds ?? 0
            var logs: [Int32] = []
            for log in proxy.accessLogs { logs.append(try compile(log, place)) }
            record.tcp.logs = arena.store(logs)
            record.tcp.scope = process.registry.tcp(proxy.statPrefix)
            record.tcp.connectAttemptsMax = Int32(clamping: proxy.maxConnectAttempts)
        }
        return record
    }

    private func match(_ match: FilterChainMatch) -> ChainMatchRecord {
        func ranges(_ ranges: [AddressRange]) -> Table<RangeRecord> {
            arena.store(ranges.map { RangeRecord(address: $0.address, prefixLength: Int32($0.prefixLength)) })
        }
        var record = ChainMatchRecord()
        record.destinationPort = match.destinationPort ?? 0
        record.transport =
            switch match.transportProtocol {
            case nil: .any
            case .tls: .tls
            case .rawBuffer: .plain
            }
        record.destinations = ranges(match.destinationRanges)
        record.sources = ranges(match.sourceRanges)
        record.serverNames = arena.store(
            match.serverNames.map { arena.store(text: $0.hasPrefix("*.") ? String($0.dropFirst()) : $0) })
        record.protocols = arena.store(match.applicationProtocols.map { arena.store(text: $0) })
        return record
    }

    private mutating func compile(_ manager: HTTPConnectionManager, _ place: String) throws(CompileError)
        -> HTTPChainRecord
    {
        var http = HTTPChainRecord(
            scope: process.registry.http(manager.statPrefix), noRoute: arena.store(value: RouteRecord()))
        http.generation = UInt32(truncatingIfNeeded: generation)
        http.name = process.nameID(place)
        http.codec = manager.codec
        statPrefix = manager.statPrefix
        http.filters = try compile(manager.filters, "\(place)/\(manager.statPrefix)")
        http.filtersEdit = http.filters.indices.contains { http.filters[$0].kind.editsHeads }
        var logs: [Int32] = []
        for log in manager.accessLogs { logs.append(try compile(log, place)) }
        http.logs = arena.store(logs)
        let names = logs.flatMap { objects.accessLogs[Int($0)].format.answerNames }
        http.loggedAnswerNames = arena.store(Set(names).sorted().map { arena.store(text: $0) })
        http.serverName = arena.store(text: manager.serverName)
        http.serverHeader = manager.serverHeader
        http.via = arena.store(text: manager.via ?? "")
        compileCallers(of: manager, into: &http)
        http.proxies100Continue = manager.proxies100Continue
        http.drainTimeout = manager.drainTimeout.nanoseconds
        http.delayedClose = manager.delayedCloseTimeout?.nanoseconds ?? 0
        http.suppressesEnvoyHeaders = manager.suppressesEnvoyHeaders
        http.generatesRequestID = manager.generatesRequestID
        http.preservesExternalRequestID = manager.preservesExternalRequestID
        http.setsRequestIDInResponse = manager.setsRequestIDInResponse
        http.forwardClientCertificate = manager.forwardClientCertificate
        http.certificateSubject = manager.currentClientCertificate.subject
        http.certificateWhole = manager.currentClientCertificate.certificate
        http.certificateURI = manager.currentClientCertificate.uri
        http.certificateDNS = manager.currentClientCertificate.dns
        http.limits = HTTP1Limits(
            headBytesMax: min(manager.headBytesMax, MessageHead.bytesMax),
            fieldsMax: min(manager.fieldsMax, MessageHead.fieldsMax), acceptsHTTP10: manager.acceptsHTTP10)
        http.defaultHostForHTTP10 = arena.store(text: manager.defaultHostForHTTP10 ?? "")
        http.enablesTrailers = manager.enablesTrailers
        http.http2MaxStreams = manager.http2.maxConcurrentStreams
        http.keepalive = keepalive(manager.http2)
        http.http2AllowsConnect = manager.http2.allowsConnect
        http.http2StreamWindow = min(max(manager.http2.initialStreamWindow, 65_535), 1 << 20)
        http.http2ConnectionWindow = min(max(manager.http2.initialConnectionWindow, 65_535), 4 << 20)
        http.upgrades = arena.store(manager.upgrades.map { arena.store(text: $0.lowercased()) })
        http.ignoresUnknownUpgrades = manager.ignoresUnknownUpgrades
        http.paths = PathNormalization(
            normalizes: manager.normalizesPath, mergesSlashes: manager.mergesSlashes,
            escapedSlashes: manager.escapedSlashes)
        http.stripsAnyPort = manager.stripsAnyPort
        http.underscores = manager.underscoresInHeaders
        http.normalizesHeads =
            !http.paths.isOff || http.stripsAnyPort || http.underscores != .allow
        http.sendsProxyStatus = manager.sendsProxyStatus
        http.isMesh = manager.traceContext != nil || manager.sendsProxyStatus
        http.keepsRequestNames = manager.headerKeyFormat == .preserveCase
        http.answerNames = manager.headerKeyFormat == .properCase ? .proper : .lower
        http.trustsLocalControls = manager.trustsLocalControls
        http.respectsExpectedTimeout = manager.respectsExpectedTimeout
        http.idleTimeout = manager.idleTimeout?.nanoseconds ?? 0
        http.streamIdleTimeout = manager.streamIdleTimeout?.nanoseconds ?? 0
        http.requestTimeout = manager.requestTimeout?.nanoseconds ?? 0
        http.requestHeadersTimeout = manager.requestHeadersTimeout?.nanoseconds ?? 0
        http.maxConnectionDuration = manager.maxConnectionDuration?.nanoseconds ?? 0
        http.maxStreamDuration = manager.maxStreamDuration?.nanoseconds ?? 0
        http.maxRequests = Int32(clamping: manager.maxRequestsPerConnection ?? 0)
        try compileTracing(of: manager, into: &http, place)
        guard case .routes(let routes) = manager.routes else { return http }
        http.routes = try CompileError.about(.routes(routes.name)) { () throws(CompileError) in
            try compile(routes, place, manager.filters, http.filters)
        }
        return http
    }

    /// Whose word counts about who sent a request.
    private func compileCallers(of manager: HTTPConnectionManager, into http: inout HTTPChainRecord) {
        http.usesRemoteAddress = manager.usesRemoteAddress
        http.skipsXFFAppend = manager.skipsXFFAppend
        if manager.usesRemoteAddress { http.ownAddress = ProcessState.addressOfThisHost }
        http.trustedHops = UInt32(clamping: manager.trustedHops)
        http.appendsForwardedPort = manager.appendsForwardedPort
        http.believesForwardedFor = manager.believesForwardedFor
        http.settlesCaller = manager.usesRemoteAddress || manager.appendsForwardedPort
        http.internalRanges = arena.store(
            (manager.internalRanges ?? []).map {
                RangeRecord(address: $0.address, prefixLength: Int32($0.prefixLength))
            })
    }

    private mutating func compile(_ log: AccessLog, _ place: String) throws(CompileError) -> Int32 {
        do throws(FormatError) {
            objects.accessLogs.append(try AccessLogSink(log, files: process.logFiles))
        } catch {
            throw CompileError(resource: place, reason: "access_log: \(error.description)")
        }
        return Int32(objects.accessLogs.count - 1)
    }

    /// A runtime key that is set replaces the default.
    func fraction(_ fraction: Fraction) -> FractionRecord {
        if let key = fraction.runtimeKey, let value = runtime[key] {
            switch value {
            case .number(let percent):
                return FractionRecord(numerator: UInt32(max(0, min(percent, 100))), denominator: 100)
            case .bool(let isOn): return FractionRecord(numerator: isOn ? 100 : 0, denominator: 100)
            case .fraction(let share):
                return FractionRecord(numerator: share.numerator, denominator: share.denominator)
            case .text: break
            }
        }
        return FractionRecord(numerator: fraction.numerator, denominator: fraction.denominator)
    }

    // MARK: Retries

    func settings(_ policy: RetryPolicy) -> RetrySettings {
        var conditions = RetryConditions.parse(policy.retryOn.joined(separator: ",")).conditions
        if policy.provablySafe { conditions.insert(.safe) }
        let methods: RepeatableMethods =
            switch policy.methods {
            case .any: .any
            case .idempotent: .idempotent
            case .safe: .safeOnly
            }
        var settings = RetrySettings(
            conditions: conditions, retriesMax: UInt32(clamping: policy.attempts), methods: methods)
        settings.perTryTimeout = policy.perTryTimeout?.nanoseconds ?? 0
        settings.backoffMin = max(policy.backoffMin.nanoseconds, 1)
        settings.backoffMax = max(policy.backoffMax.nanoseconds, settings.backoffMin)
        settings.statusCodes = StatusCodeSet(policy.retriableStatusCodes.map { UInt16(clamping: $0) })
        settings.perTryIdleTimeout = policy.perTryIdleTimeout?.nanoseconds ?? 0
        settings.rateLimitedBackoffMax = policy.rateLimitedBackoffMax.nanoseconds
        settings.asksForRequestHeaders = !policy.retriableRequestHeaders.isEmpty
        settings.avoidsPreviousHosts = policy.avoidsPreviousHosts
        if policy.avoidsPreviousHosts { settings.hostPredicates.insert(.previousHosts) }
        if policy.avoidsCanaries { settings.hostPredicates.insert(.canaries) }
        if !policy.omittedMetadata.isEmpty { settings.hostPredicates.insert(.metadata) }
        settings.prioritiesUpdateFrequency = UInt32(clamping: policy.prioritiesUpdateFrequency ?? 0)
        settings.hostSelectionsMax = UInt32(clamping: policy.hostSelectionAttempts)
        return settings
    }
}

extension [UInt8] {
    /// Tells two byte strings apart within one process; nothing secret can be had from it.
    fileprivate var hashed: UInt64 { withByteView { $0.hash64 } }
}
