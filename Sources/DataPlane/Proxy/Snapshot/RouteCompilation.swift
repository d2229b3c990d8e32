import HTTPModel
import MeshModel
import MeshPrimitives
import RegularExpressions
import Telemetry
import TrafficPolicy

/// Route configurations and header changes, compiled.
extension SnapshotCompiler {
    /// For routes and mirrors whose cluster a header names; empty where there are none.
    var clusterNames: DomainTable {
        guard namesClustersByHeader else { return DomainTable() }
        return DomainTable(
            clusterIndices.sorted { $0.value < $1.value }.map {
                DomainRecord(text: arena.store(text: $0.key), host: $0.value)
            }, in: arena)
    }

    mutating func expression(_ pattern: String, _ place: String) throws(CompileError) -> Unowned<
        RegularExpression
    > {
        if let known = expressions[pattern] { return Unowned(objects.expressions[known]) }
        do throws(RegularExpression.Refusal) {
            // Its size was looked at when the configuration was checked.
            let made = try RegularExpression(pattern, programSizeMax: .max)
            expressions[pattern] = objects.expressions.count
            objects.expressions.append(made)
            return Unowned(made)
        } catch {
            throw CompileError(resource: place, reason: error.description)
        }
    }

    private mutating func rewrite(_ pattern: String, _ substitution: String, _ place: String)
        throws(CompileError) -> RewriteRecord
    {
        RewriteRecord(
            regex: try expression(pattern, place), substitution: arena.store(text: substitution))
    }

    // MARK: Header edits

    /// Index of a list of edits, -1 for an empty one. Each of `levels` sees what those before it have left.
    mutating func store(_ levels: [[HeaderEdit]], _ place: String) throws(CompileError) -> Int32 {
        var records: [EditRecord] = []
        var table = EditTable()
        for (level, list) in levels.enumerated() {
            for case .remove(let name) in list {
                let text = arena.store(text: name.lowercased())
                records.append(
                    EditRecord(kind: .remove, level: Int32(level), name: text, known: FieldName(text)))
            }
            for case .removeMatching(let match) in list {
                records.append(
                    EditRecord(
                        kind: .removeMatching, level: Int32(level), name: ByteView(""), known: .other,
                        nameMatch: try compile(match, place)))
            }
            for case .set(let name, let value, let action, let keepsEmpty) in list {
                let text = arena.store(text: name.lowercased())
                var record = EditRecord(
                    kind: .append, level: Int32(level), name: text, known: FieldName(text),
                    keepsEmpty: keepsEmpty)
                record.kind =
                    switch action {
                    case .appendOrAdd: .append
                    case .addIfAbsent: .addIfAbsent
                    case .overwriteOrAdd: .overwrite
                    case .overwriteIfExists: .overwriteIfExists
                    }
                if value.contains("%") {
                    do throws(FormatError) {
                        let format = try HeaderValueFormat(
                            value, in: arena, operations: &objects.formats)
                        if format.readsRequest { table.readsRequest = true }
                        record.format = format
                    } catch {
                        throw CompileError(resource: place, reason: "header \(name): \(error.description)")
                    }
                } else {
                    record.value = arena.store(text: value)
                }
                records.append(record)
            }
        }
        if records.isEmpty { return -1 }
        table.isPlain = records.allSatisfy { $0.kind == .append && $0.format == nil && !$0.isOmitted }
        table.records = arena.store(records)
        edits.append(table)
        return Int32(edits.count - 1)
    }

    // MARK: Routes

