import MeshModel
import MeshPrimitives
import TrafficPolicy
import XDSSchema

// envoy.config.route.v3
extension ResourceCompiler {
    /// `validatesClusters` is what holds where the configuration does not say.
    mutating func routeConfiguration(_ node: ConfigNode, validatesClusters: Bool) -> RouteConfiguration {
        typealias F = XDS.RouteConfiguration
        let referencesBefore = clusterReferences.count
        var configuration = RouteConfiguration(name: node.message.text(F.name), virtualHosts: [])
        var domains: [String: String] = [:]
        let hosts = node.children(F.virtualHosts)
        configuration.virtualHosts.reserveCapacity(hosts.count)
        domains.reserveCapacity(hosts.count)
        for host in hosts {
            let value = virtualHost(host)
            for domain in value.domains {
                if let other = domains.updateValue(value.name, forKey: domain) {
                    add(
                        "the domain '\(domain)' is already one of '\(other)'", at: host,
                        XDS.VirtualHost.domains)
                }
            }
            configuration.virtualHosts.append(value)
        }
        configuration.requestHeaders = headerEdits(
            node, add: F.requestHeadersToAdd, remove: F.requestHeadersToRemove)
        configuration.responseHeaders = headerEdits(
            node, add: F.responseHeadersToAdd, remove: F.responseHeadersToRemove)
        configuration.mostSpecificHeaderMutationsWin = node.message.bool(F.mostSpecificHeaderMutationsWins)
        configuration.ignoresPortInHost = node.message.bool(F.ignorePortInHostMatching)
        if !(node.message.wrappedBool(F.validateClusters) ?? validatesClusters) {
            clusterReferences.removeSubrange(referencesBefore...)
        }
        return configuration
    }

    private mutating func virtualHost(_ node: ConfigNode) -> VirtualHost {
        typealias F = XDS.VirtualHost
        var host = VirtualHost(
            name: node.message.text(F.name), domains: node.message.texts(F.domains).map { $0.lowercased() },
            routes: [])
        for domain in host.domains where domain.isEmpty || domain.utf8.contains(UInt8(ascii: "*")) {
            let inner =
                domain.hasPrefix("*")
                ? domain.dropFirst() : domain.hasSuffix("*") ? domain.dropLast() : domain[...]
            if inner.contains("*") || domain.isEmpty {
                add("'\(domain)' may have one '*', at its begin or its end", at: node, F.domains)
            }
        }
        host.retryPolicy = node.child(F.retryPolicy).map { retryPolicy($0) }
        host.hedges = node.message.message(F.hedgePolicy)?.bool(XDS.HedgePolicy.hedgeOnPerTryTimeout) ?? false
        let (routes, policy) = (node.children(F.routes), host.retryPolicy)
        host.routes.reserveCapacity(routes.count)
        for child in routes {
            guard let route = route(child, hostPolicy: policy) else { continue }
            host.routes.append(route)
        }
        host.requestHeaders = headerEdits(node, add: F.requestHeadersToAdd, remove: F.requestHeadersToRemove)
        host.responseHeaders = headerEdits(
            node, add: F.responseHeadersToAdd, remove: F.responseHeadersToRemove)
        host.includesAttemptCountInRequest = node.message.bool(F.includeRequestAttemptCount)
        host.includesAttemptCountInResponse = node.message.bool(F.includeAttemptCountInResponse)
        host.bufferLimit = node.message.wrappedUnsigned(F.perRequestBufferLimitBytes).map {
            Int(clamping: $0)
        }
        host.requiresTLS = node.message.enumerated(F.requireTls) != 0
        host.mirrors = node.children(F.requestMirrorPolicies).compactMap { mirror($0) }
        let rules = rateLimitRules(node, F.rateLimits, ofFilter: false)
        if !rules.isEmpty { host.rateLimits = rules }
        for (name, config) in node.entries(F.typedPerFilterConfig) {
            if let filter = routeFilter(name, config) {
                host.filters.append(filter)
            } else {
                add("the type '\(config.type.name)' is not supported here", at: config)
            }
        }
        return host
    }

