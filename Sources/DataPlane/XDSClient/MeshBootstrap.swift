import MeshPrimitives
import XDSSchema

/// What a sidecar needs to know before it can ask the control plane for the rest: the short bootstrap of `--mesh FILE`.
public struct MeshBootstrap: Sendable, Equatable {
    public enum AppProtocol: String, CaseIterable, Sendable { case http, http2, grpc, tcp, auto }
    public enum Interception: String, CaseIterable, Sendable { case none, redirect, tproxy }

    /// NAMESPACE/NAME
    public struct ServiceName: Hashable, Sendable, CustomStringConvertible {
        public var namespace: String
        public var name: String

        /// nil for text of another form.
        public init?(_ text: String) {
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, parts.allSatisfy(Self.isLabel) else { return nil }
            (namespace, name) = (String(parts[0]), String(parts[1]))
        }

        public var description: String { "\(namespace)/\(name)" }

        /// A label of RFC 1123.
        private static func isLabel(_ text: Substring) -> Bool {
            guard (1...63).contains(text.utf8.count), text.first != "-", text.last != "-" else {
                return false
            }
            return text.utf8.allSatisfy {
                (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-")
            }
        }
    }

    /// A port of the local application.
    public struct App: Hashable, Sendable {
        public var port: UInt16
        public var appProtocol: AppProtocol

        public init(port: UInt16, appProtocol: AppProtocol = .http) {
            (self.port, self.appProtocol) = (port, appProtocol)
        }
    }

    /// A local port for one port of a service.
    public struct Upstream: Hashable, Sendable {
        public var service: ServiceName
        public var port: UInt16
        public var listen: SocketAddress

        public init(service: ServiceName, port: UInt16, listen: SocketAddress) {
            (self.service, self.port, self.listen) = (service, port, listen)
        }
    }

    /// Hosts of the control plane's replicas, names or addresses.
    public var control: [String]
    public var xdsPort: UInt16 = 15012
    public var caPort: UInt16 = 15011
    public var service: ServiceName
    public var apps: [App] = []
    /// Read when a first certificate is asked for.
    public var tokenFile: String?
    /// PEM, by which the control plane is known.
    public var trustBundle: String
    /// Under which other sidecars reach this one; nil: the source address towards the control plane.
    public var address: SocketAddress?
    public var admin = SocketAddress(ipv4: 127, 0, 0, 1, port: 15000)
    public var inbound = SocketAddress(ipv4: 0, 0, 0, 0, port: 15006)
    public var outbound = SocketAddress(ipv4: 127, 0, 0, 1, port: 15001)
    public var health = SocketAddress(ipv4: 0, 0, 0, 0, port: 15021)
    public var metrics = SocketAddress(ipv4: 0, 0, 0, 0, port: 15090)
    public var upstreams: [Upstream] = []
    /// nil: nothing is kept for a restart, which then needs a join token.
    public var cacheDirectory: String?
    public var zone = ""
    /// By which services and policies choose among the instances of a service.
    public var labels: [String: String] = [:]
    public var interception = Interception.none
    /// Where the bound addresses are written.
    public var portsFile: String?

    public init(control: [String], service: ServiceName, trustBundle: String) {
        (self.control, self.service, self.trustBundle) = (control, service, trustBundle)
    }

    // MARK: Reading

    /// Every key, as the file and the command line have it.
    public static let keys = [
        "address", "admin", "app", "ca-port", "cache-dir", "control", "health", "inbound", "intercept",
        "labels", "metrics",
        "outbound", "ports-file", "service", "token-file", "trust-bundle", "upstreams", "xds-port", "zone",
    ]
    /// Bytes of the file at most.
    public static let fileBytesMax = 1 << 20

    /// `xds-port` is MARTLET_XDS_PORT.
    public static func environmentName(_ key: String) -> String {
        "MARTLET_" + key.uppercased().replacing("-", with: "_")
    }

