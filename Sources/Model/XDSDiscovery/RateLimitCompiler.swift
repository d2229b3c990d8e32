import MeshModel
import XDSSchema

// Local rate limits, and the rules that make descriptors of requests (envoy.config.route.v3.RateLimit).
extension ResourceCompiler {
    mutating func localRateLimit(_ node: ConfigNode) -> LocalRateLimit {
        typealias F = XDS.LocalRateLimit
        let message = node.message
        var limit = LocalRateLimit(statPrefix: message.text(F.statPrefix))
        limit.bucket = node.child(F.tokenBucket).map { tokenBucket($0) }
        for descriptor in node.children(F.descriptors) {
            limit.descriptors.append(localDescriptor(descriptor))
        }
        limit.alwaysTakesCommon = message.wrappedBool(F.alwaysConsumeDefaultTokenBucket) ?? true
        limit.openValuesMax = Int(
            clamping: min(message.wrappedUnsigned(F.maxDynamicDescriptors) ?? 20, 1 << 16))
        limit.stage = Int(message.unsigned(F.stage))
        limit.hostRules =
            hostRateLimits(message.enumerated(F.vhRateLimits))
        limit.rules = rateLimitRules(node, F.rateLimits)
        if let status = message.message(F.status) {
            let code = Int(status.enumerated(XDS.HttpStatus.code))
            limit.status = code < 400 ? 429 : code
        }
        limit.enabled = fraction(node.child(F.filterEnabled)) ?? .none
        limit.enforced = fraction(node.child(F.filterEnforced)) ?? .none
        limit.responseHeaders = headerEdits(node, add: F.responseHeadersToAdd, remove: nil)
        limit.requestHeadersWhenNotEnforced = headerEdits(
            node, add: F.requestHeadersToAddWhenNotEnforced, remove: nil)
        limit.isPerConnection = message.bool(F.localRateLimitPerDownstreamConnection)
        limit.sendsRateLimitHeaders = message.enumerated(F.enableXRatelimitHeaders) == 1
        limit.asResourceExhausted = message.bool(F.rateLimitedAsResourceExhausted)
        return limit
    }

    /// nil: there is no service to ask.
    mutating func globalRateLimit(_ node: ConfigNode) -> GlobalRateLimit? {
        typealias F = XDS.GlobalRateLimit
        let message = node.message
        guard
            let grpc = node.child(F.rateLimitService)?.child(XDS.RateLimitServiceConfig.grpcService),
            let service = rateLimitService(grpc)
        else { return nil }
        var limit = GlobalRateLimit(service: service, domain: message.text(F.domain))
        limit.stage = Int(message.unsigned(F.stage))
        limit.rules = rateLimitRules(node, F.rateLimits)
        switch message.text(F.requestType) {
        case "internal": limit.requests = .internalOnes
        case "external": limit.requests = .externalOnes
        default: break
        }
        let timeout = message.duration(F.timeout) ?? .milliseconds(20)
        limit.timeout = timeout == .zero ? nil : timeout
        limit.deniedWithoutAnswer =
            fraction(node.child(F.failureModeDenyPercent)) ?? (message.bool(F.failureModeDeny) ? .all : .none)
        limit.status = status(message.message(F.rateLimitedStatus), standard: 429)
        limit.statusOnError = status(message.message(F.statusOnError), standard: 500)
        limit.asResourceExhausted = message.bool(F.rateLimitedAsResourceExhausted)
        limit.sendsRateLimitHeaders = message.enumerated(F.enableXRatelimitHeaders) == 1
        limit.marksRefusals = !message.bool(F.disableXEnvoyRatelimitedHeader)
        limit.responseHeaders = headerEdits(node, add: F.responseHeadersToAdd, remove: nil)
        var (enabled, enforced) = (Fraction.all, Fraction.all)
        enabled.runtimeKey = "ratelimit.http_filter_enabled"
        enforced.runtimeKey = "ratelimit.http_filter_enforcing"
        limit.enabled = fraction(node.child(F.filterEnabled)) ?? enabled
        limit.enforced = fraction(node.child(F.filterEnforced)) ?? enforced
        return limit
    }

    private func status(_ message: ConfigMessage?, standard: Int) -> Int {
        let code = Int(message?.enumerated(XDS.HttpStatus.code) ?? 0)
        return code < 400 ? standard : code
    }

