import MeshConfig
import XDSMessages

/// Routes of callers: from the name of a service to a cluster, with the policies of the way.
struct RouteCompiler {
    static let requestTimeout = Duration.seconds(15)
    static let streamIdleTimeout = Duration.seconds(300)
    static let retries = 2
    static let backOffMin = Duration.milliseconds(25)

    private let compiler: ConfigCompiler
    private let proxyClass: ProxyClass

    init(_ compiler: ConfigCompiler, _ proxyClass: ProxyClass) {
        (self.compiler, self.proxyClass) = (compiler, proxyClass)
    }

    /// One rule of a route with one of its matches, and what decides which of two is asked first.
    private struct Candidate {
        let route: ResourceID
        let rule: HTTPRouteSpecification.Rule
        let index: Int
        let match: HTTPRouteSpecification.Match

        /// Gateway API, HTTPRouteRule.matches: exact path, longest path, method, most headers, most parameters;
        /// GRPCRouteRule.matches: longest service, longest method, most headers. All candidates are of one kind. Then
        /// the name, since a route's age is the same for every rule that it has.
        func precedes(_ other: Candidate) -> Bool {
            let (a, b) = (rank, other.rank)
            if a != b { return a.lexicographicallyPrecedes(b) }
            return (route, index) < (other.route, other.index)
        }

        private var rank: [Int] {
            if let grpc = match.grpc {
                return [
                    -(grpc.service ?? "").utf8.count, -(grpc.name ?? "").utf8.count, -match.headers.count,
                ]
            }
            let path: [Int]
            switch match.path {
            case .exact(let text): path = [0, -text.utf8.count]
            case .prefix(let text): path = [1, -text.utf8.count]
            case .regularExpression(let text): path = [2, -text.utf8.count]
            }
            return path + [match.method == nil ? 1 : 0, -match.headers.count, -match.queryParameters.count]
        }

        var name: String { "\(route.namespace)/\(route.name)/\(rule.name ?? "rule-\(index)")" }
    }

    // MARK: Tables

    /// What the outbound listener asks: every HTTP port of every service, by the names that callers use.
    func outbound() -> RouteConfiguration {
        var configuration = RouteConfiguration()
        configuration.name = ConfigCompiler.Names.outbound
        for (id, service) in compiler.specification.services.sorted(by: { $0.key < $1.key }) {
            let ports = service.ports.filter(\.appProtocol.isHTTP)
            let bare = ports.first { $0.port == 80 } ?? ports.first
            for port in ports {
                let domains = domains(id, port: port.port, isBare: port == bare)
                configuration.virtualHosts.append(virtualHost(id, port, domains: domains))
            }
        }
        return configuration
    }

    /// A table for one service port alone, whatever name the caller uses.
    func single(_ id: ServiceID, _ port: ServiceSpecification.Port, name: String) -> RouteConfiguration {
        .with {
            $0.name = name
            $0.virtualHosts = [virtualHost(id, port, domains: ["*"])]
        }
    }

    private func domains(_ id: ServiceID, port: Int, isBare: Bool) -> [String] {
        var names = ["\(id.name).\(id.namespace)"]
        // A bare name means a service of the caller's own namespace.
        if id.namespace == proxyClass.namespace { names.insert(id.name, at: 0) }
        return names.flatMap { isBare ? [$0, "\($0):\(port)"] : ["\($0):\(port)"] }
    }

    private func virtualHost(
        _ id: ServiceID, _ port: ServiceSpecification.Port, domains: [String]
    ) -> VirtualHost {
        .with {
            $0.name = ConfigCompiler.clusterName(id, port: port.port)
            $0.domains = domains
            $0.includeRequestAttemptCount = true
            $0.routes = routes(id, port)
        }
    }

    private func routes(_ id: ServiceID, _ port: ServiceSpecification.Port) -> [Route] {
        let candidates = candidates(id, port)
        guard !candidates.isEmpty else {
            let place = PolicyIndex.Place(service: id, portName: port.name, direction: .outbound)
            var route = Route()
            route.name = "default"
            route.match.prefix = "/"
            route.route.cluster = ConfigCompiler.clusterName(id, port: port.port)
            setPolicies(&route, place, rule: nil)
            return [route]
        }
        return candidates.sorted { $0.precedes($1) }.flatMap { candidate in
            let place = PolicyIndex.Place(
                service: id, portName: port.name, route: candidate.route, ruleName: candidate.rule.name,
                direction: .outbound)
            return routes(candidate, place)
        }
    }

