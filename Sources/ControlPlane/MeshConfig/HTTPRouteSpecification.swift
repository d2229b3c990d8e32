/// `HTTPRoute` of the Gateway API, attached to services as the GAMMA profile does; `GRPCRoute` in the same form.
public struct HTTPRouteSpecification: Sendable, Equatable {
    public struct ParentReference: Sendable, Equatable {
        public var service: ServiceID
        /// `nil`: every port of the service.
        public var port: Int?
        /// The port by its name.
        public var portName: String?

        public func includes(_ candidate: ServiceSpecification.Port) -> Bool {
            (port == nil || port == candidate.port) && (portName == nil || portName == candidate.name)
        }
    }

    public enum PathMatch: Sendable, Equatable {
        case exact(String)
        /// By whole segments: `/a` matches `/a` and `/a/b`, not `/ab`.
        case prefix(String)
        case regularExpression(String)
    }

    public struct ValueMatch: Sendable, Equatable {
        public var name: String
        public var value: String
        public var isRegularExpression: Bool
    }

    /// What a `GRPCRoute` matches; nil: every one.
    public struct GRPCMethod: Sendable, Equatable {
        public var service: String?
        public var name: String?
        public var isRegularExpression = false
    }

    public struct Match: Sendable, Equatable {
        public var path = PathMatch.prefix("/")
        public var headers: [ValueMatch] = []
        public var queryParameters: [ValueMatch] = []
        public var method: String?
        /// Of a `GRPCRoute`; `path` and `method` say the same.
        public var grpc: GRPCMethod?
    }

    public struct Header: Sendable, Equatable {
        public var name: String
        public var value: String
    }

    public struct HeaderModifier: Sendable, Equatable {
        public var set: [Header] = []
        public var add: [Header] = []
        public var remove: [String] = []
    }

    public enum PathModifier: Sendable, Equatable {
        case replaceFullPath(String)
        case replacePrefixMatch(String)
    }

    public struct Redirect: Sendable, Equatable {
        public var scheme: String?
        public var hostname: String?
        public var path: PathModifier?
        public var port: Int?
        public var statusCode = 302
    }

    public struct Rewrite: Sendable, Equatable {
        public var hostname: String?
        public var path: PathModifier?
    }

    public struct Filters: Sendable, Equatable {
        public var requestHeaders: HeaderModifier?
        public var responseHeaders: HeaderModifier?
        public var redirect: Redirect?
        public var rewrite: Rewrite?
        public var mirrors: [Mirror] = []
        public var cors: CORS?
    }

    /// Which pages of other origins may read the answers (Gateway API, HTTPCORSFilter).
    public struct CORS: Sendable, Equatable {
        /// `SCHEME://HOST[:PORT]`; a host may begin with `*.`; `*` alone is every origin.
        public var origins: [String] = []
        /// `*` is every method, as the caller asks for it.
        public var methods: [String] = []
        public var headers: [String] = []
        public var exposedHeaders: [String] = []
        public var allowsCredentials = false
        /// Seconds for which a browser keeps the answer to its question.
        public var maxAge = 5
    }

    /// Where requests are copied to.
    public struct Mirror: Sendable, Equatable {
        public var service: ServiceID
        public var port: Int
        /// Of `denominator` requests so many.
        public var numerator = 100
        public var denominator = 100
    }

    public struct Backend: Sendable, Equatable {
        public var service: ServiceID
        public var port: Int
        public var weight: Int
        public var requestHeaders: HeaderModifier?
        public var responseHeaders: HeaderModifier?
    }

    public struct Retry: Sendable, Equatable {
        public var codes: [Int] = []
        public var attempts: Int?
        public var backOff: Duration?
    }

    /// Requests with the same cookie go to the same endpoint; one without gets it.
    public struct SessionPersistence: Sendable, Equatable {
        public static let nameDefault = "martlet-session"

        public var name: String
        /// Zero: as long as the browser runs.
        public var lifetime: Duration
    }

    public struct Rule: Sendable, Equatable {
        public var name: String?
        public var matches: [Match]
        public var filters: Filters
        public var backends: [Backend]
        public var requestTimeout: Duration?
        public var backendRequestTimeout: Duration?
        public var retry: Retry?
        public var sessionPersistence: SessionPersistence?
    }

    public var parents: [ParentReference]
    public var rules: [Rule]
}

// MARK: Reading

