import MeshModel
import MeshPrimitives
import Telemetry
import TrafficPolicy

/// Local rate limits and the rules that make descriptors of requests, compiled.
extension SnapshotCompiler {
    mutating func compile(_ limit: LocalRateLimit, at place: String) throws(CompileError) -> Int32 {
        let settings = RateLimiter.Settings(
            common: limit.bucket.map { bucket($0) },
            descriptors: limit.descriptors.map { descriptor in
                RateLimiter.Descriptor(
                    entries: descriptor.entries.map {
                        DescriptorTable.Entry(
                            process.descriptorKey($0.key), $0.value.isEmpty ? nil : $0.value)
                    }, bucket: bucket(descriptor.bucket))
            }, alwaysTakesCommon: limit.alwaysTakesCommon, openValuesMax: max(limit.openValuesMax, 1))
        let limiter = limiter(at: place, settings)
        rateLimits.append(
            RateLimitRecord(
                place: process.nameID(place), limiter: Unowned(limiter),
                scope: process.registry.rateLimit(limit.statPrefix),
                hasDescriptors: !limit.descriptors.isEmpty, isPerConnection: limit.isPerConnection,
                stage: UInt8(clamping: limit.stage), hostRules: limit.hostRules,
                rules: try compile(limit.rules, place), status: UInt16(clamping: limit.status),
                enabled: fraction(limit.enabled), enforced: fraction(limit.enforced),
                answerEdits: try store([limit.responseHeaders], place),
                requestEdits: try store([limit.requestHeadersWhenNotEnforced], place),
                sendsHeaders: limit.sendsRateLimitHeaders, sendsRetryAfter: limit.sendsRetryAfter,
                asResourceExhausted: limit.asResourceExhausted))
        return Int32(rateLimits.count - 1)
    }

    mutating func compile(_ limit: GlobalRateLimit, _ place: String) throws(CompileError)
        -> GlobalLimitRecord
    {
        let timeout = limit.timeout?.nanoseconds ?? 0
        return GlobalLimitRecord(
            service: clusterIndices[limit.service.cluster] ?? -1,
            head: arena.store(
                text: Self.questionHead(
                    limit.service, "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit",
                    timeout: timeout)),
            domain: arena.store(text: limit.domain), stage: UInt8(clamping: limit.stage),
            hostRules: limit.hostRules, rules: try compile(limit.rules, place), requests: limit.requests,
            timeout: timeout, deniedWithoutAnswer: fraction(limit.deniedWithoutAnswer),
            status: UInt16(clamping: limit.status), statusOnError: UInt16(clamping: limit.statusOnError),
            asResourceExhausted: limit.asResourceExhausted, sendsHeaders: limit.sendsRateLimitHeaders,
            marksRefusals: limit.marksRefusals, answerEdits: try store([limit.responseHeaders], place),
            enabled: fraction(limit.enabled), enforced: fraction(limit.enforced))
    }

    /// Of a gRPC call without a stream (gRPC over HTTP/2, Requests).
    private static func questionHead(_ service: GlobalRateLimit.Service, _ path: String, timeout: Int64)
        -> String
    {
        let authority = service.authority.isEmpty ? service.cluster : service.authority
        var text = "POST \(path) HTTP/1.1\r\nhost: \(authority)\r\ncontent-type: application/grpc\r\n"
        text += "te: trailers\r\n"
        if timeout > 0 { text += "grpc-timeout: \(max(timeout / 1_000_000, 1))m\r\n" }
        for (name, value) in service.metadata { text += "\(name): \(value)\r\n" }
        return text + "\r\n"
    }

    mutating func compile(_ limits: [ConnectionRateLimit], of chain: String) -> Table<ConnectionLimitRecord> {
        var records: [ConnectionLimitRecord] = []
        for (index, limit) in limits.enumerated() where flag(limit.isEnabled, limit.runtimeKey) {
            let limiter = limiter(
                at: "\(chain)/connections/\(index)", RateLimiter.Settings(common: bucket(limit.bucket)))
            records.append(
                ConnectionLimitRecord(
                    limiter: Unowned(limiter), scope: process.registry.connectionLimit(limit.statPrefix)))
        }
        return arena.store(records)
    }

