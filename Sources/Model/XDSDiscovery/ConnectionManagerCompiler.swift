import MeshModel
import MeshPrimitives
import XDSSchema

// envoy.extensions.filters.network.http_connection_manager.v3
extension ResourceCompiler {
    /// What the proxy's index of a head holds.
    private static let headKilobytesMax: UInt64 = 60
    private static let fieldsMax: UInt64 = 100

    mutating func connectionManager(
        _ node: ConfigNode
    ) -> (HTTPConnectionManager, (name: String, timeout: Duration)?) {
        typealias F = XDS.HttpConnectionManager
        var manager = HTTPConnectionManager(
            statPrefix: node.message.text(F.statPrefix),
            routes: .routes(RouteConfiguration(name: "", virtualHosts: [])))
        headers(node, into: &manager)
        protocols(node, into: &manager)
        timeouts(node, into: &manager)
        manager.accessLogs = node.children(F.accessLog).compactMap { accessLog($0) }
        if let tracing = node.child(F.tracing) { manager.tracing = self.tracing(tracing) }
        let policy = filters(node, into: &manager)
        var source: (name: String, timeout: Duration)?
        if let rds = node.child(F.rds) {
            let name = rds.message.text(XDS.Rds.routeConfigName)
            manager.routes = .routes(RouteConfiguration(name: name, virtualHosts: []))
            source = adsTimeout(rds.child(XDS.Rds.configSource), of: rds, XDS.Rds.configSource).map {
                (name, $0)
            }
        } else if let inline = node.child(F.routeConfig) {
            manager.routes = .routes(routeConfiguration(inline, validatesClusters: true))
        }
        if let policy { apply(policy, to: &manager) }
        return (manager, source)
    }

    private mutating func headers(_ node: ConfigNode, into manager: inout HTTPConnectionManager) {
        typealias F = XDS.HttpConnectionManager
        let message = node.message
        if message.has(F.serverName) { manager.serverName = message.text(F.serverName) }
        let serverHeaders: [HTTPConnectionManager.ServerHeader] = [.overwrite, .appendIfAbsent, .passThrough]
        manager.serverHeader =
            serverHeaders[Int(clamping: message.enumerated(F.serverHeaderTransformation)) % 3]
        manager.usesRemoteAddress = message.wrappedBool(F.useRemoteAddress) ?? false
        manager.trustedHops = Int(clamping: message.unsigned(F.xffNumTrustedHops))
        manager.skipsXFFAppend = message.bool(F.skipXffAppend)
        manager.appendsForwardedPort = message.bool(F.appendXForwardedPort)
        manager.via = message.has(F.via) ? message.text(F.via) : nil
        if let internals = node.child(F.internalAddressConfig) {
            let ranges = internals.children(XDS.HttpConnectionManagerInternalAddressConfig.cidrRanges)
            manager.internalRanges = ranges.compactMap { range($0) }
        }
        manager.generatesRequestID = message.wrappedBool(F.generateRequestId) ?? true
        manager.preservesExternalRequestID = message.bool(F.preserveExternalRequestId)
        manager.setsRequestIDInResponse = message.bool(F.alwaysSetRequestIdInResponse)
        let forwards: [HTTPConnectionManager.ForwardClientCertificate] = [
            .sanitize, .forwardOnly, .appendForward, .sanitizeSet, .alwaysForwardOnly,
        ]
        manager.forwardClientCertificate =
            forwards[Int(clamping: message.enumerated(F.forwardClientCertDetails)) % forwards.count]
        if let details = message.message(F.setCurrentClientCertDetails) {
            typealias D = XDS.HttpConnectionManagerSetCurrentClientCertDetails
            manager.currentClientCertificate.subject = details.wrappedBool(D.subject) ?? false
            manager.currentClientCertificate.certificate = details.bool(D.cert)
            manager.currentClientCertificate.dns = details.bool(D.dns)
            manager.currentClientCertificate.uri = details.bool(D.uri)
        }
        manager.normalizesPath = message.wrappedBool(F.normalizePath) ?? false
        manager.mergesSlashes = message.bool(F.mergeSlashes)
        let slashes: [HTTPConnectionManager.EscapedSlashes] = [
            .keep, .keep, .reject, .unescapeAndRedirect, .unescapeAndForward,
        ]
        manager.escapedSlashes =
            slashes[Int(clamping: message.enumerated(F.pathWithEscapedSlashesAction)) % slashes.count]
        manager.stripsAnyPort = message.bool(F.stripAnyHostPort)
        manager.sendsProxyStatus = message.has(F.proxyStatusConfig)
    }