extension HTTPRouteSpecification {
    static func read(
        _ fields: Fields, namespace: String, _ readRule: (Fields, _ namespace: String) -> Rule? = readRule
    ) -> HTTPRouteSpecification? {
        let parents = fields.list("parentRefs", isRequired: true, countMax: 32) {
            readParent($0, namespace: namespace)
        }
        let rules = fields.list("rules", countMax: 64) { readRule($0, namespace) }
        if fields.has("hostnames") {
            fields.report(
                "hostnames", "a route of a Service has no host names of its own",
                "remove it: callers use the name of the service in parentRefs")
        }
        fields.ignore("hostnames")
        fields.refuseEmpty("parentRefs", "name a Service")
        guard let parents else { return nil }
        return HTTPRouteSpecification(parents: parents, rules: rules ?? [])
    }

    /// `group: ""` and `kind: Service` mean our `Service`.
    private static func readService(
        _ fields: Fields, namespace: String, kindRequired: Bool
    ) -> ServiceID? {
        if let group = fields.node("group").flatMap({ fields.reader.string($0, fields.path(of: "group")) }),
            !["", "martlet.mesh"].contains(group)
        {
            fields.report(
                "group", "'\(group.clipped)' has no kind that a route can name", "write group: \"\"")
        }
        let kind = fields.string("kind", isRequired: kindRequired)
        if let kind, kind != "Service" {
            fields.report("kind", "'\(kind.clipped)' is not supported", "write kind: Service")
        }
        let name = fields.checked("name", isRequired: true, Syntax.label)
        let namespace = fields.checked("namespace", Syntax.label) ?? namespace
        return name.map { ServiceID(namespace: namespace, name: $0) }
    }

    private static func readParent(_ fields: Fields, namespace: String) -> ParentReference? {
        let service = readService(fields, namespace: namespace, kindRequired: true)
        let port = fields.integer("port", in: 1...65_535)
        let portName = fields.checked("sectionName", Syntax.label)
        return service.map { ParentReference(service: $0, port: port, portName: portName) }
    }

    static func readRule(_ fields: Fields, namespace: String) -> Rule? {
        var rule = Rule(
            name: fields.checked("name", Syntax.subdomain),
            matches: fields.list("matches", countMax: 64, readMatch) ?? [],
            filters: readFilters(fields, namespace: namespace), backends: [])
        if rule.matches.isEmpty { rule.matches = [Match()] }
        fields.mapping("timeouts") { fields -> Bool? in
            rule.requestTimeout = fields.duration("request", in: timeoutRange)
            rule.backendRequestTimeout = fields.duration("backendRequest", in: timeoutRange)
            if let request = rule.requestTimeout, let backend = rule.backendRequestTimeout,
                request > .zero, backend > request
            {
                fields.report(
                    "backendRequest", "\(Syntax.text(backend)) is longer than the whole request",
                    "make it at most \(Syntax.text(request))")
            }
            return true
        }
        rule.retry = fields.mapping("retry", readRetry)
        readBackends(
            fields, namespace: namespace, into: &rule, else: "name a backend, or add a RequestRedirect")
        checkPathModifiers(rule, fields)
        return rule
    }

    /// - Parameter remedy: where there are none.
    static func readBackends(
        _ fields: Fields, namespace: String, into rule: inout Rule, else remedy: String
    ) {
        rule.backends =
            fields.list("backendRefs", countMax: 16) { readBackend($0, namespace: namespace) } ?? []
        rule.sessionPersistence = fields.mapping("sessionPersistence", readSessionPersistence)
        if rule.sessionPersistence != nil, rule.backends.count(where: { $0.weight > 0 }) > 1 {
            fields.report(
                "sessionPersistence", "a session cannot stay with one of several backends yet",
                "keep one backend, or give the others weight 0")
        }
        if rule.filters.redirect != nil, !rule.backends.isEmpty {
            fields.report("backendRefs", "a redirect has no backends", "remove backendRefs or the redirect")
        }
        if !rule.backends.isEmpty, rule.backends.allSatisfy({ $0.weight == 0 }) {
            fields.report("backendRefs", "every backend has weight 0", "give one of them a weight")
        }
        if rule.filters.redirect == nil, rule.backends.isEmpty, !fields.has("backendRefs") {
            fields.report("backendRefs", "is missing", remedy)
        }
        fields.refuseEmpty("backendRefs", remedy)
    }

