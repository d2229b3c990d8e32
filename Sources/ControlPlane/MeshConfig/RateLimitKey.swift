/// What requests must have in common to share a bucket of a `RateLimitPolicy`: all of these at once.
public struct RateLimitKey: Sendable, Hashable {
    /// What a property of a request must be.
    public enum Value: Sendable, Hashable {
        /// Whatever it is: each value has a bucket of its own. A request without it has none.
        case any
        case exact(String)
    }

    public struct Header: Sendable, Hashable {
        public var name: String
        public var value: Value
    }

    public enum Path: Sendable, Hashable {
        case exact(String)
        /// By whole segments, as in a route.
        case prefix(String)
    }

    /// Who calls, by the service in its certificate: `NAMESPACE/NAME` if it is one alone.
    public var identity: Value?
    public var method: Value?
    public var path: Path?
    /// In the order in which they were written.
    public var headers: [Header] = []
    /// Each address of a caller by itself.
    public var usesAddress = false

    /// How the key is written in one line; the same key reads the same everywhere.
    public var name: String {
        func text(_ value: Value) -> String {
            switch value {
            case .any: "*"
            case .exact(let text): text
            }
        }
        var parts: [String] = []
        if let identity { parts.append("identity=\(text(identity))") }
        if let method { parts.append("method=\(text(method))") }
        switch path {
        case nil: break
        case .exact(let path): parts.append("path=\(path)")
        case .prefix(let prefix): parts.append("path=\(prefix)*")
        }
        parts += headers.map { "header \($0.name)=\(text($0.value))" }
        if usesAddress { parts.append("address=*") }
        return parts.joined(separator: ",")
    }

    /// Values that the configuration does not know.
    public var isOpen: Bool {
        identity == .any || method == .any || usesAddress || headers.contains { $0.value == .any }
    }

    private enum PathType: String, CaseIterable {
        case exact = "Exact"
        case prefix = "PathPrefix"
    }

    /// `nil` with a report if it says nothing.
    static func read(_ fields: Fields) -> RateLimitKey? {
        var key = RateLimitKey()
        key.identity = fields.checked("identity", checkIdentity).map { $0 == "any" ? .any : .exact($0) }
        key.method = fields.checked("method", checkMethod).map { $0 == "any" ? .any : .exact($0) }
        key.path = fields.mapping("path") { fields -> Path? in
            let type = fields.choice("type", PathType.self) ?? .prefix
            guard let value = fields.checked("value", isRequired: true, Syntax.path) else { return nil }
            guard type == .prefix else { return .exact(value) }
            return .prefix(value.count > 1 && value.hasSuffix("/") ? String(value.dropLast()) : value)
        }
        key.headers =
            fields.list("headers", countMax: 4) { fields -> Header? in
                let name = fields.checked("name", isRequired: true, Syntax.headerName)
                let value = fields.checked("value", Syntax.headerValue)
                return name.map { Header(name: $0.lowercased(), value: value.map { .exact($0) } ?? .any) }
            } ?? []
        key.usesAddress = fields.checked("address", checkAny) != nil
        guard key != RateLimitKey() else {
            if !["identity", "method", "path", "headers", "address"].contains(where: fields.has) {
                fields.reader.report(
                    fields.position, fields.path, "says nothing that requests have in common",
                    "add identity, method, path, headers or address")
            }
            return nil
        }
        return key
    }

    private static func checkAny(_ text: String) -> Syntax.Fault? {
        text == "any"
            ? nil : Syntax.Fault(problem: "'\(text.clipped)' is not a value it can have", remedy: "write any")
    }

    private static func checkIdentity(_ text: String) -> Syntax.Fault? {
        text == "any" || ServiceID(text) != nil
            ? nil
            : Syntax.Fault(
                problem: "'\(text.clipped)' is not a service", remedy: "write NAMESPACE/NAME, or any")
    }

    private static func checkMethod(_ text: String) -> Syntax.Fault? {
        guard text != "any", let fault = Syntax.method(text) else { return nil }
        return Syntax.Fault(problem: fault.problem, remedy: "\(fault.remedy), or any")
    }
}