    /// GAMMA: a route in the caller's namespace (the consumer's) takes the place of those beside the service.
    private func candidates(_ id: ServiceID, _ port: ServiceSpecification.Port) -> [Candidate] {
        var own: [Candidate] = []
        var foreign: [Candidate] = []
        for resource in compiler.specification.resources {
            guard let route = resource.route, resource.isAttached(to: id, port),
                compiler.policies.accepts(resource.id, at: id, port: port.port)
            else { continue }
            let candidates = route.rules.enumerated().flatMap { index, rule in
                rule.matches.map { Candidate(route: resource.id, rule: rule, index: index, match: $0) }
            }
            if resource.id.namespace == id.namespace { own += candidates }
            if resource.id.namespace == proxyClass.namespace, id.namespace != proxyClass.namespace {
                foreign += candidates
            }
        }
        return foreign.isEmpty ? own : foreign
    }

    // MARK: One rule

    private func routes(_ candidate: Candidate, _ place: PolicyIndex.Place) -> [Route] {
        let rule = candidate.rule
        var route = Route()
        route.name = candidate.name
        route.match = match(candidate.match)
        setHeaders(&route, rule.filters)
        if let cors = rule.filters.cors {
            route.typedPerFilterConfig[CORSCompiler.filterName] = Wire.packed(CORSCompiler.policy(cors))
        }
        if let redirect = rule.filters.redirect {
            route.redirect = action(redirect)
        } else {
            setBackends(&route.route, rule.backends)
            setMirrors(&route.route, rule.filters.mirrors)
            if let hostname = rule.filters.rewrite?.hostname { route.route.hostRewriteLiteral = hostname }
            setPolicies(&route, place, rule: rule)
        }
        return setPath(route, rule.filters.redirect?.path ?? rule.filters.rewrite?.path, candidate.match)
    }

    private func match(_ match: HTTPRouteSpecification.Match) -> Envoy_Config_Route_V3_RouteMatch {
        .with {
            switch match.path {
            case .exact(let path): $0.path = path
            case .prefix("/"): $0.prefix = "/"
            case .prefix(let prefix): $0.pathSeparatedPrefix = prefix
            case .regularExpression(let pattern): $0.safeRegex.regex = pattern
            }
            $0.headers = match.headers.map { header in
                .with {
                    $0.name = header.name
                    $0.stringMatch = Self.stringMatch(header)
                }
            }
            if match.grpc != nil { $0.grpc = .init() }
            if let method = match.method {
                $0.headers.insert(
                    .with {
                        $0.name = ":method"
                        $0.stringMatch.exact = method
                    }, at: 0)
            }
            $0.queryParameters = match.queryParameters.map { parameter in
                .with {
                    $0.name = parameter.name
                    $0.stringMatch = Self.stringMatch(parameter)
                }
            }
        }
    }

    static func stringMatch(_ match: HTTPRouteSpecification.ValueMatch)
        -> Envoy_Type_Matcher_V3_StringMatcher
    {
        .with {
            if match.isRegularExpression {
                $0.safeRegex.regex = match.value
            } else {
                $0.exact = match.value
            }
        }
    }

    private func setBackends(
        _ action: inout Envoy_Config_Route_V3_RouteAction, _ backends: [HTTPRouteSpecification.Backend]
    ) {
        let weighted = backends.filter { $0.weight > 0 }
        let changesHeaders = weighted.contains { $0.requestHeaders != nil || $0.responseHeaders != nil }
        guard weighted.count != 1 || changesHeaders else {
            action.cluster = ConfigCompiler.clusterName(weighted[0].service, port: weighted[0].port)
            return
        }
        action.weightedClusters.clusters = weighted.map { backend in
            .with {
                $0.name = ConfigCompiler.clusterName(backend.service, port: backend.port)
                $0.weight = .init(clamping: backend.weight)
                $0.requestHeadersToAdd = options(backend.requestHeaders)
                $0.requestHeadersToRemove = backend.requestHeaders?.remove ?? []
                $0.responseHeadersToAdd = options(backend.responseHeaders)
                $0.responseHeadersToRemove = backend.responseHeaders?.remove ?? []
            }
        }
    }