    /// From a file (if any), over it the environment, over it the command line. nil if a problem was added.
    public static func read(
        file: (name: String, bytes: [UInt8])?, environment: (String) -> String? = { _ in nil },
        arguments: [(key: String, value: String)] = [], problems: inout ConfigProblems
    ) -> MeshBootstrap? {
        let before = problems.count
        var reader = MeshBootstrapReader(problems: problems)
        if let file { reader.readFile(file.name, file.bytes) }
        for key in keys {
            let name = environmentName(key)
            if let value = environment(name) { reader.take(key, value, from: name) }
        }
        for (key, value) in arguments { reader.take(key, value, from: "--\(key)") }
        let bootstrap = reader.bootstrap()
        problems = reader.problems
        return problems.count == before ? bootstrap : nil
    }
}

/// Turns settings into a `MeshBootstrap`; goes on after a problem, so that all are told.
private struct MeshBootstrapReader {
    static let listKeys: Set<String> = ["app", "labels", "upstreams"]
    static let labelsMax = 32
    /// Elements of a list.
    static let elementsMax = 256

    var problems: ConfigProblems
    private var settings: [String: TextNode] = [:]

    init(problems: ConfigProblems) { self.problems = problems }

    // MARK: Where settings come from

    mutating func readFile(_ name: String, _ bytes: [UInt8]) {
        let source = problems.addSource(name)
        switch TextBounds.standard.parse(bytes, source: source) {
        case .failure(let error): problems.add(error.text, path: "", at: error.position)
        case .success(let node):
            guard case .object(let members) = node.content else {
                return problems.add("expected keys with values", path: "", at: node.position)
            }
            for member in members {
                guard MeshBootstrap.keys.contains(member.key) else {
                    let known = NearestName.of(member.key, among: MeshBootstrap.keys)
                    let hint = known.map { "; did you mean '\($0)'?" } ?? ""
                    problems.add("there is no such key\(hint)", path: member.key, at: member.position)
                    continue
                }
                if settings.updateValue(member.value, forKey: member.key) != nil {
                    problems.add("is set twice", path: member.key, at: member.position)
                }
            }
        }
    }

    /// One from the environment or the command line, which counts more than those before.
    mutating func take(_ key: String, _ value: String, from name: String) {
        let source = problems.addSource(name)
        let position = TextPosition(source: source)
        guard MeshBootstrap.keys.contains(key) else {
            return problems.add("there is no such key", path: key, at: position)
        }
        guard Self.listKeys.contains(key) else {
            settings[key] = TextNode(text: value, position: position)
            return
        }
        switch TextBounds.standard.parse(Array(value.utf8), source: source) {
        case .failure(let error): problems.add(error.text, path: key, at: position)
        case .success(let node): settings[key] = node
        }
    }

    // MARK: The whole

    mutating func bootstrap() -> MeshBootstrap? {
        let hosts = required("control").map { text($0, "control") } ?? nil
        let control = (hosts ?? "").split(separator: ",").map { String($0.filter { $0 != " " }) }
        if hosts != nil, control.isEmpty || control.contains(where: \.isEmpty) {
            add("names no host", "control")
        }
        for host in control
        where host.contains("/") || (host.contains(":") && SocketAddress(host, port: 0) == nil) {
            add("'\(host)' is not a host; the ports are 'xds-port' and 'ca-port'", "control")
        }
        let service = required("service").map { self.service($0, "service") } ?? nil
        let bundle = required("trust-bundle").map { text($0, "trust-bundle") } ?? nil
        var bootstrap = MeshBootstrap(
            control: control, service: service ?? Self.placeholder, trustBundle: bundle ?? "")
        optional("xds-port") { $0.port($1, $2) }.map { bootstrap.xdsPort = $0 }
        optional("ca-port") { $0.port($1, $2) }.map { bootstrap.caPort = $0 }
        bootstrap.tokenFile = optional("token-file") { $0.text($1, $2) }
        bootstrap.cacheDirectory = optional("cache-dir") { $0.text($1, $2) }
        bootstrap.portsFile = optional("ports-file") { $0.text($1, $2) }
        optional("zone") { $0.text($1, $2) }.map { bootstrap.zone = $0 }
        bootstrap.address = optional("address") { $0.host($1, $2) }
        optional("admin") { $0.address($1, $2) }.map { bootstrap.admin = $0 }
        optional("inbound") { $0.address($1, $2) }.map { bootstrap.inbound = $0 }
        optional("outbound") { $0.address($1, $2) }.map { bootstrap.outbound = $0 }
        optional("health") { $0.address($1, $2) }.map { bootstrap.health = $0 }
        optional("metrics") { $0.address($1, $2) }.map { bootstrap.metrics = $0 }
        optional("intercept") { $0.choice($1, $2) }.map { bootstrap.interception = $0 }
        optional("labels") { $0.labels($1, $2) }.map { bootstrap.labels = $0 }
        optional("app") { $0.apps($1, $2) }.map { bootstrap.apps = $0 }
        optional("upstreams") { $0.upstreams($1, $2) }.map { bootstrap.upstreams = $0 }
        return service == nil ? nil : bootstrap
    }