    /// Two limits of one configuration never share a bucket, even if nothing tells their places apart.
    private mutating func limiter(at wanted: String, _ settings: RateLimiter.Settings) -> RateLimiter {
        var place = wanted
        while !limiterPlaces.insert(place).inserted { place += "'" }
        let limiter = process.limiter(at: place, settings, now: now)
        objects.limiters.append(limiter)
        return limiter
    }

    private func bucket(_ bucket: MeshModel.TokenBucket) -> TokenBucketSettings {
        TokenBucketSettings(
            maxTokens: max(bucket.tokensMax, 1), tokensPerFill: max(bucket.tokensPerFill, 1),
            fillInterval: max(bucket.fillInterval.nanoseconds, 1_000))
    }

    // MARK: Rules

    mutating func compile(_ rules: [RateLimitRule], _ place: String) throws(CompileError)
        -> Table<RateLimitRuleRecord>
    {
        var records: [RateLimitRuleRecord] = []
        for rule in rules {
            var actions: [RateLimitActionRecord] = []
            for action in rule.actions { actions.append(try compile(action, place)) }
            var enabled = Fraction.all
            if !rule.disableKey.isEmpty {
                enabled.runtimeKey = "ratelimit.\(rule.disableKey).http_filter_enabled"
            }
            records.append(
                RateLimitRuleRecord(
                    stage: UInt8(clamping: rule.stage), hasDisableKey: !rule.disableKey.isEmpty,
                    enabled: fraction(enabled), hits: rule.hits.map { Int64($0) } ?? -1,
                    actions: arena.store(actions)))
        }
        return arena.store(records)
    }

    private mutating func compile(_ action: RateLimitRule.Action, _ place: String) throws(CompileError)
        -> RateLimitActionRecord
    {
        func record(_ kind: RateLimitActionRecord.Kind, _ key: String) -> RateLimitActionRecord {
            RateLimitActionRecord(
                kind: kind, key: process.descriptorKey(key), keyText: arena.store(text: key))
        }
        switch action {
        case .sourceCluster:
            var made = record(.literal, "source_cluster")
            made.value = arena.store(text: nodeCluster)
            return made
        case .destinationCluster: return record(.destinationCluster, "destination_cluster")
        case .header(let name, let key, let skips):
            var made = record(.header, key)
            let match = try compile(HeaderMatch(name: name, test: .present(true)), place)
            (made.name, made.subject, made.skipsIfAbsent) = (match.name, match.subject, skips)
            return made
        case .parameter(let name, let key, let skips):
            var made = record(.parameter, key)
            (made.name, made.skipsIfAbsent) = (arena.store(text: name), skips)
            return made
        case .remoteAddress: return record(.remoteAddress, "remote_address")
        case .maskedRemoteAddress(let v4Bits, let v6Bits):
            var made = record(.maskedRemoteAddress, "masked_remote_address")
            (made.v4Bits, made.v6Bits) = (UInt8(clamping: v4Bits), UInt8(clamping: v6Bits))
            return made
        case .literal(let key, let value):
            var made = record(.literal, key)
            made.value = arena.store(text: value)
            return made
        case .headerMatch(let key, let value, let isExpected, let matches):
            var made = record(.headerMatch, key)
            (made.value, made.isExpected) = (arena.store(text: value), isExpected)
            var headers: [HeaderMatchRecord] = []
            for match in matches { headers.append(try compile(match, place)) }
            made.headers = arena.store(headers)
            return made
        case .parameterMatch(let key, let value, let isExpected, let matches):
            var made = record(.parameterMatch, key)
            (made.value, made.isExpected) = (arena.store(text: value), isExpected)
            made.parameters = try compile(matches, place)
            return made
        case .metadata(let key, let path, let fallback, let skips):
            var made = record(.metadata, key)
            made.name = arena.store(text: path?.text ?? "")
            (made.value, made.skipsIfAbsent) = (arena.store(text: fallback), skips)
            return made
        case .callerIdentity(let key): return record(.callerIdentity, key)
        }
    }
}
