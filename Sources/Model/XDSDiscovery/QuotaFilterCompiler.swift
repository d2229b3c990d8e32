import MeshModel
import MeshPrimitives
import TrafficPolicy
import XDSSchema

// envoy.extensions.filters.http.rate_limit_quota.v3
extension ResourceCompiler {
    /// How deep predicates may lie within each other.
    private static var depthMax: Int { 16 }

    /// nil: there is no service to ask.
    mutating func quotaFilter(_ node: ConfigNode) -> QuotaFilter? {
        typealias F = XDS.RateLimitQuotaFilterConfig
        guard let grpc = node.child(F.rlqsServer), let service = rateLimitService(grpc) else { return nil }
        var filter = QuotaFilter(service: service, domain: node.message.text(F.domain))
        if let matcher = node.child(F.bucketMatchers) {
            typealias M = XDS.XDSMatcher
            let list = matcher.child(M.matcherList)?.children(XDS.XDSMatcherMatcherList.matchers) ?? []
            filter.rules = list.compactMap { quotaRule($0) }
            filter.rest = matcher.child(M.onNoMatch).flatMap { quotaBucket($0) }
        }
        filter.enabled = fraction(node.child(F.filterEnabled)) ?? .all
        filter.enforced = fraction(node.child(F.filterEnforced)) ?? .all
        filter.requestHeadersWhenNotEnforced = headerEdits(
            node, add: F.requestHeadersToAddWhenNotEnforced, remove: nil)
        return filter
    }

    private mutating func quotaRule(_ node: ConfigNode) -> QuotaFilter.Rule? {
        typealias F = XDS.XDSMatcherMatcherListFieldMatcher
        guard let predicate = node.child(F.predicate).flatMap({ quotaPredicate($0, depth: 0) }),
            let bucket = node.child(F.onMatch).flatMap({ quotaBucket($0) })
        else { return nil }
        return QuotaFilter.Rule(predicate, bucket)
    }

    private mutating func quotaPredicate(_ node: ConfigNode, depth: Int) -> QuotaFilter.Predicate? {
        typealias F = XDS.XDSMatcherMatcherListPredicate
        typealias L = XDS.XDSMatcherMatcherListPredicatePredicateList
        guard depth < Self.depthMax else {
            add("lies deeper than \(Self.depthMax) levels", at: node)
            return nil
        }
        func list(_ child: ConfigNode) -> [QuotaFilter.Predicate] {
            child.children(L.predicate).compactMap { quotaPredicate($0, depth: depth + 1) }
        }
        if let child = node.child(F.orMatcher) { return .any(list(child)) }
        if let child = node.child(F.andMatcher) { return .all(list(child)) }
        if let child = node.child(F.notMatcher) {
            return quotaPredicate(child, depth: depth + 1).map { .not($0) }
        }
        typealias S = XDS.XDSMatcherMatcherListPredicateSinglePredicate
        guard let single = node.child(F.singlePredicate), let input = single.child(S.input),
            let name = quotaField(input), let value = single.child(S.valueMatch),
            let match = quotaMatch(value)
        else { return nil }
        return .field(name: name, match)
    }

    /// Of `envoy.type.matcher.v3.HttpRequestHeaderMatchInput`.
    private mutating func quotaField(_ node: ConfigNode) -> String? {
        guard let config = node.child(XDS.XDSTypedExtensionConfig.typedConfig),
            config.type == XDS.HttpRequestHeaderMatchInput.messageType
        else {
            add(
                "needs 'typed_config' of type \(XDS.HttpRequestHeaderMatchInput.messageType.name)", at: node)
            return nil
        }
        return config.message.text(XDS.HttpRequestHeaderMatchInput.headerName).lowercased()
    }

    private mutating func quotaMatch(_ node: ConfigNode) -> StringMatch? {
        typealias F = XDS.XDSStringMatcher
        let message = node.message
        let ignoresCase = message.bool(F.ignoreCase)
        for (field, kind) in [
            (F.exact, StringMatch.Pattern.exact), (F.prefix, StringMatch.Pattern.prefix),
            (F.suffix, StringMatch.Pattern.suffix), (F.contains, StringMatch.Pattern.contains),
        ] where message.has(field) {
            return StringMatch(kind(message.text(field)), ignoresCase: ignoresCase)
        }
        guard let regex = node.child(F.safeRegex) else {
            add("needs one of 'exact', 'prefix', 'suffix', 'contains', 'safe_regex'", at: node)
            return nil
        }
        return self.regex(regex).map {
            StringMatch(.regex($0), ignoresCase: ignoresCase)
        }
    }

