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
    /// `listener NAME`, `cluster NAME`.
    public let resource: String
    public let reason: String

    public var description: String { "\(resource): \(reason)" }
}

/// Turns a configuration into a `Snapshot`. Runs on the control loop; workers only see the result.
struct SnapshotCompiler {
    private let process: ProcessState
    private let arena = Arena()
    private let now: MonotonicInstant
    private var objects = SnapshotObjects()
    private var edits: [Table<EditRecord>] = []
    private var rateLimits: [RateLimitRecord] = []
    private var redirects: [RedirectRecord] = []
    private var clusterIndices: [String: Int32] = [:]
    private var contexts: [ContextKey: Int32] = [:]
    private var runtime: [String: RuntimeValue] = [:]
    private var previous: Snapshot?

    private struct ContextKey: Hashable {
        let description: String
    }

    private init(process: ProcessState, now: MonotonicInstant, previous: Snapshot?) {
        (self.process, self.now, self.previous) = (process, now, previous)
    }

    /// `addresses`: where each listener is bound, in the order of the configuration's listeners.
    static func compile(
        _ configuration: Configuration, addresses: [SocketAddress], generation: UInt64, process: ProcessState,
        now: MonotonicInstant, previous: Snapshot?
    ) throws(CompileError) -> Snapshot {
        var compiler = SnapshotCompiler(process: process, now: now, previous: previous)
        compiler.runtime = configuration.runtime
        for (index, cluster) in configuration.clusters.enumerated() {
            compiler.clusterIndices[cluster.name] = Int32(index)
        }
        var clusters: [ClusterRecord] = []
        for cluster in configuration.clusters { clusters.append(try compiler.compile(cluster)) }
        var listeners: [ListenerRecord] = []
        for (listener, address) in zip(configuration.listeners, addresses) {
            listeners.append(try compiler.compile(listener, address))
        }
        return Snapshot(
            configuration: configuration, generation: generation, arena: compiler.arena,
            listeners: compiler.arena.store(listeners), clusters: compiler.arena.store(clusters),
            edits: compiler.arena.store(compiler.edits),
            rateLimits: compiler.arena.store(compiler.rateLimits),
            redirects: compiler.arena.store(compiler.redirects), objects: compiler.objects)
    }

    // MARK: Clusters