    private mutating func protocols(_ node: ConfigNode, into manager: inout HTTPConnectionManager) {
        typealias F = XDS.HttpConnectionManager
        let codecs: [HTTPConnectionManager.Codec] = [.auto, .http1, .http2]
        manager.codec = codecs[Int(clamping: node.message.enumerated(F.codecType)) % codecs.count]
        manager.proxies100Continue = node.message.bool(F.proxy100Continue)
        if let options = node.child(F.httpProtocolOptions) {
            typealias H = XDS.Http1ProtocolOptions
            manager.acceptsHTTP10 = options.message.bool(H.acceptHttp10)
            let host = options.message.text(H.defaultHostForHttp10)
            manager.defaultHostForHTTP10 = host.isEmpty ? nil : host
            manager.enablesTrailers = options.message.bool(H.enableTrailers)
            manager.headerKeyFormat = headerKeyFormat(options)
        }
        if let options = node.child(F.http2ProtocolOptions) { manager.http2 = http2Options(options) }
        for upgrade in node.children(F.upgradeConfigs) {
            typealias U = XDS.HttpConnectionManagerUpgradeConfig
            let name = upgrade.message.text(U.upgradeType).lowercased()
            if upgrade.message.wrappedBool(U.enabled) ?? true { manager.upgrades.append(name) }
        }
        if let most = node.message.wrappedUnsigned(F.maxRequestHeadersKb) {
            if most > Self.headKilobytesMax {
                add(
                    "is more than \(Self.headKilobytesMax), which is not supported", at: node,
                    F.maxRequestHeadersKb)
            }
            manager.headBytesMax = Int(most) << 10
        }
    }

    private mutating func timeouts(_ node: ConfigNode, into manager: inout HTTPConnectionManager) {
        typealias F = XDS.HttpConnectionManager
        let message = node.message
        manager.streamIdleTimeout = limit(message.duration(F.streamIdleTimeout), default: .seconds(300))
        manager.requestTimeout = limit(message.duration(F.requestTimeout), default: nil)
        manager.requestHeadersTimeout = limit(message.duration(F.requestHeadersTimeout), default: nil)
        manager.drainTimeout = message.duration(F.drainTimeout) ?? .seconds(5)
        manager.delayedCloseTimeout = limit(message.duration(F.delayedCloseTimeout), default: .seconds(1))
        guard let common = node.child(F.commonHttpProtocolOptions) else { return }
        typealias C = XDS.CoreHttpProtocolOptions
        manager.idleTimeout = limit(common.message.duration(C.idleTimeout), default: .seconds(3600))
        manager.maxConnectionDuration = limit(common.message.duration(C.maxConnectionDuration), default: nil)
        manager.maxStreamDuration = limit(common.message.duration(C.maxStreamDuration), default: nil)
        manager.maxRequestsPerConnection = requestsMax(common)
        if let most = common.message.wrappedUnsigned(C.maxHeadersCount) {
            if most > Self.fieldsMax {
                add("is more than \(Self.fieldsMax), which is not supported", at: common, C.maxHeadersCount)
            }
            manager.fieldsMax = Int(most)
        }
        let actions: [UnderscoreAction] = [.allow, .rejectRequest, .dropHeader]
        manager.underscoresInHeaders =
            actions[Int(clamping: common.message.enumerated(C.headersWithUnderscoresAction)) % actions.count]
    }