    /// Stands in for what is missing until the problems are told.
    private static let placeholder: MeshBootstrap.ServiceName = {
        guard let name = MeshBootstrap.ServiceName("default/none") else {
            preconditionFailure("a valid name")
        }
        return name
    }()

    private mutating func required(_ key: String) -> TextNode? {
        if let node = settings[key] { return node }
        problems.add(
            "is missing; it may also be \(MeshBootstrap.environmentName(key)) or --\(key)", path: key)
        return nil
    }

    private mutating func optional<Value>(
        _ key: String, _ read: (inout Self, TextNode, String) -> Value?
    ) -> Value? {
        guard let node = settings[key] else { return nil }
        if case .null = node.content { return nil }
        return read(&self, node, key)
    }

    private mutating func add(_ text: String, _ key: String) {
        problems.add(text, path: key, at: settings[key]?.position ?? TextPosition())
    }

    // MARK: Values

    private mutating func text(_ node: TextNode, _ path: String) -> String? {
        guard case .text(let text) = node.content else {
            problems.add(
                "expected a string, found \(node.kindName); put it in quotes", path: path, at: node.position)
            return nil
        }
        guard !text.isEmpty else {
            problems.add("is empty", path: path, at: node.position)
            return nil
        }
        return text
    }

    private mutating func port(_ node: TextNode, _ path: String) -> UInt16? {
        var number: Int64?
        if case .integer(let value) = node.content { number = value }
        if case .text(let text) = node.content { number = Int64(text) }
        if let number, let port = UInt16(exactly: number), port > 0 { return port }
        problems.add("is not a port from 1 to 65535", path: path, at: node.position)
        return nil
    }

    private mutating func service(_ node: TextNode, _ path: String) -> MeshBootstrap.ServiceName? {
        guard let text = text(node, path) else { return nil }
        if let name = MeshBootstrap.ServiceName(text) { return name }
        problems.add("'\(text)' is not a service; write NAMESPACE/NAME", path: path, at: node.position)
        return nil
    }

    private mutating func host(_ node: TextNode, _ path: String) -> SocketAddress? {
        guard let text = text(node, path) else { return nil }
        if let address = SocketAddress(text, port: 0) { return address }
        problems.add("'\(text)' is not an IP address", path: path, at: node.position)
        return nil
    }

    private mutating func address(_ node: TextNode, _ path: String) -> SocketAddress? {
        guard let text = text(node, path) else { return nil }
        if let address = SocketAddress(hostPort: text) { return address }
        problems.add(
            "'\(text)' is not an address; write IP:PORT, in which the port may be 0", path: path,
            at: node.position)
        return nil
    }

    private mutating func choice<Value: RawRepresentable & CaseIterable>(
        _ node: TextNode, _ path: String
    ) -> Value? where Value.RawValue == String {
        guard let text = text(node, path) else { return nil }
        if let value = Value(rawValue: text) { return value }
        let known = Value.allCases.map(\.rawValue)
        problems.add(
            "'\(text)' is none of \(known.joined(separator: ", "))", path: path, at: node.position)
        return nil
    }

