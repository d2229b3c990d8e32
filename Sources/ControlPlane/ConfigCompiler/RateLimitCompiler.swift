import MeshConfig
import XDSMessages

/// The limits of one application port, as filters of its connection manager; those of a caller, as what its routes say to
/// filters that do nothing by themselves.
struct RateLimitCompiler {
    static let filterName = "envoy.filters.http.local_ratelimit"
    static let shadowName = "martlet.shadow.local_ratelimit"
    /// Where a request carries its caller's identity from the filter that knows it to those that ask by header.
    static let identityHeader = "x-martlet-peer-identity"
    /// Callers that a limit tells apart by values that no configuration knows; beyond that the one longest unused is
    /// forgotten.
    static let openValuesMax = 1024
    private static let identityAction = "martlet.rate_limit_descriptors.caller_identity"

    typealias Settings = RateLimitSettings
    private typealias Action = Envoy_Config_Route_V3_RateLimit.Action
    private typealias Entry = Envoy_Extensions_Common_Ratelimit_V3_RateLimitDescriptor.Entry
    private typealias LocalLimit = Envoy_Extensions_Filters_Http_LocalRatelimit_V3_LocalRateLimit

    let compiler: ConfigCompiler
    let isMartlet: Bool
    let place: PolicyIndex.Place

    /// In the order in which they are asked.
    func filters(of node: ProxyNode) -> [HTTPFilter] {
        let settings = compiler.policies.settings(Settings.self, at: place)
        let watched = shadowSettings(settings)
        var filters: [HTTPFilter] = []
        if needsIdentityHeader([settings, watched]) { filters.append(identityFilter) }
        if let limit = local(settings) {
            filters.append(HTTPFilter(Self.filterName, limit))
        }
        if let limit = local(watched, isShadow: true) {
            filters.append(HTTPFilter(Self.shadowName, limit))
        }
        let quotas = QuotaCompiler(compiler: compiler, node: node, place: place)
        return filters + [quotas.filter(settings), quotas.filter(watched, isShadow: true)].compactMap { $0 }
    }

    /// Whether requests get a field that applications must not see.
    var addsIdentityHeader: Bool {
        let settings = compiler.policies.settings(Settings.self, at: place)
        return needsIdentityHeader([settings, shadowSettings(settings)])
    }

    /// For routes to say something about.
    static func filtersForRoutes(_ policies: PolicyIndex) -> [HTTPFilter] {
        func filter(_ name: String) -> HTTPFilter {
            HTTPFilter(name, LocalLimit.with { $0.statPrefix = statPrefix(isShadow: name == shadowName) })
        }
        return (policies.isInForce(.rateLimitPolicy, .outbound) ? [filter(filterName)] : [])
            + (policies.isInShadow(.rateLimitPolicy, .outbound) ? [filter(shadowName)] : [])
    }

    /// What the route at `place` says to those filters, by their names.
    func ofRoute() -> [(name: String, limit: Google_Protobuf_Any)] {
        let settings = compiler.policies.ruleSettings(Settings.self, at: place).filled(
            from: compiler.policies.settings(Settings.self, at: place))
        let limits = [
            (Self.filterName, local(settings)),
            (Self.shadowName, local(shadowSettings(settings), isShadow: true)),
        ]
        return limits.compactMap { name, limit in limit.map { (name, Wire.packed($0)) } }
    }

    private static func statPrefix(isShadow: Bool) -> String {
        isShadow ? "shadow_http_local_rate_limiter" : "http_local_rate_limiter"
    }

    /// What policies in shadow mode would change; nothing where they say the same as those in force.
    private func shadowSettings(_ settings: Settings) -> Settings {
        guard let found = compiler.policies.shadowSettings(Settings.self, at: place) else {
            return Settings()
        }
        var watched = found.rule.filled(from: found.others)
        if (watched.rate, watched.keys) == (settings.rate, settings.keys) {
            (watched.rate, watched.keys) = (nil, nil)
        }
        if (watched.globalRate, watched.globalKeys) == (settings.globalRate, settings.globalKeys) {
            (watched.globalRate, watched.globalKeys) = (nil, nil)
        }
        return watched
    }

    // MARK: Who calls

    private func needsIdentityHeader(_ all: [Settings]) -> Bool {
        all.contains { settings in
            // Martlet's own local limit asks the connection, without a field.
            let keys = (isMartlet ? [] : settings.keys ?? []) + (settings.globalKeys ?? [])
            return keys.contains { $0.key.identity != nil }
        }
    }

    /// Whatever a caller has written there is taken away first.
    private var identityFilter: HTTPFilter {
        let mutation = Envoy_Extensions_Filters_Http_HeaderMutation_V3_HeaderMutation.with {
            $0.mutations.requestMutations = [
                .with { $0.remove = Self.identityHeader },
                .with {
                    $0.append.header.key = Self.identityHeader
                    $0.append.header.value = "%DOWNSTREAM_PEER_URI_SAN%"
                    $0.append.appendAction = .overwriteIfExistsOrAdd
                },
            ]
        }
        return HTTPFilter("envoy.filters.http.header_mutation", mutation)
    }

    // MARK: Each sidecar alone