    private func setMirrors(
        _ action: inout Envoy_Config_Route_V3_RouteAction, _ mirrors: [HTTPRouteSpecification.Mirror]
    ) {
        action.requestMirrorPolicies = mirrors.map { mirror in
            .with {
                $0.cluster = ConfigCompiler.clusterName(mirror.service, port: mirror.port)
                // Envoy counts in 100, 10,000 or 1,000,000.
                let share = 1_000_000 * mirror.numerator / mirror.denominator
                $0.runtimeFraction.defaultValue.numerator = UInt32(share)
                $0.runtimeFraction.defaultValue.denominator = .million
            }
        }
    }

    private func options(
        _ modifier: HTTPRouteSpecification.HeaderModifier?
    ) -> [Envoy_Config_Core_V3_HeaderValueOption] {
        func option(
            _ header: HTTPRouteSpecification.Header,
            _ action: Envoy_Config_Core_V3_HeaderValueOption.HeaderAppendAction
        ) -> Envoy_Config_Core_V3_HeaderValueOption {
            .with {
                $0.header.key = header.name
                // A percent sign begins an operator in Envoy's values; operators of the mesh write plain text.
                $0.header.value = header.value.replacing("%", with: "%%")
                $0.appendAction = action
            }
        }
        return (modifier?.set ?? []).map { option($0, .overwriteIfExistsOrAdd) }
            + (modifier?.add ?? []).map { option($0, .appendIfExistsOrAdd) }
    }

    private func setHeaders(_ route: inout Route, _ filters: HTTPRouteSpecification.Filters) {
        route.requestHeadersToAdd = options(filters.requestHeaders)
        route.requestHeadersToRemove = filters.requestHeaders?.remove ?? []
        route.responseHeadersToAdd = options(filters.responseHeaders)
        route.responseHeadersToRemove = filters.responseHeaders?.remove ?? []
    }

    private func action(_ redirect: HTTPRouteSpecification.Redirect) -> Envoy_Config_Route_V3_RedirectAction {
        .with {
            if let scheme = redirect.scheme { $0.schemeRedirect = scheme }
            if let hostname = redirect.hostname { $0.hostRedirect = hostname }
            if let port = redirect.port { $0.portRedirect = UInt32(port) }
            switch redirect.statusCode {
            case 301: $0.responseCode = .movedPermanently
            case 303: $0.responseCode = .seeOther
            case 307: $0.responseCode = .temporaryRedirect
            case 308: $0.responseCode = .permanentRedirect
            default: $0.responseCode = .found
            }
        }
    }

    /// Puts the new path into the action. Envoy replaces the matched text by the new one, Gateway API whole segments:
    /// with `/` on one side, a slash would be doubled or lost, and the rule becomes two routes.
    private func setPath(
        _ route: Route, _ modifier: HTTPRouteSpecification.PathModifier?,
        _ match: HTTPRouteSpecification.Match
    ) -> [Route] {
        func with(_ path: String, _ change: (inout Route) -> Void = { _ in }) -> Route {
            var copy = route
            change(&copy)
            if case .redirect = copy.action {
                copy.redirect.prefixRewrite = path
            } else {
                copy.route.prefixRewrite = path
            }
            return copy
        }
        switch (modifier, match.path) {
        case (nil, _):
            return [route]
        case (.replaceFullPath(let path), _):
            var copy = route
            if case .redirect = route.action {
                copy.redirect.pathRedirect = path
            } else if case .prefix = match.path {
                // A rewrite of the prefix would keep what comes behind it.
                copy.route.regexRewrite.pattern.regex = "^.*$"
                copy.route.regexRewrite.substitution = path.replacing("\\", with: "\\\\")
            } else {
                return [with(path)]
            }
            return [copy]
        case (.replacePrefixMatch(let path), .prefix("/")):
            return [with(path.hasSuffix("/") ? path : path + "/")]
        case (.replacePrefixMatch("/"), .prefix(let prefix)):
            return [with("/") { $0.match.path = prefix }, with("/") { $0.match.prefix = prefix + "/" }]
        case (.replacePrefixMatch(let path), _):
            return [with(path.hasSuffix("/") ? String(path.dropLast()) : path)]
        }
    }