    // MARK: Lists

    private mutating func labels(_ node: TextNode, _ path: String) -> [String: String]? {
        guard case .object(let members) = node.content, members.count <= Self.labelsMax else {
            problems.add(
                "expected up to \(Self.labelsMax) keys with values", path: path, at: node.position)
            return nil
        }
        var labels: [String: String] = [:]
        for member in members { labels[member.key] = text(member.value, "\(path).\(member.key)") }
        return labels
    }

    private mutating func apps(_ node: TextNode, _ path: String) -> [MeshBootstrap.App]? {
        var apps: [MeshBootstrap.App] = []
        for (index, members) in elements(node, path, ["port", "protocol"]) {
            let path = "\(path)[\(index)]"
            guard let portNode = element(members, "port", of: node, path),
                let port = port(portNode, "\(path).port")
            else { continue }
            var app = MeshBootstrap.App(port: port)
            if let node = members["protocol"],
                let value: MeshBootstrap.AppProtocol = choice(node, "\(path).protocol")
            {
                app.appProtocol = value
            }
            if apps.contains(where: { $0.port == port }) {
                problems.add("\(port) is there twice", path: "\(path).port", at: portNode.position)
            }
            apps.append(app)
        }
        return apps
    }

    private mutating func upstreams(_ node: TextNode, _ path: String) -> [MeshBootstrap.Upstream]? {
        var upstreams: [MeshBootstrap.Upstream] = []
        for (index, members) in elements(node, path, ["service", "port", "listen"]) {
            let path = "\(path)[\(index)]"
            let serviceNode = element(members, "service", of: node, path)
            let portNode = element(members, "port", of: node, path)
            let listenNode = element(members, "listen", of: node, path)
            guard let serviceNode, let portNode, let listenNode,
                let service = service(serviceNode, "\(path).service"),
                let port = port(portNode, "\(path).port"),
                let listen = address(listenNode, "\(path).listen")
            else { continue }
            if upstreams.contains(where: { $0.service == service && $0.port == port }) {
                problems.add(
                    "\(service) is there twice with port \(port)", path: "\(path).service",
                    at: serviceNode.position)
            }
            upstreams.append(MeshBootstrap.Upstream(service: service, port: port, listen: listen))
        }
        return upstreams
    }

    private mutating func elements(
        _ node: TextNode, _ path: String, _ keys: [String]
    ) -> [(Int, [String: TextNode])] {
        guard case .list(let nodes) = node.content else {
            problems.add("expected a list, found \(node.kindName)", path: path, at: node.position)
            return []
        }
        guard nodes.count <= Self.elementsMax else {
            problems.add("has more than \(Self.elementsMax) elements", path: path, at: node.position)
            return []
        }
        var elements: [(Int, [String: TextNode])] = []
        for (index, node) in nodes.enumerated() {
            guard case .object(let members) = node.content else {
                problems.add(
                    "expected an object, found \(node.kindName)", path: "\(path)[\(index)]", at: node.position
                )
                continue
            }
            var found: [String: TextNode] = [:]
            for member in members {
                guard keys.contains(member.key) else {
                    let hint = NearestName.of(member.key, among: keys).map { "; did you mean '\($0)'?" } ?? ""
                    problems.add(
                        "there is no such key\(hint)", path: "\(path)[\(index)].\(member.key)",
                        at: member.position)
                    continue
                }
                found[member.key] = member.value
            }
            elements.append((index, found))
        }
        return elements
    }

    private mutating func element(
        _ members: [String: TextNode], _ key: String, of list: TextNode, _ path: String
    ) -> TextNode? {
        if let node = members[key] { return node }
        problems.add("is missing", path: "\(path).\(key)", at: list.position)
        return nil
    }
}

extension TextNode {
    fileprivate init(text: String, position: TextPosition) {
        self.init(content: .text(text), position: position)
    }
}