    private mutating func route(_ node: ConfigNode, hostPolicy: RetryPolicy?) -> Route? {
        typealias F = XDS.Route
        guard let match = match(node) else { return nil }
        var route = Route(
            name: node.message.text(F.name), match: match, action: .direct(status: 500, body: []))
        if let forward = node.child(F.route) {
            route.action = .forward(self.forward(forward))
        } else if let redirect = node.child(F.redirect) {
            route.action = .redirect(self.redirect(redirect))
        } else if let direct = node.child(F.directResponse) {
            route.action = directResponse(direct)
        }
        route.requestHeaders = headerEdits(node, add: F.requestHeadersToAdd, remove: F.requestHeadersToRemove)
        route.responseHeaders = headerEdits(
            node, add: F.responseHeadersToAdd, remove: F.responseHeadersToRemove)
        if let tracing = node.child(F.tracing) { route.tracing = routeTracing(tracing) }
        if let decorator = node.message.message(F.decorator) {
            route.operation = decorator.text(XDS.Decorator.operation)
            route.propagatesOperation = decorator.wrappedBool(XDS.Decorator.propagate) ?? true
        }
        route.metadata = metadataTexts(node.child(F.metadata))
        for (name, config) in node.entries(F.typedPerFilterConfig) {
            switch config.type {
            case XDS.MartletRoute.messageType: apply(config, to: &route, hostPolicy: hostPolicy)
            default:
                if let filter = routeFilter(name, config) {
                    route.filters.append(filter)
                } else {
                    add("the type '\(config.type.name)' is not supported here", at: config)
                }
            }
        }
        return route
    }

    // MARK: Matches

    private mutating func match(_ node: ConfigNode) -> RouteMatch? {
        let source = node.message.message(XDS.Route.match)?.storage
        if let lastMatch, lastMatch.source == source { return lastMatch.match }
        let before = problems.count
        let match = node.child(XDS.Route.match).flatMap { routeMatch($0) }
        if let source, let match, problems.count == before {
            lastMatch = (source, match)
        }
        return match
    }

    private mutating func routeMatch(_ node: ConfigNode) -> RouteMatch? {
        typealias F = XDS.RouteMatch
        var match: RouteMatch
        if node.message.has(F.path) {
            match = RouteMatch(path: .exact(node.message.text(F.path)))
        } else if node.message.has(F.pathSeparatedPrefix) {
            let prefix = node.message.text(F.pathSeparatedPrefix)
            if !prefix.hasPrefix("/") || prefix.hasSuffix("/") || prefix.contains("?") || prefix.contains("#")
            {
                add(
                    "needs to begin with '/', not to end with it, and to hold no '?' or '#'", at: node,
                    F.pathSeparatedPrefix)
            }
            match = RouteMatch(path: .separatedPrefix(prefix))
        } else if node.message.has(F.connectMatcher) {
            match = RouteMatch(path: .connect)
        } else if let regex = node.child(F.safeRegex) {
            guard let pattern = self.regex(regex) else { return nil }
            match = RouteMatch(path: .regex(pattern))
        } else {
            match = RouteMatch(path: .prefix(node.message.text(F.prefix)))
        }
        match.isCaseSensitive = node.message.wrappedBool(F.caseSensitive) ?? true
        match.headers = node.children(F.headers).compactMap { headerMatch($0) }
        match.query = node.children(F.queryParameters).compactMap { queryMatch($0) }
        match.isGRPC = node.message.has(F.grpc)
        match.fraction = fraction(node.child(F.runtimeFraction))
        return match
    }

    mutating func headerMatch(_ node: ConfigNode) -> HeaderMatch? {
        typealias F = XDS.HeaderMatcher
        let message = node.message
        let test: HeaderMatch.Test
        if let string = node.child(F.stringMatch) {
            guard let match = stringMatch(string) else { return nil }
            test = .string(match)
        } else if message.has(F.exactMatch) {
            test = .string(StringMatch(.exact(message.text(F.exactMatch))))
        } else if message.has(F.prefixMatch) {
            test = .string(StringMatch(.prefix(message.text(F.prefixMatch))))
        } else if message.has(F.suffixMatch) {
            test = .string(StringMatch(.suffix(message.text(F.suffixMatch))))
        } else if message.has(F.containsMatch) {
            test = .string(StringMatch(.contains(message.text(F.containsMatch))))
        } else if let regex = node.child(F.safeRegexMatch) {
            guard let pattern = self.regex(regex) else { return nil }
            test = .string(StringMatch(.regex(pattern)))
        } else if let range = message.message(F.rangeMatch) {
            let (start, end) = (range.signed(XDS.Int64Range.start), range.signed(XDS.Int64Range.end))
            if start > end { add("ends before it starts", at: node, F.rangeMatch) }
            test = .range(start: start, end: max(start, end))
        } else {
            test = .present(message.has(F.presentMatch) ? message.bool(F.presentMatch) : true)
        }
        var match = HeaderMatch(name: message.text(F.name).lowercased(), test: test)
        match.isInverted = message.bool(F.invertMatch)
        match.treatsMissingAsEmpty = message.bool(F.treatMissingHeaderAsEmpty)
        return match
    }