    mutating func rateLimitService(_ node: ConfigNode) -> GlobalRateLimit.Service? {
        guard let grpc = node.child(XDS.GrpcService.envoyGrpc) else {
            add("needs 'envoy_grpc'", at: node)
            return nil
        }
        typealias F = XDS.GrpcServiceEnvoyGrpc
        var service = GlobalRateLimit.Service(cluster: grpc.message.text(F.clusterName))
        refer(to: service.cluster, grpc, F.clusterName)
        service.authority = grpc.message.text(F.authority)
        service.metadata = node.message.messages(XDS.GrpcService.initialMetadata).map {
            ($0.text(XDS.HeaderValue.key).lowercased(), $0.text(XDS.HeaderValue.value))
        }
        return service
    }

    func hostRateLimits(_ value: Int32) -> HostRateLimits {
        value == 1 ? .too : value == 2 ? .never : .whereRouteHasNone
    }

    mutating func globalRateLimitOverride(_ node: ConfigNode) -> GlobalRateLimitOverride {
        typealias F = XDS.RateLimitPerRoute
        var override = GlobalRateLimitOverride()
        override.hostRules = hostRateLimits(node.message.enumerated(F.vhRateLimits))
        override.rules = rateLimitRules(node, F.rateLimits)
        override.domain = node.message.text(F.domain)
        return override
    }

    mutating func connectionRateLimit(_ node: ConfigNode) -> ConnectionRateLimit? {
        typealias F = XDS.ConnectionRateLimit
        guard let bucket = node.child(F.tokenBucket) else { return nil }
        var limit = ConnectionRateLimit(
            statPrefix: node.message.text(F.statPrefix), bucket: tokenBucket(bucket))
        if let flag = node.message.message(F.runtimeEnabled) {
            limit.isEnabled = flag.wrappedBool(XDS.RuntimeFeatureFlag.defaultValue) ?? true
            limit.runtimeKey = flag.text(XDS.RuntimeFeatureFlag.runtimeKey)
        }
        return limit
    }

    private mutating func tokenBucket(_ node: ConfigNode) -> TokenBucket {
        typealias F = XDS.TokenBucket
        let interval = node.message.duration(F.fillInterval) ?? .zero
        if interval < .milliseconds(50) { add("must be at least 0.050s", at: node, F.fillInterval) }
        return TokenBucket(
            tokensMax: UInt32(clamping: node.message.unsigned(F.maxTokens)),
            tokensPerFill: UInt32(clamping: node.message.wrappedUnsigned(F.tokensPerFill) ?? 1),
            fillInterval: interval)
    }

    private mutating func localDescriptor(_ node: ConfigNode) -> LocalRateLimit.Descriptor {
        typealias F = XDS.LocalRateLimitDescriptor
        let entries = node.children(F.entries).map { entry in
            LocalRateLimit.Descriptor.Entry(
                key: entry.message.text(XDS.RateLimitDescriptorEntry.key),
                value: entry.message.text(XDS.RateLimitDescriptorEntry.value))
        }
        if entries.count > Self.actionsMax {
            add("may have \(Self.actionsMax) elements", at: node, F.entries)
        }
        let none = TokenBucket(tokensMax: 1, tokensPerFill: 1, fillInterval: .seconds(1))
        return LocalRateLimit.Descriptor(
            entries: entries, bucket: node.child(F.tokenBucket).map { tokenBucket($0) } ?? none)
    }

    // MARK: Rules

    /// Of one descriptor.
    private static var actionsMax: Int { 10 }

    /// `ofFilter`: they stand in a filter's configuration, where alone Envoy looks at `hits_addend`.
    mutating func rateLimitRules(_ node: ConfigNode, _ field: FieldNumber, ofFilter: Bool = true)
        -> [RateLimitRule]
    {
        node.children(field).map { rule in
            typealias F = XDS.RateLimit
            let actions = rule.children(F.actions)
            if actions.count > Self.actionsMax {
                add("may have \(Self.actionsMax) elements", at: rule, F.actions)
            }
            var made = RateLimitRule(
                stage: Int(rule.message.wrappedUnsigned(F.stage) ?? 0),
                disableKey: rule.message.text(F.disableKey), actions: actions.compactMap { action($0) })
            if let addend = rule.child(F.hitsAddend) {
                typealias A = XDS.RateLimitHitsAddend
                if !ofFilter { add("has an effect in 'rate_limits' of filters only", at: addend) }
                guard let number = addend.message.wrappedUnsigned(A.number) else {
                    add("needs 'number'", at: addend)
                    return made
                }
                if number > 1_000_000_000 { add("must be at most 1000000000", at: addend, A.number) }
                made.hits = UInt32(clamping: number)
            }
            return made
        }
    }