    // MARK: Buckets

    private mutating func quotaBucket(_ node: ConfigNode) -> QuotaFilter.Bucket? {
        typealias F = XDS.RateLimitQuotaBucketSettings
        guard let action = node.child(XDS.XDSMatcherOnMatch.action),
            let config = action.child(XDS.XDSTypedExtensionConfig.typedConfig), config.type == F.messageType
        else {
            add("needs 'action' of type \(F.messageType.name)", at: node)
            return nil
        }
        var bucket = QuotaFilter.Bucket()
        bucket.id = bucketID(config.child(F.bucketIdBuilder))
        if bucket.id.isEmpty { add("must not be empty", at: config, F.bucketIdBuilder) }
        bucket.reportInterval = config.message.duration(F.reportingInterval) ?? .seconds(1)
        if let deny = config.child(F.denyResponseSettings) {
            typealias D = XDS.RateLimitQuotaBucketSettingsDenyResponseSettings
            let status = Int(deny.message.message(D.httpStatus)?.enumerated(XDS.HttpStatus.code) ?? 0)
            bucket.status = status < 400 ? 429 : status
            bucket.body = deny.message.message(D.httpBody)?.bytes(XDS.BytesValue.value) ?? []
            bucket.grpcStatus = deny.message.message(D.grpcStatus).map { Int($0.signed(XDS.Status.code)) }
            bucket.responseHeaders = headerEdits(deny, add: D.responseHeadersToAdd, remove: nil)
        }
        if let node = config.child(F.noAssignmentBehavior) {
            typealias N = XDS.RateLimitQuotaBucketSettingsNoAssignmentBehavior
            bucket.withoutAssignment = node.child(N.fallbackRateLimit).map { strategy($0) } ?? .allowAll
        }
        if let node = config.child(F.expiredAssignmentBehavior) {
            typealias E = XDS.RateLimitQuotaBucketSettingsExpiredAssignmentBehavior
            bucket.expired = node.child(E.fallbackRateLimit).map { strategy($0) } ?? .keepLast
            bucket.expiredFor = node.message.duration(E.expiredAssignmentBehaviorTimeout)
        } else {
            // As Envoy: the bucket is given up, as if there had been no assignment.
            bucket.expired = bucket.withoutAssignment
        }
        return bucket
    }

    private mutating func bucketID(_ node: ConfigNode?) -> [String: QuotaFilter.Bucket.Value] {
        typealias F = XDS.RateLimitQuotaBucketSettingsBucketIdBuilder
        typealias V = XDS.RateLimitQuotaBucketSettingsBucketIdBuilderValueBuilder
        var id: [String: QuotaFilter.Bucket.Value] = [:]
        for (key, value) in node?.entries(F.bucketIdBuilder) ?? [] {
            if let custom = value.child(V.customValue) {
                guard let config = custom.child(XDS.TypedExtensionConfig.typedConfig),
                    config.type == XDS.HttpRequestHeaderMatchInput.messageType
                else {
                    add(
                        "needs 'typed_config' of type \(XDS.HttpRequestHeaderMatchInput.messageType.name)",
                        at: custom)
                    continue
                }
                id[key] = .field(
                    config.message.text(XDS.HttpRequestHeaderMatchInput.headerName).lowercased())
            } else {
                id[key] = .literal(value.message.text(V.stringValue))
            }
        }
        return id
    }

    private func strategy(_ node: ConfigNode) -> QuotaFallback {
        typealias F = XDS.RateLimitStrategy
        if let rate = node.message.message(F.requestsPerTimeUnit) {
            typealias R = XDS.RateLimitStrategyRequestsPerTimeUnit
            return .limited(
                perSecond: Double(rate.unsigned(R.requestsPerTimeUnit))
                    / RateLimitUnit(number: rate.enumerated(R.timeUnit)).seconds)
        }
        if let bucket = node.message.message(F.tokenBucket) {
            typealias B = XDS.TokenBucket
            let interval = bucket.duration(B.fillInterval) ?? .seconds(1)
            let tokens = Double(bucket.wrappedUnsigned(B.tokensPerFill) ?? 1)
            return .limited(perSecond: tokens / max(Double(interval.nanoseconds) / 1e9, 1e-6))
        }
        return node.message.enumerated(F.blanketRule) == 1 ? .denyAll : .allowAll
    }
}