    // MARK: Policies

    private func setPolicies(
        _ route: inout Route, _ place: PolicyIndex.Place, rule: HTTPRouteSpecification.Rule?
    ) {
        var ofRule = TimeoutSettings()
        (ofRule.request, ofRule.perTry) = (rule?.requestTimeout, rule?.backendRequestTimeout)
        let policies = compiler.policies
        let timeouts = policies.ruleSettings(TimeoutSettings.self, at: place).filled(from: ofRule)
            .filled(from: policies.settings(TimeoutSettings.self, at: place))
        route.route.timeout = .init(timeouts.request ?? Self.requestTimeout)
        route.route.idleTimeout = .init(timeouts.stream ?? Self.streamIdleTimeout)
        setBalancing(&route.route, place, rule)
        var ofRetry = RetrySettings()
        if let retry = rule?.retry {
            ofRetry.attempts = retry.attempts
            ofRetry.backOffMin = retry.backOff
            if !retry.codes.isEmpty {
                ofRetry.conditions = [.connectFailure, .refusedStream, .reset, .retriableStatusCodes]
                ofRetry.statusCodes = retry.codes
            }
        }
        // A time for each try that the rule itself states is narrower than what a policy says.
        if let perTry = rule?.backendRequestTimeout { ofRetry.perTryTimeout = perTry }
        let retries = policies.ruleSettings(RetrySettings.self, at: place).filled(from: ofRetry)
            .filled(from: policies.settings(RetrySettings.self, at: place))
        setRetries(&route, retries, perTry: retries.perTryTimeout ?? timeouts.perTry)
        let limits = RateLimitCompiler(compiler: compiler, isMartlet: proxyClass.isMartlet, place: place)
        for (name, limit) in limits.ofRoute() { route.typedPerFilterConfig[name] = limit }
        for (name, fault) in FaultCompiler.faults(policies, at: place, isMartlet: proxyClass.isMartlet) {
            route.typedPerFilterConfig[name] = Wire.packed(fault)
        }
        if proxyClass.isMartlet {
            let own = Martlet_V1_Route.with {
                $0.retry.provablySafe = (retries.attempts ?? Self.retries) > 0
                $0.retry.methods = Self.methods(retries)
                $0.retry.idempotencyHeader = retries.idempotencyKey ?? ""
                $0.propagateDeadline = timeouts.propagatesDeadline ?? true
                if let shadow = shadow(place, ofRule, ofRetry, timeouts, retries) { $0.shadow = shadow }
            }
            route.typedPerFilterConfig["martlet.route"] = Wire.packed(own)
        }
    }

    private func setBalancing(
        _ action: inout Envoy_Config_Route_V3_RouteAction, _ place: PolicyIndex.Place,
        _ rule: HTTPRouteSpecification.Rule?
    ) {
        let policies = compiler.policies
        let settings = policies.ruleSettings(LoadBalancerSettings.self, at: place).filled(
            from: policies.settings(LoadBalancerSettings.self, at: place))
        action.hashPolicy =
            BalancingCompiler(settings: settings, isMartlet: proxyClass.isMartlet).hashPolicies
        if let session = rule?.sessionPersistence {
            let cookie = Envoy_Config_Route_V3_RouteAction.HashPolicy.with {
                $0.cookie.name = session.name
                $0.cookie.ttl = .init(session.lifetime)
                $0.cookie.path = "/"
                $0.terminal = true
            }
            action.hashPolicy.insert(cookie, at: 0)
        }
        if let labels = settings.subsetLabels, !labels.isEmpty {
            action.metadataMatch.filterMetadata[BalancingCompiler.metadata] = BalancingCompiler.values(labels)
        }
    }