    mutating func compile(
        _ configuration: RouteConfiguration, _ place: String, _ filters: [HTTPFilter],
        _ defaults: Table<FilterRecord>
    ) throws(CompileError) -> RouteTable {
        var table = RouteTable()
        table.name = arena.store(text: configuration.name)
        table.ignoresPort = configuration.ignoresPortInHost
        var routes: [RouteRecord] = []
        var hosts: [VirtualHostRecord] = []
        var domains: [DomainRecord] = []
        var suffixes: [DomainRecord] = []
        var prefixes: [DomainRecord] = []
        // Records are large: to grow step by step would touch several times their memory.
        routes.reserveCapacity(
            configuration.virtualHosts.reduce(0) { $0 + $1.routes.count + ($1.requiresTLS ? 1 : 0) })
        hosts.reserveCapacity(configuration.virtualHosts.count)
        domains.reserveCapacity(configuration.virtualHosts.count)
        process.reserve(names: configuration.virtualHosts.count)
        for (index, host) in configuration.virtualHosts.enumerated() {
            let first = routes.count
            for route in host.routes {
                var record = try compile(route, host, Int32(index), configuration, place)
                if saysToFilters(route, host) {
                    try compileFilters(
                        of: route, host, in: configuration, index: routes.count, into: &record, filters,
                        defaults, place)
                }
                routes.append(record)
            }
            hosts.append(try compile(host, &routes, from: first, place))
            if host.requiresTLS {
                hosts[index].toHTTPS = Int32(routes.count)
                routes.append(redirectToHTTPS(Int32(index)))
            }
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
        table.needsChance = routes.contains {
            $0.fractionNumerator < $0.fractionDenominator || $0.clusters.count > 1 || !$0.mirrors.isEmpty
        }
        table.needsScheme =
            hosts.contains { $0.toHTTPS >= 0 }
            || routes.contains { route in
                route.headers.indices.contains { route.headers[$0].subject == .scheme }
            }
        table.routes = arena.store(routes)
        table.hosts = arena.store(hosts)
        table.domains = DomainTable(domains, in: arena)
        table.suffixes = DomainTable(suffixes, in: arena)
        table.prefixes = DomainTable(prefixes, in: arena)
        return table
    }

    private func saysToFilters(_ route: Route, _ host: VirtualHost) -> Bool {
        if !route.filters.isEmpty || !host.filters.isEmpty { return true }
        guard case .forward(let forward) = route.action, case .clusters(let list) = forward.target else {
            return false
        }
        return list.contains { !$0.filters.isEmpty }
    }

    /// What the route, its host and its weighted clusters say to filters. `index` is the route's among all.
    private mutating func compileFilters(
        of route: Route, _ host: VirtualHost, in configuration: RouteConfiguration, index: Int,
        into record: inout RouteRecord, _ filters: [HTTPFilter], _ defaults: Table<FilterRecord>,
        _ place: String
    ) throws(CompileError) {
        let hostPlace = "\(place)/\(configuration.name)/\(host.name)"
        let hostLevel = FilterLevel(host.filters, hostPlace, hostPlace)
        let routeLevel = FilterLevel(
            route.filters, "\(hostPlace)/\(route.name)/\(route.match.path)", "\(hostPlace)#\(index)")
        record.filters = try settings(for: filters, defaults, [routeLevel, hostLevel], place)
        guard case .forward(let forward) = route.action, case .clusters(let list) = forward.target,
            list.contains(where: { !$0.filters.isEmpty })
        else { return }
        var clusters = record.clusters.indices.map { record.clusters[$0] }
        for (number, cluster) in list.enumerated() {
            let clusterLevel = FilterLevel(
                cluster.filters, "\(routeLevel.place)/\(cluster.cluster)", "\(routeLevel.key)#\(number)")
            clusters[number].filters = try settings(
                for: filters, defaults, [clusterLevel, routeLevel, hostLevel], place)
        }
        record.clusters = arena.store(clusters)
        record.hasClusterFilters = true
    }

    /// The trees of the host's routes, which are those from `first` on.
    private mutating func compile(
        _ host: VirtualHost, _ routes: inout [RouteRecord], from first: Int, _ place: String
    ) throws(CompileError) -> VirtualHostRecord {
        let takesAll = !host.routes.isEmpty && self.takesAll(host.routes[0].match)
        var (trees, connects) = ((plain: PathTree(), folded: PathTree()), [Int32]())
        // One that takes every path with a slash in front leaves nothing for a tree to find: without one there is no path.
        if host.routes.count != 1 || !takesAll || host.routes[0].match.path != .prefix("/") {
            trees = try compileTrees(host, &routes, from: first, &connects, place)
        }
        return VirtualHostRecord(
            name: arena.store(text: host.name), tree: trees.plain, foldedTree: trees.folded,
            connects: arena.store(connects), takesAll: takesAll ? Int32(first) : -1, toHTTPS: -1,
            attemptCountInRequest: host.includesAttemptCountInRequest,
            attemptCountInResponse: host.includesAttemptCountInResponse,
            rateLimitRules: try compile(host.rateLimits ?? [], place))
    }

    private mutating func compileTrees(
        _ host: VirtualHost, _ routes: inout [RouteRecord], from first: Int, _ connects: inout [Int32],
        _ place: String
    ) throws(CompileError) -> (plain: PathTree, folded: PathTree) {
        var tree = PathTreeBuilder()
        var folded = PathTreeBuilder(foldsCase: true)
        for (offset, route) in host.routes.enumerated() {
            let index = Int32(first + offset)
            switch route.match.path {
            case .connect: connects.append(index)
            case .regex(let pattern):
                let regex = try expression(pattern, place)
                routes[first + offset].pathRegex = regex
                tree.insert(prefix: regex.with { $0.prefix }, index)
            case .prefix, .exact, .separatedPrefix:
                if route.match.isCaseSensitive {
                    tree.insert(route.match.path, index)
                } else {
                    folded.insert(route.match.path, index)
                }
            }
        }
        return (tree.build(in: arena), folded.build(in: arena))
    }

    private func takesAll(_ match: RouteMatch) -> Bool {
        (match.path == .prefix("/") || match.path == .prefix("")) && match.headers.isEmpty
            && match.query.isEmpty && !match.isGRPC && match.fraction == nil
    }

    /// What `require_tls` does with a request that came without.
    private mutating func redirectToHTTPS(_ host: Int32) -> RouteRecord {
        var redirect = RedirectRecord()
        redirect.scheme = ByteView("https")
        redirect.keepsPort = true
        redirects.append(redirect)
        var route = RouteRecord()
        (route.action, route.status, route.host) = (.redirect, 301, host)
        route.redirect = Int32(redirects.count - 1)
        return route
    }

    private mutating func compile(
        _ route: Route, _ host: VirtualHost, _ hostIndex: Int32, _ configuration: RouteConfiguration,
        _ place: String
    ) throws(CompileError) -> RouteRecord {
        var record = RouteRecord()
        record.name = arena.store(text: route.name)
        record.nameID = nameID(of: route)
        record.hostID = process.nameID(host.name)
        record.operation = arena.store(text: route.operation)
        record.tellsOperation = route.propagatesOperation
        record.metadata = arena.store(
            route.metadata.map {
                MetadataRecord(place: arena.store(text: $0.key.text), value: arena.store(text: $0.value))
            })
        if let tracing, let own = route.tracing {
            record.tracing = arena.store([
                try compile(tracing.settings, own, isMesh: tracing.isMesh, place)
            ])
        }
        record.host = hostIndex
        try compile(route.match, into: &record, place)
        // Those of a weighted cluster, the route, the host and the configuration.
        func edits(
            _ inner: [HeaderEdit], _ route: [HeaderEdit], _ host: [HeaderEdit], _ outer: [HeaderEdit]
        ) throws(CompileError) -> Int32 {
            if inner.isEmpty, route.isEmpty, host.isEmpty, outer.isEmpty { return -1 }
            // As Envoy does it: those of a weighted cluster come first either way.
            return try store(
                [inner]
                    + (configuration.mostSpecificHeaderMutationsWin
                        ? [outer, host, route] : [route, host, outer]),
                place)
        }
        record.requestEdits = try edits(
            [], route.requestHeaders, host.requestHeaders, configuration.requestHeaders)
        record.answerEdits = try edits(
            [], route.responseHeaders, host.responseHeaders, configuration.responseHeaders)
        switch route.action {
        case .direct(let status, let body):
            record.action = .direct
            record.status = UInt16(status)
            record.body = arena.store(bytes: body)
        case .redirect(let redirect):
            record.action = .redirect
            record.status = UInt16(redirect.status)
            try compile(redirect, route.match, into: &record, place)
        case .forward(let forward):
            try compile(forward, host, route.match, into: &record, place)
            record.rateLimitRules = try compile(forward.rateLimits ?? [], place)
            record.includesHostRateLimits = forward.includesHostRateLimits
            guard case .clusters(let list) = forward.target else { break }
            var records = weighted(list, route: record)
            for (index, cluster) in list.enumerated() {
                if !cluster.requestHeaders.isEmpty {
                    records[index].requestEdits = try edits(
                        cluster.requestHeaders, route.requestHeaders, host.requestHeaders,
                        configuration.requestHeaders)
                }
                if !cluster.responseHeaders.isEmpty {
                    records[index].answerEdits = try edits(
                        cluster.responseHeaders, route.responseHeaders, host.responseHeaders,
                        configuration.responseHeaders)
                }
            }
            setSubsets(&records, list, forward.subset)
            record.clusters = arena.store(records)
        }
        return record
    }

    /// Of the route, or its match where it has no name: thousands of routes in a row take all that comes.
    private mutating func nameID(of route: Route) -> NameID {
        if !route.name.isEmpty { return process.nameID(route.name) }
        if let lastMatch, lastMatch.path == route.match.path { return lastMatch.id }
        let id = process.nameID(route.match.path.text)
        lastMatch = (route.match.path, id)
        return id
    }

    func weighted(
        _ list: [WeightedCluster], route: RouteRecord?
    ) -> [WeightedClusterRecord] {
        var sum: UInt64 = 0
        return list.map { cluster in
            sum += UInt64(cluster.weight)
            return WeightedClusterRecord(
                cluster: clusterIndices[cluster.cluster] ?? -1, weightEnd: sum,
                requestEdits: route?.requestEdits ?? -1, answerEdits: route?.answerEdits ?? -1)
        }
    }

    // MARK: Matches

    private mutating func compile(_ match: RouteMatch, into record: inout RouteRecord, _ place: String)
        throws(CompileError)
    {
        var headers: [HeaderMatchRecord] = []
        for header in match.headers { headers.append(try compile(header, place)) }
        record.headers = arena.store(headers)
        record.query = try compile(match.query, place)
        record.isGRPC = match.isGRPC
        if let share = match.fraction {
            let fraction = fraction(share)
            (record.fractionNumerator, record.fractionDenominator) = (
                fraction.numerator, fraction.denominator
            )
        }
    }

    mutating func compile(_ matches: [QueryMatch], _ place: String) throws(CompileError) -> Table<
        QueryMatchRecord
    > {
        var records: [QueryMatchRecord] = []
        for match in matches {
            var record = QueryMatchRecord(name: arena.store(text: match.name))
            switch match.test {
            case .present(let isThere): record.kind = isThere ? .present : .absent
            case .string(let string): (record.kind, record.text) = (.text, try compile(string, place))
            }
            records.append(record)
        }
        return arena.store(records)
    }

    mutating func compile(_ match: HeaderMatch, _ place: String) throws(CompileError) -> HeaderMatchRecord {
        let name = arena.store(text: match.name.lowercased())
        var record = HeaderMatchRecord(name: name, known: FieldName(name))
        record.subject =
            switch match.name.lowercased() {
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
        case .string(let string): (record.kind, record.text) = (.text, try compile(string, place))
        }
        return record
    }

    mutating func compile(_ match: StringMatch, _ place: String) throws(CompileError) -> TextMatchRecord {
        var record = TextMatchRecord()
        record.ignoresCase = match.ignoresCase
        switch match.pattern {
        case .exact(let text): (record.kind, record.text) = (.exact, arena.store(text: text))
        case .prefix(let text): (record.kind, record.text) = (.prefix, arena.store(text: text))
        case .suffix(let text): (record.kind, record.text) = (.suffix, arena.store(text: text))
        case .contains(let text): (record.kind, record.text) = (.contains, arena.store(text: text))
        case .regex(let pattern): (record.kind, record.regex) = (.regex, try expression(pattern, place))
        }
        return record
    }

    // MARK: Actions

    /// What a rewrite of the prefix replaces: the prefix of such a match, else the whole path.
    private func matchedLength(_ match: RouteMatch) -> Int32 {
        switch match.path {
        case .prefix(let text), .separatedPrefix(let text): Int32(text.utf8.count)
        case .exact, .regex, .connect: -1
        }
    }

    private mutating func compile(
        _ redirect: Redirect, _ match: RouteMatch, into route: inout RouteRecord, _ place: String
    ) throws(CompileError) {
        var record = RedirectRecord()
        record.scheme = arena.store(text: redirect.scheme ?? "")
        record.host = arena.store(text: redirect.host ?? "")
        record.port = redirect.port ?? 0
        record.stripsQuery = redirect.stripsQuery
        route.pathRewrite.matched = matchedLength(match)
        switch redirect.path {
        case nil: break
        case .replace(let path): record.path = arena.store(text: path)
        case .prefix(let prefix): route.pathRewrite.prefix = arena.store(text: prefix)
        case .regex(let pattern, let substitution):
            route.pathRewrite.regex = try rewrite(pattern, substitution, place)
        }
        redirects.append(record)
        route.redirect = Int32(redirects.count - 1)
    }

    private mutating func compile(
        _ shared: Rare<RetryPolicy>, into record: inout RouteRecord, _ place: String
    ) throws(CompileError) {
        if shared != lastRetry.policy {
            guard let policy = shared.wrappedValue else { return }
            lastRetry = (shared, try compile(policy, place))
        }
        let retry = lastRetry.record
        record.retry = retry.settings
        record.omittedMetadata = retry.omittedMetadata
        record.idempotencyHeader = retry.idempotencyHeader
        record.retriableHeaders = retry.answers
        record.retriableRequestHeaders = retry.requests
        record.resetFields = retry.resetFields
    }

    private mutating func compile(_ policy: RetryPolicy, _ place: String) throws(CompileError) -> RetryRecord
    {
        var record = RetryRecord()
        record.settings = settings(policy)
        record.omittedMetadata = store(policy.omittedMetadata)
        record.idempotencyHeader = arena.store(text: policy.idempotencyHeader ?? "")
        var answers: [HeaderMatchRecord] = []
        for match in policy.retriableHeaders { answers.append(try compile(match, place)) }
        record.answers = arena.store(answers)
        var requests: [HeaderMatchRecord] = []
        for match in policy.retriableRequestHeaders { requests.append(try compile(match, place)) }
        record.requests = arena.store(requests)
        record.resetFields = arena.store(
            policy.resetHeaders.map {
                ResetFieldRecord(name: arena.store(text: $0.name), format: $0.format)
            })
        return record
    }

    private mutating func compileShadow(of forward: Forward, into record: inout RouteRecord) {
        guard
            !forward.$shadowRetryPolicy.isNone || !forward.$shadowTimeout.isNone
                || !forward.$shadowPerTryTimeout.isNone
        else { return }
        var shadow = ShadowRecord()
        if let policy = forward.shadowRetryPolicy {
            shadow.retry = settings(policy)
            shadow.idempotencyHeader = arena.store(text: policy.idempotencyHeader ?? "")
        }
        shadow.timeout = forward.shadowTimeout?.nanoseconds ?? 0
        shadow.perTryTimeout = forward.shadowPerTryTimeout?.nanoseconds ?? 0
        record.shadow = arena.store([shadow])
    }

    private mutating func compile(
        _ forward: Forward, _ host: VirtualHost, _ match: RouteMatch, into record: inout RouteRecord,
        _ place: String
    ) throws(CompileError) {
        record.action = .forward
        if case .header(let name) = forward.target {
            record.clusterHeader = arena.store(text: name)
            namesClustersByHeader = true
        }
        record.clusterNotFoundStatus = UInt16(forward.clusterNotFoundStatus)
        record.priority = forward.priority.rawValue
        record.timeout = forward.timeout?.nanoseconds ?? 0
        if record.timeout > 0 {
            record.timeoutText = arena.store(text: String(max(1, record.timeout / 1_000_000)))
        }
        record.idleTimeout = forward.idleTimeout?.nanoseconds ?? -1
        record.maxStreamDuration = forward.maxStreamDuration?.nanoseconds ?? -1
        record.grpcTimeoutMax = forward.grpcTimeoutMax?.nanoseconds ?? -1
        record.grpcTimeoutOffset = forward.grpcTimeoutOffset.nanoseconds
        record.appendsForwardedHost = forward.appendsForwardedHost
        record.propagatesDeadline = forward.propagatesDeadline
        record.bufferLimit = host.bufferLimit.map { Int32(clamping: $0) } ?? -1
        record.hashing = try compile(forward.hashing, place)
        record.criteria = store(forward.subset)
        record.mirrors = compile(forward.mirrors.isEmpty ? host.mirrors : forward.mirrors)
        record.internalRedirects = compile(forward.internalRedirects)
        record.endsConnect = forward.endsConnect
        if !forward.upgrades.isEmpty {
            let upgrades = forward.upgrades.sorted { $0.key < $1.key }
            record.upgradesTaken = arena.store(upgrades.filter(\.value).map { arena.store(text: $0.key) })
            record.upgradesRefused = arena.store(
                upgrades.filter { !$0.value }.map { arena.store(text: $0.key) })
        }
        let policy = forward.$retryPolicy.isNone ? host.$retryPolicy : forward.$retryPolicy
        if !policy.isNone { try compile(policy, into: &record, place) }
        record.retry.hedgesOnPerTryTimeout = forward.hedges ?? host.hedges
        compileShadow(of: forward, into: &record)
        record.pathRewrite.matched = matchedLength(match)
        switch forward.pathRewrite {
        case nil: break
        case .prefix(let text): record.pathRewrite.prefix = arena.store(text: text)
        case .regex(let pattern, let substitution):
            record.pathRewrite.regex = try rewrite(pattern, substitution, place)
        }
        switch forward.hostRewrite {
        case nil: break
        case .literal(let text): record.hostRewrite = arena.store(text: text)
        case .header(let name): record.hostRewriteHeader = arena.store(text: name.lowercased())
        case .automatic: record.rewritesHostAutomatically = true
        case .pathRegex(let pattern, let substitution):
            record.hostFromPath = try rewrite(pattern, substitution, place)
        }
    }
}
