/// `GRPCRoute` of the Gateway API: the same rules as `HTTPRoute`, with matches by service and method. They become POSTs of
/// `application/grpc` to `/service/method`.
enum GRPCRouteReader {
    static func read(_ fields: Fields, namespace: String) -> HTTPRouteSpecification? {
        HTTPRouteSpecification.read(fields, namespace: namespace, readRule)
    }

    private static func readRule(_ fields: Fields, namespace: String) -> HTTPRouteSpecification.Rule? {
        var rule = HTTPRouteSpecification.Rule(
            name: fields.checked("name", Syntax.subdomain),
            matches: fields.list("matches", countMax: 64, readMatch) ?? [],
            filters: HTTPRouteSpecification.readFilters(fields, namespace: namespace), backends: [])
        if rule.matches.isEmpty { rule.matches = [match(HTTPRouteSpecification.GRPCMethod())] }
        let filters = rule.filters
        if filters.redirect != nil || filters.rewrite != nil || filters.cors != nil {
            fields.report(
                "filters", "a GRPCRoute changes headers and mirrors, and nothing else",
                "remove the other filters")
        }
        HTTPRouteSpecification.readBackends(fields, namespace: namespace, into: &rule, else: "name a backend")
        return rule
    }

    private enum MethodMatchType: String, CaseIterable {
        case exact = "Exact"
        case regularExpression = "RegularExpression"
    }

    private static func readMatch(_ fields: Fields) -> HTTPRouteSpecification.Match? {
        let method = fields.mapping("method") { fields -> HTTPRouteSpecification.GRPCMethod? in
            let isExpression = fields.choice("type", MethodMatchType.self) == .regularExpression
            func part(_ key: String, _ check: (String) -> Syntax.Fault?) -> String? {
                // Gateway API: an empty string is every one.
                fields.checked(key) { text in
                    if text.isEmpty { return nil }
                    return isExpression ? Syntax.regularExpression(text) : check(text)
                }.flatMap { $0.isEmpty ? nil : $0 }
            }
            let service = part("service", checkService)
            let name = part("method", checkMethod)
            if service == nil, name == nil, !fields.has("service"), !fields.has("method") {
                fields.report("service", "is missing", "write service, method, or both")
            }
            return HTTPRouteSpecification.GRPCMethod(
                service: service, name: name, isRegularExpression: isExpression)
        }
        var result = match(method ?? HTTPRouteSpecification.GRPCMethod())
        result.headers =
            fields.list("headers", countMax: 16) {
                HTTPRouteSpecification.readValueMatch($0, Syntax.headerName)
            } ?? []
        return result
    }

    private static func match(_ method: HTTPRouteSpecification.GRPCMethod) -> HTTPRouteSpecification.Match {
        var match = HTTPRouteSpecification.Match()
        (match.method, match.grpc, match.path) = ("POST", method, method.path)
        return match
    }

    /// `package.Service`, as in the path of a call.
    private static func checkService(_ text: String) -> Syntax.Fault? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return text.utf8.count <= 1024 && parts.allSatisfy({ isIdentifier($0) })
            ? nil
            : Syntax.Fault(
                problem: "'\(text.clipped)' is not a service",
                remedy: "write its package and name, such as shop.v1.Orders")
    }

    private static func checkMethod(_ text: String) -> Syntax.Fault? {
        text.utf8.count <= 1024 && isIdentifier(text[...])
            ? nil
            : Syntax.Fault(
                problem: "'\(text.clipped)' is not a method", remedy: "write its name, such as GetOrder")
    }

    private static func isIdentifier(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, !(0x30...0x39).contains(first) else { return false }
        return text.utf8.allSatisfy { byte in
            byte == 0x5F || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte & 0xDF)
        }
    }
}

extension HTTPRouteSpecification.GRPCMethod {
    /// The path of the calls that are meant.
    fileprivate var path: HTTPRouteSpecification.PathMatch {
        switch (service, name) {
        case (nil, nil): return .prefix("/")
        case (let service?, nil) where !isRegularExpression: return .prefix("/\(service)")
        case (let service?, let name?) where !isRegularExpression: return .exact("/\(service)/\(name)")
        case (let service, let name):
            let part = { (text: String?) in text.map { "(?:\($0))" } ?? "[^/]+" }
            return .regularExpression("/\(part(service))/\(part(name))")
        }
    }
}
