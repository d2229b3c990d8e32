import MeshConfig
import XDSMessages

/// The filter that keeps a sidecar within its share of a mesh-wide limit (Envoy's `rate_limit_quota`).
struct QuotaCompiler {
    /// How often sidecars say what they have used.
    static let reportInterval = Duration.seconds(1)
    /// Of a limit, what a sidecar may use before it has heard of its share.
    static let firstShare = 0.1
    /// How the sidecars of Martlet call the servers from which their configuration comes.
    static let controlCluster = "martlet:control"

    typealias Settings = RateLimitSettings
    private typealias Config = Envoy_Extensions_Filters_Http_RateLimitQuota_V3_RateLimitQuotaFilterConfig
    private typealias Bucket = Envoy_Extensions_Filters_Http_RateLimitQuota_V3_RateLimitQuotaBucketSettings
    private typealias Matcher = Xds_Type_Matcher_V3_Matcher
    private typealias Predicate = Xds_Type_Matcher_V3_Matcher.MatcherList.Predicate

    let compiler: ConfigCompiler
    let node: ProxyNode
    let place: PolicyIndex.Place

    /// nil if nothing is limited over all sidecars, or if the proxy has not said how it calls the control plane.
    func filter(_ settings: Settings, isShadow: Bool = false) -> HTTPFilter? {
        let cluster = node.isMartlet ? Self.controlCluster : node.controlCluster
        guard settings.hasGlobal, let cluster else { return nil }
        let scope = QuotaLimit.scope(of: place, compiler.policies, isShadow: isShadow)
        var config = Config()
        config.rlqsServer.envoyGrpc.clusterName = cluster
        config.domain = QuotaLimit.domain(node.service)
        config.filterEnabled = .always
        config.filterEnforced = isShadow ? .never : .always
        let keys = settings.globalKeys ?? []
        if !keys.isEmpty {
            config.bucketMatchers.matcherList.matchers = keys.map { keyed in
                .with {
                    $0.predicate = predicate(keyed.key)
                    $0.onMatch = action(settings, scope, keyed.key, keyed.rate)
                }
            }
        }
        if let rate = settings.globalRate {
            config.bucketMatchers.onNoMatch = action(settings, scope, nil, rate)
        }
        return HTTPFilter(
            isShadow ? "martlet.shadow.rate_limit_quota" : "envoy.filters.http.rate_limit_quota", config)
    }

    // MARK: Buckets

    private func action(
        _ settings: Settings, _ scope: String, _ key: RateLimitKey?, _ rate: Settings.Rate
    ) -> Matcher.OnMatch {
        var bucket = Bucket()
        bucket.bucketIDBuilder.bucketIDBuilder = [
            QuotaLimit.scopeKey: .with { $0.stringValue = scope },
            QuotaLimit.limitKey: .with { $0.stringValue = key?.name ?? "all" },
        ]
        for input in key.map(inputs) ?? [] where input.value == .any {
            bucket.bucketIDBuilder.bucketIDBuilder[input.name] = .with {
                $0.customValue.name = "envoy.matching.inputs.request_headers"
                $0.customValue.typedConfig = Self.input(input.header)
            }
        }
        bucket.reportingInterval = .init(Self.reportInterval)
        bucket.denyResponseSettings.httpStatus.code =
            .init(rawValue: settings.status ?? 429) ?? .tooManyRequests
        bucket.denyResponseSettings.grpcStatus.code = 8
        bucket.denyResponseSettings.responseHeadersToAdd = RateLimitCompiler.options(settings.responseHeaders)
        switch settings.failure ?? .lastShare {
        case .open:
            bucket.noAssignmentBehavior.fallbackRateLimit.blanketRule = .allowAll
            bucket.expiredAssignmentBehavior.fallbackRateLimit.blanketRule = .allowAll
        case .closed:
            bucket.noAssignmentBehavior.fallbackRateLimit.blanketRule = .denyAll
            bucket.expiredAssignmentBehavior.fallbackRateLimit.blanketRule = .denyAll
        case .lastShare:
            if node.isMartlet {
                bucket.noAssignmentBehavior.fallbackRateLimit = .init(
                    perSecond: rate.perSecond * Self.firstShare)
            } else {
                // Envoy 1.40 ends with a segmentation fault where a token bucket stands here.
                bucket.noAssignmentBehavior.fallbackRateLimit.blanketRule = .allowAll
            }
            bucket.expiredAssignmentBehavior.reuseLastAssignment = .init()
        }
        return .with {
            $0.action.name = "rate_limit_quota"
            $0.action.typedConfig = Wire.packed(bucket)
        }
    }

    // MARK: Requests

    private struct Input {
        let name: String
        let header: String
        let value: RateLimitKey.Value
    }

    /// Those properties of a key that a field of the request carries as they are.
    private func inputs(_ key: RateLimitKey) -> [Input] {
        var inputs: [Input] = []
        switch key.identity {
        case nil: break
        case .any:
            inputs.append(Input(name: "identity", header: RateLimitCompiler.identityHeader, value: .any))
        case .exact(let text):
            inputs.append(
                Input(
                    name: "identity", header: RateLimitCompiler.identityHeader,
                    value: .exact(compiler.identityURI(of: text))))
        }
        if let method = key.method { inputs.append(Input(name: "method", header: ":method", value: method)) }
        inputs += key.headers.map { Input(name: "header:\($0.name)", header: $0.name, value: $0.value) }
        return inputs
    }

    private func predicate(_ key: RateLimitKey) -> Predicate {
        var predicates = inputs(key).map { input in
            Self.predicate(input.header) {
                switch input.value {
                // There, whatever it is.
                case .any: $0.safeRegex = Self.regex(".+")
                case .exact(let text): $0.exact = text
                }
            }
        }
        if let path = key.path {
            predicates.append(
                Self.predicate(":path") { $0.safeRegex = Self.regex(PathPattern(path).expression) })
        }
        guard predicates.count > 1 else { return predicates.first ?? Predicate() }
        return .with { $0.andMatcher.predicate = predicates }
    }

    /// Unlike Envoy's own matchers these must name their engine.
    private static func regex(_ expression: String) -> Xds_Type_Matcher_V3_RegexMatcher {
        .with {
            $0.googleRe2 = .init()
            $0.regex = expression
        }
    }

    private static func predicate(
        _ header: String, _ match: (inout Xds_Type_Matcher_V3_StringMatcher) -> Void
    ) -> Predicate {
        .with {
            $0.singlePredicate.input.name = "envoy.matching.inputs.request_headers"
            $0.singlePredicate.input.typedConfig = input(header)
            match(&$0.singlePredicate.valueMatch)
        }
    }

    private static func input(_ header: String) -> Google_Protobuf_Any {
        Wire.packed(Envoy_Type_Matcher_V3_HttpRequestHeaderMatchInput.with { $0.headerName = header })
    }
}