    private func local(_ settings: Settings, isShadow: Bool = false) -> LocalLimit? {
        guard settings.hasLocal else { return nil }
        var limit = LocalLimit()
        limit.statPrefix = Self.statPrefix(isShadow: isShadow)
        limit.status.code = .init(rawValue: settings.status ?? 429) ?? .tooManyRequests
        if let rate = settings.rate {
            limit.tokenBucket = Self.bucket(rate, burst: settings.burst)
        } else {
            // Envoy wants a bucket in any case: one that nobody empties.
            let unlimited = Settings.Rate(requests: Int(UInt32.max), interval: .seconds(1))
            if !isMartlet { limit.tokenBucket = Self.bucket(unlimited, burst: nil) }
            limit.alwaysConsumeDefaultTokenBucket = .init(false)
        }
        limit.filterEnabled = .always
        limit.filterEnforced = isShadow ? .never : .always
        limit.localRateLimitPerDownstreamConnection = settings.isPerConnection ?? false
        limit.enableXRatelimitHeaders = !isShadow && settings.sendsHeaders ?? true ? .draftVersion03 : .off
        limit.rateLimitedAsResourceExhausted = true
        limit.responseHeadersToAdd = Self.options(settings.responseHeaders)
        var known: [[Action]] = []
        for keyed in settings.keys ?? [] {
            let parts = parts(of: keyed.key)
            limit.descriptors.append(
                .with {
                    $0.entries = parts.map(\.entry)
                    $0.tokenBucket = Self.bucket(keyed.rate, burst: keyed.burst)
                })
            // Keys that differ in values only are told apart by what one list of actions finds.
            let actions = parts.map(\.action)
            guard !known.contains(actions) else { continue }
            known.append(actions)
            limit.rateLimits.append(.with { $0.actions = actions })
        }
        if settings.keys?.contains(where: \.key.isOpen) == true {
            limit.maxDynamicDescriptors = .init(clamping: Self.openValuesMax)
        }
        return limit
    }

    private static func bucket(_ rate: Settings.Rate, burst: Int?) -> Envoy_Type_V3_TokenBucket {
        .with {
            $0.maxTokens = UInt32(clamping: burst ?? rate.requests)
            $0.tokensPerFill = .init(clamping: rate.requests)
            $0.fillInterval = .init(rate.interval)
        }
    }

    static func options(_ headers: [String: String]?) -> [Envoy_Config_Core_V3_HeaderValueOption] {
        (headers ?? [:]).sorted { $0.key < $1.key }.map { name, value in
            .with {
                $0.header.key = name
                // A percent sign begins an operator in Envoy's values; operators of the mesh write plain text.
                $0.header.value = value.replacing("%", with: "%%")
                $0.appendAction = .overwriteIfExistsOrAdd
            }
        }
    }

    /// What finds a key's properties in a request, and what must be found. An entry without value is open.
    private func parts(of key: RateLimitKey) -> [(action: Action, entry: Entry)] {
        var parts: [(action: Action, entry: Entry)] = []
        func add(_ name: String, _ value: String, _ change: (inout Action) -> Void) {
            var action = Action()
            change(&action)
            let entry = Entry.with {
                $0.key = name
                $0.value = value
            }
            parts.append((action, entry))
        }
        func text(_ value: RateLimitKey.Value, _ transform: (String) -> String = { $0 }) -> String {
            switch value {
            case .any: ""
            case .exact(let text): transform(text)
            }
        }
        func header(_ field: String, as name: String, _ value: String) {
            add(name, value) {
                $0.requestHeaders.headerName = field
                $0.requestHeaders.descriptorKey = name
            }
        }
        if let identity = key.identity {
            let value = text(identity, compiler.identityURI(of:))
            if isMartlet {
                add("identity", value) {
                    $0.extension.name = Self.identityAction
                    $0.extension.typedConfig = Wire.packed(
                        Martlet_V1_CallerIdentity.with { $0.descriptorKey = "identity" })
                }
            } else {
                header(Self.identityHeader, as: "identity", value)
            }
        }
        if let method = key.method { header(":method", as: "method", text(method)) }
        if let path = key.path {
            let pattern = PathPattern(path)
            add("path", pattern.name) {
                $0.headerValueMatch.descriptorKey = "path"
                $0.headerValueMatch.descriptorValue = pattern.name
                $0.headerValueMatch.headers = [
                    .with {
                        $0.name = ":path"
                        $0.stringMatch.safeRegex.regex = pattern.expression
                    }
                ]
            }
        }
        for field in key.headers { header(field.name, as: "header:\(field.name)", text(field.value)) }
        if key.usesAddress { add("remote_address", "") { $0.remoteAddress = .init() } }
        return parts
    }
}

/// A path of a key as a regular expression over `:path`, which carries the query too.
struct PathPattern {
    let name: String
    let expression: String

    init(_ path: RateLimitKey.Path) {
        switch path {
        case .exact(let text):
            name = text
            expression = Self.quoted(text) + "(\\?.*)?"
        case .prefix("/"):
            name = "/*"
            expression = ".*"
        case .prefix(let text):
            name = text + "*"
            expression = Self.quoted(text) + "([/?].*)?"
        }
    }

    static func quoted(_ text: String) -> String {
        var result = ""
        for character in text {
            if "\\.+*?()|[]{}^$".contains(character) { result.append("\\") }
            result.append(character)
        }
        return result
    }
}

extension Envoy_Config_Core_V3_RuntimeFractionalPercent {
    static let never = Self.with {
        $0.defaultValue.numerator = 0
        $0.defaultValue.denominator = .hundred
    }
}