    mutating func queryMatch(_ node: ConfigNode) -> QueryMatch? {
        typealias F = XDS.QueryParameterMatcher
        let name = node.message.text(F.name)
        guard let string = node.child(F.stringMatch) else {
            let isPresent = node.message.has(F.presentMatch) ? node.message.bool(F.presentMatch) : true
            return QueryMatch(name: name, test: .present(isPresent))
        }
        return stringMatch(string).map { QueryMatch(name: name, test: .string($0)) }
    }

    mutating func stringMatch(_ node: ConfigNode) -> StringMatch? {
        typealias F = XDS.StringMatcher
        let message = node.message
        let ignoresCase = message.bool(F.ignoreCase)
        if message.has(F.exact) {
            return StringMatch(.exact(message.text(F.exact)), ignoresCase: ignoresCase)
        }
        if message.has(F.prefix) {
            return StringMatch(.prefix(message.text(F.prefix)), ignoresCase: ignoresCase)
        }
        if message.has(F.suffix) {
            return StringMatch(.suffix(message.text(F.suffix)), ignoresCase: ignoresCase)
        }
        if message.has(F.contains) {
            return StringMatch(.contains(message.text(F.contains)), ignoresCase: ignoresCase)
        }
        if let regex = node.child(F.safeRegex) {
            return self.regex(regex).map { StringMatch(.regex($0), ignoresCase: ignoresCase) }
        }
        add("needs one of 'exact', 'prefix', 'suffix', 'contains', 'safe_regex'", at: node)
        return nil
    }

    // MARK: Actions

    private mutating func forward(_ node: ConfigNode) -> Forward {
        typealias F = XDS.RouteAction
        let message = node.message
        var forward = Forward(target: target(node))
        let statuses = [503, 404, 500]
        forward.clusterNotFoundStatus =
            statuses[Int(clamping: message.enumerated(F.clusterNotFoundResponseCode)) % statuses.count]
        let prefix = message.text(F.prefixRewrite)
        if !prefix.isEmpty { forward.pathRewrite = .prefix(prefix) }
        if let regex = node.child(F.regexRewrite), let rewrite = self.rewrite(regex) {
            if !prefix.isEmpty {
                add("only one of 'prefix_rewrite' and 'regex_rewrite' may be set", at: node, F.regexRewrite)
            }
            forward.pathRewrite = .regex(pattern: rewrite.pattern, substitution: rewrite.substitution)
        }
        if let regex = node.child(F.hostRewritePathRegex) {
            forward.hostRewrite = self.rewrite(regex).map {
                .pathRegex(pattern: $0.pattern, substitution: $0.substitution)
            }
        } else if message.has(F.hostRewriteLiteral) {
            forward.hostRewrite = .literal(message.text(F.hostRewriteLiteral))
        } else if message.has(F.hostRewriteHeader) {
            forward.hostRewrite = .header(message.text(F.hostRewriteHeader).lowercased())
        } else if message.wrappedBool(F.autoHostRewrite) == true {
            forward.hostRewrite = .automatic
        }
        forward.appendsForwardedHost = message.bool(F.appendXForwardedHost)
        forward.timeout = limit(message.duration(F.timeout), default: .seconds(15))
        forward.idleTimeout = message.duration(F.idleTimeout)
        if let duration = node.child(F.maxStreamDuration) {
            typealias D = XDS.RouteActionMaxStreamDuration
            // As in Envoy a route that bounds its streams this way has no other time-out.
            forward.timeout = nil
            forward.maxStreamDuration = duration.message.duration(D.maxStreamDuration)
            forward.grpcTimeoutMax = duration.message.duration(D.grpcTimeoutHeaderMax)
            forward.grpcTimeoutOffset = duration.message.duration(D.grpcTimeoutHeaderOffset) ?? .zero
        }
        let source = message.message(F.retryPolicy)?.storage
        if let source, source == lastRetrySource {
            forward.$retryPolicy = lastRetryPolicy
        } else if let child = node.child(F.retryPolicy) {
            let before = problems.count
            let policy = retryPolicy(child)
            if lastRetryPolicy.wrappedValue != policy { lastRetryPolicy.wrappedValue = policy }
            forward.$retryPolicy = lastRetryPolicy
            lastRetrySource = problems.count == before ? source : nil
        }
        forward.hedges = message.message(F.hedgePolicy)?.bool(XDS.HedgePolicy.hedgeOnPerTryTimeout)
        forward.priority = message.enumerated(F.priority) == 1 ? .high : .normal
        for upgrade in node.children(F.upgradeConfigs) {
            let name = upgrade.message.text(XDS.RouteActionUpgradeConfig.upgradeType).lowercased()
            let isEnabled = upgrade.message.wrappedBool(XDS.RouteActionUpgradeConfig.enabled) ?? true
            if upgrade.message.has(XDS.RouteActionUpgradeConfig.connectConfig) {
                if name != "connect" {
                    add(
                        "needs 'upgrade_type: CONNECT'", at: upgrade,
                        XDS.RouteActionUpgradeConfig.connectConfig)
                }
                forward.endsConnect = isEnabled
            }
            forward.upgrades[name] = isEnabled
        }
        forward.mirrors = node.children(F.requestMirrorPolicies).compactMap { mirror($0) }
        forward.hashing = node.children(F.hashPolicy).compactMap { hashPolicy($0) }
        forward.subset = subsetCriteria(node.child(F.metadataMatch))
        let rules = rateLimitRules(node, F.rateLimits, ofFilter: false)
        if !rules.isEmpty { forward.rateLimits = rules }
        forward.includesHostRateLimits = message.wrappedBool(F.includeVhRateLimits) ?? false
        forward.internalRedirects = node.child(F.internalRedirectPolicy).map { internalRedirects($0) }
        return forward
    }