    /// The filters before the router; the mesh's policy is handed back, since it speaks of all of them.
    private mutating func filters(_ node: ConfigNode, into manager: inout HTTPConnectionManager)
        -> ConfigNode?
    {
        var policy: ConfigNode?
        let filters = node.children(XDS.HttpConnectionManager.httpFilters)
        for (index, filter) in filters.enumerated() {
            guard let config = filter.child(XDS.HttpFilter.typedConfig) else {
                add("is missing", at: filter, XDS.HttpFilter.typedConfig)
                continue
            }
            let isLast = index == filters.count - 1
            switch config.type {
            case XDS.Router.messageType:
                if !isLast { add("the router must be the last filter", at: filter) }
                manager.suppressesEnvoyHeaders = config.message.bool(XDS.Router.suppressEnvoyHeaders)
                manager.respectsExpectedTimeout = config.message.bool(XDS.Router.respectExpectedRqTimeout)
            case XDS.LocalRateLimit.messageType:
                manager.filters.append(
                    .localRateLimit(localRateLimit(config), name: filter.message.text(XDS.HttpFilter.name)))
            case XDS.GlobalRateLimit.messageType:
                if let limit = globalRateLimit(config) {
                    manager.filters.append(
                        .globalRateLimit(limit, name: filter.message.text(XDS.HttpFilter.name)))
                }
            case XDS.RateLimitQuotaFilterConfig.messageType:
                if let quota = quotaFilter(config) { manager.filters.append(.quota(quota)) }
            case XDS.Cors.messageType:
                manager.filters.append(.cors(name: filter.message.text(XDS.HttpFilter.name)))
            case XDS.HTTPFault.messageType:
                manager.filters.append(
                    .fault(fault(config), name: filter.message.text(XDS.HttpFilter.name)))
            case XDS.HeaderMutationHeaderMutation.messageType:
                manager.filters.append(
                    .headerMutation(headerMutation(config), name: filter.message.text(XDS.HttpFilter.name)))
            case XDS.HealthCheckHealthCheck.messageType:
                manager.filters.append(.healthCheck(healthCheckFilter(config)))
            case XDS.AdaptiveConcurrency.messageType:
                manager.filters.append(.adaptiveConcurrency(adaptiveConcurrency(config)))
            case XDS.AdmissionControl.messageType:
                manager.filters.append(.admissionControl(admissionControl(config)))
            case XDS.MartletPolicy.messageType:
                policy = config
            default:
                add("the type '\(config.type.name)' is not supported here", at: config)
            }
            if isLast, config.type != XDS.Router.messageType {
                add("the last filter must be the router", at: filter)
            }
        }
        if filters.isEmpty {
            add("needs at least the router", at: node, XDS.HttpConnectionManager.httpFilters)
        }
        return policy
    }

    private func apply(_ policy: ConfigNode, to manager: inout HTTPConnectionManager) {
        typealias F = XDS.MartletPolicy
        manager.ignoresUnknownUpgrades = policy.message.bool(F.ignoreUnknownUpgrades)
        if policy.message.bool(F.sendProxyStatus) { manager.sendsProxyStatus = true }
        manager.trustsLocalControls = policy.message.bool(F.trustsLocalControls)
        manager.believesForwardedFor = false
        if let context = policy.child(F.traceContext) {
            typealias T = XDS.MartletPolicyTraceContext
            var settings = TraceContextSettings()
            if let sampled = context.child(T.sampled) { settings.sampled = percent(sampled) }
            settings.startsW3C = context.message.bool(T.startW3c)
            settings.startsB3 = context.message.bool(T.startB3)
            settings.shadowSampled = context.child(T.shadowSampled).map { percent($0) }
            manager.traceContext = settings
        }
        let sendsRetryAfter = policy.message.bool(F.sendRetryAfter)
        let shadowFaults = policy.message.texts(F.shadowFaults)
        manager.filters = manager.filters.map { filter in
            switch filter {
            case .localRateLimit(var limit, let name):
                if sendsRetryAfter { limit.sendsRetryAfter = true }
                return .localRateLimit(limit, name: name)
            case .adaptiveConcurrency(var concurrency):
                concurrency.mode = mode(policy.message.enumerated(F.adaptiveConcurrencyMode))
                return .adaptiveConcurrency(concurrency)
            case .admissionControl(var control):
                control.mode = mode(policy.message.enumerated(F.admissionControlMode))
                return .admissionControl(control)
            case .quota(var quota):
                quota.sendsRetryAfter = sendsRetryAfter
                return .quota(quota)
            case .fault(var fault, let name):
                fault.isShadow = shadowFaults.contains(name)
                return .fault(fault, name: name)
            case .cors, .headerMutation, .healthCheck, .globalRateLimit: return filter
            }
        }
        if sendsRetryAfter { manager.setSendsRetryAfter() }
    }
}

extension HTTPConnectionManager {
    /// Of the limits that routes carry; those of RDS come later.
    mutating func setSendsRetryAfter() {
        guard case .routes(var routes) = self.routes else { return }
        for host in routes.virtualHosts.indices {
            routes.virtualHosts[host].filters.setSendsRetryAfter()
            for route in routes.virtualHosts[host].routes.indices {
                routes.virtualHosts[host].routes[route].filters.setSendsRetryAfter()
            }
        }
        self.routes = .routes(routes)
    }
}

extension [RouteFilter] {
    fileprivate mutating func setSendsRetryAfter() {
        for index in indices {
            guard case .localRateLimit(var limit) = self[index].settings else { continue }
            limit.sendsRetryAfter = true
            self[index].settings = .localRateLimit(limit)
        }
    }
}