    private mutating func action(_ node: ConfigNode) -> RateLimitRule.Action? {
        typealias F = XDS.RateLimitAction
        if node.message.has(F.sourceCluster) { return .sourceCluster }
        if node.message.has(F.destinationCluster) { return .destinationCluster }
        if node.message.has(F.remoteAddress) { return .remoteAddress }
        if let child = node.message.message(F.requestHeaders) {
            typealias H = XDS.RateLimitActionRequestHeaders
            return .header(
                name: child.text(H.headerName).lowercased(), key: child.text(H.descriptorKey),
                skipsIfAbsent: child.bool(H.skipIfAbsent))
        }
        if let child = node.message.message(F.queryParameters) {
            typealias Q = XDS.RateLimitActionQueryParameters
            return .parameter(
                name: child.text(Q.queryParameterName), key: child.text(Q.descriptorKey),
                skipsIfAbsent: child.bool(Q.skipIfAbsent))
        }
        if let child = node.message.message(F.genericKey) {
            typealias G = XDS.RateLimitActionGenericKey
            return .literal(
                key: key(child.text(G.descriptorKey), "generic_key"), value: child.text(G.descriptorValue))
        }
        if let child = node.message.message(F.maskedRemoteAddress) {
            typealias M = XDS.RateLimitActionMaskedRemoteAddress
            return .maskedRemoteAddress(
                v4Bits: Int(child.wrappedUnsigned(M.v4PrefixMaskLen) ?? 32),
                v6Bits: Int(child.wrappedUnsigned(M.v6PrefixMaskLen) ?? 128))
        }
        return matchAction(node)
    }

    /// What is text in metadata, wherever it lies.
    func metadataTexts(_ node: ConfigNode?) -> [MetadataPath: String] {
        var texts: [MetadataPath: String] = [:]
        func add(_ structure: ConfigNode, _ keys: [String]) {
            for (key, value) in structure.entries(XDS.Struct.fields) {
                if let inner = value.child(XDS.Value.structValue) {
                    add(inner, keys + [key])
                } else if value.message.has(XDS.Value.stringValue) {
                    texts[MetadataPath(keys + [key])] = value.message.text(XDS.Value.stringValue)
                }
            }
        }
        for (name, structure) in node?.entries(XDS.Metadata.filterMetadata) ?? [] { add(structure, [name]) }
        return texts
    }

    private mutating func metadataAction(_ node: ConfigNode) -> RateLimitRule.Action {
        typealias M = XDS.RateLimitActionMetaData
        let place = node.child(M.metadataKey)
        let keys =
            [place?.message.text(XDS.MetadataKey.key) ?? ""]
            + (place?.message.messages(XDS.MetadataKey.path) ?? []).map {
                $0.text(XDS.MetadataKeyPathSegment.key)
            }
        if keys.count < 2 || keys.contains("") { add("needs 'key' and 'path'", at: place ?? node) }
        let isOfRoute = node.message.enumerated(M.source) == 1
        return .metadata(
            key: node.message.text(M.descriptorKey), path: isOfRoute ? MetadataPath(keys) : nil,
            fallback: node.message.text(M.defaultValue), skipsIfAbsent: node.message.bool(M.skipIfAbsent))
    }

    private mutating func matchAction(_ node: ConfigNode) -> RateLimitRule.Action? {
        typealias F = XDS.RateLimitAction
        if let child = node.child(F.metadata) { return metadataAction(child) }
        if let child = node.child(F.headerValueMatch) {
            typealias H = XDS.RateLimitActionHeaderValueMatch
            return .headerMatch(
                key: key(child.message.text(H.descriptorKey), "header_match"),
                value: child.message.text(H.descriptorValue),
                isExpected: child.message.wrappedBool(H.expectMatch) ?? true,
                child.children(H.headers).compactMap { headerMatch($0) })
        }
        if let child = node.child(F.queryParameterValueMatch) {
            typealias Q = XDS.RateLimitActionQueryParameterValueMatch
            return .parameterMatch(
                key: key(child.message.text(Q.descriptorKey), "query_match"),
                value: child.message.text(Q.descriptorValue),
                isExpected: child.message.wrappedBool(Q.expectMatch) ?? true,
                child.children(Q.queryParameters).compactMap { queryMatch($0) })
        }
        if let child = node.child(F.`extension`) {
            guard let config = child.child(XDS.TypedExtensionConfig.typedConfig),
                config.type == XDS.MartletCallerIdentity.messageType
            else {
                add("needs 'typed_config' of type \(XDS.MartletCallerIdentity.messageType.name)", at: child)
                return nil
            }
            return .callerIdentity(
                key: key(config.message.text(XDS.MartletCallerIdentity.descriptorKey), "caller_identity"))
        }
        add("says nothing that is supported", at: node)
        return nil
    }

    private func key(_ text: String, _ standard: String) -> String { text.isEmpty ? standard : text }
}