    private mutating func target(_ node: ConfigNode) -> Forward.Target {
        typealias F = XDS.RouteAction
        if node.message.has(F.clusterHeader) {
            return .header(node.message.text(F.clusterHeader).lowercased())
        }
        guard let weighted = node.child(F.weightedClusters) else {
            let name = node.message.text(F.cluster)
            refer(to: name, node, F.cluster)
            return .clusters([WeightedCluster(cluster: name)])
        }
        let clusters = weighted.children(XDS.WeightedCluster.clusters).map { element in
            typealias W = XDS.WeightedClusterClusterWeight
            var cluster = WeightedCluster(
                cluster: element.message.text(W.name),
                weight: UInt32(clamping: element.message.wrappedUnsigned(W.weight) ?? 0))
            if cluster.cluster.isEmpty { add("must not be empty", at: element, W.name) }
            refer(to: cluster.cluster, element, W.name)
            cluster.subset = subsetCriteria(element.child(W.metadataMatch))
            cluster.requestHeaders = headerEdits(
                element, add: W.requestHeadersToAdd, remove: W.requestHeadersToRemove)
            cluster.responseHeaders = headerEdits(
                element, add: W.responseHeadersToAdd, remove: W.responseHeadersToRemove)
            for (name, config) in element.entries(W.typedPerFilterConfig) {
                if let filter = routeFilter(name, config) {
                    cluster.filters.append(filter)
                } else {
                    add("the type '\(config.type.name)' is not supported here", at: config)
                }
            }
            return cluster
        }
        checkWeights(clusters, at: weighted)
        return .clusters(clusters)
    }

    mutating func refer(to cluster: String, _ node: ConfigNode, _ number: FieldNumber) {
        clusterReferences.append(ClusterReference(cluster: cluster, node: node, field: number))
    }