    /// Gateway API: `ReplacePrefixMatch` needs `PathPrefix` matches.
    private static func checkPathModifiers(_ rule: Rule, _ fields: Fields) {
        let replacesPrefix = [rule.filters.redirect?.path, rule.filters.rewrite?.path].contains { modifier in
            if case .replacePrefixMatch = modifier { return true }
            return false
        }
        let prefixes = rule.matches.count { match in
            if case .prefix = match.path { return true }
            return false
        }
        if replacesPrefix, prefixes < rule.matches.count {
            fields.report(
                "filters", "ReplacePrefixMatch needs matches of type PathPrefix",
                "change the type of the matches")
        }
    }

    static let timeoutRange = Duration.zero...Duration.seconds(24 * 3600)

    private enum PathMatchType: String, CaseIterable {
        case exact = "Exact"
        case prefix = "PathPrefix"
        case regularExpression = "RegularExpression"
    }

    private enum ValueMatchType: String, CaseIterable {
        case exact = "Exact"
        case regularExpression = "RegularExpression"
    }

    private static func readMatch(_ fields: Fields) -> Match? {
        var match = Match()
        fields.mapping("path") { fields -> Bool? in
            let type = fields.choice("type", PathMatchType.self) ?? .prefix
            let check = type == .regularExpression ? Syntax.regularExpression : Syntax.path
            guard let value = fields.has("value") ? fields.checked("value", isRequired: true, check) : "/"
            else {
                return nil
            }
            switch type {
            case .exact: match.path = .exact(value)
            case .prefix:
                match.path = .prefix(
                    value.count > 1 && value.hasSuffix("/") ? String(value.dropLast()) : value)
            case .regularExpression: match.path = .regularExpression(value)
            }
            fields.ignore("value")
            return true
        }
        match.headers = fields.list("headers", countMax: 16) { readValueMatch($0, Syntax.headerName) } ?? []
        match.queryParameters =
            fields.list("queryParams", countMax: 16) { readValueMatch($0, Syntax.headerName) } ?? []
        match.method = fields.checked("method", Syntax.method)
        return match
    }

    static func readValueMatch(_ fields: Fields, _ checkName: (String) -> Syntax.Fault?)
        -> ValueMatch?
    {
        let type = fields.choice("type", ValueMatchType.self) ?? .exact
        let name = fields.checked("name", isRequired: true, checkName)
        let check = type == .regularExpression ? Syntax.regularExpression : Syntax.headerValue
        let value = fields.checked("value", isRequired: true, check)
        guard let name, let value else { return nil }
        return ValueMatch(name: name, value: value, isRegularExpression: type == .regularExpression)
    }

    private static func readBackend(_ fields: Fields, namespace: String) -> Backend? {
        let service = readService(fields, namespace: namespace, kindRequired: false)
        let port = fields.integer("port", isRequired: true, in: 1...65_535)
        let weight = fields.integer("weight", in: 0...1_000_000) ?? 1
        let filters = readFilters(fields, namespace: namespace)
        if filters.redirect != nil || filters.rewrite != nil || !filters.mirrors.isEmpty
            || filters.cors != nil
        {
            fields.report(
                "filters", "a backend may change headers only", "write the filter beside backendRefs")
        }
        guard let service, let port else { return nil }
        return Backend(
            service: service, port: port, weight: weight, requestHeaders: filters.requestHeaders,
            responseHeaders: filters.responseHeaders)
    }

    private static func readMirror(_ fields: Fields, namespace: String) -> Mirror? {
        let target = fields.mapping("backendRef", isRequired: true) { fields -> (ServiceID, Int)? in
            let service = readService(fields, namespace: namespace, kindRequired: false)
            let port = fields.integer("port", isRequired: true, in: 1...65_535)
            guard let service, let port else { return nil }
            return (service, port)
        }
        let percent = fields.integer("percent", in: 0...100)
        let fraction = fields.mapping("fraction") { fields -> (Int, Int)? in
            let denominator = fields.integer("denominator", in: 1...1_000_000) ?? 100
            let numerator = fields.integer("numerator", isRequired: true, in: 0...denominator)
            return numerator.map { ($0, denominator) }
        }
        if percent != nil, fraction != nil {
            fields.report("fraction", "percent is there too", "keep one of the two")
        }
        guard let (service, port) = target else { return nil }
        let (numerator, denominator) = fraction ?? (percent ?? 100, 100)
        return Mirror(service: service, port: port, numerator: numerator, denominator: denominator)
    }

    private enum SessionType: String, CaseIterable {
        case cookie = "Cookie"
        case header = "Header"
    }

    private enum CookieLifetime: String, CaseIterable {
        case session = "Session"
        case permanent = "Permanent"
    }