    private mutating func compile(_ cluster: Cluster) throws(CompileError) -> ClusterRecord {
        let place = "cluster \(cluster.name)"
        let shared = process.cluster(
            named: cluster.name, normal: limits(cluster.normalLimits, cluster.windowBudget),
            high: limits(cluster.highLimits, cluster.windowBudget))
        objects.clusters.append(shared)
        var endpoints: [EndpointRecord] = []
        var members: [EndpointSet.Member] = []
        for locality in cluster.localities {
            for endpoint in locality.endpoints {
                guard case .numeric(let address) = endpoint.address else { continue }
                let match = cluster.transportMatches.first { match in
                    match.labels.allSatisfy { endpoint.transportLabels[$0.key] == $0.value }
                }
                let tls = match.map(\.tls) ?? cluster.tls
                let context =
                    try tls.map { tls throws(CompileError) in try upstreamContext(tls, cluster, place) } ?? -1
                let record = EndpointRecord(
                    address: address, hostname: arena.store(text: endpoint.hostname), weight: endpoint.weight,
                    priority: locality.priority, isHealthy: true, isDegraded: false, tls: context,
                    sni: arena.store(text: tls?.sni ?? ""), text: arena.store(text: address.description))
                var marks: EndpointMarks = []
                switch endpoint.health {
                case .unknown, .healthy: break
                case .unhealthy, .draining, .timeout: marks.insert(.discoveredUnhealthy)
                case .degraded: marks.insert(.discoveredDegraded)
                }
                let state = shared.endpoint(
                    address, context: "\(match?.name ?? "")/\(context >= 0)", marks: marks)
                members.append(
                    EndpointSet.Member(state, weight: max(endpoint.weight, 1), priority: locality.priority))
                endpoints.append(record)
            }
        }
        objects.endpointSets.append(
            EndpointSet(
                members, overprovisioningFactor: cluster.overprovisioningFactor,
                panicThreshold: UInt32(min(max(cluster.panicThreshold, 0), 100))))
        return ClusterRecord(
            name: arena.store(text: cluster.name), slot: Int32(shared.slot), process: Unowned(shared),
            endpoints: arena.store(endpoints), loadBalancing: loadBalancing(cluster.loadBalancing),
            connectTimeout: cluster.connectTimeout.nanoseconds,
            idleTimeout: cluster.idleTimeout?.nanoseconds ?? 0,
            maxConnectionDuration: cluster.maxConnectionDuration?.nanoseconds ?? 0,
            maxRequests: Int32(clamping: cluster.maxRequestsPerConnection ?? 0),
            bufferLimit: Int32(clamping: cluster.bufferLimit),
            upstreamProtocol: upstreamProtocol(cluster.upstreamProtocol),
            enablesTrailers: cluster.enablesTrailers,
            http2StreamWindow: min(max(cluster.http2.initialStreamWindow, 65_535), 1 << 20),
            http2ConnectionWindow: min(max(cluster.http2.initialConnectionWindow, 65_535), 4 << 20),
            setsSNIFromHost: cluster.setsSNIFromHost, panicThreshold: cluster.panicThreshold,
            overprovisioning: cluster.overprovisioningFactor)
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

    private func loadBalancing(_ policy: Cluster.LoadBalancing) -> ClusterRecord.LoadBalancing {
        switch policy {
        case .roundRobin: .roundRobin
        case .leastRequest(let choices): .leastRequest(choices: Int32(clamping: choices))
        case .random: .random
        }
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

    private mutating func upstreamContext(_ tls: UpstreamTLS, _ cluster: Cluster, _ place: String)
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
                made = try TLSContext(settings)
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

    private mutating func compile(_ listener: Listener, _ address: SocketAddress) throws(CompileError)
        -> ListenerRecord
    {
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
            name: arena.store(text: listener.name), address: address, fingerprint: fingerprint(listener),
            inspectsTLS: listener.inspectsTLS,
            needsInspection: listener.inspectsTLS && isDecidedByTLS, chains: arena.store(chains),
            defaultChain: defaultChain, scope: process.registry.listener(address.description))
    }

    /// Equal for two listeners whose connections may go over from one to the other: routes and key material do not count.
    private func fingerprint(_ listener: Listener) -> UInt64 {
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
        return "\(bare)".withByteView { $0.hash64 }
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
        switch chain.network {
        case .http(let manager):
            record.kind = .http
            record.http = try compile(manager, place)
        case .tcp(let proxy):
            record.kind = .tcp
            record.tcp.clusters = weighted(proxy.clusters, route: nil).table
            record.tcp.idleTimeout = proxy.idleTimeout?.nanoseconds ?? 0
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
        http.codec = manager.codec
        for filter in manager.filters {
            switch filter {
            case .localRateLimit(let limit):
                http.hasRateLimitFilter = true
                http.rateLimit = try compile(limit, at: "\(place)/\(manager.statPrefix)")
            }
        }
        var logs: [Int32] = []
        for log in manager.accessLogs { logs.append(try compile(log, place)) }
        http.logs = arena.store(logs)
        http.serverName = arena.store(text: manager.serverName)
        http.serverHeader = manager.serverHeader
        http.via = arena.store(text: manager.via ?? "")
        http.usesRemoteAddress = manager.usesRemoteAddress
        http.skipsXFFAppend = manager.skipsXFFAppend
        http.hasInternalRanges = manager.internalRanges != nil
        http.internalRanges = arena.store(
            (manager.internalRanges ?? []).map {
                RangeRecord(address: $0.address, prefixLength: Int32($0.prefixLength))
            })
        http.generatesRequestID = manager.generatesRequestID
        http.preservesExternalRequestID = manager.preservesExternalRequestID
        http.setsRequestIDInResponse = manager.setsRequestIDInResponse
        http.forwardClientCertificate = manager.forwardClientCertificate
        http.certificateSubject = manager.currentClientCertificate.subject
        http.certificateURI = manager.currentClientCertificate.uri
        http.certificateDNS = manager.currentClientCertificate.dns
        http.limits = HTTP1Limits(
            headBytesMax: min(manager.headBytesMax, MessageHead.bytesMax),
            fieldsMax: min(manager.fieldsMax, MessageHead.fieldsMax), acceptsHTTP10: manager.acceptsHTTP10)
        http.defaultHostForHTTP10 = arena.store(text: manager.defaultHostForHTTP10 ?? "")
        http.enablesTrailers = manager.enablesTrailers
        http.http2MaxStreams = manager.http2.maxConcurrentStreams
        http.http2StreamWindow = min(max(manager.http2.initialStreamWindow, 65_535), 1 << 20)
        http.http2ConnectionWindow = min(max(manager.http2.initialConnectionWindow, 65_535), 4 << 20)
        http.allowsWebSocket = manager.upgrades.contains { $0.lowercased() == "websocket" }
        http.ignoresUnknownUpgrades = manager.ignoresUnknownUpgrades
        http.sendsProxyStatus = manager.sendsProxyStatus
        http.isMesh = manager.traceContext != nil || manager.sendsProxyStatus
        http.keepsCase = manager.headerKeyFormat == .preserveCase
        http.trustsLocalControls = manager.trustsLocalControls
        http.idleTimeout = manager.idleTimeout?.nanoseconds ?? 0
        http.streamIdleTimeout = manager.streamIdleTimeout?.nanoseconds ?? 0
        http.requestTimeout = manager.requestTimeout?.nanoseconds ?? 0
        http.requestHeadersTimeout = manager.requestHeadersTimeout?.nanoseconds ?? 0
        http.maxConnectionDuration = manager.maxConnectionDuration?.nanoseconds ?? 0
        http.maxStreamDuration = manager.maxStreamDuration?.nanoseconds ?? 0
        http.maxRequests = Int32(clamping: manager.maxRequestsPerConnection ?? 0)
        if let trace = manager.traceContext {
            http.hasTraceContext = true
            http.traceContext = TraceSettings(trace)
        }
        guard case .routes(let routes) = manager.routes else { return http }
        http.routes = try compile(routes, place)
        return http
    }

    private mutating func compile(_ log: AccessLog, _ place: String) throws(CompileError) -> Int32 {
        do throws(FormatError) {
            objects.accessLogs.append(try AccessLogSink(log, files: process.logFiles))
        } catch {
            throw CompileError(resource: place, reason: "access_log: \(error.description)")
        }
        return Int32(objects.accessLogs.count - 1)
    }

    // MARK: Rate limits

    private mutating func compile(_ limit: LocalRateLimit, at place: String) throws(CompileError) -> Int32 {
        let settings = limit.bucket.map {
            TokenBucketSettings(
                maxTokens: max($0.tokensMax, 1), tokensPerFill: max($0.tokensPerFill, 1),
                fillInterval: max($0.fillInterval.nanoseconds, 1_000))
        }
        let limiter = process.limiter(
            at: place, settings, scope: process.registry.rateLimit(limit.statPrefix), now: now)
        objects.limiters.append(limiter)
        rateLimits.append(
            RateLimitRecord(
                limiter: Unowned(limiter), status: UInt16(limit.status), enabled: fraction(limit.enabled),
                enforced: fraction(limit.enforced), answerEdits: try store(limit.responseHeaders, place),
                requestEdits: try store(limit.requestHeadersWhenNotEnforced, place),
                sendsHeaders: limit.sendsRateLimitHeaders, sendsRetryAfter: limit.sendsRetryAfter,
                asResourceExhausted: limit.asResourceExhausted))
        return Int32(rateLimits.count - 1)
    }

    /// A runtime key that is set replaces the default.
    private func fraction(_ fraction: Fraction) -> FractionRecord {
        if let key = fraction.runtimeKey, let value = runtime[key] {
            switch value {
            case .number(let percent):
                return FractionRecord(numerator: UInt32(max(0, min(percent, 100))), denominator: 100)
            case .bool(let isOn): return FractionRecord(numerator: isOn ? 100 : 0, denominator: 100)
            case .text: break
            }
        }
        return FractionRecord(numerator: fraction.numerator, denominator: fraction.denominator)
    }

    // MARK: Header edits

    private mutating func store(_ list: [HeaderEdit], _ place: String) throws(CompileError) -> Int32 {
        if list.isEmpty { return -1 }
        var records: [EditRecord] = []
        for edit in list {
            switch edit {
            case .remove(let name):
                let text = arena.store(text: name.lowercased())
                records.append(EditRecord(kind: .remove, name: text, known: FieldName(text)))
            case .set(let name, let value, let action, let keepsEmpty):
                let text = arena.store(text: name)
                var record = EditRecord(
                    kind: .append, name: text, known: FieldName(text), keepsEmpty: keepsEmpty)
                record.kind =
                    switch action {
                    case .appendOrAdd: .append
                    case .addIfAbsent: .addIfAbsent
                    case .overwriteOrAdd: .overwrite
                    case .overwriteIfExists: .overwriteIfExists
                    }
                if value.contains("%") {
                    do throws(FormatError) {
                        objects.formats.append(try AccessLogFormat(headerValue: value))
                    } catch {
                        throw CompileError(resource: place, reason: "header \(name): \(error.description)")
                    }
                    record.format = Int32(objects.formats.count - 1)
                } else {
                    record.value = arena.store(text: value)
                }
                records.append(record)
            }
        }
        edits.append(arena.store(records))
        return Int32(edits.count - 1)
    }

    // MARK: Routes

    private mutating func compile(_ configuration: RouteConfiguration, _ place: String) throws(CompileError)
        -> RouteTable
    {
        var table = RouteTable()
        table.name = arena.store(text: configuration.name)
        table.ignoresPort = configuration.ignoresPortInHost
        var routes: [RouteRecord] = []
        var hosts: [VirtualHostRecord] = []
        var domains: [DomainRecord] = []
        var suffixes: [DomainRecord] = []
        var prefixes: [DomainRecord] = []
        for (index, host) in configuration.virtualHosts.enumerated() {
            let first = routes.count
            for route in host.routes {
                routes.append(try compile(route, host, Int32(index), configuration, place))
            }
            hosts.append(try compile(host, Array(routes[first...]), from: Int32(first), place))
            for domain in host.domains {
                let arena = arena
                let record = { (text: Substring) in
                    DomainRecord(text: arena.store(text: text.lowercased()), host: Int32(index))
                }
                if domain == "*" {
                    table.catchAll = Int32(index)
                } else if domain.hasPrefix("*") {
                    suffixes.append(record(domain.dropFirst()))
                } else if domain.hasSuffix("*") {
                    prefixes.append(record(domain.dropLast()))
                } else {
                    domains.append(record(domain[...]))
                }
            }
        }
        table.routes = arena.store(routes)
        table.hosts = arena.store(hosts)
        table.domains = arena.store(domains)
        table.suffixes = arena.store(suffixes.sorted { $0.text.count > $1.text.count })
        table.prefixes = arena.store(prefixes.sorted { $0.text.count > $1.text.count })
        table.exactSlots = hashSlots(domains)
        return table
    }

    private func hashSlots(_ domains: [DomainRecord]) -> Table<Int32> {
        if domains.isEmpty { return Table() }
        var size = 4
        while size < domains.count * 2 { size *= 2 }
        var slots = [Int32](repeating: -1, count: size)
        for (index, domain) in domains.enumerated() {
            var slot = Int(truncatingIfNeeded: domain.text.hash64) & (size - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (size - 1) }
            slots[slot] = Int32(index)
        }
        return arena.store(slots)
    }

    private mutating func compile(
        _ host: VirtualHost, _ routes: [RouteRecord], from first: Int32, _ place: String
    ) throws(CompileError) -> VirtualHostRecord {
        let builder = PathTreeBuilder()
        var others: [Int32] = []
        for (offset, route) in host.routes.enumerated() {
            let index = first + Int32(offset)
            switch route.match.path {
            case .connect: others.append(index)
            case .prefix, .exact, .separatedPrefix:
                if route.match.isCaseSensitive {
                    builder.insert(route.match.path, index)
                } else {
                    others.append(index)
                }
            case .regex:
                throw CompileError(
                    resource: place, reason: "route \(route.name): safe_regex is not supported yet")
            }
        }
        var limit: Int32 = -1
        if let local = host.localRateLimit { limit = try compile(local, at: "\(place)/\(host.name)") }
        let (tree, lists) = builder.build(in: arena)
        return VirtualHostRecord(
            name: arena.store(text: host.name), tree: tree, lists: lists, others: arena.store(others),
            requiresTLS: host.requiresTLS, attemptCountInRequest: host.includesAttemptCountInRequest,
            attemptCountInResponse: host.includesAttemptCountInResponse, rateLimit: limit)
    }

    private mutating func compile(
        _ route: Route, _ host: VirtualHost, _ hostIndex: Int32, _ configuration: RouteConfiguration,
        _ place: String
    ) throws(CompileError) -> RouteRecord {
        var record = RouteRecord()
        record.name = arena.store(text: route.name)
        record.host = hostIndex
        try compile(route.match, into: &record, place)
        func ordered(
            _ inner: [HeaderEdit], _ route: [HeaderEdit], _ host: [HeaderEdit], _ outer: [HeaderEdit]
        ) -> [HeaderEdit] {
            configuration.mostSpecificHeaderMutationsWin
                ? outer + host + route + inner : inner + route + host + outer
        }
        record.requestEdits = try store(
            ordered([], route.requestHeaders, host.requestHeaders, configuration.requestHeaders), place)
        record.answerEdits = try store(
            ordered([], route.responseHeaders, host.responseHeaders, configuration.responseHeaders), place)
        if let local = route.localRateLimit {
            record.rateLimit = try compile(
                local, at: "\(place)/\(host.name)/\(route.name)/\(record.path.text)")
        } else if let local = host.localRateLimit {
            record.rateLimit = try compile(local, at: "\(place)/\(host.name)")
        }
        switch route.action {
        case .direct(let status, let body):
            record.action = .direct
            record.status = UInt16(status)
            record.body = arena.store(bytes: body)
        case .redirect(let redirect):
            record.action = .redirect
            record.status = UInt16(redirect.status)
            record.redirect = try store(redirect, place)
        case .forward(let forward):
            try compile(forward, host, into: &record, place)
            guard case .clusters(let list) = forward.target else { break }
            var table = weighted(list, route: record)
            for (index, cluster) in list.enumerated() {
                if !cluster.requestHeaders.isEmpty {
                    table.records[index].requestEdits = try store(
                        ordered(
                            cluster.requestHeaders, route.requestHeaders, host.requestHeaders,
                            configuration.requestHeaders), place)
                }
                if !cluster.responseHeaders.isEmpty {
                    table.records[index].answerEdits = try store(
                        ordered(
                            cluster.responseHeaders, route.responseHeaders, host.responseHeaders,
                            configuration.responseHeaders), place)
                }
            }
            record.clusters = arena.store(table.records)
        }
        return record
    }

    private func weighted(
        _ list: [WeightedCluster], route: RouteRecord?
    ) -> (records: [WeightedClusterRecord], table: Table<WeightedClusterRecord>) {
        var sum: UInt64 = 0
        let records = list.map { cluster in
            sum += UInt64(cluster.weight)
            return WeightedClusterRecord(
                cluster: clusterIndices[cluster.cluster] ?? -1, weightEnd: sum,
                requestEdits: route?.requestEdits ?? -1, answerEdits: route?.answerEdits ?? -1)
        }
        return (records, arena.store(records))
    }

    private mutating func store(_ redirect: Redirect, _ place: String) throws(CompileError) -> Int32 {
        var record = RedirectRecord()
        record.scheme = arena.store(text: redirect.scheme ?? "")
        record.host = arena.store(text: redirect.host ?? "")
        record.port = redirect.port ?? 0
        record.stripsQuery = redirect.stripsQuery
        switch redirect.path {
        case nil: break
        case .replace(let path): (record.hasPath, record.path) = (true, arena.store(text: path))
        case .prefix(let prefix): (record.hasPrefix, record.prefix) = (true, arena.store(text: prefix))
        case .regex: throw CompileError(resource: place, reason: "regex_rewrite is not supported yet")
        }
        redirects.append(record)
        return Int32(redirects.count - 1)
    }

    private func compile(_ match: RouteMatch, into record: inout RouteRecord, _ place: String)
        throws(CompileError)
    {
        switch match.path {
        case .prefix(let text):
            record.path = arena.store(text: text)
            if !match.isCaseSensitive { record.pathKind = .caseInsensitivePrefix }
        case .separatedPrefix(let text):
            record.path = arena.store(text: text)
            if !match.isCaseSensitive { record.pathKind = .caseInsensitivePrefix }
        case .exact(let text):
            record.path = arena.store(text: text)
            if !match.isCaseSensitive { record.pathKind = .caseInsensitiveExact }
        case .connect: record.pathKind = .connect
        case .regex: break
        }
        var headers: [HeaderMatchRecord] = []
        for header in match.headers { headers.append(try compile(header, place)) }
        record.headers = arena.store(headers)
        var parameters: [QueryMatchRecord] = []
        for parameter in match.query {
            var query = QueryMatchRecord(name: arena.store(text: parameter.name))
            switch parameter.test {
            case .present(let isThere): query.kind = isThere ? .present : .absent
            case .string(let string):
                (query.kind, query.value) = try compile(string, place)
                query.ignoresCase = string.ignoresCase
            }
            parameters.append(query)
        }
        record.query = arena.store(parameters)
        record.isGRPC = match.isGRPC
        if let share = match.fraction {
            let fraction = fraction(share)
            (record.fractionNumerator, record.fractionDenominator) = (
                fraction.numerator, fraction.denominator
            )
        }
    }

    private func compile(_ match: HeaderMatch, _ place: String) throws(CompileError) -> HeaderMatchRecord {
        var record = HeaderMatchRecord(name: arena.store(text: match.name))
        record.subject =
            switch match.name {
            case ":method": .method
            case ":path": .path
            case ":authority", "host": .authority
            case ":scheme": .scheme
            default: .field
            }
        record.isInverted = match.isInverted
        record.treatsMissingAsEmpty = match.treatsMissingAsEmpty
        switch match.test {
        case .present(let isThere): record.kind = isThere ? .present : .absent
        case .range(let start, let end): (record.kind, record.low, record.high) = (.range, start, end)
        case .string(let string):
            (record.kind, record.value) = try compile(string, place)
            record.ignoresCase = string.ignoresCase
        }
        return record
    }

    private func compile(_ match: StringMatch, _ place: String) throws(CompileError) -> (
        HeaderMatchRecord.Kind, ByteView
    ) {
        switch match.pattern {
        case .exact(let text): (.exact, arena.store(text: text))
        case .prefix(let text): (.prefix, arena.store(text: text))
        case .suffix(let text): (.suffix, arena.store(text: text))
        case .contains(let text): (.contains, arena.store(text: text))
        case .regex: throw CompileError(resource: place, reason: "safe_regex is not supported yet")
        }
    }

    private func compile(
        _ forward: Forward, _ host: VirtualHost, into record: inout RouteRecord, _ place: String
    ) throws(CompileError) {
        record.action = .forward
        if case .header(let name) = forward.target { record.clusterHeader = arena.store(text: name) }
        record.clusterNotFoundStatus = UInt16(forward.clusterNotFoundStatus)
        record.priority = forward.priority.rawValue
        record.timeout = forward.timeout?.nanoseconds ?? 0
        record.idleTimeout = forward.idleTimeout?.nanoseconds ?? -1
        record.maxStreamDuration = forward.maxStreamDuration?.nanoseconds ?? 0
        record.appendsForwardedHost = forward.appendsForwardedHost
        record.propagatesDeadline = forward.propagatesDeadline
        if let policy = forward.retryPolicy ?? host.retryPolicy {
            record.retry = settings(policy)
            record.idempotencyHeader = arena.store(text: policy.idempotencyHeader ?? "")
        }
        switch forward.pathRewrite {
        case nil: break
        case .prefix(let text):
            (record.hasPrefixRewrite, record.prefixRewrite) = (true, arena.store(text: text))
        case .regex: throw CompileError(resource: place, reason: "regex_rewrite is not supported yet")
        }
        switch forward.hostRewrite {
        case nil: break
        case .literal(let text): record.hostRewrite = arena.store(text: text)
        case .header(let name): record.hostRewriteHeader = arena.store(text: name)
        case .automatic: record.rewritesHostAutomatically = true
        case .pathRegex:
            throw CompileError(resource: place, reason: "host_rewrite_path_regex is not supported yet")
        }
    }

    private func settings(_ policy: RetryPolicy) -> RetrySettings {
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
        settings.avoidsPreviousHosts = policy.avoidsPreviousHosts
        settings.hostSelectionsMax = UInt32(clamping: policy.hostSelectionAttempts)
        return settings
    }
}

extension [UInt8] {
    /// Tells two byte strings apart within one process; nothing secret can be had from it.
    fileprivate var hashed: UInt64 { withByteView { $0.hash64 } }
}