    private mutating func redirect(_ node: ConfigNode) -> Redirect {
        typealias F = XDS.RedirectAction
        let message = node.message
        var redirect = Redirect()
        if message.bool(F.httpsRedirect) { redirect.scheme = "https" }
        if message.has(F.schemeRedirect) { redirect.scheme = message.text(F.schemeRedirect) }
        let host = message.text(F.hostRedirect)
        redirect.host = host.isEmpty ? nil : host
        let port = message.unsigned(F.portRedirect)
        if port > 65_535 { add("must be at most 65535", at: node, F.portRedirect) }
        redirect.port = port == 0 ? nil : UInt16(clamping: port)
        // An empty text says nothing.
        if !message.text(F.pathRedirect).isEmpty {
            redirect.path = .replace(message.text(F.pathRedirect))
        } else if !message.text(F.prefixRewrite).isEmpty {
            redirect.path = .prefix(message.text(F.prefixRewrite))
        } else if let regex = node.child(F.regexRewrite), let rewrite = self.rewrite(regex) {
            redirect.path = .regex(pattern: rewrite.pattern, substitution: rewrite.substitution)
        }
        redirect.stripsQuery = message.bool(F.stripQuery)
        let statuses = [301, 302, 303, 307, 308]
        redirect.status = statuses[Int(clamping: message.enumerated(F.responseCode)) % statuses.count]
        return redirect
    }

    private mutating func directResponse(_ node: ConfigNode) -> Route.Action {
        typealias F = XDS.DirectResponseAction
        var body: [UInt8] = []
        if let source = node.child(F.body) { body = data(source) ?? [] }
        if body.count > Self.directBodyMax {
            add("has \(body.count) bytes, more than \(Self.directBodyMax)", at: node, F.body)
        }
        return .direct(status: Int(node.message.unsigned(F.status)), body: body)
    }

    /// Envoy's default of `max_direct_response_body_size_bytes`.
    private static let directBodyMax = 4096

    // MARK: Retries

    private mutating func retryPolicy(_ node: ConfigNode) -> RetryPolicy {
        typealias F = XDS.RetryPolicy
        let message = node.message
        var policy = RetryPolicy(retryOn: words(node, F.retryOn))
        policy.attempts = Int(message.wrappedUnsigned(F.numRetries) ?? 1)
        policy.perTryTimeout = limit(message.duration(F.perTryTimeout), default: nil)
        policy.perTryIdleTimeout = limit(message.duration(F.perTryIdleTimeout), default: nil)
        policy.retriableHeaders = node.children(F.retriableHeaders).compactMap { headerMatch($0) }
        policy.retriableRequestHeaders = node.children(F.retriableRequestHeaders).compactMap {
            headerMatch($0)
        }
        policy.retriableStatusCodes = message.numbers(F.retriableStatusCodes).map { Int(clamping: $0) }
        for code in policy.retriableStatusCodes where !(100..<600).contains(code) {
            add("\(code) is not a status", at: node, F.retriableStatusCodes)
        }
        if let backOff = node.child(F.retryBackOff) {
            typealias B = XDS.RetryPolicyRetryBackOff
            policy.backoffMin = backOff.message.duration(B.baseInterval) ?? policy.backoffMin
            policy.backoffMax = backOff.message.duration(B.maxInterval) ?? policy.backoffMin * 10
            if policy.backoffMax < policy.backoffMin {
                add("is below 'base_interval'", at: backOff, B.maxInterval)
            }
        }
        resetHeaders(node.child(F.rateLimitedRetryBackOff), into: &policy)
        for predicate in node.children(F.retryHostPredicate) {
            let config = predicate.message.message(XDS.RetryPolicyRetryHostPredicate.typedConfig)
            switch config?.type {
            case XDS.PreviousHostsPredicate.messageType: policy.avoidsPreviousHosts = true
            case XDS.OmitCanaryHostsPredicate.messageType: policy.avoidsCanaries = true
            case XDS.OmitHostMetadataConfig.messageType:
                policy.omittedMetadata = subsetCriteria(
                    predicate.child(XDS.RetryPolicyRetryHostPredicate.typedConfig)?.child(
                        XDS.OmitHostMetadataConfig.metadataMatch))
            default:
                add(
                    "needs 'typed_config' of type \(XDS.PreviousHostsPredicate.messageType.name), "
                        + "\(XDS.OmitCanaryHostsPredicate.messageType.name) or "
                        + XDS.OmitHostMetadataConfig.messageType.name, at: predicate)
            }
        }
        if let priority = node.child(F.retryPriority) {
            let config = priority.child(XDS.RetryPolicyRetryPriority.typedConfig)
            if let config, config.type == XDS.PreviousPrioritiesConfig.messageType {
                let frequency = config.message.signed(XDS.PreviousPrioritiesConfig.updateFrequency)
                if frequency < 1 {
                    add("must be above 0", at: config, XDS.PreviousPrioritiesConfig.updateFrequency)
                }
                policy.prioritiesUpdateFrequency = max(1, Int(clamping: frequency))
            } else {
                add(
                    "needs 'typed_config' of type \(XDS.PreviousPrioritiesConfig.messageType.name)",
                    at: priority)
            }
        }
        if message.has(F.hostSelectionRetryMaxAttempts) {
            policy.hostSelectionAttempts = Int(clamping: message.signed(F.hostSelectionRetryMaxAttempts))
            if policy.hostSelectionAttempts < 1 {
                add("must be at least 1", at: node, F.hostSelectionRetryMaxAttempts)
            }
        }
        return policy
    }