    /// Gateway API, SessionPersistence (GEP-1619).
    private static func readSessionPersistence(_ fields: Fields) -> SessionPersistence? {
        let name = fields.checked("sessionName", Syntax.headerName) ?? SessionPersistence.nameDefault
        if fields.choice("type", SessionType.self) == .header {
            fields.report("type", "'Header' is not supported yet", "write Cookie")
        }
        let absolute = fields.duration("absoluteTimeout", in: .seconds(1)...Duration.seconds(400 * 86_400))
        fields.notYet("idleTimeout")
        let lifetime = fields.mapping("cookieConfig") { $0.choice("lifetimeType", CookieLifetime.self) }
        if lifetime == .permanent, absolute == nil {
            fields.report(
                "absoluteTimeout", "is missing", "say how long a cookie with lifetimeType Permanent lives")
        }
        if lifetime != .permanent, absolute != nil {
            fields.report(
                "absoluteTimeout", "a cookie with lifetimeType Session lives as long as the browser",
                "add cookieConfig with lifetimeType Permanent, or remove it")
        }
        return SessionPersistence(name: name, lifetime: absolute ?? .zero)
    }

    private static func readRetry(_ fields: Fields) -> Retry? {
        var retry = Retry()
        retry.codes =
            fields.scalars("codes", countMax: 64) { fields.reader.integer($0, $1, in: 400...599) } ?? []
        retry.attempts = fields.integer("attempts", in: 0...10)
        retry.backOff = fields.duration("backoff", in: .milliseconds(1)...Duration.seconds(60))
        return retry
    }
}

// MARK: Filters

extension HTTPRouteSpecification {
    private enum FilterType: String, CaseIterable {
        case requestHeaderModifier = "RequestHeaderModifier"
        case responseHeaderModifier = "ResponseHeaderModifier"
        case requestRedirect = "RequestRedirect"
        case urlRewrite = "URLRewrite"
        case requestMirror = "RequestMirror"
        case cors = "CORS"
        case extensionRef = "ExtensionRef"

        /// The key that carries the filter's settings.
        var key: String {
            switch self {
            case .urlRewrite: "urlRewrite"
            case .cors: "cors"
            case .requestHeaderModifier, .responseHeaderModifier, .requestRedirect, .requestMirror,
                .extensionRef:
                rawValue.prefix(1).lowercased() + rawValue.dropFirst()
            }
        }
    }

    static func readFilters(_ fields: Fields, namespace: String) -> Filters {
        var filters = Filters()
        var seen: [FilterType] = []
        fields.list("filters", countMax: 16) { fields -> Bool? in
            guard let type = fields.choice("type", isRequired: true, FilterType.self) else {
                FilterType.allCases.forEach { fields.ignore($0.key) }
                return nil
            }
            if seen.contains(type), type != .requestMirror {
                fields.report("type", "'\(type.rawValue)' is there twice", "merge the two filters")
            }
            seen.append(type)
            readFilter(type, fields, namespace: namespace, into: &filters)
            return true
        }
        if filters.redirect != nil, filters.rewrite != nil {
            fields.report("filters", "a rule cannot both redirect and rewrite", "keep one of the two")
        }
        return filters
    }

    private static func readFilter(
        _ type: FilterType, _ fields: Fields, namespace: String, into filters: inout Filters
    ) {
        switch type {
        case .requestHeaderModifier:
            filters.requestHeaders = fields.mapping(type.key, isRequired: true, readHeaderModifier)
        case .responseHeaderModifier:
            filters.responseHeaders = fields.mapping(type.key, isRequired: true, readHeaderModifier)
        case .requestRedirect:
            filters.redirect = fields.mapping(type.key, isRequired: true, readRedirect)
        case .urlRewrite:
            filters.rewrite = fields.mapping(type.key, isRequired: true) { fields in
                Rewrite(
                    hostname: fields.checked("hostname", Syntax.hostName),
                    path: fields.mapping("path", readPathModifier))
            }
        case .requestMirror:
            let mirror = fields.mapping(type.key, isRequired: true) { readMirror($0, namespace: namespace) }
            if let mirror { filters.mirrors.append(mirror) }
        case .cors:
            filters.cors = fields.mapping(type.key, isRequired: true, readCORS)
        case .extensionRef:
            fields.ignore(type.key)
            fields.report("type", "'\(type.rawValue)' is not supported yet", "remove the filter")
        }
    }