    /// What policies in shadow mode would change; nil for nothing.
    private func shadow(
        _ place: PolicyIndex.Place, _ ofRule: TimeoutSettings, _ ofRetry: RetrySettings,
        _ timeouts: TimeoutSettings, _ retries: RetrySettings
    ) -> Martlet_V1_Route.Shadow? {
        var result = Martlet_V1_Route.Shadow()
        let policies = compiler.policies
        if let watched = policies.shadowSettings(TimeoutSettings.self, at: place) {
            let times = watched.rule.filled(from: ofRule).filled(from: watched.others)
            if times.request != timeouts.request { result.timeout = .init(times.request ?? .zero) }
            if times.perTry != timeouts.perTry { result.perTryTimeout = .init(times.perTry ?? .zero) }
        }
        if let watched = policies.shadowSettings(RetrySettings.self, at: place) {
            let settings = watched.rule.filled(from: ofRetry).filled(from: watched.others)
            if settings.perTryTimeout != retries.perTryTimeout {
                result.perTryTimeout = .init(settings.perTryTimeout ?? .zero)
            }
            let conditions = settings.conditions ?? [.connectFailure, .refusedStream]
            result.retryOn = conditions.map(\.rawValue).joined(separator: ",")
            result.numRetries = .init(clamping: settings.attempts ?? Self.retries)
            result.retriableStatusCodes = (settings.statusCodes ?? []).map(UInt32.init)
            result.retry.provablySafe = (settings.attempts ?? Self.retries) > 0
            result.retry.methods = Self.methods(settings)
            result.retry.idempotencyHeader = settings.idempotencyKey ?? ""
        }
        return result == Martlet_V1_Route.Shadow() ? nil : result
    }

    private static func methods(_ settings: RetrySettings) -> Martlet_V1_Route.Retry.Methods {
        switch settings.methods ?? .idempotent {
        case .any: .any
        case .idempotent: .idempotent
        case .safe: .safe
        }
    }

    private func setRetries(_ route: inout Route, _ settings: RetrySettings, perTry: Duration?) {
        var policy = Envoy_Config_Route_V3_RetryPolicy()
        var conditions = settings.conditions ?? [.connectFailure, .refusedStream]
        if !proxyClass.isMartlet {
            // Envoy cannot keep its hands off a POST: unless every method may be repeated, only what provably was
            // not processed is.
            if settings.methods != .any { conditions = [] }
            conditions = [.connectFailure, .refusedStream] + conditions
        }
        var names: [String] = []
        for name in conditions.map(\.rawValue) where !names.contains(name) { names.append(name) }
        policy.retryOn = names.joined(separator: ",")
        policy.numRetries = .init(clamping: settings.attempts ?? Self.retries)
        policy.retriableStatusCodes =
            names.contains("retriable-status-codes") ? (settings.statusCodes ?? []).map(UInt32.init) : []
        if let perTry { policy.perTryTimeout = .init(perTry) }
        if let idle = settings.perTryIdleTimeout { policy.perTryIdleTimeout = .init(idle) }
        if names.contains("retriable-headers") {
            policy.retriableHeaders = (settings.headers ?? []).map { name in
                .with {
                    $0.name = name
                    $0.presentMatch = true
                }
            }
        }
        if let most = settings.retryAfterMax {
            policy.rateLimitedRetryBackOff.maxInterval = .init(most)
            policy.rateLimitedRetryBackOff.resetHeaders = [.with { $0.name = "retry-after" }]
        }
        if settings.avoidsTriedEndpoints == true {
            let predicate = Envoy_Extensions_Retry_Host_PreviousHosts_V3_PreviousHostsPredicate()
            policy.retryHostPredicate = [
                .with {
                    $0.name = "envoy.retry_host_predicates.previous_hosts"
                    $0.typedConfig = Wire.packed(predicate)
                }
            ]
            policy.hostSelectionRetryMaxAttempts = 5
        }
        let base = settings.backOffMin ?? Self.backOffMin
        policy.retryBackOff.baseInterval = .init(base)
        policy.retryBackOff.maxInterval = .init(max(base, settings.backOffMax ?? base * 10))
        route.route.retryPolicy = policy
        // Envoy would send any method twice at once.
        if let hedges = settings.hedges, proxyClass.isMartlet || settings.methods == .any {
            route.route.hedgePolicy.hedgeOnPerTryTimeout = hedges
        }
    }
}