    /// martlet.v1.Route
    private mutating func resetHeaders(_ node: ConfigNode?, into policy: inout RetryPolicy) {
        typealias F = XDS.RetryPolicyRateLimitedRetryBackOff
        guard let node else { return }
        policy.resetHeaders = node.children(F.resetHeaders).map { header in
            RetryPolicy.ResetHeader(
                name: header.message.text(XDS.RetryPolicyResetHeader.name).lowercased(),
                format: header.message.enumerated(XDS.RetryPolicyResetHeader.format) == 1
                    ? .unixTimestamp : .seconds)
        }
        if policy.resetHeaders.isEmpty { add("needs at least one", at: node, F.resetHeaders) }
        policy.rateLimitedBackoffMax = node.message.duration(F.maxInterval) ?? .seconds(300)
    }

    private mutating func apply(_ node: ConfigNode, to route: inout Route, hostPolicy: RetryPolicy?) {
        guard case .forward(var forward) = route.action else {
            return add("has a meaning only on a route to a cluster", at: node)
        }
        forward.propagatesDeadline = node.message.bool(XDS.MartletRoute.propagateDeadline)
        if let retry = node.message.message(XDS.MartletRoute.retry) {
            var policy = forward.retryPolicy ?? hostPolicy ?? RetryPolicy(retryOn: [])
            apply(retry, to: &policy)
            forward.retryPolicy = policy
        }
        if let shadow = node.child(XDS.MartletRoute.shadow) { self.shadow(shadow, of: &forward) }
        route.action = .forward(forward)
    }

    private func apply(_ retry: ConfigMessage, to policy: inout RetryPolicy) {
        typealias F = XDS.MartletRouteRetry
        let methods: [RetryPolicy.Methods] = [.any, .idempotent, .safe]
        policy.methods = methods[Int(clamping: retry.enumerated(F.methods)) % methods.count]
        policy.provablySafe = retry.bool(F.provablySafe)
        let header = retry.text(F.idempotencyHeader).lowercased()
        policy.idempotencyHeader = header.isEmpty ? nil : header
    }

    private mutating func shadow(_ node: ConfigNode, of forward: inout Forward) {
        typealias F = XDS.MartletRouteShadow
        forward.shadowTimeout = limit(node.message.duration(F.timeout), default: nil)
        forward.shadowPerTryTimeout = limit(node.message.duration(F.perTryTimeout), default: nil)
        guard node.message.unsigned(F.numRetries) > 0 else { return }
        var policy = RetryPolicy(retryOn: words(node, F.retryOn))
        policy.attempts = Int(clamping: node.message.unsigned(F.numRetries))
        policy.retriableStatusCodes = node.message.numbers(F.retriableStatusCodes).map { Int(clamping: $0) }
        if let retry = node.message.message(F.retry) { apply(retry, to: &policy) }
        forward.shadowRetryPolicy = policy
    }

    /// Conditions, those unknown reported.
    private mutating func words(_ node: ConfigNode, _ number: FieldNumber) -> [String] {
        let text = node.message.text(number)
        if let known = conditionLists[text] { return known }
        var words: [String] = []
        let before = problems.count
        for word in text.split(separator: ",") {
            let name = word.filter { $0 != " " }.lowercased()
            if name.isEmpty { continue }
            if name.withByteView({ RetryConditions(word: $0) }) == nil {
                add("'\(name)' is not a known condition", at: node, number)
            }
            words.append(name)
        }
        if problems.count == before { conditionLists[text] = words }
        return words
    }
}