    private static func readCORS(_ fields: Fields) -> CORS? {
        func names(_ key: String, _ check: (String) -> Syntax.Fault?) -> [String] {
            fields.scalars(key, countMax: 64) { node, path in
                fields.reader.checked(node, path) { $0 == "*" ? nil : check($0) }
            } ?? []
        }
        var cors = CORS()
        cors.origins = names("allowOrigins", checkOrigin)
        cors.methods = names("allowMethods", Syntax.method)
        cors.headers = names("allowHeaders", Syntax.headerName)
        cors.exposedHeaders = names("exposeHeaders", Syntax.headerName)
        cors.allowsCredentials = fields.boolean("allowCredentials") ?? false
        cors.maxAge = fields.integer("maxAge", in: 1...86_400) ?? 5
        if cors.origins.isEmpty, !fields.has("allowOrigins") {
            fields.report("allowOrigins", "is missing", "name the origins, such as https://shop.example")
        }
        fields.refuseEmpty("allowOrigins", "name the origins, such as https://shop.example")
        return cors
    }

    private static func checkOrigin(_ text: String) -> Syntax.Fault? {
        let fault = Syntax.Fault(
            problem: "'\(text.clipped)' is not an origin",
            remedy: "write SCHEME://HOST, with :PORT if it is not the scheme's own, or *")
        guard let separator = text.firstRange(of: "://") else { return fault }
        let scheme = text[..<separator.lowerBound]
        var host = text[separator.upperBound...]
        if let colon = host.lastIndex(of: ":") {
            guard let port = Int(host[host.index(after: colon)...]), (1...65_535).contains(port) else {
                return fault
            }
            host = host[..<colon]
        }
        if host.hasPrefix("*.") { host = host.dropFirst(2) }
        return ["http", "https"].contains(scheme) && Syntax.hostName(String(host)) == nil ? nil : fault
    }

    private static func readHeaderModifier(_ fields: Fields) -> HeaderModifier? {
        func headers(_ key: String) -> [Header] {
            fields.list(key, countMax: 16) { fields in
                let name = fields.checked("name", isRequired: true, checkMutable)
                let value = fields.checked("value", isRequired: true, Syntax.headerValue)
                guard let name, let value else { return nil }
                return Header(name: name, value: value)
            } ?? []
        }
        return HeaderModifier(
            set: headers("set"), add: headers("add"),
            remove: fields.scalars("remove", countMax: 16) { fields.reader.checked($0, $1, checkMutable) }
                ?? [])
    }

    /// Fields that carry the message itself are not an operator's to change.
    private static func checkMutable(_ name: String) -> Syntax.Fault? {
        if let fault = Syntax.headerName(name) { return fault }
        let framing = [
            "host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "keep-alive",
        ]
        guard framing.contains(name.lowercased()) else { return nil }
        return Syntax.Fault(
            problem: "'\(name)' cannot be changed by a route",
            remedy: name.lowercased() == "host" ? "use URLRewrite with a hostname" : "remove it")
    }

    private enum Scheme: String, CaseIterable { case http, https }

    private static func readRedirect(_ fields: Fields) -> Redirect? {
        var redirect = Redirect()
        redirect.scheme = fields.choice("scheme", Scheme.self)?.rawValue
        redirect.hostname = fields.checked("hostname", Syntax.hostName)
        redirect.path = fields.mapping("path", readPathModifier)
        redirect.port = fields.integer("port", in: 1...65_535)
        if let code = fields.integer("statusCode", in: 301...308) {
            if [301, 302, 303, 307, 308].contains(code) {
                redirect.statusCode = code
            } else {
                fields.report("statusCode", "\(code) is not a redirect", "write 301, 302, 303, 307 or 308")
            }
        }
        return redirect
    }

    private enum PathModifierType: String, CaseIterable {
        case replaceFullPath = "ReplaceFullPath"
        case replacePrefixMatch = "ReplacePrefixMatch"
    }

    private static func readPathModifier(_ fields: Fields) -> PathModifier? {
        guard let type = fields.choice("type", isRequired: true, PathModifierType.self) else {
            fields.ignore("replaceFullPath")
            fields.ignore("replacePrefixMatch")
            return nil
        }
        switch type {
        case .replaceFullPath:
            return fields.checked("replaceFullPath", isRequired: true, Syntax.path).map(
                PathModifier.replaceFullPath)
        case .replacePrefixMatch:
            return fields.checked("replacePrefixMatch", isRequired: true, Syntax.path).map(
                PathModifier.replacePrefixMatch)
        }
    }
}
